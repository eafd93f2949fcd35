//! Text of documents, without a browser.
//!
//! A text is a field of [`Kind::TEXT`](selvedge_crdt::Kind::TEXT): updates of Yjs that editors in browsers
//! write. The core keeps them and does not read them. This crate reads them with `yrs`, the same algorithm
//! in Rust, and writes what Yjs reads: [`Text`] is the root `text` of the `Y.Doc` that the updates make.
//!
//! The same updates read as the same text, in whatever order they came. It knows no network, no clock and no
//! chance; an update from a hostile peer is skipped and [reported](Text::unread), and the rest is read.
//!
//! ```
//! use selvedge_crdt::{Document, ReplicaId, Writer};
//! use selvedge_crdt_text::{Position, Text};
//!
//! let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
//! let mut edit = writer.edit(&mut document, 1_000);
//! let mut text = Text::open(&edit, "note/1", "body");
//! text.insert(Position::Chars(0), "Milk and bread")?;
//! text.set("Oat milk and bread")?; // as little changes as possible
//! text.commit(&mut edit)?;
//!
//! assert_eq!(Text::read(&document, "note/1", "body").to_string(), "Oat milk and bread");
//! # Ok::<(), selvedge_crdt_text::TextError>(())
//! ```

mod position;
mod replay;
mod shape;
mod text;

pub use position::Position;
pub use replay::{READ_BYTES_MAX, Unread};
pub use shape::{DEPTH_MAX, Fault, TYPES_MAX};
pub use text::{Text, TextError};

/// The root of a `Y.Doc` that is the text.
pub const ROOT: &str = "text";

/// The examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/documents.md")]
struct Guide;
