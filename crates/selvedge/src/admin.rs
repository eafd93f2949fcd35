//! Questions to the admin listener of a running edge.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use crate::{
    exit::{Exit, Failure},
    findings::load,
    terminal::Paint,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than the admin listener itself waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// An answer longer than this is cut.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What the admin listener said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The admin listener that a config file names; `instead` is what helps where it names none.
pub(crate) fn address_in(file: &Path, instead: &str) -> Result<SocketAddr, Failure> {
    let checked = load(file).map_err(|findings| findings.into_failure(Paint::on_stderr()))?;
    let refuse = |what: String| Err(Failure::new(Exit::Failure, what));
    match checked.config.admin.address {
        Some(address) if address.port() == 0 => {
            refuse("the system chose the admin listener's port; name it with --admin".to_owned())
        }
        Some(address) => Ok(on_this_machine(address)),
        None => refuse(format!("the config switches the admin listener off{instead}")),
    }
}

/// Where a process on this machine reaches what listens on `address`.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Sends `request`, such as `GET /agents`, and waits for the whole answer.
pub(crate) fn ask(address: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    read_answer(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the answer is not that of an admin listener")
    })
}

/// The admin listener closes behind its answer and sends it in one piece.
fn read_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// The failure of a question that nobody answered; `help` says what else there is.
pub(crate) fn cannot_ask(address: SocketAddr, error: &io::Error, help: &str) -> Failure {
    let text = format!("the admin listener at {address} cannot be asked: {error}");
    let help = format!("is the edge running? --admin names another address{help}");
    Failure::new(Exit::Unavailable, format!("{text}\nhelp: {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_on_loopback() {
        let check = |from: &str, to: &str| {
            assert_eq!(on_this_machine(from.parse().unwrap()), to.parse().unwrap());
        };
        check("0.0.0.0:9900", "127.0.0.1:9900");
        check("[::]:9900", "[::1]:9900");
        check("10.0.0.1:9900", "10.0.0.1:9900");
    }
}
