//! One stream, and a thousand clients that follow it by server-sent events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming};
use serde_json::Value;
use tokio::{task::JoinSet, time};

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

/// Who has which record, and when the last one got it.
struct Board {
    begin: Instant,
    records: Vec<Seen>,
}

#[derive(Default)]
struct Seen {
    followers: AtomicU32,
    /// Nanoseconds since the beginning.
    last: AtomicU64,
}

/// Appends at a steady pace; returns how long after its acknowledgement each record was with all followers.
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
        records: (0..records).map(|_| Seen::default()).collect(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..followers {
        let connection = target.connect().await?;
        tasks.spawn(follower(connection, Arc::clone(&board)));
    }
    // Each has had its first event by then: whoever has not is behind, and shows as such.
    time::sleep(Duration::from_secs(1)).await;
    let acknowledged = append(&mut writer, &board, pause).await?;
    let until = time::timeout(PATIENCE, finished(tasks)).await;
    let memory_after = memory(options)?;
    until.map_err(|_| board.missing(followers))??;
    let delays = board.records.iter().zip(acknowledged);
    let delays: Times =
        delays.map(|(seen, acknowledged)| seen.last().saturating_sub(acknowledged)).collect();
    let mut told = delays.told();
    told["records"] = records.into();
    told["deliveries"] = board.deliveries().into();
    told["memory_mib"] = ((memory_after - memory_before) as f64 / f64::from(1 << 20)).into();
    Ok(told)
}

/// Appends all records; returns when each was acknowledged.
async fn append(writer: &mut Connection, board: &Board, pause: Duration) -> Result<Vec<Duration>> {
    let mut due = time::interval(pause);
    let mut acknowledged = Vec::new();
    for number in 0..board.records.len() {
        due.tick().await;
        writer.append(numbered(number)).await?;
        acknowledged.push(board.begin.elapsed());
    }
    Ok(acknowledged)
}

/// A record of the usual size that says which it is.
fn numbered(number: usize) -> Bytes {
    let mut record = RECORD;
    let text = format!("#{number:0DIGITS$}");
    record[..text.len()].copy_from_slice(text.as_bytes());
    Bytes::copy_from_slice(&record)
}

async fn finished(mut tasks: JoinSet<Result<Connection>>) -> Result {
    // Connections stay open until all are done, so that memory is measured with all of them.
    let mut open = Vec::new();
    while let Some(task) = tasks.join_next().await {
        open.push(task??);
    }
    Ok(())
}

/// Follows the stream until it has all records, each once and in order.
async fn follower(mut connection: Connection, board: Arc<Board>) -> Result<Connection> {
    let response = connection.get("?offset=-1&live=sse").await?;
    if response.status() != StatusCode::OK {
        return Err(format!("a follower was answered {}", response.status()).into());
    }
    read_all(response, &board).await?;
    Ok(connection)
}

async fn read_all(response: Response<Incoming>, board: &Board) -> Result {
    let mut body = response.into_body();
    let (mut next, mut text) = (0, Vec::new());
    while next < board.records.len() {
        let frame = body.frame().await.ok_or("a follower was let go")??;
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let read = numbers(&text, |number| {
            if number != next {
                return Err(format!("a follower got record {number} instead of {next}"));
            }
            board.mark(number);
            next += 1;
            Ok(())
        })?;
        text.drain(..read);
    }
    Ok(())
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
    fn mark(&self, number: usize) {
        let Some(seen) = self.records.get(number) else { return };
        let now = self.begin.elapsed().as_nanos() as u64;
        seen.last.fetch_max(now, Ordering::Relaxed);
        seen.followers.fetch_add(1, Ordering::Relaxed);
    }

    fn deliveries(&self) -> u64 {
        self.records.iter().map(|seen| u64::from(seen.followers.load(Ordering::Relaxed))).sum()
    }

    fn missing(&self, followers: u64) -> String {
        let wanted = followers * self.records.len() as u64;
        format!("{} of {wanted} deliveries came", self.deliveries())
    }
}

impl Seen {
    fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }
}

/// Proportional set of the server's processes, in bytes.
fn memory(options: &Options) -> Result<i64> {
    options.text("processes")?.split(',').map(proportional_set).sum()
}

fn proportional_set(process: &str) -> Result<i64> {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
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
