//! `kill -9` on a real disk, judged by the independent reader.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use selvedge_eventlog::{Append, Log, Settings, StreamOptions, Ticket, block_on};

use crate::reader;

/// Tells the test program to be the one that is killed, and where.
const VICTIM: &str = "SELVEDGE_EVENTLOG_VICTIM";

const DEATHS: u64 = 12;

/// Appends numbers to four streams and says which are acknowledged, until it is killed.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let settings = Settings { segment_bytes: 256 << 10, ..Settings::default() };
    let log = Log::open(Path::new(&folder), settings).unwrap();
    let streams: Vec<_> = (0..4)
        .map(|number| {
            let name = format!("s{number}");
            log.stream(&name)
                .unwrap_or_else(|| block_on(log.create(&name, StreamOptions::default())).unwrap())
        })
        .collect();
    let mut under_way = VecDeque::<(usize, Ticket)>::new();
    let mut next: Vec<u64> = streams.iter().map(|id| log.info(*id).unwrap().tail).collect();
    let mut out = std::io::stdout().lock();
    loop {
        for (at, id) in streams.iter().enumerate() {
            let text = format!("{at} {} {}", next[at], "x".repeat(200));
            next[at] += 1;
            under_way.push_back((at, log.append(Append::to(*id).record(text.as_bytes()))));
        }
        while under_way.len() > 256 {
            let (at, ticket) = under_way.pop_front().unwrap();
            let tail = ticket.wait().unwrap().placed.tail;
            writeln!(out, "acknowledged {at} {tail}").unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = [0_u64; 4];
    for death in 0..DEATHS {
        live_and_die(folder.path(), Duration::from_millis(20 + death * 13), &mut acknowledged);
        let found = reader::read(folder.path());
        for (at, acknowledged) in acknowledged.iter().enumerate() {
            let name = format!("s{at}");
            let stream = found.values().find(|stream| stream.name == name);
            let tail = stream.map_or(0, |stream| stream.tail);
            assert!(tail >= *acknowledged, "{name} ends at {tail}, before {acknowledged}");
            for (sequence, record) in stream.iter().flat_map(|stream| &stream.records) {
                let expected = format!("{at} {sequence} {}", "x".repeat(200));
                assert_eq!(record, expected.as_bytes(), "{name} {sequence}");
            }
        }
    }
    assert!(acknowledged.iter().sum::<u64>() > 0, "something was acknowledged");
}

/// Runs a victim for a while after its first answer, and notes what it acknowledged.
fn live_and_die(folder: &Path, life: Duration, acknowledged: &mut [u64; 4]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::victim", "--nocapture"])
        .env(VICTIM, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hear = |line: &str| {
        let mut words = line.split_whitespace();
        if words.next() == Some("acknowledged") {
            let at: usize = words.next().unwrap().parse().unwrap();
            // The last line may be cut by the death.
            let tail = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            acknowledged[at] = acknowledged[at].max(tail);
        }
    };
    while let Some(Ok(line)) = lines.next() {
        hear(&line);
        if line.starts_with("acknowledged") {
            break;
        }
    }
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).for_each(|line| hear(&line));
}
