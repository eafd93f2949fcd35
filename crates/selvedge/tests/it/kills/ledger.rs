//! What everybody sent and was told, and whether the files say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use super::{
    auditor::Auditor,
    churn::{Churner, Known, Made},
    reader::Stream,
    writer::{Books, Writer, parse},
};

/// How names of streams begin in the log.
pub const ROOT: &str = "streams/_/";

/// The books of all writers.
pub struct Ledger {
    streams: usize,
    /// The first half is idempotent.
    writers: Vec<Mutex<Books>>,
    churners: Vec<Mutex<Vec<Made>>>,
    pub acknowledged: AtomicU64,
    /// Appends that nobody was told of, and that are in the files nevertheless, at the last look.
    unheard: AtomicU64,
    stop: AtomicBool,
}

/// Tells everybody to stop when it is dropped.
pub struct Stop<'l>(&'l AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Ledger {
    pub fn new(streams: usize, writers: usize, churners: usize) -> Self {
        Self {
            streams,
            writers: (0..2 * writers).map(|_| Mutex::default()).collect(),
            churners: (0..churners).map(|_| Mutex::default()).collect(),
            acknowledged: AtomicU64::new(0),
            unheard: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    pub fn stop_at_the_end(&self) -> Stop<'_> {
        Stop(&self.stop)
    }

    pub fn writers(&self) -> impl Iterator<Item = Writer<'_>> {
        self.writers.iter().enumerate().map(|(at, books)| Writer {
            name: self.name(at),
            stream: format!("load/{}", at % self.streams),
            is_idempotent: self.is_idempotent(at),
            books,
            acknowledged: &self.acknowledged,
            stop: &self.stop,
        })
    }

    pub fn churners(&self) -> impl Iterator<Item = Churner<'_>> {
        self.churners.iter().enumerate().map(|(at, made)| Churner {
            name: at.to_string(),
            made,
            acknowledged: &self.acknowledged,
            stop: &self.stop,
        })
    }

    fn is_idempotent(&self, at: usize) -> bool {
        at < self.writers.len() / 2
    }

    fn name(&self, at: usize) -> String {
        format!("{}{at}", if self.is_idempotent(at) { "producer" } else { "plain" })
    }

    /// Compares the files with what was sent and acknowledged.
    pub fn check(&self, found: &BTreeMap<u64, Stream>) {
        let streams = found.values().filter_map(|stream| {
            stream.name.strip_prefix(ROOT).map(|path| (path.to_owned(), stream))
        });
        let streams: BTreeMap<String, &Stream> = streams.collect();
        self.unheard.store(0, SeqCst);
        for number in 0..self.streams {
            let path = format!("load/{number}");
            self.check_load(&path, streams.get(&path).copied());
        }
        let made: Vec<Made> =
            self.churners.iter().flat_map(|made| made.lock().unwrap().clone()).collect();
        made.iter().for_each(|made| check_made(made, streams.get(&made.path).copied()));
        let known: BTreeSet<&str> = made.iter().map(|made| made.path.as_str()).collect();
        let load = |path: &str| path.starts_with("load/");
        let phantom = streams.keys().find(|path| !load(path) && !known.contains(path.as_str()));
        assert_eq!(phantom, None, "nobody made that stream");
    }

    /// A stream of many writers: all that was acknowledged is where that was said, and all that is there was sent, once, in
    /// each writer's order.
    fn check_load(&self, path: &str, stream: Option<&Stream>) {
        let nothing = BTreeMap::new();
        let records = stream.map_or(&nothing, |stream| &stream.records);
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (sequence, record) in records {
            let read = parse(record);
            let (writer, number) =
                read.unwrap_or_else(|| panic!("{path}: nobody sent what is at {sequence}"));
            let before = last.insert(writer, number);
            assert!(
                before.is_none_or(|before| before < number),
                "{path}: {writer} sent {number} after {before:?}, found at {sequence}"
            );
        }
        for (at, books) in self
            .writers
            .iter()
            .enumerate()
            .filter(|(at, _)| format!("load/{}", at % self.streams) == path)
        {
            let (name, books) = (self.name(at), books.lock().unwrap());
            for (number, next) in &books.acknowledged {
                let there = records.get(&(next - 1)).and_then(|record| parse(record));
                // A repetition is told where the stream ends, not where its record is.
                let is_right = there == Some((name.as_str(), *number));
                let repeated = books.repeated.contains(number);
                assert!(is_right || repeated, "{path}: {name} {number} was acknowledged at {next}");
            }
            self.check_writer((path, &name), &books, records);
        }
    }

    /// One writer's records in a stream.
    fn check_writer(
        &self,
        (path, name): (&str, &str),
        books: &Books,
        records: &BTreeMap<u64, Vec<u8>>,
    ) {
        let found: BTreeSet<u64> = records
            .values()
            .filter_map(|record| parse(record))
            .filter_map(|(writer, number)| (writer == name).then_some(number))
            .collect();
        let lost: Vec<&u64> =
            books.acknowledged.keys().filter(|number| !found.contains(number)).collect();
        assert!(lost.is_empty(), "{path}: {name} was told that {lost:?} are safe");
        let unheard = found.iter().filter(|number| !books.acknowledged.contains_key(number));
        self.unheard.fetch_add(unheard.count() as u64, SeqCst);
        let phantom = found.iter().find(|number| **number >= books.sent);
        assert_eq!(phantom, None, "{path}: {name} never sent that");
    }

    /// What happened, as a table.
    pub fn report(
        &self,
        (kills, auditor): (u64, &Auditor),
        (segments, bytes): &(usize, u64),
    ) -> String {
        let half = self.writers.len() / 2;
        let sum = |writers: &[Mutex<Books>], of: fn(&Books) -> u64| -> u64 {
            writers.iter().map(|books| of(&books.lock().unwrap())).sum()
        };
        let (idempotent, plain) = self.writers.split_at(half);
        let acknowledged = |books: &Books| books.acknowledged.len() as u64;
        let made: Vec<Made> =
            self.churners.iter().flat_map(|made| made.lock().unwrap().clone()).collect();
        let count = |is: fn(&Made) -> bool| made.iter().filter(|made| is(made)).count() as u64;
        let rows = [
            ("the core was killed", kills),
            ("appends of idempotent producers acknowledged", sum(idempotent, acknowledged)),
            (
                "of theirs, sent again because the answer did not come",
                sum(idempotent, |it| it.repeated.len() as u64),
            ),
            ("appends of plain writers acknowledged", sum(plain, acknowledged)),
            (
                "of theirs, sent and not acknowledged, most while no core was there",
                sum(plain, |books| books.sent - books.acknowledged.len() as u64),
            ),
            ("not acknowledged and yet in the files, once", self.unheard.load(SeqCst)),
            ("streams created", count(|made| made.created == Known::Done)),
            ("of these, deleted", count(|made| made.deleted == Known::Done)),
            ("of these, closed", count(|made| made.closed == Known::Done)),
            (
                "of these, with a lifetime of a second",
                count(|made| made.has_lifetime && made.created == Known::Done),
            ),
            ("audit entries, verified after each death", auditor.entries),
            ("of these, streams made", auditor.made),
            ("of these, streams deleted, or their time over", auditor.ended),
            ("segments at the end", *segments as u64),
            ("MiB in sealed ones", bytes >> 20),
            ("acknowledged appends, creations, deletions lost", 0),
            ("records or streams that nobody sent, or twice", 0),
            ("records out of their writer's order", 0),
            ("streams made or ended without their entry, entries without what they tell", 0),
            ("audit logs that were not what was signed, or went back", 0),
        ];
        let rows: String =
            rows.iter().map(|(what, count)| format!("| {what} | {count} |\n")).collect();
        format!("| what happened | how often |\n|---|--:|\n{rows}")
    }
}

/// A stream that one churner made.
fn check_made(made: &Made, stream: Option<&Stream>) {
    let Some(stream) = stream else {
        let may_be_gone =
            made.created != Known::Done || made.deleted != Known::NotAsked || made.has_lifetime;
        return assert!(may_be_gone, "lost: {made:?}");
    };
    assert!(made.deleted != Known::Done, "deleted and there: {made:?}");
    assert!(made.closed != Known::Done || stream.closed, "not closed: {made:?}");
    assert!(made.closed != Known::NotAsked || !stream.closed, "closed: {made:?}");
    let records: Vec<_> = stream.records.values().map(|record| parse(record)).collect();
    let expected: Vec<_> =
        (0..records.len() as u64).map(|nth| Some((made.path.as_str(), nth))).collect();
    assert_eq!(records, expected, "{made:?}");
    let length = records.len() as u64;
    assert!((made.acknowledged..=made.sent).contains(&length), "{length} of {made:?}");
}
