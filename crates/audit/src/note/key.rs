//! Keys that sign notes, and those that verify.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use selvedge_base::Secret;

use super::SignatureLine;
use crate::merkle::Hash;

/// How a key signs; the number is part of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scheme {
    /// Ed25519 over the text: what a log signs its checkpoints with.
    Ed25519 = 0x01,
    /// Ed25519 over the text and a time: what a witness cosigns with.
    Cosignature = 0x04,
}

/// A public key, written as a vkey: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    scheme: Scheme,
    public: [u8; 32],
}

/// A signature that has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosigned<'k> {
    /// Whose it is.
    pub key: &'k VerifierKey,
    /// When it was made, in seconds since 1970; schemes without a time say nothing.
    pub time: Option<u64>,
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It has not the form of a key.
    Malformed,
    /// Names have at least one character, and neither spaces nor `+`.
    Name,
    /// The id is not that of this name and key.
    Id,
    /// Neither Ed25519 nor a version 1 cosignature.
    Scheme,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is no key of the form NAME+ID+KEY",
            Self::Name => "the key's name is empty, or has a space or a +",
            Self::Id => "the key's id is not that of its name and key: it may have been altered",
            Self::Scheme => "the key is neither for Ed25519 nor for version 1 cosignatures",
        })
    }
}

impl std::error::Error for KeyError {}

impl VerifierKey {
    /// The name, by which the key is known in signatures.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The number that tells keys of one name apart.
    pub fn id(&self) -> u32 {
        let text = [self.name.as_bytes(), b"\n", &self.material()].concat();
        let [a, b, c, d, ..] = Hash::of(&text).0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether a signature says that it is by this key.
    pub(super) fn signs_as(&self, line: &SignatureLine) -> bool {
        self.name == line.name && self.id() == line.key_id
    }

    /// What a signature by this key says; `None` if it is wrong.
    pub(super) fn verify(&self, text: &str, line: &SignatureLine) -> Option<Cosigned<'_>> {
        let (time, signature) = match self.scheme {
            Scheme::Ed25519 => (None, &line.signature[..]),
            Scheme::Cosignature => {
                let (time, signature) = line.signature.split_first_chunk()?;
                (Some(u64::from_be_bytes(*time)), signature)
            }
        };
        let message = message(text, time)?;
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        key.verify(&message, signature).ok()?;
        Some(Cosigned { key: self, time })
    }

    fn material(&self) -> Vec<u8> {
        [&[self.scheme as u8][..], &self.public].concat()
    }
}

/// What is signed; `None` for times that no signature may have.
fn message(text: &str, time: Option<u64>) -> Option<Vec<u8>> {
    match time {
        None => Some(text.as_bytes().to_vec()),
        Some(0) => None,
        Some(time) if i64::try_from(time).is_err() => None,
        Some(time) => Some(format!("cosignature/v1\ntime {time}\n{text}").into_bytes()),
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id(), BASE64.encode(&self.material()))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, scheme, public) = parse_key(text)?;
        let key = Self { name, scheme, public };
        if key.id() == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// A key that signs, written as `PRIVATE+KEY+NAME+ID+SEED`.
pub struct SigningKey {
    verifier: VerifierKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key with this name, way to sign and seed.
    pub fn new(name: &str, scheme: Scheme, seed: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Malformed)?;
        let public = pair.public_key().as_ref().try_into().expect("Ed25519 keys have 32 bytes");
        Ok(Self { verifier: VerifierKey { name: name.to_owned(), scheme, public }, seed, pair })
    }

    /// Reads what [`SigningKey::to_secret`] writes.
    pub fn parse(text: &Secret) -> Result<Self, KeyError> {
        let text = text.expose().strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Malformed)?;
        let (name, id, scheme, seed) = parse_key(text)?;
        let key = Self::new(&name, scheme, seed)?;
        if key.verifier.id() == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The text to keep.
    pub fn to_secret(&self) -> Secret {
        let material = [&[self.verifier.scheme as u8][..], &self.seed].concat();
        let (name, id) = (&self.verifier.name, self.verifier.id());
        Secret::new(format!("PRIVATE+KEY+{name}+{id:08x}+{}", BASE64.encode(&material)))
    }

    /// The key to give away.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text at no time in particular.
    ///
    /// # Panics
    /// If the key is for cosignatures, which have a time.
    pub fn sign(&self, text: &str) -> SignatureLine {
        assert_eq!(self.verifier.scheme, Scheme::Ed25519, "cosignatures have a time");
        self.line(self.pair.sign(text.as_bytes()).as_ref().to_vec())
    }

    /// Cosigns a checkpoint's text at `time`, in seconds since 1970; `None` for times before 1970's
    /// first second or that no 63 bits hold.
    ///
    /// # Panics
    /// If the key is not for cosignatures.
    pub fn cosign(&self, text: &str, time: u64) -> Option<SignatureLine> {
        assert_eq!(self.verifier.scheme, Scheme::Cosignature, "only cosignatures have a time");
        let signature = self.pair.sign(&message(text, Some(time))?);
        Some(self.line([&time.to_be_bytes()[..], signature.as_ref()].concat()))
    }

    fn line(&self, signature: Vec<u8>) -> SignatureLine {
        let (name, key_id) = (self.verifier.name.clone(), self.verifier.id());
        SignatureLine { name, key_id, signature }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

/// Key names have neither spaces nor `+`.
pub(super) fn is_name(name: &str) -> bool {
    let printable = |char: char| !char.is_whitespace() && !char.is_control() && char != '+';
    !name.is_empty() && name.chars().all(printable)
}

fn parse_key(text: &str) -> Result<(String, u32, Scheme, [u8; 32]), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
    let (id, material) = rest.split_once('+').ok_or(KeyError::Malformed)?;
    if !is_name(name) {
        return Err(KeyError::Name);
    }
    let id = HEXLOWER.decode(id.as_bytes()).map_err(|_| KeyError::Malformed)?;
    let id = id.try_into().map_err(|_| KeyError::Malformed)?;
    let material = BASE64.decode(material.as_bytes()).map_err(|_| KeyError::Malformed)?;
    let (scheme, key) = material.split_first().ok_or(KeyError::Malformed)?;
    let scheme = match scheme {
        0x01 => Scheme::Ed25519,
        0x04 => Scheme::Cosignature,
        _ => return Err(KeyError::Scheme),
    };
    let key = key.try_into().map_err(|_| KeyError::Malformed)?;
    Ok((name.to_owned(), u32::from_be_bytes(id), scheme, key))
}
