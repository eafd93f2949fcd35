//! Issuers with a shared secret: what a secret verifies no public key does, and the other way round.

use aws_lc_rs::{hmac, rsa::KeySize, signature::KeyPair as _};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use selvedge_base::Secret;
use selvedge_config::auth::Algorithm;

use super::*;

const SECRET: &str = "not in any config, and as long as HS512 asks for: sixty-four bytes";

fn shared(secret: &str, algorithms: &[Algorithm]) -> Settings {
    let mut settings = settings(Keys::Secret(Secret::new(secret)));
    settings.issuers[0].algorithms = algorithms.to_vec();
    settings
}

/// A token of these bytes' making.
fn mac(algorithm: &str, secret: &[u8]) -> String {
    let hash = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "k" }).to_string();
    let parts = [header, claims(json!({})).to_string()];
    let signed = parts.map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
    let tag = hmac::sign(&hmac::Key::new(hash, secret), signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[track_caller]
fn check(verdict: &Verdict, passes: bool) {
    assert_eq!(status(verdict), (!passes).then_some(401), "{}", verdict.reason_text());
}

#[tokio::test]
async fn a_secret_verifies_what_it_signed() {
    let all = Algorithm::SECRET.map(|(algorithm, _)| algorithm);
    let agent = start(&shared(SECRET, &all)).await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        check(&ask(&agent, &bearer(&mac(algorithm, SECRET.as_bytes()))).await, true);
        check(&ask(&agent, &bearer(&mac(algorithm, &SECRET.as_bytes()[1..]))).await, false);
    }
    let agent = start(&shared(SECRET, &[Algorithm::HS256])).await;
    check(&ask(&agent, &bearer(&mac("HS256", SECRET.as_bytes()))).await, true);
    check(&ask(&agent, &bearer(&mac("HS512", SECRET.as_bytes()))).await, false);
    check(&ask(&agent, &bearer(&mac("none", SECRET.as_bytes()))).await, false);
}

/// The public key of an issuer is known to everybody: in none of its forms may it serve as a secret.
#[tokio::test]
async fn a_public_key_is_no_secret() {
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = pair.public_key().as_ref();
    // PKCS #1: heads of a sequence and two numbers, the first with a zero in front.
    let (modulus, exponent) = (&der[9..265], &der[267..]);
    assert_eq!((der.len(), exponent), (270, &[1, 0, 1][..]));
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let set = json!({ "keys": [{ "kty": "RSA", "kid": "k", "n": number(modulus), "e": number(exponent) }] });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, set.to_string()).unwrap();
    let mut settings = settings(Keys::File(file));
    // As no config can have it: even then only the key's own kind counts.
    settings.issuers[0].algorithms.extend(Algorithm::SECRET.map(|(algorithm, _)| algorithm));
    let agent = start(&settings).await;
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        BASE64.encode(der)
    );
    for secret in [der, pem.as_bytes(), pem.trim_end().as_bytes(), modulus, b""] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            check(&ask(&agent, &bearer(&mac(algorithm, secret))).await, false);
        }
    }
}

/// A token that says RS256 is not looked at with a secret, whatever its signature is.
#[tokio::test]
async fn a_secret_is_no_public_key() {
    let mut settings = shared(SECRET, &[Algorithm::HS256]);
    settings.issuers[0].algorithms.extend(Algorithm::PUBLIC);
    let agent = start(&settings).await;
    for algorithm in ["RS256", "ES256", "EdDSA", "PS256"] {
        check(&ask(&agent, &bearer(&mac(algorithm, SECRET.as_bytes()))).await, false);
    }
    check(&ask(&agent, &bearer(&mac("HS256", SECRET.as_bytes()))).await, true);
}

#[tokio::test]
async fn a_secret_that_is_too_short_starts_no_agent() {
    let settings = shared(&SECRET[..40], &[Algorithm::HS256, Algorithm::HS384]);
    let error = try_start(&settings, None).await.err().unwrap();
    assert!(error.contains("HS384") && !error.contains(&SECRET[..40]), "{error}");
}
