//! The gate in front of every JSON body: a push parser that keeps no tree.
//!
//! It reads a body piece by piece and refuses at the first byte that cannot be part of a sound one, so
//! that memory is spent on a tree only when its size is known. What it lets through, `serde_json` reads
//! as well; what it refuses on top is what parsers disagree about (keys that occur twice) and what is
//! beyond a bound.

use std::{fmt, hash::BuildHasher};

use hashbrown::{DefaultHashBuilder, HashSet};
use serde_json::Value;

use super::pointer::Pointer;

/// What a JSON text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of the text.
    pub(super) size: u64,
    /// Arrays and objects inside each other.
    pub(super) depth: usize,
    /// Keys of all objects together.
    pub(super) keys: usize,
    /// Items of all arrays together.
    pub(super) items: usize,
    /// Bytes of one number.
    pub(super) number: usize,
    /// Bytes of one string or key, escapes resolved.
    pub(super) string: usize,
}

impl Limits {
    /// Deepest nesting that the parser behind the gate reads.
    pub(super) const DEPTH_MAX: usize = 127;
}

/// Why a text was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Why.
    pub(super) flaw: Flaw,
    /// Offset in bytes.
    pub(super) at: u64,
    /// The value in which it happened.
    pub(super) pointer: Pointer,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not JSON; this is what was expected.
    Syntax(&'static str),
    /// It ends too early.
    Incomplete,
    /// There is nothing but whitespace.
    Empty,
    /// Something follows the value.
    Trailing,
    /// It begins with a byte order mark.
    ByteOrderMark,
    /// A string is not UTF-8, or has half of a surrogate pair.
    Unicode,
    /// A key occurs twice in one object; the pointer leads to it.
    DuplicateKey,
    /// A number has no place among double-precision numbers.
    NumberRange,
    /// More bytes than this.
    Size(u64),
    /// Deeper than this.
    Depth(usize),
    /// More keys than this.
    Keys(usize),
    /// More items than this.
    Items(usize),
    /// A number longer than this.
    Number(usize),
    /// A string longer than this.
    String(usize),
}

impl Flaw {
    /// The short name in findings.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Incomplete | Self::Empty | Self::Trailing => "syntax",
            Self::ByteOrderMark => "byte-order-mark",
            Self::Unicode => "unicode",
            Self::DuplicateKey => "duplicate-key",
            Self::NumberRange => "number-range",
            Self::Size(_) => "size",
            Self::Depth(_) => "depth",
            Self::Keys(_) => "keys",
            Self::Items(_) => "items",
            Self::Number(_) => "number-length",
            Self::String(_) => "string-length",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(expected) => write!(f, "is not JSON: expected {expected}"),
            Self::Incomplete => f.write_str("is not JSON: it ends too early"),
            Self::Empty => f.write_str("is not JSON: there is nothing in it"),
            Self::Trailing => f.write_str("is not JSON: something follows the value"),
            Self::ByteOrderMark => f.write_str("begins with a byte order mark"),
            Self::Unicode => f.write_str("has text that is not valid Unicode"),
            Self::DuplicateKey => f.write_str("occurs twice in its object"),
            Self::NumberRange => f.write_str("is a number too large to be understood"),
            Self::Size(limit) => write!(f, "has more than {limit} bytes"),
            Self::Depth(limit) => write!(f, "is nested deeper than {limit} levels"),
            Self::Keys(limit) => write!(f, "has more than {limit} keys in all"),
            Self::Items(limit) => write!(f, "has more than {limit} array items in all"),
            Self::Number(limit) => write!(f, "is a number of more than {limit} characters"),
            Self::String(limit) => write!(f, "is a text of more than {limit} bytes"),
        }
    }
}

/// Checks one whole text.
pub(super) fn check(text: &[u8], limits: Limits) -> Result<(), Refusal> {
    let mut guard = Guard::new(limits);
    guard.feed(text)?;
    guard.finish()
}

/// Checks one whole text, and reads it.
pub(super) fn read(text: &[u8], limits: Limits) -> Result<Value, Refusal> {
    check(text, limits)?;
    serde_json::from_slice(text).map_err(|_| Refusal {
        // What is left that only the parser behind refuses: a double at the very end of their range.
        flaw: Flaw::NumberRange,
        at: 0,
        pointer: Pointer::root(),
    })
}

/// The check of one text, fed in pieces of any size.
#[derive(Debug)]
pub(super) struct Guard {
    limits: Limits,
    state: State,
    /// Bytes of the text before the piece that is being read, and then those read of it.
    offset: u64,
    /// Arrays and objects that are open; beyond `depth` they wait to be used again.
    frames: Vec<Frame>,
    depth: usize,
    keys: usize,
    items: usize,
    token: Token,
    hasher: DefaultHashBuilder,
    /// Hashes of the keys of all open objects; each frame knows where its own begin.
    hashes: Vec<u64>,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The text begins.
    Start,
    Value,
    ItemOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Number,
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    String,
    Escape,
    /// Digits of `\u` still to come.
    Hex(u8),
    /// The `\` of a second surrogate.
    LowEscape,
    /// The `u` of a second surrogate.
    LowU,
    End,
}

/// The string, key or number that is being read.
#[derive(Debug, Default)]
struct Token {
    is_key: bool,
    length: usize,
    /// A key's bytes or a number's characters.
    text: Vec<u8>,
    /// A character of which the rest lies in the next piece.
    partial: Vec<u8>,
    code: u32,
    /// The first surrogate of a pair.
    high: Option<u32>,
}

/// An open array or object.
#[derive(Debug, Default)]
struct Frame {
    is_object: bool,
    /// The key whose value is being read.
    key: Vec<u8>,
    has_key: bool,
    /// Items so far.
    items: usize,
    /// Where its own hashes begin.
    hashes_start: usize,
    /// The hashes once more, when there are too many to look through.
    known: Option<HashSet<u64>>,
}

/// Keys that are looked through one by one.
const FEW: usize = 32;

impl Guard {
    /// The check of another text.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Limits { depth: limits.depth.min(Limits::DEPTH_MAX), ..limits },
            state: State::Start,
            offset: 0,
            frames: Vec::new(),
            depth: 0,
            keys: 0,
            items: 0,
            token: Token::default(),
            hasher: DefaultHashBuilder::default(),
            hashes: Vec::new(),
        }
    }

    /// Reads the next piece. After an error the guard is of no use.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.feed_piece(piece).map_err(|flaw| self.refusal(flaw))
    }

    /// Says whether the text is whole.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        self.end().map_err(|flaw| self.refusal(flaw))
    }

    fn feed_piece(&mut self, piece: &[u8]) -> Result<(), Flaw> {
        let size = self.offset.saturating_add(piece.len() as u64);
        if size > self.limits.size {
            return Err(Flaw::Size(self.limits.size));
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = self.step(rest)?;
            rest = &rest[taken..];
            self.offset += taken as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        if self.state == State::Number {
            self.number_ends()?;
        }
        match self.state {
            State::End => Ok(()),
            State::Start => Err(Flaw::Empty),
            _ => Err(Flaw::Incomplete),
        }
    }

    /// Reads from the start of `rest`, which is not empty, and returns how many bytes.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Flaw> {
        match self.state {
            State::String => self.string(rest),
            State::Number => self.number(rest),
            _ => self.byte(rest[0]).map(|()| 1),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Flaw> {
        match self.state {
            State::Escape => self.escape(byte),
            State::Hex(left) => self.hex(byte, left),
            State::LowEscape if byte == b'\\' => self.go(State::LowU),
            State::LowU if byte == b'u' => self.expect_hex(),
            State::LowEscape | State::LowU => Err(Flaw::Unicode),
            State::Word(left) => self.word(byte, left),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => Ok(()),
            State::Start if byte == 0xEF => Err(Flaw::ByteOrderMark),
            State::Start | State::Value => self.value(byte),
            State::ItemOrEnd if byte == b']' => self.close(),
            State::ItemOrEnd => self.item_begins().and_then(|()| self.value(byte)),
            State::KeyOrEnd if byte == b'}' => self.close(),
            State::KeyOrEnd | State::Key if byte == b'"' => self.key_begins(),
            State::KeyOrEnd => Err(Flaw::Syntax("a key or `}`")),
            State::Key => Err(Flaw::Syntax("a key")),
            State::Colon if byte == b':' => self.go(State::Value),
            State::Colon => Err(Flaw::Syntax("`:`")),
            State::CommaOrEnd => self.comma_or_end(byte),
            State::End => Err(Flaw::Trailing),
            State::String | State::Number => unreachable!("`step` reads these in runs"),
        }
    }

    fn go(&mut self, state: State) -> Result<(), Flaw> {
        self.state = state;
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<(), Flaw> {
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => self.string_begins(false),
            b'-' | b'0'..=b'9' => {
                self.token.text.clear();
                self.token.text.push(byte);
                self.go(State::Number)
            }
            b't' => self.go(State::Word(b"rue")),
            b'f' => self.go(State::Word(b"alse")),
            b'n' => self.go(State::Word(b"ull")),
            _ => Err(Flaw::Syntax("a value")),
        }
    }

    fn item_begins(&mut self) -> Result<(), Flaw> {
        self.items += 1;
        self.top().items += 1;
        if self.items > self.limits.items {
            return Err(Flaw::Items(self.limits.items));
        }
        Ok(())
    }

    fn value_ends(&mut self) -> Result<(), Flaw> {
        self.go(if self.depth == 0 { State::End } else { State::CommaOrEnd })
    }

    fn word(&mut self, byte: u8, left: &'static [u8]) -> Result<(), Flaw> {
        match left.split_first() {
            Some((expected, [])) if *expected == byte => self.value_ends(),
            Some((expected, left)) if *expected == byte => self.go(State::Word(left)),
            _ => Err(Flaw::Syntax("`true`, `false` or `null`")),
        }
    }

    fn comma_or_end(&mut self, byte: u8) -> Result<(), Flaw> {
        let is_object = self.top().is_object;
        match (byte, is_object) {
            (b',', true) => {
                self.top().has_key = false;
                self.go(State::Key)
            }
            (b',', false) => self.go(State::Value).and_then(|()| self.item_begins()),
            (b'}', true) | (b']', false) => self.close(),
            (_, true) => Err(Flaw::Syntax("`,` or `}`")),
            (_, false) => Err(Flaw::Syntax("`,` or `]`")),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<(), Flaw> {
        if self.depth == self.limits.depth {
            return Err(Flaw::Depth(self.limits.depth));
        }
        if self.frames.len() == self.depth {
            self.frames.push(Frame::default());
        }
        let frame = &mut self.frames[self.depth];
        frame.is_object = is_object;
        frame.has_key = false;
        frame.items = 0;
        frame.hashes_start = self.hashes.len();
        frame.known = None;
        self.depth += 1;
        self.go(if is_object { State::KeyOrEnd } else { State::ItemOrEnd })
    }

    fn close(&mut self) -> Result<(), Flaw> {
        let start = self.top().hashes_start;
        self.hashes.truncate(start);
        self.depth -= 1;
        self.value_ends()
    }

    fn top(&mut self) -> &mut Frame {
        &mut self.frames[self.depth - 1]
    }

    fn number(&mut self, rest: &[u8]) -> Result<usize, Flaw> {
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let run = rest.iter().take_while(|byte| part(byte)).count();
        if self.token.text.len() + run > self.limits.number {
            return Err(Flaw::Number(self.limits.number));
        }
        self.token.text.extend_from_slice(&rest[..run]);
        if run < rest.len() {
            self.number_ends()?;
        }
        Ok(run)
    }

    fn number_ends(&mut self) -> Result<(), Flaw> {
        let text = &self.token.text;
        if text.len() > self.limits.number {
            return Err(Flaw::Number(self.limits.number));
        }
        if !is_number(text) {
            return Err(Flaw::Syntax("a number"));
        }
        if is_out_of_range(text) {
            return Err(Flaw::NumberRange);
        }
        self.value_ends()
    }

    fn key_begins(&mut self) -> Result<(), Flaw> {
        self.keys += 1;
        if self.keys > self.limits.keys {
            return Err(Flaw::Keys(self.limits.keys));
        }
        self.string_begins(true)
    }

    fn string_begins(&mut self, is_key: bool) -> Result<(), Flaw> {
        self.token.is_key = is_key;
        self.token.length = 0;
        self.token.text.clear();
        self.go(State::String)
    }

    fn string(&mut self, rest: &[u8]) -> Result<usize, Flaw> {
        if !self.token.partial.is_empty() {
            return self.complete_character(rest[0]);
        }
        let run = rest.iter().take_while(|byte| PLAIN[usize::from(**byte)]).count();
        if run > 0 {
            self.plain(&rest[..run], run == rest.len())?;
            return Ok(run);
        }
        match rest[0] {
            b'"' => self.string_ends()?,
            b'\\' => self.state = State::Escape,
            _ => return Err(Flaw::Syntax("a control character to be escaped")),
        }
        Ok(1)
    }

    /// Takes text without quotes and escapes; `at_end` of the piece a character may be cut.
    fn plain(&mut self, run: &[u8], at_end: bool) -> Result<(), Flaw> {
        if let Err(error) = std::str::from_utf8(run) {
            if error.error_len().is_some() || !at_end {
                return Err(Flaw::Unicode);
            }
            self.token.partial.extend_from_slice(&run[error.valid_up_to()..]);
            return self.append(&run[..error.valid_up_to()]);
        }
        self.append(run)
    }

    fn complete_character(&mut self, byte: u8) -> Result<usize, Flaw> {
        self.token.partial.push(byte);
        match std::str::from_utf8(&self.token.partial) {
            Ok(_) => {
                let character = std::mem::take(&mut self.token.partial);
                self.append(&character)?;
            }
            Err(error) if error.error_len().is_some() => return Err(Flaw::Unicode),
            Err(_) => {}
        }
        Ok(1)
    }

    fn append(&mut self, text: &[u8]) -> Result<(), Flaw> {
        self.token.length += text.len();
        if self.token.length > self.limits.string {
            return Err(Flaw::String(self.limits.string));
        }
        if self.token.is_key {
            self.token.text.extend_from_slice(text);
        }
        Ok(())
    }

    fn escape(&mut self, byte: u8) -> Result<(), Flaw> {
        let character = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.expect_hex(),
            _ => return Err(Flaw::Syntax("an escape that JSON has")),
        };
        self.append(&[character])?;
        self.go(State::String)
    }

    fn expect_hex(&mut self) -> Result<(), Flaw> {
        self.token.code = 0;
        self.go(State::Hex(4))
    }

    fn hex(&mut self, byte: u8, left: u8) -> Result<(), Flaw> {
        let digit = char::from(byte).to_digit(16).ok_or(Flaw::Syntax("four hexadecimal digits"))?;
        self.token.code = self.token.code << 4 | digit;
        if left > 1 {
            return self.go(State::Hex(left - 1));
        }
        self.code_unit(self.token.code)
    }

    fn code_unit(&mut self, unit: u32) -> Result<(), Flaw> {
        let code = match (self.token.high.take(), unit) {
            (Some(high), 0xDC00..=0xDFFF) => 0x1_0000 + ((high - 0xD800) << 10) + (unit - 0xDC00),
            (None, 0xD800..=0xDBFF) => {
                self.token.high = Some(unit);
                return self.go(State::LowEscape);
            }
            (Some(_), _) => return Err(Flaw::Unicode),
            (None, unit) => unit,
        };
        let character = char::from_u32(code).ok_or(Flaw::Unicode)?;
        self.append(character.encode_utf8(&mut [0; 4]).as_bytes())?;
        self.go(State::String)
    }

    fn string_ends(&mut self) -> Result<(), Flaw> {
        if !self.token.is_key {
            return self.value_ends();
        }
        let hash = self.hasher.hash_one(&self.token.text);
        let frame = &mut self.frames[self.depth - 1];
        std::mem::swap(&mut frame.key, &mut self.token.text);
        frame.has_key = true;
        // The hash is seeded anew for each text. Two keys that share one by chance, once in 10^11
        // texts of 10,000 keys, cost a refusal; equal keys are never missed.
        if !frame.is_new(hash, &self.hashes) {
            return Err(Flaw::DuplicateKey);
        }
        self.hashes.push(hash);
        self.go(State::Colon)
    }

    fn refusal(&self, flaw: Flaw) -> Refusal {
        let mut pointer = Pointer::root();
        let within = if matches!(flaw, Flaw::Size(_)) { 0 } else { self.depth };
        for frame in &self.frames[..within] {
            match frame.items.checked_sub(1) {
                _ if frame.has_key => pointer.push(&String::from_utf8_lossy(&frame.key)),
                Some(index) => pointer.push_index(index),
                None => break,
            }
        }
        Refusal { flaw, at: self.offset, pointer }
    }
}

impl Frame {
    /// Whether the object has no key of this hash yet; `hashes` ends with those of its keys.
    fn is_new(&mut self, hash: u64, hashes: &[u64]) -> bool {
        let own = &hashes[self.hashes_start..];
        if own.len() < FEW {
            return !own.contains(&hash);
        }
        let known = self.known.get_or_insert_with(|| own.iter().copied().collect());
        known.insert(hash)
    }
}

/// Bytes that stand for themselves in a string.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// Whether `text` is a number (RFC 8259 §6).
pub(super) fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Whether a number is too large for a double.
fn is_out_of_range(number: &[u8]) -> bool {
    let is_short = number.len() < 300 && !number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let value = || std::str::from_utf8(number).ok()?.parse::<f64>().ok();
    !is_short && value().is_none_or(f64::is_infinite)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    const WIDE: Limits =
        Limits { size: 1 << 20, depth: 127, keys: 1000, items: 1000, number: 400, string: 1000 };

    fn describe(result: Result<(), Refusal>) -> String {
        match result {
            Ok(()) => "sound".to_owned(),
            Err(Refusal { flaw, at, pointer }) => format!("{at} {:?} {flaw}", pointer.as_str()),
        }
    }

    /// Checks `text` whole and in every pair of pieces.
    #[track_caller]
    fn check_in(limits: Limits, text: impl AsRef<[u8]>, expected: Expect) {
        let text = text.as_ref();
        let whole = describe(check(text, limits));
        for cut in 0..=text.len() {
            let mut guard = Guard::new(limits);
            let fed = guard.feed(&text[..cut]).and_then(|()| guard.feed(&text[cut..]));
            let pieces = describe(fed.and_then(|()| guard.finish()));
            assert_eq!(reason(&pieces), reason(&whole), "cut at {cut}");
        }
        expected.assert_eq(&whole);
    }

    /// A description without its offset: a run that is refused is refused at its beginning.
    fn reason(description: &str) -> &str {
        description.split_once(' ').map_or(description, |(_, reason)| reason)
    }

    #[track_caller]
    fn check_text(text: impl AsRef<[u8]>, expected: Expect) {
        check_in(WIDE, text, expected);
    }

    #[track_caller]
    fn sound(text: impl AsRef<[u8]>) {
        check_text(text, expect!["sound"]);
    }

    #[test]
    fn values_of_every_kind() {
        sound("null");
        sound(" \t\r\n true ");
        sound("[]");
        sound("[false,-0,0.5e-3,1E+2,\"\"]");
        sound("{ }");
        sound(r#"{"a":{"a":[{"a":1},{"a":2}]},"b":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"}"#);
    }

    #[test]
    fn what_is_no_json() {
        check_text("", expect![[r#"0 "" is not JSON: there is nothing in it"#]]);
        check_text(" \n", expect![[r#"2 "" is not JSON: there is nothing in it"#]]);
        check_text("[1,]", expect![[r#"3 "/1" is not JSON: expected a value"#]]);
        check_text("[,1]", expect![[r#"1 "/0" is not JSON: expected a value"#]]);
        check_text("[1 2]", expect![[r#"3 "/0" is not JSON: expected `,` or `]`"#]]);
        check_text("[1}", expect![[r#"2 "/0" is not JSON: expected `,` or `]`"#]]);
        check_text("{\"a\":1]", expect![[r#"6 "/a" is not JSON: expected `,` or `}`"#]]);
        check_text("{\"a\" 1}", expect![[r#"5 "/a" is not JSON: expected `:`"#]]);
        check_text("{\"a\":1,}", expect![[r#"7 "" is not JSON: expected a key"#]]);
        check_text("{a:1}", expect![[r#"1 "" is not JSON: expected a key or `}`"#]]);
        check_text("'a'", expect![[r#"0 "" is not JSON: expected a value"#]]);
        check_text("nul", expect![[r#"3 "" is not JSON: it ends too early"#]]);
        check_text("nulL", expect![[r#"3 "" is not JSON: expected `true`, `false` or `null`"#]]);
        check_text("1 2", expect![[r#"2 "" is not JSON: something follows the value"#]]);
        check_text("{}}", expect![[r#"2 "" is not JSON: something follows the value"#]]);
        check_text("[[", expect![[r#"2 "/0" is not JSON: it ends too early"#]]);
        check_text("\"a", expect![[r#"2 "" is not JSON: it ends too early"#]]);
        check_text(
            "\"a\nb\"",
            expect![[r#"2 "" is not JSON: expected a control character to be escaped"#]],
        );
        check_text(r#""\x""#, expect![[r#"2 "" is not JSON: expected an escape that JSON has"#]]);
        check_text(
            r#""\u12g4""#,
            expect![[r#"5 "" is not JSON: expected four hexadecimal digits"#]],
        );
        check_text("// no\n1", expect![[r#"0 "" is not JSON: expected a value"#]]);
        check_text("NaN", expect![[r#"0 "" is not JSON: expected a value"#]]);
        check_text("\u{b}1", expect![[r#"0 "" is not JSON: expected a value"#]]);
    }

    #[test]
    fn numbers() {
        for number in ["01", "-", "1.", ".5", "1e", "1e+", "+1", "1.e2", "--1", "1-", "0x1", "-01"]
        {
            assert!(check(number.as_bytes(), WIDE).is_err(), "{number}");
        }
        for number in ["0", "-0", "10", "1.05", "1e05", "1E-400", "0.0e0"] {
            sound(number);
        }
        check_text("[1e400]", expect![[r#"2 "/0" is a number too large to be understood"#]]);
        check_text("9".repeat(350), expect![[r#"350 "" is a number too large to be understood"#]]);
    }

    #[test]
    fn text_is_unicode() {
        check_text(b"\"\xff\"", expect![[r#"1 "" has text that is not valid Unicode"#]]);
        check_text(b"\"\xc3\"", expect![[r#"1 "" has text that is not valid Unicode"#]]);
        check_text(b"\"\xc0\xaf\"", expect![[r#"1 "" has text that is not valid Unicode"#]]);
        check_text(b"\"\xed\xa0\x80\"", expect![[r#"1 "" has text that is not valid Unicode"#]]);
        check_text(r#""\ud800""#, expect![[r#"7 "" has text that is not valid Unicode"#]]);
        check_text(r#""\ud800\n""#, expect![[r#"8 "" has text that is not valid Unicode"#]]);
        check_text(r#""\ud800\u0041""#, expect![[r#"12 "" has text that is not valid Unicode"#]]);
        check_text(r#""\udc00""#, expect![[r#"6 "" has text that is not valid Unicode"#]]);
        check_text("\u{feff}{}", expect![[r#"0 "" begins with a byte order mark"#]]);
    }

    #[test]
    fn keys_occur_once() {
        check_text(r#"{"a":1,"b":2,"a":3}"#, expect![[r#"15 "/a" occurs twice in its object"#]]);
        check_text(
            r#"[{"x":{"a":1,"\u0061":1}}]"#,
            expect![[r#"20 "/0/x/a" occurs twice in its object"#]],
        );
        check_text(r#"{"":1,"":1}"#, expect![[r#"7 "/" occurs twice in its object"#]]);
        check_text(
            r#"{"a~/b":1,"a~\/b":1}"#,
            expect![[r#"16 "/a~0~1b" occurs twice in its object"#]],
        );
        sound(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#);
        let many = |last: usize| {
            let keys: Vec<String> =
                (0..100).chain([last]).map(|key| format!("\"{key}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert_eq!(check(many(100).as_bytes(), WIDE), Ok(()));
        for again in [0, 31, 32, 33, 99] {
            let refusal = check(many(again).as_bytes(), WIDE).unwrap_err();
            assert_eq!(refusal.flaw, Flaw::DuplicateKey);
            assert_eq!(refusal.pointer.as_str(), format!("/{again}"));
        }
    }

    #[test]
    fn bounds() {
        let none = Limits { size: 10, depth: 2, keys: 2, items: 3, number: 4, string: 3 };
        check_in(none, "[[1]]", expect!["sound"]);
        check_in(none, "[[[]]]", expect![[r#"2 "/0/0" is nested deeper than 2 levels"#]]);
        check_in(none, "[1,2,3]", expect!["sound"]);
        check_in(none, "[1,2,3,4]", expect![[r#"6 "/3" has more than 3 array items in all"#]]);
        check_in(none, "[[1,2],3]", expect![[r#"6 "/1" has more than 3 array items in all"#]]);
        check_in(
            Limits { size: 99, ..none },
            r#"{"a":1,"b":{"c":1}}"#,
            expect![[r#"12 "/b" has more than 2 keys in all"#]],
        );
        check_in(none, "1234", expect!["sound"]);
        check_in(none, "12345", expect![[r#"1 "" is a number of more than 4 characters"#]]);
        check_in(none, r#""aé""#, expect!["sound"]);
        check_in(none, r#""aéb""#, expect![[r#"1 "" is a text of more than 3 bytes"#]]);
        check_in(none, r#"{"abcd":1}"#, expect![[r#"2 "" is a text of more than 3 bytes"#]]);
        check_in(none, "[1,2,3    ]", expect![[r#"0 "" has more than 10 bytes"#]]);
    }

    #[test]
    fn depth_stays_within_the_parser_behind() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let limits = Limits { depth: 1000, ..WIDE };
        assert_eq!(check(nested(Limits::DEPTH_MAX).as_bytes(), limits), Ok(()));
        assert!(serde_json::from_str::<Value>(&nested(Limits::DEPTH_MAX)).is_ok());
        assert!(check(nested(Limits::DEPTH_MAX + 1).as_bytes(), limits).is_err());
    }

    /// Texts near to JSON: tokens in any order, and bytes that are none.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            8 => prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\"", "\"\\u0061\"", "true", "null",
                "1", "-0", "0.5", "1e5", "1e999", "01", " ", "\n", "\\", "\\ud83d", "\\ude00", "é",
                "{\"k\":", "[1,", "\"\"", "\u{feff}", "\u{7f}", "\u{1}",
            ]).prop_map(|token| token.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..4),
        ];
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    /// Trees as `serde_json` writes them.
    fn trees() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Whether the guard says of `text` what `serde_json` says, keys that occur twice aside.
    fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
        let guard = check(text, WIDE);
        let parser = serde_json::from_slice::<Value>(text);
        match guard {
            Ok(()) => prop_assert!(parser.is_ok(), "{:?} only passes the guard", parser),
            Err(Refusal { flaw: Flaw::DuplicateKey, .. }) => {}
            Err(refusal) => prop_assert!(parser.is_err(), "only the guard refuses: {refusal:?}"),
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn speaks_the_language_of_serde_json(text in texts()) {
            agrees(&text)?;
        }

        #[test]
        fn lets_every_tree_through(tree in trees(), cuts in prop::collection::vec(1_usize..9, 1..9)) {
            let text = serde_json::to_vec(&tree).unwrap();
            prop_assert_eq!(check(&text, WIDE), Ok(()));
            let mut guard = Guard::new(WIDE);
            let mut rest = &text[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                prop_assert_eq!(guard.feed(piece), Ok(()));
                rest = after;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(guard.finish(), Ok(()));
        }

        #[test]
        fn agrees_on_trees_with_a_byte_changed(
            tree in trees(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut text = serde_json::to_vec(&tree).unwrap();
            let at = at.index(text.len());
            text[at] = byte;
            agrees(&text)?;
        }
    }
}
