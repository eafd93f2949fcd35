//! What is told of an exchange: little to the client, everything to the log.

use std::{cmp::Reverse, fmt::Write, time::Duration};

use selvedge_agent::{Finding, RequestHead, Verdict, attributes};
use selvedge_waf::engine::{Evidence, Match, Refusal};
use serde::Serialize;

use super::{
    Ready,
    tally::{Outcome, Sender},
};
use crate::problem::{CONTENT_TYPE, Details, Problem};

/// Findings that one verdict carries.
const FINDINGS: usize = 32;
/// Characters of one finding.
const DETAIL: usize = 1000;
/// Bytes of what a match is about.
const KEY: usize = 100;
/// Tags of one finding.
const TAGS: usize = 16;

/// What was found in an exchange.
pub(super) struct Report<'r> {
    /// What was not told before.
    pub(super) matches: &'r [Match],
    pub(super) score: u32,
    /// Carried out or not.
    pub(super) refusal: Option<&'r Refusal>,
    pub(super) ready: &'r Ready,
}

impl Report<'_> {
    /// What it comes to with such a verdict.
    pub(super) fn outcome(&self, verdict: &Verdict) -> Outcome {
        match self.refusal {
            Some(_) if !verdict.is_allow() => Outcome::Blocked,
            Some(_) if verdict.replacement().is_some() => Outcome::Masked,
            Some(_) => Outcome::Detected,
            None if self.is_told() && !self.matches.is_empty() => Outcome::Logged,
            None if self.matches.iter().any(|one| one.shadow) => Outcome::Shadow,
            None => Outcome::Passed,
        }
    }

    /// Whether all that was found is told.
    fn is_told(&self) -> bool {
        self.refusal.is_some() || self.score >= self.ready.log_at
    }

    /// All matches where points suffice, otherwise those of rules that are only watched. The most telling come first, for
    /// the log has room for only so many: the rule that refuses, and then by points.
    fn findings(&self) -> Vec<&Match> {
        let is_told = self.is_told();
        let mut told: Vec<_> = self.matches.iter().filter(|one| is_told || one.shadow).collect();
        let deciding = self.refusal.and_then(|refusal| refusal.rule);
        told.sort_by_key(|one| (Some(one.id) != deciding, Reverse(one.points)));
        told
    }

    /// Adds findings and a reason to a verdict.
    pub(super) fn on(&self, verdict: Verdict) -> Verdict {
        let is_told = self.is_told();
        let verdict = self
            .findings()
            .into_iter()
            .take(FINDINGS)
            .map(|one| finding(one, self.ready.excerpts))
            .fold(verdict, Verdict::finding);
        match self.refusal {
            Some(refusal) => {
                let would = if verdict.is_allow() { "not refused: " } else { "" };
                verdict.reason(format!("{would}{}", refusal.reason))
            }
            None if is_told && !self.matches.is_empty() => {
                verdict.reason(format!("{} points", self.score))
            }
            None => verdict,
        }
    }
}

/// A rule that matched, and on which bytes.
fn finding(found: &Match, excerpts: bool) -> Finding {
    let Match { id, name, message, points, shadow, category, tags, evidence, .. } = found;
    let rule = name.as_deref().map_or_else(|| id.to_string(), str::to_owned);
    let mut finding = Finding::new(rule).score(u16::try_from(*points).unwrap_or(u16::MAX));
    if name.is_some() {
        finding = finding.tag(format!("id/{id}"));
    }
    if *shadow {
        finding = finding.tag("shadow");
    }
    if let Some(category) = category {
        finding = finding.tag(format!("{category:?}").to_lowercase());
    }
    let finding = tags.iter().take(TAGS).fold(finding, |finding, tag| finding.tag(&**tag));
    let mut detail = shown(message.as_bytes());
    for (at, evidence) in evidence.iter().enumerate() {
        detail.push_str(if at == 0 && !detail.is_empty() {
            ": "
        } else if at > 0 {
            "; "
        } else {
            ""
        });
        explain(evidence, excerpts, &mut detail);
    }
    finding.detail(shortened(&detail))
}

/// `ARGS:id, bytes 3 to 8: 1' »union select« 2`
fn explain(evidence: &Evidence, excerpts: bool, out: &mut String) {
    let Evidence { variable, key, excerpt, span, offset, received } = evidence;
    out.push_str(variable.name());
    if !key.is_empty() {
        let key = &key[..key.len().min(KEY)];
        write!(out, ":{}", shown(key)).expect("a String takes any text");
    }
    let (first, end) = (offset + span.start, offset + span.end);
    let text = if *received { "" } else { " of the decoded text" };
    write!(out, ", bytes {first} to {end}{text}").expect("a String takes any text");
    let parts = (excerpt.get(..span.start), excerpt.get(span.clone()), excerpt.get(span.end..));
    if let (true, (Some(before), Some(found), Some(after))) = (excerpts, parts) {
        let (before, found, after) = (shown(before), shown(found), shown(after));
        write!(out, ": {before}»{found}«{after}").expect("a String takes any text");
    }
}

/// Bytes as text of one line.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        match letter.is_control() {
            true => out.extend(letter.escape_default()),
            false => out.push(letter),
        }
    }
    out
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// By what the request is found in the access log.
#[derive(Serialize)]
struct Reference<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'r str>,
}

/// Ends an exchange; the client gets no word about rules.
pub(super) fn refuse(refusal: &Refusal, sender: Sender, request: &RequestHead<'_>) -> Verdict {
    let Refusal { status, location, rule: _, reason: _ } = refusal;
    if let Some(location) = location {
        let status = if (300..=399).contains(status) { *status } else { 302 };
        return Verdict::redirect(status, location.clone());
    }
    let (problem, detail) = match sender {
        Sender::Client | Sender::Tunnel => to_client(*status),
        Sender::Upstream => {
            (Problem::WAF_RESPONSE, "The server behind this one gave an answer that is kept back.")
        }
    };
    block(problem, detail, request)
}

/// Refuses an attempt to log in for so long; the client gets no word about what was counted.
pub(super) fn too_many_logins(wait: Duration, request: &RequestHead<'_>) -> Verdict {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    block(Problem::WAF_LOGINS, "Too many logins failed. Try again later.", request)
        .header("retry-after", seconds.max(1).to_string())
}

fn block(problem: Problem, detail: &str, request: &RequestHead<'_>) -> Verdict {
    let known = request.attributes();
    let more = Reference { reference: known.get(attributes::REQUEST_ID) };
    let body = problem.body(Details { detail, trace: known.get(attributes::TRACE), more });
    Verdict::block(problem.status).header("content-type", CONTENT_TYPE).body(body)
}

fn to_client(status: u16) -> (Problem, &'static str) {
    match status {
        400 => (Problem::WAF_UNREADABLE, "The body is not what it says it is."),
        413 => (Problem::WAF_SIZE, "The request has more than is taken here."),
        415 => {
            let detail = "The body is of a type or coding that is not taken here.";
            (Problem::WAF_CONTENT_TYPE, detail)
        }
        status => {
            let status = if (400..=599).contains(&status) { status } else { 403 };
            (Problem::WAF_REFUSED.with_status(status), "The request looks like an attack.")
        }
    }
}
