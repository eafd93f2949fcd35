//! `Stream-Seq`: writers' own numbers, which only rise (Durable Streams, section 5.2). Their scope is the stream.

use bytes::Bytes;
use selvedge_eventlog::{Append, AppendError, Log, Placed, ReadError, StreamId, Ticket};

use crate::reader::Reader;

/// What writers of a stream said last.
///
/// Each append carries the last number on in its metadata, so that after a start the newest append is all that is looked at.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    last: Option<Bytes>,
    is_known: bool,
    pending: Option<Box<Pending>>,
}

/// An append with a number, of which nobody knows yet what became of it.
#[derive(Debug)]
struct Pending {
    seq: Bytes,
    ticket: Ticket,
}

impl Writer {
    /// Learns what became of an append whose writer went away meanwhile; the first time, looks at the newest append.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn recall(
        &mut self,
        log: &Log,
        reader: &Reader,
        stream: StreamId,
    ) -> Result<(), ReadError> {
        self.settle().await;
        if self.is_known {
            return Ok(());
        }
        let info = log.info(stream)?;
        if info.tail > info.start {
            let newest = reader.read(stream, info.tail - 1, 1).await?;
            self.last = newest
                .slices
                .last()
                .map(|slice| slice.metadata.clone())
                .filter(|said| !said.is_empty());
        }
        self.is_known = true;
        Ok(())
    }

    /// The last number, if there ever was one.
    pub(crate) fn last(&self) -> Option<&Bytes> {
        self.last.as_ref()
    }

    /// Whether `seq` is above the last number, byte by byte.
    pub(crate) fn admits(&self, seq: &str) -> bool {
        self.last.as_ref().is_none_or(|last| seq.as_bytes() > &last[..])
    }

    /// Appends with a number that is admitted.
    ///
    /// It is on its way from the first poll on. If this is dropped before the answer is there, the next
    /// [`recall`](Self::recall) waits for it.
    pub(crate) async fn append(
        &mut self,
        log: &Log,
        append: Append,
        seq: &str,
    ) -> Result<Placed, AppendError> {
        let seq = Bytes::copy_from_slice(seq.as_bytes());
        let ticket = log.append(append.metadata(seq.clone()));
        self.pending = Some(Box::new(Pending { seq, ticket }));
        self.settle().await.expect("an append is pending")
    }

    /// Waits for what is pending, if anything is.
    async fn settle(&mut self) -> Option<Result<Placed, AppendError>> {
        let pending = self.pending.as_mut()?;
        let outcome = (&mut pending.ticket).await.map(|committed| committed.placed);
        // Nothing waits from here on: the outcome is given out once.
        let Pending { seq, .. } = *self.pending.take()?;
        if outcome.as_ref().is_ok_and(|placed| !placed.duplicate) {
            self.last = Some(seq);
        }
        Some(outcome)
    }
}
