//! What an agent of type `waf` and each of its profiles say of their policy.

use selvedge_base::ByteSize;

use super::{
    Bots, Bounds, CATEGORIES, Exclusion, Exhausted, Login, Mode, Policy, TARGETS, Target,
    Unreadable, Which,
    counters::part::{check_logins, read_bots, read_login},
};
use crate::{
    Code,
    cursor::Cursor,
    http::{media_range, method, path},
    reading::{Problem, Reading, did_you_mean, one_of},
    source::{Span, Spanned},
    value::{Checked, Plain, Value},
};

const MODES: [(&str, Mode); 3] =
    [("block", Mode::Block), ("detect", Mode::Detect), ("off", Mode::Off)];
const UNREADABLE: [(&str, Unreadable); 3] =
    [("reject", Unreadable::Reject), ("inspect", Unreadable::Inspect), ("pass", Unreadable::Pass)];
const EXHAUSTED: [(&str, Exhausted); 2] =
    [("reject", Exhausted::Reject), ("decide", Exhausted::Decide)];

const POINTS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Exceptions, weights and the like of one policy; each is compared with every rule.
const ENTRIES_MAX: usize = 1_000;

/// A policy as written.
#[derive(Default)]
pub(super) struct PolicyPart {
    mode: Option<Spanned<Mode>>,
    paranoia: Option<Spanned<u8>>,
    log_at: Option<Spanned<u32>>,
    block_at: Option<Spanned<u32>>,
    block_response_at: Option<Spanned<u32>>,
    status: Option<Spanned<u16>>,
    early: Option<Spanned<bool>>,
    weights: Vec<(String, u16)>,
    exclusions: Vec<Exclusion>,
    shadow: Vec<Which>,
    content_types: Option<Vec<String>>,
    bounds: BoundsPart,
    oversize: Option<Spanned<Unreadable>>,
    undecodable: Option<Spanned<Unreadable>>,
    exhausted: Option<Spanned<Exhausted>>,
    inside_base64: Option<Spanned<bool>>,
    responses: Option<Spanned<bool>>,
    mask: Option<Spanned<bool>>,
    websocket: Option<Spanned<bool>>,
    logins: Vec<Spanned<Login>>,
    /// Outer: written at all; inner: wanted.
    bots: Option<Option<Bots>>,
}

#[derive(Default)]
struct BoundsPart {
    body: Option<Spanned<ByteSize>>,
    response_body: Option<Spanned<ByteSize>>,
    arguments: Option<Spanned<usize>>,
    depth: Option<Spanned<usize>>,
    work: Option<Spanned<u64>>,
}

impl PolicyPart {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            mode: cursor.setting("mode", |value| value.word(&MODES)),
            paranoia: cursor.setting("paranoia", |value| value.integer(1..=4)),
            log_at: cursor.setting("log-at", |value| value.integer(POINTS)),
            block_at: cursor.setting("block-at", |value| value.integer(POINTS)),
            block_response_at: cursor.setting("block-response-at", |value| value.integer(POINTS)),
            status: cursor.setting("status", |value| value.integer(400..=599)),
            early: cursor.setting("early", |value| value.boolean()),
            weights: all(cursor, "weight", read_weight),
            exclusions: all(cursor, "exclude", read_exclusion),
            shadow: all(cursor, "shadow", read_shadow),
            content_types: cursor.child("content-types", read_types),
            bounds: cursor.child("bounds", BoundsPart::read).unwrap_or_default(),
            oversize: cursor.setting("oversize", |value| value.word(&UNREADABLE)),
            undecodable: cursor.setting("undecodable", |value| value.word(&UNREADABLE)),
            exhausted: cursor.setting("exhausted", |value| value.word(&EXHAUSTED)),
            inside_base64: cursor.setting("inside-base64", |value| value.boolean()),
            responses: cursor.setting("responses", |value| value.boolean()),
            mask: cursor.setting("mask", |value| value.boolean()),
            websocket: cursor.setting("websocket", |value| value.boolean()),
            logins: all(cursor, "login", read_login),
            bots: read_bots(cursor),
        }
    }

    /// Whether clients are counted.
    pub(super) fn counts(&self) -> bool {
        !self.logins.is_empty() || matches!(self.bots, Some(Some(_)))
    }

    /// The policy, whole: what is not written is as in `outer`, and lists are added to its own.
    pub(super) fn settle(
        mut self,
        reading: &Reading<'_>,
        (scope, body_max): (&str, ByteSize),
        outer: &Policy,
    ) -> Policy {
        self.check(reading, outer);
        let logins = check_logins(reading, &outer.logins, std::mem::take(&mut self.logins));
        let Self {
            mode,
            paranoia,
            log_at,
            block_at,
            block_response_at,
            status,
            early,
            weights,
            exclusions,
            shadow,
            content_types,
            bounds,
            oversize,
            undecodable,
            exhausted,
            inside_base64,
            responses,
            mask,
            websocket,
            logins: _,
            bots,
        } = self;
        Policy {
            mode: value(mode).or(outer.mode),
            paranoia: value(paranoia).or(outer.paranoia),
            log_at: value(log_at).unwrap_or(outer.log_at),
            block_at: value(block_at).or(outer.block_at),
            block_response_at: value(block_response_at).or(outer.block_response_at),
            status: value(status).unwrap_or(outer.status),
            early: value(early).unwrap_or(outer.early),
            weights: [&outer.weights[..], &weights].concat(),
            exclusions: [&outer.exclusions[..], &exclusions].concat(),
            shadow: [&outer.shadow[..], &shadow].concat(),
            content_types: content_types.or_else(|| outer.content_types.clone()),
            bounds: bounds.settle(reading, (scope, body_max), &outer.bounds),
            oversize: value(oversize).unwrap_or(outer.oversize),
            undecodable: value(undecodable).unwrap_or(outer.undecodable),
            exhausted: value(exhausted).unwrap_or(outer.exhausted),
            inside_base64: value(inside_base64).unwrap_or(outer.inside_base64),
            responses: value(responses).unwrap_or(outer.responses),
            mask: value(mask).unwrap_or(outer.mask),
            websocket: value(websocket).unwrap_or(outer.websocket),
            logins: outer.logins.iter().cloned().chain(logins).collect(),
            bots: bots.unwrap_or_else(|| outer.bots.clone()),
        }
    }

    fn check(&self, reading: &Reading<'_>, outer: &Policy) {
        let responses = self.responses.as_ref().map_or(outer.responses, |switch| switch.value);
        if let Some(mask) = self.mask.as_ref().filter(|mask| mask.value && !responses) {
            let problem =
                Problem::new(Code::Conflict, "no response is looked at, so none is masked");
            reading.error(mask.span, problem.help("write `responses #true` beside it"));
        }
        let (log_at, block_at) = (self.log_at.as_ref(), self.block_at.as_ref());
        if let (Some(log), Some(block)) = (log_at, block_at)
            && log.value > block.value
        {
            let message = format!(
                "requests are refused from {} points on and reported from {}",
                block.value, log.value
            );
            let problem = Problem::new(Code::Conflict, message);
            reading.error(log.span, problem.help("what is refused is reported: lower `log-at`"));
        }
    }
}

fn value<T>(written: Option<Spanned<T>>) -> Option<T> {
    written.map(|written| written.value)
}

/// What all nodes of this name say.
fn all<T>(
    cursor: &mut Cursor<'_>,
    name: &'static str,
    read: fn(&mut Cursor<'_>) -> Option<T>,
) -> Vec<T> {
    let mut nodes = cursor.children(&[name], |cursor| (cursor.span(), read(cursor)));
    if let Some((span, _)) = nodes.get(ENTRIES_MAX) {
        let message = format!("a policy has at most {ENTRIES_MAX} of `{name}`");
        let help = "name rules by a range of numbers or by a tag";
        cursor.reading().error(*span, Problem::new(Code::TooLarge, message).help(help));
    }
    nodes.drain(..).filter_map(|(_, one)| one).collect()
}

/// `weight "sql" 150`
fn read_weight(cursor: &mut Cursor<'_>) -> Option<(String, u16)> {
    let category = cursor.argument("a category such as \"sql\"");
    let category = category.and_then(|value| {
        value.literal(|written| {
            let known = CATEGORIES.contains(&written);
            known.then(|| written.to_owned()).ok_or_else(|| unknown(written, &CATEGORIES))
        })
    });
    let percent = cursor.argument("a percentage");
    let percent = percent.and_then(|value| value.integer(0..=1_000_u16));
    Some((category?.value, percent?.value))
}

/// `exclude rule=942100 target="args:q" path="/search" method="GET"`
fn read_exclusion(cursor: &mut Cursor<'_>) -> Option<Exclusion> {
    let rules = read_which(cursor);
    let target = cursor.property("target").map(|value| value.literal(target));
    let path = cursor.property("path").map(|value| value.parse(path));
    let method = cursor.property("method").map(|value| value.literal(method));
    if rules.is_none() && target.is_none() {
        let problem = Problem::new(Code::Missing, "this leaves out every rule");
        let help = "name them by `rule=` or `tag=`, or what they look at by `target=`; to leave a \
                    route out, give it a profile with `mode \"off\"`";
        cursor.error(problem.help(help));
    }
    Some(Exclusion {
        rules: sound(rules)?,
        target: sound(target)?.map(|target| target.value),
        path: sound(path)?.map(|path| path.value),
        method: sound(method)?.map(|method| method.value),
    })
}

/// `shadow rule=1000001`
fn read_shadow(cursor: &mut Cursor<'_>) -> Option<Which> {
    let which = read_which(cursor);
    if which.is_none() {
        let problem = Problem::new(Code::Missing, "this names no rule");
        cursor.error(problem.help("write `shadow rule=1000001` or `shadow tag=\"attack-rce\"`"));
    }
    which?
}

/// `rule=` or `tag=`. Outer: written at all; inner: understood.
fn read_which(cursor: &mut Cursor<'_>) -> Option<Option<Which>> {
    let rule = cursor.property("rule").map(read_rule);
    let tag = cursor.property("tag").map(|value| {
        let tag = value.literal(|written| Ok(written.to_owned()))?;
        not_empty(value, &tag.value).map(|tag| Which::Tag(tag.to_owned()))
    });
    if rule.is_some() && tag.is_some() {
        let problem = Problem::new(Code::Conflict, "rules are named by `rule=` or by `tag=`");
        cursor.error(problem.help("write a node for each"));
    }
    rule.or(tag)
}

/// A number, `"942100-942199"`, or a name.
fn read_rule(value: Value<'_>) -> Option<Which> {
    let plain = value.plain()?;
    let one = match &plain.value {
        Plain::Integer(number) => u64::try_from(*number).ok().map(|id| Which::Numbers(id, id)),
        Plain::Text(text) => numbers(text).or_else(|| {
            let name = text.contains('/').then(|| Which::Name(text.clone()));
            name.filter(|_| text.len() <= 256)
        }),
        Plain::Fraction(_) | Plain::Switch(_) => None,
    };
    if one.is_none() {
        let message = format!("`{}` names no rule", plain.value);
        let help = "write its number such as 942100, numbers such as \"942100-942199\", or its \
                    name such as \"sql/union\"";
        report(value, plain.span, Problem::new(Code::UnknownWord, message).help(help));
    }
    one
}

fn numbers(text: &str) -> Option<Which> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(Which::Numbers(first, last))
}

fn not_empty<'t>(value: Value<'_>, text: &'t str) -> Option<&'t str> {
    if text.is_empty() {
        let problem = Problem::new(Code::Missing, "every tag has this part");
        report(value, value.span(), problem.help("write a tag such as \"attack-sqli\""));
        return None;
    }
    Some(text)
}

fn report(value: Value<'_>, span: Span, problem: Problem) {
    value.reading().error(span, problem);
}

/// `args`, `args:name`
fn target(text: &str) -> Checked<Target> {
    let (part, name) = match text.split_once(':') {
        Some((part, name)) => (part, Some(name)),
        None => (text, None),
    };
    let known = TARGETS.map(|(word, _)| word);
    let found = TARGETS.iter().find(|(word, _)| *word == part);
    let (_, has_names) = found.ok_or_else(|| unknown(part, &known))?;
    if name.is_some_and(|name| name.is_empty() || !has_names) {
        let message = format!("`{part}` has no entry of that name");
        return Err(Problem::new(Code::UnknownWord, message).help(format!("write \"{part}\"")));
    }
    Ok(Target { part: part.to_owned(), name: name.map(str::to_owned) })
}

fn unknown(written: &str, known: &[&str]) -> Problem {
    let help = did_you_mean(written, known.iter().copied())
        .unwrap_or_else(|| format!("it is one of {}", one_of(known.iter().copied())));
    Problem::new(Code::UnknownWord, format!("`{written}` is not known here")).help(help)
}

/// `None`: written, and not understood.
fn sound<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(part) => part.map(Some),
    }
}

fn read_types(cursor: &mut Cursor<'_>) -> Vec<String> {
    let arguments = cursor.arguments("media types such as \"application/json\"");
    let one = |text: &str| match text.contains("*+") {
        true => Err(Problem::new(Code::Header, format!("{text:?} is not a media type"))
            .help("such as \"application/json\" or \"text/*\"")),
        false => media_range(text),
    };
    arguments.into_iter().filter_map(|value| value.parse(one)).map(|one| one.value).collect()
}

impl BoundsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let size = ByteSize(1)..=super::super::BODY_MAX;
        Self {
            body: cursor.setting("body", |value| value.size(size.clone())),
            response_body: cursor.setting("response-body", |value| value.size(size.clone())),
            arguments: cursor.setting("arguments", |value| value.count(1..=1_000_000)),
            depth: cursor.setting("depth", |value| value.count(1..=1_000)),
            work: cursor.setting("work", |value| value.integer(1_000..=1_u64 << 40)),
        }
    }

    fn settle(
        self,
        reading: &Reading<'_>,
        (scope, body_max): (&str, ByteSize),
        outer: &Bounds,
    ) -> Bounds {
        let Self { body, response_body, arguments, depth, work } = self;
        for size in [&body, &response_body].into_iter().flatten() {
            refuse_beyond(reading, size, body_max);
        }
        Bounds {
            body: reading.settle(scope, "bounds body", body, outer.body),
            response_body: reading.settle(
                scope,
                "bounds response-body",
                response_body,
                outer.response_body,
            ),
            arguments: reading.settle(scope, "bounds arguments", arguments, outer.arguments),
            depth: reading.settle(scope, "bounds depth", depth, outer.depth),
            work: reading.settle(scope, "bounds work", work, outer.work),
        }
    }
}

fn refuse_beyond(reading: &Reading<'_>, size: &Spanned<ByteSize>, body_max: ByteSize) {
    if size.value > body_max {
        let message = format!("this agent sees {body_max} of a body: no more can be inspected");
        let problem = Problem::new(Code::Conflict, message);
        reading.error(size.span, problem.help("raise the agent's `body-max`, or lower this"));
    }
}

impl Policy {
    /// What holds where nothing is written.
    pub(super) fn new(body_max: ByteSize) -> Self {
        Self {
            mode: None,
            paranoia: None,
            log_at: 10,
            block_at: None,
            block_response_at: None,
            status: 403,
            early: false,
            weights: Vec::new(),
            exclusions: Vec::new(),
            shadow: Vec::new(),
            content_types: None,
            bounds: Bounds {
                body: body_max,
                response_body: body_max,
                arguments: 1_000,
                depth: 64,
                work: 8 << 20,
            },
            oversize: Unreadable::Reject,
            undecodable: Unreadable::Inspect,
            exhausted: Exhausted::Reject,
            inside_base64: false,
            responses: false,
            mask: false,
            websocket: false,
            logins: Vec::new(),
            bots: None,
        }
    }
}
