//! Protocol switches: WebSocket and its like.

use std::sync::{Mutex, mpsc};

use crate::{
    client::fields,
    harness::{Bench, eventually},
    upstream::{Upstream, pause},
};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: a\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: b\r\n\r\n";

/// Switches, and then sends back each byte in upper case.
pub(crate) fn shouting() -> Upstream {
    Upstream::start(|mut peer| {
        let request = peer.request().unwrap();
        assert_eq!(fields(&request.head, "upgrade"), ["websocket"]);
        assert_eq!(fields(&request.head, "connection"), ["upgrade"]);
        peer.send(SWITCH);
        while let Some(byte) = peer.exactly(1) {
            peer.send(byte.to_ascii_uppercase());
        }
        peer.close();
    })
}

#[test]
fn bytes_go_both_ways_after_the_switch() {
    let upstream = shouting();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let response = client.send(ASK).response();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert!(response.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(response.field("sec-websocket-accept"), Some("b"));
    for word in ["hello", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}x"] {
        client.send(word);
        assert_eq!(client.exactly(word.len()), word.to_uppercase().as_bytes());
    }
    let large = "x".repeat(1 << 20);
    let mut writer = client.writer();
    let sender =
        std::thread::spawn(move || std::io::Write::write_all(&mut writer, large.as_bytes()));
    assert_eq!(client.exactly(1 << 20), "X".repeat(1 << 20).as_bytes());
    sender.join().unwrap().unwrap();
    client.finish();
    client.assert_closed();
    eventually("both ends are closed", || upstream.closed() == 1 && bench.connections() == 0);
}

#[test]
fn the_server_may_end_it_and_speak_first() {
    let upstream = Upstream::start(|mut peer| {
        peer.request();
        peer.send(format!("{SWITCH}hello and bye"));
        peer.close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    assert_eq!(client.send(ASK).response().status, 101);
    assert_eq!(client.rest(), b"hello and bye");
}

#[test]
fn a_switch_is_dressed_as_every_answer() {
    let upstream = shouting();
    let bench = Bench::before(&upstream.target(), "sticky cookie=\"srv\"");
    let response = bench.connect().send(ASK).response();
    assert_eq!((response.status, response.field("via")), (101, Some("1.1 selvedge")));
    assert!(response.field("set-cookie").unwrap().starts_with("srv="), "{}", response.head);
}

#[test]
fn nothing_is_passed_on_before_the_switch() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        wait.lock().unwrap().recv().unwrap();
        assert_eq!(peer.received(), b"");
        peer.stream.set_nonblocking(true).unwrap();
        assert!(peer.read_more().is_err(), "bytes came before the 101");
        peer.stream.set_nonblocking(false).unwrap();
        peer.send(SWITCH);
        let early = peer.exactly(5).unwrap();
        peer.send(early);
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send(format!("{ASK}early"));
    pause();
    go.send(()).unwrap();
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(5), b"early");
}

#[test]
fn a_refused_switch_is_an_ordinary_answer() {
    let upstream = Upstream::start(|mut peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for _ in 0..2 {
        let response = client.send(ASK).response();
        assert_eq!((response.status, response.text()), (426, "no"));
    }
    // What was meant for the other protocol is read as what it is here: no request.
    client.send(format!("{ASK}\x01\x02GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.response().status, 426);
    assert_eq!(client.response().status, 400);
    client.assert_closed();
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn only_what_can_be_tunnelled_is_asked_for() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for asked in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let response = client.get_with("/", asked);
        assert_eq!(response.status, 200);
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(fields(response.text(), name), Vec::<&str>::new(), "{asked}");
        }
    }
    let old = ASK.replace("HTTP/1.1", "HTTP/1.0");
    let response = client.send(old).response();
    assert_eq!(fields(response.text(), "upgrade"), Vec::<&str>::new(), "HTTP/1.0 cannot switch");
}

#[test]
fn a_silent_tunnel_is_closed() {
    let upstream = shouting();
    let bench = Bench::before(&upstream.target(), "timeouts { idle \"300ms\" }");
    let mut client = bench.connect();
    assert_eq!(client.send(ASK).response().status, 101);
    client.assert_closed();
    eventually("both ends are closed", || upstream.closed() == 1 && bench.connections() == 0);
}

#[test]
fn a_tunnel_outlives_the_bounds_of_an_exchange() {
    let upstream = shouting();
    let bench = Bench::before(
        &upstream.target(),
        "timeouts { first-byte \"200ms\"; whole \"200ms\" }; retry { attempts 0 }",
    );
    let mut client = bench.connect();
    let response = client.send(ASK).response();
    assert_eq!(response.status, 101, "{}", response.head);
    for _ in 0..5 {
        pause();
        client.send("hello");
        assert_eq!(client.exactly(5), b"HELLO");
    }
}
