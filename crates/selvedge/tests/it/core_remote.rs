//! A core on another machine than its edge: who gets in over TLS, whom it believes, and what a reload changes.

mod courier;
mod pki;

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use self::pki::{Authority, ask};
use crate::{
    core::token,
    http::{Answer, get, get_with, send},
    process::{Place, Running, eventually, field},
};

const QUIET: &str =
    "workers 1\nadmin #false\ntelemetry { access-log #false }\ndrain-timeout \"5s\"\n";
const EDGE: &str = "edge-1.internal";
const GRANTS: &str = "grant \"log:read\"; grant role=\"editor\" \"metrics:read\"";

/// Two machines that trust one authority.
struct Machines {
    core: Place,
    edge: Place,
    authority: Authority,
}

impl Machines {
    fn new() -> Self {
        let authority = Authority::new("ours");
        let (core, edge) = (Place::new(), Place::new());
        authority.write(&core.path("ca.pem"));
        authority.write(&edge.path("ca.pem"));
        authority.issue(&core.path("core"), "core.internal");
        authority.issue(&edge.path("edge"), EDGE);
        Self { core, edge, authority }
    }

    /// Starts a core that expects edges of these names, and tells where it listens.
    fn start_core(&self, edges: &str) -> (Running, String) {
        self.write_core("127.0.0.1:0", edges);
        let mut core = self.core.start("core");
        let url = field(&core.hear("url=https://"), "url");
        core.hear("core serving");
        (core, url.trim_start_matches("https://").trim_end_matches('/').to_owned())
    }

    fn write_core(&self, address: &str, edges: &str) {
        let listen = format!(
            "listen \"{address}\" {{ cert \"core.pem\"; key \"core.key\"; client-ca \"ca.pem\"; {edges} }}"
        );
        let config = format!("{QUIET}core {{ data-dir \"./data\"; {listen}; {GRANTS} }}\n");
        self.core.write("selvedge.kdl", &config);
    }

    /// Starts an edge before the core at this address, and tells where clients find it.
    fn start_edge(&self, address: &str, more: &str) -> (Running, String) {
        let remote = format!(
            "core {{ remote \"{address}\" {{ ca \"ca.pem\"; cert \"edge.pem\"; key \"edge.key\"; server-name \"core.internal\" }} }}"
        );
        let config = format!(
            "{QUIET}listener \"web\" {{ address \"127.0.0.1:0\" }}\nroute \"all\" {{ respond 200 \"hello\" }}\n{remote}\n{more}\n"
        );
        let mut edge = self.edge.write("selvedge.kdl", &config).start("edge");
        let url = field(&edge.hear("listener=web"), "url");
        (edge, url)
    }

    fn edge_file(&self) -> PathBuf {
        self.edge.path("edge")
    }
}

fn health(url: &str) -> Answer {
    get(&format!("{url}_selvedge/health"))
}

fn whoami(url: &str, fields: &[&str]) -> Value {
    let answer = get_with(&format!("{url}_selvedge/whoami"), fields);
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

#[test]
fn streams_are_written_and_followed_through_an_edge_elsewhere() {
    let machines = Machines::new();
    let (mut core, address) = machines.start_core(&format!("edges \"{EDGE}\""));
    let (mut edge, url) = machines.start_edge(&address, "");
    assert_eq!(health(&url).status, 200);
    let bearer =
        format!("Authorization: Bearer {}", token(&machines.core, "app --scope streams:*"));
    let stream = format!("{url}_selvedge/streams/orders");
    let text = "Content-Type: text/plain";
    assert_eq!(send(("PUT", &stream), &[&bearer, text], "").unwrap().status, 201);
    let follow = format!("{stream}?offset=-1&live=sse");
    let events = std::thread::scope(|scope| {
        let events = scope.spawn(|| get_with(&follow, &[&bearer]));
        assert_eq!(send(("POST", &stream), &[&bearer, text], "one").unwrap().status, 204);
        let closed = [&*bearer, text, "Stream-Closed: true"];
        assert_eq!(send(("POST", &stream), &closed, "two").unwrap().status, 204);
        events.join().unwrap()
    });
    // Both may come in one event, if the follower came after them.
    let data = events.body.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: String = data.filter(|data| !data.starts_with('{')).collect();
    assert_eq!(data, "onetwo", "{events:?}");
    assert_eq!(get_with(&stream, &[&bearer]).body, "onetwo");
    assert_eq!(get(&stream).status, 401);
    edge.signal(Signal::TERM);
    assert_eq!(edge.end(), 0);
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
}

#[test]
fn users_whom_the_edge_names_are_believed_and_clients_cannot_pose_as_them() {
    let machines = Machines::new();
    let (_core, address) = machines.start_core(&format!("edges \"{EDGE}\""));
    let made = machines.edge.run("agents key create --file keys --user ann --role editor");
    let key = made.lines().nth(2).unwrap().to_owned();
    let users = "agent \"auth\" { type \"auth\"; api-keys { file \"keys\"; header \"X-API-Key\" } }\n\
        route \"core\" { matches { path-prefix \"/_selvedge/whoami\" \"/_selvedge/metrics\" }; agents \"auth\"; core }";
    let (_edge, url) = machines.start_edge(&address, users);
    let named = format!("X-API-Key: {key}");
    eventually("the agent answers", || {
        (get_with(&format!("{url}_selvedge/whoami"), &[&named]).status == 200).then_some(())
    });
    let forged = ["X-User-Id: eve", "X-User-Role: admin", "X-User-Scope: a:b", "X_User_Tenant: t"];
    let ann = whoami(&url, &[&[&*named], &forged[..]].concat());
    assert_eq!((&ann["principal"]["name"], &ann["by"]), (&"ann".into(), &"agents".into()), "{ann}");
    assert_eq!(ann["scopes"], serde_json::json!(["log:read", "metrics:read"]));
    assert_eq!((&ann["tenant"], &ann["client"]), (&Value::Null, &"127.0.0.1".into()), "{ann}");
    assert_eq!(get_with(&format!("{url}_selvedge/metrics"), &[&named]).status, 200);
    // Where no agent is asked, nobody has named anybody.
    let log = get_with(&format!("{url}_selvedge/log"), &forged);
    assert_eq!(log.status, 401, "{log:?}");
    // The link's secret is a matter of the socket: over TLS it is worth nothing, and takes nothing away.
    let linked = get_with(&format!("{url}_selvedge/log"), &["X-Selvedge-Link: 00"]);
    assert_eq!(linked.status, 401, "{linked:?}");
}

/// The edge and a client of our own have the certificate of the case; neither gets in, and the core says why.
#[track_caller]
fn check_stranger(machines: &Machines, edges: &str, why: &str) {
    let (mut core, address) = machines.start_core(edges);
    let (_edge, url) = machines.start_edge(&address, "");
    let refused = health(&url);
    assert_eq!(refused.status, 502, "{refused:?}");
    assert_eq!(get(&url).body, "hello", "all else is served");
    core.hear(why);
    let ca = machines.core.path("ca.pem");
    let posing = ["X-User-Id: eve"];
    let asked = ask((&address, &ca), Some(&machines.edge_file()), ("/_selvedge/health", &posing));
    assert!(asked.as_ref().is_ok_and(String::is_empty) || asked.is_err(), "{asked:?}");
    core.hear(why);
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
}

#[test]
fn an_edge_of_another_authority_is_a_stranger() {
    let machines = Machines::new();
    Authority::new("others").issue(&machines.edge_file(), EDGE);
    check_stranger(&machines, &format!("edges \"{EDGE}\""), "UnknownIssuer");
}

#[test]
fn an_edge_of_another_name_is_a_stranger() {
    let machines = Machines::new();
    machines.authority.issue(&machines.edge_file(), "edge-2.internal");
    check_stranger(&machines, &format!("edges \"{EDGE}\""), "names none of `edges`");
}

#[test]
fn an_edge_whose_certificate_has_expired_is_a_stranger() {
    let machines = Machines::new();
    machines.authority.issue_expired(&machines.edge_file(), EDGE);
    check_stranger(&machines, "", "certificate expired");
}

#[test]
fn whoever_shows_no_certificate_is_a_stranger() {
    let machines = Machines::new();
    let (mut core, address) = machines.start_core("");
    let ca = machines.core.path("ca.pem");
    let asked = ask((&address, &ca), None, ("/_selvedge/health", &[]));
    // Whether the alert or the end of the connection comes first is chance; the core says which it was.
    assert!(asked.as_ref().is_ok_and(String::is_empty) || asked.is_err(), "{asked:?}");
    core.hear("peer sent no certificates");
    let asked = ask((&address, &ca), Some(&machines.edge_file()), ("/_selvedge/health", &[]));
    assert!(asked.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), "{asked:?}");
}

#[test]
fn a_core_that_is_not_the_one_meant_is_not_believed() {
    let machines = Machines::new();
    let other = Authority::new("others");
    other.write(&machines.edge.path("ca.pem"));
    let (_core, address) = machines.start_core("");
    let (_edge, url) = machines.start_edge(&address, "");
    let refused = health(&url);
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(refused.body.contains("upstream/tls"), "{refused:?}");
}

#[test]
fn a_reload_puts_names_and_certificates_in_force_and_ends_what_they_do_not_cover() {
    let machines = Machines::new();
    let (mut core, address) = machines.start_core(&format!("edges \"{EDGE}\""));
    let (mut edge, url) = machines.start_edge(&address, "");
    // The edge keeps this connection.
    assert_eq!(health(&url).status, 200);
    machines.write_core(&address, "edges \"edge-2.internal\"");
    core.signal(Signal::HUP);
    core.hear("core: config reloaded");
    eventually("the edge is a stranger", || (health(&url).status == 502).then_some(()));
    machines.write_core(&address, "edges \"edge-2.internal\" \"edge-1.internal\"");
    core.signal(Signal::HUP);
    core.hear("core: config reloaded");
    eventually("the edge is back", || (health(&url).status == 200).then_some(()));

    let next = Authority::new("next");
    next.issue(&machines.core.path("core"), "core.internal");
    core.signal(Signal::HUP);
    core.hear("core: certificates reloaded");
    eventually("the core is not believed", || {
        health(&url).body.contains("upstream/tls").then_some(())
    });
    next.write(&machines.edge.path("ca.pem"));
    edge.signal(Signal::HUP);
    edge.hear("config reloaded");
    eventually("the new authority counts", || (health(&url).status == 200).then_some(()));
}

#[test]
fn a_reload_with_certificates_that_cannot_be_used_changes_nothing() {
    let machines = Machines::new();
    let (mut core, address) = machines.start_core("");
    let (_edge, url) = machines.start_edge(&address, "");
    machines.core.write("core.key", "nonsense");
    core.signal(Signal::HUP);
    core.hear("the one before stays in force");
    assert_eq!(health(&url).status, 200);
    let said = machines.core.run("check");
    assert!(said.contains("TLS of the core cannot be set up"), "{said}");
    assert!(said.contains("core.key"), "{said}");
}

#[test]
fn a_remote_core_that_is_away_costs_its_own_paths_and_is_used_again_once_it_is_back() {
    let machines = Machines::new();
    let (mut core, address) = machines.start_core("");
    let (_edge, url) = machines.start_edge(&address, "");
    assert_eq!(health(&url).status, 200);
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
    let away = health(&url);
    assert_eq!(away.status, 503, "{away:?}");
    assert!(away.head.contains("retry-after: 1") && away.body.contains("core/away"), "{away:?}");
    assert_eq!(get(&url).body, "hello");
    machines.write_core(&address, "");
    let mut core = machines.core.start("core");
    core.hear("core serving");
    assert_eq!(health(&url).status, 200);
}
