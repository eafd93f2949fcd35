//! Tokens for devices: who may is asked, what is done is in the audit log.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use selvedge_audit::event::{Event, Fact};
use selvedge_crdt::session::DeviceId;
use selvedge_seal::{
    Rights,
    token::{Capability, Documents, Holder, ID_BYTES_MAX},
};
use selvedge_sync::Deed;
use serde::Deserialize;
use serde_json::json;

use super::{
    Desk,
    problem::{Problem, Why},
};
use crate::core::services::audit::{Asker, list};

/// What it takes to make tokens, and to revoke them.
const SCOPE: &str = "sync:tokens";
/// How long a token lasts that says nothing, and at most, in seconds.
const TTL_S: u64 = 86_400;
pub(super) const TTL_MAX_S: u64 = 90 * 86_400;

/// How ids of founders' tokens begin. A founder may ask for ever, so they are revoked for good.
pub(super) const FOUNDER: &str = "founder.";

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The caller's own where it has one.
    tenant: Option<String>,
    /// A document, a prefix that ends in `/`, or `*`.
    document: String,
    rights: Vec<String>,
    /// Its public key, in hexadecimal or base64url.
    device: String,
    /// For whom, as the audit log tells it.
    #[serde(default)]
    subject: String,
    /// How many seconds it lasts.
    ttl: Option<u64>,
}

/// The key that tokens are verified with, for relays elsewhere.
pub(super) async fn issuer(State(desk): State<Arc<Desk>>) -> Response {
    let key: serde_json::Value =
        serde_json::from_str(&desk.keep.key.public().to_jwk()).unwrap_or_default();
    Json(json!({ "keys": [key] })).into_response()
}

/// Makes a token: that it was asked for is durable before it is given out.
pub(super) async fn mint(
    asker: Asker,
    State(desk): State<Arc<Desk>>,
    wanted: Result<Json<Wanted>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Problem> {
    asker.caller.require(SCOPE)?;
    let Json(wanted) = wanted.map_err(|error| Why::Token.because(error.body_text()))?;
    let tenant = tenant(&asker, wanted.tenant.clone())?;
    let capability = capability(wanted, tenant)?;
    let event = desk.journal.by(&asker, "sync.token.create", ("document", &place(&capability)));
    desk.issue(event, capability, None).await
}

/// Whose documents, and which.
pub(super) fn place(capability: &Capability) -> String {
    format!("{}/{}", capability.tenant, capability.documents)
}

impl Desk {
    /// Gives a token out, once the entry that tells of it is durable, together with what it comes of.
    pub(super) async fn issue(
        &self,
        mut event: Event,
        capability: Capability,
        deed: Option<Deed>,
    ) -> Result<Response, Problem> {
        let minted = self.keep.key.mint(&capability);
        let token =
            minted.map_err(|error| Why::Token.because(format!("it would not be one: {error}")))?;
        let Capability { tenant, documents, rights, holder, expires, id, subject, link, .. } =
            &capability;
        let text = |text: &str| Fact::Text(text.to_owned());
        event.details.insert("token".to_owned(), text(id));
        event.details.insert("subject".to_owned(), text(subject));
        event.details.insert("rights".to_owned(), list(rights.names()));
        let mut answer = json!({
            "token": token,
            "id": id,
            "expires": expires,
            "tenant": tenant,
            "document": documents.to_string(),
            "rights": rights.names().collect::<Vec<_>>(),
        });
        if let Holder::Key(device) = holder {
            event.details.insert("device".to_owned(), text(&device.to_string()));
            answer["device"] = json!(device.to_string());
        }
        if let Some(link) = link {
            event.details.insert("link".to_owned(), text(link.name()));
            answer["link"] = json!(link.name());
        }
        self.journal.write_with(event, deed.as_ref().map(Deed::record)).await?;
        deed.into_iter().for_each(Deed::done);
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    }
}

/// Who acts for a tenant makes tokens for this one alone.
fn tenant(asker: &Asker, wanted: Option<String>) -> Result<String, Problem> {
    match (asker.caller.tenant.clone(), wanted) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(wanted)) if own != wanted => {
            let detail = "Its credentials are for one tenant, and this is another.";
            Err(Why::Tenant.because(detail))
        }
        (_, Some(wanted)) => Ok(wanted),
        (None, None) => Err(Why::Token.because("`tenant` is missing")),
    }
}

fn capability(wanted: Wanted, tenant: String) -> Result<Capability, Problem> {
    let device = device(&wanted.device)?;
    // Who it is for is at least the device.
    let subject = Some(wanted.subject).filter(|subject| !subject.is_empty());
    let fresh = fresh(device, wanted.ttl)?;
    Ok(Capability {
        tenant,
        documents: documents(&wanted.document)?,
        rights: rights(&wanted.rights)?,
        subject: subject.unwrap_or_else(|| device.to_string()),
        ..fresh
    })
}

/// A new token for a device that begins now, and gives nothing yet.
pub(super) fn fresh(device: DeviceId, ttl: Option<u64>) -> Result<Capability, Problem> {
    let ttl = ttl.unwrap_or(TTL_S);
    if !(1..=TTL_MAX_S).contains(&ttl) {
        return Err(Why::Token.because("a token lasts 1 second to 90 days"));
    }
    let now = now_s();
    Ok(Capability {
        tenant: String::new(),
        documents: Documents::All,
        rights: Rights::NONE,
        holder: Holder::Key(device),
        expires: now + ttl,
        not_before: None,
        issued: Some(now),
        id: id()?,
        subject: device.to_string(),
        link: None,
    })
}

pub(super) fn documents(text: &str) -> Result<Documents, Problem> {
    let help = "`document` is a name, a prefix that ends in `/`, or `*`";
    Documents::parse(text).ok_or_else(|| Why::Token.because(help))
}

pub(super) fn rights(names: &[String]) -> Result<Rights, Problem> {
    let known: Option<Vec<Rights>> = names.iter().map(|name| Rights::from_name(name)).collect();
    let all = known.map(|known| known.into_iter().fold(Rights::NONE, |all, right| all | right));
    let help = "`rights` are some of read, write, snapshot, admin, join";
    all.filter(|all| *all != Rights::NONE).ok_or_else(|| Why::Token.because(help))
}

pub(super) fn device(text: &str) -> Result<DeviceId, Problem> {
    let bytes = match text.len() {
        64 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()),
        _ => BASE64URL_NOPAD.decode(text.as_bytes()),
    };
    let key = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    let help = "`device` is an Ed25519 key of 32 bytes, in hexadecimal or base64url";
    key.map(DeviceId).ok_or_else(|| Why::Token.because(help))
}

fn id() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Why::Unwritten.because("no random bytes"))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// Revokes a token, and what it was exchanged for: that it was asked for is durable before it is done.
pub(super) async fn revoke(
    asker: Asker,
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    asker.caller.require(SCOPE)?;
    // Whoever knows more of it than its id may have written it anywhere.
    if id.len() > ID_BYTES_MAX || id.contains(char::is_control) {
        return Err(Why::Token.because("no token has such an id"));
    }
    // Nobody remembers when it would have ended; ours all have by then, also those that could still be exchanged. Others' may
    // last longer, which who revokes them says.
    let until = now_s() + TTL_MAX_S + desk.renew.as_secs();
    let until = match id.starts_with(FOUNDER) {
        true => u64::MAX,
        false => until.max(expires(query.as_deref().unwrap_or_default())?),
    };
    let deed = desk.sync.revoke(&id, until);
    let deed =
        deed.ok_or_else(|| Why::Unwritten.because("as many tokens are revoked as may be"))?;
    let event = desk.journal.by(&asker, "sync.token.revoke", ("token", &id));
    desk.journal.write_with(event, Some(deed.record())).await?;
    deed.done();
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// When a token ends that is revoked: `expires=SECONDS`, or nothing.
fn expires(query: &str) -> Result<u64, Problem> {
    let said = match query.strip_prefix("expires=") {
        None if query.is_empty() => Some(0),
        None => None,
        Some(seconds) => seconds.parse().ok(),
    };
    said.ok_or_else(|| Why::Token.because("`expires` is in seconds since 1970"))
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_revoked_is_in_seconds() {
        assert_eq!(expires("").ok(), Some(0));
        assert_eq!(expires("expires=1790000000").ok(), Some(1_790_000_000));
        for wrong in ["expires=", "expires=-1", "expires=1e9", "until=7", "expires=7&more=1"] {
            assert!(expires(wrong).is_err(), "{wrong}");
        }
    }
}
