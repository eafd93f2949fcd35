//! The edge as a whole: who is counted, which sockets are bound, what a reload keeps.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use selvedge_edge::{Edge, StartError};
use selvedge_telemetry::{Hub, Settings};

use crate::{
    client::Client,
    harness::{Bench, HTTP, PATIENCE, before, config, eventually},
    heavy::is_alone,
    peer::{Frames, GOAWAY, HEADERS, headers, reset},
    upstream::{Upstream, hang},
};

const ROUTE: &str = "route \"r\" { respond 200 \"\" }\n";

/// A connection that comes through a load balancer from `source`.
fn proxied(bench: &Bench, source: &str) -> Client {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let target = if source.contains(':') { "::1" } else { "127.0.0.1" };
    let mut client = bench.connect();
    client.send(format!("PROXY {family} {source} {target} 1000 80\r\n"));
    client
}

#[test]
fn behind_a_load_balancer_clients_are_counted() {
    let bench = Bench::start(&format!(
        r#"listener "l" {{ address "127.0.0.1:0"; proxy-protocol {{ from "127.0.0.1" }} }}
        limits {{ connections-per-address 2 }}
        {ROUTE}"#
    ));
    let open = |source: &str| {
        let mut client = proxied(&bench, source);
        assert_eq!(client.get("/").status, 200, "{source}");
        client
    };
    let mut held: Vec<Client> =
        (1..=9).map(|n| format!("192.0.2.{n}")).map(|source| open(&source)).collect();
    held.push(open("192.0.2.1"));
    proxied(&bench, "192.0.2.1").assert_closed();
    held.push(open("2001:db8::1"));
    held.push(open("2001:db8::2"));
    proxied(&bench, "2001:db8::3").assert_closed();
    held.push(open("2001:db8:0:1::3"));
    drop(held);
    eventually("room for another", || bench.connections() == 0);
    open("192.0.2.1");
}

/// A listener that speaks HTTP/2 without TLS, two streams at once.
fn http2(rest: &str) -> Bench {
    Bench::start(&format!(
        r#"listener "l" {{ address "127.0.0.1:0"; protocols "h2"; http2 {{ streams 2 }} }}
        {rest}"#
    ))
}

/// A GET of `path` on `stream`.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", path)];
    headers(stream, &fields)
}

const PING: u8 = 6;
const ACK: u8 = 1;

fn last_stream(goaway: &[u8]) -> u32 {
    u32::from_be_bytes(goaway[..4].try_into().unwrap())
}

#[test]
fn an_idle_http2_connection_is_told_which_stream_was_the_last() {
    let bench = http2(ROUTE);
    let mut frames = Frames::connect(bench.address());
    frames.send(&get(1, "/"));
    assert_eq!(frames.verdict().unwrap().kind, HEADERS);
    let edge = bench.into_edge();
    let drain = std::thread::spawn(move || edge.drain(PATIENCE));
    let warning = frames.verdict().unwrap();
    assert_eq!((warning.kind, last_stream(&warning.payload)), (GOAWAY, u32::MAX >> 1));
    // Sent before the client learns of the end: still served.
    frames.send(&get(3, "/"));
    let ping = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == PING).unwrap();
    assert_eq!(frames.verdict().unwrap().kind, HEADERS);
    frames.send(&[&[0, 0, 8, PING, ACK, 0, 0, 0, 0], &*ping.payload].concat());
    let end = frames.verdict().unwrap();
    assert_eq!((end.kind, last_stream(&end.payload)), (GOAWAY, 3));
    assert!(frames.verdict().is_none());
    assert_eq!(drain.join().unwrap().cut, 0);
}

#[test]
fn streams_that_are_reset_make_room_at_once() {
    let upstream = Upstream::start(hang);
    let bench = http2(&format!(
        r#"upstream "u" {{ target "{}" }}
        route "slow" {{ matches {{ path "/slow" }}; upstream "u" }}
        {ROUTE}"#,
        upstream.target()
    ));
    let mut frames = Frames::connect(bench.address());
    for round in 0..10 {
        let first = 1 + 8 * round;
        frames.send(&[get(first, "/slow"), get(first + 2, "/slow")].concat());
        let begun = 2 * (round as usize + 1);
        eventually("both are under way", || upstream.connections() == begun);
        frames.send(
            &[reset(first), reset(first + 2), get(first + 4, "/"), get(first + 6, "/")].concat(),
        );
        for _ in 0..2 {
            assert_eq!(frames.verdict().unwrap().kind, HEADERS, "round {round}");
        }
    }
}

#[test]
fn each_listener_gets_a_port_of_the_systems_choice() {
    let two = |first: &str, second: &str| {
        format!(
            r#"listener "{first}" {{ address "127.0.0.1:0" }}
            listener "{second}" {{ address "127.0.0.1:0" }}
            {ROUTE}"#
        )
    };
    let mut bench = Bench::start(&two("a", "b"));
    let (a, b) = (bench.address_of("a"), bench.address_of("b"));
    assert_ne!(a, b);
    assert_eq!(Client::connect(a).get("/").status, 200);
    assert_eq!(Client::connect(b).get("/").status, 200);
    bench.edge().reload(config(&two("b", "c"))).unwrap();
    assert_eq!(bench.address_of("b"), b);
    assert_eq!(Client::connect(b).get("/").status, 200);
    assert_eq!(Client::connect(bench.address_of("c")).get("/").status, 200);
    eventually("nobody listens there", || TcpStream::connect(a).is_err());
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listening(addresses: &[SocketAddr]) -> String {
    let listeners = addresses.iter().enumerate();
    let listeners = listeners.map(|(n, at)| format!("listener \"l{n}\" {{ address \"{at}\" }}\n"));
    format!("workers 2\n{}{ROUTE}", listeners.collect::<String>())
}

fn start(text: &str) -> Result<Edge, StartError> {
    let config = config(text);
    let hub = Hub::start(&Settings::quiet(config.workers)).unwrap();
    Edge::start(config, hub)
}

#[track_caller]
fn check_taken(outcome: Result<Edge, StartError>) {
    match outcome.map(drop) {
        Err(StartError::Bind { source, .. }) => assert_eq!(source.kind(), ErrorKind::AddrInUse),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_edges_do_not_share_a_port() {
    let address = free();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let first = Bench::start(&listening(&[address]));
    check_taken(start(&listening(&[address])));
    check_taken(start(&listening(&[everywhere])));
    let mut other = Bench::start(&listening(&[free()]));
    let error = other.edge().reload(config(&listening(&[address]))).unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }), "{error}");
    assert_eq!(Client::connect(address).get("/").status, 200);
    assert_eq!(other.connect().get("/").status, 200);
    drop(first);
    other.edge().reload(config(&listening(&[address]))).unwrap();
}

#[test]
fn an_edge_shares_its_ports_with_itself() {
    let (one, other) = (free(), free());
    let everywhere = SocketAddr::from(([0, 0, 0, 0], one.port()));
    let mut bench = Bench::start(&listening(&[everywhere, one]));
    for addresses in [&[everywhere][..], &[one], &[other], &[one, other], &[everywhere, one]] {
        bench.edge().reload(config(&listening(addresses))).unwrap();
        assert_eq!(bench.connect().get("/").status, 200, "{addresses:?}");
    }
}

#[test]
fn a_listener_that_goes_serves_who_was_there() {
    let (stays, goes) = (free(), free());
    let mut bench = Bench::start(&listening(&[stays, goes]));
    for _ in 0..10 {
        let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(goes)).collect();
        bench.edge().reload(config(&listening(&[stays]))).unwrap();
        assert!(TcpStream::connect(goes).is_err(), "nobody listens there any more");
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        bench.edge().reload(config(&listening(&[stays, goes]))).unwrap();
    }
}

#[test]
fn all_descriptors_that_may_be_had_are_used() {
    if !is_alone("server::all_descriptors_that_may_be_had_are_used", 600) {
        return;
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let bench = Bench::start(&listening(&[free()]));
    assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    let mut clients: Vec<Client> = (0..200).map(|_| bench.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
}

#[test]
fn bounds_of_heads_follow_a_reload() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let size = request.head.len();
            let pad = "x".repeat(size);
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {pad}\r\n\r\n"));
        }
    });
    let text = |size: &str| {
        format!(
            "{HTTP}{}limits {{ head \"{size}\"; response-head \"{size}\" }}",
            before(&upstream.target(), "")
        )
    };
    let request =
        |size: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(size));
    let mut bench = Bench::start(&text("20KiB"));
    let mut waiting = bench.connect();
    assert_eq!(waiting.send(request(100)).response().status, 200);
    assert_eq!(bench.connect().send(request(30 << 10)).response().status, 431);
    bench.edge().reload(config(&text("100KiB"))).unwrap();
    assert_eq!(waiting.send(request(50 << 10)).response().status, 200);
    assert_eq!(bench.connect().send(request(50 << 10)).response().status, 200);
    bench.edge().reload(config(&text("20KiB"))).unwrap();
    assert_eq!(bench.connect().send(request(30 << 10)).response().status, 431);
}

#[test]
fn pools_survive_upstreams_that_come_and_go() {
    let upstream = Upstream::echo();
    let text = |others: &str| format!("{HTTP}{others}{}", before(&upstream.target(), ""));
    let other = |id: &str| {
        format!(
            "upstream \"{id}\" {{ target \"127.0.0.1:9\" }}\n\
             route \"{id}\" {{ matches {{ path \"/{id}\" }}; upstream \"{id}\" }}\n"
        )
    };
    let mut bench = Bench::start(&text(""));
    let mut client = bench.connect();
    for others in ["", &other("a"), &(other("a") + &other("b")), &other("b"), ""] {
        bench.edge().reload(config(&text(others))).unwrap();
        assert_eq!(client.get("/").status, 200);
        assert_eq!(upstream.connections(), 1, "{others}");
    }
}
