//! What a log promises, as plainly as it can be said.

use std::collections::BTreeMap;

use crate::{
    AppendError, Batch, Producer, Retention, StreamId, batch::Step, read_locked, shared::Shared,
};

/// All streams by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// Whether the log as a whole has a bound, so that any stream may lose its beginning.
    pub bounded: bool,
    pub streams: BTreeMap<u64, Contents>,
}

/// A stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub name: String,
    pub start: u64,
    /// All records that ever were, also those given up.
    pub records: Vec<Vec<u8>>,
    pub closed: bool,
    /// Whether the log may give up records by itself.
    pub retained: bool,
    /// Last batch of each producer; only the model of a running log has them.
    pub producers: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Model {
    /// Does what a batch says, wholly or not at all; the number is the tail behind its first step.
    pub(super) fn apply(&mut self, batch: &Batch) -> Result<u64, AppendError> {
        if batch.more.is_empty() {
            return self.step(&batch.first);
        }
        let mut after = self.clone();
        let mut first = None;
        for step in batch.steps() {
            let tail = after.step(step)?;
            first.get_or_insert(tail);
        }
        *self = after;
        Ok(first.expect("a batch has a step"))
    }

    fn step(&mut self, step: &Step) -> Result<u64, AppendError> {
        let id = step.stream();
        if let Step::Create { name, options, .. } = step {
            if let Some((other, _)) = self.streams.iter().find(|(_, known)| known.name == *name) {
                return Err(AppendError::Exists(StreamId(*other)));
            }
            let retained = self.bounded || options.retention != Retention::default();
            let contents = Contents { name: name.clone(), retained, ..Contents::default() };
            self.streams.insert(id.get(), contents);
            return Ok(0);
        }
        let contents = self.streams.get_mut(&id.get()).ok_or(AppendError::NoStream(id))?;
        let tail = contents.records.len() as u64;
        match step {
            Step::Append(append) => {
                if let Some(producer) = &append.producer
                    && contents.repeats(producer)?
                {
                    return Ok(tail);
                }
                if contents.closed {
                    return Err(AppendError::Closed { tail });
                }
                if let Some(expected) = append.expected.filter(|expected| *expected != tail) {
                    return Err(AppendError::Tail { expected, tail });
                }
                contents.append(append);
            }
            Step::Trim { start, .. } => contents.start = contents.start.max((*start).min(tail)),
            Step::Delete { .. } => {
                self.streams.remove(&id.get());
                return Ok(tail);
            }
            Step::Create { .. } | Step::Configure { .. } => {}
        }
        Ok(self.streams[&id.get()].records.len() as u64)
    }

    /// What a log shows to readers, without what it cannot show: producers, and records given up.
    pub(super) fn observe(shared: &Shared) -> Self {
        let directory = read_locked(&shared.directory);
        let streams = directory.by_id.values().map(|stream| {
            let info = stream.info();
            let mut contents = Contents {
                name: info.name.to_string(),
                start: info.start,
                records: vec![Vec::new(); usize::try_from(info.start).expect("few records")],
                closed: info.closed,
                retained: false,
                producers: BTreeMap::new(),
            };
            let mut next = info.start;
            while next < info.tail {
                let chunk = shared.read(info.id, next, 1000).expect("what is kept can be read");
                assert!(chunk.next > next, "a read in the middle of a stream gets on");
                for (sequence, record) in chunk.records() {
                    assert_eq!(sequence, contents.records.len() as u64, "records are in order");
                    contents.records.push(record.to_vec());
                }
                next = chunk.next;
            }
            (info.id.get(), contents)
        });
        Self { bounded: false, streams: streams.collect() }
    }

    /// Takes over what the log gave up by itself, where it may.
    pub(super) fn accept_retention(&mut self, observed: &Self) {
        for (id, contents) in &mut self.streams {
            let Some(seen) = observed.streams.get(id) else { continue };
            if contents.retained && seen.start <= contents.records.len() as u64 {
                contents.start = contents.start.max(seen.start);
            }
        }
    }

    /// What readers would see of this.
    pub(super) fn visible(&self) -> Self {
        let mut seen = Self { bounded: false, ..self.clone() };
        for contents in seen.streams.values_mut() {
            contents.producers.clear();
            contents.retained = false;
            let start = usize::try_from(contents.start).expect("few records");
            contents.records[..start].iter_mut().for_each(Vec::clear);
        }
        seen
    }
}

impl Contents {
    fn repeats(&self, producer: &Producer) -> Result<bool, AppendError> {
        let received = producer.sequence;
        let (epoch, next) = match self.producers.get(producer.id.as_ref()) {
            Some((epoch, sequence)) => (*epoch, sequence + 1),
            None => (0, 0),
        };
        if producer.epoch < epoch {
            return Err(AppendError::Fenced { epoch });
        }
        if producer.epoch > epoch && next > 0 {
            return if received == 0 {
                Ok(false)
            } else {
                Err(AppendError::EpochStart { received })
            };
        }
        match received {
            _ if received > next => Err(AppendError::Gap { expected: next, received }),
            _ => Ok(received < next),
        }
    }

    fn append(&mut self, append: &crate::Append) {
        let mut bites = crate::format::Bites(&append.records);
        while let Some(record) = bites.counted() {
            self.records.push(record.to_vec());
        }
        self.closed |= append.close;
        if let Some(Producer { id, epoch, sequence }) = &append.producer {
            self.producers.insert(id.to_vec(), (*epoch, *sequence));
        }
    }
}
