//! Tokens that devices get for themselves and for others, by showing who they are (docs/reference/sync-protocol.md).

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{extract::State, response::Response};
use data_encoding::BASE64URL_NOPAD;
use selvedge_config::GuestRule;
use selvedge_crdt::session::{DeviceId, DocumentId};
use selvedge_seal::{
    Rights,
    token::{Capability, Documents, LinkUse, TokenError},
};
use selvedge_sync::{Deed, NotFounded, NotSpent, Pace};
use serde::Deserialize;

use super::{
    Desk,
    problem::{Problem, Why},
    proof::{Address, Proven, address, often},
    tokens::{FOUNDER, TTL_MAX_S, device, documents, fresh, now_s, place, rights},
};

/// Whose documents they are where no tenant is named.
const TENANT: &str = "default";
const HOUR: Duration = Duration::from_secs(3600);
/// When to ask again where somebody else is at the same.
const SOON: Duration = Duration::from_secs(1);

/// What any device may found, and how fast one address does.
pub(super) struct Guests {
    rule: GuestRule,
    pace: Pace<Address>,
}

impl Guests {
    pub(super) fn new(rule: &GuestRule) -> Self {
        let per_hour = u32::try_from(rule.address_rate).unwrap_or(u32::MAX);
        Self { rule: rule.clone(), pace: Pace::within(per_hour, HOUR) }
    }

    fn are_for(&self, document: &DocumentId) -> bool {
        self.rule.tenant == document.tenant() && document.name().starts_with(&self.rule.prefix)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    tenant: Option<String>,
    document: String,
}

/// The first device that asks is a document's founder.
pub(super) async fn found(
    State(desk): State<Arc<Desk>>,
    asked: Proven<Found>,
) -> Result<Response, Problem> {
    let Found { tenant, document } = &asked.wanted;
    let document = DocumentId::new(tenant.as_deref().unwrap_or(TENANT), document)
        .ok_or_else(|| Why::Token.because("`tenant` and `document` name no document"))?;
    let deed = desk.sync.found(&document, &asked.device).map_err(not_founded)?;
    if deed.is_some() {
        let guests = desk.guests.iter().find(|guests| guests.are_for(&document));
        let paced = guests.map(|it| it.pace.take(address(&asked.asker), desk.now_ns()));
        often(paced.unwrap_or(Ok(())))?;
    }
    let id = format!("{FOUNDER}{}", id_for(&document.to_string(), &asked.device));
    if desk.sync.is_revoked(&id) {
        return Err(revoked());
    }
    let capability = Capability {
        tenant: document.tenant().to_owned(),
        documents: Documents::One(document.name().to_owned()),
        rights: Rights::ALL,
        id,
        ..fresh(asked.device, None)?
    };
    give(&desk, &asked, ("sync.document.found", capability), deed).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Renew {
    token: String,
}

/// The same token, with another end.
pub(super) async fn renew(
    State(desk): State<Arc<Desk>>,
    asked: Proven<Renew>,
) -> Result<Response, Problem> {
    // What others sign, they sign again, or do not.
    let verified = desk.own.verify_ended(&asked.wanted.token, now_s(), desk.renew.as_secs());
    let known = of_device(verified.map_err(spent)?, &asked.device)?;
    if known.link.is_some() {
        return Err(Why::Spent.because("Links end when they were said to: make another."));
    }
    if desk.sync.is_revoked(&known.id) {
        return Err(revoked());
    }
    is_still_in(&desk, &known, &asked.device).await?;
    let life = known.issued.map_or(TTL_MAX_S, |issued| known.expires.saturating_sub(issued));
    let new = fresh(asked.device, Some(life.clamp(1, TTL_MAX_S)))?;
    let capability =
        Capability { expires: new.expires, issued: new.issued, not_before: None, ..known };
    give(&desk, &asked, ("sync.token.renew", capability), None).await
}

/// Refuses a device that was taken out of the document's members.
async fn is_still_in(desk: &Desk, known: &Capability, device: &DeviceId) -> Result<(), Problem> {
    let Documents::One(name) = &known.documents else { return Ok(()) };
    let Some(document) = DocumentId::new(&known.tenant, name) else { return Ok(()) };
    match desk.sync.was_removed(&document, device).await {
        Some(false) => Ok(()),
        Some(true) => {
            Err(Why::Spent.because("The device was taken out of the document's members."))
        }
        None => Err(Why::Unwritten.until(SOON, "The document's members cannot be read.")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    token: String,
    device: String,
    rights: Vec<String>,
    document: Option<String>,
    ttl: Option<u64>,
    link: Option<String>,
}

/// A token for another device, or for a link, that gives no more than this device's own.
pub(super) async fn share(
    State(desk): State<Arc<Desk>>,
    asked: Proven<Share>,
) -> Result<Response, Problem> {
    let own = of_device(verify(&desk, &asked.wanted.token)?, &asked.device)?;
    if !own.rights.has(Rights::ADMIN) {
        return Err(Why::Rights.because("Who shares a document has the right `admin` on it."));
    }
    let capability = share_of(&own, &asked.wanted)?;
    give(&desk, &asked, ("sync.token.share", capability), None).await
}

fn share_of(own: &Capability, wanted: &Share) -> Result<Capability, Problem> {
    let link = wanted.link.as_deref().map(|name| {
        LinkUse::from_name(name).ok_or_else(|| Why::Token.because("`link` is `once` or `many`"))
    });
    let (link, rights) = (link.transpose()?, rights(&wanted.rights)?);
    let documents = match &wanted.document {
        Some(text) => documents(text)?,
        None => own.documents.clone(),
    };
    // A link is for bringing in, which is what its maker does.
    let given = if link.is_some() { rights.without(Rights::JOIN) } else { rights };
    if !own.rights.has(given) || !own.documents.cover(&documents) {
        return Err(Why::Rights.because("Nobody gives more than he has."));
    }
    let more = match link {
        Some(_) if given.has(Rights::ADMIN) => {
            return Err(Why::Rights.because("No link has the right `admin`."));
        }
        Some(_) if !matches!(documents, Documents::One(_)) => {
            return Err(Why::Token.because("A link is for one document: name it in `document`."));
        }
        Some(_) => Rights::JOIN,
        None => Rights::NONE,
    };
    let new = fresh(device(&wanted.device)?, wanted.ttl)?;
    Ok(Capability { tenant: own.tenant.clone(), documents, rights: rights | more, link, ..new })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    token: String,
    device: String,
}

/// For the token of a link, one for the device that opens it.
pub(super) async fn join(
    State(desk): State<Arc<Desk>>,
    asked: Proven<Join>,
) -> Result<Response, Problem> {
    let link = of_device(verify(&desk, &asked.wanted.token)?, &asked.device)?;
    let newcomer = device(&asked.wanted.device)?;
    if newcomer == asked.device {
        return Err(
            Why::Token.because("`device` is whoever opens the link, and not the link's own")
        );
    }
    let deed = match link.link {
        None => return Err(Why::Spent.because("The token is not a link's.")),
        Some(LinkUse::Many) if desk.sync.is_revoked(&link.id) => return Err(revoked()),
        Some(LinkUse::Many) => None,
        Some(LinkUse::Once) => {
            desk.sync.spend(&link.id, (&newcomer, link.expires)).map_err(not_spent)?
        }
    };
    let id = id_for(&link.id, &newcomer);
    if desk.sync.is_revoked(&id) {
        return Err(revoked());
    }
    let (tenant, documents, rights) = (link.tenant, link.documents, link.rights);
    let capability = Capability { tenant, documents, rights, id, ..fresh(newcomer, None)? };
    give(&desk, &asked, ("sync.token.join", capability), deed).await
}

/// The id of a token that a device may ask for again: the same each time, so that it is not given again once it was revoked.
fn id_for(what: &str, device: &DeviceId) -> String {
    let named = [what.as_bytes(), b"\0", &device.0].concat();
    BASE64URL_NOPAD.encode(&digest(&SHA256, &named).as_ref()[..16])
}

async fn give<T>(
    desk: &Arc<Desk>,
    asked: &Proven<T>,
    (action, capability): (&str, Capability),
    deed: Option<Deed>,
) -> Result<Response, Problem> {
    often(desk.paces.gives(desk.now_ns()))?;
    let event = asked.event(desk, (action, &capability.tenant), &place(&capability));
    desk.issue(event, capability, deed).await
}

fn verify(desk: &Desk, token: &str) -> Result<Capability, Problem> {
    desk.sync.verify(token, now_s()).map_err(|error| error.map_or_else(revoked, spent))
}

/// A token is of use to its device alone.
fn of_device(capability: Capability, device: &DeviceId) -> Result<Capability, Problem> {
    let is_its = capability.holder.is(device);
    is_its.then_some(capability).ok_or_else(|| Why::Proof.because("The token is another device's."))
}

fn spent(error: TokenError) -> Problem {
    Why::Spent.because(format!("It is not taken: {error}."))
}

fn revoked() -> Problem {
    Why::Spent.because("It was revoked.")
}

fn not_founded(why: NotFounded) -> Problem {
    match why {
        NotFounded::NotOpen => Why::Guests.because(
            "The config opens names to devices with `core { sync { guests \"vaults/\" } }`.",
        ),
        NotFounded::Guessable => Why::Guests
            .because("The last part of the name has at least 22 characters, which are random."),
        NotFounded::Taken => Why::Founded.because("Take another name, or ask its founder."),
        NotFounded::Busy => Why::Busy.until(SOON, "Ask again."),
        NotFounded::Full => Why::Documents.because("`guests` in the config says how many."),
    }
}

fn not_spent(why: NotSpent) -> Problem {
    match why {
        NotSpent::Spent => Why::Used.because("Ask for another."),
        NotSpent::Busy => Why::Busy.until(SOON, "Ask again."),
        NotSpent::Full => Why::Unwritten.because("As many tokens are revoked as may be."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"{"document":"a/","rights":["read","write","admin"]}"#;

    /// What comes of sharing with these rights and documents: rights and documents, or the status.
    #[track_caller]
    fn check(wanted: &str, expected: Result<&str, &str>) {
        let parse = |text: &str| -> Share {
            let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
            json["token"] = "t".into();
            json["device"] = "00".repeat(32).into();
            serde_json::from_value(json).unwrap()
        };
        let own = parse(OWN);
        let own = Capability {
            tenant: "acme".to_owned(),
            documents: documents(own.document.as_deref().unwrap()).unwrap(),
            rights: rights(&own.rights).unwrap(),
            ..fresh(DeviceId([1; 32]), None).unwrap()
        };
        let shared = share_of(&own, &parse(wanted)).map(|it| {
            let rights: Vec<_> = it.rights.names().collect();
            assert_eq!((&*it.tenant, it.subject), ("acme", "00".repeat(32)));
            format!("{} {}", it.documents, rights.join(","))
        });
        let shared = shared.map_err(|problem| format!("{problem:?}"));
        match (shared, expected) {
            (Ok(shared), Ok(expected)) => assert_eq!(shared, expected, "{wanted}"),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{wanted}: {why}"),
            (shared, _) => panic!("{wanted}: {shared:?}"),
        }
    }

    #[test]
    fn nobody_gives_more_than_he_has() {
        check(r#"{"rights":["read"]}"#, Ok("a/ read"));
        check(r#"{"rights":["read","admin"],"document":"a/b/"}"#, Ok("a/b/ read,admin"));
        check(r#"{"rights":["read","snapshot"]}"#, Err("Rights"));
        check(r#"{"rights":["read","join"]}"#, Err("Rights"));
        check(r#"{"rights":["read"],"document":"*"}"#, Err("Rights"));
        check(r#"{"rights":["read"],"document":"b"}"#, Err("Rights"));
        check(r#"{"rights":[]}"#, Err("Token"));
        check(r#"{"rights":["read","dance"]}"#, Err("Token"));
        check(r#"{"rights":["read"],"ttl":0}"#, Err("Token"));
        check(r#"{"rights":["read"],"ttl":7776001}"#, Err("Token"));
    }

    #[test]
    fn a_link_brings_into_one_document_and_makes_nobody_admin() {
        check(r#"{"rights":["read"],"document":"a/b","link":"once"}"#, Ok("a/b read,join"));
        check(r#"{"rights":["read","join"],"document":"a/b","link":"many"}"#, Ok("a/b read,join"));
        check(r#"{"rights":["read"],"link":"once"}"#, Err("Token"));
        check(r#"{"rights":["read"],"document":"a/b","link":"twice"}"#, Err("Token"));
        check(r#"{"rights":["read","admin"],"document":"a/b","link":"once"}"#, Err("Rights"));
    }
}
