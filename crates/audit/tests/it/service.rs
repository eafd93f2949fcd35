//! The whole way: an event goes in with a change, and comes out proven.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    entry::{ActorKind, Delivery, Entry},
    event::{Event, Fact, Principal},
    files::LogFiles,
    keys::{KEYS_MAX, KeyStore, MasterKey, Subject},
    merkle::{self, Hash},
    note::Scheme,
    query::Query,
    service::{AuditError, AuditLog, Heads, Pace, Parts},
    store::{Folder, Storage},
    time::Timestamp,
    verify::{Scope, verify},
};
use selvedge_eventlog::{Append, AppendError, Batch, Log, StreamOptions, block_on};
use tempfile::TempDir;

use crate::note::key;

const PATIENCE: Duration = Duration::from_secs(60);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn start(&self) -> (Log, AuditLog) {
        self.start_with(Heads::Shown)
    }

    fn start_with(&self, heads: Heads) -> (Log, AuditLog) {
        let storage = Folder::create(&self.0.path().join("audit")).unwrap();
        self.start_on(Arc::new(storage), heads)
    }

    fn start_on(&self, storage: Arc<dyn Storage>, heads: Heads) -> (Log, AuditLog) {
        let log = Log::open(&self.0.path().join("log"), Default::default()).unwrap();
        let disk = selvedge_eventlog::Folder::open(&self.0.path().join("keys")).unwrap();
        let keys = KeyStore::open(&disk, MasterKey::new([3; 32]), KEYS_MAX).unwrap();
        let audit = AuditLog::start(Parts {
            log: log.clone(),
            storage,
            keys: Arc::new(keys),
            key: key("log.example/audit", Scheme::Ed25519, 1),
            node: "core-1".to_owned(),
            pace: Pace { head: Duration::from_millis(1), settle: Duration::from_millis(1) },
            heads,
        });
        (log, audit.unwrap())
    }
}

/// A folder in which nothing can be written below some paths.
struct Full {
    folder: Folder,
    below: Mutex<Vec<&'static str>>,
}

impl Full {
    fn new(home: &Home) -> Arc<Self> {
        let folder = Folder::create(&home.0.path().join("audit")).unwrap();
        Arc::new(Self { folder, below: Mutex::default() })
    }

    fn refuse(&self, path: &'static str) {
        self.below.lock().unwrap().push(path);
    }

    fn make_room(&self) {
        self.below.lock().unwrap().clear();
    }

    fn check(&self, path: &str) -> io::Result<()> {
        match self.below.lock().unwrap().iter().any(|below| path.starts_with(below)) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl Storage for Full {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.folder.read(path)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.check(path)?;
        self.folder.write(path, bytes)
    }
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.check(path)?;
        self.folder.replace(path, bytes)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.folder.remove(path)
    }
    fn sync(&self, paths: &[String]) -> io::Result<()> {
        self.folder.sync(paths)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.folder.list(folder)
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Appends so many entries, and waits until their files are durable.
fn settled_entries((log, audit): (&Log, &AuditLog), count: u64) {
    let tickets = (0..count).map(|number| {
        let event = Event::by_system(Timestamp(number), "config.reload", ("config", "main"));
        log.append(audit.entry(&event).unwrap())
    });
    tickets.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    until("they are settled", || audit.status().settled >= count);
}

fn login(user: &str, second: u64) -> Event {
    let mut event =
        Event::by_system(Timestamp(second * 1_000_000), "session.begin", ("session", "s1"));
    event.actor = Principal {
        kind: ActorKind::User,
        id: Some(user.to_owned()),
        tenant: Some("acme".to_owned()),
        auth: "password".to_owned(),
    };
    event.address = Some("192.0.2.7".to_owned());
    event.details.insert("device".into(), Fact::Personal("a phone".into()));
    event
}

#[test]
fn an_entry_is_in_one_batch_with_its_change_and_is_proven_soon_after() {
    let home = Home::new();
    for life in 0..3 {
        let (log, audit) = home.start();
        let stream = match log.stream("orders") {
            Some(stream) => stream,
            None => block_on(log.create("orders", StreamOptions::default())).unwrap(),
        };
        let entry = audit.entry(&login("ann", life)).unwrap();
        let batch = Batch::from(Append::to(stream).record(b"an order")).and(entry);
        log.append(batch).wait().unwrap();
        assert!(audit.wait_signed(life + 1, PATIENCE), "{:?}", audit.status());
        let proof = audit.files().prove(life, audit.trust()).unwrap();
        let entry = Entry::decode(proof.extra.as_deref().unwrap()).unwrap();
        assert_eq!((&*entry.action, &*entry.node), ("session.begin", "core-1"));
    }
    let (_log, audit) = home.start();
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (3, vec![]));
}

/// Delivers an event of `edge-7` by its number, and says what the log said.
fn deliver((log, audit): (&Log, &AuditLog), epoch: u64, sequence: u64) -> Result<(), AppendError> {
    let event = Event::by_system(Timestamp(sequence), "waf.block", ("route", "api"));
    match audit.delivered("edge-7", &event, Delivery { epoch, sequence }) {
        Ok(batch) => log.append(batch).wait().map(drop),
        Err(AuditError::Stream(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_comes_twice_is_there_once_and_nothing_is_left_out() {
    let home = Home::new();
    let (log, audit) = home.start();
    let place = (&log, &audit);
    let unknown = deliver(place, 1, 0).unwrap_err();
    assert!(matches!(unknown, AppendError::Gap { .. }), "{unknown}");
    assert_eq!(audit.next_of("edge-7", 1).unwrap(), 0);
    for sequence in [0, 0, 1, 3, 1, 0, 2] {
        let next = audit.next_of("edge-7", 1).unwrap();
        let tail = AppendError::Tail { expected: sequence, tail: next };
        let expected = if sequence == next { Ok(()) } else { Err(tail) };
        assert_eq!(deliver(place, 1, sequence), expected);
    }
    assert_eq!(audit.next_of("edge-8", 1).unwrap(), 0);
    drop((audit, log));
    let (log, audit) = home.start();
    assert_eq!(audit.next_of("edge-7", 1).unwrap(), 3);
    assert!(audit.wait_signed(3, PATIENCE));
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (3, vec![]));
    drop(log);
}

#[test]
fn a_new_epoch_ends_the_one_before() {
    let home = Home::new();
    let (log, audit) = home.start();
    for epoch in [5, 9] {
        assert_eq!(audit.next_of("edge-7", epoch).unwrap(), 0);
        assert_eq!(deliver((&log, &audit), epoch, 0), Ok(()));
    }
    let older = audit.next_of("edge-7", 5).unwrap_err();
    assert!(matches!(older, AuditError::Stream(AppendError::Fenced { epoch: 9 })), "{older:?}");
    assert_eq!(audit.next_of("edge-7", 9).unwrap(), 1);
    assert!(audit.wait_signed(2, PATIENCE));
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (2, vec![]));
}

#[test]
fn erasure_takes_what_is_personal_and_leaves_the_proof() {
    let home = Home::new();
    let (log, audit) = home.start();
    log.append(audit.entry(&login("ann", 1)).unwrap()).wait().unwrap();
    let subject = Subject::Person { tenant: "acme".into(), id: "ann".into() };
    let erased = audit.erase(&subject, Timestamp(2_000_000)).unwrap().expect("she has a key");
    assert_eq!(audit.erase(&subject, Timestamp(3_000_000)).unwrap(), None);
    assert!(audit.wait_signed(2, PATIENCE));

    let files = audit.files();
    let entry = Entry::decode(&files.entry(0, 2).unwrap()).unwrap();
    assert_eq!(entry.actor.subject, Some(erased));
    let text = String::from_utf8(files.entry(0, 2).unwrap()).unwrap();
    assert!(!text.contains("ann") && !text.contains("192.0.2.7"), "{text}");
    let erasure = Entry::decode(&files.entry(1, 2).unwrap()).unwrap();
    assert_eq!((&*erasure.action, &*erasure.resource.id), ("subject.erase", &*erased.to_string()));
    let report = verify(&files, audit.trust(), Scope::Everything { since: None });
    assert_eq!(report.faults, []);
    drop((audit, log));

    let (log, audit) = home.start();
    log.append(audit.entry(&login("ann", 4)).unwrap()).wait().unwrap();
    assert!(audit.wait_signed(3, PATIENCE));
    let entry = Entry::decode(&audit.files().entry(2, 3).unwrap()).unwrap();
    assert_ne!(entry.actor.subject, Some(erased), "nobody recognises her");
}

#[test]
fn a_copy_of_the_files_is_enough() {
    let home = Home::new();
    let (log, audit) = home.start();
    let entries = (0..600).map(|number| {
        let event = Event::by_system(Timestamp(number), "config.reload", ("config", "main"));
        log.append(audit.entry(&event).unwrap())
    });
    entries.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    assert!(audit.wait_signed(600, PATIENCE));
    let trust = audit.trust().clone();
    drop((audit, log));
    let files = LogFiles(Folder::open(&home.0.path().join("audit")));
    let report = verify(&files, &trust, Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (600, vec![]));
}

#[test]
fn entries_that_were_given_up_are_gone_and_the_rest_is_proven() {
    let home = Home::new();
    let (log, audit) = home.start();
    let tickets = (0..600).map(|number| {
        let event = Event::by_system(Timestamp(number), "config.reload", ("config", "main"));
        log.append(audit.entry(&event).unwrap())
    });
    tickets.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    let before = audit.wait_signed(600, PATIENCE).then(|| audit.files().prove(5, audit.trust()));
    while audit.status().settled < 600 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(audit.prune(520, Timestamp(1)).unwrap(), 520);
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.first, report.entries, report.faults), (512, 601 - 512, vec![]));
    assert!(audit.files().prove(512, audit.trust()).is_ok());
    assert!(audit.files().prove(511, audit.trust()).is_err());
    let old = before.unwrap().unwrap();
    assert!(old.verify(old.extra.as_deref().unwrap(), audit.trust()).is_ok(), "old proofs hold");

    // What is gone and was not declared is a fault.
    std::fs::remove_file(home.0.path().join("audit/tile/entries/002.p/89")).unwrap();
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_ne!(report.faults, []);
}

#[test]
fn a_head_that_is_held_is_seen_when_it_has_the_signatures_of_others() {
    let home = Home::new();
    let event = || Event::by_system(Timestamp(1), "a", ("b", "c"));
    let (log, audit) = home.start_with(Heads::Held);
    log.append(audit.entry(&event()).unwrap()).wait().unwrap();
    assert!(audit.wait_signed(1, PATIENCE));
    assert!(audit.files().head(audit.trust()).is_err(), "nothing is seen yet");

    let witness = key("witness.example/w1", Scheme::Cosignature, 2);
    let mut head = audit.head().expect("it was signed");
    head.add(witness.cosign(head.text(), 7).unwrap());
    audit.publish(&head).unwrap();
    let trust =
        Trust { witnesses: vec![witness.verifier().clone()], quorum: 1, ..audit.trust().clone() };
    assert_eq!(audit.files().head(&trust).unwrap().checkpoint.size, 1);

    log.append(audit.entry(&event()).unwrap()).wait().unwrap();
    assert!(audit.wait_signed(2, PATIENCE));
    let report = verify(&audit.files(), &trust, Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (1, vec![]), "what lies ahead is no fault");
    drop((audit, log));

    let (_log, audit) = home.start_with(Heads::Held);
    assert_eq!(audit.files().head(&trust).unwrap().checkpoint.size, 1, "a start keeps it");
    let strange =
        Checkpoint::new("another", 9, Hash::of(b"")).sign(&key("another", Scheme::Ed25519, 3));
    assert!(audit.publish(&strange).is_err());
    audit.publish(&audit.head().expect("it was signed")).unwrap();
    audit.publish(&head).unwrap();
    assert_eq!(audit.files().head(audit.trust()).unwrap().checkpoint.size, 2, "never back");
}

#[test]
fn what_is_old_enough_is_found_by_bundles() {
    let home = Home::new();
    let (log, audit) = home.start();
    let tickets = (0..600).map(|number| {
        let event = Event::by_system(Timestamp(number), "a", ("b", "c"));
        log.append(audit.entry(&event).unwrap())
    });
    tickets.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    assert!(audit.wait_signed(600, PATIENCE));
    let files = audit.files();
    let kept = |time| Timestamp(time)..Timestamp(10_000);
    for (time, expected) in [(0, 0), (255, 0), (256, 256), (511, 256), (512, 512), (9_999, 512)] {
        assert_eq!(files.all_before(&kept(time), 600).unwrap(), expected, "{time}");
    }
    while audit.status().settled < 600 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(files.minimum(600).unwrap(), 0);
    audit.prune(300, Timestamp(1)).unwrap();
    assert_eq!(files.minimum(601).unwrap(), 256);
    assert_eq!(files.all_before(&kept(256), 601).unwrap(), 256);
    let mut numbers = Vec::new();
    let within = files.search_within(250..260, 601, &Query::default(), |found| {
        numbers.push(found.index);
        true
    });
    within.unwrap();
    assert_eq!(numbers, [256, 257, 258, 259]);
}

#[test]
fn after_a_full_disk_files_become_durable_again() {
    let home = Home::new();
    let disk = Full::new(&home);
    let (log, audit) = home.start_on(disk.clone(), Heads::Shown);
    settled_entries((&log, &audit), 1);
    let append = || log.append(audit.entry(&login("ann", 1)).unwrap()).wait().unwrap();

    disk.refuse("state/settled");
    append();
    until("who settles failed", || audit.status().unsettled.is_some());
    disk.refuse("tile/");
    append();
    until("who signs failed", || audit.status().fault.is_some());
    assert!(audit.status().unsettled.is_some());
    disk.make_room();
    until("it goes on", || audit.status().settled == 3);
    let status = audit.status();
    assert_eq!((status.signed, status.fault, status.unsettled), (3, None, None));

    disk.refuse("state/settled");
    append();
    until("who settles failed alone", || audit.status().unsettled.is_some());
    disk.make_room();
    until("it goes on", || audit.status().settled == 4);
    assert_eq!(audit.status().unsettled, None);
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.entries, report.faults), (4, vec![]));
}

#[test]
fn an_erasure_that_got_stuck_is_finished_by_who_asks_again() {
    let home = Home::new();
    let disk = Full::new(&home);
    let (log, audit) = home.start_on(disk.clone(), Heads::Shown);
    let by_ann = log.append(audit.entry(&login("ann", 1)).unwrap()).wait();
    let subject = Subject::Person { tenant: "acme".into(), id: "ann".into() };
    let key = audit.keys().id_of(&subject).unwrap();
    let hour = log.append(audit.entry(&from_nobody(1)).unwrap()).wait();
    assert!(by_ann.is_ok() && hour.is_ok());

    // The entry does not get as far as the event log.
    disk.refuse("payload/");
    let mut event = Event::of_erasure(Timestamp(2_000_000));
    event.details.insert("why".into(), Fact::Text("x".repeat(9_999)));
    for _ in 0..2 {
        let stuck = audit.erase_by(&subject, event.clone());
        assert!(matches!(stuck, Err(AuditError::Payload(_))), "{stuck:?}");
        assert!(matches!(audit.erase_key_by(key, event.clone()), Err(AuditError::Payload(_))));
    }
    disk.make_room();
    assert_eq!(audit.erase_by(&subject, event.clone()).unwrap(), Some(key));
    assert_eq!(audit.erase_by(&subject, event.clone()).unwrap(), None, "once is enough");
    assert!(!audit.erase_key_by(key, event.clone()).unwrap());
    assert_eq!(audit.entries_taken(), 3);

    // What retention does not get through with, it does the next time.
    let key = audit.keys().hours_before(10)[0];
    disk.refuse("payload/");
    audit.erase_key_by(key, event).unwrap_err();
    disk.make_room();
    audit.erase_hours_before(Timestamp(10_000_000), Timestamp(10_000_000)).unwrap();
    assert_eq!((audit.entries_taken(), audit.keys().unrecorded()), (4, vec![]));
}

/// Something that was done by somebody without an identity.
fn from_nobody(second: u64) -> Event {
    let mut event = login("", second);
    event.actor = Event::by_system(event.time, "", ("", "")).actor;
    event
}

#[test]
fn a_clock_that_is_wrong_keeps_nothing_for_ever() {
    const DAY: u64 = 86_400_000_000;
    let home = Home::new();
    let (log, audit) = home.start();
    audit.next_of("edge-7", 1).unwrap();
    let in_2099 = from_nobody(4_070_908_800);
    let own = |number: u64| Event::by_system(Timestamp(number * DAY), "a", ("b", "c"));
    let put = |numbers: std::ops::Range<u64>| {
        let tickets = numbers.map(|number| log.append(audit.entry(&own(number)).unwrap()));
        tickets.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    };
    let deliver = |sequence| {
        let batch = audit.delivered("edge-7", &in_2099, Delivery { epoch: 1, sequence });
        log.append(batch.unwrap()).wait().unwrap();
    };
    // On the 255th day it brings what it dates so: as the last of a bundle, and within another.
    put(0..255);
    deliver(0);
    put(256..300);
    deliver(1);
    put(301..600);
    assert!(audit.wait_signed(600, PATIENCE));
    let until = |first: u64| {
        let kept = Timestamp(first * DAY)..Timestamp(600 * DAY);
        audit.files().all_before(&kept, 600).unwrap()
    };
    assert_eq!([0, 255, 256].map(until), [0, 0, 0], "nothing says yet that it is old");
    assert_eq!([257, 511, 512, 600].map(until), [256, 256, 512, 512]);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let [before, after] = [now - DAY, now + DAY].map(Timestamp);
    assert_eq!(audit.erase_hours_before(before, after).unwrap(), 0);
    assert_eq!(audit.erase_hours_before(after, after).unwrap(), 1, "its key is of today");
}

#[test]
fn who_knows_an_older_head_is_shown_that_the_log_goes_on_from_it() {
    let home = Home::new();
    let (log, audit) = home.start();
    settled_entries((&log, &audit), 300);
    let old = audit.files().head(audit.trust()).unwrap().checkpoint;
    settled_entries((&log, &audit), 300);
    until("they are settled", || audit.status().settled == 600);
    audit.prune(520, Timestamp(1)).unwrap();
    for scope in [Scope::Everything { since: Some(&old) }, Scope::Growth { since: &old }] {
        let report = verify(&audit.files(), audit.trust(), scope);
        assert_eq!((report.first, report.entries, report.faults), (512, 601 - 512, vec![]));
    }
    let head = audit.files().head(audit.trust()).unwrap().checkpoint;
    let proof = audit.files().prove_growth(old.size, head.size).unwrap();
    assert_eq!(merkle::verify_consistency(&proof, old.tree(), head.tree()), Ok(()));
}

#[test]
fn what_was_given_up_is_not_kept_by_the_event_log() {
    let home = Home::new();
    let (log, audit) = home.start();
    settled_entries((&log, &audit), 600);
    audit.prune(520, Timestamp(1)).unwrap();
    let info = log.info(log.stream("audit").unwrap()).unwrap();
    assert_eq!((info.start, info.tail), (520, 601));
    drop((audit, log));
    let (_log, audit) = home.start();
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    assert_eq!((report.first, report.entries, report.faults), (512, 601 - 512, vec![]));
}
