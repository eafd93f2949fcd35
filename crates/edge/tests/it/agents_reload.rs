//! Agents that a reload adds or changes: no request meets one that is not ready for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use selvedge_agent::{RequestHead, Verdict};

use crate::{
    agents::{Crew, Script},
    client::Client,
    harness::{Bench, HTTP, config, eventually},
};

/// Time for an agent of these tests to be ready: much less than a reload waits, much more than it takes.
const START: Duration = Duration::from_millis(400);

/// A config whose route asks this agent, and tells it what it expects of it.
fn asking(block: &str, expects: &str) -> String {
    format!(
        "{HTTP}{block}route \"r\" {{ agent \"a\" {{ expects \"{expects}\" }}; respond 200 \"{expects}\" }}\n"
    )
}

/// An agent that blocks whatever is not meant for settings called `name`.
fn named(name: &'static str) -> Script {
    Script {
        start: START,
        head: Box::new(move |request: &RequestHead<'_>| {
            match request.attributes().route_option("expects") {
                Some(expects) if expects == name => Verdict::allow(),
                _ => Verdict::block(500),
            }
        }),
        ..Script::default()
    }
}

#[test]
fn a_new_agent_is_ready_before_it_is_asked() {
    let script = named("new");
    let heard = script.heard.clone();
    let crew = Crew::start(script);
    let mut bench = Bench::start(&format!("{HTTP}route \"r\" {{ respond 200 \"old\" }}\n"));
    let mut client = bench.connect();
    assert_eq!(client.get("/").text(), "old");
    bench.edge().reload(config(&asking(&crew.block("a", ""), "new"))).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["(ready)"]);
    assert_eq!(client.get("/").text(), "new");
}

/// The old route asks the old agent until the new one asks the new agent, on every core.
#[test]
fn each_request_meets_the_settings_of_its_own_config() {
    let (old, new) = (Crew::start(named("old")), Crew::start(named("new")));
    let before = asking(&old.block("a", ""), "old") + "workers 2\n";
    let after = asking(&old.block_for(&new, "a", ""), "new") + "workers 2\n";
    let mut bench = Bench::start(&before);
    let address = bench.address();
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, over) = (Client::connect(address), over.clone());
            // The first asks an agent that nobody waits for, as somebody else starts it.
            eventually("the agent is there", || client.get("/").status == 200);
            thread::spawn(move || {
                let mut texts = Vec::new();
                while !over.load(SeqCst) {
                    let answer = client.get("/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    texts.push(answer.text().to_owned());
                }
                texts.push(client.get("/").text().to_owned());
                texts.dedup();
                texts
            })
        })
        .collect();
    bench.edge().reload(config(&after)).unwrap();
    over.store(true, SeqCst);
    for client in clients {
        assert_eq!(client.join().unwrap(), ["old", "new"]);
    }
}

#[test]
fn settings_that_are_refused_leave_those_before() {
    let old = Crew::start(Script::default());
    let mut bench = Bench::start(&asking(&old.block("a", ""), "old"));
    let mut client = bench.connect();
    eventually("the agent is there", || client.get("/").status == 200);
    let nobody = old.block("a", "").replace("settings { script \"", "settings { script \"no-");
    bench.edge().reload(config(&asking(&nobody, "new"))).unwrap();
    assert_eq!(client.get("/").text(), "new");
}

#[test]
fn an_agent_that_does_not_come_is_waited_for_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let block = format!(
        "agent \"a\" {{ type \"x\"; address \"unix:{}/nobody.sock\"; timeout-ms 100 }}\n",
        folder.path().display()
    );
    let old = format!("{HTTP}route \"r\" {{ respond 200 \"old\" }}\n");
    let (mut bench, events) = Bench::noting(&old, folder.path());
    bench.edge().reload(config(&asking(&block, "new"))).unwrap();
    assert_eq!(bench.connect().get("/").status, 504);
    eventually("it is told", || {
        let told = std::fs::read_to_string(&events).unwrap_or_default();
        told.contains("an agent is not there with its settings yet; serving goes on without it")
    });
}
