//! Snapshots that this device saves at the relay.

use super::{channel::Channel, link::Turn};
use crate::session::{
    ClientFrame, Event, KeyPlace, Keys, PIECE_BYTES_MAX, Refusal, SNAPSHOT_BYTES_MAX, Sealing,
    SnapshotHash, SnapshotInfo, backoff::Backoff, replica::snapshot_record,
};

/// The right to save snapshots.
const SNAPSHOT: u8 = 4;

/// The types of messages that can be rejected.
const FRAME_PUSH: u8 = 3;
const FRAME_OFFER: u8 = 5;
const FRAME_PIECE: u8 = 6;
const FRAME_FETCH: u8 = 7;

/// What is to be saved, and what is on its way.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// The application asked for one.
    pub wanted: bool,
    /// It may hold what the log lost.
    heals: bool,
    /// It was told that it cannot.
    unhealed: bool,
    /// Up to which offset it was looked whether there is something to heal.
    looked: u64,
    /// When it heals again at the earliest.
    heal_ms: u64,
    patience_to_heal: Backoff,
    /// How many records more than usual this device waits, so that not all save at once.
    patience: Option<u64>,
    current: Option<Offer>,
}

/// A snapshot on its way.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
struct Offer {
    hash: SnapshotHash,
    /// In place of which one.
    replaces: Option<SnapshotHash>,
    bytes: Vec<u8>,
    sent: usize,
}

impl Offers {
    pub fn disconnected(&mut self) {
        self.current = None;
        self.heals = false;
    }
}

impl Channel {
    /// After a loss: says by a snapshot what the log does not say any more.
    pub(super) fn heal(&mut self, turn: &mut Turn<'_>) {
        let busy = self.offers.current.is_some() || self.offers.heals;
        let (next, early) = (self.next(), turn.now_ms < self.offers.heal_ms);
        let looked = std::mem::replace(&mut self.offers.looked, next) == next;
        let vain = looked && self.offers.unhealed || !self.replica.is_complete();
        if busy || early || vain || !self.replica.check_loss() {
            return;
        }
        // Each time it waits longer: others heal as well.
        self.offers.heal_ms =
            turn.now_ms.saturating_add(self.offers.patience_to_heal.next(None, turn.entropy));
        if self.rights & SNAPSHOT != 0 {
            self.offers.heals = true;
        } else if !std::mem::replace(&mut self.offers.unhealed, true) {
            self.replica.tell(Event::Unhealed);
        }
    }

    pub(super) fn tick_offers(&mut self, turn: &mut Turn<'_>) {
        self.end_offer();
        let patience = turn.settings.snapshot_records / 4;
        let patience = *self.offers.patience.get_or_insert_with(|| turn.entropy.up_to(patience));
        let since = self.replica.snapshot_info().map_or(0, |info| info.offset);
        let long = turn.settings.snapshot_records.saturating_add(patience);
        let due = self.next().saturating_sub(since) >= long;
        let allowed = self.rights & SNAPSHOT != 0;
        let news = self.next() > since;
        self.offers.wanted &= news;
        let wanted = self.offers.heals || self.offers.wanted || due && allowed;
        // What could not be read would be lost to all: the log is cut where a snapshot is.
        if wanted && self.replica.is_complete() && self.offers.current.is_none() {
            self.offer(turn);
        }
        self.send_pieces(turn);
    }

    fn offer(&mut self, turn: &mut Turn<'_>) {
        self.offers.wanted = false;
        let (plain, sealing) = (self.replica.confirmed_snapshot(), self.replica.sealing());
        let document = self.replica.name();
        let bytes = match sealing {
            Sealing::Plain => Some(plain),
            Sealing::Epoch(epoch) => turn.keys.seal_snapshot(KeyPlace { document, epoch }, &plain),
        };
        let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 <= SNAPSHOT_BYTES_MAX) else {
            return self.replica.tell(Event::SnapshotRefused(Refusal::Invalid(
                "the key is missing, or the document is too large".into(),
            )));
        };
        let (hash, device) = (SnapshotHash::of(&bytes), turn.keys.device());
        let (len, offset, heals) = (bytes.len() as u64, self.next(), self.offers.heals);
        let info = SnapshotInfo { hash, bytes: len, offset, heals, sealing, device };
        let record = snapshot_record(info, (document, turn.keys));
        let replaces = self.replica.snapshot_info().map(|info| info.hash);
        if turn.send_paid(&ClientFrame::Offer { record: &record, replaces }, self.number) {
            self.offers.current = Some(Offer { hash, replaces, bytes, sent: 0 });
            self.offers.patience = None;
        }
    }

    fn send_pieces(&mut self, turn: &mut Turn<'_>) {
        let Some(offer) = &mut self.offers.current else { return };
        while offer.sent < offer.bytes.len() {
            // No larger than what the relay takes at all.
            let room = (turn.up.limits.credit as usize / 2).clamp(1, PIECE_BYTES_MAX);
            let end = offer.bytes.len().min(offer.sent + room);
            let bytes = &offer.bytes[offer.sent..end];
            let frame = ClientFrame::Piece { from: offer.sent as u64, bytes };
            if !turn.send_paid(&frame, self.number) {
                return;
            }
            offer.sent = end;
        }
    }

    /// Once the offered snapshot is the current one, the offer is over, though the one before may have been the same; and once another is:
    /// it came behind this one, or before it.
    fn end_offer(&mut self) {
        let current = self.replica.snapshot_info().map(|info| info.hash);
        let is_over = |offer: &Offer| Some(offer.hash) == current || offer.replaces != current;
        if self.offers.current.as_ref().is_some_and(is_over) {
            self.offers.current = None;
            self.offers.heals = false;
        }
    }

    /// Something else than a batch was not taken.
    pub(super) fn rejected(
        &mut self,
        frame: u8,
        why: Refusal,
        (now_ms, keys): (u64, &mut dyn Keys),
    ) {
        match frame {
            FRAME_OFFER | FRAME_PIECE => {
                if self.offers.current.take().is_some() {
                    self.offers.heals = false;
                    self.replica.tell(Event::SnapshotRefused(why));
                }
            }
            FRAME_FETCH => self.fetch_rejected(),
            FRAME_PUSH => self.replica.keys_refused(frame, why, (now_ms, keys)),
            frame => self.replica.tell(Event::Rejected { frame, why }),
        }
    }
}
