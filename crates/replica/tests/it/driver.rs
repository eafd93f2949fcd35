//! What holds whenever the work ends: without a relay, by a kill, on a full disk, in the midst of a message.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::FutureExt as _;
use selvedge_crdt::{
    EditError, Header, ReplicaId,
    session::{DocumentId, Event, Keys as _, Record, Sealing},
};
use selvedge_replica::{Dial, Driver, DriverError, Known, Shelf, Socket, SocketError, Store};
use selvedge_seal::{Device, Rights, Vault};
use tempfile::TempDir;

use crate::relay::Relay;

/// A relay that is away.
struct Away;

impl Dial for Away {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Socket, SocketError>> + Send + '_>> {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        Box::pin(async { Err(SocketError::Connect(refused)) })
    }
}

fn vault() -> Vault {
    Vault::new(Device::from_seed([1; 32]), Box::new(|bytes| bytes.fill(7)))
}

fn notes() -> DocumentId {
    DocumentId::new("acme", "notes").expect("a name")
}

fn known() -> Known {
    Known { document: notes(), relay: String::new(), token: "a.b.c".into() }
}

fn shelf() -> (TempDir, Shelf) {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::open(folder.path()).expect("a shelf");
    (folder, shelf)
}

/// Has a document that is not encrypted, and may become another replica of it.
fn driver<D: Dial>(store: Store, dial: D, fresh: u8) -> Driver<D> {
    let mut driver = Driver::new(vault(), dial, [1; 32]);
    driver.add(store, ReplicaId([fresh; 16]), Sealing::Plain).expect("what was stored");
    driver
}

fn set<D: Dial>(driver: &mut Driver<D>, field: &str, value: &str) -> Result<(), DriverError> {
    let written = driver.edit(&notes(), |edit| edit.set("n", field, value.into()))?;
    written.expect("it is here").expect("within bounds");
    Ok(())
}

#[track_caller]
fn check_reads<D: Dial>(driver: &Driver<D>, field: &str, expected: Option<&str>) {
    let document = driver.document(&notes()).expect("it is here");
    let entity = document.entity("n").expect("written");
    assert_eq!(entity.get(field), expected.map(Into::into), "{field}");
}

#[tokio::test]
async fn what_is_written_offline_is_there_after_a_restart() {
    let (_folder, shelf) = shelf();
    let mut first = driver(shelf.create(&known(), &[]).expect("a new document"), Away, 1);
    set(&mut first, "title", "Milk").expect("room");
    // A turn that finds nobody comes back; the next waits longer, and may be dropped.
    first.turn().await.expect("room");
    assert!(matches!(first.trouble(), Some(SocketError::Connect(_))));
    drop(tokio::time::timeout(Duration::from_millis(20), first.turn()).await);
    drop(first);

    let again = driver(shelf.document(&notes()).expect("nobody has it"), Away, 2);
    check_reads(&again, "title", Some("Milk"));
    let replica = again.replica(&notes()).expect("it is here");
    assert_eq!((replica.id(), replica.unacknowledged()), (ReplicaId([1; 16]), 1));
}

#[tokio::test]
async fn what_fails_halfway_is_not_written_at_all() {
    let (_folder, shelf) = shelf();
    let mut first = driver(shelf.create(&known(), &[]).expect("a new document"), Away, 1);
    set(&mut first, "title", "Milk").expect("room");
    let half = first.edit(&notes(), |edit| {
        edit.increment("n", "votes", 1)?;
        edit.set("", "title", "Oats".into())
    });
    assert_eq!(half.expect("room"), Some(Err(EditError::EntityId)));
    let replica = first.replica(&notes()).expect("it is here");
    assert_eq!(replica.unacknowledged(), 1);
    check_reads(&first, "votes", None);
    set(&mut first, "title", "Rye").expect("room");
    drop(first);
    let again = driver(shelf.document(&notes()).expect("nobody has it"), Away, 2);
    check_reads(&again, "title", Some("Rye"));
    check_reads(&again, "votes", None);
}

#[tokio::test]
async fn after_a_failed_write_nothing_more_is_stored() {
    let (_folder, shelf) = shelf();
    let mut full = driver(shelf.create(&known(), &[]).expect("a new document"), Away, 1);
    set(&mut full, "title", "Milk").expect("room");
    let file = shelf.place(&notes()).join("replica.sqlite");
    let disk = rusqlite::Connection::open(file).expect("it is there");
    let fill = "CREATE TRIGGER full BEFORE INSERT ON pieces BEGIN SELECT RAISE(ABORT, 'full'); END";
    disk.execute_batch(fill).expect("room");
    set(&mut full, "title", "Oats").expect_err("no room");
    disk.execute_batch("DROP TRIGGER full").expect("room");

    // There is room again; what is missing still is.
    set(&mut full, "title", "Rye").expect_err("what it continues is missing");
    full.set_token(&notes(), "d.e.f").expect_err("neither that");
    full.turn().await.expect_err("nor this");
    full.sound().expect_err("it says so");
    full.close().await.expect_err("up to the end");
    let again = driver(shelf.document(&notes()).expect("nobody has it"), Away, 2);
    check_reads(&again, "title", Some("Milk"));
}

/// The offset of the next record.
fn read<D: Dial>(driver: &Driver<D>) -> u64 {
    let position = driver.replica(&notes()).and_then(|replica| replica.position());
    position.map_or(0, |position| position.next)
}

#[tokio::test]
async fn who_read_past_a_list_of_members_has_its_keys_whenever_it_is_killed() {
    let (_folder, shelf) = shelf();
    let (mut ann, mut before) = (vault(), vault());
    ann.found(&notes(), "Ann").expect("a name");
    let kept = ann.save(&notes());
    let first = ann.pending(&notes()).expect("it founds").to_vec();
    before.restore(&notes(), &kept).expect("what was kept");
    assert!(before.take_keys(&notes(), &Record::read(&first).expect("a record")));
    before.invite(&notes(), (Rights::READ, true), "a link").expect("she may");
    let second = before.pending(&notes()).expect("the link").to_vec();

    let (relay, _script) = Relay::with(vec![first, second.clone()]);
    let mut driver = Driver::new(ann, relay, [1; 32]);
    let store = shelf.create(&known(), &kept).expect("a new document");
    driver.add(store, ReplicaId([1; 16]), Sealing::Epoch(1)).expect("nothing to read");
    while read(&driver) < 2 {
        driver.turn().await.expect("room");
    }
    drop(driver);

    let store = shelf.document(&notes()).expect("nobody has it");
    let mut vault = vault();
    let keys = store.keys().expect("readable").expect("they are kept");
    vault.restore(&notes(), &keys).expect("what was kept");
    let mut driver = Driver::new(vault, Away, [2; 32]);
    driver.add(store, ReplicaId([2; 16]), Sealing::Epoch(1)).expect("what was stored");
    assert_eq!(read(&driver), 2);
    assert!(driver.keys().is_newest(&notes(), &second));
}

#[tokio::test]
async fn keys_that_change_by_themselves_are_stored_before_they_are_pushed() {
    let (_folder, shelf) = shelf();
    let mut ann = vault();
    ann.found(&notes(), "Ann").expect("a name");
    let store = shelf.create(&known(), &ann.save(&notes())).expect("a new document");
    let mut driver = Driver::new(ann, Away, [1; 32]);
    driver.add(store, ReplicaId([1; 16]), Sealing::Epoch(1)).expect("nothing to read");
    driver.keys().invite(&notes(), (Rights::READ, true), "a link").expect("she may");
    let pending = driver.keys().pending(&notes()).expect("the link").to_vec();
    driver.turn().await.expect("room");
    drop(driver);
    let mut vault = vault();
    let store = shelf.document(&notes()).expect("nobody has it");
    let keys = store.keys().expect("readable").expect("they are kept");
    vault.restore(&notes(), &keys).expect("what was kept");
    assert_eq!(vault.pending(&notes()), Some(&*pending));
}

/// A device that opened a document at a relay that reads nothing from then on, and has more to push than fits anywhere.
async fn stuck(shelf: &Shelf, relay: Relay) -> Driver<Relay> {
    let mut driver = driver(shelf.create(&known(), &[]).expect("a new document"), relay, 1);
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        set(&mut driver, letter, &letter.repeat(60_000)).expect("room");
    }
    loop {
        driver.turn().await.expect("room");
        while let Some((_, event)) = driver.poll_event() {
            if event == Event::CaughtUp {
                return driver;
            }
        }
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_loses_no_message() {
    let (_folder, shelf) = shelf();
    let (relay, mut script) = Relay::with(vec![]);
    let mut driver = stuck(&shelf, relay).await;
    for _ in 0..16 {
        assert!(pin!(driver.turn()).now_or_never().is_none(), "nobody reads");
        tokio::task::yield_now().await;
    }
    script.reads.send(true).expect("the relay is there");
    let (mut next, mut pushes) = (1, 0);
    while next <= 8 {
        let record = tokio::select! {
            record = script.pushed.recv() => record.expect("the relay is there"),
            turned = driver.turn() => {
                turned.expect("room");
                continue;
            }
        };
        let Ok(Record::Batch { batch, .. }) = Record::read(&record) else { panic!("a batch") };
        let (header, _) = Header::read(batch).expect("a batch");
        assert_eq!(header.first, next, "in order, and none is missing");
        (next, pushes) = (header.last() + 1, pushes + 1);
    }
    assert!(pushes > 4, "what is pushed is more than the socket holds: {pushes}");
}

#[tokio::test]
async fn a_relay_that_does_not_read_is_not_waited_for() {
    let (_folder, shelf) = shelf();
    let (relay, _script) = Relay::with(vec![]);
    let driver = stuck(&shelf, relay).await;
    driver.close().await.expect("room");
    let again = self::driver(shelf.document(&notes()).expect("nobody has it"), Away, 2);
    let replica = again.replica(&notes()).expect("it is here");
    assert_eq!(replica.unacknowledged(), 8);
}
