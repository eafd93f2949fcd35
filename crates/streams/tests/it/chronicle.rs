//! Who is told of streams, in the batch that makes and ends them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use http::Method;
use selvedge_eventlog::{
    Append, Log, StreamId, StreamOptions, block_on,
    sim::{Death, SimDisk},
};
use selvedge_streams::{Change, Chronicle, Settings, Streams, Untold, What};

use crate::world::World;

/// The stream of the log that tells of the others.
const DIARY: &str = "diary";

/// Tells of changes in lines, as long as it can.
struct Diary {
    stream: StreamId,
    is_lost: AtomicBool,
}

impl Diary {
    fn begin(log: &Log) -> Arc<Self> {
        let stream = block_on(log.create(DIARY, StreamOptions::default())).unwrap();
        Arc::new(Self { stream, is_lost: AtomicBool::new(false) })
    }
}

impl Chronicle for Diary {
    fn step(&self, change: &Change) -> Result<Append, Untold> {
        if self.is_lost.load(SeqCst) {
            return Err(Untold);
        }
        let Change { what, stream, tenant, path } = change;
        assert_eq!(*tenant, None);
        let what = match what {
            What::Created(author) => format!("{} made", author.caller.principal.name()),
            What::Deleted(author) => format!("{} deleted", author.caller.principal.name()),
            What::Expired => "nobody deleted".to_owned(),
        };
        let line = format!("{what} {path} {}", stream.get());
        Ok(Append::to(self.stream).record(line.as_bytes()))
    }
}

fn lines(log: &Log) -> Vec<String> {
    let Some(stream) = log.stream(DIARY) else { return Vec::new() };
    let chunk = log.read(stream, 0, 1 << 20).unwrap();
    chunk.records().map(|(_, line)| String::from_utf8(line.to_vec()).unwrap()).collect()
}

/// A service, what it tells, and its log.
fn world() -> (World, Arc<Diary>, Log) {
    let mut kept = None;
    let world = World::with(Settings::default(), |folder, settings| {
        let log = Log::open(folder, selvedge_eventlog::Settings::default()).unwrap();
        let diary = Diary::begin(&log);
        kept = Some((diary.clone(), log.clone()));
        Streams::told(log, settings, diary)
    });
    let (diary, log) = kept.unwrap();
    (world, diary, log)
}

#[tokio::test]
async fn each_change_is_told_once() {
    let (world, _, log) = world();
    for status in [201, 200] {
        assert_eq!(world.create("a", "text/plain").await.status, status);
    }
    assert_eq!(world.create("a", "text/css").await.status, 409);
    let short = [("content-type", "text/plain"), ("stream-ttl", "0")];
    for _ in 0..2 {
        assert_eq!(world.send(Method::PUT, "short", &short, "").await.status, 201);
    }
    let fork = [("stream-forked-from", "a")];
    assert_eq!(world.send(Method::PUT, "fork", &fork, "").await.status, 201);
    // It is kept for its fork, and goes with it.
    for path in ["a", "fork"] {
        assert_eq!(world.send(Method::DELETE, path, &[], "").await.status, 204);
        assert!(world.send(Method::DELETE, path, &[], "").await.status.is_client_error());
    }
    let told: Vec<String> = lines(&log);
    let told: Vec<&str> = told.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(
        told,
        [
            "test made a",
            "test made short",
            "nobody deleted short",
            "test made short",
            "test made fork",
            "test deleted a",
            "test deleted fork",
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_told_is_not_done() {
    let (world, diary, log) = world();
    world.create("a", "text/plain").await;
    diary.is_lost.store(true, SeqCst);
    let refused = world.create("b", "text/plain").await;
    assert_eq!((refused.status.as_u16(), refused.field("retry-after")), (503, "30"));
    assert!(refused.body.contains("streams/untold"), "{}", refused.body);
    assert_eq!(world.send(Method::DELETE, "a", &[], "").await.status, 503);
    assert_eq!(world.create("a", "text/plain").await.status, 200, "it is there");
    assert_eq!(world.append("a", &[], "x").await.status, 204);
    diary.is_lost.store(false, SeqCst);
    assert_eq!(world.read("b").await.status, 404);
    assert_eq!(world.send(Method::DELETE, "a", &[], "").await.status, 204);
    assert_eq!(lines(&log).len(), 2);
}

/// A log whose segments are small, so that some end as well.
fn small_log(disk: &SimDisk) -> Log {
    let settings = selvedge_eventlog::Settings::default();
    let settings = selvedge_eventlog::Settings {
        segment_bytes: 64 << 10,
        record_bytes_max: 4 << 10,
        group_bytes_max: 8 << 10,
        ..settings
    };
    Log::open_on(Arc::new(disk.clone()), settings).unwrap()
}

/// Makes and deletes streams until the disk dies.
async fn live(disk: &SimDisk, rng: &mut fastrand::Rng) {
    let log = small_log(disk);
    let diary = Diary::begin(&log);
    let world = World::with(Settings::default(), |_, settings| Streams::told(log, settings, diary));
    disk.die_after(rng.u64(1..60));
    for number in 0..40 {
        let path = format!("s{number}");
        if world.create(&path, "text/plain").await.status != 201 {
            break;
        }
        let older = format!("s{}", rng.u64(0..=number));
        world.send(Method::DELETE, &older, &[], "").await;
    }
}

#[tokio::test]
async fn no_crash_parts_a_change_from_what_tells_of_it() {
    let (mut died, mut kept) = (0, 0);
    for seed in 0..60 {
        let (disk, mut rng) = (SimDisk::new(seed), fastrand::Rng::with_seed(seed));
        live(&disk, &mut rng).await;
        died += u32::from(disk.is_dead());
        disk.restart(if rng.bool() { Death::Kill } else { Death::PowerCut });
        let log = small_log(&disk);
        let mut told = BTreeMap::new();
        for line in lines(&log) {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, what, path, number] = words[..] else { panic!("{line}") };
            let number: u64 = number.parse().unwrap();
            match what {
                "made" => drop(told.insert(number, path.to_owned())),
                _ => assert_eq!(told.remove(&number).as_deref(), Some(path), "seed {seed}"),
            }
        }
        let there = log.list("streams/", "", 1000).into_iter();
        let there = there.map(|info| (info.id.get(), info.name["streams/_/".len()..].to_owned()));
        let there: BTreeMap<u64, String> = there.collect();
        assert_eq!(told, there, "seed {seed}");
        kept += there.len();
    }
    assert!(died > 30 && kept > 60, "{died} deaths, {kept} streams");
}
