use super::{Report, Result, Stage, Subject, Suite};
use crate::{conformance::stage::drive, process, wasm, workspace};

pub const SUITE: Suite = Suite {
    name: "crdt-benchmarks",
    about: "`dmonad/crdt-benchmarks`, for what they check: documents of `packages/crdt`, in WASM, with texts by Yjs, after edits by one, by \
        two and by 1,540 clients at the same time. Wrong on purpose: every tenth update of a client is lost.",
    quick: false,
    python: &[],
    unavailable,
    run,
};

fn unavailable() -> Option<String> {
    let benchmarks = workspace::vectors().join("crdt-benchmarks");
    if !benchmarks.is_dir() {
        return Some(format!("no {}", benchmarks.display()));
    }
    wasm::setup().err().map(|error| error.to_string())
}

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let package = wasm::package()?;
    let mut node = process::command("node");
    node.arg(workspace::root().join("conformance/crdt-benchmarks/suite.js"));
    node.arg(stage.file("crdt-benchmarks"));
    node.args(["crdt-benchmarks", "editing-traces"].map(|name| workspace::vectors().join(name)));
    node.arg(package);
    if subject == Subject::Wrong {
        node.arg("wrong");
    }
    Report::parse(&drive(&mut node)?)
}
