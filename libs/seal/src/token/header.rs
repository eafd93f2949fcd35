//! The header of a token, and the three parts.

use data_encoding::BASE64URL_NOPAD;
use selvedge_crdt::session::TOKEN_BYTES_MAX;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use zeroize::Zeroizing;

use super::claims::TokenError;

/// Bytes of a key's id, at most.
pub(super) const KEY_ID_BYTES_MAX: usize = 128;

/// A token taken apart. Nothing in it is to be believed before its signature holds.
pub(super) struct Parts<'a> {
    pub key_id: Option<String>,
    /// The header and the claims, as they were signed.
    pub signed: &'a str,
    pub claims: Vec<u8>,
    pub signature: [u8; 64],
}

/// Members of the header that anybody looks at. One that occurs twice is an error; the others, which include keys
/// and addresses of keys that whoever made the token would like to be looked up, are passed over.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    #[serde(default, deserialize_with = "is_there")]
    b64: bool,
}

impl<'a> Parts<'a> {
    /// Takes the compact form of RFC 7515 apart.
    pub fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Header)?;
        let key_id = header.settle()?;
        let claims = decode(claims)?;
        let signature = decode(signature)?.try_into().map_err(|_| TokenError::Signature)?;
        Ok(Parts { key_id, signed, claims, signature })
    }
}

impl Header {
    /// The id of the key, if all else is as it must be.
    fn settle(self) -> Result<Option<String>, TokenError> {
        let Header { alg, kid, typ, crit, b64 } = self;
        if crit || b64 {
            Err(TokenError::Critical)
        } else if alg != "EdDSA" && alg != "Ed25519" {
            Err(TokenError::Algorithm)
        } else if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            Err(TokenError::Type)
        } else if kid.as_ref().is_some_and(|kid| kid.len() > KEY_ID_BYTES_MAX) {
            Err(TokenError::Header)
        } else {
            Ok(kid)
        }
    }
}

/// A header and claims, as they are signed.
pub(super) fn join(key_id: &str, claims: &serde_json::Value) -> String {
    let header = serde_json::json!({ "alg": "EdDSA", "kid": key_id, "typ": "JWT" });
    let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}", part(&header), part(claims))
}

/// Base64url without padding, white space or stray bits: each value has one spelling.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Form)
}

/// 32 bytes in base64url.
pub(super) fn decode_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

/// A member that is there, whatever it is: also `null`.
pub(super) fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}
