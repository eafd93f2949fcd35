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
    serve_until,
};
use tokio::sync::oneshot;

use crate::{harness::Bench, upstream::Upstream};

/// An agent in this process whose verdicts are functions of the test.
struct Crew {
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type OnHead = dyn Fn(&RequestHead<'_>) -> Verdict + Send + Sync;
type OnBody = dyn Fn(&RequestHead<'_>, Body<'_>) -> Verdict + Send + Sync;
type OnChunk = dyn Fn(Chunk<'_>) -> Step + Send + Sync;
type OnResponse = dyn Fn(&ResponseHead<'_>) -> Verdict + Send + Sync;
type OnResponseBody = dyn Fn(Body<'_>) -> Verdict + Send + Sync;

/// What a scripted agent does.
struct Script {
    wants: Subscriptions,
    delay: Duration,
    head: Box<OnHead>,
    body: Box<OnBody>,
    chunk: Box<OnChunk>,
    response: Box<OnResponse>,
    response_body: Box<OnResponseBody>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            wants: Subscriptions::none().request_headers(),
            delay: Duration::ZERO,
            head: Box::new(|_| Verdict::allow()),
            body: Box::new(|_, _| Verdict::allow()),
            chunk: Box::new(|_| Step::Release),
            response: Box::new(|_| Verdict::allow()),
            response_body: Box::new(|_| Verdict::allow()),
            heard: Arc::default(),
        }
    }
}

/// Scripts wait here for the thread that serves them; tests run in processes or threads of their own.
static SCRIPTS: Mutex<Vec<(String, Arc<Script>)>> = Mutex::new(Vec::new());

struct Scripted(Arc<Script>);

impl Agent for Scripted {
    type Settings = Which;
    type Exchange = ();

    async fn start(which: Which, _: Option<&Self>) -> Result<Self, String> {
        let scripts = SCRIPTS.lock().unwrap();
        let script = scripts.iter().find(|(id, _)| *id == which.script);
        script.map(|(_, script)| Self(script.clone())).ok_or_else(|| "no such script".to_owned())
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
}

#[derive(serde::Deserialize)]
struct Which {
    script: String,
}

impl Crew {
    fn start(script: Script) -> Self {
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
    fn block(&self, id: &str, more: &str) -> String {
        let (path, script) = (self.path().display().to_string(), self.name());
        format!(
            "agent {id:?} {{ type \"scripted\"; address \"unix:{path}\"; timeout-ms 5000; {more}; \
             settings {{ script {script:?} }} }}\n"
        )
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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
    let bench = bench(&upstream, &crew.block("a", "identity-headers \"X-User-Id\""), "\"a\"");
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
