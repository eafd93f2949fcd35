//! Lives of a relay: what it lost, and what it says of that.

use selvedge_crdt::{
    ReplicaId,
    session::{DocumentId, Event, Rename, Replica, Sealing},
};
use selvedge_seal::{Device, Rights, Vault};
use selvedge_sync::{Incarnation, Settings};

use crate::relay::{Peer, Relay, now_ms};

const DAY_MS: u64 = 86_400_000;

fn notes() -> DocumentId {
    DocumentId::new("acme", "notes").unwrap()
}

/// A device that wrote a day ago, and was never connected.
fn wrote_yesterday() -> (Vault, Replica) {
    let vault = Vault::new(Device::from_seed([1; 32]), Box::new(|bytes: &mut [u8]| bytes.fill(1)));
    let mut replica = Replica::new(notes(), ReplicaId([1; 16]), Sealing::Plain);
    let written =
        replica.edit(now_ms() - DAY_MS, |edit| edit.set("note/1", "title", "Milk".into()));
    written.unwrap();
    (vault, replica)
}

/// Which ids the device has given up once everything is at the relay.
async fn renamed(lost_ms: u64) -> Vec<Rename> {
    let folder = tempfile::tempdir().unwrap();
    let life = Incarnation { id: [8; 16], lost_ms };
    let relay = Relay::in_life(folder.path(), Settings::default(), life);
    let mut ann = Peer::with(&relay, wrote_yesterday(), Rights::ALL).await;
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    assert!(ann.has("note/1", "title", "Milk"));
    let stream = relay.log.stream("sync/doc/acme/notes").unwrap();
    assert_eq!(relay.log.info(stream).unwrap().tail, 1);
    let why = |event: &Event| match event {
        Event::Renamed { why, .. } => Some(*why),
        _ => None,
    };
    ann.events.iter().filter_map(why).collect()
}

/// The document of which nothing is left may have had a horizon that others know.
#[tokio::test]
async fn a_document_that_is_not_there_may_have_been_lost() {
    assert_eq!(renamed(0).await, [], "nothing was ever lost");
    assert_eq!(renamed(now_ms() - 2 * DAY_MS).await, [], "it was written later");
    assert_eq!(renamed(now_ms() - DAY_MS / 2).await, [Rename::Behind]);
}

#[tokio::test]
async fn what_another_life_had_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let mut ann = Peer::with(&relay, wrote_yesterday(), Rights::ALL).await;
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let name = notes();
    let vault = Vault::new(Device::from_seed([1; 32]), Box::new(|bytes: &mut [u8]| bytes.fill(2)));
    let replica = ann.client.remove(&name).unwrap();

    let empty = tempfile::tempdir().unwrap();
    let life = Incarnation { id: [9; 16], lost_ms: now_ms() };
    let restored = Relay::in_life(empty.path(), Settings::default(), life);
    let mut ann = Peer::with(&restored, (vault, replica), Rights::ALL).await;
    ann.until("the relay has it again", |ann| ann.events.contains(&Event::Healed)).await;
    let mut ben = Peer::new(&restored, (2, &name), Rights::ALL, |_| ()).await;
    ben.until("ben reads it", |ben| ben.has("note/1", "title", "Milk")).await;
    assert_eq!(ann.content().snapshot(), ben.content().snapshot(), "byte for byte");
}
