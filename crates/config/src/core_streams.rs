//! `core { streams { … } }`: the bounds of event streams.

use std::{ops::RangeInclusive, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    Code, CoreStreams,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::Spanned,
    value::Checked,
};

const SCOPE: &str = "core";
/// A day, in seconds.
const DAY: u64 = 86_400;
const WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3650 * DAY);
/// The log takes batches of 8 MiB, with what stands around them.
const APPEND: RangeInclusive<ByteSize> = ByteSize(1)..=ByteSize::mib(7);

/// The block as written.
#[derive(Default)]
pub(crate) struct StreamsPart {
    append: Option<Spanned<ByteSize>>,
    append_rate: Option<Spanned<ByteSize>>,
    page: Option<Spanned<ByteSize>>,
    long_poll: Option<Spanned<Duration>>,
    events: Option<Spanned<Duration>>,
    followers: Option<Spanned<usize>>,
    per_tenant: Option<Spanned<usize>>,
    age: Option<Spanned<Duration>>,
    size: Option<Spanned<ByteSize>>,
    origins: Vec<Option<Spanned<String>>>,
}

impl StreamsPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            append: cursor.setting("append", |value| value.size(APPEND)),
            append_rate: cursor
                .setting("append-rate", |v| v.size(ByteSize(1)..=ByteSize::mib(10_240))),
            page: cursor.setting("page", |v| v.size(ByteSize::kib(4)..=ByteSize::mib(64))),
            long_poll: cursor.setting("long-poll", |value| value.duration(WAIT)),
            events: cursor.setting("events", |value| value.duration(WAIT)),
            followers: cursor.setting("followers", |value| value.count(1..=1_000_000)),
            per_tenant: cursor.setting("per-tenant", |value| value.count(1..=1_000_000)),
            age: cursor.setting("age", |value| value.duration(AGE)),
            size: cursor.setting("size", |v| v.size(ByteSize::mib(1)..=ByteSize(1 << 50))),
            origins: cursor.child("origins", read_origins).unwrap_or_default(),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<CoreStreams> {
        let Self {
            append,
            append_rate,
            page,
            long_poll,
            events,
            followers,
            per_tenant,
            age,
            size,
            origins,
        } = self;
        let secs = Duration::from_secs;
        let origins: Option<Vec<_>> = origins.into_iter().collect();
        Some(CoreStreams {
            append: reading.settle(SCOPE, "streams append", append, ByteSize::mib(7)),
            append_rate: reading.settle_optional(SCOPE, "streams append-rate", append_rate),
            page: reading.settle(SCOPE, "streams page", page, ByteSize::mib(1)),
            long_poll: reading.settle(SCOPE, "streams long-poll", long_poll, secs(20)),
            events: reading.settle(SCOPE, "streams events", events, secs(60)),
            followers: reading.settle(SCOPE, "streams followers", followers, 10_000),
            per_tenant: reading.settle_optional(SCOPE, "streams per-tenant", per_tenant),
            age: reading.settle_optional(SCOPE, "streams age", age),
            size: reading.settle_optional(SCOPE, "streams size", size),
            origins: origins?.into_iter().map(|origin| origin.value).collect(),
        })
    }
}

pub(crate) fn read_origins(cursor: &mut Cursor<'_>) -> Vec<Option<Spanned<String>>> {
    let origins = cursor.arguments("origins such as \"https://app.example.com\"");
    origins.into_iter().map(|value| value.parse(origin)).collect()
}

/// `https://app.example.com`, or `*`: as a browser spells it (RFC 6454, section 6.2).
fn origin(text: &str) -> Checked<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |rest: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        !rest.is_empty() && rest.bytes().all(allowed)
    };
    if text == "*" || rest.is_some_and(is_host) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is not an origin")).help(
        "write it as browsers do, in small letters and without a path: \"https://app.example.com\"",
    ))
}
