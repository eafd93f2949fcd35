use std::{collections::HashMap, fmt::Write, time::Duration};

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use selvedge_base::Secret;
use selvedge_telemetry::{
    Core, Exchange, Hub, LogTarget, Otlp, Registered, Settings, Timings, TraceContext,
};

use crate::{
    collector::{Collector, Received},
    exchanges::{asked, bare, continued, labels, timings, whole},
};

fn settings(endpoint: &str, queue: usize) -> Settings {
    let otlp = Otlp {
        endpoint: endpoint.to_owned(),
        headers: vec![("x-key".to_owned(), Secret::new("s3cret"))],
        sample: 1.0,
        queue,
        service: "shop-edge".to_owned(),
    };
    Settings { otlp: Some(otlp), ..Settings::quiet(1) }
}

fn hub(collector: &Collector, queue: usize) -> Hub {
    Hub::start(&settings(&collector.endpoint, queue)).unwrap()
}

fn record(core: &Core, labels: &Registered) {
    let (trace, timings) = (continued(core), timings());
    core.record(&whole(labels, &trace, &timings));
}

#[track_caller]
fn check(hub: &Hub, expected: &[&str]) {
    let page = hub.render_prometheus();
    for line in expected {
        assert!(page.contains(&format!("\n{line}\n")), "no {line:?} in\n{page}");
    }
}

/// The spans as a tree, with times in microseconds after the first span's start.
fn tree(received: &Received) -> String {
    let mut spans = received.spans();
    spans.sort_by_key(|span| (span.start_time_unix_nano, u64::MAX - span.end_time_unix_nano));
    let parents: HashMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    let origin = spans[0].start_time_unix_nano;
    let mut text = String::new();
    for span in &spans {
        let parent = parents.get(&span.parent_span_id).map_or("caller", |parent| &parent.name);
        let at = |nanos: u64| (nanos - origin) / 1_000;
        let (from, to) = (at(span.start_time_unix_nano), at(span.end_time_unix_nano));
        let Span { name, kind, flags, trace_state, .. } = span;
        writeln!(
            text,
            "{name} < {parent}: {from}..{to} kind={kind} flags={flags:#x} {trace_state}"
        )
        .unwrap();
        if let Some(status) = &span.status {
            writeln!(text, "  status {} {:?}", status.code, status.message).unwrap();
        }
        span.attributes.iter().for_each(|one| writeln!(text, "  {}", attribute(one)).unwrap());
    }
    text
}

fn attribute(one: &KeyValue) -> String {
    let Some(AnyValue { value: Some(value) }) = &one.value else { panic!("{one:?} is empty") };
    match value {
        Value::StringValue(text) => format!("{} = {text:?}", one.key),
        Value::IntValue(number) => format!("{} = {number}", one.key),
        Value::BoolValue(flag) => format!("{} = {flag}", one.key),
        other => panic!("{} is {other:?}", one.key),
    }
}

#[track_caller]
fn check_tree(
    make: impl for<'a> Fn(&'a Registered, &'a TraceContext, &'a Timings) -> Exchange<'a>,
    timings: &Timings,
    expected: Expect,
) -> Received {
    let collector = Collector::start(&[]);
    let hub = hub(&collector, 100);
    let labels = labels(&hub);
    let core = hub.core(0);
    let trace = continued(&core);
    core.record(&make(&labels, &trace, timings));
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    let received = collector.next();
    expected.assert_eq(&tree(&received));
    for span in received.spans() {
        assert_eq!(span.trace_id, trace.trace_id());
        assert_eq!(span.span_id.len(), 8);
    }
    received
}

#[test]
fn each_question_to_an_agent_is_a_span() {
    let collector = Collector::start(&[]);
    let hub = hub(&collector, 100);
    let labels = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    let agents = asked(&labels, &timings);
    let blocked_by = Some(labels.agent(1));
    let status = Some(403);
    let exchange =
        Exchange { agents: &agents, blocked_by, status, ..bare(&labels, &trace, &timings) };
    core.record(&exchange);
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    expect![[r#"
        HTTP < caller: 0..28000 kind=2 flags=0x301 vendor=1
          http.request.method = "_OTHER"
          http.request.method_original = "BREW"
          url.scheme = "http"
          url.path = "/"
          client.address = "192.0.2.7"
          client.port = 5000
          network.peer.address = "192.0.2.7"
          network.peer.port = 5000
          network.protocol.name = "http"
          network.protocol.version = "1.1"
          selvedge.listener = "web"
          http.request.body.size = 0
          http.response.body.size = 0
          http.response.status_code = 403
          selvedge.refused_by = "head-gate/duplicate-host"
          selvedge.blocked_by = "waf"
        tls < HTTP: 0..2500 kind=1 flags=0x101 vendor=1
        head < HTTP: 3000..3120 kind=1 flags=0x101 vendor=1
        routing < HTTP: 3120..3135 kind=1 flags=0x101 vendor=1
        queue < HTTP: 3135..4135 kind=1 flags=0x101 vendor=1
        agent auth request_headers < HTTP: 3140..4140 kind=3 flags=0x101 vendor=1
          status 2 ""
          selvedge.agent = "auth"
          selvedge.agent.event = "request_headers"
          selvedge.agent.outcome = "timeout"
          selvedge.agent.passed_over = true
          error.type = "timeout"
        agent waf request_headers < HTTP: 3140..3185 kind=3 flags=0x101 vendor=1
          selvedge.agent = "waf"
          selvedge.agent.event = "request_headers"
          selvedge.agent.outcome = "block"
    "#]]
    .assert_eq(&tree(&collector.next()));
}

#[test]
fn an_exchange_becomes_a_tree_of_spans() {
    let received = check_tree(
        whole,
        &timings(),
        expect![[r#"
        POST api < caller: 0..28000 kind=2 flags=0x301 vendor=1
          status 2 "the target answered 503"
          http.request.method = "POST"
          url.scheme = "https"
          url.path = "/api/orders�"
          url.query = "a=\"1\"&b=\\"
          user_agent.original = "curl/8 ☃\n"
          server.address = "shop.example"
          server.port = 8443
          client.address = "192.0.2.7"
          client.port = 5000
          network.peer.address = "::1"
          network.peer.port = 7
          network.protocol.name = "http"
          network.protocol.version = "2"
          selvedge.listener = "tls"
          tls.protocol.name = "tls"
          tls.protocol.version = "1.3"
          tls.cipher = "TLS_AES_128_GCM_SHA256"
          tls.resumed = true
          tls.client.server_name = "shop.example"
          tls.client.subject = "CN=till \"7\""
          http.route = "api"
          selvedge.route.why = "path-prefix /api, priority 0"
          selvedge.upstream = "backend"
          http.request.body.size = 1024
          http.response.body.size = 0
          http.response.status_code = 503
          selvedge.refused_by = "upstream/status"
          error.type = "upstream/status"
        tls < POST api: 0..2500 kind=1 flags=0x101 vendor=1
        head < POST api: 3000..3120 kind=1 flags=0x101 vendor=1
        routing < POST api: 3120..3135 kind=1 flags=0x101 vendor=1
        queue < POST api: 3135..4135 kind=1 flags=0x101 vendor=1
        POST < POST api: 4135..28000 kind=3 flags=0x101 vendor=1
          status 2 "the target answered 503"
          http.request.method = "POST"
          selvedge.upstream = "backend"
          server.address = "10.0.0.1"
          server.port = 9000
          selvedge.connection.reused = false
          http.request.resend_count = 1
          selvedge.retry_reason = "connect-refused"
          http.response.status_code = 503
          error.type = "upstream/status"
        connect < POST: 4135..4635 kind=1 flags=0x101 vendor=1
        first byte < POST: 4635..24635 kind=1 flags=0x101 vendor=1
    "#]],
    );
    let origin = received.spans()[0].start_time_unix_nano;
    assert_eq!(origin, 1_769_903_999_497_000_000, "accepted, 3 ms before the first byte");
    let resource = received.request.resource_spans[0].resource.as_ref().unwrap();
    let names: Vec<_> = resource.attributes.iter().map(attribute).collect();
    assert_eq!(names, ["service.name = \"shop-edge\"", "service.version = \"0.1.0\""]);
    assert!(received.head.starts_with("post /v1/traces http/1.1\r\n"));
    assert!(received.head.contains("\r\nx-key: s3cret\r\n"));
    assert!(received.head.contains("\r\ncontent-type: application/x-protobuf\r\n"));
}

#[test]
fn a_refused_request_is_one_span() {
    let timings = timings();
    let timings = Timings::new(timings.head_first_byte, timings.started);
    check_tree(
        bare,
        &timings,
        expect![[r#"
        HTTP < caller: 0..0 kind=2 flags=0x301 vendor=1
          http.request.method = "_OTHER"
          http.request.method_original = "BREW"
          url.scheme = "http"
          url.path = "/"
          client.address = "192.0.2.7"
          client.port = 5000
          network.peer.address = "192.0.2.7"
          network.peer.port = 5000
          network.protocol.name = "http"
          network.protocol.version = "1.1"
          selvedge.listener = "web"
          http.request.body.size = 0
          http.response.body.size = 0
          http.response.status_code = 400
          selvedge.refused_by = "head-gate/duplicate-host"
    "#]],
    );
}

#[test]
fn a_busy_collector_is_asked_again() {
    let collector = Collector::start(&[
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "",
    ]);
    let hub = hub(&collector, 100);
    let labels = labels(&hub);
    let core = hub.core(0);
    record(&core, &labels);
    core.tick();
    let bodies = [(); 4].map(|()| collector.next().request);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    assert!(collector.is_silent());
    check(&hub, &["selvedge_spans_exported_total 8", "selvedge_span_export_retries_total 3"]);
}

#[test]
fn refused_spans_are_counted_and_not_sent_again() {
    let collector = Collector::start(&[
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        // partial_success { rejected_spans: 3 }
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x0A\x02\x08\x03",
    ]);
    let hub = hub(&collector, 100);
    let labels = labels(&hub);
    let core = hub.core(0);
    record(&core, &labels);
    core.tick();
    collector.next();
    record(&core, &labels);
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    collector.next();
    assert!(collector.is_silent());
    check(
        &hub,
        &[
            "selvedge_spans_exported_total 5",
            "selvedge_spans_dropped_total{reason=\"rejected\"} 11",
        ],
    );
}

#[test]
fn an_absent_collector_costs_the_newest_spans_and_no_time() {
    let hub = Hub::start(&settings("http://127.0.0.1:9", 16)).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    for _ in 0..5 {
        record(&core, &labels);
        core.tick();
    }
    check(
        &hub,
        &["selvedge_spans_queued 16", "selvedge_spans_dropped_total{reason=\"queue_full\"} 24"],
    );
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    check(
        &hub,
        &["selvedge_spans_queued 0", "selvedge_spans_dropped_total{reason=\"abandoned\"} 16"],
    );
}

#[test]
fn requests_carry_at_most_512_spans() {
    let collector = Collector::start(&[]);
    let hub = hub(&collector, 10_000);
    let labels = labels(&hub);
    let core = hub.core(0);
    (0..200).for_each(|_| record(&core, &labels));
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 1_600 {
        counts.push(collector.next().spans().len());
    }
    assert!(counts.iter().all(|count| *count <= 512), "{counts:?}");
    assert!(collector.is_silent());
}

#[test]
fn a_reload_moves_and_stops_the_export() {
    let (one, two) = (Collector::start(&[]), Collector::start(&[]));
    let hub = hub(&one, 100);
    let labels = labels(&hub);
    let core = hub.core(0);
    record(&core, &labels);
    core.tick();
    assert_eq!(one.next().spans().len(), 8);
    hub.reconfigure(&settings(&two.endpoint, 100)).unwrap();
    record(&core, &labels);
    core.tick();
    assert_eq!(two.next().spans().len(), 8);
    hub.reconfigure(&Settings::quiet(1)).unwrap();
    let trace = continued(&core);
    assert!(trace.is_sampled() && !trace.is_recorded());
    record(&core, &labels);
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    assert!(one.is_silent() && two.is_silent());
}

#[test]
fn an_operator_hears_that_export_fails_and_works_again() {
    let collector = Collector::start(&[
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    let events = LogTarget::File(path.clone());
    let hub = Hub::start(&Settings { events, ..settings(&collector.endpoint, 100) }).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    record(&core, &labels);
    core.tick();
    (0..3).for_each(|_| drop(collector.next()));
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    let text = std::fs::read_to_string(path).unwrap();
    let messages: Vec<_> = text.lines().map(|line| line.split_once(" level=").unwrap().1).collect();
    let address = collector.endpoint.trim_start_matches("http://");
    assert_eq!(
        messages,
        [
            format!(
                "warn msg=\"traces cannot be exported\" collector={address} error=\"answered 503 Service Unavailable\""
            ),
            format!("info msg=\"traces are exported again\" collector={address}"),
        ]
    );
}
