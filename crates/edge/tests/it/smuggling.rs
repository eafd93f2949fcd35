//! Requests whose end two parsers could see in different places: refused, closed, and passed on in
//! no part.

use crate::{client::Client, harness::Bench, upstream::Upstream};

/// Sends each request together with a second one that must not be seen by anybody.
fn check(bench: &Bench, upstream: &Upstream, request: &[u8], status: u16) {
    let shown = String::from_utf8_lossy(request).into_owned();
    let mut client = bench.connect();
    let _ = client.try_send([request, b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
    let response = client.response();
    assert_eq!(response.status, status, "{shown:?}: {}", response.head);
    assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
    client.assert_closed();
    assert_eq!(upstream.bytes(), 0, "{shown:?} reached the upstream");
}

const GET: &str = "GET / HTTP/1.1\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";

#[test]
fn heads_that_are_not_what_they_seem() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    let get = |fields: &str| format!("{GET}{fields}\r\n\r\n").into_bytes();
    let cases: Vec<Vec<u8>> = vec![
        // Host
        get("X: no host"),
        get("Host: a\r\nHost: a"),
        get("Host: a\r\nHost: b"),
        get("Host: a, b"),
        get("Host: a b"),
        get("Host: a/b"),
        get("Host: u@a"),
        get("Host: a:99999"),
        get("Host: a:1x"),
        get("Host: [::1"),
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(),
        b"GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(),
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        // Lines
        b"GET / HTTP/1.1\nHost: h\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: h\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: h\r\n\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n".to_vec(),
        b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n".to_vec(),
        b" GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"G@T / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET / http/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        // Fields
        get("Host: h\r\n X: folded"),
        get("Host: h\r\n\tX: folded"),
        get(" Host: h"),
        get("Host : h"),
        get("Host\t: h"),
        get("Host: h\r\nX : y"),
        get("Host: h\r\n: y"),
        get("Host: h\r\nno colon"),
        get("Host: h\r\nX\0: y"),
        get("Host: h\r\nX: y\0z"),
        get("Host: h\r\nX: \x01"),
        get("Host: h\r\nX: \x7f"),
        get("Host: h\r\nX(y): z"),
        b"GET / HTTP/1.1\r\nHost: h\r\nX\xc3\xa4: y\r\n\r\n".to_vec(),
        get("Host: h\r\nConnection: Host"),
        get("Host: h\r\nConnection: content-length"),
        get("Host: h\r\nConnection: a b"),
        get("Host: h\r\nUpgrade: a\r\nUpgrade: b\r\nConnection: upgrade"),
    ];
    for case in &cases {
        check(&bench, &upstream, case, 400);
    }
}

#[test]
fn bodies_whose_end_is_in_doubt() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: 5\x0b",
        "Content-Length: 99999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Content_Length: 5\r\nContent-Length: 4, 5",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        check(&bench, &upstream, format!("{POST}{fields}\r\n\r\nhello").as_bytes(), 400);
    }
    let old = b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(&bench, &upstream, old, 400);
}

#[test]
fn codings_that_nobody_here_undoes() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for coding in [
        "",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "identity",
        "xchunked",
        "chunked;x=1",
        "\"chunked\"",
        "chunked, chunked",
    ] {
        let request = format!("{POST}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        check(&bench, &upstream, request.as_bytes(), 501);
    }
    check(&bench, &upstream, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501);
    check(&bench, &upstream, b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505);
    check(&bench, &upstream, b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505);
}

/// The head of such a request is good and may have been sent; the body must not go on as if it
/// were whole, and nothing after it may be taken for a request.
#[test]
fn chunks_that_are_malformed() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5 \nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;\nx\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\n\r\n",
        "5\r\nhello\r\n0\r\n X: a\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : a\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = bench.connect();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        let _ =
            client.try_send(format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}{smuggled}"));
        let response = client.response();
        assert_eq!(
            (response.status, response.field("connection")),
            (400, Some("close")),
            "{chunks:?}"
        );
        client.assert_closed();
    }
    let whole = upstream.requests();
    assert!(whole.is_empty(), "taken for whole: {whole:?}");
}

#[test]
fn a_body_that_breaks_off_is_not_whole() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for request in [
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
        format!("{POST}Content-Length: 10\r\n\r\nhello"),
    ] {
        let mut client = bench.connect();
        client.send(&request).finish();
        client.rest();
    }
    crate::harness::eventually("the upstream's connections close", || {
        upstream.closed() == upstream.connections()
    });
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn paths_that_lead_out_are_refused() {
    let upstream = Upstream::echo();
    let bench = Bench::before(&upstream.target(), "");
    for path in ["/..", "/a/../../b", "/%2e%2e/a", "/a/%2E./../..", "/%00", "/%zz", "/%", "/a%2"] {
        let mut client: Client = bench.connect();
        let response = client.get(path);
        assert_eq!(response.verdict(), "400 request/target", "{path}");
    }
    assert_eq!(upstream.bytes(), 0);
}
