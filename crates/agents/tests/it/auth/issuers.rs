//! Keys of issuers over real connections: discovery, rotation, and servers that misbehave.

use std::{path::Path, rc::Rc, sync::Arc, time::Duration};

use selvedge_agents::auth::Auth;
use selvedge_config::auth::{Keys, Settings};
use serde_json::json;
use tokio::{sync::Semaphore, task::LocalSet, time::sleep};

use super::{
    ask, bearer, claims,
    server::{Reply, Server},
    settings,
    signer::{Signer, set},
    start, status, told, try_start,
};

const JWKS: &str = "/jwks";
const DOCUMENT: &str = "/.well-known/openid-configuration";

/// Keys behind a URL of the server.
fn by_url(server: &Server) -> Settings {
    settings(Keys::Url(format!("{}{JWKS}", server.url)))
}

/// Keys that the issuer's document leads to; the server is the issuer.
fn by_discovery(server: &Server) -> Settings {
    let mut settings = settings(Keys::Discovery);
    settings.issuers[0].issuer.clone_from(&server.url);
    settings
}

fn document(issuer: &str, keys: &str) -> Reply {
    Reply::Document(json!({ "issuer": issuer, "jwks_uri": keys }).to_string())
}

fn keys(signers: &[&Signer]) -> Reply {
    Reply::Document(set(signers))
}

async fn asked(agent: &Auth, token: &str) -> Option<u16> {
    status(&ask(agent, &bearer(token)).await)
}

/// What each of the tokens gets, all asked at once.
async fn asked_at_once(agent: Auth, tokens: Vec<String>) -> Vec<Option<u16>> {
    let (agent, local) = (Rc::new(agent), LocalSet::new());
    let ask = |token: String| {
        let agent = Rc::clone(&agent);
        local.spawn_local(async move { asked(&agent, &token).await })
    };
    let asking: Vec<_> = tokens.into_iter().map(ask).collect();
    local.await;
    let mut all = Vec::new();
    for one in asking {
        all.push(one.await.unwrap());
    }
    all
}

/// Waits for what a task in the background is about to do, however slow the machine is.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it never was so");
}

#[tokio::test]
async fn discovery_leads_to_keys() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    server.reply(DOCUMENT, document(&server.url, &format!("{}{JWKS}", server.url)));
    server.reply(JWKS, keys(&[&signer]));
    let agent = start(&by_discovery(&server)).await;
    let token = signer.sign(&claims(json!({ "iss": server.url })));
    assert_eq!(asked(&agent, &token).await, None);
    assert_eq!(asked(&agent, &token).await, None);
    assert_eq!((server.hits(DOCUMENT), server.hits(JWKS)), (1, 1));
}

#[tokio::test]
async fn a_document_of_another_issuer_leads_nowhere() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    let other = format!("{}/", server.url);
    server.reply(DOCUMENT, document(&other, &format!("{}{JWKS}", server.url)));
    server.reply(JWKS, keys(&[&signer]));
    let agent = start(&by_discovery(&server)).await;
    for issuer in [&server.url, &other] {
        let refused = asked(&agent, &signer.sign(&claims(json!({ "iss": issuer })))).await;
        assert!(matches!(refused, Some(401 | 503)), "{refused:?}");
    }
    assert_eq!((server.hits(DOCUMENT), server.hits(JWKS)), (1, 0));
}

#[tokio::test]
async fn a_rotated_key_is_fetched_and_the_old_one_is_dropped() {
    let (server, old, new) = (Server::start().await, Signer::new("old"), Signer::new("new"));
    let mut settings = by_url(&server);
    settings.issuers[0].refetch_interval = Duration::ZERO;
    server.reply(JWKS, keys(&[&old]));
    let agent = start(&settings).await;
    let (of_old, of_new) = (old.sign(&claims(json!({}))), new.sign(&claims(json!({}))));
    assert_eq!(asked(&agent, &of_old).await, None);

    server.reply(JWKS, keys(&[&old, &new]));
    assert_eq!(asked(&agent, &of_new).await, None);
    assert_eq!(asked(&agent, &of_old).await, None);
    assert_eq!(server.hits(JWKS), 2);

    server.reply(JWKS, keys(&[&new]));
    let unknown = Signer::new("unknown").sign(&claims(json!({})));
    assert_eq!(asked(&agent, &unknown).await, Some(401));
    assert_eq!(
        asked(&agent, &of_old).await,
        Some(401),
        "it was verified before, by a key that is gone"
    );
    assert_eq!(asked(&agent, &of_new).await, None);
}

#[tokio::test]
async fn unknown_keys_cause_no_more_than_one_fetch_in_a_while() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    server.reply(JWKS, keys(&[&signer]));
    let agent = start(&by_url(&server)).await;
    assert_eq!(asked(&agent, &signer.sign(&claims(json!({})))).await, None);
    let stranger = |i| Signer::new(&format!("stranger-{i}")).sign(&claims(json!({})));
    let refused = asked_at_once(agent, (0..50).map(stranger).collect()).await;
    assert!(refused.iter().all(|status| *status == Some(401)), "{refused:?}");
    assert_eq!(server.hits(JWKS), 1);
}

#[tokio::test]
async fn requests_wait_for_one_fetch_together() {
    let (server, old, new) = (Server::start().await, Signer::new("old"), Signer::new("new"));
    let mut settings = by_url(&server);
    settings.issuers[0].refetch_interval = Duration::ZERO;
    server.reply(JWKS, keys(&[&old]));
    let agent = start(&settings).await;
    assert_eq!(asked(&agent, &old.sign(&claims(json!({})))).await, None);

    let gate = Arc::new(Semaphore::new(0));
    server.reply(JWKS, Reply::Gated(set(&[&new]), Arc::clone(&gate)));
    let token = |i| new.sign(&claims(json!({ "sub": format!("u-{i}") })));
    let asking = asked_at_once(agent, (0..50).map(token).collect());
    let open = async {
        eventually(async || server.hits(JWKS) == 2).await;
        gate.add_permits(1);
    };
    let (passed, ()) = tokio::join!(asking, open);
    assert!(passed.iter().all(Option::is_none), "{passed:?}");
    assert_eq!(server.hits(JWKS), 2);
}

#[tokio::test]
async fn keys_are_renewed_in_the_background() {
    let (server, old, new) = (Server::start().await, Signer::new("old"), Signer::new("new"));
    let mut settings = by_url(&server);
    settings.issuers[0].refresh = Duration::from_millis(20);
    server.reply(JWKS, keys(&[&old]));
    let agent = start(&settings).await;
    let (of_old, of_new) = (old.sign(&claims(json!({}))), new.sign(&claims(json!({}))));
    assert_eq!(asked(&agent, &of_old).await, None);
    server.reply(JWKS, keys(&[&new]));
    eventually(async || asked(&agent, &of_new).await.is_none()).await;
    assert_eq!(asked(&agent, &of_old).await, Some(401));
}

#[tokio::test]
async fn keys_stay_when_the_issuer_is_down() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    let mut settings = by_url(&server);
    settings.issuers[0].refresh = Duration::from_millis(20);
    server.reply(JWKS, keys(&[&signer]));
    let agent = start(&settings).await;
    assert_eq!(asked(&agent, &signer.sign(&claims(json!({})))).await, None);
    for broken in ["HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "", "nonsense\r\n\r\n"] {
        server.reply(JWKS, Reply::Raw(broken.to_owned()));
        let before = server.hits(JWKS);
        eventually(async || server.hits(JWKS) > before + 2).await;
        let fresh = signer.sign(&claims(json!({ "sub": broken.len().to_string() })));
        assert_eq!(asked(&agent, &fresh).await, None);
    }
}

#[tokio::test]
async fn an_issuer_that_was_down_at_the_start_is_known_once_it_is_up() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    let agent = start(&by_url(&server)).await;
    let token = signer.sign(&claims(json!({})));
    let verdict = told(&ask(&agent, &bearer(&token)).await);
    assert_eq!(verdict, "503 the keys that verify the token are not available\nretry-after: 5\n");
    server.reply(JWKS, keys(&[&signer]));
    eventually(async || asked(&agent, &token).await.is_none()).await;
}

/// Asks with a good token while its keys come as this reply, and expects that they do not count.
async fn check_refused(reply: Reply) {
    check_refused_with(|_| reply).await;
}

/// As [`check_refused`]; the reply is made of a good set of keys.
async fn check_refused_with(reply: impl FnOnce(&str) -> Reply) {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    let mut settings = by_url(&server);
    settings.issuers[0].timeout = Duration::from_millis(500);
    server.reply("/elsewhere", keys(&[&signer]));
    let reply = reply(&set(&[&signer]));
    let what: String = format!("{reply:?}").chars().take(200).collect();
    server.reply(JWKS, reply);
    let agent = start(&settings).await;
    assert_eq!(asked(&agent, &signer.sign(&claims(json!({})))).await, Some(503), "{what}");
    assert_eq!(server.hits("/elsewhere"), 0);
}

/// An answer with this status line and field.
fn answer(status: &str, field: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!("HTTP/1.1 {status}\r\n{field}\r\nContent-Length: {length}\r\n\r\n{body}"))
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    check_refused(Reply::Silence).await;
    check_refused(Reply::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    check_refused(Reply::Endless("HTTP/1.1 200 OK\r\nX: ")).await;
    check_refused(Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned())).await;
}

#[tokio::test]
async fn a_fetch_that_hangs_is_given_up_and_tried_again() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    let mut settings = by_url(&server);
    settings.issuers[0].timeout = Duration::from_millis(200);
    server.reply(JWKS, Reply::Silence);
    let agent = start(&settings).await;
    let token = signer.sign(&claims(json!({})));
    assert_eq!(asked(&agent, &token).await, Some(503));
    server.reply(JWKS, keys(&[&signer]));
    eventually(async || asked(&agent, &token).await.is_none()).await;
}

#[tokio::test]
async fn answers_too_large_are_refused() {
    check_refused_with(|set| Reply::Document(format!("{set}{}", " ".repeat(512 * 1024)))).await;
    let field = format!("X: {}", "x".repeat(1_000_000));
    check_refused_with(|set| answer("200 OK", &field, set)).await;
    let keys: Vec<_> = (0..129).map(|_| Signer::new("a").jwk()).collect();
    check_refused(Reply::Document(json!({ "keys": keys }).to_string())).await;
}

#[tokio::test]
async fn answers_that_are_no_keys_are_refused() {
    for text in ["", "[]", r#"{"keys": {}}"#, r#"{"keys": [], "keys": []}"#, "<html>"] {
        check_refused(Reply::Document(text.to_owned())).await;
    }
    check_refused_with(|set| answer("200 OK", "Content-Encoding: gzip", set)).await;
}

#[tokio::test]
async fn redirects_are_not_followed_and_no_other_status_brings_keys() {
    for status in [201, 203, 206, 301, 302, 303, 307, 308, 404, 500] {
        let status = format!("{status} -");
        check_refused_with(|set| answer(&status, "Location: /elsewhere", set)).await;
    }
}

#[tokio::test]
async fn an_issuer_without_keys_is_believed_in_nothing() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    server.reply(JWKS, keys(&[]));
    let agent = start(&by_url(&server)).await;
    assert_eq!(asked(&agent, &signer.sign(&claims(json!({})))).await, Some(401));
}

#[tokio::test]
async fn tls_is_for_servers_that_the_roots_vouch_for() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, others) = (folder.path().join("roots.pem"), folder.path().join("others.pem"));
    let (server, signer) = (Server::start_with_tls(&roots).await, Signer::new("a"));
    let _other = Server::start_with_tls(&others).await;
    server.reply(JWKS, keys(&[&signer]));
    let token = signer.sign(&claims(json!({})));
    let by = |roots: Option<&Path>| {
        let mut settings = by_url(&server);
        settings.issuers[0].ca = roots.map(Path::to_owned);
        settings
    };
    assert_eq!(asked(&start(&by(Some(&roots))).await, &token).await, None);
    assert_eq!(asked(&start(&by(Some(&others))).await, &token).await, Some(503));
    assert_eq!(asked(&start(&by(None)).await, &token).await, Some(503));
    let missing = try_start(&by(Some(&folder.path().join("none.pem"))), None).await;
    assert!(missing.err().unwrap().contains("none.pem"));
}

#[tokio::test]
async fn a_document_behind_tls_leads_to_no_keys_without() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let (safe, plain) = (Server::start_with_tls(&roots).await, Server::start().await);
    let signer = Signer::new("a");
    safe.reply(DOCUMENT, document(&safe.url, &format!("{}{JWKS}", plain.url)));
    plain.reply(JWKS, keys(&[&signer]));
    let mut settings = by_discovery(&safe);
    settings.issuers[0].ca = Some(roots);
    let token = signer.sign(&claims(json!({ "iss": safe.url })));
    assert_eq!(asked(&start(&settings).await, &token).await, Some(503));
    assert_eq!((safe.hits(DOCUMENT), plain.hits(JWKS)), (1, 0));
}

#[tokio::test]
async fn a_reload_keeps_keys_that_come_from_the_same_source() {
    let (server, signer) = (Server::start().await, Signer::new("a"));
    server.reply(JWKS, keys(&[&signer]));
    let first = start(&by_url(&server)).await;
    let token = signer.sign(&claims(json!({})));
    assert_eq!(asked(&first, &token).await, None);

    let mut stricter = by_url(&server);
    stricter.issuers[0].audiences = vec!["another".to_owned()];
    let second = try_start(&stricter, Some(&first)).await.unwrap();
    drop(first);
    assert_eq!(asked(&second, &token).await, Some(401), "new rules are for known tokens, too");
    let other = signer.sign(&claims(json!({ "aud": "another" })));
    assert_eq!(asked(&second, &other).await, None);
    assert_eq!(server.hits(JWKS), 1);

    let mut narrower = stricter;
    narrower.issuers[0].algorithms = vec![selvedge_config::auth::Algorithm::RS256];
    let third = try_start(&narrower, Some(&second)).await.unwrap();
    assert_eq!(asked(&third, &other).await, Some(401));
    assert_eq!(server.hits(JWKS), 2);
}

#[tokio::test]
async fn a_file_of_keys_must_be_there_at_the_start_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let mut settings = settings(Keys::File(file.clone()));
    settings.issuers[0].refetch_interval = Duration::ZERO;
    let refused = |error: Option<String>| error.unwrap();
    assert!(
        refused(try_start(&settings, None).await.err()).contains("cannot read the file of keys")
    );
    std::fs::write(&file, r#"{"keys": [{"kty": "oct", "kid": "s", "k": "AAAA"}]}"#).unwrap();
    let error = refused(try_start(&settings, None).await.err());
    assert!(error.contains(r#"key "s" is left out: secrets are settings"#), "{error}");

    let (old, new) = (Signer::new("old"), Signer::new("new"));
    std::fs::write(&file, set(&[&old])).unwrap();
    let agent = start(&settings).await;
    assert_eq!(asked(&agent, &old.sign(&claims(json!({})))).await, None);
    std::fs::write(&file, set(&[&new])).unwrap();
    assert_eq!(asked(&agent, &new.sign(&claims(json!({})))).await, None);
}
