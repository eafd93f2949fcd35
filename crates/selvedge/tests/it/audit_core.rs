//! The audit log of a core that runs: what is in it, who sees it, who changes it.

use rustix::process::Signal;
use selvedge_audit::{
    entry::ActorKind, event::Event, home::Home, service::AuditLog, time::Timestamp,
};
use selvedge_eventlog::Log;
use serde_json::{Value, json};

use crate::{
    core::{config, health, role, token, up},
    http::{Answer, get, get_with, send},
    process::{PATIENCE, Place, eventually, is_alive, send as signal},
};

const CORE: &str =
    "core { data-dir \"./data\"; audit { origin \"log.example/audit\"; node \"n1\" } }";
const PUBLIC: &str =
    "core { data-dir \"./data\"; audit { origin \"log.example/audit\"; public #true } }";

fn bearer(place: &Place, scopes: &str) -> String {
    format!("Authorization: Bearer {}", token(place, &format!("app {scopes}")))
}

fn at(url: &str, path: &str) -> String {
    format!("{url}_selvedge/audit/{path}")
}

/// Entries, as `audit search` prints them.
fn search(place: &Place, args: &str) -> Vec<Value> {
    let said = place.run(&format!("audit search --format json {args}"));
    // A core that has just begun has not signed its first head.
    if said.contains("no `checkpoint`") {
        return Vec::new();
    }
    assert!(said.starts_with("exit 0\n"), "{said}");
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
}

/// Waits until so many entries fit.
#[track_caller]
fn found(place: &Place, args: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} entries: {args}"), || {
        let found = search(place, args);
        (found.len() >= count).then_some(found)
    })
}

#[track_caller]
fn is(answer: Answer, status: u16) -> Answer {
    assert_eq!(answer.status, status, "{}{}", answer.head, answer.body);
    answer
}

#[test]
fn what_is_done_is_in_the_log_whatever_becomes_of_the_core() {
    let place = Place::new();
    place.write("selvedge.kdl", &config(CORE));
    let early = token(&place, "early --scope streams:* --tenant acme");
    let (mut up, url) = up(&place, CORE);
    let made = found(&place, "--action token.create", 1);
    assert_eq!(made[0]["details"]["scopes"], json!(["streams:*"]), "{made:?}");
    assert_eq!(made[0]["who"]["auth"], "os");
    assert_eq!(made[0]["node"], "n1");

    let bearer = format!("Authorization: Bearer {early}");
    let stream = format!("{url}_selvedge/streams/orders");
    let fields = [&*bearer, "Content-Type: text/plain", "User-Agent: a test"];
    is(send(("PUT", &stream), &fields, "").unwrap(), 201);
    is(send(("DELETE", &stream), &fields, "").unwrap(), 204);
    is(send(("DELETE", &stream), &fields, "").unwrap(), 404);
    let told = found(&place, "--action stream.*", 3);
    let who = &told[0]["who"];
    assert_eq!((&who["kind"], &who["id"]), (&"service".into(), &"early".into()));
    assert_eq!(who["tenant"], "acme");
    assert_eq!(told[0]["trace"].as_str().map(str::len), Some(32), "{}", told[0]);
    assert!(told[0]["from"]["address"]["sealed"].is_string(), "{}", told[0]);
    assert!(told[0]["config"].is_string(), "{}", told[0]);
    let made = &told[0]["details"]["number"];
    assert!(made.is_u64() && told[1]["details"]["number"] == *made, "{told:?}");
    let outcomes: Vec<_> = told.iter().map(|it| (&it["action"], &it["outcome"])).collect();
    let expected = [("create", "done"), ("delete", "done"), ("delete", "failed")];
    let expected = expected.map(|(action, outcome)| (format!("stream.{action}"), outcome));
    assert!(
        outcomes
            .iter()
            .zip(&expected)
            .all(|(it, (action, outcome))| { *it.0 == action.as_str() && *it.1 == *outcome }),
        "{told:?}"
    );
    assert_eq!(told[2]["details"]["status"], 404);

    let id = early.split('_').nth(1).unwrap();
    place.run(&format!("token revoke {id}"));
    let revoked = found(&place, "--action token.revoke", 1);
    assert_eq!(revoked[0]["resource"]["id"], id);

    let core = role(&up, "core").unwrap();
    signal(core, Signal::KILL);
    // The file changes while nobody looks, and not by our hand.
    eventually("the core is missed", || (!is_alive(core)).then_some(()));
    let tokens = place.path("data/tokens");
    let text = std::fs::read_to_string(&tokens).unwrap();
    let line = text.lines().next().unwrap();
    std::fs::write(&tokens, line.replace("streams:*", "streams:read")).unwrap();
    eventually("the core is back", || (health(&url).status == 200).then_some(()));
    let changed = found(&place, "--action token.change", 1);
    assert_eq!(changed[0]["who"]["kind"], "system");
    let starts = found(&place, "--action core.start", 2);
    let after: Vec<_> = starts.iter().map(|start| &start["details"]["after"]).collect();
    assert_eq!(after, ["nothing", "crash"]);
    assert_eq!(search(&place, "--action token.create").len(), 1, "it is told once");

    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    assert_eq!(search(&place, "--action core.stop").len(), 1);
    let verified = place.run("audit verify --key data/audit.vkey");
    assert!(verified.starts_with("exit 0\n"), "{verified}");
}

#[test]
fn reloads_are_told_with_what_changes_and_refused_ones_too() {
    let place = Place::new();
    let (mut up, _) = up(&place, CORE);
    let config = std::fs::read_to_string(place.path("selvedge.kdl")).unwrap();
    let more = format!("{config}\nroute \"more\" {{ matches {{ path \"/x\" }}; respond 200 }}\n");
    place.write("selvedge.kdl", &more);
    up.signal(Signal::HUP);
    up.hear("core: config reloaded");
    let told = found(&place, "--action config.reload", 1);
    assert_eq!(told[0]["details"]["changes"][0], "+ route \"more\"", "{told:?}");
    let before = search(&place, "--action core.start")[0]["config"].clone();
    assert_ne!(told[0]["config"], before);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);

    // By itself: a supervisor that reads nonsense asks nobody.
    let mut core = place.start("core");
    core.hear("core serving");
    place.write("selvedge.kdl", "nonsense");
    core.signal(Signal::HUP);
    core.hear("core: config refused");
    let refused = found(&place, "--action config.reload --outcome failed", 1);
    assert!(refused[0]["details"]["error"].as_str().unwrap().contains("nonsense"), "{refused:?}");
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
}

#[test]
fn files_are_served_as_they_lie_to_those_who_may() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    is(get(&at(&url, "checkpoint")), 401);
    let reader = bearer(&place, "--scope audit:read");
    let other = bearer(&place, "--scope streams:read");
    is(get_with(&at(&url, "checkpoint"), &[&other]), 403);
    found(&place, "--action token.create", 2);
    let read = |path: &str| get_with(&at(&url, path), &[&reader]);
    let head = is(read("checkpoint"), 200);
    assert!(head.body.starts_with("log.example/audit\n"), "{}", head.body);
    assert!(head.head.contains("cache-control: no-cache"), "{}", head.head);
    assert!(head.head.contains("content-type: text/plain; charset=utf-8"), "{}", head.head);
    let size: u64 = head.body.lines().nth(1).unwrap().parse().unwrap();
    for path in ["tile/0/000", "tile/entries/000"] {
        let tile = is(read(&format!("{path}.p/{size}")), 200);
        assert!(tile.head.contains("private, max-age=31536000, immutable"), "{}", tile.head);
        assert!(tile.head.contains("content-type: application/octet-stream"), "{}", tile.head);
        is(read(path), 404);
    }
    for path in ["tile/0/0", "tile/9/000", "tile/0/001", "payload/00/00"] {
        is(read(path), 404);
    }
    assert!(is(read("proof/0"), 200).body.starts_with("c2sp.org/tlog-proof@v1\n"));
    assert!(is(read("proof/999"), 404).body.contains("audit/no-entry"));
    is(read("proof/x"), 400);
    let status: Value = serde_json::from_str(&is(read("status"), 200).body).unwrap();
    assert_eq!((&status["origin"], &status["fault"]), (&"log.example/audit".into(), &Value::Null));
    is(read("entries?from=0&limit=1&action=core.start"), 200);
    assert!(is(read("entries?colour=red"), 400).body.contains("audit/query"));

    let command = |args: &str, token: &str| {
        let mut command = place.command(args.split_whitespace());
        place.show(&command.env("SELVEDGE_TOKEN", token).output().unwrap())
    };
    let of = format!("--url {url}_selvedge/audit");
    let secret = reader.rsplit(' ').next().unwrap();
    let verified = command(&format!("audit verify {of} --key data/audit.vkey"), secret);
    assert!(verified.starts_with("exit 0\n"), "{verified}");
    let tail = command(&format!("audit tail {of} -n 1 --action core.start"), secret);
    assert!(tail.contains("core.start"), "{tail}");
    let refused = command(&format!("audit tail {of}"), "");
    assert!(refused.starts_with("exit 1\n") && refused.contains("core/unauth"), "{refused}");
    let proven = command(&format!("audit prove 0 {of} --key data/audit.vkey"), secret);
    assert!(proven.contains("c2sp.org/tlog-proof@v1"), "{proven}");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn a_public_log_needs_nobody_to_ask_and_tells_no_names() {
    let place = Place::new();
    let (mut up, url) = up(&place, PUBLIC);
    token(&place, "app --scope metrics:read");
    found(&place, "--action token.create", 1);
    let head = is(get(&at(&url, "checkpoint")), 200);
    let size: u64 = head.body.lines().nth(1).unwrap().parse().unwrap();
    let tile = is(get(&at(&url, &format!("tile/0/000.p/{size}"))), 200);
    assert!(tile.head.contains("cache-control: public, "), "{}", tile.head);
    let tail = place.run(&format!("audit tail --url {url}"));
    assert!(tail.contains("token.create") && !tail.contains("root"), "{tail}");
    is(get(&at(&url, "entries")), 401);
    is(send(("POST", &at(&url, "erase")), &[], "{\"id\":\"root\"}").unwrap(), 401);
    assert_eq!(search(&place, "--outcome denied"), [] as [Value; 0], "nobody fills the log");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn who_erases_prunes_or_looks_is_told() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let weak = bearer(&place, "--scope audit:read");
    let made = found(&place, "--action token.create --reveal", 1);
    let user = made[0]["who"]["name"].as_str().unwrap().to_owned();
    assert_eq!(found(&place, "--action audit.reveal", 1)[0]["who"]["id"], "operator");
    for (path, body) in [("erase", "{\"id\":\"x\"}"), ("prune", "{\"before\":1}")] {
        is(send(("POST", &at(&url, path)), &[&weak], body).unwrap(), 403);
    }
    is(get_with(&at(&url, "entries?reveal=true"), &[&weak]), 403);
    let denied = found(&place, "--outcome denied", 3);
    assert!(denied.iter().all(|it| it["reason"] == "core/scope"), "{denied:?}");

    let strong = bearer(&place, "--scope audit:*");
    let body = json!({ "id": user }).to_string();
    let erased = is(send(("POST", &at(&url, "erase")), &[&strong], &body).unwrap(), 200);
    let key = serde_json::from_str::<Value>(&erased.body).unwrap()["key"].clone();
    let told = found(&place, "--action subject.erase --outcome done", 1);
    assert_eq!((&told[0]["resource"]["id"], &told[0]["who"]["id"]), (&key, &"app".into()));
    let after = found(&place, "--action token.create --reveal", 2);
    assert!(after[0]["who"]["name"]["sealed"].is_string(), "{}", after[0]);
    is(send(("POST", &at(&url, "erase")), &[&strong], "{}").unwrap(), 400);
    let again = place.run(&format!("audit erase --key {}", key.as_str().unwrap()));
    assert!(again.starts_with("exit 1\n") && again.contains("audit/no-subject"), "{again}");

    let pruned = place.run("audit prune --older-than 1h");
    assert!(pruned.starts_with("exit 0\n--- stdout\nwhat is kept begins with entry 0"), "{pruned}");
    let status = place.run("audit status");
    assert!(status.contains("log.example/audit: in order"), "{status}");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    assert!(place.run("audit status").contains("the core is not running"));
    let nobody = place.run("audit erase ann");
    assert!(nobody.starts_with("exit 69\n") && nobody.contains("is it running?"), "{nobody}");
}

#[test]
fn a_log_that_is_not_what_was_signed_does_not_start() {
    let place = Place::new();
    let (mut up, _) = up(&place, CORE);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    assert!(place.run("explain audit/unwritten").contains("the disk is full"));
    assert!(place.run("bounds").contains("audit retention personal"));
    let renamed = CORE.replace("log.example", "other.example");
    let config = std::fs::read_to_string(place.path("selvedge.kdl")).unwrap();
    let said = place.write("selvedge.kdl", &config.replace(CORE, &renamed)).run("core");
    assert!(said.starts_with("exit 2\n") && said.contains("log.example/audit"), "{said}");
    place.write("selvedge.kdl", &config);
    // The event log of an older backup.
    std::fs::remove_dir_all(place.path("data/log")).unwrap();
    let said = place.run("core");
    assert!(said.starts_with("exit 65\n") && said.contains("not those that were signed"), "{said}");
}

/// A data-dir whose log has 300 entries of 2023, by somebody without an identity.
fn seed(place: &Place) {
    let home = Home::new(&place.path("data"));
    let log = Log::open(&place.path("data/log"), Default::default()).unwrap();
    let parts = home.open(log.clone(), "log.example/audit", "n1").unwrap();
    let audit = AuditLog::start(parts).unwrap();
    for number in 0..300 {
        let time = Timestamp((1_700_000_000 + number) * 1_000_000);
        let mut event = Event::by_system(time, "waf.block", ("route", "api"));
        event.actor.kind = ActorKind::Anonymous;
        event.actor.id = None;
        event.address = Some("192.0.2.7".to_owned());
        drop(log.append(audit.entry(&event).unwrap()));
    }
    assert!(audit.wait_signed(300, PATIENCE));
    drop(audit);
}

#[test]
fn what_was_kept_long_enough_is_given_up() {
    let place = Place::new();
    seed(&place);
    let kept = PUBLIC.replace("public", "retention { personal \"1h\"; entries \"1h\" }; public");
    let (mut up, url) = up(&place, &kept);
    let erased = found(&place, "--action subject.erase", 1);
    assert_eq!(erased[0]["who"]["id"], "selvedge");
    let pruned = found(&place, "--action log.prune", 1);
    assert_eq!(pruned[0]["details"]["minimum"], 256);
    eventually("its files are gone", || {
        (get(&at(&url, "tile/entries/000")).status == 410).then_some(())
    });
    let gone = is(get(&at(&url, "proof/7")), 410);
    assert!(gone.body.contains("audit/pruned"), "{}", gone.body);
    is(get(&at(&url, "proof/256")), 200);
    let left = search(&place, "--action waf.block --reveal");
    assert_eq!(left.len(), 300 - 256);
    assert!(left[0]["from"]["address"]["sealed"].is_string(), "{}", left[0]);
    for place_of in ["--data-dir data".to_owned(), format!("--url {url}")] {
        let verified = place.run(&format!("audit verify {place_of} --key data/audit.vkey"));
        assert!(verified.starts_with("exit 0\n"), "{verified}");
        assert!(verified.contains("entries before 256 were given up"), "{verified}");
    }
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn what_somebody_meant_to_do_and_did_not_is_told() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("data/intents")).unwrap();
    let intent = json!({
        "action": "token.create", "name": "app", "id": null, "user": "ann", "at": 1_700_000_000_000_000_u64,
    });
    place.write("data/intents/1", &intent.to_string());
    let (mut up, _) = up(&place, CORE);
    let told = found(&place, "--action token.create --reveal", 1);
    assert_eq!((&told[0]["outcome"], &told[0]["reason"]), (&"failed".into(), &"unfinished".into()));
    assert_eq!(told[0]["who"]["name"], "ann");
    assert_eq!(told[0]["time"], "2023-11-14T22:13:20.000000Z");
    eventually("it is told once", || {
        std::fs::read_dir(place.path("data/intents")).unwrap().next().is_none().then_some(())
    });
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}
