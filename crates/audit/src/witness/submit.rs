//! The log's half: asking a witness.

use std::fmt;

use super::AddCheckpoint;
use crate::{
    checkpoint::{Checkpoint, parse_decimal},
    merkle::Hash,
    note::{Note, NoteError, SignatureLine, VerifierKey, parse_signatures},
};

/// What a log knows of one witness.
#[derive(Clone, Debug)]
pub struct Submitter {
    key: VerifierKey,
    /// The size that the witness is thought to know.
    known: u64,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The witness cosigned; the line belongs under the head.
    Cosigned(SignatureLine),
    /// The witness knows another size, and is to be asked once more.
    AskAgain,
}

/// Why a witness did not cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The witness has cosigned more entries than this log has: somebody rolled the log back.
    Ahead {
        /// How many it has cosigned.
        witness: u64,
        /// How many the head has.
        ours: u64,
    },
    /// It has cosigned another root over as many entries: somebody rewrote the log.
    OtherRoot {
        /// How many.
        size: u64,
    },
    /// It refused.
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// Its answer is no cosignature by its key.
    BadAnswer(NoteError),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { witness, ours } => {
                write!(f, "the witness has seen {witness} entries, and the log has {ours}")
            }
            Self::OtherRoot { size } => {
                write!(f, "the witness has seen another history of the log's {size} entries")
            }
            Self::Refused { status, text } => write!(f, "the witness refused: {status} {text}"),
            Self::BadAnswer(_) => f.write_str("the witness's answer is no cosignature by its key"),
        }
    }
}

impl std::error::Error for SubmitError {}

impl Submitter {
    /// A witness of which nothing is known but its key.
    pub fn new(key: VerifierKey) -> Self {
        Self { key, known: 0 }
    }

    /// The witness's key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// From which size the proof for the next request is to begin; 0 wants no proof.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The request for a head, with the proof from [`Submitter::known`].
    pub fn request(&self, head: &Note, proof: Vec<Hash>) -> String {
        AddCheckpoint { old: self.known, proof, checkpoint: head.clone() }.to_string()
    }

    /// Takes the answer to a request for this head.
    pub fn answered(
        &mut self,
        head: &Note,
        status: u16,
        body: &[u8],
    ) -> Result<Submitted, SubmitError> {
        let size = Checkpoint::parse(head.text()).map_or(0, |head| head.size);
        let text = String::from_utf8_lossy(&body[..body.len().min(4_096)]);
        match status {
            200 => self.cosigned(head, &text).inspect(|_| self.known = size),
            409 => self.conflict(size, text.trim_end()),
            422 if self.known == size => Err(SubmitError::OtherRoot { size }),
            _ => Err(SubmitError::Refused { status, text: text.trim_end().to_owned() }),
        }
    }

    fn conflict(&mut self, ours: u64, text: &str) -> Result<Submitted, SubmitError> {
        match parse_decimal(text) {
            Some(witness) if witness > ours => Err(SubmitError::Ahead { witness, ours }),
            Some(witness) if witness != self.known => {
                self.known = witness;
                Ok(Submitted::AskAgain)
            }
            // Version 1.0 of the protocol answers so where sizes are equal and roots are not; later it is 422.
            _ if self.known == ours => Err(SubmitError::OtherRoot { size: ours }),
            _ => Err(SubmitError::Refused { status: 409, text: text.to_owned() }),
        }
    }

    /// The first line that is a good signature by the witness; others are passed over.
    fn cosigned(&self, head: &Note, body: &str) -> Result<Submitted, SubmitError> {
        let lines = parse_signatures(body).map_err(SubmitError::BadAnswer)?;
        let keys = [self.key.clone()];
        let good = lines.into_iter().find(|line| {
            let mut alone = Note::new(head.text()).expect("it is the text of a note");
            alone.add(line.clone());
            alone.verify(&keys).is_ok_and(|signed| signed.iter().all(|by| by.time.is_some()))
        });
        good.map(Submitted::Cosigned).ok_or(SubmitError::BadAnswer(NoteError::NotSigned))
    }
}
