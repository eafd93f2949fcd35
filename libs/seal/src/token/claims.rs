//! The claims of a token, read with care.

use std::{error::Error, fmt};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AUDIENCE, Capability, Documents, Holder, ID_BYTES_MAX, LinkUse, SUBJECT_BYTES_MAX,
    header::{decode_key, is_there},
};
use crate::{Rights, token::jwk};

/// The first number of seconds that floating point would round.
const SECONDS_MAX: u64 = 1 << 53;

/// Why a token is not taken. It says what is wrong, and nothing of what the token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// More bytes than a session carries.
    TooLong,
    /// Not three parts of base64url.
    Form,
    /// The header is not an object with `alg` and, if they are there, a textual `kid` and `typ`.
    Header,
    /// `alg` is not `EdDSA`.
    Algorithm,
    /// The header has extensions that must be understood (`crit`), or `b64`.
    Critical,
    /// `typ` is not `JWT`.
    Type,
    /// No key has the id that it names, or it names none and there are several.
    Key,
    /// The key did not sign it.
    Signature,
    /// The claims are not one object that says nothing twice.
    Claims,
    /// This claim is missing, or is not what it must be.
    Claim(&'static str),
    /// It is for somebody else (`aud`).
    Audience,
    /// Its key may not sign for this tenant.
    Tenant,
    /// It ended.
    Expired,
    /// It has not begun, or was signed in the future.
    NotYet,
}

/// The claims that anybody looks at. One that occurs twice is an error; unknown ones are passed over, as RFC 7519 says.
#[derive(Deserialize)]
struct Claims {
    tenant: Option<Value>,
    doc: Option<Value>,
    rights: Option<Value>,
    cnf: Option<Confirmation>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    jti: Option<Value>,
    sub: Option<Value>,
    aud: Option<Value>,
    link: Option<Value>,
}

/// RFC 7800: one key, in one form.
#[derive(Deserialize)]
struct Confirmation {
    jwk: Option<ConfirmationKey>,
    jkt: Option<Value>,
}

#[derive(Deserialize)]
struct ConfirmationKey {
    kty: Option<Value>,
    crv: Option<Value>,
    x: Option<Value>,
    #[serde(default, deserialize_with = "is_there")]
    d: bool,
}

/// Reads what was signed.
pub(super) fn read(claims: &[u8]) -> Result<Capability, TokenError> {
    let claims: Claims = serde_json::from_slice(claims).map_err(|_| TokenError::Claims)?;
    let Claims { tenant, doc, rights, cnf, exp, nbf, iat, jti, sub, aud, link } = claims;
    if aud.is_some_and(|aud| !is_for_us(&aud)) {
        return Err(TokenError::Audience);
    }
    let documents = text(doc, "doc", usize::MAX)?;
    let capability = Capability {
        tenant: text(tenant, "tenant", usize::MAX)?,
        documents: Documents::parse(&documents).ok_or(TokenError::Claim("doc"))?,
        rights: read_rights(rights.as_ref()).ok_or(TokenError::Claim("rights"))?,
        holder: cnf.and_then(Confirmation::holder).ok_or(TokenError::Claim("cnf"))?,
        expires: seconds(exp, "exp")?.ok_or(TokenError::Claim("exp"))?,
        not_before: seconds(nbf, "nbf")?,
        issued: seconds(iat, "iat")?,
        id: text(jti, "jti", ID_BYTES_MAX)?,
        subject: text(sub, "sub", SUBJECT_BYTES_MAX)?,
        link: link.map(read_link).transpose()?,
    };
    check(&capability).map(|()| capability)
}

/// What must hold of what is read, and of what is signed here.
pub(super) fn check(capability: &Capability) -> Result<(), TokenError> {
    let is_text =
        |text: &str, max| (1..=max).contains(&text.len()) && !text.contains(char::is_control);
    let Capability { tenant, documents, rights, id, subject, .. } = capability;
    let is_tenant = selvedge_crdt::session::DocumentId::new(tenant, "x").is_some();
    let is_documents = Documents::parse(&documents.to_string()).as_ref() == Some(documents);
    let times = [Some(capability.expires), capability.not_before, capability.issued];
    let wrong = [
        (is_tenant, "tenant"),
        (is_documents, "doc"),
        (*rights != Rights::NONE, "rights"),
        (is_text(id, ID_BYTES_MAX), "jti"),
        (is_text(subject, SUBJECT_BYTES_MAX), "sub"),
        (times.iter().flatten().all(|time| *time < SECONDS_MAX), "exp"),
    ];
    let wrong = wrong.into_iter().find(|(is_right, _)| !is_right);
    wrong.map_or(Ok(()), |(_, claim)| Err(TokenError::Claim(claim)))
}

/// The claims to be signed.
pub(super) fn write(capability: &Capability) -> Value {
    let Capability { tenant, documents, rights, holder, expires, .. } = capability;
    let mut claims = json!({
        "tenant": tenant,
        "doc": documents.to_string(),
        "rights": rights.names().collect::<Vec<_>>(),
        "cnf": match holder {
            Holder::Key(device) => json!({ "jwk": jwk::public(&device.0) }),
            Holder::Thumbprint(hash) => {
                json!({ "jkt": data_encoding::BASE64URL_NOPAD.encode(hash) })
            }
        },
        "exp": expires,
        "jti": capability.id,
        "sub": capability.subject,
    });
    if let Some(link) = capability.link {
        claims["link"] = json!(link.name());
    }
    for (name, time) in [("nbf", capability.not_before), ("iat", capability.issued)] {
        time.into_iter().for_each(|time| claims[name] = json!(time));
    }
    claims
}

impl Confirmation {
    fn holder(self) -> Option<Holder> {
        match self {
            Confirmation { jwk: Some(key), jkt: None } => key.device(),
            Confirmation { jwk: None, jkt: Some(Value::String(hash)) } => {
                decode_key(&hash).map(|hash| Holder::Thumbprint(*hash))
            }
            _ => None,
        }
    }
}

impl ConfirmationKey {
    fn device(self) -> Option<Holder> {
        let ConfirmationKey { kty, crv, x, d } = self;
        let right = kty? == "OKP" && crv? == "Ed25519" && !d;
        let key = decode_key(x?.as_str()?).filter(|_| right)?;
        Some(Holder::Key(selvedge_crdt::session::DeviceId(*key)))
    }
}

/// Rights that this version does not know give nothing; some must be known.
fn read_rights(rights: Option<&Value>) -> Option<Rights> {
    let names = rights?.as_array()?.iter().map(Value::as_str);
    let names: Vec<&str> = names.collect::<Option<_>>()?;
    let known = names.into_iter().filter_map(Rights::from_name);
    Some(known.fold(Rights::NONE, |all, right| all | right))
}

/// A kind of link that this version does not know may be for fewer than it thinks.
fn read_link(link: Value) -> Result<LinkUse, TokenError> {
    link.as_str().and_then(LinkUse::from_name).ok_or(TokenError::Claim("link"))
}

fn is_for_us(audience: &Value) -> bool {
    match audience {
        Value::Array(all) => all.contains(&Value::from(AUDIENCE)),
        one => one.as_str() == Some(AUDIENCE),
    }
}

fn text(value: Option<Value>, claim: &'static str, max: usize) -> Result<String, TokenError> {
    match value {
        Some(Value::String(text)) if text.len() <= max => Ok(text),
        _ => Err(TokenError::Claim(claim)),
    }
}

/// RFC 7519's NumericDate, whose fractions are cut off.
fn seconds(value: Option<Value>, claim: &'static str) -> Result<Option<u64>, TokenError> {
    let Some(value) = value else { return Ok(None) };
    let whole = value.as_u64().or_else(|| {
        let fraction = value.as_f64().filter(|it| (0.0..SECONDS_MAX as f64).contains(it));
        fraction.map(|it| it as u64)
    });
    whole.map(Some).ok_or(TokenError::Claim(claim))
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::TooLong => f.write_str("the token is too long"),
            TokenError::Form => f.write_str("the token is not three parts of base64url"),
            TokenError::Header => f.write_str("the header of the token is malformed"),
            TokenError::Algorithm => f.write_str("the algorithm of the token is not EdDSA"),
            TokenError::Critical => f.write_str("the token has critical extensions"),
            TokenError::Type => f.write_str("the type of the token is not JWT"),
            TokenError::Key => f.write_str("the key of the token is not known"),
            TokenError::Signature => f.write_str("the signature of the token does not hold"),
            TokenError::Claims => f.write_str("the claims of the token are malformed"),
            TokenError::Claim(name) => write!(f, "the claim {name} is missing or malformed"),
            TokenError::Audience => write!(f, "the token is not for {AUDIENCE}"),
            TokenError::Tenant => f.write_str("the key of the token is not for this tenant"),
            TokenError::Expired => f.write_str("the token ended"),
            TokenError::NotYet => f.write_str("the token has not begun"),
        }
    }
}

impl Error for TokenError {}
