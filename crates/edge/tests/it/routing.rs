//! Which route a request takes, and what routes do without a server.

use std::io::Write;

use crate::{
    client::{Client, fields},
    harness::Bench,
    upstream::Upstream,
};

/// The request's target and `Host` as the upstream saw them.
#[track_caller]
fn check_rewrite(route: &str, path: &str, expected: &str) {
    let upstream = Upstream::mirror();
    let bench = Bench::plain(&format!(
        "upstream \"u\" {{ target \"{}\" }}\nroute \"r\" {{ upstream \"u\"; {route} }}",
        upstream.target()
    ));
    let response = bench.connect().get(path);
    let seen = response.text();
    let line = seen.lines().next().unwrap_or_default();
    let line = line.trim_start_matches("GET ").trim_end_matches(" HTTP/1.1");
    assert_eq!(format!("{line} {}", fields(seen, "host").join(",")), expected);
}

#[test]
fn rewrites() {
    check_rewrite("", "/a/../b//c?x=%20", "/b/c?x=%20 example.com");
    check_rewrite("", "/a%2Fb/%41?q", "/a%2Fb/A?q example.com");
    check_rewrite("rewrite { strip-prefix \"/api\" }", "/api/x?q=1", "/x?q=1 example.com");
    check_rewrite("rewrite { strip-prefix \"/api\" }", "/api", "/ example.com");
    check_rewrite("rewrite { path \"/fixed\" }", "/api/x?q", "/fixed?q example.com");
    check_rewrite(
        "rewrite { path-regex \"^/v([0-9])\" to=\"/version/$1\" }",
        "/v2/x",
        "/version/2/x example.com",
    );
    check_rewrite("rewrite { host \"inner:81\" }", "/x", "/x inner:81");
}

#[test]
fn the_most_specific_route_wins() {
    let bench = Bench::plain(
        r#"
        route "all" { respond 200 "all" }
        route "host" { matches { host "a.test" "*.b.test" }; respond 200 "host" }
        route "prefix" { matches { path-prefix "/p" }; respond 200 "prefix" }
        route "longer" { matches { path-prefix "/p/long" }; respond 200 "longer" }
        route "exact" { matches { path "/p/long/exact" }; respond 200 "exact" }
        route "method" { matches { path-prefix "/p"; method "DELETE" }; respond 200 "method" }
        route "header" { priority 5; matches { path-prefix "/p"; header "X-A" "1" }; respond 200 "header" }
        route "query" { priority 6; matches { path-prefix "/p"; query "q" "1" }; respond 200 "query" }
        "#,
    );
    let mut client = bench.connect();
    let mut ask = |method: &str, host: &str, path: &str, fields: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        client.send(request).response().text().to_owned()
    };
    for _ in 0..2 {
        assert_eq!(ask("GET", "x", "/", ""), "all");
        assert_eq!(ask("GET", "A.test:8080", "/", ""), "host");
        assert_eq!(ask("GET", "z.y.b.test", "/", ""), "host");
        assert_eq!(ask("GET", "b.test", "/", ""), "all");
        assert_eq!(ask("GET", "x", "/px", ""), "all");
        assert_eq!(ask("GET", "x", "/p/q", ""), "prefix");
        assert_eq!(ask("GET", "x", "/p/long/x", ""), "longer");
        assert_eq!(ask("GET", "x", "/q/../p/long/%65xact", ""), "exact");
        assert_eq!(ask("DELETE", "x", "/p/q", ""), "method");
        assert_eq!(ask("GET", "x", "/p/q", "x-a: 1\r\n"), "header");
        assert_eq!(ask("GET", "x", "/p/q", "x-a: 2\r\n"), "prefix");
        assert_eq!(ask("GET", "x", "/p/q?a=b&q=1", "x-a: 1\r\n"), "query");
    }
}

#[test]
fn redirects_and_fixed_answers() {
    let bench = Bench::plain(
        r#"
        route "moved" { matches { path-prefix "/old" }; redirect "https://{host}/new{path}{query}" status=301 }
        route "teapot" {
            matches { path "/teapot" }
            respond 418 "{}" content-type="application/json"
            response-headers { set "X-Kind" "pot"; remove "Date" }
        }
        "#,
    );
    let mut client = bench.connect();
    let moved = client.get("/old/a?b=c");
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("https://example.com/new/old/a?b=c"))
    );
    let teapot = client.get("/teapot");
    assert_eq!((teapot.status, teapot.text()), (418, "{}"));
    assert_eq!(teapot.field("content-type"), Some("application/json"));
    assert_eq!((teapot.field("x-kind"), teapot.field("date")), (Some("pot"), None));
    let head = client.send("HEAD /teapot HTTP/1.1\r\nHost: h\r\n\r\n").head_response();
    assert_eq!((head.status, head.field("content-length")), (418, Some("2")));
    assert_eq!(client.get("/none").verdict(), "404 route/none");
}

#[test]
fn a_redirect_cannot_be_split() {
    let bench = Bench::plain("route \"r\" { redirect \"https://{host}{path}{query}\" }");
    let response = bench.connect().get("/%0d%0aSet-Cookie:%20a=b?x=%0d%0aY:%20z");
    assert_eq!(response.field("set-cookie"), None);
    assert_eq!(response.fields("location").len(), 1);
    assert_eq!(response.field("y"), None);
}

#[test]
fn operations_on_fields() {
    let upstream = Upstream::start(|mut peer| {
        while let Some(request) = peer.request() {
            let body = request.head;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nServer: leak\r\nX-A: 1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    let bench = Bench::plain(&format!(
        r#"upstream "u" {{ target "{}" }}
        route "r" {{
            upstream "u"
            request-headers {{ set "X-Set" "new"; add "X-Add" "two"; remove "X-Remove" "Cookie" }}
            response-headers {{ remove "Server"; set "X-A" "2"; add "X-B" "3" }}
        }}"#,
        upstream.target()
    ));
    let response = bench.connect().get_with(
        "/",
        "X-Set: old\r\nx-set: older\r\nX-Add: one\r\nX-Remove: a\r\nCookie: b=c\r\n",
    );
    let seen = response.text();
    assert_eq!((fields(seen, "x-set"), fields(seen, "x-add")), (vec!["new"], vec!["one", "two"]));
    assert!(fields(seen, "x-remove").is_empty() && fields(seen, "cookie").is_empty());
    assert_eq!((response.fields("x-a"), response.field("x-b")), (vec!["2"], Some("3")));
    assert_eq!(response.field("server"), None);
}

fn behind_proxy() -> (Upstream, Bench) {
    let upstream = Upstream::mirror();
    let bench = Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; proxy-protocol {{ from \"127.0.0.0/8\" }}; timeouts {{ handshake \"500ms\" }} }}\n{}",
        crate::harness::before(&upstream.target(), "")
    ));
    (upstream, bench)
}

#[test]
fn proxy_protocol_names_the_client() {
    let (_upstream, bench) = behind_proxy();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 0, 80]);
    let v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\r\n".to_vec();
    for header in [v1, v2] {
        let mut client = bench.connect();
        client.send([&*header, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        assert_eq!(fields(client.response().text(), "x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(fields(client.get("/").text(), "x-forwarded-for"), ["203.0.113.9"]);
        let mut client: Client = bench.connect();
        for byte in &header {
            client.stream().write_all(&[*byte]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(fields(client.get("/").text(), "x-forwarded-for"), ["203.0.113.9"]);
    }
    let mut client = bench.connect();
    client.send("PROXY UNKNOWN\r\n");
    assert_eq!(fields(client.get("/").text(), "x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn proxy_protocol_is_not_optional() {
    let (upstream, bench) = behind_proxy();
    for start in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "PROXY TCP4 1.2.3\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "",
    ] {
        let mut client = bench.connect();
        let _ = client.try_send(start);
        client.assert_closed();
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn proxy_protocol_from_a_stranger_is_no_request() {
    let upstream = Upstream::mirror();
    let bench = Bench::before(&upstream.target(), "");
    let mut client = bench.connect();
    client.send("PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.assert_closed();
    assert_eq!(upstream.connections(), 0);
}
