//! A folder of the file system.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::Storage;

/// From so many files on, one sync of the whole file system is quicker than one of each.
const SYNC_ALL_FROM: usize = 16;

/// Files that are being written; nobody reads here.
const SCRATCH: &str = "state/scratch";

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    scratch: AtomicU64,
}

impl Folder {
    /// The folder at `root`, for reading and writing; made where it is missing.
    pub fn create(root: &Path) -> io::Result<Self> {
        let scratch = root.join(SCRATCH);
        if scratch.is_dir() {
            fs::remove_dir_all(&scratch)?;
        }
        let missing = scratch.ancestors().take_while(|folder| !folder.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        fs::create_dir_all(&scratch)?;
        missing.iter().try_for_each(|folder| sync_folder(parent_of(folder)))?;
        Ok(Self::open(root))
    }

    /// The folder at `root`, for reading.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned(), scratch: AtomicU64::new(0) }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Writes a file under a name that nobody else has.
    fn write_aside(&self, bytes: &[u8], durable: bool) -> io::Result<PathBuf> {
        use io::Write;
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        let aside = self.at(&format!("{SCRATCH}/{number}"));
        let mut file = fs::File::create(&aside)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_data()?;
        }
        Ok(aside)
    }

    /// Moves a file to its place; returns whether its folder had to be made.
    fn move_to(&self, aside: &Path, path: &str) -> io::Result<bool> {
        let target = self.at(path);
        match fs::rename(aside, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(parent_of(&target))?;
                fs::rename(aside, &target).map(|()| true)
            }
            moved => moved.map(|()| false),
        }
    }

    /// Syncs every folder from the root down to those of `paths`.
    fn sync_folders(&self, paths: &[String]) -> io::Result<()> {
        let above = paths.iter().flat_map(|path| Path::new(path).ancestors().skip(1));
        let folders: BTreeSet<&Path> = above.collect();
        folders.iter().rev().try_for_each(|folder| sync_folder(&self.root.join(folder)))
    }
}

/// The folder that a path lies in.
fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

impl Storage for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.move_to(&self.write_aside(bytes, false)?, path).map(drop)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        match self.move_to(&self.write_aside(bytes, true)?, path)? {
            true => self.sync_folders(&[path.to_owned()]),
            false => sync_folder(parent_of(&self.at(path))),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        if paths.len() >= SYNC_ALL_FROM {
            return Ok(rustix::fs::syncfs(fs::File::open(&self.root)?)?);
        }
        for path in paths {
            fs::File::open(self.at(path))?.sync_data()?;
        }
        self.sync_folders(paths)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let end = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.push(format!("{}{end}", entry.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    }
}
