//! The spans of one exchange, as `opentelemetry.proto.trace.v1.Span` messages.

use std::{fmt, time::Instant};

use fastrand::Rng;

use super::protobuf::{push_bytes, push_fixed32, push_fixed64, push_message, push_uint};
use crate::{
    exchange::{AgentCall, Exchange, Proxied, Timings},
    served::Served,
    trace::{TraceContext, span_id},
};

/// `ScopeSpans.spans`.
pub(super) const SPANS: u32 = 2;
/// `Span.attributes`.
const ATTRIBUTES: u32 = 9;
/// `Status.code`: error.
const ERROR: u64 = 2;
/// Set in `Span.flags`: whether the parent is remote is known; and it is.
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;
/// Bytes of one attribute's text at most; what is longer is cut.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Spans of agents that one exchange may have; further ones are left out, and the access log has them.
const AGENT_SPANS_MAX: usize = 128;
/// Spans of one exchange at most: the request, its phases, the upstream's part, the agents.
pub(crate) const EXCHANGE_SPANS_MAX: usize = 8 + AGENT_SPANS_MAX;

/// `Span.kind`.
#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// Who a span is and when it was.
struct Frame<'a> {
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: &'a str,
    kind: Kind,
    from: Instant,
    to: Instant,
}

/// Appends the spans of `exchange`, each as a field of `ScopeSpans`. How many there were.
pub(crate) fn push_spans(out: &mut Vec<u8>, random: &mut Rng, exchange: &Exchange<'_>) -> usize {
    let mut spans = Spans { out, random, exchange, count: 0 };
    spans.server();
    spans.upstream();
    spans.phases();
    spans.agents();
    spans.count
}

/// Appends the span of a request that was answered behind the edge.
pub(crate) fn push_served(out: &mut Vec<u8>, served: &Served<'_>) {
    let Served { trace, timings, method, path, route, status, facts } = *served;
    let frame = Frame {
        id: trace.span_id(),
        parent: trace.parent_id(),
        name: &format!("{} {route}", known_method(method).unwrap_or("HTTP")),
        kind: Kind::Server,
        from: timings.head_first_byte,
        to: timings.done,
    };
    push_message(out, SPANS, |out| {
        push_frame(out, &frame, trace, timings);
        push_method(out, method);
        push_lossy(out, "url.path", Some(path));
        push_string(out, "http.route", route);
        push_status(out, status);
        facts.iter().for_each(|(name, value)| push_string(out, name, value));
        if status.is_none_or(|status| status >= 500) {
            let status = status.map(|status| status.to_string());
            push_string(out, "error.type", status.as_deref().unwrap_or("_OTHER"));
            push_message(out, 15, |out| push_uint(out, 3, ERROR));
        }
    });
}

struct Spans<'a, 'e> {
    out: &'a mut Vec<u8>,
    random: &'a mut Rng,
    exchange: &'a Exchange<'e>,
    count: usize,
}

impl Spans<'_, '_> {
    fn server(&mut self) {
        let exchange = self.exchange;
        let trace = exchange.trace;
        let frame = Frame {
            id: trace.span_id(),
            parent: trace.parent_id(),
            name: &server_name(exchange),
            kind: Kind::Server,
            from: exchange.timings.accepted.unwrap_or(exchange.timings.head_first_byte),
            to: exchange.timings.done,
        };
        self.span(&frame, |out| push_server(out, exchange));
    }

    fn upstream(&mut self) {
        let Some(proxied) = self.exchange.upstream else { return };
        let Some(from) = self.exchange.timings.upstream_start else { return };
        let frame = Frame {
            id: self.exchange.trace.upstream_id(),
            parent: Some(self.exchange.trace.span_id()),
            name: known_method(self.exchange.method).unwrap_or("HTTP"),
            kind: Kind::Client,
            from,
            to: self.exchange.timings.done,
        };
        let exchange = self.exchange;
        self.span(&frame, |out| push_client(out, exchange, &proxied));
        let (start, connected) = (Some(from), exchange.timings.upstream_connected);
        self.phase("connect", frame.id, (start, connected));
        self.phase("first byte", frame.id, (connected, exchange.timings.upstream_first_byte));
    }

    fn phases(&mut self) {
        let Timings {
            accepted, tls_done, head_first_byte, head_done, routed, upstream_start, ..
        } = *self.exchange.timings;
        let server = self.exchange.trace.span_id();
        self.phase("tls", server, (accepted, tls_done));
        self.phase("head", server, (Some(head_first_byte), head_done));
        self.phase("routing", server, (head_done, routed));
        self.phase("queue", server, (self.exchange.timings.queued(), upstream_start));
    }

    fn agents(&mut self) {
        for call in self.exchange.agents.iter().take(AGENT_SPANS_MAX) {
            let frame = Frame {
                id: span_id(self.random),
                parent: Some(self.exchange.trace.span_id()),
                name: &format!("agent {} {}", call.agent.id(), call.event),
                kind: Kind::Client,
                from: call.began,
                to: call.began + call.took,
            };
            self.span(&frame, |out| push_agent(out, call));
        }
    }

    /// A child without attributes; none when the phase did not happen.
    fn phase(&mut self, name: &str, parent: [u8; 8], times: (Option<Instant>, Option<Instant>)) {
        let (Some(from), Some(to)) = times else { return };
        let id = span_id(self.random);
        let kind = Kind::Internal;
        self.span(&Frame { id, parent: Some(parent), name, kind, from, to }, |_| ());
    }

    fn span(&mut self, frame: &Frame<'_>, more: impl FnOnce(&mut Vec<u8>)) {
        let (trace, timings) = (self.exchange.trace, self.exchange.timings);
        push_message(self.out, SPANS, |out| {
            push_frame(out, frame, trace, timings);
            more(out);
        });
        self.count += 1;
    }
}

fn push_frame(out: &mut Vec<u8>, frame: &Frame<'_>, trace: &TraceContext, timings: &Timings) {
    push_bytes(out, 1, &trace.trace_id());
    push_bytes(out, 2, &frame.id);
    if let Some(state) = trace.state() {
        push_bytes(out, 3, state.as_bytes());
    }
    if let Some(parent) = frame.parent {
        push_bytes(out, 4, &parent);
    }
    push_text(out, 5, frame.name);
    push_uint(out, 6, frame.kind as u64);
    let start = timings.unix_nanos(frame.from);
    push_fixed64(out, 7, start);
    push_fixed64(out, 8, timings.unix_nanos(frame.to).max(start));
    let remote = matches!(frame.kind, Kind::Server) && frame.parent.is_some();
    let parent = PARENT_KNOWN | if remote { PARENT_REMOTE } else { 0 };
    push_fixed32(out, 16, u32::from(trace.flags()) | parent);
}

fn push_server(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    push_method(out, exchange.method);
    push_target(out, exchange);
    push_peers(out, exchange);
    push_string(out, "network.protocol.name", "http");
    push_string(out, "network.protocol.version", exchange.protocol.version());
    push_string(out, "selvedge.listener", exchange.listener.id());
    push_tls(out, exchange);
    if let Some(chosen) = &exchange.route {
        push_string(out, "http.route", chosen.route.id());
        push_string(out, "selvedge.route.why", &chosen.why.to_string());
    }
    if let Some(proxied) = &exchange.upstream {
        push_string(out, "selvedge.upstream", proxied.upstream.id());
    }
    push_number(out, "http.request.body.size", exchange.bytes_in);
    push_number(out, "http.response.body.size", exchange.bytes_out);
    push_status(out, exchange.status);
    if let Some(token) = exchange.refused_by {
        push_string(out, "selvedge.refused_by", token);
    }
    if let Some(agent) = exchange.blocked_by {
        push_string(out, "selvedge.blocked_by", agent.id());
    }
    if exchange.status.is_none_or(|status| status >= 500) {
        push_error(out, exchange, exchange.status);
    }
}

/// `url.*`, `server.*` and what else the client said.
fn push_target(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    push_string(out, "url.scheme", if exchange.tls.is_some() { "https" } else { "http" });
    push_lossy(out, "url.path", Some(exchange.path));
    push_lossy(out, "url.query", exchange.query);
    push_lossy(out, "user_agent.original", exchange.user_agent);
    let Some(host) = exchange.host else { return };
    let (name, port) = split_port(host);
    push_lossy(out, "server.address", Some(name));
    if let Some(port) = port {
        push_number(out, "server.port", u64::from(port));
    }
}

fn push_peers(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let peer = exchange.peer.unwrap_or(exchange.client);
    push_string(out, "client.address", &exchange.client.ip().to_string());
    push_number(out, "client.port", u64::from(exchange.client.port()));
    push_string(out, "network.peer.address", &peer.ip().to_string());
    push_number(out, "network.peer.port", u64::from(peer.port()));
}

fn push_tls(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let Some(tls) = &exchange.tls else { return };
    push_string(out, "tls.protocol.name", "tls");
    push_string(out, "tls.protocol.version", tls.version);
    push_string(out, "tls.cipher", tls.cipher);
    push_flag(out, "tls.resumed", tls.resumed);
    if let Some(name) = tls.sni {
        push_string(out, "tls.client.server_name", name);
    }
    if let Some(subject) = tls.client_cert_subject {
        push_string(out, "tls.client.subject", subject);
    }
}

fn push_client(out: &mut Vec<u8>, exchange: &Exchange<'_>, proxied: &Proxied<'_>) {
    push_method(out, exchange.method);
    push_string(out, "selvedge.upstream", proxied.upstream.id());
    if let Some(target) = proxied.target {
        push_target_address(out, target);
    }
    push_flag(out, "selvedge.connection.reused", proxied.reused);
    if proxied.attempts > 1 {
        push_number(out, "http.request.resend_count", u64::from(proxied.attempts - 1));
    }
    if let Some(reason) = proxied.retry_reason {
        push_string(out, "selvedge.retry_reason", reason);
    }
    push_status(out, proxied.status);
    if proxied.status.is_none_or(|status| status >= 400) {
        push_error(out, exchange, proxied.status);
    }
}

fn push_agent(out: &mut Vec<u8>, call: &AgentCall<'_>) {
    let AgentCall { agent, event, outcome, failed, began: _, took: _, passed_over } = call;
    push_string(out, "selvedge.agent", agent.id());
    push_string(out, "selvedge.agent.event", event);
    push_string(out, "selvedge.agent.outcome", outcome);
    if *passed_over {
        push_flag(out, "selvedge.agent.passed_over", true);
    }
    if *failed {
        push_string(out, "error.type", outcome);
        push_message(out, 15, |out| push_uint(out, 3, ERROR));
    }
}

fn push_target_address(out: &mut Vec<u8>, target: &dyn fmt::Display) {
    let target = target.to_string();
    let (name, port) = split_port(target.as_bytes());
    push_lossy(out, "server.address", Some(name));
    if let Some(port) = port {
        push_number(out, "server.port", u64::from(port));
    }
}

/// `error.type` is the status, else the token, else `_OTHER`.
fn push_error(out: &mut Vec<u8>, exchange: &Exchange<'_>, status: Option<u16>) {
    let status = status.map(|status| status.to_string());
    let kind = exchange.refused_by.or(status.as_deref()).unwrap_or("_OTHER");
    push_string(out, "error.type", kind);
    push_message(out, 15, |out| {
        if let Some(error) = exchange.error {
            push_text(out, 2, &error.to_string());
        }
        push_uint(out, 3, ERROR);
    });
}

fn push_method(out: &mut Vec<u8>, method: &[u8]) {
    match known_method(method) {
        Some(name) => push_string(out, "http.request.method", name),
        None => {
            push_string(out, "http.request.method", "_OTHER");
            push_lossy(out, "http.request.method_original", Some(method));
        }
    }
}

fn push_status(out: &mut Vec<u8>, status: Option<u16>) {
    if let Some(status) = status {
        push_number(out, "http.response.status_code", u64::from(status));
    }
}

/// `GET api`, or as much of it as is known. A method that nobody knows is `HTTP`.
fn server_name(exchange: &Exchange<'_>) -> String {
    let method = known_method(exchange.method).unwrap_or("HTTP");
    match &exchange.route {
        Some(chosen) => format!("{method} {}", chosen.route.id()),
        None => method.to_owned(),
    }
}

fn known_method(method: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|name| name.as_bytes() == method)
}

fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let colon = host.iter().rposition(|byte| *byte == b':');
    let parts = colon.map(|at| (&host[..at], &host[at + 1..]));
    let port = parts.and_then(|(_, port)| std::str::from_utf8(port).ok()?.parse().ok());
    match (parts, port) {
        (Some((name, _)), Some(port)) => (name, Some(port)),
        _ => (host, None),
    }
}

fn push_lossy(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        push_string(out, key, &String::from_utf8_lossy(value));
    }
}

fn push_string(out: &mut Vec<u8>, key: &str, value: &str) {
    push_attribute(out, ATTRIBUTES, key, |out| push_text(out, 1, value));
}

fn push_flag(out: &mut Vec<u8>, key: &str, value: bool) {
    // An `AnyValue` has one field of several: false is written too.
    push_attribute(out, ATTRIBUTES, key, |out| out.extend_from_slice(&[2 << 3, u8::from(value)]));
}

fn push_number(out: &mut Vec<u8>, key: &str, value: u64) {
    push_attribute(out, ATTRIBUTES, key, |out| match value {
        0 => out.extend_from_slice(&[3 << 3, 0]),
        _ => push_uint(out, 3, value),
    });
}

/// Appends a `KeyValue` whose `AnyValue` is written by `fill`.
fn push_attribute(out: &mut Vec<u8>, field: u32, key: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    push_message(out, field, |out| {
        push_bytes(out, 1, key.as_bytes());
        push_message(out, 2, fill);
    });
}

fn push_text(out: &mut Vec<u8>, field: u32, text: &str) {
    push_bytes(out, field, &text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
}

/// Appends a text attribute of a `Resource`.
pub(super) fn push_resource_attribute(out: &mut Vec<u8>, key: &str, value: &str) {
    push_attribute(out, 1, key, |out| push_text(out, 1, value));
}
