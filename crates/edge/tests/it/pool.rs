//! Connections to upstreams: bounded, shared, waited for.

use std::{
    sync::{Mutex, mpsc},
    thread,
};

use crate::{
    harness::{Bench, before, eventually},
    upstream::{Upstream, hang, pause},
};

#[test]
fn a_full_pool_is_waited_for() {
    for limits in ["", "limits { upstream-connections 1 }"] {
        let (go, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let upstream = Upstream::start(move |mut peer| {
            while peer.request().is_some() {
                wait.lock().unwrap().recv().unwrap();
                peer.answer(b"done");
            }
        });
        let pool = if limits.is_empty() { "pool { connections 1 }" } else { "" };
        let bench = Bench::plain(&format!("{}{limits}", before(&upstream.target(), pool)));
        let clients: Vec<_> = (0..5)
            .map(|_| {
                let mut client = bench.connect();
                client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                client
            })
            .collect();
        eventually("the first is under way", || upstream.requests().len() == 1);
        pause();
        assert_eq!(upstream.requests().len(), 1);
        (0..5).for_each(|_| go.send(()).unwrap());
        for mut client in clients {
            assert_eq!(client.response().text(), "done");
        }
    }
}

#[test]
fn a_pool_that_stays_full_is_said() {
    let upstream = Upstream::start(hang);
    let bench =
        Bench::before(&upstream.target(), "pool { connections 1 }; timeouts { connect \"300ms\" }");
    let mut held = bench.connect();
    held.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the first is under way", || upstream.connections() == 1);
    let response = bench.connect().get("/");
    assert_eq!(response.verdict(), "503 limit/upstream-connections");
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_idle_connection_of_another_upstream_makes_room() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let bench = Bench::plain(&format!(
        r#"upstream "a" {{ target "{}" }}
        upstream "b" {{ target "{}" }}
        route "a" {{ matches {{ path "/a" }}; upstream "a" }}
        route "b" {{ matches {{ path "/b" }}; upstream "b" }}
        limits {{ upstream-connections 1 }}"#,
        a.target(),
        b.target()
    ));
    let mut client = bench.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/a").text(), "a");
        assert_eq!(client.get("/b").text(), "b");
    }
}

#[test]
fn who_waits_takes_what_is_given_back() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        while peer.request().is_some() {
            wait.lock().unwrap().recv().unwrap();
            peer.answer(b"done");
        }
    });
    let bench = Bench::before(&upstream.target(), "pool { connections 2 }");
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let mut client = bench.connect();
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            client
        })
        .collect();
    eventually("two are under way", || upstream.requests().len() == 2);
    (0..12).for_each(|_| go.send(()).unwrap());
    for mut client in clients {
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn what_idles_on_one_core_makes_room_for_another() {
    let upstream = Upstream::named("a");
    let settings = "pool { connections 1 }; timeouts { connect \"20s\" }";
    let bench = Bench::plain(&format!("{}workers 4\n", before(&upstream.target(), settings)));
    let mut clients: Vec<_> = (0..16).map(|_| bench.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "a");
    }
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "a");
    }
}

#[test]
fn a_full_upstream_closes_nothing_of_others() {
    let (a, b) = (Upstream::named("a"), Upstream::start(hang));
    let bench = Bench::plain(&format!(
        r#"upstream "a" {{ target "{}" }}
        upstream "b" {{ target "{}"; pool {{ connections 1 }}; timeouts {{ connect "300ms" }} }}
        route "a" {{ matches {{ path "/a" }}; upstream "a" }}
        route "b" {{ matches {{ path "/b" }}; upstream "b" }}"#,
        a.target(),
        b.target()
    ));
    assert_eq!(bench.connect().get("/a").text(), "a");
    let mut held = bench.connect();
    held.send("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the first is under way", || b.connections() == 1);
    assert_eq!(bench.connect().get("/b").verdict(), "503 limit/upstream-connections");
    assert_eq!(bench.connect().get("/a").text(), "a");
    assert_eq!(a.connections(), 1);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let upstream = Upstream::named("a");
    let bench = Bench::before(&upstream.target(), "pool { idle-timeout \"200ms\" }");
    assert_eq!(bench.connect().get("/").status, 200);
    eventually("the idle connection closes", || upstream.closed() == 1);
    assert_eq!(bench.connect().get("/").status, 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn connections_are_shared_by_clients() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let address = bench.address();
    let clients: Vec<_> = (0..8)
        .map(|n| {
            thread::spawn(move || {
                let mut client = crate::client::Client::connect(address);
                for round in 0..50 {
                    let text = format!("{n:02}-{round:02}");
                    client.send(format!(
                        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{text}"
                    ));
                    assert_eq!(client.response().text(), text);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(upstream.connections() <= 8, "{} connections", upstream.connections());
    assert_eq!(upstream.requests().len(), 400);
}
