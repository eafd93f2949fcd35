//! Servers that fail in every way, and clients that leave.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use crate::{
    client::Broken,
    harness::{Bench, eventually},
    upstream::{Upstream, hang, nobody, pause},
};

#[test]
fn refused() {
    let bench = Bench::before(&nobody(), "");
    let mut client = bench.connect();
    assert_eq!(client.get("/").verdict(), "502 upstream/connect");
    assert_eq!(client.get("/").status, 502, "the connection lives on");
    let post = client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi").response();
    assert_eq!(post.status, 502);
}

#[test]
fn a_missing_unix_socket() {
    let bench = Bench::before("unix:/nonexistent/app.sock", "");
    assert_eq!(bench.connect().get("/").verdict(), "502 upstream/connect");
}

#[test]
fn hangs_before_the_first_byte() {
    let upstream = Upstream::start(hang);
    let bench = Bench::before(
        &upstream.target(),
        "timeouts { first-byte \"200ms\" }; retry { attempts 0 }",
    );
    let mut client = bench.connect();
    assert_eq!(client.get("/").verdict(), "504 timeout/first-byte");
    eventually("the upstream is let go", || upstream.closed() == 1);
    assert_eq!(client.get("/").status, 504);
}

#[test]
fn hangs_with_a_body_on_its_way() {
    let upstream = Upstream::start(hang);
    let bench = Bench::before(&upstream.target(), "timeouts { first-byte \"200ms\" }");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().verdict(), "504 timeout/first-byte");
    assert_eq!(upstream.connections(), 1, "a POST is not repeated");
}

#[test]
fn takes_too_long_as_a_whole() {
    let upstream = Upstream::start(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while peer.send("x") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let bench = Bench::before(&upstream.target(), "timeouts { whole \"300ms\" }");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let Err(Broken::Ended { response }) = client.try_response(false) else { panic!("not cut") };
    assert_eq!(response.status, 200);
    eventually("the upstream is let go", || upstream.closed() + bench.connections() <= 1);
}

#[test]
fn stops_in_the_middle() {
    let upstream = Upstream::start(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        peer.wait_for_close();
    });
    let bench = Bench::before(&upstream.target(), "timeouts { idle \"200ms\" }");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let Err(Broken::Ended { response }) = client.try_response(false) else { panic!("not cut") };
    assert_eq!(response.text(), "half");
}

/// The client gets what came, and can tell that it is not all.
#[track_caller]
fn check_cut(response: &str, body: &str) {
    let upstream = Upstream::closing(response);
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    match client.try_response(false) {
        Err(Broken::Ended { response }) => {
            assert_eq!(response.status, 200);
            assert_eq!(response.text(), body);
        }
        other => panic!("taken for whole: {other:?}"),
    }
}

#[test]
fn dies_in_the_middle_of_a_body() {
    check_cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half");
    check_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "half");
    check_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", "half");
    check_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "");
    check_cut(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfway\r\n0\r\n\r\n",
        "half",
    );
}

/// A response that is not HTTP is not passed on.
#[track_caller]
fn check_malformed(response: &str, code: &str) {
    let upstream = Upstream::closing(response);
    let bench = Bench::before(&upstream.target(), "retry { attempts 0 }");
    let mut client = bench.connect();
    let got = client.get("/");
    assert_eq!(got.verdict(), code, "{response:?}");
    assert_eq!(client.get("/").verdict(), code, "{response:?}");
}

#[test]
fn answers_with_garbage() {
    let malformed = "502 upstream/malformed";
    check_malformed("SSH-2.0-OpenSSH_9.9\r\n\r\n", malformed);
    check_malformed("\x16\x03\x01 no tls here\r\n\r\n", malformed);
    check_malformed("HTTP/1.1 20 OK\r\n\r\n", malformed);
    check_malformed("HTTP/2 200 OK\r\n\r\n", malformed);
    check_malformed("HTTP/1.1 999 OK\nX: y\n\n", malformed);
    check_malformed("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", malformed);
    check_malformed("HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n", malformed);
    check_malformed(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        malformed,
    );
    check_malformed("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", malformed);
    check_malformed(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        malformed,
    );
    check_malformed("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", malformed);
    check_malformed(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        malformed,
    );
    check_malformed("", "502 upstream/closed");
    check_malformed("HTTP/1.1 200 OK\r\nX: y", "502 upstream/closed");
}

#[test]
fn sends_too_much() {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let upstream =
        Upstream::fixed(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{extra}"));
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for n in 1..=3 {
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(upstream.connections(), n, "such a connection is not used again");
    }
}

#[test]
fn sends_too_much_later() {
    let (sent, wait) = mpsc::channel();
    let upstream = Upstream::start(move |mut peer| {
        while peer.request().is_some() {
            peer.answer(b"ok");
            pause();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            sent.send(()).unwrap();
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    for n in 1..=3 {
        assert_eq!(bench.connect().get("/").text(), "ok");
        assert_eq!(upstream.connections(), n);
        wait.recv().unwrap();
    }
}

#[test]
fn sends_a_body_where_there_is_none() {
    let upstream = Upstream::fixed("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nxyz");
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for n in 1..=2 {
        assert_eq!(client.get("/").status, 304);
        assert_eq!(upstream.connections(), n);
    }
}

#[test]
fn answers_before_it_has_the_whole_request() {
    let upstream = Upstream::start(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        // It reads on for a while, as a good server does, and never gets to the end.
        peer.wait_for_close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    let response = client.response();
    assert_eq!((response.status, response.text()), (403, "no"));
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
    eventually("the upstream is let go", || upstream.closed() == 1);
}

#[test]
fn answers_and_closes_before_it_has_the_whole_request() {
    let upstream = Upstream::closing_at_head(
        "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    );
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n");
    let _ = client.try_send(vec![b'x'; 500_000]);
    let response = client.response();
    assert_eq!((response.status, response.text()), (413, "no"));
}

/// Answers the first request of each connection; at the second it closes, as one does whose
/// keep-alive timeout strikes just then.
fn fickle() -> (Upstream, Arc<AtomicUsize>) {
    let cut = Arc::new(AtomicUsize::new(0));
    let theirs = cut.clone();
    let upstream = Upstream::start(move |mut peer| {
        if let Some(request) = peer.request() {
            peer.answer(&request.body);
        }
        if peer.request().is_some() {
            theirs.fetch_add(1, SeqCst);
        }
        peer.close();
    });
    (upstream, cut)
}

#[test]
fn a_stale_connection_is_replaced_for_a_get() {
    let (upstream, cut) = fickle();
    let bench = Bench::before(&upstream.target(), "retry { attempts 0 }");
    let mut client = bench.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((cut.load(SeqCst), upstream.connections()), (3, 4));
}

#[test]
fn a_stale_connection_fails_a_post_whose_body_was_sent() {
    let (upstream, cut) = fickle();
    let bench = Bench::before(&upstream.target(), "retry { attempts 5 }");
    let mut client = bench.connect();
    assert_eq!(client.get("/").status, 200);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.response().verdict(), "502 upstream/closed");
    assert_eq!(cut.load(SeqCst), 1);
    assert_eq!(upstream.requests().len(), 2, "it was sent once");
}

#[test]
fn a_connection_that_the_upstream_closed_is_not_used() {
    let upstream = Upstream::start(|mut peer| {
        if let Some(request) = peer.request() {
            peer.answer(&request.body);
        }
        peer.close();
    });
    let bench = Bench::before(&upstream.target(), "retry { attempts 0 }");
    let mut client = bench.connect();
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().text(), "hi");
        pause();
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstreams_work() {
    let (arrived, wait) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        arrived.lock().unwrap().send(()).unwrap();
        peer.wait_for_close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait.recv().unwrap();
    assert_eq!(upstream.closed(), 0);
    client.leave();
    eventually("the upstream hears of it", || upstream.closed() == 1);
    eventually("the connection is counted out", || bench.connections() == 0);
}

#[test]
fn a_client_that_leaves_during_the_response_ends_it() {
    let upstream = Upstream::start(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        peer.wait_for_close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.read_head().unwrap();
    client.leave();
    eventually("the upstream hears of it", || upstream.closed() == 1);
    eventually("the connection is counted out", || bench.connections() == 0);
}

#[test]
fn a_client_that_leaves_in_order_is_missed_when_it_is_sent_something() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        wait.lock().unwrap().recv().unwrap();
        while peer.send("1\r\nx\r\n") {
            pause();
        }
        peer.wait_for_close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.read_head().unwrap();
    drop(client);
    go.send(()).unwrap();
    eventually("the upstream hears of it", || upstream.closed() == 1);
    eventually("the connection is counted out", || bench.connections() == 0);
}

#[test]
fn a_client_that_leaves_during_its_upload_ends_it() {
    let upstream = Upstream::start(hang);
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
    eventually("the upload is under way", || upstream.bytes() > 0);
    drop(client);
    eventually("the upstream hears of it", || upstream.closed() == 1);
}
