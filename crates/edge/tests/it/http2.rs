//! HTTP/2 towards clients and towards servers.

use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use crate::{
    client::fields,
    harness::{Bench, PATIENCE, before, eventually},
    peer::{self, Frames, GOAWAY, HEADERS, RST_STREAM, ask, connect, get, headers, request, run},
    upstream::{Upstream, hang, nobody},
};

/// An edge that speaks HTTP/2 without TLS, by prior knowledge.
fn plain(text: &str) -> Bench {
    let listener = "listener \"l\" { address \"127.0.0.1:0\"; protocols \"http/1.1\" \"h2\" }";
    Bench::start(&format!("{listener}\n{text}"))
}

/// As [`plain`], with everything sent to `target`.
fn front(target: &str, settings: &str) -> Bench {
    plain(&before(target, settings))
}

#[test]
fn requests_of_every_kind() {
    let upstream = Upstream::echo();
    let bench = front(&upstream.target(), "");
    run(async {
        let send = connect(bench.address()).await;
        let empty = get(&send, "/a?b=c").await.unwrap();
        assert_eq!((empty.status, empty.field("content-length")), (200, Some("0")));
        for body in ["hello", ""] {
            let post = ask(&send, request("POST", "/"), Some(body.as_bytes())).await.unwrap();
            assert_eq!((post.status, post.text()), (200, body));
        }
        let mut sized = request("POST", "/sized");
        sized.headers_mut().insert("content-length", 5.into());
        assert_eq!(ask(&send, sized, Some(b"12345")).await.unwrap().text(), "12345");
        let head = ask(&send, request("HEAD", "/"), None).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
    });
    let seen = upstream.requests();
    assert!(seen[0].head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}", seen[0].head);
    assert_eq!(fields(&seen[0].head, "host"), ["example.com"]);
    assert_eq!(fields(&seen[0].head, "via"), ["2 selvedge"]);
    assert_eq!(fields(&seen[1].head, "transfer-encoding"), ["chunked"]);
    assert_eq!(fields(&seen[3].head, "content-length"), ["5"]);
}

#[test]
fn streams_run_side_by_side() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        while let Some(request) = peer.request() {
            if request.head.starts_with("GET /slow") {
                wait.lock().unwrap().recv().unwrap();
            }
            peer.answer(request.head.as_bytes());
        }
    });
    let bench = front(&upstream.target(), "");
    run(async {
        let send = connect(bench.address()).await;
        let slow = {
            let send = send.clone();
            tokio::spawn(async move { get(&send, "/slow").await })
        };
        for n in 0..100 {
            let answer = get(&send, &format!("/{n}")).await.unwrap();
            assert!(answer.text().starts_with(&format!("GET /{n} ")));
        }
        assert!(!slow.is_finished());
        go.send(()).unwrap();
        assert_eq!(slow.await.unwrap().unwrap().status, 200);
    });
}

#[test]
fn cookies_are_joined_and_host_is_the_authority() {
    let upstream = Upstream::mirror();
    let bench = front(&upstream.target(), "");
    run(async {
        let send = connect(bench.address()).await;
        let mut crumbs = request("GET", "/");
        crumbs.headers_mut().append("cookie", "a=1".parse().unwrap());
        crumbs.headers_mut().append("cookie", "b=2".parse().unwrap());
        let answer = ask(&send, crumbs, None).await.unwrap();
        assert_eq!(fields(answer.text(), "cookie"), ["a=1; b=2"]);
        assert_eq!(fields(answer.text(), "host"), ["example.com"]);
        let mut two = request("GET", "/");
        two.headers_mut().insert("host", "other.com".parse().unwrap());
        assert_eq!(ask(&send, two, None).await.unwrap().status, 400);
    });
}

#[test]
fn trailers_cross_between_the_versions() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let sum = request.trailers.to_lowercase();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Got: 1\r\n{sum}\r\n"
            ));
        }
    });
    let bench = front(&upstream.target(), "");
    run(async {
        let mut send = connect(bench.address()).await;
        let mut post = request("POST", "/");
        post.headers_mut().insert("te", "trailers".parse().unwrap());
        let (response, mut stream) = send.send_request(post, false).unwrap();
        stream.send_data("body".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let answer = peer::whole(response.await.unwrap()).await.unwrap();
        assert_eq!(answer.text(), "hi");
        let trailers = answer.trailers.unwrap();
        assert!(trailers["x-got"] == "1" && trailers["x-sum"] == "7", "{trailers:?}");
    });
}

fn grpc() -> (SocketAddr, Bench) {
    let upstream = peer::server(peer::echo);
    (upstream, front(&upstream.to_string(), "protocol \"h2\""))
}

#[test]
fn a_conversation_both_ways() {
    let (_, bench) = grpc();
    run(async {
        let mut send = connect(bench.address()).await;
        let mut call = request("POST", "/pkg.Service/Method");
        call.headers_mut().insert("te", "trailers".parse().unwrap());
        let (response, mut stream) = send.send_request(call, false).unwrap();
        stream.send_data("first".into(), false).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.headers()["x-path"], "/pkg.Service/Method");
        assert_eq!(response.headers()["x-authority"], "example.com");
        let body = response.body_mut();
        assert_eq!(body.data().await.unwrap().unwrap(), "first");
        for n in 0..20 {
            let text = format!("message {n}");
            stream.send_data(text.clone().into(), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), text);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-mine", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        while let Some(data) = body.data().await {
            assert_eq!(data.unwrap(), "");
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert!(trailers["grpc-status"] == "0" && trailers["x-mine"] == "1", "{trailers:?}");
    });
}

async fn trailers_only(_: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let response = Response::builder().header("grpc-status", "12").body(()).unwrap();
    respond.send_response(response, true).unwrap();
}

#[test]
fn an_answer_of_a_head_alone() {
    let upstream = peer::server(trailers_only);
    let bench = front(&upstream.to_string(), "protocol \"h2\"");
    run(async {
        let send = connect(bench.address()).await;
        let answer = ask(&send, request("POST", "/"), Some(b"x")).await.unwrap();
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("12")));
        assert_eq!(answer.body.len(), 0);
    });
}

#[test]
fn an_http1_client_before_an_http2_upstream() {
    let (_, bench) = grpc();
    let mut client = bench.connect();
    for _ in 0..3 {
        client.send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTE: trailers\r\nConnection: te\r\n\r\nhello");
        let response = client.response();
        assert_eq!((response.text(), response.field("x-path")), ("hello", Some("/p")));
        assert_eq!(response.trailers, "grpc-status: 0\r\n");
        assert_eq!(response.field("via"), Some("2 selvedge"));
    }
}

/// What a refusal looks like for a request of this content type: status, `grpc-status`, type.
#[track_caller]
fn check_refusal(content_type: &str, expected: (u16, Option<&str>, &str)) {
    let bench = front(&nobody(), "circuit-breaker { failure-threshold 1; timeout-seconds 7 }");
    run(async {
        let send = connect(bench.address()).await;
        let mut call = request("POST", "/pkg.Service/Method");
        call.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answer = ask(&send, call.clone(), Some(b"x")).await.unwrap();
        let found = (answer.status, answer.field("grpc-status"));
        assert_eq!(found, (expected.0, expected.1), "{content_type}");
        assert_eq!(answer.field("content-type"), Some(expected.2), "{content_type}");
        let resting = ask(&send, call, Some(b"x")).await.unwrap();
        let wait = match expected.1 {
            Some(_) => resting.field("grpc-retry-pushback-ms").map(|ms| &ms[..1]),
            None => resting.field("retry-after"),
        };
        assert!(wait.is_some_and(|wait| ["6", "7"].contains(&wait)), "{:?}", resting.fields);
    });
    eventually("it is counted as what it is", || {
        let counted = |line: &str| {
            line.starts_with("selvedge_requests_total{") && line.ends_with("status=\"5xx\"} 2")
        };
        bench.metrics().lines().any(counted)
    });
}

#[test]
fn calls_are_refused_as_their_clients_read_it() {
    for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC;x=y"] {
        check_refusal(kind, (200, Some("14"), "application/grpc"));
    }
    for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpcx"] {
        check_refusal(kind, (502, None, "application/problem+json"));
    }
}

#[test]
fn large_bodies_both_ways() {
    let (_, bench) = grpc();
    let body: Vec<u8> =
        (0..8_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    run(async {
        let mut send = connect(bench.address()).await;
        let (response, mut stream) = send.send_request(request("POST", "/"), false).unwrap();
        let upload = peer::upload(&mut stream, &body);
        let download = async { peer::whole(response.await.unwrap()).await.unwrap() };
        let (_, answer) = tokio::join!(upload, download);
        assert!(answer.body == body, "{} of {} bytes", answer.body.len(), body.len());
    });
}

#[test]
fn bounds_hold_here_too() {
    let upstream = Upstream::echo();
    let bench = plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"r\" {{ upstream \"u\"; limits {{ body \"10B\" }} }}\nlimits {{ head-fields 20 }}",
        upstream.target()
    ));
    run(async {
        let send = connect(bench.address()).await;
        let mut many = request("GET", "/");
        for n in 0..25 {
            many.headers_mut()
                .insert(http::HeaderName::try_from(format!("x-{n}")).unwrap(), n.into());
        }
        assert_eq!(ask(&send, many, None).await.unwrap().status, 431);
        let mut large = request("GET", "/");
        large.headers_mut().insert("x", "y".repeat(40 << 10).parse().unwrap());
        assert_eq!(ask(&send, large, None).await.unwrap().status, 431);
        let mut sized = request("POST", "/");
        sized.headers_mut().insert("content-length", 11.into());
        assert_eq!(ask(&send, sized, Some(b"12345678901")).await.unwrap().status, 413);
        assert_eq!(upstream.bytes(), 0);
        assert_eq!(
            ask(&send, request("POST", "/"), Some(b"12345678901")).await.unwrap().status,
            413
        );
        assert_eq!(
            ask(&send, request("POST", "/"), Some(b"1234567890")).await.unwrap().text(),
            "1234567890"
        );
        let out = ask(&send, request("GET", "/../x"), None).await.unwrap();
        assert_eq!(out.status, 400);
        assert_eq!(get(&send, "/").await.unwrap().status, 200, "the connection lives on");
    });
    assert_eq!(upstream.requests().len(), 2);
}

/// A request that breaks the rules: refused by a reset, an end, or a status; passed on to nobody.
#[track_caller]
fn check_malformed(more: &[(&str, &str)], without: &str) {
    let upstream = Upstream::echo();
    let bench = front(&upstream.target(), "");
    let mut frames = Frames::connect(bench.address());
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    let all: Vec<_> = pseudo
        .into_iter()
        .filter(|(name, _)| *name != without)
        .chain(more.iter().copied())
        .collect();
    frames.send(&headers(1, &all));
    let verdict = frames.verdict();
    let refused = match &verdict {
        None => true,
        Some(frame) if frame.kind == HEADERS => frame.payload[0] == 0x8c, // :status 400
        Some(frame) => frame.kind == RST_STREAM || frame.kind == GOAWAY,
    };
    assert!(refused, "{more:?} without {without:?}: {verdict:?}");
    assert_eq!(upstream.bytes(), 0, "{more:?}");
}

#[test]
fn malformed_requests_are_passed_on_to_nobody() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("X-Upper", "a"),
        ("x y", "a"),
        ("", "a"),
        ("x", "a\r\nb: c"),
        ("x", "a\0"),
        (":path", "/again"),
        (":status", "200"),
        (":unknown", "a"),
        ("host", "other"),
        ("content-length", "5"),
        ("content-length", "x"),
    ] {
        check_malformed(&[field], "");
    }
    check_malformed(&[("a", "b"), (":path", "/")], ":path");
    check_malformed(&[], ":method");
    check_malformed(&[], ":path");
    check_malformed(&[], ":scheme");
    check_malformed(&[], ":authority");
    for path in ["", "x", "*", "/ x", "/\r\n", "http://a/"] {
        check_malformed(&[(":path", path)], ":path");
    }
    for method in ["", "G T", "CONNECT"] {
        check_malformed(&[(":method", method)], ":method");
    }
}

#[test]
fn a_good_request_in_bare_frames() {
    let upstream = Upstream::echo();
    let bench = front(&upstream.target(), "");
    let mut frames = Frames::connect(bench.address());
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "h"),
        ("te", "trailers"),
    ];
    frames.send(&headers(1, &fields));
    let verdict = frames.verdict().unwrap();
    assert_eq!((verdict.kind, verdict.stream, verdict.payload[0]), (HEADERS, 1, 0x88));
    frames.finish().unwrap();
    while frames.next().is_some() {}
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let upstream = Upstream::start(hang);
    let bench = front(&upstream.target(), "");
    let mut frames = Frames::connect(bench.address());
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    let flood: Vec<u8> = (0..1000)
        .flat_map(|n| [headers(2 * n + 1, &fields), peer::reset(2 * n + 1)].concat())
        .collect();
    frames.send(&flood);
    let goaway = loop {
        let frame = frames.verdict().expect("a GOAWAY comes before the end");
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(goaway.payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    eventually("the connection ends", || bench.connections() == 0);
    assert!(upstream.connections() < 200, "{} requests got through", upstream.connections());
}

#[test]
fn a_cancelled_stream_ends_the_upstreams_work() {
    let upstream = Upstream::start(hang);
    let bench = front(&upstream.target(), "");
    run(async {
        let mut send = connect(bench.address()).await;
        let (_response, mut stream) = send.send_request(request("POST", "/"), false).unwrap();
        stream.send_data("half".into(), false).unwrap();
        while upstream.bytes() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        while upstream.closed() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_stream_cancelled_during_the_response_ends_the_upstreams_work() {
    let upstream = Upstream::start(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        peer.wait_for_close();
    });
    let bench = front(&upstream.target(), "");
    run(async {
        let send = connect(bench.address()).await;
        let mut send = send.ready().await.unwrap();
        let (response, _) = send.send_request(request("GET", "/"), true).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "x");
        assert_eq!(upstream.closed(), 0, "a pause is no end");
        drop(response);
        while upstream.closed() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn faults_reset_the_stream_alone() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            if request.head.starts_with("GET /cut") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                return peer.close();
            }
            peer.answer(b"whole");
        }
    });
    let bench = front(&upstream.target(), "");
    let dead = front(&nobody(), "");
    run(async {
        let send = connect(bench.address()).await;
        for _ in 0..3 {
            let error = get(&send, "/cut").await.unwrap_err();
            assert!(error.is_reset(), "{error}");
            assert_eq!(get(&send, "/").await.unwrap().text(), "whole");
        }
        let send = connect(dead.address()).await;
        assert_eq!(get(&send, "/").await.unwrap().status, 502);
    });
}

async fn refusing(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    match request.uri().path() {
        "/reset" => respond.send_reset(h2::Reason::INTERNAL_ERROR),
        "/cut" => {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("half".into(), false).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        _ => {
            let response = Response::builder().status(204).body(()).unwrap();
            respond.send_response(response, true).unwrap();
        }
    }
}

#[test]
fn faults_of_an_http2_upstream() {
    let upstream = peer::server(refusing);
    let bench =
        front(&upstream.to_string(), "protocol \"h2\"; retry { attempts 0 }; ejection #false");
    let mut client = bench.connect();
    assert_eq!(client.get("/reset").verdict(), "502 upstream/closed");
    assert_eq!(client.get("/fine").status, 204);
    client.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.try_response(false).is_err());
    assert_eq!(bench.connect().get("/fine").status, 204);
    let refused = front(&nobody(), "protocol \"h2\"");
    assert_eq!(refused.connect().get("/").verdict(), "502 upstream/connect");
    let http1 = Upstream::named("not h2");
    let other =
        front(&http1.target(), "protocol \"h2\"; timeouts { connect \"1s\"; first-byte \"1s\" }");
    assert!((502..=504).contains(&other.connect().get("/").status));
}

#[test]
fn a_drain_lets_streams_finish() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        wait.lock().unwrap().recv().unwrap();
        peer.answer(b"finished");
    });
    let bench = front(&upstream.target(), "");
    let address = bench.address();
    run(async {
        let send = connect(address).await;
        let idle = connect(address).await;
        let under_way = {
            let send = send.clone();
            tokio::spawn(async move { get(&send, "/").await })
        };
        while upstream.requests().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let edge = bench.into_edge();
        let drain = std::thread::spawn(move || edge.drain(PATIENCE));
        while idle.clone().ready().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        go.send(()).unwrap();
        assert_eq!(under_way.await.unwrap().unwrap().text(), "finished");
        drop((send, idle));
        while !drain.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(drain.join().unwrap().cut, 0);
    });
}

#[test]
fn an_idle_connection_ends() {
    let bench = Bench::start(
        "listener \"l\" { address \"127.0.0.1:0\"; protocols \"h2\"; timeouts { idle \"300ms\"; head \"300ms\" } }\nroute \"r\" { respond 200 \"\" }",
    );
    run(async {
        let send = connect(bench.address()).await;
        assert_eq!(get(&send, "/").await.unwrap().status, 200);
        while send.clone().ready().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    eventually("it is counted out", || bench.connections() == 0);
}

#[test]
fn a_listener_speaks_what_it_is_told() {
    let route = "route \"r\" { respond 200 \"\" }";
    let only1 = Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; protocols \"http/1.1\" }}\n{route}"
    ));
    let mut client = only1.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(client.response().status >= 400);
    client.assert_closed();
    assert_eq!(only1.connect().get("/").status, 200);
    let only2 = Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; protocols \"h2\" }}\n{route}"
    ));
    assert_eq!(only2.connect().get("/").status, 505);
    run(async { assert_eq!(get(&connect(only2.address()).await, "/").await.unwrap().status, 200) });
    let both = front(&nobody(), "");
    assert_eq!(both.connect().get("/").status, 502);
    run(async { assert_eq!(get(&connect(both.address()).await, "/").await.unwrap().status, 502) });
}

/// A server that ends each connection after one answer.
fn hasty_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    if let Some(Ok((_, mut respond))) = connection.accept().await {
                        let response = Response::builder().status(204).body(()).unwrap();
                        respond.send_response(response, true).unwrap();
                        connection.graceful_shutdown();
                        while let Some(Ok(_)) = connection.accept().await {}
                    }
                });
            }
        });
    });
    address
}

#[test]
fn an_upstream_that_ends_its_connections_is_connected_again() {
    let upstream = hasty_server();
    let bench = front(&upstream.to_string(), "protocol \"h2\"");
    let mut client = bench.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 204);
    }
}

#[test]
fn an_upstream_that_takes_one_stream_at_a_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let handshake = builder.max_concurrent_streams(1).handshake::<_, Bytes>(stream);
                    let Ok(mut connection) = handshake.await else { return };
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        tokio::spawn(async move {
                            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                            let response = Response::builder().status(204).body(()).unwrap();
                            let _ = respond.send_response(response, true);
                        });
                    }
                });
            }
        });
    });
    let bench = front(&address.to_string(), "protocol \"h2\"");
    run(async {
        let send = connect(bench.address()).await;
        let asked: Vec<_> = (0..10)
            .map(|_| {
                let send = send.clone();
                tokio::spawn(async move { get(&send, "/").await })
            })
            .collect();
        for asked in asked {
            assert_eq!(asked.await.unwrap().unwrap().status, 204);
        }
    });
}
