//! Project Wycheproof's vectors for JSON Web Signatures, read from a checkout that `WYCHEPROOF_DIR`
//! names; without it the test says so and proves nothing.

use std::{env, fs, path::Path};

use data_encoding::BASE64URL_NOPAD;
use selvedge_agents::auth::{Algorithm, AlgorithmSet, Key, KeySet, Token};
use serde_json::Value;

/// Vectors whose outcome differs here, each with the reason.
const DEVIATIONS: &[(&str, u64, &str)] = &[
    ("json_web_signature_test", 346, "the key's alg is PS256, the token's PS384"),
    ("json_web_signature_test", 347, "the key's alg is ES521, which is no algorithm"),
    ("json_web_signature_test", 350, "the key's alg is PS256, the token's PS384"),
    ("json_web_signature_test", 351, "the key's alg is ES521, which is no algorithm"),
    ("json_web_signature_test", 367, "called invalid for padding that the token does not have"),
    ("json_web_signature_test", 370, "called invalid for padding that the token does not have"),
    ("json_web_signature_test", 372, "called valid with a `?` in the header's base64url"),
    ("json_web_signature_test", 373, "called valid with a `?` in the payload's base64url"),
    ("json_web_key_test", 4, "secrets are settings without ids: each of the two is tried"),
    ("json_web_key_test", 7, "how an issuer found its primes (ROCA) is not looked into"),
    ("json_web_crypto_test", 46, "how an issuer found its primes (ROCA) is not looked into"),
];

#[test]
fn json_web_signatures() {
    let Ok(root) = env::var("WYCHEPROOF_DIR") else {
        println!("skipped: WYCHEPROOF_DIR names no checkout of Wycheproof");
        return;
    };
    for (file, at_least) in
        [("json_web_signature_test", 300), ("json_web_key_test", 20), ("json_web_crypto_test", 40)]
    {
        let path = Path::new(&root).join("testvectors_v1").join(file).with_extension("json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let ran = run(file, &serde_json::from_str(&text).unwrap());
        assert!(ran >= at_least, "only {ran} vectors of {file}");
        println!("{file}: {ran} vectors");
    }
}

/// Runs the signatures of a file and returns how many.
fn run(file: &str, vectors: &Value) -> usize {
    let mut ran = 0;
    let mut wrong = Vec::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        let keys = keys(group.get("public").unwrap_or(&group["private"]));
        for test in group["tests"].as_array().unwrap() {
            let Some(jws) = test.get("jws") else { continue };
            let text = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
            let accepted = Token::parse(&text).is_ok_and(|token| token.verify(&keys).is_ok());
            let id = test["tcId"].as_u64().unwrap();
            let known = DEVIATIONS.iter().any(|(of, one, _)| (*of, *one) == (file, id));
            if (accepted == (test["result"] == "valid")) == known {
                wrong.push(format!("{id} {} {}: {accepted}", test["comment"], test["result"]));
            }
            ran += 1;
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    ran
}

/// A key or a set of keys; secrets, which no set may hold here, become keys as settings make them.
fn keys(jwk: &Value) -> KeySet {
    let listed = jwk.get("keys").and_then(Value::as_array).cloned();
    let listed = listed.unwrap_or_else(|| vec![jwk.clone()]);
    if listed.iter().all(|jwk| jwk["kty"] == "oct") {
        return KeySet::of(listed.iter().filter_map(secret));
    }
    let set = serde_json::json!({ "keys": listed });
    KeySet::parse(set.to_string().as_bytes(), AlgorithmSet::PUBLIC).unwrap()
}

fn secret(jwk: &Value) -> Option<Key> {
    let secret = BASE64URL_NOPAD.decode(jwk["k"].as_str()?.as_bytes()).ok()?;
    let algorithm = Algorithm::from_name(jwk["alg"].as_str()?)?;
    Key::from_secret(&secret, [algorithm].into_iter().collect()).ok()
}
