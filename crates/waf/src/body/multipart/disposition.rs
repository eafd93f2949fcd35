use std::ops::Range;

use super::{Fault, Multipart, Problem, Scratch};
use crate::body::ascii::{hex_pair, is_space, trim, trim_end};

/// What a part says it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Disposition {
    /// The field; never empty.
    pub(super) name: Option<Stored>,
    /// `filename`; never empty.
    pub(super) file_name: Option<Stored>,
    /// `filename*` (RFC 8187), decoded.
    pub(super) extended_file_name: Option<Stored>,
}

impl Disposition {
    pub(super) fn is_file(&self) -> bool {
        self.file_name.is_some() || self.extended_file_name.is_some()
    }
}

/// Where a text is.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// In the body.
    At(Range<usize>),
    /// In the buffer for names, or that for file names.
    Buffer(Range<usize>),
}

impl Stored {
    fn is_empty(&self) -> bool {
        let (Self::At(range) | Self::Buffer(range)) = self;
        range.is_empty()
    }
}

/// Reads a `Content-Disposition`'s value; names that had to be decoded are in the scratch afterwards.
pub(super) fn read(
    input: &[u8],
    value: Range<usize>,
    scratch: &mut Scratch,
    outcome: &mut Multipart,
) -> Disposition {
    scratch.name.clear();
    scratch.value.clear();
    let reader = Reader { input, at: value.start, end: value.end, outcome };
    reader.parameters(&mut scratch.name, &mut scratch.value)
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    end: usize,
    outcome: &'a mut Multipart,
}

/// What stands behind an equals sign.
struct Value {
    at: Range<usize>,
    /// It is within double quotes, where a single one means nothing.
    is_quoted: bool,
    /// The quote around it, if backslashes are before quotes or backslashes.
    escaped: Option<u8>,
}

impl Reader<'_> {
    fn parameters(mut self, names: &mut Vec<u8>, file_names: &mut Vec<u8>) -> Disposition {
        let mut found = Disposition::default();
        let kind = self.skip_to(|byte| byte == b';');
        if !trim(&self.input[kind]).eq_ignore_ascii_case(b"form-data") {
            self.note("a part is not said to be form data");
        }
        while self.next_is(b';') {
            self.skip_space();
            if self.at == self.end {
                break;
            }
            let name = self.skip_to(|byte| matches!(byte, b'=' | b';'));
            if !self.next_is(b'=') {
                self.note("a parameter has no value");
                continue;
            }
            let value = self.value();
            self.take(trim(&self.input[name]), value, &mut found, (names, file_names));
        }
        found
    }

    fn take(
        &mut self,
        name: &[u8],
        value: Value,
        found: &mut Disposition,
        (names, file_names): (&mut Vec<u8>, &mut Vec<u8>),
    ) {
        if name.eq_ignore_ascii_case(b"name") {
            let stored = self.stored(value, names);
            self.keep(&mut found.name, stored);
        } else if name.eq_ignore_ascii_case(b"filename") {
            let stored = self.stored(value, file_names);
            self.keep(&mut found.file_name, stored);
        } else if name.len() >= 9 && name[..9].eq_ignore_ascii_case(b"filename*") {
            if name.len() > 9 {
                self.note("a file name is in pieces");
            }
            let stored = self.extended(value, file_names);
            self.keep(&mut found.extended_file_name, stored);
        }
    }

    /// Keeps the first; what another reader makes of a second one is anybody's guess.
    fn keep(&mut self, place: &mut Option<Stored>, stored: Stored) {
        if place.is_some() {
            self.note("a name is said twice");
        } else if !stored.is_empty() {
            *place = Some(stored);
        }
    }

    fn value(&mut self) -> Value {
        self.skip_space();
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote),
            _ => self.token(),
        }
    }

    fn quoted(&mut self, quote: u8) -> Value {
        self.outcome.invalid_quoting |= quote == b'\'';
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        while let Some(byte) = self.peek().filter(|byte| *byte != quote) {
            let next = self.input[self.at + 1..self.end].first();
            let is_escape = byte == b'\\' && next.is_some_and(|next| is_escapable(*next, quote));
            has_escapes |= is_escape;
            self.at += 1 + usize::from(is_escape);
        }
        let at = start..self.at;
        if !self.next_is(quote) {
            self.note("a quote is not closed");
        }
        self.expect_semicolon();
        Value { at, is_quoted: quote == b'"', escaped: has_escapes.then_some(quote) }
    }

    /// Passes over what is between a closing quote and the next semicolon; nothing should be.
    fn expect_semicolon(&mut self) {
        let between = self.skip_to(|byte| byte == b';');
        if !trim(&self.input[between]).is_empty() {
            self.outcome.invalid_quoting = true;
            self.note("something follows a closing quote");
        }
    }

    fn token(&mut self) -> Value {
        let at = self.skip_to(|byte| byte == b';');
        let length = trim_end(&self.input[at.clone()]).len();
        let at = at.start..at.start + length;
        let text = &self.input[at.clone()];
        if !text.iter().all(is_token_byte) {
            self.note("a value should be in quotes");
        }
        Value { at, is_quoted: false, escaped: None }
    }

    /// Returns where a value is, without backslashes before quotes and backslashes.
    fn stored(&mut self, value: Value, buffer: &mut Vec<u8>) -> Stored {
        let has_quote = self.input[value.at.clone()].contains(&b'\'');
        self.outcome.invalid_quoting |= has_quote && !value.is_quoted;
        let Some(quote) = value.escaped else { return Stored::At(value.at) };
        let start = buffer.len();
        let mut rest = &self.input[value.at];
        while let Some((byte, tail)) = rest.split_first() {
            let next = tail.first().copied();
            let escaped = next.filter(|next| *byte == b'\\' && is_escapable(*next, quote));
            rest = if escaped.is_some() { &tail[1..] } else { tail };
            buffer.push(escaped.unwrap_or(*byte));
        }
        Stored::Buffer(start..buffer.len())
    }

    /// Decodes `charset'language'text`.
    fn extended(&mut self, value: Value, buffer: &mut Vec<u8>) -> Stored {
        let text = &self.input[value.at.clone()];
        let mut quotes = memchr::memchr_iter(b'\'', text);
        let Some(quote) = quotes.nth(1) else {
            self.note("an extended file name has no charset");
            return Stored::At(value.at);
        };
        let start = buffer.len();
        let mut rest = &text[quote + 1..];
        while let Some((byte, tail)) = rest.split_first() {
            let escaped = if *byte == b'%' { hex_pair(tail) } else { None };
            rest = if escaped.is_some() { &tail[2..] } else { tail };
            buffer.push(escaped.unwrap_or(*byte));
        }
        Stored::Buffer(start..buffer.len())
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Passes over what is before such a byte, and returns where that is.
    fn skip_to(&mut self, is_end: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        let rest = &self.input[start..self.end];
        self.at += rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
        start..self.at
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.input[self.at..self.end].first().copied()
    }

    fn note(&mut self, message: &'static str) {
        let problem = Problem::new(self.at, Fault::Malformed, message);
        self.outcome.problem.get_or_insert(problem);
    }
}

fn is_escapable(byte: u8, quote: u8) -> bool {
    byte == quote || byte == b'\\'
}

/// RFC 2045, section 5.1.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte)
}
