//! A data-dir, a store beside it, and what a test does with both.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use selvedge_backup::{
    Create, Created, Destination, Error, Hold, Moment, Restored, Store, Trusted, create, restore,
};
use selvedge_eventlog::{
    Append, Log, ReadError, Settings, Snapshot, StreamId, StreamOptions, block_on,
};
use tempfile::TempDir;

/// Small segments, so that a few records are several of them.
pub const SMALL: Settings = Settings { segment_bytes: 64 << 10, upkeep_ms: 1, ..Settings::DEFAULT };

pub struct Place {
    pub folder: TempDir,
    pub log: Log,
}

/// Holds on to an open log, as a running core does.
pub struct Running {
    log: Log,
    snapshot: Option<Snapshot>,
}

impl Hold for Running {
    fn take(&mut self) -> Result<Moment, Error> {
        let snapshot = self.log.snapshot().map_err(|error| Error::Hold(error.to_string()))?;
        let moment = Moment::of(&self.log, &snapshot);
        self.snapshot = Some(snapshot);
        Ok(moment)
    }

    fn keep(&mut self) {}

    fn release(&mut self) {
        self.snapshot = None;
    }
}

/// Records of all streams by name and sequence.
pub type Records = BTreeMap<(String, u64), Vec<u8>>;

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(&folder.path().join("data/log"), SMALL).unwrap();
        Self { folder, log }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn stream(&self, name: &str) -> StreamId {
        match self.log.stream(name) {
            Some(stream) => stream,
            None => block_on(self.log.create(name, StreamOptions::default())).unwrap(),
        }
    }

    /// Appends records that say which they are.
    pub fn append(&self, stream: &str, count: usize) {
        let id = self.stream(stream);
        for _ in 0..count {
            let next = self.log.info(id).unwrap().tail;
            let record = format!("{stream} {next} {}", "x".repeat(2_000));
            self.log.append(Append::to(id).record(record.as_bytes())).wait().unwrap();
        }
    }

    pub fn store(&self) -> Store {
        let destination = Destination::Folder(self.folder.path().join("store"));
        Store::open(&destination, true).unwrap()
    }

    pub fn hold(&self) -> Running {
        Running { log: self.log.clone(), snapshot: None }
    }

    pub async fn back_up(&self, store: &Store) -> Created {
        self.try_back_up(store).await.unwrap()
    }

    pub async fn try_back_up(&self, store: &Store) -> Result<Created, Error> {
        create(store, &Create::of(&self.data()), &mut self.hold(), &mut |_| ()).await
    }

    /// Restores into a new folder.
    pub async fn restore(&self, store: &Store, name: Option<&str>) -> (PathBuf, Restored) {
        let (to, restored) = self.try_restore(store, name).await;
        (to, restored.unwrap())
    }

    pub async fn try_restore(
        &self,
        store: &Store,
        name: Option<&str>,
    ) -> (PathBuf, Result<Restored, Error>) {
        let to = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let restored = restore(store, name, &to, &Trusted::default(), &mut |_| ()).await;
        (to, restored)
    }

    pub fn records(&self) -> Records {
        records(&self.log)
    }
}

/// What a data-dir that nobody has open holds.
pub fn records_of(data_dir: &Path) -> Records {
    records(&Log::open(&data_dir.join("log"), SMALL).unwrap())
}

fn records(log: &Log) -> Records {
    let mut records = Records::new();
    for info in log.list("", "", usize::MAX) {
        let mut next = info.start;
        while next < info.tail {
            let chunk = match log.read(info.id, next, 1 << 20) {
                // Retention was faster.
                Err(ReadError::Trimmed { start }) => {
                    next = start;
                    continue;
                }
                chunk => chunk.unwrap(),
            };
            for (sequence, record) in chunk.records() {
                records.insert((info.name.to_string(), sequence), record.to_vec());
            }
            next = chunk.next;
        }
    }
    records
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}
