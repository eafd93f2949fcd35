//! Routes that cannot do what they seem to say.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use selvedge_config::{
    Action, CORE, Config, HostPattern, Id, Matches, Origin, PathPattern, Route, ValueMatch,
};

use crate::{
    explain::Wording,
    index::Index,
    path::normalise_path,
    rank::{Alternative, alternatives},
    rewrite::is_safe_target,
};

/// Something in the routes of a config that its author cannot have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// What kind of thing.
    pub code: LintCode,
    /// The route it is about.
    pub route: Id,
    /// The route that causes it, if there is one.
    pub other: Option<Id>,
    /// What is wrong and what to do, in one sentence or two.
    pub message: String,
    /// Where the route is written.
    pub origin: Origin,
}

/// A kind of [`Lint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LintCode {
    /// Routes that are asked earlier hold for everything that this one holds for.
    UnreachableRoute,
    /// As unreachable, and the conditions are the same.
    DuplicateRoute,
    /// Some of the hosts or paths of a route are taken by routes that are asked earlier.
    UnreachableAlternative,
    /// Two routes hold for some of the same requests and only the order written decides.
    ShadowedRoute,
    /// A path that no normalised path can be.
    PathNeverMatches,
    /// A redirect whose host would come from the path or query of the request.
    OpenRedirect,
    /// A condition on a header that only agents may set, while agents are asked after the route is
    /// chosen.
    IdentityCondition,
}

/// Whether a config with a lint may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It runs; someone should look.
    Warning,
    /// It must not run.
    Error,
}

impl LintCode {
    /// The stable name, for example `unreachable-route`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnreachableRoute => "unreachable-route",
            Self::DuplicateRoute => "duplicate-route",
            Self::UnreachableAlternative => "unreachable-alternative",
            Self::ShadowedRoute => "shadowed-route",
            Self::PathNeverMatches => "path-never-matches",
            Self::OpenRedirect => "open-redirect",
            Self::IdentityCondition => "identity-condition",
        }
    }

    /// Whether a config with it may run.
    pub fn severity(self) -> Severity {
        match self {
            Self::UnreachableAlternative | Self::ShadowedRoute => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// Returns what is wrong with the routes of `config`, in the order in which they are written.
///
/// What is called unreachable is so: it is proved from the conditions, and what cannot be proved, such as
/// that one regex holds all that another holds, is not reported.
pub fn lint(config: &Config) -> Vec<Lint> {
    let mut lints = lint_routes(&config.routes, &config.identity_headers());
    // A route that takes the core's paths from its mount names the core: it is meant.
    lints.retain(|lint| *lint.route != *CORE);
    lints
}

fn lint_routes(routes: &[Arc<Route>], identity: &[String]) -> Vec<Lint> {
    let ways = alternatives(routes);
    let covers = Covers::new(routes, &ways);
    let mut lints: Vec<(usize, Lint)> = Vec::new();
    for (order, route) in routes.iter().enumerate() {
        let found = lint_alone(route).into_iter().chain(covers.lint(order));
        let found = found.chain(lint_identity(route, identity));
        lints.extend(found.map(|lint| (order, lint)));
    }
    lints.extend(lint_ties(routes, &ways, &covers));
    lints.sort_by_key(|(order, _)| *order);
    lints.into_iter().map(|(_, lint)| lint).collect()
}

impl Lint {
    fn new(code: LintCode, route: &Route, message: String) -> Self {
        let (id, origin) = (route.id.clone(), route.origin.clone());
        Self { code, route: id, other: None, message, origin }
    }

    fn with_other(mut self, other: &Route) -> Self {
        self.other = Some(other.id.clone());
        self
    }
}

/// What is wrong with a route whatever the others are.
fn lint_alone(route: &Route) -> Vec<Lint> {
    let never = route.matches.paths.iter().filter_map(|path| lint_path(route, path));
    never.chain(lint_redirect(route)).collect()
}

fn lint_path(route: &Route, path: &PathPattern) -> Option<Lint> {
    let (PathPattern::Exact(text) | PathPattern::Prefix(text)) = path else { return None };
    let advice = match normalise_path(text) {
        Ok(normal) if *normal == **text => return None,
        Ok(normal) => format!("write {normal:?}"),
        Err(error) => error.to_string(),
    };
    let message =
        format!("path {text:?} never matches, since paths are normalised first: {advice}");
    Some(Lint::new(LintCode::PathNeverMatches, route, message))
}

fn lint_redirect(route: &Route) -> Option<Lint> {
    let Action::Redirect(redirect) = &route.action else { return None };
    let message = format!(
        "redirect {:?} would let a request choose the host; write the host, or begin with one `/`",
        redirect.to
    );
    (!is_safe_target(&redirect.to)).then(|| Lint::new(LintCode::OpenRedirect, route, message))
}

fn lint_identity(route: &Route, identity: &[String]) -> impl Iterator<Item = Lint> {
    let names: BTreeSet<&str> = route.matches.headers.iter().map(|it| it.name.as_str()).collect();
    let forged = names.into_iter().filter(|name| identity.iter().any(|known| known == name));
    forged.map(|name| {
        let message = format!(
            "header {name} is what the client wrote when routes are chosen, for agents set it later; let \
             `upstream-by` choose, or an agent refuse"
        );
        Lint::new(LintCode::IdentityCondition, route, message)
    })
}

/// For each way into a route, the route that takes all its requests.
struct Covers<'r> {
    routes: &'r [Arc<Route>],
    /// By route; the second is the index of the route that covers.
    ways: Vec<Vec<(Alternative<'r>, Option<usize>)>>,
}

impl<'r> Covers<'r> {
    fn new(routes: &'r [Arc<Route>], ways: &[Alternative<'r>]) -> Self {
        let index = Index::new(routes, ways);
        let mut covers = Self { routes, ways: vec![Vec::new(); routes.len()] };
        for (rank, way) in (0..).zip(ways) {
            covers.ways[way.route].push((*way, covering(routes, &index, way, rank)));
        }
        covers
    }

    fn is_unreachable(&self, route: usize) -> bool {
        self.ways[route].iter().all(|(_, cover)| cover.is_some())
    }

    fn lint(&self, order: usize) -> Vec<Lint> {
        let covered: Vec<_> =
            self.ways[order].iter().filter_map(|(way, cover)| cover.map(|it| (way, it))).collect();
        let Some(&(_, first)) = covered.first() else { return Vec::new() };
        if self.is_unreachable(order) {
            let others: BTreeSet<usize> = covered.iter().map(|(_, cover)| *cover).collect();
            return vec![self.lint_unreachable(order, first, &others)];
        }
        covered.into_iter().map(|(way, cover)| self.lint_alternative(way, cover)).collect()
    }

    fn lint_unreachable(&self, order: usize, first: usize, others: &BTreeSet<usize>) -> Lint {
        let route = &self.routes[order];
        let names: Vec<_> = others.iter().map(|it| name(&self.routes[*it])).collect();
        let names = names.join(" and ");
        let same = others.len() == 1 && is_same(&route.matches, &self.routes[first].matches);
        let (code, message) = if same {
            let message = format!("has the conditions of {names}, which comes first; remove one");
            (LintCode::DuplicateRoute, message)
        } else {
            let message = format!(
                "is never chosen, because all it holds for goes to {names} first; \
                 give this one a higher priority, narrow the other, or remove one"
            );
            (LintCode::UnreachableRoute, message)
        };
        Lint::new(code, route, message).with_other(&self.routes[first])
    }

    fn lint_alternative(&self, way: &Alternative<'_>, cover: usize) -> Lint {
        let other = &self.routes[cover];
        let message = format!(
            "is never chosen for {}: {} comes first; remove that part or give this route a higher priority",
            wording(way),
            name(other)
        );
        let route = &self.routes[way.route];
        Lint::new(LintCode::UnreachableAlternative, route, message).with_other(other)
    }
}

fn name(route: &Route) -> String {
    format!("route {:?} ({}:{})", route.id, route.origin.file, route.origin.line)
}

fn wording(way: &Alternative<'_>) -> String {
    let host = way.host.map(|it| format!("host {}", it.wording()));
    let path = way.path.map(|it| format!("path {}", it.wording()));
    host.into_iter().chain(path).collect::<Vec<_>>().join(" and ")
}

/// A route that is asked earlier and holds for all that this way into a route holds for.
fn covering(
    routes: &[Arc<Route>],
    index: &Index,
    way: &Alternative<'_>,
    rank: u32,
) -> Option<usize> {
    let wanted = &routes[way.route].matches;
    index
        .hosts_over(way.host)
        .into_iter()
        .flat_map(|paths| paths.entries_over(way.path))
        .flatten()
        .filter(|entry| entry.rank < rank && entry.route as usize != way.route)
        .filter(|entry| implies(wanted, &routes[entry.route as usize].matches))
        .min_by_key(|entry| entry.rank)
        .map(|entry| entry.route as usize)
}

/// Whether method, headers and query that fit `narrow` always fit `wide`.
fn implies(narrow: &Matches, wide: &Matches) -> bool {
    let methods = wide.methods.is_empty()
        || !narrow.methods.is_empty() && narrow.methods.iter().all(|it| wide.methods.contains(it));
    methods
        && wide.headers.iter().all(|wide| {
            let same = narrow.headers.iter().filter(|narrow| narrow.name == wide.name);
            { same }.any(|narrow| value_implies(&narrow.value, &wide.value))
        })
        && wide.query.iter().all(|wide| {
            let same = narrow.query.iter().filter(|narrow| narrow.name == wide.name);
            { same }.any(|narrow| value_implies(&narrow.value, &wide.value))
        })
}

fn value_implies(narrow: &ValueMatch, wide: &ValueMatch) -> bool {
    match (narrow, wide) {
        (_, ValueMatch::Present) => true,
        (_, ValueMatch::Prefix(prefix)) if prefix.is_empty() => true,
        (ValueMatch::Exact(text) | ValueMatch::Prefix(text), ValueMatch::Prefix(prefix)) => {
            text.starts_with(prefix.as_str())
        }
        (ValueMatch::Exact(text), ValueMatch::Regex(regex)) => regex.is_match(text),
        (narrow, wide) => narrow == wide,
    }
}

/// Whether two routes ask for the same, in whatever order it is written.
fn is_same(a: &Matches, b: &Matches) -> bool {
    let Matches { hosts, paths, methods, headers, query } = a;
    is_permutation(hosts, &b.hosts)
        && is_permutation(paths, &b.paths)
        && is_permutation(methods, &b.methods)
        && is_permutation(headers, &b.headers)
        && is_permutation(query, &b.query)
}

fn is_permutation<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|it| b.contains(it)) && b.iter().all(|it| a.contains(it))
}

/// Ways that agree in all that the order of asking looks at, except the order written.
fn lint_ties(
    routes: &[Arc<Route>],
    ways: &[Alternative<'_>],
    covers: &Covers<'_>,
) -> Vec<(usize, Lint)> {
    let mut ties: HashMap<_, Vec<usize>> = HashMap::new();
    let mut reported = BTreeSet::new();
    let mut lints = Vec::new();
    for way in ways {
        let tied = ties.entry(tie_key(way)).or_default();
        let earlier = tied.iter().copied().find(|&it| is_tie(&routes[it], &routes[way.route]));
        if !tied.contains(&way.route) {
            tied.push(way.route);
        }
        let Some(earlier) = earlier else { continue };
        let dead = [earlier, way.route].into_iter().any(|it| covers.is_unreachable(it));
        if !dead && reported.insert(way.route) {
            lints.push((way.route, lint_tie(way, &routes[way.route], &routes[earlier])));
        }
    }
    lints
}

fn tie_key<'r>(way: &Alternative<'r>) -> impl std::hash::Hash + Eq + use<'r> {
    let path = way.path.map(Wording::wording).filter(|path| path != "prefix /");
    (way.rank.priority, way.rank.conditions, way.host.map(HostPattern::wording), path)
}

/// Whether some request may fit both, and the earlier is not simply the narrower of the two.
fn is_tie(earlier: &Route, later: &Route) -> bool {
    let (earlier, later) = (&earlier.matches, &later.matches);
    !implies(earlier, later) && !implies(later, earlier) && !are_disjoint(earlier, later)
}

fn lint_tie(way: &Alternative<'_>, route: &Route, earlier: &Route) -> Lint {
    let place = match wording(way) {
        place if place.is_empty() => "any host and path".to_owned(),
        place => place,
    };
    let message = format!(
        "shares requests for {place} with {}, which wins only because it is written first; \
         give one of them a priority",
        name(earlier)
    );
    Lint::new(LintCode::ShadowedRoute, route, message).with_other(earlier)
}

/// Whether no sensible request fits both: methods differ, or one name would need two values.
fn are_disjoint(a: &Matches, b: &Matches) -> bool {
    let methods = !a.methods.is_empty()
        && !b.methods.is_empty()
        && !a.methods.iter().any(|method| b.methods.contains(method));
    let headers = a.headers.iter().any(|a| {
        b.headers.iter().any(|b| a.name == b.name && values_are_disjoint(&a.value, &b.value))
    });
    let query = a.query.iter().any(|a| {
        b.query.iter().any(|b| a.name == b.name && values_are_disjoint(&a.value, &b.value))
    });
    methods || headers || query
}

fn values_are_disjoint(a: &ValueMatch, b: &ValueMatch) -> bool {
    match (a, b) {
        (ValueMatch::Present, _) | (_, ValueMatch::Present) => false,
        (ValueMatch::Exact(a), ValueMatch::Exact(b)) => a != b,
        (ValueMatch::Exact(text), ValueMatch::Prefix(prefix))
        | (ValueMatch::Prefix(prefix), ValueMatch::Exact(text)) => {
            !text.starts_with(prefix.as_str())
        }
        (ValueMatch::Prefix(a), ValueMatch::Prefix(b)) => {
            !a.starts_with(b.as_str()) && !b.starts_with(a.as_str())
        }
        (ValueMatch::Exact(text), ValueMatch::Regex(regex))
        | (ValueMatch::Regex(regex), ValueMatch::Exact(text)) => !regex.is_match(text),
        (ValueMatch::Regex(_), _) | (_, ValueMatch::Regex(_)) => false,
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line } = &self.origin;
        let (code, severity) = (self.code.name(), self.code.severity());
        write!(f, "{file}:{line}: {severity}[{code}]: route {:?} {}", self.route, self.message)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use selvedge_config::Redirect;

    use super::*;
    use crate::{
        cache::RouteCache,
        fixture::{any_request, any_routes, routes},
        router::Router,
    };

    #[track_caller]
    fn check(config: &str, expected: Expect) {
        let lints = lint_routes(&routes(config), &[]);
        expected.assert_eq(&lints.iter().map(|lint| format!("{lint}\n")).collect::<String>());
    }

    #[test]
    fn sound_configs_are_silent() {
        check("api a.com /api*\nsite a.com\nother *.a.com\nall", expect![[""]]);
        check("get GET\npost POST\nrest", expect![[""]]);
        check("one x:1\ntwo x:2", expect![[""]]);
        check("narrow y:1\nwide y:", expect![[""]]);
        check("regex ~/a/[0-9]+\nsite /*", expect![[""]]);
        check("regex ~/a/[0-9]+\nsame ~/a/[0-9]\nprefix /b*", expect![[""]]);
        check("beta /a* x:1\nplain /a*\nexact =/a", expect![[""]]);
    }

    #[test]
    fn unreachable_routes() {
        check(
            "a !1 *.b.com\nb x.b.com /api*",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "a /api*\nb ~/api/v[0-9]+",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "a !1 ~/v[0-9]\nb =/v1",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "a !1 x:a*\nb x:ab y:1 GET",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "a !1 a.com\nb !1 b.com\nc a.com b.com",
            expect![[r#"
                selvedge.kdl:3: error[unreachable-route]: route "c" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) and route "b" (selvedge.kdl:2) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "a ?q=~^1\nb ?q=12",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
        check(
            "wide y:\nnarrow y:1",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "narrow" is never chosen, because all it holds for goes to route "wide" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
    }

    #[test]
    fn duplicates() {
        check(
            "a a.com b.com /x* GET POST\nb b.com a.com /x* POST GET",
            expect![[r#"
            selvedge.kdl:2: error[duplicate-route]: route "b" has the conditions of route "a" (selvedge.kdl:1), which comes first; remove one
        "#]],
        );
        check(
            "a /*\nb",
            expect![[r#"
                selvedge.kdl:2: error[unreachable-route]: route "b" is never chosen, because all it holds for goes to route "a" (selvedge.kdl:1) first; give this one a higher priority, narrow the other, or remove one
            "#]],
        );
    }

    #[test]
    fn unreachable_alternatives() {
        check(
            "a =/a/b\nb =/a/b =/c",
            expect![[r#"
            selvedge.kdl:2: warning[unreachable-alternative]: route "b" is never chosen for path exactly /a/b: route "a" (selvedge.kdl:1) comes first; remove that part or give this route a higher priority
        "#]],
        );
    }

    #[test]
    fn shadowed_routes() {
        check(
            "a /x* x:1\nb /x* y:1\nc /x* z:1",
            expect![[r#"
            selvedge.kdl:2: warning[shadowed-route]: route "b" shares requests for path prefix /x with route "a" (selvedge.kdl:1), which wins only because it is written first; give one of them a priority
            selvedge.kdl:3: warning[shadowed-route]: route "c" shares requests for path prefix /x with route "a" (selvedge.kdl:1), which wins only because it is written first; give one of them a priority
        "#]],
        );
        check(
            "a x:~1\nb x:~2",
            expect![[r#"
            selvedge.kdl:2: warning[shadowed-route]: route "b" shares requests for any host and path with route "a" (selvedge.kdl:1), which wins only because it is written first; give one of them a priority
        "#]],
        );
        check(
            "a GET POST\nb POST PUT",
            expect![[r#"
            selvedge.kdl:2: warning[shadowed-route]: route "b" shares requests for any host and path with route "a" (selvedge.kdl:1), which wins only because it is written first; give one of them a priority
        "#]],
        );
    }

    #[test]
    fn paths_that_are_not_normal() {
        check(
            "a =/a/../b\nb /a//b*\nc =/%zz\nd =/~%7ea\ne =/ok",
            expect![[r#"
            selvedge.kdl:1: error[path-never-matches]: route "a" path "/a/../b" never matches, since paths are normalised first: write "/b"
            selvedge.kdl:2: error[path-never-matches]: route "b" path "/a//b" never matches, since paths are normalised first: write "/a/b"
            selvedge.kdl:3: error[path-never-matches]: route "c" path "/%zz" never matches, since paths are normalised first: `%` at 1 must be followed by two hexadecimal digits
            selvedge.kdl:4: error[path-never-matches]: route "d" path "/~%7ea" never matches, since paths are normalised first: write "/~~a"
        "#]],
        );
    }

    #[test]
    fn open_redirects() {
        let mut list = routes("a");
        let redirect = Redirect { to: "https:/{path}".into(), status: 308 };
        Arc::get_mut(&mut list[0]).unwrap().action = Action::Redirect(redirect);
        let lints = lint_routes(&list, &[]);
        assert_eq!(lints.len(), 1);
        assert_eq!(lints[0].code, LintCode::OpenRedirect);
    }

    #[test]
    fn routes_are_not_chosen_by_what_agents_will_set() {
        let check = |config: &str, expected: Expect| {
            let identity = ["x-user-id".to_owned(), "x-user-role".to_owned()];
            let lints = lint_routes(&routes(config), &identity);
            expected.assert_eq(&lints.iter().map(|lint| format!("{lint}\n")).collect::<String>());
        };
        check(
            "admin x-user-role:admin x-user-role:~a\nsite",
            expect![[r#"
                selvedge.kdl:1: error[identity-condition]: route "admin" header x-user-role is what the client wrote when routes are chosen, for agents set it later; let `upstream-by` choose, or an agent refuse
            "#]],
        );
        check("beta x-user:1\nsite", expect![[""]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn unreachable_routes_are_never_chosen(
            routes in any_routes(),
            requests in prop::collection::vec(any_request(), 1..40),
        ) {
            let dead: Vec<_> = lint_routes(&routes, &[])
                .into_iter()
                .filter(|it| matches!(it.code, LintCode::UnreachableRoute | LintCode::DuplicateRoute))
                .map(|lint| lint.route)
                .collect();
            let router = Router::from_routes(&routes);
            for asked in requests {
                let routed = router.route(&asked.view(), &mut RouteCache::new(0));
                prop_assert!(routed.is_none_or(|it| !dead.contains(&it.route.id)), "{asked:?}");
            }
        }
    }
}
