//! One entry: who did what, on what, from where, and what came of it.

use std::{collections::BTreeMap, fmt};

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};

use crate::{
    json::{self, Fields},
    merkle::Hash,
    time::Timestamp,
};

/// The version of the form that is written.
pub const ENTRY_VERSION: u64 = 1;

/// The largest number that an entry can have in it.
pub const NUMBER_MAX: u64 = json::NUMBER_MAX as u64;

/// An entry of the log. Whatever tells of a person is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was done.
    pub time: Timestamp,
    /// The machine that says so.
    pub node: String,
    /// Its number at the node, if the node kept it until it could be delivered.
    pub delivery: Option<Delivery>,
    /// Who did it.
    pub actor: Actor,
    /// What was done, such as `config.reload`.
    pub action: String,
    /// On what.
    pub resource: Resource,
    /// From where.
    pub from: Origin,
    /// What came of it.
    pub outcome: Outcome,
    /// A code that says why, such as `E0123` or the id of a rule.
    pub reason: Option<String>,
    /// The trace that it is part of: 32 hexadecimal digits.
    pub trace: Option<String>,
    /// The revision of the config at that moment.
    pub config: Option<String>,
    /// What only this action has.
    pub details: BTreeMap<String, Detail>,
}

/// The number that a node gave an entry. Numbers of one epoch begin at 0 and have no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery {
    /// When the node began to count, in microseconds since 1970.
    pub epoch: u64,
    /// The number.
    pub sequence: u64,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of caller it is.
    pub kind: ActorKind,
    /// The name of an actor that is no person.
    pub id: Option<String>,
    /// What stands for a person: the id of their key.
    pub subject: Option<KeyId>,
    /// The person's name, sealed.
    pub name: Option<Sealed>,
    /// The tenant that the actor belongs to.
    pub tenant: Option<String>,
    /// How the actor was recognised, such as `token`, `mtls` or `none`.
    pub auth: String,
}

/// What kind of caller an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person who was recognised.
    User,
    /// A program with an identity.
    Service,
    /// Selvedge itself.
    System,
    /// Nobody knows.
    Anonymous,
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Such as `route`, `stream` or `key`.
    pub kind: String,
    /// Which one.
    pub id: String,
}

/// From where it was done, sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The network address.
    pub address: Option<Sealed>,
    /// What the client says it is.
    pub user_agent: Option<Sealed>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
    /// It was tried and did not work.
    Failed,
}

/// A detail of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A text that tells of nobody.
    Text(String),
    /// A whole number of at most 53 bits.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
    /// A text that tells of somebody.
    Sealed(Sealed),
    /// Something that was too long, and lies aside under its digest.
    Payload(Payload),
}

/// What stands in an entry for something that lies aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// SHA-256 of what lies there.
    pub digest: Hash,
    /// How many bytes that are.
    pub bytes: u64,
    /// The key that it is sealed under, if it is.
    pub key: Option<KeyId>,
}

/// The random name of a data key, which stands for whoever it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

/// A text encrypted under a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key.
    pub key: KeyId,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// They are no JSON in its canonical spelling.
    NotCanonical,
    /// They are of a version that is not known here.
    Version(u64),
    /// A field is missing, or has a value that it cannot have.
    Field(&'static str),
    /// There is a field that this version does not have.
    Unknown,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCanonical => f.write_str("the entry is no canonical JSON object"),
            Self::Version(version) => write!(f, "the entry is of version {version}"),
            Self::Field(name) => write!(f, "the entry's field `{name}` is missing or wrong"),
            Self::Unknown => f.write_str("the entry has a field that its version does not have"),
        }
    }
}

impl std::error::Error for EntryError {}

impl Entry {
    /// The bytes that are a leaf of the tree.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let Self { time, node, delivery, actor, action, resource, from, .. } = self;
        put("v", Some(ENTRY_VERSION.into()));
        put("time", Some(time.to_string().into()));
        put("node", Some(node.as_str().into()));
        put("delivery", delivery.map(Delivery::to_json));
        put("who", Some(actor.to_json()));
        put("action", Some(action.as_str().into()));
        put("resource", Some(json!({ "kind": resource.kind, "id": resource.id })));
        put("from", from.to_json());
        let Self { outcome, reason, trace, config, details, .. } = self;
        put("outcome", Some(outcome.name().into()));
        put("reason", reason.as_deref().map(Value::from));
        put("trace", trace.as_deref().map(Value::from));
        put("config", config.as_deref().map(Value::from));
        let details: Map<String, Value> =
            details.iter().map(|(name, detail)| (name.clone(), detail.to_json())).collect();
        put("details", (!details.is_empty()).then(|| details.into()));
        json::canonical(&fields.into()).into_bytes()
    }

    /// Reads an entry, and nothing that could be written another way.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let value = json::parse(bytes).ok_or(EntryError::NotCanonical)?;
        let mut fields = Fields::of(value).ok_or(EntryError::NotCanonical)?;
        let field = EntryError::Field;
        match fields.number("v").ok_or(field("v"))? {
            ENTRY_VERSION => {}
            version => return Err(EntryError::Version(version)),
        }
        let time = fields.text("time").and_then(|text| text.parse().ok());
        let entry = Self {
            time: time.ok_or(field("time"))?,
            node: fields.text("node").ok_or(field("node"))?,
            delivery: optional(&mut fields, "delivery", Delivery::from_json)?,
            actor: optional(&mut fields, "who", Actor::from_json)?.ok_or(field("who"))?,
            action: fields.text("action").ok_or(field("action"))?,
            resource: optional(&mut fields, "resource", Resource::from_json)?
                .ok_or(field("resource"))?,
            from: optional(&mut fields, "from", Origin::from_json)?.unwrap_or_default(),
            outcome: fields
                .text("outcome")
                .and_then(|name| Outcome::from_name(&name))
                .ok_or(field("outcome"))?,
            reason: fields.optional_text("reason").ok_or(field("reason"))?,
            trace: fields.optional_text("trace").ok_or(field("trace"))?,
            config: fields.optional_text("config").ok_or(field("config"))?,
            details: optional(&mut fields, "details", details)?.unwrap_or_default(),
        };
        if fields.is_empty() { Ok(entry) } else { Err(EntryError::Unknown) }
    }
}

fn optional<T>(
    fields: &mut Fields,
    name: &'static str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<Option<T>, EntryError> {
    let value = fields.take(name);
    value.map(|value| read(value).ok_or(EntryError::Field(name))).transpose()
}

fn details(value: Value) -> Option<BTreeMap<String, Detail>> {
    let fields = Fields::of(value).filter(|fields| !fields.is_empty())?;
    fields.rest().map(|(name, value)| Some((name, Detail::from_json(value)?))).collect()
}

/// Reads an object and sees to it that nothing is left over.
fn whole<T>(value: Value, read: impl FnOnce(&mut Fields) -> Option<T>) -> Option<T> {
    let mut fields = Fields::of(value)?;
    let read = read(&mut fields)?;
    fields.is_empty().then_some(read)
}

impl Delivery {
    fn to_json(self) -> Value {
        json!({ "epoch": self.epoch, "sequence": self.sequence })
    }

    fn from_json(value: Value) -> Option<Self> {
        whole(value, |fields| {
            Some(Self { epoch: fields.number("epoch")?, sequence: fields.number("sequence")? })
        })
    }
}

impl Actor {
    fn to_json(&self) -> Value {
        let Self { kind, id, subject, name, tenant, auth } = self;
        let mut value = json!({ "kind": kind.name(), "auth": auth });
        let texts = [("id", id.clone()), ("tenant", tenant.clone())];
        let subject = subject.map(|subject| subject.to_string());
        for (name, text) in texts.into_iter().chain([("subject", subject)]) {
            if let Some(text) = text {
                value[name] = text.into();
            }
        }
        if let Some(name) = name {
            value["name"] = name.to_json();
        }
        value
    }

    fn from_json(value: Value) -> Option<Self> {
        whole(value, |fields| {
            let subject = fields.optional_text("subject")?;
            let name = fields.take("name");
            Some(Self {
                kind: ActorKind::from_name(&fields.text("kind")?)?,
                id: fields.optional_text("id")?,
                subject: match subject {
                    Some(subject) => Some(KeyId::parse(&subject)?),
                    None => None,
                },
                name: match name {
                    Some(name) => Some(Sealed::from_json(name)?),
                    None => None,
                },
                tenant: fields.optional_text("tenant")?,
                auth: fields.text("auth")?,
            })
        })
    }
}

impl ActorKind {
    const ALL: [Self; 4] = [Self::User, Self::Service, Self::System, Self::Anonymous];

    /// As entries have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Denied, Self::Failed];

    /// As entries have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`Outcome::name`] returns.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl Resource {
    fn from_json(value: Value) -> Option<Self> {
        whole(value, |fields| Some(Self { kind: fields.text("kind")?, id: fields.text("id")? }))
    }
}

impl Origin {
    fn to_json(&self) -> Option<Value> {
        let parts = [("address", &self.address), ("user_agent", &self.user_agent)];
        let parts = parts.into_iter().filter_map(|(name, sealed)| {
            sealed.as_ref().map(|sealed| (name.to_owned(), sealed.to_json()))
        });
        let fields: Map<String, Value> = parts.collect();
        (!fields.is_empty()).then(|| fields.into())
    }

    fn from_json(value: Value) -> Option<Self> {
        let origin = whole(value, |fields| {
            let mut sealed = |name| match fields.take(name) {
                Some(value) => Sealed::from_json(value).map(Some),
                None => Some(None),
            };
            Some(Self { address: sealed("address")?, user_agent: sealed("user_agent")? })
        });
        origin.filter(|origin| *origin != Self::default())
    }
}

impl Detail {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::List(texts) => texts.clone().into(),
            Self::Sealed(sealed) => sealed.to_json(),
            Self::Payload(payload) => payload.to_json(),
        }
    }

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text)),
            Value::Bool(flag) => Some(Self::Flag(flag)),
            Value::Number(number) => {
                let number = number.as_i64()?;
                json::is_safe(number).then_some(Self::Number(number))
            }
            Value::Array(items) => {
                items.into_iter().map(json::text).collect::<Option<_>>().map(Self::List)
            }
            Value::Object(ref fields) if fields.contains_key("sha256") => {
                Payload::from_json(value).map(Self::Payload)
            }
            sealed @ Value::Object(_) => Sealed::from_json(sealed).map(Self::Sealed),
            Value::Null => None,
        }
    }
}

impl Payload {
    fn to_json(self) -> Value {
        let mut value = json!({ "sha256": self.digest.to_hex(), "bytes": self.bytes });
        if let Some(key) = self.key {
            value["key"] = key.to_string().into();
        }
        value
    }

    fn from_json(value: Value) -> Option<Self> {
        whole(value, |fields| {
            let digest = Hash::from_hex(&fields.text("sha256")?)?;
            let key = match fields.optional_text("key")? {
                Some(key) => Some(KeyId::parse(&key)?),
                None => None,
            };
            Some(Self { digest, bytes: fields.number("bytes")?, key })
        })
    }
}

impl KeyId {
    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Sealed {
    fn to_json(&self) -> Value {
        json!({ "key": self.key.to_string(), "sealed": BASE64.encode(&self.bytes) })
    }

    fn from_json(value: Value) -> Option<Self> {
        whole(value, |fields| {
            let key = KeyId::parse(&fields.text("key")?)?;
            let bytes = BASE64.decode(fields.text("sealed")?.as_bytes()).ok()?;
            Some(Self { key, bytes })
        })
    }
}
