//! One JSON object for each exchange; fields in a fixed order, absent facts left out.

use std::{fmt, io::Write, net::SocketAddr, time::Duration};

use crate::{
    exchange::{Exchange, Proxied, Routed, Timings, Tls},
    json,
    timestamp::Timestamps,
    trace::{TraceContext, push_hex},
};

/// Appends the line of `exchange` with its line feed.
pub(crate) fn push_line(out: &mut Vec<u8>, stamps: &mut Timestamps, exchange: &Exchange<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    stamps.push(out, exchange.timings.started);
    out.push(b'"');
    let mut line = Line { out };
    line.trace(exchange.trace);
    line.client(exchange);
    line.request(exchange);
    line.outcome(exchange);
    line.timings(exchange.timings);
    out.extend_from_slice(b"}\n");
}

/// A JSON object after its first field.
struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn trace(&mut self, trace: &TraceContext) {
        self.hex::<32>("trace_id", &trace.trace_id());
        // Without export there is no span of ours: the caller's goes on.
        if trace.parent_id() != Some(trace.span_id()) {
            self.hex::<16>("span_id", &trace.span_id());
        }
        if let Some(parent) = trace.parent_id() {
            self.hex::<16>("parent_id", &parent);
        }
        self.flag("sampled", trace.is_sampled());
    }

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

    fn timings(&mut self, timings: &Timings) {
        self.millis("duration_ms", Some(timings.total()));
        self.millis("tls_ms", timings.tls());
        self.millis("head_ms", timings.head());
        self.millis("routing_ms", timings.routing());
        self.millis("queue_ms", timings.queue());
        self.millis("connect_ms", timings.connect());
        self.millis("first_byte_ms", timings.first_byte());
        self.millis("upstream_ms", timings.upstream());
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        json::push_string(self.out, value);
    }

    fn maybe(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn display(&mut self, key: &str, value: &dyn fmt::Display) {
        self.key(key);
        json::push_display(self.out, value);
    }

    fn address(&mut self, key: &str, address: SocketAddr) {
        self.key(key);
        write!(self.out, "\"{address}\"").expect("writing to memory does not fail");
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Milliseconds with three decimals, so that no digit of a microsecond is lost or made up.
    fn millis(&mut self, key: &str, value: Option<Duration>) {
        let Some(value) = value else { return };
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(key, micros / 1_000);
        let rest = micros % 1_000;
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        self.out.push(b'.');
        self.out.extend_from_slice(&digits);
    }

    fn hex<const DIGITS: usize>(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        let mut digits = [0; DIGITS];
        push_hex(&mut digits, bytes);
        self.out.push(b'"');
        self.out.extend_from_slice(&digits);
        self.out.push(b'"');
    }
}
