//! `counters`, `login` and `bots` of an agent of type `waf`.

use std::{ops::RangeInclusive, time::Duration};

use selvedge_base::ByteSize;

use super::{Action, Bots, Counters, Crawler, Limit, Limits, Login};
use crate::{
    Cidr, Code,
    address::cidr,
    cursor::{Cursor, Switch},
    http::{method, path, path_and_query},
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::{Checked, Value},
};

/// Where names of users usually are.
const USER_FIELDS: [&str; 4] = ["username", "user", "email", "login"];
/// Fields that are looked for: each may be a name that was guessed.
const USER_FIELDS_MAX: usize = 8;
const FAILED: [u16; 4] = [400, 401, 403, 422];
/// More different ones are not told apart.
const DISTINCT_MAX: u32 = 200;
const COUNT_MAX: u32 = 1_000_000;
const POINTS: RangeInclusive<u32> = 1..=10_000;
/// Networks of one list: each request is compared with all of them.
const NETWORKS_MAX: usize = 1_000;

const ACTIONS: [(&str, Action); 4] = [
    ("block", Action::Block),
    ("challenge", Action::Challenge),
    ("log", Action::Log),
    ("off", Action::Off),
];

/// `counters { … }` as written.
pub(in crate::agent::waf) struct CountersPart {
    pub(in crate::agent::waf) span: Span,
    memory: Option<Spanned<ByteSize>>,
    window: Option<Spanned<Duration>>,
    ipv6_prefix: Option<Spanned<u8>>,
}

impl CountersPart {
    pub(in crate::agent::waf) fn read(cursor: &mut Cursor<'_>) -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            span: cursor.span(),
            memory: cursor
                .setting("memory", |value| value.size(ByteSize::kib(256)..=ByteSize::mib(1 << 10))),
            window: cursor.setting("window", |value| value.duration(Duration::from_secs(8)..=day)),
            ipv6_prefix: cursor.setting("ipv6-prefix", |value| value.integer(16..=128)),
        }
    }

    pub(in crate::agent::waf) fn settle(
        written: Option<Self>,
        reading: &Reading<'_>,
        scope: &str,
    ) -> Counters {
        let (memory, window, ipv6_prefix) = match written {
            Some(Self { span: _, memory, window, ipv6_prefix }) => (memory, window, ipv6_prefix),
            None => (None, None, None),
        };
        let usual = Duration::from_secs(600);
        Counters {
            memory: reading.settle(scope, "counters memory", memory, ByteSize::mib(8)),
            window: reading.settle(scope, "counters window", window, usual),
            ipv6_prefix: reading.settle(scope, "counters ipv6-prefix", ipv6_prefix, 64),
        }
    }
}

/// `login "/login" { … }`
pub(in crate::agent::waf) fn read_login(cursor: &mut Cursor<'_>) -> Option<Spanned<Login>> {
    let span = cursor.span();
    let at = cursor.argument("a path such as \"/login\"").map(|value| value.parse(path));
    let verb = setting(cursor, "method", |value| value.literal(method));
    let users = cursor.child("user", read_users);
    let failed = cursor.child("failed", read_statuses);
    let failed_location = setting(cursor, "failed-location", |value| value.parse(path_and_query));
    let challenge = setting(cursor, "challenge", |value| value.parse(path_and_query));
    let limits = read_limits(cursor);
    if challenge.is_none() {
        check_challenge(cursor.reading(), &limits);
    }
    let login = Login {
        path: at??.value,
        method: sound(verb)?.map_or_else(|| "POST".to_owned(), |verb| verb.value),
        users: users.unwrap_or_else(|| USER_FIELDS.map(str::to_owned).to_vec()),
        failed: failed.unwrap_or_else(|| FAILED.to_vec()),
        failed_location: sound(failed_location)?.map(|path| path.value),
        challenge: sound(challenge)?.map(|path| path.value),
        limits: limits.into_iter().fold(Limits::default(), Written::on),
    };
    Some(Spanned::new(login, span))
}

/// A child with one value. Outer: written at all; inner: understood.
fn setting<T>(
    cursor: &mut Cursor<'_>,
    name: &'static str,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<Option<T>> {
    cursor.child(name, |cursor| cursor.argument("a value").and_then(read))
}

fn read_users(cursor: &mut Cursor<'_>) -> Vec<String> {
    let all = cursor.arguments("names of fields such as \"email\"");
    if let Some(surplus) = all.get(USER_FIELDS_MAX) {
        let message = format!("at most {USER_FIELDS_MAX} fields are looked for");
        let problem = Problem::new(Code::TooLarge, message);
        cursor.reading().error(surplus.span(), problem.help("name those that the form has"));
    }
    all.into_iter().filter_map(|value| value.literal(some_name)).map(|name| name.value).collect()
}

fn some_name(name: &str) -> Checked<String> {
    if name.is_empty() {
        let problem = Problem::new(Code::Missing, "this names nothing");
        return Err(problem.help("write it as requests have it, such as \"email\""));
    }
    Ok(name.to_owned())
}

fn read_statuses(cursor: &mut Cursor<'_>) -> Vec<u16> {
    let all = cursor.arguments("statuses such as 401").into_iter();
    all.filter_map(|value| value.integer(200..=599_u16)).map(|status| status.value).collect()
}

/// One limit as written.
struct Written {
    span: Span,
    name: &'static str,
    limit: Limit,
    attempts: Option<u32>,
}

impl Written {
    fn on(mut limits: Limits, written: Self) -> Limits {
        let Self { span: _, name, limit, attempts } = written;
        let place = match name {
            "address-users" => &mut limits.address_users,
            "address-failures" => &mut limits.address_failures,
            "user-failures" => &mut limits.user_failures,
            "user-addresses" => &mut limits.user_addresses,
            _ => &mut limits.failure_ratio,
        };
        *place = limit;
        limits.ratio_attempts = attempts.unwrap_or(limits.ratio_attempts);
        limits
    }
}

fn read_limits(cursor: &mut Cursor<'_>) -> Vec<Written> {
    let usual = Limits::default().named();
    let read = |(name, usual): (&'static str, Limit)| {
        cursor.child(name, |cursor| read_limit(cursor, name, usual)).flatten()
    };
    usual.into_iter().filter_map(read).collect()
}

/// `address-users 10 action="block"`, `failure-ratio 80 attempts=100 points=10`
fn read_limit(cursor: &mut Cursor<'_>, name: &'static str, usual: Limit) -> Option<Written> {
    let most = match name {
        "address-users" | "user-addresses" => DISTINCT_MAX,
        "failure-ratio" => 100,
        _ => COUNT_MAX,
    };
    let at = cursor.argument("a number").and_then(|value| value.integer(1..=most));
    let action = cursor.property("action").map(|value| value.word(&ACTIONS));
    let points = cursor.property("points").map(|value| value.integer(POINTS));
    let attempts = match name {
        "failure-ratio" => cursor.property("attempts").map(|value| value.integer(1..=COUNT_MAX)),
        _ => None,
    };
    if action.is_some() && points.is_some() {
        let problem = Problem::new(Code::Conflict, "a limit has an action or points");
        cursor
            .error(problem.help("remove one of them: points decide together with those of rules"));
    }
    let (action, points) = (sound(action)?, sound(points)?);
    let action = match points {
        Some(points) => Action::Points(points.value),
        None => action.map_or(usual.action, |action| action.value),
    };
    let attempts = sound(attempts)?.map(|attempts| attempts.value);
    Some(Written { span: cursor.span(), name, limit: Limit { at: at?.value, action }, attempts })
}

fn check_challenge(reading: &Reading<'_>, limits: &[Written]) {
    let asks = limits.iter().find(|written| written.limit.action == Action::Challenge);
    if let Some(asks) = asks {
        let message = "the login does not say where clients prove that they are people";
        let problem = Problem::new(Code::Missing, message);
        reading.error(asks.span, problem.help("add `challenge \"/verify\"`, a page of your own"));
    }
}

/// The logins, without their places; an error for each that an outer policy has, or that is there twice.
pub(in crate::agent::waf) fn check_logins(
    reading: &Reading<'_>,
    outer: &[Login],
    written: Vec<Spanned<Login>>,
) -> Vec<Login> {
    let mut logins: Vec<Login> = Vec::new();
    for Spanned { value: login, span } in written {
        let is_same = |other: &Login| (&other.path, &other.method) == (&login.path, &login.method);
        if outer.iter().chain(&logins).any(is_same) {
            let message = format!("`{} {}` is a login already", login.method, login.path);
            let problem = Problem::new(Code::Repeated, message);
            let help = "keep one; a profile has the logins of its agent too";
            reading.error(span, problem.help(help));
        }
        logins.push(login);
    }
    logins
}

/// `bots { … }`, `bots #false`
pub(in crate::agent::waf) fn read_bots(cursor: &mut Cursor<'_>) -> Option<Option<Bots>> {
    let read = cursor.switch("bots", |cursor| {
        let part = BotsPart::read(cursor);
        part.settle(cursor.reading())
    });
    read.map(|switch| match switch {
        Switch::On(bots) => Some(bots),
        Switch::Off => None,
    })
}

struct BotsPart {
    missing: Option<Spanned<u32>>,
    findings: Option<Spanned<u32>>,
    share: Option<Spanned<u32>>,
    points: Option<Spanned<u32>>,
    points_max: Option<Spanned<u32>>,
    allow: Vec<Vec<Cidr>>,
    crawlers: Vec<Option<Crawler>>,
}

impl BotsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            missing: cursor.setting("missing", |value| value.integer(1..=COUNT_MAX)),
            findings: cursor.setting("findings", |value| value.integer(1..=COUNT_MAX)),
            share: cursor.setting("share", |value| value.integer(1..=100)),
            points: cursor.setting("points", |value| value.integer(POINTS)),
            points_max: cursor.setting("points-max", |value| value.integer(POINTS)),
            allow: cursor.children(&["allow"], read_networks),
            crawlers: cursor.children(&["crawler"], read_crawler),
        }
    }

    fn settle(self, reading: &Reading<'_>) -> Bots {
        let Self { missing, findings, share, points, points_max, allow, crawlers } = self;
        let or = |written: &Option<Spanned<u32>>, usual| {
            written.as_ref().map_or(usual, |written| written.value)
        };
        let bots = Bots {
            missing: or(&missing, 40),
            findings: or(&findings, 50),
            share: or(&share, 50),
            points: or(&points, 10),
            points_max: or(&points_max, or(&points, 10).max(20)),
            allow: allow.into_iter().flatten().collect(),
            crawlers: crawlers.into_iter().flatten().collect(),
        };
        if let Some(most) = points_max.filter(|most| most.value < bots.points) {
            let message = format!("a limit gives {} points already", bots.points);
            let problem = Problem::new(Code::Conflict, message);
            reading.error(most.span, problem.help("raise `points-max`, or lower `points`"));
        }
        bots
    }
}

fn read_networks(cursor: &mut Cursor<'_>) -> Vec<Cidr> {
    let all = cursor.arguments("networks such as \"192.0.2.0/24\"");
    if let Some(surplus) = all.get(NETWORKS_MAX) {
        let message = format!("a list has at most {NETWORKS_MAX} networks");
        let problem = Problem::new(Code::TooLarge, message);
        cursor.reading().error(surplus.span(), problem.help("write larger networks"));
    }
    all.into_iter().filter_map(|value| value.parse(cidr)).map(|network| network.value).collect()
}

/// `crawler "Googlebot" "66.249.64.0/19" points=25`
fn read_crawler(cursor: &mut Cursor<'_>) -> Option<Crawler> {
    let name = cursor.argument("a part of a User-Agent such as \"Googlebot\"");
    let name = name.and_then(|value| value.literal(some_name));
    let points = cursor.property("points").map(|value| value.integer(POINTS));
    let networks = read_networks(cursor);
    let points = sound(points)?.map_or(10, |points| points.value);
    Some(Crawler { name: name?.value.to_lowercase(), networks, points })
}
