//! Backups of a real core: under load, cut short, damaged, and put back.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    core::{CORE, token, up},
    http::{Answer, get_with, send},
    process::{Place, eventually},
};

const TYPE: &str = "Content-Type: text/plain";

fn bearer(place: &Place) -> String {
    format!("Authorization: Bearer {}", token(place, "app --scope streams:*"))
}

fn stream(url: &str, name: &str) -> String {
    format!("{url}_selvedge/streams/{name}")
}

#[track_caller]
fn done(answer: std::io::Result<Answer>, expected: u16) -> Answer {
    let answer = answer.unwrap();
    assert_eq!(answer.status, expected, "{}{}", answer.head, answer.body);
    answer
}

#[track_caller]
pub fn fine(said: String) -> String {
    assert!(said.starts_with("exit 0\n"), "{said}");
    said
}

/// Appends of several writers, each with a stream of its own, until told to stop.
fn append_all(
    (url, bearer): (&str, &str),
    stop: &AtomicBool,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                let stream = stream(url, &format!("writer-{writer}"));
                done(send(("PUT", &stream), &[bearer, TYPE], ""), 201);
                for event in (0..).take_while(|_| !stop.load(SeqCst)) {
                    let event = format!("{writer}-{event}\n");
                    if send(("POST", &stream), &[bearer, TYPE], &event)
                        .is_ok_and(|it| it.status == 204)
                    {
                        acknowledged.lock().unwrap().insert(event);
                    }
                }
            });
        }
    });
}

/// Every event of every writer.
fn events((url, bearer): (&str, &str)) -> Vec<String> {
    let mut events = Vec::new();
    for writer in 0..8 {
        let mut offset = "-1".to_owned();
        loop {
            let page = format!("{}?offset={offset}", stream(url, &format!("writer-{writer}")));
            let answer = get_with(&page, &[bearer]);
            assert_eq!(answer.status, 200, "{}", answer.body);
            events.extend(answer.body.lines().map(str::to_owned));
            let next =
                answer.head.lines().find_map(|line| line.strip_prefix("stream-next-offset: "));
            let next = next.unwrap().to_owned();
            if next == offset || answer.head.contains("stream-up-to-date: true") {
                break;
            }
            offset = next;
        }
    }
    events
}

#[test]
fn a_core_under_load_is_backed_up_and_comes_back() {
    let place = Place::new();
    let (mut running, url) = up(&place, CORE);
    let bearer = bearer(&place);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let before = thread::scope(|scope| {
        scope.spawn(|| append_all((&url, &bearer), &stop, &acknowledged));
        let mut before = BTreeSet::new();
        for round in 0..3 {
            while acknowledged.lock().unwrap().len() < 40 * (round + 1) {
                thread::sleep(Duration::from_millis(10));
            }
            before = acknowledged.lock().unwrap().clone();
            fine(place.run("backup create store --keys all"));
        }
        stop.store(true, SeqCst);
        before
    });
    // An entry is seen when a head is signed.
    let told = eventually("the end of three backups", || {
        let told = fine(place.run("audit search --action backup.* --format json"));
        (told.matches("backup.create").count() >= 3).then_some(told)
    });
    assert_eq!(told.matches("backup.begin").count(), 3, "{told}");
    assert_eq!(told.matches("backup.create").count(), 3, "{told}");
    let listed = fine(place.run("backup list store"));
    assert_eq!(listed.matches(" audit entries").count(), 3, "{listed}");
    assert!(!listed.contains(" 0 audit entries"), "{listed}");

    let refused = place.run("backup restore store data");
    assert!(refused.starts_with("exit 1\n") && refused.contains("is not empty"), "{refused}");
    let refused = place.run("backup restore store data --replace");
    assert!(refused.starts_with("exit 69\n") && refused.contains("in use by process"), "{refused}");
    running.signal(Signal::INT);
    running.end();

    let restored = fine(place.run("backup restore store data --replace"));
    assert!(restored.contains("audit log proven"), "{restored}");
    assert!(restored.contains("what was there lies in data/replaced-"), "{restored}");
    fine(place.run("audit verify --key data/audit.vkey"));
    let (_running, url) = up(&place, CORE);
    let events = events((&url, &bearer));
    let found: BTreeSet<String> = events.iter().map(|event| format!("{event}\n")).collect();
    assert_eq!(found.len(), events.len(), "nothing comes twice");
    let lost: Vec<_> = before.difference(&found).collect();
    assert_eq!(lost, Vec::<&String>::new());
}

/// A data-dir with some events, and no core.
fn stopped() -> Place {
    let place = Place::new();
    let (mut running, url) = up(&place, CORE);
    let (bearer, stream) = (bearer(&place), stream(&url, "orders"));
    done(send(("PUT", &stream), &[&bearer, TYPE], ""), 201);
    for event in 0..200 {
        done(send(("POST", &stream), &[&bearer, TYPE], &"x".repeat(1_000 + event)), 204);
    }
    running.signal(Signal::INT);
    running.end();
    place
}

#[test]
fn a_backup_that_is_killed_is_made_again() {
    let place = stopped();
    for delay in 0..12 {
        let mut create = place.command(["backup", "create", "store"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay * 15));
        // It may have ended before.
        let _ = create.kill();
        create.wait().unwrap();
        let listed = place.run("backup list store");
        assert!(listed.starts_with("exit 0\n") || listed.contains("no backups in"), "{listed}");
        if listed.starts_with("exit 0\n") {
            fine(place.run("backup verify store"));
        }
    }
    fine(place.run("backup create store"));
    fine(place.run("backup verify store"));
    fine(place.run("backup prune store --keep 1"));
    let left = fine(place.run("backup verify store"));
    assert!(left.contains("in order: 1 backups"), "{left}");
    let restored = fine(place.run("backup restore store copy"));
    assert!(restored.contains("master.key, audit-keys/signing.key"), "{restored}");
    let busy = fs::read_dir(place.path("store/busy")).map_or(0, Iterator::count);
    assert_eq!(busy, 0, "nobody is at work");
}

#[test]
fn what_rots_in_the_store_is_found_by_name() {
    let place = stopped();
    let made = fine(place.run("backup create store"));
    assert!(made.contains("kept apart, keep copies elsewhere: audit-keys/master.key"), "{made}");
    let object = largest(&place.path("store/objects"));
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    let name = object.file_name().unwrap().to_str().unwrap();
    let verified = place.run("backup verify store");
    assert!(verified.starts_with("exit 65\n") && verified.contains(name), "{verified}");
    assert!(verified.contains("log/0000000000000000.segment"), "{verified}");
    let restored = place.run("backup restore store copy");
    assert!(restored.starts_with("exit 65\n") && restored.contains(name), "{restored}");
    assert!(!place.path("copy/log").exists());
    // Sent anew, it is whole again.
    fine(place.run("backup create store --full"));
    fine(place.run("backup restore store copy"));
}

#[test]
fn the_backup_of_a_stopped_core_is_told_when_it_starts() {
    let place = stopped();
    fine(place.run("backup create store"));
    assert_eq!(fine(place.run("audit search --action backup.*")), "exit 0\n");
    let (mut running, _) = up(&place, CORE);
    let told = eventually("both entries", || {
        let told = fine(place.run("audit search --action backup.* --format json"));
        (told.lines().count() > 2).then_some(told)
    });
    for action in ["backup.begin", "backup.create"] {
        assert_eq!(told.matches(action).count(), 1, "{told}");
    }
    assert_eq!(told.matches("\"auth\":\"os\"").count(), 2, "{told}");
    assert_eq!(told.matches("\"destination\":\"").count(), 2, "{told}");
    assert_eq!(fs::read_dir(place.path("data/intents")).unwrap().count(), 0);
    running.signal(Signal::INT);
    running.end();
}

fn largest(folder: &Path) -> PathBuf {
    let mut files = Vec::new();
    for folder in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            files.push((fs::metadata(&path).unwrap().len(), path));
        }
    }
    files.into_iter().max().unwrap().1
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    let check = |args: &str, code: u8, text: &str| {
        let said = place.run(args);
        assert!(said.starts_with(&format!("exit {code}\n")) && said.contains(text), "{said}");
    };
    check("backup create store --data-dir none", 69, "none has no event log");
    check("backup list none", 69, "there are no backups in none");
    check("backup list gs://bucket", 64, "write a folder, or s3://");
    check("backup prune none --keep 0", 64, "--keep");
    check("backup restore none data --backup x", 69, "there are no backups");
    assert!(!place.path("none").exists() && !place.path("store").exists());
}
