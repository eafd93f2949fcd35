//! `selvedge agent waf` by what it says.

mod counted;
mod counters;
mod crs;
mod endings;
mod guide;
mod requests;
mod responses;
mod served;
mod tuning;

use std::path::Path;

use expect_test::Expect;
use selvedge_agent::Agent;
use selvedge_agents::waf::{Waf, check as check_files};
use selvedge_config::{AgentSettings, SystemEnvironment, parse_str, waf::Settings};
use tokio::runtime::Builder;

use crate::schema::message::{Message, ask};

/// The settings that these nodes of an agent make, with files from `folder`.
fn settings_in(folder: &Path, nodes: &str) -> Settings {
    let text = format!("agent \"waf\" {{ type \"waf\"\n{nodes}\n}}\n");
    let name = folder.join("selvedge.kdl");
    let loaded = parse_str(name.to_str().unwrap(), &text, &SystemEnvironment);
    let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
    match &config.agents["waf"].settings {
        AgentSettings::Waf(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

fn start_in(folder: &Path, nodes: &str) -> Result<Waf, String> {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(Waf::start(settings_in(folder, nodes), None))
}

fn start(nodes: &str) -> Waf {
    start_in(Path::new("/"), nodes).unwrap()
}

/// What is said of an exchange.
fn said(agent: &Waf, request: &Message, response: Option<&Message>) -> String {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(ask(agent, request, response))
}

#[track_caller]
fn check(nodes: &str, request: Message, expected: Expect) {
    let said = said(&start(nodes), &request, None);
    let lines = said.lines().map(|line| format!("{}\n", line.trim_end()));
    expected.assert_eq(&lines.collect::<String>());
}

/// A request as browsers send them.
fn get(target: &str) -> Message {
    browser(Message::request(&format!("GET {target}")))
}

fn post(target: &str) -> Message {
    browser(Message::request(&format!("POST {target}")))
}

fn browser(message: Message) -> Message {
    message
        .field("host", "example.com")
        .field(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        )
        .field("accept", "*/*")
}

/// `id=1' UNION SELECT password FROM users-- `
const INJECTION: &str = "/items?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20";
