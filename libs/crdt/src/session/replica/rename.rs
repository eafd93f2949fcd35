//! Another id for this replica, and the document made anew.

use super::{
    Replica,
    own::{Own, Pending},
};
use crate::{
    Document, Hlc, ReplicaId, Writer,
    batch::Renumber,
    session::{Event, Rename},
};

impl Replica {
    /// Returns whether it waits for another id.
    pub(in crate::session) fn awaits_rename(&self) -> bool {
        self.rename.is_some()
    }

    /// Takes another id: what is confirmed stays, and everything else is issued again. It is called when all that
    /// the relay has was read, and nothing is on its way.
    pub(in crate::session) fn take_id(&mut self, id: ReplicaId, now_ms: u64) {
        let Some(why) = self.rename.take() else { return };
        let confirmed = self.confirmed.document();
        // Where not all could be read, a horizon may lie behind all that was.
        let heard = if self.is_complete() { Hlc::ZERO } else { self.heard };
        let after = Hlc(confirmed.latest().max(heard).0.saturating_add(1));
        let not_before = match why {
            Rename::Expired | Rename::Behind => after.max(Hlc::from_ms(now_ms)),
            Rename::Forked | Rename::Dropped | Rename::Lost => {
                Hlc(confirmed.horizon().0.saturating_add(1))
            }
        };
        let (from, old) = (self.id(), std::mem::take(&mut self.own));
        let next = self.position.map_or(0, |position| position.next);
        let at = (why == Rename::Expired).then_some(next);
        let mut renumber = Renumber::new(from, id);
        let replaces = std::mem::take(&mut self.outlives) && why != Rename::Forked;
        self.own = reissued((old, replaces), &mut renumber, (not_before, at));
        let last = self.writer.last_hlc().max(after);
        self.writer = Writer::resume(id, renumber.next(), last);
        self.rebuild_on(confirmed);
        self.checkpoint();
        self.tell(Event::Renamed { from, to: id, why });
    }

    /// Writes on behind everything that is here under its id, which somebody else may have written.
    pub(super) fn step_over(&mut self) {
        let next = self.document.last_entry(self.id()).saturating_add(1);
        if next > self.writer.next_seq() {
            self.writer = Writer::resume(self.id(), next, self.writer.last_hlc());
        }
    }

    /// Makes the document anew of what is confirmed and what is not.
    pub(super) fn rebuild(&mut self) {
        let confirmed = self.confirmed.document();
        self.rebuild_on(confirmed);
    }

    /// Shows what is confirmed, with what is not.
    pub(super) fn show(&mut self, confirmed: Document) {
        self.document = confirmed;
        self.own.unconfirmed().for_each(|batch| self.document.apply(batch));
    }

    pub(super) fn rebuild_on(&mut self, confirmed: Document) {
        self.show(confirmed);
        self.step_over();
        self.tell(Event::Changed(None));
    }
}

/// What waits, as edits under another name; where it `replaces` what was pushed, that counts nowhere beside it.
fn reissued(
    (mut old, replaces): (Own, bool),
    renumber: &mut Renumber,
    (not_before, at): (Hlc, Option<u64>),
) -> Own {
    let (outbox, edits) = (std::mem::take(&mut old.outbox), std::mem::take(&mut old.pending));
    let sent = outbox.into_iter().map(|it| (Pending { at: it.at, batch: it.batch }, replaces));
    let again = |(edit, replaces): (Pending, bool)| {
        let replacing = replaces.then(|| renumber.replacing(&edit.batch, not_before)).flatten();
        let batch = replacing.or_else(|| renumber.batch(&edit.batch, not_before))?;
        Some(Pending { at: at.unwrap_or(edit.at), batch })
    };
    let pending = sent.chain(edits.into_iter().map(|edit| (edit, false))).filter_map(again);
    let pending = pending.collect();
    let Own { hold_ms, denied, keys, keys_in_flight, keys_hold_ms, again, .. } = old;
    Own { pending, hold_ms, denied, keys, keys_in_flight, keys_hold_ms, again, ..Own::default() }
}
