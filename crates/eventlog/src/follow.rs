//! Following a stream.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use crate::{Chunk, ReadError, StreamId, shared::Shared, stream::Stream};

/// What one turn of a follower takes from the log.
const CHUNK_BYTES: usize = 256 << 10;

/// A cursor over one stream that waits at its end.
///
/// All followers of a stream share the bytes of what they read at its end.
pub struct Follower {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    next: u64,
    /// What this follower is called among those that wait.
    number: u64,
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, id: StreamId, from: u64) -> Result<Self, ReadError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let stream = shared.stream(id)?;
        let tail = stream.lock().tail;
        if from > tail {
            return Err(ReadError::BeyondTail { tail });
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { shared, stream, next: from, number })
    }

    /// Returns the sequence that comes next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on from another sequence, such as where a read of the log ended; behind the stream's end, nothing is waited for.
    pub fn go_to(&mut self, sequence: u64) {
        self.next = sequence;
    }

    /// Returns what follows: waits at the end of the stream, until there is more or it ends.
    ///
    /// A stream that is closed ends with a chunk that [is the last](Chunk::is_last), which may be empty;
    /// one that is deleted ends with an error. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Chunk, ReadError> {
        self.changed().await;
        self.take()
    }

    /// Returns what there is without waiting; the chunk is empty at the end of the stream.
    pub fn take(&mut self) -> Result<Chunk, ReadError> {
        let chunk = self.shared.read(self.stream.id, self.next, CHUNK_BYTES)?;
        self.next = chunk.next;
        Ok(chunk)
    }

    /// Waits until [`Self::take`] returns records, the end, or an error.
    pub fn changed(&self) -> Changed<'_> {
        Changed { follower: self }
    }

    fn stands_still(&self, context: &mut Context) -> bool {
        let mut published = self.stream.lock();
        let still = published.tail == self.next && !published.closed && !published.deleted;
        if still {
            published.waiting.insert(self.number, context.waker().clone());
        }
        still
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stream.lock().waiting.remove(&self.number);
    }
}

/// A wait for the stream of a follower.
#[must_use = "a future does nothing unless it is polled"]
pub struct Changed<'a> {
    follower: &'a Follower,
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<()> {
        if self.follower.stands_still(context) { Poll::Pending } else { Poll::Ready(()) }
    }
}
