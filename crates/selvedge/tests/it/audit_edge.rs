//! What the edge tells the audit log of its core: kept, delivered once, and proven.

mod kept;
mod strangers;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    firewall,
    http::{get, get_with, send, try_get},
    process::{PATIENCE, Place, Running, eventually, field},
};

/// An edge that takes bodies of up to 1 KiB, so that larger ones are blocked.
pub const CONFIG: &str = "workers 1\nadmin { address \"127.0.0.1:0\" }\ntelemetry { access-log #false }\n\
    drain-timeout \"5s\"\nlistener \"web\" { address \"127.0.0.1:0\" }\n\
    route \"all\" { limits { body \"1KiB\" }; respond 200 \"hello\" }\n";
pub const CORE: &str = "core { data-dir \"./data\" }\n";

/// A running edge, by itself or under a supervisor.
pub struct Edge {
    pub process: Running,
    pub url: String,
    pub admin: String,
}

impl Edge {
    pub fn start(place: &Place, args: &str) -> Self {
        let mut process = place.start(args);
        let url = field(&process.hear("listener=web"), "url");
        let admin = field(&process.hear("listener=(admin)"), "url");
        process.hear("msg=serving");
        Self { process, url, admin }
    }

    /// Has a request blocked that is told from others by its host.
    pub fn block(&self, host: &str) {
        block(&self.url, host);
    }

    /// The value of one of its metrics.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let page = get(&format!("{}metrics", self.admin)).body;
        let row = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        row.map(|value| value.parse().unwrap())
    }

    /// Waits until so many events are safe on the edge's disk.
    pub fn wait_kept(&self, events: u64) {
        eventually("events are kept", || {
            (self.metric("selvedge_audit_events_total")? >= events).then_some(())
        });
    }
}

/// Has the edge at this URL block a request.
pub fn block(url: &str, host: &str) {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// The entries of one action in the log of this place, as they are in its files.
pub fn entries(place: &Place, action: &str) -> Vec<Value> {
    let found = place.run(&format!("audit search --action {action} --max 100000 --format json"));
    let lines = found.lines().skip(2).filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
}

/// Waits for so many entries of an action.
#[track_caller]
pub fn wait_entries(place: &Place, action: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} entries of {action}"), || {
        let found = entries(place, action);
        (found.len() >= count).then_some(found)
    })
}

#[track_caller]
pub fn assert_in_order(place: &Place) {
    let verified = place.run("audit verify --key data/audit.vkey");
    assert!(verified.starts_with("exit 0\n"), "{verified}");
}

#[test]
fn what_is_blocked_and_what_operators_do_is_in_the_log() {
    let place = Place::new();
    place.write("selvedge.kdl", &format!("{CONFIG}{CORE}"));
    let made = place.run("agents key create --file keys.txt --user ann --role admin");
    let id = made.lines().nth(2).unwrap().split('_').nth(1).unwrap().to_owned();
    let edge = Edge::start(&place, "up");
    edge.block("a");
    let refused = get_with(&edge.url, &["Host: b"]);
    assert_eq!(refused.status, 400);
    assert_eq!(get(&edge.url).body, "hello", "what is not blocked");
    let foreign = ["Origin: http://evil.example", "User-Agent: page"];
    assert_eq!(send(("POST", &format!("{}reload", edge.admin)), &foreign, "").unwrap().status, 403);
    place.write(
        "selvedge.kdl",
        &format!("{CONFIG}{CORE}route \"new\" {{ matches {{ path \"/n\" }}; respond 200 }}\n"),
    );
    let reloaded =
        send(("POST", &format!("{}reload", edge.admin)), &["User-Agent: curl"], "").unwrap();
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    place.write("selvedge.kdl", "nonsense");
    edge.process.signal(Signal::HUP);

    let blocked = wait_entries(&place, "request.block", 2);
    let reasons: Vec<_> = blocked.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["limit/body", "head-gate/duplicate-host"]);
    let entry = &blocked[0];
    assert_eq!(entry["outcome"], "denied");
    assert_eq!(entry["resource"], serde_json::json!({ "kind": "route", "id": "all" }));
    assert_eq!(entry["details"]["status"], 413);
    assert_eq!(entry["who"]["kind"], "anonymous");
    assert!(entry["from"]["address"]["sealed"].is_string(), "{entry}");
    assert!(entry["details"]["path"]["sealed"].is_string(), "{entry}");
    assert_eq!(entry["trace"].as_str().unwrap().len(), 32);
    assert_eq!(blocked[1]["resource"]["kind"], "listener");

    let of_edge = |entry: &Value| entry["node"].as_str().unwrap().ends_with(":edge");
    let reloads = eventually("both reloads of the edge", || {
        let mut found = entries(&place, "config.reload");
        found.retain(of_edge);
        (found.len() == 2).then_some(found)
    });
    let (taken, refused) = (&reloads[0], &reloads[1]);
    assert_eq!(
        (&taken["outcome"], &taken["who"]["auth"]),
        (&"done".into(), &"admin-listener".into())
    );
    assert_eq!(taken["details"]["changes"], serde_json::json!(["+ route \"new\""]));
    assert_eq!(taken["details"]["old"], entry["config"]);
    assert_ne!(taken["details"]["old"], taken["details"]["new"]);
    assert_eq!(
        (&refused["outcome"], &refused["who"]["auth"]),
        (&"failed".into(), &"signal".into())
    );
    let order = &wait_entries(&place, "admin.order", 1)[0];
    assert_eq!((&order["outcome"], &order["reason"]), (&"denied".into(), &"admin/origin".into()));
    let key = &wait_entries(&place, "key.create", 1)[0];
    assert_eq!((&key["resource"]["id"], &key["who"]["auth"]), (&id.into(), &"system".into()));
    assert_eq!(wait_entries(&place, "edge.start", 1).len(), 1);
    assert_in_order(&place);
}

#[test]
fn a_firewall_tells_its_rule_and_score_and_shares_are_kept() {
    let place = Place::new();
    let routes =
        "route \"api\" { matches { path \"/api\" }; agents \"waf\"; respond 200 \"one\" }\n";
    place.write("own.kdl", firewall::RULES).write(
        "selvedge.kdl",
        &format!(
            "{CONFIG}{CORE}{}{routes}audit {{ sample 1.0 {{ gate 0.0 }} }}\n",
            firewall::AGENT
        ),
    );
    let edge = Edge::start(&place, "up");
    let api = format!("{}api", edge.url);
    eventually("the agent answers", || (try_get(&api).ok()?.status == 200).then_some(()));
    edge.block("left-out");
    assert_eq!(get(&format!("{api}?q=1%20UNION%20%20SELECT%202")).status, 403);
    let [entry] = &wait_entries(&place, "request.block", 1)[..] else { panic!("one entry") };
    assert_eq!(entry["reason"], "agent/blocked");
    let details = &entry["details"];
    assert_eq!((&details["agent"], &details["agent_type"]), (&"waf".into(), &"waf".into()));
    assert_eq!(details["decision"], "block");
    assert!(details["rules"][0].as_str().unwrap().starts_with("sql/union-of-tests="), "{details}");
    assert!(details["score"].as_i64().unwrap() > 0, "{details}");
    assert!(details["findings"]["sealed"].is_string(), "{details}");
    assert_eq!(edge.metric("selvedge_audit_sampled_out_total"), Some(1));
    assert!(!wait_entries(&place, "agent.start", 1).is_empty());
    assert_in_order(&place);
}

/// How often each host was blocked, by the entries.
pub fn hosts(entries: &[Value]) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    for entry in entries {
        let host = entry["details"]["host"].as_str().unwrap_or("?").to_owned();
        *hosts.entry(host).or_default() += 1;
    }
    hosts
}

pub fn secret(place: &Place) -> String {
    fs::read_to_string(place.path("data/run/link.key")).unwrap().trim().to_owned()
}
