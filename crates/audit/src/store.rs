//! Where the log's files lie, and what is durable when.

mod folder;

use std::io;

pub use folder::Folder;

/// A tree of files that are written whole. Nothing is durable before [`Storage::sync`].
pub trait Storage: Send + Sync {
    /// Reads a file; `None` if there is none.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Puts a file in its place. Readers see all of it or what was there before; after a crash it may
    /// be anything.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts a file in its place so that even after a crash all of it is there, or what was before;
    /// durable when this returns.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file, or a folder with all that is in it, if it is there.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes files durable, and their names.
    fn sync(&self, paths: &[String]) -> io::Result<()>;

    /// Names in a folder, sorted; none if there is no such folder. Names of folders end with `/`.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
}

impl<S: Storage + ?Sized> Storage for std::sync::Arc<S> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).write(path, bytes)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).replace(path, bytes)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        (**self).remove(path)
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        (**self).sync(paths)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        (**self).list(folder)
    }
}
