//! Opening: where the log goes on, and what is joined before.

use super::{
    Piece, Replica,
    confirmed::Step,
    kept::KeptRecord,
    own::{Again, PushState, Sent},
};
use crate::{
    Batch, BatchHash, Document, Head, Hlc, ReplicaId,
    session::{Event, OpenDocument, RecordHash, Rename, Resume, Sealing, SnapshotInfo, Start},
    sorted::Sorted,
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
            self.is_forked();
        }
        self.opened(opened);
    }

    /// How it goes on, as far as the relay is believed: it may say that this device was forgotten only when that can be, and
    /// not to put something older in place of what is here. Otherwise it lost something.
    pub(in crate::session) fn start_of(&self, opened: &OpenDocument, forgettable: bool) -> Start {
        let older = |held: SnapshotInfo| {
            let said = opened.snapshot.map(|(info, _)| (info.sealing, info.offset));
            said.is_none_or(|(sealing, offset)| sealing < held.sealing || offset < held.offset)
        };
        let goes_back = self.is_in(opened) && self.snapshot.is_some_and(older);
        match opened.start {
            Start::Expired if goes_back || !forgettable => Start::Lost,
            start => start,
        }
    }

    /// Returns whether a relay that lost nothing shows a snapshot under a key from before one that was here.
    pub(in crate::session) fn is_sealed_back(&self, opened: &OpenDocument) -> bool {
        let said = opened.snapshot.map(|(info, _)| info.sealing);
        let held = self.snapshot.map(|held| held.sealing);
        let goes_on = matches!(opened.start, Start::Lost | Start::Resumed);
        !goes_on && self.is_in(opened) && said.is_some() && said < held
    }

    /// Whether it is in the log that was opened.
    pub(in crate::session) fn is_in(&self, opened: &OpenDocument) -> bool {
        self.position.is_some_and(|position| position.log == opened.log)
    }

    /// The relay begins with a snapshot, or with nothing: that is joined, or taken instead.
    pub(in crate::session) fn arrive(&mut self, opened: &OpenDocument, snapshot: &Document) {
        let (known, expired) = (self.position.is_some(), opened.start == Start::Expired);
        let is_other_life = !self.is_in(opened);
        // What was read beyond comes again in its turn.
        let rereads = self.position.is_some_and(|it| it.log == opened.log && it.next > opened.next);
        self.outlives |= is_other_life && !self.own.outbox.is_empty();
        self.take_safe(opened);
        let mut confirmed = snapshot.clone();
        if known && !expired {
            let mut joined = self.confirmed.document();
            joined.merge(snapshot);
            confirmed = joined;
        }
        let bytes = confirmed.snapshot();
        let explained = rereads && opened.start == Start::Snapshot && !self.lost;
        let lost = known && !expired && !explained && bytes != snapshot.snapshot();
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
        self.missed = Sorted::new();
        self.heard = self.heard.max(confirmed.latest());
        if is_other_life {
            self.outlive(Hlc::from_ms(opened.lost_ms));
        }
        self.own.moved();
        self.look_behind(confirmed.horizon());
        self.rebuild_on(confirmed);
        self.opened(opened);
        self.journal.relocated();
        self.checkpoint();
    }

    /// The relay lost records at `loss`, and with them horizons that others know; none of these is later. What was written
    /// before this device had a lease may lie below one, and is issued again; what is written from here on is later.
    fn outlive(&mut self, loss: Hlc) {
        if self.own.unleased().is_some_and(|batch| is_behind(batch, loss)) {
            // Whatever else asks for another id, the stamps must be those of now.
            let expired = self.rename.filter(|why| *why == Rename::Expired);
            self.rename = expired.or(Some(Rename::Behind));
        }
        self.writer.observe(loss);
    }

    /// Somebody else writes under this id, also what is called as something here.
    pub(super) fn is_forked(&mut self) {
        self.rename = self.rename.or(Some(Rename::Forked));
        self.outlives = false;
    }

    /// What waits and nobody would see is issued again.
    pub(super) fn look_behind(&mut self, horizon: Hlc) {
        if self.own.unconfirmed().next().is_some_and(|batch| is_behind(batch, horizon)) {
            self.rename = self.rename.or(Some(Rename::Behind));
        }
    }

    /// What of this replica the relay has already is not pushed again: it is in the snapshot, or in the log behind it.
    fn take_safe(&mut self, opened: &OpenDocument) {
        let head = head_of(opened, self.id());
        let at_head = self.own.at_head(head);
        if head.seq > self.own.head.seq && at_head.is_none() {
            self.is_forked();
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
        // Records of keys before the snapshot are not read again.
        self.sealing = self.sealing.max(Sealing::of(self.early_epoch));
        self.own.asked = opened.sealing;
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
        match self.is_as_confirmed() {
            true => self.document.snapshot(),
            false => self.confirmed.document().snapshot(),
        }
    }
}

fn is_behind(batch: &Batch, horizon: Hlc) -> bool {
    batch.header(BatchHash::NONE).stamp_first <= horizon
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

    /// The first that waits of what was written before any of the log was seen.
    fn unleased(&self) -> Option<&Batch> {
        let sent = self.outbox.iter().map(|sent| (sent.at, &sent.batch));
        let edits = self.pending.iter().map(|edit| (edit.at, &edit.batch));
        sent.chain(edits).find(|(at, _)| *at == 0).map(|(_, batch)| batch)
    }

    /// The log is another one: what waits was written before all of it was seen.
    fn moved(&mut self) {
        self.outbox.iter_mut().for_each(|sent| sent.at = 0);
        self.pending.iter_mut().for_each(|edit| edit.at = 0);
    }
}
