//! Faults that logs are known for, each as a test of its own.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use super::{Death, SimDisk};
use crate::{
    Append, AppendError, Batch, Chunk, Committed, OpenError, Producer, ReadError, Retention,
    Settings, Snapshot, StreamId, StreamOptions, core::Core, format::FRAME_MAGIC, ticket::Reply,
};

const SEGMENT: u64 = 64 << 10;

/// A log on a simulated disk, driven by hand.
struct Bench {
    disk: SimDisk,
    core: Core,
    now_ms: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self::begun_at(seed, 1)
    }

    fn begun_at(seed: u64, now_ms: u64) -> Self {
        let disk = SimDisk::new(seed);
        Self { core: open(&disk, now_ms).expect("an empty disk opens"), disk, now_ms }
    }

    /// Ends the log and opens it again.
    fn reopen(&mut self, death: Death) {
        self.core = self.try_reopen(death).expect("the log opens");
    }

    fn try_reopen(&mut self, death: Death) -> Result<Core, OpenError> {
        self.disk.restart(death);
        open(&self.disk, self.now_ms)
    }

    fn commit(&mut self, batch: impl Into<Batch>) -> Result<Committed, AppendError> {
        let (reply, mut ticket) = Reply::new();
        self.core.submit(batch.into(), reply, self.now_ms);
        self.core.commit();
        ticket.try_take().expect("a commit answers")
    }

    /// Commits so many appends of a record of 1,000 bytes as one group.
    fn commit_many(
        &mut self,
        stream: StreamId,
        appends: usize,
    ) -> Vec<Result<Committed, AppendError>> {
        let submitted: Vec<_> = (0..appends)
            .map(|_| {
                let (reply, ticket) = Reply::new();
                self.core.submit(Append::to(stream).record(&[7; 1000]).into(), reply, self.now_ms);
                ticket
            })
            .collect();
        self.core.commit();
        let answers = submitted.into_iter().map(|mut ticket| ticket.try_take());
        answers.map(|answer| answer.expect("a commit answers")).collect()
    }

    /// A log with five records on a disk that cannot reserve and has room for about ten more.
    fn almost_full(seed: u64) -> (Self, StreamId) {
        let mut bench = Self::new(seed);
        bench.disk.set_thin();
        let stream = bench.create("s");
        bench.fill(stream, 5);
        bench.disk.set_capacity(bench.disk.used() + (12 << 10));
        (bench, stream)
    }

    fn create(&mut self, name: &str) -> StreamId {
        self.create_with(name, StreamOptions::default())
    }

    fn create_with(&mut self, name: &str, options: StreamOptions) -> StreamId {
        let next = &self.core.shared.next_stream;
        let id = StreamId(next.fetch_add(1, Ordering::Relaxed));
        self.commit(Batch::create(id, name, options)).expect("the name is free");
        id
    }

    /// Appends records of 1,000 bytes, one by one.
    fn fill(&mut self, stream: StreamId, records: u64) {
        for _ in 0..records {
            self.commit(Append::to(stream).record(&[7; 1000])).expect("there is room");
        }
    }

    fn read(&self, stream: StreamId, from: u64) -> Result<Chunk, ReadError> {
        self.core.shared.read(stream, from, usize::MAX)
    }

    fn tail(&self, stream: StreamId) -> u64 {
        self.core.shared.stream(stream).expect("it exists").info().tail
    }

    fn start(&self, stream: StreamId) -> u64 {
        self.core.shared.stream(stream).expect("it exists").info().start
    }

    /// Where the last frame begins that holds records, in the only segment.
    fn frames(&self) -> Vec<usize> {
        let content = self.disk.content("0000000000000000.segment");
        (0..content.len())
            .step_by(8)
            .filter(|at| content[*at..].starts_with(&FRAME_MAGIC))
            .collect()
    }
}

fn open(disk: &SimDisk, now_ms: u64) -> Result<Core, OpenError> {
    // Without memory, every read shows what is on the disk.
    let settings = Settings { segment_bytes: SEGMENT, cache_bytes_max: 0, ..Settings::default() };
    Core::open(Arc::new(disk.clone()), settings, now_ms)
}

#[test]
fn sealed_segments_are_not_reserved_or_written_again() {
    let mut bench = Bench::new(1);
    let stream = bench.create("s");
    bench.fill(stream, 300);
    for death in [Death::PowerCut, Death::Kill, Death::PowerCut] {
        bench.reopen(death);
        assert_eq!(bench.read(stream, 0).unwrap().records().count(), 300);
    }
}

#[test]
fn the_second_boot_is_like_the_first() {
    let mut bench = Bench::new(2);
    let stream = bench.create("s");
    bench.fill(stream, 10);
    bench.disk.die_after(1);
    assert!(bench.commit(Append::to(stream).record(b"torn")).is_err());
    for _ in 0..20 {
        bench.disk.restart(Death::PowerCut);
        bench.disk.die_after(1);
        let _ = open(&bench.disk, 1);
    }
    bench.reopen(Death::PowerCut);
    let tail = bench.tail(stream);
    assert!(matches!(tail, 10 | 11));
    bench.fill(stream, 1);
    bench.reopen(Death::PowerCut);
    assert_eq!(bench.tail(stream), tail + 1);
}

#[test]
fn an_append_whose_caller_went_away_moves_the_tail_like_any_other() {
    let mut bench = Bench::new(3);
    let stream = bench.create("s");
    let (reply, ticket) = Reply::new();
    bench.core.submit(Append::to(stream).record(b"alone").into(), reply, 1);
    drop(ticket);
    assert!(bench.commit(Append::to(stream).record(b"next").expect_tail(1)).is_ok());
    bench.reopen(Death::PowerCut);
    assert_eq!(bench.read(stream, 0).unwrap().next, 2);
}

#[test]
fn what_was_not_synced_is_durable_before_it_is_shown() {
    let mut shown = 0;
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        let (quiet, busy) = (bench.create("quiet"), bench.create("busy"));
        bench.fill(busy, 3);
        bench.disk.fail_sync_after(0);
        let unsure = bench.commit(Append::to(quiet).record(b"unsure"));
        assert!(matches!(unsure, Err(AppendError::ReadOnly(_))));
        // The memory of the machine still has it, and holds it for clean.
        bench.reopen(Death::Kill);
        let tail = bench.tail(quiet);
        shown += tail;
        bench.reopen(Death::PowerCut);
        assert_eq!(bench.tail(quiet), tail, "readers saw it, so it stays");
    }
    assert!(shown > 0, "the fault happened");
}

#[test]
fn a_deletion_that_was_acknowledged_stays_one() {
    let mut bench = Bench::new(5);
    let (kept, gone) = (bench.create("kept"), bench.create("gone"));
    bench.fill(gone, 200);
    bench.commit(Batch::delete(gone)).unwrap();
    bench.reopen(Death::PowerCut);
    assert!(matches!(bench.read(gone, 0), Err(ReadError::NoStream(_))));
    // The files go later, and may come back with the folder's old names.
    for turn in 1..20 {
        bench.fill(kept, 30);
        bench.core.upkeep(turn * 1000);
    }
    assert!(bench.disk.removed(".segment") > 0, "space came back");
    bench.reopen(Death::PowerCut);
    assert!(matches!(bench.read(gone, 0), Err(ReadError::NoStream(_))));
    assert_eq!(bench.read(kept, 0).unwrap().records().count(), 19 * 30);
}

#[test]
fn no_catalogues_pile_up_while_files_are_pinned() {
    let mut bench = Bench::new(20);
    let (kept, gone) = (bench.create("kept"), bench.create("gone"));
    bench.fill(gone, 70);
    bench.core.upkeep(bench.now_ms);
    let snapshot = Snapshot::take(Arc::clone(&bench.core.shared)).unwrap();
    // A segment dies that no catalogue from before has an index of.
    bench.fill(gone, 60);
    bench.commit(Batch::trim(gone, 130)).unwrap();
    let turn = |bench: &mut Bench| {
        bench.now_ms += 20_000;
        bench.commit(Append::to(kept).record(b"small")).unwrap();
        bench.core.upkeep(bench.now_ms);
    };
    (0..100).for_each(|_| turn(&mut bench));
    let names = crate::disk::Disk::list(&bench.disk).unwrap();
    let catalogues = names.iter().filter(|name| name.ends_with(".catalogue")).count();
    assert!(catalogues <= 3, "{names:?}");
    assert_eq!(bench.disk.removed(".segment"), 0);
    drop(snapshot);
    (0..4).for_each(|_| turn(&mut bench));
    assert_eq!(bench.disk.removed(".segment"), 2, "then the space comes back");
}

#[test]
fn a_segment_ends_where_it_ended_also_when_the_next_one_is_gone() {
    let mut bench = Bench::new(15);
    let (kept, gone, more) = (bench.create("kept"), bench.create("gone"), bench.create("more"));
    bench.fill(kept, 50);
    bench.fill(gone, 90);
    bench.fill(more, 50);
    bench.commit(Batch::trim(gone, 90)).unwrap();
    for turn in 1..8 {
        bench.fill(more, 60);
        bench.core.upkeep(turn * 1000);
    }
    let names = crate::disk::Disk::list(&bench.disk).unwrap();
    let segments: Vec<_> = names.iter().filter(|name| name.ends_with(".segment")).collect();
    assert_eq!(*segments[0], "0000000000000000.segment");
    assert_eq!(bench.disk.removed(".segment"), 1, "{segments:?}");
    bench.reopen(Death::Kill);
    assert_eq!(bench.read(kept, 0).unwrap().records().count(), 50);
}

#[test]
fn rot_of_acknowledged_records_is_an_error_and_no_silent_cut() {
    let mut bench = Bench::new(6);
    let stream = bench.create("s");
    bench.fill(stream, 10);
    let damaged = bench.frames()[5];
    bench.disk.rot("0000000000000000.segment", damaged + 500, 3);
    let error = bench.try_reopen(Death::PowerCut).err().expect("the log does not open");
    let OpenError::Damaged { file, offset, .. } = error else { panic!("{error}") };
    assert_eq!((file.as_str(), offset), ("0000000000000000.segment", damaged as u64));
}

#[test]
fn rot_of_the_last_record_is_seen_when_something_was_written_behind_it() {
    let mut bench = Bench::new(7);
    let stream = bench.create("s");
    bench.fill(stream, 10);
    bench.core.upkeep(1);
    let frames = bench.frames();
    let last = frames[frames.len() - 2];
    bench.disk.rot("0000000000000000.segment", last + 60, 0);
    assert!(matches!(bench.try_reopen(Death::PowerCut), Err(OpenError::Damaged { .. })));
}

#[test]
fn every_flipped_bit_is_found_or_meant_nothing() {
    let mut bench = Bench::new(8);
    let stream = bench.create("s");
    for record in [&b"one"[..], b"two"] {
        bench.commit(Append::to(stream).record(record)).unwrap();
    }
    bench.core.upkeep(1);
    let end = bench.core.shared.durable() as usize;
    for bit in 0..end * 8 {
        bench.disk.rot("0000000000000000.segment", bit / 8, (bit % 8) as u8);
        if let Ok(core) = open(&SimDisk::clone(&bench.disk), 1) {
            let records = core.shared.read(stream, 0, usize::MAX).map(|chunk| {
                chunk.records().map(|(_, record)| record.to_vec()).collect::<Vec<_>>()
            });
            assert_eq!(records.unwrap(), [b"one", b"two"], "bit {bit}");
        }
        bench.disk.rot("0000000000000000.segment", bit / 8, (bit % 8) as u8);
    }
}

#[test]
fn rot_in_a_sealed_segment_is_told_to_who_reads_it() {
    let mut bench = Bench::new(9);
    let (sick, healthy) = (bench.create("sick"), bench.create("healthy"));
    bench.fill(sick, 20);
    bench.fill(healthy, 100);
    bench.core.upkeep(1);
    bench.disk.rot("0000000000000000.segment", 5000, 1);
    let error = bench.read(sick, 0).unwrap_err();
    assert!(
        matches!(&error, ReadError::Damaged { file, .. } if file == "0000000000000000.segment")
    );
    assert_eq!(bench.read(healthy, 60).unwrap().records().count(), 40);
}

#[test]
fn a_damaged_index_is_made_again() {
    let mut bench = Bench::new(10);
    let stream = bench.create("s");
    bench.fill(stream, 100);
    bench.core.upkeep(1);
    bench.core.upkeep(2);
    bench.disk.rot("0000000000000000.index", 70, 1);
    bench.reopen(Death::Kill);
    assert_eq!(bench.read(stream, 0).unwrap().records().count(), 100);
}

#[test]
fn a_damaged_catalogue_gives_way_to_the_one_before() {
    let mut bench = Bench::new(11);
    let stream = bench.create("s");
    for turn in 1..8 {
        bench.fill(stream, 80);
        bench.core.upkeep(turn * 1000);
    }
    let names = crate::disk::Disk::list(&bench.disk).unwrap();
    let catalogues: Vec<_> = names.iter().filter(|name| name.ends_with(".catalogue")).collect();
    assert_eq!(catalogues.len(), 2);
    for damaged in catalogues.iter().rev() {
        bench.disk.rot(damaged, 100, 1);
        bench.reopen(Death::Kill);
        assert_eq!(bench.read(stream, 0).unwrap().records().count(), 560);
    }
}

#[test]
fn a_full_disk_refuses_appends_serves_reads_and_recovers() {
    let mut bench = Bench::new(12);
    let stream = bench.create("s");
    bench.disk.set_capacity(SEGMENT + SEGMENT / 2);
    let full = (0..200).find_map(|_| bench.commit(Append::to(stream).record(&[7; 1000])).err());
    assert_eq!(full, Some(AppendError::DiskFull));
    let before = bench.tail(stream);
    assert_eq!(bench.read(stream, 0).unwrap().records().count() as u64, before);
    bench.disk.set_capacity(u64::MAX);
    bench.fill(stream, 1);
    bench.reopen(Death::PowerCut);
    assert_eq!(bench.tail(stream), before + 1);
}

#[test]
fn what_a_full_disk_refused_never_comes_back() {
    let mut partial = 0;
    for (seed, death) in (0..40).zip([Death::Kill, Death::PowerCut].into_iter().cycle()) {
        let (mut bench, stream) = Bench::almost_full(seed);
        // A group of many frames, of which a part is written.
        let outcomes = bench.commit_many(stream, 20);
        assert!(outcomes.iter().all(|outcome| *outcome == Err(AppendError::DiskFull)));
        partial += bench.disk.partial();
        bench.reopen(death);
        assert_eq!(bench.tail(stream), 5, "seed {seed}");
    }
    assert!(partial > 10, "frames were written");
}

#[test]
fn what_a_full_disk_refused_does_not_follow_what_it_took_later() {
    for seed in 0..40 {
        let (mut bench, stream) = Bench::almost_full(seed);
        bench.commit_many(stream, 20);
        bench.disk.set_capacity(u64::MAX);
        // The same as the first that was refused, in the same millisecond: the others would follow it as they lie there.
        assert_eq!(bench.commit_many(stream, 1)[0].as_ref().map(|done| done.placed.tail), Ok(6));
        bench.reopen(Death::Kill);
        assert_eq!(bench.tail(stream), 6, "seed {seed}");
    }
}

#[test]
fn a_refused_write_that_cannot_be_wiped_is_unsure() {
    let (mut bench, stream) = Bench::almost_full(1);
    bench.disk.fail_sync_after(0);
    let outcomes = bench.commit_many(stream, 20);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(AppendError::ReadOnly(_)))));
    assert!(matches!(bench.commit_many(stream, 1)[0], Err(AppendError::ReadOnly(_))));
}

#[test]
fn a_failed_sync_stops_appends_until_the_log_is_opened_again() {
    let mut bench = Bench::new(13);
    let stream = bench.create("s");
    bench.fill(stream, 3);
    bench.disk.fail_sync_after(0);
    for _ in 0..2 {
        let outcome = bench.commit(Append::to(stream).record(b"x"));
        assert!(matches!(outcome, Err(AppendError::ReadOnly(_))), "{outcome:?}");
    }
    assert_eq!(bench.read(stream, 0).unwrap().records().count(), 3);
    bench.reopen(Death::PowerCut);
    let tail = bench.tail(stream);
    bench.fill(stream, 1);
    assert_eq!(bench.tail(stream), tail + 1);
}

/// An age that records may have, and a leap of a clock.
const AGE_MS: u64 = 60_000;
const TEN_YEARS_MS: u64 = 3650 * 24 * 3_600_000;

/// A log that holds ten records of one minute, in a stream that keeps records for another.
fn aged(seed: u64, now_ms: u64) -> (Bench, StreamId) {
    let mut bench = Bench::begun_at(seed, now_ms);
    let retention = Retention { age_ms_max: Some(AGE_MS), bytes_max: None };
    let stream = bench.create_with("s", StreamOptions { retention, ..StreamOptions::default() });
    for _ in 0..10 {
        bench.fill(stream, 1);
        bench.core.upkeep(bench.now_ms);
        bench.now_ms += AGE_MS / 10;
    }
    (bench, stream)
}

#[test]
fn a_clock_that_leaps_for_a_while_gives_nothing_up_and_leaves_nothing_behind() {
    const NOW_MS: u64 = 1_800_000_000_000;
    for reopens in [false, true] {
        let (mut bench, stream) = aged(16, NOW_MS);
        let now_ms = bench.now_ms;
        bench.now_ms = now_ms + TEN_YEARS_MS;
        for _ in 0..3 {
            bench.fill(stream, 2);
            bench.core.upkeep(bench.now_ms);
            assert_eq!(bench.start(stream), 0, "a clock that leapt is not believed");
            if reopens {
                bench.reopen(Death::PowerCut);
            }
        }
        bench.now_ms = now_ms;
        if reopens {
            bench.reopen(Death::PowerCut);
        }
        bench.core.upkeep(now_ms);
        assert!((0..10).contains(&bench.start(stream)));
        bench.fill(stream, 1);
        assert_eq!(bench.core.shared.stream(stream).unwrap().info().time_ms, now_ms);
        bench.now_ms += AGE_MS / 2;
        bench.fill(stream, 1);
        bench.core.upkeep(bench.now_ms);
        bench.now_ms += AGE_MS / 2 + 1;
        bench.core.upkeep(bench.now_ms);
        assert_eq!(bench.start(stream), 17, "what was written before the newest is too old");
        assert_eq!(bench.core.shared.clock_behind_ms.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_run_larger_than_its_bound_is_cut_within() {
    let mut bench = Bench::new(21);
    let retention = Retention { age_ms_max: None, bytes_max: Some(20_000) };
    let stream = bench.create_with("s", StreamOptions { retention, ..StreamOptions::default() });
    let other = bench.create("other");
    for _ in 0..52 {
        bench.fill(stream, 1);
        // What follows directly would lie in one extent, which is kept or given up as a whole.
        bench.commit(Append::to(other).record(b"small")).unwrap();
    }
    bench.fill(other, 60);
    bench.core.upkeep(1);
    let runs = bench.core.shared.stream(stream).unwrap().lock().runs.clone();
    assert_eq!(runs.len(), 1, "all of it is in a sealed segment");
    assert!((33..=35).contains(&bench.start(stream)), "{}", bench.start(stream));
}

#[test]
fn a_clock_that_stays_where_it_leapt_is_believed() {
    let (mut bench, stream) = aged(17, 1_800_000_000_000);
    bench.now_ms += TEN_YEARS_MS;
    for _ in 0..=60 {
        assert_eq!(bench.start(stream), 0);
        bench.core.upkeep(bench.now_ms);
        bench.now_ms += 60_000;
    }
    assert_eq!(bench.start(stream), 9, "the newest stays");
}

#[test]
fn a_log_whose_first_record_is_of_a_clock_that_leapt_knows_when_it_began() {
    let mut bench = Bench::new(22);
    bench.now_ms += TEN_YEARS_MS;
    let stream = bench.create("s");
    bench.now_ms = 1000;
    bench.fill(stream, 1);
    bench.reopen(Death::Kill);
    assert_eq!(bench.core.shared.clock_behind_ms.load(Ordering::Relaxed), 0);
    bench.fill(stream, 1);
    assert_eq!(bench.core.shared.stream(stream).unwrap().info().time_ms, 1000);
}

#[test]
fn a_leap_of_the_clock_forgets_no_producer() {
    let (mut bench, stream) = aged(18, 1_800_000_000_000);
    let produce = |bench: &mut Bench, sequence| {
        let producer = Producer { id: b"p"[..].into(), epoch: 0, sequence };
        bench.commit(Append::to(stream).record(b"once").producer(producer))
    };
    produce(&mut bench, 0).unwrap();
    let now_ms = bench.now_ms;
    bench.now_ms += TEN_YEARS_MS;
    bench.core.upkeep(bench.now_ms);
    assert!(produce(&mut bench, 0).unwrap().placed.duplicate);
    bench.now_ms = now_ms;
    bench.core.upkeep(bench.now_ms);
    assert!(produce(&mut bench, 0).unwrap().placed.duplicate);
    assert!(!produce(&mut bench, 1).unwrap().placed.duplicate);
}

#[test]
fn a_clock_that_is_behind_the_log_is_told() {
    let (mut bench, stream) = aged(19, 1_800_000_000_000);
    let newest_ms = bench.core.shared.stream(stream).unwrap().info().time_ms;
    bench.now_ms = 1000;
    bench.reopen(Death::Kill);
    let behind_ms = bench.core.shared.clock_behind_ms.load(Ordering::Relaxed);
    assert_eq!(behind_ms, newest_ms - 1000);
    bench.fill(stream, 1);
    bench.core.upkeep(bench.now_ms);
    let info = bench.core.shared.stream(stream).unwrap().info();
    assert_eq!((info.start, info.time_ms), (0, newest_ms));
}

#[test]
fn a_missing_segment_is_an_error() {
    let mut bench = Bench::new(14);
    let stream = bench.create("s");
    for turn in 1..8 {
        bench.fill(stream, 80);
        bench.core.upkeep(turn * 1000);
    }
    remove(&bench.disk, "0000000000000000.segment").unwrap();
    let error = bench.try_reopen(Death::Kill).err().expect("records are missing");
    assert!(error.to_string().contains("0000000000000000.segment"), "{error}");
}

fn remove(disk: &SimDisk, name: &str) -> io::Result<()> {
    crate::disk::Disk::remove(disk, name)
}
