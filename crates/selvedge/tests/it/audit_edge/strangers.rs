//! Nobody delivers but an edge itself: no client through it, and nothing beside it that has no secret.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use super::{CONFIG, Edge, entries, secret};
use crate::{
    core::token,
    http,
    process::{PATIENCE, Place, eventually},
};

const PATH: &str = "/_selvedge/audit/deliveries";

fn delivery() -> String {
    let head = "{\"v\":1,\"epoch\":5,\"first\":0,\"count\":1}";
    let event = "{\"action\":\"forged\",\"outcome\":\"done\",\"resource\":{\"id\":\"a\",\"kind\":\"b\"},\
                 \"time\":7,\"v\":1,\"who\":{\"auth\":\"none\",\"kind\":\"system\"}}";
    format!("{head}\n{event}")
}

/// Asks the core on its socket, past the edge.
fn on_socket(place: &Place, fields: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(place.path("data/run/core.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = delivery();
    let length = body.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: core\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn only_the_edge_itself_delivers() {
    let place = Place::new();
    let core = "core { data-dir \"./data\" }\naudit #false\n";
    place.write("selvedge.kdl", &format!("{CONFIG}{core}"));
    let edge = Edge::start(&place, "edge");
    let mut process = place.start("core");
    process.hear("core serving");
    let (secret, token) = (secret(&place), token(&place, "all --scope *"));
    let bearer = format!("Authorization: Bearer {token}");
    let url = format!("{}{}", edge.url, &PATH[1..]);
    let through_edge = [
        String::new(),
        format!("X-Selvedge-Courier: {secret}"),
        format!("X_Selvedge_Courier: {secret}"),
        format!("X-Selvedge-Link: {secret}"),
    ];
    for field in &through_edge {
        let fields: Vec<&str> =
            [&bearer, field].map(String::as_str).into_iter().filter(|it| !it.is_empty()).collect();
        let answer = eventually("the core answers", || {
            let answer = http::send(("POST", &url), &fields, &delivery()).unwrap();
            (answer.status != 503).then_some(answer)
        });
        assert_eq!(answer.status, 403, "{field}: {}", answer.body);
        assert!(answer.body.contains("audit/courier"), "{}", answer.body);
    }
    let wrong = "0".repeat(secret.len());
    for field in [
        String::new(),
        format!("X-Selvedge-Link: {secret}\r\n"),
        format!("X-Selvedge-Courier: {wrong}\r\n"),
        "X-Selvedge-Courier: \r\n".to_owned(),
    ] {
        let (status, answer) = on_socket(&place, &field);
        assert_eq!(status, 403, "{field}: {answer}");
    }
    assert_eq!(entries(&place, "forged"), Vec::<serde_json::Value>::new());

    // The same words with the proof: so it was the proof that was missing.
    let proof = format!("X-Selvedge-Courier: {secret}\r\n");
    let (status, answer) = on_socket(&place, &proof);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"next\":1"), "{answer}");
    assert_eq!(super::wait_entries(&place, "forged", 1).len(), 1);
}
