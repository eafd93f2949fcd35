use std::ops::Range;

use memchr::memchr;

use super::{
    Fault, Field, Intake, Kind, Limits, Problem, Scratch, Text,
    ascii::hex_digit,
    output::{Output, Step},
};

/// Reads one JSON value (RFC 8259) and puts its leaves under the names that libmodsecurity gives them:
/// `json.user.name`, `json.tags.array_0`, and `json` for a value that is no container.
///
/// Numbers and truth values are put as written, `null` is empty; a key without a name is `empty-key`. An empty container is a leaf without a
/// value, so that its name is seen. A key that comes again is put again. Half a surrogate pair becomes
/// U+FFFD; an escape that JSON does not know stays as it is. Those, control characters and bytes
/// that are no UTF-8 do not end the reading, but are a problem; everything else that is wrong ends it.
pub fn json(input: &[u8], intake: Intake<'_>) -> Result<(), Problem> {
    let Intake { limits, scratch, sink } = intake;
    scratch.levels.clear();
    scratch.name.clear();
    scratch.name.extend_from_slice(b"json");
    let output = Output::new(sink, limits);
    let mut reader = Reader { input, at: 0, limits, output, scratch, noted: None };
    let end = reader.document();
    match reader.noted {
        Some(first) => Err(first),
        None => end,
    }
}

/// An object or an array that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    is_object: bool,
    /// How long its own name is.
    name_length: usize,
    /// How long what its members' names begin with is.
    prefix_length: usize,
    members: usize,
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    limits: &'a Limits,
    output: Output<'a>,
    scratch: &'a mut Scratch,
    noted: Option<Problem>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Reader<'_> {
    fn document(&mut self) -> Step {
        if self.input.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
        self.skip_space();
        self.value()?;
        while let Some(level) = self.scratch.levels.last().copied() {
            self.member(level)?;
        }
        self.skip_space();
        if self.at < self.input.len() {
            return Err(self.malformed("something follows the value"));
        }
        Ok(())
    }

    /// Reads up to the value of a container's next member, or its end.
    fn member(&mut self, level: Level) -> Step {
        self.skip_space();
        let close = if level.is_object { b'}' } else { b']' };
        match self.peek() {
            Some(byte) if byte == close => return self.close(level),
            Some(b',') if level.members > 0 => {
                self.at += 1;
                self.skip_space();
            }
            Some(_) if level.members == 0 => {}
            Some(_) => return Err(self.malformed("a comma or the end of the container is missing")),
            None => return Err(self.malformed("a container is not closed")),
        }
        self.scratch.name.truncate(level.prefix_length);
        if level.is_object {
            self.key()?;
        } else {
            let mut digits = itoa::Buffer::new();
            self.scratch.name.extend_from_slice(digits.format(level.members).as_bytes());
        }
        self.cut_name();
        let level = self.scratch.levels.last_mut().expect("its members are being read");
        level.members += 1;
        self.value()
    }

    fn close(&mut self, level: Level) -> Step {
        self.at += 1;
        self.scratch.levels.pop();
        self.scratch.name.truncate(level.name_length);
        let is_named = !self.scratch.levels.is_empty();
        if level.members == 0 && is_named { self.put(self.at..self.at) } else { Ok(()) }
    }

    fn key(&mut self) -> Step {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a name in quotes is missing"));
        }
        let key = self.string();
        let raw = &self.input[key.range.clone()];
        if raw.is_empty() {
            self.scratch.name.extend_from_slice(b"empty-key");
        } else if key.escaped {
            let wrong = unescape(raw, &mut self.scratch.name);
            self.note_escape(&key.range, wrong);
        } else {
            self.scratch.name.extend_from_slice(raw);
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            self.cut_name();
            self.put(self.at..self.at)?;
            return Err(self.malformed("a colon is missing"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn cut_name(&mut self) {
        if self.scratch.name.len() > self.limits.name_bytes_max {
            self.scratch.name.truncate(self.limits.name_bytes_max);
            self.note(Problem::new(self.at, Fault::TooLong, "a name is too long"));
        }
    }

    fn value(&mut self) -> Step {
        match self.peek() {
            Some(b'"') => self.string_value(),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err(self.malformed("no value begins like this")),
            None => Err(self.malformed("a value is missing")),
        }
    }

    fn open(&mut self, is_object: bool) -> Step {
        if self.scratch.levels.len() >= self.limits.depth_max {
            return Err(Problem::new(self.at, Fault::TooDeep, "values are nested too deeply"));
        }
        self.at += 1;
        let name_length = self.scratch.name.len();
        self.scratch.name.extend_from_slice(if is_object { b"." } else { b".array_" });
        let prefix_length = self.scratch.name.len();
        self.scratch.levels.push(Level { is_object, name_length, prefix_length, members: 0 });
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Step {
        if !self.input[self.at..].starts_with(word) {
            return Err(self.malformed("no value begins like this"));
        }
        let start = self.at;
        self.at += word.len();
        let is_null = word == b"null";
        self.put(start..if is_null { start } else { self.at })
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        self.skip_one(|byte| byte == b'-');
        if !self.skip_one(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip_one(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip_one(|byte| matches!(byte, b'e' | b'E')) {
            self.skip_one(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        self.put(start..self.at)
    }

    fn digits(&mut self) -> Step {
        let digits = self.input[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.malformed("a number lacks a digit")) } else { Ok(()) }
    }

    fn string_value(&mut self) -> Step {
        let string = self.string();
        if string.escaped {
            self.scratch.value.clear();
            let wrong = unescape(&self.input[string.range.clone()], &mut self.scratch.value);
            self.note_escape(&string.range, wrong);
            let field = Field {
                kind: Kind::Argument,
                name: Text::Decoded(&self.scratch.name),
                value: Text::Decoded(&self.scratch.value),
            };
            self.output.put_shared(string.range.start, field)?;
        } else {
            self.put(string.range.clone())?;
        }
        if string.range.end == self.input.len() {
            return Err(self.malformed("a string is not closed"));
        }
        Ok(())
    }

    /// Passes over a string and returns what is between its quotes; without a second one, that is the rest.
    fn string(&mut self) -> Quoted {
        let start = self.at + 1;
        let (mut end, mut escaped, mut seen) = (start, false, 0);
        while let Some(&byte) = self.input.get(end) {
            match byte {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    end += 1;
                }
                ..0x20 => {
                    let message = "a control character is in a string";
                    self.note(Problem::new(end, Fault::Malformed, message));
                }
                _ => seen |= byte,
            }
            end += 1;
        }
        end = end.min(self.input.len());
        self.at = (end + 1).min(self.input.len());
        if !seen.is_ascii() {
            self.check_characters(start..end);
        }
        Quoted { range: start..end, escaped }
    }

    fn check_characters(&mut self, range: Range<usize>) {
        if let Err(error) = std::str::from_utf8(&self.input[range.clone()]) {
            let offset = range.start + error.valid_up_to();
            self.note(Problem::new(offset, Fault::Encoding, "a string is not UTF-8"));
        }
    }

    fn put(&mut self, value: Range<usize>) -> Step {
        let field = Field {
            kind: Kind::Argument,
            name: Text::Decoded(&self.scratch.name),
            value: Text::At(value.clone()),
        };
        self.output.put_shared(value.start, field)
    }

    fn skip_space(&mut self) {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += self.input[self.at..].iter().take_while(is_space).count();
    }

    fn skip_one(&mut self, matches: impl FnOnce(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(matches);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn note(&mut self, problem: Problem) {
        self.noted.get_or_insert(problem);
    }

    fn note_escape(&mut self, range: &Range<usize>, wrong: Option<usize>) {
        if let Some(at) = wrong {
            let message = "an escape is none of JSON's";
            self.note(Problem::new(range.start + at, Fault::Encoding, message));
        }
    }

    fn malformed(&self, message: &'static str) -> Problem {
        Problem::new(self.at, Fault::Malformed, message)
    }
}

struct Quoted {
    range: Range<usize>,
    escaped: bool,
}

/// Appends `raw` without its escapes, and returns where the first that JSON does not know is.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut wrong = None;
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        if rest[0] != b'\\' {
            let length = memchr(b'\\', rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..length]);
            at += length;
        } else if let Some((character, length)) = escape(&rest[1..]) {
            push(character, out);
            at += 1 + length;
        } else {
            wrong.get_or_insert(at);
            out.push(b'\\');
            at += 1;
        }
    }
    wrong
}

fn push(character: char, out: &mut Vec<u8>) {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => out.push(byte),
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Returns what the escape after a backslash stands for, and its length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((character, 1))
}

fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = code_unit(text)?;
    let second = text.get(5..).and_then(|rest| code_unit(rest.strip_prefix(b"\\")?));
    if let (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) = (first, second) {
        let character = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return Some((char::from_u32(character)?, 11));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 5))
}

/// Returns the number in `uhhhh`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"u")?.get(..4)?;
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | u32::from(hex_digit(*digit)?)))
}
