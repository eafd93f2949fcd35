//! Event streams over HTTP: an application appends and is told when it is safe; readers replay from where they were, or follow.
//!
//! It speaks the open Durable Streams protocol, so that existing clients work. It opens no socket and no file: the core gives it
//! a [`Log`], and puts its router where it likes; who calls is what `selvedge-identity` says. What is particular to this server
//! is in `docs/reference/streams.md`.
//!
//! ```
//! use selvedge_eventlog::{Log, Settings};
//! use selvedge_streams::Streams;
//!
//! # let folder = tempfile::tempdir()?;
//! let log = Log::open(folder.path(), Settings::default())?;
//! let streams = Streams::new(log, selvedge_streams::Settings::default());
//! let router: axum::Router = streams.router();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chronicle;
mod content;
mod cursor;
mod directory;
mod follow;
mod headers;
mod http;
mod json;
mod lifetime;
mod list;
mod meta;
mod offset;
mod pace;
mod path;
mod read;
mod reader;
mod refusal;
mod seats;
mod service;
mod settings;
mod sse;
mod write;
mod writer;

use std::{sync::Arc, time::Duration};

use selvedge_eventlog::Log;

pub use chronicle::{Author, Change, Chronicle, Untold, What};
pub use refusal::CODES;
pub use settings::Settings;

/// Methods that streams know.
const METHODS: &str = "PUT, POST, GET, HEAD, DELETE, OPTIONS";
/// How often streams are looked for whose time is over.
const SWEEP: Duration = Duration::from_millis(500);

/// All streams of a log.
#[derive(Clone)]
pub struct Streams {
    door: Arc<http::Door>,
}

impl Streams {
    /// Reads which streams there are, and has as much kept of them as the settings say. Blocks where these changed.
    pub fn new(log: Log, settings: Settings) -> Streams {
        Streams::open(log, settings, None)
    }

    /// Does the same. Each stream that is made or ends from now on is told in the batch that does it.
    pub fn told(log: Log, settings: Settings, chronicle: Arc<dyn Chronicle>) -> Streams {
        Streams::open(log, settings, Some(chronicle))
    }

    fn open(log: Log, settings: Settings, chronicle: Option<Arc<dyn Chronicle>>) -> Streams {
        let service = service::Service::new(log, settings, chronicle);
        Streams { door: Arc::new(http::Door::new(service)) }
    }

    /// Returns the service: a stream's path is the whole path of the request.
    ///
    /// Requests carry a [`Caller`](selvedge_identity::Caller); who has none is refused.
    pub fn router(&self) -> axum::Router {
        http::router(Arc::clone(&self.door))
    }

    /// Deletes streams whose time is over, for as long as it is polled.
    pub async fn sweep(&self) {
        let mut turns = tokio::time::interval(SWEEP);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.door.service.sweep().await;
        }
    }

    /// Lets every reader that waits go, so that the process can end: they come back where they were.
    pub fn drain(&self) {
        self.door.draining.send_replace(true);
    }
}
