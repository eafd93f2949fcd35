//! Keys as JSON (RFC 7517, RFC 8037).

use std::{error::Error, fmt};

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Issuer, IssuerKey, Issuers, Tenants,
    header::decode_key,
    issuer::check_id,
    pem::{self, Label},
};

/// Bytes of a key's text, at most.
const KEY_TEXT_BYTES_MAX: usize = 16 << 10;

/// Bytes of the text of a set of keys, at most.
const SET_TEXT_BYTES_MAX: usize = 256 << 10;

/// Why a text is no key. It says nothing of what the text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Neither JSON nor PEM that a key could be.
    Form,
    /// Not an Ed25519 key to sign with.
    Kind,
    /// Not 32 bytes of base64url, a public key that is none, or two halves of different keys.
    Value,
    /// A public key where a private one should be.
    NotPrivate,
    /// An id of no, or of more than 128, bytes.
    Id,
    /// Another key has this id.
    SameId,
    /// More keys than there may be.
    TooMany,
    /// A set without a key that could be used.
    None,
}

/// Members that anybody looks at; one that occurs twice is an error.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    d: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

impl IssuerKey {
    /// Reads a private key: a JWK, or PEM (PKCS #8).
    ///
    /// # Errors
    /// What is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some(seed) = pem::read(text, Label::Private)? {
            return Ok(IssuerKey::from_seed(*seed));
        }
        let jwk = Jwk::parse(text)?;
        let issuer = jwk.issuer()?;
        let seed = jwk.d.as_ref().ok_or(KeyError::NotPrivate)?;
        let signing = SigningKey::from_bytes(&*decode_key(seed).ok_or(KeyError::Value)?);
        let halves_fit = signing.verifying_key().to_bytes() == issuer.key;
        halves_fit.then_some(IssuerKey { id: issuer.id, signing }).ok_or(KeyError::Value)
    }

    /// The private key as JWK.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let mut jwk = self.public().jwk();
        jwk["d"] = json!(BASE64URL_NOPAD.encode(self.signing.as_bytes()));
        Zeroizing::new(jwk.to_string())
    }

    /// The private key as PEM (PKCS #8, RFC 8410).
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::write(Label::Private, self.signing.as_bytes())
    }
}

impl Issuer {
    /// Reads a public key: a JWK, or PEM (SubjectPublicKeyInfo). A private one will do.
    ///
    /// # Errors
    /// What is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some(key) = pem::read(text, Label::Public)? {
            let issuer = Issuer { id: default_id(&key), key: *key, tenants: Tenants::All };
            return issuer.checked();
        }
        if pem::read(text, Label::Private)?.is_some() {
            return Ok(IssuerKey::parse(text)?.public());
        }
        Jwk::parse(text)?.issuer()
    }

    /// The public key as JWK.
    pub fn to_jwk(&self) -> String {
        self.jwk().to_string()
    }

    /// The public key as PEM (SubjectPublicKeyInfo, RFC 8410).
    pub fn to_pem(&self) -> String {
        pem::write(Label::Public, &self.key).to_string()
    }

    fn jwk(&self) -> Value {
        let mut jwk = public(&self.key);
        jwk["kid"] = json!(self.id);
        jwk["alg"] = json!("EdDSA");
        jwk["use"] = json!("sig");
        jwk
    }

    fn checked(self) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| KeyError::Value)?;
        if key.is_weak() { Err(KeyError::Value) } else { Ok(self) }
    }
}

impl Issuers {
    /// Reads a set of keys as issuers publish them. Keys of other kinds are passed over, as RFC 7517 says.
    ///
    /// # Errors
    /// What is no set, two keys of one id, and a set without a key to be used.
    pub fn parse(set: &str) -> Result<Self, KeyError> {
        if set.len() > SET_TEXT_BYTES_MAX {
            return Err(KeyError::TooMany);
        }
        let set: JwkSet = serde_json::from_str(set).map_err(|_| KeyError::Form)?;
        let mut issuers = Issuers::default();
        for jwk in &set.keys {
            match jwk.issuer() {
                Ok(issuer) => issuers.add(issuer)?,
                Err(KeyError::Kind) => {}
                Err(why) => return Err(why),
            }
        }
        if issuers.iter().next().is_none() { Err(KeyError::None) } else { Ok(issuers) }
    }
}

impl Jwk {
    fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > KEY_TEXT_BYTES_MAX {
            return Err(KeyError::Form);
        }
        serde_json::from_str(text).map_err(|_| KeyError::Form)
    }

    fn issuer(&self) -> Result<Issuer, KeyError> {
        let is = |member: &Option<String>, value: &str| member.as_deref() == Some(value);
        let signs = self.purpose.is_none() || is(&self.purpose, "sig");
        let may = self.alg.is_none() || is(&self.alg, "EdDSA") || is(&self.alg, "Ed25519");
        if !is(&self.kty, "OKP") || !is(&self.crv, "Ed25519") || !signs || !may {
            return Err(KeyError::Kind);
        }
        let key = self.x.as_deref().and_then(decode_key).ok_or(KeyError::Value)?;
        let id = match &self.kid {
            Some(id) => check_id(id)?,
            None => default_id(&key),
        };
        Issuer { id, key: *key, tenants: Tenants::All }.checked()
    }
}

impl Drop for Jwk {
    fn drop(&mut self) {
        self.d.zeroize();
    }
}

/// The members of a public key that say what it is.
pub(super) fn public(key: &[u8; 32]) -> Value {
    json!({ "crv": "Ed25519", "kty": "OKP", "x": BASE64URL_NOPAD.encode(key) })
}

/// RFC 7638: the SHA-256 of those members, in order, without blanks.
pub(super) fn thumbprint(key: &[u8; 32]) -> [u8; 32] {
    let x = BASE64URL_NOPAD.encode(key);
    Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)).into()
}

/// The id of a key that was given none.
pub(super) fn default_id(key: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(&thumbprint(key))
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Form => "this is neither a JWK nor a PEM file of one key",
            KeyError::Kind => "this is no Ed25519 key to sign with",
            KeyError::Value => "the bytes of the key are wrong",
            KeyError::NotPrivate => "this is a public key; a private one is needed",
            KeyError::Id => "the id of a key has 1 to 128 bytes",
            KeyError::SameId => "two keys have the same id",
            KeyError::TooMany => "there are too many keys",
            KeyError::None => "there is no Ed25519 key in this set",
        })
    }
}

impl Error for KeyError {}
