//! Who founded which document: whoever asked first, for good.

use std::collections::{HashMap, HashSet};

use selvedge_crdt::session::{DeviceId, DocumentId};
use selvedge_eventlog::{Append, Log, StreamId, StreamOptions, block_on};

/// The stream: of each founded document its founder and its name.
const NAME: &str = "sync/founders";
/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 1 << 20;
/// Bytes of a device in front of each name.
const DEVICE: usize = 32;

/// Why a device does not found a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFounded {
    /// The settings do not open this name to guests.
    NotOpen,
    /// The last part of the name could be guessed.
    Guessable,
    /// It is another's, or was there before anybody asked.
    Taken,
    /// Somebody is founding it at this moment.
    Busy,
    /// As many were founded as may be.
    Full,
}

/// Founders of documents.
pub(crate) struct Founders {
    stream: StreamId,
    known: HashMap<DocumentId, DeviceId>,
    /// Documents whose record is on its way to the log.
    pending: HashSet<DocumentId>,
}

impl Founders {
    /// Reads who they are; blocks.
    pub(crate) fn open(log: &Log) -> Result<Self, String> {
        let stream = match log.stream(NAME) {
            Some(stream) => stream,
            None => block_on(log.create(NAME, StreamOptions::default()))
                .map_err(|error| error.to_string())?,
        };
        let mut known = HashMap::new();
        let mut from = log.info(stream).map_err(|error| error.to_string())?.start;
        loop {
            let chunk = log.read(stream, from, PAGE_BYTES).map_err(|error| error.to_string())?;
            for (_, record) in chunk.records() {
                // The first that asked stays it.
                if let Some((document, device)) = parse(&record) {
                    known.entry(document).or_insert(device);
                }
            }
            if chunk.next == from {
                return Ok(Self { stream, known, pending: HashSet::new() });
            }
            from = chunk.next;
        }
    }

    /// Who founded a document.
    pub(crate) fn of(&self, document: &DocumentId) -> Option<DeviceId> {
        self.known.get(document).copied()
    }

    /// How many of the documents that were founded, or are about to be, are like this.
    pub(crate) fn count(&self, is_like: impl Fn(&DocumentId) -> bool) -> usize {
        self.known.keys().chain(&self.pending).filter(|document| is_like(document)).count()
    }

    /// Takes a document for a device: the record for the log. Nothing if somebody else is about to take it.
    pub(crate) fn begin(&mut self, document: &DocumentId, device: &DeviceId) -> Option<Append> {
        let record = [&device.0[..], document.to_string().as_bytes()].concat();
        let is_first = self.pending.insert(document.clone());
        is_first.then(|| Append::to(self.stream).record(&record))
    }

    /// The record is durable.
    pub(crate) fn finish(&mut self, document: &DocumentId, device: DeviceId) {
        self.pending.remove(document);
        self.known.insert(document.clone(), device);
    }

    /// The record is not in the log.
    pub(crate) fn give_up(&mut self, document: &DocumentId) {
        self.pending.remove(document);
    }
}

fn parse(record: &[u8]) -> Option<(DocumentId, DeviceId)> {
    let (device, name) = record.split_first_chunk::<DEVICE>()?;
    let (tenant, name) = str::from_utf8(name).ok()?.split_once('/')?;
    Some((DocumentId::new(tenant, name)?, DeviceId(*device)))
}
