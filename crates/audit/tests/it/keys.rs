//! Keys of subjects: made once, gone when they are destroyed, and never half.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use selvedge_audit::{
    entry::{Detail, Entry, Payload},
    event::{Event, Fact, NAME_BYTES_MAX, Recorder},
    home::{Home, HomeError},
    keys::{KEYS_MAX, KeyError, KeyStore, MasterKey, Subject},
    merkle::Hash,
    time::Timestamp,
};
use selvedge_eventlog::{Disk, File, Folder};
use tempfile::TempDir;

/// Later than any event here.
const NOW: Timestamp = Timestamp(u64::MAX);

fn master() -> MasterKey {
    MasterKey::new([7; 32])
}

fn person(id: &str) -> Subject {
    Subject::Person { tenant: "acme".into(), id: id.into() }
}

fn open(folder: &TempDir) -> Result<KeyStore, KeyError> {
    let disk = Folder::open(folder.path()).unwrap();
    KeyStore::open(&disk, master(), KEYS_MAX)
}

#[test]
fn a_subject_has_one_key_until_it_is_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let (id, sealed) = {
        let keys = open(&folder).unwrap();
        let key = keys.key_of(&person("ann"), 1).unwrap();
        assert_eq!(keys.key_of(&person("ann"), 2).unwrap().id(), key.id());
        assert_ne!(keys.key_of(&person("bob"), 2).unwrap().id(), key.id());
        (key.id(), key.seal("who.name", "ann"))
    };
    let keys = open(&folder).unwrap();
    let key = keys.key(id).unwrap();
    assert_eq!(key.open("who.name", &sealed).as_deref(), Some("ann"));
    assert_eq!(key.open("from.address", &sealed), None, "it belongs elsewhere");
    assert_eq!(keys.destroy(&person("ann")).unwrap(), Some(id));
    assert!(keys.key(id).is_none());
    assert_eq!(keys.destroy(&person("ann")).unwrap(), None);
    drop(keys);

    let keys = open(&folder).unwrap();
    assert_eq!(keys.unrecorded(), [id], "the log may not say so yet");
    keys.record(id).unwrap();
    assert!(keys.unrecorded().is_empty() && keys.key(id).is_none());
    assert_ne!(keys.key_of(&person("ann"), 3).unwrap().id(), id);
    drop(keys);
    let bytes = std::fs::read(folder.path().join("keys")).unwrap();
    assert!(!bytes.windows(16).any(|part| part == id.0), "nothing of it is left");
}

#[test]
fn equal_texts_do_not_look_equal_and_their_length_tells_little() {
    let folder = tempfile::tempdir().unwrap();
    let key = open(&folder).unwrap().key_of(&person("ann"), 1).unwrap();
    let (one, other) = (key.seal("a", "yes"), key.seal("a", "yes"));
    assert_ne!(one, other);
    assert_eq!(key.seal("a", "no").bytes.len(), one.bytes.len());
    for at in 0..one.bytes.len() {
        let mut wrong = one.clone();
        wrong.bytes[at] ^= 1;
        assert_eq!(key.open("a", &wrong), None, "byte {at}");
    }
    assert_eq!(key.open_bytes("a", b"short"), None);
    assert_eq!(key.open("a", &key.seal("a", "")).as_deref(), Some(""));
}

#[test]
fn hours_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&folder).unwrap();
    let first = keys.key_of(&Subject::Hour(1), 3_600).unwrap().id();
    keys.key_of(&Subject::Hour(2), 7_200).unwrap();
    keys.key_of(&person("ann"), 10).unwrap();
    assert_eq!(keys.hours_before(7_200), [first]);
}

#[test]
fn where_there_is_no_room_a_person_shares_the_hour_s_key() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::open(folder.path()).unwrap();
    let keys = KeyStore::open(&disk, master(), 1).unwrap();
    let ann = keys.key_of(&person("ann"), 3_600).unwrap().id();
    let bob = keys.key_of(&person("bob"), 3_600).unwrap().id();
    assert_eq!(keys.key_of(&Subject::Hour(1), 3_600).unwrap().id(), bob);
    assert_eq!(keys.key_of(&person("ann"), 9_000).unwrap().id(), ann);
}

#[test]
fn a_store_of_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).unwrap());
    let disk = Folder::open(folder.path()).unwrap();
    let other = KeyStore::open(&disk, MasterKey::new([8; 32]), KEYS_MAX);
    assert!(matches!(other, Err(KeyError::WrongMaster)));
    disk.create("keys").unwrap().write_at(0, b"something else").unwrap();
    assert!(matches!(KeyStore::open(&disk, master(), KEYS_MAX), Err(KeyError::NoStore)));
}

#[test]
fn a_damaged_slot_hurts_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let ids = {
        let keys = open(&folder).unwrap();
        ["ann", "bob", "eve"].map(|name| keys.key_of(&person(name), 1).unwrap().id())
    };
    let path = folder.path().join("keys");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[128 + 128 + 70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let keys = open(&folder).unwrap();
    assert_eq!(keys.damaged(), 1);
    assert!(keys.key(ids[0]).is_some() && keys.key(ids[1]).is_none() && keys.key(ids[2]).is_some());
    bytes[128 + 128..128 + 256].fill(0);
    bytes.truncate(128 + 300);
    std::fs::write(&path, &bytes).unwrap();
    drop(keys);
    assert_eq!(open(&folder).unwrap().len(), 1, "a slot that was never finished is none");
}

/// A file whose first sync is its last that works.
struct Failing(Arc<dyn File>, AtomicBool);

impl File for Failing {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.0.reserve(length)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn sync_data(&self) -> io::Result<()> {
        match self.1.swap(true, Ordering::Relaxed) {
            true => Err(io::Error::other("the disk is bad")),
            false => Ok(()),
        }
    }
}

struct FailingDisk(Folder);

impl Disk for FailingDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Failing(self.0.open(name)?, AtomicBool::new(false))))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.create(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
}

#[test]
fn nothing_is_sealed_under_a_key_that_is_not_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FailingDisk(Folder::open(folder.path()).unwrap());
    let keys = KeyStore::open(&disk, master(), KEYS_MAX).unwrap();
    assert!(keys.key_of(&person("ann"), 1).is_err());
    assert!(keys.key_of(&person("ann"), 1).is_err(), "and it stays so");
}

#[test]
fn nobody_is_told_that_a_key_is_gone_that_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let id = open(&folder).unwrap().key_of(&person("ann"), 1).unwrap().id();
    let disk = FailingDisk(Folder::open(folder.path()).unwrap());
    let keys = KeyStore::open(&disk, master(), KEYS_MAX).unwrap();
    for _ in 0..2 {
        assert!(keys.destroy(&person("ann")).is_err());
        assert!(keys.destroy_key(id).is_err());
    }
}

#[test]
fn a_key_that_was_destroyed_is_remembered_until_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&folder).unwrap();
    let id = keys.key_of(&person("ann"), 1).unwrap().id();
    assert_eq!(keys.unrecorded_of(&person("ann")), None);
    keys.destroy(&person("ann")).unwrap();
    assert_eq!(keys.unrecorded_of(&person("ann")), Some(id));
    assert_eq!(keys.unrecorded_of(&person("bob")), None);
    keys.record(id).unwrap();
    assert_eq!(keys.unrecorded_of(&person("ann")), None);
}

#[test]
fn an_event_of_any_size_becomes_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&folder).unwrap();
    let recorder = Recorder { node: "core-1", keys: &keys, now: NOW };
    let mut event =
        Event::by_system(Timestamp(1), &"\u{1}".repeat(9_999), ("route", &"\u{e9}/".repeat(9_999)));
    event.user_agent = Some("\u{7}".repeat(100_000));
    event.reason = Some("\u{1}".repeat(9_999));
    for number in 0..64 {
        let fact = match number % 4 {
            0 => Fact::Text("\u{1}".repeat(4_000)),
            1 => Fact::Personal("p".repeat(4_000 + number * 10)),
            2 => Fact::List(vec!["\u{1}".repeat(1_000); 4]),
            _ => Fact::Number(i64::MIN),
        };
        event.details.insert(format!("{}{number}", "d".repeat(60)), fact);
    }
    let recorded = recorder.record(&event, None).unwrap();
    assert!(recorded.entry.len() <= 65_535, "{}", recorded.entry.len());
    let entry = Entry::decode(&recorded.entry).unwrap();
    assert_eq!(entry.encode(), recorded.entry);
    assert!(entry.action.len() <= NAME_BYTES_MAX + 80);
    let named = entry.details.values().filter_map(|detail| match detail {
        Detail::Payload(Payload { digest, .. }) => Some(*digest),
        _ => None,
    });
    let mut named: Vec<Hash> = named.collect();
    let mut stored: Vec<Hash> =
        recorded.payloads.iter().map(|(_, content)| Hash::of(content)).collect();
    named.sort();
    stored.sort();
    assert_eq!(named, stored);

    event.details.insert("One More".into(), Fact::Flag(true));
    assert!(recorder.record(&event, None).is_err());
}

#[test]
fn an_entry_is_read_in_one_spelling_only() {
    let entry = Event::by_system(Timestamp(1), "a", ("b", "c"));
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&folder).unwrap();
    let bytes = Recorder { node: "n", keys: &keys, now: NOW }.record(&entry, None).unwrap().entry;
    let text = String::from_utf8(bytes).unwrap();
    expect_test::expect![[r#"{"action":"a","node":"n","outcome":"done","resource":{"id":"c","kind":"b"},"time":"1970-01-01T00:00:00.000001Z","v":1,"who":{"auth":"internal","id":"selvedge","kind":"system"}}"#]].assert_eq(&text);
    for (from, to, expected) in [
        ("{\"action\"", "{ \"action\"", "the entry is no canonical JSON object"),
        ("\"v\":1", "\"v\":2", "the entry is of version 2"),
        (
            "\"outcome\":\"done\"",
            "\"outcome\":\"maybe\"",
            "the entry's field `outcome` is missing or wrong",
        ),
        ("\"node\":\"n\",", "", "the entry's field `node` is missing or wrong"),
        ("\"v\":1", "\"v\":1,\"w\":1", "the entry has a field that its version does not have"),
        ("1970-01-01T", "1970-01-01 ", "the entry's field `time` is missing or wrong"),
        ("\"auth\":", "\"auth0\":", "the entry's field `who` is missing or wrong"),
        (
            "\"node\"",
            "\"details\":{\"n\":-9223372036854775808},\"node\"",
            "the entry's field `details` is missing or wrong",
        ),
    ] {
        let wrong = text.replace(from, to);
        assert_ne!(wrong, text);
        assert_eq!(Entry::decode(wrong.as_bytes()).unwrap_err().to_string(), expected);
    }
}

#[test]
fn keys_in_files_are_private_and_a_log_keeps_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let log =
        || selvedge_eventlog::Log::open(&folder.path().join("log"), Default::default()).unwrap();
    let home = Home::new(folder.path());
    let key = home.open(log(), "log.example/audit", "n").unwrap().key.verifier().clone();
    let public = std::fs::read_to_string(home.public_key()).unwrap();
    assert_eq!(public.trim_end(), key.to_string());
    assert_eq!(*home.open(log(), "log.example/audit", "n").unwrap().key.verifier(), key);
    let other = home.open(log(), "log.example/other", "n");
    assert!(matches!(other, Err(HomeError::Origin { .. })));
    for name in ["master.key", "signing.key"] {
        let path = home.keys().join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = home.open(log(), "log.example/audit", "n");
        assert!(matches!(error, Err(HomeError::KeyFile { .. })), "{name}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
