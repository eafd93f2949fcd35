use std::{fs, path::Path, time::Duration};

use selvedge_audit::{
    checkpoint::Trust,
    entry::ActorKind,
    event::{Event, Principal},
    files::LogFiles,
    home::Home,
    keys::Subject,
    service::AuditLog,
    store::Folder,
    time::Timestamp,
    verify::{Scope, verify},
};
use selvedge_backup::{Create, Created, KeysIncluded, Restored, Store, Trusted, create, restore};
use selvedge_eventlog::Log;

use crate::place::{Place, SMALL, files};

const ORIGIN: &str = "box.example/audit";
const NOW: Timestamp = Timestamp(1_795_306_530_000_000);

fn open(data: &Path, log: &Log) -> Result<AuditLog, String> {
    let parts = Home::new(data).open(log.clone(), ORIGIN, "box");
    let parts = parts.map_err(|error| error.to_string())?;
    AuditLog::start(parts).map_err(|error| error.to_string())
}

fn person(id: &str) -> Subject {
    Subject::Person { tenant: "acme".to_owned(), id: id.to_owned() }
}

/// Entries about a person, and a head over them.
fn record(log: &Log, audit: &AuditLog, id: &str, count: u64) {
    let mut event = Event::by_system(NOW, "door.open", ("door", "1"));
    event.actor = Principal {
        kind: ActorKind::User,
        id: Some(id.to_owned()),
        tenant: Some("acme".to_owned()),
        auth: "badge".to_owned(),
    };
    let mut tail = 0;
    for _ in 0..count {
        tail = log.append(audit.entry(&event).unwrap()).wait().unwrap().placed.tail;
    }
    assert!(audit.wait_signed(tail, Duration::from_secs(60)));
}

async fn back_up(place: &Place, store: &Store, keys: KeysIncluded) -> Created {
    let plan = Create { keys, ..Create::of(&place.data()) };
    create(store, &plan, &mut place.hold(), &mut |_| ()).await.unwrap()
}

fn trust(data: &Path) -> Trust {
    let key = fs::read_to_string(Home::new(data).public_key()).unwrap();
    Trust::in_key(key.trim().parse().unwrap())
}

#[track_caller]
fn check_provable(data: &Path, restored: &Restored, size: u64) {
    let audit = restored.audit.as_ref().unwrap();
    assert_eq!(audit.faults, Vec::<String>::new());
    assert_eq!((audit.size, audit.entries), (size, size));
    let files = LogFiles(Folder::open(&Home::new(data).files()));
    let report = verify(&files, &trust(data), Scope::Everything { since: None });
    assert_eq!(report.faults, []);
    assert_eq!(report.entries, size);
}

#[tokio::test]
async fn what_comes_back_is_proven_and_goes_on() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    // Beyond one tile, so that there are full ones, partial ones, and ones of the next level.
    for (count, size) in [(300, 300), (1, 301), (300, 601)] {
        record(&place.log, &audit, "anna", count);
        let made = back_up(&place, &store, KeysIncluded::All).await;
        assert_eq!(made.broken, None);
        assert_eq!(made.apart, Vec::<String>::new());
        let (to, restored) = place.restore(&store, None).await;
        check_provable(&to, &restored, size);
        assert_eq!((restored.missing.len(), restored.destroyed), (0, 0));
        let log = Log::open(&to.join("log"), SMALL).unwrap();
        let resumed = open(&to, &log).unwrap();
        record(&log, &resumed, "ben", 3);
        assert_eq!(resumed.status().fault, None);
    }
}

#[tokio::test]
async fn who_was_erased_stays_erased() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    record(&place.log, &audit, "anna", 3);
    record(&place.log, &audit, "ben", 3);
    let old = back_up(&place, &store, KeysIncluded::All).await.backup.name;
    audit.erase(&person("anna"), NOW).unwrap().unwrap();
    back_up(&place, &store, KeysIncluded::All).await;
    // The backup from before has no other state of keys than the newest.
    let (to, _) = place.restore(&store, Some(&old)).await;
    let keys = Home::new(&to).open_keys().unwrap();
    assert_eq!(keys.id_of(&person("anna")), None);
    assert!(keys.id_of(&person("ben")).is_some());
    let states = files(&place.folder.path().join("store/newest"));
    assert_eq!(states.len(), 1, "{states:?}");
}

/// A state of keys that is older than the log: by hand, as a copy of the store may bring one back.
#[tokio::test]
async fn what_the_log_says_was_destroyed_is_destroyed_once_more() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    record(&place.log, &audit, "anna", 3);
    back_up(&place, &store, KeysIncluded::All).await;
    let newest = place.folder.path().join("store/newest");
    let [state] = &files(&newest)[..] else { panic!("one state") };
    let (name, bytes) = (state.file_name().unwrap().to_owned(), fs::read(state).unwrap());
    audit.erase(&person("anna"), NOW).unwrap().unwrap();
    back_up(&place, &store, KeysIncluded::All).await;
    files(&newest).iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::write(newest.join(name), bytes).unwrap();
    let (to, restored) = place.restore(&store, None).await;
    assert_eq!(restored.destroyed, 1);
    assert_eq!(Home::new(&to).open_keys().unwrap().id_of(&person("anna")), None);
}

#[tokio::test]
async fn secrets_are_kept_apart_unless_asked_for() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    record(&place.log, &audit, "anna", 3);
    let keys = |name: &str| format!("audit-keys/{name}");
    for (included, apart) in [
        (KeysIncluded::Wrapped, vec!["master.key", "signing.key"]),
        (KeysIncluded::None, vec!["keys", "master.key", "signing.key"]),
        (KeysIncluded::All, vec![]),
    ] {
        let made = back_up(&place, &store, included).await;
        let apart: Vec<String> = apart.into_iter().map(keys).collect();
        assert_eq!(made.apart, apart);
        let (to, restored) = place.restore(&store, None).await;
        for name in ["keys", "master.key", "signing.key"].map(keys) {
            assert_eq!(to.join(&name).exists(), !apart.contains(&name), "{included:?} {name}");
        }
        let secrets = apart.iter().filter(|name| !name.ends_with("/keys"));
        assert_eq!(restored.missing, secrets.cloned().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_history_that_was_signed_is_not_signed_once_more() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    record(&place.log, &audit, "anna", 10);
    let old = back_up(&place, &store, KeysIncluded::All).await.backup.name;
    record(&place.log, &audit, "anna", 10);
    back_up(&place, &store, KeysIncluded::All).await;

    let (to, restored) = place.restore(&store, Some(&old)).await;
    check_provable(&to, &restored, 10);
    assert_eq!(restored.audit.unwrap().signed_later, Some(20));
    let log = Log::open(&to.join("log"), SMALL).unwrap();
    assert!(open(&to, &log).unwrap_err().contains("cannot grow"));

    // The newest goes on; with a head that somebody saw later, it does not.
    let (_, restored) = place.restore(&store, None).await;
    assert_eq!(restored.audit.unwrap().signed_later, None);
    record(&place.log, &audit, "anna", 1);
    let seen = fs::read(Home::new(&place.data()).files().join("checkpoint")).unwrap();
    let trusted = Trusted { key: None, heads: vec![seen, b"no head".to_vec()] };
    let to = tempfile::tempdir().unwrap();
    let restored = restore(&store, None, to.path(), &trusted, &mut |_| ()).await.unwrap();
    assert_eq!(restored.audit.unwrap().signed_later, Some(21));
}

#[tokio::test]
async fn another_key_is_not_believed() {
    let place = Place::new();
    let store = place.store();
    let audit = open(&place.data(), &place.log).unwrap();
    record(&place.log, &audit, "anna", 3);
    back_up(&place, &store, KeysIncluded::All).await;
    let other = Place::new();
    drop(open(&other.data(), &other.log).unwrap());
    let key = trust(&other.data()).log.remove(0);
    let to = tempfile::tempdir().unwrap();
    let trusted = Trusted { key: Some(key), heads: Vec::new() };
    let restored = restore(&store, None, to.path(), &trusted, &mut |_| ()).await.unwrap();
    assert_eq!(restored.audit.unwrap().faults.len(), 1);
}
