//! Who somebody is, and how the upstream and later agents learn of it.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use selvedge_agent::Verdict;
use selvedge_config::auth::{ClaimHeader, ClaimValue, Settings};
use serde_json::Value;

use super::claims::{self, Claims, Unfit, joined, passable};

/// Somebody who is known.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) roles: Vec<String>,
    pub(super) scopes: Vec<String>,
    /// The SHA-256 of the client certificate without which the token counts for nothing.
    pub(super) certificate: Option<[u8; 32]>,
    /// Lets the request pass, with all that is told of its sender.
    pub(super) verdict: Verdict,
}

/// Who comes with an API key or a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) scopes: Vec<String>,
}

/// Why a token whose signature is valid counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoIdentity {
    Unfit(Unfit),
    /// It is bound to a key by other means than a certificate (RFC 7800), and nobody here asks for
    /// the proof.
    Bound,
}

/// How claims become roles, request fields and values.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// Fields, each with the claims that fill it.
    headers: Vec<(String, Vec<String>)>,
    values: Vec<ClaimValue>,
    roles_from: Vec<String>,
    scopes_from: Vec<String>,
    /// Takes all fields off a request.
    nobody: Verdict,
}

impl Mapping {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut headers: Vec<(String, Vec<String>)> = Vec::new();
        for ClaimHeader { claim, header } in &settings.claims {
            match headers.iter_mut().find(|(name, _)| name == header) {
                Some((_, claims)) => claims.push(claim.clone()),
                None => headers.push((header.clone(), vec![claim.clone()])),
            }
        }
        let without =
            |verdict: Verdict, (name, _): &(String, _)| verdict.remove_request_header(name);
        Self {
            nobody: headers.iter().fold(Verdict::allow().done(), without),
            headers,
            values: settings.values.clone(),
            roles_from: settings.roles_from.clone(),
            scopes_from: settings.scopes_from.clone(),
        }
    }

    /// Lets somebody pass who is not known.
    pub(super) fn nobody(&self) -> &Verdict {
        &self.nobody
    }

    /// Who a token speaks for.
    pub(super) fn of_token(&self, claims: &Claims) -> Result<Identity, NoIdentity> {
        let certificate = certificate(claims)?;
        let found = |paths: &[String], read: fn(&Value) -> Result<Vec<String>, Unfit>| {
            let lists = paths.iter().filter_map(|path| claims.find(path)).map(read);
            Ok::<_, Unfit>(distinct(lists.collect::<Result<Vec<_>, _>>()?.concat()))
        };
        let roles = found(&self.roles_from, claims::names).map_err(NoIdentity::Unfit)?;
        let scopes = found(&self.scopes_from, claims::scopes).map_err(NoIdentity::Unfit)?;
        let text = |claim: &str| claims.find(claim).map_or(Ok(None), claims::text);
        let identity = self.identity(roles, scopes, text).map_err(NoIdentity::Unfit)?;
        Ok(Identity { certificate, ..identity })
    }

    /// Who a key or a certificate stands for: `sub` is its name, and the claims that hold roles and
    /// scopes hold its own.
    pub(super) fn of_named(&self, named: &Named) -> Result<Identity, Unfit> {
        let Named { name, roles, scopes } = named;
        let text = |claim: &str| {
            let is_of = |paths: &[String]| paths.iter().any(|path| path == claim);
            let text = match claim {
                "sub" => name.clone(),
                _ if is_of(&self.roles_from) => joined(roles, ",")?,
                _ if is_of(&self.scopes_from) => joined(scopes, " ")?,
                _ => String::new(),
            };
            passable(&text)?;
            Ok((!text.is_empty()).then_some(text))
        };
        self.identity(roles.clone(), scopes.clone(), text)
    }

    fn identity(
        &self,
        roles: Vec<String>,
        scopes: Vec<String>,
        text: impl Fn(&str) -> Result<Option<String>, Unfit>,
    ) -> Result<Identity, Unfit> {
        let mut verdict = Verdict::allow().done();
        for (name, claims) in &self.headers {
            let texts = claims.iter().map(|claim| text(claim)).collect::<Result<Vec<_>, _>>()?;
            verdict = match texts.into_iter().flatten().collect::<Vec<_>>() {
                texts if texts.is_empty() => verdict.remove_request_header(name),
                texts if claims.len() == 1 => verdict.set_request_header(name, &texts[0]),
                texts => verdict.set_request_header(name, joined_once(&texts)?),
            };
        }
        let given = [
            ("user", text("sub")?),
            ("roles", Some(listed(&roles)?)),
            ("scopes", Some(listed(&scopes)?)),
        ];
        for (name, value) in given {
            let value = value.filter(|value| !value.is_empty() && !self.sets(name));
            verdict = value.into_iter().fold(verdict, |verdict, value| verdict.value(name, value));
        }
        for ClaimValue { claim, value } in &self.values {
            verdict = text(claim)?.into_iter().fold(verdict, |it, text| it.value(value, text));
        }
        Ok(Identity { roles, scopes, certificate: None, verdict })
    }

    /// Whether the settings give a value of that name another meaning.
    fn sets(&self, name: &str) -> bool {
        self.values.iter().any(|own| own.value == name)
    }
}

/// Names joined by commas, none of which holds one.
fn listed(names: &[String]) -> Result<String, Unfit> {
    match names.iter().any(|name| name.contains(',')) {
        true => Err(Unfit),
        false => joined(names, ","),
    }
}

/// The texts of several claims in one field, each item once.
fn joined_once(texts: &[String]) -> Result<String, Unfit> {
    let items = texts.iter().flat_map(|text| text.split(',')).map(str::to_owned);
    joined(&distinct(items.collect()), ",")
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// The certificate to which a token is bound (RFC 8705, section 3.1), if it is.
fn certificate(claims: &Claims) -> Result<Option<[u8; 32]>, NoIdentity> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let members = confirmation.as_object().filter(|members| members.len() == 1);
    let digest = members.and_then(|members| members.get("x5t#S256")?.as_str());
    let digest = digest.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    digest.and_then(|bytes| bytes.try_into().ok()).map(Some).ok_or(NoIdentity::Bound)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use selvedge_agent::Operation;

    use super::*;

    fn settings() -> Settings {
        let claim = |claim: &str, header: &str| ClaimHeader {
            claim: claim.to_owned(),
            header: header.to_owned(),
        };
        Settings {
            issuers: Vec::new(),
            token: Vec::new(),
            api_keys: None,
            client_certificate: None,
            claims: vec![
                claim("sub", "x-user-id"),
                claim("roles", "x-user-role"),
                claim("realm_access.roles", "x-user-role"),
                claim("email", "x-user-email"),
            ],
            values: vec![ClaimValue { claim: "org.tenant".into(), value: "tenant".into() }],
            roles_from: vec!["roles".into(), "realm_access.roles".into()],
            scopes_from: vec!["scope".into(), "scp".into()],
            realm: "test".into(),
            anonymous: false,
            cache: 10,
        }
    }

    fn told(verdict: &Verdict) -> String {
        assert_eq!((verdict.flaw(), verdict.is_allow(), verdict.is_done()), (None, true, true));
        let fields = verdict.changes().iter().map(|change| match change.operation {
            Operation::Remove => format!("no {}\n", change.name),
            _ => format!("{}: {}\n", change.name, String::from_utf8_lossy(&change.value)),
        });
        let values = verdict.values().iter().map(|(name, value)| format!("{name} = {value}\n"));
        fields.chain(values).collect()
    }

    #[track_caller]
    fn check(claims: &str, expected: Expect) {
        let claims = Claims::parse(claims.as_bytes()).unwrap();
        let told = match Mapping::new(&settings()).of_token(&claims) {
            Ok(identity) => told(&identity.verdict),
            Err(error) => format!("{error:?}\n"),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn claims_are_told() {
        check(
            r#"{"sub": "u-1", "email": "u@example.com", "roles": ["editor", "admin"],
                "realm_access": {"roles": ["admin", "ops"]}, "scope": "read write", "scp": ["read"],
                "org": {"tenant": 7}}"#,
            expect![[r#"
                x-user-id: u-1
                x-user-role: editor,admin,ops
                x-user-email: u@example.com
                user = u-1
                roles = editor,admin,ops
                scopes = read,write
                tenant = 7
            "#]],
        );
        check(
            r#"{"roles": "editor", "email": null}"#,
            expect![[r#"
                no x-user-id
                x-user-role: editor
                no x-user-email
                roles = editor
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_told_as_it_is_makes_nobody() {
        for claims in [
            r#"{"sub": "u\r\nx-user-role: admin"}"#,
            r#"{"sub": " root"}"#,
            r#"{"roles": "user,admin"}"#,
            r#"{"roles": ["user,admin"]}"#,
            r#"{"scope": "read,admin"}"#,
            r#"{"email": ["a\nb"]}"#,
            r#"{"org": {"tenant": "a\u0000"}}"#,
        ] {
            check(
                claims,
                expect![[r#"
                Unfit(Unfit)
            "#]],
            );
        }
    }

    #[test]
    fn keys_and_certificates_have_a_name_roles_and_scopes() {
        let named = Named {
            name: "ci".to_owned(),
            roles: vec!["deploy".to_owned()],
            scopes: vec!["read".to_owned(), "write".to_owned()],
        };
        let identity = Mapping::new(&settings()).of_named(&named).unwrap();
        expect![[r#"
            x-user-id: ci
            x-user-role: deploy
            no x-user-email
            user = ci
            roles = deploy
            scopes = read,write
        "#]]
        .assert_eq(&told(&identity.verdict));
    }

    #[test]
    fn nobody_has_no_fields() {
        expect![[r#"
            no x-user-id
            no x-user-role
            no x-user-email
        "#]]
        .assert_eq(&told(Mapping::new(&settings()).nobody()));
    }

    #[test]
    fn a_token_may_be_bound_to_a_certificate_and_to_nothing_else() {
        let bound = |cnf: &str| {
            let claims = Claims::parse(format!(r#"{{"cnf": {cnf}}}"#).as_bytes()).unwrap();
            Mapping::new(&settings()).of_token(&claims).map(|identity| identity.certificate)
        };
        let digest = BASE64URL_NOPAD.encode(&[7; 32]);
        assert_eq!(bound(&format!(r#"{{"x5t#S256": "{digest}"}}"#)).unwrap(), Some([7; 32]));
        for other in [
            format!(r#"{{"x5t#S256": "{digest}", "jkt": "a"}}"#),
            format!(r#"{{"x5t#S256": "{}"}}"#, &digest[1..]),
            r#"{"jkt": "a"}"#.to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
        ] {
            assert_eq!(bound(&other).unwrap_err(), NoIdentity::Bound, "{other}");
        }
    }
}
