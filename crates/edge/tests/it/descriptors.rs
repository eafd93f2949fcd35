//! No descriptors left: who is connected is served, who comes waits, and nothing is lost.

use std::{fs::File, time::Duration};

use crate::{
    harness::{Bench, PATIENCE, eventually},
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
    let mut late = bench.connect();
    late.send("GET /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
    late.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(late.try_response(false).is_err(), "there was no descriptor to accept it with");
    assert_eq!(known.get("/fixed").text(), "fixed");
    drop(held);
    late.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(late.response().text(), "fixed", "who waited is served");
    eventually("the upstream is reached", || known.get("/u").status == 200);
    assert_eq!(known.get("/site/file").text(), "file");
    assert_eq!(bench.connect().get("/fixed").status, 200);
}
