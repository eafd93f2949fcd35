//! The agent as a process has it: behind its socket, with the protocol between.

use std::{
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use selvedge_agent::{
    Ask, AttributesBuf, Event, Options, RequestHeadBuf, RequestLine, ResponseHeadBuf, StreamId,
    TestEdge, Verdict, serve_until,
};
use tokio::sync::oneshot;

use super::*;

/// Asks an agent with these settings, over its socket.
fn with_edge(nodes: &str, ask: impl FnOnce(&mut TestEdge)) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("waf.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = thread::spawn(|| {
        serve_until::<Waf>(Options::new("waf", "test"), listener, async {
            let _ = ended.await;
        })
    });
    let mut edge = TestEdge::over(UnixStream::connect(&socket).unwrap(), &json(nodes)).unwrap();
    ask(&mut edge);
    drop(edge);
    end.send(()).unwrap();
    serving.join().unwrap().unwrap();
}

fn json(nodes: &str) -> String {
    serde_json::to_string(&settings_in(Path::new("/"), nodes)).unwrap()
}

fn open(edge: &mut TestEdge, (method, target): (&str, &str), body: bool) -> StreamId {
    let mut head = RequestHeadBuf::default();
    let line = RequestLine { method, target, authority: "example.com", ..RequestLine::default() };
    head.start(line)
        .push("user-agent", b"Mozilla/5.0")
        .push("accept", b"*/*")
        .push("content-type", b"application/json");
    edge.open(&AttributesBuf::default(), &head, Ask { body, verdict: true }).unwrap()
}

fn verdict(edge: &mut TestEdge, target: &str) -> Verdict {
    let stream = open(edge, ("GET", target), false);
    edge.verdict(stream, Event::RequestHeaders).unwrap()
}

#[test]
fn a_body_in_pieces_is_judged_whole() {
    with_edge("", |edge| {
        for (text, passes) in [("1' UNION SELECT password FROM users-- ", false), ("one", true)] {
            let stream = open(edge, ("POST", "/orders"), true);
            assert!(edge.verdict(stream, Event::RequestHeaders).unwrap().is_allow());
            let padding = "lorem ipsum ".repeat(8_000);
            let body = format!("{{\"padding\":\"{padding}\",\"name\":\"{text}\"}}");
            edge.send_body(stream, Event::RequestBody, body.as_bytes()).unwrap();
            assert_eq!(edge.verdict(stream, Event::RequestBody).unwrap().is_allow(), passes);
        }
    });
}

#[test]
fn a_reload_swaps_rules_and_old_exchanges_end_with_the_old_ones() {
    with_edge("mode \"detect\"\nresponses #true", |edge| {
        assert!(verdict(edge, INJECTION).is_allow());
        let old = open(edge, ("GET", INJECTION), false);
        assert!(edge.verdict(old, Event::RequestHeaders).unwrap().is_allow());

        let new = json("responses #true");
        assert_eq!(edge.configure(2, &new).unwrap(), Ok(()));
        assert!(!verdict(edge, INJECTION).is_allow());

        let mut head = ResponseHeadBuf::default();
        head.start(200).push("content-type", b"text/plain");
        edge.machine().response(old, &head, Ask { body: true, verdict: true }).unwrap();
        assert!(edge.verdict(old, Event::ResponseHeaders).unwrap().is_allow());
        let key = b"ORA-01756: quoted string not properly terminated";
        edge.send_body(old, Event::ResponseBody, key).unwrap();
        assert!(edge.verdict(old, Event::ResponseBody).unwrap().is_allow(), "it only detects");
    });
}

#[test]
fn settings_that_are_wrong_leave_the_old_ones_in_force() {
    with_edge("", |edge| {
        let refused = edge.configure(2, &json("exclude rule=5")).unwrap().unwrap_err();
        assert!(refused.contains("no rule has the number 5"), "{refused}");
        assert!(!verdict(edge, INJECTION).is_allow());
    });
}
