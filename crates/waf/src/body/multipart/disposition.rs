use std::ops::Range;

use super::{Fault, Multipart, Problem, Scratch, coding};
use crate::body::{
    ascii::{is_space, trim, trim_end},
    charset::{Charset, decode_charset},
};

/// What a part says it is: its names, of which each may be what some reader of this world goes by.
#[derive(Clone, Debug, Default)]
pub(in crate::body) struct Disposition {
    /// The fields: of several the first and the last.
    pub(super) names: Vec<Stored>,
    /// The files: `filename`, `filename*` (RFC 8187) and `filename*0` (RFC 2231), as they stand and decoded.
    pub(super) file_names: Vec<Stored>,
    /// What was decoded.
    pub(super) text: Vec<u8>,
    pieces: Vec<Piece>,
}

/// Names of fields that are kept, the last one among them: readers take the first or the last.
const NAMES_MAX: usize = 2;
/// Likewise of files; each of these may come in four spellings.
const FILE_NAMES_MAX: usize = 16;

impl Disposition {
    pub(super) fn clear(&mut self) {
        let Self { names, file_names, text, pieces } = self;
        names.clear();
        file_names.clear();
        text.clear();
        pieces.clear();
    }

    pub(in crate::body) fn shrink(&mut self, bytes_max: usize) {
        self.clear();
        self.text.shrink_to(bytes_max);
        self.pieces.shrink_to(bytes_max / size_of::<Piece>());
    }

    pub(super) fn is_file(&self) -> bool {
        !self.file_names.is_empty()
    }

    fn bytes<'a>(&'a self, stored: &Stored, input: &'a [u8]) -> &'a [u8] {
        match stored {
            Stored::At(range) => &input[range.clone()],
            Stored::Buffer(range) => &self.text[range.clone()],
        }
    }

    /// Keeps a name that is not kept yet.
    fn keep(&mut self, what: What, stored: Stored, input: &[u8]) {
        let kept = if what == What::Name { &self.names } else { &self.file_names };
        let bytes = self.bytes(&stored, input);
        if bytes.is_empty() || kept.iter().any(|known| self.bytes(known, input) == bytes) {
            return;
        }
        let (kept, max) = match what {
            What::Name => (&mut self.names, NAMES_MAX),
            What::FileName => (&mut self.file_names, FILE_NAMES_MAX),
        };
        kept.truncate(max - 1);
        kept.push(stored);
    }

    /// Keeps the end of the buffer.
    fn keep_from(&mut self, what: What, start: usize, input: &[u8]) {
        self.keep(what, Stored::Buffer(start..self.text.len()), input);
    }
}

/// Where a text is.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// In the body.
    At(Range<usize>),
    /// In the disposition's text.
    Buffer(Range<usize>),
}

/// What a parameter names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Name,
    FileName,
}

impl What {
    /// Reads a parameter's name and what follows the star in it, if there is one.
    fn of(name: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let star = memchr::memchr(b'*', name);
        let stem = trim(&name[..star.unwrap_or(name.len())]);
        let what = if stem.eq_ignore_ascii_case(b"name") {
            Self::Name
        } else if stem.eq_ignore_ascii_case(b"filename") {
            Self::FileName
        } else {
            return None;
        };
        Some((what, star.map(|star| &name[star + 1..])))
    }
}

/// A piece of a name that comes in several: `filename*1="p"` or `filename*1*=%70`.
#[derive(Clone, Debug)]
struct Piece {
    what: What,
    number: u32,
    /// Whether it has percent escapes.
    is_extended: bool,
    stored: Stored,
}

/// Reads a `Content-Disposition`'s value; what it says joins what others of the same part said.
pub(super) fn read(
    input: &[u8],
    value: Range<usize>,
    scratch: &mut Scratch,
    outcome: &mut Multipart,
) {
    let Scratch { disposition, value: buffer, .. } = scratch;
    let mut reader =
        Reader { input, at: value.start, end: value.end, outcome, found: disposition, buffer };
    reader.parameters();
    reader.join(What::Name);
    reader.join(What::FileName);
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    end: usize,
    outcome: &'a mut Multipart,
    found: &'a mut Disposition,
    buffer: &'a mut Vec<u8>,
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
    fn parameters(&mut self) {
        let kind = self.skip_to(|byte| byte == b';');
        if !trim(&self.input[kind]).eq_ignore_ascii_case(b"form-data") {
            self.note("a part is not said to be form data");
        }
        let mut said = [false; 4];
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
            let Some((what, star)) = What::of(trim(&self.input[name])) else { continue };
            let spelling = usize::from(what == What::Name) * 2 + usize::from(star.is_some());
            let is_whole = star.is_none_or(|number| number.is_empty());
            if is_whole && std::mem::replace(&mut said[spelling], true) {
                self.note("a name is said twice");
            }
            match star {
                None => self.plain(what, value),
                Some(b"") => self.extended(what, value),
                Some(number) => self.piece(what, number, value),
            }
        }
    }

    /// A name as it stands, and what it says as words of mail.
    fn plain(&mut self, what: What, value: Value) {
        let stored = self.stored(value);
        let has_words = coding::encoded_words(self.found.bytes(&stored, self.input), self.buffer);
        self.found.keep(what, stored, self.input);
        if has_words {
            self.note("a name is encoded as names in mail are");
            let start = self.found.text.len();
            self.found.text.extend_from_slice(self.buffer);
            self.found.keep_from(what, start, self.input);
        }
    }

    /// Decodes `charset'language'text`.
    fn extended(&mut self, what: What, value: Value) {
        let at = value.at;
        let Some(label) = self.label(&at) else {
            self.note("an extended name has no charset");
            return self.found.keep(what, Stored::At(at), self.input);
        };
        let start = self.found.text.len();
        coding::percent(&self.input[label.text], &mut self.found.text);
        self.in_charset(what, label.charset, start);
    }

    /// Keeps the end of the buffer as it stands and out of its charset.
    fn in_charset(&mut self, what: What, charset: Range<usize>, start: usize) {
        self.found.keep_from(what, start, self.input);
        let charset = Some(&self.input[charset]);
        if let Charset::Decoded { .. } =
            decode_charset(&self.found.text[start..], charset, self.buffer)
        {
            let start = self.found.text.len();
            self.found.text.extend_from_slice(self.buffer);
            self.found.keep_from(what, start, self.input);
        }
    }

    fn label(&self, at: &Range<usize>) -> Option<Label> {
        let text = &self.input[at.clone()];
        let mut quotes = memchr::memchr_iter(b'\'', text);
        let (first, second) = (quotes.next()?, quotes.next()?);
        Some(Label { charset: at.start..at.start + first, text: at.start + second + 1..at.end })
    }

    fn piece(&mut self, what: What, number: &[u8], value: Value) {
        self.note("a name is in pieces");
        let is_extended = number.ends_with(b"*");
        let digits = number.strip_suffix(b"*").unwrap_or(number);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let stored = if is_extended { Stored::At(value.at) } else { self.stored(value) };
        // One without a number is a name of its own to who reads no further than the star.
        match number {
            Some(number) => self.found.pieces.push(Piece { what, number, is_extended, stored }),
            None => self.found.keep(what, stored, self.input),
        }
    }

    /// Joins the pieces of a name in their order (RFC 2231, section 3).
    fn join(&mut self, what: What) {
        if self.found.pieces.is_empty() {
            return;
        }
        let mut pieces = std::mem::take(&mut self.found.pieces);
        pieces.sort_by_key(|piece| piece.number);
        let mut own = pieces.iter().filter(|piece| piece.what == what).peekable();
        let first = own.peek().filter(|piece| piece.is_extended).and_then(|piece| {
            let Stored::At(at) = &piece.stored else { return None };
            self.label(at)
        });
        let start = self.found.text.len();
        for (index, piece) in own.enumerate() {
            match (&piece.stored, &first) {
                (Stored::At(_), Some(label)) if index == 0 => {
                    coding::percent(&self.input[label.text.clone()], &mut self.found.text);
                }
                (Stored::At(at), _) if piece.is_extended => {
                    coding::percent(&self.input[at.clone()], &mut self.found.text);
                }
                (Stored::At(at), _) => {
                    self.found.text.extend_from_slice(&self.input[at.clone()]);
                }
                (Stored::Buffer(range), _) => self.found.text.extend_from_within(range.clone()),
            }
        }
        pieces.retain(|piece| piece.what != what);
        self.found.pieces = pieces;
        self.in_charset(what, first.map_or(0..0, |label| label.charset), start);
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
    fn stored(&mut self, value: Value) -> Stored {
        let has_quote = self.input[value.at.clone()].contains(&b'\'');
        self.outcome.invalid_quoting |= has_quote && !value.is_quoted;
        let Some(quote) = value.escaped else { return Stored::At(value.at) };
        let buffer = &mut self.found.text;
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

/// What is before an extended text, and the text.
struct Label {
    charset: Range<usize>,
    text: Range<usize>,
}

fn is_escapable(byte: u8, quote: u8) -> bool {
    byte == quote || byte == b'\\'
}

/// RFC 2045, section 5.1.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte)
}
