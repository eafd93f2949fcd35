//! What the audit log is told of an exchange that was refused: by whom, by which rule, and whom it met.

use std::collections::BTreeSet;

use selvedge_agent::{Decision, Finding, Verdict};
use selvedge_audit::{
    entry::{ActorKind, Outcome},
    event::{Event, Fact, Principal},
};
use selvedge_config::{TENANT_FIELD, USER_FIELD};
use selvedge_http1::Known;

use super::Exchange;
use crate::{
    agent::call::outcome_of,
    audit::{
        events::{cut, put},
        timestamp,
    },
};

/// Rules named of one verdict; further ones are counted.
const RULES_MAX: usize = 32;
/// Bytes told of a rule, a tag, a host, a name.
const NAME_BYTES_MAX: usize = 256;
/// Tags told of all findings together.
const TAGS_MAX: usize = 16;
/// Bytes told of a path, and of an agent's reason.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// Bytes told of what was found.
const FINDINGS_BYTES_MAX: usize = 4 << 10;

/// Whether `code` says that somebody judged the request, and not that something was missing or busy.
fn is_decision(code: &str) -> bool {
    const BOUNDS: [&str; 4] = ["limit/body", "limit/head", "limit/head-fields", "limit/target"];
    let families = ["agent/", "head-gate/", "request/"];
    families.iter().any(|family| code.starts_with(family)) || BOUNDS.contains(&code)
}

impl Exchange<'_> {
    /// Tells the audit log if the exchange was blocked; the last of what agents ruled did it, if one did.
    pub(super) fn tell_of_block(&self, ruled: &[(usize, Verdict)]) {
        let Some(code) = self.facts.refused_by.filter(|code| is_decision(code)) else { return };
        let (Some(lane), Some(audit)) = (&self.core.audit, &self.snapshot.plan.config.audit) else {
            return;
        };
        let agent = self.facts.blocked_by.map(|agent| &self.snapshot.plan.agents[agent].config);
        let share = match agent {
            None if code.starts_with("agent/") => audit.sample.all,
            agent => audit.sample.of(agent.map(|agent| &*agent.id)),
        };
        if share < 1.0 && self.core.rng.borrow_mut().f64() >= share {
            return lane.leave_out();
        }
        lane.tell(|| {
            let mut event = self.blocked(code);
            if let Some(agent) = agent {
                put(&mut event, "agent", Fact::Text(agent.id.to_string()));
                put(&mut event, "agent_type", Fact::Text(agent.kind.to_string()));
            }
            if let Some((_, verdict)) = ruled.last().filter(|_| agent.is_some()) {
                tell_verdict(&mut event, verdict);
            }
            if share < 1.0 {
                put(&mut event, "share", Fact::Text(share.to_string()));
            }
            event
        });
    }

    /// The event, as far as it is the same for all who refuse.
    fn blocked(&self, code: &str) -> Event {
        let (facts, plan) = (&self.facts, &self.snapshot.plan);
        let route = facts.route.map(|route| ("route", &*plan.routes[route].route.id));
        let resource = route.unwrap_or(("listener", &*self.connection.listener.id));
        let mut event =
            Event::by_system(timestamp(facts.timings.started), "request.block", resource);
        event.actor = self.actor();
        event.outcome = Outcome::Denied;
        event.reason = Some(code.to_owned());
        event.trace = Some(facts.trace.trace_id());
        event.config = Some(plan.revision.clone());
        event.address = Some(facts.client.ip().to_canonical().to_string());
        let fields = self.request.fields();
        event.user_agent = fields.first(Known::UserAgent).map(|text| cut(text, NAME_BYTES_MAX));
        let listener = self.connection.listener.id.to_string();
        put(&mut event, "listener", Fact::Text(listener));
        let method = cut(self.request.method().as_bytes(), NAME_BYTES_MAX);
        put(&mut event, "method", Fact::Text(method));
        let path = cut(self.request.raw_path().as_bytes(), TEXT_BYTES_MAX);
        put(&mut event, "path", Fact::Personal(path));
        if let Some(host) = fields.first(Known::Host) {
            put(&mut event, "host", Fact::Text(cut(host, NAME_BYTES_MAX)));
        }
        if let Some(status) = facts.status {
            put(&mut event, "status", Fact::Number(status.into()));
        }
        if let Some(why) = &facts.error {
            put(&mut event, "why", Fact::Personal(cut(why.as_bytes(), TEXT_BYTES_MAX)));
        }
        event
    }

    /// Who sent it, where an agent of the route has said so before another refused.
    fn actor(&self) -> Principal {
        let named = |name: &str| {
            let is_kept = self.snapshot.plan.identity_headers.iter().any(|own| own == name);
            let said = self.request.fields().named(name).next();
            let said = said.filter(|_| is_kept && self.council.was_asked());
            said.map(|text| cut(text, NAME_BYTES_MAX))
        };
        match named(USER_FIELD) {
            Some(user) => Principal {
                kind: ActorKind::User,
                id: Some(user),
                tenant: named(TENANT_FIELD),
                auth: "agents".to_owned(),
            },
            None => Principal {
                kind: ActorKind::Anonymous,
                id: None,
                tenant: None,
                auth: "none".to_owned(),
            },
        }
    }
}

fn tell_verdict(event: &mut Event, verdict: &Verdict) {
    put(event, "decision", Fact::Text(outcome_of(verdict).name().to_owned()));
    let status = match verdict.decision() {
        Decision::Allow => None,
        Decision::Block(answer)
        | Decision::Redirect { answer, .. }
        | Decision::Challenge { answer, .. } => Some(answer.status),
    };
    if let Some(status) = status {
        put(event, "status", Fact::Number(status.into()));
    }
    let findings = verdict.findings();
    if findings.is_empty() {
        return;
    }
    let rule =
        |found: &Finding| format!("{}={}", cut(found.rule.as_bytes(), NAME_BYTES_MAX), found.score);
    put(event, "rules", Fact::List(findings.iter().take(RULES_MAX).map(rule).collect()));
    put(event, "score", Fact::Number(findings.iter().map(|found| i64::from(found.score)).sum()));
    if findings.len() > RULES_MAX {
        put(event, "rules_left_out", Fact::Number((findings.len() - RULES_MAX) as i64));
    }
    let tags: BTreeSet<&str> =
        findings.iter().flat_map(|found| &found.tags).map(String::as_str).collect();
    if !tags.is_empty() {
        let tags = tags.into_iter().take(TAGS_MAX).map(|tag| cut(tag.as_bytes(), NAME_BYTES_MAX));
        put(event, "tags", Fact::List(tags.collect()));
    }
    let mut details = String::new();
    for Finding { rule, detail, .. } in findings.iter().filter(|found| !found.detail.is_empty()) {
        if details.len() >= FINDINGS_BYTES_MAX {
            break;
        }
        details.push_str(&format!("{rule}: {detail}\n"));
    }
    if !details.is_empty() {
        // What a client sent stands in it.
        put(event, "findings", Fact::Personal(cut(details.as_bytes(), FINDINGS_BYTES_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    #[test]
    fn judgements_are_told_from_what_is_missing_or_busy() {
        let judged: BTreeSet<_> =
            Problem::ALL.iter().map(|it| it.code).filter(|code| is_decision(code)).collect();
        let expected = [
            "agent/timeout",
            "agent/unavailable",
            "limit/body",
            "limit/head",
            "limit/target",
            "request/expectation",
            "request/framing",
            "request/host",
            "request/malformed",
            "request/misdirected",
            "request/target",
            "request/unsupported",
            "request/version",
        ];
        assert!(judged.into_iter().eq(expected));
        for rule in selvedge_http1::RULES {
            assert!(is_decision(rule.code), "{}", rule.code);
        }
        assert!(is_decision("agent/blocked"));
    }

    #[test]
    fn a_verdict_of_any_size_is_told_within_bounds() {
        let finding = |n| Finding::new(format!("{n}")).score(2).tag("t").detail("d".repeat(400));
        let verdict = (0..100).fold(Verdict::block(403), |verdict, n| verdict.finding(finding(n)));
        let mut event = Event::by_system(timestamp(std::time::SystemTime::now()), "a", ("b", "c"));
        tell_verdict(&mut event, &verdict);
        assert_eq!(event.details["score"], Fact::Number(200));
        assert_eq!(event.details["rules_left_out"], Fact::Number(68));
        assert_eq!(event.details["tags"], Fact::List(vec!["t".to_owned()]));
        assert!(event.to_wire().len() < 8 << 10);
    }
}
