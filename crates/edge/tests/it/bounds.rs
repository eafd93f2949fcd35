//! Every bound at its bound: the last that is accepted, the first that is refused, and how.

use std::{io::Write, net::TcpStream, thread, time::Duration};

use crate::{
    client::Client,
    harness::{Bench, before, eventually},
    upstream::{Upstream, hang},
};

/// A GET whose head has exactly `size` bytes.
fn head_of(size: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(size - start.len() - end.len()))
}

#[test]
fn head_bytes() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    assert_eq!(client.send(head_of(32 << 10)).response().status, 200);
    let response = client.send(head_of((32 << 10) + 1)).response();
    assert_eq!(response.status, 431);
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
    let small =
        Bench::plain(&format!("{}limits {{ head \"1KiB\" }}", before(&upstream.target(), "")));
    assert_eq!(small.connect().send(head_of(1 << 10)).response().status, 200);
    assert_eq!(small.connect().send(head_of((1 << 10) + 1)).response().status, 431);
    assert_eq!(small.connect().send(head_of(40 << 10)).response().status, 431);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn head_fields() {
    let upstream = Upstream::echo();
    let bench =
        Bench::plain(&format!("{}limits {{ head-fields 5 }}", before(&upstream.target(), "")));
    let with =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let mut client = bench.connect();
    assert_eq!(client.send(with(5)).response().status, 200);
    assert_eq!(client.send(with(6)).response().status, 431);
    client.assert_closed();
}

#[test]
fn target() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let path = format!("/{}", "a".repeat(30 << 10));
    assert_eq!(client.get(&path).status, 200);
    let response = client.get(&format!("/{}", "a".repeat(33 << 10)));
    assert_eq!(response.verdict(), "414 limit/target");
    client.assert_closed();
}

#[test]
fn body_with_a_length() {
    let upstream = Upstream::echo();
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"r\" {{ upstream \"u\"; limits {{ body \"10B\" }} }}",
        upstream.target()
    ));
    let mut client = bench.connect();
    let post = |size: usize| {
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size))
    };
    assert_eq!(client.send(post(10)).response().text(), "x".repeat(10));
    let seen = upstream.bytes();
    let response = client.send(post(11)).response();
    assert_eq!((response.verdict(), response.field("connection")), ("413 limit/body".into(), None));
    assert_eq!(upstream.bytes(), seen);
    assert_eq!(client.send(post(10)).response().text(), "x".repeat(10));
}

#[test]
fn body_in_chunks() {
    let upstream = Upstream::echo();
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"r\" {{ upstream \"u\"; limits {{ body \"10B\" }} }}",
        upstream.target()
    ));
    let mut client = bench.connect();
    let post = |last: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n{last}\r\n{}\r\n0\r\n\r\n",
            "x".repeat(last)
        )
    };
    assert_eq!(client.send(post(5)).response().text(), "x".repeat(10));
    let response = client.send(post(6)).response();
    assert_eq!((response.verdict(), response.field("connection")), ("413 limit/body".into(), None));
    eventually("the upstream's connection closes", || upstream.closed() == upstream.connections());
    assert_eq!(upstream.requests().len(), 1, "half a body is no request");
    assert_eq!(client.send(post(5)).response().text(), "x".repeat(10));
}

#[test]
fn a_refusal_reaches_a_client_that_still_sends() {
    let upstream = Upstream::echo();
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"r\" {{ upstream \"u\"; limits {{ body \"10B\" }} }}",
        upstream.target()
    ));
    let mut client = bench.connect();
    let size = 512 << 10;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"));
    let body = vec![b'x'; size];
    let _ = client.try_send(body);
    assert_eq!(client.response().verdict(), "413 limit/body");
}

fn is_refused(bench: &Bench) -> bool {
    let mut client = bench.connect();
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.try_response(false).is_err()
}

#[test]
fn connections_in_all_and_of_one_address() {
    for limit in ["connections 2", "connections-per-address 2"] {
        let bench =
            Bench::plain(&format!("route \"r\" {{ respond 200 \"\" }}\nlimits {{ {limit} }}"));
        let mut held: Vec<Client> = (0..2).map(|_| bench.connect()).collect();
        for client in &mut held {
            assert_eq!(client.get("/").status, 200, "{limit}");
        }
        assert!(is_refused(&bench), "{limit}");
        assert_eq!(held[0].get("/").status, 200, "{limit}");
        held.pop();
        eventually("room for another", || !is_refused(&bench));
    }
}

#[test]
fn requests_in_flight() {
    let upstream = Upstream::start(hang);
    let target = upstream.target();
    for (route, process, code) in [
        ("", "limits { in-flight 1 }", "503 limit/in-flight"),
        ("limits { in-flight 1 }", "", "503 limit/route-in-flight"),
    ] {
        let bench = Bench::plain(&format!(
            r#"upstream "u" {{ target "{target}" }}
            route "r" {{ upstream "u"; {route} }}
            route "fixed" {{ matches {{ path "/fixed" }}; respond 200 "" }}
            {process}"#
        ));
        let before = upstream.connections();
        let mut held = bench.connect();
        held.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the first is under way", || upstream.connections() > before);
        let mut client = bench.connect();
        let response = client.get("/");
        assert_eq!((response.verdict(), response.field("retry-after")), (code.into(), Some("1")));
        if !route.is_empty() {
            assert_eq!(client.get("/fixed").status, 200, "other routes have room");
        }
        held.leave();
        eventually("room for another", || client.get("/fixed").status == 200);
    }
}

/// A listener whose waits are short.
fn hasty(timeouts: &str, rest: &str) -> Bench {
    Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; timeouts {{ {timeouts} }} }}\n{rest}"
    ))
}

#[test]
fn a_slow_head_is_told_and_closed() {
    let bench = hasty("head \"300ms\"", "route \"r\" { respond 200 \"\" }");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: ");
    let response = client.response();
    assert_eq!(
        (response.verdict(), response.field("connection")),
        ("408 timeout/head".into(), Some("close"))
    );
    client.assert_closed();
}

#[test]
fn a_head_that_drips_is_no_faster() {
    let bench = hasty("head \"300ms\"", "route \"r\" { respond 200 \"\" }");
    let mut client = bench.connect();
    let mut writer: TcpStream = client.writer();
    let drip = thread::spawn(move || {
        for byte in "GET / HTTP/1.1\r\n".bytes().chain(std::iter::repeat(b'x')).take(2000) {
            if writer.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("dripped to the end");
    });
    assert_eq!(client.response().status, 408);
    drop(client);
    drip.join().unwrap();
}

#[test]
fn a_silent_connection_is_closed() {
    let bench = hasty("head \"300ms\"; idle \"300ms\"", "route \"r\" { respond 200 \"\" }");
    bench.connect().assert_closed();
    let mut client = bench.connect();
    assert_eq!(client.get("/").status, 200);
    client.assert_closed();
    eventually("the connection is counted out", || bench.connections() == 0);
}

#[test]
fn a_slow_body_is_told_and_closed() {
    let upstream = Upstream::echo();
    let bench = hasty("body \"300ms\"", &before(&upstream.target(), ""));
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = bench.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
        client.send("5\r\n");
        let response = client.response();
        assert_eq!(
            (response.verdict(), response.field("connection")),
            ("408 timeout/body".into(), Some("close"))
        );
        client.assert_closed();
    }
    eventually("the upstream's connections close", || upstream.closed() == upstream.connections());
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let upstream = Upstream::start(|mut peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while peer.send([0; 64 << 10]) {}
        }
    });
    let bench = hasty("write \"300ms\"", &before(&upstream.target(), ""));
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the client is there", || bench.connections() == 1);
    eventually("the client is cut", || bench.connections() == 0);
    client.rest();
}

#[test]
fn upstream_head() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let size: usize = request.head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", "\r\n\r\n");
            peer.send(format!("{start}{}{end}", "x".repeat(size - start.len() - end.len())));
        }
    });
    let bench = Bench::plain(&format!(
        "{}limits {{ response-head \"4KiB\" }}",
        before(&upstream.target(), "retry { attempts 0 }")
    ));
    let mut client = bench.connect();
    assert_eq!(client.get("/4096").status, 200);
    assert_eq!(client.get("/4097").verdict(), "502 limit/response-head");
    assert_eq!(client.get("/100000").verdict(), "502 limit/response-head");
    assert_eq!(client.get("/100").status, 200);
}

#[test]
fn what_surrounds_chunks() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let long = "x".repeat(200 << 10);
    let fields = "X: y\r\n".repeat(10_000);
    for chunks in [
        format!("1;{long}\r\na\r\n0\r\n\r\n"),
        format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(200 << 10)),
        format!("1\r\na\r\n0\r\nX: {long}\r\n\r\n"),
        format!("1\r\na\r\n0\r\n{fields}\r\n"),
    ] {
        let mut client = bench.connect();
        let _ = client.try_send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        let response = client.response();
        assert!([400, 431].contains(&response.status), "{}: {}", &chunks[..10], response.head);
        client.assert_closed();
    }
    assert_eq!(upstream.requests().len(), 0);
}
