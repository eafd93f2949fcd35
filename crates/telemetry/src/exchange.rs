use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    metrics::{AgentLabel, ListenerLabel, RouteLabel, UpstreamLabel},
    trace::TraceContext,
};

/// One request and what became of it: all that a person needs at 3 a.m.
///
/// What the client sent is bytes, because a client may send any; what Selvedge says is text.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// Where the client came in.
    pub listener: &'a ListenerLabel,
    /// The client as it is believed to be, after PROXY protocol and trusted proxies.
    pub client: SocketAddr,
    /// The other end of the socket, when that is not the client.
    pub peer: Option<SocketAddr>,
    /// HTTP version spoken with the client.
    pub protocol: Protocol,
    /// TLS with the client. `None`: plain text.
    pub tls: Option<Tls<'a>>,
    /// Request method, as sent.
    pub method: &'a [u8],
    /// `Host` or `:authority`, as sent.
    pub host: Option<&'a [u8]>,
    /// Path, as sent.
    pub path: &'a [u8],
    /// Query without `?`.
    pub query: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The route that was chosen.
    pub route: Option<Routed<'a>>,
    /// What was asked of an upstream. `None`: none was tried.
    pub upstream: Option<Proxied<'a>>,
    /// Final status sent to the client. `None`: it left before any was.
    pub status: Option<u16>,
    /// Who refused, as a stable token: `head-gate/duplicate-host`, `limit/body`,
    /// `upstream/connect-refused`. `None`: nobody did.
    pub refused_by: Option<&'a str>,
    /// What went wrong, for the log alone.
    pub error: Option<&'a dyn fmt::Display>,
    /// Questions to agents, in the order in which they ended.
    pub agents: &'a [AgentCall<'a>],
    /// The agent that refused. `None`: none did.
    pub blocked_by: Option<&'a AgentLabel>,
    /// What agents decided or found: a line of the decision log for each.
    pub decisions: &'a [Decision<'a>],
    /// Further ones of which no line is written, for there were too many.
    pub decisions_left_out: u64,
    /// Request body bytes taken from the client.
    pub bytes_in: u64,
    /// Response body bytes given to the client.
    pub bytes_out: u64,
    /// The trace it belongs to.
    pub trace: &'a TraceContext,
    /// When what happened.
    pub timings: &'a Timings,
}

impl<'a> Exchange<'a> {
    /// An exchange of which nothing more is known yet; set the other fields as they are learnt.
    pub fn new(
        listener: &'a ListenerLabel,
        client: SocketAddr,
        trace: &'a TraceContext,
        timings: &'a Timings,
    ) -> Self {
        Self {
            listener,
            client,
            peer: None,
            protocol: Protocol::Http11,
            tls: None,
            method: b"",
            host: None,
            path: b"",
            query: None,
            user_agent: None,
            referer: None,
            route: None,
            upstream: None,
            status: None,
            refused_by: None,
            error: None,
            agents: &[],
            blocked_by: None,
            decisions: &[],
            decisions_left_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            trace,
            timings,
        }
    }
}

/// HTTP version spoken with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Http10, Self::Http11, Self::Http2];

    /// `HTTP/1.1` and the like.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }

    pub(crate) fn version(self) -> &'static str {
        &self.name()["HTTP/".len()..]
    }
}

/// TLS between a client and a listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tls<'a> {
    /// `1.2` or `1.3`.
    pub version: &'a str,
    /// Cipher suite by its IANA name.
    pub cipher: &'a str,
    /// Name the client asked for.
    pub sni: Option<&'a str>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Subject of the client's certificate.
    pub client_cert_subject: Option<&'a str>,
}

/// A route and why it was chosen.
#[derive(Clone, Copy)]
pub struct Routed<'a> {
    /// The route.
    pub route: &'a RouteLabel,
    /// Whether the route cache knew it.
    pub cached: bool,
    /// Why, such as `path-prefix /api, priority 0`. Printed only when the line is written.
    pub why: &'a dyn fmt::Display,
}

/// What was asked of an upstream.
#[derive(Clone, Copy)]
pub struct Proxied<'a> {
    /// The upstream.
    pub upstream: &'a UpstreamLabel,
    /// Address of the last target tried. `None`: no target was to be had.
    pub target: Option<&'a dyn fmt::Display>,
    /// Attempts in all; 0 when no target was to be had.
    pub attempts: u32,
    /// Why the last retry was made.
    pub retry_reason: Option<&'a str>,
    /// Status the target answered with. `None`: none came.
    pub status: Option<u16>,
    /// Whether a pooled connection was used.
    pub reused: bool,
}

/// One question to one agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentCall<'a> {
    /// The agent.
    pub agent: &'a AgentLabel,
    /// What it was asked about, such as `request_headers`.
    pub event: &'a str,
    /// How it ended, as a stable token: `allow`, `block`, `timeout`.
    pub outcome: &'a str,
    /// Whether it ended without an answer that was needed.
    pub failed: bool,
    /// When it was asked.
    pub began: Instant,
    /// How long that took, waits included.
    pub took: Duration,
    /// The exchange went on without the answer.
    pub passed_over: bool,
}

/// What an agent decided of an exchange, or found in it.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The agent.
    pub agent: &'a AgentLabel,
    /// `allow`, `block`, `redirect` or `challenge`.
    pub decision: &'a str,
    /// The status that it answers with, where it does.
    pub status: Option<u16>,
    /// What it found.
    pub findings: &'a [Finding<'a>],
    /// Why, in its own words; may be empty.
    pub reason: &'a str,
}

/// One thing that an agent found.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// The id of the rule.
    pub rule: &'a str,
    /// How much it weighs.
    pub score: u16,
    /// What it is about.
    pub tags: &'a [String],
    /// What was found and where; may be empty.
    pub detail: &'a str,
}

/// When what happened in one exchange.
///
/// The root span begins at [`Timings::accepted`] for the first request of a connection and at
/// [`Timings::head_first_byte`] for every other; durations count from the first byte.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Wall clock at `head_first_byte`.
    pub started: SystemTime,
    /// The connection was accepted. Only for the first request of a connection.
    pub accepted: Option<Instant>,
    /// The TLS handshake ended. Only for the first request of a connection.
    pub tls_done: Option<Instant>,
    /// The first byte of the request came.
    pub head_first_byte: Instant,
    /// The request head was whole.
    pub head_done: Option<Instant>,
    /// The route was chosen.
    pub routed: Option<Instant>,
    /// The agents of the route had answered, or one had refused. Only where some were asked.
    pub advised: Option<Instant>,
    /// Admitted and with a pool slot in hand: up to here from `advised`, or else from `routed`, the
    /// request queued.
    pub upstream_start: Option<Instant>,
    /// A connection to the target was ready. The same as the start for a pooled one.
    pub upstream_connected: Option<Instant>,
    /// The first byte of the response head came.
    pub upstream_first_byte: Option<Instant>,
    /// The last byte went to the client, or the exchange was given up.
    pub done: Instant,
}

impl Timings {
    /// A request whose first byte came now.
    pub fn new(first_byte: Instant, started: SystemTime) -> Self {
        Self {
            started,
            accepted: None,
            tls_done: None,
            head_first_byte: first_byte,
            head_done: None,
            routed: None,
            advised: None,
            upstream_start: None,
            upstream_connected: None,
            upstream_first_byte: None,
            done: first_byte,
        }
    }

    /// First byte to end.
    pub fn total(&self) -> Duration {
        self.done.saturating_duration_since(self.head_first_byte)
    }

    /// TLS handshake.
    pub fn tls(&self) -> Option<Duration> {
        between(self.accepted, self.tls_done)
    }

    /// Reading of the request head.
    pub fn head(&self) -> Option<Duration> {
        between(Some(self.head_first_byte), self.head_done)
    }

    /// Choice of the route.
    pub fn routing(&self) -> Option<Duration> {
        between(self.head_done, self.routed)
    }

    /// Questions to agents before the request went on.
    pub fn agents(&self) -> Option<Duration> {
        between(self.routed, self.advised)
    }

    /// Wait for admission and for a pool slot.
    pub fn queue(&self) -> Option<Duration> {
        between(self.queued(), self.upstream_start)
    }

    /// When the request was ready for the upstream.
    pub(crate) fn queued(&self) -> Option<Instant> {
        self.advised.or(self.routed)
    }

    /// Connection to the target.
    pub fn connect(&self) -> Option<Duration> {
        between(self.upstream_start, self.upstream_connected)
    }

    /// Connected to first byte of the response head.
    pub fn first_byte(&self) -> Option<Duration> {
        between(self.upstream_connected, self.upstream_first_byte)
    }

    /// Everything between the upstream's start and the end.
    pub fn upstream(&self) -> Option<Duration> {
        between(self.upstream_start, Some(self.done))
    }

    /// Nanoseconds since the Unix epoch at `instant`.
    pub(crate) fn unix_nanos(&self, instant: Instant) -> u64 {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = match instant.checked_duration_since(self.head_first_byte) {
            Some(after) => started.saturating_add(after),
            None => started.saturating_sub(self.head_first_byte.duration_since(instant)),
        };
        u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn between(from: Option<Instant>, to: Option<Instant>) -> Option<Duration> {
    Some(to?.saturating_duration_since(from?))
}
