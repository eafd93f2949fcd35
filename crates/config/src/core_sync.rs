//! `core { sync { … } }`: the relay of documents, and what is expected of which of them.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    Code, CoreSync, DocumentRule, Encryption, GuestRule,
    core_push::PushPart,
    core_streams,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Spanned, sound},
    value::Checked,
};

const SCOPE: &str = "core";
/// A day, in seconds.
const DAY: u64 = 86_400;
const COUNT: RangeInclusive<u32> = 1..=10_000_000;
const LEASE: RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(3650 * DAY);
const SHORT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(DAY);
const RENEW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(365 * DAY);
/// Whose documents they are where no tenant is named.
const TENANT: &str = "default";
const DOCUMENT: RangeInclusive<ByteSize> = ByteSize::mib(1)..=ByteSize(1 << 40);

/// The block as written.
#[derive(Default)]
pub(crate) struct SyncPart {
    connections: Option<Spanned<usize>>,
    channels: Option<Spanned<usize>>,
    tenant_channels: Option<Spanned<usize>>,
    per_tenant: Option<Spanned<usize>>,
    document: Option<Spanned<ByteSize>>,
    push_rate: Option<Spanned<usize>>,
    tenant_push_rate: Option<Spanned<usize>>,
    lease: Option<Spanned<Duration>>,
    grace: Option<Spanned<Duration>>,
    idle: Option<Spanned<Duration>>,
    renew: Option<Spanned<Duration>>,
    issuers: Vec<Option<Spanned<PathBuf>>>,
    origins: Vec<Option<Spanned<String>>>,
    documents: Vec<Option<DocumentRule>>,
    guests: Vec<GuestPart>,
    push: Option<PushPart>,
}

/// What is said of documents that any device may found.
struct GuestPart {
    prefix: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
    documents: Option<Spanned<usize>>,
    document: Option<Spanned<ByteSize>>,
    address_rate: Option<Spanned<usize>>,
}

impl SyncPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            connections: cursor.setting("connections", |value| value.count(COUNT)),
            channels: cursor.setting("channels", |value| value.count(1..=65_536)),
            tenant_channels: cursor.setting("tenant-channels", |value| value.count(COUNT)),
            per_tenant: cursor.setting("per-tenant", |value| value.count(COUNT)),
            document: cursor.setting("document", |value| value.size(DOCUMENT)),
            push_rate: cursor.setting("push-rate", |value| value.count(1..=1_000_000)),
            tenant_push_rate: cursor.setting("tenant-push-rate", |v| v.count(1..=1_000_000)),
            lease: cursor.setting("lease", |value| value.duration(LEASE)),
            grace: cursor.setting("grace", |value| value.duration(SHORT)),
            idle: cursor.setting("idle", |value| value.duration(SHORT)),
            renew: cursor.setting("renew", |value| value.duration(RENEW)),
            issuers: cursor.children(&["issuer"], |c| {
                c.argument("a file with a public key").and_then(|value| value.file())
            }),
            origins: cursor.child("origins", core_streams::read_origins).unwrap_or_default(),
            documents: cursor.children(&["documents"], read_rule),
            guests: cursor.children(&["guests"], read_guests),
            push: cursor.child("push", PushPart::read),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<CoreSync> {
        let Self {
            connections,
            channels,
            tenant_channels,
            per_tenant,
            document,
            push_rate,
            tenant_push_rate,
            lease,
            grace,
            idle,
            renew,
            issuers,
            origins,
            documents,
            guests,
            push,
        } = self;
        let (secs, optional) =
            (Duration::from_secs, |name, value| reading.settle_optional(SCOPE, name, value));
        let issuers: Option<Vec<_>> = issuers.into_iter().collect();
        let origins: Option<Vec<_>> = origins.into_iter().collect();
        let push = push.map(|part| part.settle(reading));
        Some(CoreSync {
            connections: reading.settle(SCOPE, "sync connections", connections, 100_000),
            channels: reading.settle(SCOPE, "sync channels", channels, 256),
            tenant_channels: optional("sync tenant-channels", tenant_channels),
            per_tenant: optional("sync per-tenant", per_tenant),
            document: reading.settle(SCOPE, "sync document", document, ByteSize::mib(1024)),
            push_rate: reading.settle(SCOPE, "sync push-rate", push_rate, 100),
            tenant_push_rate: optional("sync tenant-push-rate", tenant_push_rate),
            lease: reading.settle(SCOPE, "sync lease", lease, secs(30 * DAY)),
            grace: reading.settle(SCOPE, "sync grace", grace, secs(3600)),
            idle: reading.settle(SCOPE, "sync idle", idle, secs(60)),
            renew: reading.settle(SCOPE, "sync renew", renew, secs(30 * DAY)),
            issuers: issuers?.into_iter().map(|file| file.value).collect(),
            origins: origins?.into_iter().map(|origin| origin.value).collect(),
            documents: documents.into_iter().collect::<Option<_>>()?,
            guests: guests.into_iter().map(|part| part.settle(reading)).collect::<Option<_>>()?,
            push: sound(push)?,
        })
    }
}

fn read_rule(cursor: &mut Cursor<'_>) -> Option<DocumentRule> {
    let names = cursor.argument("a document, or a prefix such as \"notes/\", or \"*\"");
    let names = names.and_then(|value| value.parse(pattern));
    let tenant = cursor.setting("tenant", |value| value.parse(tenant));
    let schema = cursor.setting("schema", |value| value.file());
    let is_whole =
        cursor.has("tenant") == tenant.is_some() && cursor.has("schema") == schema.is_some();
    let words =
        [("any", Encryption::Any), ("required", Encryption::Required), ("off", Encryption::Off)];
    let encryption = cursor.child("encryption", |c| {
        c.argument("\"required\", \"off\" or \"any\"").and_then(|value| value.word(&words))
    });
    if !is_whole {
        return None;
    }
    Some(DocumentRule {
        names: names?.value,
        tenant: tenant.map(|tenant| tenant.value),
        encryption: sound(encryption)?.map(|word| word.value).unwrap_or_default(),
        schema: schema.map(|schema| schema.value),
    })
}

fn read_guests(cursor: &mut Cursor<'_>) -> GuestPart {
    let prefix = cursor.argument("a prefix such as \"vaults/\"");
    GuestPart {
        prefix: prefix.and_then(|value| value.parse(prefix_of_guests)),
        tenant: cursor.setting("tenant", |value| value.parse(tenant)),
        documents: cursor.setting("documents", |value| value.count(COUNT)),
        document: cursor.setting("document", |value| value.size(DOCUMENT)),
        address_rate: cursor.setting("address-rate", |value| value.count(1..=1_000_000)),
    }
}

impl GuestPart {
    fn settle(self, reading: &Reading<'_>) -> Option<GuestRule> {
        let Self { prefix, tenant, documents, document, address_rate } = self;
        let prefix = prefix?.value;
        let scope = format!("guests {prefix:?}");
        Some(GuestRule {
            tenant: tenant.map_or_else(|| TENANT.to_owned(), |tenant| tenant.value),
            documents: reading.settle(&scope, "documents", documents, 1_000),
            document: reading.settle(&scope, "document", document, ByteSize::mib(16)),
            address_rate: reading.settle(&scope, "address-rate", address_rate, 20),
            prefix,
        })
    }
}

/// Whoever may found documents of any name may take everybody's.
fn prefix_of_guests(text: &str) -> Checked<String> {
    if text.ends_with('/') {
        return pattern(text);
    }
    Err(Problem::new(Code::Text, format!("{text:?} is no prefix of documents"))
        .help("write one that ends in `/`, such as \"vaults/\""))
}

/// Names of documents, as `docs/reference/sync-protocol.md` has them.
fn pattern(text: &str) -> Checked<String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let is_part = |part: &str| is_name(part, b"-_.~");
    let fits = text.len() <= 128 && name.split('/').all(is_part);
    if text == "*" || fits {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} names no documents"))
        .help("write a name, a prefix that ends in `/`, or \"*\""))
}

fn tenant(text: &str) -> Checked<String> {
    if text.len() <= 64 && is_name(text, b"-_.") {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is no tenant of documents"))
        .help("a tenant has 1 to 64 letters, digits, `-`, `_` and `.`"))
}

fn is_name(part: &str, more: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(allowed)
}
