//! Batches whose bodies only members read.

use selvedge_crdt::{Batch, BatchHash, Header};

use crate::{NONCE_BYTES, cipher::OpenError, epoch::EpochKey};

impl EpochKey {
    /// The bytes of `batch` behind one with the hash `prev`, as they are pushed: the plain header, and the
    /// sealed body. `nonce` is random.
    pub fn seal_batch(&self, batch: &Batch, prev: BatchHash, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut out = Vec::new();
        batch.header(prev).write(&mut out);
        let place = [&self.place("batch"), &out[..]].concat();
        self.batches.seal(nonce, &place, &[&batch.encode_body()], &mut out);
        out
    }

    /// Opens and reads a batch as it was pushed.
    ///
    /// # Errors
    /// What was not sealed here by a member, and what is no batch.
    pub fn open_batch(&self, pushed: &[u8]) -> Result<(Header, Batch), OpenError> {
        let (header, sealed) = Header::read(pushed)?;
        let plain_part = &pushed[..pushed.len() - sealed.len()];
        let place = [&self.place("batch"), plain_part].concat();
        let body = self.batches.open(&place, sealed)?;
        let batch = Batch::decode_body(&header, &body)?;
        Ok((header, batch))
    }
}
