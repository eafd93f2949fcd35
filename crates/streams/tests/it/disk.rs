//! Readers at the disk, and readers who need none.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use selvedge_eventlog::{Disk, File, Folder, Log};
use selvedge_streams::Settings;

use crate::world::World;

/// Longer than a busy machine takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where reads of the disk wait while it is closed.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    waiting: usize,
}

impl Gate {
    fn set_closed(&self, is_closed: bool) {
        self.state.lock().unwrap().is_closed = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.is_closed);
        let (mut state, timeout) = waited.unwrap();
        state.waiting -= 1;
        if timeout.timed_out() { Err(io::Error::other("nobody opened the gate")) } else { Ok(()) }
    }

    /// Waits until so many reads wait.
    async fn has(self: &Arc<Self>, waiting: usize) {
        let gate = Arc::clone(self);
        let wait = tokio::task::spawn_blocking(move || {
            let state = gate.state.lock().unwrap();
            let waited =
                gate.changed.wait_timeout_while(state, PATIENCE, |state| state.waiting < waiting);
            assert!(!waited.unwrap().1.timed_out(), "so many reads wait");
        });
        wait.await.unwrap();
    }
}

/// A folder whose files are read through a gate.
struct Gated<T> {
    inner: T,
    gate: Arc<Gate>,
}

impl Gated<Folder> {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Gated { inner, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for Gated<Folder> {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.create(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
}

impl File for Gated<Arc<dyn File>> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.gate.pass()?;
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        self.inner.reserve(length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }
}

/// Three old streams that only the disk has, and the address of a record that is in memory.
async fn world(settings: Settings) -> (World, Arc<Gate>, String) {
    let gate = Arc::new(Gate::default());
    let world = World::on(settings, |folder| {
        let disk = Gated { inner: Folder::open(folder).unwrap(), gate: Arc::clone(&gate) };
        let small = selvedge_eventlog::Settings::default();
        let small = selvedge_eventlog::Settings { cache_bytes_max: 4 << 10, ..small };
        Log::open_on(Arc::new(disk), small).unwrap()
    });
    for path in ["old", "older", "oldest", "new"] {
        world.create(path, "text/plain").await;
        for _ in 0..8 {
            world.append(path, &[], &"x".repeat(1000)).await;
        }
    }
    let before = world.read("new?offset=now").await;
    world.append("new", &[], "newest").await;
    let newest = format!("new?offset={}", before.next());
    (world, gate, newest)
}

#[tokio::test]
async fn who_reads_the_disk_delays_nobody_else() {
    let (world, gate, newest) = world(Settings::default()).await;
    gate.set_closed(true);
    let others = async {
        gate.has(1).await;
        assert_eq!(world.read(&newest).await.body, "newest");
        assert_eq!(world.append("new", &[], "and one").await.status, 204);
        gate.set_closed(false);
    };
    let (old, ()) = tokio::join!(world.read("old"), others);
    assert_eq!((old.status.as_u16(), old.body.len()), (200, 8000));
}

#[tokio::test]
async fn reads_of_the_disk_have_a_bound() {
    let bound = Settings { disk_reads_max: 1, disk_reads_waiting_max: 1, ..Settings::default() };
    let (world, gate, _) = world(bound).await;
    gate.set_closed(true);
    let third = async {
        gate.has(1).await;
        let refused = world.read("oldest").await;
        let again = refused.field("retry-after").is_empty();
        assert_eq!((refused.status.as_u16(), again), (503, false), "{}", refused.body);
        gate.set_closed(false);
    };
    let (first, second, ()) = tokio::join!(world.read("old"), world.read("older"), third);
    assert_eq!((first.body.len(), second.body.len()), (8000, 8000));
    assert_eq!(world.read("oldest").await.body.len(), 8000);
}
