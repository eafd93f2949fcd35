//! Every bound with its value, its origin and what happens there.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use selvedge_base::format_duration;

use crate::{
    Agent, AgentProcess, AgentSettings, Audit, Breaker, CORE, Config, CoreAudit, CoreLimits,
    CoreStreams, CoreSync, Ejection, GuestRule, HealthCheck, Id, Limits, Listener, Origin, Otlp,
    Route, Upstream, auth, rate_limit, schema, waf,
};

/// Scope of what concerns the whole process.
pub(crate) const PROCESS: &str = "process";

/// One bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// As written in the config, such as `timeouts idle`.
    pub name: &'static str,
    /// `process`, or the block such as `route "api"`.
    pub scope: String,
    /// With its unit; `none` where nothing is bounded but by others.
    pub value: String,
    /// Where it comes from.
    pub origin: BoundOrigin,
    /// What happens at the bound.
    pub at_bound: &'static str,
}

/// Where a bound comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundOrigin {
    /// Nobody wrote it.
    Default,
    /// Written here.
    Written(Origin),
    /// No config sets it.
    Fixed,
}

impl fmt::Display for BoundOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Written(origin) => write!(f, "{}:{}", origin.file, origin.line),
            Self::Fixed => f.write_str("fixed"),
        }
    }
}

/// Where bounds are written that are not defaults, and where files and folders are named.
///
/// All are equal: where something is written does not change what a config means.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    bounds: BTreeMap<String, BTreeMap<&'static str, Origin>>,
    paths: BTreeMap<PathBuf, crate::Place>,
}

impl Origins {
    pub(crate) fn insert(&mut self, scope: &str, name: &'static str, origin: Origin) {
        if let Some(names) = self.bounds.get_mut(scope) {
            names.insert(name, origin);
        } else {
            self.bounds.insert(scope.to_owned(), BTreeMap::from([(name, origin)]));
        }
    }

    pub(crate) fn insert_path(&mut self, path: PathBuf, place: crate::Place) {
        self.paths.entry(path).or_insert(place);
    }

    /// Where the config names a file or folder that it demands to be there: the first place, if
    /// there are several.
    pub fn of_path(&self, path: &Path) -> Option<&crate::Place> {
        self.paths.get(path)
    }

    fn get(&self, scope: &str, name: &'static str) -> BoundOrigin {
        let origin = self.bounds.get(scope).and_then(|names| names.get(name));
        origin.map_or(BoundOrigin::Default, |origin| BoundOrigin::Written(origin.clone()))
    }
}

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Every bound of `config`: the process first, then listeners, upstreams, routes, agents.
pub fn bounds(config: &Config) -> Vec<Bound> {
    let mut table = Table { origins: &config.origins, scope: PROCESS.to_owned(), rows: Vec::new() };
    process(&mut table, config);
    for listener in &config.listeners {
        table.enter("listener", &listener.id);
        listener_bounds(&mut table, listener);
    }
    core_bounds(&mut table, config);
    for upstream in config.upstreams.values().filter(|upstream| *upstream.id != *CORE) {
        table.enter("upstream", &upstream.id);
        upstream_bounds(&mut table, upstream);
    }
    for route in config.routes.iter().filter(|route| *route.id != *CORE) {
        table.enter("route", &route.id);
        route_bounds(&mut table, route);
    }
    for agent in config.agents.values() {
        table.enter("agent", &agent.id);
        agent_bounds(&mut table, agent);
    }
    table.rows
}

struct Table<'c> {
    origins: &'c Origins,
    scope: String,
    rows: Vec<Bound>,
}

impl Table<'_> {
    fn enter(&mut self, kind: &str, id: &str) {
        self.scope = format!("{kind} {id:?}");
    }

    /// A part of a block that has an id or a name of its own.
    fn enter_part(&mut self, kind: &str, id: &str, (part, name): (&str, &str)) {
        self.scope = format!("{kind} {id:?} {part} {name:?}");
    }

    fn row(&mut self, name: &'static str, value: impl fmt::Display, at_bound: &'static str) {
        let origin = self.origins.get(&self.scope, name);
        let row =
            Bound { name, scope: self.scope.clone(), value: value.to_string(), origin, at_bound };
        self.rows.push(row);
    }

    fn time(&mut self, name: &'static str, value: Duration, at_bound: &'static str) {
        self.row(name, format_duration(value), at_bound);
    }
}

fn process(table: &mut Table<'_>, config: &Config) {
    let Limits {
        connections,
        connections_per_address,
        head,
        head_fields,
        in_flight,
        upstream_connections,
        route_cache,
        response_head,
    } = &config.limits;
    table.row("limits connections", connections, "refused, counted");
    table.row("limits connections-per-address", connections_per_address, "refused, counted");
    table.row("limits head", head, "431");
    table.row("limits head-fields", head_fields, "431");
    table.row("limits in-flight", in_flight, "503 with Retry-After");
    table.row(
        "limits upstream-connections",
        upstream_connections,
        "wait bounded by the connect timeout, then 503",
    );
    table.row("limits route-cache", route_cache, "the least recently used entry goes");
    table.row("limits response-head", response_head, "502");
    table.row("workers", config.workers, "one thread and one runtime each; connections share them");
    table.time("drain-timeout", config.drain_timeout, "requests still running are cut");
    if let Some(Otlp { queue, .. }) = &config.telemetry.otlp {
        table.row("telemetry otlp queue", queue, "the newest spans are dropped and counted");
    }
    if let Some(Audit { dir: _, spool, sample: _ }) = &config.audit {
        table.row("audit spool", spool, "the newest events are dropped and counted in one entry");
    }
}

fn listener_bounds(table: &mut Table<'_>, listener: &Listener) {
    let timeouts = &listener.timeouts;
    if listener.tls.is_some() || !listener.proxy_protocol.is_empty() {
        table.time("timeouts handshake", timeouts.handshake, "the connection closes");
    }
    table.time("timeouts head", timeouts.head, "408, then the connection closes");
    table.time("timeouts body", timeouts.body, "408, then the connection closes");
    table.time("timeouts write", timeouts.write, "the connection closes");
    table.time("timeouts idle", timeouts.idle, "the connection closes");
    if listener.http2 {
        let http2 = &listener.http2_limits;
        table.row("http2 streams", http2.streams, "REFUSED_STREAM");
        table.row("http2 pending-resets", http2.pending_resets, "GOAWAY (ENHANCE_YOUR_CALM)");
        table.row("http2 stream-window", http2.stream_window, "the client waits");
        table.row("http2 connection-window", http2.connection_window, "the client waits");
    }
}

fn core_bounds(table: &mut Table<'_>, config: &Config) {
    let Some((upstream, mount)) = config.core_as_served() else { return };
    table.scope = "core".to_owned();
    table.row("limits connections", upstream.pool.connections, "wait, then 503 with Retry-After");
    if let Some(process) = config.core.as_ref().and_then(crate::Core::process) {
        let CoreLimits { connections: _, in_flight, body: _ } = process.limits;
        table.row("limits in-flight", in_flight, "503 with Retry-After");
        stream_bounds(table, &process.streams);
        process.sync.iter().for_each(|sync| sync_bounds(table, sync));
        audit_bounds(table, &process.audit);
    }
    table.row("limits body", mount.limits.body, "413");
    let timeouts = &upstream.timeouts;
    table.time("timeouts connect", timeouts.connect, "503 with Retry-After");
    table.time("timeouts first-byte", timeouts.first_byte, "504");
    table.time("timeouts idle", timeouts.idle, "the response is cut");
    let sync = config.core.as_ref().and_then(crate::Core::process).and_then(|it| it.sync.as_ref());
    sync.iter().flat_map(|sync| &sync.guests).for_each(|guests| guest_bounds(table, guests));
}

fn stream_bounds(table: &mut Table<'_>, streams: &CoreStreams) {
    table.row("streams append", streams.append, "413");
    table.row("streams append-rate", optional(streams.append_rate), "429 with Retry-After");
    table.row("streams page", streams.page, "the reader asks again for the rest");
    table.time("streams long-poll", streams.long_poll, "204");
    table.time("streams events", streams.events, "the connection ends; the reader comes back");
    table.row("streams followers", streams.followers, "503; at half for one tenant or caller 429");
    table.row("streams per-tenant", optional(streams.per_tenant), "429");
    table.row("streams age", optional_time(streams.age), "older records are given up");
    table.row("streams size", optional(streams.size), "a stream's oldest records are given up");
}

fn sync_bounds(table: &mut Table<'_>, sync: &CoreSync) {
    let per_s = |rate: Option<usize>| optional(rate.map(|rate| format!("{rate}/s")));
    table.row("sync connections", sync.connections, "503 with Retry-After");
    table.row("sync channels", sync.channels, "CLOSED, limit");
    table.row("sync tenant-channels", optional(sync.tenant_channels), "CLOSED, limit");
    table.row("sync per-tenant", optional(sync.per_tenant), "pushes to new ones: quota");
    table.row("sync document", sync.document, "pushes: quota");
    table.row("sync push-rate", per_s(Some(sync.push_rate)), "pushes: quota");
    table.row("sync tenant-push-rate", per_s(sync.tenant_push_rate), "pushes: quota");
    table.time("sync lease", sync.lease, "the device begins with the snapshot");
    table.time("sync grace", sync.grace, "the log before a snapshot is given up");
    table.time("sync idle", sync.idle, "the document is let go from memory");
    table.time("sync renew", sync.renew, "tokens that ended are not exchanged");
    if let Some(push) = &sync.push {
        table.time("sync push after", push.after, "the device is woken");
        table.time("sync push every", push.every, "the device is left alone");
        table.row("sync push subscriptions", push.subscriptions, "WAKE: quota");
    }
}

fn guest_bounds(table: &mut Table<'_>, guests: &GuestRule) {
    let GuestRule { prefix, tenant: _, documents, document, address_rate } = guests;
    table.enter("guests", prefix);
    table.row("documents", documents, "507");
    table.row("document", document, "pushes: quota");
    table.row("address-rate", format!("{address_rate}/h"), "429");
}

fn audit_bounds(table: &mut Table<'_>, audit: &CoreAudit) {
    table.time("audit retention personal", audit.personal, "keys of callers are destroyed");
    table.row(
        "audit retention entries",
        optional_time(audit.entries),
        "older entries are given up",
    );
    table.time("audit cosign-every", audit.cosign_every, "witnesses are asked for the newest head");
}

fn upstream_bounds(table: &mut Table<'_>, upstream: &Upstream) {
    let (timeouts, retry, pool) = (&upstream.timeouts, &upstream.retry, &upstream.pool);
    table.time("timeouts connect", timeouts.connect, "504; 503 when the pool was full");
    table.time("timeouts first-byte", timeouts.first_byte, "504");
    table.time("timeouts idle", timeouts.idle, "the response is cut");
    table.row("timeouts whole", optional_time(timeouts.whole), "504, or the response is cut");
    table.row(
        "pool connections",
        pool.connections,
        "wait bounded by the connect timeout, then 503",
    );
    table.row("pool idle", pool.idle, "the connection closes after its response");
    table.time("pool idle-timeout", pool.idle_timeout, "the connection closes");
    table.row("retry attempts", retry.attempts, "the last answer or error is passed on");
    table.row("retry budget-percent", percent(retry.budget_percent), "no retry");
    let per_attempt = optional_time(retry.per_attempt);
    table.row("retry per-attempt", per_attempt, "the attempt counts as failed");
    if let Some(health) = &upstream.health {
        health_bounds(table, health);
    }
    if let Some(ejection) = &upstream.ejection {
        ejection_bounds(table, ejection);
    }
    if let Some(breaker) = &upstream.breaker {
        breaker_bounds(table, breaker, "503 with Retry-After until it closes");
    }
}

fn health_bounds(table: &mut Table<'_>, health: &HealthCheck) {
    table.time("health every", health.every, "the next probe");
    table.time("health timeout", health.timeout, "the probe counts as failed");
    table.row("health healthy", health.healthy, "the target is used again");
    table.row("health unhealthy", health.unhealthy, "the target is used no more");
}

fn ejection_bounds(table: &mut Table<'_>, ejection: &Ejection) {
    table.row("ejection failures", ejection.failures, "the target rests");
    table.time("ejection rest", ejection.rest, "the target is tried again");
    table.row("ejection most-percent", percent(ejection.most_percent), "no further target rests");
}

fn breaker_bounds(table: &mut Table<'_>, breaker: &Breaker, at_open: &'static str) {
    let Breaker { failure_threshold, success_threshold, window, timeout } = breaker;
    table.row("circuit-breaker failure-threshold", failure_threshold, at_open);
    table.row("circuit-breaker success-threshold", success_threshold, "it closes");
    table.time("circuit-breaker window", *window, "older failures are forgotten");
    table.time("circuit-breaker timeout-seconds", *timeout, "it lets probes through");
}

fn route_bounds(table: &mut Table<'_>, route: &Route) {
    table.row("limits body", route.limits.body, "413");
    let in_flight = route.limits.in_flight.map_or("none".to_owned(), |bound| bound.to_string());
    table.row("limits in-flight", in_flight, "503 with Retry-After");
}

fn agent_bounds(table: &mut Table<'_>, agent: &Agent) {
    table.row(
        "max-concurrent-calls",
        agent.concurrency,
        "wait inside the timeout, then failure mode",
    );
    table.time("timeout-ms", agent.timeout, "failure mode");
    table.row("body-max", agent.body_max, "it sees the first part, and is told that it is one");
    breaker_bounds(table, &agent.breaker, "failure mode until it closes");
    if let Some(process) = agent.program.process() {
        process_bounds(table, process);
    }
    match &agent.settings {
        AgentSettings::Auth(settings) => auth_bounds(table, (&agent.id, settings)),
        AgentSettings::RateLimit(settings) => rate_limit_bounds(table, (&agent.id, settings)),
        AgentSettings::Schema(settings) => schema_bounds(table, &settings.bounds),
        AgentSettings::Waf(settings) => waf_bounds(table, (&agent.id, settings)),
        AgentSettings::Bridge(_) | AgentSettings::Foreign(_) => {}
    }
}

fn process_bounds(table: &mut Table<'_>, process: &AgentProcess) {
    let AgentProcess { threads, sandbox, restart } = process;
    table.row("threads", threads, "calls share them");
    table.row("sandbox memory", sandbox.memory, "allocations fail; it is started again");
    table.row("sandbox descriptors", sandbox.descriptors, "it can open no more");
    table.time("restart backoff", restart.backoff, "it is started again; the wait doubles");
    table.time("restart backoff-max", restart.backoff_max, "the wait doubles no more");
}

fn auth_bounds(table: &mut Table<'_>, (id, settings): (&Id, &auth::Settings)) {
    table.row("cache", settings.cache, "the token used least recently is verified anew");
    if let Some(keys) = &settings.api_keys {
        table.time("api-keys refresh", keys.refresh, "the file is looked at again");
    }
    for issuer in &settings.issuers {
        table.enter_part("agent", id, ("issuer", &issuer.issuer));
        table.time("issuer leeway", issuer.leeway, "the token is refused");
        table.time("issuer refresh", issuer.refresh, "keys are fetched again");
        let refetch = issuer.refetch_interval;
        table.time("issuer refetch-interval", refetch, "unknown keys are not looked for sooner");
        table.time("issuer timeout", issuer.timeout, "the keys at hand stay");
    }
}

fn rate_limit_bounds(table: &mut Table<'_>, (id, settings): (&Id, &rate_limit::Settings)) {
    if let rate_limit::Store::Redis(redis) = &settings.store {
        table.time("store timeout", redis.timeout, "as `on-failure` says");
    }
    for policy in &settings.policies {
        table.enter_part("agent", id, ("policy", &policy.id));
        let limit = format!("{} per {}", policy.limit, format_duration(policy.per));
        table.row("policy limit", limit, "429 with Retry-After, or a wait");
        table.row("policy burst", policy.burst, "429 with Retry-After, or a wait");
        table.row("policy keys-max", policy.keys_max, "a bucket that is full again goes; else 429");
        if let Some(delay) = &policy.delay {
            table.row("policy delay queue", delay.queue, "429 with Retry-After");
            table.time("policy delay max", delay.max, "429 with Retry-After");
        }
    }
}

fn schema_bounds(table: &mut Table<'_>, bounds: &schema::Bounds) {
    let schema::Bounds { size, depth, keys, items, number_digits, string_size, violations } =
        bounds;
    table.row("bounds size", size, "413");
    table.row("bounds depth", depth, "400");
    table.row("bounds keys", keys, "400");
    table.row("bounds items", items, "400");
    table.row("bounds number-digits", number_digits, "400");
    table.row("bounds string-size", string_size, "400");
    table.row("bounds violations", violations, "further ones are counted");
}

fn waf_bounds(table: &mut Table<'_>, (id, settings): (&Id, &waf::Settings)) {
    waf_policy_bounds(table, &settings.policy);
    for profile in &settings.profiles {
        table.enter_part("agent", id, ("profile", &profile.id));
        waf_policy_bounds(table, &profile.policy);
    }
}

fn waf_policy_bounds(table: &mut Table<'_>, policy: &waf::Policy) {
    let waf::Bounds { body, response_body, arguments, depth, work } = &policy.bounds;
    let unreadable = |what| match what {
        waf::Unreadable::Reject => "the request is refused",
        waf::Unreadable::Inspect => "what could be read is judged",
        waf::Unreadable::Pass => "the body goes on without judgement",
    };
    table.row("bounds body", body, unreadable(policy.oversize));
    table.row("bounds response-body", response_body, "the first part is inspected");
    table.row("bounds arguments", arguments, unreadable(policy.undecodable));
    table.row("bounds depth", depth, unreadable(policy.undecodable));
    let exhausted = match policy.exhausted {
        waf::Exhausted::Reject => "the request is refused",
        waf::Exhausted::Decide => "what was seen so far decides",
    };
    table.row("bounds work", work, exhausted);
}

fn optional<T: ToString>(bound: Option<T>) -> String {
    bound.map_or_else(|| "none".to_owned(), |bound| bound.to_string())
}

fn optional_time(bound: Option<Duration>) -> String {
    bound.map_or("none".to_owned(), format_duration)
}

fn percent(share: u8) -> String {
    format!("{share}%")
}
