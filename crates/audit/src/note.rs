//! Signed notes: a text and who signed it (C2SP signed-note), and cosignatures under checkpoints
//! (C2SP tlog-cosignature, version 1).

mod key;

use std::fmt;

use data_encoding::BASE64;

pub use key::{Cosigned, KeyError, Scheme, SigningKey, VerifierKey};

/// The most signatures that a note is read with. The specification asks for sixteen at least.
pub const SIGNATURES_MAX: usize = 64;

/// The most bytes that a note is read with.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;

const DASH: &str = "\u{2014} ";

/// A text with signatures that nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature below a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key.
    pub name: String,
    /// Tells keys of one name apart.
    pub key_id: u32,
    /// What the key's scheme says.
    pub signature: Vec<u8>,
}

/// Why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// It has not the form of a note; says where.
    Malformed(&'static str),
    /// A signature of the key with this name is wrong.
    BadSignature(String),
    /// None of the keys that are trusted signed it.
    NotSigned,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "this is no signed note: {what}"),
            Self::BadSignature(name) => write!(f, "the signature of {name} is wrong"),
            Self::NotSigned => f.write_str("no trusted key signed it"),
        }
    }
}

impl std::error::Error for NoteError {}

impl Note {
    /// A note without signatures.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note, and takes nothing that could be spelt another way.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        let all = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        let end = all.rfind("\n\n").ok_or(NoteError::Malformed("it has no blank line"))?;
        let (text, lines) = (&all[..=end], &all[end + 2..]);
        check_text(text)?;
        Ok(Self { text: text.to_owned(), signatures: parse_signatures(lines)? })
    }

    /// What is signed, with the line feed at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in their order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature.
    pub fn sign(&mut self, key: &SigningKey) {
        self.add(key.sign(&self.text));
    }

    /// Adds a signature that somebody else made, in the place of an earlier one by the same key.
    pub fn add(&mut self, line: SignatureLine) {
        self.signatures.retain(|known| known.name != line.name || known.key_id != line.key_id);
        self.signatures.push(line);
    }

    /// Checks every signature by one of `keys` and says whose there are; those of others are
    /// passed over.
    ///
    /// A wrong signature of one of `keys` is an error whatever the rest is, and so is none at all.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Cosigned<'k>>, NoteError> {
        let mut found = Vec::new();
        for line in &self.signatures {
            for key in keys.iter().filter(|key| key.signs_as(line)) {
                let bad = || NoteError::BadSignature(line.name.clone());
                found.push(key.verify(&self.text, line).ok_or_else(bad)?);
            }
        }
        if found.is_empty() { Err(NoteError::NotSigned) } else { Ok(found) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl SignatureLine {
    /// Reads one line, without a line feed.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Malformed("a line below the text is no signature");
        let (name, encoded) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or_else(malformed)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| malformed())?;
        let (key_id, signature) = bytes.split_first_chunk().ok_or_else(malformed)?;
        if !key::is_name(name) || signature.is_empty() {
            return Err(malformed());
        }
        let (name, signature) = (name.to_owned(), signature.to_owned());
        Ok(Self { name, key_id: u32::from_be_bytes(*key_id), signature })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(&bytes))
    }
}

/// Reads signature lines, each with its line feed; there is at least one.
pub fn parse_signatures(lines: &str) -> Result<Vec<SignatureLine>, NoteError> {
    let lines = lines
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("it does not end with a signature and a line feed"))?;
    if lines.bytes().filter(|byte| *byte == b'\n').count() >= SIGNATURES_MAX {
        return Err(NoteError::Malformed("it has too many signatures"));
    }
    lines.split('\n').map(SignatureLine::parse).collect()
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("its text does not end with a line feed"));
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("its text has a control character"));
    }
    Ok(())
}
