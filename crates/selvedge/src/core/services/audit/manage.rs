//! What somebody does with the log: search it, open what is sealed, erase a person, give entries up.
//! All but the search are entries themselves, also where they are refused.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    response::Response,
    routing::{get, post},
};
use selvedge_audit::{
    entry::{KeyId, Outcome},
    event::{ERASE_ACTION, Event, Fact},
    keys::Subject,
    query::{Found, Query as Wanted, revealed},
    verify::PRUNE_ACTION,
};
use serde_json::{Value, json};

use super::{
    Desk,
    http::{Files, READ, fresh, whole},
    journal::Asker,
    problem::Problem,
};
use crate::audit::moment;

const REVEAL: &str = "audit:reveal";
const ERASE: &str = "audit:erase";
const PRUNE: &str = "audit:prune";
/// Entries of one answer, unless the query asks for fewer.
const LIMIT_MAX: usize = 1_000;
/// Entries that one search looks at; the answer says where to go on. A search for the newest ends there.
const LOOKED_AT_MAX: u64 = 65_536;
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/entries", get(entries))
        .route("/erase", post(erase))
        .route("/prune", post(prune))
        .with_state(desk)
}

/// What a search asks for.
#[derive(Default)]
struct Search {
    wanted: Wanted,
    /// The first entry to look at.
    from: u64,
    limit: usize,
    /// The newest that fit, and not the first.
    newest: bool,
    reveal: bool,
    /// As they were asked, for the entry about it.
    asked: BTreeMap<String, String>,
}

impl Search {
    fn parse(asked: BTreeMap<String, String>) -> Result<Self, Problem> {
        let mut search = Self { limit: LIMIT_MAX, asked, ..Self::default() };
        let wrong = |name: &str| Problem::Query(format!("`{name}` says what it must not"));
        for (name, value) in &search.asked {
            let wanted = &mut search.wanted;
            let text = || Some(value.clone());
            match name.as_str() {
                "since" => wanted.since = Some(moment(value).map_err(|_| wrong(name))?),
                "until" => wanted.until = Some(moment(value).map_err(|_| wrong(name))?),
                "actor" => wanted.actor = text(),
                "action" => wanted.action = text(),
                "resource" => wanted.resource = text(),
                "tenant" => wanted.tenant = text(),
                "trace" => wanted.trace = text(),
                "outcome" => {
                    let outcome = Outcome::from_name(value).ok_or_else(|| wrong(name))?;
                    wanted.outcome = Some(outcome);
                }
                "from" => search.from = value.parse().map_err(|_| wrong(name))?,
                "limit" => search.limit = value.parse().map_err(|_| wrong(name))?,
                "newest" => search.newest = value.parse().map_err(|_| wrong(name))?,
                "reveal" => search.reveal = value.parse().map_err(|_| wrong(name))?,
                _ => return Err(Problem::Query(format!("nobody knows `{name}`"))),
            }
        }
        search.limit = search.limit.clamp(1, LIMIT_MAX);
        Ok(search)
    }

    /// Entries that fit, and where to go on.
    fn run(&self, files: &Files, size: u64) -> Result<(Vec<Found>, Option<u64>), Problem> {
        if self.newest {
            let range = size.saturating_sub(LOOKED_AT_MAX)..size;
            return Ok((files.tail_within(range, size, &self.wanted, self.limit)?, None));
        }
        let end = self.from.saturating_add(LOOKED_AT_MAX).min(size);
        let mut found = Vec::new();
        files.search_within(self.from..end, size, &self.wanted, |one| {
            found.push(one);
            found.len() < self.limit
        })?;
        let next = match found.last() {
            Some(last) if found.len() == self.limit => last.index + 1,
            _ => end,
        };
        Ok((found, (next < size).then_some(next)))
    }
}

/// Entries that fit. What is personal in them is opened for those who may, and that is an entry.
async fn entries(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    asker.caller.require(READ)?;
    let search = Search::parse(asked)?;
    if search.reveal {
        let details = search.asked.iter().filter(|(name, _)| name.as_str() != "reveal");
        let details = details.map(|(name, value)| (name.clone(), Fact::Personal(value.clone())));
        let event = Event { details: details.collect(), ..desk.asked(&asker, "audit.reveal") };
        desk.permit(&asker, REVEAL, &event).await?;
        desk.write(event).await?;
    }
    let place = desk.searches.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    let look = move |desk: &Desk, files: Files| {
        // Who asked may go away meanwhile; the search takes its place until it is done.
        let _place = place;
        shown(desk, &files, &search)
    };
    let body = desk.read(look).await?;
    Ok(fresh(&body))
}

fn shown(desk: &Desk, files: &Files, search: &Search) -> Result<Value, Problem> {
    let size = desk.journal.audit.published();
    let (found, next) = search.run(files, size)?;
    let entry = |found: &Found| match search.reveal {
        true => revealed(found, desk.journal.audit.keys()),
        false => serde_json::from_slice(&found.bytes).unwrap_or_default(),
    };
    let entries = found.iter().map(|one| json!({ "index": one.index, "entry": entry(one) }));
    let entries: Vec<Value> = entries.collect();
    Ok(json!({ "size": size, "entries": entries, "next": next }))
}

/// Destroys the key of a person, or the one with this id.
async fn erase(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    body: Body,
) -> Result<Response, Problem> {
    let event = desk.asked(&asker, ERASE_ACTION);
    desk.permit(&asker, ERASE, &event).await?;
    let whom = Whom::parse(&whole(body, BODY_BYTES_MAX).await?)?;
    let erased = desk.read(move |desk, _| whom.erase(desk, event)).await?;
    Ok(fresh(&json!({ "key": erased.to_string() })))
}

enum Whom {
    Person(Subject),
    Key(KeyId),
}

impl Whom {
    /// `{"tenant":"acme","id":"ann"}`, the tenant if there is one, or `{"key":"…"}`.
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = object(body)?;
        let mut text = |name: &str| match fields.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::Body(format!("`{name}` is a text"))),
        };
        let (id, tenant, key) = (text("id")?, text("tenant")?, text("key")?);
        let whom = match (id, tenant, key) {
            (Some(id), tenant, None) => {
                Some(Self::Person(Subject::Person { tenant: tenant.unwrap_or_default(), id }))
            }
            (None, None, Some(key)) => KeyId::parse(&key).map(Self::Key),
            _ => None,
        };
        whom.filter(|_| fields.is_empty()).ok_or_else(|| {
            let what = "it is {\"tenant\":…,\"id\":…}, or {\"key\":…} with the 32 digits of an entry's subject";
            Problem::Body(what.to_owned())
        })
    }

    fn erase(self, desk: &Desk, event: Event) -> Result<KeyId, Problem> {
        let audit = &desk.journal.audit;
        let erased = match self {
            Self::Person(subject) => audit.erase_by(&subject, event)?,
            Self::Key(key) => audit.erase_key_by(key, event)?.then_some(key),
        };
        erased.ok_or(Problem::NoSubject)
    }
}

/// Gives entries up, which an entry declares first.
async fn prune(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    body: Body,
) -> Result<Response, Problem> {
    let event = desk.asked(&asker, PRUNE_ACTION);
    desk.permit(&asker, PRUNE, &event).await?;
    let mut fields = object(&whole(body, BODY_BYTES_MAX).await?)?;
    let before = fields.remove("before").and_then(|value| value.as_u64());
    let before = before.filter(|_| fields.is_empty());
    let before = before.ok_or_else(|| Problem::Body("it is {\"before\":NUMBER}".to_owned()))?;
    let minimum = desk.read(move |desk, _| desk.prune(before, event)).await?;
    Ok(fresh(&json!({ "minimum": minimum })))
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::Body("it is no JSON object".to_owned())),
    }
}

impl Desk {
    fn asked(&self, asker: &Asker, action: &str) -> Event {
        self.journal.by(asker, action, ("log", &self.journal.audit.trust().origin))
    }

    async fn write(&self, event: Event) -> Result<u64, Problem> {
        let written = self.journal.write(event).await.map_err(Problem::from);
        written.inspect_err(|problem| self.tell(problem))
    }

    /// Goes on only for those who may. That somebody known was sent away is an entry; who is not known
    /// could fill the log with such.
    async fn permit(&self, asker: &Asker, scope: &str, event: &Event) -> Result<(), Problem> {
        let Err(refusal) = asker.caller.require(scope) else { return Ok(()) };
        if !asker.caller.is_anonymous() {
            let reason = Some(refusal.code().to_owned());
            self.write(Event { outcome: Outcome::Denied, reason, ..event.clone() }).await?;
        }
        Err(refusal.into())
    }

    /// Gives up entries before `before`, as far as whole bundles and what is settled go. Blocks.
    pub(super) fn prune(&self, before: u64, event: Event) -> Result<u64, Problem> {
        let declared = self.journal.audit.prune_by(before, event)?;
        let minimum = declared / 256 * 256;
        self.minimum.fetch_max(minimum, Relaxed);
        Ok(self.minimum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_be_erased_has_one_reading() {
        let person = |tenant: &str, id: &str| Subject::Person {
            tenant: tenant.to_owned(),
            id: id.to_owned(),
        };
        for (body, expected) in [
            ("{\"id\":\"ann\"}", person("", "ann")),
            ("{\"id\":\"ann\",\"tenant\":\"acme\"}", person("acme", "ann")),
        ] {
            let whom = Whom::parse(body.as_bytes());
            assert!(matches!(whom, Ok(Whom::Person(found)) if found == expected), "{body}");
        }
        let key = format!("{{\"key\":\"{}\"}}", "a".repeat(32));
        assert!(matches!(Whom::parse(key.as_bytes()), Ok(Whom::Key(_))));
        for body in [
            "",
            "[]",
            "{}",
            "{\"id\":7}",
            "{\"tenant\":\"acme\"}",
            "{\"key\":\"ann\"}",
            "{\"id\":\"ann\",\"name\":\"x\"}",
            "{\"id\":\"ann\",\"key\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        ] {
            assert!(matches!(Whom::parse(body.as_bytes()), Err(Problem::Body(_))), "{body}");
        }
    }
}
