//! Another config put in force while requests run.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use selvedge_edge::StartError;

use crate::{
    client::Client,
    harness::{Bench, HTTP, before, config, eventually},
    upgrade::shouting,
    upstream::Upstream,
};

fn answering(text: &str) -> String {
    format!("{HTTP}route \"r\" {{ respond 200 \"{text}\" }}\n")
}

#[test]
fn a_new_route_is_there_at_once() {
    let mut bench = Bench::start(&answering("old"));
    let mut client = bench.connect();
    assert_eq!(client.get("/").text(), "old");
    let address = bench.address();
    bench.edge().reload(config(&answering("new"))).unwrap();
    assert_eq!(bench.address(), address);
    assert_eq!(client.get("/").text(), "new", "connections live on");
    assert_eq!(bench.connect().get("/").text(), "new");
}

#[test]
fn listeners_come_and_go() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = free.local_addr().unwrap();
    drop(free);
    let with = format!("{}listener \"second\" {{ address \"{second}\" }}\n", answering("x"));
    let mut bench = Bench::start(&answering("x"));
    let mut first = bench.connect();
    assert_eq!(first.get("/").status, 200);
    bench.edge().reload(config(&with)).unwrap();
    assert_eq!(bench.address_of("second"), second);
    assert_eq!(Client::connect(second).get("/").status, 200);
    assert_eq!(first.get("/").status, 200);
    bench.edge().reload(config(&answering("y"))).unwrap();
    eventually("nobody listens there", || std::net::TcpStream::connect(second).is_err());
    assert_eq!(first.get("/").text(), "y");
    bench.edge().reload(config(&with)).unwrap();
    assert_eq!(Client::connect(second).get("/").status, 200, "it can come back");
}

#[test]
fn a_config_that_cannot_be_bound_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = free.local_addr().unwrap();
    drop(free);
    let mut bench = Bench::start(&answering("old"));
    let bad = format!(
        "{}listener \"good\" {{ address \"{good}\" }}\nlistener \"bad\" {{ address \"{address}\" }}\n",
        answering("new")
    );
    let error = bench.edge().reload(config(&bad)).unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("\"bad\""), "{error}");
    assert_eq!(bench.connect().get("/").text(), "old");
    assert!(std::net::TcpStream::connect(good).is_err(), "the other new listener is gone as well");
    drop(taken);
    bench.edge().reload(config(&bad)).unwrap();
    assert_eq!(bench.connect().get("/").text(), "new");
    assert_eq!(Client::connect(good).get("/").text(), "new");
}

#[test]
fn a_missing_folder_changes_nothing() {
    let mut bench = Bench::start(&answering("old"));
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{HTTP}route \"r\" {{ static {:?} }}\n", folder.path().to_str().unwrap());
    let loaded = config(&text);
    folder.close().unwrap();
    bench.edge().reload(loaded).unwrap_err();
    assert_eq!(bench.connect().get("/").text(), "old");
}

#[test]
fn a_request_ends_under_the_config_it_began_with() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        while peer.request().is_some() {
            wait.lock().unwrap().recv().unwrap();
            peer.answer(b"slow");
        }
    });
    let mut bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is under way", || upstream.requests().len() == 1);
    bench.edge().reload(config(&answering("new"))).unwrap();
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "slow");
    assert_eq!(client.get("/").text(), "new");
}

#[test]
fn a_tunnel_survives() {
    let upstream = shouting();
    let text = format!("{HTTP}{}", before(&upstream.target(), ""));
    let mut bench = Bench::start(&text);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 101);
    for n in 0..5 {
        bench
            .edge()
            .reload(config(&format!(
                "{text}route \"r{n}\" {{ matches {{ path \"/{n}\" }}; respond 200 \"\" }}"
            )))
            .unwrap();
        client.send("still here");
        assert_eq!(client.exactly(10), b"STILL HERE");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn two_hundred_reloads_under_load_fail_no_request() {
    let upstream = Upstream::echo();
    let text = |n: usize| {
        format!(
            "workers 2\n{HTTP}{}route \"r{n}\" {{ matches {{ path \"/{n}\" }}; respond 200 \"\" }}\n",
            before(&upstream.target(), "")
        )
    };
    let mut bench = Bench::start(&text(0));
    let address = bench.address();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (stop, done) = (stop.clone(), done.clone());
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut count = 0;
                while !stop.load(SeqCst) {
                    let body = format!("{number}-{count}");
                    client.send(format!(
                        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                    let response = client.response();
                    assert_eq!((response.status, response.text()), (200, &*body));
                    count += 1;
                    done.fetch_add(1, SeqCst);
                    if count % 50 == 0 {
                        client = Client::connect(address);
                    }
                }
            })
        })
        .collect();
    for n in 1..=200 {
        bench.edge().reload(config(&text(n))).unwrap();
        let floor = n;
        eventually("requests go on", || done.load(SeqCst) >= floor);
    }
    stop.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(bench.connect().get("/200").status, 200);
    assert_eq!(bench.connect().get("/199").text(), "");
}

#[test]
fn an_http2_connection_survives() {
    let listener = "listener \"l\" { address \"127.0.0.1:0\"; protocols \"h2\" }\n";
    let text = |body: &str| format!("{listener}route \"r\" {{ respond 200 \"{body}\" }}\n");
    let mut bench = Bench::start(&text("old"));
    crate::peer::run(async {
        let send = crate::peer::connect(bench.address()).await;
        assert_eq!(crate::peer::get(&send, "/").await.unwrap().text(), "old");
        bench.edge().reload(config(&text("new"))).unwrap();
        assert_eq!(crate::peer::get(&send, "/").await.unwrap().text(), "new");
    });
}
