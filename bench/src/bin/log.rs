//! How fast the event log takes records and gives them back, in this process and on this disk.
//!
//! `log [FOLDER] [SECONDS]`: a table of writers, batches under way per writer, records per second and
//! the time from submission to acknowledgement, then the replay of what was written, which is checked.
#![expect(clippy::print_stdout, reason = "a tool for a terminal")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use selvedge_eventlog::{Append, Log, Settings, StreamId, StreamOptions, Ticket, block_on};

/// Payload of a record.
const RECORD: [u8; 256] = [b'x'; 256];

/// Writers, and batches that each has under way.
const LOADS: &[(usize, usize)] = &[(1, 1), (64, 1), (1024, 1), (64, 256), (2, 8192)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().map_or_else(|| std::env::temp_dir().join("log-bench"), PathBuf::from);
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    println!("| writers | under way each | records/s | p50 ms | p99 ms |\n|--:|--:|--:|--:|--:|");
    for (writers, depth) in LOADS {
        let load =
            Load { writers: *writers, depth: *depth, duration: Duration::from_secs_f64(seconds) };
        let log = fresh(&folder)?;
        let (records, mut times, elapsed) = load.run(&log)?;
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = records as f64 / elapsed.as_secs_f64();
        println!("| {writers} | {depth} | {rate:.0} | {:.2} | {:.2} |", at(0.5), at(0.99));
        drop(log);
        replay(&folder, records)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn fresh(folder: &Path) -> Result<Log, Box<dyn Error>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(Log::open(folder, Settings::default())?)
}

struct Load {
    writers: usize,
    depth: usize,
    duration: Duration,
}

impl Load {
    /// Writes, and returns how many records, how long each took, and how long it took in all.
    fn run(&self, log: &Log) -> Result<(usize, Vec<Duration>, Duration), Box<dyn Error>> {
        let streams: Result<Vec<StreamId>, _> = (0..self.writers)
            .map(|writer| {
                block_on(log.create(&format!("stream {writer}"), StreamOptions::default()))
            })
            .collect();
        let begin = Instant::now();
        let threads: Vec<_> = streams?
            .into_iter()
            .map(|stream| {
                let (log, depth, end) = (log.clone(), self.depth, begin + self.duration);
                thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn(move || write(&log, stream, depth, end))
            })
            .collect::<Result<_, _>>()?;
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().expect("a writer does not panic"));
        }
        Ok((times.len(), times, begin.elapsed()))
    }
}

/// Appends until `end`, with `depth` batches under way, and returns how long each took.
fn write(log: &Log, stream: StreamId, depth: usize, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut under_way = std::collections::VecDeque::<(Instant, Ticket)>::new();
    loop {
        let open = Instant::now() < end;
        if open && under_way.len() < depth {
            let ticket = log.append(Append::to(stream).record(&RECORD));
            under_way.push_back((Instant::now(), ticket));
            continue;
        }
        let Some((begin, ticket)) = under_way.pop_front() else { return times };
        ticket.wait().expect("the disk works");
        times.push(begin.elapsed());
    }
}

/// Opens the log again and reads everything from its beginning.
fn replay(folder: &Path, expected: usize) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let log = Log::open(folder, Settings { cache_bytes_max: 0, ..Settings::default() })?;
    let opened = begin.elapsed();
    let begin = Instant::now();
    let mut records = 0;
    for stream in log.list("", "", usize::MAX) {
        let mut next = 0;
        while next < stream.tail {
            let chunk = log.read(stream.id, next, 1 << 20)?;
            next = chunk.next;
            records += chunk.records().filter(|(_, record)| record.as_ref() == RECORD).count();
        }
    }
    let rate = records as f64 / begin.elapsed().as_secs_f64();
    println!("opened in {opened:.0?}, {records} records read at {rate:.0}/s");
    if records == expected {
        Ok(())
    } else {
        Err(format!("{expected} records were acknowledged").into())
    }
}
