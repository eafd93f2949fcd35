//! What arguments a query or a body carries.

use std::ops::{ControlFlow, Range};

/// Takes what a parser finds, in the order of the text.
pub trait Sink {
    /// Takes a field; the parser stops where this says so.
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()>;
}

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

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An argument of a query, a form or a part of a multipart body, a leaf of JSON, a literal of GraphQL.
    Argument,
    /// A cookie.
    Cookie,
    /// A file of a multipart body: its field's name and its file name.
    File,
    /// The content of that file.
    FileContent,
    /// A header of a part: the part's name and the whole line.
    PartHeader,
    /// Text between tags: all of it, in one.
    XmlText,
    /// The value of an attribute.
    XmlAttribute,
}
