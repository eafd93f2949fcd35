//! Verdicts: what becomes of a request, and what client and operator are told of it.

use std::time::Duration;

use selvedge_agent::{Finding, Verdict};
use selvedge_base::format_duration;
use serde::Serialize;

use super::{
    fields::{self, Violated},
    policy::Policy,
    ruling::{Asked, Ruling, Standing},
};
use crate::problem::{CONTENT_TYPE, Details, Problem};

/// What a client is told to wait for when nobody can count.
const UNAVAILABLE_RETRY: &str = "1";

/// The request goes on; the operator is told who made it wait.
pub fn admission(asked: &[Asked<'_>], ruling: Option<&Ruling>) -> Verdict {
    let standings = ruling.map_or(&[][..], |ruling| &ruling.standings);
    let waits = asked.iter().zip(standings).filter_map(|(asked, standing)| {
        let wait = standing.wait.ok().filter(|wait| !wait.is_zero())?;
        Some(finding(asked.policy, "delayed").detail(format!("waited {}", rounded(wait))))
    });
    waits.fold(Verdict::allow(), Verdict::finding)
}

/// The same with what is left to the client, which is told with the response.
pub fn with_fields(verdict: Verdict, counted: &[(&Policy, Standing)]) -> Verdict {
    let policies = counted.iter().map(|(policy, _)| *policy);
    let limits = counted.iter().map(|(policy, standing)| (*policy, standing));
    verdict
        .add_response_header("RateLimit-Policy", policies_field(policies))
        .add_response_header("RateLimit", limits_field(limits))
}

/// 429, with the policies that refused.
pub fn refusal(asked: &[Asked<'_>], ruling: &Ruling, headers: bool) -> Verdict {
    let all = asked.iter().zip(&ruling.standings);
    let refused: Vec<_> = all.filter(|(_, standing)| standing.wait.is_err()).collect();
    let ids: Vec<_> = refused.iter().map(|(asked, _)| asked.policy.id.as_str()).collect();
    let reasons: Vec<_> = refused.iter().map(|(asked, standing)| why(asked, standing)).collect();
    let violated = Violated { policies: &ids };
    let mut verdict = block(Problem::RATE_LIMIT_EXCEEDED, &public(&refused), violated);
    verdict = verdict.reason(reasons.join("; "));
    if let Some(seconds) = retry_after(&refused) {
        verdict = verdict.header("Retry-After", seconds.to_string());
    }
    if headers {
        // Of the other limits nothing is said: a `t` must not be later than `Retry-After`.
        let limits = refused.iter().map(|(asked, standing)| (asked.policy, *standing));
        verdict = verdict
            .header("RateLimit-Policy", policies_field(asked.iter().map(|asked| asked.policy)))
            .header("RateLimit", limits_field(limits));
    }
    let findings = refused
        .iter()
        .zip(reasons)
        .map(|((asked, _), reason)| finding(asked.policy, "refused").detail(reason));
    findings.fold(verdict, Verdict::finding)
}

/// 503: the server does not answer, and the operator said that nobody passes then.
pub fn unavailable() -> Verdict {
    block(Problem::RATE_LIMIT_UNAVAILABLE, "Limits cannot be counted at present.", ())
        .header("Retry-After", UNAVAILABLE_RETRY)
        .reason("Redis does not answer, and `on-failure` is \"closed\"")
        .finding(Finding::new("rate-limit/store").tag("unavailable"))
}

/// 500: the edge and this agent do not agree on what there is. Nothing can be counted, so nothing
/// passes.
pub fn undecidable(flaw: &str) -> Verdict {
    let detail = "Limits cannot be counted for this request.";
    block(Problem::RATE_LIMIT_INTERNAL, detail, ()).reason(flaw)
}

fn block(problem: Problem, detail: &str, more: impl Serialize) -> Verdict {
    Verdict::block(problem.status)
        .header("Content-Type", CONTENT_TYPE)
        .body(problem.body(Details { detail, trace: None, more }))
}

/// When the last of those who refused admits the request; `None` if one of them never does.
fn retry_after(refused: &[(&Asked<'_>, &Standing)]) -> Option<u64> {
    let waits = refused.iter().map(|(_, standing)| standing.wait.err().flatten());
    let longest = waits.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    Some(fields::seconds(longest).max(1))
}

/// What the client reads.
fn public(refused: &[(&Asked<'_>, &Standing)]) -> String {
    match refused {
        [(one, _)] => format!("{:?} allows {}.", one.policy.id, one.policy.limit),
        _ => "Several limits are used up.".to_owned(),
    }
}

/// Why a policy refused, for the decision log: names of key parts, never what they hold.
fn why(asked: &Asked<'_>, standing: &Standing) -> String {
    let Policy { id, limit, key_kind, local, .. } = asked.policy;
    let shared = if standing.crowded { ", in a bucket shared for lack of room" } else { "" };
    let cause = match standing.wait.err().flatten() {
        None => format!("{} tokens are more than the burst of {}", asked.ask.need, local.burst()),
        Some(_) if standing.could_wait(asked.policy.patience()) => "the queue is full".to_owned(),
        Some(wait) => format!("used up, enough in {}", rounded(wait)),
    };
    format!("policy {id:?} ({limit} by {key_kind}{shared}): {cause}")
}

fn finding(policy: &Policy, what: &str) -> Finding {
    Finding::new(format!("rate-limit/{}", policy.id)).tag(what).tag(&policy.key_kind)
}

fn policies_field<'p>(policies: impl Iterator<Item = &'p Policy>) -> String {
    let mut list = String::new();
    policies.for_each(|policy| fields::push_policy(&mut list, &policy.item));
    list
}

fn limits_field<'p>(limits: impl Iterator<Item = (&'p Policy, &'p Standing)>) -> String {
    let mut list = String::new();
    for (policy, Standing { remaining, next, .. }) in limits {
        fields::push_limit(&mut list, &policy.name, *remaining, *next);
    }
    list
}

/// A time for people: whole seconds, or milliseconds where there are no more than ten seconds.
fn rounded(time: Duration) -> String {
    if time > Duration::from_secs(10) {
        return format_duration(Duration::from_secs(fields::seconds(time)));
    }
    let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    format_duration(Duration::from_millis(millis))
}
