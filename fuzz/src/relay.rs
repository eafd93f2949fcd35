//! A relay that hears a device say anything: what it decides, what it keeps, what it says.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_crdt::{
    Header,
    session::{
        CloseReason, DeviceId, DocumentId, Limits, LogId, NONCE_BYTES, Record, RecordHash, Refusal,
        RelayFrame, Signature, SnapshotHash, SnapshotInfo,
        relay::{
            Answer, Asked, Grant, Opening, RelayConnection, RelayDocument, Session, Terms, Trust,
            Verdict, Vetted, Want,
        },
    },
};

type Bytes = Arc<[u8]>;

/// Where a message's length ends and what happens before it begins.
const LENGTH_BITS: u32 = 13;
/// What is not durable is made so.
const SYNC: u16 = 1;
/// What is not durable is lost.
const LOSE: u16 = 2;
/// The relay compacts, and cuts off what nobody needs.
const COMPACT: u16 = 4;

/// Documents that a relay takes here.
const DOCUMENTS_MAX: usize = 4;
/// Messages that a relay says in one go.
const MESSAGES_MAX: usize = 1_000;
/// Bytes of a snapshot.
const SNAPSHOT_BYTES_MAX: u64 = 8 << 10;

/// Whatever a device says, a relay goes on: what it says can be read, and what it keeps is what it decided.
///
/// Each message stands behind two bytes, little-endian: thirteen bits of its length, and whether before it everything
/// becomes durable, what is not durable is lost, or the relay compacts.
pub fn session_relay(mut bytes: &[u8]) {
    let mut relay = Relay::new();
    for now_ms in (100_000..).step_by(700).take(200) {
        let Some((head, rest)) = bytes.split_first_chunk() else { break };
        let head = u16::from_le_bytes(*head);
        relay.between(head >> LENGTH_BITS, now_ms);
        let len = usize::from(head & ((1 << LENGTH_BITS) - 1)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        relay.receive(message, now_ms);
        relay.speak();
        bytes = rest;
    }
    relay.documents.values().for_each(Hosted::check);
}

struct Relay {
    connection: RelayConnection<Bytes>,
    documents: BTreeMap<DocumentId, Hosted>,
    channels: BTreeMap<u32, DocumentId>,
    upload: Option<Upload>,
    terms: Terms,
    sessions: u64,
}

/// A document with its log, from offset `start` on.
struct Hosted {
    document: RelayDocument,
    start: u64,
    records: Vec<Bytes>,
    blobs: BTreeMap<SnapshotHash, Bytes>,
    /// Who hears what when the record at this offset is durable.
    waiting: Vec<(u64, u32, Answer)>,
}

struct Upload {
    channel: u32,
    record: Vec<u8>,
    replaces: Option<SnapshotHash>,
    info: SnapshotInfo,
    bytes: Vec<u8>,
}

impl Relay {
    fn new() -> Self {
        let terms = Terms {
            lease_ms: 30_000,
            compact_records: 2,
            bytes_max: 64 << 10,
            snapshot_bytes_max: SNAPSHOT_BYTES_MAX,
            replicas_max: 8,
            ..Terms::default()
        };
        let limits = Limits { channels: 4, ..Limits::default() };
        Relay {
            connection: RelayConnection::new([7; NONCE_BYTES], limits),
            documents: BTreeMap::new(),
            channels: BTreeMap::new(),
            upload: None,
            terms,
            sessions: 0,
        }
    }

    fn between(&mut self, what: u16, now_ms: u64) {
        if what & LOSE != 0 {
            self.documents.values_mut().for_each(Hosted::lose);
        }
        if what & SYNC != 0 {
            self.sync();
        }
        if what & COMPACT != 0 {
            for hosted in self.documents.values_mut() {
                let record = hosted.document.compact(&self.terms, now_ms);
                hosted.records.extend(record.map(Into::into));
                hosted.trim();
            }
        }
    }

    fn sync(&mut self) {
        for (name, hosted) in &mut self.documents {
            while hosted.document.durable() < hosted.document.tail() {
                let offset = hosted.document.durable();
                let record = hosted.record(offset).expect("what was admitted is there").clone();
                hosted.document.commit();
                let answers: Vec<_> =
                    hosted.waiting.extract_if(.., |(at, ..)| *at == offset).collect();
                let readers = self.channels.iter().filter(|(_, of)| *of == name);
                for (channel, _) in readers {
                    let mut own = answers.iter().filter(|(_, at, _)| at == channel);
                    let first = own.next().map(|(.., answer)| answer.clone());
                    self.connection.deliver(*channel, (offset, &record), first);
                    own.for_each(|(.., answer)| self.connection.answer(*channel, answer.clone()));
                }
            }
        }
    }

    fn receive(&mut self, message: &[u8], now_ms: u64) {
        match self.connection.receive(message, now_ms) {
            Asked::Open(opening) => self.open(&opening, now_ms),
            Asked::Push(channel, record) => {
                self.push(channel, record, now_ms);
                self.connection.settle(message.len());
            }
            Asked::Saw(channel, next) => {
                if let Some((hosted, session)) = self.find(channel) {
                    hosted.document.saw(&session, next, now_ms);
                }
            }
            Asked::Offer(channel, record, replaces) => {
                self.offer(channel, record, replaces);
                self.connection.settle(message.len());
            }
            Asked::Piece(channel, from, bytes) => {
                self.piece(channel, from, bytes);
                self.connection.settle(message.len());
            }
            Asked::Fetch(channel, snapshot, from) => self.fetch(channel, snapshot, from),
            Asked::Presence(channel, state) => {
                let shown = (!state.is_empty()).then(|| state.into());
                self.connection.show(channel, u64::MAX, shown);
            }
            Asked::Token(channel, token, proof) => {
                let asked = (token, &proof);
                match self.connection.verify(channel, asked, (&Believing, now_ms)) {
                    Some(grant) => self.connection.renewed(channel, grant),
                    None => self.connection.close(channel, CloseReason::Denied, None),
                }
            }
            Asked::Wake(..) | Asked::Nothing | Asked::Over => {}
        }
        self.connection.expire(now_ms);
        for channel in self.connection.take_closed() {
            self.channels.remove(&channel);
        }
    }

    fn find(&mut self, channel: u32) -> Option<(&mut Hosted, Session)> {
        let session = self.connection.session(channel)?;
        let hosted = self.documents.get_mut(self.channels.get(&channel)?)?;
        Some((hosted, session))
    }

    fn open(&mut self, opening: &Opening<'_>, now_ms: u64) {
        let Opening { channel, document: name, token, proof, resume, replicas } = opening;
        let grant = self.connection.verify(*channel, (token, proof), (&Believing, now_ms));
        let known = self.documents.contains_key(name);
        let Some(grant) = grant.filter(|_| known || self.documents.len() < DOCUMENTS_MAX) else {
            return self.connection.close(*channel, CloseReason::Denied, None);
        };
        self.documents.entry(name.clone()).or_insert_with(|| Hosted::new(name));
        // What the heads say is durable.
        self.sync();
        let hosted = self.documents.get_mut(name).expect("it was put there");
        let device = self.connection.device().expect("it said hello before it opened");
        let session = Session { device, rights: grant.rights };
        let asked = resume.and_then(|resume| hosted.document.asks_for(&resume));
        let before = asked.map(|at| hosted.record(at).expect("it asks for what there is"));
        let resume = (*resume, before.map(|record| RecordHash::of(record)));
        let opened = hosted.document.open(&session, resume, replicas, (&self.terms, now_ms));
        assert!(opened.next <= opened.tail, "it goes on where something is, or will be");
        self.channels.insert(*channel, name.clone());
        self.sessions += 1;
        self.connection.opened(*channel, (self.sessions, grant), opened);
    }

    fn push(&mut self, channel: u32, record: &[u8], now_ms: u64) {
        let terms = self.terms.clone();
        let Some((hosted, session)) = self.find(channel) else { return };
        let vetted = match Vetted::judge(record, hosted.document.id(), &Believing, None) {
            Ok(vetted) => vetted,
            Err(frame) => return self.connection.answer(channel, Answer::Frame(frame)),
        };
        match hosted.document.admit(&session, &vetted, (&terms, now_ms)) {
            Verdict::Append(offset) => {
                hosted.append(offset, record);
                if let Record::Batch { batch, .. } = vetted.record() {
                    let header = Header::read(batch).expect("it was vetted").0;
                    let answer = Answer::Ack(header.replica, header.last(), offset);
                    hosted.waiting.push((offset, channel, answer));
                }
                assert!(hosted.document.bytes() <= terms.bytes_max, "there is a bound");
            }
            Verdict::Again(replica, seq, offset) => {
                let answer = Answer::Ack(replica, seq, offset);
                if offset < hosted.document.durable() {
                    self.connection.answer(channel, answer);
                } else {
                    hosted.waiting.push((offset, channel, answer));
                }
            }
            Verdict::Known => {}
            Verdict::Refused(frame) => self.connection.answer(channel, Answer::Frame(frame)),
        }
    }

    fn offer(&mut self, channel: u32, record: &[u8], replaces: Option<SnapshotHash>) {
        let terms = self.terms.clone();
        let Some((hosted, session)) = self.find(channel) else { return };
        let judged = Vetted::judge(record, hosted.document.id(), &Believing, None)
            .and_then(|it| hosted.document.judge_offer(&session, &it, replaces, &terms));
        match judged {
            Ok(info) => {
                let (record, bytes) = (record.to_vec(), Vec::new());
                self.upload = Some(Upload { channel, record, replaces, info, bytes });
            }
            Err(frame) => self.connection.say(channel, &frame),
        }
    }

    fn piece(&mut self, channel: u32, from: u64, bytes: &[u8]) {
        let Some(mut upload) = self.upload.take_if(|it| it.channel == channel) else { return };
        let left = upload.info.bytes - upload.bytes.len() as u64;
        if from != upload.bytes.len() as u64 || bytes.len() as u64 > left {
            return;
        }
        upload.bytes.extend_from_slice(bytes);
        if upload.bytes.len() as u64 == upload.info.bytes {
            self.place(upload);
        } else {
            self.upload = Some(upload);
        }
    }

    fn place(&mut self, upload: Upload) {
        let Upload { channel, record, replaces, info, bytes } = upload;
        let terms = self.terms.clone();
        let Some((hosted, session)) = self.find(channel) else { return };
        let vetted = Vetted::judge(&record, hosted.document.id(), &Believing, None);
        let vetted = vetted.expect("it was vetted before");
        if SnapshotHash::of(&bytes) != info.hash {
            return;
        }
        match hosted.document.place(&session, &vetted, replaces, &terms) {
            Ok(offset) => {
                hosted.append(offset, &record);
                hosted.blobs.insert(info.hash, bytes.into());
            }
            Err(frame) => self.connection.say(channel, &frame),
        }
    }

    fn fetch(&mut self, channel: u32, snapshot: SnapshotHash, from: u64) {
        let Some((hosted, _)) = self.find(channel) else { return };
        match hosted.blobs.get(&snapshot).map(|blob| blob.len() as u64) {
            Some(bytes) => self.connection.fetching(channel, snapshot, (from, bytes)),
            None => self.connection.fetch_failed(channel, Refusal::Superseded(None)),
        }
    }

    /// Says what there is to say; a device can read all of it.
    fn speak(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while messages.len() < MESSAGES_MAX {
            self.serve();
            let mut message = Vec::new();
            let Some(rest) = self.connection.pop(&mut message) else { break };
            message.extend_from_slice(rest.as_deref().unwrap_or_default());
            RelayFrame::read(&message).expect("a relay says what can be read");
            messages.push(message);
        }
        messages
    }

    /// Reads from the log what is wanted.
    fn serve(&mut self) {
        for _ in 0..64 {
            match self.connection.wants() {
                None => return,
                Some(Want::Keys { channel, .. }) => self.connection.keys_end(channel),
                Some(Want::Records { channel, from, .. }) => {
                    let hosted = &self.documents[&self.channels[&channel]];
                    let durable = hosted.document.durable();
                    match hosted.record(from).filter(|_| from < durable) {
                        Some(record) => self.connection.supply(channel, (from, record.clone())),
                        None if self.connection.caught_up(channel, durable) => {}
                        None => self.connection.close(channel, CloseReason::Unavailable, None),
                    }
                }
                Some(Want::Piece { channel, snapshot, from, bytes }) => {
                    let hosted = &self.documents[&self.channels[&channel]];
                    let Some(blob) = hosted.blobs.get(&snapshot) else {
                        self.connection.fetch_failed(channel, Refusal::Superseded(None));
                        continue;
                    };
                    let from_here = usize::try_from(from).expect("it is within the snapshot");
                    let piece = blob[from_here..from_here + bytes].into();
                    self.connection.supply_piece(channel, snapshot, (from, piece));
                }
            }
            for channel in self.connection.take_closed() {
                self.channels.remove(&channel);
            }
        }
    }
}

impl Hosted {
    fn new(name: &DocumentId) -> Self {
        Hosted {
            document: RelayDocument::new(name.clone(), LogId([2; 16]), 0),
            start: 0,
            records: Vec::new(),
            blobs: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    fn record(&self, offset: u64) -> Option<&Bytes> {
        self.records.get(usize::try_from(offset.checked_sub(self.start)?).ok()?)
    }

    fn append(&mut self, offset: u64, record: &[u8]) {
        assert_eq!(offset, self.start + self.records.len() as u64, "records have no gap");
        self.records.push(record.into());
    }

    fn lose(&mut self) {
        let before = self.document.checkpoint();
        self.document.take_back();
        assert_eq!(self.document.checkpoint(), before, "a checkpoint says what is durable");
        self.records.truncate((self.document.durable() - self.start) as usize);
        self.waiting.clear();
    }

    fn trim(&mut self) {
        let Some(to) = self.document.durable_snapshot().map(|placed| placed.info.offset) else {
            return;
        };
        if to > self.start {
            self.records.drain(..(to - self.start) as usize);
            self.start = to;
            self.document.trimmed(to);
        }
    }

    /// What is kept is read again, as bytes and record by record.
    fn check(&self) {
        let id = self.document.id().clone();
        let checkpoint = self.document.checkpoint().expect("nothing was lost before it began");
        let again = RelayDocument::restore(id, (LogId([2; 16]), 0), &checkpoint.bytes);
        let mut again = again.expect("a checkpoint is read as it was written");
        assert_eq!(again.checkpoint().as_ref(), Some(&checkpoint), "it is the same again");
        let durable = self.document.durable();
        for record in &self.records[(durable - self.start) as usize..] {
            again.replay(record).expect("what was admitted can be read");
        }
        assert_eq!(again.tail(), self.document.tail());
        assert_eq!(again.snapshots(), self.document.snapshots());
        assert_eq!(again.sealing(), self.document.sealing());
        assert_eq!(again.replicas(), self.document.replicas());
    }
}

/// Believes every other signature, and every token: its first letter says what it gives.
struct Believing;

impl Trust for Believing {
    fn grant(&self, _: &DocumentId, _: &DeviceId, token: &str, now_ms: u64) -> Option<Grant> {
        let rights = *token.as_bytes().first()? & 0x1f;
        let expires_ms = now_ms + 1_000 * token.len() as u64;
        Some(Grant { rights, expires_ms, id: token.to_owned() })
    }

    fn is_proven(
        &self,
        _: &[u8; NONCE_BYTES],
        _: &DocumentId,
        _: &DeviceId,
        (_, proof): (&str, &Signature),
    ) -> bool {
        proof.0[0] & 1 == 0
    }

    fn is_signed(&self, _: &DocumentId, record: &Record<'_>) -> bool {
        record.signature().is_none_or(|(_, signature)| signature.0[0] & 1 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Device;

    #[test]
    fn a_device_of_ours_is_understood() {
        let (mut relay, mut device) = (Relay::new(), Device::new());
        for now_ms in (100_000..).step_by(700).take(40) {
            relay.between(SYNC, now_ms);
            for message in device.drive(now_ms) {
                relay.receive(&message, now_ms);
            }
            for message in relay.speak() {
                device.hear(now_ms, &message);
            }
        }
        let hosted = relay.documents.values().next().expect("it was opened");
        assert!(hosted.document.durable() > 10, "{} records", hosted.document.durable());
        hosted.check();
        device.check();
    }
}
