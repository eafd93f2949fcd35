//! Who and what a session is about.

use std::{cmp::Ordering, fmt, sync::Arc};

use sha2::{Digest, Sha256};

use crate::wire::{Malformed, Reader, put_count};

/// Bytes of a tenant's name, at most.
pub const TENANT_BYTES_MAX: usize = 64;

/// Bytes of a document's name, at most.
pub const DOCUMENT_BYTES_MAX: usize = 128;

/// Bytes of a relay's challenge.
pub const NONCE_BYTES: usize = 16;

/// A document among all that a relay has.
///
/// A tenant's name has 1 to 64 letters, digits, `-`, `_` and `.`; a document's 1 to 128 of these, `~` and `/`,
/// with something on both sides of each `/`. No part of either is `.` or `..`.
///
/// Copies share their text: whatever a relay keeps of a document has the name of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DocumentId {
    /// Both names; no tenant's has the `/` between them.
    text: Arc<str>,
}

impl DocumentId {
    /// Takes two names, if they are such.
    pub fn new(tenant: &str, name: &str) -> Option<Self> {
        let fits = tenant.len() <= TENANT_BYTES_MAX && is_part(tenant, "-_.");
        let fits = fits && name.len() <= DOCUMENT_BYTES_MAX;
        let fits = fits && name.split('/').all(|part| is_part(part, "-_.~"));
        fits.then(|| DocumentId { text: format!("{tenant}/{name}").into() })
    }

    /// Whose it is.
    pub fn tenant(&self) -> &str {
        self.names().0
    }

    /// What it is called there.
    pub fn name(&self) -> &str {
        self.names().1
    }

    fn names(&self) -> (&str, &str) {
        self.text.split_once('/').expect("it was made of two names")
    }

    /// Appends both names, each behind its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (tenant, name) = self.names();
        put_bytes(out, tenant.as_bytes());
        put_bytes(out, name.as_bytes());
    }

    /// Reads what [`write`](DocumentId::write) wrote.
    ///
    /// # Errors
    /// What names no document.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tenant = read_str(reader, TENANT_BYTES_MAX, "bytes of a tenant's name")?;
        let name = read_str(reader, DOCUMENT_BYTES_MAX, "bytes of a document's name")?;
        DocumentId::new(tenant, name).ok_or(Malformed::Invalid("this names no document"))
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentId({self})")
    }
}

impl Ord for DocumentId {
    /// By tenant, then by name.
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(&other.names())
    }
}

impl PartialOrd for DocumentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_part(part: &str, more: &str) -> bool {
    let known = |it: char| it.is_ascii_alphanumeric() || more.contains(it);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(known)
}

/// A device: its Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub [u8; 32]);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// One life of a document's log at a relay: drawn at random when the log begins, and anew when a relay is
/// restored from a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

/// What a device signs to show that a token is its own: the relay's challenge, the document, the token.
pub fn proof_bytes(challenge: &[u8; NONCE_BYTES], document: &DocumentId, token: &[u8]) -> Vec<u8> {
    let mut bytes = b"selvedge-sync.1 open\0".to_vec();
    bytes.extend(challenge);
    document.write(&mut bytes);
    bytes.extend(Sha256::digest(token));
    bytes
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend(bytes);
}

/// Bytes behind their length.
pub(super) fn read_bytes<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
) -> Result<&'a [u8], Malformed> {
    let len = reader.count(max, what)?;
    reader.take(len)
}

/// Text behind its length.
pub(super) fn read_str<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
) -> Result<&'a str, Malformed> {
    let bytes = read_bytes(reader, max, what)?;
    str::from_utf8(bytes).map_err(|_| Malformed::Invalid("text that is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tenant: &str, name: &str, expected: bool) {
        assert_eq!(DocumentId::new(tenant, name).is_some(), expected, "{tenant} {name}");
    }

    #[test]
    fn names() {
        check("acme", "notes/ann", true);
        check("acme.eu", "a/b~1/c_d-e.f", true);
        for name in ["", "/", "a/", "/a", "a//b", "a/../b", ".", "ä", "a b", "a\0", "a?b"] {
            check("acme", name, false);
            check(name, "notes", false);
        }
        check("a/b", "notes", false);
        check(&"a".repeat(64), &"b".repeat(128), true);
        check(&"a".repeat(65), "b", false);
        check("a", &"b".repeat(129), false);
    }

    #[test]
    fn documents_are_in_order_by_tenant() {
        let all = [("a", "z"), ("a-b", "a"), ("a.b", "a"), ("ab", "a")];
        let ids = all.map(|(tenant, name)| DocumentId::new(tenant, name).expect("a name"));
        assert!(ids.is_sorted());
        assert_eq!(ids.each_ref().map(|id| (id.tenant(), id.name())), all);
        assert_eq!(format!("{} {:?}", ids[1], ids[0]), "a-b/a DocumentId(a/z)");
    }

    #[test]
    fn a_proof_is_for_one_challenge_document_and_token() {
        let notes = DocumentId::new("acme", "notes").expect("a name");
        let other = DocumentId::new("acm", "enotes").expect("a name");
        let proof = proof_bytes(&[1; 16], &notes, b"token");
        assert_ne!(proof, proof_bytes(&[2; 16], &notes, b"token"));
        assert_ne!(proof, proof_bytes(&[1; 16], &other, b"token"));
        assert_ne!(proof, proof_bytes(&[1; 16], &notes, b"other"));
    }
}
