//! A document as bytes.

mod load;
mod save;

use super::Document;
use crate::wire::Malformed;

/// What a snapshot begins with.
const MAGIC: &[u8; 8] = b"SLVGDOC\n";

/// The only version there is.
const VERSION: u64 = 1;

impl Document {
    /// The one encoding of this state.
    pub fn snapshot(&self) -> Vec<u8> {
        save::snapshot(self)
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// What is not the one encoding of a document.
    pub fn load(bytes: &[u8]) -> Result<Document, Malformed> {
        load::snapshot(bytes)
    }
}
