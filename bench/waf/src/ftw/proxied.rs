//! The stages through a proxy that runs: raw bytes over sockets, and what its log says of them.
//!
//! Nothing is added to a request that could change what rules see. Each comes from an address of loopback of its own
//! instead, and by that its lines are found in the log.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Outcome, backend, suite::Case};

/// Clients at once.
const CLIENTS: usize = 4;
/// How long the proxy may take until it answers at all, and its log until it is complete.
const START: Duration = Duration::from_secs(60);
/// How long an answer may take: longer than the proxy waits for what a request announces and does not send.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most.
const ANSWER_MAX: usize = 16 << 20;

/// A proxy that runs.
#[derive(Debug)]
pub struct Proxy {
    edge: SocketAddr,
    origin: SocketAddr,
    log: PathBuf,
}

/// What was seen of one request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The client's status, and the rules of the log.
    pub outcome: Outcome,
    /// Who refused it, as the log has it.
    pub refused_by: Option<String>,
}

/// Who refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The firewall.
    Rules,
    /// The edge, before it asked.
    Gate,
    /// Somebody for whom this is no decision.
    Other,
}

impl Proxy {
    /// One that listens at `edge`, asks at `origin`, and writes its log to `log`.
    pub fn at(edge: &Path, origin: &Path, log: &Path) -> Result<Self, Box<dyn Error>> {
        let address = |text: &Path| text.to_string_lossy().parse::<SocketAddr>();
        Ok(Self { edge: address(edge)?, origin: address(origin)?, log: log.to_owned() })
    }
}

impl Seen {
    /// Why the client did not get what the origin said.
    pub fn refusal(&self) -> Option<Refusal> {
        Some(match (self.refused_by.as_deref()?, self.outcome.status) {
            // A response is refused with 502.
            ("agent/blocked", 403 | 502) => Refusal::Rules,
            (code, 400..=599) if code.starts_with("head-gate/") => Refusal::Gate,
            _ => Refusal::Other,
        })
    }

    /// A fault, with what the log says of it.
    pub fn explained(&self, fault: &str) -> String {
        match &self.refused_by {
            Some(by) => format!("{by} ({}): {fault}", self.outcome.status),
            None => fault.to_owned(),
        }
    }
}

/// Sends all stages; what was seen comes in their order.
pub fn run(stages: &[&Case], proxy: &Proxy) -> Result<Vec<Seen>, Box<dyn Error>> {
    backend::serve(proxy.origin)?;
    await_answer(proxy)?;
    let statuses = ask_all(stages, proxy)?;
    let log = read_log(proxy, stages.len())?;
    let seen = statuses.into_iter().enumerate().map(|(place, status)| {
        let Lines { findings, refused_by, .. } =
            log.get(&client(place)).cloned().unwrap_or_default();
        let ids = findings.iter().filter_map(|(rule, _)| rule.parse().ok()).collect();
        let log = findings.iter().map(|(rule, detail)| told(rule, detail)).collect::<Vec<_>>();
        Seen { outcome: Outcome { status, ids, log: log.join("\n") }, refused_by }
    });
    Ok(seen.collect())
}

/// The address that a stage comes from; 127.0.0.1 is everybody's.
fn client(place: usize) -> Ipv4Addr {
    let [.., high, low] = (place as u32).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Agents may start after the door opens; until then nothing passes.
fn await_answer(proxy: &Proxy) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    loop {
        match ask(proxy.edge, Ipv4Addr::LOCALHOST, request) {
            Ok(200) => return Ok(()),
            last if start.elapsed() > START => {
                return Err(format!("it never answered 200, last {last:?}").into());
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn ask_all(stages: &[&Case], proxy: &Proxy) -> io::Result<Vec<u16>> {
    let next = AtomicUsize::new(0);
    let client = || -> io::Result<Vec<(usize, u16)>> {
        let mut own = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, stage)) = stages.get(place) else { return Ok(own) };
            own.push((place, ask(proxy.edge, client(place), &stage.bytes())?));
        }
    };
    let mut all = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let joined = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect::<io::Result<Vec<_>>>()
    })?
    .concat();
    all.sort_unstable();
    Ok(all.into_iter().map(|(_, status)| status).collect())
}

/// Sends bytes on a connection of their own; the status of the answer, 0 without one.
fn ask(edge: SocketAddr, from: Ipv4Addr, bytes: &[u8]) -> io::Result<u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::from((from, 0))))?;
    socket.connect(&SockAddr::from(edge))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    // It may be refused before all of it was read.
    let _ = stream.write_all(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 8 << 10]);
    while !is_whole(&answer) && answer.len() < ANSWER_MAX {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
        }
    }
    Ok(status(&answer).unwrap_or(0))
}

fn status(answer: &[u8]) -> Option<u16> {
    str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Whether there is an answer's head and as much of a body as it announces; without a length the connection's end tells.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() - end - 4 >= length)
}

/// What the log says of a client.
#[derive(Clone, Debug, Default)]
struct Lines {
    /// Rules, and what they say.
    findings: Vec<(String, String)>,
    refused_by: Option<String>,
    /// The line of its first request is there.
    is_over: bool,
}

/// Reads the log until the line of each request is there, or nothing more is to be expected.
fn read_log(proxy: &Proxy, stages: usize) -> Result<HashMap<Ipv4Addr, Lines>, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        let lines = parse_log(&fs::read_to_string(&proxy.log)?)?;
        let missing =
            (0..stages).filter(|place| !lines.get(&client(*place)).is_some_and(|it| it.is_over));
        match missing.count() {
            0 => return Ok(lines),
            missing if start.elapsed() > START => {
                return Err(format!("the log has no line of {missing} requests").into());
            }
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Its last line may still be on its way.
fn parse_log(log: &str) -> Result<HashMap<Ipv4Addr, Lines>, Box<dyn Error>> {
    let mut all: HashMap<Ipv4Addr, Lines> = HashMap::new();
    for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line)?;
        let client: SocketAddr = line["client"].as_str().unwrap_or_default().parse()?;
        let SocketAddr::V4(client) = client else { continue };
        let lines = all.entry(*client.ip()).or_default();
        // What is left over of a request may look like another one.
        if lines.is_over {
            continue;
        }
        if line["kind"] == "decision" {
            lines.findings.extend(findings(&line)?);
        } else {
            lines.refused_by = line["refused_by"].as_str().map(str::to_owned);
            lines.is_over = true;
        }
    }
    Ok(all)
}

fn findings(line: &Value) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    if let Some(count) = line["findings_left_out"].as_u64() {
        return Err(format!("{count} findings are left out of {line}").into());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = line["findings"].as_array().into_iter().flatten();
    Ok(findings.map(|finding| (text(&finding["rule"]), text(&finding["detail"]))).collect())
}

/// Where a message ends and the place of some bytes begins: the variable, and the text around them.
static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    let place = "[:;] ([A-Z_]+(?::[^ ]*)?), bytes [0-9]+ to [0-9]+(?: of the decoded text)?: ([^»]*)»([^«]*)«([^;]*)";
    Regex::new(place).expect("it is an expression")
});

/// A finding in the words of ModSecurity: what was found, within what.
fn told(rule: &str, detail: &str) -> String {
    let end = PLACE.find(detail).map_or(detail.len(), |place| place.start());
    let data = PLACE.captures_iter(detail).map(|place| {
        let [variable, before, found, after] = [1, 2, 3, 4].map(|part| &place[part]);
        format!("Matched Data: {found} found within {variable}: {before}{found}{after}")
    });
    let data = data.collect::<Vec<_>>().join("; ");
    format!("[id \"{rule}\"] [msg \"{}\"] [data \"{data}\"]", &detail[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_where_it_comes_from() {
        let log = r#"{"kind":"decision","client":"127.1.0.1:9","findings":[{"rule":"1","detail":"m: ARGS:a, bytes 1 to 2: »x«"}]}
{"client":"127.1.0.1:9","refused_by":"agent/blocked"}
{"kind":"decision","client":"127.1.0.1:9","findings":[{"rule":"2"}]}
{"client":"127.1.0.0:9"}
{"cli"#;
        let lines = parse_log(log).unwrap();
        let one = &lines[&client(1)];
        assert_eq!(one.findings.len(), 1);
        assert_eq!(one.refused_by.as_deref(), Some("agent/blocked"));
        assert!(lines[&client(0)].is_over && lines[&client(0)].refused_by.is_none());
        let (rule, detail) = &one.findings[0];
        let data = "Matched Data: x found within ARGS:a: x";
        assert_eq!(told(rule, detail), format!(r#"[id "1"] [msg "m"] [data "{data}"]"#));
        assert_eq!(told("2", "a: message"), r#"[id "2"] [msg "a: message"] [data ""]"#);
    }

    #[test]
    fn what_is_left_out_of_the_log_is_no_silence() {
        let log = "{\"kind\":\"decision\",\"client\":\"127.1.0.1:9\",\"findings_left_out\":3}\n";
        assert!(parse_log(log).is_err());
    }

    #[test]
    fn answers_are_whole_by_their_length() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\nab"));
        assert_eq!(status(b"HTTP/1.1 403 Forbidden"), Some(403));
    }
}
