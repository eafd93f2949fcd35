//! How fast the audit log is: entries through the event log to a signed head, and proofs from files.
//!
//! `cargo run --release -p selvedge-audit --example figures -- FOLDER [ENTRIES]`

use std::{
    collections::VecDeque,
    env,
    error::Error,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use selvedge_audit::{
    checkpoint::Trust,
    event::{Event, Fact},
    files::{LogFiles, Prover},
    home::Home,
    proof::Verifier,
    service::AuditLog,
    store::Storage,
    time::Timestamp,
    verify::{Scope, verify},
};
use selvedge_eventlog::{Log, Settings, Ticket};

/// So many batches may wait for their commit at once.
const IN_FLIGHT: usize = 64;

/// So many entries are in a batch.
const BATCH: u64 = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("usage: figures FOLDER [ENTRIES]")?;
    let entries: u64 = arguments.next().map_or(Ok(400_000), |text| text.parse())?;
    let mut out = std::io::stdout();

    let log = Log::open(&Path::new(&folder).join("log"), Settings::default())?;
    let parts = Home::new(Path::new(&folder)).open(log.clone(), "log.example/audit", "core-1")?;
    let audit = AuditLog::start(parts)?;

    let start = Instant::now();
    let mut lags = append_all(&log, &audit, entries)?;
    let durable = start.elapsed();
    let signed = audit.wait_signed(entries, Duration::from_secs(600));
    assert!(signed, "{:?}", audit.status());
    let whole = start.elapsed();
    writeln!(out, "durable    {:>9.0} entries/s", rate(entries, durable))?;
    writeln!(out, "signed     {:>9.0} entries/s", rate(entries, whole))?;
    lags.sort();
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let lag = lags[((lags.len() - 1) as f64 * part) as usize];
        writeln!(out, "lag {name}    {:>9.1} ms from durable to signed", lag.as_secs_f64() * 1e3)?;
    }

    let (files, trust) = (audit.files(), audit.trust());
    let proofs = prove(&files, trust, entries)?;
    for (what, time) in proofs {
        writeln!(out, "proof      {time:>9.1} µs {what}")?;
    }

    let start = Instant::now();
    let report = verify(&files, trust, Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults.len()), (entries, 0));
    writeln!(out, "audit      {:>9.0} entries/s, everything", rate(entries, start.elapsed()))?;
    Ok(())
}

/// What a proof takes, in microseconds, by itself and as one of many.
fn prove<S: Storage + Clone>(
    files: &LogFiles<S>,
    trust: &Trust,
    entries: u64,
) -> Result<[(&'static str, f64); 7], Box<dyn Error>> {
    const COUNT: u64 = 1_000;
    let prover = Prover::new(files.clone(), trust.clone(), 4096);
    let mut verifier = Verifier::new(trust);
    let mut times = [Duration::ZERO; 7];
    let mut take = |at: usize, start: Instant| times[at] += start.elapsed();
    for number in 0..COUNT {
        let index = number * 7_919 % entries;
        let start = Instant::now();
        let path = files.prove_path(index, entries)?;
        take(0, start);
        let start = Instant::now();
        assert_eq!(prover.prove_path(index, entries)?, path);
        take(1, start);
        let start = Instant::now();
        prover.prove_path(index, entries)?;
        take(2, start);
        let start = Instant::now();
        let proof = files.prove(index, trust)?;
        take(3, start);
        let start = Instant::now();
        assert_eq!(prover.prove(index)?, proof);
        take(4, start);
        let entry = files.entry(index, entries)?;
        let start = Instant::now();
        proof.verify(&entry, trust)?;
        take(5, start);
        let start = Instant::now();
        verifier.verify(&proof, &entry)?;
        take(6, start);
    }
    let what = [
        "for the path, from files",
        "for the path, with the tiles above the leaves in memory",
        "for the path, with all its tiles in memory",
        "for all of it, with head and entry, by itself",
        "for all of it, as one of many",
        "to verify, signature included",
        "to verify, as one of many under one head",
    ];
    Ok(std::array::from_fn(|at| (what[at], micros(times[at], COUNT))))
}

/// Appends as fast as the event log commits; returns how far heads were behind now and then.
fn append_all(log: &Log, audit: &AuditLog, entries: u64) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut waiting: VecDeque<(Ticket, u64)> = VecDeque::new();
    let (mut lags, mut number) = (Vec::new(), 0);
    // Sizes that are durable, and since when.
    let mut unsigned: VecDeque<(u64, Instant)> = VecDeque::new();
    while number < entries || !waiting.is_empty() {
        while number < entries && waiting.len() < IN_FLIGHT {
            let end = (number + BATCH).min(entries);
            let events: Vec<Event> = (number..end).map(event).collect();
            waiting.push_back((log.append(audit.entries(&events)?), end));
            number = end;
        }
        let Some((ticket, size)) = waiting.pop_front() else { break };
        ticket.wait()?;
        unsigned.push_back((size, Instant::now()));
        let signed = audit.status().signed;
        while let Some((_, at)) = unsigned.pop_front_if(|(size, _)| *size <= signed) {
            lags.push(at.elapsed());
        }
    }
    Ok(lags)
}

fn event(number: u64) -> Event {
    let mut event =
        Event::by_system(Timestamp(1_800_000_000_000_000 + number), "waf.block", ("route", "api"));
    event.address = Some(format!("192.0.2.{}", number % 256));
    event.reason = Some("942100".to_owned());
    event.details.insert("score".to_owned(), Fact::Number(25));
    event
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}
