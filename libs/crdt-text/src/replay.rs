//! Updates made into a text, whatever is among them.

use std::{
    borrow::Cow,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
};

use selvedge_crdt::{BatchHash, Document, Dot, EntityRef, Stamp, Value, Written};
use yrs::{
    ClientID, Doc, OffsetKind, Options, ReadTxn, Transact, TransactionMut, Update,
    updates::decoder::Decode,
};

use crate::shape::{self, Fault, TYPES_MAX};

/// Bytes of all updates of a text together, at most; newer ones are skipped.
pub const READ_BYTES_MAX: usize = 64 << 20;

/// So often a text is begun again without an update at which `yrs` gave up.
const RETRIES_MAX: usize = 16;

/// An update that was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// When it was written, and by whom.
    pub stamp: Stamp,
    /// Why it is not read.
    pub fault: Fault,
}

/// An update of a field.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub stamp: Stamp,
    pub update: &'a [u8],
}

/// What was written to a field, the oldest first.
pub(crate) fn updates<'a>(document: &'a Document, entity: &str, field: &str) -> Vec<Written<'a>> {
    let written = document.entity(entity).map(|it: EntityRef<'a>| it.text_updates(field));
    written.unwrap_or_default()
}

/// The updates among what was written that are sound, and have room; what is none is noted.
pub(crate) fn pieces<'a>(
    written: Vec<Written<'a>>,
    room: &mut Room,
    unread: &mut Vec<Unread>,
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for entry in written {
        let stamp = entry.stamp;
        let sound = match entry.value {
            Value::Bytes(Cow::Borrowed(update)) => room.with(update).map(|with| {
                *room = with;
                update
            }),
            _ => Err(Fault::Invalid("a text has bytes")),
        };
        match sound {
            Ok(update) => pieces.push(Piece { stamp, update }),
            Err(fault) => unread.push(Unread { stamp, fault }),
        }
    }
    pieces
}

/// What the updates of a text have together, of what they may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    types: usize,
    bytes: usize,
}

impl Room {
    /// What is taken with one more update, if it is sound and there is room.
    pub(crate) fn with(self, update: &[u8]) -> Result<Room, Fault> {
        let types = self.types + shape::check(update)?;
        let bytes = self.bytes + update.len();
        if types > TYPES_MAX {
            Err(Fault::TooMuch("shared types"))
        } else if bytes > READ_BYTES_MAX {
            Err(Fault::TooMuch("bytes of a text"))
        } else {
            Ok(Room { types, bytes })
        }
    }
}

/// The `Y.Doc` of these updates; those at which `yrs` gives up are taken out and noted.
pub(crate) fn replay(mut pieces: Vec<Piece<'_>>, client: u64, unread: &mut Vec<Unread>) -> Doc {
    for _ in 0..RETRIES_MAX {
        let doc = empty(client);
        let Err(at) = apply_all(&doc, &pieces) else { return doc };
        unread.push(Unread { stamp: pieces.remove(at).stamp, fault: Fault::Unfit });
    }
    let unfit = |piece: Piece<'_>| Unread { stamp: piece.stamp, fault: Fault::Unfit };
    unread.extend(pieces.into_iter().map(unfit));
    empty(client)
}

fn empty(client: u64) -> Doc {
    let mut options = Options::with_guid_and_client_id("".into(), ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    Doc::with_options(options)
}

/// Applies updates until one is refused, and returns which.
pub(crate) fn apply_all(doc: &Doc, pieces: &[Piece<'_>]) -> Result<(), usize> {
    pieces.iter().enumerate().try_for_each(|(at, piece)| {
        let update = guarded(|| Update::decode_v1(piece.update).ok()).flatten().ok_or(at)?;
        // What is half applied is dropped with its document.
        transact(doc, |transaction| transaction.apply_update(update).ok()).flatten().ok_or(at)
    })
}

/// Runs a transaction that may panic. Its end, which otherwise would come while that panic unwinds, may panic as well.
pub(crate) fn transact<T>(doc: &Doc, run: impl FnOnce(&mut TransactionMut<'_>) -> T) -> Option<T> {
    let mut transaction = ManuallyDrop::new(doc.transact_mut());
    let done = guarded(|| run(&mut transaction));
    let ended = guarded(|| drop(ManuallyDrop::into_inner(transaction)));
    done.filter(|_| ended.is_some())
}

/// Runs what may panic at something that passed for an update.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// The same for a writer: under the client of its first update that is still there, so that what it writes goes on
/// behind it, or else under one that nobody has had.
///
/// A client is named after the operation that brought its first update: it is not used again, also where that was
/// erased and others still write behind it.
pub(crate) fn replay_for(next: Dot, pieces: Vec<Piece<'_>>, unread: &mut Vec<Unread>) -> Doc {
    let own = pieces.iter().map(|piece| piece.stamp.dot).filter(|dot| dot.replica == next.replica);
    if let Some(first) = own.min_by_key(|dot| dot.seq).map(client) {
        let mut skipped = Vec::new();
        let doc = replay(pieces.clone(), first, &mut skipped);
        if doc.transact().state_vector().get(&ClientID::new(first)) > 0 {
            unread.extend(skipped);
            return doc;
        }
    }
    replay(pieces, client(next), unread)
}

/// 53 bits that name an operation.
fn client(dot: Dot) -> u64 {
    let name = [&dot.replica.0[..], &dot.seq.to_be_bytes()].concat();
    let bits = BatchHash::of(&name).0.first_chunk().copied().map(u64::from_be_bytes);
    bits.expect("a hash has 16 bytes") >> 11
}
