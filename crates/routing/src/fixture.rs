//! Routes and requests for tests, written in one line each.

use std::sync::Arc;

use proptest::prelude::*;
use selvedge_base::ByteSize;
use selvedge_config::{
    Action, HeaderMatch, HostPattern, Matches, Origin, PathPattern, Pattern, QueryMatch, Respond,
    Route, RouteLimits, ValueMatch,
};

use crate::request::RequestView;

/// One route a line: `id` and then, in any order, `!5` (priority), `/x*` (prefix), `=/x` (exact path),
/// `~/x` (regex), `?q=v` (query), `x-name:v` (header), `GET` (method), and anything else for a host.
/// A value is `v`, `v*` for a prefix, `~v` for a regex, and is left out for "any value".
pub(crate) fn routes(text: &str) -> Vec<Arc<Route>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.enumerate().map(|(index, line)| Arc::new(route(line, index + 1))).collect()
}

fn route(line: &str, number: usize) -> Route {
    let mut words = line.split_whitespace();
    let id = words.next().unwrap();
    let mut priority = 0;
    let mut matches = Matches::default();
    for word in words {
        match word.strip_prefix('!') {
            Some(number) => priority = number.parse().unwrap(),
            None => condition(&mut matches, word),
        }
    }
    Route {
        id: id.into(),
        priority,
        matches,
        agents: Vec::new(),
        action: Action::Respond(Respond {
            status: 200,
            body: String::new(),
            content_type: "text/plain".into(),
        }),
        upstream_by: None,
        rewrite: None,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        limits: RouteLimits { body: ByteSize::mib(10), in_flight: None },
        compress: None,
        origin: Origin { file: "selvedge.kdl".into(), line: number },
    }
}

fn condition(matches: &mut Matches, word: &str) {
    let pattern = |text: &str| Pattern::try_new(text).unwrap();
    if let Some(path) = word.strip_prefix('=') {
        matches.paths.push(PathPattern::Exact(path.into()));
    } else if let Some(regex) = word.strip_prefix('~') {
        matches.paths.push(PathPattern::Regex(pattern(regex)));
    } else if word.starts_with('/') {
        matches.paths.push(PathPattern::Prefix(word.trim_end_matches('*').into()));
    } else if let Some(query) = word.strip_prefix('?') {
        let (name, value) = query.split_once('=').unwrap_or((query, ""));
        matches.query.push(QueryMatch { name: name.into(), value: self::value(value) });
    } else if let Some((name, value)) = word.split_once(':') {
        matches.headers.push(HeaderMatch { name: name.into(), value: self::value(value) });
    } else if word.bytes().all(|byte| byte.is_ascii_uppercase()) {
        matches.methods.push(word.into());
    } else if let Some(parent) = word.strip_prefix("*.") {
        matches.hosts.push(HostPattern::Wildcard(parent.into()));
    } else {
        matches.hosts.push(HostPattern::Exact(word.into()));
    }
}

fn value(text: &str) -> ValueMatch {
    if text.is_empty() {
        ValueMatch::Present
    } else if let Some(regex) = text.strip_prefix('~') {
        ValueMatch::Regex(Pattern::try_new(regex).unwrap())
    } else if let Some(prefix) = text.strip_suffix('*') {
        ValueMatch::Prefix(prefix.into())
    } else {
        ValueMatch::Exact(text.into())
    }
}

/// A request that owns its parts: `GET host/path?query name:value …`.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    host: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap();
        let (host, path) = target.split_at(target.find('/').unwrap());
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let header = |word: &str| {
            let (name, value) = word.split_once(':').unwrap();
            (name.to_owned(), value.to_owned())
        };
        Self {
            method,
            host: host.into(),
            path: path.into(),
            query: query.into(),
            headers: words.map(header).collect(),
        }
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
        }
    }
}

/// Routes out of a universe so small that they meet.
pub(crate) fn any_routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let word = prop::sample::select(vec![
        "!1",
        "!-1",
        "a.com",
        "b.a.com",
        "*.a.com",
        "*.b.a.com",
        "*.com",
        "=/",
        "=/a",
        "=/a/b",
        "=/a/",
        "/*",
        "/a*",
        "/a/*",
        "/a/b*",
        "/a/b/c*",
        "/b*",
        "~/a.*",
        "~/a/[bc]",
        "~/",
        "~/a/b|/b",
        "~/b/?",
        "~/a/c",
        "~.*c",
        "GET",
        "POST",
        "x:",
        "x:1",
        "x:1*",
        "x:~^1",
        "x:2",
        "y:1",
        "?q",
        "?q=1",
        "?q=12",
        "?q=1*",
    ]);
    let line = prop::collection::vec(word, 0..6).prop_map(|words| words.join(" "));
    prop::collection::vec(line, 0..12).prop_map(|lines| {
        let numbered = lines.iter().enumerate().map(|(i, line)| format!("r{i} {line}\n"));
        routes(&numbered.collect::<String>())
    })
}

/// A request out of the same universe.
pub(crate) fn any_request() -> impl Strategy<Value = Asked> {
    let one = |of: &[&'static str]| prop::sample::select(of.to_vec());
    (
        one(&["GET", "POST", "PUT"]),
        one(&["a.com", "b.a.com", "c.a.com", "x.b.a.com", "b.com", "com", "d.org"]),
        one(&["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/bb", "/a/c", "/b", "/b/", "/c"]),
        one(&["", "?q", "?q=1", "?q=12", "?r=1&q=1", "?q=2"]),
        prop::collection::vec(one(&["x:1", "x:12", "x:2", "x:0", "y:1", "y:"]), 0..3),
    )
        .prop_map(|(method, host, path, query, headers)| {
            Asked::parse(&format!("{method} {host}{path}{query} {}", headers.join(" ")))
        })
}
