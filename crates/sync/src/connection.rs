//! What others need of a connection: its machine, and how it is woken.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use bytes::Bytes;
use selvedge_crdt::session::{DeviceId, relay::RelayConnection};

/// The relay's side of a session, over shared bytes.
pub(crate) type Machine = RelayConnection<Bytes>;

/// A connection, shared by the task that serves it and the documents that it has open. Who holds a document's lock
/// may take this one's, and never the other way round.
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// Since when it is there, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    inner: Mutex<Inner>,
    /// When bytes came from it, in milliseconds since 1970.
    pub(crate) heard_ms: AtomicU64,
    /// When it took bytes, or there were none to take.
    pub(crate) moved_ms: AtomicU64,
    /// It is to be asked whether it is there.
    pub(crate) is_ping_due: AtomicBool,
    /// It is to end without a word.
    pub(crate) is_cut: AtomicBool,
}

struct Inner {
    machine: Machine,
    waker: Option<Waker>,
}

impl Connection {
    pub(crate) fn new(id: u64, machine: Machine, now_ms: u64) -> Self {
        Self {
            id,
            since_ms: now_ms,
            inner: Mutex::new(Inner { machine, waker: None }),
            heard_ms: AtomicU64::new(now_ms),
            moved_ms: AtomicU64::new(now_ms),
            is_ping_due: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        }
    }

    /// Whose it is, once that was said.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.lock().machine.device()
    }

    /// Does something with the machine, and has its task look at what came of it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        let (done, waker) = {
            let mut inner = self.lock();
            (work(&mut inner.machine), inner.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        done
    }

    /// Does something with the machine in its own task.
    pub(crate) fn within<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        work(&mut self.lock().machine)
    }

    /// Has `waker` called at the next change.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        let mut inner = self.lock();
        if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
    }

    /// Ends it without a word: nobody is there.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.with(|_| ());
    }

    /// Asks whether somebody is there.
    pub(crate) fn ping(&self) {
        self.is_ping_due.store(true, Relaxed);
        self.with(|_| ());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
