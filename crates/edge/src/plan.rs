//! A config made ready to run: compiled routes, upstream state, certificates. Shared by all cores.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Instant};

use selvedge_config::{Action, Config, Id, Listener, Route, Upstream};
use selvedge_routing::Router;
use selvedge_telemetry::{Hub, Labels, Registered, UpstreamLabels};

use crate::{
    bounds::Gauge,
    site::{SiteError, SiteFolder},
    tls::{ClientTls, ServerTls, TlsError},
    upstream::{pool::SharedUpstream, target::UpstreamState},
};

/// What one config means at run time.
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) router: Router,
    pub(crate) listeners: Vec<ListenerPlan>,
    pub(crate) labels: Arc<Registered>,
    pub(crate) upstreams: Vec<SharedUpstream>,
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
    /// A static site cannot be opened.
    Site(SiteError),
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
            Self::Site(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ListenerTls { source, .. } | Self::UpstreamTls { source, .. } => Some(source),
            Self::Site(error) => std::error::Error::source(error),
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
        let positions: HashMap<&Id, usize> =
            config.upstreams.keys().enumerate().map(|(i, id)| (id, i)).collect();
        let routes = config
            .routes
            .iter()
            .map(|route| {
                let (upstream, folder) = match &route.action {
                    Action::Upstream(id) => (positions.get(id).copied(), None),
                    Action::Static(site) => {
                        (None, Some(SiteFolder::open(site).map_err(PlanError::Site)?))
                    }
                    Action::Redirect(_) | Action::Respond(_) => (None, None),
                };
                let in_flight = carried_gauge(previous, &route.id);
                Ok(RoutePlan { route: route.clone(), upstream, folder, in_flight })
            })
            .collect::<Result<_, _>>()?;
        let labels = parts.hub.register(&labels(&config, &upstreams));
        Ok(Self { router: Router::new(&config), listeners, labels, upstreams, routes, config })
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

fn labels<'a>(config: &'a Config, upstreams: &'a [SharedUpstream]) -> Labels<'a> {
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
