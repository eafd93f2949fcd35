//! New paths for requests and new places for clients.

use std::borrow::Cow;

use selvedge_config::{Redirect, Rewrite, RewritePath};

use crate::{
    condition::prefix_holds,
    path::{PathError, is_plain, normalise_path, push_escape},
};

/// Returns what `path` (normalised) becomes on its way upstream.
///
/// A prefix that does not hold leaves the path as it is. What a replacement makes is normalised again; if
/// it is no path, for example because a captured piece completes a `..`, the request must be refused
/// with 400.
pub fn rewrite_path<'a>(rewrite: &'a Rewrite, path: &'a str) -> Result<Cow<'a, str>, PathError> {
    match &rewrite.path {
        None => Ok(Cow::Borrowed(path)),
        Some(RewritePath::StripPrefix(prefix)) => Ok(Cow::Borrowed(strip_prefix(prefix, path))),
        Some(RewritePath::Replace(to)) => normalise_path(to),
        Some(RewritePath::Regex { pattern, to }) => match pattern.replace(path, to.as_str()) {
            Cow::Borrowed(_) => Ok(Cow::Borrowed(path)),
            Cow::Owned(new) => normalise_path(&new).map(|path| Cow::Owned(path.into_owned())),
        },
    }
}

fn strip_prefix<'a>(prefix: &str, path: &'a str) -> &'a str {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix_holds(prefix, path) {
        return path;
    }
    match &path[prefix.len()..] {
        "" => "/",
        rest => rest,
    }
}

/// Returns the value of `Location` for a redirect.
///
/// `query` is the raw query without `?`. Nothing that comes from the request can end the field, and
/// neither path nor query can become the host: slashes never meet where a path is put in, and a target
/// whose host would be taken from path or query becomes `/` (`lint` reports it as an error).
pub fn redirect_target(
    redirect: &Redirect,
    scheme: &str,
    host: &str,
    path: &str,
    query: &str,
) -> String {
    if !is_safe_target(&redirect.to) {
        return "/".to_owned();
    }
    let mut target = String::with_capacity(redirect.to.len() + path.len() + query.len());
    for piece in pieces(&redirect.to) {
        match piece {
            Piece::Text(text) => push_safe(&mut target, text, "/?#%[]"),
            Piece::Scheme => push_safe(&mut target, scheme, ""),
            Piece::Host => push_safe(&mut target, host, "[]"),
            Piece::Path => push_path(&mut target, path),
            Piece::Query if query.is_empty() => {}
            Piece::Query => {
                target.push('?');
                push_safe(&mut target, query, "/?%");
            }
        }
    }
    target
}

/// A part of a redirect's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Scheme,
    Host,
    Path,
    Query,
}

/// Splits a target at its placeholders; an unknown one is text.
fn pieces(to: &str) -> impl Iterator<Item = Piece<'_>> {
    const PLACEHOLDERS: [(&str, Piece<'_>); 4] = [
        ("{scheme}", Piece::Scheme),
        ("{host}", Piece::Host),
        ("{path}", Piece::Path),
        ("{query}", Piece::Query),
    ];
    let mut rest = to;
    std::iter::from_fn(move || {
        let next = PLACEHOLDERS
            .iter()
            .filter_map(|(name, piece)| rest.find(name).map(|at| (at, name.len(), *piece)))
            .min_by_key(|(at, ..)| *at);
        let (piece, length) = match next {
            _ if rest.is_empty() => return None,
            Some((0, length, piece)) => (piece, length),
            Some((at, ..)) => (Piece::Text(&rest[..at]), at),
            None => (Piece::Text(rest), rest.len()),
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// Whether scheme and host of a target cannot come from path or query.
pub(crate) fn is_safe_target(to: &str) -> bool {
    let shape = to.replace("{scheme}", "https").replace("{host}", "host");
    if shape.contains('\\') || shape.starts_with([' ', '\t', '\n', '\r']) {
        return false;
    }
    let authority = match shape.find(['/', '?', '#', '{']) {
        Some(colon) if colon > 0 && shape[..colon].ends_with(':') => &shape[colon..],
        _ if shape.starts_with("//") => &shape,
        Some(end) => return !shape[..end].contains(':') && !is_glued(&shape, end),
        None => return !shape.contains(':'),
    };
    let host = authority.strip_prefix("//").unwrap_or("");
    let end = host.find(['/', '?', '#', '{']).unwrap_or(host.len());
    end > 0 && !is_glued(host, end)
}

/// Whether a placeholder that brings no separator of its own follows: an unknown one.
fn is_glued(text: &str, end: usize) -> bool {
    let rest = &text[end..];
    rest.starts_with('{') && !rest.starts_with("{path}") && !rest.starts_with("{query}")
}

/// Appends `path` with exactly one slash between it and what is there.
fn push_path(target: &mut String, path: &str) {
    if !target.ends_with('/') {
        target.push('/');
    }
    push_safe(target, path.trim_start_matches(['/', '\\']), "/%");
}

/// Appends `text`; what is neither plain in a URL nor in `also` is percent-encoded.
fn push_safe(target: &mut String, text: &str, also: &str) {
    for byte in text.bytes() {
        if is_plain(byte) || also.as_bytes().contains(&byte) {
            target.push(char::from(byte));
        } else {
            push_escape(target, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_config::Pattern;

    use super::*;

    #[track_caller]
    fn check_rewrite(path: RewritePath, from: &str, expected: &str) {
        let rewrite = Rewrite { path: Some(path), host: None };
        let actual = match rewrite_path(&rewrite, from) {
            Ok(path) => path.into_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn prefixes_are_stripped_at_segments() {
        let strip = |prefix: &str| RewritePath::StripPrefix(prefix.into());
        check_rewrite(strip("/api"), "/api/x", "/x");
        check_rewrite(strip("/api"), "/api", "/");
        check_rewrite(strip("/api"), "/api/", "/");
        check_rewrite(strip("/api/"), "/api/x", "/x");
        check_rewrite(strip("/api"), "/apix", "/apix");
        check_rewrite(strip("/"), "/x", "/x");
    }

    #[test]
    fn replacements_are_normalised() {
        let regex = |pattern: &str, to: &str| RewritePath::Regex {
            pattern: Pattern::try_new(pattern).unwrap(),
            to: to.into(),
        };
        check_rewrite(RewritePath::Replace("/index.html".into()), "/x", "/index.html");
        check_rewrite(RewritePath::Replace("/a/../b".into()), "/x", "/b");
        check_rewrite(regex("^/v([0-9]+)/(?<rest>.*)", "/$1/${rest}"), "/v2/a/b", "/2/a/b");
        check_rewrite(regex("^/v([0-9]+)/", "/"), "/x", "/x");
        check_rewrite(regex("/a", ""), "/a/b/a", "/b/a");
        check_rewrite(regex("^/a", ""), "/a", "/");
        check_rewrite(regex("^/", ""), "/a", "the path must begin with `/`");
        check_rewrite(regex("x", ""), "/.x./y", "`..` at 1 leaves the root");
    }

    fn redirect(to: &str) -> Redirect {
        Redirect { to: to.into(), status: 308 }
    }

    #[track_caller]
    fn check(to: &str, path: &str, query: &str, expected: &str) {
        let actual = redirect_target(&redirect(to), "https", "example.com", path, query);
        assert_eq!(actual, expected);
    }

    #[test]
    fn placeholders_are_filled() {
        check("https://{host}{path}{query}", "/a", "b=1", "https://example.com/a?b=1");
        check("{scheme}://www.{host}{path}", "/a", "b=1", "https://www.example.com/a");
        check("https://{host}{path}{query}", "/a", "", "https://example.com/a");
        check("https://other.org/new/{path}", "/a", "", "https://other.org/new/a");
        check("https://{host}:8443{path}", "/", "", "https://example.com:8443/");
        check("/new#part", "/a", "", "/new#part");
        check("new", "/a", "", "new");
        check("https://other.org", "/a", "", "https://other.org");
        check("//cdn.example.com{path}", "/a", "", "//cdn.example.com/a");
        check("/{unknown}{path}", "/a", "", "/%7Bunknown%7D/a");
        check("/wörter", "/a", "", "/w%C3%B6rter");
    }

    #[test]
    fn the_request_cannot_choose_the_host() {
        check("{path}", "//evil.org", "", "/evil.org");
        check("{path}", "/\\evil.org", "", "/evil.org");
        check("/{path}", "/evil.org", "", "/evil.org");
        check("https://example.com{path}", "@evil.org", "", "https://example.com/@evil.org");
        check("{query}", "/", "//evil.org", "?//evil.org");
        for unsafe_target in [
            "//{path}",
            "https://{path}",
            "https:{path}",
            "https:/{path}",
            "{scheme}:{path}",
            "//{query}",
            "x:{path}",
            "///{host}",
            "https://{unknown}",
            "\\\\{path}",
            " //{path}",
            "javascript:alert(1)",
        ] {
            check(unsafe_target, "/evil.org", "", "/");
        }
    }

    #[test]
    fn the_request_cannot_end_the_field() {
        check("{path}{query}", "/a\r\nSet-Cookie: x", "b\r\nc", "/a%0D%0ASet-Cookie:%20x?b%0D%0Ac");
        let target = redirect_target(&redirect("https://{host}/"), "https", "a\r\nb/c", "/", "");
        assert_eq!(target, "https://a%0D%0Ab%2Fc/");
    }

    proptest! {
        #[test]
        fn targets_are_one_line_and_stay_here(
            to in prop::sample::select(vec!["{path}", "/{path}", "{path}{query}", "/a{path}", "a/{path}"]),
            path in "[/\\\\a:@.\r\n%?#\u{e9}]{0,8}",
            query in "[/\\\\a:@.\r\n%?#]{0,4}",
        ) {
            let target = redirect_target(&redirect(to), "https", "h", &path, &query);
            prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
            prop_assert!(!target.starts_with("//"), "{target}");
            let first = target.split(['/', '?', '#']).next().unwrap();
            prop_assert!(!first.contains(':'), "{target}");
        }
    }
}
