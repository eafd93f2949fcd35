//! Recorded requests: files, folders of them, standard input.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::request::{self, Request};
use crate::exit::{Exit, Failure};

/// The largest file that one request may be.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// The most files of one folder and what is in it.
const FILES_MAX: usize = 1_000_000;
/// How deep folders may nest.
const DEPTH_MAX: usize = 32;
/// How a file in a folder says that it is a request.
const EXTENSION: &str = "http";

/// The files that are named, and those of folders that are named, by their names.
pub(super) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        let before = files.len();
        let is_folder = path != Path::new("-") && path.is_dir();
        match is_folder {
            true => {
                gather(path, &mut files, DEPTH_MAX).map_err(|error| cannot_read(path, &error))?
            }
            false => files.push(path.clone()),
        }
        if files.len() == before {
            let text = format!("{}: there is no .{EXTENSION} file in it", path.display());
            return Err(Failure::new(Exit::Failure, text));
        }
        files[before..].sort_unstable();
    }
    Ok(files)
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // What a link leads to is not followed: it may lead back here.
        if path.is_dir() && !path.is_symlink() && depth > 0 {
            gather(&path, files, depth - 1)?;
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} requests")));
        }
    }
    Ok(())
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{} cannot be read: {error}", path.display()))
}

/// Reads the request in a file; `-` is standard input.
pub(super) fn request(path: &Path) -> Result<Request, String> {
    let bytes = match path == Path::new("-") {
        true => bounded(&mut io::stdin().lock()),
        false => fs::File::open(path).and_then(|mut file| bounded(&mut file)),
    };
    let bytes = bytes.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    request::parse(&bytes)
        .map_err(|error| format!("{} is no HTTP request: {error}", path.display()))
}

fn bounded(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(REQUEST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > REQUEST_BYTES_MAX {
        true => Err(io::Error::other(format!("more than {REQUEST_BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}
