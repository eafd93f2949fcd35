//! A small file that several processes read and change: bounded, locked, replaced in one step.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::Path,
};

/// The whole file. Larger than `bytes_max` is an error of the kind `FileTooLarge`.
pub fn read(file: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        let message = format!("larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// As [`read`]; nothing where there is no file.
pub fn read_if_there(file: &Path, bytes_max: u64) -> io::Result<String> {
    match read(file, bytes_max) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Holds off others who change the file, until what it returns is dropped: they lock its folder, because the file
/// itself is replaced.
pub fn lock(file: &Path) -> io::Result<fs::File> {
    let folder = fs::File::open(folder(file))?;
    folder.lock()?;
    Ok(folder)
}

/// Replaces the file in one step, so that whoever reads it sees the old text or the new one, and a
/// power cut leaves one of them. Owner and mode stay. A new file is for its owner alone, and that is the owner of the
/// folder, so that root may help out. Where a link stands, what it leads to is replaced.
pub fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = if file.exists() { fs::canonicalize(file)? } else { file.to_owned() };
    let folder = folder(&target);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    let (model, permissions) = match fs::metadata(&target) {
        Ok(old) => (old.clone(), old.permissions()),
        Err(_) => (fs::metadata(folder)?, fs::Permissions::from_mode(0o600)),
    };
    let own = new.as_file().metadata()?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        fchown(new.as_file(), Some(model.uid()), Some(model.gid()))?;
    }
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(&target).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// What tells a file from a later one; a rename over it changes the inode. `None`: there is none.
pub fn version(file: &Path) -> Option<Version> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// See [`version`].
pub type Version = (u64, u64, i64, i64);

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_an_old_one_keeps_its_mode_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        assert_eq!(read(&file, 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_if_there(&file, 9).unwrap(), "");
        replace(&file, "one").unwrap();
        assert_eq!((read(&file, 3).unwrap().as_str(), mode(&file)), ("one", 0o600));
        assert_eq!(read(&file, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        let before = version(&link);
        replace(&link, "two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((read(&file, 3).unwrap().as_str(), mode(&file)), ("two", 0o640));
        assert_ne!(version(&link), before);
    }
}
