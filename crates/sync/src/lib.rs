//! The relay of documents: devices edit offline, and find here what others wrote, in one order and durable.
//!
//! It speaks the [session](selvedge_crdt::session) of `docs/reference/sync-protocol.md`. What is decided is decided by the
//! machines of `selvedge_crdt::session::relay`; this crate gives them the event log, sockets, time and chance. It
//! listens nowhere: whoever has the door gives it what a request became. It never merges, and cannot read what devices sealed.
//!
//! ```no_run
//! use selvedge_eventlog::{Log, Settings};
//! use selvedge_seal::token::Issuers;
//! use selvedge_sync::{Incarnation, Sync};
//!
//! # fn open(folder: &std::path::Path, issuers: Issuers) -> Result<(), Box<dyn std::error::Error>> {
//! let log = Log::open(folder, Settings { record_bytes_max: 2 << 20, ..Settings::default() })?;
//! let incarnation = Incarnation { id: [7; 16], lost_ms: 0 }; // random, and kept beside the log
//! let sync = Sync::open(log, selvedge_sync::Settings::default(), (incarnation, issuers))?;
//! # Ok(())
//! # }
//! ```

mod checkpoints;
mod connection;
mod document;
mod door;
mod hub;
mod metrics;
mod names;
mod pace;
mod settings;
mod snapshots;
mod socket;
mod trust;
mod websocket;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use selvedge_eventlog::Log;
use selvedge_seal::token::Issuers;
use tokio::io::{AsyncRead, AsyncWrite};

pub use door::NoHandshake;
pub use settings::{Rule, Settings};

use crate::{connection::Connection, hub::Hub, trust::Warden};

/// How documents' names in the log begin: where there are some, documents were here before.
pub const DOCUMENTS: &str = names::DOCUMENTS;

/// Bytes of a record that the log must take.
pub const RECORD_BYTES_MAX: usize = 2 << 20;

/// Which life of the relay this is. A copy that was restored from a backup has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Random, and the same at each start.
    pub id: [u8; 16],
    /// When this life began, if there were documents in the log by then; 0 if there were none.
    pub lost_ms: u64,
}

/// The relay.
#[derive(Clone)]
pub struct Sync {
    hub: Arc<Hub>,
}

/// A connection that may be served, and the fields of the response 101 that says so. Dropped, it is none.
pub struct Welcome {
    /// Fields of the response.
    pub fields: [(HeaderName, HeaderValue); 4],
    seat: Seat,
}

struct Seat {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
}

impl Sync {
    /// Opens the relay on a log that takes records of [`RECORD_BYTES_MAX`]; blocks.
    ///
    /// # Errors
    /// What the log said.
    pub fn open(
        log: Log,
        settings: Settings,
        (incarnation, issuers): (Incarnation, Issuers),
    ) -> Result<Self, String> {
        let hub = Hub::open(log, settings, (incarnation, Warden::new(issuers)))?;
        Ok(Self { hub: Arc::new(hub) })
    }

    /// Answers a request that asks for a WebSocket.
    ///
    /// # Errors
    /// Why it gets none.
    pub fn welcome(&self, method: &Method, fields: &HeaderMap) -> Result<Welcome, NoHandshake> {
        let fields = door::handshake(method, fields, &self.hub.settings.origins)?;
        let connection = self.hub.welcome().ok_or(NoHandshake::Full)?;
        Ok(Welcome { fields, seat: Seat { hub: self.hub.clone(), connection } })
    }

    /// Looks after documents and connections, for as long as it is polled.
    pub async fn look_after(&self) {
        tokio::join!(self.hub.clone().sweep(), self.hub.clone().tell_presences());
    }

    /// From now on the tokens of these issuers count; channels that are open stay.
    pub fn set_issuers(&self, issuers: Issuers) {
        self.hub.warden.set_issuers(issuers);
    }

    /// Revokes a token by its id, which would have ended at `until_s` (seconds since 1970): durable when this returns,
    /// and its channels are closed.
    ///
    /// # Errors
    /// What the log said.
    pub async fn revoke(&self, id: &str, until_s: u64) -> Result<(), String> {
        self.hub.revoke(id, until_s).await
    }

    /// Ends all connections: devices are told to come again.
    pub fn drain(&self) {
        self.hub.drain();
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.hub.connections()
    }

    /// Saves what is not; blocks. The last thing that is asked of a relay.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Appends metrics in Prometheus' text format.
    pub fn render_metrics(&self, out: &mut String) {
        self.hub.metrics.render(out);
    }
}

impl Welcome {
    /// Serves the connection to its end.
    pub async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let Seat { hub, connection } = &self.seat;
        socket::serve(io, hub.clone(), connection.clone()).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.farewell(&self.connection);
    }
}
