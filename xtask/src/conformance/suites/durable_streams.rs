use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports},
    process, setup, workspace,
};

pub const SUITE: Suite = Suite {
    name: "durable-streams",
    about: "`@durable-streams/server-conformance-tests` (npm), the server suite of the Durable Streams protocol, through the \
        edge to a core on a disk: creation, appends, reads, long-poll, server-sent events, idempotent producers, JSON, closing, \
        forks, lifetimes, caching. Wrong on purpose: a route that takes `Stream-Next-Offset` out of answers.",
    quick: false,
    python: &[],
    unavailable: || None,
    run,
};

/// What the suite is, and its runner.
const PACKAGES: &[&str] = &["@durable-streams/server-conformance-tests@0.3.6", "vitest@4.1.12"];
/// Thirty-two characters that nobody needs to guess.
const TOKEN: &str = "conformance-conformance-conformance";

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let [edge] = free_ports()?;
    let config = config(stage, "durable-streams", (edge, subject, ""))?;
    let _server = stage.selvedge_up("durable-streams", &config, &[edge])?;
    suite(edge)
}

/// Runs the suite against an edge.
pub fn suite(edge: u16) -> Result<Report> {
    let packages = setup::npm(PACKAGES)?;
    let mut driver = process::command("node");
    driver.arg(workspace::root().join("conformance/durable-streams/suite.js")).arg(packages);
    driver.env("CONFORMANCE_URL", format!("http://127.0.0.1:{edge}/_selvedge/streams"));
    driver.env("CONFORMANCE_TOKEN", TOKEN);
    Report::parse(&drive(&mut driver)?)
}

/// The config of edge and core, with `more` of the core.
pub fn config(
    stage: &Stage,
    name: &str,
    (edge, subject, more): (u16, Subject, &str),
) -> Result<String> {
    let data = stage.file(&format!("{name}-data"));
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let token = stage.file(&format!("{name}.token"));
    std::fs::write(&token, TOKEN)?;
    let wrong = match subject {
        Subject::Selvedge => "",
        Subject::Wrong => {
            r#"route "wrong" { matches { path-prefix "/_selvedge/streams" }; core; response-headers { remove "Stream-Next-Offset" } }"#
        }
    };
    Ok(format!(
        r#"listener "http" {{ address "127.0.0.1:{edge}" }}
limits {{ connections-per-address 1000 }}
admin #false
core {{
    data-dir {data:?}
    token "conformance" {{ secret (file){token:?}; scopes "streams:*" }}
    {more}
}}
{wrong}
"#
    ))
}
