//! What edges bring: events that they saw, in the order of their own numbers, each of which is logged once.
//!
//! Only an edge itself brings them, under the name that it proved: neither a client through it nor an agent
//! beside it can. An event that cannot be read gets its number all the same, as an entry that says so: it
//! must not keep what comes behind it from being logged.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use selvedge_audit::{
    entry::{Delivery, NUMBER_MAX},
    event::Event,
    service::{AuditError, AuditLog},
    spool::{PORTION_BYTES_MAX, PORTION_EVENTS_MAX},
    wire::{EVENT_BYTES_MAX, WireError},
};
use selvedge_eventlog::{AppendError, Log};
use selvedge_identity::{Codes, Problem};
use serde_json::{Value, json};

use super::{
    journal::{Journal, now},
    problem::answered,
};
use crate::{core::courier::Courier, exit::chain};

/// What a courier brings at once: a portion, an event more, and what stands before it.
const BODY_BYTES_MAX: usize = PORTION_BYTES_MAX + EVENT_BYTES_MAX + (64 << 10);

/// Every code with its status and what it means, for the page of codes.
pub(super) const CODES: &Codes = &[
    (400, "audit/delivery", "The delivery cannot be read"),
    (403, "audit/courier", "Only an edge delivers"),
    (409, "audit/epoch", "The epoch is over"),
    (413, "audit/delivery-size", "The delivery is larger than its bound"),
    (503, "audit/undelivered", "The audit log takes no entries now"),
];

/// The way in.
pub(super) fn router(journal: Arc<Journal>) -> Router {
    Router::new()
        .route("/deliveries", post(deliver))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(journal)
}

/// Events of one edge that follow each other.
#[derive(Debug)]
struct Load {
    epoch: u64,
    first: u64,
    events: Vec<Bytes>,
}

/// What became of them.
#[derive(Debug)]
struct Taken {
    /// The number that is to come next.
    next: u64,
    refused: Vec<(u64, WireError)>,
}

/// Why none of it was looked at.
enum Refusal {
    Courier,
    Load(String),
    Size,
    Epoch(u64),
    Later(String),
}

async fn deliver(
    State(journal): State<Arc<Journal>>,
    courier: Option<axum::Extension<Courier>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Some(axum::Extension(courier)) = courier else { return Err(Refusal::Courier) };
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::Size,
        _ => Refusal::Load(error.body_text()),
    })?;
    let load = Load::read(&body).map_err(Refusal::Load)?;
    // Keys and entries are made durable.
    let taken = tokio::task::spawn_blocking(move || {
        let node = match courier {
            Courier::Here => format!("{}:edge", journal.audit.node()),
            Courier::Elsewhere(name) => format!("edge:{name}"),
        };
        take((&journal.log, &journal.audit), &node, &load)
    });
    let Taken { next, refused } = match taken.await {
        Ok(taken) => taken.map_err(|error| Refusal::of(&error))?,
        Err(_) => return Err(Refusal::Later("the core is ending".to_owned())),
    };
    let refused: Vec<Value> = refused
        .into_iter()
        .map(|(sequence, WireError { place, remedy })| {
            json!({ "sequence": sequence, "place": place, "remedy": remedy })
        })
        .collect();
    Ok(Json(json!({ "next": next, "refused": refused })).into_response())
}

impl Load {
    /// A line of JSON that says how the events are counted, and a line for each.
    fn read(body: &Bytes) -> Result<Self, String> {
        let mut lines = body.split(|byte| *byte == b'\n').map(|line| body.slice_ref(line));
        let head: Value = lines
            .next()
            .and_then(|line| serde_json::from_slice(&line).ok())
            .ok_or("the first line is no JSON object")?;
        let number = |name: &str| {
            head[name].as_u64().filter(|number| *number <= NUMBER_MAX).ok_or_else(|| {
                format!("`{name}` of the first line is no whole number up to {NUMBER_MAX}")
            })
        };
        if number("v")? != 1 {
            return Err(
                "it is of a version that is not known here; bring the core up to the edge's".into(),
            );
        }
        let (epoch, first, count) = (number("epoch")?, number("first")?, number("count")?);
        let events: Vec<Bytes> = lines.take(PORTION_EVENTS_MAX + 1).collect();
        if events.len() as u64 != count || events.len() > PORTION_EVENTS_MAX {
            return Err(format!("it has not the {count} events that it speaks of"));
        }
        match first + count <= NUMBER_MAX {
            true => Ok(Self { epoch, first, events }),
            false => Err(format!("its numbers go beyond {NUMBER_MAX}")),
        }
    }
}

/// Logs what is new of a load. What was there before, and what comes too early, changes nothing. Blocks.
fn take((log, audit): (&Log, &AuditLog), node: &str, load: &Load) -> Result<Taken, AuditError> {
    let Load { epoch, first, events } = load;
    let next = audit.next_of(node, *epoch)?;
    let (mut tickets, mut refused) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (sequence, bytes) in (*first..).zip(events) {
        let event = Event::from_wire(bytes).unwrap_or_else(|why| {
            let instead = Event::instead_of(bytes, &why, now());
            // Of repetitions as well: the answer that said so may have been lost.
            refused.push((sequence, why));
            instead
        });
        if sequence < next || *first > next {
            continue;
        }
        match audit.delivered(node, &event, Delivery { epoch: *epoch, sequence }) {
            Ok(batch) => tickets.push(log.append(batch)),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    for ticket in tickets {
        if let Err(error) = ticket.wait() {
            // Those behind it are refused as well: none is logged out of turn.
            failure.get_or_insert(AuditError::Stream(error));
        }
    }
    let reached = audit.next_of(node, *epoch)?;
    match failure {
        Some(failure) if reached == next => Err(failure),
        _ => {
            refused.retain(|(sequence, _)| *sequence < reached);
            Ok(Taken { next: reached, refused })
        }
    }
}

impl Refusal {
    fn of(error: &AuditError) -> Self {
        match error {
            AuditError::Stream(AppendError::Fenced { epoch }) => Self::Epoch(*epoch),
            error => Self::Later(chain(error)),
        }
    }
}

impl Refusal {
    fn problem(self) -> Problem {
        match self {
            Self::Courier => {
                let detail =
                    "An edge proves that it is itself who speaks; clients and agents cannot.";
                Problem::new(CODES, "audit/courier", detail)
            }
            Self::Load(what) => Problem::new(CODES, "audit/delivery", format!("{what}.")),
            Self::Size => {
                let detail = format!("Send at most {BODY_BYTES_MAX} bytes.");
                Problem::new(CODES, "audit/delivery-size", detail)
            }
            Self::Epoch(epoch) => {
                let detail = format!("This edge has begun epoch {epoch} since.");
                Problem::new(CODES, "audit/epoch", detail).with("epoch", epoch)
            }
            Self::Later(why) => Problem::new(CODES, "audit/undelivered", why),
        }
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answered(&self.problem())
    }
}

#[cfg(test)]
mod tests {
    use selvedge_audit::{entry::Entry, home::Home, time::Timestamp};

    use super::*;

    fn load(first: u64, events: &[&[u8]]) -> Load {
        let events = events.iter().map(|event| Bytes::copy_from_slice(event)).collect();
        Load { epoch: 5, first, events }
    }

    struct Place {
        log: Log,
        audit: AuditLog,
        _folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let log = Log::open(&folder.path().join("log"), Default::default()).unwrap();
            let home = Home::new(folder.path());
            let parts = home.open(log.clone(), "log.example", "core-1").unwrap();
            Self { log, audit: AuditLog::start(parts).unwrap(), _folder: folder }
        }

        fn take(&self, load: &Load) -> Taken {
            take((&self.log, &self.audit), "edge:a", load).unwrap()
        }

        fn entries(&self) -> u64 {
            self.audit.entries_taken()
        }

        /// The entry with this number, as the event log has it.
        fn logged(&self, number: u64) -> Vec<u8> {
            let stream = self.log.stream("audit").unwrap();
            let chunk = self.log.read(stream, number, 1).unwrap();
            let (_, record) = chunk.records().next().unwrap();
            record.to_vec()
        }
    }

    #[test]
    fn each_number_is_logged_once_and_what_cannot_be_read_keeps_nobody() {
        let place = Place::new();
        let event = Event::by_system(Timestamp(7), "request.block", ("route", "r")).to_wire();

        let early = place.take(&load(3, &[&event]));
        assert_eq!((early.next, place.entries()), (0, 0));
        let all: [&[u8]; 3] = [&event, b"{\"v\":1,\"nonsense\":2}", &event];
        for _ in 0..2 {
            let taken = place.take(&load(0, &all));
            assert_eq!((taken.next, place.entries()), (3, 3));
            let [(1, why)] = &taken.refused[..] else { panic!("{:?}", taken.refused) };
            assert_eq!(why.place, "time");
        }
        let taken = place.take(&load(2, &[&event, &event]));
        assert_eq!((taken.next, place.entries()), (4, 4));
    }

    /// What is read, or a part of what is said instead.
    #[track_caller]
    fn check(body: &str, expected: Result<(u64, usize), &str>) {
        let read = Load::read(&Bytes::copy_from_slice(body.as_bytes()));
        match (read, expected) {
            (Ok(load), expected) => assert_eq!(Ok((load.first, load.events.len())), expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_load_is_what_it_says() {
        let head = |count: u64| format!("{{\"v\":1,\"epoch\":5,\"first\":2,\"count\":{count}}}");
        check(&head(0), Ok((2, 0)));
        check(&format!("{}\na\nb", head(2)), Ok((2, 2)));
        check(&format!("{}\na", head(2)), Err("not the 2 events"));
        check(&format!("{}{}", head(513), "\na".repeat(513)), Err("not the 513 events"));
        check("", Err("no JSON"));
        check("{\"v\":2}", Err("version"));
        check("{\"v\":1,\"epoch\":-1}", Err("`epoch`"));
    }

    #[test]
    fn what_is_taken_can_be_read_in_the_log() {
        let head = |epoch: u64, first: u64| {
            format!("{{\"v\":1,\"epoch\":{epoch},\"first\":{first},\"count\":1}}\na")
        };
        check(&head(1 << 53, 0), Err("`epoch`"));
        check(&head(1 << 60, 0), Err("`epoch`"));
        check(&head(5, 1 << 53), Err("`first`"));
        check(&head(5, NUMBER_MAX), Err("its numbers"));

        let place = Place::new();
        let event = Event::by_system(Timestamp(7), "request.block", ("route", "r")).to_wire();
        let body = [b"{\"v\":1,\"epoch\":9007199254740991,\"first\":0,\"count\":1}\n", &event[..]];
        let load = Load::read(&Bytes::from(body.concat())).unwrap();
        assert_eq!(place.take(&load).next, 1);
        let entry = Entry::decode(&place.logged(0)).unwrap();
        assert_eq!(entry.delivery, Some(Delivery { epoch: NUMBER_MAX, sequence: 0 }));
    }

    /// The page that people look codes up in has each of them.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../../../docs/errors/audit.md");
        for (status, code, title) in CODES {
            let row = format!("| {status} | `{code}` | {title} |");
            assert!(page.contains(&row), "docs/errors/audit.md needs the row {row}");
        }
    }
}
