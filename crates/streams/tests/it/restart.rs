//! What a service knows after it was started again.

use http::Method;
use selvedge_streams::Settings;

use crate::world::World;

#[tokio::test]
async fn records_offsets_and_configuration_stay() {
    let world = World::new(Settings::default());
    let fields = [("content-type", "text/plain"), ("stream-ttl", "3600")];
    world.send(Method::PUT, "notes/today", &fields, "one").await;
    let tail = world.append("notes/today", &[], "two").await.next().to_owned();
    let world = world.restart();
    let read = world.read("notes/today").await;
    assert_eq!((read.body.as_str(), read.next()), ("onetwo", tail.as_str()));
    let head = world.send(Method::HEAD, "notes/today", &[], "").await;
    assert_eq!((head.field("content-type"), head.field("stream-ttl")), ("text/plain", "3600"));
    assert_eq!(world.send(Method::PUT, "notes/today", &fields, "").await.status, 200);
    assert_eq!(world.create("notes/today", "text/css").await.status, 409);
}

#[tokio::test]
async fn closed_is_closed() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    world.append("a", &[("stream-closed", "true")], "end").await;
    let world = world.restart();
    let refused = world.append("a", &[], "more").await;
    assert_eq!((refused.status.as_u16(), refused.field("stream-closed")), (409, "true"));
    assert_eq!(world.read("a").await.field("stream-closed"), "true");
}

#[tokio::test]
async fn writers_numbers_go_on() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    assert_eq!(world.append("a", &[("stream-seq", "0005")], "x").await.status, 204);
    // One without a number in between does not make the last one forgotten.
    assert_eq!(world.append("a", &[], "y").await.status, 204);
    let world = world.restart();
    let late = world.append("a", &[("stream-seq", "0005")], "z").await;
    assert_eq!(late.status, 409, "{}", late.body);
    assert_eq!(world.append("a", &[("stream-seq", "0006")], "z").await.status, 204);
    assert_eq!(world.read("a").await.body, "xyz");
}

#[tokio::test]
async fn a_number_counts_though_its_writer_went_away() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let seq = |number| [("stream-seq", number)];
    assert_eq!(world.append("a", &seq("0004"), "w").await.status, 204);
    let fields = seq("0005");
    let went_away = world.append("a", &fields, "x");
    // It is submitted, and who sent it does not wait.
    tokio::select! {
        biased;
        _ = went_away => {}
        () = std::future::ready(()) => {}
    }
    let again = world.append("a", &seq("0005"), "x").await;
    assert_eq!(again.status, 409, "{}", again.body);
    // What comes without a number carries on the right one.
    assert_eq!(world.append("a", &[], "y").await.status, 204);
    let world = world.restart();
    assert_eq!(world.append("a", &seq("0005"), "x").await.status, 409);
    assert_eq!(world.append("a", &seq("0006"), "z").await.status, 204);
    assert_eq!(world.read("a").await.body, "wxyz");
}

#[tokio::test]
async fn producers_are_recognised() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let producer = |seq| [("producer-id", "p"), ("producer-epoch", "3"), ("producer-seq", seq)];
    assert_eq!(world.append("a", &producer("0"), "x").await.status, 200);
    assert_eq!(world.append("a", &producer("1"), "y").await.status, 200);
    let world = world.restart();
    let again = world.append("a", &producer("0"), "x").await;
    assert_eq!((again.status.as_u16(), again.field("producer-seq")), (204, "1"));
    assert_eq!(world.append("a", &producer("3"), "z").await.field("producer-expected-seq"), "2");
    assert_eq!(world.read("a").await.body, "xy");
}

#[tokio::test]
async fn forks_find_their_sources() {
    let world = World::new(Settings::default());
    world.create("root", "text/plain").await;
    let middle = world.append("root", &[], "a").await.next().to_owned();
    world.append("root", &[], "b").await;
    let fork = [("stream-forked-from", "/streams/root"), ("stream-fork-offset", middle.as_str())];
    assert_eq!(world.send(Method::PUT, "one", &fork, "").await.status, 201);
    world.append("one", &[], "1").await;
    let fork = [("stream-forked-from", "one")];
    assert_eq!(world.send(Method::PUT, "two", &fork, "").await.status, 201);
    world.append("two", &[], "2").await;
    assert_eq!(world.send(Method::DELETE, "root", &[], "").await.status, 204);
    let world = world.restart();
    assert_eq!(world.read("two").await.body, "a12");
    assert_eq!(world.read("root").await.status, 410);
    // The last fork takes with it what was only kept for it.
    for path in ["two", "one"] {
        assert_eq!(world.send(Method::DELETE, path, &[], "").await.status, 204);
    }
    assert_eq!(world.read("root").await.status, 404);
    assert_eq!(world.create("root", "text/css").await.status, 201);
}
