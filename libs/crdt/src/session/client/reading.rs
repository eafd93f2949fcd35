//! What the relay says on a document's channel.

use std::sync::Arc;

use super::{
    channel::{Channel, Phase},
    fetch::Load,
    time::Time,
};
use crate::{
    ReplicaId,
    session::{Event, Keys, OpenDocument, RelayFrame, Start, Suspicion, replica::Took},
};

/// Acknowledgements that came before their turn, at most.
const PLACES_MAX: usize = 1 << 10;

impl Channel {
    pub fn receive(&mut self, time: &Time, frame: RelayFrame<'_>, keys: &mut dyn Keys) {
        let (now_ms, relay_ms) = (time.steady_ms(), time.stamp_ms());
        match frame {
            RelayFrame::Opened(opened) => self.receive_opened(time, *opened),
            RelayFrame::Record { offset, record } => {
                self.receive_record(offset, record.into(), (relay_ms, keys));
            }
            RelayFrame::Keys { record } => self.replica.take_early(record, keys),
            RelayFrame::Ack { replica, seq, offset } => {
                self.receive_ack((replica, seq), offset, (relay_ms, keys));
            }
            RelayFrame::Refused { replica, first, why } => {
                self.replica.refused((replica, first), why, now_ms);
            }
            RelayFrame::Rejected { frame, why } => self.rejected(frame, why, (now_ms, keys)),
            RelayFrame::Piece { snapshot, from, bytes } => {
                self.piece(snapshot, (from, bytes), (relay_ms, keys));
            }
            RelayFrame::Presence { session, state } => {
                self.presence.received(session, state, &mut self.replica);
            }
            RelayFrame::Lag { behind } => self.replica.tell(Event::Lag(behind)),
            RelayFrame::Closed { why, again_ms } => self.closed(now_ms, why, again_ms),
            // They are the connection's, and no message has them on another channel.
            RelayFrame::Welcome { .. } | RelayFrame::Credit { .. } => {}
        }
    }

    fn receive_opened(&mut self, time: &Time, mut opened: OpenDocument) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return self.leave();
        }
        if self.replica.is_sealed_back(&opened) {
            return self.doubt(opened.next, Suspicion::Snapshot);
        }
        match time.loss_ms(opened.lost_ms) {
            Some(lost_ms) => opened.lost_ms = lost_ms,
            // Who writes on in this log heard of it before.
            None if self.replica.is_in(&opened) => {}
            None => return self.doubt(opened.next, Suspicion::Clock),
        }
        opened.start = self.replica.start_of(&opened, self.forgettable);
        self.opened(time.steady_ms(), &opened);
        self.replica.forget_early();
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

    /// What the relay says is not believed: the document is not opened.
    fn doubt(&mut self, offset: u64, what: Suspicion) {
        self.replica.tell(Event::Suspicious { offset, what });
        self.leave();
    }

    pub(super) fn receive_record(
        &mut self,
        offset: u64,
        record: Arc<[u8]>,
        (relay_ms, keys): (u64, &mut dyn Keys),
    ) {
        match &mut self.phase {
            Phase::Open => self.read(offset, record, (relay_ms, keys)),
            Phase::Loading(load) => load.wait(offset, record),
            _ => {}
        }
    }

    /// Reads a record in its turn, and what was acknowledged behind it.
    fn read(&mut self, offset: u64, record: Arc<[u8]>, (relay_ms, keys): (u64, &mut dyn Keys)) {
        match self.replica.take(offset, &record, (relay_ms, &mut *keys)) {
            Took::Done => self.read_places((relay_ms, keys)),
            Took::Join(info) => self.load(Load::healing(info, record)),
            Took::Gap => self.leave(),
        }
    }

    pub(super) fn read_places(&mut self, (relay_ms, keys): (u64, &mut dyn Keys)) {
        loop {
            let next = self.replica.position().map_or(0, |position| position.next);
            if self.places.first().is_none_or(|(offset, _)| *offset > next) {
                return;
            }
            let Some((offset, record)) = self.places.pop_first() else { return };
            // A record that somebody offered or compacted is never acknowledged, so that nothing is joined here.
            self.replica.take(offset, &record, (relay_ms, &mut *keys));
        }
    }

    fn receive_ack(&mut self, own: (ReplicaId, u64), offset: u64, reading: (u64, &mut dyn Keys)) {
        let Some(record) = self.replica.acknowledged(own.0, own.1) else { return };
        if offset < self.next() {
            return self.replica.acknowledged_before(own);
        }
        if self.places.len() >= PLACES_MAX {
            return;
        }
        self.places.insert(offset, record);
        if matches!(self.phase, Phase::Open) {
            self.read_places(reading);
        }
    }
}
