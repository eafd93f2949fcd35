//! What is pushed next, and what the relay says of it.

use std::sync::Arc;

use super::{Again, Push, PushState, Sent};
use crate::{
    Head, ReplicaId,
    session::{
        Event,
        replica::{Replica, confirmed::Step, kept::KeptRecord},
    },
};

impl Replica {
    /// What is to be pushed next, at `now_ms`.
    pub(in crate::session) fn next_push(&self, now_ms: u64) -> Option<Push> {
        let own = &self.own;
        let halted = own.refused.is_some() || own.denied || self.rename.is_some();
        if halted || self.awaits_keys() || now_ms < own.hold_ms {
            return None;
        }
        if let Some(at) = own.again.iter().position(|again| !again.in_flight) {
            let record = own.again[at].kept.record.clone();
            return Some(Push { record, again: Some(at), outbox: None });
        }
        let waits = |sent: &Sent| sent.state == PushState::Waits;
        let at = own.outbox.iter().position(waits)?;
        let sent = &own.outbox[at];
        let durable = sent.number <= self.journal.saved_number();
        durable.then(|| Push { record: sent.record.clone(), again: None, outbox: Some(at) })
    }

    /// A batch lies in the log before what was read: it is in the snapshot that was read instead. Where that is not so, it is not
    /// lost here.
    pub(in crate::session) fn acknowledged_before(&mut self, (replica, seq): (ReplicaId, u64)) {
        let front = self.own.outbox.front().map(Sent::last);
        if replica != self.id() || front != Some(seq) {
            return;
        }
        if let Some(sent) = self.own.outbox.pop_front() {
            self.own.head = Head { seq, hash: sent.hash };
            self.kept.push(KeptRecord::read(sent.record, replica));
            self.step(Step::Batch(sent.batch));
            self.rebuild();
            self.checkpoint();
        }
    }

    /// Keys that are to be pushed next, at `now_ms`.
    pub(in crate::session) fn next_keys(&self, now_ms: u64) -> Option<Arc<[u8]>> {
        let next = self.own.keys.get(self.own.keys_in_flight);
        next.filter(|_| now_ms >= self.own.keys_hold_ms).cloned()
    }

    pub(in crate::session) fn pushed_keys(&mut self) {
        self.own.keys_in_flight += 1;
    }

    /// Keys were read in the log: they are not pushed again.
    pub(in crate::session) fn keys_answered(&mut self, record: &[u8]) {
        if let Some(at) = self.own.keys.iter().position(|keys| **keys == *record) {
            self.own.keys.remove(at);
            self.own.keys_in_flight -= usize::from(at < self.own.keys_in_flight);
        }
    }

    /// It is on its way.
    pub(in crate::session) fn pushed(&mut self, push: &Push) {
        if let Some(again) = push.again.and_then(|at| self.own.again.get_mut(at)) {
            again.in_flight = true;
        }
        if let Some(sent) = push.outbox.and_then(|at| self.own.outbox.get_mut(at)) {
            sent.state = PushState::InFlight;
        }
    }

    /// A batch is safe. Returns the record that lies at its offset, if it was on its way.
    pub(in crate::session) fn acknowledged(
        &mut self,
        replica: ReplicaId,
        seq: u64,
    ) -> Option<Arc<[u8]>> {
        let is_it = |again: &Again| {
            let header = again.kept.header.as_ref();
            again.in_flight && header.is_some_and(|it| it.replica == replica && it.last() == seq)
        };
        if let Some(at) = self.own.again.iter().position(is_it) {
            return self.own.again.remove(at).map(|again| again.kept.record);
        }
        let own = replica == self.id();
        let was_sent = |sent: &&mut Sent| sent.last() == seq && sent.state != PushState::Waits;
        let sent = self.own.outbox.iter_mut().find(was_sent).filter(|_| own)?;
        let news = sent.state == PushState::InFlight;
        sent.state = PushState::Acknowledged;
        let record = sent.record.clone();
        if news {
            self.tell(Event::Acknowledged { replica, seq });
        }
        Some(record)
    }
}
