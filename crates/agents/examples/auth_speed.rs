//! How many requests the auth agent decides on per second and core, without a socket in between:
//! `cargo run --release -p selvedge-agents --example auth_speed`.
//!
//! Each figure is the median of several rounds on one thread, in time of the processor and not of the
//! clock, so that others on the machine count less; every verdict is looked at. The goals are 200,000
//! with tokens that were verified before and 10,000 with new ones (ES256).

#![expect(clippy::unwrap_used, reason = "it may panic: it is run by people who look at it")]
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../tests/it/asked.rs"]
mod asked;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use data_encoding::BASE64URL_NOPAD;
use rustix::time::{ClockId, clock_gettime};
use selvedge_agent::{Agent, RequestHead};
use selvedge_agents::auth::{
    Auth,
    api_keys::{self, NewKey},
};
use selvedge_config::auth::{ApiKeys, ClaimHeader, Issuer, Keys, Place, Settings};
use serde_json::{Value, json};

use crate::asked::Asked;

/// Tokens of each kind; more than these fit the cache.
const TOKENS: usize = 2_000;
/// Rounds over all tokens.
const ROUNDS: usize = 7;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, (jwk, sign)) in [("ES256", es256()), ("EdDSA", eddsa()), ("RS256", rs256())] {
        let keys = folder.path().join(algorithm).with_extension("json");
        fs::write(&keys, json!({ "keys": [jwk] }).to_string()).unwrap();
        let requests: Vec<Vec<u8>> =
            (0..TOKENS).map(|i| bearer(&token(algorithm, i, &sign)).payload()).collect();
        let uncached = start(&keys, None, 0).await;
        tell(&format!("{algorithm}, new tokens"), &rounds(&uncached, &requests).await);
        let cached = start(&keys, None, 2 * TOKENS).await;
        rounds(&cached, &requests).await;
        tell(&format!("{algorithm}, known tokens"), &rounds(&cached, &requests).await);
    }
    let (keys, file) = (folder.path().join("ES256.json"), folder.path().join("keys.txt"));
    let new = NewKey { user: "ci".to_owned(), ..NewKey::default() };
    let made: Vec<Vec<u8>> = (0..50)
        .map(|_| api_keys::create(&file, &new).unwrap().key)
        .map(|key| Asked::get("/").field("x-api-key", key.expose()).payload())
        .collect();
    let requests: Vec<Vec<u8>> = made.iter().cycle().take(TOKENS).cloned().collect();
    tell("API keys", &rounds(&start(&keys, Some(&file), 0).await, &requests).await);
}

/// How long each round took.
async fn rounds(agent: &Auth, requests: &[Vec<u8>]) -> Vec<Duration> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = processor_time();
        for payload in requests {
            let request = RequestHead::parse(payload, false).unwrap();
            let verdict = agent.request_headers(&request, &mut ()).await;
            assert!(verdict.is_allow() && !verdict.changes().is_empty());
        }
        rounds.push(processor_time() - start);
    }
    rounds
}

/// What this thread has computed so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

fn tell(what: &str, rounds: &[Duration]) {
    let mut rounds = rounds.to_vec();
    rounds.sort();
    let median = rounds[rounds.len() / 2].as_secs_f64() / TOKENS as f64;
    println!("{what:<22} {:>9.0} per second {:>7.2} µs", 1.0 / median, median * 1e6);
}

async fn start(keys: &Path, api_keys: Option<&Path>, cache: usize) -> Auth {
    let header = |claim: &str, header: &str| ClaimHeader {
        claim: claim.to_owned(),
        header: header.to_owned(),
    };
    let issuer = Issuer {
        issuer: "https://issuer.example".to_owned(),
        keys: Keys::File(keys.to_owned()),
        audiences: vec!["api".to_owned()],
        algorithms: selvedge_config::auth::Algorithm::PUBLIC.to_vec(),
        token_type: None,
        leeway: Duration::from_secs(30),
        refresh: Duration::from_secs(600),
        refetch_interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        ca: None,
    };
    let bearer = ("authorization".to_owned(), Some("Bearer".to_owned()));
    let settings = Settings {
        issuers: vec![issuer],
        token: vec![Place::Header { name: bearer.0, scheme: bearer.1 }],
        api_keys: api_keys.map(|file| ApiKeys {
            file: file.to_owned(),
            places: vec![Place::Header { name: "x-api-key".to_owned(), scheme: None }],
            refresh: Duration::from_secs(5),
        }),
        client_certificate: None,
        claims: vec![header("sub", "x-user-id"), header("roles", "x-user-role")],
        values: Vec::new(),
        roles_from: vec!["roles".to_owned()],
        scopes_from: vec!["scope".to_owned()],
        realm: "speed".to_owned(),
        anonymous: false,
        cache,
    };
    Auth::start(settings, None).await.unwrap()
}

/// As a browser sends it through an edge.
fn bearer(token: &str) -> Asked {
    Asked::get("/api/orders?page=2")
        .attribute("client.address", "192.0.2.7")
        .attribute("route", "orders")
        .attribute("trace", "0af7651916cd43dd8448eb211c80319c")
        .attribute("route.scopes", "read")
        .field("host", "shop.example.com")
        .field(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .field("accept", "application/json")
        .field("accept-language", "en-GB,en;q=0.9")
        .field("accept-encoding", "gzip, deflate, br, zstd")
        .field("authorization", format!("Bearer {token}"))
}

fn token(algorithm: &str, number: usize, sign: &Sign) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "k" });
    let claims = json!({
        "iss": "https://issuer.example", "aud": ["api", "account"], "sub": format!("user-{number:08}"),
        "iat": now, "exp": now + 3_600, "jti": format!("{number:032x}"), "azp": "shop",
        "scope": "openid profile email read write", "roles": ["customer", "reviewer"],
        "email": format!("user-{number:08}@example.com"), "email_verified": true,
    });
    let parts = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    let signed = parts.join(".");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&sign(signed.as_bytes())))
}

fn es256() -> (Value, Sign) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "k",
        "x": BASE64URL_NOPAD.encode(&point[1..33]), "y": BASE64URL_NOPAD.encode(&point[33..]),
    });
    (jwk, Box::new(move |text| pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec()))
}

fn eddsa() -> (Value, Sign) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x });
    (jwk, Box::new(move |text| pair.sign(text).as_ref().to_vec()))
}

fn rs256() -> (Value, Sign) {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    // PKCS#1: nine bytes of DER, the modulus, and 65537.
    let n = BASE64URL_NOPAD.encode(&pair.public_key().as_ref()[9..265]);
    let jwk = json!({ "kty": "RSA", "kid": "k", "n": n, "e": "AQAB" });
    let sign = move |text: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
        signature
    };
    (jwk, Box::new(sign))
}
