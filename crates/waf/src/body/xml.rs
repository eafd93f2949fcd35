use std::ops::Range;

use memchr::{memchr, memmem};

use super::{
    Fault, Field, Intake, Kind, Limits, Problem, Scratch, Text,
    output::{Output, Step},
};

mod doctype;
mod entity;

use entity::Place;

/// How an XML document was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xml {
    /// What is wrong first.
    pub problem: Option<Problem>,
    /// It has a document type.
    pub doctype: bool,
    /// That declares entities.
    pub entities: bool,
    /// Something outside is named in it, by `SYSTEM` or `PUBLIC`.
    pub external: bool,
    /// An entity is used that is none of the five and no number. It stands as written.
    pub references: bool,
}

/// Reads an XML document without validating it: each attribute's value, and at the end all text
/// between tags in one, as XPath's `/*` and `//@*` see them. Comments, processing instructions and
/// declarations of name spaces are left out.
///
/// Only characters written as numbers and the five entities that need no declaration are replaced;
/// nothing that a document declares is ever expanded, and nothing fetched. Literals of a document type
/// are put as attributes of the declaration's name (`ENTITY`), so that rules see what it points at. What is
/// not well-formed is a problem, but is read on as long as there is anything to read.
pub fn xml(input: &[u8], intake: Intake<'_>) -> Xml {
    let Intake { limits, scratch, sink } = intake;
    scratch.open.clear();
    scratch.text.clear();
    let output = Output::new(sink, limits);
    let outcome = Xml::default();
    let mut reader = Reader { input, at: 0, limits, output, scratch, outcome, has_root: false };
    let end = reader.document().and_then(|()| reader.well_formed_end());
    let text = reader.put_text();
    if let Err(problem) = end.and(text) {
        reader.outcome.problem.get_or_insert(problem);
    }
    reader.outcome
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    limits: &'a Limits,
    output: Output<'a>,
    scratch: &'a mut Scratch,
    outcome: Xml,
    has_root: bool,
}

impl Reader<'_> {
    fn document(&mut self) -> Step {
        if self.input.starts_with(b"\xEF\xBB\xBF") {
            self.at = 3;
        }
        while self.at < self.input.len() {
            let rest = &self.input[self.at..];
            let length = memchr(b'<', rest).unwrap_or(rest.len());
            self.text(self.at..self.at + length);
            self.at += length;
            self.markup()?;
        }
        Ok(())
    }

    /// Reads what begins with `<`, if anything is left.
    fn markup(&mut self) -> Step {
        let rest = &self.input[self.at..];
        match rest {
            [] => Ok(()),
            [b'<', b'!', b'-', b'-', ..] => self.skip_past(4, b"-->", "a comment is not closed"),
            [b'<', b'?', ..] => self.skip_past(2, b"?>", "an instruction is not closed"),
            _ if rest.starts_with(b"<![CDATA[") => self.character_data(),
            _ if starts_with_word(rest, b"<!DOCTYPE") => self.doctype(),
            [b'<', b'/', ..] => self.end_tag(),
            [b'<', first, ..] if is_name_start(*first) => self.start_tag(),
            _ => {
                self.note(self.at, "a tag has no name");
                self.scratch.text.push(b'<');
                self.at += 1;
                Ok(())
            }
        }
    }

    fn skip_past(&mut self, opening: usize, end: &[u8], message: &'static str) -> Step {
        self.find_past(opening, end, message).map(drop)
    }

    /// Passes over what ends in `end`, and returns where what is between is.
    fn find_past(
        &mut self,
        opening: usize,
        end: &[u8],
        message: &'static str,
    ) -> Step<Range<usize>> {
        let start = self.at + opening;
        match memmem::find(&self.input[start..], end) {
            Some(length) => {
                self.at = start + length + end.len();
                Ok(start..start + length)
            }
            None => Err(Problem::new(self.at, Fault::Malformed, message)),
        }
    }

    fn character_data(&mut self) -> Step {
        let start = self.at + b"<![CDATA[".len();
        if self.scratch.open.is_empty() {
            self.note(self.at, "text is outside of the document's element");
        }
        match self.find_past(b"<![CDATA[".len(), b"]]>", "character data is not closed") {
            Ok(text) => {
                self.append(text);
                Ok(())
            }
            Err(problem) => {
                self.append(start..self.input.len());
                Err(problem)
            }
        }
    }

    fn doctype(&mut self) -> Step {
        if self.outcome.doctype || self.has_root {
            self.note(self.at, "a document type is not where it belongs");
        }
        self.outcome.doctype = true;
        self.at = doctype::read(self.input, self.at, &mut self.outcome, &mut self.output)?;
        Ok(())
    }

    fn end_tag(&mut self) -> Step {
        let start = self.at;
        self.at += 2;
        let name = self.name();
        match self.scratch.open.pop() {
            None => self.note(start, "an element is closed that was not open"),
            Some(open) if self.input[open.clone()] != self.input[name.clone()] => {
                self.note(start, "another element is closed than is open");
            }
            Some(_) => {}
        }
        self.skip_space();
        if self.peek() == Some(b'>') {
            self.at += 1;
        } else {
            self.note(self.at, "a closing tag has no end");
        }
        Ok(())
    }

    fn start_tag(&mut self) -> Step {
        if self.has_root && self.scratch.open.is_empty() {
            self.note(self.at, "a second element follows the document's");
        }
        self.has_root = true;
        self.at += 1;
        let name = self.name();
        loop {
            self.skip_space();
            match &self.input[self.at..] {
                [b'>', ..] => {
                    self.at += 1;
                    return self.open(name);
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    return Ok(());
                }
                [b'<', ..] => {
                    self.note(self.at, "a tag has no end");
                    return self.open(name);
                }
                [] => return Err(self.malformed("a tag has no end")),
                _ => self.attribute()?,
            }
        }
    }

    fn open(&mut self, name: Range<usize>) -> Step {
        if self.scratch.open.len() >= self.limits.depth_max {
            let message = "elements are nested too deeply";
            return Err(Problem::new(name.start, Fault::TooDeep, message));
        }
        self.scratch.open.push(name);
        Ok(())
    }

    /// Reads `name="value"`, or passes over a byte that begins none.
    fn attribute(&mut self) -> Step {
        let name = self.name();
        if name.is_empty() {
            self.note(self.at, "an attribute has no name");
            self.at += 1;
            return Ok(());
        }
        self.skip_space();
        if self.peek() != Some(b'=') {
            self.note(self.at, "an attribute has no value");
            return self.put_attribute(name, self.at..self.at);
        }
        self.at += 1;
        self.skip_space();
        let value = self.attribute_value();
        self.put_attribute(name, value)
    }

    fn attribute_value(&mut self) -> Range<usize> {
        let rest = &self.input[self.at..];
        let (start, end) = match rest.first() {
            Some(quote @ (b'"' | b'\'')) => (self.at + 1, memchr(*quote, &rest[1..])),
            _ => {
                self.note(self.at, "a value is not in quotes");
                let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                self.at += length;
                return self.at - length..self.at;
            }
        };
        let Some(length) = end else {
            self.note(self.at, "a value's quote is not closed");
            self.at = self.input.len();
            return start..self.at;
        };
        if self.input[start..start + length].contains(&b'<') {
            self.note(start, "a value has a < in it");
        }
        self.at = start + length + 1;
        start..start + length
    }

    fn put_attribute(&mut self, name: Range<usize>, value: Range<usize>) -> Step {
        let raw = &self.input[name.clone()];
        if raw == b"xmlns" || raw.starts_with(b"xmlns:") {
            return Ok(());
        }
        let start = value.start;
        let value = if entity::is_plain(&self.input[value.clone()]) {
            Text::At(value)
        } else {
            self.scratch.value.clear();
            let raw = &self.input[value];
            let found = entity::decode(raw, Place::Attribute, &mut self.scratch.value);
            self.note_entities(start, found);
            Text::Decoded(&self.scratch.value)
        };
        self.output.put(start, Field { kind: Kind::XmlAttribute, name: Text::At(name), value })
    }

    fn text(&mut self, at: Range<usize>) {
        let text = &self.input[at.clone()];
        if self.scratch.open.is_empty() {
            if text.trim_ascii().is_empty() {
                return;
            }
            self.note(at.start, "text is outside of the document's element");
        }
        let found = entity::decode(text, Place::Content, &mut self.scratch.text);
        self.note_entities(at.start, found);
    }

    fn note_entities(&mut self, start: usize, found: entity::Found) {
        self.outcome.references |= found.unknown.is_some();
        if let Some(at) = found.malformed {
            self.note(start + at, "an ampersand begins no entity");
        }
        if let (Some(at), false) = (found.unknown, self.outcome.doctype) {
            self.note(start + at, "an entity is used that nothing declares");
        }
    }

    fn append(&mut self, at: Range<usize>) {
        let text = &mut self.scratch.text;
        entity::decode(&self.input[at], Place::CharacterData, text);
    }

    fn put_text(&mut self) -> Step {
        if self.scratch.text.is_empty() {
            return Ok(());
        }
        let value = Text::Decoded(&self.scratch.text);
        self.output.put(self.at, Field { kind: Kind::XmlText, name: Text::At(0..0), value })
    }

    fn well_formed_end(&mut self) -> Step {
        if !self.scratch.open.is_empty() {
            self.note(self.at, "an element is not closed");
        } else if !self.has_root {
            self.note(self.at, "there is no element");
        }
        Ok(())
    }

    fn name(&mut self) -> Range<usize> {
        let start = self.at;
        let rest = &self.input[start..];
        self.at += rest.iter().take_while(|byte| is_name_byte(**byte)).count();
        start..self.at
    }

    fn skip_space(&mut self) {
        let rest = &self.input[self.at..];
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn note(&mut self, offset: usize, message: &'static str) {
        let problem = Problem::new(offset, Fault::Malformed, message);
        self.outcome.problem.get_or_insert(problem);
    }

    fn malformed(&self, message: &'static str) -> Problem {
        Problem::new(self.at, Fault::Malformed, message)
    }
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Every byte above ASCII may begin a name, so that none has to be decoded.
fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || !byte.is_ascii()
}

fn is_name_byte(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}
