//! Detection without rules: what SQL and HTML parsers would make of a value.
//!
//! [`sqli`] and [`xss`] answer as libinjection 3.9.2 does, byte for byte, which is what `@detectSQLi` and
//! `@detectXSS` promise. Nothing here allocates, and time is linear in the input. [`may_be_sqli`] and [`may_be_xss`] tell from the
//! bytes that occur in a value alone that it needs no look.
//!
//! The tokenizers, the folding, the tables of words and fingerprints and the black lists are ported from
//! libinjection (<https://github.com/client9/libinjection>), Copyright (c) 2012-2016, Nick Galbreath, under
//! the BSD 3-Clause licence, whose text is in `NOTICE`.

use std::fmt;

mod gate;
mod html;
mod sql;

pub use gate::{may_be_sqli, may_be_xss};

/// How a value reads as SQL: one letter for each of its first tokens, at most five.
///
/// | letter | token | letter | token |
/// |---|---|---|---|
/// | `1` | number | `&` | `AND`, `OR`, `XOR` |
/// | `s` | string | `o` | another operator |
/// | `n` | bare word | `c` | comment |
/// | `v` | variable | `(` `)` `,` `;` `:` | itself |
/// | `f` | function | `U` | `UNION` and its like |
/// | `k` | keyword | `E` | `SELECT` and others that begin an expression |
/// | `t` | type | `B` | `GROUP BY` and others that group |
/// | `T` | Transact-SQL | `A` | `COLLATE` |
/// | `X` | what no legitimate client writes | | |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    letters: [u8; Self::LENGTH_MAX],
    length: u8,
}

impl Fingerprint {
    /// The most letters there are.
    const LENGTH_MAX: usize = 5;

    /// Takes ASCII letters; none beyond the fifth.
    fn new(kinds: impl Iterator<Item = u8>) -> Self {
        let mut fingerprint = Self { letters: [0; Self::LENGTH_MAX], length: 0 };
        for (place, letter) in fingerprint.letters.iter_mut().zip(kinds) {
            *place = letter;
            fingerprint.length += 1;
        }
        fingerprint
    }

    /// Returns its letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.letters()).expect("kinds of tokens are named by ASCII letters")
    }

    fn letters(&self) -> &[u8] {
        &self.letters[..usize::from(self.length)]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Returns how `input` reads as an injection into SQL, in the quotes in which it does so; `None` if in none.
///
/// ```
/// use selvedge_waf::detect::sqli;
///
/// let fingerprint = sqli(b"1' OR '1'='1").expect("it is the classic");
/// assert_eq!(fingerprint.as_str(), "s&sos");
/// assert!(sqli(b"Tom O'Brien").is_none());
/// ```
pub fn sqli(input: &[u8]) -> Option<Fingerprint> {
    sql::detect(input).map(|reading| reading.fingerprint)
}

/// Returns whether a browser might run a script out of `input`, be it text or the value of an attribute, however quoted.
///
/// ```
/// use selvedge_waf::detect::xss;
///
/// assert!(xss(b"'><img src=x onerror=alert(1)>"));
/// assert!(!xss(b"I <3 HTML"));
/// ```
pub fn xss(input: &[u8]) -> bool {
    html::detect(input)
}

#[cfg(test)]
mod tests;
