//! A site as a client sees it: files in a temporary folder, requests in, responses out.

use std::{
    fmt::Write as _,
    fs,
    os::unix::{
        fs::{FileExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::*;

/// 2001-09-09T01:46:40Z, the time of change of each file.
const MODIFIED: u64 = 1_000_000_000;

/// A folder with files, and what a site is told about it.
struct Fixture {
    folder: TempDir,
    settings: StaticSite,
}

impl Fixture {
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = StaticSite {
            root: folder.path().join("public"),
            index: vec!["index.html".into()],
            clean_urls: true,
            fallback: None,
            cache_control: None,
            precompressed: true,
            strip_prefix: None,
        };
        fs::create_dir(&settings.root).unwrap();
        let fixture = Self { folder, settings };
        for name in files {
            fixture.write(name, &format!("this is {name}"));
        }
        fixture
    }

    /// What most tests look at.
    fn site_with_pages() -> Self {
        Self::new(&[
            "index.html",
            "about.html",
            "a b.txt",
            "docs/index.html",
            "docs/intro.html",
            "docs.html",
            "empty/keep.txt",
            "team/keep.txt",
            "team.html",
            "app.js",
            ".env",
            ".git/config",
            "docs/.secret/x.html",
            ".well-known/security.txt",
            ".well-known/.private",
        ])
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.settings.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        set_modified(&path, UNIX_EPOCH + Duration::from_secs(MODIFIED));
    }

    fn site(&self) -> Site {
        SiteFolder::open(&self.settings).unwrap().site(Instant::now())
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn get(path: &str) -> SiteRequest<'_> {
    SiteRequest { method: "GET", path, ..SiteRequest::default() }
}

fn body(response: &SiteResponse) -> Vec<u8> {
    match &response.body {
        SiteBody::Empty => Vec::new(),
        SiteBody::Slice(slice) => content(slice),
        SiteBody::Parts(parts) => parts.iter().flat_map(content).collect(),
    }
}

fn content(slice: &Slice) -> Vec<u8> {
    match slice {
        Slice::Bytes(bytes) => bytes.to_vec(),
        Slice::File { file, offset, len } => {
            let mut bytes = vec![0; *len as usize];
            file.read_exact_at(&mut bytes, *offset).unwrap();
            bytes
        }
    }
}

fn header<'a>(response: &'a SiteResponse, name: &str) -> Option<&'a str> {
    let (_, value) = response.headers.iter().find(|(found, _)| *found == name)?;
    Some(value.to_str().unwrap())
}

/// The response as text; tags, boundaries and what all responses share are left out.
fn shown(response: &SiteResponse) -> String {
    let mut headers: Vec<_> = response.headers.iter().collect();
    headers.sort_by_key(|(name, _)| *name);
    let mut text = format!("{}\n", response.status);
    for (name, value) in headers {
        if !matches!(*name, "etag" | "x-content-type-options") {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    text.push('\n');
    text.push_str(&String::from_utf8(body(response)).unwrap());
    match header(response, "content-type").and_then(|kind| kind.split_once("boundary=")) {
        Some((_, boundary)) => text.replace(boundary, "BOUNDARY").replace('\r', ""),
        None => text,
    }
}

#[track_caller]
fn check(site: &Site, request: SiteRequest<'_>, expected: Expect) {
    let response = site.respond(&request);
    if let (Some(length), "GET") = (header(&response, "content-length"), request.method) {
        assert_eq!(length.parse(), Ok(body(&response).len()));
    }
    expected.assert_eq(&shown(&response));
}

/// Status, and where it leads or what it says: `200 this is about.html`.
fn outcome(site: &Site, path: &str) -> String {
    let response = site.respond(&get(path));
    let text = match header(&response, "location") {
        Some(location) => location.to_owned(),
        None => String::from_utf8(body(&response)).unwrap(),
    };
    format!("{} {text}", response.status).trim_end().to_owned()
}

#[track_caller]
fn check_paths(site: &Site, table: &[(&str, &str)]) {
    for (path, expected) in table {
        assert_eq!(outcome(site, path), *expected, "{path}");
        assert_eq!(outcome(site, path), *expected, "{path}, from the cache");
    }
}

#[test]
fn paths_find_files() {
    let site = Fixture::site_with_pages();
    check_paths(
        &site.site(),
        &[
            ("/", "200 this is index.html"),
            ("/index.html", "200 this is index.html"),
            ("/about", "200 this is about.html"),
            ("/about.html", "200 this is about.html"),
            ("/about/", "404"),
            ("/about.html/", "404"),
            ("/about.html/x", "404"),
            ("/a%20b.txt", "200 this is a b.txt"),
            ("/docs", "308 /docs/"),
            ("/docs/", "200 this is docs/index.html"),
            ("/docs/intro", "200 this is docs/intro.html"),
            ("/empty", "404"),
            ("/empty/", "404"),
            ("/team", "200 this is team.html"),
            ("/nothing", "404"),
            ("/nothing/at/all.html", "404"),
            ("*", "404"),
            ("index.html", "404"),
        ],
    );
}

#[test]
fn nothing_hidden_or_outside_is_found() {
    let site = Fixture::site_with_pages();
    fs::write(site.folder.path().join("secret.txt"), "secret").unwrap();
    check_paths(
        &site.site(),
        &[
            ("/../secret.txt", "404"),
            ("/..%2fsecret.txt", "404"),
            ("/..%2Fsecret.txt", "404"),
            ("/%2e%2e/secret.txt", "404"),
            ("/%2e%2e%2fsecret.txt", "404"),
            ("/docs/../../secret.txt", "404"),
            ("/docs/%2e%2e/%2e%2e/secret.txt", "404"),
            ("/docs/..\\..\\secret.txt", "404"),
            ("/%252e%252e/secret.txt", "404"),
            ("//secret.txt", "404"),
            ("//etc/passwd", "404"),
            ("/docs%2findex.html", "404"),
            ("/docs//index.html", "404"),
            ("/index.html%00", "404"),
            ("/index.html%00.txt", "404"),
            ("/%", "404"),
            ("/.env", "404"),
            ("/%2eenv", "404"),
            ("/.git/config", "404"),
            ("/docs/.secret/x", "404"),
            ("/docs/.secret/x.html", "404"),
            ("/.well-known/security.txt", "200 this is .well-known/security.txt"),
            ("/.well-known/.private", "404"),
        ],
    );
}

#[test]
fn symlinks_may_not_leave() {
    let site = Fixture::site_with_pages();
    let root = &site.settings.root;
    fs::write(site.folder.path().join("secret.txt"), "secret").unwrap();
    symlink("../secret.txt", root.join("relative.txt")).unwrap();
    symlink(site.folder.path().join("secret.txt"), root.join("absolute.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
    symlink("circle.txt", root.join("circle.txt")).unwrap();
    symlink("nothing.txt", root.join("dangling.txt")).unwrap();
    symlink("docs/../about.html", root.join("inside.html")).unwrap();
    symlink("docs", root.join("manual")).unwrap();
    check_paths(
        &site.site(),
        &[
            ("/relative.txt", "404"),
            ("/absolute.txt", "404"),
            ("/up/secret.txt", "404"),
            ("/up/public/index.html", "404"),
            ("/magic", "404"),
            ("/circle.txt", "404"),
            ("/dangling.txt", "404"),
            ("/inside", "200 this is about.html"),
            ("/manual/intro", "200 this is docs/intro.html"),
        ],
    );
}

#[test]
fn only_regular_files_are_served_and_none_hangs() {
    let site = Fixture::new(&[]);
    let root = &site.settings.root;
    let fifo = root.join("fifo.html");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    fs::create_dir(root.join("index.html")).unwrap();
    check_paths(
        &site.site(),
        &[("/fifo", "404"), ("/fifo.html", "404"), ("/socket", "404"), ("/", "404")],
    );
}

#[test]
fn a_redirect_keeps_the_query_and_the_origin() {
    let fixture = Fixture::new(&["docs/index.html", "\\evil.example/index.html", "a b/index.html"]);
    let site = fixture.site();
    check(
        &site,
        SiteRequest { query: Some("v=2&x=%20"), ..get("/docs") },
        expect![[r#"
            308
            content-length: 0
            location: /docs/?v=2&x=%20

        "#]],
    );
    check_paths(
        &site,
        &[
            ("/\\evil.example", "308 /%5Cevil.example/"),
            ("/%5Cevil.example", "308 /%5Cevil.example/"),
            ("/a%20b", "308 /a%20b/"),
            ("//docs", "404"),
        ],
    );
}

#[test]
fn settings_change_what_is_found() {
    let mut site = Fixture::site_with_pages();
    site.settings.clean_urls = false;
    site.settings.index = vec!["none.html".into(), "intro.html".into(), "index.html".into()];
    check_paths(
        &site.site(),
        &[
            ("/about", "404"),
            ("/", "200 this is index.html"),
            ("/docs/", "200 this is docs/intro.html"),
        ],
    );
}

#[test]
fn a_prefix_is_cut_off_at_a_segment() {
    let mut site = Fixture::site_with_pages();
    site.settings.strip_prefix = Some("/site/".into());
    check_paths(
        &site.site(),
        &[
            ("/site", "308 /site/"),
            ("/site/", "200 this is index.html"),
            ("/site/docs", "308 /site/docs/"),
            ("/site/about", "200 this is about.html"),
            ("/sitemap", "404"),
            ("/site/site/about", "404"),
            ("/site//etc/passwd", "404"),
        ],
    );
}

#[test]
fn a_fallback_answers_for_pages_alone() {
    let mut site = Fixture::new(&["index.html", "app.html", "assets/app.js", ".shell.html"]);
    site.settings.fallback = Some("app.html".into());
    check_paths(
        &site.site(),
        &[
            ("/", "200 this is index.html"),
            ("/users/7", "200 this is app.html"),
            ("/users/", "200 this is app.html"),
            ("/assets/", "200 this is app.html"),
            ("/assets/gone.js", "404"),
            ("/.git/config", "404"),
            ("/..%2f", "404"),
        ],
    );
    site.settings.fallback = Some("/.shell.html".into());
    check_paths(&site.site(), &[("/users/7", "200 this is .shell.html"), ("/.shell.html", "404")]);
}

#[test]
fn a_whole_file() {
    let mut fixture = Fixture::site_with_pages();
    fixture.settings.cache_control = Some("public, max-age=60".into());
    let site = fixture.site();
    let expected = expect![[r#"
        200
        accept-ranges: bytes
        cache-control: public, max-age=60
        content-length: 14
        content-type: text/javascript; charset=utf-8
        last-modified: Sun, 09 Sep 2001 01:46:40 GMT

        this is app.js"#]];
    check(&site, get("/app.js"), expected);
    check(
        &site,
        SiteRequest { method: "HEAD", ..get("/app.js") },
        expect![[r#"
            200
            accept-ranges: bytes
            cache-control: public, max-age=60
            content-length: 14
            content-type: text/javascript; charset=utf-8
            last-modified: Sun, 09 Sep 2001 01:46:40 GMT

        "#]],
    );
    let response = site.respond(&get("/app.js"));
    assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
    assert!(header(&response, "etag").unwrap().starts_with('"'));
    assert_eq!(response.problem(), None);
}

#[test]
fn other_methods_are_refused() {
    let fixture = Fixture::site_with_pages();
    let site = fixture.site();
    for method in ["POST", "PUT", "DELETE", "get", "TRACE", "CONNECT"] {
        let response = site.respond(&SiteRequest { method, ..get("/") });
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(header(&response, "allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(response.problem(), Some(Problem::METHOD));
    }
    let response = site.respond(&SiteRequest { method: "OPTIONS", ..get("*") });
    assert_eq!(response.status, 204);
    assert_eq!(header(&response, "allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn conditions_hold_before_ranges() {
    let fixture = Fixture::site_with_pages();
    let site = fixture.site();
    let etag = header(&site.respond(&get("/app.js")), "etag").unwrap().to_owned();
    let etag = Some(etag.as_bytes());
    let not_modified =
        SiteRequest { if_none_match: etag, range: Some(b"bytes=0-1"), ..get("/app.js") };
    let response = site.respond(&not_modified);
    assert_eq!(response.status, 304);
    assert_eq!(header(&response, "etag").map(str::as_bytes), etag);
    assert_eq!(header(&response, "content-length"), None);
    let failed = SiteRequest { if_match: Some(b"\"other\""), ..not_modified };
    assert_eq!(site.respond(&failed).status, 412);
    let ranged = SiteRequest { if_none_match: Some(b"\"other\""), if_match: etag, ..not_modified };
    assert_eq!(site.respond(&ranged).status, 206);
    let unmodified = Some(&b"Sun, 09 Sep 2001 01:46:40 GMT"[..]);
    let since = SiteRequest { if_modified_since: unmodified, ..get("/app.js") };
    assert_eq!(site.respond(&since).status, 304);
    let absent = SiteRequest { if_none_match: Some(b"*"), ..get("/nothing") };
    assert_eq!(site.respond(&absent).status, 404);
}

#[test]
fn ranges_of_a_file() {
    let fixture = Fixture::site_with_pages();
    let site = fixture.site();
    check(
        &site,
        SiteRequest { range: Some(b"bytes=8-10"), ..get("/app.js") },
        expect![[r#"
            206
            accept-ranges: bytes
            content-length: 3
            content-range: bytes 8-10/14
            content-type: text/javascript; charset=utf-8
            last-modified: Sun, 09 Sep 2001 01:46:40 GMT

            app"#]],
    );
    check(
        &site,
        SiteRequest { range: Some(b"bytes=14-"), ..get("/app.js") },
        expect![[r#"
            416
            content-range: bytes */14

        "#]],
    );
    let several = SiteRequest { range: Some(b"bytes=0-3, -2"), ..get("/app.js") };
    let response = site.respond(&several);
    assert_eq!(header(&response, "content-length"), Some(&*body(&response).len().to_string()));
    let expected = expect![[r#"
        206
        accept-ranges: bytes
        content-length: 278
        content-type: multipart/byteranges; boundary=BOUNDARY
        last-modified: Sun, 09 Sep 2001 01:46:40 GMT


        --BOUNDARY
        Content-Type: text/javascript; charset=utf-8
        Content-Range: bytes 0-3/14

        this
        --BOUNDARY
        Content-Type: text/javascript; charset=utf-8
        Content-Range: bytes 12-13/14

        js
        --BOUNDARY--
    "#]];
    let text = shown(&response);
    expected.assert_eq(&text);
    let head = SiteRequest { method: "HEAD", ..several };
    assert_eq!(site.respond(&head).status, 200);
}

#[test]
fn a_part_is_of_the_version_the_client_has() {
    let fixture = Fixture::site_with_pages();
    fixture.write("fresh.js", "changed a moment ago");
    set_modified(&fixture.settings.root.join("fresh.js"), SystemTime::now());
    let site = fixture.site();
    let whole = site.respond(&get("/app.js"));
    let etag = header(&whole, "etag").unwrap();
    let fresh = site.respond(&get("/fresh.js"));
    let fresh_date = header(&fresh, "last-modified").unwrap();
    for (path, if_range, status) in [
        ("/app.js", etag, 206),
        ("/app.js", "\"other\"", 200),
        ("/app.js", &format!("W/{etag}"), 200),
        ("/app.js", "Sun, 09 Sep 2001 01:46:40 GMT", 206),
        ("/app.js", "Sun, 09 Sep 2001 01:46:41 GMT", 200),
        ("/app.js", "nonsense", 200),
        ("/fresh.js", fresh_date, 200),
    ] {
        let if_range = Some(if_range.as_bytes());
        let request = SiteRequest { if_range, range: Some(b"bytes=0-1"), ..get(path) };
        assert_eq!(site.respond(&request).status, status, "{path} {if_range:?}");
    }
}

#[test]
fn a_large_file_is_sent_from_its_descriptor() {
    let fixture = Fixture::new(&[]);
    let large: String = (0..20_000).map(|line| format!("{line:07}\n")).collect();
    fixture.write("large.txt", &large);
    let site = fixture.site();
    let response = site.respond(&get("/large.txt"));
    assert!(matches!(&response.body, SiteBody::Slice(Slice::File { .. })));
    assert_eq!(body(&response), large.as_bytes());
    let request = SiteRequest { range: Some(b"bytes=80000-80006,-8"), ..get("/large.txt") };
    let text = String::from_utf8(body(&site.respond(&request))).unwrap();
    assert!(text.contains("bytes 80000-80006/160000\r\n\r\n0010000\r\n--"), "{text}");
    assert!(text.contains("bytes 159992-159999/160000\r\n\r\n0019999\n\r\n--"), "{text}");
}

#[test]
fn codings_beside_a_file_are_negotiated() {
    let fixture = Fixture::new(&["app.js", "app.js.br", "app.js.gz", "plain.js", "index.html"]);
    fixture.write("index.html.zst", "this is index.html.zst");
    let site = fixture.site();
    let encoded = |path, list: &'static str| SiteRequest {
        accept_encoding: Some(list.as_bytes()),
        ..get(path)
    };
    for (path, list, expected) in [
        ("/app.js", "gzip, deflate, br, zstd", "this is app.js.br"),
        ("/app.js", "gzip;q=1, br;q=0.5", "this is app.js.gz"),
        ("/app.js", "zstd", "this is app.js"),
        ("/app.js", "br;q=0, identity", "this is app.js"),
        ("/app.js", "identity, br;q=0.5", "this is app.js"),
        ("/app.js", "identity;q=0.5, br;q=0.5", "this is app.js.br"),
        ("/app.js", "", "this is app.js"),
        ("/app.js.gz", "br", "this is app.js.gz"),
        ("/", "zstd", "this is index.html.zst"),
        ("/plain.js", "br", "this is plain.js"),
    ] {
        let response = site.respond(&encoded(path, list));
        assert_eq!(String::from_utf8(body(&response)).unwrap(), expected, "{path} {list}");
    }
    check(
        &site,
        SiteRequest { range: Some(b"bytes=-2"), ..encoded("/app.js", "br") },
        expect![[r#"
            206
            accept-ranges: bytes
            content-encoding: br
            content-length: 2
            content-range: bytes 15-16/17
            content-type: text/javascript; charset=utf-8
            last-modified: Sun, 09 Sep 2001 01:46:40 GMT
            vary: accept-encoding

            br"#]],
    );
    let tags = ["br", "gzip", ""].map(|list| {
        let response = site.respond(&encoded("/app.js", list));
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        header(&response, "etag").unwrap().to_owned()
    });
    assert!(tags[0].ends_with("-br\"") && tags[1].ends_with("-gzip\""), "{tags:?}");
    assert!(!tags[2].contains("br") && tags[2] != tags[0]);
    let known = SiteRequest { if_none_match: Some(tags[0].as_bytes()), ..encoded("/app.js", "br") };
    check(
        &site,
        known,
        expect![[r#"
            304
            vary: accept-encoding

        "#]],
    );
    assert_eq!(site.respond(&SiteRequest { accept_encoding: None, ..known }).status, 200);
    assert_eq!(header(&site.respond(&encoded("/plain.js", "br")), "vary"), None);
}

#[test]
fn codings_can_be_switched_off() {
    let mut fixture = Fixture::new(&["app.js", "app.js.br"]);
    fixture.settings.precompressed = false;
    let request = SiteRequest { accept_encoding: Some(b"br"), ..get("/app.js") };
    let response = fixture.site().respond(&request);
    assert_eq!(body(&response), b"this is app.js");
    assert_eq!(header(&response, "vary"), None);
}

#[test]
fn a_change_shows_within_a_second() {
    let fixture = Fixture::new(&["index.html"]);
    let site = fixture.site();
    let start = Instant::now();
    let seen = |now| {
        let response = site.respond_at(&get("/"), now);
        String::from_utf8(body(&response)).unwrap()
    };
    assert_eq!(seen(start), "this is index.html");
    fixture.write("index.html", "changed");
    assert_eq!(seen(start + Duration::from_millis(999)), "this is index.html");
    assert_eq!(seen(start + Duration::from_secs(1)), "changed");
    fs::remove_file(fixture.settings.root.join("index.html")).unwrap();
    assert_eq!(site.respond_at(&get("/"), start + Duration::from_secs(2)).status, 404);
}

#[test]
fn a_deployment_may_swap_the_folder() {
    let mut fixture = Fixture::new(&["index.html"]);
    let (old, new) = (fixture.settings.root.clone(), fixture.folder.path().join("new"));
    let link = fixture.folder.path().join("current");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("index.html"), "new").unwrap();
    symlink(&old, &link).unwrap();
    fixture.settings.root = link.clone();
    let site = fixture.site();
    let seen = |now| body(&site.respond_at(&get("/"), now));
    let start = Instant::now();
    assert_eq!(seen(start), b"this is index.html");
    fs::remove_file(&link).unwrap();
    assert_eq!(seen(start + Duration::from_secs(2)), b"this is index.html");
    symlink(&new, &link).unwrap();
    assert_eq!(seen(start + Duration::from_secs(4)), b"new");
}

#[test]
fn times_that_http_cannot_say_are_clamped() {
    let fixture = Fixture::new(&["old.txt", "future.txt"]);
    let root = &fixture.settings.root;
    set_modified(&root.join("old.txt"), UNIX_EPOCH - Duration::from_secs(86_400));
    set_modified(&root.join("future.txt"), SystemTime::now() + Duration::from_secs(86_400));
    let site = fixture.site();
    let old = site.respond(&get("/old.txt"));
    assert_eq!(header(&old, "last-modified"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    let future = site.respond(&get("/future.txt"));
    let date = httpdate::parse_http_date(header(&future, "last-modified").unwrap()).unwrap();
    assert!(date <= SystemTime::now());
}

#[test]
fn faults_have_a_status_and_a_cause() {
    for (errno, status, problem) in [
        (libc::EACCES, 403, Problem::FORBIDDEN_FILE),
        (libc::EMFILE, 503, Problem::FILES),
        (libc::EIO, 500, Problem::INTERNAL),
    ] {
        let response = SiteResponse::failed(io::Error::from_raw_os_error(errno));
        assert_eq!(response.status, status);
        assert_eq!(response.problem(), Some(problem));
        assert_eq!(response.fault.unwrap().raw_os_error(), Some(errno));
    }
}

#[test]
fn an_unreadable_file_is_forbidden() {
    let fixture = Fixture::new(&["private.txt"]);
    let path = fixture.settings.root.join("private.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let expected = match File::open(&path) {
        Ok(_) => 200, // the superuser reads everything
        Err(_) => 403,
    };
    assert_eq!(fixture.site().respond(&get("/private.txt")).status, expected);
}

#[track_caller]
fn check_error(settings: &StaticSite, folder: &Path, expected: Expect) {
    let error = SiteFolder::open(settings).err().unwrap();
    expected.assert_eq(&error.to_string().replace(folder.to_str().unwrap(), "FOLDER"));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fixture = Fixture::new(&["index.html", "docs/index.html"]);
    let folder = fixture.folder.path();
    let settings = &fixture.settings;
    let root = folder.join("nowhere");
    check_error(
        &StaticSite { root, ..settings.clone() },
        folder,
        expect![
            "cannot open the folder FOLDER/nowhere of a static site: No such file or directory (os error 2)"
        ],
    );
    let root = folder.join("public/index.html");
    check_error(
        &StaticSite { root, ..settings.clone() },
        folder,
        expect![
            "cannot open the folder FOLDER/public/index.html of a static site: Not a directory (os error 20)"
        ],
    );
    for (fallback, expected) in [
        (
            "app.html",
            expect![[
                r#"the fallback "app.html" is not a file in FOLDER/public: create it, or correct `fallback`"#
            ]],
        ),
        (
            "docs",
            expect![[
                r#"the fallback "docs" is not a file in FOLDER/public: create it, or correct `fallback`"#
            ]],
        ),
        (
            "../public/index.html",
            expect![[
                r#"the fallback "../public/index.html" is not a file in FOLDER/public: create it, or correct `fallback`"#
            ]],
        ),
    ] {
        let fallback = Some(fallback.to_owned());
        check_error(&StaticSite { fallback, ..settings.clone() }, folder, expected);
    }
    let cache_control = Some("no\ncache".to_owned());
    check_error(
        &StaticSite { cache_control, ..settings.clone() },
        folder,
        expect![[r#"cache-control "no\ncache" is no field value: use visible ASCII only"#]],
    );
}
