//! What a caller asks the log to do, as one atomic batch.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// A position in the log: the byte at which something begins, counted over all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// Number of a stream; never used again, not even for a stream of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number itself, for other places that remember it.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for StreamId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// How much of a stream is kept. What is both old enough and large enough stays until one bound is
/// crossed; no bound keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Records older than this are given up.
    pub age_ms_max: Option<u64>,
    /// The oldest records are given up while the stream takes more room in the log than this.
    pub bytes_max: Option<u64>,
}

/// What a stream is created with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// How much of it is kept.
    pub retention: Retention,
    /// What its owner wants to remember with it, e.g. a content type; the log does not look into it.
    pub metadata: Bytes,
}

/// A producer whose retries are recognised.
///
/// The first batch of an epoch has sequence 0 and each further one the next number. A repetition is
/// acknowledged and not written again; a gap and an older epoch are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Who sends.
    pub id: Bytes,
    /// Raised by whoever takes over; earlier epochs are refused from then on.
    pub epoch: u64,
    /// Number of the batch in the epoch.
    pub sequence: u64,
}

/// Records for the end of one stream.
#[derive(Debug, Clone)]
pub struct Append {
    pub(crate) stream: StreamId,
    pub(crate) expected: Option<u64>,
    pub(crate) producer: Option<Producer>,
    pub(crate) metadata: Bytes,
    /// Each record behind its length, as on disk.
    pub(crate) records: BytesMut,
    pub(crate) count: u32,
    pub(crate) largest: usize,
    pub(crate) close: bool,
}

impl Append {
    /// Begins an append to a stream.
    pub fn to(stream: StreamId) -> Self {
        Self {
            stream,
            expected: None,
            producer: None,
            metadata: Bytes::new(),
            records: BytesMut::new(),
            count: 0,
            largest: 0,
            close: false,
        }
    }

    /// Adds a record.
    pub fn record(mut self, payload: &[u8]) -> Self {
        self.push(payload);
        self
    }

    /// Adds a record in place.
    pub fn push(&mut self, payload: &[u8]) {
        self.records.reserve(4 + payload.len());
        // A length above 4 GiB is far above the bound of a record, by which it is refused.
        self.records.put_u32_le(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        self.records.put_slice(payload);
        self.count = self.count.saturating_add(1);
        self.largest = self.largest.max(payload.len());
    }

    /// Demands that the stream's next sequence is `tail`, i.e. that nobody appended meanwhile.
    pub fn expect_tail(mut self, tail: u64) -> Self {
        self.expected = Some(tail);
        self
    }

    /// Names the producer, so that a retry is not written twice.
    pub fn producer(mut self, producer: Producer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// Attaches metadata to the append as a whole.
    pub fn metadata(mut self, metadata: impl Into<Bytes>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Closes the stream behind these records, or as it is where there are none.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Append(Append),
    Create { stream: StreamId, name: String, options: StreamOptions },
    Delete { stream: StreamId },
    Trim { stream: StreamId, start: u64 },
    Configure { stream: StreamId, options: StreamOptions },
}

impl Step {
    pub(crate) fn stream(&self) -> StreamId {
        match self {
            Self::Append(append) => append.stream,
            Self::Create { stream, .. }
            | Self::Delete { stream }
            | Self::Trim { stream, .. }
            | Self::Configure { stream, .. } => *stream,
        }
    }

    /// Bytes of the caller that wait with this step.
    fn weight(&self) -> usize {
        match self {
            Self::Append(append) => append.records.len() + append.metadata.len(),
            Self::Create { name, options, .. } => name.len() + options.metadata.len(),
            Self::Configure { options, .. } => options.metadata.len(),
            Self::Delete { .. } | Self::Trim { .. } => 0,
        }
    }
}

/// Steps that happen as a whole or not at all, in one frame of the log.
///
/// A stream is in one step of a batch; only a creation may be followed by an append to what it
/// creates.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) first: Step,
    pub(crate) more: Vec<Step>,
}

impl From<Append> for Batch {
    fn from(append: Append) -> Self {
        Self::from(Step::Append(append))
    }
}

impl From<Step> for Batch {
    fn from(first: Step) -> Self {
        Self { first, more: Vec::new() }
    }
}

impl Batch {
    /// Creates a stream under a number that [`Log::new_stream`](crate::Log::new_stream) gave.
    pub fn create(stream: StreamId, name: impl Into<String>, options: StreamOptions) -> Self {
        Step::Create { stream, name: name.into(), options }.into()
    }

    /// Deletes a stream with all its records.
    pub fn delete(stream: StreamId) -> Self {
        Step::Delete { stream }.into()
    }

    /// Gives up the records before `start`. Less than what is given up already changes nothing; more
    /// than there is stops at the tail.
    pub fn trim(stream: StreamId, start: u64) -> Self {
        Step::Trim { stream, start }.into()
    }

    /// Replaces the options of a stream.
    pub fn configure(stream: StreamId, options: StreamOptions) -> Self {
        Step::Configure { stream, options }.into()
    }

    /// Adds the steps of another batch behind those of this one.
    pub fn and(mut self, other: impl Into<Self>) -> Self {
        let Self { first, more } = other.into();
        self.more.push(first);
        self.more.extend(more);
        self
    }

    pub(crate) fn steps(&self) -> impl ExactSizeIterator<Item = &Step> + Clone {
        Steps { first: Some(&self.first), more: self.more.iter() }
    }

    /// What the batch counts against the bound of pending bytes.
    pub(crate) fn weight(&self) -> usize {
        self.steps().map(|step| 128 + step.weight()).sum()
    }
}

#[derive(Clone)]
struct Steps<'a> {
    first: Option<&'a Step>,
    more: std::slice::Iter<'a, Step>,
}

impl<'a> Iterator for Steps<'a> {
    type Item = &'a Step;

    fn next(&mut self) -> Option<&'a Step> {
        self.first.take().or_else(|| self.more.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let length = self.more.len() + usize::from(self.first.is_some());
        (length, Some(length))
    }
}

impl ExactSizeIterator for Steps<'_> {}

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The stream of the step.
    pub stream: StreamId,
    /// Sequence of the first record, or where it would be if there is none.
    pub first: u64,
    /// The stream's next sequence behind this step.
    pub tail: u64,
    /// The producer had sent this batch before: nothing was written, and `first` is the tail.
    pub duplicate: bool,
    /// Highest sequence that was written in the epoch of the producer, if the step named one.
    pub producer_sequence: Option<u64>,
}

/// A batch that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where its frame begins; for a repetition, where the log ended.
    pub lsn: Lsn,
    /// When it was written, in milliseconds since 1970; never less than for a frame before.
    pub time_ms: u64,
    /// What became of the first step.
    pub placed: Placed,
    /// What became of the others, in their order.
    pub others: Vec<Placed>,
}
