//! Whether a contestant does the work at all: asked by curl, before and after it is measured.

use std::process::{Command, Stdio};

use super::{
    peer::{Origin, Peer, Place, digits},
    scenario::{Answer, Load, POST_BYTES, ROUTES, Scenario, Setup},
};
use crate::{Result, process};

/// Every so many routes are asked for; the step is odd, so that both listeners of the origin take turns.
const ROUTE_STEP: usize = 37;

/// Asks for everything that the scenario asks for and compares status, protocol and bytes.
pub fn answers(scenario: &Scenario, peer: &Peer, origin: &Origin, place: &Place) -> Result {
    let found = process::capture(&mut curl(scenario, peer, place))?;
    let wanted = expected(scenario, origin, place)?;
    if found == wanted {
        return Ok(());
    }
    let place = found.bytes().zip(wanted.bytes()).take_while(|(found, wanted)| found == wanted);
    let place = place.count();
    let excerpt =
        |text: &str| text.get(place..).map(|rest| rest.chars().take(80).collect::<String>());
    let (found, wanted) = (excerpt(&found), excerpt(&wanted));
    Err(format!("from byte {place} on, {found:?} instead of {wanted:?}").into())
}

/// What TLS was agreed on, in the words of `openssl s_client`; `None` without TLS.
pub fn tls_facts(scenario: &Scenario, peer: &Peer, place: &Place) -> Result<Option<String>> {
    if !matches!(scenario.setup, Setup::Tls | Setup::Http2) {
        return Ok(None);
    }
    let mut client = process::command("openssl");
    client
        .args(["s_client", "-brief", "-groups", "X25519", "-connect", &peer.address.to_string()])
        .arg("-CAfile")
        .arg(place.file("cert.pem"))
        .stdin(Stdio::null());
    let output = client.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let wanted =
        ["Protocol version", "Ciphersuite", "Signature type", "Verification", "Server Temp Key"];
    let facts: Vec<&str> = said
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        .filter_map(|line| line.split_once(": ").map(|(_, value)| value))
        .collect();
    Ok(Some(facts.join(", ")))
}

fn curl(scenario: &Scenario, peer: &Peer, place: &Place) -> Command {
    let port = peer.address.port();
    let mut curl = process::command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--tlsv1.3", "--cacert"])
        .arg(place.file("cert.pem"))
        .args(["--resolve", &format!("localhost:{port}:{}", peer.address.ip())])
        .args([
            "--write-out",
            "\n%{response_code} HTTP/%{http_version} verified=%{ssl_verify_result}\n",
        ]);
    let scheme = match scenario.setup {
        Setup::Http2 => {
            curl.arg("--http2");
            "https"
        }
        Setup::Tls => {
            curl.arg("--http1.1");
            "https"
        }
        Setup::Plain | Setup::Routes | Setup::Static | Setup::AccessLog => "http",
    };
    if scenario.load == Load::Post {
        curl.args(["--request", "POST", "--data-binary"]);
        curl.arg(format!("@{}", place.file("body").display()));
    }
    let path = match scenario.load {
        Load::Routes => format!("/r[0000-{:04}:{ROUTE_STEP}]/small", ROUTES - 1),
        Load::Get | Load::Post | Load::Multiplexed | Load::Handshakes => scenario.path.to_owned(),
    };
    curl.arg(format!("{scheme}://localhost:{port}{path}"));
    curl
}

/// What curl writes for right answers: each body, then the facts about it.
fn expected(scenario: &Scenario, origin: &Origin, place: &Place) -> Result<String> {
    let bodies = match (scenario.answer, scenario.load) {
        // A checksum is taken from the origin itself.
        (Answer::Digest, _) => vec![posted(origin, place)?],
        (Answer::Digits(count), _) => vec![String::from_utf8(digits(count))?],
        (Answer::Greeting, Load::Routes) => {
            (0..ROUTES).step_by(ROUTE_STEP).map(|route| greeting(route % 2)).collect()
        }
        (Answer::Greeting, _) => vec![greeting(0)],
    };
    let protocol = if scenario.setup == Setup::Http2 { "2" } else { "1.1" };
    let facts = format!("\n200 HTTP/{protocol} verified=0\n");
    Ok(bodies.iter().flat_map(|body| [body.as_str(), &facts]).collect())
}

fn greeting(listener: usize) -> String {
    format!("hello from {listener}")
}

fn posted(origin: &Origin, place: &Place) -> Result<String> {
    let body = format!("@{}", place.file("body").display());
    let url = format!("http://{}/echo-length", origin.first);
    let arguments = ["--silent", "--show-error", "--max-time", "20", "--data-binary", &body, &url];
    let digest = process::output("curl", &arguments)?;
    if digest.starts_with(&format!("{POST_BYTES} ")) {
        Ok(digest)
    } else {
        Err(format!("the origin cannot count: {digest}").into())
    }
}
