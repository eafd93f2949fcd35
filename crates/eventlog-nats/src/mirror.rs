//! A disk whose files are kept as messages elsewhere: what is synced is there, in the order in which it
//! was done.
//!
//! A log on it judges, numbers and recovers as on any disk. What it writes goes to the server first and
//! into the copy here when the server has it; what is read comes from the copy, so that nobody ever reads
//! what a crash can undo.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use selvedge_eventlog::{Disk, File, is_derived};

use crate::{
    copy::{Copy, Position, is_own},
    operation::{Body, Operation, is_file_name, pack},
};

/// What may be done before it is sent, without a sync.
const PENDING_MAX: usize = 16 << 20;
/// What is compared in one go with what is there.
const COMPARED: usize = 64 << 10;

/// A sequence of messages, which survives this machine.
pub(crate) trait Journal: Send + Sync + 'static {
    /// The largest body of a message.
    fn room(&self) -> usize;

    /// Makes messages durable, in their order, and returns where the last of them is. Blocks; an error is
    /// final: nobody knows then how many of them there are.
    fn publish(&self, bodies: Vec<Body>) -> io::Result<Position>;

    /// Gives up what was said of a file before a message, some time.
    fn forget(&self, name: &str, before: u64);
}

/// The disk.
pub(crate) struct Mirror {
    inner: Arc<Inner>,
}

struct Inner {
    /// The folder of the copy.
    folder: Arc<dyn Disk>,
    journal: Arc<dyn Journal>,
    /// What was done since the last sync.
    pending: Mutex<Pending>,
    behind: Mutex<Behind>,
}

#[derive(Default)]
struct Pending {
    operations: Vec<Operation>,
    bytes: usize,
}

/// The copy, and how far it is behind.
struct Behind {
    copy: Copy,
    /// What the server has and the copy does not: this disk refused.
    unapplied: Vec<Operation>,
    /// Where the server is when that is applied.
    position: Position,
    /// Why nothing can be sent any more.
    over: Option<String>,
}

impl Mirror {
    pub(crate) fn new(copy: Copy, journal: Arc<dyn Journal>) -> Self {
        let folder = Arc::clone(copy.disk());
        let (position, unapplied) = (copy.reached(), Vec::new());
        let behind = Mutex::new(Behind { copy, unapplied, position, over: None });
        let inner = Inner { folder, journal, pending: Mutex::default(), behind };
        Self { inner: Arc::new(inner) }
    }
}

impl Disk for Mirror {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if is_derived(name) {
            return self.inner.folder.open(name);
        }
        if self.inner.is_pending(name) {
            self.inner.flush()?;
        }
        let file = Mirrored::new(&self.inner, name);
        file.here()?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if is_derived(name) {
            return self.inner.folder.create(name);
        }
        self.inner.push(Operation::Create { name: named(name)? })?;
        Ok(Arc::new(Mirrored::new(&self.inner, name)))
    }

    /// What is said of a file goes to its name's subject, and is given up with it.
    fn has_spares(&self) -> bool {
        false
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if is_derived(to) {
            return self.inner.folder.rename(from, to);
        }
        self.inner.must_exist(from)?;
        self.inner.push(Operation::Rename { from: named(from)?, to: named(to)? })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if is_derived(name) {
            // A copy that was made anew has none until it is asked for.
            return match self.inner.folder.remove(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        self.inner.must_exist(name)?;
        self.inner.push(Operation::Remove { name: named(name)? })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.flush()?;
        let mut names = self.inner.folder.list()?;
        names.retain(|name| !is_own(name));
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Inner {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_pending(&self, name: &str) -> bool {
        self.pending().operations.iter().any(|operation| operation.names().any(|n| n == name))
    }

    /// Remembers what is to be sent with the next sync, or sooner when it is much.
    fn push(&self, operation: Operation) -> io::Result<()> {
        let is_much = {
            let mut pending = self.pending();
            pending.bytes += operation.weight();
            pending.operations.push(operation);
            pending.bytes > PENDING_MAX
        };
        if is_much { self.flush() } else { Ok(()) }
    }

    fn must_exist(&self, name: &str) -> io::Result<()> {
        if self.is_pending(name) {
            self.flush()?;
        }
        self.folder.open(name).map(drop)
    }

    /// Sends what was done, and does it here.
    fn flush(&self) -> io::Result<()> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.catch_up()?;
        let operations = std::mem::take(&mut *self.pending()).operations;
        if operations.is_empty() {
            return Ok(());
        }
        if let Some(reason) = &behind.over {
            return Err(io::Error::other(reason.clone()));
        }
        match self.journal.publish(pack(&operations, self.journal.room())) {
            Ok(position) => behind.position = position,
            Err(error) => {
                behind.over = Some(error.to_string());
                return Err(error);
            }
        }
        let before = behind.position.sequence;
        let removed = operations.iter().filter_map(|operation| match operation {
            Operation::Remove { name } => Some(name.clone()),
            _ => None,
        });
        let removed: Vec<String> = removed.collect();
        behind.unapplied = operations;
        behind.catch_up()?;
        removed.iter().for_each(|name| self.journal.forget(name, before));
        Ok(())
    }
}

impl Behind {
    /// Does here what the server has.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.unapplied.is_empty() {
            return Ok(());
        }
        for operation in &self.unapplied {
            self.copy.apply(operation)?;
        }
        self.unapplied.clear();
        self.copy.reach(self.position)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let behind = self.behind.get_mut().unwrap_or_else(PoisonError::into_inner);
        if behind.unapplied.is_empty() {
            // Without it, the next start reads some messages more.
            let _ = behind.copy.settle();
        }
    }
}

/// A file of the disk. What was written and not synced cannot be read yet.
struct Mirrored {
    inner: Arc<Inner>,
    name: String,
    /// The file of the copy, when there is one.
    here: OnceLock<Arc<dyn File>>,
}

impl Mirrored {
    fn new(inner: &Arc<Inner>, name: &str) -> Self {
        Self { inner: Arc::clone(inner), name: name.to_owned(), here: OnceLock::new() }
    }

    fn here(&self) -> io::Result<&Arc<dyn File>> {
        if let Some(file) = self.here.get() {
            return Ok(file);
        }
        let file = self.inner.folder.open(&self.name)?;
        Ok(self.here.get_or_init(|| file))
    }

    /// Whether the bytes lie there already, here and on the server: recovery writes again what it found.
    fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        if self.inner.is_pending(&self.name) {
            return false;
        }
        let Ok(file) = self.here() else { return false };
        let mut buffer = vec![0; COMPARED.min(bytes.len())];
        let starts = (offset..).step_by(COMPARED);
        bytes.chunks(COMPARED).zip(starts).all(|(chunk, start)| {
            let found = &mut buffer[..chunk.len()];
            file.read_at(start, found).is_ok_and(|read| found[..read] == *chunk)
        })
    }
}

impl File for Mirrored {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.has(offset, bytes) {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(bytes);
        self.inner.push(Operation::Write { name: named(&self.name)?, offset, bytes })
    }

    /// Reserves here first: a disk that is full says so before anything is sent.
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.inner.flush()?;
        self.here()?.reserve(length)?;
        self.inner.push(Operation::Reserve { name: named(&self.name)?, length })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.push(Operation::Cut { name: named(&self.name)?, length })
    }

    fn length(&self) -> io::Result<u64> {
        self.here()?.length()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn named(name: &str) -> io::Result<String> {
    let unfit =
        || io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} names no file of a log"));
    is_file_name(name).then(|| name.to_owned()).ok_or_else(unfit)
}
