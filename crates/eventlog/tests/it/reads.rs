//! Reads of streams that lie between each other in the log, from memory and from the disk.

use std::path::Path;

use selvedge_eventlog::{Append, Chunk, Log, Settings, StreamId, StreamOptions, block_on};

const STREAMS: usize = 5;

/// Small segments, so that there are many; without memory, every read is one of the disk.
fn open(folder: &Path, cache_bytes_max: usize) -> Log {
    let settings = Settings::default();
    let settings =
        Settings { segment_bytes: 128 << 10, upkeep_ms: 10, cache_bytes_max, ..settings };
    Log::open(folder, settings).unwrap()
}

/// A record that says which one it is; some are so large that what lies between others is not read for them.
fn record(stream: usize, nth: usize) -> Vec<u8> {
    let length = if nth % 7 == stream { 12_000 } else { 50 + nth % 300 };
    let mut record = format!("{stream} {nth} ").into_bytes();
    record.resize(length, b'x');
    record
}

fn fill(log: &Log, records: usize) -> Vec<StreamId> {
    let create = |nth| block_on(log.create(&format!("s{nth}"), StreamOptions::default())).unwrap();
    let streams: Vec<StreamId> = (0..STREAMS).map(create).collect();
    let mut tickets = Vec::new();
    for nth in 0..records {
        for (stream, id) in streams.iter().enumerate() {
            let append = Append::to(*id).record(&record(stream, nth));
            let append = if nth % 3 == 0 { append.metadata(vec![nth as u8; 9]) } else { append };
            tickets.push(log.append(append));
        }
    }
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    streams
}

/// Reads a stream in steps of so many bytes, and compares every record.
#[track_caller]
fn check(log: &Log, (stream, id): (usize, StreamId), records: usize, bytes: usize) {
    let mut next = 0;
    while next < records as u64 {
        let chunk: Chunk = log.read(id, next, bytes).unwrap();
        for slice in &chunk.slices {
            let nth = usize::try_from(slice.first).unwrap();
            let metadata = if nth % 3 == 0 { vec![nth as u8; 9] } else { Vec::new() };
            assert_eq!(slice.metadata, metadata);
        }
        for (sequence, read) in chunk.records() {
            assert_eq!(sequence, next);
            assert_eq!(read, record(stream, usize::try_from(sequence).unwrap()));
            next += 1;
        }
        assert_eq!(chunk.next, next);
    }
}

#[test]
fn streams_in_turns_are_read_each_by_itself() {
    const RECORDS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let streams = fill(&open(folder.path(), 64 << 20), RECORDS);
    for cache_bytes_max in [0, 100_000, 64 << 20] {
        let log = open(folder.path(), cache_bytes_max);
        for bytes in [1, 4096, 100_000, usize::MAX] {
            for (stream, id) in streams.iter().enumerate() {
                check(&log, (stream, *id), RECORDS, bytes);
            }
        }
    }
}

#[test]
fn what_memory_has_is_told_from_what_it_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), 4 << 10);
    let stream = block_on(log.create("s", StreamOptions::default())).unwrap();
    for nth in 0..20 {
        log.append(Append::to(stream).record(&[nth; 1000])).wait().unwrap();
    }
    let cached = |from| log.read_cached(stream, from, 1 << 20).unwrap();
    assert!(cached(0).is_none() && cached(10).is_none(), "the disk has these");
    let newest = cached(19).unwrap();
    assert_eq!(newest.records().collect::<Vec<_>>(), [(19, vec![19; 1000].into())]);
    let end = cached(20).unwrap();
    assert_eq!((end.slices.len(), end.next, end.tail), (0, 20, 20), "nothing needs no disk");
    assert!(log.read_cached(stream, 21, 1).is_err() && log.read_cached(9.into(), 0, 1).is_err());
}
