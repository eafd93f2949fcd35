//! What becomes of what the relay does not take.

use super::{
    Replica,
    own::{Again, Pending, PushState},
};
use crate::{
    Batch, BatchBuilder, BatchHash, Hlc, ReplicaId,
    session::{Event, Keys, Refusal, Remedy, Rename, Sealing},
};

/// A relay that is in another epoch is asked again after this, unless keys come before.
const OTHER_EPOCH_MS: u64 = 5_000;

/// How a channel goes on after everything on its way was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Next {
    /// It pushes on.
    Push,
    /// It is opened again: what the relay has must be read first.
    Reopen,
}

impl Replica {
    /// A batch was not taken.
    pub(in crate::session) fn refused(
        &mut self,
        (replica, first): (ReplicaId, u64),
        why: Refusal,
        now_ms: u64,
    ) {
        let is_it = |again: &Again| {
            let header = again.kept.header.as_ref();
            again.in_flight && header.is_some_and(|it| it.replica == replica && it.first == first)
        };
        if let Some(at) = self.own.again.iter().position(is_it) {
            return self.refused_again(at, why, now_ms);
        }
        let flies = |sent: &&mut super::own::Sent| {
            sent.first() == first && sent.state == PushState::InFlight
        };
        let own = replica == self.id();
        let Some(sent) = self.own.outbox.iter_mut().find(flies).filter(|_| own) else { return };
        sent.state = PushState::Waits;
        if self.own.refused.as_ref().is_none_or(|(before, _)| first < *before) {
            self.own.refused = Some((first, why));
        }
    }

    /// What was lost is pushed again later, or cannot be.
    fn refused_again(&mut self, at: usize, why: Refusal, now_ms: u64) {
        match why {
            Refusal::Quota(after) | Refusal::Unavailable(after) => {
                self.own.again[at].in_flight = false;
                self.hold(now_ms, after);
            }
            why => {
                let gone = self.own.again.remove(at);
                let replica = gone.and_then(|it| it.kept.header).map(|header| header.replica);
                // Those behind it cannot be taken either.
                self.own.again.retain(|it| {
                    it.in_flight || it.kept.header.map(|header| header.replica) != replica
                });
                if !matches!(why, Refusal::Expected(_)) {
                    self.tell(Event::Refused { why, remedy: Remedy::Dropped });
                }
            }
        }
    }

    /// The first keys on their way were not taken: they go again later, or never.
    pub(in crate::session) fn keys_refused(
        &mut self,
        frame: u8,
        why: Refusal,
        (now_ms, keys): (u64, &mut dyn Keys),
    ) {
        let Some(behind) = self.own.keys_in_flight.checked_sub(1) else {
            return self.tell(Event::Rejected { frame, why });
        };
        let Some(record) = self.own.keys.pop_front() else { return };
        self.own.keys_in_flight = behind;
        if let Refusal::Quota(after) | Refusal::Unavailable(after) = why {
            self.own.keys.insert(behind, record);
            self.own.keys_hold_ms = held(now_ms, after);
            self.tell(Event::Refused { why, remedy: Remedy::Again });
        } else {
            keys.drop_keys(&self.name, &record);
            self.tell(Event::Rejected { frame, why });
        }
    }

    fn hold(&mut self, now_ms: u64, after_ms: u64) {
        self.own.hold_ms = self.own.hold_ms.max(held(now_ms, after_ms));
    }

    /// Decides about what was refused, once nothing is on its way.
    pub(in crate::session) fn remedy(&mut self, now_ms: u64, keys: &mut dyn Keys) -> Next {
        if self.own.in_flight() > 0 {
            return Next::Push;
        }
        let Some((first, why)) = self.own.refused.take() else { return Next::Push };
        match why {
            Refusal::Expected(seq) => self.push_from(seq),
            Refusal::Drift(relay_ms) => self.drifted(why, relay_ms, now_ms, keys),
            Refusal::Epoch(epoch) => {
                if Sealing::of(epoch) > self.sealing {
                    return self.await_keys((first, epoch), now_ms);
                }
                let is_older = Sealing::of(epoch) < self.sealing;
                self.hold(now_ms, if is_older { OTHER_EPOCH_MS } else { 100 });
                self.change_epoch(epoch, why, keys)
            }
            Refusal::Quota(after) | Refusal::Unavailable(after) => {
                self.hold(now_ms, after);
                self.tell(Event::Refused { why, remedy: Remedy::Again });
                Next::Push
            }
            Refusal::Forked => self.rename_for(Rename::Forked, why),
            Refusal::SnapshotRequired => self.rename_for(Rename::Behind, why),
            Refusal::Denied => {
                self.own.denied = true;
                self.tell(Event::Refused { why, remedy: Remedy::Waits });
                self.tell(Event::NeedsToken);
                Next::Push
            }
            Refusal::Signature
            | Refusal::Schema(_)
            | Refusal::Superseded(_)
            | Refusal::Invalid(_) => self.drop_batch(first, why),
        }
    }

    /// The relay has less of this replica than it acknowledged: what it lacks is found out by opening again.
    fn push_from(&mut self, seq: u64) -> Next {
        let waits = self.own.outbox.iter().find(|sent| sent.state == PushState::Waits);
        if waits.is_some_and(|sent| sent.first() <= seq) { Next::Push } else { Next::Reopen }
    }

    fn rename_for(&mut self, rename: Rename, why: Refusal) -> Next {
        self.rename = Some(rename);
        self.tell(Event::Refused { why, remedy: Remedy::Again });
        Next::Reopen
    }

    /// The clock was ahead: what waits is given stamps of the relay's time. What only follows others' stamps of which this relay does not
    /// know waits until they are not ahead any more.
    fn drifted(&mut self, why: Refusal, relay_ms: u64, now_ms: u64, keys: &mut dyn Keys) -> Next {
        let mut confirmed = self.confirmed.document();
        let safe = self.own.outbox.iter().filter(|it| it.state == PushState::Acknowledged);
        safe.for_each(|sent| confirmed.apply(&sent.batch));
        let latest = Hlc::from_ms(relay_ms).max(Hlc(confirmed.latest().0.saturating_add(1)));
        let waits = self.own.outbox.iter_mut().filter(|it| it.state == PushState::Waits);
        let edits = self.own.pending.iter_mut().map(|edit| &mut edit.batch);
        let mut was_ahead = false;
        for batch in waits.map(|sent| &mut sent.batch).chain(edits) {
            was_ahead |= batch.header(BatchHash::NONE).stamp_last > latest;
            *batch = batch.stamped_at_most(latest);
        }
        self.writer.set_back(latest);
        self.rebuild();
        self.reseal(keys);
        // A relay that takes no stamp at all is not asked all the time.
        let wait_ms = if was_ahead { 0 } else { latest.ms().saturating_sub(relay_ms) };
        self.hold(now_ms, wait_ms);
        let remedy = if wait_ms == 0 { Remedy::Again } else { Remedy::Waits };
        self.tell(Event::Refused { why, remedy });
        Next::Push
    }

    /// The relay says that a key is in use of which no member told yet: that is waited for, and then tried once more.
    fn await_keys(&mut self, (first, epoch): (u64, u32), now_ms: u64) -> Next {
        let why = Refusal::Epoch(epoch);
        if self.own.hold_ms == 0 {
            self.hold(now_ms, OTHER_EPOCH_MS);
            self.tell(Event::Refused { why: why.clone(), remedy: Remedy::Waits });
            self.miss_key(epoch);
        }
        if now_ms < self.own.hold_ms {
            self.own.refused = Some((first, why));
        } else {
            self.own.hold_ms = 0;
        }
        Next::Push
    }

    /// Another key is in use. Nobody is talked into sealing with an older one, or not at all.
    fn change_epoch(&mut self, epoch: u32, why: Refusal, keys: &mut dyn Keys) -> Next {
        let sealing = Sealing::of(epoch);
        if sealing < self.sealing {
            self.tell(Event::Refused { why, remedy: Remedy::Waits });
            return Next::Push;
        }
        self.tell(Event::Refused { why, remedy: Remedy::Again });
        self.reseal(keys);
        Next::Push
    }

    /// A batch that can never be taken: of several edits, the others are tried one by one.
    fn drop_batch(&mut self, first: u64, why: Refusal) -> Next {
        let Some(at) = self.own.outbox.iter().position(|sent| sent.first() == first) else {
            return Next::Push;
        };
        let edits = split(&self.own.outbox[at].batch);
        if edits.len() > 1 {
            self.take_apart(at);
            return Next::Push;
        }
        self.own.outbox.remove(at);
        self.tell(Event::Refused { why, remedy: Remedy::Dropped });
        self.rename = Some(Rename::Dropped);
        self.checkpoint();
        Next::Reopen
    }

    /// Makes edits again of the batches from `at` on.
    fn take_apart(&mut self, at: usize) {
        let batches = self.own.outbox.split_off(at);
        let edits: Vec<Pending> = batches
            .iter()
            .flat_map(|sent| {
                split(&sent.batch).into_iter().map(|batch| Pending { at: sent.at, batch })
            })
            .collect();
        edits.into_iter().rev().for_each(|edit| self.own.pending.push_front(edit));
        self.own.one_by_one = true;
        self.checkpoint();
    }
}

/// Until when something waits that is asked for too early.
fn held(now_ms: u64, after_ms: u64) -> u64 {
    now_ms.saturating_add(after_ms.clamp(100, 3_600_000))
}

/// A batch as its edits, each of which has one stamp.
fn split(batch: &Batch) -> Vec<Batch> {
    let (mut edits, mut builder) = (Vec::new(), BatchBuilder::new(batch.replica()));
    let mut stamp = None;
    for op in batch.ops() {
        if stamp.is_some_and(|stamp| stamp != op.hlc) {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(batch.replica()));
            edits.extend(full.finish());
        }
        stamp = Some(op.hlc);
        builder.push(op).expect("a part of a batch is a batch");
    }
    edits.extend(builder.finish());
    edits
}
