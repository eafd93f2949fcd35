//! How a program that has an engine inside is told what to replay, and what it answers.
//!
//! It is started with files of records. It says `ready MICROSECONDS KIB`: how long its rules took to load, and how much
//! memory it holds before it reads the records. A line `FILE FROM TO` on its input has it judge these records of that
//! file; for each it says `RECORD STATUS NANOSECONDS ID,ID,…`, status 0 where the request passes, and then
//! `done NANOSECONDS KIB`: what it holds beside the records.

use std::{
    fs, io,
    io::{BufRead, Write},
    path::Path,
    time::Duration,
};

use crate::record::{self, Request};

/// An engine under its rules.
pub trait Engine {
    /// Judges a request: 0, or the status it is refused with.
    fn judge(&mut self, request: &Request) -> u16;

    /// The rules that the last request matched, in their order.
    fn matched(&self, ids: &mut Vec<u64>);
}

/// Serves an engine that took so long to load.
pub fn serve(
    engine: &mut dyn Engine,
    records: &[String],
    load: Duration,
    clock: fn() -> u64,
) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let loaded_kib = memory_kib();
    let corpora = records.iter().map(|path| record::read(Path::new(path)));
    let corpora = corpora.collect::<io::Result<Vec<_>>>()?;
    let records_kib = memory_kib().saturating_sub(loaded_kib);
    writeln!(out, "ready {} {loaded_kib}", load.as_micros())?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let slice = slice(&line, &corpora);
        let (from, requests) =
            slice.ok_or_else(|| io::Error::other(format!("no slice: {line}")))?;
        let spent = answer(engine, from, requests, clock, &mut out)?;
        writeln!(out, "done {spent} {}", memory_kib().saturating_sub(records_kib))?;
        out.flush()?;
    }
    Ok(())
}

/// The requests that a line asks for, and the number of the first.
fn slice<'a>(line: &str, corpora: &'a [Vec<Request>]) -> Option<(usize, &'a [Request])> {
    let mut numbers = line.split(' ').map(|number| number.parse::<usize>().ok());
    let (file, from, to) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some((from, corpora.get(file)?.get(from..to)?))
}

fn answer(
    engine: &mut dyn Engine,
    from: usize,
    requests: &[Request],
    clock: fn() -> u64,
    out: &mut impl Write,
) -> io::Result<u64> {
    let (mut all, mut ids) = (0, Vec::new());
    for (number, request) in (from..).zip(requests) {
        let before = clock();
        let status = engine.judge(request);
        let spent = clock() - before;
        all += spent;
        ids.clear();
        engine.matched(&mut ids);
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        writeln!(out, "{number} {status} {spent} {}", ids.join(","))?;
    }
    Ok(all)
}

/// Memory that this process holds, in KiB; 0 where the system does not say.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
