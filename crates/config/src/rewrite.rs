//! `rewrite { … }` of a route.

use crate::{
    Code, Pattern, Rewrite, RewritePath,
    cursor::Cursor,
    http::{authority, path, regex},
    reading::Problem,
    source::{Span, Spanned},
    value::Checked,
};

pub(crate) fn read_rewrite(cursor: &mut Cursor<'_>) -> Option<Rewrite> {
    let paths = cursor.children(&["strip-prefix", "path", "path-regex"], |cursor| {
        Spanned::new(read_path(cursor), cursor.span())
    });
    let has_host = cursor.has("host");
    let host = cursor.setting("host", |value| value.parse(authority));
    if paths.is_empty() && !has_host {
        cursor.error(
            Problem::new(Code::Missing, "`rewrite` changes nothing")
                .help("add `strip-prefix`, `path`, `path-regex` or `host`, or remove it"),
        );
        return None;
    }
    let path = match only_path(cursor, paths) {
        Some(path) => Some(path?),
        None => None,
    };
    Some(Rewrite { path, host: host.map(|host| host.value) })
}

fn only_path(
    cursor: &Cursor<'_>,
    paths: Vec<Spanned<Option<RewritePath>>>,
) -> Option<Option<RewritePath>> {
    let mut paths = paths.into_iter();
    let first = paths.next()?;
    for more in paths {
        let problem = Problem::new(Code::Conflict, "a path is rewritten in one way")
            .note("the first is here", first.span)
            .help("keep one of them; `path-regex` can do both");
        cursor.reading().error(more.span, problem);
    }
    Some(first.value)
}

fn read_path(cursor: &mut Cursor<'_>) -> Option<RewritePath> {
    let value = cursor.argument("a path");
    match cursor.name() {
        "strip-prefix" => Some(RewritePath::StripPrefix(value?.parse(path)?.value)),
        "path" => Some(RewritePath::Replace(value?.parse(path)?.value)),
        _ => {
            let pattern = value.and_then(|value| value.parse(regex));
            let to = cursor.property("to");
            if to.is_none() {
                let problem =
                    Problem::new(Code::Missing, "`path-regex` does not say what takes its place");
                cursor.error(problem.help("add `to=\"/…\"`; `$1` or `${name}` stand for groups"));
            }
            let to = to.and_then(|value| value.parse(|text| Ok(text.to_owned())));
            let (pattern, to) = (pattern?.value, to?);
            check_groups(cursor, &pattern, (&to.value, to.span));
            Some(RewritePath::Regex { pattern, to: to.value })
        }
    }
}

/// Groups that the pattern lacks would silently become nothing.
fn check_groups(cursor: &Cursor<'_>, pattern: &Pattern, (to, span): (&str, Span)) {
    if let Err(problem) = known_groups(pattern, to) {
        cursor.reading().error(span, problem);
    }
}

fn known_groups(pattern: &Pattern, to: &str) -> Checked<()> {
    let names = || pattern.capture_names().flatten();
    for group in referenced_groups(to) {
        let is_known = match group.parse::<usize>() {
            Ok(index) => index < pattern.captures_len(),
            Err(_) => names().any(|name| name == group),
        };
        if !is_known {
            let problem =
                Problem::new(Code::Regex, "`to` names a group that the pattern does not have");
            let remedy =
                "groups count from 1; write `${1}x` where a letter follows, `$$` for a dollar";
            return Err(problem.help(remedy));
        }
    }
    Ok(())
}

/// The groups that a replacement names, by the rules of the regex crate.
fn referenced_groups(to: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = to;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(braced) = rest.strip_prefix('{') {
            let Some(end) = braced.find('}') else { continue };
            groups.push(&braced[..end]);
            rest = &braced[end + 1..];
        } else {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            groups.extend((end > 0).then(|| &rest[..end]));
            rest = &rest[end..];
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_name_groups_that_exist() {
        let check = |pattern: &str, to: &str, ok: bool| {
            let pattern = Pattern::try_new(pattern).unwrap();
            assert_eq!(known_groups(&pattern, to).is_ok(), ok, "{to}");
        };
        check("^/(a)/(?P<rest>.*)", "/$1/$rest/${2}x/$0", true);
        check("^/(a)", "/$2", false);
        check("^/(a)", "/$1x", false);
        check("^/(a)", "/$$2$", true);
        check("^/(?P<rest>.*)", "/${rset}", false);
        check("^/", "/${", true);
    }
}
