//! Where everything lies: the load (`bench/sync`), other people's libraries and servers, and the Node.js that runs them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::super::{
    node,
    pinned::{self, Core},
};
use crate::{Result, process, setup, workspace};

/// The package of the load: a workspace of its own.
const MANIFEST: &str = "bench/sync/Cargo.toml";
/// What npm installs, and what runs on it.
const PEERS: &str = "bench/sync/peers";

/// Builds and folders.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    load: PathBuf,
    node: PathBuf,
}

impl Place {
    /// Builds the load, installs peers.
    pub fn prepare() -> Result<Self> {
        let folder = workspace::target().join("bench-sync");
        let build = folder.join("build");
        println!("bench: building {MANIFEST}");
        let mut cargo = process::cargo(&["build", "--quiet", "--release", "--manifest-path"]);
        process::run(cargo.arg(MANIFEST).env("CARGO_TARGET_DIR", &build))?;
        install(&folder.join("peers"))?;
        let node = node::find(&folder.join("peers/node_modules"))?;
        Ok(Self { load: build.join("release/selvedge-bench-sync"), folder, node })
    }

    /// A path in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path in the folder of what npm installed.
    pub fn peer(&self, name: &str) -> PathBuf {
        self.folder.join("peers").join(name)
    }

    /// The Node.js that runs peers.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// A path in the folder at which there is nothing.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if path.exists() {
            fs::remove_file(&path)?;
        }
        Ok(path)
    }

    /// Has the load do something, on the core of the load.
    pub fn load(&self, what: &str, order: &Value) -> Result<Value> {
        let mut command = with_descriptors(Core::Load, &self.load)?;
        command.args([what, &order.to_string()]);
        Ok(serde_json::from_str(&process::capture(&mut command)?)?)
    }
}

/// A command with as many descriptors as it may have: one for each of thousands of connections.
pub fn with_descriptors(core: Core, program: &Path) -> Result<Command> {
    let mut command = pinned::command(core, "prlimit");
    command.arg(format!("--nofile={0}:{0}", descriptors()?)).arg(program);
    Ok(command)
}

/// The hard limit of open files.
pub fn descriptors() -> Result<u32> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    hard.ok_or_else(|| "/proc/self/limits names no limit of open files".into())
}

/// Copies the scripts, and runs `npm ci` where the lockfile has changed.
fn install(folder: &Path) -> Result {
    setup::packages(&[setup::NODE, setup::NPM])?;
    let source = workspace::root().join(PEERS);
    copy(&source, folder)?;
    let (lock, marker) = (source.join("package-lock.json"), folder.join("installed.json"));
    let lock = fs::read_to_string(lock)?;
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: installing {PEERS} from npm");
    let mut npm = process::command("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(folder))?;
    Ok(fs::write(marker, lock)?)
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
