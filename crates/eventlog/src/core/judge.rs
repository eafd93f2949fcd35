//! Whether a batch may be written, judged by what is staged.

use super::{Core, Staged};
use crate::{
    Append, AppendError, Batch, StreamId, StreamOptions,
    batch::Step,
    format::{ENTRY_HEADER, FRAME_HEADER, padded},
    producers::Turn,
};

impl Core {
    /// Length of the batch on disk, within its bounds.
    pub(super) fn measure(&self, batch: &Batch) -> Result<usize, AppendError> {
        let mut length = FRAME_HEADER;
        for step in batch.steps() {
            length += ENTRY_HEADER + self.measure_step(step)?;
        }
        let max = self.settings().batch_bytes_max.min(self.settings().segment_bytes as usize / 4);
        within("batch", length, max)?;
        if batch.more.len() >= usize::from(u16::MAX) {
            return Err(AppendError::Invalid("a batch has at most 65535 steps"));
        }
        Ok(padded(length))
    }

    fn measure_step(&self, step: &Step) -> Result<usize, AppendError> {
        let settings = self.settings();
        match step {
            Step::Append(append) => {
                within("record", append.largest, settings.record_bytes_max)?;
                within("metadata", append.metadata.len(), settings.metadata_bytes_max)?;
                let producer = append.producer.as_ref().map_or(0, |producer| producer.id.len());
                within("name", producer, settings.name_bytes_max)?;
                Ok(append.records.len() + append.metadata.len() + producer + 24)
            }
            Step::Create { name, options, .. } => {
                within("name", name.len(), settings.name_bytes_max)?;
                self.measure_options(options).map(|length| length + name.len() + 4)
            }
            Step::Configure { options, .. } => self.measure_options(options),
            Step::Delete { .. } | Step::Trim { .. } => Ok(0),
        }
    }

    fn measure_options(&self, options: &StreamOptions) -> Result<usize, AppendError> {
        within("metadata", options.metadata.len(), self.settings().metadata_bytes_max)?;
        Ok(options.metadata.len() + 20)
    }

    /// Judges every step, and returns for each whether it is to be written.
    pub(super) fn judge(&self, batch: &Batch) -> Result<Vec<bool>, AppendError> {
        if batch.more.is_empty() {
            // One step needs no list: `None` of an empty one means that it is written.
            let write = self.judge_step(&batch.first)?;
            return Ok(if write { Vec::new() } else { vec![false] });
        }
        let mut fresh = Vec::with_capacity(batch.steps().len());
        for (at, step) in batch.steps().enumerate() {
            let created = batch.steps().take(at).any(|earlier| creates(earlier, step.stream()));
            let met = batch.steps().take(at).any(|earlier| earlier.stream() == step.stream());
            fresh.push(match step {
                Step::Append(append) if created => judge_first(append)?,
                _ if met => return Err(AppendError::Invalid("a batch has two steps for a stream")),
                _ => self.judge_step(step)?,
            });
        }
        self.judge_creations(batch)?;
        Ok(fresh)
    }

    fn judge_creations(&self, batch: &Batch) -> Result<(), AppendError> {
        let names = || {
            batch.steps().filter_map(|step| match step {
                Step::Create { name, .. } => Some(name),
                _ => None,
            })
        };
        if names().enumerate().any(|(at, name)| names().take(at).any(|earlier| earlier == name)) {
            return Err(AppendError::Invalid("a batch creates two streams of one name"));
        }
        let max = self.settings().streams_max;
        match self.streams.len() + names().count() <= max {
            true => Ok(()),
            false => Err(AppendError::TooManyStreams { max }),
        }
    }

    fn judge_step(&self, step: &Step) -> Result<bool, AppendError> {
        match step {
            Step::Append(append) => self.judge_append(append),
            Step::Create { stream, name, .. } => self.judge_creation(*stream, name),
            Step::Delete { stream } | Step::Configure { stream, .. } => {
                self.staged(*stream).map(|_| true)
            }
            Step::Trim { stream, start } => {
                let staged = self.staged(*stream)?;
                Ok((*start).min(staged.tail) > staged.start)
            }
        }
    }

    /// A repetition is recognised first: its answer was lost, whatever happened since.
    fn judge_append(&self, append: &Append) -> Result<bool, AppendError> {
        let staged = self.staged(append.stream)?;
        if let Some(producer) = &append.producer {
            let oldest_ms =
                self.clock.surely_ms().saturating_sub(self.settings().producer_idle_ms_max);
            if staged.producers.judge(producer, oldest_ms)? == Turn::Repeated {
                return Ok(false);
            }
        }
        let tail = staged.tail;
        if staged.closed {
            return Err(AppendError::Closed { tail });
        }
        match append.expected {
            Some(expected) if expected != tail => Err(AppendError::Tail { expected, tail }),
            _ => judge_content(append),
        }
    }

    fn judge_creation(&self, stream: StreamId, name: &str) -> Result<bool, AppendError> {
        if let Some(stream) = self.names.get(name) {
            return Err(AppendError::Exists(*stream));
        }
        let max = self.settings().streams_max;
        if self.streams.len() >= max {
            return Err(AppendError::TooManyStreams { max });
        }
        let given =
            stream.get() < self.shared.next_stream.load(std::sync::atomic::Ordering::Relaxed);
        if !given || self.streams.contains_key(&stream) {
            return Err(AppendError::Invalid("the number of the new stream was not given out"));
        }
        Ok(true)
    }

    pub(super) fn staged(&self, stream: StreamId) -> Result<&Staged, AppendError> {
        self.streams.get(&stream).ok_or(AppendError::NoStream(stream))
    }
}

fn creates(step: &Step, stream: StreamId) -> bool {
    matches!(step, Step::Create { .. }) && step.stream() == stream
}

/// Judges an append to a stream that the same batch creates.
fn judge_first(append: &Append) -> Result<bool, AppendError> {
    if let Some(producer) = &append.producer {
        super::Producers::default().judge(producer, 0)?;
    }
    match append.expected {
        Some(expected) if expected != 0 => Err(AppendError::Tail { expected, tail: 0 }),
        _ => judge_content(append),
    }
}

fn judge_content(append: &Append) -> Result<bool, AppendError> {
    if append.count == 0 && !append.close {
        return Err(AppendError::Invalid(
            "an append has neither records nor the end of the stream",
        ));
    }
    Ok(true)
}

fn within(what: &'static str, length: usize, max: usize) -> Result<(), AppendError> {
    if length <= max { Ok(()) } else { Err(AppendError::TooLarge { what, length, max }) }
}
