//! The core behind its edge: what it answers, whom it believes, and what happens when it dies.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    http::{Answer, get, get_with, try_get},
    process::{Place, Running, children, eventually, field, is_alive, send},
};

const CONFIG: &str = "workers 1\nadmin #false\ntelemetry { access-log #false }\ndrain-timeout \"5s\"\n\
    listener \"web\" { address \"127.0.0.1:0\" }\nroute \"all\" { respond 200 \"hello\" }\n";

pub fn config(core: &str) -> String {
    format!("{CONFIG}{core}\n")
}

pub const CORE: &str = "core { data-dir \"./data\" }";

/// Runs both, and returns where the edge is once both serve.
pub fn up(place: &Place, core: &str) -> (Running, String) {
    let mut up = place.write("selvedge.kdl", &config(core)).start("up");
    let url = field(&up.hear("listener=web"), "url");
    eventually("the core is ready", || (health(&url).status == 200).then_some(()));
    (up, url)
}

pub fn health(url: &str) -> Answer {
    get(&format!("{url}_selvedge/health"))
}

fn whoami(url: &str, fields: &[&str]) -> (u16, Value) {
    let answer = get_with(&format!("{url}_selvedge/whoami"), fields);
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

pub fn token(place: &Place, arguments: &str) -> String {
    let made = place.run(&format!("token create {arguments}"));
    made.lines().nth(2).unwrap_or_else(|| panic!("{made}")).to_owned()
}

/// The process of this role under a supervisor.
pub fn role(up: &Running, name: &str) -> Option<i32> {
    let is_it = |id: &i32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes())
    };
    children(up.id()).into_iter().find(is_it)
}

#[test]
fn services_come_with_tokens_and_nobody_claims_to_be_a_user() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    assert!(health(&url).body.contains("\"log\":\"ready\""));
    assert_eq!(get(&format!("{url}_selvedge/health/live")).status, 200);
    assert_eq!(get(&format!("{url}_selvedge/nothing")).status, 404);

    let forged =
        ["X-User-Id: eve", "X-User-Role: admin", "X_User_Scope: a:b", "X-Selvedge-Link: a"];
    let (status, eve) = whoami(&url, &forged);
    assert_eq!((status, eve["principal"]["kind"].as_str()), (200, Some("anonymous")));
    assert_eq!(eve["client"], "127.0.0.1");
    assert_eq!(eve["trace_id"].as_str().map(str::len), Some(32));

    let metrics = format!("{url}_selvedge/metrics");
    let refused = get(&metrics);
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    assert!(refused.body.contains("core/unauthenticated"), "{}", refused.body);

    let monitor = token(&place, "monitor --scope metrics:read --expires 90d --tenant acme");
    let bearer = format!("Authorization: Bearer {monitor}");
    let page = get_with(&metrics, &[&bearer]);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("selvedge_core_requests_total"), "{}", page.body);
    assert!(page.body.contains("selvedge_log_durable_lsn"), "{}", page.body);
    let (_, me) = whoami(&url, &[&bearer]);
    assert_eq!((&me["principal"]["name"], &me["tenant"]), (&"monitor".into(), &"acme".into()));
    let other = get_with(&format!("{url}_selvedge/log"), &[&bearer]);
    assert_eq!(other.status, 403);
    assert!(other.body.contains("`log:read`"), "{}", other.body);

    let id = monitor.split('_').nth(1).unwrap();
    let listed = place.run("token list");
    assert!(listed.contains("monitor  scopes=metrics:read  tenant=acme  89 days left"), "{listed}");
    assert!(!listed.contains(&monitor), "{listed}");
    place.run(&format!("token revoke {id}"));
    eventually("the token counts no more", || {
        (get_with(&metrics, &[&bearer]).status == 401).then_some(())
    });
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    assert!(place.run("token list").contains("revoked  used today"));
}

#[test]
fn a_core_that_is_killed_costs_its_own_paths_and_comes_back() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    assert_eq!(get(&url).body, "hello");
                    asked.fetch_add(1, SeqCst);
                }
            });
        }
        for _ in 0..3 {
            let core = role(&up, "core").unwrap();
            send(core, Signal::KILL);
            eventually("the core is missed", || (!is_alive(core)).then_some(()));
            let away = eventually("its paths say so", || {
                let answer = health(&url);
                let is_back = role(&up, "core").is_some_and(|now| now != core);
                (answer.status == 503 || is_back).then_some(answer)
            });
            if away.status == 503 {
                assert!(away.head.contains("retry-after: 1"), "{}", away.head);
                assert!(away.body.contains("core/away"), "{}", away.body);
            }
            eventually("the core is back", || (health(&url).status == 200).then_some(()));
        }
        stop.store(true, SeqCst);
    });
    assert!(asked.load(SeqCst) > 0);
    up.hear("the core ended (signal: 9 (SIGKILL)); starting it again in 250ms");
    let roles = children(up.id());
    up.signal(Signal::TERM);
    assert_eq!(up.end(), 0);
    assert!(roles.into_iter().all(|role| !is_alive(role)));
    assert!(try_get(&url).is_err());
}

#[test]
fn without_a_core_none_is_started_and_a_reload_brings_and_takes_it() {
    let place = Place::new();
    let mut up = place.write("selvedge.kdl", &config("")).start("up");
    let url = field(&up.hear("listener=web"), "url");
    up.hear("msg=serving");
    assert_eq!(health(&url).body, "hello");
    assert_eq!(role(&up, "core"), None);
    place.write("selvedge.kdl", &config(CORE));
    up.signal(Signal::HUP);
    eventually("the core answers", || health(&url).body.contains("ready").then_some(()));
    place.write("selvedge.kdl", &config(""));
    up.signal(Signal::HUP);
    eventually("the core has gone", || role(&up, "core").is_none().then_some(()));
    assert_eq!(health(&url).body, "hello");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn what_was_open_where_the_edge_was_started_reaches_no_agent() {
    let place = Place::new();
    place.write("lock", "").write("keys", "");
    let users = "agent \"auth\" { type \"auth\"; api-keys { file \"keys\"; header \"X-API-Key\" } }\n\
        route \"known\" { matches { path \"/known\" }; agents \"auth\"; respond 204 }";
    place.write("selvedge.kdl", &config(users));
    let mut shell = place.command_of("sh");
    shell.args(["-c", "exec 3<lock 7<lock; exec \"$0\" edge", env!("CARGO_BIN_EXE_selvedge")]);
    let mut edge = Running::new(shell);
    let agent = field(&edge.hear("an agent's process runs"), "pid");
    let url = field(&edge.hear("listening listener=web"), "url");
    eventually("the agent answers", || (get(&format!("{url}known")).status == 401).then_some(()));
    let open = fs::read_dir(format!("/proc/{agent}/fd")).unwrap();
    let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).collect();
    assert!(!open.is_empty() && !open.contains(&place.path("lock")), "{open:?}");
}

#[test]
fn agents_name_users_and_grants_say_what_they_may() {
    let place = Place::new();
    let made = place.run("agents key create --file keys --user ann --role editor");
    let key = made.lines().nth(2).unwrap().to_owned();
    let users = "agent \"auth\" { type \"auth\"; api-keys { file \"keys\"; header \"X-API-Key\" } }\n\
        route \"core\" { matches { path-prefix \"/_selvedge\" }; agents \"auth\"; core }\n\
        core { data-dir \"./data\"; grant \"log:read\"; grant role=\"editor\" \"metrics:read\"; grant role=\"x\" \"a:b\" }";
    let mut up = place.write("selvedge.kdl", &config(users)).start("up");
    let url = field(&up.hear("listener=web"), "url");
    let named = format!("X-API-Key: {key}");
    eventually("the core answers", || {
        (get_with(&format!("{url}_selvedge/health"), &[&named]).status == 200).then_some(())
    });
    let (_, ann) = whoami(&url, &[&named, "X-User-Id: eve", "X-User-Tenant: other"]);
    assert_eq!(ann["principal"]["name"], "ann", "{ann}");
    assert_eq!(ann["principal"]["roles"][0], "editor");
    assert_eq!(ann["by"], "agents");
    assert_eq!(ann["scopes"], serde_json::json!(["log:read", "metrics:read"]));
    assert_eq!(ann["tenant"], Value::Null);
    assert_eq!(get(&format!("{url}_selvedge/whoami")).status, 401);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn edge_and_core_by_themselves_find_each_other() {
    let place = Place::new();
    place.write("selvedge.kdl", &config("core { data-dir \"./data\"; token \"ci\" { secret (file)\"ci\"; scopes \"log:read\" } }"));
    place.write("ci", &"s".repeat(32));
    let mut edge = place.start("edge");
    let url = field(&edge.hear("listener=web"), "url");
    assert_eq!(health(&url).status, 503);
    let mut core = place.start("core");
    core.hear("core serving");
    assert_eq!(health(&url).status, 200);
    let bearer = format!("Authorization: Bearer {}", "s".repeat(32));
    assert_eq!(get_with(&format!("{url}_selvedge/log"), &[&bearer]).status, 200);
    let (_, caller) = whoami(&url, &[]);
    assert_eq!(caller["trace_id"].as_str().map(str::len), Some(32), "the edge is believed");

    let second = place.run("core");
    let taken = format!("is in use by process {}", core.id());
    assert!(second.starts_with("exit 69\n") && second.contains(&taken), "{second}");
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
    assert_eq!(health(&url).status, 503);
    assert_eq!(get(&url).body, "hello");
    edge.signal(Signal::TERM);
    assert_eq!(edge.end(), 0);
}

#[test]
fn what_cannot_be_run_or_meant_is_told() {
    let place = Place::new();
    let none = place.write("none.kdl", &config("")).run("core --config none.kdl");
    assert!(none.starts_with("exit 2\n") && none.contains("has no `core`"), "{none}");
    let shadowed = format!(
        "{CORE}\nroute \"mine\" {{ matches {{ path-prefix \"/_selvedge/mine\" }}; respond 200 }}"
    );
    let said = place.write("shadowed.kdl", &config(&shadowed)).run("check shadowed.kdl");
    assert!(said.contains("never chosen") && said.contains("(core)"), "{said}");
    place.write("selvedge.kdl", &config(CORE));
    let explained = place.run("explain http://127.0.0.1/_selvedge/health");
    assert!(explained.contains("(core)"), "{explained}");
    assert!(place.run("explain core/away").contains("Core unavailable"));
    assert!(place.run("explain core/scope").contains("grant"));
    assert!(place.run("bounds").contains("limits in-flight"));
    let word = place.run("token create bad,name");
    assert!(word.starts_with("exit 1\n"), "{word}");
    let scope = place.run("token create app --scope Nonsense");
    assert!(scope.starts_with("exit 64\n") && scope.contains("is not a scope"), "{scope}");
}
