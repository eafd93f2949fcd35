//! What arguments a query or a body carries.
//!
//! One pass each, no recursion, no tree: what a parser finds goes to a [`Sink`] at once, so a text
//! that breaks off has been seen up to there. Where the readers of this world disagree about a text,
//! a parser reads on, and its outcome holds the first [`Problem`]: whether that is a reason to refuse
//! is policy. Buffers belong to a [`Scratch`] that outlives the exchange; none is made once they have grown.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use selvedge_waf::body::{Field, Intake, Limits, Scratch, Sink, json};
//!
//! struct Count(usize);
//!
//! impl Sink for Count {
//!     fn put(&mut self, _: Field<'_>) -> ControlFlow<()> {
//!         self.0 += 1;
//!         ControlFlow::Continue(())
//!     }
//! }
//!
//! let (limits, mut scratch, mut count) = (Limits::default(), Scratch::default(), Count(0));
//! let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut count };
//! json(br#"{"user": {"name": "O'Brien", "roles": ["reader"]}}"#, intake).unwrap();
//! assert_eq!(count.0, 2);
//! ```

use std::{
    fmt,
    ops::{ControlFlow, Range},
};

mod ascii;
mod base64;
mod charset;
mod graphql;
mod json;
mod media;
mod multipart;
mod output;
mod pairs;
mod percent;
#[cfg(test)]
mod tests;
mod xml;

pub use base64::Base64Runs;
pub use charset::{Charset, decode_charset};
pub use graphql::{GraphQl, graphql};
pub use json::json;
pub use media::{parameter, processor_for};
pub use multipart::{Multipart, Unmatched, multipart};
pub use pairs::{UrlEncoded, cookies, urlencoded};
pub use xml::{Xml, xml};

/// Takes what a parser finds, in the order of the text.
pub trait Sink {
    /// Takes a field; the parser stops where this says so.
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()>;
}

/// Where a parser puts what it finds, and within which bounds.
pub struct Intake<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    /// Buffers that are used again.
    pub scratch: &'a mut Scratch,
    /// Who takes it.
    pub sink: &'a mut dyn Sink,
}

/// What a parser puts up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields of one text.
    pub fields_max: usize,
    /// Files of one multipart body; more are read, and said to be too many.
    pub files_max: usize,
    /// How deep values may be nested.
    pub depth_max: usize,
    /// Bytes of one name in JSON, which is made of all names around it; longer ones are cut.
    pub name_bytes_max: usize,
    /// Bytes of all names together where fields share names or parts of them: JSON, multipart bodies, GraphQL.
    pub names_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fields_max: 4_096,
            files_max: 100,
            depth_max: 128,
            name_bytes_max: 4_096,
            names_bytes_max: 1 << 20,
        }
    }
}

/// Buffers of parsers, empty between two texts.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
    text: Vec<u8>,
    levels: Vec<json::Level>,
    headers: Vec<multipart::Header>,
    disposition: multipart::Disposition,
    open: Vec<Range<usize>>,
    brackets: Vec<graphql::Bracket>,
}

impl Scratch {
    /// Gives back what of each buffer is beyond so many bytes.
    pub fn shrink(&mut self, bytes_max: usize) {
        let Self { name, value, text, levels: _, headers: _, disposition, open, brackets: _ } =
            self;
        for buffer in [name, value, text] {
            buffer.clear();
            buffer.shrink_to(bytes_max);
        }
        open.clear();
        open.shrink_to(bytes_max / size_of::<Range<usize>>());
        disposition.shrink(bytes_max);
    }
}

impl Scratch {
    /// Returns the bytes that its texts have room for.
    pub fn memory_bytes(&self) -> usize {
        [&self.name, &self.value, &self.text].iter().map(|buffer| buffer.capacity()).sum()
    }
}

/// What is wrong with a text, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How many bytes of the text are before it.
    pub offset: usize,
    /// Of what kind it is.
    pub kind: Fault,
    /// For people.
    pub message: &'static str,
}

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The text does not follow its grammar.
    Malformed,
    /// A byte or an escape stands for no character.
    Encoding,
    /// Nested more deeply than the bound says.
    TooDeep,
    /// More of something than the bound says.
    TooMany,
    /// A name, or all of them, is longer than the bound says.
    TooLong,
    /// The sink had enough.
    Stopped,
}

impl Problem {
    fn new(offset: usize, kind: Fault, message: &'static str) -> Self {
        Self { offset, kind, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.message, self.offset)
    }
}

impl std::error::Error for Problem {}

/// Something a parser found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name; empty where it has none.
    pub name: Text<'a>,
    /// Its value.
    pub value: Text<'a>,
}

/// A name or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// As it stands in the input, at this place.
    At(Range<usize>),
    /// Decoded.
    Decoded(&'a [u8]),
}

impl<'a> Text<'a> {
    /// Returns its bytes, given the input it was found in.
    pub fn bytes(&self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::At(range) => &input[range.clone()],
            Self::Decoded(bytes) => bytes,
        }
    }
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An argument of a query, a form or a part of a multipart body, a leaf of JSON, a literal of GraphQL.
    Argument,
    /// A cookie.
    Cookie,
    /// A file of a multipart body: its field's name and its file name.
    File,
    /// The content of that file, under its field's name.
    FileContent,
    /// A header of a part: the part's name and the whole line.
    PartHeader,
    /// Text between tags: all of it, in one.
    XmlText,
    /// The value of an attribute.
    XmlAttribute,
}
