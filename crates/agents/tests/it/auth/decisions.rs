//! Who passes, and what is told of whom.

use std::{fs, path::PathBuf, time::Duration};

use expect_test::{Expect, expect};
use selvedge_agent::attributes::{TLS_CLIENT_SAN, TLS_CLIENT_SHA256};
use selvedge_agents::auth::{
    Auth,
    api_keys::{self, NewKey},
};
use selvedge_config::auth::{
    ApiKeys, CertificateIdentity, ClaimValue, ClientCertificate, Keys, Place, Settings,
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    Asked, ISSUER, ask, bearer, claims, issuer, settings,
    signer::{Signer, set},
    start, status, told,
};

/// An issuer whose keys are in a file, and a file of API keys.
struct World {
    folder: TempDir,
    signer: Signer,
    key: String,
    key_id: String,
}

impl World {
    fn new() -> Self {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("k"));
        fs::write(folder.path().join("jwks.json"), set(&[&signer])).unwrap();
        let new = NewKey {
            user: "ci".to_owned(),
            roles: vec!["deploy".to_owned()],
            scopes: vec!["read".to_owned()],
            expires: None,
        };
        let made = api_keys::create(&folder.path().join("keys.txt"), &new).unwrap();
        Self { folder, signer, key: made.key.expose().to_owned(), key_id: made.id }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("keys.txt")
    }

    fn settings(&self) -> Settings {
        let mut settings = settings(Keys::File(self.folder.path().join("jwks.json")));
        settings.api_keys = Some(ApiKeys {
            file: self.key_file(),
            places: vec![Place::Header { name: "x-api-key".to_owned(), scheme: None }],
            refresh: Duration::from_millis(20),
        });
        settings.client_certificate = Some(ClientCertificate {
            identity: CertificateIdentity::SanUri,
            allow: vec!["spiffe://example.org/*".to_owned()],
            roles: vec!["workload".to_owned()],
            scopes: vec![],
        });
        settings
    }

    async fn agent(&self) -> Auth {
        start(&self.settings()).await
    }

    fn token(&self, changes: serde_json::Value) -> String {
        self.signer.sign(&claims(changes))
    }
}

fn by_certificate(asked: Asked, name: &str, digest: &str) -> Asked {
    asked.attribute(TLS_CLIENT_SAN, &format!("URI:{name}")).attribute(TLS_CLIENT_SHA256, digest)
}

async fn check(agent: &Auth, asked: &Asked, expected: Expect) {
    expected.assert_eq(&told(&ask(agent, asked).await));
}

#[tokio::test]
async fn whoever_is_known_passes_with_an_identity() {
    let world = World::new();
    let agent = world.agent().await;
    let token = bearer(&world.token(json!({})));
    let first = told(&ask(&agent, &token).await);
    assert_eq!(told(&ask(&agent, &token).await), first, "the second comes out of the cache");
    expect![[r#"
        allow
        x-user-id: u-1
        x-user-role: editor
        user = u-1
        roles = editor
        scopes = read,write
    "#]]
    .assert_eq(&first);
    check(
        &agent,
        &Asked::get("/").field("x-api-key", &world.key),
        expect![[r#"
        allow
        x-user-id: ci
        x-user-role: deploy
        user = ci
        roles = deploy
        scopes = read
    "#]],
    )
    .await;
    let certificate = by_certificate(Asked::get("/"), "spiffe://example.org/web", &"ab".repeat(32));
    check(
        &agent,
        &certificate,
        expect![[r#"
        allow
        x-user-id: spiffe://example.org/web
        x-user-role: workload
        user = spiffe://example.org/web
        roles = workload
    "#]],
    )
    .await;
}

#[tokio::test]
async fn whoever_is_not_known_is_told_how_to_become_so() {
    let world = World::new();
    let agent = world.agent().await;
    check(
        &agent,
        &Asked::get("/"),
        expect![[r#"
        401 the request has no credentials that count here
        www-authenticate: Bearer realm="test"
        www-authenticate: ApiKey realm="test"
    "#]],
    )
    .await;
    let basic = Asked::get("/").field("authorization", "Basic YTpi");
    check(
        &agent,
        &basic,
        expect![[r#"
        401 the request has no credentials that count here
        www-authenticate: Bearer realm="test"
        www-authenticate: ApiKey realm="test"
    "#]],
    )
    .await;
    check(&agent, &bearer("a.b.c"), expect![[r#"
        401 the token is not a compact JWS
        www-authenticate: Bearer realm="test", error="invalid_token", error_description="the token is not a compact JWS"
        www-authenticate: ApiKey realm="test"
    "#]]).await;
    let expired = bearer(&world.token(json!({ "exp": 1 })));
    check(&agent, &expired, expect![[r#"
        401 the token has expired
        www-authenticate: Bearer realm="test", error="invalid_token", error_description="the token has expired"
        www-authenticate: ApiKey realm="test"
    "#]]).await;
    let twice = bearer(&world.token(json!({}))).field("Authorization", "Bearer x");
    check(&agent, &twice, expect![[r#"
        400 the request has more than one credential
        www-authenticate: Bearer realm="test", error="invalid_request", error_description="the request has more than one credential"
        www-authenticate: ApiKey realm="test"
    "#]]).await;
    let key = Asked::get("/").field("x-api-key", format!("{}x", world.key));
    check(
        &agent,
        &key,
        expect![[r#"
        401 the API key is not known
        www-authenticate: Bearer realm="test"
        www-authenticate: ApiKey realm="test"
    "#]],
    )
    .await;
    let certificate = by_certificate(Asked::get("/"), "spiffe://example.com/web", &"ab".repeat(32));
    check(
        &agent,
        &certificate,
        expect![[r#"
        401 the request has no credentials that count here
        www-authenticate: Bearer realm="test"
        www-authenticate: ApiKey realm="test"
    "#]],
    )
    .await;
}

#[tokio::test]
async fn routes_ask_for_roles_and_scopes() {
    let world = World::new();
    let agent = world.agent().await;
    let asked = |roles: &str, scopes: &str| {
        let asked = bearer(&world.token(json!({})));
        let asked = if roles.is_empty() { asked } else { asked.attribute("route.roles", roles) };
        if scopes.is_empty() { asked } else { asked.attribute("route.scopes", scopes) }
    };
    for (roles, scopes) in
        [("editor", ""), ("admin,editor", ""), ("", "write"), ("editor", "read write")]
    {
        let verdict = ask(&agent, &asked(roles, scopes)).await;
        assert_eq!(status(&verdict), None, "{roles} {scopes}");
    }
    for (roles, scopes) in
        [("admin", ""), ("edit", ""), ("", "read delete"), ("admin", "read"), ("editor", "READ")]
    {
        let verdict = ask(&agent, &asked(roles, scopes)).await;
        assert_eq!(status(&verdict), Some(403), "{roles} {scopes}");
    }
    check(&agent, &asked("editor", "read delete"), expect![[r#"
        403 more rights are needed here
        www-authenticate: Bearer realm="test", error="insufficient_scope", error_description="more rights are needed here", scope="read delete"
    "#]]).await;
    let key = Asked::get("/").field("x-api-key", &world.key).attribute("route.roles", "admin");
    check(
        &agent,
        &key,
        expect![[r#"
        403 more rights are needed here
    "#]],
    )
    .await;
}

#[tokio::test]
async fn nobody_passes_where_anybody_may_and_wrong_credentials_never_do() {
    let world = World::new();
    let strict = world.agent().await;
    let lax = start(&Settings { anonymous: true, ..world.settings() }).await;
    let asked = |anonymous: &str| Asked::get("/").attribute("route.anonymous", anonymous);
    check(
        &strict,
        &asked("true"),
        expect![[r#"
        allow
        no x-user-id
        no x-user-role
    "#]],
    )
    .await;
    for (agent, asked, expected) in [
        (&strict, asked("false"), Some(401)),
        (&lax, Asked::get("/"), None),
        (&lax, asked("true"), None),
        (&lax, asked("false"), Some(401)),
        (&lax, asked("true").attribute("route.roles", "editor"), Some(401)),
        (&lax, asked("true").attribute("route.scopes", "read"), Some(401)),
        (&lax, asked("true").field("authorization", "Bearer a.b.c"), Some(401)),
        (&lax, asked("true").field("authorization", "Bearer a b"), Some(400)),
        (&lax, asked("true").field("x-api-key", "slv_a_b"), Some(401)),
    ] {
        assert_eq!(status(&ask(agent, &asked).await), expected, "{asked:?}");
    }
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_counts_with_it_alone() {
    let world = World::new();
    let agent = world.agent().await;
    let digest = data_encoding::BASE64URL_NOPAD.encode(&[0xab; 32]);
    let token = world.token(json!({ "cnf": { "x5t#S256": digest } }));
    let name = "spiffe://example.org/web";
    for _ in 0..2 {
        let own = by_certificate(bearer(&token), name, &"AB".repeat(32));
        assert_eq!(status(&ask(&agent, &own).await), None);
        let other = by_certificate(bearer(&token), name, &"ac".repeat(32));
        assert_eq!(status(&ask(&agent, &other).await), Some(401));
        let none = told(&ask(&agent, &bearer(&token)).await);
        assert!(none.contains("the token is bound to another certificate"), "{none}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_once_the_file_was_read_again() {
    let world = World::new();
    let agent = world.agent().await;
    let asked = Asked::get("/").field("x-api-key", &world.key);
    assert_eq!(status(&ask(&agent, &asked).await), None);
    fs::rename(world.key_file(), world.folder.path().join("away")).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&ask(&agent, &asked).await), None, "keys stay while there is no file");
    fs::rename(world.folder.path().join("away"), world.key_file()).unwrap();
    api_keys::revoke(&world.key_file(), &world.key_id, std::time::SystemTime::now()).unwrap();
    for _ in 0..600 {
        if status(&ask(&agent, &asked).await) == Some(401) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key was never refused");
}

#[tokio::test]
async fn each_issuer_vouches_for_its_own() {
    let world = World::new();
    let other = Signer::new("k");
    let file = world.folder.path().join("other.json");
    fs::write(&file, set(&[&other])).unwrap();
    let mut settings = world.settings();
    settings.issuers.push(issuer("https://other.example", Keys::File(file)));
    let agent = start(&settings).await;
    for (signer, name, expected) in [
        (&world.signer, ISSUER, None),
        (&other, "https://other.example", None),
        (&other, ISSUER, Some(401)),
        (&world.signer, "https://other.example", Some(401)),
        (&world.signer, "https://none.example", Some(401)),
    ] {
        let verdict = ask(&agent, &bearer(&signer.sign(&claims(json!({ "iss": name }))))).await;
        assert_eq!(status(&verdict), expected, "{name}");
    }
}

#[tokio::test]
async fn nested_claims_reach_the_upstream_and_later_agents() {
    let world = World::new();
    let mut settings = world.settings();
    settings.claims = vec![
        super::header("sub", "x-user-id"),
        super::header("realm_access.roles", "x-user-role"),
        super::header("https://example.com/team", "x-team"),
    ];
    settings.roles_from = vec!["realm_access.roles".to_owned()];
    settings.values =
        vec![ClaimValue { claim: "org.plan".to_owned(), value: "claim.org.plan".to_owned() }];
    let agent = start(&settings).await;
    let token = world.token(json!({
        "realm_access": { "roles": ["a", "b"] },
        "https://example.com/team": "blue",
        "org": { "plan": "gold" },
    }));
    let asked = bearer(&token).attribute("route.roles", "b");
    check(
        &agent,
        &asked,
        expect![[r#"
        allow
        x-user-id: u-1
        x-user-role: a,b
        x-team: blue
        user = u-1
        roles = a,b
        scopes = read,write
        claim.org.plan = gold
    "#]],
    )
    .await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let world = World::new();
    let mut settings = world.settings();
    settings.api_keys.as_mut().unwrap().file = world.folder.path().join("none.txt");
    let error = super::try_start(&settings, None).await.err().unwrap();
    assert!(error.contains("none.txt"), "{error}");
}
