//! Appending, reading, following, opening again.

use std::path::Path;

use selvedge_eventlog::{
    Append, AppendError, Batch, Log, Producer, ReadError, Settings, StreamId, StreamOptions,
    block_on,
};

fn open(folder: &Path) -> Log {
    let settings = Settings { segment_bytes: 256 << 10, ..Settings::default() };
    Log::open(folder, settings).expect("the log opens")
}

fn create(log: &Log, name: &str) -> StreamId {
    block_on(log.create(name, StreamOptions::default())).expect("the stream is new")
}

fn texts(log: &Log, stream: StreamId, from: u64) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = from;
    loop {
        let chunk = log.read(stream, next, 4096).expect("records are there");
        texts.extend(chunk.records().map(|(_, record)| String::from_utf8_lossy(&record).into()));
        if chunk.next == next {
            return texts;
        }
        next = chunk.next;
    }
}

#[test]
fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<String> = (0..5000).map(|number| format!("record {number:0200}")).collect();
    {
        let log = open(folder.path());
        let (a, b) = (create(&log, "a"), create(&log, "b"));
        let tickets: Vec<_> = expected
            .iter()
            .map(|text| {
                log.append(
                    Batch::from(Append::to(a).record(text.as_bytes()))
                        .and(Append::to(b).record(text.as_bytes())),
                )
            })
            .collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        assert_eq!(texts(&log, a, 0), expected);
    }
    let log = open(folder.path());
    for name in ["a", "b"] {
        let stream = log.stream(name).unwrap();
        assert_eq!(log.info(stream).unwrap().tail, 5000);
        assert_eq!(texts(&log, stream, 0), expected);
        assert_eq!(texts(&log, stream, 4998), expected[4998..]);
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 8, "several segments were written");
}

#[test]
fn expectations_and_producers_survive() {
    let folder = tempfile::tempdir().unwrap();
    let producer = |epoch, sequence| Producer { id: "p".into(), epoch, sequence };
    let append = |log: &Log, stream, epoch, sequence| {
        log.append(Append::to(stream).record(b"x").producer(producer(epoch, sequence))).wait()
    };
    {
        let log = open(folder.path());
        let stream = create(&log, "s");
        let expecting = |tail| log.append(Append::to(stream).record(b"x").expect_tail(tail)).wait();
        assert!(expecting(0).is_ok());
        assert_eq!(expecting(0), Err(AppendError::Tail { expected: 0, tail: 1 }));
        assert!(!append(&log, stream, 1, 0).unwrap().placed.duplicate);
        assert_eq!(append(&log, stream, 1, 2), Err(AppendError::Gap { expected: 1, received: 2 }));
    }
    let log = open(folder.path());
    let stream = log.stream("s").unwrap();
    let placed = append(&log, stream, 1, 0).unwrap().placed;
    assert_eq!((placed.duplicate, placed.producer_sequence), (true, Some(0)));
    assert!(!append(&log, stream, 2, 0).unwrap().placed.duplicate);
    assert_eq!(append(&log, stream, 1, 1), Err(AppendError::Fenced { epoch: 2 }));
    assert_eq!(log.info(stream).unwrap().tail, 3);
}

#[test]
fn the_life_of_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, gone) = {
        let log = open(folder.path());
        let (kept, gone) = (create(&log, "kept"), create(&log, "gone"));
        for stream in [kept, gone] {
            for _ in 0..10 {
                log.append(Append::to(stream).record(b"x")).wait().unwrap();
            }
        }
        log.append(Batch::trim(kept, 4)).wait().unwrap();
        log.append(Append::to(kept).record(b"end").close()).wait().unwrap();
        log.append(Batch::delete(gone)).wait().unwrap();
        assert_eq!(
            log.append(Append::to(kept).record(b"x")).wait(),
            Err(AppendError::Closed { tail: 11 })
        );
        (kept, gone)
    };
    let log = open(folder.path());
    assert!(matches!(log.read(kept, 3, 1), Err(ReadError::Trimmed { start: 4 })));
    assert!(matches!(log.read(gone, 0, 1), Err(ReadError::NoStream(_))));
    assert_eq!(texts(&log, kept, 9), ["x", "end"]);
    assert!(log.read(kept, 4, 1 << 20).unwrap().is_last());
    assert_ne!(create(&log, "gone"), gone, "a number is not used again");
    assert_eq!(log.list("", "", 10).len(), 2);
    assert_eq!(log.list("k", "", 10)[0].id, kept);
}

#[test]
fn a_batch_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let old = create(&log, "old");
    let new = log.new_stream();
    let both = |expected| {
        Batch::create(new, "new", StreamOptions::default())
            .and(Append::to(new).record(b"first"))
            .and(Append::to(old).record(b"beside").expect_tail(expected))
    };
    assert_eq!(log.append(both(7)).wait(), Err(AppendError::Tail { expected: 7, tail: 0 }));
    assert_eq!(log.stream("new"), None);
    let committed = log.append(both(0)).wait().unwrap();
    assert_eq!(committed.others.len(), 2);
    assert_eq!(
        (texts(&log, new, 0), texts(&log, old, 0)),
        (vec!["first".into()], vec!["beside".into()])
    );
}

#[test]
fn followers_wait_for_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = create(&log, "s");
    let mut follower = log.follow(stream, 0).unwrap();
    let writer = {
        let log = log.clone();
        std::thread::spawn(move || {
            for number in 0..100_u32 {
                log.append(Append::to(stream).record(&number.to_le_bytes())).wait().unwrap();
            }
            log.append(Append::to(stream).close()).wait().unwrap();
        })
    };
    let mut seen = Vec::new();
    loop {
        let chunk = block_on(follower.next()).unwrap();
        seen.extend(chunk.records().map(|(sequence, _)| sequence));
        if chunk.is_last() {
            break;
        }
    }
    writer.join().unwrap();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}
