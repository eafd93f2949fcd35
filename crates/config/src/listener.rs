//! `listener "id" { … }`.

use std::{net::SocketAddr, ops::RangeInclusive, sync::Arc, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    Cidr, Code, Http2Limits, Id, Listener, ListenerTimeouts,
    address::{cidr, id, socket},
    cursor::Cursor,
    listener_tls::TlsPart,
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
};

/// Timeouts: from a millisecond to a week.
pub(crate) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(7 * 86_400);

/// A listener as written.
pub(crate) struct ListenerPart {
    pub(crate) id: Option<Spanned<Id>>,
    pub(crate) address: Option<Spanned<SocketAddr>>,
    protocols: Option<Spanned<Protocols>>,
    proxy_protocol: Vec<Spanned<Cidr>>,
    trusted_proxies: Vec<Spanned<Cidr>>,
    timeouts: TimeoutsPart,
    http2: Option<Spanned<Http2Part>>,
    tls: Option<TlsPart>,
}

#[derive(Clone, Copy)]
struct Protocols {
    http1: bool,
    http2: bool,
}

#[derive(Default)]
struct TimeoutsPart {
    handshake: Option<Spanned<Duration>>,
    head: Option<Spanned<Duration>>,
    body: Option<Spanned<Duration>>,
    write: Option<Spanned<Duration>>,
    idle: Option<Spanned<Duration>>,
}

struct Http2Part {
    streams: Option<Spanned<u32>>,
    pending_resets: Option<Spanned<usize>>,
    stream_window: Option<Spanned<ByteSize>>,
    connection_window: Option<Spanned<ByteSize>>,
}

impl ListenerPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            address: cursor.required("address", "address \"127.0.0.1:8080\"", |v| v.parse(socket)),
            protocols: cursor.child("protocols", read_protocols).flatten(),
            proxy_protocol: read_proxy_protocol(cursor),
            trusted_proxies: cursor.child("trusted-proxies", read_networks).unwrap_or_default(),
            timeouts: cursor.child("timeouts", TimeoutsPart::read).unwrap_or_default(),
            http2: cursor.child("http2", |c| Spanned::new(Http2Part::read(c), c.span())),
            tls: cursor.child("tls", TlsPart::read),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<Arc<Listener>> {
        let Self { id, address, protocols, proxy_protocol, trusted_proxies, timeouts, http2, tls } =
            self;
        let has_tls = tls.is_some();
        let speaks = match &protocols {
            Some(written) => written.value,
            None => Protocols { http1: true, http2: has_tls },
        };
        warn_of_wide_trust(reading, &trusted_proxies);
        warn_of_prior_knowledge(reading, protocols.as_ref(), has_tls);
        timeouts.check(reading, has_tls || !proxy_protocol.is_empty());
        if let Some(http2) = http2.as_ref().filter(|_| !speaks.http2) {
            refuse_idle_http2(reading, http2.span, has_tls);
        }
        let tls = tls.map(|part| part.settle(reading));
        let id = id?.value;
        let scope = format!("listener {id:?}");
        Some(Arc::new(Listener {
            address: address?.value,
            http1: speaks.http1,
            http2: speaks.http2,
            tls: sound(tls)?,
            proxy_protocol: values(proxy_protocol),
            trusted_proxies: values(trusted_proxies),
            timeouts: timeouts.settle(reading, &scope),
            http2_limits: Http2Part::settle(http2.map(|http2| http2.value), reading, &scope),
            id,
        }))
    }
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|spanned| spanned.value).collect()
}

fn read_protocols(cursor: &mut Cursor<'_>) -> Option<Spanned<Protocols>> {
    let choices = [("http/1.1", false), ("h2", true)];
    let arguments = cursor.arguments("\"http/1.1\" or \"h2\"");
    let words: Vec<_> = arguments.into_iter().filter_map(|value| value.word(&choices)).collect();
    for (index, word) in words.iter().enumerate() {
        if words[..index].iter().any(|before| before.value == word.value) {
            let problem = Problem::new(Code::Repeated, "this protocol is there already");
            cursor.reading().error(word.span, problem.help("remove it"));
        }
    }
    let protocols = Protocols {
        http1: words.iter().any(|word| !word.value),
        http2: words.iter().any(|word| word.value),
    };
    words.first().map(|first| Spanned::new(protocols, first.span))
}

fn read_proxy_protocol(cursor: &mut Cursor<'_>) -> Vec<Spanned<Cidr>> {
    let read = |cursor: &mut Cursor<'_>| {
        if !cursor.has("from") {
            cursor.error(
                Problem::new(Code::Missing, "`proxy-protocol` does not say whom it trusts")
                    .help("add `from \"10.0.0.0/8\"` with the balancers' network"),
            );
        }
        cursor.child("from", read_networks).unwrap_or_default()
    };
    cursor.child("proxy-protocol", read).unwrap_or_default()
}

fn read_networks(cursor: &mut Cursor<'_>) -> Vec<Spanned<Cidr>> {
    let arguments = cursor.arguments("networks such as \"10.0.0.0/8\"");
    arguments.into_iter().filter_map(|value| value.parse(cidr)).collect()
}

fn warn_of_wide_trust(reading: &Reading<'_>, trusted: &[Spanned<Cidr>]) {
    for network in trusted.iter().filter(|network| network.value.prefix == 0) {
        let problem = Problem::new(
            Code::WideTrust,
            "every client may say what its address is: all networks are trusted proxies",
        );
        let help = "name the networks of your own proxies only";
        reading.warning(Some(network.span), problem.help(help));
    }
}

fn warn_of_prior_knowledge(
    reading: &Reading<'_>,
    protocols: Option<&Spanned<Protocols>>,
    has_tls: bool,
) {
    let Some(written) = protocols.filter(|p| !has_tls && !p.value.http1) else { return };
    let problem = Problem::new(
        Code::PriorKnowledge,
        "without TLS, browsers do not speak HTTP/2: only clients with prior knowledge get through",
    );
    reading.warning(Some(written.span), problem.help("add \"http/1.1\" or `tls { … }`"));
}

fn refuse_idle_http2(reading: &Reading<'_>, span: Span, has_tls: bool) {
    let remedy = match has_tls {
        true => "add \"h2\" to `protocols` or remove the block",
        false => {
            "add `protocols \"http/1.1\" \"h2\"` (without TLS it is off unless written) or remove the block"
        }
    };
    let message = "`http2` has no effect: this listener does not speak HTTP/2";
    reading.error(span, Problem::new(Code::Conflict, message).help(remedy));
}

impl TimeoutsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            handshake: cursor.setting("handshake", |value| value.duration(TIMEOUT)),
            head: cursor.setting("head", |value| value.duration(TIMEOUT)),
            body: cursor.setting("body", |value| value.duration(TIMEOUT)),
            write: cursor.setting("write", |value| value.duration(TIMEOUT)),
            idle: cursor.setting("idle", |value| value.duration(TIMEOUT)),
        }
    }

    /// The handshake is what comes before HTTP: TLS, or a PROXY protocol header.
    fn check(&self, reading: &Reading<'_>, has_handshake: bool) {
        let Some(handshake) = self.handshake.as_ref().filter(|_| !has_handshake) else { return };
        let message = "`handshake` has no effect: this listener has no `tls`";
        reading.error(handshake.span, Problem::new(Code::Conflict, message).help("remove it"));
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> ListenerTimeouts {
        let Self { handshake, head, body, write, idle } = self;
        let settle =
            |name, written, secs| reading.settle(scope, name, written, Duration::from_secs(secs));
        ListenerTimeouts {
            handshake: settle("timeouts handshake", handshake, 10),
            head: settle("timeouts head", head, 10),
            body: settle("timeouts body", body, 30),
            write: settle("timeouts write", write, 30),
            idle: settle("timeouts idle", idle, 75),
        }
    }
}

impl Http2Part {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let window = ByteSize::kib(16)..=ByteSize((1 << 31) - 1);
        Self {
            streams: cursor.setting("streams", |value| value.integer(1..=100_000)),
            pending_resets: cursor.setting("pending-resets", |value| value.count(1..=10_000)),
            stream_window: cursor.setting("stream-window", |value| value.size(window.clone())),
            connection_window: cursor.setting("connection-window", |value| value.size(window)),
        }
    }

    fn settle(part: Option<Self>, reading: &Reading<'_>, scope: &str) -> Http2Limits {
        let none = Self {
            streams: None,
            pending_resets: None,
            stream_window: None,
            connection_window: None,
        };
        let Self { streams, pending_resets, stream_window, connection_window } =
            part.unwrap_or(none);
        let (kib_256, mib_1) = (ByteSize::kib(256), ByteSize::mib(1));
        Http2Limits {
            streams: reading.settle(scope, "http2 streams", streams, 128),
            pending_resets: reading.settle(scope, "http2 pending-resets", pending_resets, 20),
            stream_window: reading.settle(scope, "http2 stream-window", stream_window, kib_256),
            connection_window: reading.settle(
                scope,
                "http2 connection-window",
                connection_window,
                mib_1,
            ),
        }
    }
}
