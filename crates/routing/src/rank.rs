//! In which order routes are asked.

use std::{cmp::Reverse, sync::Arc};

use selvedge_config::{HostPattern, PathPattern, Route};

/// Sorts before what is asked later: priority, then specificity, then the order written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) priority: Reverse<i32>,
    pub(crate) host: HostRank,
    pub(crate) path: PathRank,
    pub(crate) conditions: Reverse<usize>,
    pub(crate) order: usize,
}

/// How much a host condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostRank {
    Exact,
    Wildcard(Reverse<usize>),
    Any,
}

/// How much a path condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathRank {
    Exact,
    Prefix(Reverse<usize>),
    Regex,
    Any,
}

impl HostRank {
    pub(crate) fn of(host: Option<&HostPattern>) -> Self {
        match host {
            Some(HostPattern::Exact(_)) => Self::Exact,
            Some(HostPattern::Wildcard(suffix)) => Self::Wildcard(Reverse(suffix.len())),
            None => Self::Any,
        }
    }
}

impl PathRank {
    /// The prefix `/` holds every path, so it says no more than no condition at all.
    pub(crate) fn of(path: Option<&PathPattern>) -> Self {
        match path {
            Some(PathPattern::Exact(_)) => Self::Exact,
            Some(PathPattern::Prefix(prefix)) if prefix == "/" => Self::Any,
            Some(PathPattern::Prefix(prefix)) => Self::Prefix(Reverse(prefix.len())),
            Some(PathPattern::Regex(_)) => Self::Regex,
            None => Self::Any,
        }
    }
}

impl Rank {
    pub(crate) fn new(
        route: &Route,
        order: usize,
        host: Option<&HostPattern>,
        path: Option<&PathPattern>,
    ) -> Self {
        Self {
            priority: Reverse(route.priority),
            host: HostRank::of(host),
            path: PathRank::of(path),
            conditions: Reverse(condition_count(route)),
            order,
        }
    }
}

/// Conditions beyond host and path; the methods of a route are one.
fn condition_count(route: &Route) -> usize {
    let matches = &route.matches;
    usize::from(!matches.methods.is_empty()) + matches.headers.len() + matches.query.len()
}

/// One way into a route: one of its hosts with one of its paths.
///
/// A route with several hosts or paths is as many routes that differ in nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alternative<'r> {
    pub(crate) rank: Rank,
    pub(crate) route: usize,
    pub(crate) host: Option<&'r HostPattern>,
    pub(crate) path: Option<&'r PathPattern>,
}

/// Every way into every route, in the order in which they are asked.
pub(crate) fn alternatives(routes: &[Arc<Route>]) -> Vec<Alternative<'_>> {
    let mut all: Vec<_> = routes.iter().enumerate().flat_map(|(i, it)| ways_into(it, i)).collect();
    all.sort_by_key(|way| way.rank);
    all
}

fn ways_into(route: &Route, order: usize) -> impl Iterator<Item = Alternative<'_>> {
    let paths = some_or_any(&route.matches.paths);
    some_or_any(&route.matches.hosts).flat_map(move |host| {
        let paths = paths.clone();
        paths.map(move |path| Alternative {
            rank: Rank::new(route, order, host, path),
            route: order,
            host,
            path,
        })
    })
}

/// Each pattern of a list, or once "any" for the empty list.
pub(crate) fn some_or_any<T>(list: &[T]) -> impl Iterator<Item = Option<&T>> + Clone {
    let any = list.is_empty().then_some(None);
    list.iter().map(Some).chain(any)
}
