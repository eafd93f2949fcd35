use std::{fmt::Write, path::PathBuf};

use super::{
    Report, Result, Stage, Subject, Suite,
    crs::{self, stages},
};
use crate::{
    conformance::stage::{drive, free_ports},
    waf::{self, Build, Place},
};

pub const SUITE: Suite = Suite {
    name: "crs-proxy",
    about: "The same tests through a running Selvedge: an edge, its agent of type `waf`, and behind them what `albedo` answers. Each \
        request goes over a connection of its own, to the byte as `go-ftw` builds it, and comes from an address of its own; by that \
        its lines are found in the decision log, and what they say is compared. What the edge refuses by itself no rule has to find: \
        those cases are below, by the rule of the edge. Wrong on purpose: the same rules at level 1.",
    quick: false,
    python: &[crs::PYYAML],
    unavailable: || waf::missing(&[&crs::tests()]),
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let extra: &[&str] = match subject {
        Subject::Selvedge => &["conformance/crs/setup.conf"],
        Subject::Wrong => &[],
    };
    through_proxy(stage, "proxied-detection", waf::core_rule_set(extra)?)
}

/// Starts an edge with an agent that has these rules, and runs the tests through it.
pub fn through_proxy(stage: &Stage, mode: &str, rules: Vec<PathBuf>) -> Result<Report> {
    let place = Place::prepare(Build::Release)?;
    let [edge, origin] = free_ports()?;
    let log = stage.file("crs-proxy-decisions.log");
    // It is written anew, not appended to.
    std::fs::write(&log, "")?;
    let config = config([edge, origin], &log.display().to_string(), &rules)?;
    let _server = stage.started(&place.product()?, ("crs-proxy", &config), &[edge])?;
    let mut runner = place.program("waf_ftw");
    runner.arg(mode).arg(stages(stage)?);
    runner.args([edge, origin].map(|port| format!("127.0.0.1:{port}"))).arg(&log);
    Report::parse(&drive(runner.args(rules))?)
}

/// The bounds are far away, for the suite has arguments of 64 KB and expects rules to be asked about them; what is announced
/// and not sent is not waited for.
fn config([edge, origin]: [u16; 2], log: &str, rules: &[PathBuf]) -> Result<String> {
    let mut files = String::new();
    for rule in rules {
        write!(files, " {:?}", rule.display().to_string())?;
    }
    Ok(format!(
        r#"workers 1
admin #false
telemetry {{ access-log "file" {log:?} }}
listener "http" {{ address "127.0.0.1:{edge}"; timeouts {{ head "3s"; body "3s" }} }}
upstream "albedo" {{ target "127.0.0.1:{origin}"; circuit-breaker {{ failure-threshold 100000 }} }}
agent "waf" {{
    type "waf"
    seclang{files}
    responses #true
    log-at 1
    bounds {{ work 1099511627776 }}
    timeout-ms 20000
    circuit-breaker {{ failure-threshold 100000 }}
}}
route "all" {{ agents "waf"; upstream "albedo" }}
"#
    ))
}
