//! Documents on a disk, and who has them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use selvedge_crdt::session::{Change, DocumentId, Saved, Transaction};
use selvedge_replica::{Known, Shelf, StoreError};

fn known(name: &str) -> Known {
    let document = DocumentId::new("acme", name).expect("a name");
    Known { document, relay: "http://127.0.0.1:8080".into(), token: "a.b.c".into() }
}

fn transaction(number: u64, changes: &[Change]) -> Transaction {
    Transaction { number, changes: changes.to_vec() }
}

#[test]
fn what_is_stored_is_there_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::open(folder.path()).expect("a shelf");
    let notes = known("notes/ann");
    let mut store = shelf.create(&notes, b"first").expect("a new document");
    assert_eq!(store.load().expect("readable"), None);
    let changes = [
        [Change::Begin(vec![1]), Change::Append(vec![2])].to_vec(),
        [Change::Append(vec![3])].to_vec(),
    ];
    for (number, changes) in (1..).zip(&changes) {
        store.store(&transaction(number, changes), None).expect("room");
    }
    assert_eq!(store.keys().expect("readable").as_deref(), Some(&b"first"[..]));
    store.keep_keys(b"keys").expect("room");
    store.reach("https://b.example", "d.e.f").expect("room");
    drop(store);

    let mut store = shelf.document(&notes.document).expect("it was made");
    let expected = Saved { begin: vec![1], appended: vec![vec![2], vec![3]] };
    assert_eq!(store.load().expect("readable"), Some(expected));
    assert_eq!(store.keys().expect("readable").as_deref(), Some(&b"keys"[..]));
    assert_eq!((&*store.known().relay, &*store.known().token), ("https://b.example", "d.e.f"));
    let more = [Change::Begin(vec![4]), Change::Append(vec![5])];
    store.store(&transaction(3, &more), Some(b"later keys")).expect("room");
    let expected = Saved { begin: vec![4], appended: vec![vec![5]] };
    assert_eq!(store.load().expect("readable"), Some(expected));
    assert_eq!(store.keys().expect("readable").as_deref(), Some(&b"later keys"[..]));
}

#[test]
fn one_process_has_a_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::open(folder.path()).expect("a shelf");
    let (notes, tasks) = (known("notes"), known("tasks"));
    let held = shelf.create(&notes, &[]).expect("a new document");
    assert!(matches!(shelf.document(&notes.document), Err(StoreError::Busy(_))));
    assert!(matches!(shelf.remove(&notes.document), Err(StoreError::Busy(_))));
    shelf.create(&tasks, &[]).expect("another");
    drop(held);
    assert!(matches!(shelf.create(&notes, &[]), Err(StoreError::Exists(_))));
    assert_eq!(shelf.documents().expect("readable"), [notes.document.clone(), tasks.document]);
    shelf.remove(&notes.document).expect("nobody has it");
    assert!(matches!(shelf.document(&notes.document), Err(StoreError::Unknown(_))));
}

#[test]
fn a_device_keeps_its_secret_to_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("documents");
    let shelf = Shelf::open(&place).expect("a shelf");
    assert_eq!(shelf.device_secret(&[1; 32]).expect("a new one"), [1; 32]);
    assert_eq!(shelf.device_secret(&[2; 32]).expect("the first"), [1; 32]);
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(place.clone()), mode(place.join("device"))), (0o700, 0o600));
    fs::write(place.join("device"), "something else").expect("room");
    assert!(matches!(shelf.device_secret(&[2; 32]), Err(StoreError::Device(_))));
}

/// In a folder that others may write to, what they put in the secret's way does not get it.
#[test]
fn a_secret_is_not_written_where_others_have_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::open(folder.path()).expect("a shelf");
    let (theirs, draft) = (folder.path().join("theirs"), format!("device.{}", std::process::id()));
    fs::write(&theirs, "").expect("room");
    std::os::unix::fs::symlink(&theirs, folder.path().join(&draft)).expect("a link");
    assert_eq!(shelf.device_secret(&[7; 32]).expect("a secret"), [7; 32]);
    assert_eq!(fs::read_to_string(&theirs).expect("readable"), "");
    let mode = fs::metadata(folder.path().join("device")).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert!(!folder.path().join(draft).exists());
}
