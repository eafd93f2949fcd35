//! Where names may lead: a name that an attacker has must not lead into the operator's own network.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Looks names up, and leaves out addresses that are not the internet's, unless they are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) is_private_allowed: bool,
}

type Found = Pin<Box<dyn Future<Output = io::Result<vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<Name> for Guard {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Found;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Found {
        let is_private_allowed = self.is_private_allowed;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found = found.filter(|it| is_private_allowed || is_public(it.ip()));
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                let text = "the name leads to no address of the internet";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether an address is one of the internet's: the registries of IANA (RFC 6890) name those that are not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a, b & 0xc0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b & 0xfe) == (198, 18))
}

/// Those that carry an IPv4 address are as good as that one, or left out.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x2002, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: bool) {
        assert_eq!(is_public(address.parse().expect("an address")), expected, "{address}");
    }

    #[test]
    fn only_the_internet_is_public() {
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1"] {
            check(address, true);
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            check(address, false);
        }
        for address in ["2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
            check(address, true);
        }
        for address in [
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::",
            "::10.0.0.1",
        ] {
            check(address, false);
        }
    }
}
