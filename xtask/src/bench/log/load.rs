//! Where everything lies, and the program that writes, reads and checks (`bench/log`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::super::pinned::{self, Core};
use crate::{Result, process, workspace};

/// The package of the load: a workspace of its own.
pub const MANIFEST: &str = "bench/log/Cargo.toml";
/// Descriptors that a thousand connections need, on either side.
pub const DESCRIPTORS: &str = "--nofile=16384:";

/// The build of the load, and a folder on the disk that is measured.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    program: PathBuf,
}

impl Place {
    /// Builds the load.
    pub fn prepare() -> Result<Self> {
        let folder = workspace::target().join("bench-log");
        fs::create_dir_all(&folder)?;
        let build = folder.join("build");
        println!("bench: building {MANIFEST}");
        let mut cargo = process::cargo(&["build", "--quiet", "--release", "--manifest-path"]);
        process::run(cargo.arg(MANIFEST).env("CARGO_TARGET_DIR", &build))?;
        Ok(Self { folder, program: build.join("release/selvedge-bench-log") })
    }

    /// A path in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path in the folder at which there is nothing.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(path)
    }

    /// Measures on all cores: what has no server has them to itself.
    pub fn measure(&self, what: &str, options: &[(&str, &str)]) -> Result<Value> {
        self.measure_by(process::command(&self.program), what, options)
    }

    /// Measures from the load's core: the server has the other.
    pub fn measure_beside(&self, what: &str, options: &[(&str, &str)]) -> Result<Value> {
        let mut command = pinned::command(Core::Load, "prlimit");
        command.arg(DESCRIPTORS).arg(&self.program);
        self.measure_by(command, what, options)
    }

    fn measure_by(
        &self,
        mut command: std::process::Command,
        what: &str,
        options: &[(&str, &str)],
    ) -> Result<Value> {
        // Whoever wrote before has left pages that the disk would otherwise take at our turn.
        process::run(&mut process::command("sync"))?;
        command.arg(what);
        command.args(options.iter().map(|(name, value)| format!("{name}={value}")));
        Ok(serde_json::from_str(&process::capture(&mut command)?)?)
    }
}

/// The file system that a folder is on, and what it is on: `ext4 on /dev/vda`.
pub fn file_system(folder: &Path) -> Result<String> {
    let folder = folder.to_string_lossy();
    let found = process::output("findmnt", &["-n", "-o", "FSTYPE,SOURCE", "-T", &*folder])?;
    let words: Vec<&str> = found.split_whitespace().collect();
    Ok(words.join(" on "))
}
