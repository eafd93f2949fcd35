//! A nats-server on ports of its own, in a folder of its own.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use selvedge_eventlog::Log;
use selvedge_eventlog_nats::{NatsLog, OpenError, Settings};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

pub struct Server {
    program: PathBuf,
    child: Option<Child>,
    folder: TempDir,
    pub port: u16,
    pub monitor: u16,
}

impl Server {
    /// A server that syncs always, where it can; `None`, and a line, where there is no program.
    pub fn start() -> Option<Self> {
        let syncs = if Self::version()? >= (2, 10) { "sync_interval: always" } else { "" };
        Self::start_with(syncs, "")
    }

    /// A server with more in its config: of JetStream, and beside it.
    pub fn start_with(jetstream: &str, more: &str) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let [port, monitor] = free_ports();
        let store = folder.path().join("store");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{\n  store_dir: {store:?}\n  {jetstream}\n}}\n{more}\n"
        );
        fs::write(folder.path().join("nats.conf"), config).unwrap();
        let mut server = Self { program, child: None, folder, port, monitor };
        server.run();
        Some(server)
    }

    /// The version of the program that there is.
    pub fn version() -> Option<(u32, u32)> {
        let said = Command::new(program()?).arg("-v").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let numbers = said.trim().rsplit(['v', ' ']).next().unwrap();
        let mut numbers = numbers.split('.').map(|number| number.parse().unwrap());
        Some((numbers.next().unwrap(), numbers.next().unwrap()))
    }

    /// Starts it where it was, and waits until it listens.
    pub fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.folder.path().join("nats.conf"));
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "{}", self.said());
            thread::sleep(PAUSE);
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if env::var_os("SELVEDGE_NATS_WRONG").is_some() {
            // A server that is wrong on purpose: it forgets everything when it dies.
            fs::remove_dir_all(self.store()).unwrap();
        }
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn settings(&self) -> Settings {
        Settings::new(vec![self.url()])
    }

    #[track_caller]
    pub fn open(&self, folder: &Path) -> NatsLog {
        self.try_open(folder).unwrap()
    }

    /// JetStream needs a moment after the port is open.
    pub fn try_open(&self, folder: &Path) -> Result<NatsLog, OpenError> {
        open(folder, &self.settings())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Opens a log as soon as the server is ready for it.
pub fn open(folder: &Path, settings: &Settings) -> Result<NatsLog, OpenError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match NatsLog::open(folder, Default::default(), settings.clone()) {
            Err(OpenError::Refused { .. }) if Instant::now() < until => thread::sleep(PAUSE),
            opened => return opened,
        }
    }
}

fn program() -> Option<PathBuf> {
    let named = env::var_os("SELVEDGE_NATS_SERVER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "/usr/sbin/nats-server".into());
    if program.is_file() {
        return Some(program);
    }
    println!("skipped: there is no {}", program.display());
    None
}

pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// All records of a stream.
#[track_caller]
pub fn records(log: &Log, name: &str) -> Vec<Vec<u8>> {
    let stream = log.stream(name).unwrap();
    let info = log.info(stream).unwrap();
    let (mut found, mut next) = (Vec::new(), info.start);
    while next < info.tail {
        let chunk = log.read(stream, next, 1 << 20).unwrap();
        found.extend(chunk.records().map(|(_, record)| record.to_vec()));
        next = chunk.next;
    }
    found
}

/// Waits for something that takes its time.
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "it never came to it");
        thread::sleep(PAUSE);
    }
}
