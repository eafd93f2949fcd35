//! Those who sign tokens.

use std::{collections::BTreeSet, error::Error, fmt};

use ed25519_dalek::{Signer, SigningKey};
use selvedge_crdt::session::{DeviceId, Signature, TOKEN_BYTES_MAX};

use super::{
    Capability, SKEW_SECONDS, TokenError, claims,
    header::{KEY_ID_BYTES_MAX, Parts, join},
    jwk::{self, KeyError},
};
use crate::{SECRET_BYTES, device::verify};

/// Issuers, at most: the keys of a relay's config, old ones included.
const ISSUERS_MAX: usize = 128;

/// The private key of an issuer.
pub struct IssuerKey {
    pub(super) id: String,
    pub(super) signing: SigningKey,
}

/// The public key of an issuer, and for whom it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    pub(super) id: String,
    pub(super) key: [u8; 32],
    pub(super) tenants: Tenants,
}

/// For which tenants an issuer may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// For all.
    All,
    /// For these.
    Only(BTreeSet<String>),
}

/// Those whose tokens count.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    issuers: Vec<Issuer>,
}

/// Why a capability cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// Nobody would take it: this claim is not what it must be.
    Claim(&'static str),
    /// It would be longer than a session carries.
    TooLong,
}

impl IssuerKey {
    /// The key of these random bytes; its id is its thumbprint (RFC 7638).
    pub fn from_seed(seed: [u8; SECRET_BYTES]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        IssuerKey { id: jwk::default_id(&signing.verifying_key().to_bytes()), signing }
    }

    /// The same key under another id, of 1 to 128 bytes.
    ///
    /// # Errors
    /// A longer id, or none.
    pub fn with_id(self, id: &str) -> Result<Self, KeyError> {
        check_id(id).map(|id| IssuerKey { id, ..self })
    }

    /// Its id (`kid`).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half, which may sign for all tenants.
    pub fn public(&self) -> Issuer {
        let key = self.signing.verifying_key().to_bytes();
        Issuer { id: self.id.clone(), key, tenants: Tenants::All }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// A capability that nobody would take.
    pub fn mint(&self, capability: &Capability) -> Result<String, MintError> {
        claims::check(capability).map_err(|why| match why {
            TokenError::Claim(claim) => MintError::Claim(claim),
            _ => MintError::Claim("cnf"),
        })?;
        let signed = join(&self.id, &claims::write(capability));
        let signature = self.signing.sign(signed.as_bytes()).to_bytes();
        let token = format!("{signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&signature));
        if token.len() > TOKEN_BYTES_MAX { Err(MintError::TooLong) } else { Ok(token) }
    }
}

impl Issuer {
    /// Its id (`kid`).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same key under another id, of 1 to 128 bytes.
    ///
    /// # Errors
    /// A longer id, or none.
    pub fn with_id(self, id: &str) -> Result<Self, KeyError> {
        check_id(id).map(|id| Issuer { id, ..self })
    }

    /// The same key, for these tenants.
    #[must_use]
    pub fn for_tenants(self, tenants: Tenants) -> Self {
        Issuer { tenants, ..self }
    }
}

impl Tenants {
    fn has(&self, tenant: &str) -> bool {
        match self {
            Tenants::All => true,
            Tenants::Only(tenants) => tenants.contains(tenant),
        }
    }
}

impl Issuers {
    /// Adds one.
    ///
    /// # Errors
    /// Another key of the same id, and too many.
    pub fn add(&mut self, issuer: Issuer) -> Result<(), KeyError> {
        if self.issuers.iter().any(|known| known.id == issuer.id) {
            return Err(KeyError::SameId);
        } else if self.issuers.len() == ISSUERS_MAX {
            return Err(KeyError::TooMany);
        }
        self.issuers.push(issuer);
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter()
    }

    /// What a token says, once its signature holds and its time is come. `now` is in seconds since 1970.
    ///
    /// Whether whoever shows it is its holder, the caller verifies: [`verify_proof`](crate::verify_proof).
    ///
    /// # Errors
    /// A token that is not to be believed.
    pub fn verify(&self, token: &str, now: u64) -> Result<Capability, TokenError> {
        self.verify_ended(token, now, 0)
    }

    /// The same of a token that may have ended up to `late` seconds ago: one that is to be exchanged for another.
    ///
    /// # Errors
    /// A token that is not to be believed.
    pub fn verify_ended(&self, token: &str, now: u64, late: u64) -> Result<Capability, TokenError> {
        let parts = Parts::split(token)?;
        let issuer = self.issuer(parts.key_id.as_deref()).ok_or(TokenError::Key)?;
        let signature = Signature(parts.signature);
        verify(&DeviceId(issuer.key), parts.signed.as_bytes(), &signature)
            .map_err(|_| TokenError::Signature)?;
        let capability = claims::read(&parts.claims)?;
        let soon = now.saturating_add(SKEW_SECONDS);
        let begins = capability.not_before.max(capability.issued);
        if !issuer.tenants.has(&capability.tenant) {
            Err(TokenError::Tenant)
        } else if capability.is_over(now.saturating_sub(late)) {
            Err(TokenError::Expired)
        } else if begins.is_some_and(|begins| begins > soon) {
            Err(TokenError::NotYet)
        } else {
            Ok(capability)
        }
    }

    /// The key that a token names, or the only one there is.
    fn issuer(&self, id: Option<&str>) -> Option<&Issuer> {
        match (id, &self.issuers[..]) {
            (Some(id), all) => all.iter().find(|issuer| issuer.id == id),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

pub(super) fn check_id(id: &str) -> Result<String, KeyError> {
    let fits = (1..=KEY_ID_BYTES_MAX).contains(&id.len());
    fits.then(|| id.to_owned()).ok_or(KeyError::Id)
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKey({:?})", self.id)
    }
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MintError::Claim(claim) => write!(f, "nobody would take this {claim}"),
            MintError::TooLong => write!(f, "a token may have {TOKEN_BYTES_MAX} bytes"),
        }
    }
}

impl Error for MintError {}
