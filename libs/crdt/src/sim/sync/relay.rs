//! The relay: its machine, a log that is synced now and then, snapshots, and backups.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::keys::SimTrust;
use crate::session::{
    DocumentId, Limits, LogId, Record, RecordHash, Refusal, SnapshotHash, SnapshotInfo,
    relay::{Answer, Asked, Opening, RelayConnection, RelayDocument, Terms, Verdict, Vetted, Want},
};

type Bytes = Arc<[u8]>;

/// A relay of some documents.
#[derive(Clone)]
pub(super) struct Relay {
    pub hosted: BTreeMap<DocumentId, Hosted>,
    pub connections: BTreeMap<u64, RelayConnection<Bytes>>,
    uploads: BTreeMap<(u64, u32), Upload>,
    channels: BTreeMap<(u64, u32), DocumentId>,
    pub terms: Terms,
    pub expired: u64,
    /// How much later it says that it is, on which connections.
    pub lies: BTreeMap<u64, u64>,
    sessions: u64,
}

/// A document with its log; the record at offset `start` is the first of it.
#[derive(Clone)]
pub(super) struct Hosted {
    pub document: RelayDocument,
    start: u64,
    records: Vec<Bytes>,
    blobs: BTreeMap<SnapshotHash, Bytes>,
    /// Who hears what when the record at this offset is durable.
    waiting: Vec<(u64, (u64, u32), Answer)>,
}

/// A document as it was once.
#[derive(Clone)]
pub(super) struct Backup {
    checkpoint: Vec<u8>,
    start: u64,
    records: Vec<Bytes>,
    blobs: BTreeMap<SnapshotHash, Bytes>,
}

#[derive(Clone)]
struct Upload {
    record: Vec<u8>,
    replaces: Option<SnapshotHash>,
    info: SnapshotInfo,
    bytes: Vec<u8>,
}

impl Hosted {
    pub fn new(name: &DocumentId, log: LogId) -> Self {
        Hosted {
            document: RelayDocument::new(name.clone(), log, 0),
            start: 0,
            records: Vec::new(),
            blobs: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    pub fn durable(&self) -> &[Bytes] {
        &self.records[..(self.document.durable() - self.start) as usize]
    }

    pub fn blob(&self, hash: &SnapshotHash) -> Option<&[u8]> {
        self.blobs.get(hash).map(|blob| &**blob)
    }

    fn record(&self, offset: u64) -> Option<&Bytes> {
        self.records.get(usize::try_from(offset.checked_sub(self.start)?).ok()?)
    }

    pub fn backup(&mut self) -> Option<Backup> {
        let checkpoint = self.document.checkpoint()?.bytes;
        let (start, records, blobs) = (self.start, self.durable().to_vec(), self.blobs.clone());
        Some(Backup { checkpoint, start, records, blobs })
    }

    pub fn restored(name: &DocumentId, backup: &Backup, (log, lost_ms): (LogId, u64)) -> Self {
        let document = RelayDocument::restore(name.clone(), (log, lost_ms), &backup.checkpoint);
        let mut document = document.expect("a checkpoint is read as it was written");
        document.loaded();
        Hosted {
            document,
            start: backup.start,
            records: backup.records.clone(),
            blobs: backup.blobs.clone(),
            waiting: Vec::new(),
        }
    }

    /// Cuts off what lies before the current snapshot.
    pub fn trim(&mut self) {
        let Some(to) = self.document.durable_snapshot().map(|placed| placed.info.offset) else {
            return;
        };
        if to > self.start {
            self.records.drain(..(to - self.start) as usize);
            self.start = to;
            self.document.trimmed(to);
        }
        let kept: Vec<SnapshotHash> =
            self.document.snapshots().iter().map(|placed| placed.info.hash).collect();
        self.blobs.retain(|hash, _| kept.contains(hash));
    }
}

impl Relay {
    pub fn new(terms: Terms) -> Self {
        Relay {
            hosted: BTreeMap::new(),
            connections: BTreeMap::new(),
            uploads: BTreeMap::new(),
            channels: BTreeMap::new(),
            terms,
            expired: 0,
            lies: BTreeMap::new(),
            sessions: 0,
        }
    }

    /// What it keeps, and who waits for an answer; not what its machines are.
    pub fn hash(&self, state: &mut impl Hasher) {
        for hosted in self.hosted.values() {
            (hosted.start, &hosted.records, &hosted.blobs.len()).hash(state);
            hosted.waiting.iter().for_each(|(offset, at, _)| (offset, at).hash(state));
        }
        self.channels.hash(state);
        self.uploads.iter().for_each(|(at, upload)| (at, &upload.bytes).hash(state));
    }

    pub fn connect(&mut self, id: u64, challenge: [u8; 16], credit: u32) {
        let limits = Limits { credit, ..Limits::default() };
        self.connections.insert(id, RelayConnection::new(challenge, limits));
    }

    pub fn disconnect(&mut self, id: u64) {
        self.connections.remove(&id);
        self.lies.remove(&id);
        self.channels.retain(|(connection, _), _| *connection != id);
        self.uploads.retain(|(connection, _), _| *connection != id);
    }

    /// Everything that is not durable is gone, and every connection.
    pub fn crash(&mut self) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.disconnect(id));
        for hosted in self.hosted.values_mut() {
            hosted.document.take_back();
            hosted.records.truncate((hosted.document.durable() - hosted.start) as usize);
            hosted.waiting.clear();
        }
    }

    /// Takes a message; returns whether the connection goes on.
    pub fn receive(&mut self, id: u64, message: &[u8], now_ms: u64) -> bool {
        let Some(mut connection) = self.connections.remove(&id) else { return false };
        let asked = connection.receive(message, now_ms.saturating_add(self.lie_ms(id)));
        let paid = matches!(asked, Asked::Push(..) | Asked::Offer(..) | Asked::Piece(..));
        let over = asked == Asked::Over;
        self.answer((id, &mut connection), asked, now_ms);
        if paid {
            connection.settle(message.len());
        }
        self.connections.insert(id, connection);
        !over
    }

    fn answer(
        &mut self,
        (id, connection): (u64, &mut RelayConnection<Bytes>),
        asked: Asked<'_>,
        now_ms: u64,
    ) {
        match asked {
            Asked::Open(opening) => self.open((id, connection), &opening, now_ms),
            Asked::Push(channel, record) => {
                self.push((id, connection, channel), record, now_ms);
            }
            Asked::Saw(channel, next) => {
                if let Some(hosted) = self.hosted(id, channel)
                    && let Some(session) = connection.session(channel)
                {
                    hosted.document.saw(&session, next, now_ms);
                }
            }
            Asked::Offer(channel, record, replaces) => {
                self.offer((id, connection, channel), record, replaces);
            }
            Asked::Piece(channel, from, bytes) => {
                self.piece((id, connection, channel), from, bytes);
            }
            Asked::Fetch(channel, snapshot, from) => {
                let Some(hosted) = self.hosted(id, channel) else { return };
                match hosted.blobs.get(&snapshot) {
                    Some(blob) => connection.fetching(channel, snapshot, (from, blob.len() as u64)),
                    None => connection.fetch_failed(channel, Refusal::Superseded(None)),
                }
            }
            Asked::Presence(..)
            | Asked::Token(..)
            | Asked::Wake(..)
            | Asked::Nothing
            | Asked::Over => {}
        }
    }

    fn lie_ms(&self, id: u64) -> u64 {
        self.lies.get(&id).copied().unwrap_or_default()
    }

    fn hosted(&mut self, id: u64, channel: u32) -> Option<&mut Hosted> {
        let name = self.channels.get(&(id, channel))?;
        self.hosted.get_mut(name)
    }

    fn open(
        &mut self,
        (id, connection): (u64, &mut RelayConnection<Bytes>),
        opening: &Opening<'_>,
        now_ms: u64,
    ) {
        let channel = opening.channel;
        let grant =
            connection.verify(channel, (opening.token, &opening.proof), (&SimTrust, now_ms));
        let grant = grant.expect("devices have tokens");
        self.channels.insert((id, channel), opening.document.clone());
        // What the heads say is durable.
        self.sync_with(&opening.document, Some((id, connection)));
        let device = connection.device().expect("it said hello");
        let session = crate::session::relay::Session { device, rights: grant.rights };
        let (terms, lie_ms) = (self.terms.clone(), self.lie_ms(id));
        let Some(hosted) = self.hosted.get_mut(&opening.document) else { return };
        let before = opening.resume.and_then(|resume| hosted.document.asks_for(&resume));
        let before = before.and_then(|offset| hosted.record(offset)).map(|it| RecordHash::of(it));
        let resume = (opening.resume, before);
        let mut opened =
            hosted.document.open(&session, resume, &opening.replicas, (&terms, now_ms));
        if lie_ms > 0 {
            opened.lost_ms = now_ms.saturating_add(lie_ms);
        }
        self.expired += u64::from(opened.start == crate::session::Start::Expired);
        self.sessions += 1;
        connection.opened(channel, (self.sessions, grant), opened);
    }

    fn push(
        &mut self,
        (id, connection, channel): (u64, &mut RelayConnection<Bytes>, u32),
        record: &[u8],
        now_ms: u64,
    ) {
        let terms = self.terms.clone();
        let Some(session) = connection.session(channel) else { return };
        let Some(hosted) = self.hosted(id, channel) else { return };
        let vetted = match Vetted::judge(record, hosted.document.id(), &SimTrust, None) {
            Ok(vetted) => vetted,
            Err(frame) => return connection.answer(channel, Answer::Frame(frame)),
        };
        match hosted.document.admit(&session, &vetted, (&terms, now_ms)) {
            Verdict::Append(offset) => {
                hosted.records.push(record.into());
                if let Record::Batch { batch, .. } = vetted.record() {
                    let header = crate::Header::read(batch).expect("it was vetted").0;
                    let answer = Answer::Ack(header.replica, header.last(), offset);
                    hosted.waiting.push((offset, (id, channel), answer));
                }
            }
            Verdict::Again(replica, seq, offset) => {
                let answer = Answer::Ack(replica, seq, offset);
                if offset < hosted.document.durable() {
                    connection.answer(channel, answer);
                } else {
                    hosted.waiting.push((offset, (id, channel), answer));
                }
            }
            Verdict::Known => {}
            Verdict::Refused(frame) => connection.answer(channel, Answer::Frame(frame)),
        }
    }

    fn offer(
        &mut self,
        (id, connection, channel): (u64, &mut RelayConnection<Bytes>, u32),
        record: &[u8],
        replaces: Option<SnapshotHash>,
    ) {
        let terms = self.terms.clone();
        let Some(session) = connection.session(channel) else { return };
        let Some(hosted) = self.hosted(id, channel) else { return };
        let vetted = Vetted::judge(record, hosted.document.id(), &SimTrust, None);
        let judged =
            vetted.and_then(|it| hosted.document.judge_offer(&session, &it, replaces, &terms));
        match judged {
            Ok(info) => {
                let upload = Upload { record: record.to_vec(), replaces, info, bytes: Vec::new() };
                self.uploads.insert((id, channel), upload);
            }
            Err(frame) => {
                // An earlier one, of which pieces are there, was given up by its device.
                self.uploads.remove(&(id, channel));
                connection.say(channel, &frame);
            }
        }
    }

    fn piece(
        &mut self,
        (id, connection, channel): (u64, &mut RelayConnection<Bytes>, u32),
        from: u64,
        bytes: &[u8],
    ) {
        let Some(upload) = self.uploads.get_mut(&(id, channel)) else { return };
        assert_eq!(from, upload.bytes.len() as u64, "pieces come in order");
        upload.bytes.extend_from_slice(bytes);
        if (upload.bytes.len() as u64) < upload.info.bytes {
            return;
        }
        let Some(upload) = self.uploads.remove(&(id, channel)) else { return };
        assert_eq!(SnapshotHash::of(&upload.bytes), upload.info.hash, "a snapshot has its hash");
        let terms = self.terms.clone();
        let Some(session) = connection.session(channel) else { return };
        let Some(hosted) = self.hosted(id, channel) else { return };
        let vetted = Vetted::judge(&upload.record, hosted.document.id(), &SimTrust, None)
            .expect("it was vetted before");
        match hosted.document.place(&session, &vetted, upload.replaces, &terms) {
            Ok(_) => {
                hosted.blobs.insert(upload.info.hash, upload.bytes.into());
                hosted.records.push(upload.record.into());
            }
            Err(frame) => connection.say(channel, &frame),
        }
    }

    /// Makes everything durable, and tells everybody. Returns records that were not durable before.
    pub fn sync(&mut self) -> Vec<(DocumentId, Bytes)> {
        let names: Vec<DocumentId> = self.hosted.keys().cloned().collect();
        names.iter().flat_map(|name| self.sync_with(name, None)).collect()
    }

    fn sync_with(
        &mut self,
        name: &DocumentId,
        mut busy: Option<(u64, &mut RelayConnection<Bytes>)>,
    ) -> Vec<(DocumentId, Bytes)> {
        let Some(hosted) = self.hosted.get_mut(name) else { return Vec::new() };
        let mut synced = Vec::new();
        while hosted.document.durable() < hosted.document.tail() {
            let offset = hosted.document.durable();
            let record = hosted.record(offset).expect("what is admitted is in the log").clone();
            hosted.document.commit();
            let answers: Vec<_> = hosted.waiting.extract_if(.., |(at, ..)| *at == offset).collect();
            let readers = self.channels.iter().filter(|(_, document)| *document == name);
            for ((id, channel), _) in readers {
                let connection = match &mut busy {
                    Some((busy, connection)) if busy == id => &mut **connection,
                    _ => match self.connections.get_mut(id) {
                        Some(connection) => connection,
                        None => continue,
                    },
                };
                let mut own = answers.iter().filter(|(_, at, _)| at == &(*id, *channel));
                let first = own.next().map(|(_, _, answer)| answer.clone());
                connection.deliver(*channel, (offset, &record), first);
                own.for_each(|(_, _, answer)| connection.answer(*channel, answer.clone()));
            }
            synced.push((name.clone(), record));
        }
        synced
    }

    /// What goes out on a connection next.
    pub fn pop(&mut self, id: u64) -> Option<Vec<u8>> {
        self.serve(id);
        let mut head = Vec::new();
        let rest = self.connections.get_mut(&id)?.pop(&mut head)?;
        head.extend_from_slice(rest.as_deref().unwrap_or_default());
        Some(head)
    }

    /// Reads from the disk what a connection wants.
    fn serve(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for _ in 0..64 {
            let Some(want) = connection.wants() else { return };
            match want {
                Want::Records { channel, from, .. } => {
                    let Some(name) = self.channels.get(&(id, channel)) else { return };
                    let hosted = &self.hosted[name];
                    if from >= hosted.document.durable() {
                        connection.caught_up(channel, hosted.document.durable());
                    } else if let Some(record) = hosted.record(from) {
                        connection.supply(channel, (from, record.clone()));
                    } else {
                        // It was cut off while it was read.
                        connection.close(channel, crate::session::CloseReason::Unavailable, None);
                        self.channels.remove(&(id, channel));
                        return;
                    }
                }
                // Documents of stories have no keys.
                Want::Keys { channel, .. } => connection.keys_end(channel),
                Want::Piece { channel, snapshot, from, bytes } => {
                    let Some(name) = self.channels.get(&(id, channel)) else { return };
                    let Some(blob) = self.hosted[name].blobs.get(&snapshot) else {
                        connection.fetch_failed(channel, Refusal::Superseded(None));
                        continue;
                    };
                    let end = blob.len().min(from as usize + bytes);
                    let piece = blob[from as usize..end].into();
                    connection.supply_piece(channel, snapshot, (from, piece));
                }
            }
        }
    }

    pub fn compact(&mut self, name: &DocumentId, now_ms: u64) -> bool {
        let terms = self.terms.clone();
        let Some(hosted) = self.hosted.get_mut(name) else { return false };
        let record = hosted.document.compact(&terms, now_ms);
        let done = record.is_some();
        hosted.records.extend(record.map(Into::into));
        done
    }
}
