//! A snapshot that is read: fetched piece by piece, also over several connections, and joined.

use std::{collections::VecDeque, sync::Arc};

use super::{
    channel::{Channel, Phase},
    link::Turn,
};
use crate::{
    Document,
    session::{
        ClientFrame, Event, KeyPlace, Keys, OpenDocument, Record, Sealing, SnapshotHash,
        SnapshotInfo, Suspicion, Unreadable,
    },
};

/// Bytes of records that wait for a snapshot, at most; what comes after is asked for again.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What a snapshot is fetched for, and what waits for it.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Load {
    purpose: Purpose,
    waiting: VecDeque<(u64, Arc<[u8]>)>,
    waiting_bytes: usize,
}

#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
enum Purpose {
    /// The relay begins with it, or with nothing.
    Arrival(OpenDocument),
    /// It is joined at its place in the log.
    Healing(SnapshotInfo, Arc<[u8]>),
}

/// A snapshot on its way.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Fetch {
    hash: SnapshotHash,
    bytes: Vec<u8>,
    /// On this connection.
    asked: bool,
}

impl Load {
    pub fn arrival(opened: OpenDocument) -> Self {
        Load::of(Purpose::Arrival(opened))
    }

    pub fn healing(info: SnapshotInfo, record: Arc<[u8]>) -> Self {
        Load::of(Purpose::Healing(info, record))
    }

    fn of(purpose: Purpose) -> Self {
        Load { purpose, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// Keeps a record until the snapshot is there; those that do not fit are read again later.
    pub fn wait(&mut self, offset: u64, record: Arc<[u8]>) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(record.len());
        if self.waiting_bytes <= WAITING_BYTES_MAX {
            self.waiting.push_back((offset, record));
        }
    }

    fn info(&self) -> Option<SnapshotInfo> {
        match &self.purpose {
            Purpose::Arrival(opened) => opened.snapshot.map(|(info, _)| info),
            Purpose::Healing(info, _) => Some(*info),
        }
    }
}

impl Channel {
    pub(super) fn load(&mut self, load: Load) {
        let hash = load.info().map(|info| info.hash);
        let bytes = match self.fetch.take() {
            // What came over the last connection need not come again.
            Some(fetch) if Some(fetch.hash) == hash => fetch.bytes,
            _ => Vec::new(),
        };
        self.fetch = hash.map(|hash| Fetch { hash, bytes, asked: false });
        self.phase = Phase::Loading(Box::new(load));
    }

    pub(super) fn tick_loading(&mut self, turn: &mut Turn<'_>) {
        let Some(fetch) = &mut self.fetch else {
            return self.loaded((turn.relay_ms, &mut *turn.keys));
        };
        if !std::mem::replace(&mut fetch.asked, true) {
            let (snapshot, from) = (fetch.hash, fetch.bytes.len() as u64);
            turn.send(&ClientFrame::Fetch { snapshot, from }, self.number);
        }
        // A snapshot of no bytes, or one that came whole before the connection was lost.
        if self.is_whole() {
            self.loaded((turn.relay_ms, &mut *turn.keys));
        }
    }

    fn is_whole(&self) -> bool {
        let Phase::Loading(load) = &self.phase else { return false };
        let fetched = self.fetch.as_ref().map(|fetch| fetch.bytes.len() as u64);
        fetched.zip(load.info()).is_some_and(|(fetched, info)| fetched >= info.bytes)
    }

    pub(super) fn piece(
        &mut self,
        snapshot: SnapshotHash,
        (from, bytes): (u64, &[u8]),
        reading: (u64, &mut dyn Keys),
    ) {
        let Phase::Loading(load) = &self.phase else { return };
        let (Some(fetch), Some(info)) = (&mut self.fetch, load.info()) else { return };
        let len = fetch.bytes.len() as u64;
        if fetch.hash != snapshot || from != len || len + bytes.len() as u64 > info.bytes {
            return;
        }
        fetch.bytes.extend_from_slice(bytes);
        if self.is_whole() {
            self.loaded(reading);
        }
    }

    /// It is gone at the relay: the current one is asked for.
    pub(super) fn fetch_rejected(&mut self) {
        if matches!(self.phase, Phase::Loading(_)) {
            self.fetch = None;
            self.anew = true;
            self.leave();
        }
    }

    /// The snapshot is here: it is joined, and what waited for it is read.
    fn loaded(&mut self, (relay_ms, keys): (u64, &mut dyn Keys)) {
        let bytes = self.fetch.take().map(|fetch| fetch.bytes);
        let Phase::Loading(load) = std::mem::replace(&mut self.phase, Phase::Open) else { return };
        let document = match self.open_snapshot(&load, bytes, keys) {
            Ok(document) => document,
            Err(unreadable) => return self.unreadable(&load, unreadable),
        };
        match &load.purpose {
            Purpose::Arrival(opened) => self.replica.arrive(opened, &document),
            Purpose::Healing(info, record) => self.replica.heal(*info, record, &document),
        }
        for (offset, record) in load.waiting {
            self.receive_record(offset, record, (relay_ms, &mut *keys));
        }
        self.read_places((relay_ms, keys));
        if load.waiting_bytes > WAITING_BYTES_MAX && matches!(self.phase, Phase::Open) {
            self.leave();
        }
    }

    fn open_snapshot(
        &self,
        load: &Load,
        bytes: Option<Vec<u8>>,
        keys: &dyn Keys,
    ) -> Result<Document, Unreadable> {
        let (Some(info), Some(bytes)) = (load.info(), bytes) else { return Ok(Document::new()) };
        let name = self.replica.name();
        if let Purpose::Arrival(OpenDocument { snapshot: Some((info, signature)), .. }) =
            &load.purpose
        {
            let record = Record::Snapshot { info: *info, signature: *signature };
            if !keys.verify(info.device, &record.signed_bytes(name), signature) {
                return Err(Unreadable::Broken);
            }
        }
        if SnapshotHash::of(&bytes) != info.hash {
            return Err(Unreadable::Broken);
        }
        let plain = match info.sealing {
            Sealing::Plain if self.replica.sealing() == Sealing::Plain => bytes,
            Sealing::Plain => return Err(Unreadable::Broken),
            Sealing::Epoch(epoch) => {
                keys.open_snapshot(KeyPlace { document: name, epoch }, &bytes)?
            }
        };
        Document::load(&plain).map_err(|_| Unreadable::Broken)
    }

    /// A snapshot that is not what it says is not joined; nor is anything behind it read, as the relay would have it.
    fn unreadable(&mut self, load: &Load, why: Unreadable) {
        let info = load.info();
        let offset = info.map_or(0, |info| info.offset);
        match (why, info.map(|info| info.sealing)) {
            (Unreadable::NoKey, Some(Sealing::Epoch(epoch))) => {
                self.replica.tell(Event::NeedsKey(epoch));
            }
            _ => self.replica.tell(Event::Suspicious { offset, what: Suspicion::Snapshot }),
        }
        if let Purpose::Healing(_, record) = &load.purpose
            && why == Unreadable::Broken
        {
            // Nobody can join it: everybody goes on without.
            self.phase = Phase::Open;
            self.replica.pass_record(record);
            return self.leave();
        }
        self.leave();
    }
}
