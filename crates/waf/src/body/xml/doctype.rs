use std::ops::Range;

use memchr::{memchr, memmem};

use super::{Xml, starts_with_word};
use crate::body::{
    Fault, Field, Kind, Problem, Text,
    output::{Output, Step},
};

/// Passes over the document type that begins at `start`, puts its literals and says what it declares;
/// returns where it ends.
pub(super) fn read(
    input: &[u8],
    start: usize,
    outcome: &mut Xml,
    output: &mut Output<'_>,
) -> Step<usize> {
    let declaration = start + 2..start + "<!DOCTYPE".len();
    let mut reader = Reader { input, at: declaration.end, declaration, outcome, output };
    reader.run(start)?;
    Ok(reader.at)
}

struct Reader<'a, 'b> {
    input: &'a [u8],
    at: usize,
    /// The name of the declaration that is being read.
    declaration: Range<usize>,
    outcome: &'a mut Xml,
    output: &'a mut Output<'b>,
}

impl Reader<'_, '_> {
    fn run(&mut self, start: usize) -> Step {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.input.get(self.at) {
                Some(quote @ (b'"' | b'\'')) => self.literal(*quote)?,
                Some(b'<') => depth += self.markup(),
                Some(b'>') => {
                    self.at += 1;
                    depth -= 1;
                }
                Some(_) => self.word(),
                None => {
                    let message = "the document type is not closed";
                    return Err(Problem::new(start, Fault::Malformed, message));
                }
            }
        }
        Ok(())
    }

    /// Begins a declaration within, or passes over a comment or an instruction; returns how much deeper it is.
    fn markup(&mut self) -> usize {
        let rest = &self.input[self.at..];
        for (opening, end) in [(&b"<!--"[..], &b"-->"[..]), (b"<?", b"?>")] {
            if rest.starts_with(opening) {
                let length = memmem::find(rest, end).map_or(rest.len(), |at| at + end.len());
                self.at += length;
                return 0;
            }
        }
        let start = (self.at + 2).min(self.input.len());
        let length =
            self.input[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        self.outcome.entities |= starts_with_word(rest, b"<!ENTITY");
        self.declaration = start..start + length;
        self.at = start + length;
        1
    }

    fn word(&mut self) {
        let rest = &self.input[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        self.outcome.external |= matches!(&rest[..length], b"SYSTEM" | b"PUBLIC");
        self.at += length.max(1);
    }

    fn literal(&mut self, quote: u8) -> Step {
        let start = self.at + 1;
        let rest = &self.input[start..];
        let end = start + memchr(quote, rest).unwrap_or(rest.len());
        self.at = (end + 1).min(self.input.len());
        let field = Field {
            kind: Kind::XmlAttribute,
            name: Text::At(self.declaration.clone()),
            value: Text::At(start..end),
        };
        self.output.put(start, field)
    }
}
