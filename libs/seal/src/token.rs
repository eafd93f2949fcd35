//! Capabilities: what a device may do with which documents, as a token that any backend can sign.
//!
//! A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037), bound to a device's key (RFC 7800). Whoever runs a
//! relay names the keys of those who may sign ([`Issuers`]); [`Issuers::verify`] makes a token a [`Capability`].

mod claims;
mod header;
mod issuer;
mod jwk;
mod pem;

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use selvedge_crdt::session::{DeviceId, DocumentId};

pub use claims::TokenError;
pub use issuer::{Issuer, IssuerKey, Issuers, MintError, Tenants};
pub use jwk::KeyError;

use crate::Rights;

/// Who a token is for, if it says so (`aud`).
pub const AUDIENCE: &str = "selvedge-sync";

/// By how many seconds clocks may differ.
pub const SKEW_SECONDS: u64 = 60;

/// Bytes of `jti`, at most.
pub const ID_BYTES_MAX: usize = 128;

/// Bytes of `sub`, at most.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Whose documents (`tenant`).
    pub tenant: String,
    /// Which of them (`doc`).
    pub documents: Documents,
    /// What may be done (`rights`).
    pub rights: Rights,
    /// Who may show the token (`cnf`).
    pub holder: Holder,
    /// When it ends (`exp`).
    pub expires: u64,
    /// When it begins (`nbf`).
    pub not_before: Option<u64>,
    /// When it was signed (`iat`).
    pub issued: Option<u64>,
    /// By what it is revoked (`jti`).
    pub id: String,
    /// Who acts, for the audit log (`sub`).
    pub subject: String,
    /// For how many devices that come by it, if it is a link's (`link`).
    pub link: Option<LinkUse>,
}

/// How often a link brings somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkUse {
    /// For one device.
    Once,
    /// For as many as open it.
    Many,
}

/// Which documents of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Documents {
    /// Every one: `*`.
    All,
    /// Those whose names begin like this: it ends in `/`.
    Prefix(String),
    /// The one of this name.
    One(String),
}

/// The device that a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its key (`jwk`).
    Key(DeviceId),
    /// The thumbprint of its key (`jkt`; RFC 7638, with SHA-256).
    Thumbprint([u8; 32]),
}

impl Capability {
    /// What a token says, believed by nobody: for whoever holds it and asks what it is good for. `None` if it is no token.
    pub fn unverified(token: &str) -> Option<Self> {
        claims::read(&header::Parts::split(token).ok()?.claims).ok()
    }

    /// What its holder may do with `document`.
    pub fn rights_on(&self, document: &DocumentId) -> Rights {
        let covers = self.tenant == document.tenant() && self.documents.has(document.name());
        if covers { self.rights } else { Rights::NONE }
    }

    /// Whether it ended, for a clock that says `now`.
    pub fn is_over(&self, now: u64) -> bool {
        now >= self.expires.saturating_add(SKEW_SECONDS)
    }
}

impl LinkUse {
    /// Its name in a token.
    pub fn name(self) -> &'static str {
        match self {
            LinkUse::Once => "once",
            LinkUse::Many => "many",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [LinkUse::Once, LinkUse::Many].into_iter().find(|it| it.name() == name)
    }
}

impl Documents {
    /// Reads a name, a prefix that ends in `/`, or `*`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| DocumentId::new("tenant", name).is_some();
        if text == "*" {
            Some(Documents::All)
        } else if text.ends_with('/') {
            is_name(&format!("{text}x")).then(|| Documents::Prefix(text.to_owned()))
        } else {
            is_name(text).then(|| Documents::One(text.to_owned()))
        }
    }

    /// Whether all of these are among them.
    pub fn cover(&self, others: &Documents) -> bool {
        match (self, others) {
            (Documents::All, _) => true,
            (Documents::Prefix(prefix), Documents::Prefix(text) | Documents::One(text)) => {
                text.starts_with(prefix)
            }
            (Documents::One(one), Documents::One(other)) => one == other,
            (Documents::Prefix(_), Documents::All) | (Documents::One(_), _) => false,
        }
    }

    /// Whether the document of this name is among them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Documents::All => true,
            Documents::Prefix(prefix) => name.starts_with(prefix),
            Documents::One(one) => name == one,
        }
    }
}

impl fmt::Display for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Documents::All => "*",
            Documents::Prefix(text) | Documents::One(text) => text,
        })
    }
}

impl Holder {
    /// Whether it is this device.
    pub fn is(&self, device: &DeviceId) -> bool {
        match self {
            Holder::Key(key) => key == device,
            Holder::Thumbprint(thumbprint) => *thumbprint == jwk::thumbprint(&device.0),
        }
    }
}

/// The thumbprint of a device's key (RFC 7638), as base64url: what `cnf.jkt` says.
pub fn thumbprint(device: &DeviceId) -> String {
    BASE64URL_NOPAD.encode(&jwk::thumbprint(&device.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, inside: &[&str], outside: &[&str]) {
        let documents = Documents::parse(text).expect("it names documents");
        assert_eq!(documents.to_string(), text);
        inside.iter().for_each(|name| assert!(documents.has(name), "{name}"));
        outside.iter().for_each(|name| assert!(!documents.has(name), "{name}"));
    }

    #[test]
    fn names_prefixes_and_all() {
        check("*", &["notes", "a/b/c"], &[]);
        check("notes", &["notes"], &["notes/ann", "note", "notess", "Notes"]);
        check("notes/", &["notes/ann", "notes/a/b"], &["notes", "notesx", "anotes/x"]);
        for text in ["", "/", "**", "notes/*", "a//", "../", "a/../b", "a b", "ä/"] {
            assert_eq!(Documents::parse(text), None, "{text}");
        }
    }

    #[test]
    fn some_are_among_others() {
        let parse = |text| Documents::parse(text).expect("it names documents");
        for (all, some) in
            [("*", "*"), ("*", "a/"), ("a/", "a/"), ("a/", "a/b/"), ("a/", "a/b"), ("a", "a")]
        {
            assert!(parse(all).cover(&parse(some)), "{all} {some}");
        }
        for (all, some) in
            [("a/", "*"), ("a/", "ab"), ("a/b/", "a/"), ("a", "a/"), ("a", "b"), ("a", "*")]
        {
            assert!(!parse(all).cover(&parse(some)), "{all} {some}");
        }
    }

    #[test]
    fn a_capability_is_for_one_tenant() {
        let capability = Capability {
            tenant: "acme".to_owned(),
            documents: Documents::All,
            rights: Rights::READ,
            holder: Holder::Key(DeviceId([1; 32])),
            expires: 100,
            not_before: None,
            issued: None,
            id: "1".to_owned(),
            subject: "ann".to_owned(),
            link: None,
        };
        let rights_on =
            |tenant| capability.rights_on(&DocumentId::new(tenant, "x").expect("a name"));
        assert_eq!(rights_on("acme"), Rights::READ);
        assert_eq!(rights_on("acme2"), Rights::NONE);
        assert!(!capability.is_over(159) && capability.is_over(160));
    }

    #[test]
    fn a_device_is_known_by_its_thumbprint() {
        // RFC 8037, appendix A.3.
        let key = BASE64URL_NOPAD.decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let device = DeviceId(key.expect("base64url").try_into().expect("32 bytes"));
        assert_eq!(thumbprint(&device), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(Holder::Thumbprint(jwk::thumbprint(&device.0)).is(&device));
        assert!(!Holder::Thumbprint([0; 32]).is(&device));
    }
}
