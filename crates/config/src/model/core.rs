//! The core as configured: where it is, and what its callers may do.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use selvedge_base::{ByteSize, Secret};

use super::{Certificate, ClientAuth, HostPattern, Id, ListenerTls, TlsVersion, View};

/// The id of the core among upstreams, and of its mount among routes. No operator can write it.
pub const CORE: &str = "(core)";

/// Tells the core that a request comes from its edge: a secret that both were handed.
pub const LINK_FIELD: &str = "x-selvedge-link";
/// Names the agents that the edge asked who the caller is, separated by blanks.
pub const AGENTS_FIELD: &str = "x-selvedge-agents";
/// The caller's id, as an agent gave it.
pub const USER_FIELD: &str = "x-user-id";
/// The caller's roles, separated by commas.
pub const ROLE_FIELD: &str = "x-user-role";
/// The caller's scopes, separated by blanks.
pub const SCOPE_FIELD: &str = "x-user-scope";
/// The caller's tenant.
pub const TENANT_FIELD: &str = "x-user-tenant";

/// Tells the core that its edge itself speaks, and no client through it: the link's secret, or one that
/// only the two ends of the connection know.
pub const COURIER_FIELD: &str = "x-selvedge-courier";

/// Request fields that the core believes when its edge sends them: no client may.
pub const CORE_FIELDS: [&str; 7] =
    [LINK_FIELD, AGENTS_FIELD, USER_FIELD, ROLE_FIELD, SCOPE_FIELD, TENANT_FIELD, COURIER_FIELD];

/// The core: where the edge serves it, and where it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Core {
    /// Its path on listeners, without a `/` at the end. Default `/_selvedge`.
    pub path: String,
    /// Hosts that it is served on. Empty: all.
    pub hosts: Vec<HostPattern>,
    /// Where it runs.
    pub place: CorePlace,
}

/// Where a core runs.
#[derive(Clone, Debug, PartialEq)]
pub enum CorePlace {
    /// On this machine, as a process of its own.
    Here(Arc<CoreProcess>),
    /// Elsewhere; the upstream [`CORE`] knows where.
    Remote,
}

impl Core {
    /// The core that runs on this machine, if it does.
    pub fn process(&self) -> Option<&Arc<CoreProcess>> {
        match &self.place {
            CorePlace::Here(process) => Some(process),
            CorePlace::Remote => None,
        }
    }
}

/// A core on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreProcess {
    /// Where it keeps its files. Made when it is not there.
    pub data_dir: PathBuf,
    /// The unix socket that the edge of this machine connects to. Default `run/core.sock` in the
    /// data-dir.
    pub socket: PathBuf,
    /// Where edges of other machines connect.
    pub listen: Option<CoreListen>,
    /// Bounds.
    pub limits: CoreLimits,
    /// Bounds of event streams.
    pub streams: CoreStreams,
    /// The relay of documents. `None`: there is none.
    pub sync: Option<CoreSync>,
    /// The audit log.
    pub audit: CoreAudit,
    /// Servers of NATS that keep the event log. `None`: the disk does.
    pub nats: Option<CoreNats>,
    /// Tokens that the config declares.
    pub tokens: Vec<CoreToken>,
    /// What users may do whom agents have named.
    pub grants: Vec<CoreGrant>,
    /// Materialised views, in the order written.
    pub views: Vec<View>,
}

/// Where edges of other machines connect: TLS 1.3, both sides with certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreListen {
    /// Address.
    pub address: SocketAddr,
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// PEM file of roots that issue certificates to edges.
    pub client_ca: PathBuf,
    /// Names of edges: one must be in the certificate. Empty: whoever the roots vouch for.
    pub edges: Vec<String>,
}

impl CoreListen {
    /// What is asked of a connection, in the words of listeners: TLS 1.3, a certificate on both sides, and a whole
    /// handshake each time, so that nobody gets in with what counted before.
    pub fn tls(&self) -> ListenerTls {
        let Self { address: _, cert, key, client_ca, edges: _ } = self;
        ListenerTls {
            certificates: vec![Certificate::Files { cert: cert.clone(), key: key.clone() }],
            min_version: TlsVersion::Tls13,
            max_version: TlsVersion::Tls13,
            client_auth: ClientAuth::Required { ca: client_ca.clone() },
            resumption: false,
        }
    }
}

/// Bounds of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreLimits {
    /// Connections at once. Default 10,000; then they wait to be accepted.
    pub connections: usize,
    /// Requests in flight. Default 10,000; then 503 with Retry-After.
    pub in_flight: usize,
    /// Request body. Default 10 MiB; then 413.
    pub body: ByteSize,
}

/// Bounds of event streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreStreams {
    /// What one append carries. Default 7 MiB; then 413.
    pub append: ByteSize,
    /// What one caller appends in a second. Then 429.
    pub append_rate: Option<ByteSize>,
    /// About what one answer carries. Default 1 MiB; the reader asks again for the rest.
    pub page: ByteSize,
    /// How long a long-poll waits. Default 20 s; then 204.
    pub long_poll: Duration,
    /// How long a connection of server-sent events lives. Default 60 s; the reader comes back.
    pub events: Duration,
    /// Readers that wait or follow at once. Default 10,000; then 503. One tenant or caller has at most half; then 429.
    pub followers: usize,
    /// Streams of one tenant. Then 429.
    pub per_tenant: Option<usize>,
    /// Older records are given up.
    pub age: Option<Duration>,
    /// The oldest records of a stream that takes more room are given up.
    pub size: Option<ByteSize>,
    /// Origins of web pages that may read and write; `*` for all.
    pub origins: Vec<String>,
}

/// The relay of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSync {
    /// Connections of devices at once. Default 100,000; then 503.
    pub connections: usize,
    /// Documents that one connection has open. Default 256; then CLOSED, *limit*.
    pub channels: usize,
    /// Documents that all connections of a tenant have open together. Then CLOSED, *limit*.
    pub tenant_channels: Option<usize>,
    /// Documents of one tenant. Then pushes to new ones are refused (*quota*).
    pub per_tenant: Option<usize>,
    /// What the records of one document take. Default 1 GiB; then pushes are refused (*quota*).
    pub document: ByteSize,
    /// Pushes of one device in a second. Default 100; then they are refused (*quota*).
    pub push_rate: usize,
    /// Pushes of all devices of a tenant in a second. Then they are refused (*quota*).
    pub tenant_push_rate: Option<usize>,
    /// How long a device may be away. Default 30 days; then it begins with the snapshot.
    pub lease: Duration,
    /// How long the log before a snapshot stays. Default 1 h.
    pub grace: Duration,
    /// How long a document that nobody has open stays in memory. Default 60 s.
    pub idle: Duration,
    /// How long after its end a device exchanges a token for another. Default 30 days; 0 for never.
    pub renew: Duration,
    /// Files with public keys whose tokens count beside those of the core's own key.
    pub issuers: Vec<PathBuf>,
    /// Origins of web pages that may connect; `*` for all. Pages of the same host always may.
    pub origins: Vec<String>,
    /// What is expected of which documents; the first that fits counts.
    pub documents: Vec<DocumentRule>,
    /// Which documents any device may found. Default: none.
    pub guests: Vec<GuestRule>,
    /// How devices are woken that are not connected. `None`: they are not.
    pub push: Option<CorePush>,
}

/// How devices are woken that are not connected: by Web Push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorePush {
    /// Whom push services write to: a `mailto:` or `https:` URI.
    pub contact: String,
    /// A file with the key that signs. `None`: one that the core makes and keeps.
    pub key: Option<PathBuf>,
    /// The push services that are asked. Empty: those of the browsers there are.
    pub services: Vec<String>,
    /// Whether names of services may lead into private networks.
    pub private: bool,
    /// PEM file of roots for their certificates. `None`: Mozilla's.
    pub ca: Option<PathBuf>,
    /// How long something waits before its device is woken. Default 60 s.
    pub after: Duration,
    /// How often one device is woken, at most. Default 10 min.
    pub every: Duration,
    /// Devices to be woken, by document. Default 100,000; then they are refused (*quota*).
    pub subscriptions: usize,
}

/// Documents that any device may found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestRule {
    /// How their names begin; it ends in `/`.
    pub prefix: String,
    /// Their tenant. Default `default`.
    pub tenant: String,
    /// How many there may be. Default 1,000; then founding is refused (507).
    pub documents: usize,
    /// What the records of one take, and each of its snapshots. Default 16 MiB; then they are refused (*quota*).
    pub document: ByteSize,
    /// How many one address founds in an hour. Default 20; then 429.
    pub address_rate: usize,
}

/// What is expected of some documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRule {
    /// A document, a prefix that ends in `/`, or `*`.
    pub names: String,
    /// Of which tenant. `None`: of all.
    pub tenant: Option<String>,
    /// Whether batches must be sealed.
    pub encryption: Encryption,
    /// A file with what plain batches must follow. `None`: nothing.
    pub schema: Option<PathBuf>,
}

/// Whether a document must be encrypted end to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As its members like.
    #[default]
    Any,
    /// It must: the relay refuses what it could read.
    Required,
    /// It must not.
    Off,
}

/// The audit log of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreAudit {
    /// Its name, which it never changes. Default: the one it has, or a new one with the machine's name.
    pub origin: Option<String>,
    /// What entries call this machine. Default: its host name.
    pub node: Option<String>,
    /// Whether everybody may read the log's files. Default: only with the scope `audit:read`.
    pub public: bool,
    /// How long addresses and the like of callers without an identity can be read. Default 90 days;
    /// then their keys are destroyed.
    pub personal: Duration,
    /// How long entries are kept. Then they are given up, in bundles of 256.
    pub entries: Option<Duration>,
    /// How often witnesses are asked at most. Default 1 s.
    pub cosign_every: Duration,
    /// Who cosigns the log's heads.
    pub witnesses: Vec<AuditWitness>,
    /// Public keys of other logs whose heads are cosigned here.
    pub watched: Vec<String>,
}

/// Somebody who cosigns the heads of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditWitness {
    /// What stands before `/add-checkpoint`.
    pub url: String,
    /// Public key, as `NAME+ID+KEY`.
    pub key: String,
    /// PEM file of roots for its certificate. `None`: Mozilla's.
    pub ca: Option<PathBuf>,
}

/// Servers of NATS that keep the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreNats {
    /// Servers of one cluster: `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// The stream. Default `SELVEDGE`.
    pub stream: String,
    /// Servers that keep it, when it is made: 1, 3 or 5. Default 1.
    pub replicas: usize,
    /// Who the core is to the servers.
    pub login: CoreNatsLogin,
    /// PEM file of roots that vouch for the servers. Default: the system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key that the core shows.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the operator says that each server syncs every write.
    pub sync_always: bool,
    /// Where the servers' monitoring says whether they do.
    pub monitors: Vec<String>,
}

/// Who the core is to the servers of NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreNatsLogin {
    /// Nobody.
    Anonymous,
    /// A user.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// Whoever has this.
    Token(Secret),
}

/// A token that the config declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreToken {
    /// The service that comes with it.
    pub name: Id,
    /// The token.
    pub secret: Secret,
    /// What it may do.
    pub scopes: Vec<String>,
    /// For whom it acts.
    pub tenant: Option<Id>,
}

/// What users may do whom agents have named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreGrant {
    /// Users with this role. `None`: every user.
    pub role: Option<String>,
    /// What they may do.
    pub scopes: Vec<String>,
}
