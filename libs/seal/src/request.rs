//! How a device shows in a request that it is the one that asks: what relays' `POST`s for tokens begin with.

use std::{error::Error, fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use selvedge_crdt::session::{DeviceId, Signature};
use sha2::{Digest as _, Sha256};

use crate::device::{BadSignature, Device, verify};

/// What stands before everything else that is signed: nothing else begins like this.
const DOMAIN: &[u8] = b"selvedge-sync.1 request\0";

/// Bytes of a proof's text, at most.
const TEXT_BYTES_MAX: usize = 256;

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// In capital letters.
    pub method: &'a str,
    /// Below the address of the relay: `/device/found`.
    pub path: &'a str,
    /// The bytes that were sent.
    pub body: &'a [u8],
}

/// The content of the field `Selvedge-Proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestProof {
    /// Who asks.
    pub device: DeviceId,
    /// When, by its clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// Over both and the request.
    pub signature: Signature,
}

/// A text that is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProof;

impl Device {
    /// Shows that this device asks for something, at a time in milliseconds since 1970.
    pub fn prove_request(&self, asked: &Asked<'_>, time_ms: u64) -> RequestProof {
        let signature = self.sign(&asked.signed_bytes(time_ms));
        RequestProof { device: self.id(), time_ms, signature }
    }
}

impl Asked<'_> {
    fn signed_bytes(&self, time_ms: u64) -> Vec<u8> {
        let Asked { method, path, body } = self;
        let mut bytes = DOMAIN.to_vec();
        bytes.extend(format!("{method}\n{path}\n{time_ms}\n").as_bytes());
        bytes.extend(Sha256::digest(body));
        bytes
    }
}

impl RequestProof {
    /// Verifies that the device which the proof names signed this request. Whether its time is now, the caller looks.
    ///
    /// # Errors
    /// One that it did not sign.
    pub fn verify(&self, asked: &Asked<'_>) -> Result<(), BadSignature> {
        verify(&self.device, &asked.signed_bytes(self.time_ms), &self.signature)
    }
}

impl fmt::Display for RequestProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestProof { device, time_ms, signature } = self;
        let [device, signature] =
            [&device.0[..], &signature.0[..]].map(|bytes| BASE64URL_NOPAD.encode(bytes));
        write!(f, "device={device}, time={time_ms}, signature={signature}")
    }
}

impl FromStr for RequestProof {
    type Err = NoProof;

    /// Reads the three parts, in any order, each once.
    fn from_str(text: &str) -> Result<Self, NoProof> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NoProof);
        }
        let (mut device, mut time_ms, mut signature) = (None, None, None);
        for part in text.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(NoProof)?;
            let is_first = match name {
                "device" => device.replace(DeviceId(bytes(value)?)).is_none(),
                "time" => time_ms.replace(number(value)?).is_none(),
                "signature" => signature.replace(Signature(bytes(value)?)).is_none(),
                _ => false,
            };
            if !is_first {
                return Err(NoProof);
            }
        }
        Ok(RequestProof {
            device: device.ok_or(NoProof)?,
            time_ms: time_ms.ok_or(NoProof)?,
            signature: signature.ok_or(NoProof)?,
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], NoProof> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| NoProof)?;
    bytes.try_into().map_err(|_| NoProof)
}

/// One spelling of each number, as it is signed.
fn number(text: &str) -> Result<u64, NoProof> {
    let number: u64 = text.parse().map_err(|_| NoProof)?;
    (number.to_string() == text).then_some(number).ok_or(NoProof)
}

impl fmt::Display for NoProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no `device=…, time=…, signature=…`")
    }
}

impl Error for NoProof {}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked {
        method: "POST",
        path: "/device/found",
        body: br#"{"document":"vaults/AAAAAAAAAAAAAAAAAAAAAA"}"#,
    };
    const TIME_MS: u64 = 1_790_000_000_000;

    fn proof() -> RequestProof {
        Device::from_seed([7; 32]).prove_request(&ASKED, TIME_MS)
    }

    /// The vector of docs/reference/sync-protocol.md.
    #[test]
    fn the_bytes_that_are_signed_stay_as_they_are() {
        let page = include_str!("../../../docs/reference/sync-protocol.md");
        let text = proof().to_string();
        assert!(page.contains(&text), "the page has another vector than {text}");
        let signed = ASKED.signed_bytes(TIME_MS);
        assert!(
            signed.starts_with(b"selvedge-sync.1 request\0POST\n/device/found\n1790000000000\n")
        );
        assert_eq!(signed.len(), 24 + 5 + 14 + 14 + 32);
    }

    #[test]
    fn a_proof_holds_for_its_request_alone() {
        let proof = proof();
        assert_eq!(proof.to_string().parse(), Ok(proof));
        assert_eq!(proof.verify(&ASKED), Ok(()));
        for other in [
            Asked { method: "PUT", ..ASKED },
            Asked { path: "/device/renew", ..ASKED },
            Asked { body: b"{}", ..ASKED },
        ] {
            assert_eq!(proof.verify(&other), Err(BadSignature), "{other:?}");
        }
        let later = RequestProof { time_ms: TIME_MS + 1, ..proof };
        let another = RequestProof { device: Device::from_seed([8; 32]).id(), ..proof };
        assert_eq!(
            (later.verify(&ASKED), another.verify(&ASKED)),
            (Err(BadSignature), Err(BadSignature))
        );
    }

    #[test]
    fn other_texts_are_no_proofs() {
        let text = proof().to_string();
        let (device, rest) = text.split_once(", ").expect("three parts");
        assert_eq!(format!("{rest},{device}").parse(), Ok(proof()), "in any order");
        for wrong in [
            String::new(),
            rest.to_owned(),
            format!("{text}, {device}"),
            format!("{text}, more=1"),
            text.replace("time=", "time=0"),
            text.replace("time=", "time=+"),
            text.replace("device=", "device=A"),
            format!("{text}{}", " ".repeat(200)),
        ] {
            assert_eq!(wrong.parse::<RequestProof>(), Err(NoProof), "{wrong}");
        }
    }
}
