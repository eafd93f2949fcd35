//! Tokens that others made: `tests/vectors` has them and the scripts that made them.

use std::{fs, path::Path};

use selvedge_config::auth::Keys;
use serde::Deserialize;
use serde_json::Value;

use super::{AUDIENCE, ISSUER, ask, bearer, settings, start, status};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    made_by: String,
    issuer: String,
    audience: String,
    jwks: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    accepted: bool,
    token: String,
}

#[tokio::test]
async fn tokens_of_pyjwt() {
    check("auth_pyjwt.json", "PyJWT", (19, 129)).await;
}

#[tokio::test]
async fn tokens_of_jose() {
    check("auth_jose.json", "jose", (14, 66)).await;
}

/// Has the agent decide on each token of a file, which has at least so many that are accepted and
/// that are refused.
async fn check(file: &str, made_by: &str, (accepted_min, refused_min): (usize, usize)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let vectors: Vectors = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let Vectors { made_by: maker, issuer, audience, jwks, cases } = vectors;
    assert!(maker.starts_with(made_by), "{maker}");
    assert_eq!((&*issuer, &*audience), (ISSUER, AUDIENCE));
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("jwks.json");
    fs::write(&keys, jwks.to_string()).unwrap();
    let agent = start(&settings(Keys::File(keys))).await;

    let (mut accepted, mut refused) = (0, 0);
    for Case { name, accepted: is_good, token } in &cases {
        // The second time a good one comes out of the cache.
        for time in ["first", "second"] {
            let verdict = ask(&agent, &bearer(token)).await;
            let why = verdict.reason_text();
            assert_eq!(status(&verdict).is_none(), *is_good, "{name}, {time} time: {why}");
        }
        *if *is_good { &mut accepted } else { &mut refused } += 1;
    }
    assert!(accepted >= accepted_min && refused >= refused_min, "{accepted} {refused}");
}
