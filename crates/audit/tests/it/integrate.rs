//! The integrator, killed at every step it takes.

use std::{collections::BTreeMap, sync::Arc};

use fastrand::Rng;
use selvedge_audit::{
    bundle,
    checkpoint::Trust,
    integrate::{CHECKPOINT, IntegrateError, Integrator, Settlement, settle},
    merkle::{Frontier, Hash},
    note::Scheme,
    store::{Folder, Storage},
    tile::{Content, Tile, decode_hashes},
};

use crate::{note::key, sim::Sim};

const NAME: &str = "log.example/audit";

fn open<S: Storage>(storage: S) -> Result<Integrator<S>, IntegrateError> {
    Integrator::open(storage, key(NAME, Scheme::Ed25519, 1))
}

fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("{{\"entry\":{number}}}").into_bytes();
    entry.resize(entry.len() + (number % 7) as usize * 13, b' ');
    entry
}

/// The root of the first entries, at each size.
fn roots(count: u64) -> Vec<Hash> {
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    for number in 0..count {
        tree.append(Hash::of_leaf(&entry(number)));
        roots.push(tree.root());
    }
    roots
}

/// What has been seen of a log from outside.
struct Observer {
    roots: Vec<Hash>,
    seen: BTreeMap<u64, String>,
    trust: Trust,
}

impl Observer {
    fn new(count: u64) -> Self {
        let trust = Trust::in_key(key(NAME, Scheme::Ed25519, 1).verifier().clone());
        Self { roots: roots(count), seen: BTreeMap::new(), trust }
    }

    #[track_caller]
    fn look(&mut self, sim: &Sim, durable: u64) {
        for bytes in sim.take_shown() {
            let opened = self.trust.open(&bytes).unwrap();
            let (size, root) = opened.checkpoint.tree();
            assert!(size <= durable, "a head of {size} is ahead of {durable} durable entries");
            assert_eq!(root, self.roots[size as usize], "of {size}");
            let text = opened.note.to_string();
            assert_eq!(*self.seen.entry(size).or_insert(text.clone()), text, "two heads of {size}");
        }
    }
}

/// One life of a log under a seed; returns how often it died.
fn run(seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let sim = Arc::new(Sim::new(seed, CHECKPOINT));
    let total = rng.u64(1..700);
    let (mut observer, mut durable, mut deaths) = (Observer::new(total), 0, 0);
    let lives = rng.u64(1..40);
    loop {
        sim.dies_in(if deaths < lives { rng.u64(1..40) } else { u64::MAX });
        let result = live(&sim, &mut rng, &mut durable, total, &mut observer);
        observer.look(&sim, durable);
        match result {
            Ok(()) => break,
            Err(error) => assert!(sim.is_dead(), "seed {seed}: {error:?}"),
        }
        deaths += 1;
        sim.power_on();
    }
    check_files(&sim, total, &observer);
    deaths
}

fn live(
    sim: &Arc<Sim>,
    rng: &mut Rng,
    durable: &mut u64,
    total: u64,
    observer: &mut Observer,
) -> Result<(), IntegrateError> {
    let mut integrator = open(Arc::clone(sim))?;
    let mut waiting: Option<Settlement> = None;
    while integrator.signed_size() < total || integrator.size() < total {
        *durable = (*durable + rng.u64(1..20)).min(total);
        while integrator.size() < *durable {
            integrator.append(&entry(integrator.size()))?;
        }
        integrator.publish()?;
        observer.look(sim, *durable);
        // Settling happens beside, and so later than the heads that follow.
        if let Some(settlement) = waiting.take_if(|_| rng.bool()) {
            settle(sim, &settlement)?;
        }
        if waiting.is_none() && rng.bool() {
            waiting = integrator.settlement()?;
        }
    }
    Ok(())
}

/// Every file of the last tree is there, and is what it must be.
#[track_caller]
fn check_files(sim: &Sim, size: u64, observer: &Observer) {
    let files = sim.files();
    let head = observer.trust.open(&files[CHECKPOINT]).unwrap();
    assert_eq!(head.checkpoint.size, size);
    let leaves: Vec<Hash> = (0..size).map(|number| Hash::of_leaf(&entry(number))).collect();
    for tile in Tile::between(0, size) {
        let bytes = &files[&tile.path()];
        let first = tile.index() * 256;
        match tile.content() {
            Content::Entries => {
                let entries = bundle::entries(bytes, usize::from(tile.width())).unwrap();
                let expected: Vec<Vec<u8>> =
                    (first..first + u64::from(tile.width())).map(entry).collect();
                assert_eq!(entries, expected, "{tile}");
            }
            Content::Hashes(0) => {
                let expected = &leaves[first as usize..][..usize::from(tile.width())];
                assert_eq!(decode_hashes(tile, bytes).unwrap(), expected, "{tile}");
            }
            Content::Hashes(_) => {
                let hashes = decode_hashes(tile, bytes).unwrap();
                for (at, hash) in hashes.iter().enumerate() {
                    let mut below = Frontier::new();
                    let span = &leaves[at * 256..(at + 1) * 256];
                    span.iter().for_each(|leaf| below.append(*leaf));
                    assert_eq!(*hash, below.root(), "{tile} {at}");
                }
            }
        }
    }
}

#[test]
fn no_crash_makes_two_heads_or_one_that_is_ahead() {
    let lives = std::env::var("SELVEDGE_SIM_LIVES").ok().and_then(|text| text.parse().ok());
    let lives = lives.unwrap_or(150);
    let deaths: u64 = (0..lives).map(run).sum();
    assert!(deaths >= lives * 5, "{deaths} deaths only");
    println!("{deaths} deaths in {lives} lives");
}

#[test]
fn a_log_that_lost_or_changed_entries_signs_nothing() {
    let sim = Arc::new(Sim::new(1, CHECKPOINT));
    let mut integrator = open(Arc::clone(&sim)).unwrap();
    (0..300).for_each(|number| integrator.append(&entry(number)).unwrap());
    integrator.publish().unwrap();

    let mut restored = open(Arc::clone(&sim)).unwrap();
    (0..200).for_each(|number| restored.append(&entry(number)).unwrap());
    assert!(restored.publish().unwrap().is_none(), "fewer entries than were signed");
    (200..299).for_each(|number| restored.append(&entry(number)).unwrap());
    let error = restored.append(b"{}").unwrap_err();
    assert!(matches!(error, IntegrateError::Forked { size: 300 }), "{error}");
}

#[test]
fn what_was_settled_and_is_damaged_is_named() {
    let sim = Arc::new(Sim::new(1, CHECKPOINT));
    let mut integrator = open(Arc::clone(&sim)).unwrap();
    (0..300).for_each(|number| integrator.append(&entry(number)).unwrap());
    integrator.publish().unwrap();
    let settlement = integrator.settlement().unwrap().unwrap();
    settle(&sim, &settlement).unwrap();
    assert_eq!(open(Arc::clone(&sim)).unwrap().size(), 300);

    for (path, expected) in [
        ("tile/0/001.p/44", "one of the audit log's last tiles at 300 entries is damaged"),
        ("tile/entries/001.p/44", "the audit log's file `tile/entries/001.p/44` is damaged"),
        ("tile/1/000.p/1", "one of the audit log's last tiles at 300 entries is damaged"),
        ("state/settled", "one of the audit log's last tiles at 300 entries is damaged"),
        ("state/signed", "the last head in `state/signed` is not believed"),
    ] {
        let whole = sim.read(path).unwrap().unwrap();
        let mut wrong = whole.clone();
        wrong[20] ^= 1;
        sim.write(path, &wrong).unwrap();
        assert_eq!(open(Arc::clone(&sim)).unwrap_err().to_string(), expected);
        sim.write(path, &whole).unwrap();
    }
}

#[test]
fn a_folder_keeps_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(Folder::create(folder.path()).unwrap());
    for (from, to) in [(0, 100), (100, 257), (257, 1_000)] {
        let mut integrator = open(Arc::clone(&storage)).unwrap();
        assert_eq!(integrator.size(), from);
        (from..to).for_each(|number| integrator.append(&entry(number)).unwrap());
        integrator.publish().unwrap();
        let settlement = integrator.settlement().unwrap().unwrap();
        settle(&storage, &settlement).unwrap();
    }
    let leaves = storage.list("tile/0").unwrap();
    assert_eq!(leaves, ["000", "001", "002", "003.p/"]);
}
