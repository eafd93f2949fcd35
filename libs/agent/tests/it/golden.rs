//! The bytes of each type of frame, as they are for ever in version 1, and what version 2 adds.

use std::{fmt::Write, fs, path::PathBuf};

use expect_test::{Expect, expect, expect_file};
use selvedge_agent::{
    AgentBounds, AgentSide, Ask, CancelCode, Event, Family, FaultCode, Finding, FromAgent,
    FromEdge, Measured, MetricKind, Replacement, Report, Series, Settings, Subscriptions, Verdict,
    WebsocketFrame,
    frame::{Frame, FrameType, HEADER_LENGTH},
};

use crate::conversation::{BOUNDS, Conversation, attributes, request, response, totals};

/// A frame as people read it: its header, then rows of sixteen bytes.
fn text(frame: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (header, payload) = frame.split_at(HEADER_LENGTH);
    let parts = [&header[..4], &header[4..5], &header[5..6], &header[6..8], &header[8..]];
    let mut text = parts.map(hex).join(" ") + "\n";
    for row in payload.chunks(16) {
        let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let shown: String = row.iter().map(shown).collect();
        let pairs: Vec<String> = row.chunks(4).map(hex).collect();
        writeln!(text, "{:<35}  |{shown}|", pairs.join(" ")).expect("a string takes everything");
    }
    text
}

/// The bytes of a golden file.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('|').next().unwrap_or_default().bytes())
        .filter(|byte| *byte != b' ')
        .map(|digit| char::from(digit).to_digit(16).expect("hexadecimal digits") as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Where the bytes of a name are: of version 1, unless it names another.
fn path(name: &str) -> PathBuf {
    let folder = if name.contains('/') { folder() } else { folder().join("v1") };
    folder.join(name).with_extension("hex")
}

/// The type of the frame that a file holds, and maybe more.
fn kind(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    bytes(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The frames in `said` are those of these golden files, in this order.
#[track_caller]
fn check(said: &[u8], names: &[&str]) {
    let mut rest = said;
    for name in names {
        let before = rest;
        let frame = Frame::take(&mut rest, |_| u32::MAX).expect("a frame");
        let frame = frame.unwrap_or_else(|| panic!("{name} is missing"));
        let own = frame.kind.name().to_lowercase();
        assert!(kind(name).starts_with(&own), "{name} is a {own}");
        expect_file![path(name)].assert_eq(&text(&before[..before.len() - rest.len()]));
    }
    assert_eq!(rest, b"", "more than {names:?}");
}

fn wants() -> Subscriptions {
    Subscriptions::none()
        .request_headers()
        .inspect_request_body(64 << 10)
        .of_methods(["POST", "PUT"])
        .of_types(["application/json", "*+json"])
        .response_headers()
        .stream_response_body(u32::MAX)
        .websocket_frames(512)
        .log()
}

const ASK: Ask = Ask { body: true, verdict: true };

/// A connection from its first byte to its last, in every type of frame.
#[test]
fn frames_are_written_as_ever() {
    let mut both = Conversation::new();
    check(both.edge.output(), &["v2/hello"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.agent.ready(&wants()).expect("the edge asks");
    check(both.agent.output(), &["v2/ready"]);
    both.tell_edge(usize::MAX, |_, _| {}).expect("the protocol is kept");

    setup(&mut both);
    let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
    check(both.edge.output(), &["request_headers"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    let changes = Verdict::allow()
        .set_request_header("x-user-id", "ada")
        .add_response_header("vary", "authorization")
        .remove_request_header("x-role")
        .finding(Finding::new("jwt/expiring").score(2).tag("token").detail("in 30 s"))
        .value("user", "ada")
        .reason("a valid token");
    both.agent.verdict(stream, Event::RequestHeaders, &changes).expect("it was asked");
    check(both.agent.output(), &["verdict_allow"]);

    request_body(&mut both, stream);
    response_body(&mut both, stream);
    tunnel(&mut both, stream);

    both.edge.cancel(stream, CancelCode::ClientGone);
    check(&both.edge_says(), &["cancel"]);
    both.edge.log(&attributes(), &totals()).expect("it is wanted");
    check(&both.edge_says(), &["log"]);
    both.edge.drain();
    check(&both.edge_says(), &["drain"]);
    let mut garbage = &[0xff; HEADER_LENGTH][..];
    both.edge.receive(&mut garbage).expect_err("it is garbage");
    check(&both.edge_says(), &["fault"]);
}

fn setup(both: &mut Conversation) {
    both.edge.ping(0x0102_0304_0506_0708);
    check(both.edge.output(), &["ping"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    check(both.agent.output(), &["pong"]);
    both.edge.configure(2, Settings::new("{}")).expect("nothing is offered");
    check(both.edge.output(), &["configure"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.tell_edge(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.agent.configured(Err("the issuer is missing")).expect("the edge asks");
    check(both.agent.output(), &["configured_refused"]);
    both.tell_edge(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.edge.configure(3, Settings::new("{}")).expect("the other offer was answered");
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.agent.configured(Ok(&wants())).expect("the edge asks");
    check(both.agent.output(), &["configured"]);
    both.tell_edge(usize::MAX, |_, _| {}).expect("the protocol is kept");
    assert_eq!(both.edge.accepted(), Some(3));
    assert!(both.edge.adopt());
    check(both.edge.output(), &["adopt"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
}

fn request_body(both: &mut Conversation, stream: selvedge_agent::StreamId) {
    both.edge.body(stream, Event::RequestBody, b"{\"item\":", false).expect("there is room");
    both.edge.body(stream, Event::RequestBody, b"7}", true).expect("there is room");
    check(both.edge.output(), &["request_body", "request_body_end"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.agent_says();
    let whole = Replacement { consumed: 0, piece: b"{\"item\":8}", last: true };
    both.agent.replace(stream, Event::RequestBody, whole).expect("the body is whole");
    check(&both.agent_says(), &["replace_whole"]);
    both.agent.grant(stream, Event::RequestBody, 1 << 10);
    check(&both.agent_says(), &["credit"]);
}

fn response_body(both: &mut Conversation, stream: selvedge_agent::StreamId) {
    both.edge.response(stream, &response(), Ask { body: true, verdict: false }).expect("the first");
    both.edge.body(stream, Event::ResponseBody, b"hello, world", true).expect("there is room");
    check(both.edge.output(), &["response_headers", "response_body"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    both.agent.release(stream, Event::ResponseBody, 7, false).expect("they came");
    let rest = Replacement { consumed: 5, piece: b"agents", last: true };
    both.agent.replace(stream, Event::ResponseBody, rest).expect("they came");
    check(&both.agent_says(), &["release", "replace_end"]);
}

fn tunnel(both: &mut Conversation, stream: selvedge_agent::StreamId) {
    let frame = WebsocketFrame {
        opcode: 1,
        payload: b"hi",
        from_upstream: true,
        ..WebsocketFrame::default()
    };
    both.edge.websocket_frame(stream, frame).expect("there is room");
    check(both.edge.output(), &["websocket_frame"]);
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
}

/// What ends a stream, each on a stream of its own.
#[test]
fn endings_are_written_as_ever() {
    let block = Verdict::block(403)
        .header("content-type", "text/plain")
        .body("not today\n")
        .finding(Finding::new("deny/path"))
        .reason("the path is on the list");
    let redirect =
        Verdict::redirect(302, "https://id.example/login").header("set-cookie", "state=1");
    let challenge =
        Verdict::challenge("Bearer").param("realm", "api").param("error", "invalid_token");
    let endings = [
        ("verdict_block", Some(block)),
        ("verdict_redirect", Some(redirect)),
        ("verdict_challenge", Some(challenge)),
        ("verdict_done", Some(Verdict::allow().done())),
        ("abandon", None),
    ];
    for (name, verdict) in endings {
        let mut both = Conversation::ready(&wants());
        let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
        both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
        match verdict {
            Some(verdict) => {
                both.agent.verdict(stream, Event::RequestHeaders, &verdict).expect("asked")
            }
            None => both.agent.abandon(stream, "the key server is down"),
        }
        assert!(!both.agent.is_open(stream));
        check(&both.agent_says(), &[name]);
    }
}

#[test]
fn every_type_has_golden_bytes_and_a_page_that_shows_them() {
    let files = |version: &str| -> Vec<String> {
        fs::read_dir(folder().join(version))
            .expect("the folder lies beside this file")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .map(|name| name.trim_end_matches(".hex").to_owned())
            .collect()
    };
    let mut names = files("v1");
    names.extend(files("v2").into_iter().map(|name| format!("v2/{name}")));
    names.sort();
    let mut seen = Vec::new();
    for name in &names {
        let bytes = read(name);
        let frame = Frame::take(&mut &bytes[..], |_| u32::MAX).expect("a frame").expect("whole");
        assert!(kind(name).starts_with(&frame.kind.name().to_lowercase()), "{name}");
        seen.push(frame.kind);
    }
    for kind in FrameType::ALL {
        assert!(seen.contains(kind), "no golden bytes of {}", kind.name());
    }
    let page = fs::read_to_string("../../docs/reference/agent-protocol.md").expect("the page");
    let shown: Vec<(&str, &str)> = page
        .split("```frame ")
        .skip(1)
        .filter_map(|block| block.split("```").next()?.split_once('\n'))
        .collect();
    let mut shown_names: Vec<&str> = shown.iter().map(|(name, _)| *name).collect();
    shown_names.sort_unstable();
    assert_eq!(shown_names, names);
    for (name, block) in shown {
        assert_eq!(bytes(block), read(name), "{name} on the page");
    }
}

/// What the edge hears when it reads these golden files from an agent that is ready.
#[track_caller]
fn check_edge(names: &[&str], expected: Expect) {
    let mut both = Conversation::ready(&wants());
    let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
    both.edge.body(stream, Event::RequestBody, b"{}", true).expect("there is room");
    both.edge.response(stream, &response(), ASK).expect("the first");
    both.edge.body(stream, Event::ResponseBody, b"hello, world", true).expect("there is room");
    let said: Vec<u8> = names.iter().flat_map(|name| read(name)).collect();
    let mut text = String::new();
    let mut rest = &said[..];
    while let Some(said) = both.edge.receive(&mut rest).expect("the protocol is kept") {
        writeln!(text, "{}", describe(&said)).expect("a string takes everything");
    }
    expected.assert_eq(&text);
}

fn describe(said: &FromAgent<'_>) -> String {
    match said {
        FromAgent::Verdict { stream, event, verdict } => {
            format!(
                "{stream} {} {:?}\n  changes {:?}\n  findings {:?}\n  values {:?}\n  reason {:?} done {}",
                event.name(),
                verdict.decision(),
                verdict.changes(),
                verdict.findings(),
                verdict.values(),
                verdict.reason_text(),
                verdict.is_done()
            )
        }
        said => format!("{said:?}"),
    }
}

#[test]
fn answers_are_read_as_ever() {
    check_edge(
        &["verdict_allow"],
        expect![[r#"
        1 request_headers Allow
          changes [Change { target: Request, operation: Set, name: "x-user-id", value: b"ada" }, Change { target: Response, operation: Add, name: "vary", value: b"authorization" }, Change { target: Request, operation: Remove, name: "x-role", value: b"" }]
          findings [Finding { rule: "jwt/expiring", score: 2, tags: ["token"], detail: "in 30 s" }]
          values [("user", "ada")]
          reason "a valid token" done false
    "#]],
    );
    check_edge(
        &["verdict_block"],
        expect![[r#"
        1 request_headers Block(Answer { status: 403, fields: [("content-type", b"text/plain")], body: b"not today\n" })
          changes []
          findings [Finding { rule: "deny/path", score: 0, tags: [], detail: "" }]
          values []
          reason "the path is on the list" done true
    "#]],
    );
    check_edge(
        &["verdict_redirect"],
        expect![[r#"
        1 request_headers Redirect { location: "https://id.example/login", answer: Answer { status: 302, fields: [("set-cookie", b"state=1")], body: b"" } }
          changes []
          findings []
          values []
          reason "" done true
    "#]],
    );
    check_edge(
        &["verdict_challenge"],
        expect![[r#"
        1 request_headers Challenge { scheme: "Bearer", parameters: [("realm", "api"), ("error", "invalid_token")], answer: Answer { status: 401, fields: [], body: b"" } }
          changes []
          findings []
          values []
          reason "" done true
    "#]],
    );
    check_edge(
        &["replace_whole", "credit"],
        expect![[r#"
        Replace { stream: StreamId(1), event: RequestBody, mode: Inspect, consumed: 0, bytes: [123, 34, 105, 116, 101, 109, 34, 58, 56, 125], last: true, done: false }
        Credit { stream: StreamId(1), event: RequestBody }
    "#]],
    );
    check_edge(
        &["release", "replace_end"],
        expect![[r#"
        Release { stream: StreamId(1), event: ResponseBody, bytes: 7, last: false, done: false }
        Replace { stream: StreamId(1), event: ResponseBody, mode: Stream, consumed: 5, bytes: [97, 103, 101, 110, 116, 115], last: true, done: false }
    "#]],
    );
    check_edge(
        &["abandon", "verdict_done"],
        expect![[r#"
        Abandoned { stream: StreamId(1), reason: "the key server is down" }
    "#]],
    );
}

/// What an agent hears when it reads these golden files.
#[track_caller]
fn check_agent(names: &[&str], expected: Expect) {
    let mut both = Conversation::ready(&wants());
    let said: Vec<u8> = names.iter().flat_map(|name| read(name)).collect();
    let mut text = String::new();
    let mut rest = &said[..];
    while let Some(said) = both.agent.receive(&mut rest).expect("the protocol is kept") {
        if let FromEdge::Configure { .. } = said {
            both.agent.configured(Ok(&wants())).expect("the edge asks");
        }
        writeln!(text, "{said:?}").expect("a string takes everything");
    }
    expected.assert_eq(&text);
}

#[test]
fn questions_are_read_as_ever() {
    check_agent(
        &["request_headers", "request_body", "request_body_end"],
        expect![[r#"
        Request { stream: StreamId(1), head: RequestHead { attributes: {"client.address": "192.0.2.7", "route": "api", "value.user": "ada", "route.scopes": "read write"}, method: "POST", scheme: "https", authority: "api.example", target: "/orders?limit=2", version: Http2, fields: {"Content-Type": "application/json", "x-name": "J�rgen"}, has_body: true }, ask: Ask { body: true, verdict: true } }
        Body { stream: StreamId(1), event: RequestBody, mode: Inspect, bytes: [123, 34, 105, 116, 101, 109, 34, 58], end: More }
        Body { stream: StreamId(1), event: RequestBody, mode: Inspect, bytes: [55, 125], end: Whole }
    "#]],
    );
    check_agent(
        &["request_headers", "response_headers", "response_body", "websocket_frame", "cancel"],
        expect![[r#"
            Request { stream: StreamId(1), head: RequestHead { attributes: {"client.address": "192.0.2.7", "route": "api", "value.user": "ada", "route.scopes": "read write"}, method: "POST", scheme: "https", authority: "api.example", target: "/orders?limit=2", version: Http2, fields: {"Content-Type": "application/json", "x-name": "J�rgen"}, has_body: true }, ask: Ask { body: true, verdict: true } }
            Response { stream: StreamId(1), head: ResponseHead { status: 200, fields: {"content-type": "text/plain"}, has_body: true }, ask: Ask { body: true, verdict: false } }
            Body { stream: StreamId(1), event: ResponseBody, mode: Stream, bytes: [104, 101, 108, 108, 111, 44, 32, 119, 111, 114, 108, 100], end: Whole }
            WebsocketFrame { stream: StreamId(1), frame: WebsocketFrame { opcode: 1, payload: [104, 105], from_upstream: true, continues: false, truncated: false } }
            Cancelled { stream: StreamId(1), code: ClientGone }
        "#]],
    );
    check_agent(
        &["request_headers", "log"],
        expect![[r#"
        Request { stream: StreamId(1), head: RequestHead { attributes: {"client.address": "192.0.2.7", "route": "api", "value.user": "ada", "route.scopes": "read write"}, method: "POST", scheme: "https", authority: "api.example", target: "/orders?limit=2", version: Http2, fields: {"Content-Type": "application/json", "x-name": "J�rgen"}, has_body: true }, ask: Ask { body: true, verdict: true } }
        Outcome(Outcome { attributes: {"client.address": "192.0.2.7", "route": "api", "value.user": "ada", "route.scopes": "read write"}, totals: OutcomeTotals { status: 403, request_body_bytes: 12, response_body_bytes: 345, duration: 6.789ms, blocked_by: "auth" } })
    "#]],
    );
    check_agent(
        &["configure", "ping", "drain"],
        expect![[r#"
            Configure { generation: 2, settings: 2 bytes }
            Draining
        "#]],
    );
}

/// An agent that keeps what it measures, and the bytes of it.
#[test]
fn measurements_are_written_and_read_as_ever() {
    let mut both = Conversation::ready(&wants());
    assert!(both.edge.measure());
    check(both.edge.output(), &["v2/measure"]);
    both.tell_agent(usize::MAX, |agent, said| {
        assert!(matches!(said, FromEdge::Measure), "{said:?}");
        agent.metrics(&measured()).expect("the edge asks");
    })
    .expect("the protocol is kept");
    check(both.agent.output(), &["v2/metrics"]);
    let mut heard = None;
    both.tell_edge(usize::MAX, |_, said| match said {
        FromAgent::Metrics(report) => heard = Some(report),
        said => panic!("{said:?}"),
    })
    .expect("the protocol is kept");
    assert_eq!(heard, Some(measured()));
}

/// Something of each kind.
fn measured() -> Report {
    let family = |name: &str, kind, labels: &[&str], bounds: &[f64]| Family {
        name: name.to_owned(),
        kind,
        help: format!("What {name} counts."),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        bounds: bounds.to_vec(),
        series: Vec::new(),
    };
    let series = |values: &[&str], value| Series {
        values: values.iter().map(|one| (*one).to_owned()).collect(),
        value,
    };
    let mut refused = family("refused_total", MetricKind::Counter, &["prefix"], &[]);
    refused.series = vec![
        series(&["/admin"], Measured::Counter(7)),
        series(&["/internal"], Measured::Counter(1)),
    ];
    let mut keys = family("keys", MetricKind::Gauge, &[], &[]);
    keys.series = vec![series(&[], Measured::Gauge(2.5))];
    let mut took = family("seconds", MetricKind::Histogram, &[], &[0.25, 1.0]);
    let buckets = Measured::Histogram { buckets: vec![3, 2, 1], sum: 4.75 };
    took.series = vec![series(&[], buckets)];
    Report { families: vec![refused, keys, took], ..Report::default() }
}

/// An agent that meets an edge of version 1 is of version 1, and is asked for no measurements.
#[test]
fn an_old_edge_is_served_in_its_version() {
    let mut agent =
        AgentSide::new(AgentBounds { bounds: BOUNDS, ..AgentBounds::default() }, "deny", "1.2.3");
    agent.receive(&mut &read("hello")[..]).expect("it is a greeting");
    agent.ready(&wants()).expect("the edge asks");
    check(agent.output(), &["ready"]);
    agent.metrics(&measured()).expect_err("nobody asked");
    let fault = agent.receive(&mut &read("v2/measure")[..]).expect_err("version 1 has none");
    assert_eq!(fault.code, FaultCode::UnknownType);
}

/// An agent of version 1 takes the greeting, answers in its version, and is never asked what it does not know.
#[test]
fn an_old_agent_is_asked_in_its_version() {
    let mut both = Conversation::new();
    both.edge_says();
    both.edge.receive(&mut &read("ready")[..]).expect("the protocol is kept");
    assert!(both.edge.is_ready() && !both.edge.can_measure() && !both.edge.measure());
    assert_eq!(both.edge.output_len(), 0);
    let fault = both.edge.receive(&mut &read("v2/metrics")[..]).expect_err("nobody asked");
    assert_eq!(fault.code, FaultCode::Unasked);
}

#[test]
fn greetings_are_read_as_ever() {
    let mut agent = AgentSide::new(AgentBounds::default(), "deny", "1.2.3");
    let (hello, ready) = (read("hello"), read("ready"));
    let heard = agent.receive(&mut &hello[..]).expect("it is a greeting");
    expect![[r#"Some(Hello(Hello { version: 1, frame_max: 16384, window: 1024, edge: "selvedge 0.1.0", agent: "auth", generation: 1, settings: 31 bytes }))"#]].assert_eq(&format!("{heard:?}"));
    let mut both = Conversation::new();
    both.edge_says();
    let heard = both.edge.receive(&mut &ready[..]).expect("the protocol is kept");
    assert_eq!(heard, Some(FromAgent::Ready));
    assert_eq!(both.edge.agent_name(), ("deny", "1.2.3"));
    assert_eq!(both.edge.agent_bounds(), BOUNDS);
    assert_eq!(both.edge.subscriptions(), &wants());
}
