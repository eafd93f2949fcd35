//! Requests and responses that are as they should be, and what the edge changes about them.

use std::sync::mpsc;

use tempfile::TempDir;

use crate::{
    client::{Broken, fields},
    harness::{Bench, before, eventually},
    upstream::{Upstream, pause, unix_echo},
};

#[test]
fn get_head_and_post() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let get = client.get("/a?b=c");
    assert_eq!((get.status, get.text()), (200, ""));
    let post =
        client.send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").response();
    assert_eq!((post.status, post.text(), post.field("content-length")), (200, "hello", Some("5")));
    let empty = client.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").response();
    assert_eq!(empty.status, 200);
    let lines: Vec<_> =
        upstream.requests().iter().map(|r| r.head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /a?b=c HTTP/1.1", "POST /p HTTP/1.1", "POST /e HTTP/1.1"]);
    assert_eq!(fields(&upstream.requests()[2].head, "content-length"), ["0"]);
    assert_eq!(upstream.connections(), 1, "the connection is used again");
}

#[test]
fn a_head_has_the_length_and_no_body() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let body = if request.head.starts_with("HEAD") { "" } else { "hello" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}"));
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for _ in 0..2 {
        let head = client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").head_response();
        assert_eq!((head.status, head.field("content-length")), (200, Some("5")));
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn statuses_without_a_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let upstream = Upstream::fixed(&format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n"));
        let bench = Bench::before(&upstream.target(), "");
        let mut client = bench.connect();
        for _ in 0..2 {
            let response = client.get("/");
            assert!(status.starts_with(&response.status.to_string()));
            assert_eq!(response.field("transfer-encoding"), None);
            assert_eq!(response.field("etag"), Some("\"x\""));
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn chunked_both_ways_with_trailers() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let size = request.body.len();
            let body = String::from_utf8(request.body).unwrap();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 {size:x}\r\n{body}\r\n0\r\nX-Sum: 42\r\n\r\n"
            ));
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
                   Connection: TE\r\n\r\n3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Mine: 7\r\n\r\n";
    let response = client.send(request).response();
    assert_eq!(response.text(), "abc0123456789");
    assert_eq!(response.trailers.to_lowercase(), "x-sum: 42\r\n");
    let seen = &upstream.requests()[0];
    assert_eq!(seen.trailers.to_lowercase(), "x-mine: 7\r\n");
    assert_eq!(fields(&seen.head, "transfer-encoding"), ["chunked"]);
    assert_eq!(fields(&seen.head, "te"), ["trailers"]);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let response = client.send(request).response();
    assert_eq!(
        (response.text(), &*response.trailers),
        ("x", ""),
        "trailers go to those who take them"
    );
}

#[test]
fn a_body_that_ends_with_the_connection() {
    let upstream = Upstream::closing("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(
            (response.text(), response.field("transfer-encoding")),
            ("until the end", Some("chunked"))
        );
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let one =
        |n: usize| format!("POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n{n:03}");
    let all: String = (0..50).map(one).collect();
    client.send(&all);
    for n in 0..50 {
        assert_eq!(client.response().text(), format!("{n:03}"));
    }
    let split = one(7);
    for byte in split.as_bytes().chunks(1) {
        client.send(byte);
    }
    assert_eq!(client.response().text(), "007");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx\r\n");
    assert_eq!(client.response().text(), "x");
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn connection_close_is_obeyed_and_said() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    assert_eq!(client.get("/").field("connection"), None);
    let last = client.get_with("/", "Connection: close\r\n");
    assert_eq!(last.field("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(bench.connect().get("/").status, 200);
    assert_eq!(upstream.connections(), 1, "the client's wish is not the upstream's");
}

#[test]
fn http_1_0() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            match request.head.contains("/chunked") {
                true => peer.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                ),
                false => peer.answer(b"hi"),
            };
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let response = client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").response();
    assert_eq!((response.text(), response.field("connection")), ("hi", Some("close")));
    client.assert_closed();
    let mut client = bench.connect();
    let kept = "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client.send(kept).response().field("connection"), Some("keep-alive"));
    let response = client.send(kept.replace("GET /", "GET /chunked")).response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(response.text(), "hi");
    let response = bench.connect().send("GET / HTTP/1.0\r\n\r\n").response();
    assert_eq!(response.text(), "hi", "HTTP/1.0 needs no Host");
    let seen = upstream.requests();
    assert!(seen.iter().all(|request| request.head.lines().next().unwrap().ends_with("HTTP/1.1")));
    assert_eq!(fields(&seen[0].head, "via"), ["1.0 selvedge"]);
    assert!(seen.iter().all(|request| fields(&request.head, "host").len() == 1));
}

#[test]
fn a_body_is_asked_for_when_it_is_wanted() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        );
        let interim = client.read_head().unwrap();
        assert_eq!(interim.head, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.send("body").response().text(), "body");
    }
    assert!(upstream.requests().iter().all(|request| fields(&request.head, "expect").is_empty()));
}

#[test]
fn a_body_that_is_sent_at_once_is_taken_at_once() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
    );
    let mut response = client.response();
    if response.status == 100 {
        response = client.response();
    }
    assert_eq!(response.text(), "body");
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_body_that_is_refused_is_not_asked_for() {
    let upstream = Upstream::echo();
    let bench = Bench::plain(&format!(
        r#"upstream "u" {{ target "{}" }}
        route "u" {{ matches {{ path-prefix "/u" }}; upstream "u"; limits {{ body "3B" }} }}
        route "r" {{ matches {{ path "/r" }}; respond 200 "fixed" }}"#,
        upstream.target()
    ));
    for (path, status) in [("/u", 413), ("/none", 404), ("/r", 200)] {
        let mut client = bench.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(
            (response.status, response.field("connection")),
            (status, Some("close")),
            "{path}"
        );
        client.assert_closed();
    }
    assert_eq!(upstream.bytes(), 0);
}

/// An edge with answers of its own: a text, a redirect, a file, a refusal.
fn local() -> (TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "file").unwrap();
    let bench = Bench::plain(&format!(
        r#"route "text" {{ matches {{ path "/text" }}; respond 200 "text" }}
        route "away" {{ matches {{ path "/away" }}; redirect "https://h/" }}
        route "file" {{ matches {{ path-prefix "/" }}; static {:?} }}"#,
        folder.path().to_str().unwrap()
    ));
    (folder, bench)
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_body_that_nobody_wants_is_dropped() {
    let (_folder, bench) = local();
    let sized = format!("Content-Length: {}\r\n\r\n", SMUGGLED.len());
    let chunked = "Transfer-Encoding: chunked\r\n\r\n".to_owned();
    let chunks = format!("{:x}\r\n{SMUGGLED}\r\n0\r\nX: y\r\n\r\n", SMUGGLED.len());
    for (method, path, status) in
        [("POST", "/text", 200), ("GET", "/file", 200), ("PUT", "/away", 308), ("POST", "/no", 405)]
    {
        let mut client = bench.connect();
        for (framing, body) in [(&sized, SMUGGLED), (&chunked, &chunks)] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{framing}");
            let at_once = client.send(format!("{head}{body}")).response();
            let first = client.send(&head).response();
            for response in [at_once, first] {
                let said = (response.status, response.field("connection"));
                assert_eq!(said, (status, None), "{path}");
            }
            let (half, rest) = body.split_at(body.len() / 2);
            client.send(half).send(rest);
            assert_eq!(client.get("/text").text(), "text", "{path}");
        }
    }
}

/// Asks with a body of that size, which the edge reads for the sake of the next request or not.
#[track_caller]
fn check_unwanted(size: usize, is_read: bool) {
    let (_folder, bench) = local();
    let mut client = bench.connect();
    client.send(format!("POST /text HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"));
    let response = client.response();
    assert_eq!(response.field("connection").is_none(), is_read, "{size}");
    let sent = client.try_send(vec![b'x'; size]);
    if is_read {
        sent.unwrap();
        assert_eq!(client.get("/text").text(), "text", "{size}");
    } else {
        client.assert_closed();
    }
}

#[test]
fn a_large_body_that_nobody_wants_ends_the_connection() {
    check_unwanted(64 << 10, true);
    check_unwanted((64 << 10) + 1, false);
    check_unwanted(1 << 20, false);
    let (_folder, bench) = local();
    let mut client = bench.connect();
    client.send("POST /text HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.response().text(), "text");
    let chunk = format!("100\r\n{}\r\n", "x".repeat(256));
    let _ = client.try_send(chunk.repeat(1000));
    let _ = client.try_send(format!("0\r\n\r\n{SMUGGLED}"));
    client.assert_closed();
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for_for_long() {
    let (_folder, bench) = local();
    let mut client = bench.connect();
    client.send("POST /text HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx");
    assert_eq!(client.response().text(), "text");
    client.assert_closed();
    eventually("the connection is counted out", || bench.connections() == 0);
}

#[test]
fn a_body_that_nobody_wants_and_nobody_understands_ends_the_connection() {
    let (_folder, bench) = local();
    for malformed in ["x\r\n", "1\r\nxy\r\n0\r\n\r\n", "1\nx\r\n0\r\n\r\n"] {
        let head = "POST /text HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = bench.connect();
        let response = client.send(format!("{head}{malformed}{SMUGGLED}")).response();
        assert_eq!((response.text(), response.field("connection")), ("text", Some("close")));
        client.assert_closed();
        let mut client = bench.connect();
        assert_eq!(client.send(head).response().text(), "text");
        let _ = client.try_send(format!("{malformed}{SMUGGLED}"));
        client.assert_closed();
    }
}

#[test]
fn a_client_that_has_said_all_is_answered() {
    let (go, wait) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        while let Some(request) = peer.request() {
            wait.lock().unwrap().recv().unwrap();
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            wait.lock().unwrap().recv().unwrap();
            let size = request.body.len();
            let body = String::from_utf8(request.body).unwrap();
            peer.send(format!("{size:x}\r\n{body}\r\n0\r\n\r\n"));
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
    client.send(format!("{post}last{post}more")).finish();
    for text in ["firstlast", "firstmore"] {
        for _ in 0..2 {
            pause();
            go.send(()).unwrap();
        }
        assert_eq!(client.response().text(), text);
    }
    client.assert_closed();
    eventually("the connection is counted out", || bench.connections() == 0);
    let (_folder, bench) = local();
    let mut client = bench.connect();
    client.send(format!("{post}last{post}more").replace("POST /", "POST /text")).finish();
    for _ in 0..2 {
        assert_eq!(client.response().text(), "text");
    }
    client.assert_closed();
}

#[test]
fn an_unknown_expectation_is_refused() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    assert_eq!(client.get_with("/", "Expect: miracles\r\n").status, 417);
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn absolute_form_is_routed_by_its_authority() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let response =
        client.send("GET http://Example.com/p?q HTTP/1.1\r\nHost: example.com\r\n\r\n").response();
    assert!(response.text().starts_with("GET /p?q HTTP/1.1\r\n"), "{}", response.text());
    let response =
        client.send("GET http://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n").response();
    assert!(response.text().starts_with("GET /?q HTTP/1.1\r\n"), "{}", response.text());
    let response =
        client.send("GET http://other.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n").response();
    assert_eq!(response.verdict(), "400 head-gate/host-differs");
    client.assert_closed();
}

#[test]
fn options_of_the_server_itself() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let response = client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").response();
    assert_eq!(response.status, 204);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn hop_by_hop_fields_end_here() {
    let upstream = Upstream::start(|mut peer| {
        while peer.request().is_some() {
            peer.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n\
                 Connection: keep-alive, X-Private\r\nProxy-Connection: keep-alive\r\n\
                 Upgrade: h2c\r\nX-Public: 2\r\n\r\n",
            );
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let response = client.get_with(
        "/",
        "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
         TE: gzip\r\nTrailer: a\r\nX-Open: 2\r\nCookie: a=1\r\n",
    );
    let seen = upstream.requests().remove(0).head;
    for name in
        ["connection", "x-secret", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"]
    {
        assert_eq!(fields(&seen, name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!((fields(&seen, "x-open"), fields(&seen, "cookie")), (vec!["2"], vec!["a=1"]));
    for name in ["connection", "keep-alive", "x-private", "proxy-connection", "upgrade"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-public"), Some("2"));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn the_edge_names_itself_in_via() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let response = bench.connect().get_with("/", "Via: 1.0 a, 1.1 b\r\nVia: 2 c\r\n");
    // Lines of one list (RFC 9110 5.3): ours is the last.
    assert_eq!(fields(response.text(), "via"), ["1.0 a, 1.1 b", "2 c", "1.1 selvedge"]);
    assert_eq!(response.field("via"), Some("1.1 selvedge"));
    assert!(response.field("date").is_some());
}

const FORWARDED: &str = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n\
                         X-Forwarded-Host: spoof\r\nForwarded: for=198.51.100.1\r\n";

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let response = bench.connect().get_with("/", FORWARDED);
    let seen = response.text();
    assert_eq!(fields(seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(fields(seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(fields(seen, "x-forwarded-host"), ["example.com"]);
    assert!(!seen.contains("198.51.100.1") && !seen.contains("spoof"), "{seen}");
}

/// Fields that say where a request comes from, in the spellings that reach an application as the same
/// variable, and whether a trusted proxy may say them.
const CLAIMS: [(&str, bool); 12] = [
    ("X-Forwarded-Port", true),
    ("X-Forwarded-Prefix", true),
    ("x-forwarded-server", true),
    ("X-FORWARDED-ANYTHING", true),
    ("X-Real-IP", true),
    ("Proxy", false),
    ("PROXY", false),
    ("X_Forwarded_For", false),
    ("X-Forwarded_For", false),
    ("X_Forwarded-Proto", false),
    ("X_Forwarded_Port", false),
    ("x_real_ip", false),
];

#[test]
fn claims_of_strangers_end_here() {
    let upstream = Upstream::mirror();
    let trusting = "listener \"l\" { address \"127.0.0.1:0\"; trusted-proxies \"127.0.0.0/8\" }";
    let stranger = Bench::before(&upstream.target(), "");
    let proxy = Bench::start(&format!("{trusting}\n{}", before(&upstream.target(), "")));
    for (name, may_be_said) in CLAIMS {
        let field = format!("{name}: spoof\r\n");
        let seen = stranger.connect().get_with("/", &field);
        assert!(!seen.text().contains("spoof"), "{name}: {}", seen.text());
        let seen = proxy.connect().get_with("/", &field);
        assert_eq!(seen.text().contains("spoof"), may_be_said, "{name}: {}", seen.text());
    }
    for name in ["X-Forward", "X-Really", "Proxy-Status", "P", "X", "Forwarder"] {
        let seen = stranger.connect().get_with("/", &format!("{name}: kept\r\n"));
        assert!(seen.text().contains("kept"), "{name}: {}", seen.text());
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_appended_to() {
    let upstream = Upstream::mirror();
    let bench = Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; trusted-proxies \"127.0.0.0/8\" }}\n{}",
        before(&upstream.target(), "")
    ));
    let response = bench.connect().get_with("/", FORWARDED);
    let seen = response.text();
    assert_eq!(fields(seen, "x-forwarded-for"), ["198.51.100.1, 127.0.0.1"]);
    assert_eq!(fields(seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(fields(seen, "x-forwarded-host"), ["spoof"]);
    let forwarded = fields(seen, "forwarded");
    assert_eq!(forwarded.len(), 1);
    assert!(forwarded[0].starts_with("for=198.51.100.1, for=127.0.0.1"), "{forwarded:?}");
}

#[test]
fn traces_go_on() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let response = client.get_with(
        "/",
        &format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\ntracestate: a=1\r\n"),
    );
    let parent = fields(response.text(), "traceparent");
    assert_eq!(parent.len(), 1);
    let parts: Vec<_> = parent[0].split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", trace, "01"));
    assert_eq!(fields(response.text(), "tracestate"), ["a=1"]);
    let response = client.get_with("/", "traceparent: nonsense\r\ntracestate: a=1\r\n");
    let parent = fields(response.text(), "traceparent");
    assert!(parent.len() == 1 && parent[0].starts_with("00-") && !parent[0].contains(trace));
    assert_eq!(fields(response.text(), "tracestate"), Vec::<&str>::new());
}

#[test]
fn interim_responses_pass_at_once() {
    let (go, wait) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        peer.send(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
        );
        wait.lock().unwrap().recv().unwrap();
        peer.answer(b"final");
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let hints = client.response();
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>")));
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "final");
}

#[test]
fn a_response_is_streamed_as_it_comes() {
    let (go, wait) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        wait.lock().unwrap().recv().unwrap();
        peer.send("4\r\nlast\r\n0\r\n\r\n");
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.exactly(10), b"5\r\nfirst\r\n");
    go.send(()).unwrap();
    assert_eq!(client.exactly(14), b"4\r\nlast\r\n0\r\n\r\n");
}

#[test]
fn a_request_is_streamed_as_it_comes() {
    let upstream = Upstream::start(|mut peer| {
        let head = peer.head().unwrap();
        assert!(head.contains("chunked"));
        let first = peer.exactly(8).unwrap();
        peer.send([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &*first].concat());
        let rest = peer.exactly(13).unwrap();
        peer.send(rest);
        peer.close();
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.exactly(13), b"8\r\n3\r\nabc\r\n\r\n");
    client.send("3\r\ndef\r\n0\r\n\r\n");
    assert_eq!(client.exactly(18), b"d\r\n3\r\ndef\r\n0\r\n\r\n\r\n");
    assert_eq!(client.rest(), b"0\r\n\r\n");
}

#[test]
fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    unix_echo(&path);
    let bench = Bench::before(&format!("unix:{}", path.display()), "");
    let mut client = bench.connect();
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().text(), "hi");
    }
}

#[test]
fn a_response_is_compressed_on_the_fly() {
    let text = "compress me ".repeat(500);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let upstream = Upstream::fixed(&response);
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"all\" {{ upstream \"u\"; compress #true }}",
        upstream.target()
    ));
    let mut client = bench.connect();
    let plain = client.get("/");
    assert_eq!((plain.text(), plain.field("vary")), (&*text, Some("accept-encoding")));
    let packed = client.get_with("/", "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    assert_eq!(packed.field("etag"), Some("W/\"a\""));
    assert!(packed.body.len() < text.len() / 10);
    let mut unpacked = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&*packed.body);
    std::io::Read::read_to_string(&mut decoder, &mut unpacked).unwrap();
    assert_eq!(unpacked, text);
    let packed = client.get_with("/", "Accept-Encoding: gzip;q=0.1, zstd\r\n");
    assert_eq!(packed.field("content-encoding"), Some("zstd"));
    assert_eq!(zstd::decode_all(&*packed.body).unwrap(), text.as_bytes());
}

/// RFC 9110 §9.3.2: else a cache that asks by HEAD serves the wrong variant.
#[test]
fn head_is_told_what_get_would_be_sent() {
    let text = "compress me ".repeat(500);
    let upstream = Upstream::start(move |mut peer| {
        while let Some(request) = peer.request() {
            let body = if request.head.starts_with("HEAD") { "" } else { &*text };
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n{body}",
                text.len()
            ));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.txt"), "compress me ".repeat(500)).unwrap();
    std::fs::write(folder.path().join("empty.txt"), "").unwrap();
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}
         route \"site\" {{ matches {{ path-prefix \"/site\" }}; static {:?} {{ strip-prefix \"/site\" }}; compress #true }}
         route \"all\" {{ upstream \"u\"; compress #true }}",
        upstream.target(),
        folder.path()
    ));
    let mut client = bench.connect();
    for path in ["/", "/site/page.txt", "/site/empty.txt"] {
        for coding in ["gzip", "identity", "zstd;q=0, gzip"] {
            let get = client.get_with(path, &format!("Accept-Encoding: {coding}\r\n"));
            client.send(format!(
                "HEAD {path} HTTP/1.1\r\nHost: example.com\r\nAccept-Encoding: {coding}\r\n\r\n"
            ));
            let head = client.head_response();
            for name in ["content-encoding", "vary", "etag", "content-length", "content-type"] {
                assert_eq!(head.field(name), get.field(name), "{path} {coding}: {name}");
            }
        }
    }
}

/// A list in several lines is one list (RFC 9110 §5.3).
#[test]
fn codings_may_come_in_several_lines() {
    let text = "compress me ".repeat(500);
    let upstream = Upstream::fixed(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    ));
    let no_transform = Upstream::fixed(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: public\r\nCache-Control: no-transform\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    ));
    let lines = "Accept-Encoding: identity;q=0.1\r\nAccept-Encoding: gzip\r\n";
    for (upstream, expected) in [(upstream, Some("gzip")), (no_transform, None)] {
        let bench = Bench::plain(&format!(
            "upstream \"u\" {{ target \"{}\" }}\nroute \"all\" {{ upstream \"u\"; compress #true }}",
            upstream.target()
        ));
        let answer = bench.connect().get_with("/", lines);
        assert_eq!(answer.field("content-encoding"), expected);
    }
}

#[test]
fn a_compressed_response_that_breaks_off_is_not_complete() {
    let text = "compress me ".repeat(500);
    let upstream = Upstream::closing(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 999999\r\n\r\n{text}"
    ));
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"all\" {{ upstream \"u\"; compress #true }}",
        upstream.target()
    ));
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(matches!(client.try_response(false), Err(Broken::Ended { .. })));
}

#[test]
fn errors_come_as_the_client_reads_them() {
    let bench = Bench::plain("route \"x\" { matches { path \"/x\" }; respond 200 \"\" }");
    let mut client = bench.connect();
    let json = client.get("/none");
    assert_eq!(json.field("content-type"), Some("application/problem+json"));
    assert_eq!(json.verdict(), "404 route/none");
    let html = client.get_with("/none", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
    assert_eq!(html.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.text().starts_with("<!doctype html>"));
    let text = client.get_with("/none", "Accept: text/plain\r\n");
    assert_eq!(text.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        (text.field("cache-control"), text.field("vary")),
        (Some("no-store"), Some("accept"))
    );
    let head = client.send("HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n").head_response();
    assert_eq!(head.status, 404);
    assert_eq!(client.get("/x").status, 200, "the connection is still in step");
    let lines = "Accept: text/plain;q=0.5\r\nAccept: text/html\r\n";
    assert!(client.get_with("/none", lines).text().starts_with("<!doctype html>"));
    let no_call = client.get_with("/none", "Content-Type: application/grpc\r\n");
    assert_eq!(no_call.verdict(), "404 route/none", "gRPC is HTTP/2");
}

#[test]
fn a_refused_head_is_told_what_is_wrong_with_it() {
    let bench = Bench::plain("route \"x\" { respond 200 \"\" }");
    for (request, code, title) in [
        (
            "GET / HTTP/1.2\r\nHost: h\r\n",
            "head-gate/version-unsupported",
            "HTTP version not supported",
        ),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n", "head-gate/connect", "Not implemented"),
        ("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n", "head-gate/target", "Invalid request target"),
        ("GET /\u{7f} HTTP/1.1\r\nHost: h\r\n", "head-gate/target-byte", "Invalid request target"),
        ("GET / HTTP/1.1\r\n", "head-gate/missing-host", "Missing or invalid host"),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
            "head-gate/chunked-version",
            "Ambiguous request framing",
        ),
        ("GET / HTTP/1.1\r\nHost : h\r\n", "head-gate/space-before-colon", "Malformed request"),
    ] {
        let answer = bench.connect().send(format!("{request}\r\n")).response();
        let said: [&str; 2] = [&format!("\"code\":{code:?}"), &format!("\"title\":{title:?}")];
        assert!(said.iter().all(|said| answer.text().contains(said)), "{}", answer.text());
    }
}

/// Requests of each kind in a row, and what is answered to them.
const ROW: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\
                   POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
                   \r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n\
                   GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn requests_may_be_cut_anywhere() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for cut in 1..ROW.len() {
        let mut client = bench.connect();
        client.send(&ROW[..cut]);
        if cut % 4 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        client.send(&ROW[cut..]);
        let bodies: Vec<_> = (0..4).map(|_| client.response().text().to_owned()).collect();
        assert_eq!(bodies, ["", "abc", "def", ""], "cut at {cut}");
        client.assert_closed();
    }
}

#[test]
fn responses_may_be_cut_anywhere() {
    const RESPONSES: [&str; 3] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ];
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let mut numbers = request.head.split(['/', ' ']).skip(2);
            let mut number = || numbers.next().unwrap().parse::<usize>().unwrap();
            let (which, cut) = (number(), number());
            let (first, second) = RESPONSES[which].split_at(cut);
            peer.send(first);
            std::thread::sleep(std::time::Duration::from_millis(1));
            peer.send(second);
        }
    });
    let bench = Bench::before(&upstream.target(), "retry { attempts 0 }; ejection #false");
    let mut client = bench.connect();
    for (which, expected) in ["abc", "def", ""].into_iter().enumerate() {
        for cut in 0..RESPONSES[which].len() {
            let mut response = client.get(&format!("/{which}/{cut}"));
            if response.status == 103 {
                response = client.response();
            }
            assert_eq!(response.text(), expected, "{which} cut at {cut}");
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_answer_to_head_that_names_a_coding() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            match request.head.starts_with("HEAD") {
                true => peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                false => peer.answer(b"ok"),
            };
        }
    });
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    for _ in 0..2 {
        assert_eq!(client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").head_response().status, 200);
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 1);
}
