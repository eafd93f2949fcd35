//! The event log in this process.

use std::{
    collections::VecDeque,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use selvedge_eventlog::{Append, Log, Settings, StreamId, StreamOptions, Ticket, block_on};
use serde_json::Value;

use crate::{
    Result,
    appended::{Appended, RECORD, Writer},
    options::Options,
    times::Times,
};

/// Threads that append without waiting, and what each has under way.
const PIPELINES: usize = 2;
const UNDER_WAY: usize = 8192;

/// What one read takes from the log.
const CHUNK_BYTES: usize = 1 << 20;

/// Writers that wait, each with a stream of its own.
pub async fn append(options: &Options) -> Result<Value> {
    let folder = options.fresh_folder()?;
    let log = Log::open(&folder, Settings::default())?;
    let mut writers = Vec::new();
    for writer in 0..options.number::<u32>("writers")? {
        let stream = log.create(&format!("stream {writer}"), StreamOptions::default()).await?;
        writers.push(Own { log: log.clone(), stream });
    }
    let appended = Appended::in_closed_loop(writers, options.seconds()?).await?;
    drop(log);
    appended.proven(count(&folder)?)
}

/// Writers that do not wait for one acknowledgement before the next append.
pub fn pipelined(options: &Options) -> Result<Value> {
    let folder = options.fresh_folder()?;
    let log = Log::open(&folder, Settings::default())?;
    let streams: Vec<StreamId> = (0..PIPELINES)
        .map(|writer| block_on(log.create(&format!("stream {writer}"), StreamOptions::default())))
        .collect::<Result<_, _>>()?;
    let (begin, duration) = (Instant::now(), options.seconds()?);
    let times = thread::scope(|scope| -> Result<Times> {
        let (log, end) = (&log, begin + duration);
        let threads: Vec<_> =
            streams.iter().map(|stream| scope.spawn(move || pipeline(log, *stream, end))).collect();
        let mut times = Times::default();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a writer panicked")??);
        }
        Ok(times)
    })?;
    let appended = Appended::new(times, begin.elapsed());
    drop(log);
    appended.proven(count(&folder)?)
}

fn pipeline(log: &Log, stream: StreamId, end: Instant) -> Result<Times> {
    let mut times = Times::default();
    let mut under_way = VecDeque::<(Instant, Ticket)>::new();
    loop {
        let begin = Instant::now();
        if begin < end && under_way.len() < UNDER_WAY {
            under_way.push_back((begin, log.append(Append::to(stream).record(&RECORD))));
            continue;
        }
        let Some((begin, ticket)) = under_way.pop_front() else { return Ok(times) };
        ticket.wait()?;
        times.push(begin.elapsed());
    }
}

struct Own {
    log: Log,
    stream: StreamId,
}

impl Writer for Own {
    async fn append(&mut self) -> Result {
        self.log.append(Append::to(self.stream).record(&RECORD)).await?;
        Ok(())
    }
}

/// Writes so many records to so many streams in turns, as fast as it goes.
pub fn fill(folder: &Path, records: u64, streams: usize) -> Result {
    let log = Log::open(folder, Settings::default())?;
    let create = |nth| block_on(log.create(&format!("replayed {nth}"), StreamOptions::default()));
    let streams = (0..streams).map(create).collect::<Result<Vec<_>, _>>()?;
    let mut under_way = VecDeque::new();
    for (_, stream) in (0..records).zip(streams.iter().cycle()) {
        if under_way.len() == UNDER_WAY {
            under_way.pop_front().map(Ticket::wait).transpose()?;
        }
        under_way.push_back(log.append(Append::to(*stream).record(&RECORD)));
    }
    under_way.into_iter().try_for_each(|ticket| Ok(ticket.wait().map(drop)?))
}

/// Opens the log and reads everything, with nothing of it in our memory; returns how many records are as they were written.
pub fn count(folder: &Path) -> Result<u64> {
    Ok(count_timed(folder)?.0)
}

/// The same, and how long reading took when the log was open.
pub fn count_timed(folder: &Path) -> Result<(u64, Duration)> {
    let log = Log::open(folder, Settings { cache_bytes_max: 0, ..Settings::default() })?;
    let begin = Instant::now();
    let mut records = 0;
    for stream in log.list("", "", usize::MAX) {
        let mut next = stream.start;
        while next < stream.tail {
            let chunk = log.read(stream.id, next, CHUNK_BYTES)?;
            next = chunk.next;
            records += chunk.records().filter(|(_, record)| record[..] == RECORD).count() as u64;
        }
    }
    Ok((records, begin.elapsed()))
}
