//! `core { audit { … } }`: what the audit log is called, who may see it, who vouches for it, and how
//! long it keeps what.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::{
    AuditWitness, Code, CoreAudit,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Spanned, sound},
    value::Checked,
};

const SCOPE: &str = "core";
/// A day, in seconds.
const DAY: u64 = 86_400;
const KEPT: RangeInclusive<Duration> =
    Duration::from_secs(3_600)..=Duration::from_secs(36_500 * DAY);
const COSIGN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
/// Witnesses that are asked, and logs that are watched.
const OTHERS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 128;
/// Bytes of a public key as text: its name, and what stands behind it.
const KEY_BYTES_MAX: usize = NAME_BYTES_MAX + 80;

/// The block as written.
#[derive(Default)]
pub(crate) struct AuditPart {
    origin: Option<Option<Spanned<String>>>,
    node: Option<Option<Spanned<String>>>,
    public: Option<Option<Spanned<bool>>>,
    retention: RetentionPart,
    cosign_every: Option<Spanned<Duration>>,
    witnesses: Vec<Spanned<Option<AuditWitness>>>,
    watched: Vec<Spanned<Option<String>>>,
}

#[derive(Default)]
struct RetentionPart {
    personal: Option<Spanned<Duration>>,
    entries: Option<Spanned<Duration>>,
}

impl AuditPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            origin: cursor.child("origin", |c| c.argument("a name").and_then(|v| v.literal(name))),
            node: cursor.child("node", |c| c.argument("a name").and_then(|v| v.literal(name))),
            public: cursor.child("public", |c| c.argument("a switch").and_then(|v| v.boolean())),
            retention: cursor.child("retention", RetentionPart::read).unwrap_or_default(),
            cosign_every: cursor.setting("cosign-every", |value| value.duration(COSIGN)),
            witnesses: cursor.children(&["witness"], read_witness),
            watched: cursor.children(&["watch"], read_watched),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<CoreAudit> {
        let Self { origin, node, public, retention, cosign_every, witnesses, watched } = self;
        let RetentionPart { personal, entries } = retention;
        refuse_surplus(reading, ("witnesses", &witnesses));
        refuse_surplus(reading, ("watched logs", &watched));
        let text = |written: Option<Spanned<String>>| written.map(|written| written.value);
        let days = |days| Duration::from_secs(days * DAY);
        let (second, own) = (Duration::from_secs(1), "audit cosign-every");
        Some(CoreAudit {
            origin: text(sound(origin)?),
            node: text(sound(node)?),
            public: sound(public)?.is_some_and(|public| public.value),
            personal: reading.settle(SCOPE, "audit retention personal", personal, days(90)),
            entries: reading.settle_optional(SCOPE, "audit retention entries", entries),
            cosign_every: reading.settle(SCOPE, own, cosign_every, second),
            witnesses: witnesses.into_iter().map(|one| one.value).collect::<Option<_>>()?,
            watched: watched.into_iter().map(|one| one.value).collect::<Option<_>>()?,
        })
    }
}

impl RetentionPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            personal: cursor.setting("personal", |value| value.duration(KEPT)),
            entries: cursor.setting("entries", |value| value.duration(KEPT)),
        }
    }
}

fn refuse_surplus<T>(reading: &Reading<'_>, (what, written): (&str, &[Spanned<T>])) {
    if let Some(surplus) = written.get(OTHERS_MAX) {
        let message = format!("an audit log has at most {OTHERS_MAX} {what}");
        let problem = Problem::new(Code::TooLarge, message);
        reading.error(surplus.span, problem.help("remove some of them"));
    }
}

fn read_witness(cursor: &mut Cursor<'_>) -> Spanned<Option<AuditWitness>> {
    let span = cursor.span();
    let address = cursor.argument("a URL such as \"https://b.example.com/_selvedge/audit\"");
    let address = address.and_then(|value| value.parse(url));
    let example = "key (file)\"audit-witness.vkey\"";
    let key = cursor.required("key", example, |value| value.parse(witness_key));
    let ca: Option<Spanned<PathBuf>> = cursor.setting("ca", |value| value.file());
    let witness = || {
        let (url, key) = (address?.value, key?.value);
        Some(AuditWitness { url, key, ca: ca.map(|ca| ca.value) })
    };
    Spanned::new(witness(), span)
}

fn read_watched(cursor: &mut Cursor<'_>) -> Spanned<Option<String>> {
    let span = cursor.span();
    let key = cursor.argument("a public key, or (file)\"audit.vkey\" with one");
    Spanned::new(key.and_then(|value| value.parse(log_key)).map(|key| key.value), span)
}

/// Names of logs and machines are names of keys: neither spaces nor `+`.
fn name(text: &str) -> Checked<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if is_plain && (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains("://") {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is no name for an audit log or its machine"))
        .help(
            "write it like \"log.example.com/audit\": visible ASCII without blanks, `+` and `://`",
        ))
}

fn url(text: &str) -> Checked<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_place = |rest: &str| {
        let host = rest.split('/').next().unwrap_or_default();
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        !host.is_empty() && !host.contains('@') && is_plain && !rest.contains(['?', '#'])
    };
    if rest.is_some_and(is_place) && text.len() <= 1_024 {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(Problem::new(Code::Address, format!("{text:?} is not where a witness can be"))
        .help("write what stands before `/add-checkpoint`, such as \"https://b.example.com/_selvedge/audit\""))
}

fn witness_key(text: &str) -> Checked<String> {
    // 04 in front: a key for cosignatures.
    let is_kind = |key: &[u8]| matches!(key, [b'B', b'A'..=b'P', ..]);
    public_key(text, is_kind, ("a witness", "audit-witness.vkey"))
}

fn log_key(text: &str) -> Checked<String> {
    // 01 in front: Ed25519.
    let is_kind = |key: &[u8]| matches!(key, [b'A', b'Q'..=b'Z' | b'a'..=b'f', ..]);
    public_key(text, is_kind, ("a log", "audit.vkey"))
}

/// `NAME+1a2b3c4d+BASE64`: its form. Whether the parts fit each other is seen when the core starts.
fn public_key(
    text: &str,
    is_kind: impl Fn(&[u8]) -> bool,
    (of, file): (&str, &str),
) -> Checked<String> {
    let text = text.trim();
    let parts: Vec<&str> = text.splitn(3, '+').collect();
    let is_key = match parts.as_slice() {
        [name, id, key] => {
            let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            // 33 bytes in base64.
            !name.is_empty() && is_id && key.len() == 44 && is_kind(key.as_bytes())
        }
        _ => false,
    };
    if is_key && text.len() <= KEY_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("this is not the public key of {of}")).help(format!(
        "it is one line, NAME+ID+KEY: the file `{file}` in the other core's data-dir"
    )))
}
