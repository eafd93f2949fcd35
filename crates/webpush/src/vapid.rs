//! Who sends: a key that browsers were given when they subscribed.

use std::{error::Error, fmt};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::json;

/// Letters of a line of PEM (RFC 7468, section 2).
const LINE: usize = 64;

/// A P-256 key that signs for one application server (RFC 8292, section 3).
pub struct VapidKey {
    pair: EcdsaKeyPair,
}

/// Bytes that are no PKCS#8 of a P-256 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no P-256 key as PKCS#8 (`-----BEGIN PRIVATE KEY-----`)")
    }
}

impl Error for BadKey {}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VapidKey({})", BASE64URL_NOPAD.encode(&self.public()))
    }
}

impl VapidKey {
    /// A new key, as PKCS#8 (RFC 5208), to be kept where only its owner reads.
    pub fn generate() -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = pair.and_then(|pair| pair.to_pkcs8v1());
        document.expect("the system gives random bytes").as_ref().to_vec()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// What is no P-256 key as PKCS#8.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, BadKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
        pair.map(|pair| VapidKey { pair }).map_err(|_| BadKey)
    }

    /// A new key, as PEM, to be kept where only its owner reads.
    pub fn generate_pem() -> String {
        let text = BASE64.encode(&Self::generate());
        let lines = text.as_bytes().chunks(LINE).map(|line| {
            let line = str::from_utf8(line).expect("Base64 is ASCII");
            format!("{line}\n")
        });
        let lines: String = lines.collect();
        format!("-----BEGIN PRIVATE KEY-----\n{lines}-----END PRIVATE KEY-----\n")
    }

    /// Reads a key from PEM.
    ///
    /// # Errors
    /// What is no P-256 key as PKCS#8.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| BadKey)?;
        Self::from_pkcs8(key.secret_pkcs8_der())
    }

    /// The public key, uncompressed: what a browser takes as `applicationServerKey`.
    pub fn public(&self) -> [u8; 65] {
        let public = self.pair.public_key().as_ref();
        public.try_into().expect("an uncompressed point of P-256 has 65 bytes")
    }

    /// The Authorization header for a push service (RFC 8292, section 3).
    ///
    /// `origin` is the service's, `contact` a `mailto:` or `https:` URI, `expires_s` at most a day away, in seconds since 1970.
    pub(crate) fn authorization(&self, origin: &str, contact: &str, expires_s: u64) -> String {
        let head = json!({ "typ": "JWT", "alg": "ES256" }).to_string();
        let claims = json!({ "aud": origin, "exp": expires_s, "sub": contact }).to_string();
        let [head, claims] = [head, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        let signed = format!("{head}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("the system gives random bytes");
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let key = BASE64URL_NOPAD.encode(&self.public());
        format!("vapid t={signed}.{signature}, k={key}")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_header_says_who_sends_and_holds() {
        let key = VapidKey::from_pkcs8(&VapidKey::generate()).expect("a key");
        let header =
            key.authorization("https://push.example", "mailto:ops@example.org", 1_453_523_768);
        let (token, public) = header.split_once(", k=").expect("a token and a key");
        let token = token.strip_prefix("vapid t=").expect("the scheme");
        assert_eq!(BASE64URL_NOPAD.decode(public.as_bytes()).expect("a key"), key.public());

        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("a signature");
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public());
        verifier.verify(signed.as_bytes(), &signature).expect("it holds");

        let parts = signed.split('.').map(|part| {
            let part = BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url");
            serde_json::from_slice::<Value>(&part).expect("JSON")
        });
        let expected = [
            json!({ "typ": "JWT", "alg": "ES256" }),
            json!({
                "aud": "https://push.example",
                "exp": 1_453_523_768,
                "sub": "mailto:ops@example.org",
            }),
        ];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
    }

    /// The example of RFC 8292, section 2.4: our reading of the format accepts it.
    #[test]
    fn the_example_of_the_rfc_holds() {
        let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
        let public = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, decode(public));
        verifier.verify(signed.as_bytes(), &decode(signature)).expect("it holds");
    }

    #[test]
    fn other_bytes_are_no_key() {
        assert_eq!(VapidKey::from_pkcs8(b"key").err(), Some(BadKey));
        assert_eq!(VapidKey::from_pem("key").err(), Some(BadKey));
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let text = VapidKey::generate_pem();
        assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
        let [one, other] = [(); 2].map(|()| VapidKey::from_pem(&text).expect("a key"));
        assert_eq!(one.public(), other.public());
    }
}
