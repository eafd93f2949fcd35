//! What is told of agents: log lines, decisions, metrics.

use expect_test::{Expect, expect};
use selvedge_agent::{Finding, Step, Subscriptions, Verdict};
use serde_json::Value;

use crate::{
    agents::{Crew, Script, text_frame},
    client::Client,
    harness::{Bench, PATIENCE, eventually},
    upstream::Upstream,
};

/// The lines that are logged of what `talk` does before an upstream that answers with its request.
fn lines(blocks: &str, asked: &str, talk: impl FnOnce(&mut Client)) -> Vec<Value> {
    lines_before(&Upstream::mirror(), (blocks, asked), talk)
}

/// The lines that are logged of what `talk` does.
fn lines_before(
    upstream: &Upstream,
    (blocks, asked): (&str, &str),
    talk: impl FnOnce(&mut Client),
) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let bench = Bench::logging(
        &format!(
            "{blocks}upstream \"u\" {{ target \"{}\" }}\n\
             route \"all\" {{ agents {asked}; upstream \"u\" }}\n",
            upstream.target()
        ),
        &log,
    );
    talk(&mut bench.connect());
    bench.finish();
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a line says of agents.
fn told(line: &Value) -> String {
    let mut text = format!("{} {}\n", line["status"], line["path"]);
    for call in line["agents"].as_array().into_iter().flatten() {
        assert!(call["ms"].is_f64(), "{call}");
        let passed_over = if call["passed_over"] == true { " passed over" } else { "" };
        let (id, event, outcome) = (&call["id"], &call["event"], &call["outcome"]);
        text += &format!("  {id} {event} {outcome}{passed_over}\n");
    }
    for field in ["refused_by", "blocked_by", "error"] {
        if let Some(value) = line.get(field) {
            text += &format!("  {field} {value}\n");
        }
    }
    text
}

#[track_caller]
fn check(lines: &[Value], expected: Expect) {
    let requests = lines.iter().filter(|line| line.get("kind").is_none());
    expected.assert_eq(&requests.map(told).collect::<String>());
}

#[test]
fn a_block_names_agent_rule_and_reason() {
    let crew = Crew::start(Script {
        head: Box::new(|request| match request.path() {
            "/block" => Verdict::block(451)
                .reason("because")
                .finding(Finding::new("r1").score(5).tag("law").detail("in path")),
            "/away" => Verdict::redirect(303, "https://elsewhere.example/"),
            "/who" => Verdict::challenge("Bearer").reason("no token"),
            "/odd" => Verdict::allow().finding(Finding::new("r2").score(1)),
            _ => Verdict::allow(),
        }),
        ..Script::default()
    });
    let lines = lines(&crew.block("a", ""), "\"a\"", |client| {
        for path in ["/block", "/away", "/who", "/odd", "/pass"] {
            client.get(path);
        }
    });
    check(
        &lines,
        expect![[r#"
            451 "/block"
              "a" "request_headers" "block"
              refused_by "agent/blocked"
              blocked_by "a"
              error "a: because"
            303 "/away"
              "a" "request_headers" "redirect"
              refused_by "agent/blocked"
              blocked_by "a"
            401 "/who"
              "a" "request_headers" "challenge"
              refused_by "agent/blocked"
              blocked_by "a"
              error "a: no token"
            200 "/odd"
              "a" "request_headers" "allow"
            200 "/pass"
              "a" "request_headers" "allow"
        "#]],
    );
    let decisions = lines.iter().filter(|line| line["kind"] == "decision");
    let decisions: String = decisions
        .map(|line| {
            let request = lines.iter().find(|request| {
                request.get("kind").is_none() && request["trace_id"] == line["trace_id"]
            });
            assert_eq!(request.unwrap()["path"], line["path"]);
            assert_eq!(request.unwrap()["client"], line["client"]);
            let mut line = line.clone();
            for varies in ["time", "trace_id", "span_id", "client", "host"] {
                line.as_object_mut().unwrap().remove(varies);
            }
            format!("{line}\n")
        })
        .collect();
    expect![[r#"
        {"agent":"a","decision":"block","findings":[{"detail":"in path","rule":"r1","score":5,"tags":["law"]}],"kind":"decision","listener":"http","method":"GET","path":"/block","reason":"because","route":"all","sampled":false,"status":451}
        {"agent":"a","decision":"redirect","kind":"decision","listener":"http","method":"GET","path":"/away","route":"all","sampled":false,"status":303}
        {"agent":"a","decision":"challenge","kind":"decision","listener":"http","method":"GET","path":"/who","reason":"no token","route":"all","sampled":false,"status":401}
        {"agent":"a","decision":"allow","findings":[{"rule":"r2","score":1}],"kind":"decision","listener":"http","method":"GET","path":"/odd","route":"all","sampled":false}
    "#]].assert_eq(&decisions);
}

#[test]
fn whoever_did_not_answer_is_told_of() {
    let slow = Crew::start(Script { delay: PATIENCE, ..Script::default() });
    let quick = Crew::start(Script {
        head: Box::new(|request| match request.path() {
            "/block" => Verdict::block(403),
            _ => Verdict::allow().finding(Finding::new("seen")),
        }),
        ..Script::default()
    });
    let away = "agent \"away\" { type \"x\"; address \"unix:/nowhere/agent.sock\"; \
                timeout-ms 50; failure-mode \"open\" }\n";
    let blocks = format!(
        "{}{}{away}",
        slow.block("slow", "").replace("timeout-ms 5000", "timeout-ms 300000"),
        quick.block("quick", "")
    );
    let lines = lines(&blocks, "\"slow\" \"quick\"", |client| {
        client.get("/block");
    });
    check(
        &lines,
        expect![[r#"
        403 "/block"
          "quick" "request_headers" "block"
          "slow" "request_headers" "cancelled"
          refused_by "agent/blocked"
          blocked_by "quick"
    "#]],
    );

    let blocks = format!("{}{away}", quick.block("quick", ""));
    let lines = self::lines(&blocks, "\"away\" \"quick\"", |client| {
        client.get("/pass");
    });
    check(
        &lines,
        expect![[r#"
        200 "/pass"
          "quick" "request_headers" "allow"
          "away" "request_headers" "timeout" passed over
    "#]],
    );
    let closed = away.replace("\"open\"", "\"closed\"");
    let blocks = format!("{}{closed}", quick.block("quick", ""));
    let lines = self::lines(&blocks, "\"away\" \"quick\"", |client| {
        client.get("/pass");
    });
    check(
        &lines,
        expect![[r#"
        504 "/pass"
          "quick" "request_headers" "allow"
          "away" "request_headers" "timeout"
          refused_by "agent/timeout"
          error "no answer in time"
    "#]],
    );
    assert_eq!(lines[0]["findings"][0]["rule"], "seen", "found before the other was missed");
}

#[test]
fn bodies_are_questions_of_their_own_and_what_is_not_asked_is_not_told() {
    let whole = Crew::start(Script {
        wants: Subscriptions::none().inspect_request_body(1 << 10),
        ..Script::default()
    });
    let pieces = Crew::start(Script {
        wants: Subscriptions::none().stream_request_body(1 << 20),
        chunk: Box::new(|_| Step::Release),
        ..Script::default()
    });
    let blocks = format!("{}{}", whole.block("whole", ""), pieces.block("pieces", ""));
    let lines = lines(&blocks, "\"whole\" \"pieces\"", |client| {
        client.get("/without");
        client.send("POST /with HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().status, 200);
    });
    check(
        &lines,
        expect![[r#"
        200 "/without"
        200 "/with"
          "whole" "request_body" "allow"
          "pieces" "request_body" "allow"
    "#]],
    );
}

#[test]
fn a_frame_that_ends_its_tunnel_is_told_of() {
    let crew = Crew::start(Script {
        wants: Subscriptions::none().websocket_frames(64),
        frame: Box::new(|frame| match frame.payload {
            b"bad" => Verdict::block(403).reason("a bad word").finding(Finding::new("words")),
            b"odd" => Verdict::abandon("no idea"),
            _ => Verdict::allow(),
        }),
        ..Script::default()
    });
    let upstream = Upstream::start(|mut peer| {
        peer.request().unwrap();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        while peer.exactly(1).is_some() {}
    });
    let talk = |last: &'static str, code: [u8; 2]| {
        move |client: &mut Client| {
            client.send(
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            assert_eq!(client.response().status, 101);
            client.send(text_frame("fine")).send(text_frame(last));
            assert_eq!(client.exactly(4), [&[0x88, 2], &code[..]].concat());
            client.assert_closed();
        }
    };
    let blocks = crew.block("a", "");
    let lines = lines_before(&upstream, (&blocks, "\"a\""), talk("bad", [0x03, 0xf0]));
    check(
        &lines,
        expect![[r#"
            101 "/"
              "a" "websocket_frame" "block"
              refused_by "agent/blocked"
              blocked_by "a"
              error "a: a bad word"
        "#]],
    );
    let decision = lines.iter().find(|line| line["kind"] == "decision").unwrap();
    assert_eq!((&decision["agent"], &decision["reason"]), (&"a".into(), &"a bad word".into()));
    let lines = lines_before(&upstream, (&blocks, "\"a\""), talk("odd", [0x03, 0xf5]));
    check(
        &lines,
        expect![[r#"
            101 "/"
              "a" "websocket_frame" "abandoned"
              refused_by "agent/unavailable"
              error "it gave up: no idea"
        "#]],
    );
}

#[test]
fn calls_are_counted_and_their_time_is_told() {
    let crew = Crew::start(Script {
        head: Box::new(|request| match request.path() {
            "/block" => Verdict::block(403),
            _ => Verdict::allow(),
        }),
        ..Script::default()
    });
    let upstream = Upstream::mirror();
    let bench = Bench::plain(&format!(
        "{}upstream \"u\" {{ target \"{}\" }}\nroute \"all\" {{ agents \"a\"; upstream \"u\" }}\n",
        crew.block("a", ""),
        upstream.target()
    ));
    let mut client = bench.connect();
    for path in ["/block", "/pass", "/pass"] {
        client.get(path);
    }
    for line in [
        "selvedge_agent_calls_total{agent=\"a\",outcome=\"allow\"} 2\n",
        "selvedge_agent_calls_total{agent=\"a\",outcome=\"block\"} 1\n",
        "selvedge_agent_call_duration_seconds_count{agent=\"a\"} 3\n",
        "selvedge_agent_up{agent=\"a\"} 1\n",
        "selvedge_agent_in_flight{agent=\"a\"} 0\n",
        "selvedge_agent_breaker_state{agent=\"a\"} 0\n",
    ] {
        eventually(line, || bench.metrics().contains(line));
    }
    drop(crew);
    eventually("it is down", || bench.metrics().contains("selvedge_agent_up{agent=\"a\"} 0\n"));
}

#[test]
fn an_agent_that_stands_still_is_down_until_it_goes_on() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let crew = Crew::start(Script {
        // It holds the thread that answers pings, too.
        head: Box::new(move |_| {
            let _ = wait.lock().unwrap().recv();
            Verdict::allow()
        }),
        ..Script::default()
    });
    let bench = Bench::plain(&format!(
        "{}route \"all\" {{ agents \"a\"; respond 200 \"fine\" }}\n",
        crew.block("a", "").replace("timeout-ms 5000", "timeout-ms 300000"),
    ));
    let up = |value| format!("selvedge_agent_up{{agent=\"a\"}} {value}\n");
    eventually("it is up", || bench.metrics().contains(&up(1)));
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is down", || bench.metrics().contains(&up(0)));
    drop(go);
    assert_eq!(client.response().text(), "fine", "on the same connection");
    eventually("it is up again", || bench.metrics().contains(&up(1)));
}
