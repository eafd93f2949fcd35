//! What only the browser reads: RFC 8291 over the content coding `aes128gcm` (RFC 8188).

use std::{error::Error, fmt};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    rand,
};

/// Bytes of a message, at most: with its head and its seal it is then within the 4,096 bytes that every service takes (RFC 8030,
/// section 7.2).
pub const MESSAGE_BYTES_MAX: usize = 3840 - 1;

/// A message is filled up to a multiple of so many bytes, so that its length says little.
const PADDED_TO: usize = 256;
/// Bytes of a P-256 point, uncompressed.
const POINT: usize = 65;
/// The bytes of one record: whatever is sent is one.
const RECORD_BYTES: u32 = 4096;
/// Behind the last record's content (RFC 8188, section 2).
const LAST: u8 = 2;

/// Where a browser is reached, and its keys (RFC 8291, section 2).
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The address to post to: who knows it and has our key can wake the device.
    pub endpoint: String,
    /// The browser's P-256 public key, uncompressed.
    pub key: [u8; POINT],
    /// The authentication secret.
    pub secret: [u8; 16],
}

/// A subscription whose key is no point of P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSubscription;

impl fmt::Display for BadSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the subscription's key is no point of P-256")
    }
}

impl Error for BadSubscription {}

impl fmt::Debug for Subscription {
    /// Without what would wake the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}

/// What is drawn for one message.
struct Draw {
    key: PrivateKey,
    salt: [u8; 16],
}

impl Draw {
    fn new() -> Self {
        let key = PrivateKey::generate(&ECDH_P256).expect("the system gives random bytes");
        let mut salt = [0; 16];
        rand::fill(&mut salt).expect("the system gives random bytes");
        Draw { key, salt }
    }
}

impl Subscription {
    /// Whether messages can be sealed for it.
    ///
    /// # Errors
    /// A key that is none.
    pub fn check(&self) -> Result<(), BadSubscription> {
        self.seal(b"").map(drop)
    }

    /// Seals a message of at most [`MESSAGE_BYTES_MAX`] bytes for this browser, filled up.
    pub(crate) fn seal(&self, message: &[u8]) -> Result<Vec<u8>, BadSubscription> {
        let padded = (message.len() + 1).next_multiple_of(PADDED_TO);
        self.seal_with(&Draw::new(), message, padded)
    }

    fn seal_with(
        &self,
        Draw { key, salt }: &Draw,
        message: &[u8],
        padded: usize,
    ) -> Result<Vec<u8>, BadSubscription> {
        let public = key.compute_public_key().expect("a private key has a public one");
        let (cipher, nonce) = self.keys(key, public.as_ref(), salt)?;
        let mut content = [message, &[LAST]].concat();
        content.resize(padded.max(content.len()), 0);
        let nonce = Nonce::assume_unique_for_key(nonce);
        cipher
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut content)
            .expect("a message is shorter than the cipher's bound");
        let head = [&salt[..], &RECORD_BYTES.to_be_bytes(), &[POINT as u8]].concat();
        Ok([&head[..], public.as_ref(), &content].concat())
    }

    /// The content's key, and the nonce of its only record (RFC 8291, section 3.4).
    fn keys(
        &self,
        own: &PrivateKey,
        public: &[u8],
        salt: &[u8],
    ) -> Result<(LessSafeKey, [u8; NONCE_LEN]), BadSubscription> {
        let other = UnparsedPublicKey::new(&ECDH_P256, &self.key);
        let secret = |shared: &[u8]| {
            let info = [&b"WebPush: info\0"[..], &self.key, public];
            Ok(expand::<32>(&extract(&self.secret, shared), &info))
        };
        let secret = agree(own, other, BadSubscription, secret)?;
        let prk = extract(salt, &secret);
        let key = expand::<16>(&prk, &[b"Content-Encoding: aes128gcm\0"]);
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("a key of 16 bytes");
        Ok((LessSafeKey::new(key), expand(&prk, &[b"Content-Encoding: nonce\0"])))
    }
}

fn extract(salt: &[u8], secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, salt).extract(secret)
}

fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> [u8; N] {
    struct Bytes(usize);
    impl KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    let filled = prk.expand(info, Bytes(N)).and_then(|okm| okm.fill(&mut out));
    filled.expect("so few bytes can be had");
    out
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
        bytes.try_into().expect("so many bytes")
    }

    /// The browser of RFC 8291, appendix A.
    fn browser() -> Subscription {
        Subscription {
            endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".to_owned(),
            key: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            secret: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_made() {
        let key: [u8; 32] = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let key = PrivateKey::from_private_key(&ECDH_P256, &key).expect("a key");
        let draw = Draw { key, salt: bytes("DGv6ra1nlYgDCS1FRnbzlw") };
        let text = b"When I grow up, I want to be a watermelon";
        let sealed = browser().seal_with(&draw, text, 0).expect("a point");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64URL_NOPAD.encode(&sealed), expected);
    }

    #[test]
    fn lengths_say_little_and_fit() {
        let len = |bytes: usize| browser().seal(&vec![7; bytes]).expect("a point").len();
        assert_eq!((len(0), len(255)), (86 + 256 + 16, 86 + 256 + 16));
        assert_eq!(len(256), 86 + 512 + 16);
        assert!(len(MESSAGE_BYTES_MAX) <= 4096);
    }

    #[test]
    fn a_key_that_is_no_point_is_told() {
        assert_eq!(browser().check(), Ok(()));
        let other = Subscription { key: [4; POINT], ..browser() };
        assert_eq!(other.check(), Err(BadSubscription));
    }
}
