//! Records as a load for proxies.
//!
//! `waf_load filter RECORDS OUT ADDRESS…`: writes those that can be replayed over a connection that is kept and that a proxy at
//! each address lets pass. `waf_load kinds RECORDS` says which of them are attacks, a line each. `waf_load run RECORDS ADDRESS FROM TO CONNECTIONS`: replays a slice once, as fast as answers come;
//! says `RECORD STATUS NANOSECONDS` of each, status 0 without an answer, and then `done NANOSECONDS CONNECTIONS-OPENED`.

use std::{
    error::Error,
    io,
    io::Write,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use selvedge_bench_waf::{
    record::{self, Kind, Request},
    wire::{self, Client},
};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["filter", records, out, addresses @ ..] => {
            filter(Path::new(records), Path::new(out), addresses)
        }
        ["kinds", records] => kinds(Path::new(records)),
        ["run", records, address, from, to, connections] => {
            let requests = record::read(Path::new(records))?;
            let (from, to) = (from.parse()?, to.parse()?);
            let slice = requests.get(from..to).ok_or("there are not so many records")?;
            let (lines, opened, took) = run(slice, address.parse()?, connections.parse()?);
            Ok(say(from, &lines, (took, opened))?)
        }
        _ => Err("say `filter`, `kinds` or `run`".into()),
    }
}

/// What the origin answers, whatever it is asked for.
fn passes(status: u16) -> bool {
    matches!(status, 200 | 404)
}

fn filter(records: &Path, out: &Path, addresses: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut requests: Vec<Request> =
        record::read(records)?.iter().filter_map(wire::replayable).collect();
    for address in addresses {
        let (lines, ..) = run(&requests, address.parse()?, 1);
        let mut lines = lines.iter();
        requests.retain(|_| lines.next().is_some_and(|line| passes(line.status)));
    }
    Ok(record::write(out, &requests)?)
}

fn kinds(records: &Path) -> Result<(), Box<dyn Error>> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for request in record::read(records)? {
        writeln!(out, "{}", if request.kind == Kind::Attack { "attack" } else { "ordinary" })?;
    }
    Ok(out.flush()?)
}

/// What became of one request.
struct Line {
    place: usize,
    status: u16,
    ns: u128,
}

/// Each request once, by whichever connection is free; with it how many were opened, and how long all took.
fn run(requests: &[Request], address: SocketAddr, connections: usize) -> (Vec<Line>, u64, u128) {
    let bytes: Vec<Vec<u8>> = requests.iter().map(wire::bytes).collect();
    let next = AtomicUsize::new(0);
    let client = || {
        let (mut client, mut lines) = (Client::to(address), Vec::new());
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(bytes) = bytes.get(place) else { return (lines, client.opened) };
            let start = Instant::now();
            let status = client.ask(bytes).unwrap_or(0);
            lines.push(Line { place, status, ns: start.elapsed().as_nanos() });
        }
    };
    let start = Instant::now();
    let done: Vec<(Vec<Line>, u64)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        let joined = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    });
    let took = start.elapsed().as_nanos();
    let opened = done.iter().map(|(_, opened)| opened).sum();
    let mut lines: Vec<Line> = done.into_iter().flat_map(|(lines, _)| lines).collect();
    lines.sort_unstable_by_key(|line| line.place);
    (lines, opened, took)
}

fn say(from: usize, lines: &[Line], (took, opened): (u128, u64)) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for Line { place, status, ns } in lines {
        writeln!(out, "{} {status} {ns}", from + place)?;
    }
    writeln!(out, "done {took} {opened}")?;
    out.flush()
}
