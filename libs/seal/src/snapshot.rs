//! Snapshots, sealed in chunks: STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, 2015) over XChaCha20-Poly1305.
//!
//! A chunk's nonce has a random prefix, its number, and whether it is the last; so chunks cannot be left out,
//! moved, repeated or taken from another snapshot, and neither side holds the whole snapshot twice.

use std::{error::Error, fmt, ops::Range};

use selvedge_crdt::session::{SNAPSHOT_BYTES_MAX, SnapshotHash};
use sha2::{Digest, Sha256};

use crate::{
    NONCE_BYTES,
    cipher::{OpenError, TAG_BYTES},
    epoch::EpochKey,
    padding::padded_len,
};

/// Bytes of a chunk before it is sealed; the last may have fewer.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes of a sealed chunk.
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Bytes of the random part of a nonce.
const PREFIX_BYTES: usize = 19;

/// Bytes of the length in front of the snapshot.
const LEN_BYTES: usize = 8;

/// The only version there is.
const VERSION: u8 = 1;

/// A snapshot with more bytes than a relay keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A snapshot that is sealed chunk by chunk, as often as they are asked for.
pub struct SealedSnapshot<'a> {
    key: &'a EpochKey,
    place: Vec<u8>,
    plain: &'a [u8],
    prefix: [u8; PREFIX_BYTES],
}

impl<'a> SealedSnapshot<'a> {
    /// Seals `plain`; `prefix` is random, and never used for other bytes.
    ///
    /// # Errors
    /// More than a relay keeps.
    pub fn new(
        key: &'a EpochKey,
        plain: &'a [u8],
        prefix: [u8; PREFIX_BYTES],
    ) -> Result<Self, TooLarge> {
        let snapshot = SealedSnapshot { key, place: key.place("snapshot"), plain, prefix };
        let fits = snapshot.sealed_len() as u64 <= SNAPSHOT_BYTES_MAX;
        fits.then_some(snapshot).ok_or(TooLarge)
    }

    /// How many bytes all pieces have together.
    pub fn sealed_len(&self) -> usize {
        1 + PREFIX_BYTES + self.padded_len() + self.pieces() * TAG_BYTES
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        self.padded_len().div_ceil(CHUNK_BYTES)
    }

    /// The piece at `at`: a sealed chunk, and the first has the beginning in front. Nothing after the last.
    pub fn piece(&self, at: usize) -> Option<Vec<u8>> {
        let last = self.pieces() - 1;
        if at > last {
            return None;
        }
        let mut out = Vec::with_capacity(1 + PREFIX_BYTES + SEALED_CHUNK_BYTES);
        if at == 0 {
            out.push(VERSION);
            out.extend(self.prefix);
        }
        let start = out.len();
        self.put_chunk(at * CHUNK_BYTES, &mut out);
        let nonce = nonce(&self.prefix, at as u32, at == last);
        let tag = self.key.snapshots.encrypt(nonce, &self.place, &mut out[start..]);
        out.extend(tag);
        Some(out)
    }

    /// All pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..self.pieces()).filter_map(|at| self.piece(at))
    }

    /// The name of all pieces together, under which a relay keeps them.
    pub fn hash(&self) -> SnapshotHash {
        let mut hash = Sha256::new();
        self.iter().for_each(|piece| hash.update(piece));
        SnapshotHash(hash.finalize().into())
    }

    fn padded_len(&self) -> usize {
        padded_len(LEN_BYTES + self.plain.len())
    }

    /// Appends a chunk's bytes of the length, the snapshot and the zeros behind it.
    fn put_chunk(&self, from: usize, out: &mut Vec<u8>) {
        let end = out.len() + CHUNK_BYTES.min(self.padded_len() - from);
        if from == 0 {
            out.extend((self.plain.len() as u64).to_le_bytes());
        }
        let wanted = from.saturating_sub(LEN_BYTES)..from + CHUNK_BYTES - LEN_BYTES;
        out.extend_from_slice(&self.plain[within(wanted, self.plain.len())]);
        out.resize(end, 0);
    }
}

/// Opens a snapshot that arrives in pieces of any size.
pub struct SnapshotOpener<'k> {
    key: &'k EpochKey,
    place: Vec<u8>,
    head: Vec<u8>,
    pending: Vec<u8>,
    chunks: u32,
    plain: Vec<u8>,
}

impl<'k> SnapshotOpener<'k> {
    /// Waits for a snapshot that was sealed under `key`.
    pub fn new(key: &'k EpochKey) -> Self {
        let place = key.place("snapshot");
        let (head, pending, plain) = (Vec::new(), Vec::new(), Vec::new());
        SnapshotOpener { key, place, head, pending, chunks: 0, plain }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// A chunk that does not open; nothing comes of this snapshot any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), OpenError> {
        bytes = fill(&mut self.head, bytes, 1 + PREFIX_BYTES);
        while !bytes.is_empty() {
            if self.pending.len() == SEALED_CHUNK_BYTES {
                self.open_chunk(false)?;
            }
            bytes = fill(&mut self.pending, bytes, SEALED_CHUNK_BYTES);
        }
        Ok(())
    }

    /// The snapshot, once all of its bytes were taken.
    ///
    /// # Errors
    /// One that is cut off or does not open.
    pub fn finish(mut self) -> Result<Vec<u8>, OpenError> {
        self.open_chunk(true)?;
        let (len, rest) = self.plain.split_first_chunk().ok_or(OpenError::Length)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| OpenError::Padding)?;
        let (_, zeros) = rest.split_at_checked(len).ok_or(OpenError::Padding)?;
        let right = padded_len(LEN_BYTES + len) == self.plain.len();
        if !right || zeros.iter().any(|byte| *byte != 0) {
            return Err(OpenError::Padding);
        }
        self.plain.truncate(LEN_BYTES + len);
        self.plain.drain(..LEN_BYTES);
        Ok(self.plain)
    }

    fn open_chunk(&mut self, is_last: bool) -> Result<(), OpenError> {
        let (version, prefix) = self.head.split_first().ok_or(OpenError::Length)?;
        if *version != VERSION {
            return Err(OpenError::Version(*version));
        }
        let prefix = prefix.try_into().map_err(|_| OpenError::Length)?;
        let nonce = nonce(prefix, self.chunks, is_last);
        let (text, tag) = self.pending.split_last_chunk().ok_or(OpenError::Length)?;
        let start = self.plain.len();
        if (start + text.len()) as u64 > SNAPSHOT_BYTES_MAX {
            return Err(OpenError::Length);
        }
        self.plain.extend_from_slice(text);
        self.key.snapshots.decrypt(nonce, &self.place, &mut self.plain[start..], *tag)?;
        self.pending.clear();
        self.chunks += 1;
        Ok(())
    }
}

/// The part of `range` that lies in `len` bytes.
fn within(range: Range<usize>, len: usize) -> Range<usize> {
    range.start.min(len)..range.end.min(len)
}

/// Moves bytes into `buffer` until it has `len`, and returns the rest.
fn fill<'a>(buffer: &mut Vec<u8>, bytes: &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(len - buffer.len()));
    buffer.extend_from_slice(taken);
    rest
}

fn nonce(prefix: &[u8; PREFIX_BYTES], chunk: u32, is_last: bool) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..PREFIX_BYTES].copy_from_slice(prefix);
    nonce[PREFIX_BYTES..NONCE_BYTES - 1].copy_from_slice(&chunk.to_be_bytes());
    nonce[NONCE_BYTES - 1] = u8::from(is_last);
    nonce
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the snapshot has more bytes than a relay keeps")
    }
}

impl Error for TooLarge {}
