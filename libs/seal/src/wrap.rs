//! Keys wrapped for one device: HPKE (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//!
//! Base mode: whoever wrapped is named, and vouched for, by the signature over the roster.

use std::{convert::Infallible, fmt};

use hpke::{
    Deserializable, HpkeError, Kem as _, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::{TryCryptoRng, TryRng},
    single_shot_open, single_shot_seal_with_rng,
};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::{SECRET_BYTES, cipher::TAG_BYTES};

type Kem = X25519HkdfSha256;

/// A device's private key, by which it unwraps.
pub(crate) type PrivateKey = <Kem as hpke::Kem>::PrivateKey;

/// The X25519 public key for which keys are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncryptionKey(pub [u8; 32]);

/// Something wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    /// The public half of the key that was made for this.
    pub encapsulated: [u8; 32],
    pub sealed: Vec<u8>,
}

/// A public key with which nothing can be agreed upon, or what does not unwrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotWrapped;

impl Wrapped {
    /// Bytes that `secrets` secrets have once they are wrapped, without the encapsulated key.
    pub fn sealed_len(secrets: usize) -> usize {
        secrets.saturating_mul(SECRET_BYTES).saturating_add(TAG_BYTES)
    }

    /// Wraps `plain` for one key, with HPKE's `info` and associated data; `random` is never used for anything else.
    pub fn new(
        to: &EncryptionKey,
        (info, aad): (&[u8], &[u8]),
        plain: &[u8],
        random: [u8; 32],
    ) -> Result<Self, NotWrapped> {
        let to = <Kem as hpke::Kem>::PublicKey::from_bytes(&to.0)?;
        let mut chance = Given(random);
        let (encapsulated, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &to,
            info,
            plain,
            aad,
            &mut chance,
        )?;
        Ok(Wrapped { encapsulated: encapsulated.to_bytes().into(), sealed })
    }

    /// What was wrapped.
    pub fn open(
        &self,
        by: &PrivateKey,
        (info, aad): (&[u8], &[u8]),
    ) -> Result<Zeroizing<Vec<u8>>, NotWrapped> {
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&self.encapsulated)?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            by,
            &encapsulated,
            info,
            &self.sealed,
            aad,
        )?;
        Ok(Zeroizing::new(opened))
    }
}

/// The private key of these random bytes.
pub(crate) fn private_key(random: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_bytes(random).expect("X25519 takes any 32 bytes")
}

/// The public half of a private key.
pub(crate) fn public_key(private: &PrivateKey) -> EncryptionKey {
    EncryptionKey(Kem::sk_to_pk(private).to_bytes().into())
}

/// Random bytes that came in, for a library that draws them: 32, and hashes of them if it draws more.
struct Given([u8; 32]);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(32) {
            part.copy_from_slice(&self.0[..part.len()]);
            self.0 = Sha256::digest(self.0).into();
        }
        Ok(())
    }
}

impl TryCryptoRng for Given {}

impl Drop for Given {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<HpkeError> for NotWrapped {
    fn from(_: HpkeError) -> Self {
        NotWrapped
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "EncryptionKey({first:02x}{second:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes = HEXLOWER.decode(text.as_bytes()).expect("hexadecimal digits");
        bytes.try_into().expect("as many as asked for")
    }

    /// RFC 9180, appendix A.2.1.
    #[test]
    fn the_vector_of_rfc_9180() {
        let to = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let random = hex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let context = (&b"Ode on a Grecian Urn"[..], &b"Count-0"[..]);
        let plain = b"Beauty is truth, truth beauty";
        let wrapped = Wrapped::new(&EncryptionKey(to), context, plain, random).expect("a key");
        let sealed: [u8; 45] = hex(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        assert_eq!(wrapped.sealed, sealed);
        assert_eq!(
            wrapped.encapsulated,
            hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
        );

        let by = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let by = private_key(&by);
        assert_eq!(public_key(&by), EncryptionKey(to));
        assert_eq!(wrapped.open(&by, context).as_deref(), Ok(&plain.to_vec()));
    }

    /// RFC 7748, section 6.1: keys of which nothing comes.
    #[test]
    fn a_key_of_small_order_is_refused() {
        let zero = EncryptionKey([0; 32]);
        assert_eq!(Wrapped::new(&zero, (b"", b""), b"x", [1; 32]), Err(NotWrapped));
        let one = Wrapped::new(&public_key(&private_key(&[2; 32])), (b"", b""), b"x", [1; 32]);
        let wrapped = Wrapped { encapsulated: [0; 32], ..one.expect("a key") };
        assert_eq!(wrapped.open(&private_key(&[2; 32]), (b"", b"")), Err(NotWrapped));
    }

    #[test]
    fn what_a_library_draws_does_not_repeat() {
        let (mut a, mut b) = ([0; 96], [0; 12]);
        let mut given = Given([7; 32]);
        given.try_fill_bytes(&mut a).expect("it never fails");
        given.try_fill_bytes(&mut b).expect("it never fails");
        assert_eq!(a[..32], [7; 32]);
        let parts: Vec<&[u8]> = a.chunks(32).collect();
        assert!(parts[0] != parts[1] && parts[1] != parts[2] && a[..12] != b && a[64..76] != b);
    }
}
