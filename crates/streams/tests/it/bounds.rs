//! What happens at bounds.

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
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), sweep).await;
    // Its path is free, for another configuration too.
    let world = world.restart();
    assert_eq!(world.create("a", "text/css").await.status, 201);
}
