//! Work that goes on without a relay.

use std::{future::Future, io, pin::Pin, time::Duration};

use selvedge_crdt::{
    ReplicaId,
    session::{DocumentId, Sealing},
};
use selvedge_replica::{Dial, Driver, Known, Shelf, Socket, SocketError};
use selvedge_seal::{Device, Vault};

/// A relay that is away.
struct Away;

impl Dial for Away {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Socket, SocketError>> + Send + '_>> {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        Box::pin(async { Err(SocketError::Connect(refused)) })
    }
}

fn driver() -> Driver<Vault, Away> {
    let device = Device::from_seed([1; 32]);
    Driver::new(Vault::new(device, Box::new(|bytes| bytes.fill(7))), Away, [1; 32])
}

#[tokio::test]
async fn what_is_written_offline_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::open(folder.path()).expect("a shelf");
    let notes = DocumentId::new("acme", "notes").expect("a name");
    let known = Known { document: notes.clone(), relay: String::new(), token: "a.b.c".into() };
    let mut driver = driver();
    let store = shelf.create(&known).expect("a new document");
    driver.add(store, ReplicaId([1; 16]), Sealing::Plain).expect("nothing to read");
    let written = driver.edit(&notes, |edit| edit.set("n", "title", "Milk".into()));
    written.expect("room").expect("it is here").expect("within bounds");
    // A turn that finds nobody comes back; the next waits longer, and may be dropped.
    driver.turn().await.expect("room");
    assert!(matches!(driver.trouble(), Some(SocketError::Connect(_))));
    drop(tokio::time::timeout(Duration::from_millis(20), driver.turn()).await);
    drop(driver);

    let mut driver = self::driver();
    let store = shelf.document(&notes).expect("nobody has it");
    driver.add(store, ReplicaId([2; 16]), Sealing::Plain).expect("what was stored");
    let document = driver.document(&notes).expect("it is here");
    assert_eq!(document.entity("n").expect("written").get("title"), Some("Milk".into()));
    let replica = driver.replica(&notes).expect("it is here");
    assert_eq!((replica.id(), replica.unacknowledged()), (ReplicaId([1; 16]), 1));
}
