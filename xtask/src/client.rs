//! `cargo xtask client`: what browsers run of Selvedge, `packages/client`, tried in Chromium.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, flags::Flags, process, setup, workspace};

const PACKAGE: &str = "packages/client";
/// Browsers whose types differ run the two halves: pages, and service workers.
const PROJECTS: &[&str] = &["tsconfig.json", "tsconfig.worker.json"];
/// Test files at a time; each has a browser.
const TESTS_AT_A_TIME: &str = "--test-concurrency=2";

/// Builds the package and tries it.
pub fn run(arguments: &[String]) -> Result {
    Flags::parse(arguments, &[], &[])?;
    test()
}

/// What the package needs, for a machine that will be used offline.
pub fn setup() -> Result {
    setup::packages(&[setup::CHROMIUM])?;
    npm()
}

/// Compiles the package and runs its tests; those in a browser are skipped where there is no Chromium.
pub fn test() -> Result {
    if let Err(error) = npm() {
        println!("test: skipped: the browser client ({error})");
        return Ok(());
    }
    if let Err(error) = setup::packages(&[setup::CHROMIUM]) {
        println!("test: skipped: cases that need {} ({error})", setup::CHROMIUM.program);
    }
    for project in PROJECTS {
        process::run(tool("tsc").args(["-p", project]))?;
    }
    let mut node = process::command("node");
    node.args(["--test", TESTS_AT_A_TIME, "--test-reporter=spec"]).args(test_files()?);
    process::run(node.current_dir(folder()))
}

fn test_files() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder().join("test"))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.js");
    let mut files: Vec<PathBuf> = paths.into_iter().filter(is_test).collect();
    files.sort();
    Ok(files)
}

/// Whether the package's sources are laid out as the formatter would; not asked where npm has nothing to give.
pub fn tidy() -> Result {
    if let Err(error) = npm() {
        println!("tidy: skipped: the format of {PACKAGE} ({error})");
        return Ok(());
    }
    let sources = ["src", "bin", "test", "*.json"];
    process::run(tool("prettier").args(["--check", "--log-level=warn"]).args(sources))
}

/// Makes sure that what the package's lockfile names is in the build directory, where the package looks for it.
fn npm() -> Result {
    setup::packages(&[setup::NODE, setup::NPM])?;
    let home = workspace::target().join("npm-client");
    let lock = fs::read_to_string(folder().join("package-lock.json"))?;
    let marker = home.join("installed.json");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return link(&home);
    }
    println!("setup: installing what {PACKAGE} needs from npm");
    fs::create_dir_all(&home)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(folder().join(file), home.join(file))?;
    }
    let mut npm = process::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(&home))?;
    fs::write(marker, lock)?;
    link(&home)
}

/// Node looks for packages in folders above a module; one that a person has installed there stays.
fn link(home: &Path) -> Result {
    let (place, target) = (folder().join("node_modules"), home.join("node_modules"));
    match fs::read_link(&place) {
        Ok(present) if present == target => return Ok(()),
        Ok(_) => fs::remove_file(&place)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Ok(()),
    }
    Ok(symlink(target, place)?)
}

fn tool(name: &str) -> Command {
    let mut command = process::command(folder().join("node_modules/.bin").join(name));
    command.current_dir(folder());
    command
}

fn folder() -> PathBuf {
    workspace::root().join(PACKAGE)
}
