//! Bounds that no config sets: each stands with what it bounds, and here in a list.

use std::{fmt::Display, time::Duration};

use selvedge_base::{ByteSize, format_duration};
use selvedge_config::{Bound, BoundOrigin};
use selvedge_http1::TRAILER_BYTES_MAX;
use selvedge_telemetry::{EVENT_SHARE, EVENTS_IN_A_ROW_MAX, LOG_BATCHES_MAX, LOG_BYTES_MAX};

use crate::{
    admin::{self, core_page},
    agent::{link, measures, state, supervise},
    audit, client_address, control, crew, http1_body, message,
    proxy::forward::heads,
    proxy_protocol, serve, server,
    site::{body, cache, ranges},
    tls,
    upstream::{connect, http2_driver, http2_pool},
};

/// Every bound of a running edge that is not written in a config, with what happens there.
pub fn fixed_bounds() -> Vec<Bound> {
    let mut rows = Vec::new();
    clients(&mut rows);
    upstreams(&mut rows);
    agents(&mut rows);
    sites(&mut rows);
    operators(&mut rows);
    rows
}

fn clients(rows: &mut Vec<Bound>) {
    const CLOSES: &str = "the connection closes";
    rows.push(size("PROXY header", proxy_protocol::HEADER_MAX, CLOSES));
    rows.push(row(
        "TLS sessions of a listener",
        tls::server::SESSIONS_MAX,
        "the oldest is forgotten",
    ));
    rows.push(row("proxies in front", client_address::HOPS_MAX, "no further one is looked at"));
    rows.push(size("trailer section", TRAILER_BYTES_MAX, "400, or the response is cut"));
    rows.push(size("body on its way, each direction", message::PENDING_MAX, "the sender waits"));
    rows.push(size("HTTP/2 stream output", serve::http2::SEND_BUFFER, "the target waits"));
    rows.push(row("idle HTTP/2 tasks of a core", crew::RESTING_MAX, "the task ends"));
    rows.push(size(
        "unwanted body",
        http1_body::DISCARD_MAX,
        "the connection closes after its answer",
    ));
    rows.push(time(
        "unwanted body, time",
        serve::http1::DISCARD_WITHIN,
        "the connection closes after its answer",
    ));
    rows.push(size("linger", serve::http1::LINGER_BYTES, CLOSES));
    rows.push(time("linger, time", serve::http1::LINGER, CLOSES));
}

fn upstreams(rows: &mut Vec<Bound>) {
    rows.push(row("interim responses to a request", heads::INTERIM_MAX, "502"));
    rows.push(row(
        "HTTP/2 streams to a target",
        http2_pool::STREAMS_MAX,
        "another connection opens",
    ));
    rows.push(size(
        "HTTP/2 stream window of a target",
        http2_driver::STREAM_WINDOW as usize,
        "the target waits",
    ));
    rows.push(time("HTTP/2 silence of a target", http2_driver::SILENCE, "it is sent a PING"));
    rows.push(time(
        "HTTP/2 answer to a PING",
        http2_driver::PONG_WITHIN,
        "the connection is given up",
    ));
    rows.push(row(
        "TLS sessions to an upstream",
        tls::client::SESSIONS_MAX,
        "the oldest is forgotten",
    ));
    rows.push(row(
        "name lookups of a core",
        connect::LOOKUPS_MAX,
        "wait inside the connect timeout",
    ));
    rows.push(row("health probes at once", control::probe::PROBES_MAX, "wait"));
    rows.push(size("head of a probe's answer", control::probe::HEAD_MAX, "the probe fails"));
}

fn agents(rows: &mut Vec<Bound>) {
    const FAILS: &str = "failure mode";
    rows.push(time(
        "agents of a new config, to be ready",
        server::AGENTS_WITHIN,
        "it begins without them",
    ));
    rows.push(time("connection to an agent, to be ready", link::READY_MAX, "it is made anew"));
    rows.push(time("ping to an agent without an answer", link::UNRESPONSIVE, "it counts as down"));
    rows.push(time("silence of a started agent", supervise::HUNG, "its process is killed"));
    rows.push(time("end of a started agent", supervise::GRACE, "its process is killed"));
    rows.push(row("calls that wait for each of an agent", state::WAITING_PER_PERMIT, FAILS));
    rows.push(size("body in place of another, by an agent", link::REPLACEMENT_MAX, FAILS));
    rows.push(row(
        "lines of an agent in a second",
        supervise::LINES_PER_SECOND,
        "further ones are counted",
    ));
    rows.push(row(
        "series that an agent measures itself",
        selvedge_agent::SERIES_MAX,
        "further ones are left out, counted",
    ));
    rows.push(time(
        "answer to what an agent measures",
        measures::PATIENCE,
        "what it told before is shown",
    ));
}

fn sites(rows: &mut Vec<Bound>) {
    const GOES: &str = "the least recently used goes";
    rows.push(row("pages a site keeps on a core", cache::PAGES_MAX, GOES));
    rows.push(size("bytes a site keeps on a core", cache::MEMORY_MAX, GOES));
    rows.push(row("files a site keeps open on a core", cache::DESCRIPTORS_MAX, GOES));
    rows.push(row("reads of a core that wait for the disk", body::READS_MAX, "wait"));
    rows.push(row("ranges of a request", ranges::RANGES_MAX, "the whole file is sent"));
}

fn operators(rows: &mut Vec<Bound>) {
    const CLOSES: &str = "the connection closes";
    rows.push(row("admin connections", admin::CONNECTIONS_MAX, "wait in the kernel's queue"));
    rows.push(size("admin request head", admin::HEAD_MAX, "431"));
    rows.push(time("admin request head, time", admin::HEAD_TIMEOUT, CLOSES));
    rows.push(time("admin connection, time", admin::CONNECTION_TIMEOUT, CLOSES));
    rows.push(time("admin reload, time", admin::RELOAD_TIMEOUT, "504; the reload goes on"));
    rows.push(time("metrics of the core, time", core_page::WITHIN, "they are left out"));
    rows.push(size("metrics of the core", core_page::BYTES_MAX, "they are left out"));
    rows.push(row("reloads that wait", control::RELOADS_MAX, "503"));
    rows.push(row("files and names read beside the cores", control::BLOCKING_THREADS_MAX, "wait"));
    rows.push(size("certificate file", tls::files::FILE_MAX as usize, "refused"));
    rows.push(row("access log batches", LOG_BATCHES_MAX, "the newest are dropped and counted"));
    rows.push(size("access log queue", LOG_BYTES_MAX, "the newest are dropped and counted"));
    const TOLD: &str = "the newest are dropped and counted in one entry";
    rows.push(row("events of a core for the audit log", audit::QUEUE_EVENTS_MAX, TOLD));
    rows.push(row("events in a row", EVENTS_IN_A_ROW_MAX, "further ones are counted"));
    rows.push(time("events in the long run, one in", EVENT_SHARE, "further ones are counted"));
}

fn row(name: &'static str, value: impl Display, at_bound: &'static str) -> Bound {
    let (scope, origin) = ("fixed".to_owned(), BoundOrigin::Fixed);
    Bound { name, scope, value: value.to_string(), origin, at_bound }
}

fn size(name: &'static str, bytes: usize, at_bound: &'static str) -> Bound {
    row(name, ByteSize(bytes as u64), at_bound)
}

fn time(name: &'static str, time: Duration, at_bound: &'static str) -> Bound {
    row(name, format_duration(time), at_bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has them too, in a table without code marks: those are settings.
    #[test]
    fn the_page_lists_every_fixed_bound() {
        let page = include_str!("../../../docs/reference/bounds.md");
        let after = page.split("## Fixed bounds").nth(1).unwrap().split("\n## ").next().unwrap();
        let written: Vec<&str> =
            after.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let actual: Vec<String> = fixed_bounds()
            .iter()
            .map(|bound| format!("| {} | {} | {} |", bound.name, bound.value, bound.at_bound))
            .collect();
        assert_eq!(written, actual, "write these lines:\n{}", actual.join("\n"));
    }
}
