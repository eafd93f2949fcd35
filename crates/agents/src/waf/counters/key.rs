//! Whose counter it is: digests that nobody outside can compute, so that nobody can make two of them meet.

use std::{
    fmt,
    hash::Hasher,
    net::{IpAddr, Ipv6Addr},
};

use aws_lc_rs::error::Unspecified;
use siphasher::sip128::{Hasher128, SipHasher13};

/// A secret of this process. A name behind a key is found by nobody who does not have it.
#[derive(Clone, Copy)]
pub(in crate::waf) struct Secret(u64, u64);

/// 128 bits of a keyed hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::waf) struct Key(pub(super) u128);

impl Secret {
    /// One that nobody can guess.
    pub(in crate::waf) fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        let number = u128::from_ne_bytes(bytes);
        Ok(Self((number >> 64) as u64, number as u64))
    }

    /// The key of these parts, which differs from that of any others.
    pub(in crate::waf) fn key(&self, parts: &[&[u8]]) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        for part in parts {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part);
        }
        Key(hasher.finish128().as_u128())
    }

    /// The key of a client: of an IPv6 address `prefix` bits count, for nobody has only one.
    pub(in crate::waf) fn address(&self, address: IpAddr, prefix: u8) -> Key {
        match address.to_canonical() {
            IpAddr::V4(address) => self.key(&[&address.octets()]),
            IpAddr::V6(address) => self.key(&[&network(address, prefix).octets()]),
        }
    }

    /// A number that chance begins with.
    pub(super) fn seed(&self, of: u64) -> u64 {
        self.key(&[&of.to_be_bytes()]).0 as u64
    }

    /// A secret that everybody knows.
    #[cfg(test)]
    pub(super) fn known() -> Self {
        Self(1, 2)
    }
}

impl Key {
    /// As a part of another key.
    pub(in crate::waf) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

fn network(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client_and_an_ipv4_address_is_one_in_either_form() {
        let key = |text: &str, prefix| Secret::known().address(text.parse().unwrap(), prefix);
        assert_eq!(key("2001:db8::1", 64), key("2001:db8::ffff:2", 64));
        assert_ne!(key("2001:db8::1", 64), key("2001:db8:0:1::1", 64));
        assert_ne!(key("2001:db8::1", 128), key("2001:db8::2", 128));
        assert_eq!(key("::ffff:192.0.2.1", 64), key("192.0.2.1", 64));
        assert_ne!(key("192.0.2.1", 64), key("192.0.2.2", 64));
    }

    #[test]
    fn parts_do_not_run_into_each_other_and_the_secret_matters() {
        let secret = Secret::known();
        assert_ne!(secret.key(&[b"ab", b"c"]), secret.key(&[b"a", b"bc"]));
        assert_ne!(secret.key(&[b"a"]), Secret(2, 1).key(&[b"a"]));
        assert_eq!(format!("{:?}", secret.key(&[b"ada"])), "Key([redacted])");
    }
}
