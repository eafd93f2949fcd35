//! Terms of HTTP: header names and values, methods, hosts, paths, redirect targets.

use std::net::Ipv6Addr;

use crate::{
    Code, HostPattern, Pattern,
    address::is_dns_name,
    reading::{Problem, did_you_mean},
    value::Checked,
};

/// Headers that carry framing or the connection; the edge alone writes them.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Placeholders of a redirect target.
const PLACEHOLDERS: [&str; 4] = ["scheme", "host", "path", "query"];

/// A token (RFC 9110, section 5.6.2), in lower case.
pub(crate) fn header_name(text: &str) -> Checked<String> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(Code::Header, format!("{text:?} is not the name of a header"))
        .help("letters, digits and `-`, such as \"X-Request-Id\""))
}

/// A header name that an operation may touch.
pub(crate) fn operable_header_name(text: &str, is_request: bool) -> Checked<String> {
    let name = header_name(text)?;
    if FRAMING.contains(&name.as_str()) {
        return Err(Problem::new(Code::FramingHeader, format!("`{text}` belongs to the edge"))
            .help("it frames messages or steers the connection; remove this operation"));
    }
    if name == "host" {
        let problem = Problem::new(Code::FramingHeader, format!("`{text}` cannot be set here"));
        return Err(if is_request {
            problem.help("write `rewrite { host \"…\" }`")
        } else {
            problem.help("a response has no `Host`; remove this operation")
        });
    }
    Ok(name)
}

/// A field value (RFC 9110, section 5.5).
pub(crate) fn header_value(text: &str) -> Checked<String> {
    let forbidden = |c: char| (c.is_control() && c != '\t') || c == '\u{7f}';
    let problem = || Problem::new(Code::Header, "this cannot be the value of a header");
    if text.contains(forbidden) {
        return Err(problem().help("line ends, NUL and other control characters are not allowed"));
    }
    if text != text.trim_matches([' ', '\t']) {
        return Err(problem().help("remove the blanks at its ends"));
    }
    Ok(text.to_owned())
}

/// A method; known ones in the wrong case are a mistake.
pub(crate) fn method(text: &str) -> Checked<String> {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    let upper = text.to_ascii_uppercase();
    if upper != text && KNOWN.contains(&upper.as_str()) {
        return Err(Problem::new(Code::UnknownWord, format!("{text:?} is not a method"))
            .help(format!("methods are in capitals: \"{upper}\"")));
    }
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::UnknownWord, format!("{text:?} is not a method"))
        .help("such as \"GET\" or \"POST\""))
}

/// A cookie name (RFC 6265, section 4.1.1).
pub(crate) fn cookie_name(text: &str) -> Checked<String> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Header, format!("{text:?} is not the name of a cookie"))
        .help("letters, digits, `-` and `_`"))
}

/// `example.com`, `*.example.com`, an address; lower case, without port.
pub(crate) fn host_pattern(text: &str) -> Checked<HostPattern> {
    if let Some(rest) = text.strip_prefix("*.")
        && is_dns_name(rest)
    {
        return Ok(HostPattern::Wildcard(rest.to_ascii_lowercase()));
    }
    plain_host(text).map(HostPattern::Exact)
}

fn plain_host(text: &str) -> Checked<String> {
    let is_ipv4 = text.parse::<std::net::Ipv4Addr>().is_ok();
    if is_ipv4 || is_dns_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(ip) = inner.and_then(|text| text.parse::<Ipv6Addr>().ok()) {
        return Ok(format!("[{ip}]"));
    }
    Err(Problem::new(Code::Host, format!("{text:?} is not a host")).help(host_remedy(text)))
}

fn host_remedy(text: &str) -> String {
    if text == "*" {
        return "leave `host` out to match every host".to_owned();
    }
    if text.contains("://") || text.contains('/') {
        return "write the name alone, without scheme and path".to_owned();
    }
    if !text.is_ascii() {
        return "write international names in their ASCII form (xn--…)".to_owned();
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return format!("write \"[{text}]\"");
    }
    if text.contains('*') {
        return "`*.` stands for one label or more, and only in front: \"*.example.com\""
            .to_owned();
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("leave the port out: \"{host}\"")
        }
        _ if text.ends_with('.') => {
            format!("leave the last dot out: {:?}", text.trim_end_matches('.'))
        }
        _ => "write a name such as \"example.com\"".to_owned(),
    }
}

/// A host with an optional port, as sent in `Host`.
pub(crate) fn authority(text: &str) -> Checked<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = plain_host(host)?;
    match port.map(|port| (port, port.parse::<u16>())) {
        None => Ok(host),
        Some((digits, Ok(port))) if port > 0 && port.to_string() == digits => {
            Ok(format!("{host}:{port}"))
        }
        Some(_) => Err(Problem::new(Code::Host, format!("{text:?} is not a host"))
            .help("the port is a number from 1 to 65535")),
    }
}

/// A normalised path without query: what requests are compared with.
pub(crate) fn path(text: &str) -> Checked<String> {
    let problem =
        |remedy: String| Problem::new(Code::Path, format!("{text:?} is not a path")).help(remedy);
    if !text.starts_with('/') {
        return Err(problem(format!("it begins with `/`: \"/{text}\"")));
    }
    if let Some(at) = text.find(['?', '#']) {
        return Err(problem(format!("leave `{}` and what follows out", &text[at..=at])));
    }
    check_path_bytes(text)?;
    if text.contains("//") {
        return Err(problem(
            "requests have their double slashes merged before; write one".to_owned(),
        ));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(problem(
            "requests have `.` and `..` resolved before; write what is left".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

/// A path with an optional query.
pub(crate) fn path_and_query(text: &str) -> Checked<String> {
    let (before, _) = text.split_once('?').unwrap_or((text, ""));
    path(before)?;
    check_path_bytes(text)?;
    match text.contains('#') {
        true => Err(Problem::new(Code::Path, format!("{text:?} is not a path"))
            .help("a fragment (`#…`) is never sent; leave it out")),
        false => Ok(text.to_owned()),
    }
}

fn check_path_bytes(text: &str) -> Checked<()> {
    let problem = |remedy: &str| {
        Err(Problem::new(Code::Path, format!("{text:?} is not a path")).help(remedy))
    };
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return problem("blanks and control characters are percent-encoded: `%20`");
    }
    if text.contains('\\') {
        return problem("segments are parted by `/`");
    }
    let encoded_right = text
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    if !encoded_right {
        return problem("`%` is followed by two hexadecimal digits; itself it is `%25`");
    }
    Ok(())
}

/// A regular expression, unanchored.
pub(crate) fn regex(text: &str) -> Checked<Pattern> {
    Pattern::try_new(text).map_err(|error| regex_problem(&error))
}

/// A regular expression that must match a whole path.
pub(crate) fn anchored_regex(text: &str) -> Checked<Pattern> {
    regex(text)?;
    // A comment that ends a verbose pattern would hide the closing anchor; a line end ends it.
    Pattern::try_new(&format!(r"\A(?:{text})\z"))
        .or_else(|_| Pattern::try_new(&format!("\\A(?:{text}\n)\\z")))
        .map_err(|error| regex_problem(&error))
}

fn regex_problem(error: &regex::Error) -> Problem {
    let complaint = error.to_string();
    let remedy = match error {
        regex::Error::CompiledTooBig(_) => "make it smaller: counted repetitions cost most",
        _ if complaint.contains("not supported") => {
            "matching takes linear time, which look-around and back-references do not"
        }
        _ => "mend it where the caret points; raw text saves backslashes: #\"\\d+\"#",
    };
    Problem::new(Code::Regex, complaint.trim_end().to_owned()).help(remedy)
}

/// Where a redirect leads: a path or a URL, with known placeholders.
pub(crate) fn redirect_target(text: &str) -> Checked<String> {
    let problem = || Problem::new(Code::RedirectTarget, "a redirect cannot lead there");
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(problem().help("visible ASCII only; percent-encode the rest"));
    }
    let begins = ["/", "http://", "https://", "{scheme}://", "{path}"];
    if !begins.iter().any(|start| text.starts_with(start)) {
        return Err(problem().help("it begins with `/`, `https://`, `http://` or `{scheme}://`"));
    }
    check_placeholders(text)?;
    Ok(text.to_owned())
}

fn check_placeholders(text: &str) -> Checked<()> {
    let problem = |message: String| Problem::new(Code::RedirectTarget, message);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let opened = &rest[at..];
        let end = opened.find('}').filter(|_| opened.starts_with('{'));
        let Some(end) = end else {
            return Err(problem("a brace stands alone".to_owned())
                .help("braces enclose placeholders; otherwise write %7B and %7D"));
        };
        let name = &opened[1..end];
        if !PLACEHOLDERS.contains(&name) {
            let known = || "known here: {scheme}, {host}, {path}, {query}".to_owned();
            let help = did_you_mean(name, PLACEHOLDERS).unwrap_or_else(known);
            return Err(problem(format!("unknown placeholder `{{{name}}}`")).help(help));
        }
        rest = &opened[end + 1..];
    }
    Ok(())
}

/// `http://127.0.0.1:4318`: scheme, host, optional port, optional path.
pub(crate) fn base_url(text: &str) -> Checked<String> {
    let problem = || {
        Problem::new(Code::Address, format!("{text:?} is not the URL of a service"))
            .help("such as \"http://127.0.0.1:4318\"")
    };
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or_else(problem)?;
    let (host, path_part) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    authority(host).map_err(|_| problem())?;
    if !path_part.is_empty() {
        path(path_part).map_err(|_| problem())?;
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `http://127.0.0.1:9091/verify?rd=x`: as [`base_url`] with an optional query, and as it stands.
pub(crate) fn url(text: &str) -> Checked<String> {
    let problem = |remedy: &str| {
        Problem::new(Code::Address, format!("{text:?} is not a URL")).help(remedy.to_owned())
    };
    let example = "such as \"https://id.example.com/keys\"";
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| problem(example))?;
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    authority(host).map_err(|_| problem(example))?;
    match target.is_empty() {
        true => Ok(text.to_owned()),
        false => path_and_query(target).map(|_| text.to_owned()).map_err(|_| problem(example)),
    }
}

/// Whether what goes to a URL can be read and changed on its way.
pub(crate) fn is_exposed(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let ip = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    !(name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback()))
}

/// The word in front of a credential (RFC 9110, section 11.1).
pub(crate) fn scheme(text: &str) -> Checked<String> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Header, format!("{text:?} is not a scheme"))
        .help("one word, such as \"Bearer\""))
}

/// `application/json`, `application/*+json`, `text/*`; in lower case.
pub(crate) fn media_range(text: &str) -> Checked<String> {
    let is_range = text.split_once('/').is_some_and(|(kind, subtype)| {
        let rest = if subtype == "*" { "x" } else { subtype.strip_prefix("*+").unwrap_or(subtype) };
        [kind, rest].iter().all(|part| is_token(part) && !part.contains('*'))
    });
    if is_range {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(Code::Header, format!("{text:?} is not a media type"))
        .help("such as \"application/json\" or \"application/*+json\", without parameters"))
}

fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=256).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_cannot_split_a_message() {
        let check = |text: &str, ok: bool| assert_eq!(header_value(text).is_ok(), ok, "{text:?}");
        check("a\tb ü", true);
        check("", true);
        check("a\r\nb: c", false);
        check("a\nb", false);
        check("a\0", false);
        check("\u{7f}", false);
        check(" a", false);
    }

    #[test]
    fn framing_belongs_to_the_edge() {
        for name in ["Content-Length", "transfer-encoding", "CONNECTION", "Upgrade", "Host", "TE"] {
            assert!(operable_header_name(name, true).is_err(), "{name}");
            assert!(operable_header_name(name, false).is_err(), "{name}");
        }
        assert_eq!(operable_header_name("X-A", true).unwrap(), "x-a");
        assert!(operable_header_name("a b", true).is_err());
        assert!(operable_header_name(":path", true).is_err());
    }

    #[test]
    fn hosts_are_names_without_port() {
        let exact = |text: &str| HostPattern::Exact(text.to_owned());
        assert_eq!(host_pattern("Example.COM").unwrap(), exact("example.com"));
        assert_eq!(host_pattern("[::0001]").unwrap(), exact("[::1]"));
        assert_eq!(host_pattern("*.a.b").unwrap(), HostPattern::Wildcard("a.b".to_owned()));
        for text in ["", "*", "*.", "a.*", "a:80", "::1", "http://a", "a.", "ü.de", "a b", "1.2.3"]
        {
            assert!(host_pattern(text).is_err(), "{text}");
        }
        assert_eq!(authority("A:80").unwrap(), "a:80");
        assert_eq!(authority("[::1]").unwrap(), "[::1]");
        assert!(authority("a:").is_err());
    }

    #[test]
    fn paths_are_what_requests_look_like_once_normalised() {
        let check = |text: &str, ok: bool| assert_eq!(path(text).is_ok(), ok, "{text:?}");
        check("/", true);
        check("/a/b%20c/", true);
        check("/ü", true);
        check("", false);
        check("a", false);
        check("/a?b", false);
        check("/a//b", false);
        check("/a/../b", false);
        check("/a b", false);
        check("/%zz", false);
        check("/%", false);
        check("/a\\b", false);
        assert!(path_and_query("/a?b=/../c").is_ok());
        assert!(path_and_query("/a#b").is_err());
    }

    #[test]
    fn path_expressions_hold_for_whole_paths() {
        let holds = |text: &str, path: &str| anchored_regex(text).unwrap().is_match(path);
        assert!(holds("/a|/b", "/b"));
        assert!(!holds("/a|/b", "/bc"));
        assert!(!holds("/a", "/x/a"));
        assert!(holds("(?x) /a # the first", "/a"));
        assert!(!holds("(?m)/a$", "/a\nb"));
        assert!(anchored_regex("/a)|(b").is_err());
        assert!(anchored_regex("(a{1000}){1000}").is_err());
    }

    #[test]
    fn urls_are_kept_as_they_stand() {
        let check = |text: &str, ok: bool| {
            let read = url(text).ok();
            assert_eq!(read.as_deref(), ok.then_some(text));
        };
        check("https://id.example.com", true);
        check("https://id.example.com/", true);
        check("http://127.0.0.1:9091/verify?rd=x&y=/a/../b", true);
        check("http://[::1]/x", true);
        check("https://", false);
        check("id.example.com", false);
        check("ftp://x", false);
        check("https://x/#a", false);
        check("https://x?a", false);
        check("https://user@x/", false);
        check("https://x/a b", false);
        check("https://x/a/../b", false);
    }

    #[test]
    fn plain_text_is_exposed_beyond_this_machine() {
        for safe in [
            "https://x",
            "http://localhost",
            "http://LocalHost:1/x",
            "http://127.9.9.9/",
            "http://[::1]:1?a",
        ] {
            assert!(!is_exposed(safe), "{safe}");
        }
        for exposed in
            ["http://x", "http://localhost.example.com", "http://10.0.0.1:1", "http://[fd00::1]"]
        {
            assert!(is_exposed(exposed), "{exposed}");
        }
    }

    #[test]
    fn media_ranges_have_no_parameters() {
        let check = |text: &str, ok: bool| assert_eq!(media_range(text).is_ok(), ok, "{text:?}");
        check("application/json", true);
        check("application/*+json", true);
        check("text/*", true);
        check("Text/Plain", true);
        check("*/*", false);
        check("json", false);
        check("application/", false);
        check("application/x*", false);
        check("application/*+*", false);
        check("application/json; charset=utf-8", false);
        assert_eq!(media_range("Text/Plain").unwrap(), "text/plain");
    }

    #[test]
    fn redirects_lead_to_urls_with_known_placeholders() {
        let check =
            |text: &str, ok: bool| assert_eq!(redirect_target(text).is_ok(), ok, "{text:?}");
        check("https://{host}{path}{query}", true);
        check("{scheme}://www.example.com{path}", true);
        check("/new", true);
        check("/new{pat}", false);
        check("/new{", false);
        check("/new}", false);
        check("/a\r\nb: c", false);
        check("javascript:alert(1)", false);
        check("//{host}", true);
        check("example.com", false);
    }
}
