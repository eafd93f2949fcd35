//! Either process is killed at any moment: what was kept comes into the log, and once.

use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use super::{CONFIG, CORE, Edge, assert_in_order, block, entries, hosts, wait_entries};
use crate::{
    core::role,
    http::get,
    process::{Place, eventually, is_alive, send},
};

/// Each host from 0 on is in the log once, and no other is.
#[track_caller]
fn assert_once(place: &Place, count: usize) {
    let found = hosts(&wait_entries(place, "request.block", count));
    let wrong: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!((found.len(), wrong), (count, vec![]));
    assert_in_order(place);
}

fn is_healthy(edge: &Edge) -> bool {
    get(&format!("{}_selvedge/health", edge.url)).status == 200
}

#[test]
fn while_the_core_is_away_events_are_kept_over_kills_of_the_edge() {
    let place = Place::new();
    place.write("selvedge.kdl", &format!("{CONFIG}{CORE}"));
    let mut number = 0;
    for life in 0..3 {
        let mut edge = Edge::start(&place, "edge");
        for _ in 0..20 {
            edge.block(&format!("n{number}"));
            number += 1;
        }
        // The start is an event as well; counts begin anew with each process.
        edge.wait_kept(21);
        let waiting = edge.metric("selvedge_audit_spool_events").unwrap();
        assert_eq!(waiting, 21 * (life + 1));
        edge.process.hear("the core does not take what the edge has to tell");
        assert_eq!(edge.metric("selvedge_audit_core_up"), Some(0));
        edge.process.signal(Signal::KILL);
        eventually("the edge has gone", || (!is_alive(edge.process.id())).then_some(()));
    }
    let edge = Edge::start(&place, "edge");
    let mut core = place.start("core");
    core.hear("core serving");
    assert_once(&place, number);
    eventually("nothing waits", || {
        (edge.metric("selvedge_audit_spool_events")? == 0).then_some(())
    });
    assert_eq!(entries(&place, "edge.start").len(), 4);
    assert_eq!(edge.metric("selvedge_audit_core_up"), Some(1));
}

#[test]
fn a_core_that_is_killed_over_and_over_logs_each_event_once() {
    let place = Place::new();
    place.write("selvedge.kdl", &format!("{CONFIG}{CORE}"));
    let edge = Edge::start(&place, "up");
    eventually("the core is there", || is_healthy(&edge).then_some(()));
    const EVENTS: usize = 300;
    let url = edge.url.clone();
    thread::scope(|scope| {
        scope.spawn(|| (0..EVENTS).for_each(|number| block(&url, &format!("n{number}"))));
        for _ in 0..4 {
            let core = eventually("a core runs", || role(&edge.process, "core"));
            eventually("it takes something", || (is_healthy(&edge)).then_some(()));
            send(core, Signal::KILL);
            eventually("it has gone", || (!is_alive(core)).then_some(()));
        }
    });
    assert_once(&place, EVENTS);
}

#[test]
fn where_there_is_no_room_the_count_is_told() {
    let place = Place::new();
    let audit = "audit { spool \"1MiB\"; dir \"kept\" }\n";
    place.write("selvedge.kdl", &format!("{CONFIG}{CORE}{audit}"));
    let mut edge = Edge::start(&place, "edge");
    let long = "x".repeat(200);
    let mut number = 0_u64;
    while edge.metric("selvedge_audit_spool_full") != Some(1) {
        for _ in 0..50 {
            edge.block(&format!("n{number}.{long}"));
            number += 1;
        }
        assert!(number < 5_000, "a spool has an end");
    }
    edge.process.hear("there is no room");
    for _ in 0..10 {
        edge.block(&format!("n{number}"));
        number += 1;
    }
    eventually("all are counted", || {
        let kept = edge.metric("selvedge_audit_events_total")?;
        let dropped = edge.metric("selvedge_audit_dropped_total{why=\"spool-full\"}")?;
        (kept + dropped == number + 1).then_some(())
    });
    let dropped = edge.metric("selvedge_audit_dropped_total{why=\"spool-full\"}").unwrap();
    assert!(dropped >= 10);
    let mut core = place.start("core");
    core.hear("core serving");
    let [loss] = &wait_entries(&place, "audit.drop", 1)[..] else { panic!("one gap") };
    assert_eq!(loss["details"]["events"], Value::from(dropped));
    assert_eq!(loss["reason"], "spool-full");
    assert_once(&place, (number - dropped) as usize);
}

#[test]
fn a_core_that_begins_a_new_log_is_told_in_a_new_epoch() {
    let place = Place::new();
    place.write("selvedge.kdl", &format!("{CONFIG}{CORE}"));
    let mut edge = Edge::start(&place, "edge");
    let mut core = place.start("core");
    core.hear("core serving");
    edge.block("before");
    wait_entries(&place, "request.block", 1);
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
    for lost in ["log", "audit", "audit-keys"] {
        std::fs::remove_dir_all(place.path("data").join(lost)).unwrap();
    }
    edge.block("after");
    let mut core = place.start("core");
    core.hear("core serving");
    edge.process.hear("do not fit together");
    assert_once(&place, 1);
    let epoch = &wait_entries(&place, "audit.epoch", 1)[0];
    assert_eq!(epoch["reason"], "core-behind");
    let blocked = &entries(&place, "request.block")[0];
    assert_eq!(blocked["details"]["host"], "after");
    assert_eq!(blocked["delivery"]["sequence"], 0);
}
