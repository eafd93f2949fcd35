//! What a response gives away, replaced by asterisks.

use std::{ops::Range, time::SystemTime};

use selvedge_agent::{RequestHead, ResponseHead};
use selvedge_waf::{
    engine::{self, Connection, Decision, Match, Transaction},
    rule::{Category, Variable},
};

use super::{Ready, desk};

/// So often a body is looked at again before it is given up: each time shows what the last one hid.
const ROUNDS_MAX: usize = 16;
/// So many places are hidden in one round.
const PLACES_MAX: usize = 10_000;
/// To look for a text in so many bytes costs a unit of work.
const BYTES_OF_WORK: u64 = 16;

/// An exchange without its response's body, to be judged with others.
pub(super) struct Whole {
    connection: Connection,
    method: Vec<u8>,
    target: Vec<u8>,
    version: &'static str,
    fields: Fields,
    status: u16,
    answer_fields: Fields,
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What was said of a body, and what that cost.
struct Judged {
    decision: Decision,
    leaks: Vec<Match>,
    work: u64,
}

impl Whole {
    pub(super) fn new(request: &RequestHead<'_>, response: &ResponseHead<'_>) -> Self {
        let owned = |fields: Vec<(&[u8], &[u8])>| {
            fields.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
        };
        Self {
            connection: desk::connection(request),
            method: request.method().into(),
            target: request.target().into(),
            version: desk::version(request.version()),
            fields: owned(desk::request_fields(request)),
            status: response.status(),
            answer_fields: owned(desk::response_fields(response)),
        }
    }

    /// Returns the body without what these matches found in it, so that it passes; `None`: it cannot be made so, or not for the
    /// work that one exchange may cost.
    pub(super) fn masked(
        &self,
        ready: &Ready,
        leaks: Vec<Match>,
        body: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let work = ready.profile.policy().limits.work;
        let mut transaction = Transaction::trial();
        masked(leaks, body, work, |body| self.judge(&mut transaction, ready, body))
    }

    /// What a fresh look at the whole exchange says of another body.
    fn judge(&self, transaction: &mut Transaction, ready: &Ready, body: &[u8]) -> Judged {
        transaction.begin(&ready.profile, &self.connection, SystemTime::now());
        let mut decision = transaction.request_head(&engine::RequestHead {
            method: &self.method,
            target: &self.target,
            version: self.version,
            fields: &borrowed(&self.fields),
        });
        if decision == Decision::Pass {
            decision = transaction.response_head(&engine::ResponseHead {
                status: self.status,
                version: self.version,
                fields: &borrowed(&self.answer_fields),
            });
        }
        let before = transaction.matches().len();
        if decision == Decision::Pass {
            transaction.response_body(body);
            decision = transaction.response();
        }
        let leaks = transaction.matches()[before..].to_vec();
        Judged { decision, leaks, work: transaction.work() }
    }
}

fn borrowed(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Hides round by round, as long as the budget lasts.
fn masked(
    mut leaks: Vec<Match>,
    mut body: Vec<u8>,
    mut budget: u64,
    mut judge: impl FnMut(&[u8]) -> Judged,
) -> Option<Vec<u8>> {
    for _ in 0..ROUNDS_MAX {
        budget = budget.checked_sub(leaks.len() as u64 * body.len() as u64 / BYTES_OF_WORK)?;
        let places = places(&leaks, &body)?;
        hide(&mut body, &places);
        let judged = judge(&body);
        if judged.decision == Decision::Pass {
            return Some(body);
        }
        budget = budget.checked_sub(judged.work)?;
        leaks = judged.leaks;
    }
    None
}

/// Where what these matches found is in the body; `None` if one that counts found something that is not to be
/// hidden, or that is not in the body as it stands.
fn places(leaks: &[Match], body: &[u8]) -> Option<Vec<Range<usize>>> {
    let counting = leaks.iter().filter(|one| one.points > 0 && !one.shadow);
    // Many rules look at text in lower case.
    let lower = body.to_ascii_lowercase();
    let mut places = Vec::new();
    for leak in counting {
        if leak.category != Some(Category::Leak) {
            return None;
        }
        let mut found = leak.evidence.iter().filter(|one| one.variable == Variable::ResponseBody);
        let text = found.find_map(|one| one.excerpt.get(one.span.clone()))?;
        let here = all_of(&lower, &text.to_ascii_lowercase());
        if here.is_empty() {
            return None;
        }
        places.extend(here);
    }
    (!places.is_empty()).then_some(places)
}

/// Everywhere that the text occurs.
fn all_of(body: &[u8], text: &[u8]) -> Vec<Range<usize>> {
    if text.is_empty() {
        return Vec::new();
    }
    let found = memchr::memmem::find_iter(body, text).take(PLACES_MAX);
    found.map(|at| at..at + text.len()).collect()
}

/// Line ends stay, so that what is left keeps its form.
fn hide(body: &mut [u8], places: &[Range<usize>]) {
    for place in places {
        let bytes = body[place.clone()].iter_mut().filter(|byte| !matches!(byte, b'\r' | b'\n'));
        bytes.for_each(|byte| *byte = b'*');
    }
}

#[cfg(test)]
mod tests {
    use selvedge_waf::engine::{Evidence, Refusal};

    use super::*;

    fn leak(text: &str) -> Match {
        Match {
            id: 1,
            name: None,
            message: String::new(),
            log_data: String::new(),
            severity: None,
            category: Some(Category::Leak),
            tags: Vec::new().into(),
            points: 10,
            shadow: false,
            evidence: vec![Evidence {
                variable: Variable::ResponseBody,
                key: Vec::new(),
                excerpt: text.into(),
                span: 0..text.len(),
                offset: 0,
                received: true,
            }],
        }
    }

    /// A judge who finds one letter after the other, each look at so much work.
    fn masked_letters(budget: u64, work: u64) -> (Option<Vec<u8>>, usize) {
        let mut rounds = 0;
        let body = masked(vec![leak("a")], b"abcd".to_vec(), budget, |body| {
            rounds += 1;
            let letter = body.iter().find(|byte| byte.is_ascii_lowercase());
            let leaks: Vec<_> =
                letter.map(|letter| leak(&char::from(*letter).to_string())).into_iter().collect();
            let refusal =
                Refusal { status: 502, location: None, rule: None, reason: String::new() };
            let decision = match leaks.is_empty() {
                true => Decision::Pass,
                false => Decision::Refuse(refusal),
            };
            Judged { decision, leaks, work }
        });
        (body, rounds)
    }

    #[test]
    fn what_one_round_hides_may_show_another() {
        assert_eq!(masked_letters(100, 10), (Some(b"****".to_vec()), 4));
    }

    #[test]
    fn the_budget_ends_it() {
        assert_eq!(masked_letters(25, 10), (None, 3));
        assert_eq!(masked_letters(5, 10), (None, 1));
    }

    #[test]
    fn many_leaks_in_a_large_body_are_work_themselves() {
        let leaks = vec![leak("a"); 64];
        let judge = |_: &[u8]| panic!("the budget is spent before");
        assert_eq!(masked(leaks, vec![b'a'; 1024], 4095, judge), None);
    }
}
