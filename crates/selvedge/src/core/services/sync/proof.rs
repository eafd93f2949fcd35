//! A request of a device: that it is the device that asks, now, and not too often.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts as _, Request},
    http::{HeaderMap, header},
};
use selvedge_audit::{
    entry::ActorKind,
    event::{Event, Principal},
};
use selvedge_crdt::session::DeviceId;
use selvedge_seal::{Asked, RequestProof};
use selvedge_sync::Pace;
use serde::de::DeserializeOwned;

use super::{
    Desk,
    problem::{Problem, Why},
    tokens::now_ms,
};
use crate::core::services::audit::Asker;

/// What a request has in it.
pub(super) const FIELD: &str = "selvedge-proof";
/// Bytes of a body, at most: a token and names.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How far a device's clock may be from the relay's.
const SKEW: Duration = Duration::from_secs(60);
/// Within an hour: requests of one address and of one device, and tokens that are given to all together.
const OF_ADDRESS: u32 = 600;
const OF_DEVICE: u32 = 60;
const OF_ALL: u32 = 36_000;
const HOUR: Duration = Duration::from_secs(3600);

/// A device that showed that it asks for this.
pub(super) struct Proven<T> {
    pub(super) device: DeviceId,
    pub(super) wanted: T,
    pub(super) asker: Asker,
}

/// How often who may ask.
pub(super) struct Paces {
    addresses: Pace<Address>,
    devices: Pace<DeviceId>,
    all: Pace<()>,
}

/// From where a request came: an address, or of IPv6 what a household has; nothing if it is not known.
pub(super) type Address = Option<IpAddr>;

impl Default for Paces {
    fn default() -> Self {
        Self {
            addresses: Pace::within(OF_ADDRESS, HOUR),
            devices: Pace::within(OF_DEVICE, HOUR),
            all: Pace::within(OF_ALL, HOUR),
        }
    }
}

impl Paces {
    /// Takes one of the tokens that are given to all together: who is refused anyhow takes none from the others.
    pub(super) fn gives(&self, now_ns: u64) -> Result<(), Duration> {
        self.all.take((), now_ns)
    }
}

/// Where a request came from.
pub(super) fn address(asker: &Asker) -> Address {
    asker.caller.client.map(|address| match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

/// Refuses what comes too often.
pub(super) fn often(taken: Result<(), Duration>) -> Result<(), Problem> {
    taken.map_err(|wait| Why::Often.until(wait, "Come again when `Retry-After` says."))
}

impl<T: DeserializeOwned> FromRequest<Arc<Desk>> for Proven<T> {
    type Rejection = Problem;

    /// What costs least is looked at first: who is too fast is not read, and whose clock is wrong is not verified.
    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let asker = Asker::from_request_parts(&mut parts, desk).await?;
        often(desk.paces.addresses.take(address(&asker), desk.now_ns()))?;
        let proof = proof(&parts.headers)?;
        let now_ms = now_ms();
        if proof.time_ms.abs_diff(now_ms) > SKEW.as_millis() as u64 {
            return Err(Why::Clock.at(now_ms, "Sign again, with the time that `now` says."));
        }
        let body = to_bytes(body, BODY_BYTES_MAX)
            .await
            .map_err(|_| Why::Body.because(format!("Send at most {BODY_BYTES_MAX} bytes.")))?;
        let asked = Asked { method: parts.method.as_str(), path: parts.uri.path(), body: &body };
        let unproven =
            || Why::Proof.because("The signature in `Selvedge-Proof` is not the device's.");
        proof.verify(&asked).map_err(|_| unproven())?;
        often(desk.paces.devices.take(proof.device, desk.now_ns()))?;
        let wanted = serde_json::from_slice(&body);
        let wanted = wanted.map_err(|error| Why::Token.because(error.to_string()))?;
        Ok(Self { device: proof.device, wanted, asker })
    }
}

impl<T> Proven<T> {
    /// The entry that the device did something.
    pub(super) fn event(&self, desk: &Desk, (action, tenant): (&str, &str), place: &str) -> Event {
        let mut event = desk.journal.by(&self.asker, action, ("document", place));
        event.actor = Principal {
            kind: ActorKind::Service,
            id: Some(format!("device:{}", self.device)),
            tenant: Some(tenant.to_owned()),
            auth: "device".to_owned(),
        };
        event
    }
}

fn proof(fields: &HeaderMap) -> Result<RequestProof, Problem> {
    let is_json =
        fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(
            |media| media.split(';').next().unwrap_or_default().trim() == "application/json",
        );
    if !is_json {
        return Err(Why::Token.because("Send `Content-Type: application/json`."));
    }
    let mut sent = fields.get_all(FIELD).iter();
    let only = sent.next().filter(|_| sent.next().is_none()).and_then(|value| value.to_str().ok());
    let proof = only.and_then(|text| text.parse().ok());
    proof.ok_or_else(|| {
        Why::Proof.because("Send `Selvedge-Proof: device=…, time=…, signature=…`, once.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many addresses are cheap: what is refused to them must not be refused to everybody.
    #[test]
    fn who_asks_and_gets_nothing_takes_nothing_from_others() {
        let paces = Paces::default();
        for number in 0..2 * OF_ALL {
            let address = Some(IpAddr::from(
                (0x2001_0db8_u128 << 96 | u128::from(number) << 64).to_be_bytes(),
            ));
            assert_eq!(paces.addresses.take(address, 5), Ok(()));
            let mut device = [0; 32];
            device[..4].copy_from_slice(&number.to_be_bytes());
            assert_eq!(paces.devices.take(DeviceId(device), 5), Ok(()));
        }
        assert_eq!((0..=OF_ALL).filter(|_| paces.gives(5).is_ok()).count(), OF_ALL as usize);
    }
}
