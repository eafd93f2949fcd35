//! Recorded requests: files, folders of them, standard input, access logs.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    log,
    request::{self, Request},
};
use crate::{
    exit::{Exit, Failure},
    findings::counted,
    terminal::complain,
};

/// The largest file that one request may be.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// The most files of one folder and what is in it.
const FILES_MAX: usize = 1_000_000;
/// How deep folders may nest.
const DEPTH_MAX: usize = 32;
/// The longest line of a log.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// So many things that could not be read are told one by one.
const COMPLAINTS_MAX: usize = 10;
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

/// What stands before what was recorded.
pub(super) struct Recorded {
    /// The file, or a line of it.
    pub(super) name: String,
    pub(super) request: Request,
}

/// Visits every request of files, folders and access logs. What cannot be read is told; `true`: all could be.
pub(super) fn each(
    named: &[PathBuf],
    mut visit: impl FnMut(Recorded) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let mut unread = Unread(0);
    for path in files(named)? {
        if is_request(&path) {
            match request(&path) {
                Ok(request) => visit(Recorded { name: path.display().to_string(), request })?,
                Err(error) => unread.tell(&error),
            }
            continue;
        }
        each_line(&path, |name, line| {
            match log::request(line) {
                Some(Ok(request)) => visit(Recorded { name, request })?,
                Some(Err(error)) => unread.tell(&format!("{name} {error}")),
                None => {}
            }
            Ok(())
        })?;
    }
    Ok(unread.finish())
}

/// Whether a file is one request, not a log.
fn is_request(path: &Path) -> bool {
    path == Path::new("-") || path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// Visits the lines of a file, each with its place.
pub(super) fn each_line(
    path: &Path,
    mut visit: impl FnMut(String, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let told = |error: io::Error| cannot_read(path, &error);
    let mut file = BufReader::new(fs::File::open(path).map_err(told)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(told)? == 0 {
            break;
        }
        visit(format!("{}:{number}", path.display()), &line)?;
    }
    Ok(())
}

/// What could not be read, told up to a bound.
struct Unread(usize);

impl Unread {
    fn tell(&mut self, error: &str) {
        self.0 += 1;
        if self.0 <= COMPLAINTS_MAX {
            complain(&format!("error: {error}\n"));
        }
    }

    fn finish(self) -> bool {
        if self.0 > COMPLAINTS_MAX {
            let more = counted(self.0 - COMPLAINTS_MAX, "further request");
            complain(&format!("error: {more} could not be read\n"));
        }
        self.0 == 0
    }
}
