//! What is remembered of clients from one request to the next, in memory that does not grow.
//!
//! [`logins`] counts attempts to log in, [`reputation`] what clients did otherwise. Both keep what happened by
//! keyed digests ([`key`]) in a [`table`], for a window of eight steps ([`history`]). Time comes in as a [`Moment`].
//! All connections of the process share the counters, and a reload keeps them.

mod history;
pub(super) mod key;
pub(super) mod logins;
pub(super) mod reputation;
mod table;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use selvedge_base::ByteSize;
use selvedge_config::waf as written;

use self::{history::STEPS, key::Secret, logins::Logins, reputation::Reputation};

/// Everything that is counted.
pub(super) struct Counters {
    written: written::Counters,
    began: Instant,
    secret: Secret,
    logins: Option<Arc<Logins>>,
    reputation: Option<Arc<Reputation>>,
}

/// A time, as counters see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    ms: u64,
    step_ms: u64,
}

impl Moment {
    /// So many milliseconds after the beginning; `window` is how long things count.
    pub(super) fn new(ms: u64, window: Duration) -> Self {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { ms, step_ms: (window / u64::from(STEPS)).max(1) }
    }

    fn ms(self) -> u64 {
        self.ms
    }

    fn step(self) -> u32 {
        u32::try_from(self.ms / self.step_ms).unwrap_or(u32::MAX)
    }

    /// The time until so many steps have begun.
    fn until(self, steps: u32) -> Duration {
        let then = (u64::from(self.step()) + u64::from(steps)) * self.step_ms;
        Duration::from_millis(then.saturating_sub(self.ms))
    }
}

impl Counters {
    /// Counters as these settings want them, with what `previous` knows.
    pub(super) fn start(
        settings: &written::Settings,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let written = settings.counters.clone();
        // With other steps or places nothing would be where it is looked for.
        let previous = previous.filter(|previous| previous.written == written);
        let secret = match previous {
            Some(previous) => previous.secret,
            None => Secret::random().map_err(|_| "there is no randomness".to_owned())?,
        };
        let bytes = usize::try_from(written.memory.0).unwrap_or(usize::MAX) / 8;
        let too_large = |_| format!("there is no memory for counters of {}", written.memory);
        let has_logins = settings.policies().any(|policy| !policy.logins.is_empty());
        let has_bots = settings.policies().any(|policy| policy.bots.is_some());
        let known = previous.and_then(|previous| previous.logins.clone());
        let logins = match known {
            None if has_logins => {
                Some(Arc::new(Logins::new(bytes * 7, &secret).map_err(too_large)?))
            }
            known => known.filter(|_| has_logins),
        };
        let known = previous.and_then(|previous| previous.reputation.clone());
        let reputation = match known {
            None if has_bots => Some(Arc::new(Reputation::new(bytes, &secret).map_err(too_large)?)),
            known => known.filter(|_| has_bots),
        };
        let began = previous.map_or_else(Instant::now, |previous| previous.began);
        Ok(Self { written, began, secret, logins, reputation })
    }

    /// What they take, for the operator; `None`: there are none.
    pub(super) fn note(&self) -> Option<String> {
        let logins = self.logins.as_ref().map(|logins| (logins.bytes(), logins.places()));
        let clients = self.reputation.as_ref().map(|clients| (clients.bytes(), clients.places()));
        let size = |bytes: usize| ByteSize(bytes as u64 >> 10 << 10);
        let logins = logins.map(|(bytes, [addresses, users, pairs])| {
            let bytes = size(bytes);
            format!("failed logins of {addresses} clients, {users} users and {pairs} pairs of both in {bytes}")
        });
        let clients = clients
            .map(|(bytes, places)| format!("the conduct of {places} clients in {}", size(bytes)));
        let all: Vec<String> = logins.into_iter().chain(clients).collect();
        (!all.is_empty()).then(|| format!("there is room for {}", all.join(" and ")))
    }

    pub(super) fn now(&self) -> Moment {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment::new(ms, self.written.window)
    }

    pub(super) fn written(&self) -> &written::Counters {
        &self.written
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn logins(&self) -> Option<&Arc<Logins>> {
        self.logins.as_ref()
    }

    pub(super) fn reputation(&self) -> Option<&Reputation> {
        self.reputation.as_deref()
    }
}
