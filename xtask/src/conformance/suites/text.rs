use super::{Report, Result, Stage, Subject, Suite};
use crate::{conformance::stage::drive, process, setup, wasm, workspace};

pub const SUITE: Suite = Suite {
    name: "text",
    about: "Texts of `libs/crdt-text`, which `yrs` reads, beside Yjs (npm): editors and replicas that write at the same time \
        exchange updates and come to the same text and the same state vectors; what is not text stays where it is. Then the traces of \
        `josephg/editing-traces`, typed by one writer and read by another from batches, or by as many replicas as there were people, \
        squashed now and then: all end with the text that the trace says. Wrong on purpose: some batches never arrive.",
    quick: false,
    python: &[],
    unavailable: || {
        setup::packages(&[setup::NODE, setup::NPM]).err().map(|error| error.to_string())
    },
    run,
};

fn run(_: &Stage, subject: Subject) -> Result<Report> {
    let build = ["build", "--quiet", "-p", "selvedge-crdt-text", "--example", "pipe"];
    process::run(&mut process::cargo(&build))?;
    let mut node = process::command("node");
    node.arg(workspace::root().join("conformance/text/suite.js"));
    node.arg(workspace::target().join("debug/examples/pipe")).arg(wasm::npm()?);
    node.arg(workspace::vectors().join("editing-traces"));
    if subject == Subject::Wrong {
        node.arg("wrong");
    }
    Report::parse(&drive(&mut node)?)
}
