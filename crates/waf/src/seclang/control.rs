//! What a rule changes for the rest of an exchange: `ctl:ruleRemoveTargetById=942100;ARGS:q`.

use super::{
    action::ids,
    exception::name_pattern,
    report::{Fault, Findings, fault, known_names},
    target::{self, shortened},
};
use crate::rule::{Control, Effect, Mode, Processor, Rules, Target};

/// Settings that can be changed.
const SUPPORTED: &[&str] = &[
    "forceRequestBodyVariable",
    "requestBodyAccess",
    "requestBodyProcessor",
    "responseBodyAccess",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

/// Settings that decide nothing here, and why.
const INERT: &[(&str, &str)] = &[
    ("auditEngine", "there is no second log"),
    ("auditLogParts", "there is no second log"),
    ("debugLogLevel", "`selvedge waf test --explain` shows what rules did"),
    ("forceResponseBodyVariable", "responses are inspected where the policy says"),
    ("hashEnforcement", "links are not signed"),
    ("hashEngine", "links are not signed"),
    ("parseXmlIntoArgs", "XML is in the variable XML only"),
    ("requestBodyLimit", "bounds are the policy's"),
    ("responseBodyLimit", "bounds are the policy's"),
    ("responseBodyProcessor", "responses are inspected as they are"),
];

/// Reads `name=value`; several targets are several effects.
pub(super) fn parse(written: &str, found: &mut Findings) -> Result<Vec<Effect>, Fault> {
    let (name, value) = written.split_once('=').unwrap_or((written, ""));
    let (name, value) = (name.trim(), value.trim());
    let one = match name.to_ascii_lowercase().as_str() {
        "ruleengine" => Control::Mode(mode(value)?),
        "requestbodyaccess" => Control::RequestBody(switch(value)?),
        "responsebodyaccess" => Control::ResponseBody(switch(value)?),
        "requestbodyprocessor" => Control::Processor(processor(value)?),
        "forcerequestbodyvariable" => Control::ForceRequestBody(switch(value)?),
        "ruleremovebyid" => Control::RemoveRules(Rules::Ids(ids(value)?)),
        "ruleremovebytag" => Control::RemoveRules(Rules::Tag(name_pattern(value)?)),
        "ruleremovebymsg" => Control::RemoveRules(Rules::Message(name_pattern(value)?)),
        "ruleremovetargetbyid" => {
            return targets(value, |rules| Ok(Rules::Ids(ids(rules)?)), found);
        }
        "ruleremovetargetbytag" => {
            return targets(value, |rules| Ok(Rules::Tag(name_pattern(rules)?)), found);
        }
        "ruleremovetargetbymsg" => {
            return targets(value, |rules| Ok(Rules::Message(name_pattern(rules)?)), found);
        }
        _ => return without_effect(name, found),
    };
    Ok(vec![Effect::Control(one)])
}

/// `rules;targets`.
fn targets(
    written: &str,
    rules: impl FnOnce(&str) -> Result<Rules, Fault>,
    found: &mut Findings,
) -> Result<Vec<Effect>, Fault> {
    let Some((named, looked_at)) = written.split_once(';') else {
        return fault(
            format!("`{}` names no target", shortened(written)),
            "write rules and target with a semicolon between: `942100;ARGS:q`",
        );
    };
    let rules = rules(named)?;
    let targets = target::parse_update(looked_at, found)?;
    let remove = |target: Target| {
        let target = Target { exclude: false, ..target };
        Effect::Control(Control::RemoveTarget(rules.clone(), target))
    };
    Ok(targets.into_iter().map(remove).collect())
}

fn without_effect(name: &str, found: &mut Findings) -> Result<Vec<Effect>, Fault> {
    match INERT.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, why)) => {
            found.inert(format!("ctl:{known}"), *why);
            Ok(Vec::new())
        }
        None => {
            let names = SUPPORTED.iter().copied().chain(INERT.iter().map(|(name, _)| *name));
            fault(format!("no `ctl:{}`", shortened(name)), known_names(name, "ctl:", names))
        }
    }
}

/// `On`, `Off` or `DetectionOnly`.
pub(super) fn mode(written: &str) -> Result<Mode, Fault> {
    Ok(match written.to_ascii_lowercase().as_str() {
        "on" => Mode::On,
        "off" => Mode::Off,
        "detectiononly" => Mode::DetectionOnly,
        _ => {
            let message = format!("`{}` is no mode", shortened(written));
            return fault(message, "write On, Off or DetectionOnly");
        }
    })
}

/// `On` or `Off`.
pub(super) fn switch(written: &str) -> Result<bool, Fault> {
    match written.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => fault(format!("`{}` is neither On nor Off", shortened(written)), "write On or Off"),
    }
}

fn processor(written: &str) -> Result<Processor, Fault> {
    Ok(match written.to_ascii_uppercase().as_str() {
        "URLENCODED" => Processor::UrlEncoded,
        "MULTIPART" => Processor::Multipart,
        "JSON" => Processor::Json,
        "XML" => Processor::Xml,
        "GRAPHQL" => Processor::GraphQl,
        _ => {
            return fault(
                format!("no way to read a body called `{}`", shortened(written)),
                "write URLENCODED, MULTIPART, JSON, XML or GRAPHQL",
            );
        }
    })
}
