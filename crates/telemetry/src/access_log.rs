//! One JSON object for each exchange; fields in a fixed order, absent facts left out.

use crate::{
    exchange::{AgentCall, Exchange, Proxied, Routed, Timings, Tls},
    line::Line,
    timestamp::Timestamps,
};

/// Appends the line of `exchange` with its line feed.
pub(crate) fn push_line(out: &mut Vec<u8>, stamps: &mut Timestamps, exchange: &Exchange<'_>) {
    let mut line = Line::begin(out, stamps, exchange.timings.started);
    line.trace(exchange.trace);
    line.client(exchange);
    line.request(exchange);
    line.outcome(exchange);
    line.timings(exchange.timings);
    line.end();
}

impl Line<'_> {
    fn client(&mut self, exchange: &Exchange<'_>) {
        self.text("listener", exchange.listener.id().as_bytes());
        self.address("client", exchange.client);
        if let Some(peer) = exchange.peer {
            self.address("peer", peer);
        }
        self.text("protocol", exchange.protocol.name().as_bytes());
        self.flag("connection_reused", exchange.timings.accepted.is_none());
        if let Some(tls) = &exchange.tls {
            self.tls(tls);
        }
    }

    fn tls(&mut self, tls: &Tls<'_>) {
        self.text("tls_version", tls.version.as_bytes());
        self.text("tls_cipher", tls.cipher.as_bytes());
        self.maybe("tls_sni", tls.sni.map(str::as_bytes));
        self.flag("tls_resumed", tls.resumed);
        self.maybe("client_cert_subject", tls.client_cert_subject.map(str::as_bytes));
    }

    fn request(&mut self, exchange: &Exchange<'_>) {
        self.text("method", exchange.method);
        self.maybe("host", exchange.host);
        self.text("path", exchange.path);
        self.maybe("query", exchange.query);
        self.maybe("user_agent", exchange.user_agent);
        self.maybe("referer", exchange.referer);
    }

    fn outcome(&mut self, exchange: &Exchange<'_>) {
        if let Some(status) = exchange.status {
            self.number("status", u64::from(status));
        }
        if let Some(chosen) = &exchange.route {
            self.route(chosen);
        }
        if let Some(proxied) = &exchange.upstream {
            self.upstream(proxied);
        }
        self.maybe("refused_by", exchange.refused_by.map(str::as_bytes));
        if let Some(error) = exchange.error {
            self.display("error", error);
        }
        self.agents(exchange.agents);
        self.maybe("blocked_by", exchange.blocked_by.map(|agent| agent.id().as_bytes()));
        if exchange.decisions_left_out > 0 {
            self.number("decisions_left_out", exchange.decisions_left_out);
        }
        self.number("bytes_in", exchange.bytes_in);
        self.number("bytes_out", exchange.bytes_out);
    }

    fn route(&mut self, chosen: &Routed<'_>) {
        self.text("route", chosen.route.id().as_bytes());
        self.display("why", chosen.why);
        self.flag("route_cached", chosen.cached);
    }

    fn upstream(&mut self, proxied: &Proxied<'_>) {
        self.text("upstream", proxied.upstream.id().as_bytes());
        if let Some(target) = proxied.target {
            self.display("target", target);
        }
        self.number("attempts", u64::from(proxied.attempts));
        self.maybe("retry_reason", proxied.retry_reason.map(str::as_bytes));
        if let Some(status) = proxied.status {
            self.number("upstream_status", u64::from(status));
        }
        self.flag("upstream_reused", proxied.reused);
    }

    fn agents(&mut self, calls: &[AgentCall<'_>]) {
        if calls.is_empty() {
            return;
        }
        self.objects("agents", calls, usize::MAX, |one, call| {
            let AgentCall { agent, event, outcome, failed: _, began: _, took, passed_over } = call;
            one.text("id", agent.id().as_bytes());
            one.text("event", event.as_bytes());
            one.text("outcome", outcome.as_bytes());
            one.millis("ms", Some(*took));
            if *passed_over {
                one.flag("passed_over", true);
            }
        });
    }

    fn timings(&mut self, timings: &Timings) {
        self.millis("duration_ms", Some(timings.total()));
        self.millis("tls_ms", timings.tls());
        self.millis("head_ms", timings.head());
        self.millis("routing_ms", timings.routing());
        self.millis("agents_ms", timings.agents());
        self.millis("queue_ms", timings.queue());
        self.millis("connect_ms", timings.connect());
        self.millis("first_byte_ms", timings.first_byte());
        self.millis("upstream_ms", timings.upstream());
    }
}
