//! `core { … }`: where it runs, how the edge reaches it, and what its callers may do.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use selvedge_base::{ByteSize, Secret};

use crate::{
    Action, Balance, CORE, Code, Core, CoreGrant, CoreLimits, CoreListen, CoreNats, CorePlace,
    CoreProcess, CoreSync, CoreToken, HostPattern, Id, Matches, PathPattern, Pool, Retry, Route,
    RouteLimits, Target, TargetAddress, Upstream, UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
    address::{id, server_name, socket, target},
    core_audit::AuditPart,
    core_log,
    core_streams::StreamsPart,
    core_sync::SyncPart,
    core_views::{self, ViewPart},
    cursor::{Cursor, Switch},
    http::{host_pattern, path},
    listener::TIMEOUT,
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::Checked,
};

/// Scope of the core's bounds.
pub(crate) const SCOPE: &str = "core";
/// Above all that an operator may write, so that no route takes the core's paths by accident.
pub(crate) const MOUNT_PRIORITY: i32 = 2_000_000;
/// Above the mount: routes that name the core, under its own path.
pub(crate) const ABOVE_MOUNT: i32 = 4_000_000;
/// Bytes of a socket's path that the system takes.
const SOCKET_BYTES_MAX: usize = 107;
/// Fewer bytes can be guessed.
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: usize = 512;
/// Tokens that a config may hold; more belong into the file of `selvedge token create`.
const TOKENS_MAX: usize = 256;
const SCOPE_BYTES_MAX: usize = 128;

/// The core as written.
pub(crate) struct CorePart {
    span: Span,
    path: Option<Option<Spanned<String>>>,
    hosts: Vec<Option<Spanned<HostPattern>>>,
    data_dir: Option<Option<Spanned<PathBuf>>>,
    socket: Option<Option<Spanned<PathBuf>>>,
    listen: Option<Option<CoreListen>>,
    remote: Option<(Span, Option<Remote>)>,
    limits: LimitsPart,
    timeouts: TimeoutsPart,
    streams: StreamsPart,
    sync: Option<Switch<SyncPart>>,
    audit: AuditPart,
    log: Option<Option<Option<CoreNats>>>,
    tokens: Vec<Spanned<Option<CoreToken>>>,
    grants: Vec<Option<CoreGrant>>,
    views: Vec<ViewPart>,
    /// What only concerns a core that runs here, and where it is written.
    local: Vec<(&'static str, Span)>,
}

struct Remote {
    address: TargetAddress,
    tls: UpstreamTls,
}

#[derive(Default)]
struct LimitsPart {
    connections: Option<Spanned<usize>>,
    in_flight: Option<Spanned<usize>>,
    body: Option<Spanned<ByteSize>>,
}

#[derive(Default)]
struct TimeoutsPart {
    connect: Option<Spanned<Duration>>,
    first_byte: Option<Spanned<Duration>>,
    idle: Option<Spanned<Duration>>,
}

/// What a core comes to: itself, and how the edge reaches it.
pub(crate) struct Settled {
    pub(crate) core: Core,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) mount: Arc<Route>,
}

impl CorePart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let local = [
            "data-dir", "socket", "listen", "log", "streams", "sync", "audit", "token", "grant",
            "view",
        ]
        .into_iter();
        Self {
            span: cursor.span(),
            local: local.filter_map(|name| Some((name, cursor.span_of(name)?))).collect(),
            path: cursor
                .child("path", |c| c.argument("a path").and_then(|value| value.parse(mount_path))),
            hosts: cursor.child("host", read_hosts).unwrap_or_default(),
            data_dir: cursor.child("data-dir", |c| c.argument("a folder").and_then(|v| v.path())),
            socket: cursor.child("socket", |c| c.argument("a path").and_then(|v| v.path())),
            listen: cursor.child("listen", read_listen),
            remote: cursor.child("remote", |c| (c.span(), read_remote(c))),
            limits: cursor.child("limits", LimitsPart::read).unwrap_or_default(),
            timeouts: cursor.child("timeouts", TimeoutsPart::read).unwrap_or_default(),
            streams: cursor.child("streams", StreamsPart::read).unwrap_or_default(),
            sync: cursor.switch("sync", SyncPart::read),
            audit: cursor.child("audit", AuditPart::read).unwrap_or_default(),
            log: cursor.child("log", core_log::read),
            tokens: cursor.children(&["token"], read_token),
            grants: cursor.children(&["grant"], read_grant),
            views: cursor.children(&["view"], ViewPart::read),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>, connections_max: usize) -> Option<Settled> {
        let Self {
            span,
            path,
            hosts,
            data_dir,
            socket,
            listen,
            remote,
            limits,
            timeouts,
            streams,
            sync,
            audit,
            log,
            tokens,
            grants,
            views,
            local,
        } = self;
        match &remote {
            Some((remote, _)) => refuse_local(reading, *remote, &local, &limits),
            None if data_dir.is_none() => refuse_homeless(reading, span),
            None => {}
        }
        check_tokens(reading, &tokens);
        let views = core_views::settle(reading, views);
        let timeouts = timeouts.settle(reading);
        let limits = limits.settle(reading, connections_max);
        let path = sound(path)?.map_or_else(|| "/_selvedge".to_owned(), |path| path.value);
        let hosts: Vec<_> =
            hosts.into_iter().map(|host| host.map(|host| host.value)).collect::<Option<_>>()?;
        let (place, address, tls) = match remote {
            Some((_, remote)) => {
                let Remote { address, tls } = remote?;
                (CorePlace::Remote, address, Some(tls))
            }
            None => {
                let data_dir = data_dir??.value;
                let socket = settle_socket(reading, (span, &data_dir), sound(socket)?)?;
                let tokens = tokens.into_iter().map(|token| token.value).collect::<Option<_>>()?;
                let process = CoreProcess {
                    listen: sound(listen)?,
                    limits: limits.clone(),
                    streams: streams.settle(reading)?,
                    sync: settle_sync(reading, sync)?,
                    audit: audit.settle(reading)?,
                    nats: sound(log)?.flatten(),
                    tokens,
                    grants: grants.into_iter().collect::<Option<_>>()?,
                    views: views?,
                    socket: socket.clone(),
                    data_dir,
                };
                (CorePlace::Here(Arc::new(process)), TargetAddress::Unix(socket), None)
            }
        };
        let mount = Route {
            id: Id::from(CORE),
            priority: MOUNT_PRIORITY,
            matches: Matches {
                hosts: hosts.clone(),
                paths: vec![PathPattern::Prefix(path.clone())],
                ..Matches::default()
            },
            agents: Vec::new(),
            action: Action::Upstream(CORE.into()),
            upstream_by: None,
            rewrite: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            limits: RouteLimits { body: limits.body, in_flight: None },
            compress: None,
            origin: reading.origin(span),
        };
        let upstream = upstream((address, tls), timeouts, limits.connections);
        let core = Core { path, hosts, place };
        Some(Settled { core, upstream: Arc::new(upstream), mount: Arc::new(mount) })
    }
}

/// The core as the edge reaches it: nothing that keeps a core that is back from being asked at once.
fn upstream(
    (address, tls): (TargetAddress, Option<UpstreamTls>),
    timeouts: UpstreamTimeouts,
    connections: usize,
) -> Upstream {
    Upstream {
        id: CORE.into(),
        targets: vec![Target { address, weight: 1 }],
        protocol: UpstreamProtocol::Http1,
        tls,
        balance: Balance::RoundRobin,
        sticky: None,
        health: None,
        ejection: None,
        retry: Retry { attempts: 1, budget_percent: 20, statuses: Vec::new(), per_attempt: None },
        timeouts,
        breaker: None,
        // As many as were busy at once: where there are more writers than may stay, the others would connect anew each time.
        pool: Pool { connections, idle: connections, idle_timeout: Duration::from_secs(60) },
    }
}

fn refuse_local(reading: &Reading<'_>, remote: Span, local: &[(&str, Span)], limits: &LimitsPart) {
    let in_flight = limits.in_flight.as_ref().map(|bound| ("limits in-flight", bound.span));
    for (name, span) in local.iter().copied().chain(in_flight) {
        let message = format!("`{name}` belongs to the machine that the core runs on");
        let problem = Problem::new(Code::Conflict, message)
            .note("this says that it runs elsewhere", remote)
            .help(format!("remove `{name}`, or `remote`"));
        reading.error(span, problem);
    }
}

fn refuse_homeless(reading: &Reading<'_>, span: Span) {
    let problem = Problem::new(Code::Missing, "`core` has no `data-dir`");
    let help = "add `data-dir \"./data\"`, or `remote \"10.0.0.5:8444\" { … }` where the core runs elsewhere";
    reading.error(span, problem.help(help));
}

fn settle_socket(
    reading: &Reading<'_>,
    (span, data_dir): (Span, &std::path::Path),
    written: Option<Spanned<PathBuf>>,
) -> Option<PathBuf> {
    let at = written.as_ref().map_or(span, |written| written.span);
    let socket = written.map_or_else(|| data_dir.join("run/core.sock"), |socket| socket.value);
    if socket.as_os_str().len() <= SOCKET_BYTES_MAX {
        return Some(socket);
    }
    let message = format!(
        "the path of a socket has at most {SOCKET_BYTES_MAX} bytes, and {} has {}",
        socket.display(),
        socket.as_os_str().len()
    );
    let help = "add `socket \"/run/selvedge/core.sock\"` or another short path";
    reading.error(at, Problem::new(Code::OutOfRange, message).help(help));
    None
}

fn check_tokens(reading: &Reading<'_>, tokens: &[Spanned<Option<CoreToken>>]) {
    if tokens.len() > TOKENS_MAX {
        let message = format!("a config holds at most {TOKENS_MAX} tokens");
        let help = "`selvedge token create` keeps as many as you want in the data-dir";
        reading.error(tokens[TOKENS_MAX].span, Problem::new(Code::TooLarge, message).help(help));
    }
    for (index, token) in tokens.iter().enumerate() {
        let Some(written) = &token.value else { continue };
        let same = |other: &&Spanned<Option<CoreToken>>| {
            other.value.as_ref().is_some_and(|other| other.name == written.name)
        };
        if let Some(first) = tokens[..index].iter().find(same) {
            let message = format!("two tokens have the name `{}`", written.name);
            let problem = Problem::new(Code::DuplicateId, message)
                .note("first written here", first.span)
                .help("give one of them another name");
            reading.error(token.span, problem);
        }
    }
}

/// `/_selvedge`: begins with `/`, does not end with it, and is not the whole site.
fn mount_path(text: &str) -> Checked<String> {
    let path = path(text)?;
    if path.len() > 1 && !path.ends_with('/') {
        return Ok(path);
    }
    Err(Problem::new(Code::Path, format!("{text:?} cannot be the path of the core"))
        .help("write it without a `/` at its end, such as \"/_selvedge\""))
}

fn read_hosts(cursor: &mut Cursor<'_>) -> Vec<Option<Spanned<HostPattern>>> {
    let hosts = cursor.arguments("hosts such as \"core.example.com\"");
    hosts.into_iter().map(|value| value.parse(host_pattern)).collect()
}

fn read_listen(cursor: &mut Cursor<'_>) -> Option<CoreListen> {
    let address = cursor.argument("an address such as \"10.0.0.5:8444\"");
    let address: Option<Spanned<SocketAddr>> = address.and_then(|value| value.parse(socket));
    let cert = cursor.required("cert", "cert \"core.pem\"", |value| value.file());
    let key = cursor.required("key", "key \"core.key\"", |value| value.file());
    let client_ca = cursor.required("client-ca", "client-ca \"edges.pem\"", |value| value.file());
    let edges = cursor.child("edges", |cursor| {
        let names = cursor.arguments("names of edges such as \"edge-1.internal\"");
        names.into_iter().map(|name| name.parse(server_name)).collect::<Option<Vec<_>>>()
    });
    let edges = sound(edges)?.unwrap_or_default();
    Some(CoreListen {
        address: address?.value,
        cert: cert?.value,
        key: key?.value,
        client_ca: client_ca?.value,
        edges: edges.into_iter().map(|name| name.value).collect(),
    })
}

fn read_remote(cursor: &mut Cursor<'_>) -> Option<Remote> {
    let address = cursor.argument("an address such as \"10.0.0.5:8444\"");
    let address = address.and_then(|v| v.parse(|text| target(text, |path| v.resolve(path))));
    let ca = cursor.setting("ca", |value| value.file());
    let cert = cursor.required("cert", "cert \"edge.pem\"", |value| value.file());
    let key = cursor.required("key", "key \"edge.key\"", |value| value.file());
    let name = cursor.setting("server-name", |value| value.parse(server_name));
    let Spanned { value: address, span } = address?;
    if let TargetAddress::Unix(_) = address {
        let problem = Problem::new(Code::Address, "a core elsewhere is not behind a unix socket");
        let help = "write its address and port, or `data-dir` and `socket` for one on this machine";
        cursor.reading().error(span, problem.help(help));
        return None;
    }
    let tls = UpstreamTls {
        ca: ca.map(|ca| ca.value),
        server_name: name.map(|name| name.value),
        identity: Some((cert?.value, key?.value)),
        verify: true,
    };
    Some(Remote { address, tls })
}

/// The relay of documents is there unless somebody switches it off.
fn settle_sync(reading: &Reading<'_>, sync: Option<Switch<SyncPart>>) -> Option<Option<CoreSync>> {
    match sync {
        Some(Switch::Off) => Some(None),
        Some(Switch::On(part)) => part.settle(reading).map(Some),
        None => SyncPart::default().settle(reading).map(Some),
    }
}

fn read_token(cursor: &mut Cursor<'_>) -> Spanned<Option<CoreToken>> {
    let span = cursor.span();
    let name = cursor.argument("a name").and_then(|value| value.literal(id));
    let secret = cursor.required("secret", "secret (env)\"TOKEN\"", |v| v.secret(token_secret));
    let scopes = cursor.child("scopes", read_scopes);
    let tenant = cursor.child("tenant", |c| c.argument("an id").and_then(|v| v.literal(id)));
    let read = || {
        Some(CoreToken {
            name: name?.value,
            secret: secret?.value,
            scopes: scopes.unwrap_or(Some(Vec::new()))?,
            tenant: sound(tenant)?.map(|tenant| tenant.value),
        })
    };
    Spanned::new(read(), span)
}

fn token_secret(text: &str) -> Checked<Secret> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) {
        return Ok(Secret::new(text));
    }
    Err(Problem::new(
        Code::Text,
        format!(
            "a token is {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} visible ASCII characters without blanks"
        ),
    )
    .help("make one with `openssl rand -hex 32`"))
}

fn read_grant(cursor: &mut Cursor<'_>) -> Option<CoreGrant> {
    let role = cursor.property("role");
    let role = role.map(|value| value.parse(|text| Ok(text.to_owned())));
    let scopes = read_scopes(cursor);
    Some(CoreGrant { role: sound(role)?.map(|role| role.value), scopes: scopes? })
}

fn read_scopes(cursor: &mut Cursor<'_>) -> Option<Vec<String>> {
    let scopes = cursor.arguments("scopes such as \"streams:read\"");
    let scopes = scopes.into_iter().map(|value| value.literal(scope));
    scopes.map(|scope| scope.map(|scope| scope.value)).collect()
}

/// `streams:read`, `streams:*`, `*`.
fn scope(text: &str) -> Checked<String> {
    let is_word = |word: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        !word.is_empty() && word.bytes().all(allowed)
    };
    let words = text.strip_suffix(":*").unwrap_or(text);
    let is_scope = text == "*" || words.split(':').all(is_word);
    if is_scope && text.len() <= SCOPE_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is not a scope"))
        .help("write it like \"streams:read\", \"streams:*\" or \"*\""))
}

impl LimitsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            connections: cursor.setting("connections", |value| value.count(1..=1_000_000)),
            in_flight: cursor.setting("in-flight", |value| value.count(1..=1_000_000)),
            body: cursor.setting("body", |value| value.size(ByteSize(1)..=ByteSize::mib(1_024))),
        }
    }

    /// The edge has no more connections than the process allows it upstream.
    fn settle(self, reading: &Reading<'_>, connections_max: usize) -> CoreLimits {
        let Self { connections, in_flight, body } = self;
        let most = connections_max.min(10_000);
        CoreLimits {
            connections: reading.settle(SCOPE, "limits connections", connections, most),
            in_flight: reading.settle(SCOPE, "limits in-flight", in_flight, 10_000),
            body: reading.settle(SCOPE, "limits body", body, ByteSize::mib(10)),
        }
    }
}

impl TimeoutsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            connect: cursor.setting("connect", |value| value.duration(TIMEOUT)),
            first_byte: cursor.setting("first-byte", |value| value.duration(TIMEOUT)),
            idle: cursor.setting("idle", |value| value.duration(TIMEOUT)),
        }
    }

    /// Longer than for other upstreams: a long poll answers late, and a stream of events is silent.
    fn settle(self, reading: &Reading<'_>) -> UpstreamTimeouts {
        let Self { connect, first_byte, idle } = self;
        let secs = Duration::from_secs;
        UpstreamTimeouts {
            connect: reading.settle(SCOPE, "timeouts connect", connect, secs(2)),
            first_byte: reading.settle(SCOPE, "timeouts first-byte", first_byte, secs(120)),
            idle: reading.settle(SCOPE, "timeouts idle", idle, secs(300)),
            whole: None,
        }
    }
}
