//! What the operator wrote, as the engine takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use selvedge_config::waf as written;
use selvedge_waf::{
    policy::{Exclusion, Exhausted, Limits, Policy, Unreadable},
    rule::{Category, Item, Mode, RuleSet, Rules, Selector, Target, Variable},
};

use super::{Fault, watch::is_finding};

/// Returns the agent's own policy and then those of its profiles; or what they name and rules are not.
pub(super) fn policies(
    settings: &written::Settings,
    rules: &RuleSet,
) -> Result<Vec<Policy>, Vec<Fault>> {
    let known = Known::of(rules);
    let mut faults = Vec::new();
    let policies = settings.policies().map(|policy| known.policy(policy, &mut faults)).collect();
    faults.dedup();
    if faults.is_empty() { Ok(policies) } else { Err(faults) }
}

/// What rules can be named by.
struct Known<'r> {
    names: BTreeMap<&'r str, u64>,
    numbers: BTreeSet<u64>,
    tags: BTreeSet<&'r str>,
}

impl<'r> Known<'r> {
    fn of(rules: &'r RuleSet) -> Self {
        let all = rules.items.iter().filter_map(|item| match item {
            Item::Rule(rule) => Some(&**rule),
            Item::Marker(_) => None,
        });
        let mut known =
            Self { names: BTreeMap::new(), numbers: BTreeSet::new(), tags: BTreeSet::new() };
        for rule in all {
            known.names.extend(rule.name.as_deref().map(|name| (name, rule.id)));
            known.numbers.insert(rule.id);
            known.tags.extend(rule.tags.iter().map(|tag| &**tag));
        }
        known
    }

    fn policy(&self, policy: &written::Policy, faults: &mut Vec<Fault>) -> Policy {
        let written::Policy {
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
            responses: _,
            mask: _,
            websocket: _,
            logins: _,
            bots: _,
        } = policy;
        let shadow = shadow.iter().filter(|which| !is_finding(which));
        let mut which = |which: &written::Which| {
            let rules = self.rules(which);
            rules.map_err(|message| faults.push(Fault { file: None, message })).ok()
        };
        Policy {
            mode: mode.map(engine_mode),
            paranoia: *paranoia,
            log_at: *log_at,
            block_at: *block_at,
            block_response_at: *block_response_at,
            status: *status,
            early: *early,
            shadow: shadow.filter_map(&mut which).collect(),
            exclusions: exclusions
                .iter()
                .filter_map(|one| exclusion(one, &mut which))
                .flatten()
                .collect(),
            weights: weights
                .iter()
                .filter_map(|(word, percent)| Some((category(word)?, *percent)))
                .collect(),
            content_types: content_types.clone(),
            limits: limits(bounds),
            oversize: unreadable(*oversize),
            undecodable: unreadable(*undecodable),
            exhausted: match exhausted {
                written::Exhausted::Reject => Exhausted::Reject,
                written::Exhausted::Decide => Exhausted::Decide,
            },
            inside_base64: *inside_base64,
        }
    }

    /// The rules that are named; the error says that there are none.
    fn rules(&self, which: &written::Which) -> Result<Rules, String> {
        match which {
            written::Which::Numbers(first, last) => match self.numbers.range(first..=last).next() {
                Some(_) => Ok(Rules::Ids(vec![*first..=*last])),
                None if first == last => Err(nobody(&format!("the number {first}"))),
                None => Err(nobody(&format!("a number from {first} to {last}"))),
            },
            written::Which::Name(name) => match self.names.get(name.as_str()) {
                Some(id) => Ok(Rules::Ids(vec![*id..=*id])),
                None => Err(nobody(&format!("the name `{name}`"))),
            },
            // A whole tag is that one alone: `sql` is not `nosql`.
            written::Which::Tag(tag) if self.tags.contains(tag.as_str()) => {
                Ok(Rules::Tag(format!(r"\A{}\z", regex::escape(tag)).into()))
            }
            written::Which::Tag(part) => match self.tags.iter().any(|tag| tag.contains(&**part)) {
                true => Ok(Rules::Tag(regex::escape(part).into())),
                false => Err(nobody(&format!("a tag with `{part}` in it"))),
            },
        }
    }
}

fn nobody(what: &str) -> String {
    format!(
        "no rule has {what}, which `exclude` or `shadow` names; remove it, or load the rules that \
         it is about"
    )
}

fn engine_mode(mode: written::Mode) -> Mode {
    match mode {
        written::Mode::Block => Mode::On,
        written::Mode::Detect => Mode::DetectionOnly,
        written::Mode::Off => Mode::Off,
    }
}

fn unreadable(written: written::Unreadable) -> Unreadable {
    match written {
        written::Unreadable::Reject => Unreadable::Reject,
        written::Unreadable::Inspect => Unreadable::Inspect,
        written::Unreadable::Pass => Unreadable::Pass,
    }
}

fn limits(bounds: &written::Bounds) -> Limits {
    let written::Bounds { body, response_body, arguments, depth, work } = *bounds;
    let bytes = |size: selvedge_base::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    Limits {
        request_body_bytes: bytes(body),
        response_body_bytes: bytes(response_body),
        arguments,
        depth,
        work,
    }
}

/// One for each variable that its target stands for; `None`: it names no rule.
fn exclusion(
    written: &written::Exclusion,
    which: &mut impl FnMut(&written::Which) -> Option<Rules>,
) -> Option<Vec<Exclusion>> {
    let written::Exclusion { rules, target, path, method } = written;
    let rules = match rules {
        Some(rules) => which(rules)?,
        None => Rules::Ids(vec![0..=u64::MAX]),
    };
    let one = |target| Exclusion {
        rules: rules.clone(),
        target,
        path: path.as_deref().map(Arc::from),
        methods: method.as_deref().map(Arc::from).into_iter().collect(),
    };
    Some(match target {
        None => vec![one(None)],
        Some(target) => targets(target).into_iter().map(Some).map(one).collect(),
    })
}

/// What a word stands for. An argument is one whether rules look at all, or at those of the query.
fn targets(target: &written::Target) -> Vec<Target> {
    let written::Target { part, name } = target;
    let selector = match name {
        Some(name) => Selector::Key(name.as_str().into()),
        None => Selector::All,
    };
    let one = |variable: &Variable| Target {
        variable: *variable,
        selector: selector.clone(),
        count: false,
        exclude: false,
    };
    variables(part).iter().map(one).collect()
}

fn variables(part: &str) -> &'static [Variable] {
    match part {
        "args" => &[Variable::Args, Variable::ArgsGet, Variable::ArgsPost],
        "args-names" => &[Variable::ArgsNames, Variable::ArgsGetNames, Variable::ArgsPostNames],
        "query-args" => &[Variable::ArgsGet],
        "body-args" => &[Variable::ArgsPost],
        "cookies" => &[Variable::RequestCookies],
        "cookies-names" => &[Variable::RequestCookiesNames],
        "headers" => &[Variable::RequestHeaders],
        "headers-names" => &[Variable::RequestHeadersNames],
        "path" => &[Variable::RequestFilename, Variable::RequestBasename],
        "query" => &[Variable::QueryString],
        "uri" => &[Variable::RequestUri, Variable::RequestUriRaw, Variable::RequestLine],
        "body" => &[Variable::RequestBody, Variable::UnreadBody],
        "files" => &[Variable::Files, Variable::FilesTmpContent],
        "files-names" => &[Variable::FilesNames],
        "xml" => &[Variable::Xml],
        "websocket" => &[Variable::WebSocketFrame],
        "response-headers" => &[Variable::ResponseHeaders],
        "response-body" => &[Variable::ResponseBody],
        _ => &[],
    }
}

fn category(word: &str) -> Option<Category> {
    Some(match word {
        "sql" => Category::Sql,
        "nosql" => Category::NoSql,
        "xss" => Category::Xss,
        "traversal" => Category::Traversal,
        "command" => Category::Command,
        "code" => Category::Code,
        "template" => Category::Template,
        "ldap" => Category::Ldap,
        "xpath" => Category::XPath,
        "xxe" => Category::Xxe,
        "ssrf" => Category::Ssrf,
        "deserialization" => Category::Deserialization,
        "protocol" => Category::Protocol,
        "scanner" => Category::Scanner,
        "lookup" => Category::Lookup,
        "upload" => Category::Upload,
        "smuggling" => Category::Smuggling,
        "sensitive-file" => Category::SensitiveFile,
        "api" => Category::Api,
        "session-fixation" => Category::SessionFixation,
        "leak" => Category::Leak,
        "web-shell" => Category::WebShell,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use selvedge_config::{
        AgentSettings, MemoryEnvironment, parse_str,
        waf::{CATEGORIES, TARGETS},
    };

    use super::*;

    /// Two crates that do not see each other say what holds where nobody says anything: the config and the engine.
    #[test]
    fn a_policy_of_which_nothing_is_said_is_the_engines_own() {
        let text = "agent \"a\" { type \"waf\" }\nroute \"r\" { agents \"a\"; respond 200 }";
        let config = parse_str("a.kdl", text, &MemoryEnvironment::default()).unwrap().config;
        let agent = &config.agents["a"];
        let AgentSettings::Waf(settings) = &agent.settings else { panic!("{agent:?}") };
        let known =
            Known { names: BTreeMap::new(), numbers: BTreeSet::new(), tags: BTreeSet::new() };
        let policy = known.policy(&settings.policy, &mut Vec::new());
        // An agent sees no more of a response than of a request.
        let limits =
            Limits { response_body_bytes: policy.limits.request_body_bytes, ..Limits::default() };
        let own = Policy { limits, ..Policy::default() };
        assert_eq!(format!("{policy:?}"), format!("{own:?}"));
    }

    #[test]
    fn every_word_of_a_config_stands_for_something() {
        let categories: BTreeSet<_> =
            CATEGORIES.iter().map(|word| category(word).unwrap() as usize).collect();
        assert_eq!(categories.len(), CATEGORIES.len());
        for (word, has_names) in TARGETS {
            let all = variables(word);
            assert!(!all.is_empty(), "{word}");
            assert!(all.iter().all(|one| one.is_collection() == has_names), "{word}");
        }
    }
}
