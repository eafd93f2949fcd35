//! Requests at a fixed rate, and how long after it was due each was answered, in microseconds.
//!
//! `paced ADDRESS REQUEST-FILE RATE SECONDS CONNECTIONS`; prints one line of JSON. The file holds one HTTP/1.1 request.
//! A request is due whether or not earlier ones were answered (open loop), and waits for a free connection on its own
//! time. Requests leave one by one, woken by a timer of the kernel's finest grain: loads that pace by the millisecond
//! send them in bunches, and what a proxy adds is lost between the members of a bunch.

use std::{
    collections::VecDeque,
    fs, io,
    io::{Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use selvedge_bench::epoll::{Epoll, Interest};
use serde_json::{Value, json};

/// How long answers may take once the last request was due, and any answer before the clock starts.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match Load::from_arguments().and_then(Load::run) {
        Ok(figures) => {
            let _ = writeln!(io::stdout(), "{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "paced: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The load while it runs.
struct Load {
    request: Vec<u8>,
    schedule: Schedule,
    clients: Vec<Client>,
    /// Connections without a request, the one that has rested longest in front.
    free: VecDeque<usize>,
    /// When those requests were due that wait for a connection; bounded by the schedule.
    waiting: VecDeque<Instant>,
    tally: Tally,
}

/// When requests are due: evenly, from a start on.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    start: Instant,
    rate: f64,
    count: u64,
    next: u64,
}

/// A connection.
struct Client {
    stream: TcpStream,
    /// When the request that it carries was due.
    due: Option<Instant>,
    answer: Vec<u8>,
}

/// What came of it.
#[derive(Default)]
struct Tally {
    failed: u64,
    first_failure: Option<String>,
    latencies: Vec<Duration>,
    /// How late requests left; what belongs to the load and not to who answers, unless connections ran out.
    delays: Vec<Duration>,
}

impl Load {
    fn from_arguments() -> Result<Self, Failure> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [address, request, rate, seconds, connections] = arguments.as_slice() else {
            return Err("give ADDRESS REQUEST-FILE RATE SECONDS CONNECTIONS".into());
        };
        let request = fs::read(request)?;
        let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
        if !(1.0..=1e6).contains(&rate) || !(0.001..=3600.0).contains(&seconds) {
            return Err("a rate from 1 to 1000000 and up to an hour".into());
        }
        let clients = (0..connections.parse::<usize>()?)
            .map(|_| Client::open(address, &request))
            .collect::<Result<Vec<_>, Failure>>()?;
        let count = (rate * seconds) as u64;
        Ok(Self {
            request,
            schedule: Schedule { start: Instant::now(), rate, count, next: 0 },
            free: (0..clients.len()).collect(),
            waiting: VecDeque::new(),
            clients,
            tally: Tally::default(),
        })
    }

    fn run(mut self) -> Result<Value, Failure> {
        let mut epoll = Epoll::new()?;
        let timer = Timer::new()?;
        let timer_token = self.clients.len() as u64;
        epoll.add(&timer.fd, timer_token, Interest::Read)?;
        for (token, client) in self.clients.iter().enumerate() {
            client.stream.set_nonblocking(true)?;
            epoll.add(&client.stream, token as u64, Interest::Read)?;
        }
        self.schedule.start = Instant::now();
        let end = self.schedule.at(self.schedule.count) + PATIENCE;
        while self.is_under_way() && Instant::now() < end {
            self.send_due()?;
            timer.set(self.schedule.upcoming().unwrap_or(end))?;
            for token in epoll.wait(None)? {
                // The timer only wakes us; setting it anew makes it unready.
                if token != timer_token {
                    self.receive(token as usize)?;
                }
            }
        }
        Ok(self.figures())
    }

    fn is_under_way(&self) -> bool {
        self.schedule.upcoming().is_some() || self.free.len() < self.clients.len()
    }

    /// Sends all that is due, as far as connections are free.
    fn send_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(due) = self.schedule.upcoming().filter(|due| *due <= now) {
            self.schedule.next += 1;
            self.waiting.push_back(due);
        }
        while let Some(due) = self.waiting.front().copied()
            && let Some(place) = self.free.pop_front()
        {
            self.waiting.pop_front();
            self.tally.delays.push(due.elapsed());
            self.clients[place].send(&self.request, due)?;
        }
        Ok(())
    }

    /// Reads what there is; a wrong answer counts, a broken connection ends everything.
    fn receive(&mut self, place: usize) -> Result<(), Failure> {
        let client = &mut self.clients[place];
        let Some(outcome) = client.receive()? else { return Ok(()) };
        let due = client.due.take().ok_or("an answer that nobody asked for")?;
        match outcome {
            Ok(()) => self.tally.latencies.push(due.elapsed()),
            Err(wrong) => {
                self.tally.failed += 1;
                self.tally.first_failure.get_or_insert(wrong);
            }
        }
        self.free.push_back(place);
        Ok(())
    }

    fn figures(self) -> Value {
        let Tally { failed, first_failure, mut latencies, mut delays } = self.tally;
        latencies.sort_unstable();
        delays.sort_unstable();
        let good = latencies.len() as u64;
        json!({
            "due": self.schedule.count,
            "good": good,
            "failed": failed,
            "unanswered": self.schedule.count - good - failed,
            "first_failure": first_failure,
            "p50_us": percentile(&latencies, 0.5),
            "p90_us": percentile(&latencies, 0.9),
            "p99_us": percentile(&latencies, 0.99),
            "p999_us": percentile(&latencies, 0.999),
            "sent_late_p50_us": percentile(&delays, 0.5),
            "sent_late_p99_us": percentile(&delays, 0.99),
        })
    }
}

impl Schedule {
    /// When the request of this number is due.
    fn at(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn upcoming(&self) -> Option<Instant> {
        (self.next < self.count).then(|| self.at(self.next))
    }
}

impl Client {
    /// Connects and has one request answered, so that nobody meets a new connection once the clock runs.
    fn open(address: &str, request: &[u8]) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, due: None, answer: Vec::new() };
        client.send(request, Instant::now())?;
        loop {
            if let Some(outcome) = client.receive()? {
                client.due = None;
                outcome?;
                return Ok(client);
            }
        }
    }

    fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        // A head goes into the empty buffer of a socket whole.
        if self.stream.write(request)? < request.len() {
            return Err(io::Error::other("a request is too large to be sent at once"));
        }
        self.due = Some(due);
        Ok(())
    }

    /// Reads a piece of the answer. Once it is whole: whether it is right.
    fn receive(&mut self) -> Result<Option<Result<(), String>>, Failure> {
        let mut piece = [0; 4096];
        let length = match self.stream.read(&mut piece) {
            Ok(0) => return Err("the connection was closed".into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.due.is_some() => {
                return Ok(None);
            }
            length => length?,
        };
        self.answer.extend_from_slice(&piece[..length]);
        let outcome = judge(&self.answer)?;
        if outcome.is_some() {
            self.answer.clear();
        }
        Ok(outcome)
    }
}

/// `None` while the answer is not whole; one that cannot be framed, or is too long, is the error.
fn judge(answer: &[u8]) -> Result<Option<Result<(), String>>, Failure> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err("the answer is too long".into());
    }
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&answer[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let length: usize = length.ok_or_else(|| format!("no length: {head:?}"))?.parse()?;
    match (answer.len() - end - 4).cmp(&length) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Greater => Err("more than the answer".into()),
        std::cmp::Ordering::Equal if head.starts_with("HTTP/1.1 200 ") => Ok(Some(Ok(()))),
        std::cmp::Ordering::Equal => {
            Ok(Some(Err(head.lines().next().unwrap_or_default().to_owned())))
        }
    }
}

/// Of sorted durations, in microseconds; nothing without any.
fn percentile(sorted: &[Duration], share: f64) -> Option<f64> {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place).map(|latency| latency.as_nanos() as f64 / 1e3)
}

/// A wake-up call without the slack of timeouts.
struct Timer {
    fd: OwnedFd,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Monotonic, flags)? })
    }

    fn set(&self, at: Instant) -> io::Result<()> {
        // Zero would switch it off.
        let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let no_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let setting = Itimerspec { it_interval: no_interval, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let found = judge(answer.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(format!("{found:?}"), expected);
    }

    #[test]
    fn answers_are_judged_when_they_are_whole() {
        check("HTTP/1.1 200 OK\r\nContent-Le", "Ok(None)");
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na", "Ok(None)");
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", "Ok(Some(Ok(())))");
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc", "Err(\"more than the answer\")");
        let refused = "Ok(Some(Err(\"HTTP/1.1 403 Forbidden\")))";
        check("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", refused);
        check("HTTP/1.1 200 OK\r\n\r\n", "Err(\"no length: \\\"HTTP/1.1 200 OK\\\"\")");
    }

    #[test]
    fn requests_are_due_evenly() {
        let start = Instant::now();
        let mut schedule = Schedule { start, rate: 1000.0, count: 2, next: 1 };
        assert_eq!(schedule.upcoming(), Some(start + Duration::from_millis(1)));
        schedule.next = 2;
        assert_eq!(schedule.upcoming(), None);
    }

    #[test]
    fn percentiles() {
        let latencies: Vec<Duration> = (0..1000).map(Duration::from_micros).collect();
        let at = |share| percentile(&latencies, share);
        assert_eq!((at(0.5), at(0.99), at(0.999)), (Some(500.0), Some(990.0), Some(999.0)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
