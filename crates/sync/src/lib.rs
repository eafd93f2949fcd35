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
mod deed;
mod document;
mod door;
mod founders;
mod hub;
mod metrics;
mod names;
mod pace;
mod revocations;
mod rosters;
mod settings;
mod snapshots;
mod socket;
mod tenants;
mod trust;
mod wakes;
mod websocket;

#[cfg(feature = "fuzz")]
pub use websocket::property::messages;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use selvedge_crdt::session::{DeviceId, DocumentId};
use selvedge_eventlog::Log;
use selvedge_seal::token::{Capability, Issuers, TokenError};
use tokio::io::{AsyncRead, AsyncWrite};

pub use deed::Deed;
pub use door::NoHandshake;
pub use founders::NotFounded;
pub use pace::Pace;
pub use settings::{Guests, Rule, Settings};
pub use trust::NotSpent;
pub use wakes::Push;

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

/// What becomes of a request that asks for a WebSocket.
pub struct Welcome {
    /// Fields of the response 101.
    pub fields: [(HeaderName, HeaderValue); 4],
    /// The connection.
    pub seat: Seat,
}

/// A connection that may be served, once the response has gone. Dropped, it is none.
pub struct Seat {
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
        let wakes = wakes::run(self.hub.clone());
        tokio::join!(self.hub.clone().sweep(), self.hub.clone().tell_presences(), wakes);
    }

    /// From now on the tokens of these issuers count; channels that are open stay.
    pub fn set_issuers(&self, issuers: Issuers) {
        self.hub.warden.set_issuers(issuers);
    }

    /// What a token says that counts: of one of the issuers, not over, and not revoked. Whose it is, the caller verifies. A link
    /// for once that was spent counts here: whether for this device, [`spend`](Self::spend) says.
    ///
    /// # Errors
    /// Why it does not count; nothing if it was revoked.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Capability, Option<TokenError>> {
        let capability = self.hub.warden.verify(token, now_s)?;
        let is_link = capability.link.is_some();
        if !is_link && self.is_revoked(&capability.id) { Err(None) } else { Ok(capability) }
    }

    /// Whether a token is revoked.
    pub fn is_revoked(&self, id: &str) -> bool {
        self.hub.warden.is_revoked(id)
    }

    /// Revokes a token by its id, of which none ends after `until_s` (seconds since 1970), and closes its channels. Nothing if too
    /// many are revoked.
    pub fn revoke(&self, id: &str, until_s: u64) -> Option<Deed> {
        self.hub.warden.has_room().then(|| self.hub.revoke(id, until_s, None))
    }

    /// Has a device spend the token of a link that is for once; nothing to be done if it did before.
    ///
    /// # Errors
    /// Why the link brings it not in.
    pub fn spend(
        &self,
        id: &str,
        (by, until_s): (&DeviceId, u64),
    ) -> Result<Option<Deed>, NotSpent> {
        let is_new = self.hub.warden.spend(id, by)?;
        Ok(is_new.then(|| self.hub.revoke(id, until_s, Some(*by))))
    }

    /// Has a device found a document that nobody has founded; nothing to be done if it did before.
    ///
    /// # Errors
    /// Why it does not.
    pub fn found(
        &self,
        document: &DocumentId,
        device: &DeviceId,
    ) -> Result<Option<Deed>, NotFounded> {
        self.hub.found(document, device)
    }

    /// Whether a device was a member of an encrypted document, and is not any more. Nothing if that cannot be read.
    pub async fn was_removed(&self, document: &DocumentId, device: &DeviceId) -> Option<bool> {
        let line = self.hub.line(document).await.ok()?;
        Some(line.is_some_and(|line| line.gone.contains(device)))
    }

    /// Whether pages of the origin that a request names may ask for something, if it names one.
    pub fn is_welcome(&self, fields: &HeaderMap) -> bool {
        door::is_welcome(fields, &self.hub.settings.origins)
    }

    /// The key that browsers subscribe with to be woken, if they can be.
    pub fn push_key(&self) -> Option<[u8; 65]> {
        self.hub.wakes.as_ref().map(wakes::Wakes::public_key)
    }

    /// Ends all connections: devices are told to come again.
    pub fn drain(&self) {
        self.hub.drain();
    }

    /// Whether nothing was looked after for a minute: nothing is saved then, and nobody who went away is noticed.
    pub fn is_stuck(&self) -> bool {
        self.hub.is_stuck()
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
        let subscriptions = self.hub.wakes.as_ref().map_or(0, wakes::Wakes::subscriptions);
        self.hub.metrics.subscriptions.store(subscriptions as u64, Relaxed);
        self.hub.metrics.render(out);
    }
}

impl Seat {
    /// Serves the connection to its end. What is returned is as large as an idle connection's task: nothing is in it twice.
    pub fn serve<T: AsyncRead + AsyncWrite + Unpin>(
        self,
        io: T,
    ) -> impl Future<Output = ()> + use<T> {
        socket::Socket::new(io, self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.farewell(&self.connection);
    }
}
