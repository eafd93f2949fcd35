use super::{
    Report, Result, Stage, Subject, Suite,
    crs::{self, stages},
};
use crate::{
    conformance::stage::drive,
    waf::{self, Build, Place},
};

pub const SUITE: Suite = Suite {
    name: "crs-blocking",
    about: "The regression tests run with an engine that refuses nothing, so this suite looks at decisions: the Core Rule Set \
        as it comes, at level 1. A request in which a critical rule of level 1 must find something is refused with 403, and \
        one in which no rule may find anything passes. Wrong on purpose: an engine that only watches.",
    quick: false,
    python: &[crs::PYYAML],
    unavailable: || waf::missing(&[&crs::tests()]),
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let place = Place::prepare(Build::Release)?;
    let extra: &[&str] = match subject {
        Subject::Selvedge => &["conformance/crs/blocking.conf"],
        Subject::Wrong => &["conformance/crs/blocking.conf", "conformance/crs/watching.conf"],
    };
    let mut runner = place.program("waf_ftw");
    Report::parse(&drive(
        runner.arg("blocking").arg(stages(stage)?).args(waf::core_rule_set(extra)?),
    )?)
}
