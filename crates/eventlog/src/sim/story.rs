//! Several lives of a log on one disk.

use std::{collections::VecDeque, fmt, sync::Arc};

use fastrand::Rng;

use super::{Death, SimDisk, model::Model};
use crate::{
    Append, AppendError, Batch, OpenError, Producer, Retention, Settings, StreamId, StreamOptions,
    Ticket,
    core::{Core, Spare},
    ticket::Reply,
};

/// What happened in a story, so that a run of many can show that it went where it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Deaths, each of which was followed by an opening that was compared with the model.
    pub crashes: u64,
    /// Of them, deaths while the log was being opened.
    pub crashes_opening: u64,
    /// Batches that were acknowledged.
    pub acknowledged: u64,
    /// Batches that were under way when the log died, and were found whole afterwards.
    pub survived: u64,
    /// Batches that were under way when the log died, and were found not to have happened.
    pub lost: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Appends refused because the disk was full.
    pub full: u64,
    /// Writes refused for that after a part of them.
    pub partial: u64,
    /// Files of segments that were prepared before they were needed.
    pub prepared: u64,
    /// Segment files that were removed: nothing in them was wanted, or the disk had no room for them.
    pub segments_removed: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        let Self {
            crashes,
            crashes_opening,
            acknowledged,
            survived,
            lost,
            failed_syncs,
            full,
            partial,
            prepared,
            segments_removed,
        } = other;
        self.segments_removed += segments_removed;
        self.crashes += crashes;
        self.crashes_opening += crashes_opening;
        self.acknowledged += acknowledged;
        self.survived += survived;
        self.lost += lost;
        self.failed_syncs += failed_syncs;
        self.full += full;
        self.partial += partial;
        self.prepared += prepared;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            crashes,
            crashes_opening,
            acknowledged,
            survived,
            lost,
            failed_syncs,
            full,
            partial,
            prepared,
            segments_removed,
        } = self;
        writeln!(out, "| what happened | how often |\n|---|--:|")?;
        writeln!(out, "| the machine or the process died | {crashes} |")?;
        writeln!(out, "| of that, while the log was being opened | {crashes_opening} |")?;
        writeln!(out, "| batches acknowledged | {acknowledged} |")?;
        writeln!(out, "| batches under way at a death, found whole afterwards | {survived} |")?;
        writeln!(out, "| batches under way at a death, found not to have happened | {lost} |")?;
        writeln!(out, "| syncs that failed | {failed_syncs} |")?;
        writeln!(out, "| appends refused because the disk was full | {full} |")?;
        writeln!(out, "| writes refused for that after a part of them | {partial} |")?;
        writeln!(out, "| segment files prepared | {prepared} |")?;
        writeln!(out, "| segment files removed | {segments_removed} |")?;
        writeln!(out, "| acknowledged records lost | 0 |")?;
        write!(out, "| records that nobody sent, or parts of batches | 0 |")
    }
}

/// Lives through one story. Panics where the log breaks a promise.
pub fn run(seed: u64) -> Report {
    let mut story = Story {
        rng: Rng::with_seed(seed),
        disk: SimDisk::new(seed ^ 0x5eed),
        model: Model { bounded: seed.is_multiple_of(3), ..Model::default() },
        under_way: VecDeque::new(),
        now_ms: 1_000_000,
        ahead_ms: 0,
        settings: settings(seed),
        report: Report::default(),
    };
    if seed % 4 < 2 {
        story.disk.set_thin();
    }
    for _ in 0..4 {
        story.live();
    }
    story.report
}

/// Small bounds, so that all of them are met.
fn settings(seed: u64) -> Settings {
    Settings {
        segment_bytes: 64 << 10,
        record_bytes_max: 4 << 10,
        group_bytes_max: 8 << 10,
        streams_max: 24,
        producers_max: 64,
        // Without memory, all reads come from the disk.
        cache_bytes_max: if seed.is_multiple_of(2) { 0 } else { 16 << 10 },
        log_bytes_max: if seed.is_multiple_of(3) { 5 * (64 << 10) } else { 0 },
        upkeep_ms: 10,
        ..Settings::default()
    }
}

/// How far a clock leaps that is wrong: further than any age, and than any silence.
const LEAP_MS: u64 = 3650 * 24 * 3_600_000;

struct Story {
    rng: Rng,
    disk: SimDisk,
    /// What was acknowledged.
    model: Model,
    /// What was submitted behind that and may have happened or not.
    under_way: VecDeque<Batch>,
    now_ms: u64,
    /// How far the clock is ahead of the time, for a while.
    ahead_ms: u64,
    settings: Settings,
    report: Report,
}

impl Story {
    /// From one opening of the log to its death.
    fn live(&mut self) {
        let Some(mut core) = self.open() else { return self.die() };
        self.arrange_faults();
        for _ in 0..self.rng.usize(1..120) {
            self.turn(&mut core);
            if self.disk.is_dead() {
                break;
            }
        }
        self.die();
    }

    /// Opens the log, where it does not die over it, and finds everything in it.
    fn open(&mut self) -> Option<Core> {
        if self.rng.u8(..) < 64 {
            self.disk.die_after(self.rng.u64(0..40));
        }
        let opened =
            Core::open(Arc::new(self.disk.clone()), self.settings.clone(), self.clock_ms());
        let core = match opened {
            Ok(core) => core,
            Err(OpenError::Disk { .. }) if self.disk.is_dead() => {
                self.report.crashes_opening += 1;
                return None;
            }
            Err(error) => panic!("the log does not open: {error}"),
        };
        if self.disk.is_dead() {
            return None;
        }
        self.disk.restart(Death::Kill);
        self.compare(&core);
        Some(core)
    }

    /// Demands what was acknowledged, and of what was under way the first batches, each as a whole.
    fn compare(&mut self, core: &Core) {
        let observed = Model::observe(&core.shared);
        let mut survived = 0;
        self.model.accept_retention(&observed);
        while self.model.visible() != observed {
            let Some(batch) = self.under_way.pop_front() else {
                panic!(
                    "neither what was acknowledged nor that and more is in the log\n\
                     expected: {:?}\nobserved: {observed:?}",
                    self.model.visible()
                );
            };
            survived += u64::from(self.model.apply(&batch).is_ok());
            self.model.accept_retention(&observed);
        }
        self.report.survived += survived;
        self.report.lost += self.under_way.len() as u64;
        self.under_way.clear();
    }

    fn clock_ms(&self) -> u64 {
        self.now_ms + self.ahead_ms
    }

    fn arrange_faults(&mut self) {
        match self.rng.u8(0..8) {
            0 => self.disk.fail_sync_after(self.rng.u64(0..30)),
            1 => self.disk.set_capacity(self.disk.used() + self.rng.u64(0..100_000)),
            2 => {}
            _ => self.disk.die_after(self.rng.u64(0..150)),
        }
    }

    fn turn(&mut self, core: &mut Core) {
        self.now_ms += self.rng.u64(0..50);
        match self.rng.u8(..) {
            0 => self.ahead_ms = LEAP_MS,
            1..32 => self.ahead_ms = 0,
            _ => {}
        }
        let mut submitted = Vec::new();
        for _ in 0..self.rng.usize(0..12) {
            let batch = self.batch(core);
            let (reply, ticket) = Reply::new();
            core.submit(batch.clone(), reply, self.clock_ms());
            submitted.push((batch, ticket));
        }
        core.commit();
        self.hear(core, submitted);
        if self.rng.bool() {
            core.upkeep(self.clock_ms());
        }
        self.prepare(core);
        if self.rng.u8(..) < 16 && !self.disk.is_dead() {
            let observed = Model::observe(&core.shared);
            self.model.accept_retention(&observed);
            assert_eq!(observed, self.model.visible(), "readers see the model");
        }
    }

    /// Prepares a segment sometimes, as the log's driver does.
    fn prepare(&mut self, core: &mut Core) {
        if core.wants_spare().is_some()
            && self.rng.bool()
            && let Ok(spare) = Spare::prepare(&self.disk, &self.settings)
        {
            core.take_spare(spare);
            self.report.prepared += 1;
        }
    }

    /// Compares every answer with the model's.
    fn hear(&mut self, core: &Core, submitted: Vec<(Batch, Ticket)>) {
        for (batch, mut ticket) in submitted {
            match ticket.try_take().expect("a commit answers everything") {
                Err(AppendError::ReadOnly(_)) => self.under_way.push_back(batch),
                Err(AppendError::DiskFull) => self.report.full += 1,
                outcome => {
                    assert!(self.under_way.is_empty(), "nothing is answered behind what is unsure");
                    let expected = self.model.apply(&batch);
                    let heard = outcome.map(|committed| committed.placed.tail);
                    assert_eq!(heard, expected, "the answer to {batch:?}");
                    self.report.acknowledged += u64::from(expected.is_ok());
                }
            }
        }
        let fault = core.writable().is_err();
        assert!(self.under_way.is_empty() || fault, "a log that works knows what it did");
    }

    fn die(&mut self) {
        self.report.segments_removed = self.disk.removed(".segment");
        self.report.failed_syncs = self.disk.failed_syncs();
        self.report.partial = self.disk.partial();
        let death = if self.rng.u8(..) < 64 { Death::Kill } else { Death::PowerCut };
        self.disk.restart(death);
        self.disk.set_capacity(u64::MAX);
        self.report.crashes += 1;
    }

    fn batch(&mut self, core: &Core) -> Batch {
        match self.rng.u8(0..20) {
            0 | 1 => self.creation(core),
            2 => Batch::trim(self.stream(), self.rng.u64(0..40)),
            3 if self.rng.bool() => Batch::delete(self.stream()),
            4 => {
                let (one, other) = (self.stream(), self.stream());
                let batch = Batch::from(self.append(one));
                if one == other { batch } else { batch.and(self.append(other)) }
            }
            5 => self.creation(core).and(Batch::trim(self.stream(), 1)),
            _ => {
                let stream = self.stream();
                self.append(stream).into()
            }
        }
    }

    fn creation(&mut self, core: &Core) -> Batch {
        let next = &core.shared.next_stream;
        let stream = StreamId(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let name = format!("stream {}", self.rng.u8(0..16));
        let creation = Batch::create(stream, name, self.options());
        if self.rng.bool() { creation } else { creation.and(self.append(stream)) }
    }

    fn options(&mut self) -> StreamOptions {
        let retention = match self.rng.u8(0..4) {
            0 => Retention { age_ms_max: Some(1000), bytes_max: None },
            1 => Retention { age_ms_max: None, bytes_max: Some(20_000) },
            _ => Retention::default(),
        };
        StreamOptions { retention, ..StreamOptions::default() }
    }

    /// A stream that exists, most of the time.
    fn stream(&mut self) -> StreamId {
        let numbers: Vec<u64> = self.model.streams.keys().copied().collect();
        StreamId(self.rng.choice(numbers).unwrap_or(0))
    }

    fn append(&mut self, stream: StreamId) -> Append {
        let mut append = Append::to(stream);
        for _ in 0..self.rng.usize(1..4) {
            let length = if self.rng.u8(..) < 8 { 2500 } else { self.rng.usize(0..300) };
            let mut record = vec![0; length];
            self.rng.fill(&mut record);
            append.push(&record);
        }
        let known = self.model.streams.get(&stream.get());
        let tail = known.map_or(0, |contents| contents.records.len() as u64);
        match self.rng.u8(0..40) {
            0..4 => append.expect_tail(tail),
            4..16 => {
                let id = [b'p', self.rng.u8(0..3)];
                let before = known.and_then(|contents| contents.producers.get(id.as_slice()));
                let producer = self.producer(&id, before.copied());
                append.producer(producer)
            }
            16 => append.close(),
            17..20 => append.metadata(vec![self.rng.u8(..); 5]),
            _ => append,
        }
    }

    /// A producer's next batch, or a repetition, or a mistake.
    fn producer(&mut self, id: &[u8], before: Option<(u64, u64)>) -> Producer {
        let id = id.to_vec().into();
        let (epoch, next) = before.map_or((0, 0), |(epoch, sequence)| (epoch, sequence + 1));
        match self.rng.u8(0..10) {
            0 => Producer { id, epoch: epoch + 1, sequence: 0 },
            1 => Producer { id, epoch, sequence: next + 1 },
            2 | 3 => Producer { id, epoch, sequence: next.saturating_sub(1) },
            _ => Producer { id, epoch, sequence: next },
        }
    }
}
