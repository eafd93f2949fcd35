//! The folder that one core at a time may write to.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::exit::{Exit, Failure};

/// A data-dir, ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    run: PathBuf,
    _lock: File,
}

/// Holds the lock, and the id of the process that has it.
const LOCK: &str = "core.lock";
/// What lives as long as a process: the socket, the link's key.
const RUN: &str = "run";
const PID_BYTES_MAX: u64 = 32;

impl DataDir {
    /// Makes the folder if need be, for its owner alone, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let text = format!("the data-dir {} cannot be used: {error}", path.display());
            Failure::new(Exit::Unavailable, text)
        };
        make(path).map_err(failed)?;
        let run = path.join(RUN);
        make(&run).map_err(failed)?;
        let options = OpenOptions::new().read(true).write(true).create(true).mode(0o600).clone();
        let mut lock = options.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { run, _lock: lock })
    }

    /// Where sockets and keys lie.
    pub(super) fn run(&self) -> &Path {
        &self.run
    }
}

/// Makes a folder that only its owner may enter; one that is there stays as it is.
pub(super) fn make(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder")),
        Err(_) => DirBuilder::new().recursive(true).mode(0o700).create(path),
    }
}

fn taken(path: &Path, lock: &mut File) -> Failure {
    let mut id = String::new();
    // Whose it is only helps; that it is taken is certain.
    let _ = lock.take(PID_BYTES_MAX).read_to_string(&mut id);
    let by = match id.trim() {
        "" => "another process".to_owned(),
        id => format!("process {id}"),
    };
    let text = format!(
        "the data-dir {} is in use by {by}; stop it, or give this core a `data-dir` of its own",
        path.display()
    );
    Failure::new(Exit::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_at_a_time_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err();
        assert_eq!(refused.exit, Exit::Unavailable);
        let mine = format!("in use by process {}", std::process::id());
        assert!(refused.text.contains(&mine), "{}", refused.text);
        assert_eq!(fs::metadata(first.run()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "").unwrap();
        assert!(DataDir::open(&path).unwrap_err().text.contains("it is no folder"));
    }
}
