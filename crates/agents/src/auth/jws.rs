//! Signed tokens in the compact form of RFC 7515: three parts, a protected header, one signature.
//!
//! Signatures are verified by aws-lc-rs directly. The `jsonwebtoken` crate would parse the key anew
//! for each token, knows no ES512, takes the last of repeated claims, and leaves `crit` to its
//! caller; less than the call of the verifier would remain of it.

use std::{error::Error, fmt, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::{
    algorithm::Algorithm,
    json,
    jwk::{KEY_ID_BYTES_MAX, Key, KeySet},
};

/// A token taken apart. Nothing in it is to be believed before [`Token::verify`] says so.
#[derive(Debug)]
pub struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    kind: Option<String>,
    /// The header and the payload as they were signed.
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why something is no token that could be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not three parts of base64url.
    Form,
    /// A header that is not an object with an `alg` and, if present, a textual `kid` and `typ`.
    Header,
    /// `none`, or an algorithm that makes no signature known here.
    Algorithm,
    /// A header with extensions that must be understood (RFC 7515, section 4.1.11), or with `b64`.
    Critical,
}

/// Why no key vouches for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No key has the id it names and the algorithm.
    Unknown,
    /// It names no key that is known by an id, and those without one did not sign it.
    Unnamed,
    /// The key it names did not sign it.
    Signature,
}

impl<'a> Token<'a> {
    /// Takes `text` apart.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
        let header = json::object(&decode(header)?).map_err(|_| TokenError::Header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(TokenError::Critical);
        }
        // `jwk`, `jku`, `x5u` and `x5c` are hints of whoever made the token; nobody looks at them.
        let name = member(&header, "alg")?.ok_or(TokenError::Header)?;
        let key_id = member(&header, "kid")?;
        if key_id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(TokenError::Header);
        }
        Ok(Self {
            algorithm: Algorithm::from_name(name).ok_or(TokenError::Algorithm)?,
            key_id: key_id.map(str::to_owned),
            kind: member(&header, "typ")?.map(str::to_owned),
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Returns the key of `keys` that signed it.
    pub fn verify<'k>(&self, keys: &'k KeySet) -> Result<&'k Arc<Key>, KeyError> {
        let candidates = keys.candidates(self.key_id.as_deref(), self.algorithm);
        let named = candidates.iter().any(|key| key.id().is_some() && key.id() == self.key_id());
        let missing = match candidates.is_empty() {
            true => KeyError::Unknown,
            false if named => KeyError::Signature,
            false => KeyError::Unnamed,
        };
        let message = self.signed.as_bytes();
        let signed = |key: &&Arc<Key>| key.verifies(self.algorithm, message, &self.signature);
        candidates.into_iter().find(signed).ok_or(missing)
    }

    /// Its algorithm (`alg`).
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The id of the key it says it was signed with (`kid`).
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Its type (`typ`).
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Base64url without padding, white space or stray bits: each value has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Form)
}

fn member<'h>(header: &'h Map<String, Value>, name: &str) -> Result<Option<&'h str>, TokenError> {
    header.get(name).map(|value| value.as_str().ok_or(TokenError::Header)).transpose()
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the token is not a compact JWS",
            Self::Header => "the header of the token is malformed",
            Self::Algorithm => "the algorithm of the token is not accepted",
            Self::Critical => "the token has critical extensions",
        })
    }
}

impl Error for TokenError {}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the key of the token is not known",
            Self::Unnamed | Self::Signature => "the signature of the token is not valid",
        })
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::algorithm::AlgorithmSet;

    /// Keys and tokens of RFC 7515 (appendices A.1 and A.3) and RFC 8037 (appendix A).
    const SECRET: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const KEYS: &str = r#"{"keys": [
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]}"#;
    const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn published() -> KeySet {
        KeySet::parse(KEYS.as_bytes(), AlgorithmSet::PUBLIC).unwrap()
    }

    fn shared() -> KeySet {
        let secret = BASE64URL_NOPAD.decode(SECRET.as_bytes()).unwrap();
        let algorithms = [Algorithm::Hs256].into_iter().collect();
        KeySet::of([Key::from_secret(&secret, algorithms).unwrap()])
    }

    #[test]
    fn examples_of_the_standards_are_verified() {
        for (text, keys, algorithm) in [
            (HS256, shared(), Algorithm::Hs256),
            (ES256, published(), Algorithm::Es256),
            (ED25519, published(), Algorithm::EdDsa),
        ] {
            let token = Token::parse(text).unwrap();
            assert_eq!(token.algorithm(), algorithm);
            assert!(token.verify(&keys).is_ok(), "{algorithm}");
        }
        assert_eq!(Token::parse(ED25519).unwrap().payload(), b"Example of Ed25519 signing");
    }

    #[test]
    fn a_key_of_another_kind_is_not_tried() {
        let error =
            |text: &str, keys: &KeySet| Token::parse(text).unwrap().verify(keys).map(|_| ());
        assert_eq!(error(HS256, &published()), Err(KeyError::Unknown));
        assert_eq!(error(ES256, &shared()), Err(KeyError::Unknown));
        let (signed, _) = ES256.rsplit_once('.').unwrap();
        let (_, signature) = ED25519.rsplit_once('.').unwrap();
        assert_eq!(error(&format!("{signed}.{signature}"), &published()), Err(KeyError::Unnamed));
    }

    #[track_caller]
    fn check(header: &str, expected: TokenError) {
        let header = BASE64URL_NOPAD.encode(header.as_bytes());
        assert_eq!(Token::parse(&format!("{header}.e30.AA")).err(), Some(expected));
    }

    #[test]
    fn headers_are_read_with_care() {
        for alg in ["none", "None", "HS1", "es256", ""] {
            check(&format!(r#"{{"alg": "{alg}"}}"#), TokenError::Algorithm);
        }
        check(r#"{"alg": "ES256", "crit": ["exp"]}"#, TokenError::Critical);
        check(r#"{"alg": "ES256", "b64": true}"#, TokenError::Critical);
        for header in [
            "{}",
            "[]",
            r#"{"alg": 1}"#,
            r#"{"alg": "ES256", "alg": "ES256"}"#,
            r#"{"alg": "ES256", "kid": 1}"#,
            r#"{"alg": "ES256", "typ": ["JWT"]}"#,
            &format!(r#"{{"alg": "ES256", "kid": "{}"}}"#, "k".repeat(257)),
        ] {
            check(header, TokenError::Header);
        }
    }

    #[test]
    fn a_token_has_one_spelling() {
        let (header, rest) = ES256.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        for text in [
            "",
            ".",
            "..",
            &format!("{header}.{payload}"),
            &format!("{header}.{payload}.{signature}."),
            &format!("{header}.{payload}.{signature}=="),
            &format!(" {header}.{payload}.{signature}"),
            &format!("{header}.{payload}.{}R", &signature[..signature.len() - 1]),
            &format!("{header}.{payload}.{}+{}", &signature[..9], &signature[10..]),
        ] {
            let error = Token::parse(text).err();
            assert!(
                matches!(error, Some(TokenError::Form | TokenError::Header)),
                "{text}: {error:?}"
            );
        }
    }
}
