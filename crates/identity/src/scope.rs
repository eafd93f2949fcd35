//! What somebody may do, in words such as `streams:read`.

use std::{fmt, str::FromStr};

/// One thing that somebody may do: `streams:read`, all of a kind with `streams:*`, anything with `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

/// Text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeError(String);

/// Bytes of a scope at most.
const BYTES_MAX: usize = 128;
/// Scopes that one caller may have.
const SCOPES_MAX: usize = 64;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let is_word = |word: &str| {
            let allowed =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
            !word.is_empty() && word.bytes().all(allowed)
        };
        let words = text.strip_suffix(":*").unwrap_or(text);
        let is_scope = text == "*" || words.split(':').all(is_word);
        match is_scope && text.len() <= BYTES_MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(ScopeError(text.chars().take(BYTES_MAX).collect())),
        }
    }
}

impl Scope {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers `wanted`.
    pub fn covers(&self, wanted: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(kind) => wanted.starts_with(kind),
            None => self.0 == wanted,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a scope; write it like `streams:read`, `streams:*` or `*`, in small letters, \
             digits, `-`, `_` and `.`",
            self.0
        )
    }
}

impl std::error::Error for ScopeError {}

/// All that somebody may do; nothing, at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Whether one of them covers `wanted`.
    pub fn cover(&self, wanted: &str) -> bool {
        self.0.iter().any(|scope| scope.covers(wanted))
    }

    /// Adds what is not there yet. Beyond the bound of 64 it gives no more.
    pub fn extend<'s>(&mut self, scopes: impl IntoIterator<Item = &'s Scope>) {
        for scope in scopes {
            if self.0.len() < SCOPES_MAX && !self.0.contains(scope) {
                self.0.push(scope.clone());
            }
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        let mut own = Self::default();
        scopes.into_iter().for_each(|scope| own.extend([&scope]));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &str, wanted: &str, covers: bool) {
        assert_eq!(scope.parse::<Scope>().unwrap().covers(wanted), covers, "{scope} {wanted}");
    }

    #[test]
    fn a_star_covers_what_follows_its_colon() {
        check("streams:read", "streams:read", true);
        check("streams:read", "streams:write", false);
        check("streams:*", "streams:write", true);
        check("streams:*", "streamsx:write", false);
        check("streams:*", "streams", false);
        check("*", "audit:read", true);
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in
            ["", "Streams:read", "a b", "a:", ":a", "a*", "*:read", "a:*:b", &"x".repeat(129)]
        {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn scopes_are_bounded() {
        let many = (0..1_000).map(|i| format!("a:{i}").parse().unwrap());
        assert_eq!(many.collect::<Scopes>().iter().count(), SCOPES_MAX);
    }
}
