//! What the core does beside its requests: it writes down which tokens were used, and follows certificates that are
//! renewed.

use std::{sync::Arc, time::Duration};

use selvedge_telemetry::{Hub, Level};

use super::{doors::Certificates, gate::Gate, tls::EdgeTls};
use crate::exit::Failure;

/// What it works on.
#[derive(Clone)]
pub(super) struct Housekeeping {
    pub(super) gate: Arc<Gate>,
    pub(super) hub: Hub,
    /// `None`: no edge connects from elsewhere.
    pub(super) certificates: Option<Certificates>,
}

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

impl Housekeeping {
    /// Goes on until it is dropped.
    pub(super) async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let house = self.clone();
            let done = tokio::task::spawn_blocking(move || {
                house.keep_usage();
                house.follow_certificates();
            });
            // One that panicked has said so; the next may go better.
            let _ = done.await;
        }
    }

    /// Writes down which tokens were used.
    pub(super) fn keep_usage(&self) {
        if let Err(error) = self.gate.in_force().desk.keep_usage() {
            let message = "core: the last uses of tokens cannot be written down";
            self.hub.event(Level::Warn, message, &[("error", &error)]);
        }
    }

    fn follow_certificates(&self) {
        let Some(certificates) = &self.certificates else { return };
        let current = certificates.borrow().clone();
        match current.renewed() {
            Ok(None) => {}
            Ok(Some(renewed)) => self.put_in_force(certificates, renewed),
            Err(Failure { text, .. }) => {
                let text = text.trim_start_matches("error: ").trim_end();
                let message = "core: certificates not reloaded; those before stay in use";
                self.hub.event(Level::Warn, message, &[("why", &text)]);
            }
        }
    }

    /// Meets edges with these from now on.
    pub(super) fn put_in_force(&self, certificates: &Certificates, renewed: EdgeTls) {
        self.hub.event(Level::Info, "core: certificates reloaded", &[]);
        self.tell_doubts(&renewed);
        certificates.send_replace(Arc::new(renewed));
    }

    /// Says what is wrong with certificates that are used all the same.
    pub(super) fn tell_doubts(&self, tls: &EdgeTls) {
        for warning in tls.warnings() {
            self.hub.event(Level::Warn, &format!("core: {warning}"), &[]);
        }
    }
}
