//! `selvedge agents` beside a running edge.

use std::net::TcpListener;

use expect_test::expect;
use rustix::process::Signal;

use crate::process::{Place, Running, eventually, field, send};

/// An edge with these agents, asked by one route; with the address of its admin listener.
fn start(place: &Place, agents: &str, asked: &str) -> (Running, String) {
    place.write(
        "a.kdl",
        &format!(
            "workers 1\nadmin {{ address \"127.0.0.1:0\" }}\ntelemetry {{ access-log #false }}\n\
             listener \"web\" {{ address \"127.0.0.1:0\" }}\n{agents}\n\
             route \"all\" {{ {asked}; respond 200 \"one\" }}\n"
        ),
    );
    let mut edge = place.start("edge --config a.kdl");
    let admin = field(&edge.hear("listener=(admin)"), "url");
    edge.hear("msg=serving");
    (edge, admin.trim_start_matches("http://").trim_end_matches('/').to_owned())
}

/// A socket where nobody listens.
const AWAY: &str = "agent \"x\" { type \"foreign\"; address \"unix:/nowhere/agent.sock\" }";

#[test]
fn each_agent_is_a_row() {
    let place = Place::new();
    let (_edge, admin) = start(&place, AWAY, "agents \"x\"");
    expect![[r#"
        exit 0
        --- stdout
        AGENT  STATE  RESTARTS  CALLS/S  IN FLIGHT  WAITING   P50   P99  ALLOWED  REFUSED  FAILED  BREAKER  FAILS
        x      away          0        -          0        0  0 µs  0 µs        0        0       0  closed   closed
    "#]]
    .assert_eq(&place.run(&format!("agents --admin {admin}")));
}

#[test]
fn a_process_that_ends_is_started_again_and_explained() {
    let place = Place::new();
    let agent = "agent \"x\" { type \"foreign\"; command \"false\" }";
    let (_edge, admin) = start(&place, agent, "agents \"x\"");
    let said = eventually("a restart is told", || {
        let said = place.run(&format!("agents --admin {admin}"));
        said.contains("x: false ended (exit status: 1) and starts again in ").then_some(said)
    });
    assert!(said.contains("\nx      resting "), "{said}");
}

#[test]
fn programs_get_json() {
    let place = Place::new();
    let (_edge, admin) = start(&place, AWAY, "agents \"x\"");
    let said = place.run(&format!("agents --admin {admin} --json"));
    let page = said.strip_prefix("exit 0\n--- stdout\n").unwrap();
    let page: serde_json::Value = serde_json::from_str(page).unwrap();
    let agent = &page["agents"][0];
    assert_eq!((&agent["id"], &agent["state"]), (&"x".into(), &"away".into()));
    assert_eq!(agent["runs"]["address"], "/nowhere/agent.sock");
}

#[test]
fn a_watch_goes_on_while_the_edge_is_away() {
    let place = Place::new();
    let (edge, admin) = start(&place, AWAY, "agents \"x\"");
    let mut watch = place.start(&format!("agents --admin {admin} --watch --json"));
    watch.read("\"state\":\"away\"");
    watch.read("\"state\":\"away\"");
    drop(edge);
    watch.read("cannot be asked");
    watch.read("cannot be asked");
}

#[test]
fn a_watch_ends_with_its_reader() {
    let place = Place::new();
    let (_edge, admin) = start(&place, AWAY, "agents \"x\"");
    let binary = env!("CARGO_BIN_EXE_selvedge");
    let line =
        format!("{binary} agents --admin {admin} --watch | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("AGENT ") && said.ends_with("\n0\n"), "{said}");
}

#[test]
fn without_agents_there_is_no_table() {
    let place = Place::new();
    let (_edge, admin) = start(&place, "", "priority 1");
    expect![[r#"
        exit 0
        --- stdout
        no route asks an agent
    "#]]
    .assert_eq(&place.run(&format!("agents --admin {admin}")));
}

#[test]
fn an_edge_that_is_not_there_is_unavailable() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for more in ["", " --watch", " --json"] {
        let said = place.run(&format!("agents --admin {closed}{more}"));
        assert!(said.starts_with("exit 69\n--- stderr\nerror: the admin listener at "), "{said}");
    }
}

#[test]
fn a_process_that_is_stopped_is_unresponsive_until_it_goes_on() {
    let place = Place::new();
    let agent = "agent \"x\" { type \"rate-limit\"; policy \"p\" { limit 10 per=\"1s\"; key \"address\" } }";
    let (_edge, admin) = start(&place, agent, "agents \"x\"");
    let state = || {
        let said = place.run(&format!("agents --admin {admin} --json"));
        let page = said.strip_prefix("exit 0\n--- stdout\n").unwrap();
        serde_json::from_str::<serde_json::Value>(page).unwrap()["agents"][0].clone()
    };
    let wait = |wanted: &str| {
        eventually(wanted, || Some(state()).filter(|agent| agent["state"] == wanted))
    };
    let pid = wait("ready")["runs"]["process"]["pid"].as_i64().unwrap();
    let pid = i32::try_from(pid).unwrap();
    send(pid, Signal::STOP);
    assert_eq!(wait("unresponsive")["connections"], 0);
    send(pid, Signal::CONT);
    let again = wait("ready");
    assert_eq!((&again["connections"], &again["restarts"]), (&1.into(), &0.into()));
}
