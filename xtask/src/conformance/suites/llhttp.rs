use super::{Report, Result, Stage, Subject, Suite};
use crate::{conformance::stage, process, setup, workspace};

/// Without llhttp's corpus, which a fresh clone does not have, our own seeds are compared and mutated:
/// fewer messages, but no silence.
pub const SUITE: Suite = Suite {
    name: "llhttp",
    about: "The request and response corpus of llhttp, the parser of Node, and mutations of it. What \
        Selvedge accepts, llhttp (through Node) and h11 must frame alike: the same messages, methods, \
        targets, fields and bodies. What it refuses and llhttp accepts is a deviation, explained \
        below. Wrong on purpose: a parser that splits at bare line feeds and believes every \
        `Content-Length`.",
    quick: true,
    python: &["h11==0.16.0"],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    setup::packages(&[setup::NODE])?;
    let mut driver = process::command(setup::python(SUITE.python)?);
    driver.arg("conformance/llhttp/suite.py").arg(workspace::vectors().join("llhttp/test"));
    driver.arg("fuzz/corpus/head_gate");
    match subject {
        Subject::Selvedge => driver.arg(stage.frame()?),
        Subject::Wrong => driver.arg("conformance/llhttp/wrong.py"),
    };
    Report::parse(&stage::drive(&mut driver)?)
}
