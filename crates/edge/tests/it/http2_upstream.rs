//! Connections to HTTP/2 upstreams: how many, for whom, and how long.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use http::{Request, Response};

use crate::{
    client::Client,
    harness::{Bench, PATIENCE, before, eventually},
    upstream::{Upstream, nobody, pause},
};

/// What a server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    closed: AtomicUsize,
    requests: AtomicUsize,
    waiting: AtomicUsize,
    go: AtomicBool,
}

impl Seen {
    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Lets `/wait` be answered.
    fn go(&self) {
        self.go.store(true, SeqCst);
    }
}

/// A server that allows `streams` at once on each connection. It answers `/wait` once it is told to,
/// and `/big` with 16 MiB.
fn server(streams: u32) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let seen = Arc::<Seen>::default();
    let theirs = seen.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                theirs.connections.fetch_add(1, SeqCst);
                tokio::spawn(serve(stream, streams, theirs.clone()));
            }
        });
    });
    (address, seen)
}

async fn serve(stream: tokio::net::TcpStream, streams: u32, seen: Arc<Seen>) {
    let handshake = Builder::new().max_concurrent_streams(streams).handshake(stream).await;
    if let Ok(mut connection) = handshake {
        while let Some(Ok((request, respond))) = connection.accept().await {
            seen.requests.fetch_add(1, SeqCst);
            tokio::spawn(answer(request, respond, seen.clone()));
        }
    }
    seen.closed.fetch_add(1, SeqCst);
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    let path = request.uri().path().to_owned();
    if path == "/wait" {
        seen.waiting.fetch_add(1, SeqCst);
        while !seen.go.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut body = Bytes::from(match &*path {
        "/big" => vec![b'x'; 16 << 20],
        _ => b"done".to_vec(),
    });
    let length = body.len();
    let response = Response::builder().header("content-length", length).body(()).unwrap();
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(capacity)) = poll_fn(|context| stream.poll_capacity(context)).await else {
            return;
        };
        let part = body.split_to(capacity.min(body.len()));
        if stream.send_data(part, body.is_empty()).is_err() {
            return;
        }
    }
}

fn front(target: impl ToString, settings: &str) -> Bench {
    Bench::before(&target.to_string(), &format!("protocol \"h2\"; {settings}"))
}

/// Clients that have each asked for `path`.
fn ask(bench: &Bench, count: usize, path: &str) -> Vec<Client> {
    let ask = |_| {
        let mut client = bench.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn a_burst_shares_one_connection() {
    let (target, seen) = server(100);
    let bench = front(target, "");
    let clients = ask(&bench, 30, "/wait");
    eventually("all are under way", || seen.waiting() == 30);
    seen.go();
    for mut client in clients {
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!(seen.connections(), 1);
}

#[test]
fn no_more_streams_than_the_target_allows() {
    let (target, seen) = server(10);
    let bench = front(target, "");
    let clients = ask(&bench, 40, "/wait");
    eventually("all are under way", || seen.waiting() == 40);
    assert_eq!(seen.connections(), 4);
    seen.go();
    for mut client in clients {
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!(seen.requests(), 40, "none was refused");
}

#[test]
fn a_stream_is_waited_for_when_no_connection_may_open() {
    let (target, seen) = server(2);
    let bench = front(target, "pool { connections 1 }");
    let clients = ask(&bench, 6, "/wait");
    eventually("two are under way", || seen.waiting() == 2);
    pause();
    assert_eq!((seen.requests(), seen.connections()), (2, 1));
    seen.go();
    for mut client in clients {
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!((seen.requests(), seen.connections()), (6, 1));
}

#[test]
fn streams_that_stay_taken_are_said() {
    let (target, seen) = server(1);
    let bench = front(target, "pool { connections 1 }; timeouts { connect \"300ms\" }");
    let mut held = ask(&bench, 1, "/wait");
    eventually("the first is under way", || seen.waiting() == 1);
    assert_eq!(bench.connect().get("/").verdict(), "503 limit/upstream-connections");
    seen.go();
    assert_eq!(held[0].response().text(), "done");
}

#[test]
fn who_reads_slowly_stalls_nobody() {
    let (target, seen) = server(100);
    let bench = front(target, "");
    let mut slow = ask(&bench, 12, "/big");
    eventually("all are under way", || seen.requests() == 12);
    pause();
    for _ in 0..3 {
        assert_eq!(bench.connect().get("/").text(), "done");
    }
    assert_eq!(seen.connections(), 1);
    assert_eq!(slow[0].response().body.len(), 16 << 20);
}

#[test]
fn idle_connections_close_in_time() {
    let (target, seen) = server(100);
    let bench = front(target, "pool { idle-timeout \"200ms\" }");
    assert_eq!(bench.connect().get("/").status, 200);
    eventually("the idle connection closes", || seen.closed.load(SeqCst) == 1);
    assert_eq!(bench.connect().get("/").status, 200);
    assert_eq!(seen.connections(), 2);
}

#[test]
fn a_busy_connection_does_not_idle() {
    let (target, seen) = server(100);
    let bench = front(target, "pool { idle-timeout \"50ms\" }");
    let mut clients = ask(&bench, 1, "/wait");
    eventually("it is under way", || seen.waiting() == 1);
    thread::sleep(Duration::from_millis(300));
    seen.go();
    assert_eq!(clients[0].response().text(), "done");
}

#[test]
fn an_idle_connection_makes_room_for_another_upstream() {
    let (a, seen_a) = server(100);
    let (b, _) = server(100);
    let bench = Bench::plain(&format!(
        r#"upstream "a" {{ target "{a}"; protocol "h2" }}
        upstream "b" {{ target "{b}"; protocol "h2" }}
        route "a" {{ matches {{ path "/a" }}; upstream "a" }}
        route "b" {{ matches {{ path "/b" }}; upstream "b" }}
        limits {{ upstream-connections 1 }}"#,
    ));
    let mut client = bench.connect();
    for round in 1..=3 {
        assert_eq!(client.get("/a").text(), "done");
        assert_eq!(client.get("/b").text(), "done");
        assert_eq!(seen_a.connections(), round);
    }
}

#[test]
fn one_failure_answers_all_who_wait_for_the_connection() {
    let bench = front(nobody(), "ejection #false");
    for mut client in ask(&bench, 20, "/") {
        assert_eq!(client.response().verdict(), "502 upstream/connect");
    }
}

#[test]
fn a_target_that_speaks_http1_fails_before_the_request_is_sent() {
    let upstream = Upstream::fixed("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let bench = front(upstream.target(), "");
    assert_eq!(bench.connect().get("/secret").verdict(), "502 upstream/connect");
    assert!(upstream.requests().iter().all(|request| !request.head.contains("secret")));
}

#[test]
fn a_target_that_says_nothing_is_too_late() {
    let upstream = Upstream::start(crate::upstream::hang);
    let bench = front(upstream.target(), "timeouts { connect \"300ms\" }; retry { attempts 0 }");
    for mut client in ask(&bench, 5, "/") {
        assert_eq!(client.response().verdict(), "504 timeout/connect");
    }
}

/// A server that answers what is asked of the first connection with silence once `mute` is sent.
fn freezing() -> (SocketAddr, mpsc::Sender<()>, Arc<AtomicUsize>) {
    let (target, _) = server(100);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mute, muted) = mpsc::channel();
    let muted = Arc::new(Mutex::new(Some(muted)));
    let connections = Arc::<AtomicUsize>::default();
    let count = connections.clone();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            count.fetch_add(1, SeqCst);
            let far = TcpStream::connect(target).unwrap();
            let muted = muted.lock().unwrap().take();
            let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || relay(far, near, muted));
        }
    });
    (address, mute, connections)
}

fn relay(mut from: TcpStream, mut to: TcpStream, muted: Option<mpsc::Receiver<()>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if muted.as_ref().is_some_and(|muted| muted.try_recv().is_ok()) {
            thread::sleep(PATIENCE);
            return;
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn a_connection_that_froze_is_used_no_more() {
    let (target, mute, connections) = freezing();
    let bench = front(target, "timeouts { first-byte \"300ms\" }; retry { attempts 0 }");
    assert_eq!(bench.connect().get("/").text(), "done");
    mute.send(()).unwrap();
    assert_eq!(bench.connect().get("/").verdict(), "504 timeout/first-byte");
    assert_eq!(bench.connect().get("/").text(), "done");
    assert_eq!(connections.load(SeqCst), 2);
}

#[test]
fn a_frozen_connection_is_found_out_by_its_silence() {
    let (target, mute, connections) = freezing();
    let bench = front(target, "retry { attempts 1 }");
    assert_eq!(bench.connect().get("/").text(), "done");
    mute.send(()).unwrap();
    assert_eq!(bench.connect().get("/").text(), "done");
    assert_eq!(connections.load(SeqCst), 2);
}

#[test]
fn a_request_without_a_host_is_sent() {
    let (target, _) = server(100);
    let bench = front(target, "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "done");
}

#[test]
fn what_http2_cannot_say_is_not_the_targets_fault() {
    let (target, seen) = server(100);
    let upstream =
        before(&target.to_string(), "protocol \"h2\"; circuit-breaker { failure-threshold 1 }");
    let bench = Bench::plain(&format!("{upstream}limits {{ head \"256KiB\" }}"));
    let mut client = bench.connect();
    let long = format!("/{}", "x".repeat(80 << 10));
    assert_eq!(client.get(&long).verdict(), "400 request/target");
    assert_eq!(client.get("/").text(), "done");
    assert_eq!(seen.requests(), 1);
}

#[test]
fn a_reload_keeps_what_is_open() {
    let (target, seen) = server(100);
    let text = before(&target.to_string(), "protocol \"h2\"");
    let mut bench = Bench::plain(&text);
    assert_eq!(bench.connect().get("/").status, 200);
    let config = crate::harness::config(&format!(
        "{}{text}limits {{ head \"40KiB\" }}",
        crate::harness::HTTP
    ));
    bench.edge().reload(config).unwrap();
    assert_eq!(bench.connect().get("/").status, 200);
    assert_eq!(seen.connections(), 1);
}
