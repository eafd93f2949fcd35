//! What was kept and is read again after a start: a device's replica and keys, a relay's checkpoints.

use selvedge_crdt::{
    ReplicaId,
    session::{
        DeviceId, DocumentId, LogId, Replica, Resume, Saved,
        relay::{RelayDocument, Session, Terms, WRITE},
    },
};
use selvedge_seal::{Device as Keyholder, Vault};

use crate::session::Device;

/// What was kept is refused, or whoever kept it goes on with it, and keeps the same again.
///
/// The first byte says what it is; pieces stand behind their lengths, two bytes, little-endian.
pub fn session_stored(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind {
        0 => replica(bytes),
        1 => checkpoint(bytes),
        _ => keys(bytes),
    }
}

/// The pieces that bytes are cut into; the last one may be shorter than it says.
fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (piece, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn document() -> DocumentId {
    DocumentId::new("acme", "notes").expect("a name")
}

fn replica(bytes: &[u8]) {
    let pieces = pieces(bytes);
    let Some((begin, appended)) = pieces.split_first() else { return };
    let appended = appended.iter().map(|piece| piece.to_vec()).collect();
    let saved = Saved { begin: begin.to_vec(), appended };
    let Ok(replica) = Replica::restore(&saved) else { return };
    let mut device = Device::of(replica, saved);
    device.write(1_000);
    device.drive(1_000);
    device.drive(5_000_000);
    device.check();
}

/// A checkpoint, and the records behind it.
fn checkpoint(bytes: &[u8]) {
    let pieces = pieces(bytes);
    let Some((checkpoint, records)) = pieces.split_first() else { return };
    let log = LogId([2; 16]);
    let restored = RelayDocument::restore(document(), (log, 0), checkpoint);
    let Ok(mut relay) = restored else { return };
    if records.iter().any(|record| relay.replay(record).is_err()) {
        return;
    }
    relay.loaded();
    let (device, terms) = (DeviceId([1; 32]), Terms::default());
    let session = Session { device, rights: WRITE };
    let resume = Resume { log, next: relay.durable(), last: Default::default() };
    let opened =
        relay.open(&session, (Some(resume), None), &[ReplicaId([1; 16])], (&terms, 1_000_000));
    assert_eq!(opened.tail, relay.durable());
    relay.saw(&session, u64::MAX, 1_000_000);
    relay.compact(&terms, 1_000_000);
    relay.commit();
    relay.bytes();
    let kept = relay.checkpoint().expect("all was read");
    let again = RelayDocument::restore(document(), (log, 0), &kept.bytes);
    let again = again.expect("it was written here").checkpoint();
    assert_eq!(again, Some(kept), "it is the same again");
}

fn keys(bytes: &[u8]) {
    let vault = || Vault::new(Keyholder::from_seed([3; 32]), Box::new(|bytes| bytes.fill(5)));
    let mut first = vault();
    if bytes.is_empty() || first.restore(&document(), bytes).is_err() {
        return;
    }
    let kept = first.save(&document());
    let mut again = vault();
    again.restore(&document(), &kept).expect("it was written here");
    assert_eq!(*again.save(&document()), *kept, "it is the same again");
    assert_eq!(again.sealing(&document()), first.sealing(&document()));
    assert_eq!(again.pending(&document()), first.pending(&document()));
}
