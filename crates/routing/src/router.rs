//! The compiled form of a config's routes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use selvedge_config::{Config, Route};

use crate::{
    cache::RouteCache,
    condition::rest_holds,
    explain::Explanation,
    index::{Entry, Index},
    rank::alternatives,
    request::RequestView,
};

/// Searches that take fewer look-ups cost no more than the cache, which then would only be in the way.
const LOOKUPS_WORTH_CACHING: usize = 8;

/// The routes of one config, compiled for matching.
///
/// Give each core its own clone: the regexes keep scratch memory that cores would otherwise contend for.
#[derive(Clone, Debug)]
pub struct Router {
    routes: Vec<Arc<Route>>,
    index: Index,
    /// Tells routers apart; clones share it, since they decide alike.
    generation: u64,
    cache_pays: bool,
}

/// The route of a request.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'r> {
    /// The route.
    pub route: &'r Arc<Route>,
    /// Its index in the config's list.
    pub index: usize,
    /// Whether host and path were found in the cache.
    pub cached: bool,
}

impl Router {
    /// Compiles the routes of `config`.
    pub fn new(config: &Config) -> Self {
        Self::from_routes(&config.routes)
    }

    pub(crate) fn from_routes(routes: &[Arc<Route>]) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let index = Index::new(routes, &alternatives(routes));
        Self {
            routes: routes.to_vec(),
            cache_pays: index.lookups() >= LOOKUPS_WORTH_CACHING,
            index,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns the first route that holds, in the order that `docs/guide/routing.md` gives.
    ///
    /// `cache` is used when the config is such that a search costs more than a look into the cache.
    pub fn route(&self, request: &RequestView<'_>, cache: &mut RouteCache) -> Option<Routed<'_>> {
        if !self.cache_pays || !cache.prepare(self.generation, request) {
            return self.routed(self.find(request)?, false);
        }
        if let Some(candidates) = cache.get() {
            return self.routed(self.first_that_holds(candidates, request)?, true);
        }
        let candidates = self.candidates(request);
        let found = self.first_that_holds(&candidates, request);
        cache.insert(candidates);
        self.routed(found?, false)
    }

    /// Tells which route `request` takes, and why not another.
    pub fn explain(&self, request: &RequestView<'_>) -> Explanation {
        Explanation::new(&self.routes, request)
    }

    /// The routes in the order of the config; [`Routed::index`] points into it.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    fn routed(&self, route: u32, cached: bool) -> Option<Routed<'_>> {
        let index = route as usize;
        self.routes.get(index).map(|route| Routed { route, index, cached })
    }

    fn find(&self, request: &RequestView<'_>) -> Option<u32> {
        let mut found = None;
        self.index.search(request.host(), request.path, |entries: &[Entry], bound| {
            let earlier = entries.iter().take_while(|entry| entry.rank < bound);
            match { earlier }.find(|entry| self.holds(entry, request)) {
                Some(entry) => {
                    found = Some(entry.route);
                    entry.rank
                }
                None => bound,
            }
        });
        found
    }

    /// What host and path leave, in order, up to the first route without further conditions.
    fn candidates(&self, request: &RequestView<'_>) -> Vec<Entry> {
        let mut candidates = Vec::new();
        let mut end = u32::MAX;
        self.index.search(request.host(), request.path, |entries: &[Entry], bound| {
            candidates.extend(entries.iter().take_while(|entry| entry.rank < bound));
            end = entries.iter().find(|it| !it.conditional).map_or(bound, |it| it.rank.min(bound));
            end
        });
        candidates.retain(|entry: &Entry| entry.rank <= end);
        candidates.sort_unstable_by_key(|entry| entry.rank);
        candidates
    }

    fn first_that_holds(&self, candidates: &[Entry], request: &RequestView<'_>) -> Option<u32> {
        candidates.iter().find(|entry| self.holds(entry, request)).map(|entry| entry.route)
    }

    fn holds(&self, entry: &Entry, request: &RequestView<'_>) -> bool {
        !entry.conditional || rest_holds(&self.routes[entry.route as usize].matches, request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_config::{HostPattern, PathPattern};

    use super::*;
    use crate::{
        condition::{host_holds, path_holds},
        fixture::{Asked, any_request, any_routes, routes},
    };

    #[track_caller]
    fn check(config: &str, request: &str, expected: &str) {
        let router = Router::from_routes(&routes(config));
        let asked = Asked::parse(request);
        let mut cache = RouteCache::new(4);
        let id = |routed: Option<Routed<'_>>| routed.map_or("none", |it| &it.route.id).to_owned();
        assert_eq!(id(router.route(&asked.view(), &mut cache)), expected);
        assert_eq!(id(router.route(&asked.view(), &mut cache)), expected);
    }

    #[test]
    fn hosts() {
        let config = "any\nwild *.b.com\nlong *.a.b.com\nexact x.a.b.com";
        check(config, "GET x.a.b.com/", "exact");
        check(config, "GET x.a.b.com./", "exact");
        check(config, "GET y.a.b.com/", "long");
        check(config, "GET a.b.com/", "wild");
        check(config, "GET b.com/", "any");
        check("wild *.b.com", "GET b.com/", "none");
        check("wild *.b.com", "GET .b.com/", "none");
    }

    #[test]
    fn paths() {
        let config = "any\nregex ~/a/[0-9]+\nroot /*\nshort /a/b*\nlong /a/b/c*\nexact =/a/b/c/d";
        check(config, "GET h/a/b/c/d", "exact");
        check(config, "GET h/a/b/c/e", "long");
        check(config, "GET h/a/b/cc", "short");
        check(config, "GET h/a/7", "regex");
        check(config, "GET h/a/7/8", "any");
        check("root /*\nregex ~/a/[0-9]+", "GET h/a/7", "regex");
        check("regex ~/a/b/[0-9]+\nprefix /a*", "GET h/a/b/7", "prefix");
    }

    #[test]
    fn host_comes_before_path_and_priority_before_both() {
        check("a =/x\nb h.com", "GET h.com/x", "b");
        check("a !1\nb h.com =/x", "GET h.com/x", "a");
        check("a !-1 h.com =/x\nb", "GET h.com/x", "b");
    }

    #[test]
    fn more_conditions_come_first_then_the_order_written() {
        let config = "plain /a*\npost POST /a*\nbeta x-beta:yes ?q /a*\nsecond /a*";
        check(config, "GET h/a", "plain");
        check(config, "POST h/a", "post");
        check(config, "POST h/a?q x-beta:yes", "beta");
        check(config, "POST h/a?q x-beta:no", "post");
    }

    #[test]
    fn a_route_with_several_hosts_and_paths_is_several_routes() {
        let config = "both a.com b.com /x* =/y\nbetter b.com =/y GET";
        check(config, "GET a.com/y", "both");
        check(config, "GET b.com/x/1", "both");
        check(config, "GET b.com/y", "better");
        check(config, "GET c.com/y", "none");
    }

    #[test]
    fn long_keys_and_long_lists_are_not_cached() {
        let mut router = Router::from_routes(&routes("a /a*\nb"));
        router.cache_pays = true;
        let mut cache = RouteCache::new(4);
        let long = Asked::parse(&format!("GET h/a/{}", "x".repeat(600)));
        assert!(router.route(&long.view(), &mut cache).is_some());
        assert!(cache.is_empty());

        let many: String = (0..100).map(|i| format!("r{i} x:{i}\n")).collect();
        let mut router = Router::from_routes(&routes(&many));
        router.cache_pays = true;
        let asked = Asked::parse("GET h/ x:99");
        assert_eq!(router.route(&asked.view(), &mut cache).unwrap().index, 99);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_cache_forgets_with_another_router_and_stays_within_its_bound() {
        let router =
            |config: &str| Router { cache_pays: true, ..Router::from_routes(&routes(config)) };
        let (old, new) = (router("a /a*"), router("b"));
        let mut cache = RouteCache::new(2);
        let asked = Asked::parse("GET h/a");
        assert!(!old.route(&asked.view(), &mut cache).unwrap().cached);
        assert!(old.clone().route(&asked.view(), &mut cache).unwrap().cached);
        let routed = new.route(&asked.view(), &mut cache).unwrap();
        assert_eq!((&*routed.route.id, routed.cached), ("b", false));
        for path in 0..10 {
            new.route(&Asked::parse(&format!("GET h/{path}")).view(), &mut cache);
            assert!(cache.len() <= 2);
        }
        assert!(new.route(&asked.view(), &mut RouteCache::new(0)).is_some());
    }

    #[test]
    fn only_costly_configs_are_cached() {
        assert!(!Router::from_routes(&routes("a /a*\nb /b/c*\nc h.com =/x")).cache_pays);
        assert!(Router::from_routes(&routes("a ~/a.*\nb")).cache_pays);
    }

    #[test]
    fn ten_thousand_routes_take_a_handful_of_look_ups() {
        let one = |i: usize| {
            format!("e{i} h{}.com =/x/{i}\np{i} *.h{}.com /y/{i:04}*\n", i % 100, i % 100)
        };
        let router = Router::from_routes(&routes(&(0..5000).map(one).collect::<String>()));
        assert_eq!(router.routes().len(), 10_000);
        assert!(router.index.lookups() < 8, "{}", router.index.lookups());
        let mut groups = 0;
        router.index.search("a.h7.com", "/y/0107/z", |_: &[Entry], bound| {
            groups += 1;
            bound
        });
        assert!(groups < 8, "{groups}");
    }

    /// The definition: every host with every path of every route, sorted; the first that holds.
    fn naive(routes: &[Arc<Route>], request: &RequestView<'_>) -> Option<usize> {
        let mut list = Vec::new();
        for (order, route) in routes.iter().enumerate() {
            let matches = &route.matches;
            let hosts: Vec<_> = match &matches.hosts[..] {
                [] => vec![None],
                hosts => hosts.iter().map(Some).collect(),
            };
            let paths: Vec<_> = match &matches.paths[..] {
                [] => vec![None],
                paths => paths.iter().map(Some).collect(),
            };
            let conditions = usize::from(!matches.methods.is_empty())
                + matches.headers.len()
                + matches.query.len();
            for host in hosts {
                for &path in &paths {
                    let host_key = match host {
                        Some(HostPattern::Exact(_)) => usize::MAX,
                        Some(HostPattern::Wildcard(parent)) => parent.len(),
                        None => 0,
                    };
                    let path_key = match path {
                        Some(PathPattern::Exact(_)) => usize::MAX,
                        Some(PathPattern::Prefix(prefix)) if prefix.len() > 1 => prefix.len(),
                        Some(PathPattern::Regex(_)) => 1,
                        _ => 0,
                    };
                    let key = (route.priority, host_key, path_key, conditions);
                    list.push((std::cmp::Reverse(key), order, host, path));
                }
            }
        }
        list.sort_by_key(|&(key, order, ..)| (key, order));
        list.into_iter()
            .find(|&(_, order, host, path)| {
                host.is_none_or(|host| host_holds(host, request.host()))
                    && path.is_none_or(|path| path_holds(path, request.path))
                    && rest_holds(&routes[order].matches, request)
            })
            .map(|(_, order, ..)| order)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_index_finds_what_the_definition_says(
            routes in any_routes(),
            requests in prop::collection::vec(any_request(), 1..20),
        ) {
            let router = Router::from_routes(&routes);
            for asked in requests {
                let found = router.find(&asked.view()).map(|route| route as usize);
                prop_assert_eq!(found, naive(&routes, &asked.view()), "{:?}", asked);
                let chosen = router.explain(&asked.view()).chosen.map(|it| it.index);
                prop_assert_eq!(chosen, found, "{:?}", asked);
            }
        }

        #[test]
        fn cached_is_uncached(
            first in any_routes(),
            second in any_routes(),
            capacity in 1..4usize,
            requests in prop::collection::vec((any_request(), any::<bool>()), 1..60),
        ) {
            let mut routers = [Router::from_routes(&first), Router::from_routes(&second)];
            routers.iter_mut().for_each(|router| router.cache_pays = true);
            let mut cache = RouteCache::new(capacity);
            for (asked, which) in requests.iter().flat_map(|it| [it, it]) {
                // Changes of the router are rare, as reloads are, or nothing would ever be cached.
                let router = &routers[usize::from(*which && asked.method == "POST")];
                let routed = router.route(&asked.view(), &mut cache).map(|it| it.index);
                let found = router.find(&asked.view()).map(|route| route as usize);
                prop_assert_eq!(routed, found, "{:?}", asked);
                prop_assert!(cache.len() <= capacity);
            }
        }
    }
}
