//! Recovery: everything that a device knows, sealed under a code that a person wrote down.

use std::{error::Error, fmt};

use data_encoding::BASE32_NOPAD;
use hkdf::Hkdf;
use selvedge_crdt::{Malformed, Reader, put_varint, session::DocumentId};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    NONCE_BYTES, SECRET_BYTES,
    cipher::{Cipher, OpenError},
    epoch::{Epoch, expand},
    keyring::Keyring,
    roster::RosterHash,
};

/// What a recovery file begins with.
const MAGIC: &[u8; 8] = b"SLVGKEYS";

/// Bytes of a code that tell whether it was copied right.
const CHECK_BYTES: usize = 3;

/// Documents in one file, at most.
const DOCUMENTS_MAX: usize = 64 << 10;

/// Keys of one document, at most.
const KEYS_MAX: usize = 64 << 10;

/// 256 random bits, as a person writes them down.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<[u8; SECRET_BYTES]>);

/// What a recovery file holds.
#[derive(Default)]
pub struct Recovery {
    /// The device's secret, unless only documents are kept.
    pub device: Option<Zeroizing<[u8; SECRET_BYTES]>>,
    /// Keys of documents, each with a roster that is right, if one was seen.
    pub documents: Vec<(Keyring, Option<RosterHash>)>,
}

/// Why a text is no recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// Not as many letters and digits as it has.
    Length,
    /// A letter or digit that no code has.
    Letter(char),
    /// One or more letters are not what was written down.
    Check,
}

/// Why a recovery file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryError {
    /// It is none.
    Foreign,
    /// The code is another one's, or the file was changed.
    Open(OpenError),
}

impl RecoveryCode {
    /// The code of these random bytes.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        RecoveryCode(Zeroizing::new(random))
    }

    /// How it is written down: 14 groups of four letters and digits. The last ones tell whether the others are right.
    pub fn text(&self) -> Zeroizing<String> {
        let all = Zeroizing::new([&self.0[..], &self.check()].concat());
        let letters = Zeroizing::new(BASE32_NOPAD.encode(&all));
        let mut text = Zeroizing::new(String::with_capacity(70));
        for (at, letter) in letters.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        text
    }

    /// Reads what was written down, whatever lies between the groups, in large or small letters. The digits 0, 1 and 8,
    /// which no code has, are read as the letters that look like them.
    ///
    /// # Errors
    /// What is no code, or not copied right.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut letters = Zeroizing::new(String::with_capacity(56));
        for letter in text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-') {
            if letters.len() == 56 {
                return Err(CodeError::Length);
            }
            letters.push(match letter.to_ascii_uppercase() {
                '0' => 'O',
                '1' => 'I',
                '8' => 'B',
                letter @ ('A'..='Z' | '2'..='7') => letter,
                _ => return Err(CodeError::Letter(letter)),
            });
        }
        let bytes = BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| CodeError::Length)?;
        let bytes = Zeroizing::new(bytes);
        let (code, check) = bytes.split_first_chunk().ok_or(CodeError::Length)?;
        let code = RecoveryCode::new(*code);
        if check.len() != CHECK_BYTES {
            Err(CodeError::Length)
        } else if *check != code.check() {
            Err(CodeError::Check)
        } else {
            Ok(code)
        }
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        let mut hash = Sha256::new();
        hash.update(b"selvedge-seal.1 code\0");
        hash.update(*self.0);
        let [a, b, c, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c]
    }

    fn cipher(&self) -> Cipher {
        let root = Hkdf::<Sha256>::new(Some(b"selvedge-seal.1 recovery"), &*self.0);
        Cipher::new(expand(&root, b"file"))
    }
}

impl Recovery {
    /// The bytes of a file that opens with `code`. `nonce` is random.
    pub fn seal(&self, code: &RecoveryCode, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut content = Zeroizing::new(Vec::new());
        content.push(u8::from(self.device.is_some()));
        self.device.iter().for_each(|seed| content.extend(&**seed));
        put_varint(&mut content, self.documents.len() as u64);
        for (keyring, anchor) in &self.documents {
            write_document(keyring, anchor.as_ref(), &mut content);
        }
        let mut out = MAGIC.to_vec();
        code.cipher().seal(nonce, MAGIC, &[&content], &mut out);
        out
    }

    /// Opens a file.
    ///
    /// # Errors
    /// What is none, and one of another code.
    pub fn open(code: &RecoveryCode, file: &[u8]) -> Result<Self, RecoveryError> {
        let sealed = file.strip_prefix(MAGIC).ok_or(RecoveryError::Foreign)?;
        let content = code.cipher().open(MAGIC, sealed).map(Zeroizing::new);
        let content = content.map_err(RecoveryError::Open)?;
        Recovery::read(&content).map_err(|why| RecoveryError::Open(OpenError::Content(why)))
    }

    fn read(content: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(content);
        let device = read_option(&mut reader)?.map(Zeroizing::new);
        let count = reader.count(DOCUMENTS_MAX, "documents")?;
        let documents = (0..count).map(|_| read_document(&mut reader));
        let documents = documents.collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Recovery { device, documents })
    }
}

fn write_document(keyring: &Keyring, anchor: Option<&RosterHash>, out: &mut Vec<u8>) {
    keyring.document().write(out);
    out.push(u8::from(anchor.is_some()));
    anchor.into_iter().for_each(|anchor| out.extend(anchor.0));
    let keys = keyring.secrets();
    put_varint(out, keys.clone().count() as u64);
    for (epoch, secret) in keys {
        put_varint(out, epoch.get().into());
        out.extend(secret);
    }
}

fn read_document(reader: &mut Reader<'_>) -> Result<(Keyring, Option<RosterHash>), Malformed> {
    let mut keyring = Keyring::new(&DocumentId::read(reader)?);
    let anchor = read_option(reader)?.map(RosterHash);
    for _ in 0..reader.count(KEYS_MAX, "keys of a document")? {
        let epoch = reader.count(u32::MAX as usize, "epochs")? as u32;
        let epoch = Epoch::new(epoch).ok_or(Malformed::Invalid("epochs begin with 1"))?;
        let secret = reader.array()?;
        let new = keyring.insert(epoch, secret);
        new.map_err(|_| Malformed::Invalid("two keys of one epoch"))?;
    }
    Ok((keyring, anchor))
}

fn read_option(reader: &mut Reader<'_>) -> Result<Option<[u8; 32]>, Malformed> {
    match reader.byte()? {
        0 => Ok(None),
        1 => reader.array().map(Some),
        _ => Err(Malformed::NotCanonical("whether something is there")),
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode")
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovery { device, documents } = self;
        let device = if device.is_some() { "a device and " } else { "" };
        write!(f, "Recovery({device}{} documents)", documents.len())
    }
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeError::Length => f.write_str("a recovery code has 56 letters and digits"),
            CodeError::Letter(letter) => write!(f, "no recovery code has '{letter}' in it"),
            CodeError::Check => f.write_str("the recovery code was not copied right"),
        }
    }
}

impl Error for CodeError {}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Foreign => f.write_str("this is no recovery file"),
            RecoveryError::Open(OpenError::Closed) => {
                f.write_str("this is not the code of that file, or the file was changed")
            }
            RecoveryError::Open(why) => why.fmt(f),
        }
    }
}

impl Error for RecoveryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_written() {
        let code = RecoveryCode::new(std::array::from_fn(|at| (at * 9 % 256) as u8));
        let text = code.text();
        assert_eq!(text.len(), 14 * 4 + 13);
        assert_eq!(RecoveryCode::parse(&text).as_ref(), Ok(&code));
        let sloppy = text.to_lowercase().replace('-', " ").replace('o', "0").replace('b', "8");
        assert_eq!(RecoveryCode::parse(&sloppy).as_ref(), Ok(&code));
    }

    #[test]
    fn a_slip_is_told() {
        let text = RecoveryCode::new([5; 32]).text();
        for at in (0..text.len()).filter(|at| at % 5 != 4) {
            let other = if &text[at..=at] == "A" { "C" } else { "A" };
            let slip = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(RecoveryCode::parse(&slip), Err(CodeError::Check), "{at}");
        }
        assert_eq!(RecoveryCode::parse(&text[1..]), Err(CodeError::Length));
        assert_eq!(RecoveryCode::parse(&format!("{}A", *text)), Err(CodeError::Length));
        assert_eq!(RecoveryCode::parse("AB9D"), Err(CodeError::Letter('9')));
        assert_eq!(RecoveryCode::parse(""), Err(CodeError::Length));
    }

    #[test]
    fn a_file_opens_with_its_code_alone() {
        let document = DocumentId::new("acme", "notes").expect("a name");
        let mut keyring = Keyring::new(&document);
        for epoch in 1..=3 {
            let secret = [epoch as u8; 32];
            keyring.insert(Epoch::new(epoch).expect("from 1"), secret).expect("new");
        }
        let documents = vec![(keyring, Some(RosterHash([4; 32])))];
        let recovery = Recovery { device: Some(Zeroizing::new([9; 32])), documents };
        let code = RecoveryCode::new([5; 32]);
        let file = recovery.seal(&code, [6; 24]);

        let again = Recovery::open(&code, &file).expect("its own code");
        assert_eq!(again.device.as_deref(), Some(&[9; 32]));
        let (keyring, anchor) = &again.documents[0];
        assert_eq!((keyring.document(), *anchor), (&document, Some(RosterHash([4; 32]))));
        let secrets: Vec<u8> = keyring.secrets().map(|(_, secret)| secret[0]).collect();
        assert_eq!(secrets, [1, 2, 3]);

        let other = Recovery::open(&RecoveryCode::new([8; 32]), &file).unwrap_err();
        assert_eq!(other, RecoveryError::Open(OpenError::Closed));
        assert_eq!(Recovery::open(&code, &file[1..]).unwrap_err(), RecoveryError::Foreign);
        let shown = format!("{recovery:?} {code:?}");
        assert_eq!(shown, "Recovery(a device and 1 documents) RecoveryCode");
    }
}
