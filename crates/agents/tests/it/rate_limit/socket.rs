//! The agent as a process has it: a socket, threads, settings as JSON.

use std::{
    num::NonZero,
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use selvedge_agent::{Ask, CancelCode, Options, StreamId, TestEdge, serve_until};
use tokio::sync::oneshot;

use super::{server::Server, *};

/// An agent that is being served.
struct Served {
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("agent")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let options = Options::new("rate-limit", "0").threads_max(NonZero::new(2).unwrap());
            let until = async { drop(stopped.await) };
            serve_until::<RateLimit>(options, listener, until).unwrap();
        });
        Self { folder, stop, thread }
    }

    fn edge(&self, settings: &Settings) -> TestEdge {
        let stream = UnixStream::connect(self.folder.path().join("agent")).unwrap();
        TestEdge::over(stream, &serde_json::to_string(settings).unwrap()).unwrap()
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn verdict(edge: &mut TestEdge, asked: &Asked) -> Verdict {
    edge.ask(asked.attributes(), &asked.head()).unwrap()
}

fn open(edge: &mut TestEdge, asked: &Asked) -> StreamId {
    let ask = Ask { body: false, verdict: true };
    let stream = edge.open(asked.attributes(), &asked.head(), ask).unwrap();
    edge.write().unwrap();
    stream
}

#[test]
fn connections_of_all_threads_share_a_limit_and_reloads_keep_it() {
    let served = Served::start();
    let settings = local([policy("daily", 10)]);
    let client = from("192.0.2.1");
    let mut edges = [(); 4].map(|()| served.edge(&settings));
    let statuses = |edges: &mut [TestEdge]| -> Vec<u16> {
        edges.iter_mut().map(|edge| status(&verdict(edge, &client))).collect()
    };
    assert_eq!(statuses(&mut edges), [0; 4]);
    let wider = serde_json::to_string(&local([policy("daily", 10), policy("new", 7)])).unwrap();
    for edge in &mut edges {
        assert_eq!(edge.configure(2, &wider).unwrap(), Ok(()));
    }
    assert_eq!(statuses(&mut edges), [0; 4]);
    assert_eq!(statuses(&mut edges), [0, 0, 429, 429]);
    drop(edges);
    served.stop();
}

#[test]
fn one_waits_while_others_are_answered() {
    let served = Served::start();
    let delay = waiting(10, 10 * DAY);
    let settings = local([Policy { delay, ..policy("paced", 1) }]);
    let mut edge = served.edge(&settings);
    let client = from("192.0.2.1");
    assert_eq!(status(&verdict(&mut edge, &client)), 0);
    let waits = open(&mut edge, &client);
    assert_eq!(status(&verdict(&mut edge, &from("192.0.2.2"))), 0);
    assert!(edge.machine().is_open(waits));
    edge.machine().cancel(waits, CancelCode::ClientGone);
    edge.write().unwrap();
    drop(edge);
    served.stop();
}

#[test]
fn a_response_is_charged_and_so_is_a_client_that_left() {
    let served = Served::start();
    let cost = Cost::ResponseHeader { name: "x-tokens".into(), otherwise: 10 };
    let mut edge = served.edge(&local([Policy { cost, ..policy("tokens", 100) }]));
    let client = from("192.0.2.1");
    let left = |edge: &mut TestEdge| {
        let stream = open(edge, &client);
        let asked = edge.verdict(stream, Event::RequestHeaders).unwrap();
        assert!(asked.is_allow() && !asked.is_done());
        let mut head = ResponseHeadBuf::default();
        head.start(200).push("x-tokens", b"0");
        edge.machine().response(stream, &head, Ask { body: false, verdict: true }).unwrap();
        edge.write().unwrap();
        let answer = written(&edge.verdict(stream, Event::ResponseHeaders).unwrap());
        let left = answer.split("\"tokens\";r=").nth(1).unwrap();
        left.split([';', '\n']).next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(left(&mut edge), 100);
    let gone = open(&mut edge, &client);
    edge.verdict(gone, Event::RequestHeaders).unwrap();
    edge.machine().cancel(gone, CancelCode::ClientGone);
    edge.write().unwrap();
    // It is charged beside the exchange, on another thread.
    while left(&mut edge) == 100 {
        thread::yield_now();
    }
    assert_eq!(left(&mut edge), 90);
    drop(edge);
    served.stop();
}

#[test]
fn limits_in_redis_are_those_of_all_agents() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(&[])) else { return };
    let settings = exact::shared(&server, OnFailure::Closed, [policy("daily", 5)]);
    let served = [Served::start(), Served::start()];
    let mut edges: Vec<_> = served.iter().map(|served| served.edge(&settings)).collect();
    let client = from("192.0.2.1");
    let statuses: Vec<_> = (0..8).map(|n| status(&verdict(&mut edges[n % 2], &client))).collect();
    assert_eq!(statuses, [0, 0, 0, 0, 0, 429, 429, 429]);
    drop(edges);
    served.into_iter().for_each(Served::stop);
}
