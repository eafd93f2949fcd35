//! Who a client's certificate stands for. The listener has verified it; this names its holder.

use data_encoding::HEXLOWER_PERMISSIVE;
use selvedge_agent::{
    Attributes,
    attributes::{TLS_CLIENT_SAN, TLS_CLIENT_SHA256, TLS_CLIENT_SUBJECT},
};
use selvedge_config::auth::{CertificateIdentity, ClientCertificate};

use super::identity::Named;

/// Who the certificate of a request stands for, if it has one of those that count.
pub(super) fn holder(settings: &ClientCertificate, attributes: &Attributes<'_>) -> Option<Named> {
    let ClientCertificate { identity, allow, roles, scopes } = settings;
    // Without the digest there is no verified certificate, whatever else there is.
    digest(attributes)?;
    let name = name(*identity, attributes).filter(|name| is_allowed(allow, name))?;
    Some(Named { name: name.to_owned(), roles: roles.clone(), scopes: scopes.clone() })
}

/// The SHA-256 of the client's verified certificate.
pub(super) fn digest(attributes: &Attributes<'_>) -> Option<[u8; 32]> {
    let text = attributes.get(TLS_CLIENT_SHA256)?;
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn name<'a>(identity: CertificateIdentity, attributes: &Attributes<'a>) -> Option<&'a str> {
    let mut alternatives =
        attributes.get(TLS_CLIENT_SAN).unwrap_or_default().split(',').map(str::trim);
    let name = match identity {
        CertificateIdentity::Subject => attributes.get(TLS_CLIENT_SUBJECT),
        CertificateIdentity::SanUri => alternatives.find_map(|name| name.strip_prefix("URI:")),
        CertificateIdentity::SanDns => alternatives.find_map(|name| name.strip_prefix("DNS:")),
    };
    name.filter(|name| !name.is_empty())
}

fn is_allowed(allow: &[String], name: &str) -> bool {
    allow.is_empty()
        || allow.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
}

#[cfg(test)]
mod tests {
    use selvedge_agent::RequestHead;

    use super::*;
    use crate::auth::asked::Asked;

    const SUBJECT: &str = "CN=ci,O=Example";
    const SAN: &str = "IP:192.0.2.1,email:URI:x@example.com,DNS:ci.example.com,URI:spiffe://example.org/ci,URI:https://x/";

    #[track_caller]
    fn check(identity: CertificateIdentity, allow: &[&str], expected: Option<&str>) {
        let settings = ClientCertificate {
            identity,
            allow: allow.iter().map(|one| (*one).to_owned()).collect(),
            roles: vec!["deploy".to_owned()],
            scopes: Vec::new(),
        };
        let asked = Asked::get("/")
            .attribute(TLS_CLIENT_SUBJECT, SUBJECT)
            .attribute(TLS_CLIENT_SAN, SAN)
            .attribute(TLS_CLIENT_SHA256, &"0a".repeat(32));
        let found = found(&settings, &asked);
        assert_eq!(found.as_ref().map(|named| &*named.name), expected);
        assert!(found.is_none_or(|named| named.roles == ["deploy"]));
    }

    fn found(settings: &ClientCertificate, asked: &Asked) -> Option<Named> {
        let payload = asked.payload();
        let request = RequestHead::parse(&payload, false).unwrap();
        holder(settings, &request.attributes())
    }

    #[test]
    fn the_settings_choose_the_name() {
        check(CertificateIdentity::Subject, &[], Some(SUBJECT));
        check(CertificateIdentity::SanUri, &[], Some("spiffe://example.org/ci"));
        check(CertificateIdentity::SanDns, &[], Some("ci.example.com"));
    }

    #[test]
    fn only_names_that_are_allowed_count() {
        check(CertificateIdentity::SanDns, &["ci.example.com"], Some("ci.example.com"));
        check(CertificateIdentity::SanDns, &["ci.example"], None);
        check(CertificateIdentity::SanDns, &["a", "ci.*"], Some("ci.example.com"));
        let workloads = &["spiffe://example.org/*"];
        check(CertificateIdentity::SanUri, workloads, Some("spiffe://example.org/ci"));
        check(CertificateIdentity::SanUri, &["spiffe://example.com/*"], None);
    }

    #[test]
    fn without_a_digest_there_is_no_certificate() {
        let settings = ClientCertificate {
            identity: CertificateIdentity::Subject,
            allow: Vec::new(),
            roles: Vec::new(),
            scopes: Vec::new(),
        };
        let asked = Asked::get("/").attribute(TLS_CLIENT_SUBJECT, SUBJECT);
        assert_eq!(found(&settings, &asked), None);
    }
}
