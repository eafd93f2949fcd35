//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) over padded bytes.

use std::{error::Error, fmt};

use chacha20poly1305::{
    AeadInOut, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::inout::InOutBuf,
};
use selvedge_crdt::Malformed;

use crate::{
    NONCE_BYTES, SECRET_BYTES,
    padding::{framed_len, pad, unpad},
};

/// Bytes of the tag behind what is sealed.
pub(crate) const TAG_BYTES: usize = 16;

/// The only version of sealed bytes there is.
const VERSION: u8 = 1;

/// Why sealed bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// They were not sealed under this key for this place, or were changed since.
    Closed,
    /// They are cut off, or go on after the end.
    Length,
    /// A version that this one does not read.
    Version(u8),
    /// What was sealed is not padded as it must be: its author's fault.
    Padding,
    /// There is no key for the epoch under which they were sealed.
    Epoch(u32),
    /// What was sealed is not what it should be: its author's fault.
    Content(Malformed),
}

/// A key for one purpose.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub fn new(key: [u8; SECRET_BYTES]) -> Self {
        Cipher(XChaCha20Poly1305::new(&Key::from(key)))
    }

    /// How long `len` bytes are once they are sealed.
    pub const fn sealed_len(len: usize) -> usize {
        1 + NONCE_BYTES + framed_len(len) + TAG_BYTES
    }

    /// Appends `parts`, padded and sealed.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], place: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(nonce);
        let start = out.len();
        pad(out, parts);
        let tag = self.encrypt(nonce, place, &mut out[start..]);
        out.extend(tag);
    }

    /// What was sealed.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (version, sealed) = sealed.split_first().ok_or(OpenError::Length)?;
        if *version != VERSION {
            return Err(OpenError::Version(*version));
        }
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(OpenError::Length)?;
        let (text, tag) = sealed.split_last_chunk().ok_or(OpenError::Length)?;
        let mut padded = text.to_vec();
        self.decrypt(*nonce, place, &mut padded, *tag)?;
        unpad(&padded).map(<[u8]>::to_vec).ok_or(OpenError::Padding)
    }

    /// Encrypts in place.
    pub fn encrypt(
        &self,
        nonce: [u8; NONCE_BYTES],
        place: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let nonce = XNonce::from(nonce);
        let tag = self.0.encrypt_inout_detached(&nonce, place, InOutBuf::from(text));
        tag.expect("no text here has the 256 GiB that are too long").into()
    }

    /// Decrypts in place; what is left there where this fails is nothing to be read.
    pub fn decrypt(
        &self,
        nonce: [u8; NONCE_BYTES],
        place: &[u8],
        text: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> Result<(), OpenError> {
        let (nonce, tag) = (XNonce::from(nonce), Tag::from(tag));
        let opened = self.0.decrypt_inout_detached(&nonce, place, InOutBuf::from(text), &tag);
        opened.map_err(|_| OpenError::Closed)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Closed => f.write_str("this was not sealed under this key for this place"),
            OpenError::Length => f.write_str("what is sealed has a wrong length"),
            OpenError::Version(version) => {
                write!(f, "version {version} of sealing is not known here")
            }
            OpenError::Padding => f.write_str("what was sealed is not padded as it must be"),
            OpenError::Epoch(epoch) => write!(f, "there is no key of epoch {epoch} here"),
            OpenError::Content(why) => write!(f, "what was sealed is wrong: {why}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Content(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Malformed> for OpenError {
    fn from(why: Malformed) -> Self {
        OpenError::Content(why)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn the_vector_of_the_draft() {
        let key = std::array::from_fn(|at| 0x80 + at as u8);
        let nonce = std::array::from_fn(|at| 0x40 + at as u8);
        let aad = HEXLOWER.decode(b"50515253c0c1c2c3c4c5c6c7").expect("hexadecimal digits");
        let plain =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
            future, sunscreen would be it.";
        let cipher = Cipher::new(key);
        let mut text = plain.to_vec();
        let tag = cipher.encrypt(nonce, &aad, &mut text);
        assert_eq!(
            HEXLOWER.encode(&text),
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f\
             4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f\
             76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
        );
        assert_eq!(HEXLOWER.encode(&tag), "c0875924c1c7987947deafd8780acf49");
        cipher.decrypt(nonce, &aad, &mut text, tag).expect("it was sealed here");
        assert_eq!(text, plain);
    }

    #[test]
    fn what_is_no_sealed_text_is_told() {
        let cipher = Cipher::new([1; 32]);
        let mut sealed = Vec::new();
        cipher.seal([2; 24], b"here", &[b"milk"], &mut sealed);
        assert_eq!(sealed.len(), Cipher::sealed_len(4));
        assert_eq!(cipher.open(b"here", &sealed).as_deref(), Ok(&b"milk"[..]));
        assert_eq!(cipher.open(b"there", &sealed), Err(OpenError::Closed));
        assert_eq!(cipher.open(b"here", &sealed[..40]), Err(OpenError::Length));
        assert_eq!(cipher.open(b"here", b""), Err(OpenError::Length));
        assert_eq!(
            cipher.open(b"here", &[&[9], &sealed[1..]].concat()),
            Err(OpenError::Version(9))
        );
    }

    #[test]
    fn padding_that_is_none_is_told() {
        let cipher = Cipher::new([1; 32]);
        let mut sealed = [&[VERSION][..], &[2; 24], &[0; 65]].concat();
        sealed[25..29].copy_from_slice(&61u32.to_le_bytes());
        let tag = cipher.encrypt([2; 24], b"here", &mut sealed[25..]);
        sealed.extend(tag);
        assert_eq!(cipher.open(b"here", &sealed), Err(OpenError::Padding));
    }
}
