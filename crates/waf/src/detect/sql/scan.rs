//! From bytes to tokens.

use memchr::{memchr, memchr2, memmem};

use super::{
    token::{Kind, Token, Value},
    words,
};

/// Whose comments are comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `--` begins one, `#` does not.
    Ansi,
    /// `-- ` begins one, and so does `#`.
    MySql,
}

/// Reads a text token by token.
pub struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    dialect: Dialect,
    /// The quote that the text is taken to stand in.
    quote: Option<u8>,
    /// How many tokens there were.
    pub tokens: usize,
    /// Whether something was met that is a comment in one dialect alone.
    pub depends_on_dialect: bool,
}

/// What a byte begins.
#[derive(Clone, Copy)]
enum Start {
    White,
    Word,
    Number,
    Quote,
    Tick,
    /// A token by itself, of the kind that its letter names.
    Sign(Kind),
    /// An operator of one byte.
    Operator,
    /// An operator of up to three.
    LongOperator,
    Dash,
    Slash,
    Hash,
    Money,
    Variable,
    Backslash,
    Bracket,
    BitString,
    EscapedString,
    NationalString,
    QuotedString,
    UnicodeString,
    HexString,
}

static STARTS: [Start; 256] = starts();

/// Bytes that end a word.
static WORD_ENDS: [bool; 256] = set(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0");

/// Bytes that end the name of a variable.
static VARIABLE_ENDS: [bool; 256] = set(b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r'`\"\0");

const fn set(bytes: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut i = 0;
    while i < bytes.len() {
        set[bytes[i] as usize] = true;
        i += 1;
    }
    set
}

const fn starts() -> [Start; 256] {
    let mut starts = [Start::Word; 256];
    let mut byte = 0;
    while byte < 256 {
        starts[byte] = start(byte as u8);
        byte += 1;
    }
    starts
}

const fn start(byte: u8) -> Start {
    match byte {
        0..=b' ' | 0x7f | 0xa0 => Start::White,
        b'0'..=b'9' | b'.' => Start::Number,
        b'\'' | b'"' => Start::Quote,
        b'`' => Start::Tick,
        b'(' => Start::Sign(Kind::Open),
        b')' => Start::Sign(Kind::Close),
        b',' => Start::Sign(Kind::Comma),
        b';' => Start::Sign(Kind::Semicolon),
        b'{' => Start::Sign(Kind::OpenBrace),
        b'}' => Start::Sign(Kind::CloseBrace),
        b'?' | b']' => Start::Sign(Kind::Unknown),
        b'%' | b'+' | b'^' | b'~' => Start::Operator,
        b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => Start::LongOperator,
        b'-' => Start::Dash,
        b'/' => Start::Slash,
        b'#' => Start::Hash,
        b'$' => Start::Money,
        b'@' => Start::Variable,
        b'\\' => Start::Backslash,
        b'[' => Start::Bracket,
        b'b' | b'B' => Start::BitString,
        b'e' | b'E' => Start::EscapedString,
        b'n' | b'N' => Start::NationalString,
        b'q' | b'Q' => Start::QuotedString,
        b'u' | b'U' => Start::UnicodeString,
        b'x' | b'X' => Start::HexString,
        _ => Start::Word,
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | 0)
}

/// A digit of a number, or the zero byte: libinjection, by `strchr`, takes it for a member of every set.
fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == 0
}

fn is_bit(byte: u8) -> bool {
    matches!(byte, b'0' | b'1' | 0)
}

/// A token and the place behind it.
type Found = (Token, usize);

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8], quote: Option<u8>, dialect: Dialect) -> Self {
        Self { text, position: 0, dialect, quote, tokens: 0, depends_on_dialect: false }
    }

    /// Returns the next token; `None` at the end.
    pub fn next(&mut self) -> Option<Token> {
        let quote = self.quote.take();
        if quote.is_none() {
            self.skip_white();
        }
        let at = self.position;
        if at == self.text.len() {
            return None;
        }
        let (token, end) = match quote {
            Some(delimiter) => self.string(at, 0, delimiter),
            None => self.token(at),
        };
        self.position = end;
        self.tokens += 1;
        Some(token)
    }

    fn skip_white(&mut self) {
        let rest = &self.text[self.position..];
        let white = |byte: &u8| matches!(STARTS[usize::from(*byte)], Start::White);
        self.position += rest.iter().position(|byte| !white(byte)).unwrap_or(rest.len());
    }

    fn token(&mut self, at: usize) -> Found {
        let byte = self.text[at];
        match STARTS[usize::from(byte)] {
            Start::White | Start::Word => self.word(at),
            Start::Number => self.number(at),
            Start::Quote => self.string(at, 1, byte),
            Start::Tick => self.tick(at),
            Start::Sign(kind) => self.taken(kind, at, 1),
            Start::Operator => self.taken(Kind::Operator, at, 1),
            Start::LongOperator => self.long_operator(at),
            Start::Dash => self.dash(at),
            Start::Slash => self.slash(at),
            Start::Hash => self.hash(at),
            Start::Money => self.money(at),
            Start::Variable => self.variable(at),
            Start::Backslash => self.backslash(at),
            Start::Bracket => self.bracket(at),
            Start::BitString => self.digits_string(at, is_bit),
            Start::HexString => self.digits_string(at, is_hex),
            Start::EscapedString => self.escaped_string(at),
            Start::NationalString => self.national_string(at),
            Start::QuotedString => self.quoted_string(at, 0),
            Start::UnicodeString => self.unicode_string(at),
        }
    }

    fn at(&self, place: usize) -> Option<u8> {
        self.text.get(place).copied()
    }

    /// The bytes from `from` on, none if that is behind the end.
    fn rest(&self, from: usize) -> &'a [u8] {
        self.text.get(from..).unwrap_or_default()
    }

    fn taken(&self, kind: Kind, at: usize, length: usize) -> Found {
        (Token::new(kind, &self.text[at..at + length]), at + length)
    }

    /// How many bytes from `from` on are such.
    fn span(&self, from: usize, is_such: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest(from);
        rest.iter().position(|byte| !is_such(*byte)).unwrap_or(rest.len())
    }

    fn word(&self, at: usize) -> Found {
        let length = self.span(at, |byte| !WORD_ENDS[usize::from(byte)]);
        let (mut token, end) = self.taken(Kind::Word, at, length);
        if let Some((kind, length)) = before_separator(&token.value) {
            return self.taken(kind, at, length);
        }
        if length < Value::SIZE {
            token.kind = words::kind_of(&token.value).unwrap_or(Kind::Word);
        }
        (token, end)
    }

    /// `0x…`, `0b…`, digits, a fraction, an exponent, Oracle's suffix.
    fn number(&self, at: usize) -> Found {
        if self.text[at] == b'0' {
            match self.at(at + 1) {
                Some(b'x' | b'X') => return self.prefixed_number(at, is_hex),
                Some(b'b' | b'B') => return self.prefixed_number(at, is_bit),
                _ => (),
            }
        }
        let digits = |from| from + self.span(from, |byte| byte.is_ascii_digit());
        let mut end = digits(at);
        if self.at(end) == Some(b'.') {
            end = digits(end + 1);
            if end == at + 1 {
                return self.taken(Kind::Dot, at, 1);
            }
        }
        let mut is_word = false;
        if let Some(b'e' | b'E') = self.at(end) {
            end += 1 + usize::from(matches!(self.at(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            is_word = exponent == end;
            end = exponent;
        }
        end += usize::from(self.is_suffix(end));
        self.taken(if is_word { Kind::Word } else { Kind::Number }, at, end - at)
    }

    fn prefixed_number(&self, at: usize, is_digit: fn(u8) -> bool) -> Found {
        match self.span(at + 2, is_digit) {
            0 => self.taken(Kind::Word, at, 2),
            digits => self.taken(Kind::Number, at, 2 + digits),
        }
    }

    /// `d` or `f` behind a number belongs to it at its end, and in `1fUNION`.
    fn is_suffix(&self, at: usize) -> bool {
        matches!(self.at(at), Some(b'd' | b'D' | b'f' | b'F'))
            && self
                .at(at + 1)
                .is_none_or(|byte| is_white(byte) || matches!(byte, b';' | b'u' | b'U'))
    }

    /// A string, `offset` bytes behind `at`, up to a delimiter that neither a backslash nor its double escapes.
    fn string(&self, at: usize, offset: usize, delimiter: u8) -> Found {
        let start = at + offset;
        let open = if offset > 0 { delimiter } else { 0 };
        let mut from = start;
        while let Some(found) = memchr(delimiter, self.rest(from)) {
            let end = from + found;
            let content = &self.text[start..end];
            let backslashes = content.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 1 {
                from = end + 1;
            } else if self.at(end + 1) == Some(delimiter) {
                from = end + 2;
            } else {
                return (
                    Token { open, close: delimiter, ..Token::new(Kind::Text, content) },
                    end + 1,
                );
            }
        }
        (Token { open, ..Token::new(Kind::Text, self.rest(start)) }, self.text.len())
    }

    /// MySQL's quotes around names; what names a function is one.
    fn tick(&self, at: usize) -> Found {
        let (mut token, end) = self.string(at, 1, b'`');
        token.kind = match words::kind_of(&token.value) {
            Some(Kind::Function) => Kind::Function,
            _ => Kind::Word,
        };
        (token, end)
    }

    fn long_operator(&self, at: usize) -> Found {
        let rest = self.rest(at);
        if rest.starts_with(b"<=>") {
            return self.taken(Kind::Operator, at, 3);
        }
        let known = rest.get(..2).and_then(|pair| words::kind_of(&Value::new(pair)));
        match known {
            Some(kind) => self.taken(kind, at, 2),
            None if rest.len() > 1 && rest[0] == b':' => self.taken(Kind::Colon, at, 1),
            None => self.taken(Kind::Operator, at, 1),
        }
    }

    /// `--` is a comment before white space and at the end, and elsewhere in ANSI SQL alone.
    fn dash(&mut self, at: usize) -> Found {
        if self.at(at + 1) != Some(b'-') {
            return self.taken(Kind::Operator, at, 1);
        }
        if self.at(at + 2).is_none_or(is_white) {
            return self.comment_to_end_of_line(at);
        }
        match self.dialect {
            Dialect::Ansi => {
                self.depends_on_dialect = true;
                self.comment_to_end_of_line(at)
            }
            Dialect::MySql => self.taken(Kind::Operator, at, 1),
        }
    }

    fn hash(&mut self, at: usize) -> Found {
        self.depends_on_dialect = true;
        match self.dialect {
            Dialect::Ansi => self.taken(Kind::Operator, at, 1),
            Dialect::MySql => self.comment_to_end_of_line(at),
        }
    }

    fn comment_to_end_of_line(&self, at: usize) -> Found {
        match memchr(b'\n', self.rest(at)) {
            Some(length) => {
                (Token::new(Kind::Comment, &self.text[at..at + length]), at + length + 1)
            }
            None => (Token::new(Kind::Comment, self.rest(at)), self.text.len()),
        }
    }

    /// A comment in a comment, which PostgreSQL nests and others do not, and MySQL's `/*!` are evil.
    fn slash(&self, at: usize) -> Found {
        if self.at(at + 1) != Some(b'*') {
            return self.taken(Kind::Operator, at, 1);
        }
        let content = self.rest(at + 2);
        let end = memmem::find(content, b"*/");
        let nested = end.is_some_and(|end| memmem::find(&content[..=end], b"/*").is_some());
        let evil = nested || content.first() == Some(&b'!');
        let length = end.map_or(content.len(), |end| end + 2) + 2;
        self.taken(if evil { Kind::Evil } else { Kind::Comment }, at, length)
    }

    /// `\N` is MySQL's other name for NULL.
    fn backslash(&self, at: usize) -> Found {
        match self.at(at + 1) {
            Some(b'N') => self.taken(Kind::Number, at, 2),
            _ => self.taken(Kind::Backslash, at, 1),
        }
    }

    /// Microsoft's quotes around names.
    fn bracket(&self, at: usize) -> Found {
        let length = memchr(b']', self.rest(at)).map_or(self.text.len() - at, |end| end + 1);
        self.taken(Kind::Word, at, length)
    }

    /// `b'01'`, `x'1F'`.
    fn digits_string(&self, at: usize, is_digit: fn(u8) -> bool) -> Found {
        if self.at(at + 1) != Some(b'\'') {
            return self.word(at);
        }
        let digits = self.span(at + 2, is_digit);
        match self.at(at + 2 + digits) {
            Some(b'\'') => self.taken(Kind::Number, at, digits + 3),
            _ => self.word(at),
        }
    }

    /// PostgreSQL's `E'…'`, MySQL's `N'…'`.
    fn escaped_string(&self, at: usize) -> Found {
        if at + 2 >= self.text.len() || self.text[at + 1] != b'\'' {
            return self.word(at);
        }
        self.string(at, 2, b'\'')
    }

    /// MySQL's `N'…'`, Oracle's `nq'[…]'`.
    fn national_string(&self, at: usize) -> Found {
        if at + 2 < self.text.len() && self.text[at + 1] == b'\'' {
            return self.escaped_string(at);
        }
        self.quoted_string(at, 1)
    }

    /// Oracle's `q'[…]'`, `offset` bytes behind `at`.
    fn quoted_string(&self, at: usize, offset: usize) -> Found {
        let [b'q' | b'Q', b'\'', delimiter @ 33..=127, content @ ..] = self.rest(at + offset)
        else {
            return self.word(at);
        };
        let closing = match delimiter {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => *other,
        };
        let end = memmem::find(content, &[closing, b'\'']);
        let token = Token::new(Kind::Text, &content[..end.unwrap_or(content.len())]);
        let place = self.text.len() - content.len();
        match end {
            Some(end) => (Token { open: b'q', close: b'q', ..token }, place + end + 2),
            None => (Token { open: b'q', ..token }, self.text.len()),
        }
    }

    /// PostgreSQL's `U&'…'`.
    fn unicode_string(&self, at: usize) -> Found {
        if self.at(at + 1) != Some(b'&') || self.at(at + 2) != Some(b'\'') {
            return self.word(at);
        }
        let (token, end) = self.string(at + 2, 1, b'\'');
        let close = if token.close == b'\'' { b'u' } else { token.close };
        (Token { open: b'u', close, ..token }, end)
    }

    /// `@name`, `@@name`, with any quotes around the name.
    fn variable(&self, at: usize) -> Found {
        let name = at + 1 + usize::from(self.at(at + 1) == Some(b'@'));
        let (mut token, end) = match self.at(name) {
            Some(b'`') => self.tick(name),
            Some(quote @ (b'\'' | b'"')) => self.string(name, 1, quote),
            _ => {
                let length = self.span(name, |byte| !VARIABLE_ENDS[usize::from(byte)]);
                self.taken(Kind::Variable, name, length)
            }
        };
        token.kind = Kind::Variable;
        (token, end)
    }

    /// `$1,000.00`, PostgreSQL's `$$…$$` and `$name$…$name$`.
    fn money(&self, at: usize) -> Found {
        if at + 1 == self.text.len() {
            return self.taken(Kind::Word, at, 1);
        }
        match self.span(at + 1, |byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | 0)) {
            0 => self.dollar_string(at),
            1 if self.text[at + 1] == b'.' => self.word(at),
            digits => self.taken(Kind::Number, at, 1 + digits),
        }
    }

    fn dollar_string(&self, at: usize) -> Found {
        let name = self.span(at + 1, |byte| byte.is_ascii_alphabetic() || byte == 0);
        if self.at(at + 1 + name) != Some(b'$') {
            return self.taken(Kind::Word, at, 1);
        }
        let start = at + name + 2;
        let content = self.rest(start);
        let end = memmem::find(content, &self.text[at..start]);
        let token = Token::new(Kind::Text, &content[..end.unwrap_or(content.len())]);
        match end {
            Some(end) => (Token { open: b'$', close: b'$', ..token }, start + end + name + 2),
            None => (Token { open: b'$', ..token }, self.text.len()),
        }
    }
}

/// A word that means something before the `.` or `` ` `` in the middle: `SELECT.1`, ``SELECT`column` ``.
fn before_separator(value: &Value) -> Option<(Kind, usize)> {
    let bytes = value.as_bytes();
    let mut from = 0;
    while let Some(found) = memchr2(b'.', b'`', &bytes[from..]) {
        let length = from + found;
        let kind = words::kind_of(&value.prefix(length));
        if let Some(kind) = kind.filter(|kind| *kind != Kind::Word) {
            return Some((kind, length));
        }
        from = length + 1;
    }
    None
}
