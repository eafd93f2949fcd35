//! Event streams behind the edge: what was acknowledged stays, however the core ends.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use rustix::process::Signal;

use crate::{
    core::{CORE, health, role, token, up},
    http::{Answer, get_with, send},
    process::{Place, eventually, is_alive, send as signal},
};

const TYPE: &str = "Content-Type: text/plain";

fn bearer(place: &Place) -> String {
    format!("Authorization: Bearer {}", token(place, "app --scope streams:*"))
}

fn stream(url: &str) -> String {
    format!("{url}_selvedge/streams/orders/2026")
}

#[track_caller]
fn done(answer: std::io::Result<Answer>, expected: u16) -> Answer {
    let answer = answer.unwrap();
    assert_eq!(answer.status, expected, "{}{}", answer.head, answer.body);
    answer
}

#[test]
fn events_are_appended_read_and_followed_through_the_edge() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let (stream, bearer) = (stream(&url), bearer(&place));
    let created = done(send(("PUT", &stream), &[&bearer, TYPE], ""), 201);
    assert!(created.head.contains(&format!("location: {stream}\r\n")), "{}", created.head);
    done(send(("POST", &stream), &[&bearer, TYPE], "one"), 204);
    assert_eq!(done(send(("POST", &stream), &[TYPE], "two"), 401).body.matches("core/").count(), 2);

    let follow = format!("{stream}?offset=-1&live=sse");
    let events = thread::scope(|scope| {
        let events = scope.spawn(|| get_with(&follow, &[&bearer]));
        let closed = [&*bearer, TYPE, "Stream-Closed: true"];
        done(send(("POST", &stream), &closed, "two"), 204);
        events.join().unwrap()
    });
    assert!(events.head.contains("text/event-stream"), "{}", events.head);
    assert!(events.body.contains("data:one"), "{}", events.body);
    assert!(events.body.contains("\"streamClosed\":true"), "{}", events.body);

    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn what_was_acknowledged_survives_a_core_that_is_killed() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let (stream, bearer) = (stream(&url), bearer(&place));
    done(send(("PUT", &stream), &[&bearer, TYPE], ""), 201);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for writer in 0..4 {
            let (stream, bearer, stop, acknowledged) = (&stream, &bearer, &stop, &acknowledged);
            scope.spawn(move || {
                for event in (0..).take_while(|_| !stop.load(SeqCst)) {
                    let event = format!("{writer}-{event}\n");
                    let answer = send(("POST", stream), &[bearer, TYPE], &event);
                    if answer.is_ok_and(|answer| answer.status == 204) {
                        acknowledged.lock().unwrap().insert(event);
                    }
                }
            });
        }
        for killed in 1..=5 {
            let enough = killed * 20;
            eventually("events come in", || {
                (acknowledged.lock().unwrap().len() > enough).then_some(())
            });
            let core = eventually("the core runs", || role(&up, "core"));
            signal(core, Signal::KILL);
            eventually("the core is gone", || (!is_alive(core)).then_some(()));
            eventually("the core is back", || (health(&url).status == 200).then_some(()));
        }
        stop.store(true, SeqCst);
    });
    let kept = done(send(("GET", &stream), &[&bearer], ""), 200).body;
    let kept: Vec<String> = kept.split_inclusive('\n').map(str::to_owned).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|event| !kept.contains(event)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), kept.len(), "nothing is there twice");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}
