use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use selvedge_backup::{Create, Stopped, create, find, names};
use selvedge_eventlog::{Append, Batch, Log};

use crate::place::{Place, SMALL, records_of};

#[tokio::test]
async fn each_backup_comes_back_as_it_was() {
    let place = Place::new();
    let store = place.store();
    let mut made = Vec::new();
    for round in 0..4 {
        place.append("orders", 20);
        place.append(&format!("round-{round}"), 3);
        let created = place.back_up(&store).await;
        assert_eq!(created.broken, None);
        made.push((created.backup.name, place.records()));
    }
    let names = names(&store).await.unwrap();
    assert_eq!(names.len(), 4);
    for (name, expected) in made {
        let (to, restored) = place.restore(&store, Some(&name)).await;
        assert_eq!(restored.backup.name, name);
        assert_eq!(records_of(&to), expected);
    }
}

#[tokio::test]
async fn only_what_is_new_is_sent() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 100);
    let first = place.back_up(&store).await.backup.manifest;
    assert!(first.new_bytes > 200_000, "{first:?}");

    let again = place.back_up(&store).await.backup.manifest;
    // A proof frame may have come behind the last records, and the list names it.
    assert!(again.new_bytes < 4_000, "{again:?}");
    assert!(again.parent.is_some());

    place.append("orders", 5);
    let later = place.back_up(&store).await.backup.manifest;
    assert!((10_000..20_000).contains(&later.new_bytes), "{later:?}");
    let (_, sent) = store.written();
    assert!(sent < first.new_bytes + 60_000, "{sent}");
}

#[tokio::test]
async fn a_backup_that_takes_nothing_over_sends_everything() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 50);
    let first = place.back_up(&store).await.backup.manifest;
    let full = Create { full: true, ..Create::of(&place.data()) };
    let created = create(&store, &full, &mut place.hold(), &mut |_| ()).await.unwrap();
    let manifest = created.backup.manifest;
    assert_eq!(manifest.parent, None);
    assert!(manifest.new_bytes >= first.new_bytes, "{manifest:?}");
}

#[test]
fn what_was_acknowledged_before_is_in_a_backup_under_load() {
    let place = Place::new();
    let store = place.store();
    let stop = AtomicBool::new(false);
    place.append("writer-0", 1);
    let (before, name) = thread::scope(|scope| {
        for writer in 0..8 {
            let (place, stop) = (&place, &stop);
            scope.spawn(move || {
                let name = format!("writer-{writer}");
                while !stop.load(SeqCst) {
                    place.append(&name, 1);
                }
            });
        }
        // Retention takes the beginning of one stream all the while.
        let (log, stream) = (place.log.clone(), place.stream("writer-0"));
        let stopped = &stop;
        scope.spawn(move || {
            while !stopped.load(SeqCst) {
                let tail = log.info(stream).unwrap().tail;
                log.append(Batch::trim(stream, tail.saturating_sub(3))).wait().unwrap();
            }
        });
        let result = scope.spawn(|| {
            let mut last = None;
            for _ in 0..5 {
                let before = place.records();
                let created = block_on(place.back_up(&store));
                assert_eq!(created.broken, None);
                assert_eq!(created.backup.manifest.damaged, []);
                last = Some((before, created.backup.name));
            }
            last.unwrap()
        });
        let result = result.join();
        stop.store(true, SeqCst);
        result.unwrap()
    });
    let (to, _) = block_on(place.restore(&store, Some(&name)));
    let restored = records_of(&to);
    for (key, record) in before.iter().filter(|((stream, _), _)| stream != "writer-0") {
        assert_eq!(restored.get(key), Some(record), "{key:?}");
    }
    for ((stream, sequence), record) in &restored {
        assert!(record.starts_with(format!("{stream} {sequence} ").as_bytes()));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_stopped_data_dir_is_backed_up_too() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 10);
    let (data, expected) = (place.data(), place.records());
    let Place { folder, log } = place;
    drop(log);
    fs::write(data.join("tokens"), "a token").unwrap();
    fs::write(data.join("somebody's notes"), "").unwrap();
    let mut hold = Stopped::open(&data).unwrap();
    let made = create(&store, &Create::of(&data), &mut hold, &mut |_| ()).await.unwrap();
    assert_eq!(made.left_out, ["somebody's notes"]);
    drop(hold);
    let place = Place { log: Log::open(&data.join("log"), SMALL).unwrap(), folder };
    let (to, _) = place.restore(&store, None).await;
    assert_eq!(records_of(&to), expected);
    assert_eq!(fs::read(to.join("tokens")).unwrap(), b"a token");
    assert!(!to.join("somebody's notes").exists());
}

/// After an older backup was put back, the log goes on from there under the same name: what newer backups
/// have at the same places is something else.
#[tokio::test]
async fn a_history_that_was_given_up_is_not_mixed_in() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 10);
    let old = place.back_up(&store).await.backup.name;
    place.append("orders", 10);
    place.back_up(&store).await;

    let (to, _) = place.restore(&store, Some(&old)).await;
    let log = Log::open(&to.join("log"), SMALL).unwrap();
    let stream = log.stream("orders").unwrap();
    for _ in 0..40 {
        log.append(Append::to(stream).record(&[b'y'; 2_000])).wait().unwrap();
    }
    drop(log);
    let expected = records_of(&to);
    let mut hold = Stopped::open(&to).unwrap();
    let made = create(&store, &Create::of(&to), &mut hold, &mut |_| ()).await.unwrap();
    drop(hold);
    assert!(made.broken.is_some());
    assert_eq!(made.backup.manifest.parent, None);
    let (back, _) = place.restore(&store, None).await;
    assert_eq!(records_of(&back), expected);
}

#[tokio::test]
async fn names_that_are_none_are_told() {
    let place = Place::new();
    let store = place.store();
    let none = find(&store, None).await.unwrap_err().to_string();
    assert!(none.starts_with("there are no backups in "), "{none}");
    place.back_up(&store).await;
    for name in ["", "x", "../x", "20261122T001530.000Z-0000000000000000"] {
        let text = find(&store, Some(name)).await.unwrap_err().to_string();
        assert!(text.starts_with("there is no backup "), "{text}");
    }
}
