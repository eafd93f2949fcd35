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

/// Names a listener: `NAME URL`. systemd skips fields that begin with `X_`.
pub(crate) const LISTENING: &str = "X_SELVEDGE_LISTENING";
/// Names the admin listener's URL.
pub(crate) const ADMIN: &str = "X_SELVEDGE_ADMIN";

/// Says that the config in force has a core on this machine.
pub(crate) const CORE: &str = "X_SELVEDGE_CORE";

/// Where clients and operators find the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reachable {
    /// Each listener with its URL.
    pub(crate) listeners: Vec<(Id, String)>,
    /// URL of the admin listener.
    pub(crate) admin: Option<String>,
    /// Whether there is to be a core on this machine.
    pub(crate) has_core: bool,
}

impl Reachable {
    fn push_to(&self, text: &mut String) {
        for (listener, url) in &self.listeners {
            writeln!(text, "{LISTENING}={listener} {url}").expect("a String takes every write");
        }
        if let Some(url) = &self.admin {
            writeln!(text, "{ADMIN}={url}").expect("a String takes every write");
        }
        if self.has_core {
            writeln!(text, "{CORE}=1").expect("a String takes every write");
        }
    }

    /// Reads what [`Notifier::ready`] says; `None` when it says something else.
    pub(crate) fn from_message(message: &str) -> Option<Self> {
        let mut lines = message.lines();
        lines.clone().find(|line| *line == "READY=1")?;
        let listeners = message.lines().filter_map(|line| {
            let (id, url) = line.strip_prefix(LISTENING)?.strip_prefix('=')?.split_once(' ')?;
            Some((id.into(), url.to_owned()))
        });
        let has_core = message.lines().any(|line| line.strip_prefix(CORE) == Some("=1"));
        let admin = lines.find_map(|line| line.strip_prefix(ADMIN)?.strip_prefix('='));
        Some(Self { listeners: listeners.collect(), admin: admin.map(str::to_owned), has_core })
    }
}

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

    /// Clients are served.
    pub(crate) fn ready(&self, reachable: &Reachable) {
        let mut text = "READY=1\n".to_owned();
        reachable.push_to(&mut text);
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

    /// Passes on what somebody else said.
    pub(crate) fn tell(&self, text: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let reachable = Reachable {
            listeners: vec![("web".into(), "http://127.0.0.1:80/".to_owned())],
            admin: Some("http://127.0.0.1:9900/".to_owned()),
            has_core: true,
        };
        let mut message = "READY=1\n".to_owned();
        reachable.push_to(&mut message);
        assert_eq!(Reachable::from_message(&message), Some(reachable));
        assert_eq!(Reachable::from_message("READY=1"), Some(Reachable::default()));
        assert_eq!(Reachable::from_message("STOPPING=1\n"), None);
    }
}
