use super::{Report, Result, Stage, Subject, Suite};
use crate::{conformance::stage, process, setup};

/// How many texts of each kind the wrong subject is asked about: it errs at once.
const FEW: &str = "100";

pub const SUITE: Suite = Suite {
    name: "libinjection",
    about: "libinjection itself, as Debian's libmodsecurity3 carries it, on texts made from the words, signs and \
        fingerprints of SQL, from pieces of HTML, from noise and from mutations of the fuzzer's corpus, 100,000 of \
        each: fingerprints and verdicts must be equal, and no gate may keep out what is detected. Wrong on \
        purpose: a detector that looks for words.",
    quick: true,
    python: &[],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    setup::library(setup::LIBMODSECURITY)?;
    let mut driver = process::command("python3");
    driver.arg("conformance/libinjection/suite.py");
    match subject {
        Subject::Selvedge => driver.arg(stage.detect()?),
        Subject::Wrong => {
            driver.args(["--count", FEW, "python3", "conformance/libinjection/wrong.py"])
        }
    };
    Report::parse(&stage::drive(&mut driver)?)
}
