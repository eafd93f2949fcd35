//! Whose tokens count, what they give, and which were revoked.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use selvedge_crdt::session::{
    DeviceId, DocumentId, NONCE_BYTES, Record, Signature,
    relay::{Grant, Trust},
};
use selvedge_seal::{
    token::{Issuers, SKEW_SECONDS},
    verify_proof, verify_record,
};

/// Keys of issuers, and revoked tokens.
pub(crate) struct Warden {
    issuers: RwLock<Issuers>,
    /// With the second at which each would have ended.
    revoked: RwLock<HashMap<String, u64>>,
}

impl Warden {
    pub(crate) fn new(issuers: Issuers) -> Self {
        Self { issuers: RwLock::new(issuers), revoked: RwLock::default() }
    }

    /// From now on the tokens of these count.
    pub(crate) fn set_issuers(&self, issuers: Issuers) {
        *self.issuers.write().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    pub(crate) fn revoke(&self, id: String, until_s: u64) {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).insert(id, until_s);
    }

    /// Forgets revocations of what has ended anyhow.
    pub(crate) fn forget(&self, now_s: u64) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, until_s| now_s < until_s.saturating_add(SKEW_SECONDS));
    }

    pub(crate) fn is_revoked(&self, id: &str) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    pub(crate) fn revocations(&self) -> usize {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Trust for Warden {
    fn grant(
        &self,
        document: &DocumentId,
        device: &DeviceId,
        token: &str,
        now_ms: u64,
    ) -> Option<Grant> {
        let issuers = self.issuers.read().unwrap_or_else(PoisonError::into_inner);
        let capability = issuers.verify(token, now_ms / 1000).ok()?;
        let rights = capability.rights_on(document).bits();
        let is_its = capability.holder.is(device) && !self.is_revoked(&capability.id);
        let end_s = capability.expires.saturating_add(SKEW_SECONDS);
        let expires_ms = end_s.saturating_mul(1000);
        is_its.then_some(Grant { rights, expires_ms, id: capability.id })
    }

    fn is_proven(
        &self,
        challenge: &[u8; NONCE_BYTES],
        document: &DocumentId,
        device: &DeviceId,
        (token, proof): (&str, &Signature),
    ) -> bool {
        verify_proof(device, (challenge, document, token.as_bytes()), proof).is_ok()
    }

    fn is_signed(&self, document: &DocumentId, record: &Record<'_>) -> bool {
        verify_record(document, record).is_ok()
    }
}
