//! A small file that several processes read and change: bounded, locked, replaced in one step.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::Path,
};

/// The whole file; nothing when there is none. Larger than `bytes_max` is an error.
pub(crate) fn read(file: &Path, bytes_max: u64) -> io::Result<String> {
    let open = match fs::File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    open.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        let message = format!("larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Holds off others who change the file, until it is dropped: they lock its folder, because the file
/// itself is replaced.
pub(crate) fn lock(file: &Path) -> io::Result<fs::File> {
    let folder = fs::File::open(folder(file))?;
    folder.lock()?;
    Ok(folder)
}

/// Replaces the file in one step, so that whoever reads it sees the old text or the new one, and a
/// power cut leaves one of them. Its owner is that of the old file, or of the folder where there was
/// none, so that root may help out; nobody else may read it.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = folder(file);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    let model = fs::metadata(file).or_else(|_| fs::metadata(folder))?;
    let own = new.as_file().metadata()?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        fchown(new.as_file(), Some(model.uid()), Some(model.gid()))?;
    }
    new.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// What tells a file from a later one; a rename over it changes the inode. `None`: there is none.
pub(crate) fn version(file: &Path) -> Option<Version> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// See [`version`].
pub(crate) type Version = (u64, u64, i64, i64);

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
