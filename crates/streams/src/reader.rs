//! Reads of the log that never hold up the thread that serves everybody.
//!
//! What memory has is read at once. What only the disk has is read by a few threads of their own, so that a reader who
//! replays an old stream waits for the disk alone.

use std::sync::Arc;

use selvedge_eventlog::{Chunk, Log, ReadError, StreamId};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Reads records of the log.
pub(crate) struct Reader {
    log: Log,
    /// One for each read that is at the disk.
    disk: Arc<Semaphore>,
    /// One for each read that is at the disk or waits for it.
    places: Semaphore,
}

impl Reader {
    pub(crate) fn new(log: Log, at_once_max: usize, waiting_max: usize) -> Reader {
        let disk = Arc::new(Semaphore::new(at_once_max));
        Reader { log, disk, places: Semaphore::new(at_once_max + waiting_max) }
    }

    /// Reads about `bytes` from a sequence on, and at least one batch if there is any.
    ///
    /// # Errors
    /// Also if too many reads wait for the disk.
    pub(crate) async fn read(
        &self,
        stream: StreamId,
        from: u64,
        bytes: usize,
    ) -> Result<Chunk, ReadError> {
        if let Some(chunk) = self.log.read_cached(stream, from, bytes)? {
            return Ok(chunk);
        }
        let _place = self.places.try_acquire().map_err(|_| ReadError::Overloaded)?;
        let permit = Arc::clone(&self.disk).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let log = self.log.clone();
        let read = spawn_blocking(move || {
            // Who asked may go away meanwhile; the read is at the disk until it is done.
            let _permit = permit;
            log.read(stream, from, bytes)
        });
        match read.await {
            Ok(chunk) => chunk,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends.
            Err(_) => Err(ReadError::Overloaded),
        }
    }
}
