//! Records that are given up.

use http::Method;
use selvedge_eventlog::{Batch, Log};
use selvedge_streams::{Settings, Streams};

use crate::world::{World, log};

/// A service with its log, of which a test gives up records as retention does.
fn world() -> (World, Log) {
    let mut kept = None;
    let world = World::with(Settings::default(), |folder, settings| {
        let log = log(folder);
        kept = Some(log.clone());
        Streams::new(log, settings)
    });
    (world, kept.unwrap())
}

async fn give_up(log: &Log, path: &str, start: u64) {
    let stream = log.stream(&format!("streams/_/{path}")).unwrap();
    log.append(Batch::trim(stream, start)).await.unwrap();
}

/// Appends to a stream, one record for each letter.
async fn write(world: &World, path: &str, letters: &str) {
    for letter in letters.chars() {
        assert_eq!(world.append(path, &[], &letter.to_string()).await.status, 204);
    }
}

async fn fork(world: &World, path: &str, source: &str) {
    let fork = [("stream-forked-from", source)];
    assert_eq!(world.send(Method::PUT, path, &fork, "").await.status, 201);
}

fn offset(position: u64) -> String {
    format!("{position:016x}_0000000000000000")
}

/// What a reader is told from a position on, and where that ends.
async fn told(world: &World, path: &str, from: &str) -> (String, String) {
    let read = world.read(&format!("{path}?offset={from}")).await;
    assert_eq!(read.status, 200, "{}", read.body);
    (read.body.clone(), read.next().to_owned())
}

#[tokio::test]
async fn a_fork_has_its_own_records_though_its_source_gave_up_more_than_it_inherits() {
    let (world, log) = world();
    world.create("source", "text/plain").await;
    write(&world, "source", "ab").await;
    fork(&world, "fork", "source").await;
    write(&world, "fork", "12").await;
    write(&world, "source", "cdefgh").await;
    give_up(&log, "source", 3).await;
    assert_eq!(told(&world, "fork", "-1").await, ("12".to_owned(), offset(4)));
    give_up(&log, "source", 8).await;
    assert_eq!(told(&world, "fork", "-1").await, ("12".to_owned(), offset(4)));
    let refused = world.read(&format!("fork?offset={}", offset(0))).await;
    assert_eq!(refused.status, 410, "{}", refused.body);
    assert!(refused.body.contains(&format!("begins at {}:", offset(2))), "{}", refused.body);
    assert_eq!(told(&world, "fork", &offset(2)).await.0, "12");
    write(&world, "fork", "3").await;
    assert_eq!(told(&world, "fork", &offset(4)).await, ("3".to_owned(), offset(5)));
}

#[tokio::test]
async fn what_lies_before_a_gap_is_read_first() {
    let (world, log) = world();
    world.create("root", "text/plain").await;
    write(&world, "root", "ab").await;
    fork(&world, "middle", "root").await;
    write(&world, "middle", "cd").await;
    fork(&world, "last", "middle").await;
    write(&world, "last", "e").await;
    give_up(&log, "middle", 2).await;
    assert_eq!(told(&world, "last", "-1").await, ("ab".to_owned(), offset(2)));
    let refused = world.read(&format!("last?offset={}", offset(2))).await;
    assert_eq!(refused.status, 410, "{}", refused.body);
    assert!(refused.body.contains(&format!("begins at {}:", offset(4))), "{}", refused.body);
    assert_eq!(told(&world, "last", &offset(4)).await, ("e".to_owned(), offset(5)));
}
