//! What a response gives away, replaced by asterisks.

use std::ops::Range;

use selvedge_waf::{
    engine::{Decision, Match},
    rule::{Category, Variable},
};

/// So often a body is looked at again before it is given up: each time shows what the last one hid.
const ROUNDS_MAX: usize = 16;
/// So many places are hidden in one round.
const PLACES_MAX: usize = 10_000;

/// Returns the body without what these matches found in it, so that `judge` lets it pass; `None`: it
/// cannot be made so.
pub(super) fn masked(
    leaks: &[Match],
    body: &[u8],
    judge: impl Fn(&[u8]) -> (Decision, Vec<Match>),
) -> Option<Vec<u8>> {
    let mut body = body.to_vec();
    let mut leaks = leaks.to_vec();
    for _ in 0..ROUNDS_MAX {
        let places = places(&leaks, &body)?;
        hide(&mut body, &places);
        let (decision, more) = judge(&body);
        if decision == Decision::Pass {
            return Some(body);
        }
        leaks = more;
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
