//! What may be appended to a document's log, and how a device goes on that opens it.

use super::{
    ADMIN, Demand, JOIN, READ, RelayDocument, SNAPSHOT, Terms, Vetted, WRITE, vetted::About,
};
use crate::{
    Admission, BatchHash, Header, Hlc, ReplicaId,
    session::{
        DeviceId, OpenDocument, Record, RecordHash, Refusal, RelayFrame, Resume, Sealing,
        SnapshotHash, SnapshotInfo, Start,
    },
};

/// The type of OFFER.
const OFFER: u8 = 5;

/// How far past the latest stamp a batch may go on where that is ahead of the relay's clock: what the
/// counters of its operations take.
const COUNTERS: u64 = 1 << 16;

/// A device that has the document open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which device.
    pub device: DeviceId,
    /// What it may do.
    pub rights: u8,
}

/// What becomes of a record that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to this offset, and counts from now on.
    Append(u64),
    /// It is there already: the last sequence of the batch, and its offset.
    Again(ReplicaId, u64, u64),
    /// It is there already, and needs no answer.
    Known,
    /// It is refused.
    Refused(RelayFrame<'static>),
}

impl Session {
    /// Whether it may do this.
    pub fn may(&self, right: u8) -> bool {
        self.rights & right != 0
    }
}

impl RelayDocument {
    /// Which record's hash is to be looked up before a device that was there can go on, if one is.
    pub fn asks_for(&self, resume: &Resume) -> Option<u64> {
        let is_here = resume.log == self.log && resume.next > self.start;
        let is_inside = is_here && resume.next < self.durable && resume.last != BatchHash::NONE;
        is_inside.then(|| resume.next - 1)
    }

    /// Opens the document for a device. `before` is the hash of the record that it [asked for](Self::asks_for).
    pub fn open(
        &mut self,
        session: &Session,
        (resume, before): (Option<Resume>, Option<RecordHash>),
        replicas: &[ReplicaId],
        (terms, now_ms): (&Terms, u64),
    ) -> OpenDocument {
        let start = self.start_of(resume, before);
        let current = self.fold.snapshots.last().copied();
        let next = match (start, resume) {
            (Start::Resumed, Some(resume)) => resume.next,
            _ => current.map_or(self.start, |placed| placed.info.offset),
        };
        // Who names no replica only looks.
        if session.may(WRITE) && !replicas.is_empty() {
            self.renew(session.device, next, (terms, now_ms));
        }
        let heads = replicas.iter().filter_map(|id| Some((*id, self.fold.chains.get(id)?.head)));
        OpenDocument {
            log: self.log,
            start,
            next,
            tail: self.durable,
            snapshot: current.map(|placed| (placed.info, placed.signature)),
            heads: if session.may(READ | WRITE) { heads.collect() } else { Vec::new() },
            sealing: self.fold.sealing,
            rights: session.rights,
            lease_ms: terms.lease_ms,
            lost_ms: self.lost_ms,
        }
    }

    fn start_of(&self, resume: Option<Resume>, before: Option<RecordHash>) -> Start {
        let nothing = |it: &Resume| it.next == 0 && it.log != self.log;
        let Some(resume) = resume.filter(|it| !nothing(it)) else { return Start::Snapshot };
        let compacted = &self.fold.compacted;
        if !self.is_continued_by(&resume, before) {
            // Who was away while the log was compacted is forgotten; a compaction that both lived through says nothing.
            let since = self.lost_ms > 0 && compacted.end > self.life_from.unwrap_or(u64::MAX);
            // Offsets of another log say nothing here.
            let forgotten = since || resume.log == self.log && resume.next < compacted.stable;
            return if forgotten { Start::Expired } else { Start::Lost };
        }
        if resume.next < compacted.stable {
            Start::Expired
        } else if resume.next < self.start {
            Start::Snapshot
        } else {
            Start::Resumed
        }
    }

    fn is_continued_by(&self, resume: &Resume, before: Option<RecordHash>) -> bool {
        if resume.log != self.log || resume.next > self.durable {
            return false;
        }
        let unknown = resume.last == BatchHash::NONE || resume.next <= self.start;
        let before = if resume.next == self.durable { Some(self.last_durable()) } else { before };
        unknown || before.is_none_or(|before| before == resume.last)
    }

    /// Judges a record that was pushed; one that may be appended counts at once.
    pub fn admit(
        &mut self,
        session: &Session,
        record: &Vetted<'_>,
        (terms, now_ms): (&Terms, u64),
    ) -> Verdict {
        let judged = match (&record.record, &record.batch) {
            (Record::Batch { device, sealing, .. }, Some((header, hash))) => {
                let by = Written { device, sealing: *sealing, header, hash: *hash };
                self.judge_batch(session, &by, (terms, now_ms))
            }
            (Record::Keys { epoch, .. }, _) => self.judge_keys(session, record, (*epoch, terms)),
            _ => Err(Refusal::Invalid("snapshots are offered, not pushed".to_owned())),
        };
        let full = self.bytes() + record.bytes.len() as u64 > terms.bytes_max;
        match judged {
            Err(refusal) => Verdict::Refused(record.refused(refusal)),
            Ok(Some(verdict)) => verdict,
            Ok(None) if full => Verdict::Refused(record.refused(Refusal::Quota(terms.again_ms))),
            Ok(None) => Verdict::Append(self.take(record)),
        }
    }

    fn judge_batch(
        &self,
        session: &Session,
        by: &Written<'_>,
        (terms, now_ms): (&Terms, u64),
    ) -> Result<Option<Verdict>, Refusal> {
        let Written { device, header, hash, .. } = *by;
        if !session.may(WRITE) {
            return Err(Refusal::Denied);
        }
        let chain = self.fold.chains.get(&header.replica);
        if chain.is_some_and(|chain| chain.device != *device) {
            return Err(Refusal::Forked);
        }
        let again = |offset| Ok(Some(Verdict::Again(header.replica, header.last(), offset)));
        match chain.map(|chain| chain.head).unwrap_or_default().judge(header, hash) {
            Admission::Duplicate => return again(chain.map_or(0, |chain| chain.offset)),
            Admission::Past => return self.find(header, hash).map_or(Err(Refusal::Forked), again),
            Admission::Forked => return Err(Refusal::Forked),
            _ if chain.is_some_and(|chain| chain.is_retired) => {
                return Err(Refusal::SnapshotRequired);
            }
            Admission::Gap(next) => return Err(Refusal::Expected(next)),
            Admission::Next => {}
        }
        self.check_sealing(by.sealing, terms)?;
        self.check_stamps(header, (terms, now_ms))?;
        if chain.is_none() && self.fold.chains.len() >= terms.replicas_max {
            return Err(Refusal::Quota(terms.again_ms));
        }
        Ok(None)
    }

    fn check_sealing(&self, sealing: Sealing, terms: &Terms) -> Result<(), Refusal> {
        let current = self.demanded(terms);
        // What was lost comes again as it was written.
        let is_former = self.lost_ms > 0 && sealing != Sealing::Plain && sealing < current;
        if is_former { Ok(()) } else { self.check_current(sealing, terms) }
    }

    fn check_current(&self, sealing: Sealing, terms: &Terms) -> Result<(), Refusal> {
        let current = self.demanded(terms);
        let fits = sealing == self.fold.sealing && sealing == current;
        if fits { Ok(()) } else { Err(Refusal::Epoch(current.epoch())) }
    }

    fn demanded(&self, terms: &Terms) -> Sealing {
        match self.fold.sealing {
            Sealing::Plain if terms.demand == Demand::Sealed => Sealing::Epoch(1),
            current => current,
        }
    }

    /// Nobody who compacted would see what is not later than the horizon; and all clocks follow what is admitted, so
    /// that the future is refused here.
    fn check_stamps(&self, header: &Header, (terms, now_ms): (&Terms, u64)) -> Result<(), Refusal> {
        if header.stamp_first <= self.fold.compacted.horizon {
            return Err(Refusal::SnapshotRequired);
        }
        let follows = Hlc(self.fold.newest.0.saturating_add(COUNTERS));
        let ahead = header.stamp_last.is_ahead(now_ms, terms.drift_ms);
        if ahead && header.stamp_last > follows { Err(Refusal::Drift(now_ms)) } else { Ok(()) }
    }

    fn judge_keys(
        &self,
        session: &Session,
        record: &Vetted<'_>,
        (epoch, terms): (u32, &Terms),
    ) -> Result<Option<Verdict>, Refusal> {
        let current = self.fold.sealing.epoch();
        if self.fold.keys == Some(record.hash) {
            return Ok(Some(Verdict::Known));
        }
        let may = session.may(ADMIN) || session.may(JOIN) && epoch == current;
        if !may || terms.demand == Demand::Plain {
            return Err(Refusal::Denied);
        }
        if epoch == current || epoch == current.saturating_add(1) {
            Ok(None)
        } else {
            Err(Refusal::Epoch(current))
        }
    }

    /// Judges a snapshot before its bytes come, and again when they are all there.
    ///
    /// # Errors
    /// The frame that says why not.
    pub fn judge_offer(
        &self,
        session: &Session,
        record: &Vetted<'_>,
        replaces: Option<SnapshotHash>,
        terms: &Terms,
    ) -> Result<SnapshotInfo, RelayFrame<'static>> {
        let Record::Snapshot { info, .. } = &record.record else {
            let text = "what is offered is no snapshot".to_owned();
            return Err(About::Frame(OFFER).refused(Refusal::Invalid(text)));
        };
        let judged = self.judge_snapshot(session, info, (replaces, terms));
        judged.map(|()| *info).map_err(|why| About::Frame(OFFER).refused(why))
    }

    fn judge_snapshot(
        &self,
        session: &Session,
        info: &SnapshotInfo,
        (replaces, terms): (Option<SnapshotHash>, &Terms),
    ) -> Result<(), Refusal> {
        let current = self.fold.snapshots.last().map(|placed| &placed.info);
        if !session.may(SNAPSHOT) || info.device != session.device {
            return Err(Refusal::Denied);
        }
        if replaces != current.map(|info| info.hash) {
            return Err(Refusal::Superseded(current.map(|info| info.hash)));
        }
        self.check_current(info.sealing, terms)?;
        let from = current.map_or(self.start, |info| info.offset);
        if info.bytes == 0 || !(from..=self.durable).contains(&info.offset) {
            let text = format!("a snapshot reaches from {from} to {}", self.durable);
            return Err(Refusal::Invalid(text));
        }
        if info.bytes > terms.snapshot_bytes_max {
            return Err(Refusal::Quota(terms.again_ms));
        }
        Ok(())
    }

    /// Puts a snapshot in place whose bytes are durable: its record goes to this offset.
    ///
    /// # Errors
    /// The frame that says why not: another one came before.
    pub fn place(
        &mut self,
        session: &Session,
        record: &Vetted<'_>,
        replaces: Option<SnapshotHash>,
        terms: &Terms,
    ) -> Result<u64, RelayFrame<'static>> {
        self.judge_offer(session, record, replaces, terms)?;
        Ok(self.take(record))
    }
}

/// A batch, as far as the relay looks at it.
struct Written<'a> {
    device: &'a DeviceId,
    sealing: Sealing,
    header: &'a Header,
    hash: BatchHash,
}
