//! Tokens for devices: who may is asked, what is done is in the audit log.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use selvedge_audit::event::Fact;
use selvedge_crdt::session::DeviceId;
use selvedge_seal::{
    Rights,
    token::{Capability, Documents, Holder, ID_BYTES_MAX},
};
use serde::Deserialize;
use serde_json::json;

use super::{Desk, problem::Problem};
use crate::core::services::audit::{Asker, list};

/// What it takes to make tokens, and to revoke them.
const SCOPE: &str = "sync:tokens";
/// How long a token lasts that says nothing, and at most, in seconds.
const TTL_S: u64 = 86_400;
const TTL_MAX_S: u64 = 90 * 86_400;

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
    let Json(wanted) = wanted.map_err(|error| Problem::Token(error.body_text()))?;
    let tenant = tenant(&asker, wanted.tenant.clone())?;
    let capability = capability(wanted, tenant)?;
    let token = desk
        .keep
        .key
        .mint(&capability)
        .map_err(|error| Problem::Token(format!("it would not be one: {error}")))?;
    let Capability { tenant, documents, rights, expires, id, subject, .. } = &capability;
    let resource = format!("{tenant}/{documents}");
    let mut event = desk.journal.by(&asker, "sync.token.create", ("document", &resource));
    let text = |text: &str| Fact::Text(text.to_owned());
    event.details.insert("token".to_owned(), text(id));
    event.details.insert("subject".to_owned(), text(subject));
    event.details.insert("rights".to_owned(), list(rights.names()));
    desk.journal.write(event).await?;
    let answer = json!({ "token": token, "id": id, "expires": expires });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Who acts for a tenant makes tokens for this one alone.
fn tenant(asker: &Asker, wanted: Option<String>) -> Result<String, Problem> {
    match (asker.caller.tenant.clone(), wanted) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(wanted)) if own != wanted => Err(Problem::Tenant),
        (_, Some(wanted)) => Ok(wanted),
        (None, None) => Err(Problem::Token("`tenant` is missing".to_owned())),
    }
}

fn capability(wanted: Wanted, tenant: String) -> Result<Capability, Problem> {
    let invalid = |text: &str| Problem::Token(text.to_owned());
    let documents = Documents::parse(&wanted.document)
        .ok_or_else(|| invalid("`document` is a name, a prefix that ends in `/`, or `*`"))?;
    let mut rights = Rights::NONE;
    for name in &wanted.rights {
        let right = Rights::from_name(name)
            .ok_or_else(|| invalid("`rights` are read, write, snapshot, admin, join"))?;
        rights = rights | right;
    }
    let ttl = wanted.ttl.unwrap_or(TTL_S);
    if rights == Rights::NONE || !(1..=TTL_MAX_S).contains(&ttl) {
        return Err(invalid("a token has a right, and lasts 1 second to 90 days"));
    }
    let (now, device) = (now_s(), device(&wanted.device)?);
    // Who it is for is at least the device.
    let subject = Some(wanted.subject).filter(|subject| !subject.is_empty());
    Ok(Capability {
        tenant,
        documents,
        rights,
        holder: Holder::Key(device),
        expires: now + ttl,
        not_before: None,
        issued: Some(now),
        id: id()?,
        subject: subject.unwrap_or_else(|| device.to_string()),
    })
}

fn device(text: &str) -> Result<DeviceId, Problem> {
    let bytes = match text.len() {
        64 => HEXLOWER_PERMISSIVE.decode(text.as_bytes()),
        _ => BASE64URL_NOPAD.decode(text.as_bytes()),
    };
    let key = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    let text = "`device` is an Ed25519 key of 32 bytes, in hexadecimal or base64url";
    key.map(DeviceId).ok_or_else(|| Problem::Token(text.to_owned()))
}

fn id() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Problem::Unwritten("no random bytes".to_owned()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// Revokes a token: that it was asked for is durable before it is done.
pub(super) async fn revoke(
    asker: Asker,
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    asker.caller.require(SCOPE)?;
    if id.len() > ID_BYTES_MAX {
        return Err(Problem::Token("no token has such an id".to_owned()));
    }
    let event = desk.journal.by(&asker, "sync.token.revoke", ("token", &id));
    desk.journal.write(event).await?;
    // Nobody remembers when it would have ended; ours all have by then.
    let revoked = desk.sync.revoke(&id, now_s() + TTL_MAX_S).await;
    revoked.map_err(Problem::Unwritten)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
