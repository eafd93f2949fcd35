//! What the router sees of a request.

use std::borrow::Cow;

/// The head of a request, as far as a route can ask about it.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// As sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// Lower case, without port. One trailing dot is ignored.
    pub host: &'a str,
    /// As returned by [`normalise_path`](crate::normalise_path).
    pub path: &'a str,
    /// As sent, without `?`; empty when there is none.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a dyn Headers,
}

/// Header fields that can be asked for by name, in whatever form the codec keeps them.
pub trait Headers {
    /// Whether `test` accepts the value of any field called `name` (lower case).
    ///
    /// Stops at the first value that is accepted.
    fn find(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn find(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter()
            .filter(|(field, _)| field.as_ref().eq_ignore_ascii_case(name))
            .any(|(_, value)| test(value.as_ref()))
    }
}

impl RequestView<'_> {
    /// The host without the dot that may end a fully qualified name.
    pub(crate) fn host(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(self.host)
    }
}

/// Whether `test` accepts the decoded value of any parameter called `name` in `query`.
///
/// Decoding is that of forms: `+` is a space, and a `%` that begins no valid triplet stands for itself
/// (WHATWG URL, "application/x-www-form-urlencoded parsing").
pub(crate) fn find_parameter(query: &str, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        *decode(key) == *name.as_bytes() && test(&decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let triplet = if byte == b'%' { decode_hex(after) } else { None };
        out.push(match triplet {
            Some(decoded) => decoded,
            None if byte == b'+' => b' ',
            None => byte,
        });
        rest = if triplet.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(out)
}

/// The byte that two hexadecimal digits at the front of `digits` stand for.
pub(crate) fn decode_hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, name: &str, values: &[&str]) {
        let mut seen = Vec::new();
        let collect = &mut |value: &[u8]| {
            seen.push(String::from_utf8_lossy(value).into_owned());
            false
        };
        assert!(!find_parameter(query, name, collect));
        assert_eq!(seen, values);
    }

    #[test]
    fn parameters_are_decoded_as_forms() {
        check("", "a", &[]);
        check("a=1&b=2&a=3", "a", &["1", "3"]);
        check("a", "a", &[""]);
        check("a=x=y", "a", &["x=y"]);
        check("%61=b+c%20d", "a", &["b c d"]);
        check("a=100%&a=%zz&a=%4", "a", &["100%", "%zz", "%4"]);
        check("&&a=1&", "a", &["1"]);
        check("A=1", "a", &[]);
    }

    #[test]
    fn header_names_ignore_case_and_every_field_is_asked() {
        let headers = vec![("X-Beta", "no"), ("x-beta", "yes")];
        assert!(headers.find("x-beta", &mut |value| value == b"yes"));
        assert!(!headers.find("x-alpha", &mut |_| true));
    }
}
