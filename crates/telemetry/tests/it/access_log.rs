use std::time::Duration;

use expect_test::{Expect, expect};
use selvedge_telemetry::{
    Core, Exchange, Finding, Hub, LogTarget, Registered, Settings, Timings, TraceContext,
};

use crate::exchanges::{asked, bare, continued, decided, labels, timings, whole};

/// Records into a log file and gives its lines.
fn lines(record: impl FnOnce(&Core, &Registered)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = Some(LogTarget::File(path.clone()));
    let hub = Hub::start(&Settings { access_log, ..Settings::quiet(1) }).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    record(&core, &labels);
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    std::fs::read_to_string(path).unwrap()
}

#[track_caller]
fn check(
    make: impl for<'a> FnOnce(&'a Registered, &'a TraceContext, &'a Timings) -> Exchange<'a>,
    timings: &Timings,
    expected: Expect,
) {
    let text = lines(|core, labels| {
        let trace = continued(core);
        core.record(&make(labels, &trace, timings));
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(line.is_object());
    expected.assert_eq(&text.replace(",\"", ",\n\""));
}

#[test]
fn every_fact_is_told_in_a_fixed_order() {
    check(
        whole,
        &timings(),
        expect![[r#"
            {"time":"2026-01-31T23:59:59.500000Z",
            "trace_id":"0af7651916cd43dd8448eb211c80319c",
            "parent_id":"b7ad6b7169203331",
            "sampled":true,
            "listener":"tls",
            "client":"192.0.2.7:5000",
            "peer":"[::1]:7",
            "protocol":"HTTP/2",
            "connection_reused":false,
            "tls_version":"1.3",
            "tls_cipher":"TLS_AES_128_GCM_SHA256",
            "tls_sni":"shop.example",
            "tls_resumed":true,
            "client_cert_subject":"CN=till \"7\"",
            "method":"POST",
            "host":"shop.example:8443",
            "path":"/api/orders�",
            "query":"a=\"1\"&b=\\",
            "user_agent":"curl/8 ☃\n",
            "referer":"https://shop.example/",
            "status":503,
            "route":"api",
            "why":"path-prefix /api, priority 0",
            "route_cached":true,
            "upstream":"backend",
            "target":"10.0.0.1:9000",
            "attempts":2,
            "retry_reason":"connect-refused",
            "upstream_status":503,
            "upstream_reused":false,
            "refused_by":"upstream/status",
            "error":"the target answered 503",
            "bytes_in":1024,
            "bytes_out":0,
            "duration_ms":25.000,
            "tls_ms":2.500,
            "head_ms":0.120,
            "routing_ms":0.015,
            "queue_ms":1.000,
            "connect_ms":0.500,
            "first_byte_ms":20.000,
            "upstream_ms":23.865}
        "#]],
    );
}

#[test]
fn absent_facts_are_left_out() {
    let timings =
        Timings { accepted: None, ..Timings::new(timings().head_first_byte, timings().started) };
    check(
        bare,
        &timings,
        expect![[r#"
            {"time":"2026-01-31T23:59:59.500000Z",
            "trace_id":"0af7651916cd43dd8448eb211c80319c",
            "parent_id":"b7ad6b7169203331",
            "sampled":true,
            "listener":"web",
            "client":"192.0.2.7:5000",
            "protocol":"HTTP/1.1",
            "connection_reused":true,
            "method":"BREW",
            "path":"/",
            "status":400,
            "refused_by":"head-gate/duplicate-host",
            "bytes_in":0,
            "bytes_out":0,
            "duration_ms":0.000}
        "#]],
    );
}

/// The lines of an exchange that the second of two agents ended.
fn blocked(findings: &[Finding<'_>]) -> String {
    lines(|core, labels| {
        let (trace, timings) = (continued(core), timings());
        let advised = timings.routed.map(|routed| routed + Duration::from_micros(50));
        let timings = Timings { advised, ..timings };
        let (agents, decisions) = (asked(labels, &timings), [decided(labels, findings)]);
        core.record(&Exchange {
            status: Some(403),
            refused_by: Some("agent/blocked"),
            error: Some(&"waf: score 8 of 5"),
            upstream: None,
            agents: &agents,
            blocked_by: Some(labels.agent(1)),
            decisions: &decisions,
            decisions_left_out: 3,
            ..whole(labels, &trace, &timings)
        });
    })
}

#[test]
fn a_decision_is_a_line_before_that_of_its_exchange() {
    let tags = ["sqli".to_owned(), "CVE-2021-44228".to_owned()];
    let findings = [
        Finding { rule: "942100", score: 5, tags: &tags, detail: "`' OR 1=1` in ARGS:id\n" },
        Finding { rule: "920300", score: 3, tags: &[], detail: "" },
    ];
    let text = blocked(&findings);
    let (decision, exchange) = text.split_once('\n').unwrap();
    expect![[r#"
        {"time":"2026-01-31T23:59:59.500000Z",
        "kind":"decision",
        "trace_id":"0af7651916cd43dd8448eb211c80319c",
        "parent_id":"b7ad6b7169203331",
        "sampled":true,
        "listener":"tls",
        "client":"192.0.2.7:5000",
        "method":"POST",
        "host":"shop.example:8443",
        "path":"/api/orders�",
        "route":"api",
        "agent":"waf",
        "decision":"block",
        "status":403,
        "reason":"score 8 of 5",
        "findings":[{"rule":"942100",
        "score":5,
        "tags":["sqli",
        "CVE-2021-44228"],
        "detail":"`' OR 1=1` in ARGS:id\n"},{"rule":"920300",
        "score":3}]}"#]]
    .assert_eq(&decision.replace(",\"", ",\n\""));
    let exchange: serde_json::Value = serde_json::from_str(exchange).unwrap();
    expect![[r#"[{"event":"request_headers","id":"auth","ms":1.0,"outcome":"timeout","passed_over":true},{"event":"request_headers","id":"waf","ms":0.045,"outcome":"block"}]"#]].assert_eq(&exchange["agents"].to_string());
    assert_eq!(
        (&exchange["blocked_by"], &exchange["decisions_left_out"]),
        (&"waf".into(), &3.into())
    );
    assert_eq!((&exchange["agents_ms"], &exchange["queue_ms"]), (&0.05.into(), &0.95.into()));
    let decision: serde_json::Value = serde_json::from_str(decision).unwrap();
    assert_eq!(decision["trace_id"], exchange["trace_id"]);
    assert_eq!((&decision["kind"], exchange.get("kind")), (&"decision".into(), None));
}

#[test]
fn what_agents_say_is_cut_to_a_bound() {
    let long = "\u{1}".repeat(70_000);
    let tags = vec![long.clone(); 255];
    let findings = [Finding { rule: &long, score: 1, tags: &tags, detail: &long }; 255];
    let text = blocked(&findings);
    let decision = text.lines().next().unwrap();
    assert!(decision.len() < 48 << 10, "{}", decision.len());
    let decision: serde_json::Value = serde_json::from_str(decision).unwrap();
    assert_eq!(decision["findings"].as_array().unwrap().len(), 1);
    assert_eq!(decision["findings_left_out"], 254);
}

#[test]
fn rules_are_told_where_there_is_no_room_for_more() {
    let detail = "d".repeat(500);
    let findings = [Finding { rule: "r", score: 1, tags: &[], detail: &detail }; 32];
    let text = blocked(&findings);
    let decision: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let told = decision["findings"].as_array().unwrap();
    let whole = told.iter().filter(|finding| finding.get("detail").is_some()).count();
    assert_eq!((told.len(), whole), (32, 16));
    assert_eq!(decision["findings_shortened"], 16);
    assert_eq!(decision.get("findings_left_out"), None);
}

#[test]
fn no_finding_is_left_out_without_need() {
    let findings = [Finding { rule: "r", score: 1, tags: &[], detail: "d" }; 200];
    let text = blocked(&findings);
    let decision: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(decision["findings"].as_array().unwrap().len(), 200);
    assert_eq!(decision.get("findings_left_out"), None);
}

#[test]
fn decisions_count_as_lines() {
    let folder = tempfile::tempdir().unwrap();
    let access_log = Some(LogTarget::File(folder.path().join("access.log")));
    let hub = Hub::start(&Settings { access_log, ..Settings::quiet(1) }).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    let decisions = [decided(&labels, &[]); 2];
    core.record(&Exchange { decisions: &decisions, ..bare(&labels, &trace, &timings) });
    drop(core);
    hub.shutdown(Duration::from_secs(30));
    assert!(hub.render_prometheus().contains("selvedge_log_lines_total{log=\"access_log\"} 3\n"));
}

/// How many lines of each kind two requests with a decision each leave under these settings.
#[track_caller]
fn check_kinds(requests: bool, decisions: bool, expected: [usize; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let access_log = Some(LogTarget::File(path.clone()));
    let settings = Settings { access_log, requests, decisions, ..Settings::quiet(1) };
    let hub =
        Hub::start(&Settings { requests: true, decisions: true, ..settings.clone() }).unwrap();
    hub.reconfigure(&settings).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    let decisions = [decided(&labels, &[])];
    for _ in 0..2 {
        core.record(&Exchange { decisions: &decisions, ..bare(&labels, &trace, &timings) });
    }
    drop(core);
    hub.shutdown(Duration::from_secs(30));
    let text = std::fs::read_to_string(path).unwrap();
    let of_decisions = text.lines().filter(|line| line.contains("\"kind\":\"decision\"")).count();
    assert_eq!([text.lines().count() - of_decisions, of_decisions], expected, "{text}");
    let lines: usize = expected.iter().sum();
    let counted = format!("selvedge_log_lines_total{{log=\"access_log\"}} {lines}\n");
    assert!(hub.render_prometheus().contains(&counted));
}

#[test]
fn requests_and_decisions_are_switched_by_themselves() {
    check_kinds(true, true, [2, 2]);
    check_kinds(false, true, [0, 2]);
    check_kinds(true, false, [2, 0]);
    check_kinds(false, false, [0, 0]);
}

#[test]
fn nothing_is_written_when_the_log_is_off() {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    let labels = labels(&hub);
    let core = hub.core(0);
    let (trace, timings) = (continued(&core), timings());
    core.record(&whole(&labels, &trace, &timings));
    drop(core);
    hub.shutdown(Duration::from_secs(30));
    assert!(hub.render_prometheus().contains("selvedge_log_lines_total{log=\"access_log\"} 0\n"));
}

#[test]
fn many_lines_arrive_whole_and_in_order() {
    let text = lines(|core, labels| {
        let (trace, timings) = (continued(core), timings());
        // Fewer bytes than the queue holds: none may be dropped, however slow the writer is.
        for bytes_out in 0..3_000 {
            core.record(&Exchange { bytes_out, ..whole(labels, &trace, &timings) });
        }
    });
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["bytes_out"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..3_000).collect::<Vec<_>>());
}
