//! A firewall as its operators have it: beside a running edge.

mod collections;
mod logins;
mod websocket;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::process::{Place, eventually, field};

/// One rule, so that a build without optimisation is ready at once.
pub const RULES: &str = r##"category "sql"
rule "sql/union-of-tests" id=9000001 {
    about "Rows of another query are appended."
    points 25
    on "args"
    text "squeezed"
    matches #"\bunion select\b"#
    attack "1 UNION SELECT 2"
}
"##;

pub const AGENT: &str = "agent \"waf\" { type \"waf\"; rules \"own.kdl\"; timeout-ms 10000 }\n";

/// The status line of an answer, and all of the rest.
pub fn ask(address: &str, target: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (line, rest) = answer.split_once("\r\n").unwrap();
    (line.to_owned(), rest.to_owned())
}

#[test]
fn an_attack_is_refused_and_the_log_names_the_rule() {
    let place = Place::new();
    place.write("own.kdl", RULES).write(
        "a.kdl",
        &format!(
            "workers 1\nadmin #false\nlistener \"web\" {{ address \"127.0.0.1:0\" }}\n{AGENT}\
             route \"all\" {{ agents \"waf\"; respond 200 \"one\" }}\n"
        ),
    );
    let mut edge = place.start("edge --config a.kdl");
    let url = field(&edge.hear("listener=web"), "url");
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    edge.hear("msg=serving");
    eventually("the agent answers", || ask(&address, "/?q=one").0.contains(" 200 ").then_some(()));
    let (line, rest) = ask(&address, "/?q=1%20UNION%20%20SELECT%202");
    assert!(line.contains(" 403 "), "{line}");
    assert!(rest.contains("urn:selvedge:problem:waf/refused"), "{rest}");
    assert!(!rest.contains("sql/"), "{rest}");
    edge.read("sql/union-of-tests");
}

#[test]
fn the_check_reads_the_rules() {
    let place = Place::new();
    place.write("own.kdl", &RULES.replace("points", "pionts"));
    let said = place.write("selvedge.kdl", AGENT).run("check");
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("DIR/own.kdl:4:"), "{said}");
}
