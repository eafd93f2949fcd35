//! What an agent measures itself, asked for over one of its connections whenever somebody looks.
//!
//! Connections belong to cores, and those who look to the control thread: it leaves word with the first
//! connection, whose driver asks, and waits for a while.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use selvedge_agent::Report;
use tokio::{sync::Notify, time::timeout};

/// How long somebody who looks waits for an agent; then what it told before has to do.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// What the cores' connections to one agent have in common.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    shared: Mutex<Shared>,
    /// The agent has told.
    news: Notify,
    /// How often it has.
    told: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    /// Connections over which the agent can be asked; the first one is.
    lines: Vec<Arc<Line>>,
    /// What it told last, and over which connection.
    report: Option<(Arc<Line>, Arc<Report>)>,
}

#[derive(Debug)]
struct Line {
    /// Somebody looks.
    wanted: AtomicBool,
    driver: Waker,
}

/// A connection over which the agent can be asked, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Asked {
    measures: Arc<Measures>,
    line: Arc<Line>,
}

impl Asked {
    /// Whether somebody has looked since this was asked.
    pub(crate) fn take_wish(&self) -> bool {
        self.line.wanted.load(Relaxed) && self.line.wanted.swap(false, Relaxed)
    }

    /// The agent has told what it measured.
    pub(crate) fn tell(&self, report: Report) {
        self.measures.shared().report = Some((self.line.clone(), Arc::new(report)));
        self.measures.told.fetch_add(1, Relaxed);
        self.measures.news.notify_waiters();
    }
}

impl Drop for Asked {
    /// What was told over this connection goes with it: the process may be another by now.
    fn drop(&mut self) {
        let mut shared = self.measures.shared();
        shared.lines.retain(|one| !Arc::ptr_eq(one, &self.line));
        shared.report.take_if(|(teller, _)| Arc::ptr_eq(teller, &self.line));
    }
}

impl Measures {
    /// The agent can be asked over one more connection, whose driver this wakes.
    pub(crate) fn open(self: &Arc<Self>, driver: Waker) -> Asked {
        let line = Arc::new(Line { wanted: AtomicBool::new(false), driver });
        self.shared().lines.push(line.clone());
        Asked { measures: self.clone(), line }
    }

    /// What the agent told last, as long as the connection stands on which it did.
    pub(crate) fn report(&self) -> Option<Arc<Report>> {
        self.shared().report.as_ref().map(|(_, report)| report.clone())
    }

    /// Asks the agent, and waits for its answer, or for so long.
    pub(crate) async fn refresh(&self) {
        let before = self.told.load(Relaxed);
        if !self.wish() {
            return;
        }
        let told = async {
            loop {
                let news = self.news.notified();
                if self.told.load(Relaxed) != before {
                    return;
                }
                news.await;
            }
        };
        // What it told before is shown if it takes longer.
        let _ = timeout(PATIENCE, told).await;
    }

    /// `false`: there is nobody to ask.
    fn wish(&self) -> bool {
        let shared = self.shared();
        let Some(line) = shared.lines.first() else { return false };
        line.wanted.store(true, Relaxed);
        line.driver.wake_by_ref();
        true
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing that is done under the lock can leave it half changed.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
