//! The thread that makes durable what the cores told, and watches over the courier.

use std::{
    fmt::Display,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use selvedge_audit::{
    event::Event,
    spool::{Fill, Loss, PORTION_BYTES_MAX, PORTION_EVENTS_MAX, Spool, SpoolError, Why, written},
};
use selvedge_config::Audit;
use selvedge_edge::{AuditFeed, AuditNews};
use selvedge_telemetry::Level;
use tokio::sync::{Notify, watch};

use super::{Office, Wanted, courier::Courier, inbox::Inbox, now};
use crate::exit::chain;

/// Events taken from one queue in one go.
const TAKEN_MAX: usize = 128;
/// How long the writer sleeps where nothing is told: then it looks at the config and the inbox.
const LOOK: Duration = Duration::from_millis(250);
/// How long a spool that does not open or take anything is left alone.
const RETRY: Duration = Duration::from_secs(2);
/// Bytes of events that wait in memory for a disk that takes nothing; those that come then are counted.
const PENDING_BYTES_MAX: usize = 8 << 20;

pub(super) struct Writer {
    feed: AuditFeed,
    wanted: watch::Receiver<Wanted>,
    office: Arc<Office>,
    /// Taken and not durable yet, the oldest first.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    /// What was dropped while there was no spool to tell.
    losses: Vec<Loss>,
    /// How many of them were under way when the disk failed, and how many events the spool had ever
    /// taken before.
    under_way: Option<(usize, u64)>,
    /// What was told last of the spool's state, so that it is told once.
    trouble: Option<String>,
}

/// Why a spool is used no more.
enum Over {
    /// The edge ends.
    Ended,
    /// The config asks for another, or none.
    Moved,
    /// The disk failed; it has to be opened again.
    Broken,
}

/// The courier's thread, which ends with this.
struct Courting {
    bell: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    is_over: watch::Sender<bool>,
}

impl Writer {
    pub(super) fn new(
        feed: AuditFeed,
        wanted: watch::Receiver<Wanted>,
        office: Arc<Office>,
    ) -> Self {
        let (pending, losses) = (Vec::new(), Vec::new());
        Self {
            feed,
            wanted,
            office,
            pending,
            pending_bytes: 0,
            losses,
            under_way: None,
            trouble: None,
        }
    }

    /// Runs until the edge ends and all is written that can be.
    pub(super) fn run(mut self) {
        loop {
            let audit = self.wanted.borrow_and_update().audit.clone();
            let over = match audit {
                None => self.discard(),
                Some(audit) => match open(&audit) {
                    Ok(spool) => self.keep(Arc::new(spool), &audit),
                    Err(error) => self.wait(&audit, &error),
                },
            };
            if matches!(over, Over::Ended) {
                return self.give_up();
            }
        }
    }

    /// Nobody wants to know.
    fn discard(&mut self) -> Over {
        self.office.tally.set_fill(Fill::default());
        loop {
            self.feed.take(TAKEN_MAX, LOOK);
            if self.office.is_ending() {
                return Over::Ended;
            }
            if self.wanted.borrow().audit.is_some() {
                return Over::Moved;
            }
        }
    }

    /// The spool does not open: what comes waits in memory as far as there is room.
    fn wait(&mut self, audit: &Audit, error: &str) -> Over {
        let dir = audit.dir.display();
        self.complain(error, &[("dir", &dir)]);
        let until = Instant::now() + RETRY;
        while Instant::now() < until {
            self.take();
            if self.office.is_ending() {
                return Over::Ended;
            }
        }
        Over::Broken
    }

    fn keep(&mut self, spool: Arc<Spool>, audit: &Audit) -> Over {
        self.settle_pending(&spool);
        let inbox = Inbox::of(&audit.dir);
        let courting = match self.court(&spool) {
            Ok(courting) => courting,
            Err(error) => {
                self.complain(&format!("there is no thread to deliver: {error}"), &[]);
                return Over::Broken;
            }
        };
        loop {
            let is_ending = self.office.is_ending();
            let was_idle = !self.take();
            self.losses.drain(..).for_each(|loss| spool.lose(loss));
            inbox.pick_up(&spool, &self.office);
            self.write(&spool);
            self.office.tally.set_fill(spool.fill());
            courting.bell.notify_one();
            if spool.is_broken() {
                self.complain("a disk failed; it is opened again", &[]);
                return Over::Broken;
            }
            if is_ending && was_idle {
                return Over::Ended;
            }
            match &self.wanted.borrow().audit {
                Some(wanted) if wanted.dir == audit.dir => spool.set_bytes_max(wanted.spool.0),
                _ => return Over::Moved,
            }
        }
    }

    fn court(&self, spool: &Arc<Spool>) -> std::io::Result<Courting> {
        let bell = Arc::new(Notify::new());
        let (is_over, over) = watch::channel(false);
        let courier = Courier {
            spool: spool.clone(),
            wanted: self.wanted.clone(),
            office: self.office.clone(),
            bell: bell.clone(),
            over,
        };
        let thread = std::thread::Builder::new().name("audit-courier".to_owned());
        let thread = Some(thread.spawn(move || courier.run())?);
        Ok(Courting { bell, thread, is_over })
    }

    /// After a disk failed it is open whether what was under way is kept; a batch is so as a whole.
    fn settle_pending(&mut self, spool: &Spool) {
        let Some((count, before)) = self.under_way.take() else { return };
        if spool.ever().is_ok_and(|ever| ever > before) {
            self.forget(count);
        }
    }

    fn forget(&mut self, count: usize) {
        let gone = self.pending.drain(..count);
        self.pending_bytes -= gone.map(|event| event.len()).sum::<usize>();
    }

    /// What no disk took until the end is lost, and an operator is told.
    fn give_up(&self) {
        let events = self.pending.len();
        if events > 0 {
            let message = "audit: events were lost at the end, because no disk took them";
            self.office.hub.event(Level::Error, message, &[("events", &events)]);
        }
    }

    /// Takes what was told; returns whether there was anything.
    fn take(&mut self) -> bool {
        let AuditNews { events, losses, is_over: _ } = self.feed.take(TAKEN_MAX, LOOK);
        let is_news = !events.is_empty();
        self.losses.extend(losses);
        for event in &events {
            self.add(event);
        }
        is_news
    }

    fn add(&mut self, event: &Event) {
        match written(event) {
            Some(_) if self.pending_bytes >= PENDING_BYTES_MAX => self.lose(1, Why::Disk),
            Some(bytes) => {
                self.pending_bytes += bytes.len();
                self.pending.push(bytes);
            }
            None => self.lose(1, Why::TooLong),
        }
    }

    fn lose(&mut self, events: u64, why: Why) {
        self.office.tally.lost(why, events);
        self.losses.push(Loss::new(events, now(), why));
    }

    /// Makes durable what waits, and empties it; what finds no room is counted by the spool.
    fn write(&mut self, spool: &Spool) {
        loop {
            let count = portion(&self.pending);
            self.under_way = spool.ever().ok().map(|before| (count, before));
            match spool.keep(&self.pending[..count], now()) {
                Ok(kept) => {
                    self.under_way = None;
                    self.forget(count);
                    let missed = (count - kept) as u64;
                    self.office.tally.kept(kept as u64);
                    self.office.tally.lost(Why::SpoolFull, missed);
                    self.tell_of_room(spool.fill());
                }
                Err(error) => return self.complain(&chain(&error), &[]),
            }
            if self.pending.is_empty() {
                return;
            }
        }
    }

    fn tell_of_room(&mut self, fill: Fill) {
        const FULL: &str = "there is no room; what comes is counted and dropped until the core has \
                            taken what waits";
        match fill.is_full {
            true => self.complain(FULL, &[("events", &fill.events), ("bytes", &fill.bytes)]),
            false if self.trouble.take().is_some() => {
                let message = "audit: what the edge has to tell is kept again";
                self.office.hub.event(Level::Info, message, &[]);
            }
            false => {}
        }
    }

    /// Tells of a trouble that was not told yet.
    fn complain(&mut self, why: &str, fields: &[(&str, &dyn Display)]) {
        if self.trouble.as_deref() != Some(why) {
            let fields: Vec<_> =
                [("why", &why as &dyn Display)].into_iter().chain(fields.iter().copied()).collect();
            let message = "audit: what the edge has to tell is not all kept";
            self.office.hub.event(Level::Warn, message, &fields);
            self.trouble = Some(why.to_owned());
        }
    }
}

impl Drop for Courting {
    fn drop(&mut self) {
        self.is_over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked delivers no more; the spool is as it was.
            let _ = thread.join();
        }
    }
}

/// Opens a spool in a folder that only its owner may enter: what it holds is not sealed.
fn open(audit: &Audit) -> Result<Spool, String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&audit.dir);
    made.map_err(|error| format!("the folder cannot be made: {error}"))?;
    let spool = Spool::open(&audit.dir, audit.spool.0, now());
    spool.map_err(|error: SpoolError| chain(&error))
}

/// How many of the first events go into one step.
fn portion(pending: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Vec<u8>| {
        bytes += event.len();
        bytes <= PORTION_BYTES_MAX
    };
    pending.iter().take(PORTION_EVENTS_MAX).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_bounded_and_always_one_event_fits() {
        assert_eq!(portion(&[]), 0);
        assert_eq!(portion(&vec![vec![0; 10]; 600]), PORTION_EVENTS_MAX);
        let large = vec![vec![0; selvedge_audit::wire::EVENT_BYTES_MAX]; 20];
        assert_eq!(portion(&large), 8);
    }
}
