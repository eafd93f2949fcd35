//! `cargo xtask notes`: the notes app, `examples/notes`, built where `selvedge up` finds it, and tried in Chromium.

use std::path::PathBuf;

use crate::{Result, client, flags::Flags, npm::Package, process, setup, wasm, workspace};

const APP: Package = Package {
    place: "examples/notes",
    home: "npm-notes",
    siblings: &[("@selvedge/client", "packages/client"), ("@selvedge/crdt", "packages/crdt")],
};
/// Browsers whose types differ run the two halves: pages, and workers.
const PROJECTS: &[&str] = &["tsconfig.json", "tsconfig.worker.json"];

/// Builds the app, and tries it; with `--build` it is built only.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &["--build"], &[])?;
    if flags.has("--build") { build().map(drop) } else { test() }
}

/// What the app needs, for a machine that will be used offline.
pub fn setup() -> Result {
    APP.install()
}

/// Builds the app and runs its tests; those in a browser are skipped where there is no Chromium.
pub fn test() -> Result {
    if let Err(error) = APP.install().and_then(|()| wasm::setup()) {
        println!("test: skipped: the notes app ({error})");
        return Ok(());
    }
    if let Err(error) = setup::packages(&[setup::CHROMIUM]) {
        println!("test: skipped: cases that need {} ({error})", setup::CHROMIUM.program);
    }
    let built = build()?;
    APP.run_tests(&[("SELVEDGE", client::selvedge()?), ("SELVEDGE_NOTES", built)])
}

/// Whether the app's sources are laid out as the formatter would.
pub fn tidy() -> Result {
    APP.tidy(&["src", "test", "tools", "*.json"])
}

/// Builds the app with the packages that it imports, and returns the folder to be served.
pub fn build() -> Result<PathBuf> {
    APP.install()?;
    client::package()?;
    for project in PROJECTS {
        process::run(APP.tool("tsc").args(["-p", project]))?;
    }
    let built = workspace::target().join("notes");
    let mut node = process::command("node");
    node.arg("tools/build.js").arg("--out").arg(&built);
    process::run(node.current_dir(APP.folder()))?;
    println!("notes: built into {}; `selvedge up` serves it", built.display());
    Ok(built)
}
