//! Whether a value reads as an injection into SQL.

use memchr::{memchr, memmem};

mod evidence;
pub mod fingerprints;
mod fold;
mod scan;
mod token;
pub mod words;

use self::{fold::Folded, scan::Scanner, token::Token};
use super::Fingerprint;

pub use self::{scan::Dialect, token::Kind};

/// How a text reads in one kind of quotes and one dialect.
pub struct Reading {
    /// What is left of it.
    pub fingerprint: Fingerprint,
    quote: Option<u8>,
    dialect: Dialect,
    folded: Folded,
    /// How many tokens there were before folding.
    tokens_read: usize,
    depends_on_dialect: bool,
}

/// Returns the first reading of `input` that is an injection.
pub fn detect(input: &[u8]) -> Option<Reading> {
    detect_where(input, |_| true)
}

/// Returns the first reading of `input` that is an injection, and one by more than its fingerprint.
pub fn detect_evident(input: &[u8]) -> Option<Reading> {
    detect_where(input, |reading| evidence::is_there(input, reading))
}

fn detect_where(input: &[u8], is_believed: impl Fn(&Reading) -> bool) -> Option<Reading> {
    if input.is_empty() {
        return None;
    }
    for (quote, dialects) in CONTEXTS {
        if quote.is_some_and(|quote| memchr(quote, input).is_none()) {
            continue;
        }
        for dialect in *dialects {
            let reading = Reading::new(input, *quote, *dialect);
            if reading.is_attack(input) && is_believed(&reading) {
                return Some(reading);
            }
            if !reading.depends_on_dialect {
                break;
            }
        }
    }
    None
}

/// In which quotes and dialects a text is read; a second dialect only where the first had to choose.
const CONTEXTS: &[(Option<u8>, &[Dialect])] = &[
    (None, &[Dialect::Ansi, Dialect::MySql]),
    (Some(b'\''), &[Dialect::Ansi, Dialect::MySql]),
    (Some(b'"'), &[Dialect::MySql]),
];

impl Reading {
    fn new(input: &[u8], quote: Option<u8>, dialect: Dialect) -> Self {
        let mut scanner = Scanner::new(input, quote, dialect);
        let mut folded = fold::fold(&mut scanner);
        mend_open_tick(folded.tokens_mut());
        let is_evil = folded.tokens().iter().any(|token| token.kind == Kind::Evil);
        let fingerprint = if is_evil {
            Fingerprint::new([Kind::Evil as u8].into_iter())
        } else {
            Fingerprint::new(folded.tokens().iter().map(|token| token.kind as u8))
        };
        let Scanner { tokens: tokens_read, depends_on_dialect, .. } = scanner;
        Self { fingerprint, quote, dialect, folded, tokens_read, depends_on_dialect }
    }

    fn is_attack(&self, input: &[u8]) -> bool {
        fingerprints::contains(self.fingerprint.letters()) && !self.is_innocent(input)
    }

    /// What has an attack's fingerprint and is none.
    fn is_innocent(&self, input: &[u8]) -> bool {
        let letters = self.fingerprint.letters();
        // Microsoft's audit log hides statements with this name in them.
        if letters.len() > 1
            && letters.ends_with(b"c")
            && memmem::find(input, b"sp_password").is_some()
        {
            return false;
        }
        match (letters.len(), self.folded.tokens()) {
            (2, [first, second]) => self.is_innocent_pair(input, first, second),
            (3, [first, second, third]) => self.is_innocent_triple(first, second, third),
            _ => false,
        }
    }

    /// Two tokens are hard to tell from text: most need a comment that text does not have.
    fn is_innocent_pair(&self, input: &[u8], first: &Token, second: &Token) -> bool {
        let sign = second.value.first();
        match (first.kind, second.kind) {
            (_, Kind::Union) => self.tokens_read == 2,
            _ if sign == b'#' => true,
            (Kind::Word, Kind::Comment) if sign != b'/' => true,
            (Kind::Number, Kind::Comment) => sign != b'/' && !self.ends_in_comment(input, first),
            _ => second.value.len() > 2 && sign == b'-',
        }
    }

    /// `1234--` is none of those Base64 texts that begin with digits and end in dashes.
    fn ends_in_comment(&self, input: &[u8], number: &Token) -> bool {
        if self.tokens_read > 2 {
            return true;
        }
        matches!(
            input.get(number.value.len()..).unwrap_or_default(),
            [b'/', b'*', ..] | [b'-', b'-', ..] | [0..=b' ' | 0x80.., ..] | []
        )
    }

    fn is_innocent_triple(&self, first: &Token, second: &Token, third: &Token) -> bool {
        match self.fingerprint.letters() {
            // `foo' + 'bar` has an end on each side, and the same quotes within.
            b"sos" | b"s&s" => first.open != 0 || third.close != 0 || first.close != third.open,
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.tokens_read == 3,
            _ if second.kind == Kind::Keyword => !is_into(second),
            _ => false,
        }
    }
}

/// `INTO OUTFILE`, `INTO DUMPFILE`.
fn is_into(token: &Token) -> bool {
    token.value.len() > 4 && token.value.as_bytes().starts_with(b"INTO")
}

/// PHP takes a back quote that nothing closes for a comment.
fn mend_open_tick(tokens: &mut [Token]) {
    if let [_, _, .., last] = tokens
        && (last.kind, last.open, last.close) == (Kind::Word, b'`', 0)
        && last.value.len() == 0
    {
        last.kind = Kind::Comment;
    }
}
