//! Every bound of the relay, with its default.

use std::{sync::Arc, time::Duration};

use selvedge_crdt::{
    Schema,
    session::{
        DocumentId,
        relay::{Demand, Terms},
    },
};

use crate::Push;

/// The bounds of the relay, and what happens there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once; 503 beyond.
    pub connections_max: usize,
    /// Documents that one connection has open; CLOSED *limit* beyond.
    pub channels_max: u32,
    /// Documents that all connections of a tenant have open together; CLOSED *limit* beyond. 0 is no bound.
    pub tenant_channels_max: usize,
    /// Documents of a tenant; pushes to new ones are refused (*quota*) beyond. 0 is no bound.
    pub tenant_documents_max: usize,
    /// Bytes of a document's records; pushes are refused (*quota*) beyond, until a snapshot takes their place.
    pub document_bytes_max: u64,
    /// Pushes of one device in a second, with ten seconds' worth at once; refused (*quota*) beyond. 0 is no bound.
    pub device_pushes_per_s: u32,
    /// The same for all devices of a tenant.
    pub tenant_pushes_per_s: u32,
    /// Bytes that a device may have pushed and not heard of; as many as the largest message takes, at least.
    pub credit: u32,
    /// How long a device may be away before what it holds counts as forgotten.
    pub lease: Duration,
    /// How long the log before a snapshot stays.
    pub grace: Duration,
    /// How long a document that nobody has open stays in memory.
    pub idle: Duration,
    /// After how much silence a connection is asked whether it is still there, and after twice as much it is gone.
    pub ping: Duration,
    /// How long a device may take nothing of what is sent; the connection ends then.
    pub stall: Duration,
    /// How long a presence lasts that is not said again.
    pub presence: Duration,
    /// Records between two compactions, at least, unless they have megabytes.
    pub compact_records: u64,
    /// What is expected of which documents; the first that fits counts.
    pub rules: Vec<Rule>,
    /// Which documents any device may found.
    pub guests: Vec<Guests>,
    /// Origins of web pages that may connect; `*` for all. Pages of the relay's own host always may.
    pub origins: Vec<String>,
    /// How devices are woken that are not connected; nothing: they are not.
    pub push: Option<Push>,
}

/// What is expected of some documents.
#[derive(Clone, Debug)]
pub struct Rule {
    /// A tenant; `*` for all.
    pub tenant: String,
    /// A document, or a prefix that ends in `/`, or `*` for all.
    pub documents: String,
    /// Whether batches must be sealed.
    pub demand: Demand,
    /// What plain batches must follow.
    pub schema: Option<Arc<Schema>>,
}

/// Documents that any device may found.
#[derive(Clone, Debug)]
pub struct Guests {
    /// Their tenant.
    pub tenant: String,
    /// How their names begin; it ends in `/`.
    pub prefix: String,
    /// How many there may be; who founds another is refused beyond.
    pub documents_max: usize,
    /// Bytes of the records of one, and of each of its snapshots; refused (*quota*) beyond.
    pub document_bytes_max: u64,
}

/// Letters of the last part of a founded document's name, at least: 128 random bits in base64url.
const UNGUESSABLE: usize = 22;

impl Guests {
    pub(crate) fn are_for(&self, document: &DocumentId) -> bool {
        self.tenant == document.tenant() && document.name().starts_with(&self.prefix)
    }

    /// Whether nobody finds this name who was not told it.
    pub(crate) fn is_unguessable(document: &DocumentId) -> bool {
        let last = document.name().rsplit('/').next().unwrap_or_default();
        last.len() >= UNGUESSABLE
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 100_000,
            channels_max: 256,
            tenant_channels_max: 0,
            tenant_documents_max: 0,
            document_bytes_max: 1 << 30,
            device_pushes_per_s: 100,
            tenant_pushes_per_s: 0,
            credit: 2 << 20,
            lease: Duration::from_secs(30 * 86_400),
            grace: Duration::from_secs(3600),
            idle: Duration::from_secs(60),
            ping: Duration::from_secs(45),
            stall: Duration::from_secs(600),
            presence: Duration::from_secs(30),
            compact_records: 256,
            rules: Vec::new(),
            guests: Vec::new(),
            origins: Vec::new(),
            push: None,
        }
    }
}

impl Rule {
    fn is_for(&self, document: &DocumentId) -> bool {
        let tenant = self.tenant == "*" || self.tenant == document.tenant();
        let name = match self.documents.as_str() {
            "*" => true,
            prefix if prefix.ends_with('/') => document.name().starts_with(prefix),
            name => name == document.name(),
        };
        tenant && name
    }
}

impl Settings {
    /// What is expected of a document.
    pub(crate) fn terms(&self, document: &DocumentId) -> Terms {
        let rule = self.rules.iter().find(|rule| rule.is_for(document));
        let guests = self.guests.iter().find(|guests| guests.are_for(document));
        let of_guests = guests.map_or(u64::MAX, |guests| guests.document_bytes_max);
        let again = Duration::from_secs(60);
        Terms {
            lease_ms: ms(self.lease),
            compact_records: self.compact_records,
            bytes_max: self.document_bytes_max.min(of_guests),
            snapshot_bytes_max: of_guests,
            again_ms: ms(again),
            demand: rule.map(|rule| rule.demand).unwrap_or_default(),
            schema: rule.and_then(|rule| rule.schema.clone()),
            ..Terms::default()
        }
    }
}

/// As milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
