//! Where things lie.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// Cargo's build directory: `CARGO_TARGET_DIR`, otherwise `target`.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where `cargo install` puts what the repository's own commands need.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Third-party test data, read when present: `SELVEDGE_VECTORS`, otherwise `../shared/data`.
pub fn vectors() -> PathBuf {
    match std::env::var_os("SELVEDGE_VECTORS") {
        Some(dir) => root().join(dir),
        None => root().join("../shared/data"),
    }
}

/// Files that git tracks or would track, relative to the root, sorted; without those just deleted.
pub fn files() -> crate::Result<Vec<PathBuf>> {
    let list = crate::process::output(
        "git",
        &["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    )?;
    let mut files: Vec<PathBuf> = list
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
