use std::collections::BTreeMap;

use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::{
        report::{Case, Outcome},
        stage::{free_ports, start},
    },
    process, setup,
};

pub const SUITE: Suite = Suite {
    name: "h2",
    about: "`httpwg-cli` (crates.io), the successor of h2spec: RFC 9113 from the connection preface to \
        malformed messages, over cleartext with prior knowledge. Wrong on purpose: a server that \
        answers every request and checks nothing.",
    quick: true,
    python: &[],
    unavailable: || {
        let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        setting.is_ok_and(|text| text.trim() == "2").then(|| {
            "httpwg needs io_uring, which kernel.io_uring_disabled forbids here".to_owned()
        })
    },
    run,
};

/// Time a case waits for a frame; a loaded machine is slow, not wrong.
const FRAME_TIMEOUT_MS: &str = "2000";

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let suite = setup::tool(setup::HTTPWG)?;
    let [port, origin] = free_ports()?;
    let _servers = match subject {
        Subject::Selvedge => {
            vec![stage.origin(origin)?, stage.selvedge("h2", &config(port, origin), &[port])?]
        }
        Subject::Wrong => {
            let mut wrong = process::command("python3");
            vec![start(wrong.args(["conformance/h2/wrong.py", &port.to_string()]), &[port])?]
        }
    };
    let mut suite = process::command(suite);
    suite.args(["--address", &format!("127.0.0.1:{port}"), "--verbose"]);
    suite.args(["--frame-timeout", FRAME_TIMEOUT_MS, "--connect-timeout", FRAME_TIMEOUT_MS]);
    suite.env("RUST_LOG", "off").env("RUST_BACKTRACE", "0");
    // It exits with 1 when a case failed; its lines say which.
    let output = suite.output().map_err(|error| format!("httpwg: {error}"))?;
    read(&String::from_utf8_lossy(&output.stderr))
}

fn config(port: u16, origin: u16) -> String {
    format!(
        r#"listener "h2c" {{ address "127.0.0.1:{port}"; protocols "h2" }}
upstream "origin" {{ target "127.0.0.1:{origin}" }}
route "all" {{ upstream "origin" }}
limits {{ connections-per-address 1000 }}
admin #false
"#
    )
}

/// Its log: every case is announced, and passes, fails with a report, or breaks by a mistake of its own.
fn read(log: &str) -> Result<Report> {
    let mut cases = BTreeMap::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("🔷 Running test: ") {
            cases.entry(name).or_insert((Outcome::Skip, "the test itself panics".to_owned()));
        } else if let Some(name) = line.strip_prefix("✅ Test passed: ") {
            cases.insert(name, (Outcome::Pass, String::new()));
        } else if let Some(name) = line.strip_prefix("❌ Test failed: ") {
            let detail = lines.find(|line| line.trim_start().starts_with("0: "));
            cases.insert(name, (Outcome::Fail, plain(detail.unwrap_or_default())));
        }
    }
    if cases.is_empty() {
        return Err(format!("httpwg ran no case; it said:\n{log}").into());
    }
    let version = format!("httpwg-cli {}", setup::HTTPWG.version);
    let case =
        |(name, (outcome, detail)): (&str, _)| Case { name: name.to_owned(), outcome, detail };
    let cases = cases.into_iter().map(case).collect();
    Ok(Report { version, cases, notes: Vec::new() })
}

/// The text of a terminal's line: without its number and colours.
fn plain(line: &str) -> String {
    let text = line.trim_start().trim_start_matches("0: ");
    text.split('\u{1b}')
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("", |(_, t)| t) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_becomes_cases() {
        let log = "\
            🔷 Running test: a\n🔷 Running test: b\n🔷 Running test: c\n✅ Test passed: a\n\
            ❌ Test failed: b\n\n   0: \u{1b}[91mExpected GOAWAY\u{1b}[0m\n\nLocation:\n";
        let report = read(log).unwrap();
        let cases: Vec<_> =
            report.cases.iter().map(|c| (c.name.as_str(), &c.outcome, c.detail.as_str())).collect();
        assert_eq!(
            cases,
            [
                ("a", &Outcome::Pass, ""),
                ("b", &Outcome::Fail, "Expected GOAWAY"),
                ("c", &Outcome::Skip, "the test itself panics"),
            ]
        );
        assert!(read("io_uring is not there").is_err());
    }
}
