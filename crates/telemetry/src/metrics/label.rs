use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use super::{
    AgentLabel, BreakerState, ConnectError, Handshake, Health,
    agent::Agent,
    cell::{Counter, Gauge, Histogram},
    tokens::Tokens,
};
use crate::exchange::Protocol;

pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "other"];
/// The last is for exchanges that ended before a status was sent.
pub(super) const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
pub(super) const REQUEST_SERIES: usize = METHODS.len() * Protocol::ALL.len() * STATUS_CLASSES.len();
/// Listeners counted apart within one route and core; those beyond count as one without a name.
const LISTENERS_MAX: usize = 64;

/// The names that one config gives, in the order in which the caller will look them up.
#[derive(Clone, Debug, Default)]
pub struct Labels<'a> {
    /// Ids of listeners.
    pub listeners: Vec<&'a str>,
    /// Ids of routes.
    pub routes: Vec<&'a str>,
    /// Upstreams.
    pub upstreams: Vec<UpstreamLabels<'a>>,
    /// Ids of agents.
    pub agents: Vec<&'a str>,
}

/// An upstream's names.
#[derive(Clone, Debug, Default)]
pub struct UpstreamLabels<'a> {
    /// Its id.
    pub id: &'a str,
    /// Addresses of its targets.
    pub targets: Vec<String>,
}

/// One listener's counts.
pub type ListenerLabel = Arc<Label<ListenerCells>>;
/// One route's counts.
pub type RouteLabel = Arc<Label<RouteCells>>;
/// One upstream's counts.
pub type UpstreamLabel = Arc<Label<UpstreamCells>>;

/// A config's labels, each at the index at which [`Labels`] named it.
#[derive(Debug, Default)]
pub struct Registered {
    pub(crate) listeners: Vec<ListenerLabel>,
    pub(crate) routes: Vec<RouteLabel>,
    pub(crate) upstreams: Vec<UpstreamLabel>,
    pub(crate) targets: Vec<Vec<TargetLabel>>,
    pub(crate) agents: Vec<AgentLabel>,
}

impl Registered {
    /// Labels for `names`, with the counts of those that `before` had.
    pub(crate) fn following(before: &Self, names: &Labels<'_>, cores: usize) -> Self {
        let upstreams: Vec<_> = names.upstreams.iter().map(|upstream| upstream.id).collect();
        Self {
            listeners: following(&before.listeners, &names.listeners, cores),
            routes: following(&before.routes, &names.routes, cores),
            upstreams: following(&before.upstreams, &upstreams, cores),
            targets: names.upstreams.iter().map(|one| targets(&one.targets)).collect(),
            agents: agents(&before.agents, &names.agents),
        }
    }

    /// The listener at `index`.
    ///
    /// # Panics
    /// When the labels registered have no such index; so do the other four.
    pub fn listener(&self, index: usize) -> &ListenerLabel {
        &self.listeners[index]
    }

    /// The route at `index`.
    pub fn route(&self, index: usize) -> &RouteLabel {
        &self.routes[index]
    }

    /// The upstream at `index`.
    pub fn upstream(&self, index: usize) -> &UpstreamLabel {
        &self.upstreams[index]
    }

    /// The targets of the upstream at `index`, in the order given.
    pub fn targets(&self, index: usize) -> &[TargetLabel] {
        &self.targets[index]
    }

    /// The agent at `index`.
    pub fn agent(&self, index: usize) -> &AgentLabel {
        &self.agents[index]
    }
}

fn following<C: Default>(
    before: &[Arc<Label<C>>],
    names: &[&str],
    cores: usize,
) -> Vec<Arc<Label<C>>> {
    let known: HashMap<&str, &Arc<Label<C>>> =
        before.iter().map(|label| (label.id(), label)).collect();
    let label = |name: &&str| match known.get(*name) {
        Some(label) => Arc::clone(label),
        None => Arc::new(Label::new(name, cores)),
    };
    names.iter().map(label).collect()
}

fn agents(before: &[AgentLabel], names: &[&str]) -> Vec<AgentLabel> {
    let label = |name: &&str| match before.iter().find(|known| known.id() == *name) {
        Some(known) => Arc::clone(known),
        None => Arc::new(Agent::new(name)),
    };
    names.iter().map(label).collect()
}

fn targets(addresses: &[String]) -> Vec<TargetLabel> {
    let label = |address: &String| TargetLabel {
        address: address.as_str().into(),
        health: Arc::new(AtomicU8::new(Health::Healthy as u8)),
    };
    addresses.iter().map(label).collect()
}

/// A name and, for each core, the cells that are counted under it.
#[derive(Debug)]
pub struct Label<C> {
    id: Box<str>,
    cores: Box<[OnceLock<Arc<C>>]>,
    breaker: AtomicU8,
}

impl<C: Default> Label<C> {
    pub(crate) fn new(id: &str, cores: usize) -> Self {
        let cores = (0..cores).map(|_| OnceLock::new()).collect();
        Self { id: id.into(), cores, breaker: AtomicU8::new(BreakerState::Closed as u8) }
    }

    /// The operator's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The cells of `core`; made when it first counts here, so that routes nobody asks for cost little.
    #[inline]
    pub(crate) fn cells(&self, core: usize) -> &Arc<C> {
        self.cores[core].get_or_init(Arc::default)
    }

    /// The cells of all cores that have counted here.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<C>> {
        self.cores.iter().filter_map(OnceLock::get)
    }
}

impl Label<UpstreamCells> {
    /// Tells the state of the upstream's breaker; from any thread.
    pub fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Relaxed);
    }

    pub(super) fn breaker(&self) -> u8 {
        self.breaker.load(Relaxed)
    }
}

/// One target's health.
#[derive(Clone, Debug)]
pub struct TargetLabel {
    pub(super) address: Box<str>,
    health: Arc<AtomicU8>,
}

impl TargetLabel {
    /// Tells its health; from any thread. It begins healthy.
    pub fn set_health(&self, health: Health) {
        self.health.store(health as u8, Relaxed);
    }

    pub(super) fn health(&self) -> u8 {
        self.health.load(Relaxed)
    }
}

/// What one core counts of no label in particular.
#[derive(Debug, Default)]
pub struct CoreCells {
    pub(super) refusals: Tokens<128>,
    /// Misses, then hits.
    pub(super) route_cache: [Counter; 2],
}

/// What one core counts of a listener.
#[derive(Debug, Default)]
pub struct ListenerCells {
    pub(crate) accepted: Counter,
    pub(crate) handshakes: [Counter; Handshake::NAMES.len()],
    pub(super) refused: Tokens<16>,
    gauges: [Gauge; 2],
}

impl ListenerCells {
    pub(crate) fn refuse(&self, reason: &str) {
        self.refused.add(reason);
    }

    pub(crate) fn gauge(&self, which: ListenerGauge) -> &Gauge {
        &self.gauges[which as usize]
    }
}

/// What is open on a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListenerGauge {
    Connections,
    InFlight,
}

/// What one core counts of an upstream.
#[derive(Debug, Default)]
pub struct UpstreamCells {
    pub(super) requests: [Counter; STATUS_CLASSES.len()],
    pub(super) retries: Counter,
    pub(super) reused: Counter,
    pub(super) first_byte: Histogram,
    pub(crate) connect_errors: [Counter; ConnectError::NAMES.len()],
    gauges: [Gauge; 3],
}

impl UpstreamCells {
    pub(crate) fn gauge(&self, which: UpstreamGauge) -> &Gauge {
        &self.gauges[which as usize]
    }
}

/// What is open towards an upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UpstreamGauge {
    Connections,
    Idle,
    Waiting,
}

/// What one core counts of a route.
#[derive(Debug, Default)]
pub struct RouteCells {
    pub(super) duration: Histogram,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
    first: OnceLock<Box<ByListener>>,
}

/// Requests of one listener to a route, as a list: nearly always one long.
#[derive(Debug)]
pub(super) struct ByListener {
    /// `None`: the last of a full list, for all that found no place.
    pub(super) listener: Option<ListenerLabel>,
    pub(super) requests: [Counter; REQUEST_SERIES],
    next: OnceLock<Box<ByListener>>,
}

impl RouteCells {
    /// Counts of the requests that came through `listener`, by [`series_of`].
    #[inline]
    pub(super) fn requests(&self, listener: &ListenerLabel) -> &[Counter; REQUEST_SERIES] {
        let mut place = &self.first;
        for _ in 1..LISTENERS_MAX {
            let found = place.get_or_init(|| ByListener::new(Some(listener)));
            if found.listener.as_ref().is_some_and(|known| Arc::ptr_eq(known, listener)) {
                return &found.requests;
            }
            place = &found.next;
        }
        &place.get_or_init(|| ByListener::new(None)).requests
    }

    pub(super) fn by_listener(&self) -> impl Iterator<Item = &ByListener> {
        std::iter::successors(self.first.get(), |one| one.next.get()).map(|one| &**one)
    }
}

impl ByListener {
    fn new(listener: Option<&ListenerLabel>) -> Box<Self> {
        Box::new(Self {
            listener: listener.cloned(),
            requests: [const { Counter::new() }; REQUEST_SERIES],
            next: OnceLock::new(),
        })
    }
}

/// Index of a request's counter; [`series_names`] is its inverse.
#[inline]
pub(super) fn series_of(method: &[u8], protocol: Protocol, status: Option<u16>) -> usize {
    (method_index(method) * Protocol::ALL.len() + protocol as usize) * STATUS_CLASSES.len()
        + status_class(status)
}

/// Method, protocol and status class of a counter.
pub(super) fn series_names(series: usize) -> (&'static str, &'static str, &'static str) {
    let (rest, class) = (series / STATUS_CLASSES.len(), series % STATUS_CLASSES.len());
    let (method, protocol) = (rest / Protocol::ALL.len(), rest % Protocol::ALL.len());
    (METHODS[method], Protocol::ALL[protocol].name(), STATUS_CLASSES[class])
}

/// Index into [`STATUS_CLASSES`].
#[inline]
pub(super) fn status_class(status: Option<u16>) -> usize {
    match status {
        Some(status @ 100..=599) => usize::from(status / 100 - 1),
        _ => STATUS_CLASSES.len() - 1,
    }
}

#[inline]
fn method_index(method: &[u8]) -> usize {
    match method {
        b"GET" => 0,
        b"HEAD" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"DELETE" => 4,
        b"OPTIONS" => 5,
        b"PATCH" => 6,
        b"CONNECT" => 7,
        b"TRACE" => 8,
        _ => METHODS.len() - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_reads_back() {
        for (index, method) in METHODS.iter().enumerate() {
            for protocol in Protocol::ALL {
                for (class, status) in [100, 204, 301, 404, 503, 600].into_iter().enumerate() {
                    let series = series_of(method.as_bytes(), protocol, Some(status));
                    let names = (METHODS[index], protocol.name(), STATUS_CLASSES[class]);
                    assert_eq!(series_names(series), names);
                }
            }
        }
        assert_eq!(series_names(series_of(b"get", Protocol::Http2, None)).0, "other");
        assert_eq!(series_names(series_of(b"GET", Protocol::Http2, None)).2, "none");
    }

    #[test]
    fn counts_survive_a_new_config() {
        let names = |routes| Labels { routes, ..Labels::default() };
        let first = Registered::following(&Registered::default(), &names(vec!["a", "b"]), 1);
        first.route(1).cells(0).bytes_in.add(7);
        let second = Registered::following(&first, &names(vec!["c", "b"]), 1);
        assert_eq!(second.route(1).cells(0).bytes_in.get(), 7);
        assert_eq!(second.route(0).all().count(), 0);
    }

    #[test]
    fn listeners_of_a_route_are_bounded() {
        let cells = RouteCells::default();
        for n in 0..LISTENERS_MAX + 9 {
            let listener = Arc::new(Label::new(&n.to_string(), 1));
            cells.requests(&listener)[0].add(1);
        }
        let counts: Vec<_> = cells.by_listener().map(|one| one.requests[0].get()).collect();
        assert_eq!(counts.len(), LISTENERS_MAX);
        assert_eq!(counts[LISTENERS_MAX - 1], 10);
    }
}
