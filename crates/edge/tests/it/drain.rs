//! The end: nobody new, nobody idle, and those who are under way to their end.

use std::{
    net::TcpStream,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use selvedge_edge::Drained;

use crate::{
    harness::{Bench, PATIENCE, eventually},
    upstream::{Upstream, hang},
};

#[test]
fn idle_connections_close_at_once() {
    let bench = Bench::plain("route \"r\" { respond 200 \"\" }");
    let mut used = bench.connect();
    assert_eq!(used.get("/").status, 200);
    let mut fresh = bench.connect();
    eventually("both are there", || bench.connections() == 2);
    let address = bench.address();
    assert_eq!(bench.into_edge().drain(PATIENCE), Drained { cut: 0 });
    used.assert_closed();
    fresh.assert_closed();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_request_under_way_is_finished() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        wait.lock().unwrap().recv().unwrap();
        peer.answer(b"finished");
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is under way", || upstream.requests().len() == 1);
    let mut idle = bench.connect();
    let address = bench.address();
    let edge = bench.into_edge();
    let drain = thread::spawn(move || edge.drain(PATIENCE));
    idle.assert_closed();
    eventually("nobody new is taken", || TcpStream::connect(address).is_err());
    assert!(!drain.is_finished());
    go.send(()).unwrap();
    let response = client.response();
    assert_eq!(response.text(), "finished");
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn what_does_not_end_is_cut() {
    let upstream = Upstream::start(hang);
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is under way", || upstream.connections() == 1);
    assert_eq!(bench.into_edge().drain(Duration::from_millis(300)), Drained { cut: 1 });
    assert!(client.try_response(false).is_err());
    eventually("the upstream is let go", || upstream.closed() == 1);
}

#[test]
fn an_edge_can_start_again_on_the_same_port() {
    let bench = Bench::plain("route \"r\" { respond 200 \"first\" }");
    let address = bench.address();
    assert_eq!(bench.connect().get("/").text(), "first");
    bench.into_edge().drain(Duration::ZERO);
    let bench = Bench::start(&format!(
        "listener \"l\" {{ address \"{address}\" }}\nroute \"r\" {{ respond 200 \"second\" }}"
    ));
    assert_eq!(bench.connect().get("/").text(), "second");
}
