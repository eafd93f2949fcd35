//! A config made ready to run: compiled routes, upstream state, certificates. Shared by all cores.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Instant,
};

use selvedge_audit::merkle::Hash;
use selvedge_config::{Action, Config, Id, Listener, Route, Upstream};
use selvedge_routing::Router;
use selvedge_telemetry::{Hub, Labels, Registered, UpstreamLabels};

use crate::{
    agent::state::{AgentError, AgentState},
    bounds::Gauge,
    site::{SiteError, SiteFolder},
    tls::{ClientTls, ServerTls, TlsError},
    upstream::{pool::SharedUpstream, target::UpstreamState},
};

/// What one config means at run time.
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    /// What [`revision`] says of it.
    pub(crate) revision: String,
    pub(crate) router: Router,
    pub(crate) listeners: Vec<ListenerPlan>,
    pub(crate) labels: Arc<Registered>,
    pub(crate) upstreams: Vec<SharedUpstream>,
    /// Agents that a route asks.
    pub(crate) agents: Vec<Arc<AgentState>>,
    /// Fields that only agents may set, in lower case.
    pub(crate) identity_headers: Vec<String>,
    /// What each route does, by its position in the config.
    pub(crate) routes: Vec<RoutePlan>,
}

/// One listener, its certificates read.
pub(crate) struct ListenerPlan {
    pub(crate) place: Place,
    pub(crate) listener: Arc<Listener>,
    pub(crate) tls: Option<Arc<ServerTls>>,
}

/// What makes a listener the same one after a reload: where it listens, whatever it is called. Where
/// the system chooses the port there may be several, and the name tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    address: SocketAddr,
    name: Option<Id>,
}

impl Place {
    /// The place of `listener`.
    pub(crate) fn of(listener: &Listener) -> Self {
        let name = (listener.address.port() == 0).then(|| listener.id.clone());
        Self { address: listener.address, name }
    }

    /// As configured.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// One route, its references resolved.
pub(crate) struct RoutePlan {
    pub(crate) route: Arc<Route>,
    /// Position of the upstream in [`Plan::upstreams`].
    pub(crate) upstream: Option<usize>,
    /// Positions of the upstreams that a value set by an agent chooses.
    pub(crate) choices: BTreeMap<String, usize>,
    /// Positions in [`Plan::agents`] of those that the route asks, in its order.
    pub(crate) agents: Vec<usize>,
    /// The folder that the route serves.
    pub(crate) folder: Option<SiteFolder>,
    pub(crate) in_flight: Arc<Gauge>,
}

/// Why a valid config cannot be run on this machine.
#[derive(Debug)]
pub enum PlanError {
    /// TLS material of a listener.
    ListenerTls {
        /// Which listener.
        listener: Id,
        /// What is wrong.
        source: TlsError,
    },
    /// TLS material of an upstream.
    UpstreamTls {
        /// Which upstream.
        upstream: Id,
        /// What is wrong.
        source: TlsError,
    },
    /// TLS material of the core, where edges elsewhere connect.
    CoreTls {
        /// What is wrong.
        source: TlsError,
    },
    /// A static site cannot be opened.
    Site {
        /// Which route.
        route: Id,
        /// What is wrong.
        source: SiteError,
    },
    /// An agent cannot be given a socket.
    Agent(AgentError),
}

/// Everything that keeps `config` from being run on this machine, before a port is bound: reads all
/// certificates, keys and roots, and looks into all folders. Blocks.
///
/// A config that passes may still find its ports taken.
pub fn preflight(config: &Config) -> Vec<PlanError> {
    let listeners = config.listeners.iter().flat_map(|listener| {
        let faults = listener.tls.as_ref().map(ServerTls::faults).unwrap_or_default();
        let error = |source| PlanError::ListenerTls { listener: listener.id.clone(), source };
        faults.into_iter().map(error)
    });
    let upstreams = config.upstreams.values().flat_map(|upstream| {
        let faults = upstream.tls.as_ref().map(|tls| ClientTls::faults(tls, upstream.protocol));
        let error = |source| PlanError::UpstreamTls { upstream: upstream.id.clone(), source };
        faults.unwrap_or_default().into_iter().map(error)
    });
    let core = config.core.as_ref().and_then(|core| core.process()?.listen.as_ref());
    let core = core.map(|listen| ServerTls::faults(&listen.tls())).unwrap_or_default();
    let core = core.into_iter().map(|source| PlanError::CoreTls { source });
    let sites = config.routes.iter().filter_map(|route| open_site(route).err());
    listeners.chain(upstreams).chain(core).chain(sites).collect()
}

/// The folder of a route that serves one.
fn open_site(route: &Route) -> Result<Option<SiteFolder>, PlanError> {
    let Action::Static(site) = &route.action else { return Ok(None) };
    let opened = SiteFolder::open(site);
    opened.map(Some).map_err(|source| PlanError::Site { route: route.id.clone(), source })
}

impl PlanError {
    /// The file or folder that is to be corrected, as the config names it.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::ListenerTls { source, .. }
            | Self::UpstreamTls { source, .. }
            | Self::CoreTls { source } => source.path(),
            Self::Site { source, .. } => match source {
                SiteError::Root { root, .. } | SiteError::Fallback { root, .. } => Some(root),
                SiteError::Confinement { .. } | SiteError::CacheControl { .. } => None,
            },
            Self::Agent(_) => None,
        }
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ListenerTls { listener, .. } => {
                write!(f, "TLS of listener {listener:?} cannot be set up")
            }
            Self::UpstreamTls { upstream, .. } => {
                write!(f, "TLS of upstream {upstream:?} cannot be set up")
            }
            Self::CoreTls { .. } => f.write_str("TLS of the core cannot be set up"),
            Self::Site { route, .. } => {
                write!(f, "the site of route {route:?} cannot be served")
            }
            Self::Agent(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ListenerTls { source, .. }
            | Self::UpstreamTls { source, .. }
            | Self::CoreTls { source } => Some(source),
            Self::Site { source, .. } => Some(source),
            Self::Agent(error) => std::error::Error::source(error),
        }
    }
}

/// What a plan is compiled with.
pub(crate) struct Parts<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) now: Instant,
}

impl Plan {
    /// Compiles `config`. What `previous` knows of targets and requests in flight is carried over.
    pub(crate) fn new(
        config: Arc<Config>,
        previous: Option<&Self>,
        parts: &Parts<'_>,
    ) -> Result<Self, PlanError> {
        let listeners = listeners(&config, previous)?;
        let upstreams = upstreams(&config, previous, parts.now)?;
        let agents = agents(&config, previous, parts.now)?;
        let positions: HashMap<&Id, usize> =
            config.upstreams.keys().enumerate().map(|(i, id)| (id, i)).collect();
        let routes = config
            .routes
            .iter()
            .map(|route| {
                let upstream = match &route.action {
                    Action::Upstream(id) => positions.get(id).copied(),
                    Action::Static(_) | Action::Redirect(_) | Action::Respond(_) => None,
                };
                let folder = open_site(route)?;
                let in_flight = carried_gauge(previous, &route.id);
                let asked = route.agents.iter().filter_map(|asked| position(&agents, &asked.id));
                let agents = asked.collect();
                let choices = route.upstream_by.iter().flat_map(|by| &by.choices);
                let choices = choices
                    .filter_map(|(value, id)| Some((value.clone(), *positions.get(id)?)))
                    .collect();
                let route = route.clone();
                Ok(RoutePlan { route, upstream, choices, agents, folder, in_flight })
            })
            .collect::<Result<_, _>>()?;
        let labels = parts.hub.register(&labels(&config, &upstreams, &agents));
        let identity_headers = config.identity_headers();
        let router = Router::new(&config);
        let revision = revision(&config);
        Ok(Self {
            config,
            revision,
            router,
            listeners,
            labels,
            upstreams,
            agents,
            identity_headers,
            routes,
        })
    }

    /// The listener at `place`, and its position.
    pub(crate) fn listener(&self, place: &Place) -> Option<(usize, &ListenerPlan)> {
        self.listeners.iter().enumerate().find(|(_, planned)| planned.place == *place)
    }

    /// The upstream called `id`.
    pub(crate) fn upstream(&self, id: &Id) -> Option<&SharedUpstream> {
        self.upstreams.iter().find(|upstream| upstream.state.config.id == *id)
    }
}

/// The revision of a config, as the audit log tells it: a digest of the files that it was read from.
pub fn revision(config: &Config) -> String {
    let texts = config.files.iter().map(|path| std::fs::read(path).unwrap_or_default());
    let digests: Vec<u8> = texts.flat_map(|text| Hash::of(&text).0).collect();
    Hash::of(&digests).to_hex()[..16].to_owned()
}

fn listeners(config: &Config, previous: Option<&Plan>) -> Result<Vec<ListenerPlan>, PlanError> {
    config.listeners.iter().map(|listener| ListenerPlan::new(listener, previous)).collect()
}

impl ListenerPlan {
    fn new(listener: &Arc<Listener>, previous: Option<&Plan>) -> Result<Self, PlanError> {
        let place = Place::of(listener);
        let before = previous
            .and_then(|plan| plan.listener(&place))
            .and_then(|(_, planned)| planned.tls.as_deref());
        let load = |settings| {
            ServerTls::load_after(before, settings, listener.http1, listener.http2)
                .map(Arc::new)
                .map_err(|source| PlanError::ListenerTls { listener: listener.id.clone(), source })
        };
        let tls = listener.tls.as_ref().map(load).transpose()?;
        Ok(Self { place, listener: listener.clone(), tls })
    }
}

fn labels<'a>(
    config: &'a Config,
    upstreams: &'a [SharedUpstream],
    agents: &'a [Arc<AgentState>],
) -> Labels<'a> {
    Labels {
        listeners: config.listeners.iter().map(|listener| &*listener.id).collect(),
        routes: config.routes.iter().map(|route| &*route.id).collect(),
        upstreams: upstreams
            .iter()
            .map(|upstream| UpstreamLabels {
                id: &upstream.state.config.id,
                targets: upstream
                    .state
                    .targets
                    .iter()
                    .map(|target| target.label().to_owned())
                    .collect(),
            })
            .collect(),
        agents: agents.iter().map(|agent| &*agent.config.id).collect(),
    }
}

fn upstreams(
    config: &Config,
    previous: Option<&Plan>,
    now: Instant,
) -> Result<Vec<SharedUpstream>, PlanError> {
    let upstreams = config.upstreams.values();
    upstreams
        .map(|upstream| {
            let before = previous.and_then(|plan| plan.upstream(&upstream.id));
            shared_upstream(upstream, before, now)
        })
        .collect()
}

/// The very upstream that was there `before`, if nothing about it has changed: its connections stay.
fn shared_upstream(
    config: &Arc<Upstream>,
    before: Option<&SharedUpstream>,
    now: Instant,
) -> Result<SharedUpstream, PlanError> {
    let known_tls = before.and_then(|before| before.tls.as_ref());
    let tls = upstream_tls(config, known_tls)?;
    let same_tls = tls.as_ref().map(Arc::as_ptr) == known_tls.map(Arc::as_ptr);
    if let Some(before) = before.filter(|before| same_tls && before.state.config == *config) {
        return Ok(before.clone());
    }
    let state = UpstreamState::new(config.clone(), before.map(|before| &*before.state), now);
    let connections = before.map(|before| before.connections.clone()).unwrap_or_default();
    Ok(SharedUpstream { state: Arc::new(state), tls, connections })
}

/// The agents that routes ask. One that no route asks is not started.
fn agents(
    config: &Config,
    previous: Option<&Plan>,
    now: Instant,
) -> Result<Vec<Arc<AgentState>>, PlanError> {
    let is_asked = |id: &Id| {
        config.routes.iter().any(|route| route.agents.iter().any(|asked| asked.id == *id))
    };
    let agents = config.agents.values().filter(|agent| is_asked(&agent.id));
    agents
        .map(|agent| {
            let known = previous
                .and_then(|plan| plan.agents.iter().find(|known| known.config.id == agent.id));
            AgentState::new(agent.clone(), known, now).map_err(PlanError::Agent)
        })
        .collect()
}

fn position(agents: &[Arc<AgentState>], id: &Id) -> Option<usize> {
    agents.iter().position(|agent| agent.config.id == *id)
}

fn upstream_tls(
    config: &Upstream,
    known: Option<&Arc<ClientTls>>,
) -> Result<Option<Arc<ClientTls>>, PlanError> {
    let Some(settings) = &config.tls else { return Ok(None) };
    if let Some(known) = known.filter(|known| known.is_current(settings, config.protocol)) {
        return Ok(Some(known.clone()));
    }
    let loaded = ClientTls::load(settings, config.protocol);
    loaded
        .map(|tls| Some(Arc::new(tls)))
        .map_err(|source| PlanError::UpstreamTls { upstream: config.id.clone(), source })
}

fn carried_gauge(previous: Option<&Plan>, id: &Id) -> Arc<Gauge> {
    previous
        .and_then(|plan| plan.routes.iter().find(|planned| planned.route.id == *id))
        .map(|planned| planned.in_flight.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use expect_test::{Expect, expect};
    use selvedge_config::SystemEnvironment;

    use super::*;

    /// `pair.pem` and `pair.key` belong together, `other.key` to nobody; `damaged.pem` is not whole.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write("pair.pem", &pair.cert.pem());
        write("pair.key", &pair.signing_key.serialize_pem());
        write("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        write("damaged.pem", &pair.cert.pem()[..60]);
        write("text", "not PEM");
        write("index.html", "hello");
        folder
    }

    /// Says what preflight finds, and that starting stops at the first of it.
    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let folder = folder();
        let file = folder.path().join("selvedge.kdl");
        fs::write(&file, text).unwrap();
        let config = selvedge_config::load(&file, &SystemEnvironment).unwrap().config;
        let errors = preflight(&config);
        let hub = Hub::start(&selvedge_telemetry::Settings::quiet(1)).unwrap();
        let parts = Parts { hub: &hub, now: Instant::now() };
        let planned = Plan::new(Arc::new(config), None, &parts).map(drop);
        assert_eq!(planned.is_err(), !errors.is_empty());
        let said: String = errors.iter().map(|error| line(error, folder.path())).collect();
        expected.assert_eq(&said);
    }

    fn line(error: &PlanError, folder: &Path) -> String {
        let source = std::error::Error::source(error).unwrap();
        let path = error.path().map(|path| path.strip_prefix(folder).unwrap_or(path));
        let text = format!("{path:?} {error}: {source}\n");
        text.replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn all_that_a_start_would_refuse_is_found_at_once() {
        check(
            r#"
                listener "sound" { address "127.0.0.1:0"; tls { cert "pair.pem"; key "pair.key" } }
                listener "web" {
                    address "127.0.0.1:0"
                    tls {
                        certificate cert="pair.pem" key="other.key"
                        certificate cert="text" key="pair.key"
                        client-auth "required" ca="damaged.pem"
                    }
                }
                upstream "app" {
                    target "127.0.0.1:9"
                    tls { ca "text"; cert "pair.pem"; key "other.key" }
                }
                route "app" { matches { path-prefix "/app" }; upstream "app" }
                route "site" { static "." { fallback "nothere.html" } }
            "#,
            expect![[r#"
                Some("other.key") TLS of listener "web" cannot be set up: the key in DIR/other.key does not belong to the first certificate in DIR/pair.pem; put the leaf first in the chain, or name the key it was issued for
                Some("text") TLS of listener "web" cannot be set up: DIR/text holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)
                Some("damaged.pem") TLS of listener "web" cannot be set up: DIR/damaged.pem is damaged PEM (`-----END CERTIFICATE-----` is missing); write it again, whole, with its BEGIN and END lines
                Some("text") TLS of upstream "app" cannot be set up: DIR/text holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)
                Some("other.key") TLS of upstream "app" cannot be set up: the key in DIR/other.key does not belong to the first certificate in DIR/pair.pem; put the leaf first in the chain, or name the key it was issued for
                Some("") the site of route "site" cannot be served: the fallback "nothere.html" is not a file in DIR: create it, or correct `fallback`
            "#]],
        );
    }

    #[test]
    fn what_can_be_run_passes() {
        check(
            r#"
                listener "web" {
                    address "127.0.0.1:0"
                    tls {
                        cert "pair.pem"; key "pair.key"; self-signed "localhost"
                        client-auth "optional" ca="pair.pem"
                    }
                }
                upstream "app" {
                    target "127.0.0.1:9"
                    tls { ca "pair.pem"; cert "pair.pem"; key "pair.key" }
                }
                route "app" { matches { path-prefix "/app" }; upstream "app" }
                route "site" { static "." { fallback "index.html" } }
            "#,
            expect![[r#""#]],
        );
    }
}
