//! What the relay says on a document's channel.

use std::sync::Arc;

use super::{
    channel::{Channel, Phase},
    fetch::Load,
};
use crate::{
    ReplicaId,
    session::{Event, Keys, OpenDocument, RelayFrame, Start, replica::Took},
};

/// Acknowledgements that came before their turn, at most.
const PLACES_MAX: usize = 1 << 10;

impl Channel {
    pub fn receive(&mut self, now_ms: u64, frame: RelayFrame<'_>, keys: &mut dyn Keys) {
        match frame {
            RelayFrame::Opened(opened) => self.receive_opened(now_ms, *opened),
            RelayFrame::Record { offset, record } => {
                self.receive_record(offset, record.into(), keys);
            }
            RelayFrame::Ack { replica, seq, offset } => {
                self.receive_ack((replica, seq), offset, keys);
            }
            RelayFrame::Refused { replica, first, why } => {
                self.replica.refused((replica, first), why, now_ms);
            }
            RelayFrame::Rejected { frame, why } => self.rejected(frame, why),
            RelayFrame::Piece { snapshot, from, bytes } => self.piece(snapshot, from, bytes, keys),
            RelayFrame::Presence { session, state } => {
                self.presence.received(session, state, &mut self.replica);
            }
            RelayFrame::Lag { behind } => self.replica.tell(Event::Lag(behind)),
            RelayFrame::Closed { why, again_ms } => self.closed(now_ms, why, again_ms),
            // They are the connection's, and no message has them on another channel.
            RelayFrame::Welcome { .. } | RelayFrame::Credit { .. } => {}
        }
    }

    fn receive_opened(&mut self, now_ms: u64, opened: OpenDocument) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return self.leave();
        }
        self.opened(now_ms, &opened);
        let right = self.replica.position().map(|it| (it.log, it.next));
        match opened.start {
            // After a loss this device looks at all that the relay has; that its lease lasts is known by now.
            Start::Resumed if self.replica.needs_view() => {
                self.anew = true;
                self.leave();
            }
            Start::Resumed if right == Some((opened.log, opened.next)) => {
                self.phase = Phase::Open;
                self.replica.resumed(&opened);
            }
            Start::Resumed => self.leave(),
            Start::Snapshot | Start::Lost | Start::Expired => {
                self.anew = false;
                self.load(Load::arrival(opened));
            }
        }
    }

    pub(super) fn receive_record(&mut self, offset: u64, record: Arc<[u8]>, keys: &mut dyn Keys) {
        match &mut self.phase {
            Phase::Open => self.read(offset, record, keys),
            Phase::Loading(load) => load.wait(offset, record),
            _ => {}
        }
    }

    /// Reads a record in its turn, and what was acknowledged behind it.
    fn read(&mut self, offset: u64, record: Arc<[u8]>, keys: &mut dyn Keys) {
        match self.replica.take(offset, &record, keys) {
            Took::Done => self.read_places(keys),
            Took::Join(info) => self.load(Load::healing(info, record)),
            Took::Gap => self.leave(),
        }
    }

    pub(super) fn read_places(&mut self, keys: &mut dyn Keys) {
        while let Some(entry) = self.places.first_entry() {
            let next = self.replica.position().map_or(0, |position| position.next);
            if *entry.key() > next {
                return;
            }
            let (offset, record) = entry.remove_entry();
            // A record that somebody offered or compacted is never acknowledged, so that nothing is joined here.
            self.replica.take(offset, &record, keys);
        }
    }

    fn receive_ack(&mut self, own: (ReplicaId, u64), offset: u64, keys: &mut dyn Keys) {
        let Some(record) = self.replica.acknowledged(own.0, own.1) else { return };
        if offset < self.next() {
            return self.replica.acknowledged_before(own);
        }
        if self.places.len() >= PLACES_MAX {
            return;
        }
        self.places.insert(offset, record);
        if matches!(self.phase, Phase::Open) {
            self.read_places(keys);
        }
    }
}
