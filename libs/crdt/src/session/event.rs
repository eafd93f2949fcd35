//! What a replica and its channel tell the application.

use super::{CloseReason, Refusal, SnapshotHash};
use crate::{EntityId, ReplicaId};

/// Something that the application may want to know of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Others changed these entities; nothing stands for more than are worth naming.
    Changed(Option<Vec<EntityId>>),
    /// Everything that this replica wrote up to this sequence is safe at the relay.
    Acknowledged {
        /// Whose.
        replica: ReplicaId,
        /// The sequence of the last operation.
        seq: u64,
    },
    /// All that the relay had when the document was opened is here.
    CaughtUp,
    /// Something that was pushed was not taken. What becomes of it stands in [`Remedy`].
    Refused {
        /// Why not.
        why: Refusal,
        /// What is done.
        remedy: Remedy,
    },
    /// The replica writes under a new id: what was not acknowledged was issued again.
    Renamed {
        /// What it was called.
        from: ReplicaId,
        /// What it is called.
        to: ReplicaId,
        /// Why.
        why: Rename,
    },
    /// The relay lost records, or a snapshot misses what was acknowledged: this device pushes what it has.
    Lost,
    /// What the relay lost is there again.
    Healed,
    /// What the relay lost cannot be put back by this device: its token does not allow snapshots.
    Unhealed,
    /// Others write faster than this device reads; 0 when that is over.
    Lag(u64),
    /// What another session shows of itself; empty if it is gone.
    Presence {
        /// Which session.
        session: u64,
        /// As it was sent.
        state: Vec<u8>,
    },
    /// A snapshot is the current one.
    Snapshot(SnapshotHash),
    /// A snapshot that this device offered was not taken.
    SnapshotRefused(Refusal),
    /// A wake-up subscription or a presence was not taken.
    Rejected {
        /// The type of the message.
        frame: u8,
        /// Why not.
        why: Refusal,
    },
    /// The key of this epoch is missing: nothing is pushed until it is there.
    NeedsKey(u32),
    /// The token ends soon, has ended, or is not enough: a new one is needed.
    NeedsToken,
    /// The channel was closed.
    Closed(CloseReason),
    /// What the relay sent is not right. It was passed over; nothing waits for it.
    Suspicious {
        /// At which offset.
        offset: u64,
        /// What is wrong.
        what: Suspicion,
    },
}

/// What becomes of a batch that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is pushed again, changed where that is needed.
    Again,
    /// It waits for a new token or a key.
    Waits,
    /// It can never be taken, and is dropped; the document is as if it had not been written.
    Dropped,
}

/// Why a replica takes another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Somebody else wrote under the old one: a copy, or this device before it was set back.
    Forked,
    /// The device's lease ran out.
    Expired,
    /// What it wrote is older than the document's horizon, so that nobody would see it.
    Behind,
    /// The relay lost what it wrote before, and that is not here any more as it was pushed.
    Lost,
    /// A batch was dropped, and those behind it cannot keep their sequences.
    Dropped,
}

/// What may be wrong with what a relay sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is no record, or no batch.
    Malformed,
    /// The signature does not hold.
    Signature,
    /// Another device writes under a replica's id.
    Device,
    /// A replica's batches are missing.
    Gap,
    /// A replica's batch does not continue the one before.
    Fork,
    /// It is plain where everything is sealed, or does not open.
    Sealing,
    /// A key record that nobody may have written.
    Keys,
    /// A snapshot that is not what it says, or sealed with an older key than one before.
    Snapshot,
    /// A compaction beyond everything that was written.
    Horizon,
    /// A loss of records that is more than a day ahead of this device's clock: the document is not opened.
    Clock,
}
