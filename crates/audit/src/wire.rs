//! Events on their way from the machine that saw them to the one that logs them: one JSON object each.
//!
//! They are as their author said them, and nothing is sealed yet: keys of subjects are where the log is.
//! What cannot be read is refused with its place, so that whoever wrote it can mend it.

use std::{collections::BTreeMap, fmt};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use crate::{
    entry::{ActorKind, Outcome},
    event::{DETAILS_MAX, Event, Fact, Principal, is_name},
    json::{self, Fields},
    merkle::Hash,
    time::Timestamp,
};

/// The version of the form that is written.
pub const WIRE_VERSION: u64 = 1;

/// The most bytes of an event on its way; what its author would make longer has to be cut there.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// Why bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// Where: `who.kind`, `details.rule`; empty for the whole.
    pub place: String,
    /// What is to be done about it.
    pub remedy: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(f, "the event cannot be read: {}", self.remedy),
            place => write!(f, "`{place}` of the event cannot be read: {}", self.remedy),
        }
    }
}

impl std::error::Error for WireError {}

/// What is wrong with a part of an event.
fn at(place: impl Into<String>, remedy: &'static str) -> WireError {
    WireError { place: place.into(), remedy }
}

const TEXT: &str = "write a text";
const OBJECT: &str = "write a JSON object with nothing but its own fields";

impl Event {
    /// Writes it for the way.
    pub fn to_wire(&self) -> Vec<u8> {
        let Self { time, actor, action, resource, address, user_agent, .. } = self;
        let Self { outcome, reason, trace, config, details, .. } = self;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        put("v", Some(WIRE_VERSION.into()));
        put("time", Some(time.0.into()));
        put("who", Some(actor.to_json()));
        put("action", Some(action.as_str().into()));
        put("resource", Some(json!({ "kind": resource.0, "id": resource.1 })));
        put("address", text(address));
        put("user_agent", text(user_agent));
        put("outcome", Some(outcome.name().into()));
        put("reason", text(reason));
        put("trace", trace.map(|trace| HEXLOWER.encode(&trace).into()));
        put("config", text(config));
        let details: Map<_, _> =
            details.iter().map(|(name, fact)| (name.clone(), fact.to_json())).collect();
        put("details", (!details.is_empty()).then(|| details.into()));
        json::canonical(&fields.into()).into_bytes()
    }

    /// Reads what [`Self::to_wire`] wrote.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(at("", "cut it to 64 KiB"));
        }
        let value = serde_json::from_slice(bytes).map_err(|_| at("", "write it as JSON"))?;
        let mut fields = Fields::of(value).ok_or_else(|| at("", OBJECT))?;
        match fields.number("v") {
            Some(WIRE_VERSION) => {}
            _ => {
                return Err(at("v", "write version 1, or bring the core up to the edge's version"));
            }
        }
        let text = |fields: &mut Fields, name| fields.text(name).ok_or_else(|| at(name, TEXT));
        let optional =
            |fields: &mut Fields, name| fields.optional_text(name).ok_or_else(|| at(name, TEXT));
        let event = Self {
            time: Timestamp(fields.number("time").ok_or_else(|| at("time", MICROS))?),
            actor: Principal::read(fields.take("who"))?,
            action: text(&mut fields, "action")?,
            resource: resource(fields.take("resource"))?,
            address: optional(&mut fields, "address")?,
            user_agent: optional(&mut fields, "user_agent")?,
            outcome: Outcome::from_name(&text(&mut fields, "outcome")?)
                .ok_or_else(|| at("outcome", "write done, denied or failed"))?,
            reason: optional(&mut fields, "reason")?,
            trace: trace(&mut fields)?,
            config: optional(&mut fields, "config")?,
            details: details(fields.take("details"))?,
        };
        nothing_left("", &fields)?;
        Ok(event)
    }

    /// What takes the place of an event that cannot be logged, so that its number is not left out.
    pub fn instead_of(refused: &[u8], why: &WireError, now: Timestamp) -> Self {
        let digest = Hash::of(refused).to_hex();
        let mut event = Self::by_system(now, "audit.refuse", ("event", &digest));
        event.outcome = Outcome::Failed;
        event.reason = Some("audit/event".to_owned());
        let bytes = i64::try_from(refused.len()).unwrap_or(i64::MAX);
        event.details = BTreeMap::from([
            ("bytes".to_owned(), Fact::Number(bytes)),
            ("place".to_owned(), Fact::Text(why.place.clone())),
            ("remedy".to_owned(), Fact::Text(why.remedy.to_owned())),
        ]);
        event
    }
}

const MICROS: &str = "write a whole number of microseconds since 1970";

impl Principal {
    fn to_json(&self) -> Value {
        let Self { kind, id, tenant, auth } = self;
        let mut value = json!({ "kind": kind.name(), "auth": auth });
        for (name, text) in [("id", id), ("tenant", tenant)] {
            if let Some(text) = text {
                value[name] = text.as_str().into();
            }
        }
        value
    }

    fn read(value: Option<Value>) -> Result<Self, WireError> {
        let mut fields = value.and_then(Fields::of).ok_or_else(|| at("who", OBJECT))?;
        let kind = fields.text("kind").and_then(|name| ActorKind::from_name(&name));
        let optional = |fields: &mut Fields, name: &'static str| {
            fields.optional_text(name).ok_or_else(|| at(format!("who.{name}"), TEXT))
        };
        let actor = Self {
            kind: kind.ok_or_else(|| at("who.kind", "write user, service, system or anonymous"))?,
            id: optional(&mut fields, "id")?,
            tenant: optional(&mut fields, "tenant")?,
            auth: fields.text("auth").ok_or_else(|| at("who.auth", TEXT))?,
        };
        nothing_left("who.", &fields)?;
        Ok(actor)
    }
}

impl Fact {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "text": text }),
            Self::Personal(text) => json!({ "personal": text }),
            Self::Number(number) if json::is_safe(*number) => json!({ "number": number }),
            // Entries write it as a text as well.
            Self::Number(number) => json!({ "text": number.to_string() }),
            Self::Flag(flag) => json!({ "flag": flag }),
            Self::List(texts) => json!({ "list": texts }),
        }
    }

    fn from_json(value: Value) -> Option<Self> {
        let mut fields = Fields::of(value)?.rest();
        let (kind, value) = fields.next()?;
        let fact = match kind.as_str() {
            "text" => Self::Text(json::text(value)?),
            "personal" => Self::Personal(json::text(value)?),
            "number" => Self::Number(value.as_i64().filter(|number| json::is_safe(*number))?),
            "flag" => Self::Flag(value.as_bool()?),
            "list" => {
                let Value::Array(texts) = value else { return None };
                Self::List(texts.into_iter().map(json::text).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        fields.next().is_none().then_some(fact)
    }
}

fn resource(value: Option<Value>) -> Result<(String, String), WireError> {
    let mut fields = value.and_then(Fields::of).ok_or_else(|| at("resource", OBJECT))?;
    let mut text =
        |name: &str| fields.text(name).ok_or_else(|| at(format!("resource.{name}"), TEXT));
    let resource = (text("kind")?, text("id")?);
    nothing_left("resource.", &fields)?;
    Ok(resource)
}

fn trace(fields: &mut Fields) -> Result<Option<[u8; 16]>, WireError> {
    let wrong = || at("trace", "write 32 digits of a-f and 0-9");
    let Some(text) = fields.optional_text("trace").ok_or_else(wrong)? else { return Ok(None) };
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong())?;
    bytes.try_into().map(Some).map_err(|_| wrong())
}

fn details(value: Option<Value>) -> Result<BTreeMap<String, Fact>, WireError> {
    let Some(value) = value else { return Ok(BTreeMap::new()) };
    let fields = Fields::of(value).ok_or_else(|| at("details", OBJECT))?;
    let details: BTreeMap<_, _> = fields
        .rest()
        .map(|(name, value)| {
            if !is_name(&name) {
                return Err(at("details", "names have up to 64 of a-z, 0-9, `.`, `_` and `-`"));
            }
            let remedy = "write one of text, personal, number, flag and list, with its value";
            let fact = Fact::from_json(value);
            fact.ok_or_else(|| at(format!("details.{name}"), remedy)).map(|fact| (name, fact))
        })
        .collect::<Result<_, _>>()?;
    match details.len() <= DETAILS_MAX {
        true => Ok(details),
        false => Err(at("details", "an entry has at most 64")),
    }
}

fn nothing_left(above: &str, fields: &Fields) -> Result<(), WireError> {
    match fields.first() {
        None => Ok(()),
        Some(name) => {
            let name: String = name.chars().take(64).collect();
            Err(at(
                format!("{above}{name}"),
                "this version does not know it; bring the core up to the edge's version",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::NUMBER_MAX;

    fn whole() -> Event {
        let mut event = Event::by_system(Timestamp(1_800_000_000_000_001), "a.b", ("route", "x"));
        event.actor = Principal {
            kind: ActorKind::User,
            id: Some("ann \u{e9}\"".to_owned()),
            tenant: Some("acme".to_owned()),
            auth: "agents".to_owned(),
        };
        event.address = Some("192.0.2.7".to_owned());
        event.user_agent = Some("curl".to_owned());
        event.outcome = Outcome::Denied;
        event.reason = Some("agent/blocked".to_owned());
        event.trace = Some([0xab; 16]);
        event.config = Some("7".to_owned());
        event.details = [
            ("text", Fact::Text("t".to_owned())),
            ("personal", Fact::Personal("/p".to_owned())),
            ("number", Fact::Number(-NUMBER_MAX)),
            ("flag", Fact::Flag(true)),
            ("list", Fact::List(vec!["a".to_owned(), String::new()])),
        ]
        .map(|(name, fact)| (name.to_owned(), fact))
        .into();
        event
    }

    #[test]
    fn what_is_written_is_read() {
        for event in [whole(), Event::by_system(Timestamp(0), "", ("", ""))] {
            assert_eq!(Event::from_wire(&event.to_wire()), Ok(event));
        }
        let mut event = whole();
        event.details = [("number".to_owned(), Fact::Number(i64::MIN))].into();
        let read = Event::from_wire(&event.to_wire()).unwrap();
        assert_eq!(read.details["number"], Fact::Text(i64::MIN.to_string()));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), place: &str) {
        let mut value: Value = serde_json::from_slice(&whole().to_wire()).unwrap();
        change(&mut value);
        let error = Event::from_wire(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.place, place, "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        check(|it| it["v"] = 2.into(), "v");
        check(|it| it["time"] = (-1).into(), "time");
        check(|it| it["who"] = Value::Null, "who");
        check(|it| it["who"]["kind"] = "root".into(), "who.kind");
        check(|it| it["who"]["shoe"] = 43.into(), "who.shoe");
        check(|it| it["resource"]["id"] = 1.into(), "resource.id");
        check(|it| it["outcome"] = "fine".into(), "outcome");
        check(|it| it["trace"] = "ABAB".into(), "trace");
        check(|it| it["extra"] = true.into(), "extra");
        check(|it| it["details"]["Upper"] = json!({ "flag": true }), "details");
        check(|it| it["details"]["flag"] = true.into(), "details.flag");
        check(|it| it["details"]["flag"] = json!({ "flag": true, "text": "" }), "details.flag");
        check(|it| it["details"]["number"] = json!({ "number": 1.5 }), "details.number");
        check(|it| it["details"]["number"] = json!({ "number": 1_u64 << 53 }), "details.number");
        check(|it| it["details"]["number"] = json!({ "number": i64::MIN }), "details.number");
        let many = (0..65).map(|n| (format!("d{n}"), json!({ "flag": true })));
        check(|it| it["details"] = many.collect::<Map<_, _>>().into(), "details");
        for bytes in [&b""[..], b"[]", b"{", b"\xff", &[b' '; EVENT_BYTES_MAX + 1]] {
            assert_eq!(Event::from_wire(bytes).unwrap_err().place, "");
        }
    }

    #[test]
    fn what_stands_in_is_itself_an_event() {
        let error = Event::from_wire(b"{}").unwrap_err();
        let event = Event::instead_of(b"{}", &error, Timestamp(5));
        assert_eq!(event.resource.1, Hash::of(b"{}").to_hex());
        assert_eq!(Event::from_wire(&event.to_wire()), Ok(event));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
            let mut bytes = whole().to_wire();
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(event) = Event::from_wire(&bytes) {
                let again = event.to_wire();
                prop_assert_eq!(Event::from_wire(&again).unwrap().to_wire(), again);
            }
            prop_assert!(Event::from_wire(&bytes[..cut % length]).is_err());
        }
    }
}
