//! What any engine of a log does, so that an application need not know which one keeps its events.

use crate::{
    Append, AppendError, Batch, Chunk, Committed, Log, ReadError, StreamId, StreamInfo,
    StreamOptions,
};

/// What the core's services need of a log: [`Log`] on the disk of this machine, or on one whose files are
/// kept elsewhere.
///
/// - A batch happens as a whole or not at all, over as many streams as it names.
/// - The records of a stream have the numbers 0, 1, 2 … without a gap, in the order of their batches.
/// - A repetition of a producer's batch is answered as the first was, and written once.
/// - What is answered, read or followed is durable: nothing takes it back. A refusal was judged by what is
///   durable.
///
/// `conformance` demands this, and every engine runs it.
pub trait EventLog: Send + Sync {
    /// Returns a number for a stream that a batch creates. A number that is not used is lost.
    fn new_stream(&self) -> StreamId;

    /// Does every step of a batch, or none, and answers when they are durable.
    fn submit(&self, batch: Batch) -> impl Future<Output = Result<Committed, AppendError>> + Send;

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

    /// Reads from a sequence on as soon as there is something, or the stream has ended.
    fn next(
        &self,
        stream: StreamId,
        from: u64,
    ) -> impl Future<Output = Result<Chunk, ReadError>> + Send;

    /// Returns what a stream is now.
    fn info(&self, stream: StreamId) -> impl Future<Output = Result<StreamInfo, ReadError>> + Send;

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
    fn new_stream(&self) -> StreamId {
        Self::new_stream(self)
    }

    async fn submit(&self, batch: Batch) -> Result<Committed, AppendError> {
        Self::append(self, batch).await
    }

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

    async fn next(&self, stream: StreamId, from: u64) -> Result<Chunk, ReadError> {
        self.follow(stream, from)?.next().await
    }

    async fn info(&self, stream: StreamId) -> Result<StreamInfo, ReadError> {
        Self::info(self, stream)
    }

    async fn range(&self, stream: StreamId) -> Result<std::ops::Range<u64>, ReadError> {
        Self::info(self, stream).map(|info| info.start..info.tail)
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
