//! The core's end: what is under way ends first, and what was done is written down.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use rustix::process::Signal;

use crate::{
    core::{CORE, role, token, up},
    http::{get_with, send},
    process::{PATIENCE, Place, Running, eventually},
};

/// A request that has begun, on a connection past the edge, and the answer that it gets once it is whole.
struct Begun(UnixStream);

impl Begun {
    /// An append of three bytes that are still to come, to a stream that is there; in flight when this returns.
    fn new(place: &Place, url: &str) -> Self {
        let bearer = token(place, "app --scope streams:* --scope metrics:read");
        let bearer = format!("Authorization: Bearer {bearer}");
        let stream = format!("{url}_selvedge/streams/orders");
        let created = send(("PUT", &stream), &[&bearer, "Content-Type: text/plain"], "").unwrap();
        assert_eq!(created.status, 201, "{created:?}");
        let mut socket = UnixStream::connect(place.path("data/run/core.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            socket,
            "POST /_selvedge/streams/orders HTTP/1.1\r\nHost: core\r\n{bearer}\r\n\
             Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
        )
        .unwrap();
        let metrics = format!("{url}_selvedge/metrics");
        eventually("the append is in flight", || {
            let page = get_with(&metrics, &[&bearer]).body;
            page.contains("selvedge_core_requests_in_flight 2\n").then_some(())
        });
        Self(socket)
    }

    fn finish(mut self) -> String {
        self.0.write_all(b"one").unwrap();
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn wait_for_edge_to_end(up: &Running) {
    eventually("the edge has ended", || role(up, "edge").is_none().then_some(()));
}

#[test]
fn an_edge_that_ends_first_cuts_nothing_of_the_core() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let begun = Begun::new(&place, &url);
    up.signal(Signal::INT);
    up.hear("core draining");
    wait_for_edge_to_end(&up);
    let answer = begun.finish();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(up.end(), 0);
    assert!(place.run("token list").contains("used today"), "{}", place.run("token list"));
    assert!(up.rest().contains("core stopped"), "{}", up.rest());
}

#[test]
fn a_second_order_to_stop_cuts_requests_and_keeps_what_was_done() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let _begun = Begun::new(&place, &url);
    up.signal(Signal::INT);
    up.hear("core draining");
    wait_for_edge_to_end(&up);
    up.signal(Signal::INT);
    up.hear("told twice to stop");
    assert_eq!(up.end(), 0);
    assert!(place.run("token list").contains("used today"), "{}", place.run("token list"));
}
