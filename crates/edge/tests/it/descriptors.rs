//! No descriptors left: who is connected is served, who comes is refused, and it passes.

use std::fs::File;

use crate::{
    harness::{Bench, eventually},
    heavy::is_alone,
    upstream::Upstream,
};

#[test]
fn exhausted_descriptors_are_survived() {
    if !is_alone("descriptors::exhausted_descriptors_are_survived", 128) {
        return;
    }
    let upstream = Upstream::echo();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "file").unwrap();
    let bench = Bench::plain(&format!(
        r#"upstream "u" {{ target "{}"; retry {{ attempts 0 }} }}
        route "fixed" {{ matches {{ path "/fixed" }}; respond 200 "fixed" }}
        route "site" {{ matches {{ path-prefix "/site" }}; static {:?} {{ strip-prefix "/site" }} }}
        route "u" {{ matches {{ path-prefix "/u" }}; upstream "u" }}"#,
        upstream.target(),
        folder.path().to_str().unwrap()
    ));
    let mut known = bench.connect();
    assert_eq!(known.get("/fixed").text(), "fixed");
    assert_eq!(known.get("/site/file").text(), "file");
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    assert_eq!(known.get("/fixed").text(), "fixed", "who is connected is served");
    assert_eq!(known.get("/u").verdict(), "502 upstream/connect");
    held.pop();
    for _ in 0..10 {
        let mut late = bench.connect();
        let _ = late.try_send("GET /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
        late.assert_closed();
        assert_eq!(known.get("/fixed").text(), "fixed");
    }
    let refused = r#"selvedge_connections_refused_total{listener="http",reason="descriptors"}"#;
    assert_eq!(bench.metric(refused), 10);
    drop(held);
    eventually("the upstream is reached", || known.get("/u").status == 200);
    assert_eq!(known.get("/site/file").text(), "file");
    assert_eq!(bench.connect().get("/fixed").status, 200);
}
