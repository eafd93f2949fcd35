//! Servers, cores and lines that die while events are appended.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use selvedge_eventlog::{Append, Log, StreamOptions, block_on};
use selvedge_eventlog_nats::{NatsLog, Settings};

use crate::{
    proxy::Proxy,
    server::{Server, eventually, open, records},
};

const WRITERS: usize = 4;

/// Appends from some threads while something happens, and returns what each was told is safe.
fn write_while(log: &Log, happens: impl FnOnce(&dyn Fn() -> usize)) -> Vec<usize> {
    let over = AtomicBool::new(false);
    let acknowledged: Vec<AtomicUsize> = (0..WRITERS).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let over = &over;
            scope.spawn(move || {
                let name = format!("w{writer}");
                let stream = block_on(log.create(&name, StreamOptions::default())).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let next = acknowledged.load(Ordering::Relaxed);
                    let append = Append::to(stream).record(&record(writer, next));
                    if log.append(append.expect_tail(next as u64)).wait().is_err() {
                        break;
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        happens(&|| acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum());
        over.store(true, Ordering::Relaxed);
    });
    acknowledged.into_iter().map(AtomicUsize::into_inner).collect()
}

fn record(writer: usize, number: usize) -> Vec<u8> {
    format!("{writer} {number} {}", "x".repeat(number % 700)).into_bytes()
}

/// Demands that everything acknowledged is there, once and in order, and at most one record more.
#[track_caller]
fn check(log: &Log, acknowledged: &[usize]) {
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let found = records(log, &format!("w{writer}"));
        assert!(found.len() >= *acknowledged, "{} of {acknowledged}", found.len());
        assert!(found.len() <= acknowledged + 1, "{} of {acknowledged}", found.len());
        for (number, found) in found.iter().enumerate() {
            assert_eq!(*found, record(writer, number), "record {number}");
        }
    }
}

/// What the copy says, and what a core finds that has none.
#[track_caller]
fn check_here_and_elsewhere(server: &Server, nats: NatsLog, folder: &Path, acknowledged: &[usize]) {
    check(nats.log(), acknowledged);
    drop(nats);
    let again = server.open(folder);
    check(again.log(), acknowledged);
    drop(again);
    let elsewhere = tempfile::tempdir().unwrap();
    check(server.open(elsewhere.path()).log(), acknowledged);
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_doubles_nothing() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = server.open(folder.path());
    let acknowledged = write_while(nats.log(), |count| {
        for _ in 0..5 {
            let before = count();
            eventually(|| count() > before + 50);
            server.kill();
            thread::sleep(Duration::from_millis(100));
            server.run();
        }
        let before = count();
        eventually(|| count() > before + 50);
    });
    check_here_and_elsewhere(&server, nats, folder.path(), &acknowledged);
}

#[test]
fn a_line_that_breaks_loses_nothing_and_doubles_nothing() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::to(server.port);
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(vec![format!("nats://127.0.0.1:{}", proxy.port)]);
    let nats = open(folder.path(), &settings).unwrap();
    let acknowledged = write_while(nats.log(), |count| {
        for _ in 0..15 {
            let before = count();
            eventually(|| count() > before + 20);
            proxy.cut();
        }
    });
    check_here_and_elsewhere(&server, nats, folder.path(), &acknowledged);
}

/// Not a test: what [`a_core_that_is_killed`] kills.
#[test]
#[ignore = "a child process of another test"]
fn victim() {
    let (url, folder) = (env::var("VICTIM_URL").unwrap(), env::var("VICTIM_FOLDER").unwrap());
    let nats = open(Path::new(&folder), &Settings::new(vec![url])).unwrap();
    let log = nats.log();
    let stream = match log.stream("w0") {
        Some(stream) => stream,
        None => block_on(log.create("w0", StreamOptions::default())).unwrap(),
    };
    for number in log.info(stream).unwrap().tail as usize.. {
        log.append(Append::to(stream).record(&record(0, number))).wait().unwrap();
        println!("acknowledged {}", number + 1);
    }
}

#[test]
fn a_core_that_is_killed_loses_nothing() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for life in 0..5 {
        let mut victim = Command::new(env::current_exe().unwrap());
        victim.args(["--exact", "deaths::victim", "--ignored", "--nocapture"]);
        victim.env("VICTIM_URL", server.url()).env("VICTIM_FOLDER", folder.path());
        let mut victim = victim.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        let told: Vec<usize> = numbers.take(40 + life).collect();
        victim.kill().unwrap();
        victim.wait().unwrap();
        acknowledged = told.last().copied().unwrap().max(acknowledged);
    }
    let nats = server.open(folder.path());
    let found = records(nats.log(), "w0");
    assert!(found.len() >= acknowledged, "{} of {acknowledged}", found.len());
    for (number, found) in found.iter().enumerate() {
        assert_eq!(*found, record(0, number), "record {number}");
    }
}

/// While no server is there, appends wait, and are done when it is back; who must go need not wait.
#[test]
fn appends_wait_for_a_server_that_is_away() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = server.open(folder.path());
    let stream = block_on(nats.log().create("a", StreamOptions::default())).unwrap();
    server.kill();
    let mut waits = nats.log().append(Append::to(stream).record(b"0"));
    eventually(|| nats.trouble().is_some());
    assert!(waits.try_take().is_none(), "nobody has it");
    server.run();
    assert_eq!(waits.wait().unwrap().placed.tail, 1);
    eventually(|| nats.trouble().is_none());
    server.kill();
    let waits = nats.log().append(Append::to(stream).record(b"1"));
    nats.leave();
    assert!(waits.wait().is_err(), "nobody says that it is safe");
}
