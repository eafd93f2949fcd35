//! What a request shows of itself: a token or a key, in one place and no other.

use std::{borrow::Cow, error::Error, fmt};

use percent_encoding::percent_decode_str;
use selvedge_agent::RequestHead;
use selvedge_config::auth::Place;

use super::api_keys;

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    Token(Cow<'a, str>),
    Key(Cow<'a, str>),
}

/// Why it cannot be told what a request shows (RFC 6750, section 3.1: `invalid_request`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// Two credentials, or the same twice: which of them counts elsewhere?
    Several,
    /// Not `SCHEME CREDENTIAL`, or no text.
    Malformed,
}

/// Finds the one credential of a request.
pub(super) fn find<'a>(
    request: &RequestHead<'a>,
    tokens: &[Place],
    keys: &[Place],
) -> Result<Option<Credential<'a>>, Unclear> {
    let mut found = None;
    for place in tokens.iter().chain(keys.iter().filter(|place| !tokens.contains(place))) {
        let Some(text) = look(request, place)? else { continue };
        // In a place for both, a key is known by its prefix.
        let is_key = match (tokens.contains(place), keys.contains(place)) {
            (true, true) => api_keys::is_ours(&text),
            (_, is_for_keys) => is_for_keys,
        };
        let credential = if is_key { Credential::Key(text) } else { Credential::Token(text) };
        if found.replace(credential).is_some() {
            return Err(Unclear::Several);
        }
    }
    Ok(found)
}

fn look<'a>(request: &RequestHead<'a>, place: &Place) -> Result<Option<Cow<'a, str>>, Unclear> {
    match place {
        Place::Header { name, scheme } => header(request, name, scheme.as_deref()),
        Place::Cookie(name) => cookie(request, name),
        Place::Query(name) => query(request, name),
    }
}

fn header<'a>(
    request: &RequestHead<'a>,
    name: &str,
    scheme: Option<&str>,
) -> Result<Option<Cow<'a, str>>, Unclear> {
    let Some(value) = single(request.fields().all(name))? else { return Ok(None) };
    let value = std::str::from_utf8(value).map_err(|_| Unclear::Malformed)?.trim();
    let text = match scheme {
        None => value,
        Some(scheme) => {
            let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
            if !word.eq_ignore_ascii_case(scheme) {
                return Ok(None);
            }
            rest.trim()
        }
    };
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == ',') {
        return Err(Unclear::Malformed);
    }
    Ok(Some(text.into()))
}

fn cookie<'a>(request: &RequestHead<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Unclear> {
    let texts = request.fields().all("cookie").map(std::str::from_utf8);
    let texts: Vec<&str> = texts.collect::<Result<_, _>>().map_err(|_| Unclear::Malformed)?;
    let pairs = texts.iter().flat_map(|text| text.split(';')).filter_map(|pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name).then_some(value)
    });
    let value = single(pairs)?.map(unquoted).filter(|value| !value.is_empty());
    Ok(value.map(Cow::Borrowed))
}

fn query<'a>(request: &RequestHead<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Unclear> {
    let pairs = request.query().unwrap_or_default().split('&').filter_map(|pair| {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        let own = percent_decode_str(own).decode_utf8().ok()?;
        (own == name).then_some(value)
    });
    let Some(value) = single(pairs)?.filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = percent_decode_str(value).decode_utf8().map_err(|_| Unclear::Malformed)?;
    Ok(Some(value))
}

fn single<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Unclear> {
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(Unclear::Several),
    }
}

/// A cookie's value without the quotes that may stand around it (RFC 6265, section 4.1.1).
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Several => "the request has more than one credential",
            Self::Malformed => "the credential of the request is malformed",
        })
    }
}

impl Error for Unclear {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::asked::Asked;

    fn bearer() -> Place {
        Place::Header { name: "authorization".into(), scheme: Some("Bearer".into()) }
    }

    fn tokens() -> Vec<Place> {
        vec![bearer(), Place::Cookie("session".into()), Place::Query("access_token".into())]
    }

    fn keys() -> Vec<Place> {
        vec![Place::Header { name: "x-api-key".into(), scheme: None }]
    }

    #[track_caller]
    fn check(asked: Asked, expected: Result<Option<&str>, Unclear>) {
        check_of(&keys(), asked, expected);
    }

    #[track_caller]
    fn check_of(keys: &[Place], asked: Asked, expected: Result<Option<&str>, Unclear>) {
        let payload = asked.payload();
        let request = RequestHead::parse(&payload, false).unwrap();
        let found = find(&request, &tokens(), keys).map(|found| {
            found.map(|found| match found {
                Credential::Token(text) => format!("token {text}"),
                Credential::Key(text) => format!("key {text}"),
            })
        });
        assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied());
    }

    #[test]
    fn one_credential_is_found_wherever_it_is() {
        check(Asked::get("/"), Ok(None));
        check(Asked::get("/").field("Authorization", "bearer  abc "), Ok(Some("token abc")));
        check(Asked::get("/").field("authorization", "Basic YTpi"), Ok(None));
        check(Asked::get("/").field("cookie", "a=b; session=abc"), Ok(Some("token abc")));
        check(
            Asked::get("/").field("cookie", "a=b").field("Cookie", "session=\"abc\""),
            Ok(Some("token abc")),
        );
        check(Asked::get("/").field("cookie", "session="), Ok(None));
        check(Asked::get("/?x&access_token=a%2Eb"), Ok(Some("token a.b")));
        check(Asked::get("/?access_token=&x=access_token=b"), Ok(None));
        check(Asked::get("/").field("X-Api-Key", "abc"), Ok(Some("key abc")));
    }

    #[test]
    fn a_second_credential_is_one_too_many() {
        let bearer = Asked::get("/").field("authorization", "Bearer a");
        for other in [
            bearer.clone().field("authorization", "Bearer a"),
            bearer.clone().field("authorization", "Basic YTpi"),
            bearer.clone().field("x-api-key", "a"),
            bearer.clone().field("cookie", "session=a"),
            Asked::get("/?access_token=a").field("authorization", "Bearer a"),
            Asked::get("/?access_token=a&access_token=a"),
            Asked::get("/?access_token=a&access%5Ftoken="),
            Asked::get("/").field("cookie", "session=a; session=b"),
            Asked::get("/").field("cookie", "session=a").field("cookie", "session=b"),
            Asked::get("/").field("x-api-key", "a").field("x-api-key", "b"),
        ] {
            check(other, Err(Unclear::Several));
        }
    }

    #[test]
    fn what_is_no_credential_is_not_taken_for_none() {
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a, Bearer b", "Bearer a,b"] {
            check(Asked::get("/").field("authorization", value), Err(Unclear::Malformed));
        }
        check(Asked::get("/").field("authorization", b"Bearer \xff"), Err(Unclear::Malformed));
        check(Asked::get("/").field("x-api-key", ""), Err(Unclear::Malformed));
        check(Asked::get("/").field("cookie", b"\xff"), Err(Unclear::Malformed));
        check(Asked::get("/?access_token=%ff"), Err(Unclear::Malformed));
    }

    #[test]
    fn keys_and_tokens_may_share_a_place() {
        let asked = |text: &str| Asked::get("/").field("authorization", format!("Bearer {text}"));
        check_of(&[bearer()], asked("slv_a_b"), Ok(Some("key slv_a_b")));
        check_of(&[bearer()], asked("a.b.c"), Ok(Some("token a.b.c")));
        check(asked("slv_a_b"), Ok(Some("token slv_a_b")));
    }
}
