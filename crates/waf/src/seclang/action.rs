//! What a rule does: `id:1,phase:2,deny,msg:'It\\'s bad',setvar:tx.score=+5`.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    control,
    report::{Fault, Findings, fault, known_names},
    source::{closing, without_escapes},
    target::{self, shortened},
    text,
};
use crate::{
    rule::{Allow, Change, Disruptive, Effect, Phase, Severity, Skip, Text, Variable},
    transform::Transformation,
};

/// Something a rule does or is.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Id(u64),
    Phase(Phase),
    Chain,
    /// Whatever `SecDefaultAction` says.
    Block,
    Disruptive(Disruptive),
    Status(u16),
    /// `t:none`: forgets the transformations before it, and those of `SecDefaultAction`.
    Untransformed,
    Transform(Transformation),
    MultiMatch,
    Capture,
    Log(bool),
    Message(Text, Arc<str>),
    LogData(Text),
    Tag(Arc<str>),
    Severity(Severity),
    Version(Arc<str>),
    Skip(Skip),
    Effect(Effect),
}

/// Actions with a meaning.
const SUPPORTED: &[&str] = &[
    "allow",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "deprecatevar",
    "drop",
    "expirevar",
    "id",
    "initcol",
    "log",
    "logdata",
    "msg",
    "multiMatch",
    "nolog",
    "pass",
    "phase",
    "redirect",
    "setenv",
    "setrsc",
    "setsid",
    "setuid",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
];

/// Actions that decide nothing, and why.
const INERT: &[(&str, &str)] = &[
    ("accuracy", "it decides nothing"),
    ("auditlog", "there is no second log: `log` and `nolog` say what is reported"),
    ("maturity", "it decides nothing"),
    ("noauditlog", "there is no second log: `log` and `nolog` say what is reported"),
    ("pause", "nobody is made to wait"),
    ("rev", "it decides nothing"),
    ("sanitiseArg", "what may be logged is said by the access log's rules"),
    ("sanitiseMatched", "what may be logged is said by the access log's rules"),
    ("sanitiseMatchedBytes", "what may be logged is said by the access log's rules"),
    ("sanitiseRequestHeader", "what may be logged is said by the access log's rules"),
    ("sanitiseResponseHeader", "what may be logged is said by the access log's rules"),
    ("xmlns", "names in XML are compared without their spaces"),
];

/// Actions that would change an exchange and do not, and why.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("append", "responses are not rewritten"),
    ("exec", "no program is run"),
    ("prepend", "responses are not rewritten"),
];

/// Reads a list of actions; each one that is wrong is an error of its own.
pub(super) fn parse(list: &str, found: &mut Findings) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut rest = list;
    while let Some((name, argument, after)) = found.keep(next(rest)).flatten() {
        let read = action(name, argument.as_deref(), &mut actions, found);
        found.keep(read);
        rest = if found.is_full() { "" } else { after };
    }
    actions
}

/// A name, its argument, and what follows them.
type Cut<'a> = Option<(&'a str, Option<String>, &'a str)>;

/// Cuts the next action off; an argument in single quotes may hold commas.
fn next(list: &str) -> Result<Cut<'_>, Fault> {
    let list = list.trim_start_matches(|part: char| part == ',' || part.is_whitespace());
    if list.is_empty() {
        return Ok(None);
    }
    let end = list.find([',', ':']).unwrap_or(list.len());
    let (name, rest) = (list[..end].trim(), &list[end..]);
    let Some(rest) = rest.strip_prefix(':') else { return Ok(Some((name, None, rest))) };
    let Some(quoted) = rest.trim_start().strip_prefix('\'') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Ok(Some((name, Some(rest[..end].trim().to_owned()), &rest[end..])));
    };
    let Some(end) = closing(quoted, '\'') else {
        return fault(
            format!("a quote ' behind `{}:` that is not closed", shortened(name)),
            "close it, or write \\' inside",
        );
    };
    let rest = quoted[end + 1..].trim_start();
    if !rest.is_empty() && !rest.starts_with(',') {
        return fault(
            format!("`{}` behind the quoted argument of `{}`", shortened(rest), shortened(name)),
            "write a comma there, or \\' for a quote inside the argument",
        );
    }
    Ok(Some((name, Some(without_escapes(&quoted[..end], '\'').into_owned()), rest)))
}

fn action(
    name: &str,
    argument: Option<&str>,
    actions: &mut Vec<Action>,
    found: &mut Findings,
) -> Result<(), Fault> {
    let lower = name.to_ascii_lowercase();
    let given = || given(&lower, argument);
    let one = match lower.as_str() {
        "id" => Action::Id(id(given()?)?),
        "phase" => Action::Phase(phase(given()?)?),
        "chain" => Action::Chain,
        "block" => Action::Block,
        "pass" => Action::Disruptive(Disruptive::Pass),
        "deny" | "drop" => Action::Disruptive(Disruptive::Deny),
        "proxy" => {
            found.unsupported("proxy", "requests go where routes say; this one is refused");
            Action::Disruptive(Disruptive::Deny)
        }
        "redirect" => Action::Disruptive(Disruptive::Redirect(text::parse(given()?, found))),
        "allow" => Action::Disruptive(Disruptive::Allow(allow(argument)?)),
        "status" => Action::Status(status(given()?)?),
        "t" => transformation(given()?)?,
        "multimatch" => Action::MultiMatch,
        "capture" => Action::Capture,
        "log" => Action::Log(true),
        "nolog" => Action::Log(false),
        "msg" => Action::Message(text::parse(given()?, found), given()?.into()),
        "logdata" => Action::LogData(text::parse(given()?, found)),
        "tag" => Action::Tag(tag(given()?, found)),
        "severity" => Action::Severity(severity(given()?)?),
        "ver" => Action::Version(given()?.into()),
        "skip" => Action::Skip(Skip::Rules(number(given()?)?)),
        "skipafter" => Action::Skip(Skip::After(given()?.into())),
        "setvar" => Action::Effect(set_variable(given()?, found)?),
        "setenv" => Action::Effect(set_environment(given()?, found)?),
        "deprecatevar" => Action::Effect(deprecate(given()?, found)?),
        "expirevar" => Action::Effect(expire(given()?, found)?),
        "initcol" => Action::Effect(init_collection(given()?, found)?),
        "setsid" => Action::Effect(owner(Variable::Session, given()?, found)),
        "setuid" => Action::Effect(owner(Variable::User, given()?, found)),
        "setrsc" => Action::Effect(owner(Variable::Resource, given()?, found)),
        "ctl" => {
            let effects = control::parse(given()?, found)?;
            actions.extend(effects.into_iter().map(Action::Effect));
            return Ok(());
        }
        _ => return without_effect(name, found),
    };
    actions.push(one);
    Ok(())
}

fn given<'a>(name: &str, argument: Option<&'a str>) -> Result<&'a str, Fault> {
    match argument.filter(|argument| !argument.is_empty()) {
        Some(argument) => Ok(argument),
        None => fault(format!("`{name}` without an argument"), format!("write `{name}:…`")),
    }
}

fn without_effect(name: &str, found: &mut Findings) -> Result<(), Fault> {
    let known = |list: &'static [(&str, &str)]| {
        list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if let Some((known, why)) = known(INERT) {
        found.inert(*known, *why);
        return Ok(());
    }
    if let Some((known, why)) = known(UNSUPPORTED) {
        found.unsupported(*known, *why);
        return Ok(());
    }
    let others = INERT.iter().chain(UNSUPPORTED).map(|(name, _)| *name);
    let names = SUPPORTED.iter().copied().chain(["proxy"]).chain(others);
    fault(format!("no action `{}`", shortened(name)), known_names(name, "", names))
}

fn id(written: &str) -> Result<u64, Fault> {
    match written.parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => fault(
            format!("`{}` is no number of a rule", shortened(written)),
            "write a whole number from 1",
        ),
    }
}

/// Reads numbers and ranges of rules, with commas or spaces between them.
pub(super) fn ids(written: &str) -> Result<Vec<RangeInclusive<u64>>, Fault> {
    let parts = written.split(|part: char| part == ',' || part.is_whitespace());
    let ranges = parts.filter(|part| !part.is_empty()).map(range).collect::<Result<Vec<_>, _>>()?;
    match ranges.is_empty() {
        true => fault("no number of a rule", "write 942100, or 942100-942199"),
        false => Ok(ranges),
    }
}

fn range(written: &str) -> Result<RangeInclusive<u64>, Fault> {
    let (first, last) = written.split_once('-').unwrap_or((written, written));
    match (id(first)?, id(last)?) {
        (first, last) if first <= last => Ok(first..=last),
        _ => fault(
            format!("`{}` ends before it begins", shortened(written)),
            "write the smaller number first",
        ),
    }
}

fn number(written: &str) -> Result<u32, Fault> {
    written.parse().map_err(|_| Fault {
        message: format!("`{}` is no number", shortened(written)),
        remedy: "write a whole number".to_owned(),
    })
}

fn phase(written: &str) -> Result<Phase, Fault> {
    Ok(match written.to_ascii_lowercase().as_str() {
        "1" => Phase::RequestHead,
        "2" | "request" => Phase::Request,
        "3" => Phase::ResponseHead,
        "4" | "response" => Phase::Response,
        "5" | "logging" => Phase::Log,
        _ => {
            return fault(
                format!("no phase `{}`", shortened(written)),
                "write 1 to 5, `request`, `response` or `logging`",
            );
        }
    })
}

fn allow(argument: Option<&str>) -> Result<Allow, Fault> {
    match argument.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(Allow::Exchange),
        Some("phase") => Ok(Allow::Phase),
        Some("request") => Ok(Allow::Request),
        Some(other) => fault(
            format!("`allow` does not reach `{}`", shortened(other)),
            "write `allow`, `allow:phase` or `allow:request`",
        ),
    }
}

fn status(written: &str) -> Result<u16, Fault> {
    match written.parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => fault(
            format!("`{}` is no status of HTTP", shortened(written)),
            "write a number from 100 to 599",
        ),
    }
}

fn transformation(written: &str) -> Result<Action, Fault> {
    if written.eq_ignore_ascii_case("none") {
        return Ok(Action::Untransformed);
    }
    match Transformation::from_name(written) {
        Some(transformation) => Ok(Action::Transform(transformation)),
        None => {
            let names = Transformation::ALL.iter().map(|known| known.name()).chain(["none"]);
            fault(
                format!("no transformation `{}`", shortened(written)),
                known_names(written, "t:", names),
            )
        }
    }
}

fn tag(written: &str, found: &mut Findings) -> Arc<str> {
    if text::has_macro(written) {
        found.unsupported("tag", "a variable in a tag stays as it is written");
    }
    written.into()
}

fn severity(written: &str) -> Result<Severity, Fault> {
    Ok(match written.to_ascii_lowercase().as_str() {
        "0" | "emergency" => Severity::Emergency,
        "1" | "alert" => Severity::Alert,
        "2" | "critical" => Severity::Critical,
        "3" | "error" => Severity::Error,
        "4" | "warning" => Severity::Warning,
        "5" | "notice" => Severity::Notice,
        "6" | "info" => Severity::Info,
        "7" | "debug" => Severity::Debug,
        _ => {
            return fault(
                format!("no severity `{}`", shortened(written)),
                "write 0 to 7, or a name from EMERGENCY to DEBUG",
            );
        }
    })
}

/// `tx.score=+5`, `tx.name`, `!tx.name`.
fn set_variable(written: &str, found: &mut Findings) -> Result<Effect, Fault> {
    let (remove, rest) = match written.trim().strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, written.trim()),
    };
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    };
    let (collection, key) = entry("setvar", name, found)?;
    let change = match value {
        _ if remove => Change::Remove,
        None => Change::Set("1".into()),
        Some(value) => match value.as_bytes().first() {
            Some(b'+') => Change::Add(text::parse(&value[1..], found)),
            Some(b'-') => Change::Subtract(text::parse(&value[1..], found)),
            _ => Change::Set(text::parse(value, found)),
        },
    };
    Ok(Effect::SetVar { collection, key, change })
}

/// `name=value` and `!name`, which is `setvar:env.name`.
fn set_environment(written: &str, found: &mut Findings) -> Result<Effect, Fault> {
    let (name, change) = match (written.strip_prefix('!'), written.split_once('=')) {
        (Some(name), _) => (name, Change::Remove),
        (None, Some((name, value))) => (name, Change::Set(text::parse(value, found))),
        (None, None) => (written, Change::Set("1".into())),
    };
    let key = text::parse(name.trim(), found);
    Ok(Effect::SetVar { collection: Variable::Env, key, change })
}

/// `ip.name=60`.
fn expire(written: &str, found: &mut Findings) -> Result<Effect, Fault> {
    let Some((name, seconds)) = written.split_once('=') else {
        return fault("`expirevar` without a time", "write `expirevar:ip.name=60`, in seconds");
    };
    let (collection, key) = entry("expirevar", name, found)?;
    Ok(Effect::ExpireVar { collection, key, seconds: text::parse(seconds.trim(), found) })
}

/// `ip.name=60/300`.
fn deprecate(written: &str, found: &mut Findings) -> Result<Effect, Fault> {
    let decay = written.split_once('=').filter(|(_, decay)| is_decay(decay));
    let Some((name, decay)) = decay else {
        return fault(
            "`deprecatevar` without an amount and a time",
            "write `deprecatevar:ip.name=60/300`: 60 less each 300 seconds",
        );
    };
    let (collection, key) = entry("deprecatevar", name, found)?;
    Ok(Effect::DeprecateVar { collection, key, decay: text::parse(decay.trim(), found) })
}

/// Two numbers, or what only the exchange can say.
fn is_decay(written: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().is_ok_and(|number| number > 0);
    let parts = written.split_once('/');
    text::has_macro(written) || parts.is_some_and(|(by, seconds)| number(by) && number(seconds))
}

/// A collection that rules write to, and which of its entries.
fn entry(action: &str, written: &str, found: &mut Findings) -> Result<(Variable, Text), Fault> {
    use Variable::{Env, Global, Ip, Resource, Session, Tx, User};
    let Some((collection, key)) = written.trim().split_once(['.', ':']) else {
        return fault(
            format!("`{action}:{}` without a collection", shortened(written)),
            format!("write `{action}:tx.{}`", shortened(written.trim())),
        );
    };
    let writable = [Tx, Ip, Global, Session, User, Resource, Env];
    match target::variable(collection).filter(|variable| writable.contains(variable)) {
        Some(variable) if !key.is_empty() => Ok((variable, text::parse(key, found))),
        _ => fault(
            format!("nothing can be kept in `{}`", shortened(written)),
            "write tx.name, or ip., global., session., user., resource. or env. before the name",
        ),
    }
}

/// `ip=%{REMOTE_ADDR}`.
fn init_collection(written: &str, found: &mut Findings) -> Result<Effect, Fault> {
    use Variable::{Global, Ip, Resource, Session, User};
    let (name, key) = written.split_once('=').unwrap_or((written, ""));
    let stored = [Ip, Global, Resource, Session, User];
    match target::variable(name.trim()).filter(|variable| stored.contains(variable)) {
        Some(collection) if !key.is_empty() => Ok(owner(collection, key, found)),
        _ => fault(
            format!("`initcol:{}` names no collection and its key", shortened(written)),
            "write `initcol:ip=%{REMOTE_ADDR}`, or global, session, user or resource",
        ),
    }
}

fn owner(collection: Variable, key: &str, found: &mut Findings) -> Effect {
    Effect::InitCollection { collection, key: text::parse(key, found) }
}
