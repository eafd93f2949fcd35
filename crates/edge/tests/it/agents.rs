//! Agents beside an edge: what they say is what happens, and so is what their absence costs.

use std::{
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use selvedge_agent::{
    Agent, Body, Chunk, Finding, Options, RequestHead, ResponseHead, Step, Subscriptions, Verdict,
    WebsocketFrame, serve_until,
};
use tokio::sync::oneshot;

use crate::{harness::Bench, upstream::Upstream};

/// An agent in this process whose verdicts are functions of the test.
pub(crate) struct Crew {
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type OnHead = dyn Fn(&RequestHead<'_>) -> Verdict + Send + Sync;
type OnBody = dyn Fn(&RequestHead<'_>, Body<'_>) -> Verdict + Send + Sync;
type OnChunk = dyn Fn(Chunk<'_>) -> Step + Send + Sync;
type OnFrame = dyn Fn(WebsocketFrame<'_>) -> Verdict + Send + Sync;
type OnResponse = dyn Fn(&ResponseHead<'_>) -> Verdict + Send + Sync;
type OnResponseBody = dyn Fn(Body<'_>) -> Verdict + Send + Sync;

/// What a scripted agent does.
pub(crate) struct Script {
    pub(crate) wants: Subscriptions,
    /// Time from its settings to being ready.
    pub(crate) start: Duration,
    pub(crate) delay: Duration,
    pub(crate) head: Box<OnHead>,
    pub(crate) body: Box<OnBody>,
    pub(crate) chunk: Box<OnChunk>,
    pub(crate) response: Box<OnResponse>,
    pub(crate) response_body: Box<OnResponseBody>,
    pub(crate) frame: Box<OnFrame>,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            wants: Subscriptions::none().request_headers(),
            start: Duration::ZERO,
            delay: Duration::ZERO,
            head: Box::new(|_| Verdict::allow()),
            body: Box::new(|_, _| Verdict::allow()),
            chunk: Box::new(|_| Step::Release),
            response: Box::new(|_| Verdict::allow()),
            response_body: Box::new(|_| Verdict::allow()),
            frame: Box::new(|_| Verdict::allow()),
            heard: Arc::default(),
        }
    }
}

/// Scripts wait here for the thread that serves them; tests run in processes or threads of their own.
static SCRIPTS: Mutex<Vec<(String, Arc<Script>)>> = Mutex::new(Vec::new());

fn find(name: &str) -> Option<Arc<Script>> {
    let scripts = SCRIPTS.lock().unwrap();
    scripts.iter().find(|(known, _)| known == name).map(|(_, script)| script.clone())
}

struct Scripted(Arc<Script>);

impl Agent for Scripted {
    type Settings = Which;
    type Exchange = ();

    async fn start(which: Which, _: Option<&Self>) -> Result<Self, String> {
        let script = find(&which.script).ok_or_else(|| "no such script".to_owned())?;
        if !script.start.is_zero() {
            tokio::time::sleep(script.start).await;
            script.heard.lock().unwrap().push("(ready)".to_owned());
        }
        Ok(Self(script))
    }

    fn wants(&self) -> Subscriptions {
        self.0.wants.clone()
    }

    async fn request_headers(&self, request: &RequestHead<'_>, (): &mut ()) -> Verdict {
        self.0.heard.lock().unwrap().push(request.target().to_owned());
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
        (self.0.head)(request)
    }

    async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        (): &mut (),
    ) -> Verdict {
        (self.0.body)(request, body)
    }

    async fn request_chunk(&self, _: &RequestHead<'_>, chunk: Chunk<'_>, (): &mut ()) -> Step {
        (self.0.chunk)(chunk)
    }

    async fn response_headers(
        &self,
        _: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        (): &mut (),
    ) -> Verdict {
        (self.0.response)(response)
    }

    async fn response_body(
        &self,
        _: &RequestHead<'_>,
        _: &ResponseHead<'_>,
        body: Body<'_>,
        (): &mut (),
    ) -> Verdict {
        (self.0.response_body)(body)
    }

    async fn response_chunk(
        &self,
        _: &RequestHead<'_>,
        _: &ResponseHead<'_>,
        chunk: Chunk<'_>,
        (): &mut (),
    ) -> Step {
        (self.0.chunk)(chunk)
    }

    async fn websocket_frame(
        &self,
        _: &RequestHead<'_>,
        frame: WebsocketFrame<'_>,
        (): &mut (),
    ) -> Verdict {
        (self.0.frame)(frame)
    }
}

#[derive(serde::Deserialize)]
struct Which {
    script: String,
}

impl Crew {
    pub(crate) fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let crew = Self { folder, stop: None, thread: None };
        SCRIPTS.lock().unwrap().push((crew.name(), Arc::new(script)));
        crew.serving()
    }

    fn serving(mut self) -> Self {
        let listener = UnixListener::bind(self.path()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options::new("scripted", "1").drain(Duration::ZERO);
        self.thread = Some(thread::spawn(move || {
            let shutdown = async move { drop(stopped.await) };
            serve_until::<Scripted>(options, listener, shutdown).unwrap();
        }));
        self.stop = Some(stop);
        self
    }

    fn name(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// The agent's block in a config.
    pub(crate) fn block(&self, id: &str, more: &str) -> String {
        self.block_for(self, id, more)
    }

    /// The block of the agent that runs here, with settings that make it act as `other`.
    pub(crate) fn block_for(&self, other: &Self, id: &str, more: &str) -> String {
        let (path, script) = (self.path().display().to_string(), other.name());
        format!(
            "agent {id:?} {{ type \"scripted\"; address \"unix:{path}\"; timeout-ms 5000; {more} \
             settings {{ script {script:?} }} }}\n"
        )
    }
}

impl Crew {
    /// The agent goes; its socket's file stays.
    pub(crate) fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.end();
    }
}

/// An edge before an upstream that answers with the request it got, and these agents on the way.
fn bench(upstream: &Upstream, blocks: &str, asked: &str) -> Bench {
    Bench::plain(&format!(
        "{blocks}upstream \"u\" {{ target \"{}\" }}\n\
         route \"all\" {{ agents {asked}; upstream \"u\" }}\n",
        upstream.target()
    ))
}

#[test]
fn a_verdict_is_carried_out() {
    let crew = Crew::start(Script {
        head: Box::new(|request| match request.path() {
            "/block" => Verdict::block(451)
                .header("x-why", "law")
                .body("no\n")
                .reason("because")
                .finding(Finding::new("r1")),
            "/away" => Verdict::redirect(303, "https://elsewhere.example/"),
            "/who" => Verdict::challenge("Bearer").param("realm", "a \"b\""),
            _ => Verdict::allow()
                .set_request_header("x-user-id", "u1")
                .set_response_header("x-seen", "yes"),
        }),
        ..Script::default()
    });
    let upstream = Upstream::mirror();
    let bench = bench(&upstream, &crew.block("a", "identity-headers \"X-User-Id\";"), "\"a\"");
    let mut client = bench.connect();
    let blocked = client.get("/block");
    assert_eq!(
        (blocked.status, blocked.field("x-why"), blocked.text()),
        (451, Some("law"), "no\n")
    );
    let away = client.get("/away");
    assert_eq!((away.status, away.field("location")), (303, Some("https://elsewhere.example/")));
    let who = client.get("/who");
    assert_eq!(
        (who.status, who.field("www-authenticate")),
        (401, Some(r#"Bearer realm="a \"b\"""#))
    );
    assert_eq!(upstream.requests().len(), 0, "nothing of these came through");
    let passed = client.get_with("/pass", "X-User-Id: root\r\nX_User_ID: root\r\n");
    assert_eq!((passed.status, passed.field("x-seen")), (200, Some("yes")));
    let request = passed.text().to_ascii_lowercase();
    assert!(request.contains("x-user-id: u1") && !request.contains("root"), "{request}");
}

#[test]
fn agents_side_by_side_and_one_after_another() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let said = |name: &'static str| {
        let heard = heard.clone();
        move |request: &RequestHead<'_>| {
            let user = request.attributes().value("user").unwrap_or("-").to_owned();
            let field = request.header("x-order").unwrap_or("-").to_owned();
            heard.lock().unwrap().push(format!("{name} {user} {field}"));
        }
    };
    let (first, second) = (said("first"), said("second"));
    let one = Crew::start(Script {
        head: Box::new(move |request| {
            first(request);
            Verdict::allow().value("user", "ann").set_request_header("x-order", "one")
        }),
        delay: Duration::from_millis(50),
        ..Script::default()
    });
    let two = Crew::start(Script {
        head: Box::new(move |request| {
            second(request);
            Verdict::allow().set_request_header("x-order", "two")
        }),
        ..Script::default()
    });
    let upstream = Upstream::mirror();
    // The later one comes first in the list: the order of advice is the list's, that of questions is not.
    let blocks = one.block("one", "") + &two.block("two", "after \"one\";");
    let after = bench(&upstream, &blocks, "\"two\" \"one\"");
    assert_eq!(after.connect().get("/").status, 200);
    assert_eq!(*heard.lock().unwrap(), ["first - -", "second ann one"]);
    drop(after);
    heard.lock().unwrap().clear();
    let blocks = one.block("one", "") + &two.block("two", "");
    let beside = bench(&upstream, &blocks, "\"one\" \"two\"");
    let request = beside.connect().get("/").text().to_ascii_lowercase();
    assert!(request.contains("x-order: two"), "the last in the list has the last word: {request}");
    assert_eq!(*heard.lock().unwrap(), ["second - -", "first - -"]);
}

#[test]
fn the_first_refusal_ends_the_wait_for_all() {
    let slow = Crew::start(Script { delay: Duration::from_secs(600), ..Script::default() });
    let quick =
        Crew::start(Script { head: Box::new(|_| Verdict::block(403)), ..Script::default() });
    let upstream = Upstream::echo();
    let blocks = slow.block("slow", "") + &quick.block("quick", "");
    let bench = bench(&upstream, &blocks, "\"slow\" \"quick\"");
    assert_eq!(bench.connect().get("/").status, 403);
    assert!(upstream.requests().is_empty());
}

/// Sends a body to `/` and returns what the upstream got of it.
#[track_caller]
fn post(bench: &Bench, upstream: &Upstream, body: &str) -> (u16, Option<String>) {
    let before = upstream.requests().len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let response = bench.connect().send(head + body).response();
    let received = upstream
        .requests()
        .get(before)
        .map(|request| String::from_utf8_lossy(&request.body).into_owned());
    (response.status, received)
}

#[test]
fn a_body_is_held_until_its_verdict() {
    let crew = Crew::start(Script {
        wants: Subscriptions::none().inspect_request_body(8).of_types(["text/*"]),
        body: Box::new(|_, body| match (body.bytes(), body.is_truncated()) {
            (b"bad", false) => Verdict::block(422),
            (b"swap", false) => Verdict::allow().replace_body("something longer"),
            (_, true) if body.bytes() == b"12345678" => Verdict::allow(),
            (b"12345678" | b"fine", false) => Verdict::allow(),
            _ => Verdict::block(500),
        }),
        ..Script::default()
    });
    let upstream = Upstream::echo();
    let bench = bench(&upstream, &crew.block("a", ""), "\"a\"");
    assert_eq!(post(&bench, &upstream, "bad"), (422, None));
    assert_eq!(post(&bench, &upstream, "fine"), (200, Some("fine".to_owned())));
    assert_eq!(post(&bench, &upstream, "swap"), (200, Some("something longer".to_owned())));
    assert_eq!(post(&bench, &upstream, "12345678"), (200, Some("12345678".to_owned())));
    let long = "12345678".repeat(40_000);
    assert_eq!(post(&bench, &upstream, &long), (200, Some(long)));
}

#[test]
fn a_body_passes_piece_by_piece() {
    let crew = Crew::start(Script {
        wants: Subscriptions::none().stream_request_body(u32::MAX),
        chunk: Box::new(|chunk| match chunk.bytes() {
            bytes if bytes.starts_with(b"stop") => Step::Decide(Verdict::block(418)),
            bytes => Step::Replace(bytes.to_ascii_uppercase().into()),
        }),
        ..Script::default()
    });
    let upstream = Upstream::echo();
    let bench = bench(&upstream, &crew.block("a", ""), "\"a\"");
    assert_eq!(post(&bench, &upstream, "hello"), (200, Some("HELLO".to_owned())));
    let long = "abcdefgh".repeat(100_000);
    assert_eq!(post(&bench, &upstream, &long), (200, Some(long.to_ascii_uppercase())));
    assert_eq!(post(&bench, &upstream, "stop it").0, 418);
}

#[test]
fn responses_are_judged_too() {
    let crew = Crew::start(Script {
        wants: Subscriptions::none().response_headers().inspect_response_body(1 << 20),
        response: Box::new(|response| match response.header("x-secret") {
            Some(_) => Verdict::block(502).body("hidden"),
            None => Verdict::allow().set_response_header("x-checked", "yes"),
        }),
        response_body: Box::new(|body| match body.bytes() {
            b"leak" => Verdict::allow().replace_body("[removed]"),
            b"worse" => Verdict::block(500).body("no"),
            _ => Verdict::allow(),
        }),
        ..Script::default()
    });
    for (response, expected) in [
        ("HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 2\r\n\r\nhi", (502, None, "hidden")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleak", (200, Some("yes"), "[removed]")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworse", (500, None, "no")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, Some("yes"), "ok")),
    ] {
        let upstream = Upstream::fixed(response);
        let bench = bench(&upstream, &crew.block("a", ""), "\"a\"");
        let response = bench.connect().get("/");
        assert_eq!((response.status, response.field("x-checked"), response.text()), expected);
    }
}

/// An agent that listens and never answers.
fn silent(folder: &tempfile::TempDir) -> (UnixListener, String) {
    let path = folder.path().join("silent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (listener, format!("type \"x\"; address \"unix:{}\"", path.display()))
}

#[test]
fn without_an_answer_the_failure_mode_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, silent) = silent(&folder);
    let crew = Crew::start(Script { delay: Duration::from_secs(600), ..Script::default() });
    let nobody = format!("type \"x\"; address \"unix:{}/nobody.sock\"", folder.path().display());
    let slow = crew.block("a", "").replace("5000", "100");
    let agents = [
        format!(
            "agent \"a\" {{ {silent}; timeout-ms 100; circuit-breaker {{ timeout-seconds 30 }}; MODE }}\n"
        ),
        format!(
            "agent \"a\" {{ {nobody}; timeout-ms 100; circuit-breaker {{ timeout-seconds 30 }}; MODE }}\n"
        ),
        slow.replace("settings", "circuit-breaker { timeout-seconds 30 }; MODE; settings"),
    ];
    for agent in agents {
        let upstream = Upstream::echo();
        let closed = agent.replace("MODE", "failure-mode \"closed\"");
        let closed = bench(&upstream, &closed, "\"a\"");
        let mut client = closed.connect();
        assert_eq!(client.get("/").verdict(), "504 agent/timeout");
        assert_eq!(client.get("/").verdict(), "504 agent/timeout");
        assert_eq!(client.get("/").verdict(), "504 agent/timeout");
        let refused = client.get("/");
        assert_eq!(refused.verdict(), "503 agent/unavailable", "its breaker is open");
        assert!(refused.field("retry-after").is_some());
        assert!(upstream.requests().is_empty(), "nothing passes unseen");
        let open = bench(&upstream, &agent.replace("MODE", "failure-mode \"open\""), "\"a\"");
        for _ in 0..5 {
            assert_eq!(open.connect().get("/").status, 200);
        }
    }
}

#[test]
fn a_route_may_choose_another_failure_mode() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, silent) = silent(&folder);
    let upstream = Upstream::echo();
    let bench = Bench::plain(&format!(
        "agent \"a\" {{ {silent}; timeout-ms 50 }}\nupstream \"u\" {{ target \"{}\" }}\n\
         route \"open\" {{ matches {{ path-prefix \"/open\" }}; agent \"a\" failure-mode=\"open\"; upstream \"u\" }}\n\
         route \"rest\" {{ agents \"a\"; upstream \"u\" }}\n",
        upstream.target()
    ));
    assert_eq!(bench.connect().get("/open").status, 200);
    assert_eq!(bench.connect().get("/").verdict(), "504 agent/timeout");
}

#[test]
fn calls_beyond_the_bound_wait_inside_the_timeout() {
    let crew = Crew::start(Script { delay: Duration::from_millis(200), ..Script::default() });
    let upstream = Upstream::echo();
    let bench = bench(&upstream, &crew.block("a", "max-concurrent-calls 1;"), "\"a\"");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut client = bench.connect();
            thread::spawn(move || client.get("/").status)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 200);
    }
}

#[test]
fn an_agent_that_comes_back_is_asked_again() {
    let mut crew = Crew::start(Script::default());
    let upstream = Upstream::echo();
    let block = crew.block("a", "").replace("5000", "200");
    let bench = bench(&upstream, &block, "\"a\"");
    assert_eq!(bench.connect().get("/").status, 200);
    crew.end();
    for _ in 0..4 {
        assert_ne!(bench.connect().get("/").status, 200);
    }
    std::fs::remove_file(crew.path()).unwrap();
    let _crew = crew.serving();
    crate::harness::eventually("the agent is asked again", || {
        bench.connect().get("/").status == 200
    });
}

/// A short masked text frame, as clients send them.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = text.bytes().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key);
    [0x81, 0x80 | text.len() as u8].into_iter().chain(mask).chain(masked).collect()
}

#[test]
fn frames_of_a_tunnel_are_judged_both_ways() {
    let crew = Crew::start(Script {
        wants: Subscriptions::none().websocket_frames(1024),
        frame: Box::new(|frame| match (frame.payload, frame.from_upstream) {
            (b"bad", false) | (b"LEAK", true) => Verdict::block(403),
            (b"swap", false) => Verdict::allow().replace_body("swapped"),
            _ => Verdict::allow(),
        }),
        ..Script::default()
    });
    // Sends every text back in capitals.
    let upstream = Upstream::start(|mut peer| {
        let head = peer.request().unwrap().head;
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        while let Some(head) = peer.exactly(6) {
            let Some(mut text) = peer.exactly(usize::from(head[1] & 0x7f)) else { return };
            if head[0] == 0x88 {
                assert_eq!(text, 1008_u16.to_be_bytes(), "masked with zeros");
                return;
            }
            text.iter_mut().zip(head[2..6].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            let text = text.to_ascii_uppercase();
            peer.send([vec![0x81, text.len() as u8], text].concat());
        }
    });
    let bench = bench(&upstream, &crew.block("a", ""), "\"a\"");
    let connect = || {
        let mut client = bench.connect();
        client.send(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        assert_eq!(client.response().status, 101);
        client
    };
    let mut client = connect();
    assert_eq!(client.send(text_frame("hello")).exactly(7), b"\x81\x05HELLO");
    assert_eq!(client.send(text_frame("swap")).exactly(9), b"\x81\x07SWAPPED");
    assert_eq!(client.send(text_frame("bad")).exactly(4), b"\x88\x02\x03\xf0");
    client.assert_closed();
    let mut client = connect();
    assert_eq!(client.send(text_frame("leak")).exactly(4), b"\x88\x02\x03\xf0");
    client.assert_closed();
}
