//! Checkpoints: the head of a log as a note (C2SP tlog-checkpoint).

use std::fmt;

use crate::{
    merkle::Hash,
    note::{Cosigned, Note, NoteError, SigningKey, VerifierKey},
};

/// What a log says of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// Lines that others may add; ours have none.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it is malformed or not signed by who should have.
    Note(NoteError),
    /// The text is no checkpoint; says where.
    Malformed(&'static str),
    /// It is that of another log.
    Origin {
        /// The log that it speaks of.
        found: String,
        /// The log that was meant.
        expected: String,
    },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => error.fmt(f),
            Self::Malformed(what) => write!(f, "this is no checkpoint: {what}"),
            Self::Origin { found, expected } => {
                write!(f, "the checkpoint is that of {found}, and not of {expected}")
            }
        }
    }
}

impl std::error::Error for CheckpointError {}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

impl Checkpoint {
    /// The head of the log `origin`.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// Size and root, as proofs want them.
    pub fn tree(&self) -> (u64, Hash) {
        (self.size, self.root)
    }

    /// Reads a note's text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or(malformed("no line feed at its end"))?;
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or(malformed("it has no origin"))?.to_owned();
        let size = lines.next().and_then(parse_decimal).ok_or(malformed("it has no size"))?;
        let root = lines.next().and_then(Hash::from_base64).ok_or(malformed("it has no root"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        Ok(Self { origin, size, root, extensions })
    }

    /// Signs it.
    ///
    /// # Panics
    /// If the origin or an extension has a line feed or a control character.
    pub fn sign(&self, key: &SigningKey) -> Note {
        let mut note = Note::new(self.to_string()).expect("an origin is one printable line");
        note.sign(key);
        note
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Whom an auditor believes about a log.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The name of the log.
    pub origin: String,
    /// The log's own keys; one of them must have signed.
    pub log: Vec<VerifierKey>,
    /// Witnesses that are known.
    pub witnesses: Vec<VerifierKey>,
    /// How many of the witnesses must have cosigned.
    pub quorum: usize,
}

/// A checkpoint whose signatures have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note around it, with all its signatures.
    pub note: Note,
    /// Names of the witnesses that cosigned, and when, in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
}

impl Trust {
    /// Trust in one key of a log that has the key's name, and in nobody else.
    pub fn in_key(key: VerifierKey) -> Self {
        let origin = key.name().to_owned();
        Self { origin, log: vec![key], witnesses: Vec::new(), quorum: 0 }
    }

    /// Reads a checkpoint and checks every signature of those that are trusted.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, CheckpointError> {
        self.open_note(Note::parse(bytes)?)
    }

    /// The same for a note that was read before.
    pub fn open_note(&self, note: Note) -> Result<Opened, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != self.origin {
            let (found, expected) = (checkpoint.origin, self.origin.clone());
            return Err(CheckpointError::Origin { found, expected });
        }
        note.verify(&self.log)?;
        let witnesses = self.cosigned(&note)?;
        if witnesses.len() < self.quorum {
            return Err(CheckpointError::Note(NoteError::NotSigned));
        }
        Ok(Opened { checkpoint, note, witnesses })
    }

    fn cosigned(&self, note: &Note) -> Result<Vec<(String, u64)>, NoteError> {
        let signed = match note.verify(&self.witnesses) {
            Err(NoteError::NotSigned) => Vec::new(),
            signed => signed?,
        };
        let mut witnesses: Vec<(String, u64)> = signed.iter().filter_map(named).collect();
        witnesses.sort();
        witnesses.dedup_by(|a, b| a.0 == b.0);
        Ok(witnesses)
    }
}

fn named(signed: &Cosigned<'_>) -> Option<(String, u64)> {
    Some((signed.key.name().to_owned(), signed.time?))
}

/// A number in decimal digits without leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}
