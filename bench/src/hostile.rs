//! An agent that does its work until it is ordered to misbehave, and again once the order is lifted.
//!
//! The order is a word in a file, so that it reaches a process that hangs, and one that is only just starting.
//! While it behaves, the agent allows each request and sets [`MARK`] to the request's target, by which
//! an upstream sees that this very request was inspected; it blocks targets with `/deny/` in them.

use std::{
    collections::VecDeque,
    fs,
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{self, ExitCode},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use listenfd::ListenFd;
use selvedge_agent::{
    AgentBounds, AgentSide, Event, FromEdge, RequestHead, StreamId, Subscriptions, Verdict,
};

/// The field that only this agent sets.
pub const MARK: &str = "x-inspected";
/// Part of the targets that the agent blocks.
pub const DENIED: &str = "/deny/";
/// The status of what it blocks.
pub const DENIED_STATUS: u16 = 403;

/// How the agent behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As it should.
    #[default]
    Fine,
    /// Each verdict comes [`SLOW`] late; pings are answered at once.
    Slow,
    /// Each request costs [`LEAK`] bytes that are never given back.
    Leak,
    /// Bytes that mean nothing, in frames that are whole or not.
    Garbage,
    /// Frames that are well-formed and that nobody asked for.
    Disorder,
    /// A frame that says it is 2³¹ bytes long, and begins.
    Huge,
    /// Nothing is read any more; the connections stay.
    Deaf,
    /// The connection is accepted, and never greeted.
    Mute,
    /// Verdicts for streams that were never opened.
    Stranger,
    /// Frames for a stream that is over, as fast as the edge reads, once a request was answered.
    Flood,
    /// The process ends at once whenever it starts.
    Storm,
    /// Every thread that is asked blocks for [`BLOCK`]; then the process crashes.
    Crash,
}

/// How late a slow agent is: ten times the timeout that agents have by default.
pub const SLOW: Duration = Duration::from_secs(1);
/// Bytes that each request leaks.
pub const LEAK: usize = 256 << 10;
/// How long an agent blocks before it crashes.
pub const BLOCK: Duration = Duration::from_millis(300);

impl Order {
    /// Every order.
    pub const ALL: [Self; 12] = [
        Self::Fine,
        Self::Slow,
        Self::Leak,
        Self::Garbage,
        Self::Disorder,
        Self::Huge,
        Self::Deaf,
        Self::Mute,
        Self::Stranger,
        Self::Flood,
        Self::Storm,
        Self::Crash,
    ];

    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Slow => "slow",
            Self::Leak => "leak",
            Self::Garbage => "garbage",
            Self::Disorder => "disorder",
            Self::Huge => "huge",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Stranger => "stranger",
            Self::Flood => "flood",
            Self::Storm => "storm",
            Self::Crash => "crash",
        }
    }
}

/// The file that an agent takes its orders from.
#[derive(Clone, Debug)]
pub struct Orders {
    file: PathBuf,
}

impl Orders {
    /// Orders in this file; while there is none, the agent behaves.
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Gives an order. It replaces the one before at once: no reader sees half a word.
    pub fn give(&self, order: Order) -> io::Result<()> {
        let draft = self.file.with_extension("draft");
        fs::write(&draft, order.word())?;
        fs::rename(draft, &self.file)
    }

    fn now(&self) -> Order {
        let word = fs::read_to_string(&self.file).unwrap_or_default();
        Order::ALL.into_iter().find(|order| order.word() == word).unwrap_or_default()
    }
}

/// Runs the agent on the socket that its parent left (`LISTEN_FDS`), until it is killed.
pub fn run(orders: Orders) -> ExitCode {
    match serve(&orders) {
        Ok(never) => match never {},
        Err(error) => {
            let _ = writeln!(io::stderr(), "hostile agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(orders: &Orders) -> io::Result<std::convert::Infallible> {
    if orders.now() == Order::Storm {
        return Err(io::Error::other("ordered to end at once"));
    }
    let listener = ListenFd::from_env().take_unix_listener(0)?;
    let listener = listener.ok_or_else(|| io::Error::other("no socket in LISTEN_FDS"))?;
    // The file description may be shared with an agent before this one.
    listener.set_nonblocking(false)?;
    loop {
        let (stream, _) = listener.accept()?;
        let conversation = Conversation::new(stream, orders.clone());
        // An end of one connection, for whatever reason, concerns nobody else.
        thread::spawn(move || drop(conversation.hold()));
    }
}

/// How often an agent that has nothing to read looks at its orders.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a flood that are written at once.
const FLOOD_BYTES: usize = 1 << 20;
/// Misdeeds so far, on all connections: each kind has variants that take turns.
static MISDEEDS: AtomicU64 = AtomicU64::new(0);

/// One connection.
struct Conversation {
    stream: UnixStream,
    orders: Orders,
    side: AgentSide,
    /// The edge has begun, and is not greeted yet.
    greeting_due: bool,
    /// Verdicts of a slow agent, oldest first.
    late: VecDeque<(Instant, StreamId, Verdict)>,
    leaked: Vec<Vec<u8>>,
    answered: bool,
}

impl Conversation {
    fn new(stream: UnixStream, orders: Orders) -> Self {
        let side = AgentSide::new(AgentBounds::default(), "hostile", env!("CARGO_PKG_VERSION"));
        Self {
            stream,
            orders,
            side,
            greeting_due: false,
            late: VecDeque::new(),
            leaked: Vec::new(),
            answered: false,
        }
    }

    fn hold(mut self) -> io::Result<()> {
        let (mut input, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let order = self.orders.now();
            if order == Order::Deaf {
                thread::sleep(LOOK);
                continue;
            }
            self.greet(order)?;
            self.send_late()?;
            self.flush()?;
            if order == Order::Flood && self.answered {
                self.flood()?;
            }
            self.stream.set_read_timeout(Some(self.patience(order)))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => input.extend_from_slice(&piece[..length]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            }
            let left = self.take(&input)?;
            input.drain(..input.len() - left);
        }
    }

    /// How long to wait for more to read.
    fn patience(&self, order: Order) -> Duration {
        let due = self.late.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        let longest = if order == Order::Flood { Duration::from_millis(1) } else { LOOK };
        // Zero would mean for ever.
        due.unwrap_or(longest).clamp(Duration::from_millis(1), longest)
    }

    fn greet(&mut self, order: Order) -> io::Result<()> {
        if self.greeting_due && order != Order::Mute {
            self.greeting_due = false;
            self.side.ready(&Subscriptions::none().request_headers()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn send_late(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some((_, stream, verdict)) = self.late.pop_front_if(|(due, ..)| *due <= now) {
            self.answer(stream, &verdict)?;
        }
        Ok(())
    }

    fn answer(&mut self, stream: StreamId, verdict: &Verdict) -> io::Result<()> {
        if self.side.is_open(stream) {
            self.side.verdict(stream, Event::RequestHeaders, verdict).map_err(io::Error::other)?;
            self.answered = true;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.side.output())?;
        self.side.advance_output(self.side.output_len());
        Ok(())
    }

    /// Stream 1 is over once anything has been answered: of its frames some are read past.
    fn flood(&mut self) -> io::Result<()> {
        let frame = frame(VERDICT, 1, &allow(Event::RequestHeaders));
        self.stream.write_all(&frame.repeat(FLOOD_BYTES / frame.len()))
    }

    /// Takes in what was read; returns how many bytes are left of it.
    fn take(&mut self, mut input: &[u8]) -> io::Result<usize> {
        while let Some(said) = self.side.receive(&mut input).map_err(io::Error::other)? {
            match said {
                FromEdge::Hello(_) => self.greeting_due = true,
                FromEdge::Configure { .. } => {
                    let wants = Subscriptions::none().request_headers();
                    self.side.configured(Ok(&wants)).map_err(io::Error::other)?;
                }
                FromEdge::Request { stream, head, .. } => self.hear(stream, &head)?,
                _ => {}
            }
        }
        Ok(input.len())
    }

    fn hear(&mut self, stream: StreamId, head: &RequestHead<'_>) -> io::Result<()> {
        let verdict = verdict(head);
        match self.orders.now() {
            Order::Slow => {
                self.late.push_back((Instant::now() + SLOW, stream, verdict));
                return Ok(());
            }
            Order::Leak => self.leaked.push(vec![1; LEAK]),
            Order::Garbage => return self.say(&garbage(stream)),
            Order::Disorder => return self.say(&disorder(stream)),
            Order::Huge => return self.say(&huge(stream)),
            Order::Stranger => {
                return self.say(&frame(VERDICT, u64::MAX >> 1, &allow(Event::RequestHeaders)));
            }
            Order::Storm => process::exit(1),
            Order::Crash => {
                thread::sleep(BLOCK);
                process::abort();
            }
            Order::Deaf => return Ok(()),
            Order::Fine | Order::Flood | Order::Mute => {}
        }
        self.answer(stream, &verdict)
    }

    /// Writes what no honest agent would, behind what waits to be written.
    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush()?;
        self.stream.write_all(bytes)
    }
}

fn verdict(head: &RequestHead<'_>) -> Verdict {
    match head.target().contains(DENIED) {
        true => Verdict::block(DENIED_STATUS).reason("the target is denied"),
        false => Verdict::allow().set_request_header(MARK, head.target()),
    }
}

// Numbers on the wire: `docs/reference/agent-protocol.md`.
const READY: u8 = 0x02;
const CONFIGURED: u8 = 0x04;
const PONG: u8 = 0x06;
const VERDICT: u8 = 0x20;
const RELEASE: u8 = 0x21;
const REPLACE: u8 = 0x22;
const CREDIT: u8 = 0x24;

fn frame(kind: u8, stream: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("payloads here are short");
    let mut bytes = header(length, kind, stream);
    bytes.extend_from_slice(payload);
    bytes
}

fn header(length: u32, kind: u8, stream: u64) -> Vec<u8> {
    [&length.to_be_bytes()[..], &[kind, 0, 0, 0], &stream.to_be_bytes()].concat()
}

/// The payload of a verdict that allows and says nothing more.
fn allow(event: Event) -> [u8; 8] {
    [event.number(), 0, 0, 0, 0, 0, 0, 0]
}

fn garbage(stream: StreamId) -> Vec<u8> {
    let turn = MISDEEDS.fetch_add(1, Relaxed);
    let mut random = fastrand::Rng::with_seed(turn);
    let mut noise = vec![0; random.usize(1..4096)];
    random.fill(&mut noise);
    match turn % 3 {
        0 => noise,
        // Whole frames, and what they carry means nothing.
        1 => frame(VERDICT, stream.number(), &noise),
        _ => frame(random.u8(..), random.u64(..), &noise),
    }
}

fn disorder(stream: StreamId) -> Vec<u8> {
    let (turn, stream) = (MISDEEDS.fetch_add(1, Relaxed), stream.number());
    match turn % 7 {
        // A second greeting.
        0 => frame(READY, 0, &[0; 15]),
        1 => frame(CONFIGURED, 0, &[0, 0, 0, 0, 0, 0, 0, 9, 1, 0]),
        2 => frame(PONG, 0, &[7; 8]),
        // Another event is allowed than the one that was asked about.
        3 => frame(VERDICT, stream, &allow(Event::ResponseHeaders)),
        4 => frame(RELEASE, stream, &[Event::RequestBody.number(), 0, 0, 0, 1]),
        5 => frame(REPLACE, stream, &[Event::RequestBody.number(), 0, 0, 0, 1, b'x']),
        _ => frame(CREDIT, stream, &[Event::RequestBody.number(), 0, 0, 0, 1]),
    }
}

fn huge(stream: StreamId) -> Vec<u8> {
    let mut bytes = header(1 << 31, VERDICT, stream.number());
    bytes.resize(FLOOD_BYTES, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_given() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let orders = Orders::new(folder.path().join("orders"));
        assert_eq!(orders.now(), Order::Fine);
        for order in Order::ALL {
            orders.give(order).expect("the folder can be written to");
            assert_eq!(orders.now(), order);
        }
    }

    #[test]
    fn frames_are_well_formed_where_they_are_meant_to_be() {
        let bytes = frame(VERDICT, 5, &allow(Event::RequestHeaders));
        assert_eq!(bytes, b"\0\0\0\x08\x20\0\0\0\0\0\0\0\0\0\0\x05\x01\0\0\0\0\0\0\0");
    }
}
