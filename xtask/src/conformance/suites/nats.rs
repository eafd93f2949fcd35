use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Report, Result, Stage, Subject, Suite, durable_streams};
use crate::{
    conformance::{
        report::{Case, Outcome},
        stage::{free_ports, start},
    },
    process::{self, Server},
    setup,
};

pub const SUITE: Suite = Suite {
    name: "nats",
    about: "The event log on real servers of NATS, Debian's and a newer one that syncs always: what every engine of the log must \
        do, and servers that are killed, set back, cut off in the middle of appends, cores that are killed or take over from each \
        other, streams that forget, logins, TLS (`crates/eventlog-nats/tests/it`). Wrong on purpose: a server that forgets \
        everything when it is killed.",
    quick: false,
    python: &[],
    unavailable,
    run,
};

pub const STREAMS: Suite = Suite {
    name: "durable-streams-nats",
    about: "The same suite through the edge to a core whose log is kept by Debian's nats-server, over a program that was built \
        with the feature `nats`. Wrong on purpose: the same route.",
    quick: false,
    python: &[],
    unavailable,
    run: run_streams,
};

/// Debian's server.
const PROGRAM: &str = "/usr/sbin/nats-server";

fn unavailable() -> Option<String> {
    (!Path::new(PROGRAM).is_file())
        .then(|| format!("there is no {PROGRAM}: apt install nats-server"))
}

fn run(_: &Stage, subject: Subject) -> Result<Report> {
    let mut report = Report::default();
    let programs = match subject {
        Subject::Selvedge => vec![PathBuf::from(PROGRAM), setup::nats()?],
        Subject::Wrong => vec![PathBuf::from(PROGRAM)],
    };
    for program in programs {
        let version = version(&program)?;
        report.cases.extend(cases(&version, &tests(&program, subject)?));
        let before =
            if report.version.is_empty() { "nats-server" } else { &format!("{},", report.version) };
        report.version = format!("{before} {version}");
    }
    if report.cases.is_empty() {
        return Err("the tests ran no case".into());
    }
    Ok(report)
}

/// `2.9.10`
fn version(program: &Path) -> Result<String> {
    let said = process::output(program, &["-v"])?;
    let version = said.trim().rsplit([' ', 'v']).next().unwrap_or_default();
    Ok(version.to_owned())
}

/// What the tests say of a server.
fn tests(program: &Path, subject: Subject) -> Result<String> {
    let mut tests = process::cargo(&["test", "-p", "selvedge-eventlog-nats", "--test", "it", "--"]);
    tests.args(["--test-threads", "2"]).env("SELVEDGE_NATS_SERVER", program);
    if subject == Subject::Wrong {
        tests.arg("a_server_that_is_killed").env("SELVEDGE_NATS_WRONG", "1");
    }
    let said = tests.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// `test deaths::a_line_that_breaks … ok`
fn cases(version: &str, said: &str) -> Vec<Case> {
    let case = |line: &str| {
        let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let outcome = match outcome {
            "ok" => Outcome::Pass,
            "FAILED" => Outcome::Fail,
            _ => return None,
        };
        let detail = panic_of(name, said);
        Some(Case { name: format!("{version}: {name}"), outcome, detail })
    };
    said.lines().filter_map(case).collect()
}

/// What a test printed before it ended.
fn panic_of(name: &str, said: &str) -> String {
    let begin = format!("---- {name} stdout ----");
    let rest = said.split_once(&begin).map_or("", |(_, rest)| rest);
    rest.lines().filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join(" ")
}

fn run_streams(stage: &Stage, subject: Subject) -> Result<Report> {
    let [edge, nats] = free_ports()?;
    let _nats = jetstream(stage, nats)?;
    let log = format!("log {{ nats \"nats://127.0.0.1:{nats}\" }}");
    let name = "durable-streams-nats";
    let config = durable_streams::config(stage, name, (edge, subject, &log))?;
    let _server = stage.selvedge_up_with("nats", (name, &config), &[edge])?;
    let mut report = durable_streams::suite(edge)?;
    report.version = format!("{}, nats-server {}", report.version, version(Path::new(PROGRAM))?);
    Ok(report)
}

/// A server with nothing in it.
fn jetstream(stage: &Stage, port: u16) -> Result<Server> {
    let (store, config) = (stage.file("jetstream"), stage.file("jetstream.conf"));
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    fs::write(
        &config,
        format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?} }}\n"),
    )?;
    let mut server: Command = process::command(PROGRAM);
    let log = fs::File::create(stage.file("jetstream.log"))?;
    start(server.arg("-c").arg(config).stdout(log.try_clone()?).stderr(log), &[port])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_are_cases() {
        let said = "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, why\n\n\
            ---- c stdout ----\n\nthread 'c' panicked\nat once\n";
        let cases = cases("2.9.10", said);
        let case = |name: &str, outcome, detail: &str| Case {
            name: name.to_owned(),
            outcome,
            detail: detail.to_owned(),
        };
        let expected = [
            case("2.9.10: a::b", Outcome::Pass, ""),
            case("2.9.10: c", Outcome::Fail, "thread 'c' panicked at once"),
        ];
        assert_eq!(cases, expected);
    }
}
