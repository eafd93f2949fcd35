//! What is known of documents, kept in the log itself: in one stream, of each document the last.
//!
//! So a document is read from where it was last saved, leases outlive a restart, and whoever backs the log up has
//! all of it. What is outdated goes as new checkpoints come, so that the stream is about twice what is wanted.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use selvedge_eventlog::{
    Append, Batch, Log, ReadError, StreamId, StreamInfo, StreamOptions, Ticket, block_on,
};

/// The stream.
const NAME: &str = "sync/checkpoints";
/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 1 << 20;
/// Such reads before others have their turn: more than is written meanwhile.
const PAGES_MAX: usize = 64;
/// Checkpoints that may be outdated whatever there is.
const SLACK: u64 = 1024;
/// Bytes of the number in front of each.
const NUMBER: usize = 8;

/// The last checkpoint of each document, by its stream.
pub(crate) struct Checkpoints {
    log: Log,
    stream: StreamId,
    at: Mutex<HashMap<u64, u64>>,
}

impl Checkpoints {
    /// Reads where they are; blocks.
    pub(crate) fn open(log: &Log) -> Result<Self, String> {
        let stream = match log.stream(NAME) {
            Some(stream) => stream,
            None => block_on(log.create(NAME, StreamOptions::default()))
                .map_err(|error| error.to_string())?,
        };
        let mut at = HashMap::new();
        let mut from = log.info(stream).map_err(|error| error.to_string())?.start;
        loop {
            let chunk = log.read(stream, from, PAGE_BYTES).map_err(|error| error.to_string())?;
            for (sequence, record) in chunk.records() {
                at.extend(number(&record).map(|of| (of, sequence)));
            }
            if chunk.next == from {
                break;
            }
            from = chunk.next;
        }
        at.retain(|of, _| log.info(StreamId::from(*of)).is_ok());
        Ok(Self { log: log.clone(), stream, at: Mutex::new(at) })
    }

    /// The last one of a document; blocks.
    pub(crate) fn get(&self, of: StreamId) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(at) = self.at().get(&of.get()).copied() else { return Ok(None) };
        let chunk = self.log.read(self.stream, at, 1)?;
        let found = chunk.records().find(|(sequence, _)| *sequence == at);
        Ok(found.map(|(_, record)| record[NUMBER..].to_vec()))
    }

    /// Keeps one; when the ticket says that it is durable, [`Self::is_at`] is to be told where.
    pub(crate) fn put(&self, of: StreamId, checkpoint: &[u8]) -> Ticket {
        let record = [&of.get().to_le_bytes()[..], checkpoint].concat();
        self.log.append(Append::to(self.stream).record(&record))
    }

    /// The last one of a document is there.
    pub(crate) fn is_at(&self, of: StreamId, at: u64) {
        self.at().insert(of.get(), at);
    }

    /// Writes the eldest again that still count, where most do not, and lets the others go. Blocks.
    pub(crate) fn tidy(&self) -> Result<(), String> {
        for _ in 0..PAGES_MAX {
            let info = self.log.info(self.stream).map_err(|error| error.to_string())?;
            let wanted = self.at().len() as u64;
            if info.tail - info.start <= 2 * wanted + SLACK {
                break;
            }
            self.tidy_page(info)?;
        }
        Ok(())
    }

    fn tidy_page(&self, info: StreamInfo) -> Result<(), String> {
        let eldest = self.log.read(self.stream, info.start, PAGE_BYTES);
        let eldest = eldest.map_err(|error| error.to_string())?;
        for (sequence, record) in eldest.records() {
            let Some(of) = number(&record) else { continue };
            if self.at().get(&of) == Some(&sequence) {
                let again = self.log.append(Append::to(self.stream).record(&record)).wait();
                let placed = again.map_err(|error| error.to_string())?.placed;
                // A newer one may have come meanwhile.
                let mut at = self.at();
                if at.get(&of) == Some(&sequence) {
                    at.insert(of, placed.first);
                }
            }
        }
        let trimmed = self.log.append(Batch::trim(self.stream, eldest.next)).wait();
        trimmed.map(drop).map_err(|error| error.to_string())
    }

    fn at(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|number| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use selvedge_eventlog::Settings;

    use super::*;

    #[test]
    fn the_last_of_each_counts_and_the_others_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Settings::default()).unwrap();
        let streams: Vec<_> = (0..3)
            .map(|at| block_on(log.create(&format!("d{at}"), StreamOptions::default())).unwrap())
            .collect();
        let checkpoints = Checkpoints::open(&log).unwrap();
        let put = |of: StreamId, checkpoint: &[u8]| {
            let committed = block_on(checkpoints.put(of, checkpoint)).unwrap();
            checkpoints.is_at(of, committed.placed.first);
        };
        for round in 0..1_000_u32 {
            put(streams[(round % 2) as usize], &round.to_le_bytes());
        }
        put(streams[2], b"once");
        for round in 0..400_u32 {
            put(streams[0], &round.to_le_bytes());
        }
        checkpoints.tidy().unwrap();
        for checkpoints in [&checkpoints, &Checkpoints::open(&log).unwrap()] {
            let get = |at: usize| checkpoints.get(streams[at]).unwrap().unwrap();
            assert_eq!(get(0), 399_u32.to_le_bytes());
            assert_eq!(get(1), 999_u32.to_le_bytes());
            assert_eq!(get(2), b"once");
        }
        let info = log.info(checkpoints.stream).unwrap();
        assert!(info.start > 0);
    }

    /// Many documents are saved in a second, and each may know much.
    #[test]
    fn all_that_is_outdated_goes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Settings::default()).unwrap();
        let of = block_on(log.create("d", StreamOptions::default())).unwrap();
        let checkpoints = Checkpoints::open(&log).unwrap();
        let much = vec![7; 2 << 10];
        let tickets: Vec<_> = (0..4_000).map(|_| checkpoints.put(of, &much)).collect();
        for ticket in tickets {
            checkpoints.is_at(of, block_on(ticket).unwrap().placed.first);
        }
        checkpoints.tidy().unwrap();
        let info = log.info(checkpoints.stream).unwrap();
        assert!(info.tail - info.start <= 2 + SLACK, "{info:?}");
        assert_eq!(checkpoints.get(of).unwrap().unwrap(), much);
    }
}
