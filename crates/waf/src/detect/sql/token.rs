//! What SQL is made of: the kinds of tokens, and what is kept of each.

/// A kind of token; the letter is what a fingerprint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    #[default]
    None = 0,
    Keyword = b'k',
    Union = b'U',
    Group = b'B',
    Expression = b'E',
    Type = b't',
    Function = b'f',
    Word = b'n',
    Number = b'1',
    Variable = b'v',
    Text = b's',
    Operator = b'o',
    Logic = b'&',
    Comment = b'c',
    Collate = b'A',
    Open = b'(',
    Close = b')',
    OpenBrace = b'{',
    CloseBrace = b'}',
    Dot = b'.',
    Comma = b',',
    Colon = b':',
    Semicolon = b';',
    Statement = b'T',
    Unknown = b'?',
    Evil = b'X',
    Backslash = b'\\',
}

impl Kind {
    /// Returns the kind that a letter of the table of words names.
    pub const fn of_letter(letter: u8) -> Self {
        match letter {
            b'k' => Self::Keyword,
            b'U' => Self::Union,
            b'B' => Self::Group,
            b'E' => Self::Expression,
            b't' => Self::Type,
            b'f' => Self::Function,
            b'n' => Self::Word,
            b'1' => Self::Number,
            b'v' => Self::Variable,
            b'o' => Self::Operator,
            b'&' => Self::Logic,
            b'A' => Self::Collate,
            b'T' => Self::Statement,
            _ => panic!("the table of words has no other kind"),
        }
    }
}

/// The first bytes of a token in upper case, and zeros behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Value {
    bytes: [u8; Self::SIZE],
    length: u8,
}

impl Value {
    /// One more than is kept.
    pub const SIZE: usize = 32;

    /// Keeps what fits.
    pub fn new(text: &[u8]) -> Self {
        let length = text.len().min(Self::SIZE - 1);
        let mut bytes = [0; Self::SIZE];
        for (place, byte) in bytes.iter_mut().zip(&text[..length]) {
            *place = byte.to_ascii_uppercase();
        }
        Self { bytes, length: length as u8 }
    }

    /// Returns the first `length` bytes of it.
    pub fn prefix(&self, length: usize) -> Self {
        Self::new(&self.as_bytes()[..length])
    }

    /// Returns both with a space between, unless that is too long.
    pub fn joined(&self, other: &Self) -> Option<Self> {
        let (begin, end) = (self.as_bytes(), other.as_bytes());
        let length = begin.len() + 1 + end.len();
        if length >= Self::SIZE {
            return None;
        }
        let mut joined = *self;
        joined.bytes[begin.len()] = b' ';
        joined.bytes[begin.len() + 1..length].copy_from_slice(end);
        joined.length = length as u8;
        Some(joined)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns it with the zeros behind it.
    pub fn padded(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Returns the first byte; zero if there is none.
    pub fn first(&self) -> u8 {
        self.bytes[0]
    }

    /// Returns whether this byte is in it, before any zero.
    pub fn has(&self, byte: u8) -> bool {
        self.as_bytes().iter().take_while(|b| **b != 0).any(|b| *b == byte)
    }
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Token {
    pub kind: Kind,
    pub value: Value,
    /// What opened a string; zero if nothing did.
    pub open: u8,
    /// What closed it; zero if nothing did.
    pub close: u8,
}

impl Token {
    pub fn new(kind: Kind, text: &[u8]) -> Self {
        Self { kind, value: Value::new(text), ..Self::default() }
    }

    /// Returns whether it is `+`, `-`, `*`, `/` or `%`.
    pub fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator
            && matches!(self.value.as_bytes(), [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    /// Returns whether it may stand before a value.
    pub fn is_unary(&self) -> bool {
        self.kind == Kind::Operator
            && matches!(self.value.as_bytes(), [b'+' | b'-' | b'!' | b'~'] | b"!!" | b"NOT")
    }
}
