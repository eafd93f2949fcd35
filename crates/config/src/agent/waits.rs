//! Time and room for requests that wait inside an agent.

use std::time::Duration;

use super::rate_limit;
use crate::{
    AgentSettings, Code,
    reading::{Problem, Reading},
    source::Spanned,
};

/// How long an agent may have to think, and on how much at once.
#[derive(Default)]
pub(super) struct Waits {
    /// Longest wait that its settings promise, and longest question of its own to others.
    delay: Duration,
    question: Duration,
    queue: usize,
}

impl Waits {
    pub(super) fn of(settings: &AgentSettings) -> Self {
        let AgentSettings::RateLimit(settings) = settings else { return Self::default() };
        let delays = || settings.policies.iter().filter_map(|policy| policy.delay.as_ref());
        Self {
            delay: delays().map(|delay| delay.max).max().unwrap_or_default(),
            question: match &settings.store {
                rate_limit::Store::Redis(redis) => redis.timeout,
                rate_limit::Store::Local => Duration::ZERO,
            },
            queue: delays().map(|delay| delay.queue).sum(),
        }
    }

    pub(super) fn timeout(
        &self,
        reading: &Reading<'_>,
        scope: &str,
        written: Option<Spanned<Duration>>,
    ) -> Duration {
        let longest = self.delay + self.question;
        if let Some(short) = written.as_ref().filter(|written| written.value <= longest) {
            let message = "requests may wait here for longer: this ends them as failures";
            let help =
                "raise `timeout-ms` above the longest `delay` and the store's `timeout` together";
            reading.error(short.span, Problem::new(Code::Conflict, message).help(help));
        }
        let default = self.delay + Duration::from_millis(100).max(self.question * 2);
        reading.settle(scope, "timeout-ms", written, default)
    }

    pub(super) fn concurrency(
        &self,
        reading: &Reading<'_>,
        scope: &str,
        written: Option<Spanned<usize>>,
    ) -> usize {
        if let Some(few) = written.as_ref().filter(|written| written.value <= self.queue) {
            let message = format!("{} requests may wait in this agent's queues alone", self.queue);
            let help = "raise `max-concurrent-calls` above that, or lower `queue`";
            reading.error(few.span, Problem::new(Code::Conflict, message).help(help));
        }
        reading.settle(scope, "max-concurrent-calls", written, 100 + self.queue)
    }
}
