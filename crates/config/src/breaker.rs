//! `circuit-breaker { … }` of upstreams and agents.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    Breaker,
    cursor::Cursor,
    listener::TIMEOUT,
    reading::Reading,
    source::{Span, Spanned},
};

/// A circuit breaker as written.
#[derive(Default)]
pub(crate) struct BreakerPart {
    failure_threshold: Option<Spanned<u32>>,
    success_threshold: Option<Spanned<u32>>,
    window: Option<Spanned<Duration>>,
    timeout: Option<Spanned<Duration>>,
}

const THRESHOLD: RangeInclusive<u32> = 1..=1_000_000;

impl BreakerPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            failure_threshold: cursor.setting("failure-threshold", |v| v.integer(THRESHOLD)),
            success_threshold: cursor.setting("success-threshold", |v| v.integer(THRESHOLD)),
            window: cursor.setting("window", |value| value.duration(TIMEOUT)),
            timeout: cursor.setting("timeout-seconds", |value| {
                let Spanned { value, span } = value.integer(1..=86_400_u32)?;
                Some(Spanned::new(Duration::from_secs(value.into()), span))
            }),
        }
    }

    /// `rest` is the time that it stays open where nothing else is said.
    pub(crate) fn settle(self, reading: &Reading<'_>, scope: &str, rest: Duration) -> Breaker {
        let Self { failure_threshold, success_threshold, window, timeout } = self;
        let secs_30 = Duration::from_secs(30);
        Breaker {
            failure_threshold: reading.settle(
                scope,
                "circuit-breaker failure-threshold",
                failure_threshold,
                3,
            ),
            success_threshold: reading.settle(
                scope,
                "circuit-breaker success-threshold",
                success_threshold,
                2,
            ),
            window: reading.settle(scope, "circuit-breaker window", window, secs_30),
            timeout: reading.settle(scope, "circuit-breaker timeout-seconds", timeout, rest),
        }
    }
}

/// Milliseconds without a unit, as `timeout-ms` has them.
pub(crate) fn millis(value: u32, span: Span) -> Spanned<Duration> {
    Spanned::new(Duration::from_millis(value.into()), span)
}
