//! `cargo xtask client`: what browsers run of Selvedge, `packages/client`, tried in Chromium.

use std::path::PathBuf;

use crate::{Result, flags::Flags, npm::Package, process, setup, wasm, workspace};

const CLIENT: Package = Package {
    place: "packages/client",
    home: "npm-client",
    siblings: &[("@selvedge/crdt", "packages/crdt")],
};
/// Browsers whose types differ run the two halves: pages, and service workers.
const PROJECTS: &[&str] = &["tsconfig.json", "tsconfig.worker.json"];

/// Types keep their comments, which editors show; programs, which browsers load, do without.
const HALVES: &[&[&str]] =
    &[&["--emitDeclarationOnly"], &["--declaration", "false", "--removeComments"]];

/// Builds the package and tries it.
pub fn run(arguments: &[String]) -> Result {
    Flags::parse(arguments, &[], &[])?;
    test()
}

/// What the package needs, for a machine that will be used offline.
pub fn setup() -> Result {
    setup::packages(&[setup::CHROMIUM])?;
    CLIENT.install()
}

/// Compiles the package with its engine, and runs its tests; those in a browser are skipped where there is no Chromium.
pub fn test() -> Result {
    if let Err(error) = CLIENT.install().and_then(|()| wasm::setup()) {
        println!("test: skipped: the browser client ({error})");
        return Ok(());
    }
    if let Err(error) = setup::packages(&[setup::CHROMIUM]) {
        println!("test: skipped: cases that need {} ({error})", setup::CHROMIUM.program);
    }
    package()?;
    CLIENT.run_tests(&[("SELVEDGE", selvedge()?)])
}

/// Compiles the package with its engine, and returns its folder.
pub fn package() -> Result<PathBuf> {
    CLIENT.install()?;
    // Texts are those of the other package.
    wasm::package()?;
    wasm::engine()?;
    for project in PROJECTS {
        for half in HALVES {
            process::run(CLIENT.tool("tsc").args(["-p", project]).args(*half))?;
        }
    }
    Ok(CLIENT.folder())
}

/// Builds the program whose relay tests talk to, and returns where it is.
pub fn selvedge() -> Result<PathBuf> {
    process::run(&mut process::cargo(&["build", "--quiet", "-p", "selvedge"]))?;
    Ok(workspace::target().join("debug/selvedge"))
}

/// Whether the package's sources are laid out as the formatter would.
pub fn tidy() -> Result {
    CLIENT.tidy(&["src", "bin", "test", "*.json"])
}
