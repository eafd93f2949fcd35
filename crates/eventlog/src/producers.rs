//! The producers of one stream, and what of theirs was written.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{AppendError, Producer};

/// Who produced for a stream, bounded by number and by silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    known: BTreeMap<Bytes, Last>,
}

/// The last batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub epoch: u64,
    pub sequence: u64,
    pub time_ms: u64,
}

/// What is to be done with a batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Fresh,
    Repeated,
}

impl Producers {
    /// Judges a batch by what came before.
    pub(crate) fn judge(&self, producer: &Producer, oldest_ms: u64) -> Result<Turn, AppendError> {
        let received = producer.sequence;
        let last = self.known.get(&producer.id).filter(|last| last.time_ms >= oldest_ms);
        match last {
            Some(last) if producer.epoch < last.epoch => {
                Err(AppendError::Fenced { epoch: last.epoch })
            }
            Some(last) if producer.epoch > last.epoch && received != 0 => {
                Err(AppendError::EpochStart { received })
            }
            Some(last) if producer.epoch > last.epoch || received == last.sequence + 1 => {
                debug_assert!(last.epoch <= producer.epoch);
                Ok(Turn::Fresh)
            }
            Some(last) if received <= last.sequence => Ok(Turn::Repeated),
            Some(last) => Err(AppendError::Gap { expected: last.sequence + 1, received }),
            None if received == 0 => Ok(Turn::Fresh),
            None => Err(AppendError::Gap { expected: 0, received }),
        }
    }

    /// Returns the sequence of a producer's last batch.
    pub(crate) fn last_sequence(&self, id: &Bytes) -> Option<u64> {
        self.known.get(id).map(|last| last.sequence)
    }

    /// Remembers a batch, and forgets who has been silent longest where there are more than `max`.
    /// Returns what was remembered of this producer before.
    pub(crate) fn remember(&mut self, id: &Bytes, last: Last, max: usize) -> Option<Last> {
        let before = self.known.insert(id.clone(), last);
        if self.known.len() > max {
            self.forget_oldest();
        }
        before
    }

    /// Takes back what [`Self::remember`] did, but for who was forgotten by it.
    pub(crate) fn restore(&mut self, id: &Bytes, before: Option<Last>) {
        match before {
            Some(last) => self.known.insert(id.clone(), last),
            None => self.known.remove(id),
        };
    }

    /// Forgets who has been silent since before `oldest_ms`. Whoever produced later than now did so by a clock that has been
    /// put right since: then its silence begins now.
    pub(crate) fn expire(&mut self, oldest_ms: u64, now_ms: u64) {
        self.known.retain(|_, last| {
            last.time_ms = last.time_ms.min(now_ms);
            last.time_ms >= oldest_ms
        });
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Last)> {
        self.known.iter()
    }

    fn forget_oldest(&mut self) {
        let oldest = self.known.iter().min_by_key(|(_, last)| last.time_ms);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.known.remove(&id);
        }
    }
}
