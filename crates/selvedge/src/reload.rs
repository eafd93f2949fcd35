//! `selvedge reload`: asks the running edge to read its config again, and tells what came of it.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    findings::load,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    /// Config file; names the admin listener that is asked
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Admin listener to ask, whatever the config file says
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["config", "pid"])]
    admin: Option<SocketAddr>,
    /// Send SIGHUP to this process instead; its log tells what came of it
    #[arg(long, value_name = "PID", conflicts_with = "config")]
    pid: Option<i32>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than the admin listener itself waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// A report longer than this is cut.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Asks and reports.
pub(crate) fn run(args: &ReloadArgs, terminal: &mut Terminal) -> Outcome {
    if let Some(pid) = args.pid {
        return send_signal(pid, terminal);
    }
    let address = match args.admin {
        Some(address) => address,
        None => admin_address(&args.config)?,
    };
    let answer = ask(address).map_err(|error| cannot_ask(address, &error))?;
    match answer.status {
        200 => {
            terminal.write(&format!("reloaded: {}", answer.body))?;
            Ok(Exit::Success)
        }
        422 => Err(Failure { exit: Exit::Config, text: answer.body }),
        status => Err(Failure::new(
            Exit::Failure,
            format!("{address} answered {status}: {}", answer.body.trim_end()),
        )),
    }
}

fn send_signal(pid: i32, terminal: &mut Terminal) -> Outcome {
    let process = Pid::from_raw(pid).filter(|_| pid > 0);
    let process =
        process.ok_or_else(|| Failure::new(Exit::Usage, format!("{pid} is no process id")))?;
    kill_process(process, Signal::HUP).map_err(|error| {
        Failure::new(Exit::Unavailable, format!("process {pid} cannot be told to reload: {error}"))
    })?;
    terminal.write(&format!("sent SIGHUP to process {pid}; its log tells what came of it\n"))?;
    Ok(Exit::Success)
}

fn admin_address(file: &Path) -> Result<SocketAddr, Failure> {
    let checked = load(file).map_err(|findings| findings.into_failure(Paint::on_stderr()))?;
    let refuse = |what| Err(Failure::new(Exit::Failure, what));
    match checked.config.admin.address {
        Some(address) if address.port() == 0 => {
            refuse("the system chose the admin listener's port; name it with --admin")
        }
        Some(address) => Ok(on_this_machine(address)),
        None => refuse("the config switches the admin listener off; use --pid"),
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

struct Answer {
    status: u16,
    body: String,
}

fn ask(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let request = format!(
        "POST /reload HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
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

fn cannot_ask(address: SocketAddr, error: &io::Error) -> Failure {
    let text = format!("the admin listener at {address} cannot be asked: {error}");
    let help = "is the edge running? --admin names another address, --pid sends a signal";
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
