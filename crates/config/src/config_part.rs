//! The top level of a config: all sections, and what holds between them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    Action, Agent, CORE, Code, Config, Id, PathPattern, Route, Telemetry, Upstream,
    agent::{AGENTS_MAX, AgentPart, Order, References, check_references, export_claims},
    audit::AuditPart,
    bounds::PROCESS,
    core::{ABOVE_MOUNT, CorePart, Settled},
    cursor::{Cursor, Switch},
    listener::ListenerPart,
    process::{AdminPart, LimitsPart, read_drain_timeout, read_workers},
    reading::{Problem, Reading, did_you_mean},
    route::RoutePart,
    source::{Span, Spanned, sound},
    telemetry::TelemetryPart,
    upstream::UpstreamPart,
};

/// A config as written.
pub(crate) struct ConfigPart {
    listeners: Vec<ListenerPart>,
    upstreams: Vec<UpstreamPart>,
    routes: Vec<RoutePart>,
    agents: Vec<AgentPart>,
    limits: LimitsPart,
    admin: Option<Switch<AdminPart>>,
    telemetry: TelemetryPart,
    core: Option<CorePart>,
    audit: Option<Switch<AuditPart>>,
    workers: Option<Spanned<usize>>,
    drain_timeout: Option<Spanned<Duration>>,
    has_unknown: bool,
}

impl ConfigPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            listeners: cursor.children(&["listener"], ListenerPart::read),
            upstreams: cursor.children(&["upstream"], UpstreamPart::read),
            routes: cursor.children(&["route"], RoutePart::read),
            agents: cursor.children(&["agent"], AgentPart::read),
            limits: cursor.child("limits", LimitsPart::read).unwrap_or_default(),
            admin: cursor.switch("admin", AdminPart::read),
            telemetry: cursor.child("telemetry", TelemetryPart::read).unwrap_or_default(),
            core: cursor.child("core", CorePart::read),
            audit: cursor.switch("audit", AuditPart::read),
            workers: cursor.child("workers", read_workers).flatten(),
            drain_timeout: cursor.child("drain-timeout", read_drain_timeout).flatten(),
            has_unknown: cursor.has_unread(),
        }
    }

    /// What can only be said of the whole: ids, addresses, references.
    pub(crate) fn check_references(&self, reading: &Reading<'_>) {
        check_ids(reading, ("listeners", self.listeners.iter().map(|part| &part.id)));
        check_ids(reading, ("upstreams", self.upstreams.iter().map(|part| &part.id)));
        check_ids(reading, ("routes", self.routes.iter().map(|part| &part.id)));
        check_ids(reading, ("agents", self.agents.iter().map(|part| &part.id)));
        self.check_addresses(reading);
        self.check_upstreams(reading);
        self.check_core(reading);
        let is_whole = !self.has_unknown && self.routes.iter().all(|route| !route.has_unknown);
        let (agents, routes) = (&self.agents, &self.routes);
        check_references(reading, &References { agents, routes, is_whole });
    }

    fn check_addresses(&self, reading: &Reading<'_>) {
        let mut first: BTreeMap<SocketAddr, Span> = BTreeMap::new();
        let admin = match &self.admin {
            Some(Switch::On(admin)) => admin.address(),
            _ => None,
        };
        let addresses = self.listeners.iter().filter_map(|part| part.address.as_ref());
        // Port 0 asks the system for a free port: never the same twice.
        for address in addresses.chain(admin).filter(|address| address.value.port() != 0) {
            if let Some(first) = first.get(&address.value) {
                let problem = Problem::new(Code::DuplicateAddress, "this address is taken")
                    .note("first written here", *first)
                    .help("give each listener, and `admin`, an address of its own");
                reading.error(address.span, problem);
            }
            first.entry(address.value).or_insert(address.span);
        }
    }

    fn check_upstreams(&self, reading: &Reading<'_>) {
        let known: BTreeMap<&str, Span> = self
            .upstreams
            .iter()
            .filter_map(|part| part.id.as_ref())
            .map(|id| (id.value.as_ref(), id.span))
            .collect();
        let mut unused = known.clone();
        for reference in self.routes.iter().flat_map(RoutePart::upstreams) {
            let name = reference.value.as_ref();
            unused.remove(name);
            if !known.contains_key(name) {
                let message = format!("there is no upstream `{name}`");
                let help = did_you_mean(name, known.keys().copied());
                let help = help.unwrap_or_else(|| format!("add `upstream \"{name}\" {{ … }}`"));
                reading.error(
                    reference.span,
                    Problem::new(Code::UnknownReference, message).help(help),
                );
            }
        }
        // A route or its action may be among the nodes that nobody knows.
        if self.has_unknown || self.routes.iter().any(|route| route.has_unknown) {
            return;
        }
        for (name, span) in unused {
            let problem =
                Problem::new(Code::UnusedUpstream, format!("no route uses upstream `{name}`"));
            let help = format!("add `upstream \"{name}\"` to a route, or remove it");
            reading.warning(Some(span), problem.help(help));
        }
    }

    fn check_core(&self, reading: &Reading<'_>) {
        if self.core.is_some() || self.has_unknown {
            return;
        }
        for span in self.routes.iter().filter_map(RoutePart::core) {
            let problem = Problem::new(Code::UnknownReference, "there is no `core`");
            reading.error(span, problem.help("add `core { data-dir \"./data\" }`"));
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<Config> {
        let Self {
            listeners,
            upstreams,
            routes,
            agents,
            limits,
            admin,
            telemetry,
            core,
            audit,
            workers,
            drain_timeout,
            has_unknown: _,
        } = self;
        let limits = limits.settle(reading);
        let admin = AdminPart::settle(admin, reading);
        let telemetry: Option<Telemetry> = telemetry.settle(reading);
        let upstreams: Vec<_> = upstreams
            .into_iter()
            .map(|part| part.settle(reading, limits.upstream_connections))
            .collect();
        let listeners: Vec<_> = listeners.into_iter().map(|part| part.settle(reading)).collect();
        let (agents, order, has_all_agents) = settle_agents(reading, agents);
        let routes: Vec<_> =
            routes.into_iter().map(|part| part.settle(reading, (&agents, &order))).collect();
        let by_id = |upstream: Arc<Upstream>| (upstream.id.clone(), upstream);
        let core = core.map(|part| part.settle(reading, limits.upstream_connections));
        let mut upstreams: BTreeMap<_, _> =
            upstreams.into_iter().map(|one| one.map(by_id)).collect::<Option<_>>()?;
        let mut routes: Vec<Arc<Route>> = routes.into_iter().collect::<Option<_>>()?;
        let core = sound(core)?.map(|Settled { core, upstream, mount }| {
            routes.iter_mut().for_each(|route| lift(route, &core.path));
            routes.push(mount);
            upstreams.insert(upstream.id.clone(), upstream);
            core
        });
        let audit = AuditPart::settle(audit, reading, (core.as_ref(), &agents));
        Some(Config {
            listeners: listeners.into_iter().collect::<Option<_>>()?,
            upstreams,
            routes,
            agents: has_all_agents.then_some(agents)?,
            limits,
            admin,
            telemetry: telemetry?,
            core,
            audit,
            workers: reading.settle(PROCESS, "workers", workers, reading.env.cores()),
            drain_timeout: reading.settle(
                PROCESS,
                "drain-timeout",
                drain_timeout,
                Duration::from_secs(30),
            ),
            files: reading.files(),
            origins: crate::Origins::default(),
        })
    }
}

/// Lifts a route above the core's mount that names the core and lies within its path: what the
/// operator says of a part of the core goes before what holds for all of it.
fn lift(route: &mut Arc<Route>, mount: &str) {
    let is_within = |path: &PathPattern| match path {
        PathPattern::Exact(path) | PathPattern::Prefix(path) => {
            path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathPattern::Regex(_) => false,
    };
    let is_core = matches!(&route.action, Action::Upstream(id) if **id == *CORE);
    let paths = &route.matches.paths;
    if is_core && !paths.is_empty() && paths.iter().all(is_within) {
        Arc::make_mut(route).priority += ABOVE_MOUNT;
    }
}

/// The agents that are sound, their order, and whether these are all.
fn settle_agents(
    reading: &Reading<'_>,
    parts: Vec<AgentPart>,
) -> (BTreeMap<Id, Arc<Agent>>, Order, bool) {
    let count = parts.len();
    // More have their error already; the order of very many would take long.
    let settled = parts.into_iter().take(AGENTS_MAX).filter_map(|part| part.settle(reading));
    let mut agents: BTreeMap<Id, Agent> = settled.map(|agent| (agent.id.clone(), agent)).collect();
    let after = agents.iter().map(|(id, agent)| (id.clone(), agent.after.clone()));
    let order = Order::new(&after.collect());
    export_claims(&mut agents, &order);
    let has_all = agents.len() == count;
    (agents.into_iter().map(|(id, agent)| (id, Arc::new(agent))).collect(), order, has_all)
}

fn check_ids<'p>(
    reading: &Reading<'_>,
    (kind, ids): (&str, impl Iterator<Item = &'p Option<Spanned<Id>>>),
) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for id in ids.flatten() {
        if let Some(first) = first.get(id.value.as_ref()) {
            let message = format!("two {kind} have the id `{}`", id.value);
            let problem = Problem::new(Code::DuplicateId, message)
                .note("first written here", *first)
                .help("give one of them another id");
            reading.error(id.span, problem);
        }
        first.entry(&id.value).or_insert(id.span);
    }
}
