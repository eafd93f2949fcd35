//! What happened, in the words of whoever did it, and how it becomes an entry.

use std::{collections::BTreeMap, fmt};

use crate::{
    bundle::ENTRY_BYTES_MAX,
    entry::{Actor, ActorKind, Delivery, Detail, Entry, KeyId, Origin, Outcome, Payload, Resource},
    keys::{DataKey, KeyError, KeyStore, Subject},
    merkle::Hash,
    time::Timestamp,
};

/// The most bytes of a name, a code or an address in an entry; what is longer is cut and told apart
/// by its digest.
pub const NAME_BYTES_MAX: usize = 768;

/// The most bytes of a detail in an entry; what is longer lies aside.
pub const DETAIL_BYTES_MAX: usize = 4_096;

/// The most details of an entry.
pub const DETAILS_MAX: usize = 64;

/// The most bytes of what lies aside.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The action of the entry that says a key was destroyed; its resource is the key.
pub const ERASE_ACTION: &str = "subject.erase";

/// Something that was done, or refused, or did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// By whom.
    pub actor: Principal,
    /// What, such as `config.reload`.
    pub action: String,
    /// On what: a kind and a name.
    pub resource: (String, String),
    /// The client's network address.
    pub address: Option<String>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// A code that says why.
    pub reason: Option<String>,
    /// The trace that it is part of.
    pub trace: Option<[u8; 16]>,
    /// The revision of the config.
    pub config: Option<String>,
    /// What only this action has.
    pub details: BTreeMap<String, Fact>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller.
    pub kind: ActorKind,
    /// The name, by which alone a person is told from others; nobody has none.
    pub id: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// How they were recognised.
    pub auth: String,
}

/// A detail, before anything is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A text that tells of nobody.
    Text(String),
    /// A text that tells of somebody.
    Personal(String),
    /// A whole number of at most 53 bits; others are written as texts.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Several texts that tell of nobody.
    List(Vec<String>),
}

/// An entry, and what must be stored beside it before it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The record for the event log.
    pub entry: Vec<u8>,
    /// What was too long for the entry: digest and content.
    pub payloads: Vec<(Hash, Vec<u8>)>,
}

/// Why an event did not become an entry.
#[derive(Debug)]
pub enum RecordError {
    /// No key could be had to seal what is personal.
    Keys(KeyError),
    /// A detail is longer than what lies aside may be.
    TooLong {
        /// Its name.
        detail: String,
    },
    /// It has more details than an entry may have, or one whose name is not up to 64 of `a-z 0-9 . _ -`.
    Details,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(_) => f.write_str("what is personal in the entry cannot be sealed"),
            Self::TooLong { detail } => {
                write!(f, "the detail `{detail}` has more than {PAYLOAD_BYTES_MAX} bytes")
            }
            Self::Details => {
                write!(f, "an entry has at most {DETAILS_MAX} details, with short lower-case names")
            }
        }
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Keys(error) => Some(error),
            Self::TooLong { .. } | Self::Details => None,
        }
    }
}

impl Event {
    /// Something that Selvedge itself did.
    pub fn by_system(time: Timestamp, action: &str, resource: (&str, &str)) -> Self {
        let actor = Principal {
            kind: ActorKind::System,
            id: Some("selvedge".to_owned()),
            tenant: None,
            auth: "internal".to_owned(),
        };
        Self {
            time,
            actor,
            action: action.to_owned(),
            resource: (resource.0.to_owned(), resource.1.to_owned()),
            address: None,
            user_agent: None,
            outcome: Outcome::Done,
            reason: None,
            trace: None,
            config: None,
            details: BTreeMap::new(),
        }
    }

    /// That Selvedge itself destroyed a key, of which nothing is said yet.
    pub fn of_erasure(time: Timestamp) -> Self {
        Self::by_system(time, ERASE_ACTION, ("key", ""))
    }

    /// Whose key seals what is personal in it.
    fn subject(&self) -> Subject {
        match (&self.actor.kind, &self.actor.id) {
            (ActorKind::User, Some(id)) => Subject::Person {
                tenant: self.actor.tenant.clone().unwrap_or_default(),
                id: id.clone(),
            },
            _ => Subject::Hour(self.time.0 / 3_600_000_000),
        }
    }

    fn is_personal(&self) -> bool {
        let personal = |fact: &Fact| matches!(fact, Fact::Personal(_));
        self.actor.kind == ActorKind::User
            || self.address.is_some()
            || self.user_agent.is_some()
            || self.details.values().any(personal)
    }
}

/// Turns events of one machine into entries.
#[derive(Clone, Copy, Debug)]
pub struct Recorder<'a> {
    /// The machine's name.
    pub node: &'a str,
    /// Where the keys are.
    pub keys: &'a KeyStore,
    /// When it is here: no key is made later, whatever clock an event was dated by.
    pub now: Timestamp,
}

impl Recorder<'_> {
    /// Makes an entry. Its keys are durable; its payloads and the entry itself are not yet.
    pub fn record(
        &self,
        event: &Event,
        delivery: Option<Delivery>,
    ) -> Result<Recorded, RecordError> {
        if event.details.len() > DETAILS_MAX || !event.details.keys().all(|name| is_name(name)) {
            return Err(RecordError::Details);
        }
        let seconds = event.time.min(self.now).0 / 1_000_000;
        let key = event.is_personal().then(|| self.keys.key_of(&event.subject(), seconds));
        let key = key.transpose().map_err(RecordError::Keys)?;
        let mut entry = plain(event, key.as_ref(), self.node);
        entry.delivery = delivery;
        let payloads = add_details(&mut entry, event, key.as_ref())?;
        Ok(fitted(entry, payloads))
    }
}

/// Names of details need no escapes in JSON.
pub(crate) fn is_name(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The entry without its details.
fn plain(event: &Event, key: Option<&DataKey>, node: &str) -> Entry {
    let person = event.actor.kind == ActorKind::User;
    let seal = |context: &str, text: &Option<String>| {
        key.zip(text.as_ref()).map(|(key, text)| key.seal(context, &clipped(text)))
    };
    let actor = Actor {
        kind: event.actor.kind,
        id: event.actor.id.as_deref().filter(|_| !person).map(clipped),
        subject: key.filter(|_| person).map(DataKey::id),
        name: seal("who.name", &event.actor.id).filter(|_| person),
        tenant: event.actor.tenant.as_deref().map(clipped),
        auth: clipped(&event.actor.auth),
    };
    Entry {
        time: event.time,
        node: clipped(node),
        delivery: None,
        actor,
        action: clipped(&event.action),
        resource: Resource { kind: clipped(&event.resource.0), id: clipped(&event.resource.1) },
        from: Origin {
            address: seal("from.address", &event.address),
            user_agent: seal("from.user_agent", &event.user_agent),
        },
        outcome: event.outcome,
        reason: event.reason.as_deref().map(clipped),
        trace: event.trace.map(|trace| data_encoding::HEXLOWER.encode(&trace)),
        config: event.config.as_deref().map(clipped),
        details: BTreeMap::new(),
    }
}

type Payloads = Vec<(Hash, Vec<u8>)>;

fn add_details(
    entry: &mut Entry,
    event: &Event,
    key: Option<&DataKey>,
) -> Result<Payloads, RecordError> {
    let mut payloads = Vec::new();
    for (name, fact) in &event.details {
        let detail = detail(name, fact, key, &mut payloads)?;
        entry.details.insert(name.clone(), detail);
    }
    Ok(payloads)
}

fn detail(
    name: &str,
    fact: &Fact,
    key: Option<&DataKey>,
    payloads: &mut Payloads,
) -> Result<Detail, RecordError> {
    let context = format!("details.{name}");
    Ok(match (fact, key) {
        (Fact::Flag(flag), _) => Detail::Flag(*flag),
        (Fact::Number(number), _) if number.unsigned_abs() < 1 << 53 => Detail::Number(*number),
        (Fact::Number(number), _) => Detail::Text(number.to_string()),
        (Fact::List(texts), _)
            if texts.iter().map(|text| text.len() + 3).sum::<usize>() <= DETAIL_BYTES_MAX =>
        {
            Detail::List(texts.clone())
        }
        (Fact::List(texts), _) => aside(name, texts.join("\n").into_bytes(), None, payloads)?,
        (Fact::Personal(text), Some(key)) if text.len() <= DETAIL_BYTES_MAX => {
            Detail::Sealed(key.seal(&context, text))
        }
        (Fact::Personal(text), Some(key)) => {
            aside(name, key.seal_bytes(&context, text.as_bytes()), Some(key.id()), payloads)?
        }
        (Fact::Text(text), _) if text.len() <= DETAIL_BYTES_MAX => Detail::Text(text.clone()),
        (Fact::Text(text), _) => aside(name, text.clone().into_bytes(), None, payloads)?,
        (Fact::Personal(_), None) => unreachable!("an event with a personal detail has a key"),
    })
}

/// Puts something aside and returns what stands for it.
fn aside(
    name: &str,
    content: Vec<u8>,
    key: Option<KeyId>,
    payloads: &mut Payloads,
) -> Result<Detail, RecordError> {
    if content.len() > PAYLOAD_BYTES_MAX {
        return Err(RecordError::TooLong { detail: name.to_owned() });
    }
    let payload = Payload { digest: Hash::of(&content), bytes: content.len() as u64, key };
    payloads.push((payload.digest, content));
    Ok(Detail::Payload(payload))
}

/// Encodes the entry; where it is too long, its longest details are put aside one after another.
fn fitted(mut entry: Entry, mut payloads: Payloads) -> Recorded {
    loop {
        let encoded = entry.encode();
        if encoded.len() <= ENTRY_BYTES_MAX {
            return Recorded { entry: encoded, payloads };
        }
        let longest = entry.details.iter_mut().max_by_key(|(_, detail)| weight(detail));
        let (_, detail) = longest.expect("an entry without details is not too long");
        let (content, key) = match detail {
            Detail::Text(text) => (std::mem::take(text).into_bytes(), None),
            Detail::List(texts) => (texts.join("\n").into_bytes(), None),
            Detail::Sealed(sealed) => (std::mem::take(&mut sealed.bytes), Some(sealed.key)),
            Detail::Number(_) | Detail::Flag(_) | Detail::Payload(_) => {
                unreachable!("{DETAILS_MAX} short details fit into an entry")
            }
        };
        let (digest, bytes) = (Hash::of(&content), content.len() as u64);
        payloads.push((digest, content));
        *detail = Detail::Payload(Payload { digest, bytes, key });
    }
}

/// How much room it gives to put a detail aside.
fn weight(detail: &Detail) -> usize {
    match detail {
        Detail::Text(text) => text.len(),
        Detail::List(texts) => texts.iter().map(|text| text.len() + 3).sum(),
        Detail::Sealed(sealed) => sealed.bytes.len(),
        Detail::Number(_) | Detail::Flag(_) | Detail::Payload(_) => 0,
    }
}

/// A text of bounded length that still differs where the whole one does.
fn clipped(text: &str) -> String {
    if text.len() <= NAME_BYTES_MAX {
        return text.to_owned();
    }
    let digest = Hash::of(text.as_bytes()).to_hex();
    let end = (0..=NAME_BYTES_MAX - 80).rev().find(|end| text.is_char_boundary(*end));
    format!("{}\u{2026}sha256:{digest}", &text[..end.unwrap_or(0)])
}
