//! The thread that follows the stream of entries.

use std::{
    io,
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    task::{Context, Waker},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use selvedge_eventlog::{Batch, Follower, Log, StreamId};

use super::{AuditError, Pace, Shared, Unpark};
use crate::{
    integrate::{IntegrateError, Integrator, Settlement, settle},
    store::Storage,
};

type Store = Arc<dyn Storage>;

/// The other thread: why it ended before there was nothing more to come.
type Settler<'scope> = ScopedJoinHandle<'scope, io::Result<()>>;

/// So many entries go under one head at most, so that a log that comes from behind shows progress.
const CYCLE_ENTRIES: u64 = 16_384;

/// The event log forgets settled entries in steps of this many.
const TRIM_STEP: u64 = 65_536;

/// After a full disk or the like, everything is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Follow {
    pub(super) log: Log,
    pub(super) stream: StreamId,
    pub(super) storage: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) pace: Pace,
}

impl Follow {
    pub(super) fn run(self, mut integrator: Integrator<Store>) {
        while let Err(error) = self.work(&mut integrator) {
            self.tell(&error);
            if is_final(&error) || !self.start_again(&mut integrator) {
                break;
            }
        }
    }

    /// Signs and settles until the log is to stop, or one of the two fails.
    fn work(&self, integrator: &mut Integrator<Store>) -> Result<(), AuditError> {
        let (settling, settlements) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            let settler = scope.spawn(move || self.settle_all(settlements));
            let followed = self.follow(integrator, &settling, &settler);
            drop(settling);
            let settled = settler.join().unwrap_or_else(|panic| resume_unwind(panic));
            followed.and(settled.map_err(AuditError::Settle))
        })
    }

    fn tell(&self, error: &AuditError) {
        let fault = Some(crate::verify::told(error));
        self.shared.tell(|status| match error {
            AuditError::Settle(_) => status.unsettled = fault,
            _ => status.fault = fault,
        });
    }

    /// Goes back to what is durable, once it can be read; returns whether to go on.
    fn start_again(&self, integrator: &mut Integrator<Store>) -> bool {
        while !self.shared.is_stopped() {
            thread::park_timeout(RETRY);
            match integrator.reopen().map_err(AuditError::Integrate) {
                Ok(()) => {
                    self.shared.tell(|status| status.settled = integrator.size());
                    return true;
                }
                Err(error) => self.tell(&error),
            }
        }
        false
    }

    fn follow(
        &self,
        integrator: &mut Integrator<Store>,
        settling: &SyncSender<Settlement>,
        settler: &Settler<'_>,
    ) -> Result<(), AuditError> {
        let follower = self.log.follow(self.stream, integrator.size());
        let mut follower = follower.map_err(AuditError::Read)?;
        let (mut signed_at, mut settled_at) = (Instant::now(), Instant::now());
        let mut sent = integrator.size();
        // Who settles ends by itself only where it failed, and says why when it is joined.
        while !settler.is_finished() {
            let stopped = self.shared.is_stopped();
            let more = self.take(&mut follower, integrator)?;
            if let Some(head) = integrator.publish().map_err(AuditError::Integrate)? {
                self.shared.keep_head(Some(head));
            }
            self.tell_progress(integrator);
            let is_behind = sent > self.shared.lock().settled;
            if stopped || (!is_behind && settled_at.elapsed() >= self.pace.settle) {
                self.send(integrator, settling, &mut sent)?;
                settled_at = Instant::now();
            }
            if stopped && !more {
                return Ok(());
            }
            if !more {
                let unsettled = integrator.size() > self.shared.lock().settled;
                self.wait(&follower, unsettled.then_some(self.pace.settle));
                self.rest(signed_at);
            }
            signed_at = Instant::now();
        }
        Ok(())
    }

    /// What is written is in order again.
    fn tell_progress(&self, integrator: &Integrator<Store>) {
        let (size, signed) = (integrator.size(), integrator.signed_size());
        self.shared.tell(|status| {
            (status.signed, status.fault) = (signed, None);
            if size <= status.settled {
                status.unsettled = None;
            }
        });
    }

    /// Takes what has come; returns whether there may be more.
    fn take(
        &self,
        follower: &mut Follower,
        integrator: &mut Integrator<Store>,
    ) -> Result<bool, AuditError> {
        let until = integrator.size() + CYCLE_ENTRIES;
        while integrator.size() < until {
            let chunk = follower.take().map_err(AuditError::Read)?;
            let before = integrator.size();
            for (_, record) in chunk.records() {
                integrator.append(&record).map_err(AuditError::Integrate)?;
            }
            if integrator.size() == before {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send(
        &self,
        integrator: &mut Integrator<Store>,
        settling: &SyncSender<Settlement>,
        sent: &mut u64,
    ) -> Result<(), AuditError> {
        let settlement = integrator.settlement().map_err(AuditError::Integrate)?;
        if let Some(settlement) = settlement {
            *sent = settlement.size();
            // It has room for one, and fails only when the other thread has, which is seen next.
            let _ = settling.send(settlement);
        }
        Ok(())
    }

    /// Sleeps until there is an entry, the log is to stop, or the time is over.
    fn wait(&self, follower: &Follower, time: Option<Duration>) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let until = time.map(|time| Instant::now() + time);
        while !self.shared.is_stopped() && pin!(follower.changed()).poll(&mut context).is_pending()
        {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }

    /// Lets entries gather between two heads.
    fn rest(&self, signed_at: Instant) {
        let until = signed_at + self.pace.head;
        while !self.shared.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// The other thread: makes durable what it is sent, so that heads need not wait for it.
    ///
    /// It ends at the first that fails: a later sync may succeed without what was lost, so everything
    /// since the last settlement is to be written again.
    fn settle_all(&self, settlements: Receiver<Settlement>) -> io::Result<()> {
        let mut trimmed = 0;
        for settlement in settlements {
            settle(&self.storage, &settlement)?;
            let size = settlement.size();
            self.shared.tell(|status| (status.settled, status.unsettled) = (size, None));
            if size - trimmed >= TRIM_STEP {
                // Refused or not: it is asked for again with the next step.
                let _ = self.log.append(Batch::trim(self.stream, size)).wait();
                trimmed = size;
            }
        }
        Ok(())
    }
}

/// Whether trying again would find the same.
fn is_final(error: &AuditError) -> bool {
    match error {
        AuditError::Integrate(error) => !matches!(error, IntegrateError::Io(_)),
        _ => false,
    }
}
