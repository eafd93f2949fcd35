//! No change of a good token makes another good one, and no text at all makes the parser panic.

use std::{fs, sync::LazyLock};

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use selvedge_agents::auth::{AlgorithmSet, Auth, KeySet, Token};
use selvedge_config::auth::Keys;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{
    ask, bearer, claims, settings,
    signer::{Signer, set},
    start, status,
};

struct World {
    runtime: Runtime,
    agent: Auth,
    keys: KeySet,
    signer: Signer,
    token: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let signer = Signer::new("k");
    let token = signer.sign(&claims(json!({})));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    fs::write(&file, set(&[&signer])).unwrap();
    let agent = runtime.block_on(start(&settings(Keys::File(file))));
    let keys = KeySet::parse(set(&[&signer]).as_bytes(), AlgorithmSet::PUBLIC).unwrap();
    World { runtime, agent, keys, signer, token }
});

impl World {
    fn accepts(&self, token: &str) -> bool {
        status(&self.runtime.block_on(ask(&self.agent, &bearer(token)))).is_none()
    }
}

/// What is done to a token's text.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let char = prop::sample::select(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ~ü"
            .chars()
            .collect::<Vec<_>>(),
    );
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), char.clone()).prop_map(|(at, char)| Mutation::Replace(at, char)),
        2 => (at(), char).prop_map(|(at, char)| Mutation::Insert(at, char)),
        2 => at().prop_map(Mutation::Remove),
        1 => (at(), at()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Mutation::Repeat(a, b)),
    ]
}

fn mutated(token: &str, mutations: &[Mutation]) -> String {
    let mut chars: Vec<char> = token.chars().collect();
    for mutation in mutations {
        let length = chars.len();
        match mutation {
            _ if chars.is_empty() => break,
            Mutation::Replace(at, char) => chars[at.index(length)] = *char,
            Mutation::Insert(at, char) => chars.insert(at.index(length), *char),
            Mutation::Remove(at) => {
                chars.remove(at.index(length));
            }
            Mutation::Swap(a, b) => chars.swap(a.index(length), b.index(length)),
            Mutation::Repeat(a, b) => {
                let (a, b) = (a.index(length), b.index(length));
                let part: Vec<char> = chars[a.min(b)..=a.max(b)].iter().copied().take(64).collect();
                chars.extend(part);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_token_is_refused(mutations in prop::collection::vec(mutation(), 1..6)) {
        let token = mutated(&WORLD.token, &mutations);
        // Blanks around a token belong to the field.
        let is_same = token.trim() == WORLD.token;
        prop_assert_eq!(WORLD.accepts(&token), is_same, "{}", token);
    }

    #[test]
    fn a_flipped_bit_is_seen(part in 0_usize..3, byte in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut parts: Vec<Vec<u8>> = WORLD.token.split('.')
            .map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap())
            .collect();
        let byte = byte.index(parts[part].len());
        parts[part][byte] ^= 1 << bit;
        let parts: Vec<String> = parts.iter().map(|part| BASE64URL_NOPAD.encode(part)).collect();
        prop_assert!(!WORLD.accepts(&parts.join(".")));
    }

    /// Whoever holds the key may sign anything: header and payload are read with care all the same.
    #[test]
    fn signed_nonsense_does_no_harm(
        header in prop_oneof![
            "[ -~]{0,60}",
            Just(r#"{"alg":"ES256","kid":"k"}"#.to_owned()),
        ],
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            r#"\{("[a-z]{1,3}":([0-9]{1,3}|"[ -~]{0,9}"|\[\]|\{\}|null),){0,4}"sub":1\}"#.prop_map(String::into_bytes),
        ],
    ) {
        prop_assert!(!WORLD.accepts(&WORLD.signer.sign_raw(header.as_bytes(), &payload)));
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_harm(text in "[A-Za-z0-9_.=-]{0,120}|.{0,60}") {
        if let Ok(token) = Token::parse(&text) {
            prop_assert!(token.verify(&WORLD.keys).is_err());
        }
    }

    #[test]
    fn any_set_is_parsed_without_harm(
        kty in "RSA|EC|OKP|oct|[a-z]{0,3}",
        crv in "P-256|P-384|P-521|Ed25519|[a-z]{0,3}",
        alg in "RS256|PS512|ES256|ES512|EdDSA|HS256|none",
        numbers in prop::collection::vec("[A-Za-z0-9_-]{0,90}", 4),
    ) {
        let jwk = json!({
            "kty": kty, "crv": crv, "alg": alg,
            "n": numbers[0], "e": numbers[1], "x": numbers[2], "y": numbers[3],
        });
        let set = json!({ "keys": [jwk] }).to_string();
        let set = KeySet::parse(set.as_bytes(), AlgorithmSet::PUBLIC).unwrap();
        let token = Token::parse(&WORLD.token).unwrap();
        prop_assert!(token.verify(&set).is_err());
        prop_assert_eq!(set.keys().len() + set.left_out().len(), 1);
    }
}

#[test]
fn the_token_that_is_mutated_is_good() {
    assert!(WORLD.accepts(&WORLD.token));
}
