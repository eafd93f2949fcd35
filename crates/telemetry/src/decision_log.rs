//! One JSON object for each thing that an agent decided or found: who, by which rule, and why.
//!
//! A line of its own, so that nothing an agent says makes the line of the exchange longer.

use crate::{
    exchange::{Decision, Exchange, Finding},
    line::Line,
    timestamp::Timestamps,
};

/// Bytes told of a path and of a reason.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// Bytes told of what was found.
const DETAIL_BYTES_MAX: usize = 512;
/// Bytes told of an id, a tag, a host.
const NAME_BYTES_MAX: usize = 128;
/// Tags told of one finding.
const TAGS_MAX: usize = 16;
/// Beyond this many bytes of them, findings are told by their rule and score alone: that a rule matched is never left out
/// for what was told of others.
const WHOLE_FINDINGS_BYTES_MAX: usize = 8 << 10;
/// No finding is begun beyond this many bytes of them.
const FINDINGS_BYTES_MAX: usize = 12 << 10;

/// Appends the line of `decision` with its line feed: at most 48 KiB, and nearly always less than one.
pub(crate) fn push_line(
    out: &mut Vec<u8>,
    stamps: &mut Timestamps,
    exchange: &Exchange<'_>,
    decision: &Decision<'_>,
) {
    let mut line = Line::begin(out, stamps, exchange.timings.started);
    line.text("kind", b"decision");
    line.trace(exchange.trace);
    line.asked_about(exchange);
    line.decided(decision);
    line.end();
}

impl Line<'_> {
    fn asked_about(&mut self, exchange: &Exchange<'_>) {
        self.text("listener", exchange.listener.id().as_bytes());
        self.address("client", exchange.client);
        self.cut("method", exchange.method, NAME_BYTES_MAX);
        if let Some(host) = exchange.host {
            self.cut("host", host, NAME_BYTES_MAX);
        }
        self.cut("path", exchange.path, TEXT_BYTES_MAX);
        if let Some(chosen) = &exchange.route {
            self.text("route", chosen.route.id().as_bytes());
        }
    }

    fn decided(&mut self, decision: &Decision<'_>) {
        let Decision { agent, decision, status, findings, reason } = decision;
        self.text("agent", agent.id().as_bytes());
        self.text("decision", decision.as_bytes());
        if let Some(status) = status {
            self.number("status", u64::from(*status));
        }
        if !reason.is_empty() {
            self.cut("reason", reason.as_bytes(), TEXT_BYTES_MAX);
        }
        if findings.is_empty() {
            return;
        }
        let (start, mut shortened) = (self.len(), 0);
        let told = self.objects("findings", findings, FINDINGS_BYTES_MAX, |one, finding| {
            if one.len() - start < WHOLE_FINDINGS_BYTES_MAX {
                one.finding(finding);
            } else {
                one.rule(finding);
                shortened += 1;
            }
        });
        if shortened > 0 {
            self.number("findings_shortened", shortened);
        }
        if told < findings.len() {
            self.number("findings_left_out", (findings.len() - told) as u64);
        }
    }

    fn rule(&mut self, finding: &Finding<'_>) {
        self.cut("rule", finding.rule.as_bytes(), NAME_BYTES_MAX);
        self.number("score", u64::from(finding.score));
    }

    fn finding(&mut self, finding: &Finding<'_>) {
        self.rule(finding);
        let Finding { rule: _, score: _, tags, detail } = finding;
        if !tags.is_empty() {
            let tags = tags.iter().take(TAGS_MAX).map(String::as_str);
            self.texts("tags", tags, NAME_BYTES_MAX);
        }
        if !detail.is_empty() {
            self.cut("detail", detail.as_bytes(), DETAIL_BYTES_MAX);
        }
    }
}
