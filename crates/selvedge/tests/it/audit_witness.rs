//! Two cores that witness each other, and what becomes of the one that is rolled back.

use std::{fs, process::Command};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    core::health,
    http::get,
    process::{Place, Running, eventually, field},
};

/// An edge that stays, and a core that comes and goes.
struct Node {
    place: Place,
    _edge: Running,
    url: String,
}

impl Node {
    /// The core runs once, so that it has keys.
    fn new(name: &str) -> Self {
        let place = Place::new();
        place.write("selvedge.kdl", &config(name, ""));
        let mut core = place.start("core");
        core.hear("core serving");
        stop(core);
        let mut edge = place.start("edge");
        let url = field(&edge.hear("listener=web"), "url");
        Self { place, _edge: edge, url }
    }

    /// Starts the core again, asked and asking.
    fn core(&self, name: &str, other: &Self) -> Running {
        let more = format!(
            "cosign-every \"100ms\"; watch \"{}\"; witness \"{}_selvedge/audit\" {{ key \"{}\" }}",
            other.key("audit.vkey"),
            other.url,
            other.key("audit-witness.vkey"),
        );
        self.place.write("selvedge.kdl", &config(name, &more));
        let mut core = self.place.start("core");
        core.hear("core serving");
        core
    }

    fn key(&self, file: &str) -> String {
        fs::read_to_string(self.place.path("data").join(file)).unwrap().trim().to_owned()
    }

    /// What somebody far away finds, who wants the other's signature.
    fn verify(&self, other: &Self) -> String {
        let (url, key) = (&self.url, self.key("audit.vkey"));
        let witness = other.key("audit-witness.vkey");
        self.place.run_args(&[
            "audit",
            "verify",
            "--url",
            url,
            "--key",
            &key,
            "--witness",
            &witness,
        ])
    }

    fn status(&self) -> Value {
        let status = get(&format!("{}_selvedge/audit/status", self.url));
        serde_json::from_str(&status.body).unwrap_or_default()
    }

    /// How many entries the other has cosigned.
    fn cosigned(&self) -> u64 {
        self.status()["witnesses"][0]["cosigned"].as_u64().unwrap_or_default()
    }
}

fn config(name: &str, more: &str) -> String {
    format!(
        "workers 1\nadmin #false\ntelemetry {{ access-log #false }}\n\
         listener \"web\" {{ address \"127.0.0.1:0\" }}\nroute \"all\" {{ respond 200 \"hello\" }}\n\
         core {{ data-dir \"./data\"; audit {{ origin \"{name}.example/audit\"; public #true; {more} }} }}\n"
    )
}

fn stop(mut core: Running) {
    core.signal(Signal::TERM);
    assert_eq!(core.end(), 0);
}

#[test]
fn two_cores_witness_each_other_and_a_rolled_back_one_is_refused() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let core_a = a.core("a", &b);
    let _core_b = b.core("b", &a);
    for (one, other) in [(&a, &b), (&b, &a)] {
        let whole = eventually("the head is cosigned", || {
            let said = one.verify(other);
            said.starts_with("exit 0\n").then_some(said)
        });
        assert!(whole.contains("example/audit/witness, at "), "{whole}");
    }
    stop(core_a);
    let copy =
        Command::new("cp").args(["-a", "data", "old"]).current_dir(a.place.path(".")).status();
    assert!(copy.unwrap().success());
    let core_a = a.core("a", &b);
    let before = fs::read_to_string(a.place.path("old/audit/checkpoint")).unwrap();
    let before = before.lines().nth(1).unwrap().parse::<u64>().unwrap();
    // That the core began, and the token.
    a.place.run("token create app");
    eventually("the other has seen more", || (a.cosigned() > before + 1).then_some(()));
    let seen = a.cosigned();
    stop(core_a);

    fs::rename(a.place.path("data"), a.place.path("newer")).unwrap();
    fs::rename(a.place.path("old"), a.place.path("data")).unwrap();
    let core_a = a.core("a", &b);
    eventually("the core is not ready", || (health(&a.url).status == 503).then_some(()));
    let status = a.status();
    assert_eq!(status["witnesses"][0]["contradicts"], true, "{status}");
    assert!(status["fault"].as_str().unwrap().contains("contradicts this log"), "{status}");
    let found = a.verify(&b);
    assert!(found.starts_with("exit 1\n"), "{found}");
    // The other goes on to say what it has seen.
    let hash = selvedge_audit::merkle::Hash::of(b"a.example/audit").to_hex();
    let kept = get(&format!("{}_selvedge/audit/witnessed/{hash}/checkpoint", b.url));
    let kept: u64 = kept.body.lines().nth(1).unwrap().parse().unwrap();
    assert!(kept >= seen, "{kept} {seen}");
    stop(core_a);
}

#[test]
fn without_its_witness_a_log_goes_on_and_says_so() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let core_a = a.core("a", &b);
    eventually("it is missed", || a.status()["witnesses"][0]["error"].is_string().then_some(()));
    let alone = eventually("the head is seen", || {
        let key = a.key("audit.vkey");
        let said = a.place.run_args(&["audit", "verify", "--url", &a.url, "--key", &key]);
        said.starts_with("exit 0\n").then_some(said)
    });
    assert!(!alone.contains("witness"), "{alone}");
    assert_eq!(health(&a.url).status, 200, "it is away, and contradicts nothing");
    let status = a.place.run("audit status");
    assert!(status.contains("b.example/audit/witness: 0 entries; "), "{status}");
    let core_b = b.core("b", &a);
    eventually("it is asked again", || a.verify(&b).starts_with("exit 0\n").then_some(()));
    stop(core_b);
    stop(core_a);
}
