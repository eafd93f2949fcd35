//! Our own session: the frames of `selvedge_crdt::session`, tokens and signatures of `selvedge_seal`.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use selvedge_crdt::{
    BatchHash, Document, ReplicaId, Writer,
    session::{CONNECTION, ClientFrame, DocumentId, RelayFrame, SUBPROTOCOL, Sealing, VERSION},
};
use selvedge_seal::{
    Device, Rights,
    token::{Capability, Documents, Holder, IssuerKey},
};

use crate::{
    Result,
    client::{Client, Heard, Mark, Opening, Update},
};

/// What the WebSocket is asked for.
pub const PROTOCOL: &str = SUBPROTOCOL;

/// The key that signs the load's tokens; it guards nothing.
const ISSUER: [u8; 32] = [7; 32];
const TENANT: &str = "bench";
/// The one document of a connection.
const CHANNEL: u32 = 1;
/// Bytes of records that may be sent to us; a quarter of it is given back at once, as our devices do.
const WINDOW_BYTES: u32 = 4 << 20;
/// Records after which we say what we have, as our devices do.
const SAW_RECORDS: u64 = 64;
const TOKEN_SECONDS: u64 = 3600;

/// The public half of the issuer's key, for the relay's config.
pub fn issuer() -> String {
    IssuerKey::from_seed(ISSUER).public().to_pem()
}

/// A client of the relay.
pub struct SelvedgeClient {
    name: DocumentId,
    device: Device,
    replica: ReplicaId,
    document: Document,
    writer: Writer,
    previous: BatchHash,
    /// The last operation of each batch that was not acknowledged.
    pushed: VecDeque<u64>,
    /// Bytes of records that were taken, and not given back.
    taken: u32,
    saw: u64,
    /// Whether it writes: its own records do not come back to it.
    writes: bool,
    /// The offset that comes next.
    next: u64,
    is_open: bool,
}

impl SelvedgeClient {
    pub fn new(opening: Opening<'_>) -> Result<Self> {
        let name = DocumentId::new(TENANT, opening.document).ok_or("this names no document")?;
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, opening.document, opening.client).hash(&mut hasher);
            hasher.finish().to_be_bytes()
        };
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8)
            .zip(0..)
            .for_each(|(part, salt)| part.copy_from_slice(&half(salt)));
        let mut id = [0; 16];
        id.copy_from_slice(&seed[..16]);
        let replica = ReplicaId(id);
        Ok(Self {
            name,
            device: Device::from_seed(seed),
            replica,
            document: Document::new(),
            writer: Writer::new(replica),
            previous: BatchHash::NONE,
            pushed: VecDeque::new(),
            taken: 0,
            saw: 0,
            writes: opening.writes,
            next: 0,
            is_open: false,
        })
    }

    fn open(&self, challenge: [u8; 16]) -> Result<Vec<u8>> {
        let capability = Capability {
            tenant: TENANT.into(),
            documents: Documents::One(self.name.name().into()),
            rights: Rights::READ | Rights::WRITE,
            holder: Holder::Key(self.device.id()),
            expires: now_ms() / 1000 + TOKEN_SECONDS,
            not_before: None,
            issued: None,
            id: format!("bench-{}", self.device.id()),
            subject: "bench".into(),
            link: None,
        };
        let token = IssuerKey::from_seed(ISSUER).mint(&capability);
        let token = token.map_err(|why| format!("no token: {why:?}"))?;
        let proof = self.device.prove(&challenge, &self.name, token.as_bytes());
        let (document, replicas) = (self.name.clone(), vec![self.replica]);
        let open = ClientFrame::Open { document, token: &token, proof, resume: None, replicas };
        Ok(open.to_bytes(CHANNEL))
    }

    /// Takes a record; what is to be said of it goes into the replies.
    fn take(&mut self, (offset, record): (u64, &[u8]), bytes: usize, heard: &mut Heard) -> Result {
        if offset != self.next && !self.writes {
            return Err(format!("record {offset} came, not {}", self.next).into());
        }
        self.next = offset + 1;
        heard.marks.extend(Mark::find_in(record));
        self.taken += bytes as u32;
        if self.taken >= WINDOW_BYTES / 4 {
            let credit = ClientFrame::Credit { bytes: std::mem::take(&mut self.taken) };
            heard.replies.push(credit.to_bytes(CONNECTION).into());
        }
        if offset + 1 >= self.saw + SAW_RECORDS {
            self.saw = offset + 1;
            heard.replies.push(ClientFrame::Saw { next: self.saw }.to_bytes(CHANNEL).into());
        }
        Ok(())
    }

    /// How many batches an acknowledgement is about.
    fn acknowledged(&mut self, seq: u64) -> usize {
        let count = self.pushed.iter().take_while(|last| **last <= seq).count();
        self.pushed.drain(..count);
        count
    }
}

impl Client for SelvedgeClient {
    fn greeting(&mut self) -> Result<Vec<Bytes>> {
        let (version, device, credit) = (VERSION, self.device.id(), WINDOW_BYTES);
        let hello = ClientFrame::Hello { version, device, credit };
        Ok(vec![hello.to_bytes(CONNECTION).into()])
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn hear(&mut self, message: &[u8]) -> Result<Heard> {
        let mut heard = Heard::default();
        match RelayFrame::read(message)?.1 {
            RelayFrame::Welcome { challenge, .. } => {
                heard.replies = vec![self.open(challenge)?.into()]
            }
            RelayFrame::Opened(opened) => (self.is_open, self.next) = (true, opened.next),
            RelayFrame::Record { offset, record } => {
                self.take((offset, record), message.len(), &mut heard)?;
            }
            RelayFrame::Ack { replica, seq, .. } if replica == self.replica => {
                heard.acknowledged = self.acknowledged(seq);
            }
            frame @ (RelayFrame::Refused { .. }
            | RelayFrame::Rejected { .. }
            | RelayFrame::Closed { .. }) => return Err(format!("the relay says {frame:?}").into()),
            _ => {}
        }
        Ok(heard)
    }

    fn write(&mut self, update: Update) -> Result<Bytes> {
        let mut edit = self.writer.edit(&mut self.document, now_ms());
        for (entity, field, value) in update.sets() {
            edit.set(&entity, &field, value.into())?;
        }
        drop(edit);
        let batch = self.writer.take_batch().ok_or("nothing was written")?;
        let bytes = batch.encode(self.previous);
        self.previous = BatchHash::of(&bytes);
        self.pushed.push_back(batch.first() + batch.len() as u64 - 1);
        let record = self.device.sign_batch(&self.name, Sealing::Plain, &bytes).to_bytes();
        Ok(ClientFrame::Push { record: &record }.to_bytes(CHANNEL).into())
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use selvedge_crdt::session::{ClientFrame, RelayFrame};

    use super::*;

    #[test]
    fn an_update_is_found_in_what_others_get() {
        let opening = Opening { document: "single-0", client: 3, writes: true };
        let (mut one, mut other) =
            (SelvedgeClient::new(opening).unwrap(), SelvedgeClient::new(opening).unwrap());
        let marks = [0, 1].map(|number| Mark { writer: 5, number });
        for mark in marks {
            let message = one.write(Update { mark, fields: 100 }).unwrap();
            let Ok((CHANNEL, ClientFrame::Push { record })) = ClientFrame::read(&message) else {
                panic!("this is no PUSH");
            };
            let record = RelayFrame::Record { offset: 0, record }.to_bytes(CHANNEL);
            assert_eq!(other.hear(&record).unwrap().marks, [mark]);
        }
        let replica = one.replica;
        let mut ack = |seq| {
            let ack = RelayFrame::Ack { replica, seq, offset: 0 }.to_bytes(CHANNEL);
            one.hear(&ack).unwrap().acknowledged
        };
        assert_eq!([ack(99), ack(100), ack(200), ack(200)], [0, 1, 1, 0]);
    }
}
