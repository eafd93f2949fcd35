//! `upstream "id" { … }`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    Balance, Code, HashKey, Id, Pool, Retry, Sticky, Target, TargetAddress, Upstream,
    UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
    address::{id, server_name, target},
    breaker::BreakerPart,
    cursor::{Cursor, Switch},
    http::{cookie_name, header_name},
    listener::TIMEOUT,
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    upstream_health::{EjectionPart, HealthPart},
    value::{Checked, pick},
};

/// An upstream as written.
pub(crate) struct UpstreamPart {
    pub(crate) id: Option<Spanned<Id>>,
    span: Span,
    targets: Vec<Option<Spanned<Target>>>,
    protocol: Option<Spanned<UpstreamProtocol>>,
    tls: Option<TlsPart>,
    balance: Option<Option<Balance>>,
    sticky: Option<Option<Sticky>>,
    health: Option<HealthPart>,
    ejection: Option<Switch<EjectionPart>>,
    retry: RetryPart,
    timeouts: TimeoutsPart,
    breaker: Option<BreakerPart>,
    pool: PoolPart,
}

struct TlsPart {
    span: Span,
    ca: Option<Spanned<PathBuf>>,
    server_name: Option<Spanned<String>>,
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    is_pair: bool,
    verify: Option<Spanned<bool>>,
}

#[derive(Default)]
struct RetryPart {
    attempts: Option<Spanned<u32>>,
    budget_percent: Option<Spanned<u8>>,
    statuses: Vec<u16>,
    per_attempt: Option<Spanned<Duration>>,
}

#[derive(Default)]
struct TimeoutsPart {
    connect: Option<Spanned<Duration>>,
    first_byte: Option<Spanned<Duration>>,
    idle: Option<Spanned<Duration>>,
    whole: Option<Spanned<Duration>>,
}

#[derive(Default)]
struct PoolPart {
    connections: Option<Spanned<usize>>,
    idle: Option<Spanned<usize>>,
    idle_timeout: Option<Spanned<Duration>>,
}

impl UpstreamPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let protocols = [("http/1.1", UpstreamProtocol::Http1), ("h2", UpstreamProtocol::Http2)];
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            span: cursor.span(),
            targets: cursor.children(&["target"], read_target),
            protocol: cursor.setting("protocol", |value| value.word(&protocols)),
            tls: cursor.child("tls", TlsPart::read),
            balance: cursor.child("balance", read_balance),
            sticky: cursor.child("sticky", read_sticky),
            health: cursor.child("health", HealthPart::read),
            ejection: cursor.switch("ejection", EjectionPart::read),
            retry: cursor.child("retry", RetryPart::read).unwrap_or_default(),
            timeouts: cursor.child("timeouts", TimeoutsPart::read).unwrap_or_default(),
            breaker: cursor.child("circuit-breaker", BreakerPart::read),
            pool: cursor.child("pool", PoolPart::read).unwrap_or_default(),
        }
    }

    /// `connections_max` is the bound of the process, which a pool cannot exceed.
    pub(crate) fn settle(
        self,
        reading: &Reading<'_>,
        connections_max: usize,
    ) -> Option<Arc<Upstream>> {
        let Self {
            id,
            span,
            targets,
            protocol,
            tls,
            balance,
            sticky,
            health,
            ejection,
            retry,
            timeouts,
            breaker,
            pool,
        } = self;
        let id = id.map(|id| id.value);
        let name = id.as_deref().unwrap_or_default();
        let scope = format!("upstream {name:?}");
        check_targets(reading, span, (name, &targets));
        if health.is_none() {
            warn_of_no_health_check(reading, span, name);
        }
        // Everything is checked before anything that is missing ends it.
        let tls = tls.map(|part| part.settle(reading, &targets));
        let health = health.map(|part| part.settle(reading, &scope));
        let ejection = match ejection {
            Some(Switch::Off) => None,
            Some(Switch::On(part)) => Some(part.settle(reading, &scope)),
            None => Some(EjectionPart::default().settle(reading, &scope)),
        };
        let pool = pool.settle(reading, &scope, connections_max);
        let timeouts = timeouts.settle(reading, &scope);
        let targets = targets.into_iter().map(|target| target.map(|target| target.value));
        Some(Arc::new(Upstream {
            targets: targets.collect::<Option<_>>()?,
            protocol: protocol.map_or(UpstreamProtocol::Http1, |protocol| protocol.value),
            tls: sound(tls)?,
            balance: balance.unwrap_or(Some(Balance::PowerOfTwo))?,
            sticky: sound(sticky)?,
            health: sound(health)?,
            ejection,
            retry: retry.settle(reading, &scope),
            timeouts,
            breaker: breaker.map(|part| part.settle(reading, &scope, Duration::from_secs(30))),
            pool,
            id: id?,
        }))
    }
}

fn read_target(cursor: &mut Cursor<'_>) -> Option<Spanned<Target>> {
    let address = cursor.argument("an address such as \"127.0.0.1:9000\"");
    let weight = cursor.property("weight").map(|value| value.integer(1..=1_000_u32));
    let address = address.and_then(|v| v.parse(|text| target(text, |path| v.resolve(path))));
    let Spanned { value: address, span } = address?;
    let weight = sound(weight)?.map_or(1, |weight| weight.value);
    Some(Spanned::new(Target { address, weight }, span))
}

fn check_targets(
    reading: &Reading<'_>,
    span: Span,
    (id, targets): (&str, &[Option<Spanned<Target>>]),
) {
    if targets.is_empty() {
        let problem = Problem::new(Code::Missing, format!("upstream `{id}` has no target"));
        reading.error(span, problem.help("add `target \"127.0.0.1:9000\"`"));
    }
    let sound: Vec<_> = targets.iter().flatten().collect();
    for (index, target) in sound.iter().enumerate() {
        let is_same = |other: &&&Spanned<Target>| other.value.address == target.value.address;
        if let Some(first) = sound[..index].iter().find(is_same) {
            let problem = Problem::new(Code::DuplicateAddress, "this target is there already")
                .note("first written here", first.span)
                .help("remove it; `weight` gives one target more traffic");
            reading.error(target.span, problem);
        }
    }
}

fn warn_of_no_health_check(reading: &Reading<'_>, span: Span, id: &str) {
    let message = format!("upstream `{id}` has no health check: its targets are presumed healthy");
    let help = "add `health { http \"/healthz\" }` or `health { tcp }`";
    reading.warning(Some(span), Problem::new(Code::NoHealthCheck, message).help(help));
}

impl TlsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let pair = (cursor.has("cert"), cursor.has("key"));
        if pair.0 != pair.1 {
            cursor.error(
                Problem::new(Code::Missing, "a client certificate needs both `cert` and `key`")
                    .help("add the one that is missing"),
            );
        }
        Self {
            span: cursor.span(),
            ca: cursor.setting("ca", |value| value.file()),
            server_name: cursor.setting("server-name", |value| value.parse(server_name)),
            cert: cursor.setting("cert", |value| value.file()),
            key: cursor.setting("key", |value| value.file()),
            is_pair: pair.0 && pair.1,
            verify: cursor.setting("verify", |value| value.boolean()),
        }
    }

    fn settle(
        self,
        reading: &Reading<'_>,
        targets: &[Option<Spanned<Target>>],
    ) -> Option<UpstreamTls> {
        let Self { span, ca, server_name, cert, key, is_pair, verify } = self;
        if let Some(verify) = verify.as_ref().filter(|verify| !verify.value) {
            report_unverified(reading, verify.span, ca.as_ref());
        }
        let is_nameless =
            |target: &Spanned<Target>| matches!(target.value.address, TargetAddress::Unix(_));
        if server_name.is_none() && targets.iter().flatten().any(is_nameless) {
            let message = "a unix socket has no name to verify and send";
            let problem = Problem::new(Code::Conflict, message);
            reading.error(span, problem.help("add `server-name \"…\"` or remove `tls`"));
        }
        let identity = if is_pair { Some((cert?.value, key?.value)) } else { None };
        Some(UpstreamTls {
            ca: ca.map(|ca| ca.value),
            server_name: server_name.map(|name| name.value),
            identity,
            verify: verify.is_none_or(|verify| verify.value),
        })
    }
}

fn report_unverified(reading: &Reading<'_>, span: Span, ca: Option<&Spanned<PathBuf>>) {
    match ca {
        Some(ca) => {
            let message = "`ca` has no effect when nothing is verified";
            let problem = Problem::new(Code::Conflict, message)
                .note("verification is switched off here", span)
                .help("remove `verify #false`");
            reading.error(ca.span, problem);
        }
        None => {
            let message = "anybody on the way can pose as this upstream: nothing is verified";
            let help = "for development only; in production, name the issuer: `ca \"ca.pem\"`";
            reading.warning(Some(span), Problem::new(Code::VerifyOff, message).help(help));
        }
    }
}

fn read_balance(cursor: &mut Cursor<'_>) -> Option<Balance> {
    let choices = [
        ("round-robin", Some(Balance::RoundRobin)),
        ("least-connections", Some(Balance::LeastConnections)),
        ("power-of-two", Some(Balance::PowerOfTwo)),
        ("peak-ewma", Some(Balance::PeakEwma)),
        ("consistent-hash", None),
    ];
    let policy = cursor.argument("a policy such as \"round-robin\"");
    let policy = policy.and_then(|value| value.word(&choices));
    let key = cursor.property("key");
    match (policy?.value, key) {
        (Some(balance), None) => Some(balance),
        (Some(_), Some(key)) => {
            key.literal(|_| -> Checked<()> {
                Err(Problem::new(Code::Conflict, "only \"consistent-hash\" takes a key")
                    .help("remove it, or write `balance \"consistent-hash\" key=…`"))
            });
            None
        }
        (None, Some(key)) => Some(Balance::ConsistentHash(key.literal(hash_key)?.value)),
        (None, None) => {
            cursor.error(Problem::new(Code::Missing, "\"consistent-hash\" needs a key").help(
                "such as `key=\"client-ip\"`, `key=\"header:X-User\"` or `key=\"cookie:id\"`",
            ));
            None
        }
    }
}

fn hash_key(text: &str) -> Checked<HashKey> {
    match text.split_once(':') {
        Some(("header", name)) => header_name(name).map(HashKey::Header),
        Some(("cookie", name)) => cookie_name(name).map(HashKey::Cookie),
        _ => pick(
            text,
            &[("client-ip", HashKey::ClientIp), ("path", HashKey::Path), ("uri", HashKey::Uri)],
        )
        .map_err(|problem| {
            problem.help("it is `client-ip`, `path`, `uri`, `header:NAME` or `cookie:NAME`")
        }),
    }
}

fn read_sticky(cursor: &mut Cursor<'_>) -> Option<Sticky> {
    let cookie = cursor.property("cookie");
    if cookie.is_none() {
        let problem = Problem::new(Code::Missing, "`sticky` needs the name of its cookie");
        cursor.error(problem.help("write `sticky cookie=\"server\"`"));
    }
    let cookie = cookie.and_then(|value| value.parse(cookie_name));
    let life = Duration::from_secs(1)..=Duration::from_secs(400 * 86_400);
    let ttl = cursor.property("ttl").map(|value| value.duration(life));
    Some(Sticky { ttl: sound(ttl)?.map(|ttl| ttl.value), cookie: cookie?.value })
}

impl RetryPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            attempts: cursor.setting("attempts", |value| value.integer(0..=10)),
            budget_percent: cursor.setting("budget-percent", |value| value.integer(0..=100)),
            statuses: cursor.child("statuses", read_statuses).unwrap_or_default(),
            per_attempt: cursor.setting("per-attempt", |value| value.duration(TIMEOUT)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Retry {
        let Self { attempts, budget_percent, statuses, per_attempt } = self;
        Retry {
            attempts: reading.settle(scope, "retry attempts", attempts, 1),
            budget_percent: reading.settle(scope, "retry budget-percent", budget_percent, 20),
            statuses,
            per_attempt: reading.settle_optional(scope, "retry per-attempt", per_attempt),
        }
    }
}

fn read_statuses(cursor: &mut Cursor<'_>) -> Vec<u16> {
    let arguments = cursor.arguments("statuses such as 502 503");
    let statuses = arguments.into_iter().filter_map(|value| value.integer(400..=599));
    statuses.map(|status| status.value).collect()
}

impl TimeoutsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            connect: cursor.setting("connect", |value| value.duration(TIMEOUT)),
            first_byte: cursor.setting("first-byte", |value| value.duration(TIMEOUT)),
            idle: cursor.setting("idle", |value| value.duration(TIMEOUT)),
            whole: cursor.setting("whole", |value| value.duration(TIMEOUT)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> UpstreamTimeouts {
        let Self { connect, first_byte, idle, whole } = self;
        let secs = Duration::from_secs;
        UpstreamTimeouts {
            connect: reading.settle(scope, "timeouts connect", connect, secs(5)),
            first_byte: reading.settle(scope, "timeouts first-byte", first_byte, secs(60)),
            idle: reading.settle(scope, "timeouts idle", idle, secs(60)),
            whole: reading.settle_optional(scope, "timeouts whole", whole),
        }
    }
}

impl PoolPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            connections: cursor.setting("connections", |value| value.count(1..=10_000_000)),
            idle: cursor.setting("idle", |value| value.count(0..=1_000_000)),
            idle_timeout: cursor.setting("idle-timeout", |value| value.duration(TIMEOUT)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str, connections_max: usize) -> Pool {
        let Self { connections, idle, idle_timeout } = self;
        if let Some(beyond) = connections.as_ref().filter(|c| c.value > connections_max) {
            let message =
                format!("the process allows {connections_max} upstream connections in all");
            let problem = Problem::new(Code::Conflict, message);
            let help = "lower this, or raise `limits { upstream-connections … }`";
            reading.error(beyond.span, problem.help(help));
        }
        let secs_60 = Duration::from_secs(60);
        Pool {
            connections: reading.settle(scope, "pool connections", connections, connections_max),
            idle: reading.settle(scope, "pool idle", idle, 256),
            idle_timeout: reading.settle(scope, "pool idle-timeout", idle_timeout, secs_60),
        }
    }
}
