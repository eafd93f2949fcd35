//! Keys as PEM (RFC 7468). Of an Ed25519 key (RFC 8410) there are three encodings in use, each a fixed text before
//! and behind 32 bytes; everything else is refused.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::KeyError;

/// SubjectPublicKeyInfo.
const PUBLIC: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// PKCS #8, version 1.
const PRIVATE: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// PKCS #8, version 2, which has the public key behind.
const PRIVATE_2: &[u8] = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// What stands between the halves in version 2.
const PUBLIC_BEHIND: &[u8] = b"\x81\x21\x00";

/// Letters of a line.
const LINE: usize = 64;

/// Bytes of a file, at most.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Copy)]
pub(super) enum Label {
    Private,
    Public,
}

impl Label {
    fn name(self) -> &'static str {
        match self {
            Label::Private => "PRIVATE KEY",
            Label::Public => "PUBLIC KEY",
        }
    }
}

/// The key in `text`, if there is a block of this label.
pub(super) fn read(text: &str, label: Label) -> Result<Option<Zeroizing<[u8; 32]>>, KeyError> {
    let (begin, end) = markers(label);
    let Some((_, rest)) = text.split_once(&begin) else { return Ok(None) };
    let (body, _) = rest.split_once(&end).ok_or(KeyError::Form)?;
    if body.len() > TEXT_BYTES_MAX {
        return Err(KeyError::Form);
    }
    let letters: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = BASE64.decode(letters.as_bytes()).map_err(|_| KeyError::Form)?;
    unwrap(&Zeroizing::new(der), label).map(Some).ok_or(KeyError::Kind)
}

/// A key as PEM.
pub(super) fn write(label: Label, key: &[u8; 32]) -> Zeroizing<String> {
    let front = match label {
        Label::Private => PRIVATE,
        Label::Public => PUBLIC,
    };
    let letters = Zeroizing::new(BASE64.encode(&Zeroizing::new([front, key].concat())));
    let (begin, end) = markers(label);
    debug_assert!(letters.len() <= LINE, "one line has it all");
    Zeroizing::new(format!("{begin}\n{}\n{end}\n", *letters))
}

fn markers(label: Label) -> (String, String) {
    let name = label.name();
    (format!("-----BEGIN {name}-----"), format!("-----END {name}-----"))
}

fn unwrap(der: &[u8], label: Label) -> Option<Zeroizing<[u8; 32]>> {
    let (key, behind) = match label {
        Label::Public => der.strip_prefix(PUBLIC)?.split_first_chunk()?,
        Label::Private => {
            let first = der.strip_prefix(PRIVATE).map(|key| (key, false));
            let second = || der.strip_prefix(PRIVATE_2).map(|key| (key, true));
            let (key, has_public) = first.or_else(second)?;
            let (key, behind) = key.split_first_chunk()?;
            let behind = if has_public { public_behind(key, behind)? } else { behind };
            (key, behind)
        }
    };
    behind.is_empty().then(|| Zeroizing::new(*key))
}

/// What is left behind the public half, if it is the other half of `seed`.
fn public_behind<'a>(seed: &[u8; 32], behind: &'a [u8]) -> Option<&'a [u8]> {
    let (public, rest) = behind.strip_prefix(PUBLIC_BEHIND)?.split_first_chunk()?;
    let own = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key().to_bytes();
    (own == *public).then_some(rest)
}
