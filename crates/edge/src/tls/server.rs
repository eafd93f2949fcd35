use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::Ticketer,
    server::{
        NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use selvedge_config::{Certificate, ClientAuth, ListenerTls, TlsVersion};

use super::{
    ALPN_HTTP1, ALPN_HTTP2, CertificateFacts, TlsError, Warning,
    certificate::{Served, unix_now},
    files::{self, Print},
    provider,
    resolver::Certificates,
};

/// Sessions remembered for TLS 1.2 clients without tickets; then the oldest goes and its client
/// makes a full handshake. Without client certificates a session takes some 200 bytes.
pub(crate) const SESSIONS_MAX: usize = 4096;

/// TLS of one listener, shared by all cores.
///
/// A core asks for [`server_config`](Self::server_config) at each accept; a reload shows in the
/// next one, and connections that are open keep what they were made with.
pub struct ServerTls {
    settings: ListenerTls,
    alpn: Vec<Vec<u8>>,
    current: ArcSwap<Current>,
    prints: Mutex<Vec<Print>>,
}

/// What is in force.
struct Current {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    resumption: Option<Resumption>,
}

impl ServerTls {
    /// Reads all files of `settings`; blocks.
    #[cfg(test)]
    pub(crate) fn load(settings: &ListenerTls, http1: bool, http2: bool) -> Result<Self, TlsError> {
        Self::load_after(None, settings, http1, http2)
    }

    /// As [`load`](Self::load), for a listener that exists already: where it asks the same of its
    /// clients as `previous` did, sessions begun before may be resumed.
    pub fn load_after(
        previous: Option<&Self>,
        settings: &ListenerTls,
        http1: bool,
        http2: bool,
    ) -> Result<Self, TlsError> {
        let prints = take_prints(settings);
        let alpn = alpn(http1, http2);
        let previous = previous.map(|previous| previous.current.load_full());
        let current = Current::load(settings, &alpn, previous.as_deref())?;
        Ok(Self {
            settings: settings.clone(),
            alpn,
            current: ArcSwap::from_pointee(current),
            prints: Mutex::new(prints),
        })
    }

    /// All that keeps `settings` from being loaded; blocks.
    pub(crate) fn faults(settings: &ListenerTls) -> Vec<TlsError> {
        let certificates = settings.certificates.iter().map(|one| Served::load(one).map(drop));
        let clients = Clients::load(&settings.client_auth).and_then(|them| them.verifier());
        let faults: Vec<_> =
            certificates.chain([clients.map(drop)]).filter_map(Result::err).collect();
        match faults.is_empty() {
            true => Current::load(settings, &[], None).err().into_iter().collect(),
            false => faults,
        }
    }

    /// Returns what the next connection is accepted with.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Whether a file differs from what was last read, well or not: one `stat` per file as long as
    /// nobody touches them. Cheap enough for every few seconds.
    pub fn changed(&self) -> bool {
        let mut prints = self.prints.lock().unwrap_or_else(PoisonError::into_inner);
        prints.iter_mut().any(Print::changed)
    }

    /// Reads all files again and puts them in force; blocks. On an error what was in force stays,
    /// and [`changed`](Self::changed) is silent until somebody touches a file again.
    pub(crate) fn reload(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut prints = self.prints.lock().unwrap_or_else(PoisonError::into_inner);
        *prints = take_prints(&self.settings);
        let previous = self.current.load_full();
        let current = Current::load(&self.settings, &self.alpn, Some(&previous))?;
        let config = current.config.clone();
        self.current.store(Arc::new(current));
        Ok(config)
    }

    /// The certificates in force, in the order written.
    pub fn certificates(&self) -> Vec<CertificateFacts> {
        self.current.load().certificates.iter().map(|served| served.facts.clone()).collect()
    }

    /// What is wrong with the certificates in force today.
    pub fn warnings(&self) -> Vec<Warning> {
        let now = unix_now();
        let current = self.current.load();
        current.certificates.iter().flat_map(|served| served.facts.warnings(now)).collect()
    }

    /// Whether a request for `host` (without port) must be answered 421 on a connection that was
    /// opened for `sni`: the two differ, and the certificate shown does not cover `host`, so the
    /// client cannot have verified us for it (RFC 9110, 7.4; RFC 9113, 9.1.2). A client that sent
    /// no SNI has named nobody and is let through.
    ///
    /// Client certificates need no such care: what is asked of clients is asked by the listener,
    /// of all names and protocols alike, so a coalesced request is authenticated like any other.
    pub(crate) fn misdirected(&self, sni: Option<&str>, host: &str) -> bool {
        self.current.load().certificates.misdirected(sni, host)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Current {
    fn load(
        settings: &ListenerTls,
        alpn: &[Vec<u8>],
        previous: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let ListenerTls { certificates, min_version, max_version, client_auth, resumption } =
            settings;
        let versions = versions(*min_version, *max_version)?;
        let certificates = Arc::new(Certificates::load(certificates)?);
        let clients = Clients::load(client_auth)?;
        let resumption = resumption
            .then(|| match previous.and_then(|previous| previous.resumption.clone()) {
                Some(kept) if kept.clients == clients => Ok(kept),
                _ => Resumption::new(clients.clone()),
            })
            .transpose()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions)
            .map_err(|source| TlsError::Setup { source })?
            .with_client_cert_verifier(clients.verifier()?)
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = alpn.to_vec();
        // Early data may be replayed, and half-RTT data goes to a client not yet known.
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        resume(&mut config, resumption.as_ref());
        Ok(Self { config: Arc::new(config), certificates, resumption })
    }
}

/// What is asked of clients, by content: two that are equal admit the same clients.
#[derive(Clone, Debug)]
enum Clients {
    Anybody,
    Verified { roots: Arc<RootCertStore>, required: bool, ca: PathBuf },
}

impl Clients {
    fn load(auth: &ClientAuth) -> Result<Self, TlsError> {
        let verified = |ca: &PathBuf, required| {
            Ok(Self::Verified { roots: files::read_roots(ca)?, required, ca: ca.clone() })
        };
        match auth {
            ClientAuth::Off => Ok(Self::Anybody),
            ClientAuth::Optional { ca } => verified(ca, false),
            ClientAuth::Required { ca } => verified(ca, true),
        }
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (roots, required, ca) = match self {
            Self::Anybody => return Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Verified { roots, required, ca } => (roots, *required, ca),
        };
        let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder
            .build()
            .map_err(|error| TlsError::Roots { path: ca.clone(), reason: error.to_string() })
    }
}

impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anybody, Self::Anybody) => true,
            (
                Self::Verified { roots, required, ca: _ },
                Self::Verified { roots: others, required: also_required, ca: _ },
            ) => required == also_required && roots.roots == others.roots,
            (Self::Anybody, Self::Verified { .. }) | (Self::Verified { .. }, Self::Anybody) => {
                false
            }
        }
    }
}

/// What remembers sessions. A resumed session carries the client's certificate without verifying
/// it anew, so this belongs to one listener, and dies when what it asks of clients changes.
#[derive(Clone)]
struct Resumption {
    clients: Clients,
    /// Keys change every 6 hours; a ticket lives 12 at most.
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Resumption {
    fn new(clients: Clients) -> Result<Self, TlsError> {
        let ticketer = Ticketer::new().map_err(|source| TlsError::Setup { source })?;
        Ok(Self { clients, ticketer, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }
}

fn resume(config: &mut ServerConfig, resumption: Option<&Resumption>) {
    match resumption {
        Some(resumption) => {
            config.ticketer = resumption.ticketer.clone();
            config.session_storage = resumption.sessions.clone();
        }
        None => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
}

fn versions(
    min: TlsVersion,
    max: TlsVersion,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let allowed = all.into_iter().filter(|(version, _)| (min..=max).contains(version));
    let allowed = allowed.map(|(_, version)| version).collect::<Vec<_>>();
    if allowed.is_empty() { Err(TlsError::Versions) } else { Ok(allowed) }
}

fn alpn(http1: bool, http2: bool) -> Vec<Vec<u8>> {
    let offered = [(http2, ALPN_HTTP2), (http1, ALPN_HTTP1)];
    offered.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_vec()).collect()
}

fn take_prints(settings: &ListenerTls) -> Vec<Print> {
    let certificates = settings.certificates.iter().flat_map(|certificate| match certificate {
        Certificate::Files { cert, key } => vec![cert, key],
        Certificate::SelfSigned { names: _ } => Vec::new(),
    });
    let ca = match &settings.client_auth {
        ClientAuth::Off => None,
        ClientAuth::Optional { ca } | ClientAuth::Required { ca } => Some(ca),
    };
    certificates.chain(ca).map(|path| Print::take(path)).collect()
}
