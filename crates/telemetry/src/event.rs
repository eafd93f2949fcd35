//! The process's own log: one logfmt line for each thing an operator should know.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    json,
    metrics::Counter,
    timestamp::Timestamps,
    writer::{Batch, Writer},
};

/// Events written in a row before the bound holds.
pub const BURST: u32 = 200;
/// Time that one event uses up: 50 events a second in the long run.
pub const SHARE: Duration = Duration::from_millis(20);

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Part of the story: start, reload, stop.
    Info,
    /// Somebody should look tomorrow.
    Warn,
    /// Somebody should look tonight.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Where events go: any thread may tell one, none waits.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) writer: Writer,
    rate: Rate,
    /// Events left out because there were too many.
    pub(crate) suppressed: Counter,
}

impl Events {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, rate: Rate::new(Instant::now()), suppressed: Counter::new() }
    }

    /// Writes one event, or counts it when there are too many.
    pub(crate) fn tell(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        if !self.rate.admit(Instant::now()) {
            return self.suppressed.add_shared(1);
        }
        let mut line = Batch { bytes: Vec::with_capacity(256), count: 1 };
        push_line(&mut line.bytes, SystemTime::now(), (level, message), fields);
        self.writer.send(line);
    }
}

/// Appends the line of one event with its line feed.
fn push_line(
    out: &mut Vec<u8>,
    at: SystemTime,
    (level, message): (Level, &str),
    fields: &[(&str, &dyn fmt::Display)],
) {
    out.extend_from_slice(b"time=");
    Timestamps::default().push(out, at);
    out.extend_from_slice(b" level=");
    out.extend_from_slice(level.name().as_bytes());
    out.extend_from_slice(b" msg=");
    push_value(out, message);
    for (key, value) in fields {
        out.push(b' ');
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        push_value(out, &value.to_string());
    }
    out.push(b'\n');
}

fn push_value(out: &mut Vec<u8>, value: &str) {
    let bare = |byte| matches!(byte, b'!' | b'#'..=b'<' | b'>'..=b'[' | b']'..=b'~');
    if !value.is_empty() && value.len() < json::TEXT_BYTES_MAX && value.bytes().all(bare) {
        out.extend_from_slice(value.as_bytes());
    } else {
        json::push_string(out, value.as_bytes());
    }
}

/// Lets [`BURST`] events through at once and one for each [`SHARE`] in the long run.
#[derive(Debug)]
struct Rate {
    origin: Instant,
    /// When all events let through so far are paid for, in nanoseconds after `origin`.
    paid_ns: AtomicU64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { origin: now, paid_ns: AtomicU64::new(0) }
    }

    /// Whether one more may pass at `now`.
    fn admit(&self, now: Instant) -> bool {
        let now_ns = nanos(now.saturating_duration_since(self.origin));
        let credit_ns = nanos(SHARE * BURST);
        let pay = |paid_ns: u64| {
            let next_ns = paid_ns.max(now_ns) + nanos(SHARE);
            (next_ns <= now_ns + credit_ns).then_some(next_ns)
        };
        self.paid_ns.fetch_update(Relaxed, Relaxed, pay).is_ok()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, fields: &[(&str, &dyn fmt::Display)], expected: &str) {
        let mut out = Vec::new();
        push_line(&mut out, SystemTime::UNIX_EPOCH, (Level::Warn, message), fields);
        let expected = format!("time=1970-01-01T00:00:00.000000Z level=warn {expected}\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn events_are_logfmt() {
        check("started", &[("cores", &2)], "msg=started cores=2");
        check("target down", &[("target", &"[::1]:80")], "msg=\"target down\" target=[::1]:80");
        check("x", &[("a", &""), ("b", &"q=\"\n\"")], r#"msg=x a="" b="q=\"\n\"""#);
        check("forged\nlevel=info", &[], r#"msg="forged\nlevel=info""#);
    }

    #[test]
    fn the_rate_is_bounded() {
        let start = Instant::now();
        let rate = Rate::new(start);
        let passed = |now| (0..1_000).filter(|_| rate.admit(now)).count();
        assert_eq!(passed(start), BURST as usize);
        assert_eq!(passed(start + Duration::from_secs(1)), 50);
        assert_eq!(passed(start + Duration::from_secs(3_600)), BURST as usize);
    }
}
