//! Readers that wait.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use selvedge_identity::Caller;
use selvedge_streams::Settings;

use crate::world::{World, request, service};

#[tokio::test]
async fn who_waits_gets_what_comes() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let (polled, appended) =
        tokio::join!(world.read("a?offset=now&live=long-poll"), world.append("a", &[], "x"));
    assert_eq!((appended.status.as_u16(), polled.status.as_u16()), (204, 200));
    assert_eq!((polled.body.as_str(), polled.next()), ("x", appended.next()));
}

#[tokio::test]
async fn nothing_is_204_after_a_while() {
    let world = World::new(Settings { long_poll: Duration::from_millis(5), ..Settings::default() });
    world.create("a", "text/plain").await;
    let polled = world.read("a?offset=-1&live=long-poll").await;
    assert_eq!((polled.status.as_u16(), polled.field("stream-up-to-date")), (204, "true"));
}

#[tokio::test]
async fn a_deletion_ends_waiting() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let deletion = world.send(Method::DELETE, "a", &[], "");
    let (polled, deleted) = tokio::join!(world.read("a?offset=now&live=long-poll"), deletion);
    assert_eq!((deleted.status.as_u16(), polled.status.as_u16()), (204, 404));
}

#[tokio::test]
async fn places_are_counted_and_given_back() {
    let world = World::new(Settings { followers_max: 1, ..Settings::default() });
    world.create("a", "text/plain").await;
    let follow =
        || world.begin(service("test"), request(Method::GET, "a?offset=-1&live=sse", &[], ""));
    let first = follow().await;
    assert_eq!(first.status(), 200);
    let refused = follow().await;
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    drop(first);
    assert_eq!(follow().await.status(), 200);
}

#[tokio::test]
async fn nobody_takes_all_places() {
    let world = World::new(Settings { followers_max: 4, ..Settings::default() });
    let of = |name: &str, tenant: &str| Caller {
        tenant: Some(tenant.to_owned()).filter(|tenant| !tenant.is_empty()),
        ..service(name)
    };
    for tenant in ["", "acme", "zoo"] {
        let put = request(Method::PUT, "a", &[("content-type", "text/plain")], "");
        assert_eq!(world.ask(of("maker", tenant), put).await.status, 201);
    }
    let follow =
        |caller| world.begin(caller, request(Method::GET, "a?offset=-1&live=sse", &[], ""));
    let (first, second) = (follow(of("one", "")).await, follow(of("one", "")).await);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    for live in ["sse", "long-poll"] {
        let path = format!("a?offset=now&live={live}");
        let refused = world.ask(of("one", ""), request(Method::GET, &path, &[], "")).await;
        assert_eq!((refused.status.as_u16(), refused.field("retry-after")), (429, "1"));
        assert!(refused.body.contains("streams/followers"), "{}", refused.body);
    }
    // Another caller follows, and the callers of one tenant share.
    let other = follow(of("other", "")).await;
    assert_eq!(other.status(), 200);
    drop(other);
    let (third, fourth) = (follow(of("one", "acme")).await, follow(of("two", "acme")).await);
    assert_eq!((third.status().as_u16(), fourth.status().as_u16()), (200, 200));
    assert_eq!(follow(of("one", "zoo")).await.status(), 503, "all are taken");
    drop(first);
    assert_eq!(follow(of("three", "acme")).await.status(), 429);
    assert_eq!(follow(of("one", "zoo")).await.status(), 200);
}

#[tokio::test]
async fn events_tell_a_fork_from_its_beginning() {
    let world = World::new(Settings::default());
    world.create("root", "text/plain").await;
    world.append("root", &[], "a").await;
    world.send(Method::PUT, "fork", &[("stream-forked-from", "root")], "").await;
    let told = world
        .begin(service("test"), request(Method::GET, "fork?offset=-1&live=sse", &[], ""))
        .await;
    let mut body = told.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"event: data\ndata:a\n\nevent: control\n"), "{first:?}");
    world.append("root", &[], "not the fork's").await;
    world.append("fork", &[], "b").await;
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(second.starts_with(b"event: data\ndata:b\n\n"), "{second:?}");
}

/// What the next event says: its data, and the end that it names.
async fn event(body: &mut axum::body::Body) -> String {
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(frame.to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let (control, data): (Vec<&str>, Vec<&str>) = data.partition(|line| line.starts_with('{'));
    let control: serde_json::Value = serde_json::from_str(control.concat().as_str()).unwrap();
    let at = control["streamNextOffset"].as_str().unwrap().trim_end_matches("_0000000000000000");
    let closed = if control["streamClosed"] == true { ", the end" } else { "" };
    format!("{} to {}{closed}", data.concat(), at.trim_start_matches('0'))
}

#[tokio::test]
async fn all_who_follow_are_told_the_same_wherever_they_stand() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let mut bodies = Vec::new();
    for offset in ["-1", "now"] {
        let follow = request(Method::GET, &format!("a?offset={offset}&live=sse"), &[], "");
        bodies.push(world.begin(service("test"), follow).await.into_body());
    }
    for body in &mut bodies {
        assert_eq!(event(body).await, " to ");
    }
    let one = world.append("a", &[], "one").await;
    assert_eq!(event(&mut bodies[0]).await, "one to 1");
    world.append("a", &[], "two").await;
    assert_eq!(event(&mut bodies[0]).await, "two to 2");
    // The other comes later: it is told all that it has not seen, and then what everybody is told.
    assert_eq!(event(&mut bodies[1]).await, "onetwo to 2");
    let late = format!("a?offset={}&live=sse", one.next());
    let late = world.begin(service("test"), request(Method::GET, &late, &[], "")).await;
    bodies.push(late.into_body());
    assert_eq!(event(&mut bodies[2]).await, "two to 2");
    world.append("a", &[], "three").await;
    for body in &mut bodies {
        assert_eq!(event(body).await, "three to 3");
    }
    world.append("a", &[("stream-closed", "true")], "").await;
    for body in &mut bodies {
        assert_eq!(event(body).await, " to 3, the end");
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn draining_lets_everybody_go() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let events =
        world.begin(service("test"), request(Method::GET, "a?offset=-1&live=sse", &[], "")).await;
    let drain = async { world.streams.drain() };
    let (polled, events, ()) = tokio::join!(
        world.read("a?offset=now&live=long-poll"),
        events.into_body().collect(),
        drain
    );
    assert_eq!(polled.status, 204);
    assert!(events.unwrap().to_bytes().starts_with(b"event: control\n"));
}

#[tokio::test]
async fn a_stream_that_is_followed_stays() {
    let world = World::new(Settings::default());
    let ttl = [("content-type", "text/plain"), ("stream-ttl", "0")];
    world.send(Method::PUT, "a", &ttl, "").await;
    assert_eq!(world.read("a").await.status, 404, "nobody followed it");
    world.send(Method::PUT, "b", &[("content-type", "text/plain"), ("stream-ttl", "1")], "").await;
    let events =
        world.begin(service("test"), request(Method::GET, "b?offset=-1&live=sse", &[], "")).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(world.read("b").await.status, 200, "it is followed");
    drop(events);
}
