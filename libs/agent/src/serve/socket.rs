//! Where an agent's listening socket comes from.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use rustix::{net::sockopt, stdio};

/// A listening socket, and its file if this process made it.
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: Option<File>,
}

/// Goes with the socket that it names.
pub(super) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds `path`, or takes what the parent process left.
pub(super) fn take(path: Option<&Path>) -> io::Result<Socket> {
    if let Some(path) = path {
        return bind(path);
    }
    if let Some(listener) = ListenFd::from_env().take_unix_listener(0)? {
        return Ok(Socket { listener, file: None });
    }
    if let Some(listener) = standard_input()? {
        return Ok(Socket { listener, file: None });
    }
    let message = "no socket: neither --listen PATH nor a listening one as descriptor 3 (LISTEN_FDS) \
                   or as standard input";
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

/// Binds `path`, where a socket that nobody listens on may be left of a process that died.
fn bind(path: &Path) -> io::Result<Socket> {
    // To connect to a file that is no socket is refused, too.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_deaf = || {
        let connected = UnixStream::connect(path);
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && is_deaf() {
        fs::remove_file(path)?;
    }
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let listener = UnixListener::bind(path).map_err(named)?;
    Ok(Socket { listener, file: Some(File(path.to_owned())) })
}

/// Standard input, if it is a socket that listens.
fn standard_input() -> io::Result<Option<UnixListener>> {
    let input = stdio::stdin();
    if !sockopt::socket_acceptconn(input).unwrap_or(false) {
        return Ok(None);
    }
    let owned: OwnedFd = input.try_clone_to_owned()?;
    Ok(Some(owned.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_dead_process_left_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("agent.sock");
        drop(UnixListener::bind(&path).expect("a socket that is left"));
        let socket = take(Some(&path)).expect("nobody listens there");
        let taken = take(Some(&path)).map(drop).expect_err("somebody listens there");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "keep").expect("a file");
        assert!(take(Some(&path)).is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "keep");
    }
}
