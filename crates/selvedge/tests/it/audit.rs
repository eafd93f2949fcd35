//! `selvedge audit` on the files of a log that a core left behind.

use std::{fs, time::Duration};

use expect_test::{Expect, expect};
use selvedge_audit::{
    entry::{ActorKind, Outcome},
    event::{Event, Principal},
    home::Home,
    note::{Scheme, SigningKey},
    service::AuditLog,
    time::Timestamp,
};
use selvedge_eventlog::Log;

use crate::process::{PATIENCE, Place};

/// A data folder with 300 entries: a user's, and reloads of the config.
fn place() -> Place {
    let place = Place::new();
    let data = place.path("data");
    sign_with_known_key(&Home::new(&data));
    let log = Log::open(&data.join("log"), Default::default()).unwrap();
    let parts = Home::new(&data).open(log.clone(), "log.example/audit", "core-1").unwrap();
    let audit = AuditLog::start(parts).unwrap();
    for number in 0..300 {
        let time = Timestamp((1_800_000_000 + number) * 1_000_000);
        let mut event = Event::by_system(time, "config.reload", ("config", "main"));
        if number == 7 {
            event.action = "key.create".to_owned();
            event.resource = ("key".to_owned(), "k1".to_owned());
            event.outcome = Outcome::Denied;
            event.reason = Some("no-role".to_owned());
            event.address = Some("192.0.2.7".to_owned());
            event.actor = Principal {
                kind: ActorKind::User,
                id: Some("ann".to_owned()),
                tenant: Some("acme".to_owned()),
                auth: "password".to_owned(),
            };
        }
        drop(log.append(audit.entry(&event).unwrap()));
    }
    assert!(audit.wait_signed(300, PATIENCE.max(Duration::from_secs(60))));
    fs::copy(data.join("audit.vkey"), place.path("audit.vkey")).unwrap();
    place
}

fn sign_with_known_key(home: &Home) {
    use std::os::unix::fs::PermissionsExt;
    let key = SigningKey::new("log.example/audit", Scheme::Ed25519, [7; 32]).unwrap();
    fs::create_dir_all(home.keys()).unwrap();
    let path = home.keys().join("signing.key");
    fs::write(&path, key.to_secret().expose()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn check(place: &Place, args: &str, expected: Expect) {
    expected.assert_eq(&place.run(&format!("audit {args}")));
}

#[test]
fn entries_are_found_and_shown() {
    let place = place();
    check(
        &place,
        "tail -n 2",
        expect![[r#"
        exit 0
        --- stdout
             298  2027-01-15T08:04:58.000000Z  done    system selvedge  config.reload  config/main
             299  2027-01-15T08:04:59.000000Z  done    system selvedge  config.reload  config/main
    "#]],
    );
    check(
        &place,
        "search --outcome denied --reveal",
        expect![[r#"
        exit 0
        --- stdout
               7  2027-01-15T08:00:07.000000Z  denied  user ann  key.create  key/k1  (no-role)
    "#]],
    );
    check(
        &place,
        "search --since 2027-01-15T08:04:58Z",
        expect![[r#"
        exit 0
        --- stdout
             298  2027-01-15T08:04:58.000000Z  done    system selvedge  config.reload  config/main
             299  2027-01-15T08:04:59.000000Z  done    system selvedge  config.reload  config/main
    "#]],
    );
    check(
        &place,
        "search --action config.* --resource config/main --max 1 --format json",
        expect![[r#"
            exit 0
            --- stdout
            {"entry":{"action":"config.reload","node":"core-1","outcome":"done","resource":{"id":"main","kind":"config"},"time":"2027-01-15T08:00:00.000000Z","v":1,"who":{"auth":"internal","id":"selvedge","kind":"system"}},"index":0}
        "#]],
    );
    check(
        &place,
        "search --tenant other",
        expect![[r#"
        exit 0
    "#]],
    );
    check(
        &place,
        "search --since yesterday",
        expect![[r#"
        exit 64
        --- stderr
        error: yesterday: neither 2026-11-21, nor 2026-11-21T21:04:05Z, nor 2h
    "#]],
    );
}

#[test]
fn an_auditor_needs_files_and_a_key() {
    let place = place();
    fs::rename(place.path("data/audit"), place.path("copy")).unwrap();
    fs::remove_dir_all(place.path("data")).unwrap();
    let verify = "verify --data-dir copy --key audit.vkey";
    let in_order = place.run(&format!("audit {verify}"));
    assert!(
        in_order.starts_with("exit 0\n--- stdout\nlog.example/audit: in order\n"),
        "{in_order}"
    );
    assert!(in_order.contains("compared  300 entries"), "{in_order}");

    let bundle = place.path("copy/tile/entries/000");
    let mut bytes = fs::read(&bundle).unwrap();
    let at = bytes.windows(6).position(|part| part == b"denied").unwrap();
    bytes[at..at + 6].copy_from_slice(b"failed");
    fs::write(&bundle, &bytes).unwrap();
    let found = place.run(&format!("audit {verify}"));
    let expected = "exit 1\n--- stdout\nerror: tile/entries/000: entry 7: it is not the entry that the tree has\n";
    assert!(found.starts_with(expected), "{found}");
    let found = place.run(&format!("audit {verify} --format json"));
    assert!(found.contains("\"ok\":false") && found.contains("\"index\":7"), "{found}");

    let other = SigningKey::new("log.example/audit", Scheme::Ed25519, [8; 32]).unwrap();
    place.write("other.vkey", &other.verifier().to_string());
    check(
        &place,
        "verify --data-dir copy --key other.vkey",
        expect![[r#"
        exit 1
        --- stdout
        error: checkpoint: `checkpoint` is not believed: no trusted key signed it
    "#]],
    );
    check(
        &place,
        "verify --data-dir copy --key nonsense",
        expect![[r#"
        exit 64
        --- stderr
        error: --key nonsense: this is no key of the form NAME+ID+KEY
    "#]],
    );
    check(
        &place,
        "verify --data-dir nowhere --key audit.vkey",
        expect![[r#"
        exit 69
        --- stderr
        error: nowhere has no audit log (no `checkpoint`)
    "#]],
    );
}

#[test]
fn a_rollback_is_told_by_an_older_head() {
    let place = place();
    fs::copy(place.path("data/audit/checkpoint"), place.path("head")).unwrap();
    let found = place.run("audit verify --key audit.vkey --since head --growth");
    assert!(found.starts_with("exit 0\n"), "{found}");
    fs::remove_dir_all(place.path("data/audit")).unwrap();
    fs::remove_dir_all(place.path("data/log")).unwrap();
    let log = Log::open(&place.path("data/log"), Default::default()).unwrap();
    let home = Home::new(&place.path("data"));
    let audit = AuditLog::start(home.open(log.clone(), "log.example/audit", "n").unwrap()).unwrap();
    let event = Event::by_system(Timestamp(1), "a", ("b", "c"));
    log.append(audit.entry(&event).unwrap()).wait().unwrap();
    assert!(audit.wait_signed(1, PATIENCE));
    check(
        &place,
        "verify --key audit.vkey --since head",
        expect![[r#"
        exit 1
        --- stdout
        error: checkpoint: the log has 1 entries and had 300: it was rolled back
        log.example/audit: NOT in order
          head      1 entries, root /7fOBv62x7QD0DaYXmEv86OODO8nxQDIRS1cnEGHh5s=
          compared  1 entries, 0 payloads
    "#]],
    );
}

#[test]
fn a_proof_holds_without_the_log() {
    let place = place();
    check(
        &place,
        "prove 3 --key audit.vkey --out 3.tlog-proof",
        expect![[r#"
        exit 0
    "#]],
    );
    let exported = place.run("audit export --key audit.vkey --outcome denied --out found");
    assert_eq!(exported, "exit 0\n--- stdout\n1 entries with their proofs in found\n");
    let line = fs::read_to_string(place.path("found/entries.jsonl")).unwrap();
    assert!(line.starts_with("{\"index\":7,\"entry\":{\"action\":\"key.create\""), "{line}");
    check(
        &place,
        "prove 300 --key audit.vkey",
        expect![[r#"
        exit 1
        --- stderr
        error: the log has 300 entries, counted from 0
    "#]],
    );

    fs::remove_dir_all(place.path("data")).unwrap();
    check(
        &place,
        "verify --proof 3.tlog-proof --key audit.vkey",
        expect![[r#"
        exit 0
        --- stdout
        {"action":"config.reload","node":"core-1","outcome":"done","resource":{"id":"main","kind":"config"},"time":"2027-01-15T08:00:03.000000Z","v":1,"who":{"auth":"internal","id":"selvedge","kind":"system"}}
        is entry 3 of log.example/audit, proven under a head of 300 entries
    "#]],
    );
    let found = place.run("audit verify --proof found/proofs/7.tlog-proof --key audit.vkey");
    assert!(found.starts_with("exit 0\n"), "{found}");
    place.write("forged", "{\"action\":\"nothing\"}");
    check(
        &place,
        "verify --proof 3.tlog-proof --key audit.vkey --entry forged",
        expect![[r#"
            exit 1
            --- stderr
            error: 3.tlog-proof: the proof does not lead from this entry to the log's root: the proof leads to another root of the tree
        "#]],
    );
}
