//! What all protocols have in common: a client without I/O, and the marks by which updates are known again.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    Result,
    automerge::AutomergeClient,
    selvedge::{self, SelvedgeClient},
    yjs::YjsClient,
};

/// Entities that a writer has, and fields of each.
pub const ENTITIES: u32 = 20;
pub const FIELDS: u32 = 5;

/// A protocol that servers speak.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// y-protocols, the document in the path.
    YWebsocket,
    /// y-protocols behind the document's name.
    Hocuspocus,
    /// CBOR messages with Automerge's sync messages in them.
    AutomergeRepo,
    /// Our own.
    Selvedge,
}

/// One end of a connection that has one document open.
pub trait Client {
    /// What is said first.
    fn greeting(&mut self) -> Result<Vec<Bytes>>;

    /// Whether the document is open: whatever is written from now on arrives.
    fn is_open(&self) -> bool;

    /// Takes a message.
    fn hear(&mut self, message: &[u8]) -> Result<Heard>;

    /// Writes an update.
    fn write(&mut self, update: Update) -> Result<Bytes>;
}

/// What a message came to.
#[derive(Default)]
pub struct Heard {
    /// What is to be said.
    pub replies: Vec<Bytes>,
    /// How many more of this client's updates the server has acknowledged, in order.
    pub acknowledged: usize,
    /// Updates that were in it.
    pub marks: Vec<Mark>,
}

/// What a writer sets, in one transaction: one field, or all that it has.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Which it is; the last field is set to it.
    pub mark: Mark,
    /// How many fields it sets.
    pub fields: u32,
}

/// Writer and number of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub writer: u32,
    pub number: u32,
}

/// A document, and who opens it.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The document's name, new in every run.
    pub document: &'a str,
    /// Different for all that open it.
    pub client: u32,
    /// Whether this client writes.
    pub writes: bool,
}

impl Protocol {
    /// A client of this protocol.
    pub fn client(self, opening: Opening<'_>) -> Result<Box<dyn Client>> {
        Ok(match self {
            Self::YWebsocket => Box::new(YjsClient::new(opening, false)),
            Self::Hocuspocus => Box::new(YjsClient::new(opening, true)),
            Self::AutomergeRepo => Box::new(AutomergeClient::new(opening)?),
            Self::Selvedge => Box::new(SelvedgeClient::new(opening)?),
        })
    }

    /// The path at which its servers take connections.
    pub fn path(self, document: &str) -> String {
        match self {
            Self::YWebsocket => format!("/{document}"),
            Self::Hocuspocus | Self::AutomergeRepo => "/".into(),
            Self::Selvedge => "/_selvedge/sync".into(),
        }
    }

    /// The subprotocol of the WebSocket, where it has one.
    pub fn subprotocol(self) -> Option<&'static str> {
        (self == Self::Selvedge).then_some(selvedge::PROTOCOL)
    }
}

impl Update {
    /// Entity, field and value of all that it sets.
    pub fn sets(self) -> impl Iterator<Item = (String, String, String)> {
        let Self { mark, fields } = self;
        (0..fields).map(move |nth| {
            let place = (mark.number + nth) % (ENTITIES * FIELDS);
            let entity = format!("task/{:04}-{:02}", mark.writer, place / FIELDS);
            let value =
                if nth + 1 == fields { mark.text() } else { format!("value {:08}", mark.number) };
            (entity, format!("field{}", place % FIELDS), value)
        })
    }
}

/// What a mark begins with, and its hexadecimal digits.
const BEGIN: u8 = b'~';
const WRITER_DIGITS: usize = 4;
const NUMBER_DIGITS: usize = 8;

impl Mark {
    /// The value of the field that is set.
    pub fn text(self) -> String {
        format!("~{:0WRITER_DIGITS$x}{:0NUMBER_DIGITS$x}", self.writer, self.number)
    }

    /// All marks in `bytes`: texts lie in the encodings of all protocols as they are.
    pub fn find_in(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == BEGIN);
        begins.filter_map(|(at, _)| Self::parse(bytes.get(at + 1..)?))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let hex = |digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (writer, rest) = bytes.split_at_checked(WRITER_DIGITS)?;
        Some(Self { writer: hex(writer)?, number: hex(rest.get(..NUMBER_DIGITS)?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(u32, u32)]) {
        let found: Vec<(u32, u32)> =
            Mark::find_in(bytes).map(|mark| (mark.writer, mark.number)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn marks_are_found_wherever_they_lie() {
        check(b"", &[]);
        check(b"~0000", &[]);
        check("~000\u{20e}aaaa1111".as_bytes(), &[]);
        check(b"\xff\x0d~00ff0000002a\x00~~000100000002", &[(255, 42), (1, 2)]);
        check(Mark { writer: 63, number: 99_999 }.text().as_bytes(), &[(63, 99_999)]);
    }

    #[test]
    fn an_update_ends_with_its_mark() {
        let mark = Mark { writer: 7, number: 3 };
        let sets: Vec<_> = Update { mark, fields: 100 }.sets().collect();
        assert_eq!(sets.len(), 100);
        assert_eq!(sets[0].0, "task/0007-00");
        assert_eq!(sets[99], ("task/0007-00".into(), "field2".into(), mark.text()));
        let mut places: Vec<_> = sets.iter().map(|(entity, field, _)| (entity, field)).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 100);
    }
}
