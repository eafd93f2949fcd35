//! Detection without rules: what SQL and HTML parsers would make of a value.
//!
//! [`sqli`] and [`xss`] answer as libinjection 3.9.2 does, byte for byte, which is what `@detectSQLi` and
//! `@detectXSS` promise; [`sqli_text`] and [`xss_text`] ask for more evidence, so that real text passes. Nothing here allocates, and time is linear in the input. [`may_be_sqli`] and [`may_be_xss`] tell from the
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

/// Returns how `input` reads as an injection into SQL, as [`sqli`] does, but only if more than its fingerprint says so.
///
/// Five tokens of prose or of program code have an attack's fingerprint more often than one would think. What
/// counts beside it is what an attacker cannot do without: a subquery or another statement, a condition
/// that compares, a call of a function, a comment where the rest of the query would stand.
///
/// ```
/// use selvedge_waf::detect::{sqli, sqli_text};
///
/// let code = b"if (data === 'false') { return false; }";
/// assert!(sqli(code).is_some() && sqli_text(code).is_none());
/// assert!(sqli_text(b"1' OR '1'='1").is_some());
/// ```
pub fn sqli_text(input: &[u8]) -> Option<Fingerprint> {
    sql::detect_evident(input).map(|reading| reading.fingerprint)
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

/// Returns whether a browser might run a script out of `input`, as [`xss`] does, but only if there is one to run.
///
/// Names alone say little: people write about `<script>`, paste drawings and formatted text, and an address may
/// have `oneway-trip?adult=1` in it. What counts is a handler with code in it, an address that is a script, an
/// element that has content to run or a document to load, a style sheet that does more than style.
///
/// ```
/// use selvedge_waf::detect::{xss, xss_text};
///
/// let drawing = b"<svg viewBox='0 0 9 9'><path d='M0 0h9'/></svg>";
/// assert!(xss(drawing) && !xss_text(drawing));
/// assert!(xss_text(b"<svg onload=alert(1)>"));
/// ```
pub fn xss_text(input: &[u8]) -> bool {
    html::detect_evident(input)
}

#[cfg(test)]
mod tests;
