//! Event streams for applications: the Durable Streams protocol on the log.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use selvedge_audit::event::{Event, Fact};
use selvedge_base::ByteSize;
use selvedge_config::CoreStreams;
use selvedge_eventlog::Log;
use selvedge_streams::{Settings, Streams};
use tokio::task::JoinHandle;

use super::{
    Service,
    audit::{Asker, Journal, outcome, unwritten},
};

/// The streams, and the task that deletes those whose time is over.
pub(super) struct StreamsService {
    streams: Streams,
    journal: Arc<Journal>,
    sweep: JoinHandle<()>,
}

impl StreamsService {
    /// Reads which streams there are. Inside of the runtime.
    pub(super) fn open((log, journal): (Log, Arc<Journal>), bounds: &CoreStreams) -> Self {
        let streams = Streams::new(log, settings(bounds));
        let sweeping = streams.clone();
        Self { streams, journal, sweep: tokio::spawn(async move { sweeping.sweep().await }) }
    }
}

/// Puts creations and deletions into the audit log: that one is about to be done is durable before
/// it is, and what came of it follows.
async fn audited(
    State(journal): State<Arc<Journal>>,
    asker: Asker,
    request: Request,
    next: Next,
) -> Response {
    let (action, scope) = match *request.method() {
        Method::PUT => ("stream.create", "streams:write"),
        Method::DELETE => ("stream.delete", "streams:delete"),
        _ => return next.run(request).await,
    };
    // Who may not do it is told so, and has done nothing.
    if asker.caller.require(scope).is_err() {
        return next.run(request).await;
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let event = journal.by(&asker, action, ("stream", &path));
    let begun = match journal.write(staged(&event, "begun")).await {
        Ok(begun) => begun,
        Err(error) => return unwritten(&error),
    };
    // A task of its own: a client that goes away does not keep what came of it out of the log.
    let ending = tokio::spawn(async move {
        let response = next.run(request).await;
        // What was done is done, and that it was begun is in the log.
        drop(journal.write(ended(&event, begun, response.status().as_u16())).await);
        response
    });
    ending.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn ended(event: &Event, begun: u64, status: u16) -> Event {
    let mut ended = Event { outcome: outcome(status), ..staged(event, "ended") };
    let number = |number: u64| Fact::Number(i64::try_from(number).unwrap_or(i64::MAX));
    ended.details.insert("begun".to_owned(), number(begun));
    ended.details.insert("status".to_owned(), number(status.into()));
    ended
}

fn staged(event: &Event, stage: &str) -> Event {
    let mut event = event.clone();
    event.details.insert("stage".to_owned(), Fact::Text(stage.to_owned()));
    event
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
        let audited = middleware::from_fn_with_state(self.journal.clone(), audited);
        self.streams.router().layer(audited)
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
