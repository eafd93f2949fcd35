//! Event streams for applications: the Durable Streams protocol on the log.

use axum::Router;
use selvedge_base::ByteSize;
use selvedge_config::CoreStreams;
use selvedge_eventlog::Log;
use selvedge_streams::{Settings, Streams};
use tokio::task::JoinHandle;

use super::Service;

/// The streams, and the task that deletes those whose time is over.
pub(super) struct StreamsService {
    streams: Streams,
    sweep: JoinHandle<()>,
}

impl StreamsService {
    /// Reads which streams there are. Inside of the runtime.
    pub(super) fn open(log: Log, bounds: &CoreStreams) -> Self {
        let streams = Streams::new(log, settings(bounds));
        let sweeping = streams.clone();
        Self { streams, sweep: tokio::spawn(async move { sweeping.sweep().await }) }
    }
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
        self.streams.router()
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
