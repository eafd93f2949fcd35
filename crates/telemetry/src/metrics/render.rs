//! The Prometheus text format, version 0.0.4.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write},
    sync::Arc,
};

use super::{
    AgentFacts, AgentLabel, CallDurations, ConnectError, CoreCells, Handshake, Label,
    ListenerCells, ListenerLabel, Registered, RouteCells, RouteLabel, UpstreamCells, UpstreamLabel,
    cell::{BOUNDS_US, Counter, Histogram, HistogramSum},
    label::{ListenerGauge, REQUEST_SERIES, STATUS_CLASSES, UpstreamGauge, series_names},
};

/// Name and value of each label of a sample.
pub(super) type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A page of metrics as it is written.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
    /// Names of samples that the families so far may have.
    names: BTreeSet<String>,
}

impl Page {
    /// Begins the family `name`; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.claim(name, kind);
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        self.escaped(help, false);
        self.text.push('\n');
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Keeps the names of a family's samples for it.
    pub(super) fn claim(&mut self, name: &str, kind: &str) {
        self.names.extend(sample_names(name, kind));
    }

    /// Whether no family before this one has samples of such names.
    pub(super) fn has_room_for(&self, name: &str, kind: &str) -> bool {
        sample_names(name, kind).iter().all(|name| !self.names.contains(name))
    }

    /// One sample of the family begun last.
    pub(crate) fn sample(&mut self, name: &str, pairs: Pairs<'_>, value: impl Display) {
        self.text.push_str(name);
        self.pairs(pairs);
        self.line(format_args!(" {value}"));
    }

    /// A family of one sample without labels.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, pairs: Pairs<'_>, sum: &HistogramSum) {
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&sum.buckets) {
            below += count;
            self.bucket(name, pairs, &(*bound as f64 / 1e6).to_string(), below);
        }
        self.histogram_end(name, pairs, sum.count(), sum.sum_ns as f64 / 1e9);
    }

    fn durations(&mut self, name: &str, pairs: Pairs<'_>, durations: &CallDurations) {
        let CallDurations { within, calls, sum } = durations;
        for (bound, below) in within {
            self.bucket(name, pairs, &bound.as_secs_f64().to_string(), *below);
        }
        self.histogram_end(name, pairs, *calls, sum.as_secs_f64());
    }

    pub(super) fn bucket(&mut self, name: &str, pairs: Pairs<'_>, bound: &str, below: u64) {
        self.sample(&format!("{name}_bucket"), &[pairs, &[("le", bound)]].concat(), below);
    }

    pub(super) fn histogram_end(&mut self, name: &str, pairs: Pairs<'_>, count: u64, sum_s: f64) {
        self.bucket(name, pairs, "+Inf", count);
        self.sample(&format!("{name}_sum"), pairs, sum_s);
        self.sample(&format!("{name}_count"), pairs, count);
    }

    fn pairs(&mut self, pairs: Pairs<'_>) {
        for (index, (name, value)) in pairs.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.escaped(value, true);
            self.text.push('"');
        }
        if !pairs.is_empty() {
            self.text.push('}');
        }
    }

    fn escaped(&mut self, value: &str, is_quoted: bool) {
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '"' if is_quoted => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                _ => self.text.push(character),
            }
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{text}").expect("writing to a string does not fail");
    }

    /// The whole page.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// What the samples of a family are called.
fn sample_names(name: &str, kind: &str) -> Vec<String> {
    let parts: &[&str] =
        if kind == "histogram" { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    parts.iter().map(|part| format!("{name}{part}")).collect()
}

/// Writes what the cores counted.
pub(crate) fn render(
    page: &mut Page,
    registered: &Registered,
    none: &RouteLabel,
    cores: &[Arc<CoreCells>],
) {
    let routes: Vec<_> = registered.routes.iter().chain([none]).collect();
    render_requests(page, &routes);
    render_routes(page, &routes);
    render_cores(page, cores);
    render_listeners(page, &registered.listeners);
    render_upstreams(page, &registered.upstreams);
    render_targets(page, registered);
    render_agents(page, &registered.agents);
}

fn render_requests(page: &mut Page, routes: &[&RouteLabel]) {
    const NAME: &str = "selvedge_requests_total";
    page.family(
        NAME,
        "counter",
        "Requests finished. Status none: the client left before an answer.",
    );
    for route in routes {
        for (listener, counts) in requests_by_listener(route) {
            for (series, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let (method, protocol, status) = series_names(series);
                let pairs = [
                    ("listener", listener),
                    ("route", route.id()),
                    ("method", method),
                    ("protocol", protocol),
                    ("status", status),
                ];
                page.sample(NAME, &pairs, count);
            }
        }
    }
}

fn requests_by_listener(route: &RouteLabel) -> BTreeMap<&str, [u64; REQUEST_SERIES]> {
    let mut sums = BTreeMap::new();
    for one in route.all().flat_map(|cells| cells.by_listener()) {
        let listener = one.listener.as_ref().map_or("(other)", |listener| listener.id());
        let sum = sums.entry(listener).or_insert([0; REQUEST_SERIES]);
        for (sum, count) in sum.iter_mut().zip(&one.requests) {
            *sum += count.get();
        }
    }
    sums
}

fn render_routes(page: &mut Page, routes: &[&RouteLabel]) {
    const DURATION: &str = "selvedge_request_duration_seconds";
    page.family(DURATION, "histogram", "First byte of the request to last byte of the response.");
    for route in routes {
        let sum = histogram(route, |cells| &cells.duration);
        if sum.count() > 0 {
            page.histogram(DURATION, &[("route", route.id())], &sum);
        }
    }
    type Part = fn(&RouteCells) -> &Counter;
    let bodies: [(&str, &str, Part); 2] = [
        ("selvedge_request_body_bytes_total", "Request body bytes taken from clients.", |cells| {
            &cells.bytes_in
        }),
        ("selvedge_response_body_bytes_total", "Response body bytes given to clients.", |cells| {
            &cells.bytes_out
        }),
    ];
    for (name, help, counter) in bodies {
        page.family(name, "counter", help);
        for route in routes.iter().filter(|route| route.all().next().is_some()) {
            page.sample(name, &[("route", route.id())], total(route, counter));
        }
    }
}

fn render_cores(page: &mut Page, cores: &[Arc<CoreCells>]) {
    const REFUSALS: &str = "selvedge_refusals_total";
    page.family(REFUSALS, "counter", "Requests refused, by who refused them.");
    let tokens = cores.iter().flat_map(|cells| cells.refusals.each());
    for (token, count) in sum_by_name(tokens) {
        page.sample(REFUSALS, &[("by", token)], count);
    }
    const CACHE: &str = "selvedge_route_cache_lookups_total";
    page.family(CACHE, "counter", "Requests whose route the cache knew or not.");
    for (index, result) in ["miss", "hit"].into_iter().enumerate() {
        let count: u64 = cores.iter().map(|cells| cells.route_cache[index].get()).sum();
        page.sample(CACHE, &[("result", result)], count);
    }
}

fn render_listeners(page: &mut Page, listeners: &[ListenerLabel]) {
    let gauges = [
        ("selvedge_connections", ListenerGauge::Connections, "Client connections open."),
        ("selvedge_requests_in_flight", ListenerGauge::InFlight, "Requests being answered."),
    ];
    for (name, which, help) in gauges {
        page.family(name, "gauge", help);
        for listener in listeners {
            let count: i64 = listener.all().map(|cells| cells.gauge(which).get()).sum();
            page.sample(name, &[("listener", listener.id())], count);
        }
    }
    const ACCEPTED: &str = "selvedge_connections_accepted_total";
    page.family(ACCEPTED, "counter", "Client connections accepted, refused ones included.");
    for listener in listeners {
        let count = total(listener, |cells: &ListenerCells| &cells.accepted);
        page.sample(ACCEPTED, &[("listener", listener.id())], count);
    }
    const REFUSED: &str = "selvedge_connections_refused_total";
    page.family(REFUSED, "counter", "Client connections closed at once, by reason.");
    for listener in listeners {
        let reasons = listener.all().flat_map(|cells| cells.refused.each());
        for (reason, count) in sum_by_name(reasons) {
            page.sample(REFUSED, &[("listener", listener.id()), ("reason", reason)], count);
        }
    }
    render_handshakes(page, listeners);
}

fn render_handshakes(page: &mut Page, listeners: &[ListenerLabel]) {
    const NAME: &str = "selvedge_tls_handshakes_total";
    page.family(NAME, "counter", "TLS handshakes with clients, by how they ended.");
    for listener in listeners {
        for (index, result) in Handshake::NAMES.into_iter().enumerate() {
            let count = total(listener, |cells: &ListenerCells| &cells.handshakes[index]);
            if count > 0 {
                page.sample(NAME, &[("listener", listener.id()), ("result", result)], count);
            }
        }
    }
}

fn render_upstreams(page: &mut Page, upstreams: &[UpstreamLabel]) {
    const REQUESTS: &str = "selvedge_upstream_requests_total";
    page.family(REQUESTS, "counter", "Requests sent upstream. Status none: no answer came.");
    for upstream in upstreams {
        for (index, status) in STATUS_CLASSES.into_iter().enumerate() {
            let count = total(upstream, |cells: &UpstreamCells| &cells.requests[index]);
            if count > 0 {
                page.sample(REQUESTS, &[("upstream", upstream.id()), ("status", status)], count);
            }
        }
    }
    const FIRST_BYTE: &str = "selvedge_upstream_first_byte_seconds";
    page.family(FIRST_BYTE, "histogram", "Start of the attempt to first byte of the answer.");
    for upstream in upstreams {
        let sum = histogram(upstream, |cells| &cells.first_byte);
        if sum.count() > 0 {
            page.histogram(FIRST_BYTE, &[("upstream", upstream.id())], &sum);
        }
    }
    render_upstream_counters(page, upstreams);
    render_upstream_gauges(page, upstreams);
}

fn render_upstream_counters(page: &mut Page, upstreams: &[UpstreamLabel]) {
    const RETRIES: &str = "selvedge_upstream_retries_total";
    page.family(RETRIES, "counter", "Attempts after the first.");
    for upstream in upstreams {
        let count = total(upstream, |cells: &UpstreamCells| &cells.retries);
        page.sample(RETRIES, &[("upstream", upstream.id())], count);
    }
    const REUSED: &str = "selvedge_upstream_requests_reused_total";
    page.family(REUSED, "counter", "Requests sent over a pooled connection.");
    for upstream in upstreams {
        let count = total(upstream, |cells: &UpstreamCells| &cells.reused);
        page.sample(REUSED, &[("upstream", upstream.id())], count);
    }
    const ERRORS: &str = "selvedge_upstream_connect_errors_total";
    page.family(ERRORS, "counter", "Connections to targets that did not come about, by reason.");
    for upstream in upstreams {
        for (index, reason) in ConnectError::NAMES.into_iter().enumerate() {
            let count = total(upstream, |cells: &UpstreamCells| &cells.connect_errors[index]);
            if count > 0 {
                page.sample(ERRORS, &[("upstream", upstream.id()), ("reason", reason)], count);
            }
        }
    }
}

fn render_upstream_gauges(page: &mut Page, upstreams: &[UpstreamLabel]) {
    let gauges = [
        ("selvedge_upstream_connections", UpstreamGauge::Connections, "Connections open."),
        ("selvedge_upstream_connections_idle", UpstreamGauge::Idle, "Connections in the pool."),
        ("selvedge_upstream_waiting", UpstreamGauge::Waiting, "Requests waiting for a pool slot."),
    ];
    for (name, which, help) in gauges {
        page.family(name, "gauge", help);
        for upstream in upstreams {
            let count: i64 = upstream.all().map(|cells| cells.gauge(which).get()).sum();
            page.sample(name, &[("upstream", upstream.id())], count);
        }
    }
    const BREAKER: &str = "selvedge_upstream_breaker_state";
    page.family(BREAKER, "gauge", "Circuit breaker: 0 closed, 1 half open, 2 open.");
    for upstream in upstreams {
        page.sample(BREAKER, &[("upstream", upstream.id())], upstream.breaker());
    }
}

fn render_targets(page: &mut Page, registered: &Registered) {
    const NAME: &str = "selvedge_upstream_target_healthy";
    page.family(NAME, "gauge", "Whether a target takes requests: 1 or 0.");
    for (upstream, targets) in registered.upstreams.iter().zip(&registered.targets) {
        for target in targets {
            let pairs = [("upstream", upstream.id()), ("target", &*target.address)];
            page.sample(NAME, &pairs, target.health());
        }
    }
}

fn render_agents(page: &mut Page, agents: &[AgentLabel]) {
    // One look at each, so that its numbers belong together.
    let agents: Vec<_> = agents.iter().map(|agent| (agent.id(), agent.facts().clone())).collect();
    const CALLS: &str = "selvedge_agent_calls_total";
    page.family(CALLS, "counter", "Questions to agents, by how they ended.");
    for (id, facts) in &agents {
        for (outcome, count) in facts.calls.iter().filter(|(_, count)| *count > 0) {
            page.sample(CALLS, &[("agent", id), ("outcome", outcome)], count);
        }
    }
    const DURATION: &str = "selvedge_agent_call_duration_seconds";
    let help = "Question to answer or failure, waits included; cancelled calls are left out.";
    page.family(DURATION, "histogram", help);
    for (id, facts) in agents.iter().filter(|(_, facts)| facts.durations.calls > 0) {
        page.durations(DURATION, &[("agent", id)], &facts.durations);
    }
    render_agent_values(page, &agents);
}

fn render_agent_values(page: &mut Page, agents: &[(&str, AgentFacts)]) {
    type Value = fn(&AgentFacts) -> Option<u64>;
    #[rustfmt::skip]
    let families: [(&str, &str, &str, Value); 6] = [
        ("selvedge_agent_in_flight", "gauge", "Calls that an agent works on.",
            |facts| Some(facts.in_flight as u64)),
        ("selvedge_agent_waiting", "gauge", "Calls that wait for a permit.",
            |facts| Some(facts.waiting as u64)),
        ("selvedge_agent_breaker_state", "gauge", "Circuit breaker: 0 closed, 1 half open, 2 open.",
            |facts| facts.breaker.map(|state| state as u64)),
        ("selvedge_agent_restarts_total", "counter", "Starts of a process after its first.",
            |facts| facts.restarts.map(u64::from)),
        ("selvedge_agent_up", "gauge", "Whether any worker has the agent ready and hears of it: 1 or 0.",
            |facts| Some(u64::from(facts.up))),
        ("selvedge_agent_log_missed_total", "counter", "Ends of exchanges that an agent missed.",
            |facts| Some(facts.log_missed)),
    ];
    for (name, kind, help, value) in families {
        page.family(name, kind, help);
        for (id, facts) in agents {
            if let Some(value) = value(facts) {
                page.sample(name, &[("agent", id)], value);
            }
        }
    }
}

fn total<C: Default>(label: &Label<C>, counter: impl Fn(&C) -> &Counter) -> u64 {
    label.all().map(|cells| counter(cells).get()).sum()
}

fn histogram<C: Default>(label: &Label<C>, part: impl Fn(&C) -> &Histogram) -> HistogramSum {
    let mut sum = HistogramSum::default();
    label.all().for_each(|cells| sum.add(part(cells)));
    sum
}

fn sum_by_name<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_insert(0) += count;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.sample("a", &[("x", "q\"b\\n\nü"), ("y", "")], 1.5);
        assert_eq!(page.finish(), "a{x=\"q\\\"b\\\\n\\nü\",y=\"\"} 1.5\n");
    }
}
