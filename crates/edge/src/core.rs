//! One core of the edge: everything that its requests touch, without a lock.

use std::{
    cell::{Cell, RefCell},
    fmt,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use selvedge_config::{Id, Limits};
use selvedge_http1::{RequestHead, ResponseHead};
use selvedge_routing::RouteCache;
use selvedge_telemetry::{Hub, Level};
use tokio::time::timeout_at;

use crate::{
    agent::{call::CoreAgent, state::AgentState},
    audit::{Lane, events},
    bounds::Bounds,
    crew::Crew,
    deadline::Deadlines,
    plan::Plan,
    serve::Stream,
    site::{FileReads, Site, SiteFolder},
    transport::BufferPool,
    upstream::{
        breaker,
        connect::Resolver,
        ejection,
        pool::{CoreUpstream, PoolQueue, Room},
        target::UpstreamState,
    },
};

/// State of one core. Lives on one thread.
pub(crate) struct Core {
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) upstream_buffers: Rc<BufferPool>,
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) pool_queue: PoolQueue,
    /// HTTP/2 streams of clients.
    pub(crate) streams: Rc<Crew<Stream>>,
    pub(crate) resolver: Resolver,
    pub(crate) file_reads: FileReads,
    pub(crate) telemetry: selvedge_telemetry::Core,
    /// What is told the audit log. `None`: nobody listens.
    pub(crate) audit: Option<Lane>,
    /// Set once the process is to end.
    pub(crate) draining: Cell<bool>,
    snapshot: RefCell<Rc<Snapshot>>,
    /// Agents that the next config asks.
    coming: RefCell<Vec<Rc<CoreAgent>>>,
    #[expect(clippy::vec_box, reason = "it is lent by its pointer, not copied")]
    scratch: RefCell<Vec<Box<Scratch>>>,
    date: RefCell<(u64, String)>,
    /// The same moment on both clocks.
    wall: Cell<(Instant, SystemTime)>,
}

/// The config in force, as one core runs it.
pub(crate) struct Snapshot {
    pub(crate) plan: Arc<Plan>,
    pub(crate) upstreams: Vec<PlacedUpstream>,
    /// Agents by their position in the plan.
    pub(crate) agents: Vec<Rc<CoreAgent>>,
    /// Sites by the position of their route.
    pub(crate) sites: Vec<Option<Rc<Site>>>,
    pub(crate) route_cache: RefCell<RouteCache>,
}

/// An upstream in one config. What is open to its targets may be older than that config.
pub(crate) struct PlacedUpstream {
    /// Position in the plan's list of upstreams.
    pub(crate) index: usize,
    upstream: Rc<CoreUpstream>,
}

impl Deref for PlacedUpstream {
    type Target = CoreUpstream;

    fn deref(&self) -> &CoreUpstream {
        &self.upstream
    }
}

/// Memory that an exchange borrows.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
}

/// Heads kept when nobody needs them.
const SCRATCH_MAX: usize = 128;
/// Bytes that one read may bring, at least.
const BUFFER_MIN: usize = 16 << 10;

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) plan: Arc<Plan>,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) telemetry: selvedge_telemetry::Core,
    pub(crate) audit: Option<Lane>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let mut rng = fastrand::Rng::new();
        let (client_buffer, upstream_buffer) = buffer_sizes(&parts.plan.config.limits);
        let agents = agents_of(&parts.plan, &[], &parts.telemetry.hub());
        let snapshot = Snapshot::new(parts.plan, None, agents, &mut rng);
        Rc::new(Self {
            bounds: parts.bounds,
            deadlines: Deadlines::new(Instant::now()),
            buffers: BufferPool::new(client_buffer),
            upstream_buffers: BufferPool::new(upstream_buffer),
            rng: RefCell::new(rng),
            pool_queue: PoolQueue::default(),
            streams: Crew::new(),
            resolver: Resolver::default(),
            file_reads: FileReads::new(),
            telemetry: parts.telemetry,
            audit: parts.audit,
            draining: Cell::new(false),
            snapshot: RefCell::new(Rc::new(snapshot)),
            coming: RefCell::default(),
            scratch: RefCell::default(),
            date: RefCell::default(),
            wall: Cell::new((Instant::now(), SystemTime::now())),
        })
    }

    /// The config in force. A request takes it once and keeps it.
    pub(crate) fn snapshot(&self) -> Rc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Makes agents ready for the config that comes next, and tells which are not when `within` is over.
    pub(crate) fn prepare(
        &self,
        agents: &[Arc<AgentState>],
        within: Duration,
    ) -> impl Future<Output = Vec<Id>> + use<> {
        let (snapshot, hub) = (self.snapshot(), self.telemetry.hub());
        let prepare = |state| CoreAgent::prepare(state, &snapshot.agents, &hub);
        let coming: Vec<_> = agents.iter().map(prepare).collect();
        *self.coming.borrow_mut() = coming.clone();
        let until = tokio::time::Instant::now() + within;
        async move {
            let mut missing = Vec::new();
            for CoreAgent { state, link } in coming.iter().map(|agent| &**agent) {
                if timeout_at(until, link.has_settings(state.generation)).await.is_err() {
                    missing.push(state.config.id.clone());
                }
            }
            missing
        }
    }

    /// Puts another config in force for the requests that come.
    pub(crate) fn swap(&self, plan: Arc<Plan>) {
        let previous = self.snapshot();
        let known = [&previous.agents[..], &self.coming.take()].concat();
        let agents = agents_of(&plan, &known, &self.telemetry.hub());
        let next = Snapshot::new(plan, Some(&previous), agents, &mut self.rng.borrow_mut());
        let (client_buffer, upstream_buffer) = buffer_sizes(&next.plan.config.limits);
        self.buffers.resize(client_buffer);
        self.upstream_buffers.resize(upstream_buffer);
        *self.snapshot.borrow_mut() = Rc::new(next);
    }

    /// Work done now and then: expired deadlines, pools, telemetry.
    pub(crate) fn tick(&self, now: Instant) {
        self.deadlines.tick(now);
        self.pool_queue.wake_all();
    }

    /// Work done less often: idle connections, the access log.
    pub(crate) fn tick_slow(&self, now: Instant) {
        self.telemetry.tick();
        self.wall.set((now, SystemTime::now()));
        let snapshot = self.snapshot();
        let room = Room::new(self, &snapshot);
        snapshot.upstreams.iter().for_each(|upstream| upstream.tick(now, &room));
    }

    /// The wall clock at `instant`, a moment ago.
    pub(crate) fn wall_clock(&self, instant: Instant) -> SystemTime {
        let (then, wall) = self.wall.get();
        wall + instant.saturating_duration_since(then)
    }

    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_scratch(&self, scratch: Box<Scratch>) {
        let mut free = self.scratch.borrow_mut();
        if free.len() < SCRATCH_MAX {
            free.push(scratch);
        }
    }

    /// The current date as `Date` wants it (RFC 9110 §5.6.7); formatted once a second.
    pub(crate) fn with_date<T>(&self, use_date: impl FnOnce(&str) -> T) -> T {
        let (_, now) = self.wall.get();
        let seconds =
            now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let mut date = self.date.borrow_mut();
        if date.0 != seconds {
            *date = (seconds, httpdate::fmt_http_date(now));
        }
        use_date(&date.1)
    }

    /// Says something that an operator should look at tomorrow.
    pub(crate) fn warn(&self, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.telemetry.hub().event(Level::Warn, message, fields);
    }

    /// Tells of a target that was ejected or came back.
    pub(crate) fn report_ejection(
        &self,
        upstream: &UpstreamState,
        target: usize,
        event: &ejection::Event,
    ) {
        let hub = self.telemetry.hub();
        let (id, target) = (&upstream.config.id, upstream.target(target).label());
        match event {
            ejection::Event::Ejected { rest, times } => {
                // With none left, all that the active check lets pass are used all the same.
                let now = Instant::now();
                let left = upstream.targets.iter().filter(|target| target.is_available(now));
                let (rest, left) = (rest.as_secs_f64(), left.count());
                let fields: [(&str, &dyn fmt::Display); 5] = [
                    ("upstream", id),
                    ("target", &target),
                    ("rest_s", &rest),
                    ("times", times),
                    ("left", &left),
                ];
                hub.event(Level::Warn, "target ejected", &fields);
            }
            ejection::Event::Spared => {
                let message = "target fails and stays, as too many others rest";
                hub.event(Level::Warn, message, &[("upstream", id), ("target", &target)]);
            }
            ejection::Event::Recovered => {
                let fields: [(&str, &dyn fmt::Display); 2] =
                    [("upstream", id), ("target", &target)];
                hub.event(Level::Info, "target recovered", &fields);
            }
        }
    }

    /// Tells of a circuit breaker that changed its state.
    pub(crate) fn report_breaker(&self, upstream: &UpstreamState, change: Option<breaker::Change>) {
        let Some(change) = change else { return };
        let hub = self.telemetry.hub();
        let id = &upstream.config.id;
        self.tell_of_breaker(("upstream", id), change);
        match change {
            breaker::Change::Opened { rest } | breaker::Change::Reopened { rest } => {
                let rest = rest.as_secs_f64();
                let fields: [(&str, &dyn fmt::Display); 2] = [("upstream", id), ("rest_s", &rest)];
                hub.event(Level::Warn, "circuit breaker opened", &fields);
            }
            breaker::Change::HalfOpened => {
                hub.event(Level::Info, "circuit breaker lets probes pass", &[("upstream", id)]);
            }
            breaker::Change::Closed => {
                hub.event(Level::Info, "circuit breaker closed", &[("upstream", id)]);
            }
        }
    }

    /// Tells of an agent's circuit breaker that changed its state.
    pub(crate) fn report_agent_breaker(&self, agent: &Id, change: Option<breaker::Change>) {
        let Some(change) = change else { return };
        self.tell_of_breaker(("agent", agent), change);
        self.warn(
            "circuit breaker of an agent",
            &[("agent", agent), ("change", &format_args!("{change:?}"))],
        );
    }

    fn tell_of_breaker(&self, whose: (&str, &Id), change: breaker::Change) {
        let is_kept = self.snapshot().plan.config.audit.is_some();
        if let Some(lane) = self.audit.as_ref().filter(|_| is_kept) {
            lane.tell(|| events::breaker(whose, change));
        }
    }

    /// Begins the end: idle connections close, the others after their exchange.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
        self.deadlines.expire_idle();
    }
}

/// Of the inputs of clients and of upstreams: a whole head has to fit.
fn buffer_sizes(limits: &Limits) -> (usize, usize) {
    let size = |head: u64| (head as usize).max(BUFFER_MIN);
    (size(limits.head.0), size(limits.response_head.0))
}

/// The agents of `plan` on this core; of the `known` ones, those that stay go on.
fn agents_of(plan: &Plan, known: &[Rc<CoreAgent>], hub: &Hub) -> Vec<Rc<CoreAgent>> {
    plan.agents.iter().map(|state| CoreAgent::new(state, known, hub)).collect()
}

impl Snapshot {
    /// Nothing here can fail: what can has been done for the plan.
    fn new(
        plan: Arc<Plan>,
        previous: Option<&Self>,
        agents: Vec<Rc<CoreAgent>>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let upstreams = plan
            .upstreams
            .iter()
            .enumerate()
            .map(|(index, shared)| {
                let kept = previous
                    .into_iter()
                    .flat_map(|previous| &previous.upstreams)
                    .find(|placed| Arc::ptr_eq(&placed.state, &shared.state))
                    .map(|placed| placed.upstream.clone());
                let upstream = kept.unwrap_or_else(|| Rc::new(CoreUpstream::new(shared, rng)));
                PlacedUpstream { index, upstream }
            })
            .collect();
        let now = Instant::now();
        let site = |folder: &SiteFolder| Rc::new(folder.site(now));
        let sites = plan.routes.iter().map(|planned| planned.folder.as_ref().map(site)).collect();
        let route_cache = RefCell::new(RouteCache::new(plan.config.limits.route_cache));
        Self { plan, upstreams, agents, sites, route_cache }
    }
}
