//! Event streams for applications: the Durable Streams protocol on the log.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    middleware::{self, Next},
    response::Response,
};
use percent_encoding::percent_decode_str;
use selvedge_audit::event::{Event, Fact};
use selvedge_base::ByteSize;
use selvedge_config::CoreStreams;
use selvedge_eventlog::{Append, Log};
use selvedge_streams::{Author, Change, Chronicle, Settings, Streams, Untold, What};
use selvedge_telemetry::{Hub, Level};
use tokio::task::JoinHandle;

use super::{
    Service,
    audit::{Asker, Journal, outcome},
};

const CREATE: &str = "stream.create";
const DELETE: &str = "stream.delete";

/// The streams, and the task that deletes those whose time is over.
pub(super) struct StreamsService {
    streams: Streams,
    journal: Arc<Journal>,
    sweep: JoinHandle<()>,
}

impl StreamsService {
    /// Reads which streams there are. Inside of the runtime.
    pub(super) fn open(log: Log, told: (Arc<Journal>, Hub), bounds: &CoreStreams) -> Self {
        let (journal, hub) = told;
        let chronicle = Arc::new(Told { journal: journal.clone(), hub });
        let streams = Streams::told(log, settings(bounds), chronicle);
        let sweeping = streams.clone();
        Self { streams, journal, sweep: tokio::spawn(async move { sweeping.sweep().await }) }
    }
}

/// Tells the audit log what becomes of streams, in the batch that does it.
struct Told {
    journal: Arc<Journal>,
    hub: Hub,
}

impl Chronicle for Told {
    fn step(&self, change: &Change) -> Result<Append, Untold> {
        let told = self.journal.entry(&event(&self.journal, change));
        told.map_err(|error| {
            let what = "a stream stays as it was, for the audit log takes no entry";
            self.hub.event(Level::Error, what, &[("error", &error)]);
            Untold
        })
    }
}

fn event(journal: &Journal, change: &Change) -> Event {
    let Change { what, stream, tenant, path } = change;
    let by = |author: &Author, action| {
        let Author { caller, user_agent } = author.clone();
        journal.by(&Asker::new(caller, user_agent), action, ("stream", path))
    };
    let mut event = match what {
        What::Created(author) => by(author, CREATE),
        What::Deleted(author) => by(author, DELETE),
        What::Expired => journal.own("stream.expire", ("stream", path)),
    };
    event.actor.tenant = tenant.clone();
    event.details.insert("number".to_owned(), number(stream.get()));
    event
}

/// Tells the audit log of creations and deletions that came to nothing. Who is not known is not told of, or anybody
/// could fill the log; nor is who asked for what is so already.
async fn refusals(
    State(journal): State<Arc<Journal>>,
    asker: Asker,
    request: Request,
    next: Next,
) -> Response {
    let action = match *request.method() {
        Method::PUT => CREATE,
        Method::DELETE => DELETE,
        _ => return next.run(request).await,
    };
    let path = percent_decode_str(request.uri().path().trim_start_matches('/'));
    let path = path.decode_utf8_lossy().into_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    if status >= 400 && !asker.caller.is_anonymous() {
        let mut event = journal.by(&asker, action, ("stream", &path));
        event.outcome = outcome(status);
        event.details.insert("status".to_owned(), number(status.into()));
        // Nothing was done, whether it can be told or not.
        drop(journal.write(event).await);
    }
    response
}

fn number(number: u64) -> Fact {
    Fact::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn settings(bounds: &CoreStreams) -> Settings {
    let CoreStreams {
        append,
        append_rate,
        page,
        long_poll,
        events,
        followers,
        per_tenant,
        age,
        size,
        origins,
    } = bounds.clone();
    let bytes = |ByteSize(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX);
    Settings {
        append_bytes_max: bytes(append),
        append_bytes_per_s: append_rate.map_or(0, |ByteSize(bytes)| bytes),
        page_bytes: bytes(page),
        long_poll,
        sse: events,
        followers_max: followers,
        streams_per_tenant_max: per_tenant.unwrap_or(0),
        age_max: age,
        stream_bytes_max: size.map(|ByteSize(bytes)| bytes),
        origins,
        ..Settings::default()
    }
}

impl Service for StreamsService {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn router(&self) -> Router {
        let refusals = middleware::from_fn_with_state(self.journal.clone(), refusals);
        self.streams.router().layer(refusals)
    }

    fn drain(&self) {
        self.streams.drain();
    }

    fn close(&self) {
        self.sweep.abort();
    }
}

#[cfg(test)]
mod tests {
    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../../docs/errors/streams.md");
        for (status, code, title) in selvedge_streams::CODES {
            let row = format!("| {status} | `{code}` | {title} |");
            assert!(page.contains(&row), "docs/errors/streams.md needs the row {row}");
        }
        let rows = page.lines().filter(|line| line.contains("| `streams/")).count();
        assert_eq!(rows, selvedge_streams::CODES.len());
    }
}
