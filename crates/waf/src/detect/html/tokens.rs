//! From bytes to the pieces of a page, as browsers, old ones too, take them apart.

use memchr::{memchr, memmem};

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Between tags.
    Text,
    /// In a tag, before an attribute.
    Tag,
    /// In the value of an attribute, in these quotes.
    Value(u8),
}

/// A piece of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    TagName(&'a [u8]),
    AttributeName(&'a [u8]),
    AttributeValue(&'a [u8]),
    /// A comment, or what browsers take for one.
    Comment(&'a [u8]),
    /// A declaration of a document's type.
    Doctype(&'a [u8]),
    /// The end of a tag, and the text behind it up to the next one.
    TagEnd(&'a [u8]),
    /// Text, or the end of an end tag.
    Other,
}

/// Reads a text piece by piece.
pub struct Tokens<'a> {
    text: &'a [u8],
    position: usize,
    state: State,
    /// Whether the tag is an end tag.
    is_end_tag: bool,
}

/// What is to come.
#[derive(Clone, Copy)]
enum State {
    End,
    Data,
    TagOpen,
    EndTagOpen,
    TagName,
    TagClose,
    BeforeAttributeName,
    AttributeName,
    AfterAttributeName,
    BeforeAttributeValue,
    /// Up to this quote.
    QuotedValue(u8),
    Value,
    Markup,
    BogusComment,
    /// `<% … %>`.
    PercentComment,
    Comment,
    CharacterData,
    Doctype,
}

/// A piece, or the need to look again in another state.
type Found<'a> = Option<Piece<'a>>;

impl<'a> Iterator for Tokens<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        while !matches!(self.state, State::End) {
            if let Some(piece) = self.step() {
                return Some(piece);
            }
        }
        None
    }
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8], context: Context) -> Self {
        let state = match context {
            Context::Text => State::Data,
            Context::Tag => State::BeforeAttributeName,
            Context::Value(quote) => State::QuotedValue(quote),
        };
        Self { text, position: 0, state, is_end_tag: false }
    }

    fn step(&mut self) -> Found<'a> {
        match self.state {
            State::End => None,
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::EndTagOpen => self.end_tag_open(),
            State::TagName => self.tag_name(),
            State::TagClose => self.tag_close(),
            State::BeforeAttributeName => self.before_attribute_name(),
            State::AttributeName => self.attribute_name(),
            State::AfterAttributeName => self.after_attribute_name(),
            State::BeforeAttributeValue => self.before_attribute_value(),
            State::QuotedValue(quote) => self.quoted_value(quote),
            State::Value => self.value(),
            State::Markup => self.markup(),
            State::BogusComment => self.bogus_comment(),
            State::PercentComment => self.percent_comment(),
            State::Comment => self.comment(),
            State::CharacterData => self.character_data(),
            State::Doctype => self.doctype(),
        }
    }

    /// Goes on in `state`, `skipped` bytes further.
    fn go(&mut self, state: State, skipped: usize) -> Found<'a> {
        self.position += skipped;
        self.state = state;
        None
    }

    fn end(&mut self) -> Found<'a> {
        self.go(State::End, 0)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.position..]
    }

    /// Takes `length` bytes and `skipped` more, and is in `state` behind them; without a length, takes the rest and ends.
    fn take(&mut self, length: Option<usize>, skipped: usize, state: State) -> &'a [u8] {
        let rest = self.rest();
        let Some(length) = length else {
            self.position = self.text.len();
            self.state = State::End;
            return rest;
        };
        self.position += length + skipped;
        self.state = state;
        &rest[..length]
    }

    /// The first byte that is not white space. Internet Explorer's zero is, and libinjection ends at 0xFF.
    fn skip_white(&mut self) -> Option<u8> {
        let rest = self.rest();
        let white = rest.iter().take_while(|byte| is_white(**byte)).count();
        self.position += white;
        rest.get(white).copied().filter(|byte| *byte != 0xff)
    }

    fn data(&mut self) -> Found<'a> {
        let text = self.take(memchr(b'<', self.rest()), 1, State::TagOpen);
        (!text.is_empty()).then_some(Piece::Other)
    }

    fn tag_open(&mut self) -> Found<'a> {
        match self.rest().first() {
            None => self.end(),
            Some(b'!') => self.go(State::Markup, 1),
            Some(b'/') => {
                self.is_end_tag = true;
                self.go(State::EndTagOpen, 1)
            }
            Some(b'?') => self.go(State::BogusComment, 1),
            Some(b'%') => self.go(State::PercentComment, 1),
            Some(b'a'..=b'z' | b'A'..=b'Z' | 0) => self.go(State::TagName, 0),
            Some(_) => {
                self.state = State::Data;
                Some(Piece::Other)
            }
        }
    }

    fn end_tag_open(&mut self) -> Found<'a> {
        match self.rest().first() {
            None => self.end(),
            Some(b'>') => self.go(State::Data, 0),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.go(State::TagName, 0),
            Some(_) => {
                self.is_end_tag = false;
                self.go(State::BogusComment, 0)
            }
        }
    }

    /// A zero in the name of a tag belongs to it, as old browsers ignore it.
    fn tag_name(&mut self) -> Found<'a> {
        let rest = self.rest();
        let ends = |byte: u8| byte != 0 && (is_white(byte) || matches!(byte, b'/' | b'>'));
        let length = rest.iter().position(|byte| ends(*byte));
        let name = match length.map(|length| rest[length]) {
            Some(b'>') if self.is_end_tag => {
                self.is_end_tag = false;
                self.take(length, 1, State::Data);
                return Some(Piece::Other);
            }
            Some(b'>') => self.take(length, 0, State::TagClose),
            _ => self.take(length, 1, State::BeforeAttributeName),
        };
        Some(Piece::TagName(name))
    }

    fn tag_close(&mut self) -> Found<'a> {
        self.is_end_tag = false;
        self.close()
    }

    fn close(&mut self) -> Found<'a> {
        self.go(State::Data, 1);
        let rest = self.rest();
        Some(Piece::TagEnd(&rest[..memchr(b'<', rest).unwrap_or(rest.len())]))
    }

    /// The end of a tag's name, of a value and of a `/` are alike: an attribute or the tag's end may follow.
    fn before_attribute_name(&mut self) -> Found<'a> {
        match self.skip_white() {
            None => self.end(),
            Some(b'/') => self.go(State::BeforeAttributeName, 1),
            Some(b'>') => self.close(),
            Some(_) => self.go(State::AttributeName, 0),
        }
    }

    /// Its first byte may be any.
    fn attribute_name(&mut self) -> Found<'a> {
        let rest = self.rest();
        let ends = |byte: u8| is_white(byte) || matches!(byte, b'/' | b'=' | b'>');
        let length = rest.iter().skip(1).position(|byte| ends(*byte)).map(|length| length + 1);
        let (skipped, state) = match length.map(|length| rest[length]) {
            Some(b'/') => (1, State::BeforeAttributeName),
            Some(b'=') => (1, State::BeforeAttributeValue),
            Some(b'>') => (0, State::TagClose),
            _ => (1, State::AfterAttributeName),
        };
        Some(Piece::AttributeName(self.take(length, skipped, state)))
    }

    fn after_attribute_name(&mut self) -> Found<'a> {
        match self.skip_white() {
            None => self.end(),
            Some(b'/') => self.go(State::BeforeAttributeName, 1),
            Some(b'=') => self.go(State::BeforeAttributeValue, 1),
            Some(b'>') => self.go(State::TagClose, 0),
            Some(_) => self.go(State::AttributeName, 0),
        }
    }

    fn before_attribute_value(&mut self) -> Found<'a> {
        match self.skip_white() {
            None => self.end(),
            Some(quote @ (b'"' | b'\'' | b'`')) => self.go(State::QuotedValue(quote), 0),
            Some(_) => self.go(State::Value, 0),
        }
    }

    /// The quote is there, unless the whole text is taken to stand in quotes.
    fn quoted_value(&mut self, quote: u8) -> Found<'a> {
        self.position += usize::from(self.position > 0);
        let length = memchr(quote, self.rest());
        Some(Piece::AttributeValue(self.take(length, 1, State::BeforeAttributeName)))
    }

    fn value(&mut self) -> Found<'a> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| is_white(*byte) || *byte == b'>');
        let (skipped, state) = match length.map(|length| rest[length]) {
            Some(b'>') => (0, State::TagClose),
            _ => (1, State::BeforeAttributeName),
        };
        Some(Piece::AttributeValue(self.take(length, skipped, state)))
    }

    fn markup(&mut self) -> Found<'a> {
        let rest = self.rest();
        if rest.first_chunk::<7>().is_some_and(|word| word.eq_ignore_ascii_case(b"DOCTYPE")) {
            self.go(State::Doctype, 0)
        } else if rest.starts_with(b"[CDATA[") {
            self.go(State::CharacterData, 7)
        } else if rest.starts_with(b"--") {
            self.go(State::Comment, 2)
        } else {
            self.go(State::BogusComment, 0)
        }
    }

    fn bogus_comment(&mut self) -> Found<'a> {
        let length = memchr(b'>', self.rest());
        Some(Piece::Comment(self.take(length, 1, State::Data)))
    }

    fn percent_comment(&mut self) -> Found<'a> {
        let length = memmem::find(self.rest(), b"%>");
        Some(Piece::Comment(self.take(length, 2, State::Data)))
    }

    /// Ends in `-->` or `-!>`, with any zeros behind the first dash.
    fn comment(&mut self) -> Found<'a> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = memchr(b'-', &rest[from..]) {
            let dash = from + found;
            let zeros = rest[dash + 1..].iter().take_while(|byte| **byte == 0).count();
            match &rest[dash + 1 + zeros..] {
                [] | [b'-' | b'!'] => break,
                [b'-' | b'!', b'>', ..] => {
                    return Some(Piece::Comment(self.take(Some(dash), zeros + 3, State::Data)));
                }
                _ => from = dash + 1,
            }
        }
        Some(Piece::Comment(self.take(None, 0, State::End)))
    }

    fn character_data(&mut self) -> Found<'a> {
        self.take(memmem::find(self.rest(), b"]]>"), 3, State::Data);
        Some(Piece::Other)
    }

    fn doctype(&mut self) -> Found<'a> {
        let text = self.take(memchr(b'>', self.rest()), 1, State::Data);
        Some(Piece::Doctype(text))
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | b'\t'..=b'\r')
}
