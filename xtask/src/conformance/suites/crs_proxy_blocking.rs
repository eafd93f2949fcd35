use super::{Report, Result, Stage, Subject, Suite, crs, crs_proxy::through_proxy};
use crate::waf;

pub const SUITE: Suite = Suite {
    name: "crs-proxy-blocking",
    about: "The decisions of `crs-blocking` through a running Selvedge, as its clients see them: an attack gets no answer of the \
        origin, whoever refuses it, and an ordinary request does. Wrong on purpose: an engine that only watches.",
    quick: false,
    python: &[crs::PYYAML],
    unavailable: || waf::missing(&[&crs::tests()]),
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let extra: &[&str] = match subject {
        Subject::Selvedge => &["conformance/crs/blocking.conf"],
        Subject::Wrong => &["conformance/crs/blocking.conf", "conformance/crs/watching.conf"],
    };
    through_proxy(stage, "proxied-blocking", waf::core_rule_set(extra)?)
}
