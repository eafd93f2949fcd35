//! The world outside a config: variables and files.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file that is read: a config, an include or a secret.
pub(crate) const FILE_BYTES_MAX: u64 = 8 << 20;

/// Where a config gets variables and files from, so that tests need neither.
pub trait Environment {
    /// The value of a variable; `None` when it is unset or not Unicode.
    fn var(&self, name: &str) -> Option<String>;

    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// What lies at a path; `None` when nothing does.
    fn entry(&self, path: &Path) -> Option<Entry>;

    /// The folder that a relative name of the main file starts from.
    fn current_dir(&self) -> PathBuf;

    /// Cores to use when `workers` is not written; at least 1.
    fn cores(&self) -> usize;
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file, or anything else that can be read like one.
    File,
    /// A folder.
    Folder,
}

/// This process's variables and this machine's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let read = fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 8MiB"));
        }
        Ok(text)
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let metadata = fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { Entry::Folder } else { Entry::File })
    }

    fn current_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
    }

    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// Variables and files in memory. Its current folder is `/`; it has two cores.
#[derive(Clone, Debug, Default)]
pub struct MemoryEnvironment {
    vars: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl MemoryEnvironment {
    /// Sets a variable.
    pub fn with_var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a file; its folders come into being. A relative path starts at `/`.
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(Path::new("/").join(path), text.to_owned());
        self
    }
}

impl Environment for MemoryEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        if self.files.contains_key(path) {
            return Some(Entry::File);
        }
        let is_folder = path == Path::new("/") || self.files.keys().any(|f| f.starts_with(path));
        is_folder.then_some(Entry::Folder)
    }

    fn current_dir(&self) -> PathBuf {
        PathBuf::from("/")
    }

    fn cores(&self) -> usize {
        2
    }
}
