//! The key of push messages: where browsers find it, and where it lies.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    core::{CORE, config, up},
    http::{get, get_with},
    process::Place,
};

const PUSH: &str = "core { data-dir \"./data\"; sync { origins \"https://app.example\"; \
                    push { contact \"mailto:ops@example.org\" } } }";
/// A key of P-256 that others made: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgP/+j0LjyV1iogfSL\n\
    x9KVJf1ZvA7lJx3Tyd+TJxsZhXmhRANCAASRPKZxlkJF2aIiStjEJzwIuebz+Xrd\n\
    qN6az705vENMYKtelk+CMF7sHtuuvSJy0WPNgpgsgD+hlR+8ZhiaFS9J\n\
    -----END PRIVATE KEY-----\n";
/// The point that belongs to it.
const POINT: &str =
    "BJE8pnGWQkXZoiJK2MQnPAi55vP5et2o3prPvTm8Q0xgq16WT4IwXuwe2669InLRY82CmCyAP6GVH7xmGJoVL0k";

fn key(url: &str) -> String {
    let answer = get(&format!("{url}_selvedge/sync/push"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    said["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_relay_wakes_nobody_unless_its_config_says_so() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let answer = get(&format!("{url}_selvedge/sync/push"));
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("\"sync/push\""), "{answer:?}");
    assert!(!place.path("data/sync/push.pem").exists());
}

#[test]
fn the_key_is_made_once_and_told_to_pages_that_may_connect() {
    let place = Place::new();
    let (mut running, url) = up(&place, PUSH);
    let first = key(&url);
    assert_eq!(first.len(), 87, "a point of 65 bytes");
    let file = place.path("data/sync/push.pem");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    let from = |origin: &str| {
        let field = format!("Origin: {origin}");
        get_with(&format!("{url}_selvedge/sync/push"), &[&field])
    };
    let allowed = from("https://app.example");
    let field = "access-control-allow-origin: https://app.example";
    assert!(allowed.head.to_ascii_lowercase().contains(field), "{allowed:?}");
    assert_eq!(from("https://evil.example").status, 403);

    running.signal(Signal::TERM);
    assert_eq!(running.end(), 0);
    let (_up, url) = up(&place, PUSH);
    assert_eq!(key(&url), first);
}

#[test]
fn the_key_may_be_the_operators() {
    let place = Place::new();
    place.write("push.pem", KEY);
    let own = PUSH.replace("push {", "push { key \"push.pem\";");
    let (_up, url) = up(&place, &own);
    assert_eq!(key(&url), POINT);
    assert!(!place.path("data/sync/push.pem").exists());
}

#[test]
fn a_key_that_is_none_is_told() {
    let place = Place::new();
    place.write("push.pem", "no key");
    let own = PUSH.replace("push {", "push { key \"push.pem\";");
    let mut core = place.write("selvedge.kdl", &config(&own)).start("core");
    assert_ne!(core.end(), 0);
    let said = core.rest();
    assert!(said.contains("`push` in `core { sync }` cannot be used"), "{said}");
    assert!(said.contains("push.pem: this is no P-256 key as PKCS#8"), "{said}");
}
