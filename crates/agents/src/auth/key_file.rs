//! The file of API keys, read again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use selvedge_identity::guarded_file::{Version, version};
use tokio::{task::AbortHandle, time::sleep};

use super::{
    api_keys::{ApiKeys, KeyFileError},
    notice,
};

/// The keys of a file and the task that reads them again; that ends with this handle.
#[derive(Debug)]
pub(super) struct KeyFile {
    current: Arc<ArcSwap<ApiKeys>>,
    task: AbortHandle,
}

impl KeyFile {
    /// Reads the file, and looks at it `every` so often. Within a tokio runtime.
    pub(super) fn start(file: &Path, every: Duration) -> Result<Self, KeyFileError> {
        let seen = version(file);
        let current = Arc::new(ArcSwap::from_pointee(read(file)?));
        let watch = Watch { file: file.to_owned(), every, seen, is_failing: false };
        let task = tokio::spawn(watch.run(Arc::clone(&current))).abort_handle();
        Ok(Self { current, task })
    }

    /// The keys as last read.
    pub(super) fn current(&self) -> Arc<ApiKeys> {
        self.current.load_full()
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watch {
    file: PathBuf,
    every: Duration,
    /// The version that was read.
    seen: Option<Version>,
    is_failing: bool,
}

impl Watch {
    async fn run(mut self, current: Arc<ArcSwap<ApiKeys>>) {
        loop {
            sleep(self.every).await;
            let version = version(&self.file);
            if version == self.seen && !self.is_failing {
                continue;
            }
            match read(&self.file) {
                Ok(keys) => {
                    notice(format_args!("{} has {} keys", self.file.display(), keys.len()));
                    current.store(Arc::new(keys));
                    self.is_failing = false;
                }
                Err(error) if !self.is_failing => {
                    let kept = current.load().len();
                    notice(format_args!("{error}; {kept} keys stay in use"));
                    self.is_failing = true;
                }
                Err(_) => (),
            }
            // What was written after this look is seen at the next.
            self.seen = version;
        }
    }
}

fn read(file: &Path) -> Result<ApiKeys, KeyFileError> {
    let (keys, wrong) = ApiKeys::read(file)?;
    for line in wrong {
        notice(format_args!("a line lets nobody in: {line}"));
    }
    Ok(keys)
}
