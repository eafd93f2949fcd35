use std::path::PathBuf;

use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::drive,
    process, setup,
    waf::{self, Build, Place},
};

pub const SUITE: Suite = Suite {
    name: "crs",
    about: "The OWASP Core Rule Set's own regression tests, at all four levels of paranoia, by a runner of ours with the \
        semantics of `go-ftw` (see `bench/waf/src/ftw.rs`): requests are built to the byte as it builds them, the responses \
        are those of `albedo`. A head goes through the edge's parser, whose status counts where it refuses; the rules are \
        asked in any case. Wrong on purpose: the same rules at level 1.",
    quick: false,
    python: &[PYYAML],
    unavailable: || waf::missing(&[&tests()]),
    run,
};

/// Reads the tests.
pub const PYYAML: &str = "PyYAML==6.0.3";

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let place = Place::prepare(Build::Release)?;
    let extra: &[&str] = match subject {
        Subject::Selvedge => &["conformance/crs/setup.conf"],
        Subject::Wrong => &[],
    };
    let mut runner = place.program("waf_ftw");
    runner.arg("detection").arg(stages(stage)?).args(waf::core_rule_set(extra)?);
    Report::parse(&drive(&mut runner)?)
}

/// The tests, as a file with a line of JSON for each stage.
pub fn stages(stage: &Stage) -> Result<PathBuf> {
    let mut reader = process::command(setup::python(&[PYYAML])?);
    let stages = drive(reader.arg("conformance/crs/stages.py").arg(tests()))?;
    let file = stage.file("crs-stages.json");
    std::fs::write(&file, stages)?;
    Ok(file)
}

/// Where the tests lie, if they are there.
pub fn tests() -> PathBuf {
    waf::core_rule_set_folder().join("tests/regression/tests")
}
