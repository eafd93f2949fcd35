//! One stream, and a thousand clients that follow it by server-sent events.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time,
};

use crate::{
    Result,
    appended::RECORD,
    http::{Connection, Target},
    options::Options,
    times::Times,
};

/// What each record begins with, before its number.
const MARK: &[u8] = b"#";
/// Digits of its number.
const DIGITS: usize = 8;
/// How long may pass until all followers have a record.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a follower reads at once.
const READ_BYTES: usize = 16 << 10;

/// When each append was sent.
struct Board {
    begin: Instant,
    /// Nanoseconds since the beginning.
    sent: Vec<AtomicU64>,
}

/// Appends at a steady pace; returns how long after it was sent each record was with each follower, and what of the processor the
/// server's processes used for that.
pub async fn follow(options: &Options) -> Result<Value> {
    let (followers, records): (u64, u64) =
        (options.number("followers")?, options.number("records")?);
    let pause = Duration::from_secs(1).div_f64(options.number("per_second")?);
    let target = Target::new(options, "followed")?;
    let mut writer = target.connect().await?;
    writer.create().await?;
    let memory_before = memory(options)?;
    let board = Arc::new(Board {
        begin: Instant::now(),
        sent: (0..records).map(|_| AtomicU64::new(0)).collect(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..followers {
        let socket = target.open().await?;
        tasks.spawn(follower(socket, target.clone(), Arc::clone(&board)));
    }
    // Each has had its first event by then: whoever has not is behind, and shows as such.
    time::sleep(Duration::from_secs(1)).await;
    let used_before = processor(options)?;
    append(&mut writer, &board, pause).await?;
    let late = |_| "not all followers had all records in time";
    let (delays, open) = time::timeout(PATIENCE, finished(tasks)).await.map_err(late)??;
    let used = processor(options)? - used_before;
    let memory_after = memory(options)?;
    drop(open);
    let deliveries = delays.len() as u64;
    let mut told = delays.told();
    told["records"] = records.into();
    told["deliveries"] = deliveries.into();
    told["processor_us"] = (used.as_secs_f64() * 1e6 / deliveries.max(1) as f64).into();
    told["memory_mib"] = ((memory_after - memory_before) as f64 / f64::from(1 << 20)).into();
    Ok(told)
}

/// Appends all records.
async fn append(writer: &mut Connection, board: &Board, pause: Duration) -> Result {
    let mut due = time::interval(pause);
    for (number, sent) in board.sent.iter().enumerate() {
        due.tick().await;
        sent.store(board.now(), Ordering::Release);
        writer.append(numbered(number)).await?;
    }
    Ok(())
}

/// A record of the usual size that says which it is.
fn numbered(number: usize) -> Bytes {
    let mut record = RECORD;
    let text = format!("#{number:0DIGITS$}");
    record[..text.len()].copy_from_slice(text.as_bytes());
    Bytes::copy_from_slice(&record)
}

/// All delays, and connections that stay open until memory is measured with all of them.
async fn finished(
    mut tasks: JoinSet<Result<(Times, TcpStream)>>,
) -> Result<(Times, Vec<TcpStream>)> {
    let (mut all, mut open) = (Times::default(), Vec::new());
    while let Some(task) = tasks.join_next().await {
        let (delays, socket) = task??;
        all.extend(delays);
        open.push(socket);
    }
    Ok((all, open))
}

/// Follows the stream until it has all records, each once and in order.
///
/// It reads the socket itself: a client's own work for a thousand answers would show in every figure.
async fn follower(
    mut socket: TcpStream,
    target: Target,
    board: Arc<Board>,
) -> Result<(Times, TcpStream)> {
    socket.write_all(target.request("?offset=-1&live=sse").as_bytes()).await?;
    let (mut next, mut text, mut delays) = (0, Vec::new(), Times::default());
    let mut in_head = true;
    while next < board.sent.len() {
        text.reserve(READ_BYTES);
        if socket.read_buf(&mut text).await? == 0 {
            return Err("a follower was let go".into());
        }
        let now = board.now();
        if in_head {
            let Some(end) = text.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
            if !text.starts_with(b"HTTP/1.1 200 ") {
                return Err(format!("a follower was answered {}", text.escape_ascii()).into());
            }
            in_head = false;
            text.drain(..end);
        }
        let read = numbers(&text, |number| {
            if number != next {
                return Err(format!("a follower got record {number} instead of {next}"));
            }
            let sent = board.sent[number].load(Ordering::Acquire);
            delays.push(Duration::from_nanos(now.saturating_sub(sent)));
            next += 1;
            Ok(())
        })?;
        text.drain(..read);
    }
    Ok((delays, socket))
}

/// Finds all whole marks in `text`; returns how much of it needs no second look.
fn numbers(text: &[u8], mut found: impl FnMut(usize) -> Result<(), String>) -> Result<usize> {
    let mut read = 0;
    while let Some(at) = text[read..].iter().position(|byte| MARK.contains(byte)) {
        let begin = read + at + MARK.len();
        let Some(digits) = text.get(begin..begin + DIGITS) else { return Ok(read + at) };
        found(std::str::from_utf8(digits)?.parse()?)?;
        read = begin + DIGITS;
    }
    Ok(text.len())
}

impl Board {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

/// What the threads of the server's processes have used of the processor.
fn processor(options: &Options) -> Result<Duration> {
    let processes = options.text("processes")?.split(',');
    let used: Result<Vec<u64>> = processes.map(used).collect();
    Ok(Duration::from_nanos(used?.iter().sum()))
}

fn used(process: &str) -> Result<u64> {
    let mut used = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let Ok(told) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        used += told.split(' ').next().ok_or("a thread shows no time")?.parse::<u64>()?;
    }
    Ok(used)
}

/// Proportional set of the server's processes, in bytes.
fn memory(options: &Options) -> Result<i64> {
    options.text("processes")?.split(',').map(proportional_set).sum()
}

fn proportional_set(process: &str) -> Result<i64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| format!("process {process} shows no memory").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[usize], rest: &str) {
        let mut found = Vec::new();
        let read = numbers(text.as_bytes(), |number| {
            found.push(number);
            Ok(())
        });
        assert_eq!((found.as_slice(), &text[read.unwrap()..]), (expected, rest));
    }

    #[test]
    fn numbers_are_found_wherever_frames_are_cut() {
        check("", &[], "");
        check("event: data\ndata:#00000007xxx", &[7], "");
        check("#00000007xx#00000008x#000", &[7, 8], "#000");
        check("xx#", &[], "#");
    }

    #[test]
    fn a_record_has_the_usual_size() {
        assert_eq!(numbered(42).len(), RECORD.len());
        assert!(numbered(42).starts_with(b"#00000042x"));
    }
}
