//! Proofs that need neither the log nor a network (C2SP tlog-proof): `.tlog-proof` files.

use std::fmt;

use data_encoding::BASE64;

use crate::{
    checkpoint::{CheckpointError, Opened, Trust, parse_decimal},
    merkle::{self, Hash, PROOF_HASHES_MAX, ProofError},
    note::{NOTE_BYTES_MAX, Note, NoteError},
};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The most bytes of extra data that a proof is read with.
pub const EXTRA_BYTES_MAX: usize = 256 * 1024;

/// That an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything that helps the reader, such as the entry itself. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The entry's number.
    pub index: u64,
    /// The way from the leaf to the root, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The signed head of the tree.
    pub checkpoint: Note,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlogProofError {
    /// It has not the form of a proof; says where.
    Malformed(&'static str),
    /// The checkpoint in it is not believed.
    Checkpoint(CheckpointError),
    /// The entry is not where the proof says.
    Path(ProofError),
}

impl fmt::Display for TlogProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "this is no proof: {what}"),
            Self::Checkpoint(_) => f.write_str("the proof's checkpoint is not believed"),
            Self::Path(_) => {
                f.write_str("the proof does not lead from this entry to the log's root")
            }
        }
    }
}

impl std::error::Error for TlogProofError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(_) => None,
            Self::Checkpoint(error) => Some(error),
            Self::Path(error) => Some(error),
        }
    }
}

impl From<NoteError> for TlogProofError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}

impl TlogProof {
    /// Reads a proof, and takes nothing that could be spelt another way.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        let malformed = TlogProofError::Malformed;
        if bytes.len() > NOTE_BYTES_MAX + 2 * EXTRA_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(parse_extra).transpose()?;
        let index = lines.next().and_then(|line| parse_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(malformed("it has no index"))?;
        let path: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let path = path.filter(|path| path.len() <= PROOF_HASHES_MAX);
        let path =
            path.ok_or(malformed("a line below the index is no hash, or there are too many"))?;
        Ok(Self { extra, index, path, checkpoint: Note::parse(note.as_bytes())? })
    }

    /// Checks that `entry` is in a log that is trusted, and returns the log's head.
    pub fn verify(&self, entry: &[u8], trust: &Trust) -> Result<Opened, TlogProofError> {
        self.verify_leaf(Hash::of_leaf(entry), trust)
    }

    /// The same for an entry of which only the hash of its leaf is known.
    pub fn verify_leaf(&self, leaf: Hash, trust: &Trust) -> Result<Opened, TlogProofError> {
        let opened =
            trust.open_note(self.checkpoint.clone()).map_err(TlogProofError::Checkpoint)?;
        self.verify_path(leaf, &opened)?;
        Ok(opened)
    }

    fn verify_path(&self, leaf: Hash, head: &Opened) -> Result<(), TlogProofError> {
        merkle::verify_inclusion(&self.path, (self.index, leaf), head.checkpoint.tree())
            .map_err(TlogProofError::Path)
    }
}

/// Checks proof after proof. The signatures of a head are checked when it is not that of the proof before: they cost most.
#[derive(Debug)]
pub struct Verifier<'t> {
    trust: &'t Trust,
    head: Option<Opened>,
}

impl<'t> Verifier<'t> {
    /// Believes whom `trust` believes.
    pub fn new(trust: &'t Trust) -> Self {
        Self { trust, head: None }
    }

    /// Checks that `entry` is in a log that is trusted, as [`TlogProof::verify`] does, and returns the log's head.
    pub fn verify(&mut self, proof: &TlogProof, entry: &[u8]) -> Result<&Opened, TlogProofError> {
        let head = match self.head.take().filter(|head| head.note == proof.checkpoint) {
            Some(head) => head,
            None => {
                let opened = self.trust.open_note(proof.checkpoint.clone());
                opened.map_err(TlogProofError::Checkpoint)?
            }
        };
        let head = self.head.insert(head);
        proof.verify_path(Hash::of_leaf(entry), head)?;
        Ok(head)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn parse_extra(line: &str) -> Result<Vec<u8>, TlogProofError> {
    let text = line.strip_prefix("extra ").unwrap_or_default();
    let extra = BASE64.decode(text.as_bytes()).ok().filter(|extra| extra.len() <= EXTRA_BYTES_MAX);
    extra.ok_or(TlogProofError::Malformed("its extra data is not base64, or too long"))
}
