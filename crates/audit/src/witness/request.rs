//! The request `add-checkpoint`.

use std::fmt;

use super::REQUEST_BYTES_MAX;
use crate::{
    checkpoint::parse_decimal,
    merkle::{Hash, PROOF_HASHES_MAX},
    note::Note,
};

/// A head that is to be cosigned, and the proof that it continues an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// How many entries the witness is thought to know.
    pub old: u64,
    /// The proof from there.
    pub proof: Vec<Hash>,
    /// The head.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// Reads a request, or says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err("the request is too long");
        }
        let text = str::from_utf8(body).map_err(|_| "the request is not UTF-8")?;
        let (head, note) = text.split_once("\n\n").ok_or("the request has no empty line")?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| parse_decimal(line.strip_prefix("old ")?));
        let old = old.ok_or("the first line is not `old` and a size")?;
        let proof: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let proof = proof.filter(|proof| proof.len() <= PROOF_HASHES_MAX);
        let proof = proof.ok_or("a line of the proof is no hash, or there are more than 63")?;
        let checkpoint = Note::parse(note.as_bytes()).map_err(|_| "there is no signed note")?;
        Ok(Self { old, proof, checkpoint })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
