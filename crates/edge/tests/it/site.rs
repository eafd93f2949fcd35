//! Static sites over a socket.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use crate::harness::Bench;

/// A folder with `public` in it, and a secret beside it.
fn site(settings: &str) -> (TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("public");
    fs::create_dir_all(public.join("docs")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(public.join("index.html"), "<p>home</p>").unwrap();
    fs::write(public.join("docs/index.html"), "<p>docs</p>").unwrap();
    fs::write(public.join("digits"), "0123456789").unwrap();
    fs::write(public.join("app.js"), "plain").unwrap();
    fs::write(public.join("app.js.gz"), "packed").unwrap();
    fs::write(public.join("large"), "x".repeat(300_000)).unwrap();
    symlink(folder.path().join("secret"), public.join("link")).unwrap();
    let bench = Bench::plain(&format!(
        "route \"s\" {{ static {:?} {{ {settings} }} }}",
        public.to_str().unwrap()
    ));
    (folder, bench)
}

#[test]
fn files_and_folders() {
    let (_folder, bench) = site("cache-control \"max-age=5\"");
    let mut client = bench.connect();
    let home = client.get("/");
    assert_eq!((home.status, home.text()), (200, "<p>home</p>"));
    assert_eq!(home.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(home.field("cache-control"), Some("max-age=5"));
    let docs = client.get("/docs?x");
    assert_eq!((docs.status, docs.field("location")), (308, Some("/docs/?x")));
    assert_eq!(client.get("/docs/").text(), "<p>docs</p>");
    assert_eq!(client.get("/none").verdict(), "404 static/none");
    let head = client.send("HEAD /digits HTTP/1.1\r\nHost: h\r\n\r\n").head_response();
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    assert_eq!(client.get("/large").body.len(), 300_000);
    let post =
        client.send("POST /digits HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").response();
    assert_eq!((post.verdict(), post.field("allow").is_some()), ("405 static/method".into(), true));
}

#[test]
fn conditions_and_ranges() {
    let (_folder, bench) = site("");
    let mut client = bench.connect();
    let whole = client.get("/digits");
    let etag = whole.field("etag").unwrap().to_owned();
    let modified = whole.field("last-modified").unwrap().to_owned();
    assert_eq!(client.get_with("/digits", &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(
        client.get_with("/digits", &format!("If-Modified-Since: {modified}\r\n")).status,
        304
    );
    assert_eq!(client.get_with("/digits", "If-None-Match: \"other\"\r\n").status, 200);
    let lines = format!("If-None-Match: \"other\"\r\nIf-None-Match: {etag}\r\n");
    assert_eq!(client.get_with("/digits", &lines).status, 304);
    let lines = format!("If-Match: \"other\"\r\nIf-Match: {etag}\r\n");
    assert_eq!(client.get_with("/digits", &lines).status, 200);
    assert_eq!(client.get_with("/digits", "If-Match: \"other\"\r\n").status, 412);
    let part = client.get_with("/digits", "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(client.get_with("/digits", "Range: bytes=-3\r\n").text(), "789");
    assert_eq!(
        client.get_with("/digits", "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n").status,
        200
    );
    let beyond = client.get_with("/digits", "Range: bytes=50-\r\n");
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
    let parts = client.get_with("/digits", "Range: bytes=0-0,9-9\r\n");
    assert_eq!(parts.status, 206);
    assert!(parts.field("content-type").unwrap().starts_with("multipart/byteranges"));
    assert_eq!(client.get("/digits").text(), "0123456789", "the connection is still in step");
}

#[test]
fn what_was_packed_before() {
    let (_folder, bench) = site("");
    let mut client = bench.connect();
    let packed = client.get_with("/app.js", "Accept-Encoding: br, gzip\r\n");
    assert_eq!((packed.text(), packed.field("content-encoding")), ("packed", Some("gzip")));
    assert!(packed.field("vary").unwrap().eq_ignore_ascii_case("accept-encoding"));
    let lines = "Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(client.get_with("/app.js", lines).text(), "packed");
    let plain = client.get_with("/app.js", "Accept-Encoding: br\r\n");
    assert_eq!((plain.text(), plain.field("content-encoding")), ("plain", None));
    assert_eq!(packed.field("content-type"), plain.field("content-type"));
    assert_ne!(packed.field("etag"), plain.field("etag"));
}

#[test]
fn nothing_outside_is_served() {
    let (_folder, bench) = site("fallback \"index.html\"");
    for path in [
        "/../secret",
        "/docs/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/docs/..%2f..%2fsecret",
        "/..%5csecret",
        "/link",
        "/link/",
        "//../secret",
        "/./../secret",
    ] {
        let response = bench.connect().get(path);
        assert!(!response.text().contains("secret"), "{path}: {}", response.head);
        assert_ne!(response.status, 500, "{path}");
    }
    assert_eq!(bench.connect().get("/app/page").text(), "<p>home</p>", "the fallback answers");
}

#[test]
fn a_file_that_shrinks_is_cut_off() {
    let (folder, bench) = site("");
    let path = folder.path().join("public/huge");
    let file = fs::File::create(&path).unwrap();
    file.set_len(200 << 20).unwrap();
    let mut client = bench.connect();
    client.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.read_head().unwrap();
    assert_eq!(head.field("content-length"), Some("209715200"));
    file.set_len(1000).unwrap();
    let rest = client.rest();
    assert!(rest.len() < 200 << 20, "{} bytes came", rest.len());
    assert_eq!(bench.connect().get("/").status, 200);
}
