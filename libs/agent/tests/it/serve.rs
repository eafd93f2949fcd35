//! Agents as others run them, asked over a socket.

use std::{
    io::{self, Read, Write},
    num::NonZero,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use selvedge_agent::{
    Agent, Ask, AttributesBuf, Body, CancelCode, Chunk, Event, FromAgent, HttpVersion, Options,
    Outcome, OutcomeTotals, RequestHead, RequestHeadBuf, RequestLine, ResponseHead,
    ResponseHeadBuf, Step, Subscriptions, TestEdge, Verdict, WebsocketFrame, serve_until,
};
use tokio::{sync::oneshot, task::yield_now};

/// An agent whose behaviour is the first segment of the path.
struct Moody {
    word: String,
    started: usize,
}

#[derive(serde::Deserialize)]
struct Settings {
    word: String,
}

/// Exchanges that are alive, of all tests in this process that ask for `/forever`.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Outcomes that were told, by all tests in this process.
static OUTCOMES: AtomicUsize = AtomicUsize::new(0);

struct Waiting;

impl Waiting {
    fn new() -> Self {
        WAITING.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

impl Agent for Moody {
    type Settings = Settings;
    type Exchange = Vec<u8>;

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        match settings.word.as_str() {
            "refuse" => Err("the word is refused".to_owned()),
            "panic" => panic!("the word is panic"),
            _ => {
                let started = previous.map_or(1, |previous| previous.started + 1);
                Ok(Self { word: settings.word, started })
            }
        }
    }

    fn wants(&self) -> Subscriptions {
        Subscriptions::none()
            .request_headers()
            .inspect_request_body(100 << 10)
            .response_headers()
            .stream_response_body(u32::MAX)
            .websocket_frames(1_000)
            .log()
    }

    async fn request_headers(&self, request: &RequestHead<'_>, seen: &mut Vec<u8>) -> Verdict {
        seen.extend(request.path().bytes());
        match request.path() {
            "/block" => Verdict::block(403).body("no").reason("blocked"),
            "/later" => {
                yield_now().await;
                self.allow()
            }
            "/timer" => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.allow().done()
            }
            "/panic" => panic!("as asked"),
            "/panic-later" => {
                yield_now().await;
                panic!("as asked, later")
            }
            "/forever" => {
                let _waiting = Waiting::new();
                std::future::pending().await
            }
            "/unfit" => Verdict::allow().set_request_header("a", "b\nc"),
            _ => self.allow(),
        }
    }

    async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        seen: &mut Vec<u8>,
    ) -> Verdict {
        assert_eq!(seen, request.path().as_bytes(), "the state of this exchange");
        let said = Verdict::allow().value("bytes", body.bytes().len().to_string());
        let said = said.value("truncated", body.is_truncated().to_string());
        match request.path() {
            "/double" => said.replace_body([body.bytes(), body.bytes()].concat()),
            "/empty" => said.replace_body(Bytes::new()),
            _ => said,
        }
    }

    async fn response_headers(
        &self,
        _: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        _: &mut Vec<u8>,
    ) -> Verdict {
        Verdict::allow().set_response_header("x-status", response.status().to_string())
    }

    async fn response_chunk(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        chunk: Chunk<'_>,
        _: &mut Vec<u8>,
    ) -> Step {
        assert_eq!(response.status(), 200);
        match (request.path(), chunk.is_last()) {
            ("/hold", false) | ("/hold-all", _) => Step::Hold,
            ("/hold", true) => Step::Replace(Bytes::from(vec![b'x'; 100 << 10])),
            ("/cut", _) => Step::Decide(Verdict::block(502)),
            _ => Step::Release,
        }
    }

    async fn websocket_frame(
        &self,
        _: &RequestHead<'_>,
        frame: WebsocketFrame<'_>,
        _: &mut Vec<u8>,
    ) -> Verdict {
        match frame.payload {
            b"shout" => Verdict::allow().replace_body("SHOUT"),
            b"close" => Verdict::block(403),
            _ => Verdict::allow(),
        }
    }

    async fn log(&self, outcome: &Outcome<'_>) {
        assert_eq!(outcome.totals().blocked_by, "moody");
        OUTCOMES.fetch_add(1, SeqCst);
    }
}

impl Moody {
    fn allow(&self) -> Verdict {
        Verdict::allow().value("word", &self.word).value("started", self.started.to_string())
    }
}

/// An agent that runs until it is told to end.
struct Running {
    path: PathBuf,
    end: Option<oneshot::Sender<()>>,
    thread: JoinHandle<io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).expect("a path that nobody has");
        let (end, told) = oneshot::channel();
        let options = Options::new("moody", "1").threads_max(NonZero::<usize>::MIN);
        let thread = thread::spawn(move || {
            serve_until::<Moody>(options, listener, async { drop(told.await) })
        });
        Self { path, end: Some(end), thread, _folder: folder }
    }

    fn connect(&self) -> TestEdge {
        TestEdge::connect(&self.path, r#"{"word":"hello"}"#).expect("an agent")
    }

    fn tell_to_end(&mut self) {
        self.end.take().expect("told once").send(()).expect("it runs");
    }

    fn join(self) {
        self.thread.join().expect("it does not panic").expect("it ends in order");
    }
}

fn get(path: &str) -> RequestHeadBuf {
    let mut head = RequestHeadBuf::default();
    let version = HttpVersion::Http11;
    head.start(RequestLine { method: "GET", target: path, version, ..RequestLine::default() });
    head
}

fn none() -> AttributesBuf {
    AttributesBuf::default()
}

const ASK: Ask = Ask { body: false, verdict: true };
const WITH_BODY: Ask = Ask { body: true, verdict: true };

#[track_caller]
fn check_word(verdict: &Verdict, word: &str, started: &str) {
    let expected = [("word", word), ("started", started)];
    let values = verdict.values().iter().map(|(name, value)| (name.as_str(), value.as_str()));
    assert_eq!(values.collect::<Vec<_>>(), expected);
}

#[test]
fn verdicts_come_back() {
    let agent = Running::start();
    let mut edge = agent.connect();
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    check_word(&edge.ask(&none(), &get("/later")).expect("a verdict"), "hello", "1");
    check_word(&edge.ask(&none(), &get("/timer")).expect("a verdict"), "hello", "1");
    let block = edge.ask(&none(), &get("/block")).expect("a verdict");
    assert_eq!((block.is_allow(), block.reason_text()), (false, "blocked"));
}

#[test]
fn connections_share_an_agent() {
    let agent = Running::start();
    let (mut one, mut other) = (agent.connect(), agent.connect());
    check_word(&one.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    check_word(&other.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    let third = TestEdge::connect(&agent.path, r#"{"word":"other"}"#);
    let verdict = third.expect("an agent").ask(&none(), &get("/")).expect("a verdict");
    check_word(&verdict, "other", "2");
    check_word(&one.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
}

#[test]
fn a_panic_costs_one_exchange() {
    let agent = Running::start();
    let mut edge = agent.connect();
    for path in ["/panic", "/panic-later"] {
        let error = edge.ask(&none(), &get(path)).expect_err("the handler panics");
        assert_eq!(error.to_string(), "the agent panicked");
        check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    }
    let error = edge.ask(&none(), &get("/unfit")).expect_err("it cannot be sent");
    assert_eq!(error.to_string(), "a field that HTTP does not allow");
}

/// Waits until a number that other threads change is what it should be.
fn until(number: &AtomicUsize, expected: usize) {
    for _ in 0..3_000 {
        if number.load(SeqCst) == expected {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} instead of {expected}", number.load(SeqCst));
}

#[test]
fn handlers_end_with_their_exchange_and_pings_do_not_wait_for_them() {
    let agent = Running::start();
    let mut edge = agent.connect();
    let streams: Vec<_> =
        (0..50).map(|_| edge.open(&none(), &get("/forever"), ASK).expect("room")).collect();
    edge.machine().ping(7);
    let pong = edge.wait(|_, said| matches!(said, FromAgent::Pong(7)).then_some(()));
    pong.expect("it is there");
    until(&WAITING, 50);
    for stream in &streams[..25] {
        edge.machine().cancel(*stream, CancelCode::Timeout);
    }
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    until(&WAITING, 25);
    drop(edge);
    until(&WAITING, 0);
}

#[test]
fn bodies_are_inspected() {
    #[track_caller]
    fn check(edge: &mut TestEdge, path: &str, length: usize, seen: [&str; 2]) -> Vec<u8> {
        let body: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let stream = edge.open(&none(), &get(path), WITH_BODY).expect("room");
        edge.send_body(stream, Event::RequestBody, &body).expect("it is taken");
        let mut replaced = Vec::new();
        let verdict = edge.wait(|machine, said| match said {
            FromAgent::Replace { stream, event, bytes, .. } => {
                replaced.extend_from_slice(bytes);
                machine.grant(stream, event, bytes.len() as u32);
                None
            }
            FromAgent::Verdict { event: Event::RequestBody, verdict, .. } => Some(verdict),
            _ => None,
        });
        let verdict = verdict.expect("an answer");
        let values: Vec<&str> = verdict.values().iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, seen);
        edge.machine().cancel(stream, CancelCode::NotNeeded);
        replaced
    }
    let agent = Running::start();
    let mut edge = agent.connect();
    assert_eq!(check(&mut edge, "/", 90 << 10, ["92160", "false"]), b"");
    assert_eq!(check(&mut edge, "/", 110 << 10, ["102400", "true"]), b"");
    assert_eq!(check(&mut edge, "/empty", 3, ["3", "false"]), b"");
    let doubled = check(&mut edge, "/double", 100 << 10, ["102400", "false"]);
    assert_eq!(doubled.len(), 200 << 10);
    assert_eq!(doubled[..100 << 10], doubled[100 << 10..]);
}

#[test]
fn a_truncated_body_is_not_replaced() {
    let agent = Running::start();
    let mut edge = agent.connect();
    let stream = edge.open(&none(), &get("/double"), WITH_BODY).expect("room");
    edge.send_body(stream, Event::RequestBody, &vec![0; 101 << 10]).expect("it is taken");
    let error = edge.verdict(stream, Event::RequestBody).expect_err("half a body");
    assert_eq!(error.to_string(), "a body is replaced once, and only if it is whole");
}

/// Streams a response of these pieces and returns what goes on, and how it ended.
fn stream_response(path: &str, pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let agent = Running::start();
    let mut edge = agent.connect();
    let stream = edge.open(&none(), &get(path), ASK).expect("room");
    let mut head = ResponseHeadBuf::default();
    head.start(200).push("content-type", b"text/plain");
    edge.machine().response(stream, &head, WITH_BODY).expect("the first");
    let verdict = edge.verdict(stream, Event::ResponseHeaders).expect("a verdict");
    assert_eq!(verdict.changes()[0].value, "200");
    let mut waiting = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let last = i + 1 == pieces.len();
        let taken = edge.machine().body(stream, Event::ResponseBody, piece, last).expect("room");
        assert_eq!(taken.bytes, piece.len());
        waiting.extend_from_slice(piece);
    }
    let mut passed = Vec::new();
    let ended = edge.wait(|machine, said| match said {
        FromAgent::Release { bytes, last, .. } => {
            passed.extend(waiting.drain(..bytes as usize));
            last.then(|| "released".to_owned())
        }
        FromAgent::Replace { stream, event, consumed, bytes, last, .. } => {
            waiting.drain(..consumed as usize);
            passed.extend_from_slice(bytes);
            machine.grant(stream, event, bytes.len() as u32);
            last.then(|| "replaced".to_owned())
        }
        FromAgent::Verdict { verdict, .. } => Some(format!("allowed: {}", verdict.is_allow())),
        FromAgent::Abandoned { reason, .. } => Some(reason.to_owned()),
        _ => None,
    });
    (passed, ended.expect("an answer"))
}

#[test]
fn bodies_stream() {
    let (passed, ended) = stream_response("/", &[b"one ", b"two ", b""]);
    assert_eq!((&passed[..], ended.as_str()), (&b"one two "[..], "released"));
    let (passed, ended) = stream_response("/hold", &[b"one ", b"two ", b"three"]);
    assert_eq!((passed, ended.as_str()), (vec![b'x'; 100 << 10], "replaced"));
    let (passed, ended) = stream_response("/hold-all", &[b"one ", b"two"]);
    assert_eq!((&passed[..], ended.as_str()), (&b""[..], "the end of a body is held"));
    let (passed, ended) = stream_response("/cut", &[b"one ", b"two"]);
    assert_eq!((&passed[..], ended.as_str()), (&b""[..], "allowed: false"));
}

#[test]
fn tunnels_are_watched() {
    let agent = Running::start();
    let mut edge = agent.connect();
    let stream = edge.open(&none(), &get("/"), ASK).expect("room");
    edge.verdict(stream, Event::RequestHeaders).expect("a verdict");
    let mut heard = Vec::new();
    for payload in [&b"hello"[..], b"shout", b"close"] {
        let frame = WebsocketFrame { opcode: 1, payload, ..WebsocketFrame::default() };
        edge.machine().websocket_frame(stream, frame).expect("room");
    }
    let over = edge.wait(|_, said| match said {
        FromAgent::Replace { bytes, .. } => {
            heard.push(String::from_utf8_lossy(bytes).into_owned());
            None
        }
        FromAgent::Verdict { verdict, .. } => {
            heard.push(verdict.is_allow().to_string());
            verdict.is_done().then_some(())
        }
        _ => None,
    });
    over.expect("it closes");
    assert_eq!(heard, ["true", "SHOUT", "true", "false"]);
}

#[test]
fn settings_change_under_way() {
    fn configure(edge: &mut TestEdge, generation: u64, word: &str) -> Result<(), String> {
        let settings = format!(r#"{{"word":"{word}"}}"#);
        edge.configure(generation, &settings).expect("an answer")
    }
    let agent = Running::start();
    let mut edge = agent.connect();
    let old = edge.open(&none(), &get("/"), WITH_BODY).expect("room");
    edge.verdict(old, Event::RequestHeaders).expect("a verdict");
    assert_eq!(configure(&mut edge, 2, "world"), Ok(()));
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "world", "2");
    assert_eq!(configure(&mut edge, 3, "refuse"), Err("the word is refused".to_owned()));
    let panicked = "the agent panicked while it started".to_owned();
    assert_eq!(configure(&mut edge, 4, "panic"), Err(panicked));
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "world", "2");
    assert_eq!(configure(&mut edge, 5, "world"), Ok(()));
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "world", "3");
    edge.send_body(old, Event::RequestBody, b"old").expect("its agent lives on");
    edge.verdict(old, Event::RequestBody).expect("a verdict");
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let agent = Running::start();
    for (settings, expected) in [
        (r#"{"word":"refuse"}"#, "settings: the word is refused (said by the other end)"),
        (r#"{"word":1}"#, "settings: settings: invalid type: integer `1`, expected a string"),
        ("", "settings: settings: EOF while parsing"),
    ] {
        let error = TestEdge::connect(&agent.path, settings).expect_err("it cannot start");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    check_word(&agent.connect().ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
}

#[test]
fn strangers_cost_their_connection_alone() {
    let agent = Running::start();
    let mut edge = agent.connect();
    let mut stranger = UnixStream::connect(&agent.path).expect("anybody can");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n").expect("it is heard");
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).expect("it closes");
    assert_eq!(said[4], 8, "a fault: {said:02x?}");
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
}

#[test]
fn outcomes_are_told() {
    let agent = Running::start();
    let mut edge = agent.connect();
    let totals = OutcomeTotals { status: 403, blocked_by: "moody", ..OutcomeTotals::default() };
    for _ in 0..10 {
        edge.machine().log(&none(), &totals).expect("it is wanted");
    }
    check_word(&edge.ask(&none(), &get("/")).expect("a verdict"), "hello", "1");
    until(&OUTCOMES, 10);
}

#[test]
fn an_edge_that_does_not_read_is_held_up_and_loses_nothing() {
    let agent = Running::start();
    let mut edge = agent.connect();
    edge.machine().ping(7);
    let ping = edge.machine().output().to_vec();
    let (pings, stream) = (ping.repeat(1_000), edge.stream());
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let mut written = 0;
    while let Ok(length) = stream.write(&pings[written % ping.len()..]) {
        written += length;
        assert!(written < 64 << 20, "it takes everything, and reads none of the answers");
    }
    let mut left = written / ping.len() * ping.len();
    let mut answers = vec![0; 1 << 16];
    while left > 0 {
        left -= stream.read(&mut answers).expect("it answers");
    }
}

#[test]
fn an_agent_that_is_told_to_end_finishes_what_is_open() {
    let mut agent = Running::start();
    let mut edge = agent.connect();
    let idle = agent.connect();
    let stream = edge.open(&none(), &get("/"), WITH_BODY).expect("room");
    edge.verdict(stream, Event::RequestHeaders).expect("a verdict");
    agent.tell_to_end();
    edge.wait(|_, said| matches!(said, FromAgent::Draining).then_some(())).expect("it says so");
    edge.open(&none(), &get("/"), ASK).expect_err("nothing opens any more");
    edge.send_body(stream, Event::RequestBody, b"last words").expect("it is taken");
    edge.verdict(stream, Event::RequestBody).expect("a verdict");
    UnixStream::connect(&agent.path).expect_err("nobody listens");
    drop((edge, idle));
    agent.join();
}
