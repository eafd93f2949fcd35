//! `Stream-Seq`: writers' own numbers, which only rise (Durable Streams, section 5.2). Their scope is the stream.

use bytes::Bytes;
use selvedge_eventlog::{Log, ReadError, StreamId};

use crate::reader::Reader;

/// What writers of a stream said last.
///
/// Each append carries the last number on in its metadata, so that after a start the newest append is all that is looked at.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    last: Option<Bytes>,
    is_known: bool,
}

impl Writer {
    /// Looks at the newest append, the first time.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn recall(
        &mut self,
        log: &Log,
        reader: &Reader,
        stream: StreamId,
    ) -> Result<(), ReadError> {
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

    pub(crate) fn advance(&mut self, seq: &str) {
        self.last = Some(Bytes::copy_from_slice(seq.as_bytes()));
    }
}
