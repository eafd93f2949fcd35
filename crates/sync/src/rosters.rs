//! Keys of a document: each record of them lies in a stream of its own as well, in the same batch as in the document's log. When
//! that is cut, links and devices that were away go on from these, and who comes in reads them first.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use selvedge_crdt::session::{DeviceId, DocumentId, Record};
use selvedge_eventlog::{Append, Batch, Log, ReadError, StreamId, StreamOptions};
use selvedge_seal::{MemberKind, Roster, RosterError, RosterHash};

use crate::names;

/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 1 << 20;
/// Bytes in front of each: what all up to it take together.
const TOTAL: usize = 8;

/// Where a document's keys lie.
#[derive(Debug)]
pub(crate) struct Rosters {
    pub(crate) stream: StreamId,
    /// With those that are on their way.
    now: Extent,
    /// Without.
    durable: Extent,
    /// Devices that were members, by so many of the durable ones, and are not any more.
    gone: (u64, Option<Arc<BTreeSet<DeviceId>>>),
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// Whether the log has the stream.
    is_created: bool,
    /// How many.
    count: u64,
    /// Bytes of all of them.
    bytes: u64,
}

/// The roster in force, as far as a relay can know: the first that there was, and each that may follow the one before. What
/// else lies among them nobody believes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// So many were looked at.
    pub(crate) next: u64,
    pub(crate) held: Option<Arc<Roster>>,
    /// Devices that were members, and are not any more.
    pub(crate) gone: Arc<BTreeSet<DeviceId>>,
    /// All that were in force.
    known: Arc<HashSet<RosterHash>>,
}

/// What is to be made of a roster that somebody pushes who is no admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It follows.
    Follows,
    /// It was in force before: it lies where its device reads it.
    Known,
    /// Another one came first: whoever made it hears of that one, and makes it anew.
    Late,
    /// It may never.
    Never,
}

impl Extent {
    fn with(self, record: &[u8]) -> Self {
        let bytes = self.bytes + (TOTAL + record.len()) as u64;
        Self { is_created: true, count: self.count + 1, bytes }
    }
}

impl Rosters {
    /// Those of a document; blocks.
    pub(crate) fn open(log: &Log, id: &DocumentId) -> Result<Self, ReadError> {
        let Some(stream) = log.stream(&names::keys(id)) else {
            let (stream, none) = (log.new_stream(), Extent::default());
            return Ok(Self { stream, now: none, durable: none, gone: (0, None) });
        };
        let tail = log.info(stream)?.tail;
        let last = tail.checked_sub(1).map(|last| log.read(stream, last, 1)).transpose()?;
        let last = last.and_then(|chunk| chunk.records().last().map(|(_, record)| record));
        let bytes = last.and_then(|record| record.first_chunk().map(|it| u64::from_le_bytes(*it)));
        let extent = Extent { is_created: true, count: tail, bytes: bytes.unwrap_or(0) };
        Ok(Self { stream, now: extent, durable: extent, gone: (0, None) })
    }

    /// Whether there are any.
    pub(crate) fn has_some(&self) -> bool {
        self.now.is_created
    }

    /// How many there are, with those that are on their way.
    pub(crate) fn count(&self) -> u64 {
        self.now.count
    }

    /// What they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.now.bytes
    }

    /// Whether it is known who was taken out by those that are durable.
    pub(crate) fn knows_gone(&self) -> bool {
        self.gone.0 >= self.durable.count
    }

    /// Takes notice of it.
    pub(crate) fn know_gone(&mut self, line: &Line) {
        self.gone = (line.next, Some(line.gone.clone()).filter(|gone| !gone.is_empty()));
    }

    /// Whether a device was taken out of the members, as far as that is known.
    pub(crate) fn is_gone(&self, device: &DeviceId) -> bool {
        self.gone.1.as_ref().is_some_and(|gone| gone.contains(device))
    }

    /// The steps that keep one more, for the batch that appends it to the document's log.
    pub(crate) fn keep(&mut self, id: &DocumentId, record: &[u8]) -> Batch {
        let before = self.now;
        self.now = before.with(record);
        let kept = [&self.now.bytes.to_le_bytes()[..], record].concat();
        let append = Append::to(self.stream).record(&kept);
        match before.is_created {
            true => Batch::from(append),
            false => {
                let options = StreamOptions::default();
                Batch::create(self.stream, names::keys(id), options).and(append)
            }
        }
    }

    /// The first of those on their way is durable.
    pub(crate) fn kept(&mut self, record: &[u8]) {
        self.durable = self.durable.with(record);
    }

    /// The log did not take those on their way.
    pub(crate) fn take_back(&mut self) {
        self.now = self.durable;
    }

    /// Keeps what a log has that was written before keys were kept. Blocks.
    pub(crate) fn gather(
        &mut self,
        log: &Log,
        (id, of): (&DocumentId, StreamId),
    ) -> Result<(), String> {
        let mut from = log.info(of).map_err(|error| error.to_string())?.start;
        loop {
            let chunk = log.read(of, from, PAGE_BYTES).map_err(|error| error.to_string())?;
            for (_, record) in chunk.records() {
                if is_keys(&record) {
                    let kept = log.append(self.keep(id, &record)).wait();
                    kept.map_err(|error| error.to_string())?;
                    self.kept(&record);
                }
            }
            if chunk.next == from {
                return Ok(());
            }
            from = chunk.next;
        }
    }
}

impl Line {
    /// Looks at those that came since; blocks. `has_lost` says that the relay lost some: what follows those is believed.
    pub(crate) fn go_on(
        mut self,
        log: &Log,
        (id, stream): (&DocumentId, StreamId),
        has_lost: bool,
    ) -> Result<Self, ReadError> {
        let tail = log.info(stream)?.tail;
        if tail < self.next {
            self = Self::default();
        }
        while self.next < tail {
            let chunk = log.read(stream, self.next, PAGE_BYTES)?;
            let from = self.next;
            for (_, kept) in chunk.records().filter(|(index, _)| *index >= from) {
                self.take(id, &record(kept), has_lost);
            }
            self.next = chunk.next;
        }
        Ok(self)
    }

    fn take(&mut self, id: &DocumentId, bytes: &[u8], has_lost: bool) {
        let Ok(record) = Record::read(bytes) else { return };
        let next = match &self.held {
            None => Roster::of_record(id, &record).ok(),
            Some(held) => match held.follow(&record) {
                Err(RosterError::Gap(_)) if has_lost => Roster::of_record(id, &record).ok(),
                followed => followed.ok(),
            },
        };
        let Some(next) = next else { return };
        let gone = Arc::make_mut(&mut self.gone);
        let before = self.held.iter().flat_map(|held| held.members());
        gone.extend(before.filter(|it| it.kind == MemberKind::Device).map(|it| it.device));
        next.members().iter().for_each(|member| {
            gone.remove(&member.device);
        });
        Arc::make_mut(&mut self.known).insert(next.hash());
        self.held = Some(Arc::new(next));
    }

    /// What is to be made of a roster by somebody who is no admin.
    pub(crate) fn judge(&self, (id, record): (&DocumentId, &Record<'_>), has_lost: bool) -> Next {
        let Some(held) = &self.held else { return Next::Follows };
        if Roster::of_record(id, record).is_ok_and(|it| self.known.contains(&it.hash())) {
            return Next::Known;
        }
        match held.follow(record) {
            Ok(_) => Next::Follows,
            Err(RosterError::Gap(_)) if has_lost => Next::Follows,
            Err(RosterError::Past | RosterError::Forked | RosterError::Gap(_)) => Next::Late,
            Err(_) => Next::Never,
        }
    }
}

/// What was kept, as it lies in the document's log.
pub(crate) fn record(mut kept: Bytes) -> Bytes {
    kept.advance(TOTAL.min(kept.len()));
    kept
}

/// Whether a record of a document's log is of keys.
pub(crate) fn is_keys(record: &[u8]) -> bool {
    matches!(Record::read(record), Ok(Record::Keys { .. }))
}
