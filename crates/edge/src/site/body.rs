//! The bytes of a response: what memory or the page cache holds is taken at once, and a thread beside
//! the core waits for the disk.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};
use selvedge_http1::Fields;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{SiteBody, Slice};
use crate::message::{BodyFault, BodySource, Filled};

/// Bytes read from a file at once.
const CHUNK: usize = 64 << 10;

/// Reads of one core that wait for a disk at once. A thread waits for each; further reads wait for one
/// of these.
pub(crate) const READS_MAX: usize = 8;

/// Where one core's reads that wait for a disk are done.
#[derive(Clone)]
pub(crate) struct FileReads(Arc<Semaphore>);

impl FileReads {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(READS_MAX)))
    }

    /// Fills as much of `buffer` as one read brings, and cuts off the rest.
    async fn read(self, file: Arc<File>, offset: u64, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let permit = self.0.acquire_owned().await.map_err(io::Error::other)?;
        let read = spawn_blocking(move || {
            // Given back when the disk has answered, even if nobody waits for it any more.
            let _permit = permit;
            let count = file.read_at(&mut buffer, offset)?;
            buffer.truncate(count);
            Ok(buffer)
        });
        read.await.map_err(io::Error::other)?
    }
}

/// The body of a file, or of parts of one.
pub(crate) struct FileBody {
    length: u64,
    slices: std::vec::IntoIter<Slice>,
    /// What is left of the file's part under way.
    part: Option<Part>,
    chunk: Chunk,
    reads: FileReads,
    reading: Option<Reading>,
}

struct Part {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

/// The data at hand.
enum Chunk {
    /// A piece of memory that others hold too.
    Shared(Bytes),
    Read(Vec<u8>),
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

impl FileBody {
    pub(crate) fn new(body: SiteBody, reads: &FileReads) -> Self {
        let slices = match body {
            SiteBody::Empty => Vec::new(),
            SiteBody::Slice(slice) => vec![slice],
            SiteBody::Parts(slices) => slices,
        };
        Self {
            length: slices.iter().map(Slice::len).sum(),
            slices: slices.into_iter(),
            part: None,
            chunk: Chunk::Read(Vec::new()),
            reads: reads.clone(),
            reading: None,
        }
    }

    /// Bytes in all.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The part under way and a buffer for the next read of it; `None` between parts.
    fn next_read(&mut self) -> Option<(&Part, Vec<u8>)> {
        let part = self.part.as_ref()?;
        let mut buffer = match mem::replace(&mut self.chunk, Chunk::Read(Vec::new())) {
            Chunk::Read(buffer) => buffer,
            Chunk::Shared(_) => Vec::new(),
        };
        buffer.resize(usize::try_from(part.left).map_or(CHUNK, |left| left.min(CHUNK)), 0);
        Some((part, buffer))
    }

    /// Takes in what was read of the part under way.
    fn take_in(&mut self, read: Vec<u8>) -> Result<(), BodyFault> {
        let Some(part) = &mut self.part else { return Ok(()) };
        if read.is_empty() {
            // The file has become shorter.
            return Err(BodyFault::Closed);
        }
        part.offset += read.len() as u64;
        part.left -= read.len() as u64;
        if part.left == 0 {
            self.part = None;
        }
        self.chunk = Chunk::Read(read);
        Ok(())
    }
}

/// Fills `buffer` as far as the page cache can, and cuts off the rest; gives it back whole where that is
/// not known without waiting, or something is wrong.
fn read_cached(file: &File, offset: u64, mut buffer: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
    let into = &mut [IoSliceMut::new(&mut buffer)];
    match preadv2(file, into, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) => {
            buffer.truncate(count);
            Ok(buffer)
        }
        Err(_) => Err(buffer),
    }
}

impl BodySource for FileBody {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        while self.chunk().is_empty() {
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(context));
                self.reading = None;
                self.take_in(read.map_err(BodyFault::Io)?)?;
            } else if let Some((part, buffer)) = self.next_read() {
                match read_cached(&part.file, part.offset, buffer) {
                    Ok(read) => self.take_in(read)?,
                    Err(buffer) => {
                        let (file, offset) = (part.file.clone(), part.offset);
                        self.reading =
                            Some(Box::pin(self.reads.clone().read(file, offset, buffer)));
                    }
                }
            } else {
                match self.slices.next() {
                    Some(Slice::Bytes(bytes)) => self.chunk = Chunk::Shared(bytes),
                    Some(Slice::File { len: 0, .. }) => {}
                    Some(Slice::File { file, offset, len }) => {
                        self.part = Some(Part { file, offset, left: len });
                    }
                    None => return Poll::Ready(Ok(Filled::End)),
                }
            }
        }
        Poll::Ready(Ok(Filled::Data))
    }

    fn chunk(&self) -> &[u8] {
        match &self.chunk {
            Chunk::Shared(bytes) => bytes,
            Chunk::Read(buffer) => buffer,
        }
    }

    fn consume(&mut self) {
        match &mut self.chunk {
            Chunk::Shared(bytes) => bytes.clear(),
            Chunk::Read(buffer) => buffer.clear(),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{env, future::poll_fn, io::Write, path::Path};

    use tokio::runtime::Builder;

    use super::*;

    const LENGTH: usize = 3 * CHUNK + 7;

    /// A file of [`LENGTH`] bytes. Those in `/dev/shm` have no page cache that could be asked, so that
    /// each read of them waits for a thread.
    fn file(folder: &Path) -> (Arc<File>, Vec<u8>) {
        let bytes: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile_in(folder).unwrap();
        file.write_all(&bytes).unwrap();
        (Arc::new(file), bytes)
    }

    fn slice(file: &Arc<File>, offset: usize, len: usize) -> Slice {
        Slice::File { file: file.clone(), offset: offset as u64, len: len as u64 }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(READS_MAX).build().unwrap().block_on(future)
    }

    async fn read_all(mut body: FileBody) -> Result<Vec<u8>, BodyFault> {
        let mut all = Vec::new();
        while poll_fn(|context| body.poll_fill(context)).await? == Filled::Data {
            assert!(!body.chunk().is_empty() && body.chunk().len() <= CHUNK.max(LENGTH));
            all.extend_from_slice(body.chunk());
            body.consume();
        }
        Ok(all)
    }

    #[track_caller]
    fn check(body: SiteBody, expected: &[u8]) {
        let body = FileBody::new(body, &FileReads::new());
        assert_eq!(body.length(), expected.len() as u64);
        assert!(run(read_all(body)).unwrap() == expected, "other bytes");
    }

    #[test]
    fn all_bytes_come_in_order_wherever_they_lie() {
        for folder in [Path::new("/dev/shm"), &env::temp_dir()] {
            let (file, bytes) = file(folder);
            check(SiteBody::Empty, b"");
            check(SiteBody::Slice(slice(&file, 0, LENGTH)), &bytes);
            check(SiteBody::Slice(slice(&file, 5, CHUNK)), &bytes[5..5 + CHUNK]);
            check(SiteBody::Slice(slice(&file, 5, 0)), b"");
            check(SiteBody::Slice(Slice::Bytes(Bytes::from(bytes.clone()))), &bytes);
            let parts = vec![
                Slice::Bytes(Bytes::from_static(b"first")),
                slice(&file, 1, 2),
                Slice::Bytes(Bytes::new()),
                slice(&file, LENGTH - CHUNK - 1, CHUNK + 1),
                Slice::Bytes(Bytes::from_static(b"last")),
            ];
            let end = &bytes[LENGTH - CHUNK - 1..];
            check(SiteBody::Parts(parts), &[b"first", &bytes[1..3], end, b"last"].concat());
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_a_fault() {
        for folder in [Path::new("/dev/shm"), &env::temp_dir()] {
            let (file, _) = file(folder);
            let body = SiteBody::Slice(slice(&file, 0, LENGTH + 1));
            let fault = run(read_all(FileBody::new(body, &FileReads::new())));
            assert!(matches!(fault, Err(BodyFault::Closed)), "{}", folder.display());
        }
    }

    #[test]
    fn a_core_waits_for_a_bounded_number_of_reads() {
        let reads = FileReads::new();
        let held: Vec<_> =
            (0..READS_MAX).map(|_| reads.0.clone().try_acquire_owned().unwrap()).collect();
        let (file, bytes) = file(Path::new("/dev/shm"));
        run(async {
            let mut read = Box::pin(reads.read(file, 1, vec![0; 2]));
            let polled = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            drop(held);
            assert_eq!(read.await.unwrap(), bytes[1..3]);
        });
    }

    #[test]
    fn what_others_read_waits_for_no_disk() {
        // The page cache holds what was written just now; only some file systems can say so.
        let (file, bytes) = file(&env::temp_dir());
        let reads = FileReads::new();
        let held = reads.0.clone().try_acquire_many_owned(READS_MAX as u32).unwrap();
        let is_known = read_cached(&file, 0, vec![0; 1]).is_ok();
        let body = FileBody::new(SiteBody::Slice(slice(&file, 0, LENGTH)), &reads);
        if is_known {
            assert!(run(read_all(body)).unwrap() == bytes, "other bytes");
        }
        drop(held);
    }
}
