//! What happens at bounds.

use std::{sync::Arc, time::Duration};

use http::Method;
use selvedge_eventlog::Log;
use selvedge_streams::Settings;

use crate::world::World;

#[tokio::test]
async fn bodies_have_a_bound() {
    let world = World::new(Settings { append_bytes_max: 1000, ..Settings::default() });
    world.create("a", "text/plain").await;
    assert_eq!(world.append("a", &[], &"x".repeat(1001)).await.status, 413);
    assert_eq!(world.append("a", &[], &"x".repeat(1000)).await.status, 204);
    let put = [("content-type", "text/plain")];
    assert_eq!(world.send(Method::PUT, "b", &put, &"x".repeat(1001)).await.status, 413);
    assert_eq!(world.read("b").await.status, 404);
}

#[tokio::test]
async fn messages_are_counted_while_they_are_read() {
    let world = World::on(Settings::default(), |folder| {
        let usual = selvedge_eventlog::Settings::default();
        let small = selvedge_eventlog::Settings { batch_bytes_max: 10_000, ..usual };
        Log::open(folder, small).unwrap()
    });
    let json = [("content-type", "application/json")];
    let many = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
    assert_eq!(world.send(Method::PUT, "a", &json, &many(1900)).await.status, 201);
    // What comes behind the bound is not looked at, or it would not be JSON.
    let endless = many(2001).replace(']', ",");
    for (method, path) in [(Method::POST, "a"), (Method::PUT, "b")] {
        for body in [&many(2001), &endless] {
            let refused = world.send(method.clone(), path, &json, body).await;
            assert_eq!(refused.status, 413, "{method}: {}", refused.body);
            assert!(refused.body.contains("at most 10000 bytes:"), "{}", refused.body);
        }
    }
    // What stands around the messages counts as well, to the log.
    let refused = world.send(Method::POST, "a", &json, &many(2000)).await;
    assert_eq!(refused.status, 413, "{}", refused.body);
    assert!(refused.body.contains("at most 10000 bytes:"), "{}", refused.body);
    assert_eq!(world.send(Method::POST, "a", &json, &many(1900)).await.status, 204);
    assert_eq!(world.read("a").await.body, many(3800));
    assert_eq!(world.read("b").await.status, 404);
}

#[tokio::test]
async fn who_makes_streams_at_once_makes_no_more_than_there_may_be() {
    let world = World::new(Settings { streams_per_tenant_max: 2, ..Settings::default() });
    let put = |path| world.create(path, "text/plain");
    let (a, b, c, again) = tokio::join!(put("a"), put("b"), put("c"), put("a"));
    let mut statuses = [a, b, c, again].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201, 201, 429]);
    // What is refused for another reason takes no room.
    assert_eq!(world.send(Method::DELETE, "a", &[], "").await.status, 204);
    let json = [("content-type", "application/json")];
    assert_eq!(world.send(Method::PUT, "d", &json, "no JSON").await.status, 400);
    assert_eq!(put("d").await.status, 201);
    assert_eq!(put("e").await.status, 429);
    let world = world.restart();
    assert_eq!(world.create("e", "text/plain").await.status, 429);
    assert_eq!(world.send(Method::DELETE, "d", &[], "").await.status, 204);
    assert_eq!(world.create("e", "text/plain").await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_stream_is_made_once_by_all_who_make_it() {
    let world = Arc::new(World::new(Settings::default()));
    for round in 0..20 {
        let makers = (0..100).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.create(&format!("s{round}"), "text/plain").await })
        });
        let (mut made, makers) = (0, makers.collect::<Vec<_>>());
        for maker in makers {
            let answer = maker.await.unwrap();
            assert!([200, 201].contains(&answer.status.as_u16()), "{}", answer.body);
            made += u32::from(answer.status == 201);
        }
        assert_eq!(made, 1);
    }
}

#[tokio::test]
async fn callers_have_a_pace() {
    let world = World::new(Settings { append_bytes_per_s: 100, ..Settings::default() });
    world.create("a", "text/plain").await;
    assert_eq!(world.append("a", &[], &"x".repeat(10_000)).await.status, 204);
    let refused = world.append("a", &[], "x").await;
    assert_eq!((refused.status.as_u16(), refused.field("retry-after").is_empty()), (429, false));
    assert_eq!(world.read("a").await.body.len(), 10_000);
}

#[tokio::test]
async fn large_streams_are_read_in_pages() {
    let world = World::new(Settings { page_bytes: 1000, ..Settings::default() });
    world.create("a", "text/plain").await;
    for nth in 0..20 {
        world.append("a", &[], &format!("{nth:0300}")).await;
    }
    let (mut whole, mut pages, mut offset) = (String::new(), 0, "-1".to_owned());
    loop {
        let page = world.read(&format!("a?offset={offset}")).await;
        assert!(page.body.len() <= 1500, "{}", page.body.len());
        whole.push_str(&page.body);
        pages += 1;
        offset = page.next().to_owned();
        if page.field("stream-up-to-date") == "true" {
            break;
        }
    }
    assert!(pages >= 4, "{pages}");
    assert_eq!(whole, (0..20).map(|nth| format!("{nth:0300}")).collect::<String>());
}

#[tokio::test]
async fn forks_have_a_depth() {
    let world = World::new(Settings { fork_depth_max: 3, ..Settings::default() });
    world.create("f0", "text/plain").await;
    world.append("f0", &[], "x").await;
    for depth in 1..4 {
        let from = format!("f{}", depth - 1);
        let answer = world
            .send(Method::PUT, &format!("f{depth}"), &[("stream-forked-from", &from)], "x")
            .await;
        assert_eq!(answer.status, if depth < 3 { 201 } else { 400 }, "{depth}");
    }
}

#[tokio::test]
async fn what_is_over_is_deleted_without_being_asked_for() {
    let world = World::new(Settings::default());
    let past = [("content-type", "text/plain"), ("stream-expires-at", "2020-01-01T00:00:00Z")];
    world.send(Method::PUT, "a", &past, "x").await;
    assert_eq!(world.read("a").await.status, 404);
    let sweep = world.streams.sweep();
    let _ = tokio::time::timeout(Duration::from_millis(50), sweep).await;
    // Its path is free, for another configuration too.
    let world = world.restart();
    assert_eq!(world.create("a", "text/css").await.status, 201);
}

#[tokio::test]
async fn a_path_is_free_while_what_is_over_is_deleted() {
    let world = World::new(Settings::default());
    let past = [("content-type", "text/plain"), ("stream-expires-at", "2020-01-01T00:00:00Z")];
    for round in 0..10 {
        assert_eq!(world.send(Method::PUT, "a", &past, "x").await.status, 201, "{round}");
        let sweep = tokio::time::timeout(Duration::from_millis(50), world.streams.sweep());
        let make = async {
            // The sweep is under way by then, or has been.
            tokio::time::sleep(Duration::from_millis(1)).await;
            world.create("a", "text/css").await
        };
        let (_, made) = tokio::join!(sweep, make);
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(world.send(Method::DELETE, "a", &[], "").await.status, 204);
    }
}
