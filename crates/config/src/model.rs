//! What a config means: always-valid types without options that mean "not said".
//!
//! A value of these types has been checked as a whole: every reference resolves, every bound has a
//! number, every regex compiles, every id is unique. Only [`crate::load`] makes a [`Config`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use selvedge_base::{ByteSize, Secret};
use serde::{Deserialize, Serialize};

use crate::Origins;

mod agent;
mod audit;
mod core;
mod views;

pub use agent::*;
pub use audit::*;
pub use core::*;
pub use views::*;

/// One validated configuration: what the edge swaps in as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Sockets that accept clients, in the order written.
    pub listeners: Vec<Arc<Listener>>,
    /// Groups of servers that requests go to, by id.
    pub upstreams: BTreeMap<Id, Arc<Upstream>>,
    /// Routes in the order written; the router sorts them by priority and specificity.
    pub routes: Vec<Arc<Route>>,
    /// Agents by id, used by a route or not.
    pub agents: BTreeMap<Id, Arc<Agent>>,
    /// Bounds of the whole process.
    pub limits: Limits,
    /// The admin listener (metrics, health, reload).
    pub admin: Admin,
    /// Logs, traces and where they go.
    pub telemetry: Telemetry,
    /// The core. It is among the upstreams, and its mount among the routes, as [`CORE`].
    pub core: Option<Core>,
    /// What is kept for the core's audit log. `None`: nothing is.
    pub audit: Option<Audit>,
    /// Worker threads of the edge; one runtime each. Default: one per core.
    pub workers: usize,
    /// How long running requests may take after SIGTERM before they are cut.
    pub drain_timeout: Duration,
    /// Every file this config was read from (the main file first, then includes), for watching.
    pub files: Vec<PathBuf>,
    /// Where bounds are written that are not defaults, for [`crate::bounds`].
    pub origins: Origins,
}

impl Config {
    /// Request fields that only agents may set, in lower case, sorted: no client's request keeps
    /// one, on any route, whether or not an agent runs.
    pub fn identity_headers(&self) -> Vec<String> {
        let headers = self.agents.values().flat_map(|agent| agent.identity_headers.iter().cloned());
        let of_core = self.core.iter().flat_map(|_| CORE_FIELDS.map(str::to_owned));
        headers.chain(of_core).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The core as the edge reaches it, and the route that it is always served on.
    pub fn core_as_served(&self) -> Option<(&Arc<Upstream>, &Arc<Route>)> {
        let mount = self.routes.iter().find(|route| *route.id == *CORE);
        Some((self.upstreams.get(CORE)?, mount?))
    }
}

/// A name the operator gave: letters, digits, `-`, `_`, `.`; at most 64 bytes.
pub type Id = Arc<str>;

/// One listening socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The operator's name for it.
    pub id: Id,
    /// Where it listens.
    pub address: SocketAddr,
    /// Speak HTTP/1.1 here.
    pub http1: bool,
    /// Speak HTTP/2 here: by ALPN under TLS, by prior knowledge (h2c) without.
    pub http2: bool,
    /// TLS, or plain text.
    pub tls: Option<ListenerTls>,
    /// Peers that must begin each connection with a PROXY protocol header (v1 or v2).
    /// Empty: nobody may.
    pub proxy_protocol: Vec<Cidr>,
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed. Empty: nobody's are.
    pub trusted_proxies: Vec<Cidr>,
    /// Client-side timeouts.
    pub timeouts: ListenerTimeouts,
    /// HTTP/2 bounds.
    pub http2_limits: Http2Limits,
}

/// How long a client may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From accept to the end of the TLS handshake. Default 10 s; then the connection closes.
    pub handshake: Duration,
    /// From a request's first byte to the end of its head. Default 10 s; then 408 and close.
    pub head: Duration,
    /// Between two reads of a request body. Default 30 s; then 408 and close.
    pub body: Duration,
    /// Between two writes that make progress. Default 30 s; then the connection closes.
    pub write: Duration,
    /// Between requests on a kept-alive connection. Default 75 s; then it closes.
    pub idle: Duration,
}

/// HTTP/2 on one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Streams open at once on a connection. Default 128; more are refused (REFUSED_STREAM).
    pub streams: u32,
    /// Streams a client may reset before we accepted them. Default 20; then GOAWAY (ENHANCE_YOUR_CALM).
    pub pending_resets: usize,
    /// Flow-control window of a stream. Default 256 KiB.
    pub stream_window: ByteSize,
    /// Flow-control window of a connection. Default 1 MiB.
    pub connection_window: ByteSize,
}

/// TLS on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Certificates in the order written; SNI picks the first whose names match, otherwise the first.
    pub certificates: Vec<Certificate>,
    /// Oldest version allowed. Default 1.2.
    pub min_version: TlsVersion,
    /// Newest version allowed. Default 1.3.
    pub max_version: TlsVersion,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Stateless tickets and a bounded session cache. Default on.
    pub resumption: bool,
}

/// One certificate chain and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files, read at load and again when they change or on reload.
    Files {
        /// Chain, leaf first.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// Made at start for development, signed by itself, for these names.
    SelfSigned {
        /// DNS names and IP addresses.
        names: Vec<String>,
    },
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What a listener asks of its clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    Off,
    /// A certificate is verified when given.
    Optional {
        /// PEM file of trusted roots.
        ca: PathBuf,
    },
    /// No certificate, no connection: on every protocol alike.
    Required {
        /// PEM file of trusted roots.
        ca: PathBuf,
    },
}

/// An address block, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    /// Network address, host bits zero.
    pub network: std::net::IpAddr,
    /// Length of the network part in bits.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `address` lies in the block. An IPv4 address that arrives mapped into IPv6
    /// (`::ffff:10.0.0.1`, RFC 4291 2.5.5.2) counts as IPv4; `::/0` therefore holds no IPv4 address.
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        use std::net::IpAddr::{V4, V6};
        match (self.network, address.to_canonical()) {
            (V4(network), V4(address)) => {
                same_prefix(network.to_bits().into(), address.to_bits().into(), self.prefix, 32)
            }
            (V6(network), V6(address)) => {
                same_prefix(network.to_bits(), address.to_bits(), self.prefix, 128)
            }
            (V6(network), V4(address)) if self.prefix >= 96 => {
                let mapped = address.to_ipv6_mapped();
                same_prefix(network.to_bits(), mapped.to_bits(), self.prefix, 128)
            }
            (V6(_), V4(_)) | (V4(_), V6(_)) => false,
        }
    }
}

fn same_prefix(network: u128, address: u128, prefix: u8, width: u32) -> bool {
    let host_bits = width.saturating_sub(prefix.into());
    (network ^ address).checked_shr(host_bits).unwrap_or(0) == 0
}

/// A group of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The operator's name for it.
    pub id: Id,
    /// At least one.
    pub targets: Vec<Target>,
    /// Which HTTP is spoken to the targets.
    pub protocol: UpstreamProtocol,
    /// TLS to the targets, or plain text.
    pub tls: Option<UpstreamTls>,
    /// How a target is chosen.
    pub balance: Balance,
    /// A cookie that keeps a client on one target.
    pub sticky: Option<Sticky>,
    /// Active checks. `None`: targets are presumed healthy (`check` warns).
    pub health: Option<HealthCheck>,
    /// Passive ejection. Default on.
    pub ejection: Option<Ejection>,
    /// Which failures are tried again, and how often.
    pub retry: Retry,
    /// How long a target may take.
    pub timeouts: UpstreamTimeouts,
    /// When to stop trying the upstream at all. Default: none.
    pub breaker: Option<Breaker>,
    /// Connection pool.
    pub pool: Pool,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: TargetAddress,
    /// Share of the traffic, from 1 to 1000. Default 1.
    pub weight: u32,
}

/// Where a target listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetAddress {
    /// `127.0.0.1:9000`, `[::1]:9000`.
    Socket(SocketAddr),
    /// `backend.internal:9000`; looked up again every 30 s.
    Name {
        /// DNS name.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `unix:/run/app.sock`.
    Unix(PathBuf),
}

/// Which HTTP is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (`"http/1.1"`, the default).
    Http1,
    /// HTTP/2, prior knowledge or ALPN (`"h2"`).
    Http2,
}

/// TLS to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of trusted roots. `None`: the Mozilla roots built in.
    pub ca: Option<PathBuf>,
    /// Name to verify and send as SNI. `None`: the target's host or address.
    pub server_name: Option<String>,
    /// Client certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is verified. `#false` only for development (`check` warns).
    pub verify: bool,
}

/// How a target is chosen among the healthy ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn, smoothly by weight.
    RoundRobin,
    /// Fewest requests in flight per weight.
    LeastConnections,
    /// The less loaded of two chosen at random. The default.
    PowerOfTwo,
    /// Lowest recent latency times load, of two chosen at random.
    PeakEwma,
    /// The same key goes to the same target while the set is stable.
    ConsistentHash(HashKey),
}

/// What a consistent hash is taken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// Path without query.
    Path,
    /// Path and query.
    Uri,
    /// A request header.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// Session stickiness by cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Cookie name.
    pub cookie: String,
    /// Life of the cookie; `None` is a session cookie.
    pub ttl: Option<Duration>,
}

/// Active health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Time between probes of one target. Default 10 s.
    pub every: Duration,
    /// Time one probe may take. Default 2 s.
    pub timeout: Duration,
    /// Successes in a row that make a target healthy. Default 2.
    pub healthy: u32,
    /// Failures in a row that make a target unhealthy. Default 3.
    pub unhealthy: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// GET this path; the status must lie within the range.
    Http {
        /// Path and query.
        path: String,
        /// `Host` sent. `None`: the target's address.
        host: Option<String>,
        /// First and last status that pass. Default 200 to 399.
        expect: (u16, u16),
    },
    /// Connecting is enough.
    Tcp,
}

/// Passive ejection: a target that fails real requests rests for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that eject. Default 5. Connect errors, resets, time-outs, 502/503/504 count.
    pub failures: u32,
    /// How long the first ejection lasts; each further one doubles, up to ten times. Default 10 s.
    pub rest: Duration,
    /// Share of targets that may be out at once, in percent. Default 50.
    pub most_percent: u8,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first. Default 1; 0 switches retries off.
    pub attempts: u32,
    /// Retries allowed as a share of requests in the last ten seconds. Default 20 percent.
    pub budget_percent: u8,
    /// Statuses of idempotent, replayable requests that are tried again. Default none.
    pub statuses: Vec<u16>,
    /// Time one attempt may take to its first byte. `None`: as the upstream's first-byte timeout.
    pub per_attempt: Option<Duration>,
}

/// How long a target may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To connect, TLS and the wait for a pool slot included. Default 5 s; then 504, or 503 when the pool was full.
    pub connect: Duration,
    /// From the end of the request to the first byte of the response head. Default 60 s; then 504.
    pub first_byte: Duration,
    /// Between two reads of the response. Default 60 s; then the response is cut.
    pub idle: Duration,
    /// The whole exchange. `None`: no bound but the others.
    pub whole: Option<Duration>,
}

/// Circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures within `window` that open it. Default 3.
    pub failure_threshold: u32,
    /// Successes in half-open that close it. Default 2.
    pub success_threshold: u32,
    /// Window failures are counted in. Default 30 s.
    pub window: Duration,
    /// Time it stays open before it lets probes through. Default 30 s.
    pub timeout: Duration,
}

/// Connection pool of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Connections in all, over all cores and targets. Default: the global bound.
    pub connections: usize,
    /// Idle connections kept for each core and target. Default 256.
    pub idle: usize,
    /// Time an idle connection is kept. Default 60 s.
    pub idle_timeout: Duration,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The operator's name for it.
    pub id: Id,
    /// Higher is asked first. Default 0.
    pub priority: i32,
    /// All must hold; alternatives within one kind are ORed (two `host` arguments, two `method`s).
    pub matches: Matches,
    /// Agents asked, in the order in which their advice is merged.
    pub agents: Vec<RouteAgent>,
    /// What happens to a request that matched.
    pub action: Action,
    /// A value set by an agent that chooses among upstreams; without it, or when it chooses none,
    /// the action stands.
    pub upstream_by: Option<UpstreamBy>,
    /// Change of the request's target before it goes upstream.
    pub rewrite: Option<Rewrite>,
    /// Operations on request headers.
    pub request_headers: Vec<HeaderOp>,
    /// Operations on response headers.
    pub response_headers: Vec<HeaderOp>,
    /// Bounds of this route.
    pub limits: RouteLimits,
    /// Compression on the fly of responses from this route.
    pub compress: Option<Compress>,
    /// `File name:line` where the route is written, for explanations.
    pub origin: Origin,
}

/// Conditions of a route. An empty list of a kind always holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    /// Any of these hosts.
    pub hosts: Vec<HostPattern>,
    /// Any of these paths.
    pub paths: Vec<PathPattern>,
    /// Any of these methods.
    pub methods: Vec<String>,
    /// All of these headers.
    pub headers: Vec<HeaderMatch>,
    /// All of these query parameters.
    pub query: Vec<QueryMatch>,
}

/// A host condition; lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `example.com`.
    Exact(String),
    /// `*.example.com`, held as `example.com`: one label or more in front.
    Wildcard(String),
}

/// A path condition, compared with the normalised path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// The whole path.
    Exact(String),
    /// On a segment boundary: `/api` holds `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// Anchored at both ends; linear time.
    Regex(Pattern),
}

/// A header condition.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// What the value must be.
    pub value: ValueMatch,
}

/// A query condition.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryMatch {
    /// Decoded name.
    pub name: String,
    /// What the decoded value must be.
    pub value: ValueMatch,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// Any value.
    Present,
    /// Exactly this.
    Exact(String),
    /// Begins with this.
    Prefix(String),
    /// Matches, unanchored; linear time.
    Regex(Pattern),
}

/// What happens to a request that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To a server.
    Upstream(Id),
    /// From a folder.
    Static(StaticSite),
    /// To another place.
    Redirect(Redirect),
    /// A fixed answer.
    Respond(Respond),
}

/// A folder served as a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticSite {
    /// The folder; relative to the config file, absolute once loaded.
    pub root: PathBuf,
    /// Files tried for a folder. Default `index.html`.
    pub index: Vec<String>,
    /// `/about` finds `about.html`; `/about.html` stays as it is. Default on.
    pub clean_urls: bool,
    /// File that answers what would be 404 (single-page apps), relative to the root.
    pub fallback: Option<String>,
    /// Sent as `Cache-Control`.
    pub cache_control: Option<String>,
    /// Serve `.br`, `.zst`, `.gz` that lie beside a file. Default on.
    pub precompressed: bool,
    /// The route's path prefix is cut off before the file is looked up. Default off.
    pub strip_prefix: Option<String>,
}

/// A redirect. `to` may use `{scheme}`, `{host}`, `{path}`, `{query}` (`{query}` with its `?`, empty when there is none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Target.
    pub to: String,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: u16,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// Status, 200 to 599.
    pub status: u16,
    /// Body.
    pub body: String,
    /// `Content-Type`. Default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// A change of the request's target.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// What becomes of the path.
    pub path: Option<RewritePath>,
    /// New `Host`.
    pub host: Option<String>,
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum RewritePath {
    /// `/api/x` → `/x`.
    StripPrefix(String),
    /// The whole path becomes this.
    Replace(String),
    /// The first match is replaced; `$1` and `${name}` refer to groups.
    Regex {
        /// Pattern.
        pattern: Pattern,
        /// Replacement.
        to: String,
    },
}

/// One operation on headers, applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderOp {
    /// Replaces all of that name.
    Set(String, Secret),
    /// Adds one more.
    Add(String, Secret),
    /// Removes all of that name.
    Remove(String),
}

/// Bounds of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLimits {
    /// Request body. Default 10 MiB; then 413.
    pub body: ByteSize,
    /// Requests in flight on this route. `None`: the global bound only; then 503 with Retry-After.
    pub in_flight: Option<usize>,
}

/// Compression on the fly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// Smallest body worth it. Default 1 KiB; unknown lengths count as large.
    pub min: ByteSize,
    /// Encodings offered, best first. Default zstd, br, gzip.
    pub encodings: Vec<Encoding>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

/// Bounds of the whole process; the table of bounds in `docs/reference/bounds.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections in all. Default 10,000; then refused.
    pub connections: usize,
    /// Client connections of one address. Default 256; then refused.
    pub connections_per_address: usize,
    /// Bytes of a request head. Default 32 KiB; then 431.
    pub head: ByteSize,
    /// Fields of a request head. Default 100; then 431.
    pub head_fields: usize,
    /// Requests in flight. Default 10,000; then 503 with Retry-After.
    pub in_flight: usize,
    /// Upstream connections in all. Default 10,000; then a wait, then 503.
    pub upstream_connections: usize,
    /// Entries of the route cache of each core. Default 4,096; then the least recently used goes.
    pub route_cache: usize,
    /// Bytes of an upstream's response head. Default 64 KiB; then 502.
    pub response_head: ByteSize,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; loopback by default. `None`: switched off.
    pub address: Option<SocketAddr>,
}

/// Logs and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The access log. `None`: off.
    pub access_log: Option<LogTarget>,
    /// Whether decisions of agents are logged: where the access log goes, and on standard output
    /// where that is off. Default yes.
    pub decision_log: bool,
    /// Traces. `None`: off (`traceparent` is passed on all the same).
    pub otlp: Option<Otlp>,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to; opened again on SIGUSR1 and on reload.
    File(PathBuf),
}

/// Export of traces by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Collector, such as `http://127.0.0.1:4318`; `/v1/traces` is appended.
    pub endpoint: String,
    /// Headers sent along, for example an API key.
    pub headers: Vec<(String, Secret)>,
    /// Share of requests traced when the caller did not decide, 0.0 to 1.0. Default 0.01.
    pub sample: f64,
    /// Spans kept while the collector is away. Default 8,192; then the newest are dropped and counted.
    pub queue: usize,
    /// `service.name`. Default `selvedge`.
    pub service: String,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File, as named on the command line or in an include.
    pub file: Arc<str>,
    /// First line, from 1.
    pub line: usize,
}

/// A compiled regular expression that compares by its text.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Compiles `text`; the error is the regex crate's own, with its caret.
    pub fn try_new(text: &str) -> Result<Self, regex::Error> {
        regex::RegexBuilder::new(text).size_limit(1 << 20).build().map(Self)
    }
}

impl std::ops::Deref for Pattern {
    type Target = regex::Regex;

    fn deref(&self) -> &regex::Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
