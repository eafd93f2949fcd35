//! Tells who started us how far we are, in the words of `sd_notify(3)`.

use std::{
    ffi::OsString,
    fmt::Write,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use rustix::time::{ClockId, clock_gettime};
use selvedge_config::Id;

/// Name of a field with one listener: `NAME URL`. What begins with `X_` is skipped by systemd.
pub(crate) const LISTENING: &str = "X_SELVEDGE_LISTENING";

/// A service manager, or nobody.
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// Whoever `NOTIFY_SOCKET` names.
    pub(crate) fn from_env() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        Self { socket: socket.and_then(|name| connect(&name).ok()) }
    }

    /// Clients are served at these URLs.
    pub(crate) fn ready(&self, urls: &[(Id, String)]) {
        let mut text = "READY=1\n".to_owned();
        for (listener, url) in urls {
            writeln!(text, "{LISTENING}={listener} {url}").expect("a String takes every write");
        }
        self.tell(&text);
    }

    /// A config is being read; `ready` follows.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// Nobody is accepted any more.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen is no reason to stop serving.
            let _ = socket.send(text.as_bytes());
        }
    }
}

/// A path, or `@name` in the abstract namespace.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
