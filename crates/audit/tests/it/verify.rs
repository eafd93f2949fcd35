//! The audit of files that somebody changed. Whatever the change, it is found.

use std::sync::Arc;

use expect_test::{Expect, expect};
use selvedge_audit::{
    bundle,
    checkpoint::{Checkpoint, Trust},
    entry::Delivery,
    event::{Event, Fact, Recorder},
    files::{FilesError, LogFiles, Prover, payload_path},
    integrate::{CHECKPOINT, Integrator},
    keys::{KEYS_MAX, KeyStore, MasterKey},
    note::Scheme,
    store::Storage,
    tile::Tile,
    time::Timestamp,
    verify::{PRUNE_ACTION, Report, Scope, verify},
};

use crate::{note::key, sim::Sim};

const NAME: &str = "log.example/audit";

/// Later than any event here.
const NOW: Timestamp = Timestamp(u64::MAX);

fn trust() -> Trust {
    Trust::in_key(key(NAME, Scheme::Ed25519, 1).verifier().clone())
}

/// A log with so many entries, all of them delivered, some with payloads.
pub(crate) fn log_of(size: u64) -> Arc<Sim> {
    let sim = Arc::new(Sim::new(1, CHECKPOINT));
    grow(&sim, size);
    sim
}

fn grow(sim: &Arc<Sim>, to: u64) {
    taken(sim, to).publish().unwrap();
}

/// Whoever has taken so many entries, the last of them without a head.
fn taken(sim: &Arc<Sim>, to: u64) -> Integrator<Arc<Sim>> {
    let mut integrator = Integrator::open(Arc::clone(sim), key(NAME, Scheme::Ed25519, 1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = selvedge_eventlog::Folder::open(folder.path()).unwrap();
    let keys = KeyStore::open(&disk, MasterKey::new([1; 32]), KEYS_MAX).unwrap();
    let recorder = Recorder { node: "edge-1", keys: &keys, now: NOW };
    while integrator.size() < to {
        let number = integrator.size();
        let delivery = Delivery { epoch: 1, sequence: number };
        let recorded = recorder.record(&event(number), Some(delivery)).unwrap();
        for (digest, content) in recorded.payloads {
            sim.write(&payload_path(digest), &content).unwrap();
        }
        integrator.append(&recorded.entry).unwrap();
        if number % 90 == 50 {
            integrator.publish().unwrap();
        }
    }
    integrator
}

fn event(number: u64) -> Event {
    let mut event = Event::by_system(Timestamp(number), "config.reload", ("config", "main"));
    if number % 100 == 7 {
        event.details.insert("text".into(), Fact::Text(format!("{number:05000}")));
    }
    event
}

/// A log with so many entries and one that gives up others, by its own node or by one that delivers.
fn log_that_gives_up(size: u64, minimum: i64, delivery: Option<Delivery>) -> Arc<Sim> {
    let sim = Arc::new(Sim::new(1, CHECKPOINT));
    let mut integrator = taken(&sim, size);
    let folder = tempfile::tempdir().unwrap();
    let disk = selvedge_eventlog::Folder::open(folder.path()).unwrap();
    let keys = KeyStore::open(&disk, MasterKey::new([1; 32]), KEYS_MAX).unwrap();
    let mut event = Event::by_system(Timestamp(0), PRUNE_ACTION, ("log", NAME));
    event.details.insert("minimum".into(), Fact::Number(minimum));
    let node = if delivery.is_some() { "edge-1" } else { "core-1" };
    let recorder = Recorder { node, keys: &keys, now: NOW };
    integrator.append(&recorder.record(&event, delivery).unwrap().entry).unwrap();
    integrator.publish().unwrap();
    sim
}

fn everything(sim: &Arc<Sim>) -> Report {
    verify(&LogFiles(Arc::clone(sim)), &trust(), Scope::Everything { since: None })
}

fn head(sim: &Arc<Sim>) -> Checkpoint {
    LogFiles(Arc::clone(sim)).head(&trust()).unwrap().checkpoint
}

fn first_fault(report: &Report) -> String {
    report.faults.first().map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// Files that are published.
fn published(sim: &Sim) -> Vec<(String, Vec<u8>)> {
    let files = sim.files().into_iter();
    files.filter(|(path, _)| !path.starts_with("state/")).collect()
}

#[test]
fn a_log_that_nobody_touched_is_in_order() {
    for size in [0, 1, 255, 256, 257, 512, 700] {
        let sim = log_of(size);
        if size == 0 {
            continue;
        }
        let report = everything(&sim);
        assert_eq!(report.faults, [], "{size}");
        assert_eq!((report.entries, report.first), (size, 0));
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let sim = log_of(260);
    let mut flipped = 0;
    for (path, whole) in published(&sim) {
        // Every bit of the head; of all other files a sample, which with this variable is all.
        let all = path == CHECKPOINT || std::env::var_os("SELVEDGE_EVERY_BIT").is_some();
        let stride = if all { 1 } else { 5_003 };
        for bit in (0..whole.len() * 8).step_by(stride) {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            sim.write(&path, &wrong).unwrap();
            let report = everything(&sim);
            assert!(!report.faults.is_empty(), "bit {bit} of {path}");
            let named = report.faults.iter().any(|fault| fault.path == path || path == CHECKPOINT);
            assert!(named || is_beside(&path, &report), "bit {bit} of {path}: {:?}", report.faults);
            flipped += 1;
        }
        sim.write(&path, &whole).unwrap();
    }
    assert!(flipped > 1_000, "{flipped}");
}

/// What is wrong with one of two partial files that lie side by side cannot be said for sure.
fn is_beside(path: &str, report: &Report) -> bool {
    path.contains(".p/") && report.faults.iter().any(|fault| fault.path.contains(".p/"))
}

#[test]
fn every_missing_file_is_found() {
    let sim = log_of(700);
    for (path, whole) in published(&sim) {
        let older = Tile::from_path(&path)
            .is_some_and(|tile| Tile::in_tree(tile.content(), tile.index(), 700) != Some(tile));
        sim.remove(&path).unwrap();
        let report = everything(&sim);
        // Older partial tiles may go.
        assert_eq!(report.faults.is_empty(), older, "{path}");
        assert!(older || report.faults.iter().any(|fault| fault.path == path), "{path}");
        sim.write(&path, &whole).unwrap();
    }
    assert_eq!(everything(&sim).faults, []);
}

#[test]
fn files_that_changed_places_are_found() {
    let sim = log_of(260);
    let files = published(&sim);
    for (at, (path, content)) in files.iter().enumerate() {
        for (other, theirs) in files.iter().skip(at + 1) {
            if content == theirs {
                continue;
            }
            sim.write(path, theirs).unwrap();
            sim.write(other, content).unwrap();
            assert!(!everything(&sim).faults.is_empty(), "{path} and {other}");
            sim.write(other, theirs).unwrap();
        }
        sim.write(path, content).unwrap();
    }
    assert_eq!(everything(&sim).faults, []);
}

/// Changes one bundle as a list of entries.
fn with_entries(sim: &Arc<Sim>, path: &str, change: impl Fn(&mut Vec<Vec<u8>>)) -> String {
    let whole = sim.read(path).unwrap().unwrap();
    let width = Tile::from_path(path).unwrap().width();
    let entries = bundle::entries(&whole, usize::from(width)).unwrap();
    let mut entries: Vec<Vec<u8>> = entries.into_iter().map(<[u8]>::to_vec).collect();
    change(&mut entries);
    let mut wrong = Vec::new();
    entries.iter().for_each(|entry| bundle::push(&mut wrong, entry));
    sim.write(path, &wrong).unwrap();
    let found = first_fault(&everything(sim));
    sim.write(path, &whole).unwrap();
    found
}

#[test]
fn records_dropped_doubled_and_reordered_are_found_at_their_place() {
    let sim = log_of(700);
    let check = |change: &dyn Fn(&mut Vec<Vec<u8>>), expected: Expect| {
        expected.assert_eq(&with_entries(&sim, "tile/entries/001", change));
    };
    check(
        &|entries| drop(entries.remove(44)),
        expect!["tile/entries/001: entry 300: the bundle has 255 entries, and its name says 256"],
    );
    check(
        &|entries| drop(entries.pop()),
        expect!["tile/entries/001: entry 511: the bundle has 255 entries, and its name says 256"],
    );
    check(
        &|entries| entries.swap(3, 200),
        expect!["tile/entries/001: entry 259: it is not the entry that the tree has"],
    );
    check(
        &|entries| entries.insert(9, entries[9].clone()),
        expect!["tile/entries/001: entry 266: the bundle has 257 entries, and its name says 256"],
    );
    check(
        &|entries| entries[255].push(b' '),
        expect!["tile/entries/001: entry 511: it is not the entry that the tree has"],
    );
}

#[test]
fn a_rewritten_log_is_found_by_the_older_head() {
    let sim = log_of(700);
    let old = head(&sim);
    grow(&sim, 900);
    let files = LogFiles(Arc::clone(&sim));
    for scope in [Scope::Everything { since: Some(&old) }, Scope::Growth { since: &old }] {
        assert_eq!(verify(&files, &trust(), scope).faults, []);
    }
    let growth = verify(&files, &trust(), Scope::Growth { since: &old });
    assert_eq!(growth.entries, 200, "what came since");

    let before = log_of(500);
    let since = Scope::Everything { since: Some(&old) };
    let found = verify(&LogFiles(before), &trust(), since);
    expect!["checkpoint: the log has 500 entries and had 700: it was rolled back"]
        .assert_eq(&first_fault(&found));

    let other = Checkpoint { root: selvedge_audit::merkle::Hash::of(b"another"), ..old };
    let found = verify(&files, &trust(), Scope::Growth { since: &other });
    expect!["checkpoint: its first 700 entries are not those of the older head"]
        .assert_eq(&first_fault(&found));
}

#[test]
fn what_does_not_belong_there_is_found() {
    let sim = log_of(300);
    for (path, content) in [
        ("notes.txt", &b"hello"[..]),
        ("tile/0/002", b""),
        ("tile/0/001.p/45", b""),
        ("tile/2/000.p/1", b""),
        ("tile/0/0", b""),
        ("payload/00/00", b""),
        ("payload/zz", b""),
    ] {
        sim.write(path, content).unwrap();
        assert_eq!(first_fault(&everything(&sim)), format!("{path}: it is no part of the log"));
        sim.remove(path).unwrap();
    }
    assert_eq!(everything(&sim).faults, []);
}

#[test]
fn a_node_s_missing_entries_are_found() {
    let sim = Arc::new(Sim::new(1, CHECKPOINT));
    let mut integrator = Integrator::open(Arc::clone(&sim), key(NAME, Scheme::Ed25519, 1)).unwrap();
    let entry = |sequence| {
        let event = Event::by_system(Timestamp(0), "a", ("b", "c"));
        let folder = tempfile::tempdir().unwrap();
        let disk = selvedge_eventlog::Folder::open(folder.path()).unwrap();
        let keys = KeyStore::open(&disk, MasterKey::new([1; 32]), 1).unwrap();
        let recorder = Recorder { node: "edge-1", keys: &keys, now: NOW };
        recorder.record(&event, Some(Delivery { epoch: 1, sequence })).unwrap().entry
    };
    for sequence in [0, 1, 3, 4] {
        integrator.append(&entry(sequence)).unwrap();
    }
    integrator.publish().unwrap();
    expect!["tile/entries/000.p/4: entry 2: node edge-1 numbered it 3, and 2 was to come"]
        .assert_eq(&first_fault(&everything(&sim)));
}

#[test]
fn proofs_from_files_hold_without_them() {
    let sim = log_of(700);
    let files = LogFiles(Arc::clone(&sim));
    for index in [0, 1, 255, 256, 511, 512, 699] {
        let proof = files.prove(index, &trust()).unwrap();
        let entry = proof.extra.clone().unwrap();
        assert!(proof.verify(&entry, &trust()).is_ok());
    }
    assert_eq!(
        files.prove(700, &trust()).unwrap_err().to_string(),
        "the log has 700 entries, counted from 0"
    );
}

#[test]
fn who_proves_many_finds_the_same_ways() {
    let sim = log_of(700);
    let files = LogFiles(Arc::clone(&sim));
    // Room for two tiles of the four, so that tiles come and go.
    let prover = Prover::new(LogFiles(Arc::clone(&sim)), trust(), 2);
    for size in [1, 2, 255, 256, 700] {
        for index in (0..size).step_by(37).chain([size - 1]) {
            let path = files.prove_path(index, size).unwrap();
            assert_eq!(prover.prove_path(index, size).unwrap(), path, "{index} of {size}");
        }
    }
    for _ in 0..2 {
        assert_eq!(prover.prove(5).unwrap(), files.prove(5, &trust()).unwrap());
    }
    let beyond = prover.prove(700).unwrap_err().to_string();
    assert_eq!(beyond, "the log has 700 entries, counted from 0");
    let forged = [sim.read(CHECKPOINT).unwrap().unwrap(), b"more".to_vec()].concat();
    sim.write(CHECKPOINT, &forged).unwrap();
    assert!(
        matches!(prover.prove(5), Err(FilesError::Checkpoint(_))),
        "another head is judged anew"
    );
}

#[test]
fn a_tile_that_is_put_right_is_read_anew() {
    let sim = log_of(700);
    let tile = "tile/0/000";
    let right = sim.read(tile).unwrap().unwrap();
    let mut wrong = right.clone();
    wrong[7 * 32] ^= 1;
    sim.write(tile, &wrong).unwrap();
    let prover = Prover::new(LogFiles(Arc::clone(&sim)), trust(), 8);
    assert!(matches!(prover.prove(5), Err(FilesError::Inconsistent)));
    sim.write(tile, &right).unwrap();
    assert!(prover.prove(5).is_ok());
}

/// A bundle that is whole, and not the log's.
fn forged() -> Vec<u8> {
    let entry = br#"{"action":"config.reload"}"#;
    (0..256).fold(Vec::new(), |mut bundle, _| {
        bundle::push(&mut bundle, entry);
        bundle
    })
}

#[test]
fn what_is_put_in_the_place_of_entries_that_were_given_up_is_found() {
    let sim = log_that_gives_up(700, 512, None);
    let right = sim.read("tile/entries/001").unwrap().unwrap();
    sim.remove("tile/entries/000").unwrap();
    sim.remove("tile/entries/001").unwrap();
    let report = everything(&sim);
    assert_eq!((report.first, report.entries, report.faults), (512, 701 - 512, vec![]));

    sim.write("tile/entries/001", &forged()).unwrap();
    expect!["tile/entries/001: entry 256: it is not the entry that the tree has"]
        .assert_eq(&first_fault(&everything(&sim)));
    // As logs are that gave up hashes as well.
    sim.remove("tile/0/001").unwrap();
    expect!["tile/entries/001: its entries are not those of the tree"]
        .assert_eq(&first_fault(&everything(&sim)));
    sim.write("tile/entries/001", &right).unwrap();
    let report = everything(&sim);
    assert_eq!((report.entries, report.faults), (701 - 256, vec![]), "the tree has them");
}

#[test]
fn what_no_hash_vouches_for_is_found() {
    let sim = log_that_gives_up(65_536 + 300, 65_536, None);
    for index in 0..256 {
        sim.remove(&Tile::of_hashes(0, index, 256).unwrap().path()).unwrap();
        sim.remove(&Tile::of_entries(index, 256).unwrap().path()).unwrap();
    }
    sim.remove("tile/1/000").unwrap();
    assert_eq!(everything(&sim).faults, []);
    sim.write("tile/entries/007", &forged()).unwrap();
    expect!["tile/entries/007: no hash is left that vouches for it"]
        .assert_eq(&first_fault(&everything(&sim)));
}

#[test]
fn nobody_who_delivers_gives_up_entries() {
    let sim = log_that_gives_up(700, 512, Some(Delivery { epoch: 1, sequence: 700 }));
    assert_eq!(everything(&sim).faults, []);
    sim.remove("tile/entries/001").unwrap();
    expect!["tile/entries/001: it is missing"].assert_eq(&first_fault(&everything(&sim)));
}
