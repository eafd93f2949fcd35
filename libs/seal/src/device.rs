//! Devices: their keys, what they sign, and how it is verified.

use std::{error::Error, fmt};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use selvedge_crdt::session::{
    DeviceId, DocumentId, NONCE_BYTES, Record, Sealing, Signature, SnapshotInfo, proof_bytes,
};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    SECRET_BYTES,
    epoch::expand,
    wrap::{EncryptionKey, PrivateKey, private_key, public_key},
};

/// What stands where a signature will be.
const UNSIGNED: Signature = Signature([0; 64]);

/// A device, with its secret. Two keys are derived from that, one to sign and one to unwrap.
pub struct Device {
    seed: Zeroizing<[u8; SECRET_BYTES]>,
    signing: SigningKey,
    unwrapping: PrivateKey,
}

/// What others know of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicDevice {
    /// Its Ed25519 key, which is its name.
    pub id: DeviceId,
    /// Its X25519 key.
    pub encryption: EncryptionKey,
}

/// A signature that its device did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl Device {
    /// The device with this secret: 32 random bytes.
    pub fn from_seed(seed: [u8; SECRET_BYTES]) -> Self {
        let root = Hkdf::<Sha256>::new(Some(b"selvedge-seal.1 device"), &seed);
        let signing = Zeroizing::new(expand(&root, b"sign"));
        let unwrapping = Zeroizing::new(expand(&root, b"unwrap"));
        Device {
            seed: Zeroizing::new(seed),
            signing: SigningKey::from_bytes(&signing),
            unwrapping: private_key(&unwrapping),
        }
    }

    /// The secret, to be kept: all else is derived from it.
    pub fn seed(&self) -> &[u8; SECRET_BYTES] {
        &self.seed
    }

    /// Its name.
    pub fn id(&self) -> DeviceId {
        DeviceId(self.signing.verifying_key().to_bytes())
    }

    /// What others may know.
    pub fn public(&self) -> PublicDevice {
        PublicDevice { id: self.id(), encryption: public_key(&self.unwrapping) }
    }

    /// A batch for the log of `document`: sealed or plain, as `sealing` says.
    pub fn sign_batch<'a>(
        &self,
        document: &DocumentId,
        sealing: Sealing,
        batch: &'a [u8],
    ) -> Record<'a> {
        let unsigned = Record::Batch { device: self.id(), sealing, batch, signature: UNSIGNED };
        let signature = self.sign(&unsigned.signed_bytes(document));
        Record::Batch { device: self.id(), sealing, batch, signature }
    }

    /// A snapshot that this device made, for the log of `document`.
    pub fn sign_snapshot(&self, document: &DocumentId, info: SnapshotInfo) -> Record<'static> {
        let info = SnapshotInfo { device: self.id(), ..info };
        let unsigned = Record::Snapshot { info, signature: UNSIGNED };
        let signature = self.sign(&unsigned.signed_bytes(document));
        Record::Snapshot { info, signature }
    }

    pub(crate) fn sign_keys<'a>(
        &self,
        document: &DocumentId,
        epoch: u32,
        members: &'a [u8],
    ) -> Record<'a> {
        let device = self.id();
        let unsigned = Record::Keys { device, epoch, members, signature: UNSIGNED };
        let signature = self.sign(&unsigned.signed_bytes(document));
        Record::Keys { device, epoch, members, signature }
    }

    /// Shows a relay that `token` is this device's own.
    pub fn prove(
        &self,
        challenge: &[u8; NONCE_BYTES],
        document: &DocumentId,
        token: &[u8],
    ) -> Signature {
        self.sign(&proof_bytes(challenge, document, token))
    }

    pub(crate) fn unwrapping(&self) -> &PrivateKey {
        &self.unwrapping
    }

    /// A signature over a message that says itself what it is for.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.signing.sign(message).to_bytes())
    }
}

/// Verifies a record of the log of `document`. What a relay says itself has no signature, and passes.
///
/// # Errors
/// One that its device did not sign, for this document.
pub fn verify_record(document: &DocumentId, record: &Record<'_>) -> Result<(), BadSignature> {
    match record.signature() {
        Some((device, signature)) => verify(&device, &record.signed_bytes(document), &signature),
        None => Ok(()),
    }
}

/// Verifies what [`Device::prove`] made.
///
/// # Errors
/// What `device` did not make for this challenge, document and token.
pub fn verify_proof(
    device: &DeviceId,
    (challenge, document, token): (&[u8; NONCE_BYTES], &DocumentId, &[u8]),
    proof: &Signature,
) -> Result<(), BadSignature> {
    verify(device, &proof_bytes(challenge, document, token), proof)
}

/// Verifies as RFC 8032 says, and stricter: no key and no point of small order, and one form of each signature.
pub(crate) fn verify(
    device: &DeviceId,
    message: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(&device.0).map_err(|_| BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(message, &signature).map_err(|_| BadSignature)
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.id())
    }
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature is not the device's")
    }
}

impl Error for BadSignature {}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf};

    use data_encoding::HEXLOWER;
    use serde_json::Value;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).expect("hexadecimal digits")
    }

    fn holds(key: &str, message: &str, signature: &str) -> bool {
        let key = hex(key).try_into().map(DeviceId);
        let signature = hex(signature).try_into().map(Signature);
        let (Ok(key), Ok(signature)) = (key, signature) else { return false };
        verify(&key, &hex(message), &signature).is_ok()
    }

    /// RFC 8032, section 7.1, tests 1 to 3.
    #[test]
    fn the_vectors_of_rfc_8032() {
        for (secret, key, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let signing = SigningKey::from_bytes(&hex(secret).try_into().expect("32 bytes"));
            assert_eq!(HEXLOWER.encode(&signing.verifying_key().to_bytes()), key);
            assert_eq!(HEXLOWER.encode(&signing.sign(&hex(message)).to_bytes()), signature);
            assert!(holds(key, message, signature));
            assert!(!holds(key, &format!("{message}00"), signature));
        }
    }

    /// A key and points of small order, under which one signature holds for every message.
    #[test]
    fn keys_of_small_order_sign_nothing() {
        let small = ["00".repeat(32), format!("01{}", "00".repeat(31))];
        for (key, point) in small.iter().flat_map(|key| small.iter().map(move |point| (key, point)))
        {
            assert!(!holds(key, "6d", &format!("{point}{}", "00".repeat(32))));
        }
    }

    #[test]
    fn the_vectors_of_wycheproof() {
        let vectors = env::var("SELVEDGE_VECTORS").map_or_else(
            |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            PathBuf::from,
        );
        let path = vectors.join("wycheproof/testvectors_v1/ed25519_test.json");
        let Ok(text) = fs::read_to_string(&path) else {
            println!("skipped: there is no {}", path.display());
            return;
        };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let mut ran = 0;
        for group in vectors["testGroups"].as_array().expect("groups") {
            let key = group["publicKey"]["pk"].as_str().expect("a key");
            for test in group["tests"].as_array().expect("tests") {
                let text = |name: &str| test[name].as_str().expect("a text");
                let held = holds(key, text("msg"), text("sig"));
                assert_eq!(held, text("result") == "valid", "{}", test["tcId"]);
                ran += 1;
            }
        }
        assert!(ran >= 150, "only {ran} vectors");
    }

    #[test]
    fn a_device_has_two_keys_and_shows_neither() {
        let device = Device::from_seed([7; 32]);
        let public = device.public();
        assert_eq!(public.id, device.id());
        assert_ne!(public.id.0, public.encryption.0);
        assert_eq!(format!("{device:?}"), format!("Device({})", device.id()));
        assert_ne!(Device::from_seed([8; 32]).id(), device.id());
    }
}
