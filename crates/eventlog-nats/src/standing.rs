//! How it stands with the servers, for whoever asks.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_nats::Event;
use tokio::sync::watch;

/// What is known of the servers.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    trouble: Mutex<Trouble>,
    leaving: AtomicBool,
    /// How often a connection has ended.
    breaks: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// No server is connected.
    away: bool,
    /// Why something waits to be written.
    waits: Option<String>,
    /// Why nothing can be written any more.
    over: Option<String>,
}

impl Standing {
    /// Why nothing is written at present, if nothing is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.lock();
        let away = || trouble.away.then(|| "no server of NATS is connected".to_owned());
        let waits =
            trouble.waits.as_ref().map(|reason| format!("NATS does not take the log: {reason}"));
        trouble.over.clone().or(waits).or_else(away)
    }

    pub(crate) fn waits(&self, reason: &str) {
        self.lock().waits = Some(reason.to_owned());
    }

    pub(crate) fn is_well(&self) {
        self.lock().waits = None;
    }

    /// The first reason stays.
    pub(crate) fn is_over(&self, reason: &str) {
        self.lock().over.get_or_insert_with(|| reason.to_owned());
    }

    pub(crate) fn hears(&self, event: &Event) {
        match event {
            Event::Connected => self.lock().away = false,
            Event::Disconnected | Event::Closed => {
                self.lock().away = true;
                self.breaks.send_modify(|breaks| *breaks += 1);
            }
            _ => {}
        }
    }

    /// Changes when a connection ends: what was to be heard on it will not be.
    pub(crate) fn breaks(&self) -> watch::Receiver<u64> {
        self.breaks.subscribe()
    }

    /// Lets who waits for a server that is away wait no longer.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
