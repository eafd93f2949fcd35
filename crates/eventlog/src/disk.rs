//! What the log asks of a disk, so that it also runs on one that fails on purpose.

mod real;

use std::{io, sync::Arc};

pub use real::Folder;

/// A folder of files. Nothing in it is durable before [`File::sync_data`], and no name before
/// [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Creates an empty file, in the place of one that has this name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Whether a file may be made ahead, under a name of no meaning, and get its own when it has one. A disk that knows its
    /// files by their names has no use for that.
    fn has_spares(&self) -> bool {
        true
    }

    /// Gives a file another name, in the place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; handles that are open go on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at `offset`. Where that fails, any part of them may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reserves space up to `length`; bytes not yet written read as zero.
    fn reserve(&self, length: u64) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Makes the content durable, and as much of the metadata as reading it back needs.
    fn sync_data(&self) -> io::Result<()>;
}

/// Reads exactly `length` bytes, or says that the file ends before.
pub(crate) fn read_exact(file: &dyn File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    fill(file, offset, &mut bytes).map(|()| bytes)
}

/// Fills a buffer, or says that the file ends before.
pub(crate) fn fill(file: &dyn File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    match file.read_at(offset, buffer)? {
        read if read == buffer.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes a whole file under another name and puts it in its place. Nothing of it is durable.
pub(crate) fn put_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_draft(disk, name, bytes)?;
    disk.rename(&draft(name), name)
}

/// Does the same durably.
pub(crate) fn put_file_durably(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_draft(disk, name, bytes)?.sync_data()?;
    disk.rename(&draft(name), name)?;
    disk.sync_dir()
}

/// Ending of the index of a segment.
pub(crate) const INDEX: &str = ".index";

/// Ending of a file that is not finished; opening removes it.
pub(crate) const DRAFT: &str = ".draft";

/// The name that a file has when it is finished, which is its own but for a draft.
pub fn finished_name(name: &str) -> &str {
    name.strip_suffix(DRAFT).unwrap_or(name)
}

/// Whether a file is made again from others where it is missing, so that a copy of the log need not
/// have it.
pub fn is_derived(name: &str) -> bool {
    finished_name(name).ends_with(INDEX)
}

fn draft(name: &str) -> String {
    format!("{name}{DRAFT}")
}

fn write_draft(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn File>> {
    let file = disk.create(&draft(name))?;
    let written = file.write_at(0, bytes);
    if let Err(error) = written {
        // A draft that stays takes room until the log is opened again, and means nothing.
        let _ = disk.remove(&draft(name));
        return Err(error);
    }
    Ok(file)
}
