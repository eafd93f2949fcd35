use std::time::{Duration, SystemTime};

use expect_test::expect;
use selvedge_telemetry::{
    AgentFacts, BreakerState, CallDurations, CertificateExpiry, ConnectError, Handshake, Health,
    Hub, Labels, Settings, Timings,
};

use crate::exchanges::{bare, continued, labels, timings, whole};

/// The page without what differs from run to run.
fn page(hub: &Hub) -> String {
    let varies = |line: &&str| {
        !line.contains("process_") && !line.contains("selvedge_config_loaded_timestamp_seconds")
    };
    hub.render_prometheus().lines().filter(varies).map(|line| format!("{line}\n")).collect()
}

/// An agent that works, and has been started again.
fn facts() -> AgentFacts {
    let micros = Duration::from_micros;
    AgentFacts {
        calls: vec![("allow", 3), ("block", 1), ("timeout", 0)],
        durations: CallDurations {
            within: vec![(micros(16), 1), (micros(32), 4)],
            calls: 4,
            sum: micros(100),
        },
        in_flight: 2,
        waiting: 1,
        breaker: Some(BreakerState::Open),
        restarts: Some(7),
        up: true,
        log_missed: 5,
        reported: None,
    }
}

#[test]
fn the_page_tells_all_that_was_counted() {
    let hub = Hub::start(&Settings::quiet(2)).unwrap();
    let labels = labels(&hub);
    let timings = timings();
    let open: Vec<_> = [0, 1]
        .map(|index| {
            let core = hub.core(index);
            let trace = continued(&core);
            core.record(&whole(&labels, &trace, &timings));
            core.record(&bare(&labels, &trace, &Timings { accepted: None, ..timings }));
            core.handshake(labels.listener(1), Handshake::Resumed);
            core.handshake(labels.listener(1), Handshake::Failed);
            core.connection_refused(labels.listener(0), "limit/connections");
            core.connect_error(labels.upstream(0), ConnectError::Refused);
            drop(core.in_flight(labels.listener(0)));
            [
                core.connection(labels.listener(1)),
                core.in_flight(labels.listener(1)),
                core.upstream_connection(labels.upstream(0)),
                core.upstream_idle(labels.upstream(0)),
                core.upstream_waiting(labels.upstream(0)),
            ]
        })
        .into_iter()
        .collect();
    labels.upstream(0).set_breaker(BreakerState::HalfOpen);
    labels.targets(0)[1].set_health(Health::Unhealthy);
    labels.agent(0).tell(facts());
    hub.config_loaded(1);
    hub.config_loaded(2);
    hub.config_refused();
    hub.set_certificates(vec![CertificateExpiry {
        listener: "tls".into(),
        name: "shop.example".into(),
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
    }]);
    expect![[r##"
        # HELP selvedge_requests_total Requests finished. Status none: the client left before an answer.
        # TYPE selvedge_requests_total counter
        selvedge_requests_total{listener="tls",route="api",method="POST",protocol="HTTP/2",status="5xx"} 2
        selvedge_requests_total{listener="web",route="(none)",method="other",protocol="HTTP/1.1",status="4xx"} 2
        # HELP selvedge_request_duration_seconds First byte of the request to last byte of the response.
        # TYPE selvedge_request_duration_seconds histogram
        selvedge_request_duration_seconds_bucket{route="api",le="0.0001"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.00025"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.0005"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.001"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.0025"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.005"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.01"} 0
        selvedge_request_duration_seconds_bucket{route="api",le="0.025"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="0.05"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="0.1"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="0.25"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="0.5"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="1"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="2.5"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="10"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="60"} 2
        selvedge_request_duration_seconds_bucket{route="api",le="+Inf"} 2
        selvedge_request_duration_seconds_sum{route="api"} 0.05
        selvedge_request_duration_seconds_count{route="api"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.0001"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.00025"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.0005"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.001"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.0025"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.005"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.01"} 0
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.025"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.05"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.1"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.25"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="0.5"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="1"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="2.5"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="10"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="60"} 2
        selvedge_request_duration_seconds_bucket{route="(none)",le="+Inf"} 2
        selvedge_request_duration_seconds_sum{route="(none)"} 0.05
        selvedge_request_duration_seconds_count{route="(none)"} 2
        # HELP selvedge_request_body_bytes_total Request body bytes taken from clients.
        # TYPE selvedge_request_body_bytes_total counter
        selvedge_request_body_bytes_total{route="api"} 2048
        selvedge_request_body_bytes_total{route="(none)"} 0
        # HELP selvedge_response_body_bytes_total Response body bytes given to clients.
        # TYPE selvedge_response_body_bytes_total counter
        selvedge_response_body_bytes_total{route="api"} 0
        selvedge_response_body_bytes_total{route="(none)"} 0
        # HELP selvedge_refusals_total Requests refused, by who refused them.
        # TYPE selvedge_refusals_total counter
        selvedge_refusals_total{by="head-gate/duplicate-host"} 2
        selvedge_refusals_total{by="upstream/status"} 2
        # HELP selvedge_route_cache_lookups_total Requests whose route the cache knew or not.
        # TYPE selvedge_route_cache_lookups_total counter
        selvedge_route_cache_lookups_total{result="miss"} 0
        selvedge_route_cache_lookups_total{result="hit"} 2
        # HELP selvedge_connections Client connections open.
        # TYPE selvedge_connections gauge
        selvedge_connections{listener="web"} 0
        selvedge_connections{listener="tls"} 2
        # HELP selvedge_requests_in_flight Requests being answered.
        # TYPE selvedge_requests_in_flight gauge
        selvedge_requests_in_flight{listener="web"} 0
        selvedge_requests_in_flight{listener="tls"} 2
        # HELP selvedge_connections_accepted_total Client connections accepted, refused ones included.
        # TYPE selvedge_connections_accepted_total counter
        selvedge_connections_accepted_total{listener="web"} 2
        selvedge_connections_accepted_total{listener="tls"} 2
        # HELP selvedge_connections_refused_total Client connections closed at once, by reason.
        # TYPE selvedge_connections_refused_total counter
        selvedge_connections_refused_total{listener="web",reason="limit/connections"} 2
        # HELP selvedge_tls_handshakes_total TLS handshakes with clients, by how they ended.
        # TYPE selvedge_tls_handshakes_total counter
        selvedge_tls_handshakes_total{listener="tls",result="resumed"} 2
        selvedge_tls_handshakes_total{listener="tls",result="failed"} 2
        # HELP selvedge_upstream_requests_total Requests sent upstream. Status none: no answer came.
        # TYPE selvedge_upstream_requests_total counter
        selvedge_upstream_requests_total{upstream="backend",status="5xx"} 2
        # HELP selvedge_upstream_first_byte_seconds Start of the attempt to first byte of the answer.
        # TYPE selvedge_upstream_first_byte_seconds histogram
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.0001"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.00025"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.0005"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.001"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.0025"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.005"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.01"} 0
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.025"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.05"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.1"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.25"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="0.5"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="1"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="2.5"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="10"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="60"} 2
        selvedge_upstream_first_byte_seconds_bucket{upstream="backend",le="+Inf"} 2
        selvedge_upstream_first_byte_seconds_sum{upstream="backend"} 0.041
        selvedge_upstream_first_byte_seconds_count{upstream="backend"} 2
        # HELP selvedge_upstream_retries_total Attempts after the first.
        # TYPE selvedge_upstream_retries_total counter
        selvedge_upstream_retries_total{upstream="backend"} 2
        # HELP selvedge_upstream_requests_reused_total Requests sent over a pooled connection.
        # TYPE selvedge_upstream_requests_reused_total counter
        selvedge_upstream_requests_reused_total{upstream="backend"} 0
        # HELP selvedge_upstream_connect_errors_total Connections to targets that did not come about, by reason.
        # TYPE selvedge_upstream_connect_errors_total counter
        selvedge_upstream_connect_errors_total{upstream="backend",reason="refused"} 2
        # HELP selvedge_upstream_connections Connections open.
        # TYPE selvedge_upstream_connections gauge
        selvedge_upstream_connections{upstream="backend"} 2
        # HELP selvedge_upstream_connections_idle Connections in the pool.
        # TYPE selvedge_upstream_connections_idle gauge
        selvedge_upstream_connections_idle{upstream="backend"} 2
        # HELP selvedge_upstream_waiting Requests waiting for a pool slot.
        # TYPE selvedge_upstream_waiting gauge
        selvedge_upstream_waiting{upstream="backend"} 2
        # HELP selvedge_upstream_breaker_state Circuit breaker: 0 closed, 1 half open, 2 open.
        # TYPE selvedge_upstream_breaker_state gauge
        selvedge_upstream_breaker_state{upstream="backend"} 1
        # HELP selvedge_upstream_target_healthy Whether a target takes requests: 1 or 0.
        # TYPE selvedge_upstream_target_healthy gauge
        selvedge_upstream_target_healthy{upstream="backend",target="10.0.0.1:9000"} 1
        selvedge_upstream_target_healthy{upstream="backend",target="unix:/run/app.sock"} 0
        # HELP selvedge_agent_calls_total Questions to agents, by how they ended.
        # TYPE selvedge_agent_calls_total counter
        selvedge_agent_calls_total{agent="auth",outcome="allow"} 3
        selvedge_agent_calls_total{agent="auth",outcome="block"} 1
        # HELP selvedge_agent_call_duration_seconds Question to answer or failure, waits included; cancelled calls are left out.
        # TYPE selvedge_agent_call_duration_seconds histogram
        selvedge_agent_call_duration_seconds_bucket{agent="auth",le="0.000016"} 1
        selvedge_agent_call_duration_seconds_bucket{agent="auth",le="0.000032"} 4
        selvedge_agent_call_duration_seconds_bucket{agent="auth",le="+Inf"} 4
        selvedge_agent_call_duration_seconds_sum{agent="auth"} 0.0001
        selvedge_agent_call_duration_seconds_count{agent="auth"} 4
        # HELP selvedge_agent_in_flight Calls that an agent works on.
        # TYPE selvedge_agent_in_flight gauge
        selvedge_agent_in_flight{agent="auth"} 2
        selvedge_agent_in_flight{agent="waf"} 0
        # HELP selvedge_agent_waiting Calls that wait for a permit.
        # TYPE selvedge_agent_waiting gauge
        selvedge_agent_waiting{agent="auth"} 1
        selvedge_agent_waiting{agent="waf"} 0
        # HELP selvedge_agent_breaker_state Circuit breaker: 0 closed, 1 half open, 2 open.
        # TYPE selvedge_agent_breaker_state gauge
        selvedge_agent_breaker_state{agent="auth"} 2
        # HELP selvedge_agent_restarts_total Starts of a process after its first.
        # TYPE selvedge_agent_restarts_total counter
        selvedge_agent_restarts_total{agent="auth"} 7
        # HELP selvedge_agent_up Whether any worker has the agent ready and hears of it: 1 or 0.
        # TYPE selvedge_agent_up gauge
        selvedge_agent_up{agent="auth"} 1
        selvedge_agent_up{agent="waf"} 0
        # HELP selvedge_agent_log_missed_total Ends of exchanges that an agent missed.
        # TYPE selvedge_agent_log_missed_total counter
        selvedge_agent_log_missed_total{agent="auth"} 5
        selvedge_agent_log_missed_total{agent="waf"} 0
        # HELP selvedge_log_lines_total Lines written.
        # TYPE selvedge_log_lines_total counter
        selvedge_log_lines_total{log="access_log"} 0
        selvedge_log_lines_total{log="events"} 0
        # HELP selvedge_log_lines_dropped_total Lines dropped: the queue was full.
        # TYPE selvedge_log_lines_dropped_total counter
        selvedge_log_lines_dropped_total{log="access_log"} 0
        selvedge_log_lines_dropped_total{log="events"} 0
        # HELP selvedge_log_lines_failed_total Lines lost: a write failed.
        # TYPE selvedge_log_lines_failed_total counter
        selvedge_log_lines_failed_total{log="access_log"} 0
        selvedge_log_lines_failed_total{log="events"} 0
        # HELP selvedge_log_reopen_failures_total Files that could not be opened again.
        # TYPE selvedge_log_reopen_failures_total counter
        selvedge_log_reopen_failures_total{log="access_log"} 0
        selvedge_log_reopen_failures_total{log="events"} 0
        # HELP selvedge_events_suppressed_total Events of the process left out because there were too many.
        # TYPE selvedge_events_suppressed_total counter
        selvedge_events_suppressed_total 0
        # HELP selvedge_spans_exported_total Spans taken by a collector.
        # TYPE selvedge_spans_exported_total counter
        selvedge_spans_exported_total 0
        # HELP selvedge_spans_dropped_total Spans lost, by reason.
        # TYPE selvedge_spans_dropped_total counter
        selvedge_spans_dropped_total{reason="queue_full"} 0
        selvedge_spans_dropped_total{reason="rejected"} 0
        selvedge_spans_dropped_total{reason="abandoned"} 0
        # HELP selvedge_span_export_retries_total Exports that failed and were tried again.
        # TYPE selvedge_span_export_retries_total counter
        selvedge_span_export_retries_total 0
        # HELP selvedge_spans_queued Spans waiting for the collector.
        # TYPE selvedge_spans_queued gauge
        selvedge_spans_queued 0
        # HELP selvedge_config_revision Revision of the config in effect.
        # TYPE selvedge_config_revision gauge
        selvedge_config_revision 2
        # HELP selvedge_config_last_reload_successful Whether the last config was taken: 1 or 0.
        # TYPE selvedge_config_last_reload_successful gauge
        selvedge_config_last_reload_successful 0
        # HELP selvedge_config_reloads_total Configs loaded, the first included, by result.
        # TYPE selvedge_config_reloads_total counter
        selvedge_config_reloads_total{result="loaded"} 2
        selvedge_config_reloads_total{result="refused"} 1
        # HELP selvedge_certificate_expiry_timestamp_seconds When a certificate in use ends.
        # TYPE selvedge_certificate_expiry_timestamp_seconds gauge
        selvedge_certificate_expiry_timestamp_seconds{listener="tls",name="shop.example"} 2000000000
        # HELP selvedge_build_info The build that runs; always 1.
        # TYPE selvedge_build_info gauge
        selvedge_build_info{version="0.1.0"} 1
        # HELP selvedge_agent_series Series that an agent measures itself and that are shown.
        # TYPE selvedge_agent_series gauge
        # HELP selvedge_agent_series_left_out Series that an agent measures itself and that are not shown.
        # TYPE selvedge_agent_series_left_out gauge
    "##]].assert_eq(&page(&hub));
    drop(open);
    assert!(page(&hub).contains("selvedge_requests_in_flight{listener=\"tls\"} 0\n"));
}

#[test]
fn every_family_has_help_and_type_once_and_before_its_samples() {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    core.record(&whole(&labels, &trace, &timings));
    hub.config_loaded(1);
    let text = hub.render_prometheus();
    let mut families = std::collections::BTreeSet::new();
    let mut current = "";
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "HELP", name, _, ..] => {
                assert!(families.insert(name), "{name} twice");
                current = name;
            }
            ["#", "TYPE", name, "counter" | "gauge" | "histogram"] => assert_eq!(name, current),
            _ => assert!(
                line.starts_with(current)
                    && line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(),
                "{line}"
            ),
        }
    }
    assert!(families.contains("process_start_time_seconds"));
}

#[test]
fn a_reload_keeps_counts_and_forgets_what_is_gone() {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    let old = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    core.record(&whole(&old, &trace, &timings));
    let names = |routes| Labels { listeners: vec!["tls"], routes, ..Labels::default() };
    let new = hub.register(&names(vec!["new", "api"]));
    // An exchange that began under the old config ends under the new one.
    core.record(&whole(&old, &trace, &timings));
    assert_eq!(new.route(1).id(), "api");
    let series = "selvedge_requests_total{listener=\"tls\",route=\"api\",method=\"POST\",protocol=\"HTTP/2\",status=\"5xx\"} 2\n";
    assert!(page(&hub).contains(series));
    hub.register(&names(vec!["new"]));
    assert!(!page(&hub).contains("route=\"api\""));
}

#[test]
fn an_agent_that_stays_keeps_what_was_told_of_it() {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    labels(&hub).agent(0).tell(facts());
    let names = |agents| Labels { agents, ..Labels::default() };
    assert_eq!(hub.register(&names(vec!["new", "auth"])).agent(1).id(), "auth");
    assert!(page(&hub).contains("selvedge_agent_restarts_total{agent=\"auth\"} 7\n"));
    hub.register(&names(vec!["new"]));
    assert!(!page(&hub).contains("auth"));
}

const REFERENCE: &str = include_str!("../../../../docs/reference/metrics.md");

#[test]
fn the_reference_lists_every_family() {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    hub.config_loaded(1);
    let text = hub.render_prometheus();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut families: Vec<&str> = families.collect();
    let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut listed: Vec<String> = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once("` | ")?;
            // What others measure is compared where they are.
            let own = [
                "selvedge_audit_",
                "selvedge_auth_",
                "selvedge_backup_",
                "selvedge_core_",
                "selvedge_log_clock_",
                "selvedge_log_durable_",
                "selvedge_log_writable",
                "selvedge_rate_limit_",
                "selvedge_schema_",
                "selvedge_sync_",
                "selvedge_view_",
                "selvedge_waf_",
            ];
            if own.iter().any(|own| name.starts_with(own)) {
                return None;
            }
            Some(format!("{name} {}", rest.split_once(' ')?.0))
        })
        .collect();
    families.sort_unstable();
    listed.sort_unstable();
    assert_eq!(families, listed);
}
