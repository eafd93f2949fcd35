//! Why a request takes the route it takes, for people.

use std::{fmt, sync::Arc};

use selvedge_config::{HostPattern, Id, Origin, PathPattern, Pattern, Route, ValueMatch};

use crate::{
    condition::{host_holds, method_holds, path_holds, value_holds},
    rank::{Rank, some_or_any},
    request::{RequestView, find_parameter},
};

/// How many routes of one kind the text shows; the fields hold them all.
const SHOWN_MAX: usize = 40;

/// Which route a request takes, and what became of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Method asked about.
    pub method: String,
    /// Host asked about.
    pub host: String,
    /// Normalised path asked about.
    pub path: String,
    /// The route taken, if any.
    pub chosen: Option<Chosen>,
    /// Routes that do not hold, in the order in which they are asked.
    pub passed: Vec<Passed>,
    /// Routes that hold too, in the order in which they would be asked.
    pub runners_up: Vec<RunnerUp>,
}

/// The route taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index in the config's list of routes.
    pub index: usize,
    /// Name.
    pub id: Id,
    /// Where it is written.
    pub origin: Origin,
    /// Its priority.
    pub priority: i32,
    /// Its conditions, with what fulfilled each. Empty: the route holds for every request.
    pub held: Vec<Finding>,
}

/// A route that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Index in the config's list of routes.
    pub index: usize,
    /// Name.
    pub id: Id,
    /// Where it is written.
    pub origin: Origin,
    /// Whether it comes before the chosen route; one that comes after would not have been asked.
    pub before: bool,
    /// The first condition that does not hold.
    pub failed: Finding,
}

/// A route that holds too, but comes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerUp {
    /// Index in the config's list of routes.
    pub index: usize,
    /// Name.
    pub id: Id,
    /// Where it is written.
    pub origin: Origin,
    /// What put the chosen route before it.
    pub lost_by: LostBy,
}

/// What a condition asked for, and what the request had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Kind of condition.
    pub condition: Condition,
    /// What the route wants, in words.
    pub wanted: String,
    /// What the request has; `None`: nothing of that name.
    pub seen: Option<String>,
}

/// A kind of condition, in the order in which they are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The host.
    Host,
    /// The path.
    Path,
    /// The method.
    Method,
    /// The header of this name.
    Header(String),
    /// The query parameter of this name.
    Query(String),
}

/// Why one of two routes that both hold comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostBy {
    /// Lower priority.
    Priority,
    /// A less specific host.
    Host,
    /// A less specific path.
    Path,
    /// Fewer conditions on method, headers and query.
    Conditions,
    /// Written later.
    Order,
}

impl Explanation {
    pub(crate) fn new(routes: &[Arc<Route>], request: &RequestView<'_>) -> Self {
        let mut explanation = Self {
            method: request.method.to_owned(),
            host: request.host().to_owned(),
            path: request.path.to_owned(),
            chosen: None,
            passed: Vec::new(),
            runners_up: Vec::new(),
        };
        let mut first = None;
        for assessed in assess_all(routes, request) {
            explanation.add(routes, assessed, &mut first);
        }
        explanation
    }

    fn add(&mut self, routes: &[Arc<Route>], assessed: Assessed, first: &mut Option<Rank>) {
        let index = assessed.rank.order;
        let route = &routes[index];
        let (id, origin) = (route.id.clone(), route.origin.clone());
        match (assessed.findings, *first) {
            (Err(failed), _) => {
                let before = first.is_none();
                self.passed.push(Passed { index, id, origin, before, failed });
            }
            (Ok(_), Some(first)) => {
                let lost_by = LostBy::between(&first, &assessed.rank);
                self.runners_up.push(RunnerUp { index, id, origin, lost_by });
            }
            (Ok(held), None) => {
                *first = Some(assessed.rank);
                let priority = route.priority;
                self.chosen = Some(Chosen { index, id, origin, priority, held });
            }
        }
    }
}

impl LostBy {
    fn between(first: &Rank, second: &Rank) -> Self {
        if first.priority != second.priority {
            Self::Priority
        } else if first.host != second.host {
            Self::Host
        } else if first.path != second.path {
            Self::Path
        } else if first.conditions != second.conditions {
            Self::Conditions
        } else {
            Self::Order
        }
    }
}

/// A route, its place among the others, and either all that held or the first that did not.
struct Assessed {
    rank: Rank,
    findings: Result<Vec<Finding>, Finding>,
}

/// All routes in the order in which they are asked.
fn assess_all(routes: &[Arc<Route>], request: &RequestView<'_>) -> Vec<Assessed> {
    let assess = |(order, route): (usize, &Arc<Route>)| assess(route, order, request);
    let mut all: Vec<_> = routes.iter().enumerate().map(assess).collect();
    all.sort_by_key(|assessed| assessed.rank);
    all
}

/// A route stands where its most specific host and path that hold put it; failing that, its best.
fn assess(route: &Route, order: usize, request: &RequestView<'_>) -> Assessed {
    let matches = &route.matches;
    let rank = |host, path| Rank::new(route, order, host, path);
    let host = Choice::of(&matches.hosts, |it| rank(it, None), |it| host_holds(it, request.host()));
    let path = Choice::of(&matches.paths, |it| rank(None, it), |it| path_holds(it, request.path));
    let findings = find_all(route, request, &host, &path);
    Assessed { rank: rank(host.best, path.best), findings }
}

/// The most specific pattern of a list that holds, or the most specific one when none does.
struct Choice<'r, T> {
    best: Option<&'r T>,
    holds: bool,
}

impl<'r, T> Choice<'r, T> {
    fn of(list: &'r [T], rank: impl Fn(Option<&'r T>) -> Rank, holds: impl Fn(&T) -> bool) -> Self {
        let fits = |it: &Option<&'r T>| it.is_none_or(&holds);
        let best = some_or_any(list).filter(fits).min_by_key(|it| rank(*it));
        Self {
            best: best.unwrap_or_else(|| list.iter().min_by_key(|it| rank(Some(it)))),
            holds: best.is_some(),
        }
    }
}

fn find_all(
    route: &Route,
    request: &RequestView<'_>,
    host: &Choice<'_, HostPattern>,
    path: &Choice<'_, PathPattern>,
) -> Result<Vec<Finding>, Finding> {
    let mut held = Vec::new();
    for (finding, holds) in [
        find_pattern(Condition::Host, &route.matches.hosts, host, request.host()),
        find_pattern(Condition::Path, &route.matches.paths, path, request.path),
        find_method(route, request),
    ]
    .into_iter()
    .flatten()
    .chain(find_headers(route, request))
    .chain(find_query(route, request))
    {
        if !holds {
            return Err(finding);
        }
        held.push(finding);
    }
    Ok(held)
}

fn find_pattern<T: Wording>(
    condition: Condition,
    list: &[T],
    choice: &Choice<'_, T>,
    seen: &str,
) -> Option<(Finding, bool)> {
    let best = choice.best?;
    let wanted = if choice.holds { best.wording() } else { one_of(list.iter().map(T::wording)) };
    Some((Finding { condition, wanted, seen: Some(seen.to_owned()) }, choice.holds))
}

fn find_method(route: &Route, request: &RequestView<'_>) -> Option<(Finding, bool)> {
    let methods = &route.matches.methods;
    let holds = method_holds(methods, request.method);
    let wanted = one_of(methods.iter().cloned());
    let seen = Some(request.method.to_owned());
    let finding = Finding { condition: Condition::Method, wanted, seen };
    (!methods.is_empty()).then_some((finding, holds))
}

fn find_headers(route: &Route, request: &RequestView<'_>) -> impl Iterator<Item = (Finding, bool)> {
    route.matches.headers.iter().map(|header| {
        let condition = Condition::Header(header.name.clone());
        find_value(condition, &header.value, |test| request.headers.find(&header.name, test))
    })
}

fn find_query(route: &Route, request: &RequestView<'_>) -> impl Iterator<Item = (Finding, bool)> {
    route.matches.query.iter().map(|query| {
        let condition = Condition::Query(query.name.clone());
        find_value(condition, &query.value, |test| find_parameter(request.query, &query.name, test))
    })
}

fn find_value(
    condition: Condition,
    wanted: &ValueMatch,
    find: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool,
) -> (Finding, bool) {
    let mut seen = Vec::new();
    let holds = find(&mut |value| {
        let holds = value_holds(wanted, value);
        if holds {
            seen.clear();
        }
        seen.push(String::from_utf8_lossy(value).into_owned());
        holds
    });
    let seen = (!seen.is_empty()).then(|| seen.join(", "));
    (Finding { condition, wanted: wanted.wording(), seen }, holds)
}

/// A pattern as a person would say it.
pub(crate) trait Wording {
    fn wording(&self) -> String;
}

impl Wording for HostPattern {
    fn wording(&self) -> String {
        match self {
            Self::Exact(host) => host.clone(),
            Self::Wildcard(parent) => format!("*.{parent}"),
        }
    }
}

impl Wording for PathPattern {
    fn wording(&self) -> String {
        match self {
            Self::Exact(path) => format!("exactly {path}"),
            Self::Prefix(prefix) => format!("prefix {prefix}"),
            Self::Regex(regex) => format!("regex {}", as_written(regex)),
        }
    }
}

/// A path regex without the anchors that reading the config has put around it.
fn as_written(regex: &Pattern) -> &str {
    let inner = regex.as_str().strip_prefix(r"\A(?:").and_then(|it| it.strip_suffix(r")\z"));
    inner.unwrap_or(regex.as_str())
}

impl Wording for ValueMatch {
    fn wording(&self) -> String {
        match self {
            Self::Present => "any value".to_owned(),
            Self::Exact(text) => format!("exactly {text:?}"),
            Self::Prefix(text) => format!("prefix {text:?}"),
            Self::Regex(regex) => format!("regex {}", regex.as_str()),
        }
    }
}

fn one_of(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}{}", self.method, self.host, self.path)?;
        match &self.chosen {
            Some(chosen) => write!(f, "{chosen}")?,
            None => writeln!(f, "no route: the answer is 404")?,
        }
        let (before, after): (Vec<_>, Vec<_>) = self.passed.iter().partition(|it| it.before);
        section(f, "passed over", &before)?;
        section(f, "would match too, but", &self.runners_up.iter().collect::<Vec<_>>())?;
        section(f, "comes later and does not match", &after)
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[&impl fmt::Display]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    for line in lines.iter().take(SHOWN_MAX) {
        writeln!(f, "  {line}")?;
    }
    match lines.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more"),
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line } = &self.origin;
        write!(f, "route {:?} ({file}:{line})", self.id)?;
        match self.priority {
            0 => writeln!(f)?,
            priority => writeln!(f, ", priority {priority}")?,
        }
        if self.held.is_empty() {
            return writeln!(f, "  has no conditions");
        }
        self.held.iter().try_for_each(|finding| writeln!(f, "  {finding}: holds"))
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line } = &self.origin;
        write!(f, "{:?} ({file}:{line}): {}", self.id, self.failed)
    }
}

impl fmt::Display for RunnerUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line } = &self.origin;
        write!(f, "{:?} ({file}:{line}): {}", self.id, self.lost_by)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition, wanted, seen } = self;
        match seen {
            Some(seen) => write!(f, "{condition} wants {wanted}, is {seen:?}"),
            None => write!(f, "{condition} wants {wanted}, is absent"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Method => f.write_str("method"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
        }
    }
}

impl fmt::Display for LostBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Priority => "has a lower priority",
            Self::Host => "its host is less specific",
            Self::Path => "its path is less specific",
            Self::Conditions => "has fewer conditions on method, headers and query",
            Self::Order => "is written later",
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture::{Asked, routes};

    #[track_caller]
    fn check(config: &str, request: &str, expected: Expect) {
        let asked = Asked::parse(request);
        expected.assert_eq(&Explanation::new(&routes(config), &asked.view()).to_string());
    }

    #[test]
    fn tells_what_held_what_failed_and_what_lost() {
        check(
            "api a.com b.com /api* GET POST\nold a.com =/x =/y\nbeta a.com /api* x-beta:yes ?v=~^2\nsite\nlast /*",
            "GET a.com/api/x?v=1 x-beta:no x-beta:maybe",
            expect![[r#"
                GET a.com/api/x
                route "api" (selvedge.kdl:1)
                  host wants a.com, is "a.com": holds
                  path wants prefix /api, is "/api/x": holds
                  method wants GET or POST, is "GET": holds
                passed over:
                  "old" (selvedge.kdl:2): path wants exactly /x or exactly /y, is "/api/x"
                  "beta" (selvedge.kdl:3): header x-beta wants exactly "yes", is "no, maybe"
                would match too, but:
                  "site" (selvedge.kdl:4): its host is less specific
                  "last" (selvedge.kdl:5): its host is less specific
            "#]],
        );
        check(
            "api a.com b.com /api* GET POST\nadmin !10 /* x-beta:\nlow !-1",
            "GET a.com/api/x?v=1 x-beta:no",
            expect![[r#"
                GET a.com/api/x
                route "admin" (selvedge.kdl:2), priority 10
                  path wants prefix /, is "/api/x": holds
                  header x-beta wants any value, is "no": holds
                would match too, but:
                  "api" (selvedge.kdl:1): has a lower priority
                  "low" (selvedge.kdl:3): has a lower priority
            "#]],
        );
    }

    #[test]
    fn tells_when_nothing_holds() {
        check(
            "a a.com *.a.com\nb =/b ~\\A(?:/c)\\z\nc POST\nd ?q=1",
            "GET b.com/x",
            expect![[r#"
            GET b.com/x
            no route: the answer is 404
            passed over:
              "a" (selvedge.kdl:1): host wants a.com or *.a.com, is "b.com"
              "b" (selvedge.kdl:2): path wants exactly /b or regex /c, is "/x"
              "c" (selvedge.kdl:3): method wants POST, is "GET"
              "d" (selvedge.kdl:4): query q wants exactly "1", is absent
        "#]],
        );
        check(
            "",
            "GET b.com/x",
            expect![[r#"
            GET b.com/x
            no route: the answer is 404
        "#]],
        );
    }

    #[test]
    fn a_route_without_conditions_says_so() {
        check(
            "all !3",
            "GET b.com/x",
            expect![[r#"
            GET b.com/x
            route "all" (selvedge.kdl:1), priority 3
              has no conditions
        "#]],
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let config: String = (0..SHOWN_MAX + 2).map(|i| format!("r{i} =/{i}\n")).collect();
        let asked = Asked::parse("GET h/x");
        let explanation = Explanation::new(&routes(&config), &asked.view());
        assert_eq!(explanation.passed.len(), SHOWN_MAX + 2);
        assert!(explanation.to_string().ends_with("  … and 2 more\n"));
    }
}
