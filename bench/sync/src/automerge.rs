//! automerge-repo: messages of CBOR, in which Automerge's sync messages travel.

use std::hash::{DefaultHasher, Hash, Hasher};

use automerge::{
    AutoCommit, Change, ChangeHash, ROOT, ScalarValue,
    sync::{BloomFilter, ChunkList, Have, Message, MessageVersion, State, SyncDoc},
    transaction::Transactable,
};
use bytes::Bytes;
use ciborium::Value;

use crate::{
    Result,
    client::{Client, Heard, Mark, Opening, Update},
};

/// Version of the protocol.
const VERSION: &str = "1";

/// A client of its sync server.
pub struct AutomergeClient {
    name: String,
    server: Option<String>,
    document: String,
    side: Side,
}

/// Who writes has a document; who reads has none, and says of all that it gets that it has it.
enum Side {
    Writer { document: Box<AutoCommit>, state: Box<State>, is_open: bool },
    Reader { heads: Vec<ChangeHash> },
}

impl AutomergeClient {
    pub fn new(opening: Opening<'_>) -> Result<Self> {
        let side =
            if opening.writes { Side::writer()? } else { Side::Reader { heads: Vec::new() } };
        Ok(Self {
            name: format!("client-{}-{}", opening.document, opening.client),
            server: None,
            document: document_id(opening.document),
            side,
        })
    }

    fn envelope(&self, kind: &str, data: Vec<u8>) -> Result<Bytes> {
        let server = self.server.as_deref().ok_or("nobody has said who the server is")?;
        encoded(&[
            ("type", text(kind)),
            ("senderId", text(&self.name)),
            ("targetId", text(server)),
            ("documentId", text(&self.document)),
            ("data", Value::Bytes(data)),
        ])
    }

    fn begin(&mut self) -> Result<Vec<Bytes>> {
        let message = match &mut self.side {
            Side::Writer { document, state, .. } => generate(document, state)?,
            Side::Reader { .. } => claim(Vec::new()).encode(),
        };
        let kind = if matches!(self.side, Side::Writer { .. }) { "sync" } else { "request" };
        Ok(vec![self.envelope(kind, message)?])
    }

    fn sync(&mut self, data: &[u8]) -> Result<Heard> {
        let message = Message::decode(data)?;
        let mut heard = Heard::default();
        let reply = match &mut self.side {
            Side::Writer { document, state, is_open } => {
                document.sync().receive_sync_message(state, message)?;
                *is_open = true;
                document.sync().generate_sync_message(state).map(Message::encode)
            }
            Side::Reader { heads } => {
                heard.marks = marks(&message)?;
                let news = message.heads != *heads;
                heads.clone_from(&message.heads);
                news.then(|| claim(message.heads).encode())
            }
        };
        heard.replies =
            reply.map(|reply| self.envelope("sync", reply)).transpose()?.into_iter().collect();
        Ok(heard)
    }
}

impl Side {
    /// A document that is not empty: servers do not keep others.
    fn writer() -> Result<Self> {
        let mut document = AutoCommit::new();
        document.put(ROOT, "made by", "bench")?;
        document.commit();
        Ok(Self::Writer {
            document: Box::new(document),
            state: Box::new(State::new()),
            is_open: false,
        })
    }
}

impl Client for AutomergeClient {
    fn greeting(&mut self) -> Result<Vec<Bytes>> {
        let about = Value::Map(vec![(text("isEphemeral"), Value::Bool(true))]);
        let join = encoded(&[
            ("type", text("join")),
            ("senderId", text(&self.name)),
            ("peerMetadata", about),
            ("supportedProtocolVersions", Value::Array(vec![text(VERSION)])),
        ]);
        Ok(vec![join?])
    }

    fn is_open(&self) -> bool {
        match &self.side {
            Side::Writer { is_open, .. } => *is_open,
            Side::Reader { heads } => !heads.is_empty(),
        }
    }

    fn hear(&mut self, message: &[u8]) -> Result<Heard> {
        let message: Value = ciborium::from_reader(message)?;
        match string(&message, "type").unwrap_or_default() {
            "peer" => {
                self.server = string(&message, "senderId").map(str::to_owned);
                Ok(Heard { replies: self.begin()?, ..Heard::default() })
            }
            "sync" | "request" => match field(&message, "data") {
                Some(Value::Bytes(data)) => self.sync(data),
                _ => Err("a sync message without data".into()),
            },
            "error" | "doc-unavailable" => Err(format!("the server answers {message:?}").into()),
            _ => Ok(Heard::default()),
        }
    }

    fn write(&mut self, update: Update) -> Result<Bytes> {
        let Side::Writer { document, state, .. } = &mut self.side else {
            return Err("who reads does not write".into());
        };
        for (entity, field, value) in update.sets() {
            document.put(ROOT, format!("{entity}/{field}"), ScalarValue::Str(value.into()))?;
        }
        document.commit();
        let message = generate(document, state)?;
        self.envelope("sync", message)
    }
}

fn generate(document: &mut AutoCommit, state: &mut State) -> Result<Vec<u8>> {
    let message = document.sync().generate_sync_message(state);
    message
        .map(Message::encode)
        .ok_or_else(|| "there is something new, and no message of it".into())
}

/// Says that we have everything up to these heads. Without flags: who shows some is sent whole documents.
fn claim(heads: Vec<ChangeHash>) -> Message {
    Message {
        have: vec![Have { last_sync: heads.clone(), bloom: BloomFilter::default() }],
        heads,
        need: Vec::new(),
        changes: ChunkList::empty(),
        flags: None,
        version: MessageVersion::V1,
    }
}

/// Marks of all changes; larger ones are compressed.
fn marks(message: &Message) -> Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for change in message.changes.iter() {
        let change = Change::from_bytes(change.to_vec())?;
        marks.extend(Mark::find_in(change.raw_bytes()));
    }
    Ok(marks)
}

/// An id made of the document's name, as automerge-repo writes ids.
fn document_id(name: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, name).hash(&mut hasher);
        hasher.finish().to_be_bytes()
    };
    bs58::encode([half(0), half(1)].concat()).with_check().into_string()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn encoded(fields: &[(&str, Value)]) -> Result<Bytes> {
    let fields = fields.iter().map(|(name, value)| (text(name), value.clone())).collect();
    let mut out = Vec::new();
    ciborium::into_writer(&Value::Map(fields), &mut out)?;
    Ok(out.into())
}

fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = message.as_map()?.iter();
    fields.filter(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value).next()
}

fn string<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    field(message, name)?.as_text()
}
