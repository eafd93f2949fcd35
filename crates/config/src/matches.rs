//! `matches { … }` of a route.

use crate::{
    Code, HeaderMatch, HostPattern, Matches, PathPattern, QueryMatch, ValueMatch,
    cursor::Cursor,
    http::{anchored_regex, header_name, host_pattern, method, path, regex},
    reading::Problem,
    value::{Checked, Value},
};

pub(crate) fn read_matches(cursor: &mut Cursor<'_>) -> Matches {
    let hosts = cursor.children(&["host"], |c| read_all(c, ("hosts", host_pattern)));
    let paths = cursor.children(&["path", "path-prefix", "path-regex"], read_paths);
    let methods = cursor.children(&["method"], |c| read_all(c, ("methods", method)));
    let headers = cursor.children(&["header"], read_header);
    let query = cursor.children(&["query"], read_query);
    Matches {
        hosts: hosts.into_iter().flatten().collect::<Vec<HostPattern>>(),
        paths: paths.into_iter().flatten().collect(),
        methods: methods.into_iter().flatten().collect(),
        headers: headers.into_iter().flatten().collect(),
        query: query.into_iter().flatten().collect(),
    }
}

fn read_all<T>(cursor: &mut Cursor<'_>, (what, read): (&str, fn(&str) -> Checked<T>)) -> Vec<T> {
    let arguments = cursor.arguments(what);
    arguments.into_iter().filter_map(|value| value.parse(read)).map(|one| one.value).collect()
}

fn read_paths(cursor: &mut Cursor<'_>) -> Vec<PathPattern> {
    match cursor.name() {
        "path" => read_all(cursor, ("paths", |text| path(text).map(PathPattern::Exact))),
        "path-prefix" => read_all(cursor, ("paths", |text| path(text).map(PathPattern::Prefix))),
        _ => {
            let read = |text: &str| anchored_regex(text).map(PathPattern::Regex);
            read_all(cursor, ("regular expressions", read))
        }
    }
}

fn read_header(cursor: &mut Cursor<'_>) -> Option<HeaderMatch> {
    let name = cursor.argument("the name of a header");
    let name = name.and_then(|value| value.parse(header_name));
    let value = read_value_match(cursor);
    Some(HeaderMatch { name: name?.value, value: value? })
}

fn read_query(cursor: &mut Cursor<'_>) -> Option<QueryMatch> {
    let name = cursor.argument("the name of a query parameter");
    let name = name.and_then(|value| value.parse(|text| Ok(text.to_owned())));
    let value = read_value_match(cursor);
    Some(QueryMatch { name: name?.value, value: value? })
}

/// Nothing, an exact value, `prefix=…` or `regex=…`.
fn read_value_match(cursor: &mut Cursor<'_>) -> Option<ValueMatch> {
    let exact = cursor.optional_argument();
    let (prefix, pattern) = (cursor.property("prefix"), cursor.property("regex"));
    let text = |value: Value<'_>| value.parse(|text| Ok(text.to_owned()));
    match (exact, prefix, pattern) {
        (None, None, None) => Some(ValueMatch::Present),
        (Some(exact), None, None) => text(exact).map(|text| ValueMatch::Exact(text.value)),
        (None, Some(prefix), None) => text(prefix).map(|text| ValueMatch::Prefix(text.value)),
        (None, None, Some(pattern)) => {
            pattern.parse(regex).map(|pattern| ValueMatch::Regex(pattern.value))
        }
        _ => {
            cursor.error(Problem::new(Code::Conflict, "a value is compared in one way").help(
                "keep the exact value, `prefix=` or `regex=`; a second condition is a second node",
            ));
            None
        }
    }
}
