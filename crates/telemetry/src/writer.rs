//! A thread that writes lines, so that a full disk or a stopped pipe never holds up a request.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    event::{Events, Level},
    metrics::Counter,
    settings::LogTarget,
};

/// Batches that wait at most.
pub const BATCHES_MAX: usize = 256;
/// Bytes that wait at most, and in one batch more.
pub const BYTES_MAX: usize = 8 << 20;
/// The writer looks for a changed target this often even when nobody wakes it.
const LOOK: Duration = Duration::from_secs(1);

/// Lines that travel together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: usize,
}

/// A log could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// Which log: `access log` or `events`.
    pub log: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// The sending side: any thread may hand over lines, none waits.
#[derive(Debug)]
pub(crate) struct Writer {
    log: &'static str,
    queue: SyncSender<Batch>,
    shared: Arc<Shared>,
    thread: thread::Thread,
    finished: Mutex<Receiver<()>>,
}

/// Where lines go, opened.
pub(crate) struct Output {
    target: LogTarget,
    stream: Box<dyn Write + Send>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether anything is written at all.
    on: AtomicBool,
    stopping: AtomicBool,
    changed: AtomicBool,
    queued_bytes: AtomicUsize,
    orders: Mutex<Orders>,
    counts: Counts,
}

/// What became of the lines handed over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Lines written.
    pub(crate) written: Counter,
    /// Lines dropped because the queue was full.
    pub(crate) dropped: Counter,
    /// Lines lost because a write failed.
    pub(crate) failed: Counter,
    /// Times that the file could not be opened again; the old one stays in use.
    pub(crate) reopen_failed: Counter,
}

#[derive(Default)]
struct Orders {
    output: Option<Option<Output>>,
    reopen: bool,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders").field("reopen", &self.reopen).finish_non_exhaustive()
    }
}

impl Output {
    /// Opens `target` for appending.
    pub(crate) fn open(log: &'static str, target: &LogTarget) -> Result<Self, OpenError> {
        let stream: Box<dyn Write + Send> = match target {
            LogTarget::Stdout => Box::new(io::stdout()),
            LogTarget::Stderr => Box::new(io::stderr()),
            LogTarget::File(path) => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                Box::new(opened.map_err(|source| OpenError { log, path: path.clone(), source })?)
            }
        };
        Ok(Self { target: target.clone(), stream })
    }
}

impl Writer {
    /// Starts the thread. `log` names it in errors; `trouble` hears when writing fails.
    pub(crate) fn start(
        log: &'static str,
        output: Option<Output>,
        trouble: Option<Arc<Events>>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.on.store(output.is_some(), Ordering::Relaxed);
        let (queue, batches) = sync_channel(BATCHES_MAX);
        let (done, finished) = sync_channel(1);
        let mut drain =
            Drain { log, batches, shared: Arc::clone(&shared), output, trouble, failing: false };
        let thread = thread::Builder::new().name(log.to_owned()).spawn(move || {
            drain.run();
            // Nobody may be waiting any more; then nobody needs to know.
            let _ = done.try_send(());
        })?;
        let thread = thread.thread().clone();
        Ok(Self { log, queue, shared, thread, finished: Mutex::new(finished) })
    }

    /// Whether lines are wanted.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Relaxed)
    }

    /// Hands lines over, or drops and counts them when the queue is full. Never waits.
    ///
    /// The writer is woken by `unpark`, not through the channel: its receiver never sleeps in the
    /// channel, so that no lock of the channel is touched here.
    pub(crate) fn send(&self, batch: Batch) {
        let (count, bytes) = (batch.count as u64, batch.bytes.len());
        let waiting = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > BYTES_MAX || self.queue.try_send(batch).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.counts.dropped.add_shared(count);
        }
        self.thread.unpark();
    }

    /// Writes to `output` from now on. `None`: nowhere.
    pub(crate) fn redirect(&self, output: Option<Output>) {
        self.shared.on.store(output.is_some(), Ordering::Relaxed);
        self.order(|orders| orders.output = Some(output));
    }

    /// Opens the file again by its name, as after a rotation.
    pub(crate) fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.store(true, Ordering::Release);
        self.thread.unpark();
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    pub(crate) fn log(&self) -> &'static str {
        self.log
    }

    /// Tells the thread to write what it has and end.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Waits until `deadline` for the thread to end. Whether it did.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        !matches!(finished.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side.
struct Drain {
    log: &'static str,
    batches: Receiver<Batch>,
    shared: Arc<Shared>,
    output: Option<Output>,
    trouble: Option<Arc<Events>>,
    /// Whether the last write failed: an operator is told of the change, not of each line.
    failing: bool,
}

impl Drain {
    fn run(&mut self) {
        loop {
            // Asked before the queue is looked at: what was sent before the stop is then written.
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            match self.batches.try_recv() {
                Ok(batch) => {
                    self.obey();
                    self.write(&batch);
                    let bytes = batch.bytes.len();
                    self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
                Err(TryRecvError::Empty) if !stopping => {
                    self.obey();
                    thread::park_timeout(LOOK);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self) {
        if !self.shared.changed.swap(false, Ordering::Acquire) {
            return;
        }
        let orders =
            std::mem::take(&mut *self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(output) = orders.output {
            self.output = output;
        }
        if orders.reopen {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        let Some(current) = &mut self.output else { return };
        match Output::open(self.log, &current.target) {
            Ok(output) => *current = output,
            Err(error) => {
                self.shared.counts.reopen_failed.add(1);
                tell(
                    self.trouble.as_deref(),
                    Level::Error,
                    "log not opened again",
                    &[("error", &error)],
                );
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        let Some(output) = &mut self.output else { return };
        let done = output.stream.write_all(&batch.bytes).and_then(|()| output.stream.flush());
        let counts = &self.shared.counts;
        let count = if done.is_ok() { &counts.written } else { &counts.failed };
        count.add(batch.count as u64);
        let failed_before = std::mem::replace(&mut self.failing, done.is_err());
        let (target, trouble) = (&output.target, self.trouble.as_deref());
        match done {
            Err(error) if !failed_before => {
                let fields: Fields<'_> = &[("target", target), ("error", &error)];
                tell(trouble, Level::Error, "log lines are lost", fields);
            }
            Ok(()) if failed_before => {
                tell(trouble, Level::Info, "log is written again", &[("target", target)]);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn tell(trouble: Option<&Events>, level: Level, message: &str, fields: Fields<'_>) {
    if let Some(events) = trouble {
        events.tell(level, message, fields);
    }
}

type Fields<'a> = &'a [(&'a str, &'a dyn std::fmt::Display)];

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, path, source } = self;
        write!(
            f,
            "cannot open the {log} {}: {source}; the folder must exist and be writable",
            path.display()
        )
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;

    fn lines(text: &str) -> Batch {
        Batch { bytes: text.as_bytes().to_vec(), count: text.lines().count() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    /// A stream that blocks until it is told to go on.
    #[derive(Clone, Default)]
    struct Stuck(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        reached: bool,
        open: bool,
        bytes: usize,
    }

    impl Stuck {
        fn wait_until(&self, ready: impl Fn(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
            let (state, changed) = &*self.0;
            changed.wait_while(state.lock().unwrap(), |state| !ready(state)).unwrap()
        }

        fn set(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.set(|state| state.reached = true);
            drop(self.wait_until(|state| state.open));
            self.set(|state| state.bytes += bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_stream_holds_nobody_up_and_drops_are_counted() {
        let stuck = Stuck::default();
        let stream = Box::new(stuck.clone());
        let output = Output { target: LogTarget::Stdout, stream };
        let writer = Writer::start("access log", Some(output), None).unwrap();
        writer.send(lines("first\n"));
        drop(stuck.wait_until(|state| state.reached));
        for _ in 0..BATCHES_MAX + 10 {
            writer.send(lines("a\nb\n"));
        }
        assert_eq!(writer.counts().dropped.get(), 20);
        assert!(!{
            writer.stop();
            writer.wait(Instant::now())
        });
        stuck.set(|state| state.open = true);
        assert!(writer.wait(soon()));
        assert_eq!(writer.counts().written.get(), 1 + 2 * BATCHES_MAX as u64);
        assert_eq!(stuck.wait_until(|_| true).bytes, 6 + 4 * BATCHES_MAX);
    }

    #[test]
    fn a_file_is_opened_again_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let target = LogTarget::File(path.clone());
        let output = Output::open("access log", &target).unwrap();
        let writer = Writer::start("access log", Some(output), None).unwrap();
        writer.send(lines("one\n"));
        while writer.counts().written.get() < 1 {
            thread::yield_now();
        }
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        writer.reopen();
        writer.send(lines("two\n"));
        writer.stop();
        assert!(writer.wait(soon()));
        assert_eq!(std::fs::read_to_string(folder.path().join("old")).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "two\n");
    }

    #[test]
    fn failed_writes_are_counted() {
        let target = LogTarget::File("/dev/full".into());
        let writer =
            Writer::start("access log", Some(Output::open("access log", &target).unwrap()), None)
                .unwrap();
        writer.send(lines("one\ntwo\n"));
        writer.stop();
        assert!(writer.wait(soon()));
        assert_eq!(writer.counts().failed.get(), 2);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let stuck = Stuck::default();
        let stream = Box::new(stuck.clone());
        let output = Output { target: LogTarget::Stdout, stream };
        let writer = Writer::start("access log", Some(output), None).unwrap();
        let large = "x".repeat(BYTES_MAX);
        for _ in 0..4 {
            writer.send(lines(&large));
        }
        assert_eq!(writer.counts().dropped.get(), 2);
        stuck.set(|state| state.open = true);
        writer.stop();
        assert!(writer.wait(soon()));
        writer.send(lines("late"));
        assert_eq!(writer.counts().written.get(), 2);
    }

    #[test]
    fn an_operator_hears_of_lost_lines_once() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |path: &std::path::Path| Output::open("x", &LogTarget::File(path.into())).unwrap();
        let told = folder.path().join("events");
        let events = Writer::start("events", Some(open(&told)), None).unwrap();
        let events = Arc::new(Events::new(events));
        let full = open("/dev/full".as_ref());
        let trouble = Some(Arc::clone(&events));
        let writer = Writer::start("access log", Some(full), trouble).unwrap();
        writer.send(lines("one\n"));
        writer.send(lines("two\n"));
        while writer.counts().failed.get() < 2 {
            thread::yield_now();
        }
        writer.redirect(Some(open(&folder.path().join("log"))));
        writer.send(lines("three\n"));
        writer.stop();
        assert!(writer.wait(soon()));
        events.writer.stop();
        assert!(events.writer.wait(soon()));
        let text = std::fs::read_to_string(told).unwrap();
        let messages: Vec<_> =
            text.lines().map(|line| line.split_once(" level=").unwrap().1).collect();
        let log = folder.path().join("log");
        assert_eq!(
            messages,
            [
                "error msg=\"log lines are lost\" target=/dev/full error=\"No space left on device (os error 28)\"",
                &format!("info msg=\"log is written again\" target={}", log.display()),
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let target = LogTarget::File("/nowhere/at/all.log".into());
        let error = Output::open("access log", &target).err().unwrap().to_string();
        expect_test::expect![[
            "cannot open the access log /nowhere/at/all.log: No such file or directory (os error 2); the folder must exist and be writable"
        ]]
        .assert_eq(&error);
    }
}
