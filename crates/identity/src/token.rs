//! A service token as text: `slv_ID_SECRET`, with a checksum that tells it from random text.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use data_encoding::BASE32_NOPAD;
use selvedge_base::Secret;

/// In front of each token, so that a person or a scanner who finds one knows what it is.
pub const PREFIX: &str = "slv_";
/// Letters of an id: 40 bits.
const ID_LETTERS: usize = 8;
/// Letters of 256 random bits.
const SECRET_LETTERS: usize = 52;
/// Letters of the CRC-32 of all that is in front of it.
const CHECK_LETTERS: usize = 7;

/// A token that is whole: whether anybody knows it is another matter.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    text: Secret,
}

/// Why text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It does not look like one.
    Form,
    /// It is cut short or mistyped.
    Checksum,
}

impl Token {
    /// A new one; `None` when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        let (mut id, mut secret) = ([0; 5], [0; 32]);
        rand::fill(&mut id).and_then(|()| rand::fill(&mut secret)).ok()?;
        let id = letters(&id);
        let text = format!("{PREFIX}{id}_{}", letters(&secret));
        let text = Secret::new(format!("{text}{}", checksum(&text)));
        Some(Self { id, text })
    }

    /// Reads what somebody sent.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError::Form)?;
        let (id, secret) = rest.split_once('_').ok_or(TokenError::Form)?;
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
        let is_formed = id.len() == ID_LETTERS
            && secret.len() == SECRET_LETTERS + CHECK_LETTERS
            && id.bytes().chain(secret.bytes()).all(is_letter);
        if !is_formed {
            return Err(TokenError::Form);
        }
        let (front, check) = text.split_at(text.len() - CHECK_LETTERS);
        match checksum(front) == check {
            true => Ok(Self { id: id.to_owned(), text: Secret::new(text) }),
            false => Err(TokenError::Checksum),
        }
    }

    /// By which it is looked up and revoked; no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole of it, for the one who asked for it.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// What is kept of it. The secret is random, so a fast hash keeps it as well as a slow one would.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(self.text.expose())
    }
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

fn letters(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn checksum(text: &str) -> String {
    letters(&crc32fast::hash(text.as_bytes()).to_be_bytes())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, [redacted])", self.id)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "this is not a token of `selvedge token create`",
            Self::Checksum => "the token is cut short or mistyped",
        })
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made() {
        let token = Token::generate().unwrap();
        let text = token.text().expose();
        assert_eq!(text.len(), 4 + 8 + 1 + 52 + 7);
        assert_eq!(Token::parse(text), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(text));
        assert_ne!(Token::generate().unwrap().text(), token.text());
    }

    /// The format is a promise to scanners: this very text stays a token.
    #[test]
    fn the_format_is_kept() {
        let text = format!("slv_abcdefgh_{}flckmoi", "a".repeat(52));
        assert_eq!(Token::parse(&text).unwrap().id(), "abcdefgh");
    }

    proptest! {
        #[test]
        fn a_typo_is_noticed(at in 13..65usize, letter in "[a-z2-7]") {
            let token = Token::generate().unwrap();
            let text = token.text().expose();
            let typo = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            prop_assume!(typo != text);
            prop_assert_eq!(Token::parse(&typo), Err(TokenError::Checksum));
        }

        #[test]
        fn no_text_is_a_fault(text in ".{0,100}") {
            prop_assert!(Token::parse(&text).is_err());
            let prefixed = format!("{PREFIX}{text}");
            prop_assert!(Token::parse(&prefixed).is_err());
        }
    }
}
