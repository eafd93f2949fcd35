//! `core { sync { push { … } } }`: how devices are woken that are not connected.

use std::{net::Ipv4Addr, ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::{
    Code, CorePush,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::Spanned,
    value::Checked,
};

const SCOPE: &str = "core";
const DAY: u64 = 86_400;
const SUBSCRIPTIONS: RangeInclusive<u32> = 1..=10_000_000;
const AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(DAY);
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(DAY);
/// Letters of a contact, at most: it is in every message's head.
const CONTACT_MAX: usize = 256;

/// The block as written.
pub(crate) struct PushPart {
    contact: Option<Spanned<String>>,
    key: Option<Spanned<PathBuf>>,
    has_key: bool,
    services: Vec<Option<Spanned<String>>>,
    private: Option<Spanned<bool>>,
    ca: Option<Spanned<PathBuf>>,
    has_ca: bool,
    after: Option<Spanned<Duration>>,
    every: Option<Spanned<Duration>>,
    subscriptions: Option<Spanned<usize>>,
}

impl PushPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let example = "contact \"mailto:ops@example.com\"";
        Self {
            contact: cursor.required("contact", example, |value| value.parse(contact)),
            has_key: cursor.has("key"),
            key: cursor.setting("key", |value| value.file()),
            services: cursor.child("services", read_services).unwrap_or_default(),
            private: cursor.setting("private", |value| value.boolean()),
            has_ca: cursor.has("ca"),
            ca: cursor.setting("ca", |value| value.file()),
            after: cursor.setting("after", |value| value.duration(AFTER)),
            every: cursor.setting("every", |value| value.duration(EVERY)),
            subscriptions: cursor.setting("subscriptions", |value| value.count(SUBSCRIPTIONS)),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<CorePush> {
        let Self {
            contact,
            key,
            has_key,
            services,
            private,
            ca,
            has_ca,
            after,
            every,
            subscriptions,
        } = self;
        let services: Option<Vec<_>> = services.into_iter().collect();
        if has_key != key.is_some() || has_ca != ca.is_some() {
            return None;
        }
        let (minute, pause) = (Duration::from_secs(60), Duration::from_secs(600));
        Some(CorePush {
            contact: contact?.value,
            key: key.map(|file| file.value),
            services: services?.into_iter().map(|service| service.value).collect(),
            private: private.is_some_and(|private| private.value),
            ca: ca.map(|file| file.value),
            after: reading.settle(SCOPE, "sync push after", after, minute),
            every: reading.settle(SCOPE, "sync push every", every, pause),
            subscriptions: reading.settle(SCOPE, "sync push subscriptions", subscriptions, 100_000),
        })
    }
}

fn read_services(cursor: &mut Cursor<'_>) -> Vec<Option<Spanned<String>>> {
    let services = cursor.arguments("push services such as \"fcm.googleapis.com\"");
    services.into_iter().map(|value| value.parse(service)).collect()
}

/// Whom a push service writes to: RFC 8292, section 2.1.
fn contact(text: &str) -> Checked<String> {
    let is_mail = |rest: &str| {
        rest.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty())
    };
    let is_plain = text.len() <= CONTACT_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_page = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    if is_plain && (is_page || text.strip_prefix("mailto:").is_some_and(is_mail)) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is nobody whom a push service can write to"))
        .help("write \"mailto:ops@example.com\", or the \"https://…\" of a page that says who you are"))
}

/// A host, `*.` in front where all names below count, and a port; on this machine without TLS as well.
fn service(text: &str) -> Checked<String> {
    let (is_plain, name) = match text.strip_prefix("http://") {
        Some(name) => (true, name),
        None => (false, text.strip_prefix("*.").unwrap_or(text)),
    };
    let (host, port) = name.split_once(':').unwrap_or((name, "443"));
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    let is_host = host.split('.').all(is_label) && port.parse::<u16>().is_ok_and(|it| it != 0);
    let is_here = || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    if is_host && (!is_plain || is_here()) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Address, format!("{text:?} is no push service")).help(
        "write a host such as \"push.example.com\", \"*.push.example.com\" or \"push.example.com:8443\"; \
         without TLS it is on this machine: \"http://127.0.0.1:8443\"",
    ))
}
