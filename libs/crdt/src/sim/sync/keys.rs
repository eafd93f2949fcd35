//! Keys that hide nothing and prove nothing to anybody but the simulator.

use sha2::{Digest, Sha256};

use crate::{
    Batch, BatchHash, Header,
    session::{
        DeviceId, DocumentId, KeyPlace, Keys, NONCE_BYTES, Record, Signature, Unreadable,
        proof_bytes,
        relay::{ADMIN, Grant, READ, SNAPSHOT, Trust, WRITE},
    },
};

/// A device's keys, and those of every epoch.
#[derive(Clone, Debug)]
pub(super) struct SimKeys {
    pub device: DeviceId,
    /// So that nothing is sealed the same way twice.
    pub nonce: u64,
}

pub(super) fn sign(device: DeviceId, bytes: &[u8]) -> Signature {
    let digest = Sha256::new().chain_update(device.0).chain_update(bytes).finalize();
    let twice = [&digest[..], &digest[..]].concat();
    Signature(*twice.first_chunk().expect("two halves are a whole"))
}

fn seal(epoch: u32, nonce: u64, plain: &[u8], out: &mut Vec<u8>) {
    out.extend(epoch.to_le_bytes());
    out.extend(nonce.to_le_bytes());
    out.extend(plain.iter().map(|byte| byte ^ 0x5a));
}

pub(super) fn unseal(epoch: u32, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let (head, text) = sealed.split_at_checked(12).ok_or(Unreadable::Broken)?;
    if head[..4] != epoch.to_le_bytes() {
        return Err(Unreadable::Broken);
    }
    Ok(text.iter().map(|byte| byte ^ 0x5a).collect())
}

/// What was pushed, read.
pub(super) fn open(epoch: u32, pushed: &[u8]) -> Result<Batch, Unreadable> {
    let (header, sealed) = Header::read(pushed).map_err(|_| Unreadable::Broken)?;
    let body = if epoch == 0 { sealed.to_vec() } else { unseal(epoch, sealed)? };
    Batch::decode_body(&header, &body).map_err(|_| Unreadable::Broken)
}

impl Keys for SimKeys {
    fn device(&self) -> DeviceId {
        self.device
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        sign(self.device, bytes)
    }

    fn verify(&self, device: DeviceId, bytes: &[u8], signature: &Signature) -> bool {
        sign(device, bytes) == *signature
    }

    fn seal_batch(
        &mut self,
        place: KeyPlace<'_>,
        batch: &Batch,
        prev: BatchHash,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        batch.header(prev).write(&mut out);
        self.nonce += 1;
        seal(place.epoch, self.nonce, &batch.encode_body(), &mut out);
        Some(out)
    }

    fn open_batch(&self, place: KeyPlace<'_>, pushed: &[u8]) -> Result<Batch, Unreadable> {
        open(place.epoch, pushed)
    }

    fn seal_snapshot(&mut self, place: KeyPlace<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.nonce += 1;
        seal(place.epoch, self.nonce, plain, &mut out);
        Some(out)
    }

    fn open_snapshot(&self, place: KeyPlace<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        unseal(place.epoch, sealed)
    }

    fn take_keys(&mut self, _: &DocumentId, record: &Record<'_>) -> bool {
        matches!(record, Record::Keys { .. })
    }
}

/// What the relay believes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimTrust;

impl Trust for SimTrust {
    fn grant(&self, _: &DocumentId, _: &DeviceId, token: &str, _: u64) -> Option<Grant> {
        let rights = READ | WRITE | SNAPSHOT | ADMIN;
        (token == "all").then(|| Grant { rights, expires_ms: u64::MAX, id: "all".into() })
    }

    fn is_proven(
        &self,
        challenge: &[u8; NONCE_BYTES],
        document: &DocumentId,
        device: &DeviceId,
        (token, proof): (&str, &Signature),
    ) -> bool {
        sign(*device, &proof_bytes(challenge, document, token.as_bytes())) == *proof
    }

    fn is_signed(&self, document: &DocumentId, record: &Record<'_>) -> bool {
        record
            .signature()
            .is_some_and(|(device, it)| sign(device, &record.signed_bytes(document)) == it)
    }
}
