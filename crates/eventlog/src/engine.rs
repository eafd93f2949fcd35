//! What any engine of a log does, so that an application need not know which one keeps its events.

use crate::{Append, AppendError, Batch, Chunk, Log, ReadError, StreamId, StreamOptions};

/// Append with expectation, read, tail, trim, create, delete, list: [`Log`] on the disk of this machine,
/// and whatever keeps streams elsewhere.
///
/// What an engine promises is what `conformance` demands of it.
pub trait EventLog: Send + Sync {
    /// Creates a stream, and answers with its number when that is durable.
    fn create(
        &self,
        name: &str,
        options: StreamOptions,
    ) -> impl Future<Output = Result<StreamId, AppendError>> + Send;

    /// Returns the number of the stream that has a name.
    fn find(&self, name: &str) -> impl Future<Output = Option<StreamId>> + Send;

    /// Appends, and answers with the stream's next sequence when the records are durable.
    fn append(&self, append: Append) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Reads about `bytes` from a sequence on, and at least one batch if there is any.
    fn read(
        &self,
        stream: StreamId,
        from: u64,
        bytes: usize,
    ) -> impl Future<Output = Result<Chunk, ReadError>> + Send;

    /// Returns the first sequence that is kept and the next one.
    fn range(
        &self,
        stream: StreamId,
    ) -> impl Future<Output = Result<std::ops::Range<u64>, ReadError>> + Send;

    /// Gives up the records before a sequence.
    fn trim(
        &self,
        stream: StreamId,
        start: u64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Deletes a stream with all its records.
    fn delete(&self, stream: StreamId) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Returns up to `max` names that begin with `prefix` and come after `after`, in order.
    fn list(
        &self,
        prefix: &str,
        after: &str,
        max: usize,
    ) -> impl Future<Output = Vec<String>> + Send;
}

/// Reads block the thread where memory does not have the records.
impl EventLog for Log {
    async fn create(&self, name: &str, options: StreamOptions) -> Result<StreamId, AppendError> {
        Self::create(self, name, options).await
    }

    async fn find(&self, name: &str) -> Option<StreamId> {
        self.stream(name)
    }

    async fn append(&self, append: Append) -> Result<u64, AppendError> {
        Ok(Self::append(self, append).await?.placed.tail)
    }

    async fn read(&self, stream: StreamId, from: u64, bytes: usize) -> Result<Chunk, ReadError> {
        Self::read(self, stream, from, bytes)
    }

    async fn range(&self, stream: StreamId) -> Result<std::ops::Range<u64>, ReadError> {
        self.info(stream).map(|info| info.start..info.tail)
    }

    async fn trim(&self, stream: StreamId, start: u64) -> Result<(), AppendError> {
        Self::append(self, Batch::trim(stream, start)).await.map(drop)
    }

    async fn delete(&self, stream: StreamId) -> Result<(), AppendError> {
        Self::append(self, Batch::delete(stream)).await.map(drop)
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Vec<String> {
        Self::list(self, prefix, after, max).iter().map(|info| info.name.to_string()).collect()
    }
}
