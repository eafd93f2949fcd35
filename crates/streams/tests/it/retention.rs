//! Records that are given up.

use std::time::Duration;

use http::Method;
use selvedge_eventlog::{Batch, Log, Lsn};
use selvedge_streams::{Settings, Streams};

use crate::world::{World, log};

/// Longer than a busy machine takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A start with a log that looks after itself this often. Returns where the log ended before the service and with it.
fn start(world: World, settings: Settings, upkeep_ms: u64) -> (World, (Lsn, Lsn)) {
    let mut ends = None;
    let world = world.restart_with(settings, |folder, settings| {
        let usual = selvedge_eventlog::Settings::default();
        let log = Log::open(folder, selvedge_eventlog::Settings { upkeep_ms, ..usual }).unwrap();
        let before = log.durable();
        let streams = Streams::new(log.clone(), settings);
        ends = Some((before, log.durable()));
        streams
    });
    (world, ends.unwrap())
}

#[tokio::test]
async fn streams_that_are_there_keep_what_a_start_says() {
    let world = World::new(Settings::default());
    let ttl = [("content-type", "text/plain"), ("stream-ttl", "3600")];
    world.send(Method::PUT, "a", &ttl, "").await;
    for _ in 0..20 {
        world.append("a", &[], &"x".repeat(1000)).await;
    }
    let small = Settings { stream_bytes_max: Some(5000), ..Settings::default() };
    let (world, _) = start(world, small, 1);
    let first = format!("a?offset={}", offset(0));
    let trimmed = async {
        while world.read(&first).await.status != 410 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trimmed).await.unwrap();
    let kept = world.read("a").await;
    assert_eq!((kept.status.as_u16(), kept.next()), (200, offset(20).as_str()));
    assert!((1000..=5000).contains(&kept.body.len()), "{}", kept.body.len());
    // What its maker asked for stays.
    assert_eq!(world.send(Method::HEAD, "a", &[], "").await.field("stream-ttl"), "3600");
    assert_eq!(world.send(Method::PUT, "a", &ttl, "").await.status, 200);
}

#[tokio::test]
async fn a_start_writes_only_what_changed() {
    let hour = 3_600_000;
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    world.create("b", "text/plain").await;
    let (world, (before, with)) = start(world, Settings::default(), hour);
    assert_eq!(before, with);
    let small = Settings { age_max: Some(Duration::from_secs(60)), ..Settings::default() };
    let (world, (before, with)) = start(world, small.clone(), hour);
    assert!(before < with);
    let (world, (before, with)) = start(world, small, hour);
    assert_eq!(before, with);
    assert_eq!(world.create("a", "text/plain").await.status, 200);
}
