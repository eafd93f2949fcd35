//! `health { … }` and `ejection { … }` of an upstream.

use std::time::Duration;

use crate::{
    Code, Ejection, HealthCheck, Probe,
    cursor::Cursor,
    http::{authority, path_and_query},
    listener::TIMEOUT,
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::Checked,
};

/// A health check as written.
pub(crate) struct HealthPart {
    span: Span,
    probes: Vec<Spanned<Option<Probe>>>,
    every: Option<Spanned<Duration>>,
    timeout: Option<Spanned<Duration>>,
    healthy: Option<Spanned<u32>>,
    unhealthy: Option<Spanned<u32>>,
}

/// Passive ejection as written.
#[derive(Default)]
pub(crate) struct EjectionPart {
    failures: Option<Spanned<u32>>,
    rest: Option<Spanned<Duration>>,
    most_percent: Option<Spanned<u8>>,
}

impl HealthPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            span: cursor.span(),
            probes: cursor.children(&["http", "tcp"], read_probe),
            every: cursor.setting("every", |value| value.duration(TIMEOUT)),
            timeout: cursor.setting("timeout", |value| value.duration(TIMEOUT)),
            healthy: cursor.setting("healthy", |value| value.integer(1..=1_000)),
            unhealthy: cursor.setting("unhealthy", |value| value.integer(1..=1_000)),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>, scope: &str) -> Option<HealthCheck> {
        let Self { span, probes, every, timeout, healthy, unhealthy } = self;
        let every = reading.settle(scope, "health every", every, Duration::from_secs(10));
        if let Some(late) = timeout.as_ref().filter(|timeout| timeout.value > every) {
            let message = "a probe may take longer than the time between two probes";
            let problem = Problem::new(Code::Conflict, message);
            reading.error(late.span, problem.help("lower `timeout` or raise `every`"));
        }
        let timeout_default = Duration::from_secs(2).min(every);
        Some(HealthCheck {
            probe: only_probe(reading, span, probes)?,
            every,
            timeout: reading.settle(scope, "health timeout", timeout, timeout_default),
            healthy: reading.settle(scope, "health healthy", healthy, 2),
            unhealthy: reading.settle(scope, "health unhealthy", unhealthy, 3),
        })
    }
}

fn only_probe(
    reading: &Reading<'_>,
    span: Span,
    probes: Vec<Spanned<Option<Probe>>>,
) -> Option<Probe> {
    let mut probes = probes.into_iter();
    let Some(first) = probes.next() else {
        let problem = Problem::new(Code::Missing, "`health` does not say what it asks");
        reading.error(span, problem.help("add `http \"/healthz\"` or `tcp`"));
        return None;
    };
    for more in probes {
        let problem = Problem::new(Code::Repeated, "a health check asks one thing")
            .note("first written here", first.span)
            .help("keep one of them");
        reading.error(more.span, problem);
    }
    first.value
}

fn read_probe(cursor: &mut Cursor<'_>) -> Spanned<Option<Probe>> {
    let span = cursor.span();
    let probe = if cursor.name() == "tcp" { Some(Probe::Tcp) } else { read_http_probe(cursor) };
    Spanned::new(probe, span)
}

fn read_http_probe(cursor: &mut Cursor<'_>) -> Option<Probe> {
    let path = cursor.argument("a path such as \"/healthz\"");
    let path = path.and_then(|value| value.parse(path_and_query));
    let host = cursor.property("host").map(|value| value.parse(authority));
    let expect = cursor.property("expect").map(|value| value.parse(status_range));
    Some(Probe::Http {
        path: path?.value,
        host: sound(host)?.map(|host| host.value),
        expect: sound(expect)?.map_or((200, 399), |expect| expect.value),
    })
}

/// `200`, `200-399`.
fn status_range(text: &str) -> Checked<(u16, u16)> {
    let problem = || {
        Problem::new(Code::OutOfRange, format!("{text:?} is not a range of statuses"))
            .help("write \"200\" or \"200-399\", from 200 to 599")
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |digits: &str| match digits.parse::<u16>() {
        Ok(status @ 200..=599) if digits.len() == 3 => Ok(status),
        _ => Err(problem()),
    };
    let range = (status(first)?, status(last)?);
    if range.0 > range.1 { Err(problem()) } else { Ok(range) }
}

impl EjectionPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            failures: cursor.setting("failures", |value| value.integer(1..=1_000)),
            rest: cursor.setting("rest", |value| value.duration(TIMEOUT)),
            most_percent: cursor.setting("most-percent", |value| value.integer(1..=100)),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>, scope: &str) -> Ejection {
        let Self { failures, rest, most_percent } = self;
        Ejection {
            failures: reading.settle(scope, "ejection failures", failures, 5),
            rest: reading.settle(scope, "ejection rest", rest, Duration::from_secs(10)),
            most_percent: reading.settle(scope, "ejection most-percent", most_percent, 50),
        }
    }
}
