//! What the edge tells the audit log of its core: kept on its own disk first, then delivered.
//!
//! Cores tell, and wait for nothing. One thread, the writer, takes what they told and makes it durable in
//! the spool; another, the courier, brings it to the core and forgets what the core has. Each may be
//! behind, fail or be killed without the other.

mod courier;
pub(crate) mod inbox;
mod road;
mod tally;
mod writer;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use selvedge_audit::{event::Event, time::Timestamp};
use selvedge_config::{Audit, Config};
use selvedge_edge::{AuditFeed, AuditTrail};
use selvedge_telemetry::Hub;
use tokio::sync::watch;

use self::{road::Road, tally::Tally, writer::Writer};
use crate::core::Link;

/// Keeps and delivers, as long as the edge runs.
pub(super) struct AuditKeeper {
    trail: AuditTrail,
    wanted: watch::Sender<Wanted>,
    office: Arc<Office>,
    writer: Option<JoinHandle<()>>,
}

/// What the config in force asks for.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    /// `None`: nothing is kept.
    audit: Option<Audit>,
    /// Where the core is.
    road: Option<Road>,
}

/// What both threads and the metrics share.
struct Office {
    hub: Hub,
    tally: Tally,
    /// All is to be written, and what can be delivered at once.
    ending: AtomicBool,
}

impl Wanted {
    fn of(config: &Config, link: Option<&Link>) -> Self {
        Self { audit: config.audit.clone(), road: Road::of(config, link) }
    }
}

impl AuditKeeper {
    /// Starts the writer, which starts the courier where there is something to be kept.
    pub(super) fn start(
        (trail, feed): (AuditTrail, AuditFeed),
        (config, link): (&Config, Option<&Link>),
        hub: &Hub,
    ) -> io::Result<Self> {
        let (wanted, follow) = watch::channel(Wanted::of(config, link));
        let tally = Tally::default();
        let office = Arc::new(Office { hub: hub.clone(), tally, ending: AtomicBool::new(false) });
        let (told, shown) = (trail.clone(), office.clone());
        hub.also_render(move |page| shown.tally.render(&told, page));
        let writer = Writer::new(feed, follow, office.clone());
        let thread = std::thread::Builder::new().name("audit-spool".to_owned());
        let writer = Some(thread.spawn(move || writer.run())?);
        Ok(Self { trail, wanted, office, writer })
    }

    /// Follows a config that took effect.
    pub(super) fn follow(&self, config: &Config, link: Option<&Link>) {
        self.wanted.send_replace(Wanted::of(config, link));
    }

    /// Tells something that the edge as a whole did.
    pub(super) fn tell(&self, event: Event) {
        self.trail.tell(event);
    }

    /// Writes what was told, delivers what the core takes at once, and ends. Blocks for some seconds at
    /// most; what is left is delivered after the next start.
    pub(super) fn end(mut self) {
        self.office.ending.store(true, Relaxed);
        if let Some(writer) = self.writer.take() {
            // A thread that panicked has told so, and has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl Office {
    fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }
}

/// This moment, as entries have it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
