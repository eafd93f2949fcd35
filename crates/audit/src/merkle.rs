//! RFC 6962 Merkle trees over SHA-256: hashes, proofs, and who checks them.
//!
//! Sizes and indices are `u64`, and every one of them may come from an attacker: all arithmetic holds
//! up to `u64::MAX`.

mod frontier;
mod path;
mod prove;
mod verify;

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};
use data_encoding::{BASE64, HEXLOWER};

pub use frontier::Frontier;
pub use path::Span;
pub use prove::{NodeHashes, prove_consistency, prove_inclusion, prove_subtree, root};
pub use verify::{
    ProofError, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};

/// The most hashes that a proof can have.
pub const PROOF_HASHES_MAX: usize = 63;

/// A SHA-256 digest: a leaf, a node or a root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of a tree without leaves: the digest of nothing.
    pub fn of_nothing() -> Self {
        Self::of(&[])
    }

    /// The digest of plain bytes, as payloads that lie aside are named by.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finished(&digest::digest(&SHA256, bytes))
    }

    /// The hash of a leaf with this content.
    pub fn of_leaf(entry: &[u8]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        context.update(&[0x00]);
        context.update(entry);
        Self::finished(&context.finish())
    }

    /// The hash of the node above two others.
    pub fn of_node(left: Self, right: Self) -> Self {
        let mut text = [0x01; 65];
        text[1..33].copy_from_slice(&left.0);
        text[33..].copy_from_slice(&right.0);
        Self::of(&text)
    }

    /// Reads 32 bytes of standard base64, with nothing that could be spelt another way.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Standard base64, as checkpoints and proofs have it.
    pub fn to_base64(self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Lower-case hexadecimal, as file names have it.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn finished(digest: &digest::Digest) -> Self {
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}
