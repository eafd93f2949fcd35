//! Opening: where the log goes on, and what is joined before.

use super::{
    Piece, Replica,
    confirmed::Step,
    kept::KeptRecord,
    own::{Again, PushState, Sent},
};
use crate::{
    Batch, BatchHash, Document, Head, ReplicaId,
    session::{Event, OpenDocument, RecordHash, Rename, Resume, Start},
};

impl Replica {
    /// What an OPEN says: where the replica is, and whose heads it asks for.
    pub(in crate::session) fn opening(&self) -> (Option<Resume>, Vec<ReplicaId>) {
        (self.position, self.kept.replicas(self.id()))
    }

    /// Returns whether it must look at all that the relay has, to know what that lost.
    pub(in crate::session) fn needs_view(&self) -> bool {
        self.lost && self.view.is_none()
    }

    /// The relay goes on from where this is.
    pub(in crate::session) fn resumed(&mut self, opened: &OpenDocument) {
        let head = head_of(opened, self.id());
        if head.seq > self.own.head.seq && self.own.at_head(head).is_none() {
            self.rename = self.rename.or(Some(Rename::Forked));
        }
        self.opened(opened);
    }

    /// The relay begins with a snapshot, or with nothing: that is joined, or taken instead.
    pub(in crate::session) fn arrive(&mut self, opened: &OpenDocument, snapshot: &Document) {
        let (known, expired) = (self.position.is_some(), opened.start == Start::Expired);
        self.take_safe(opened);
        let mut confirmed = snapshot.clone();
        if known && !expired {
            let mut joined = self.confirmed.document();
            joined.merge(snapshot);
            confirmed = joined;
        }
        let bytes = confirmed.snapshot();
        let lost = known && !expired && bytes != snapshot.snapshot();
        if lost && !self.lost {
            self.tell(Event::Lost);
        }
        self.lost = lost;
        self.view = lost.then(|| snapshot.clone());
        self.confirmed.begin(bytes);
        if expired {
            self.kept.clear();
            self.rename = Some(Rename::Expired);
        }
        let (log, next, last) = (opened.log, opened.next, RecordHash::NONE);
        self.position = Some(Resume { log, next, last });
        self.snapshot = opened.snapshot.map(|(info, _)| info);
        if let Some(info) = self.snapshot {
            self.read_sealing = self.read_sealing.max(info.sealing);
            self.sealing = self.sealing.max(info.sealing);
        }
        self.receipts.clear();
        self.own.moved();
        let behind =
            |batch: &Batch| batch.header(BatchHash::NONE).stamp_first <= confirmed.horizon();
        if self.own.unconfirmed().next().is_some_and(behind) {
            self.rename = self.rename.or(Some(Rename::Behind));
        }
        self.rebuild_on(confirmed);
        self.opened(opened);
        self.journal.relocated();
        self.checkpoint();
    }

    /// What of this replica the relay has already is not pushed again: it is in the snapshot, or in the log behind it.
    fn take_safe(&mut self, opened: &OpenDocument) {
        let head = head_of(opened, self.id());
        let at_head = self.own.at_head(head);
        if head.seq > self.own.head.seq && at_head.is_none() {
            self.rename = self.rename.or(Some(Rename::Forked));
        }
        let known_safe = |sent: &Sent| sent.state == PushState::Acknowledged;
        let acknowledged = self.own.outbox.iter().take_while(|sent| known_safe(sent)).count();
        let safe = at_head.map_or(0, |at| at + 1).max(acknowledged);
        for sent in self.own.outbox.drain(..safe).collect::<Vec<_>>() {
            self.own.head = Head { seq: sent.last(), hash: sent.hash };
            if sent.state != PushState::Acknowledged {
                let (replica, seq) = (self.id(), sent.last());
                self.tell(Event::Acknowledged { replica, seq });
            }
            self.kept.push(KeptRecord::read(sent.record.clone(), self.id()));
            // As it was pushed before it was changed, it comes from the relay.
            if sent.last() != head.seq || sent.hash == head.hash {
                self.confirmed.push(Step::Batch(sent.batch));
            }
        }
    }

    /// What the relay lacks is pushed again, and its key is in use.
    fn opened(&mut self, opened: &OpenDocument) {
        self.sealing = self.sealing.max(opened.sealing);
        let (_, asked) = self.opening();
        for keys in self.kept.lacking_keys(opened).into_iter().rev() {
            if !self.own.keys.contains(&keys) {
                self.own.keys.push_front(keys);
            }
        }
        let lacking = self.kept.lacking(opened, &asked).into_iter();
        self.own.again = lacking.map(|kept| Again { kept, in_flight: false }).collect();
        if !self.is_bridged(head_of(opened, self.id())) {
            self.rename = self.rename.or(Some(Rename::Lost));
        }
    }

    /// Whether what this replica writes next can follow the relay's head, once what was lost was pushed again.
    fn is_bridged(&self, head: Head) -> bool {
        let follows = |again: &Again| {
            let header = again.kept.header.as_ref();
            header.is_some_and(|it| it.replica == self.id() && it.first == head.seq + 1)
        };
        head.seq >= self.own.head.seq || self.own.again.iter().any(follows)
    }

    /// The relay has again all that it lost. Returns whether this device must say the rest by a snapshot that heals.
    pub(in crate::session) fn check_loss(&mut self) -> bool {
        if !self.lost || !self.own.again.is_empty() || !self.own.is_confirmed() {
            return false;
        }
        let Some(view) = self.view.take() else { return false };
        self.join_view(&view);
        if view.snapshot() != self.document.snapshot() {
            self.view = Some(view);
            return true;
        }
        self.lost = false;
        self.journal.append(&Piece::Healed);
        self.tell(Event::Healed);
        false
    }

    /// What this device forgot in a life of the log that is over is known again where the log says it.
    fn join_view(&mut self, view: &Document) {
        let before = self.document.snapshot();
        let mut joined = self.document.clone();
        joined.merge(view);
        let bytes = joined.snapshot();
        if bytes != before {
            self.confirmed.begin(bytes);
            self.rebuild_on(joined);
            self.checkpoint();
        }
    }

    /// What is confirmed, as a snapshot up to the next offset.
    pub(in crate::session) fn confirmed_snapshot(&self) -> Vec<u8> {
        match self.own.is_confirmed() {
            true => self.document.snapshot(),
            false => self.confirmed.document().snapshot(),
        }
    }
}

fn head_of(opened: &OpenDocument, replica: ReplicaId) -> Head {
    let found = opened.heads.binary_search_by_key(&replica, |(known, _)| *known);
    found.map_or(Head::default(), |at| opened.heads[at].1)
}

impl super::Own {
    /// The batch that waits here and is the relay's last of this replica.
    fn at_head(&self, head: Head) -> Option<usize> {
        let is_it = |sent: &Sent| {
            sent.last() == head.seq && (sent.hash == head.hash || sent.former.contains(&head.hash))
        };
        self.outbox.iter().position(is_it)
    }

    /// The log is another one: what waits was written before all of it was seen.
    fn moved(&mut self) {
        self.outbox.iter_mut().for_each(|sent| sent.at = 0);
        self.pending.iter_mut().for_each(|edit| edit.at = 0);
    }
}
