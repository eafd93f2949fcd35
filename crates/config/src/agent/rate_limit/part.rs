//! The nodes of an agent of type `rate-limit`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use selvedge_base::Secret;

use super::{Cost, Delay, FILL_MAX, KeyPart, OnFailure, Policy, Redis, Settings, Store};
use crate::{
    Code, Id,
    address::id,
    agent::auth::part::claim_name,
    cursor::Cursor,
    http::header_name,
    listener::TIMEOUT,
    reading::{Problem, Reading, did_you_mean},
    source::{Span, Spanned, sound},
    value::Checked,
};

/// Nodes that only agents of this type have.
pub(in crate::agent) const NODES: [&str; 3] = ["policy", "store", "headers"];

/// Parts of a key that are words by themselves.
const KEY_WORDS: [(&str, KeyPart); 5] = [
    ("address", KeyPart::Address),
    ("path", KeyPart::Path),
    ("method", KeyPart::Method),
    ("host", KeyPart::Host),
    ("route", KeyPart::Route),
];

/// Tokens: what a bucket can hold and a request can cost.
const TOKENS: std::ops::RangeInclusive<u32> = 1..=1_000_000_000;

/// The settings as written.
pub(in crate::agent) struct RateLimitPart {
    policies: Vec<PolicyPart>,
    /// Outer: written at all; inner: understood.
    store: Option<Option<StorePart>>,
    headers: Option<Spanned<bool>>,
}

struct PolicyPart {
    span: Span,
    id: Option<Spanned<Id>>,
    key: Option<Vec<Spanned<KeyPart>>>,
    /// Outer: written at all; inner: understood.
    limit: Option<Option<Spanned<Limit>>>,
    burst: Option<Spanned<u32>>,
    cost: Option<Option<Spanned<CostPart>>>,
    delay: Option<DelayPart>,
    keys_max: Option<Spanned<usize>>,
    ipv6_prefix: Option<Spanned<u8>>,
}

#[derive(Clone, Copy)]
struct Limit {
    tokens: u32,
    per: Duration,
}

enum CostPart {
    Fixed(u32),
    Header { name: String, most: Option<u32> },
    ResponseHeader { name: String, otherwise: u32 },
}

#[derive(Default)]
struct DelayPart {
    queue: Option<Spanned<usize>>,
    max: Option<Spanned<Duration>>,
}

enum StorePart {
    Local,
    Redis(Box<RedisPart>),
}

struct RedisPart {
    span: Span,
    address: Secret,
    on_failure: Option<Spanned<OnFailure>>,
    timeout: Option<Spanned<Duration>>,
    prefix: Option<Spanned<String>>,
    ca: Option<PathBuf>,
}

impl RateLimitPart {
    pub(in crate::agent) fn read(cursor: &mut Cursor<'_>) -> Self {
        let part = Self {
            policies: cursor.children(&["policy"], PolicyPart::read),
            store: cursor.child("store", read_store),
            headers: cursor.setting("headers", |value| value.boolean()),
        };
        if part.policies.is_empty() {
            let problem = Problem::new(Code::Missing, "this agent limits nothing");
            let example = "policy \"per-client\" { key \"address\"; limit 100 per=\"1s\" }";
            cursor.error(problem.help(format!("add `{example}`")));
        }
        part.check_ids(cursor.reading());
        part
    }

    fn check_ids(&self, reading: &Reading<'_>) {
        let mut first: BTreeMap<&str, Span> = BTreeMap::new();
        for id in self.policies.iter().filter_map(|part| part.id.as_ref()) {
            if let Some(first) = first.get(id.value.as_ref()) {
                let message = format!("two policies have the id `{}`", id.value);
                let problem = Problem::new(Code::DuplicateId, message)
                    .note("first written here", *first)
                    .help("give one of them another id");
                reading.error(id.span, problem);
            }
            first.entry(&id.value).or_insert(id.span);
        }
    }

    /// Each policy's id and key.
    pub(in crate::agent) fn keys(&self) -> impl Iterator<Item = (&str, &[Spanned<KeyPart>])> {
        self.policies.iter().filter_map(|policy| {
            let (id, key) = (policy.id.as_ref()?, policy.key.as_ref()?);
            Some((id.value.as_ref(), key.as_slice()))
        })
    }

    pub(in crate::agent) fn settle(self, reading: &Reading<'_>, scope: &str) -> Option<Settings> {
        let Self { policies, store, headers } = self;
        let policies: Vec<_> =
            policies.into_iter().map(|part| part.settle(reading, scope)).collect();
        let store = match sound(store)? {
            None | Some(StorePart::Local) => Store::Local,
            Some(StorePart::Redis(part)) => Store::Redis(part.settle(reading, scope)),
        };
        Some(Settings {
            policies: policies.into_iter().collect::<Option<_>>()?,
            store,
            headers: headers.is_none_or(|headers| headers.value),
        })
    }
}

impl PolicyPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            span: cursor.span(),
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            key: cursor.child("key", read_key),
            limit: cursor.child("limit", read_limit),
            burst: cursor.setting("burst", |value| value.integer(TOKENS)),
            cost: cursor.child("cost", read_cost),
            delay: cursor.child("delay", DelayPart::read),
            keys_max: cursor.setting("keys-max", |value| value.count(1..=100_000_000)),
            ipv6_prefix: cursor.setting("ipv6-prefix", |value| value.integer(16..=128)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Option<Policy> {
        let Self { span, id, key, limit, burst, cost, delay, keys_max, ipv6_prefix } = self;
        if limit.is_none() {
            let problem = Problem::new(Code::Missing, "this policy has no `limit`");
            reading.error(span, problem.help("add `limit 100 per=\"1s\"`"));
        }
        let id = id?.value.to_string();
        let scope = format!("{scope} policy {id:?}");
        let limit = limit??;
        let Limit { tokens, per } = limit.value;
        reading.settle(&scope, "policy limit", Some(limit), Limit { tokens, per });
        let burst = settle_burst(reading, &scope, burst, Limit { tokens, per });
        let cost = settle_cost(reading, sound(cost)?, burst);
        let key = key.map(|parts| parts.into_iter().map(|part| part.value).collect());
        Some(Policy {
            key: key.unwrap_or_else(|| vec![KeyPart::Address]),
            limit: tokens,
            per,
            burst,
            cost,
            delay: delay.map(|part| part.settle(reading, &scope)),
            keys_max: reading.settle(&scope, "policy keys-max", keys_max, 100_000),
            ipv6_prefix: ipv6_prefix.map_or(64, |prefix| prefix.value),
            id,
        })
    }
}

/// A bucket must be full again some day: what is left in it is counted as the time until then.
fn settle_burst(
    reading: &Reading<'_>,
    scope: &str,
    written: Option<Spanned<u32>>,
    Limit { tokens, per }: Limit,
) -> u32 {
    let too_slow = written.as_ref().filter(|burst| {
        let nanos = per.as_nanos() * u128::from(burst.value) / u128::from(tokens);
        nanos > FILL_MAX.as_nanos()
    });
    if let Some(burst) = too_slow {
        let message = "an empty bucket would not be full again within 50 years";
        let problem = Problem::new(Code::OutOfRange, message);
        reading.error(burst.span, problem.help("lower `burst`, or raise `limit`"));
    }
    reading.settle(scope, "policy burst", written, tokens)
}

fn read_key(cursor: &mut Cursor<'_>) -> Vec<Spanned<KeyPart>> {
    let mut parts: Vec<Spanned<KeyPart>> = Vec::new();
    for value in cursor.arguments("parts such as \"address\" or \"header:X-User-Id\"") {
        let Some(part) = value.literal(key_part) else { continue };
        if parts.iter().any(|other| other.value == part.value) {
            let problem = Problem::new(Code::Repeated, "this part is there already");
            cursor.reading().error(part.span, problem.help("remove it"));
        }
        parts.push(part);
    }
    parts
}

/// `address`, `path`, …, `header:NAME`, `value:NAME`, `claim:NAME`.
fn key_part(text: &str) -> Checked<KeyPart> {
    match text.split_once(':') {
        Some(("header", name)) => header_name(name).map(KeyPart::Header),
        Some(("value", name)) => id(name).map(|name| KeyPart::Value(name.to_string())),
        Some(("claim", name)) => {
            claim_name(name).map(|name| KeyPart::Value(super::claim_value(&name)))
        }
        _ => match KEY_WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, part)) => Ok(part.clone()),
            None => Err(unknown_key_part(text)),
        },
    }
}

fn unknown_key_part(text: &str) -> Problem {
    let kinds = ["header:", "value:", "claim:"];
    let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
    let words = KEY_WORDS.iter().map(|(word, _)| *word);
    let near = did_you_mean(kind, words.chain(["header:NAME", "value:NAME", "claim:NAME"]))
        .filter(|_| !kinds.iter().any(|known| known.trim_end_matches(':') == kind));
    let help = near.unwrap_or_else(|| {
        "`address`, `path`, `method`, `host`, `route`, `header:NAME`, `value:NAME` or `claim:NAME`"
            .to_owned()
    });
    Problem::new(Code::UnknownWord, format!("{text:?} is no part of a key")).help(help)
}

/// `limit 100 per="1s"`.
fn read_limit(cursor: &mut Cursor<'_>) -> Option<Spanned<Limit>> {
    let tokens = cursor.argument("a number of requests").and_then(|value| value.integer(TOKENS));
    let month = Duration::from_secs(31 * 86_400);
    let per = cursor.property("per");
    if per.is_none() {
        let problem = Problem::new(Code::Missing, "`limit` does not say in which time");
        cursor.error(problem.help("write `limit 100 per=\"1s\"`"));
    }
    let per = per.and_then(|value| value.duration(Duration::from_millis(1)..=month));
    let (tokens, per) = (tokens?, per?.value);
    if per.as_nanos() < u128::from(tokens.value) {
        let problem = Problem::new(Code::OutOfRange, "more than one request in a nanosecond");
        cursor.reading().error(tokens.span, problem.help("lower the limit or raise `per`"));
        return None;
    }
    Some(Spanned::new(Limit { tokens: tokens.value, per }, tokens.span))
}

/// `cost 5`, `cost header="X-Cost" most=50`, `cost response-header="X-Tokens" otherwise=1`.
fn read_cost(cursor: &mut Cursor<'_>) -> Option<Spanned<CostPart>> {
    let span = cursor.span();
    let fixed = cursor.optional_argument();
    let (header, response) = (cursor.property("header"), cursor.property("response-header"));
    let cost = match (fixed, header, response) {
        (Some(fixed), None, None) => {
            let Spanned { value, span } = fixed.integer(TOKENS)?;
            return Some(Spanned::new(CostPart::Fixed(value), span));
        }
        (None, Some(name), None) => {
            let name = name.parse(header_name);
            let most = cursor.property("most").map(|value| value.integer(TOKENS));
            let most = sound(most)?.map(|most| most.value);
            CostPart::Header { name: name?.value, most }
        }
        (None, None, Some(name)) => {
            let name = name.parse(header_name);
            let otherwise =
                cursor.property("otherwise").map(|value| value.integer(0..=*TOKENS.end()));
            let otherwise = sound(otherwise)?.map_or(1, |otherwise| otherwise.value);
            CostPart::ResponseHeader { name: name?.value, otherwise }
        }
        _ => {
            let help =
                "write `cost 5`, `cost header=\"X-Cost\"` or `cost response-header=\"X-Tokens\"`";
            cursor.error(Problem::new(Code::Conflict, "a request costs in one way").help(help));
            return None;
        }
    };
    Some(Spanned::new(cost, span))
}

fn settle_cost(reading: &Reading<'_>, written: Option<Spanned<CostPart>>, burst: u32) -> Cost {
    let Some(Spanned { value, span }) = written else { return Cost::Fixed(1) };
    let (cost, most) = match value {
        CostPart::Fixed(tokens) => (Cost::Fixed(tokens), tokens),
        CostPart::Header { name, most } => {
            let most = most.unwrap_or(burst);
            (Cost::Header { name, most }, most)
        }
        CostPart::ResponseHeader { name, otherwise } => {
            (Cost::ResponseHeader { name, otherwise }, 0)
        }
    };
    if most > burst {
        let message =
            format!("a request that costs {most} never finds as much in a bucket of {burst}");
        let problem = Problem::new(Code::Conflict, message);
        reading.error(span, problem.help("raise `burst` or lower the cost"));
    }
    cost
}

impl DelayPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let longest = Duration::from_secs(300);
        Self {
            queue: cursor.setting("queue", |value| value.count(1..=100_000)),
            max: cursor.setting("max", |v| v.duration(Duration::from_millis(1)..=longest)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Delay {
        let Self { queue, max } = self;
        Delay {
            queue: reading.settle(scope, "policy delay queue", queue, 1_000),
            max: reading.settle(scope, "policy delay max", max, Duration::from_secs(1)),
        }
    }
}

/// `store "local"` or `store "redis" address="…" { … }`.
fn read_store(cursor: &mut Cursor<'_>) -> Option<StorePart> {
    let kinds = [("local", false), ("redis", true)];
    let kind = cursor.argument("\"local\" or \"redis\"").and_then(|value| value.word(&kinds))?;
    if !kind.value {
        return Some(StorePart::Local);
    }
    let modes =
        [("local", OnFailure::Local), ("open", OnFailure::Open), ("closed", OnFailure::Closed)];
    let address = cursor.property("address");
    if address.is_none() {
        let problem = Problem::new(Code::Missing, "this store has no address");
        cursor.error(problem.help("write `store \"redis\" address=\"redis://127.0.0.1:6379\"`"));
    }
    let address = address.and_then(|value| value.parse(redis_url));
    let on_failure = cursor.setting("on-failure", |value| value.word(&modes));
    let timeout = cursor.setting("timeout", |value| value.duration(TIMEOUT));
    let prefix = cursor.setting("prefix", |value| value.parse(prefix));
    let ca = cursor.setting("ca", |value| Some(value.file()));
    Some(StorePart::Redis(Box::new(RedisPart {
        span: cursor.span(),
        address: Secret::new(address?.value),
        on_failure,
        timeout,
        prefix,
        ca: sound(ca)?.map(|ca| ca.value),
    })))
}

impl RedisPart {
    fn settle(self, reading: &Reading<'_>, scope: &str) -> Redis {
        let Self { span, address, on_failure, timeout, prefix, ca } = self;
        if ca.is_some() && !address.expose().starts_with("rediss://") {
            let problem = Problem::new(Code::Conflict, "`ca` has no effect without TLS");
            reading.error(span, problem.help("write `rediss://` in the address, or remove `ca`"));
        }
        Redis {
            address,
            on_failure: on_failure.map_or(OnFailure::Local, |mode| mode.value),
            timeout: reading.settle(scope, "store timeout", timeout, Duration::from_millis(20)),
            prefix: prefix.map_or_else(|| "selvedge:".to_owned(), |prefix| prefix.value),
            ca,
        }
    }
}

/// `redis://[[user]:password@]host[:port][/database]`, `rediss://…`, `unix:///path`.
fn redis_url(text: &str) -> Checked<String> {
    let problem = || {
        Problem::new(Code::Address, "this is not the address of a Redis server").help(
            "such as \"redis://127.0.0.1:6379\", \"rediss://host\" or \"unix:///run/redis.sock\"",
        )
    };
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') { Ok(text.to_owned()) } else { Err(problem()) };
    }
    let rest = text.strip_prefix("redis://").or_else(|| text.strip_prefix("rediss://"));
    let rest = rest.ok_or_else(problem)?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    crate::http::authority(host).map_err(|_| problem())?;
    match database.is_empty() || database.parse::<u32>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(problem()),
    }
}

fn prefix(text: &str) -> Checked<String> {
    if text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte))
    {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, "keys cannot begin with this")
        .help("up to 64 visible ASCII characters without braces, such as \"selvedge:\""))
}
