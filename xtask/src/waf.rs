//! What proofs and measurements of the firewall share: rules, requests, and engines that replay them.

mod engine;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub use engine::{Engine, Judged};

use crate::{Result, process, setup, workspace};

/// Has our engine put its bounds so far away that none is met.
pub const UNBOUNDED: [&str; 6] =
    ["--work", "1000000000000", "--body-max", "16777216", "--arguments", "10000000"];

/// How our programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Fast enough to replay thousands of requests.
    Release,
    /// As users get it.
    Dist,
}

impl Build {
    /// The profile, whose folder has its name.
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    fn cargo(self, packages: &[&str]) -> Result {
        let mut cargo = process::cargo(&["build", "--quiet", "--profile", self.profile()]);
        process::run(cargo.args(packages))
    }
}

/// A folder in the build directory, programs, and other people's rules and requests.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    programs: PathBuf,
    build: Build,
}

const LIBRARY: setup::Package =
    setup::Package { name: "libmodsecurity-dev", program: LIBRARY_HEADER };
/// Shows that the library can be compiled against.
const LIBRARY_HEADER: &str = "/usr/include/modsecurity/modsecurity.h";
const XZ: setup::Package = setup::Package { name: "xz-utils", program: "xz" };
const CC: &str = "cc";

impl Place {
    /// Builds our programs.
    pub fn prepare(build: Build) -> Result<Self> {
        build.cargo(&["-p", "selvedge-bench-waf"])?;
        let folder = workspace::target().join("waf");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, programs: workspace::target().join(build.profile()), build })
    }

    /// Builds the product itself, and says where it lies.
    pub fn product(&self) -> Result<PathBuf> {
        self.build.cargo(&["-p", "selvedge"])?;
        Ok(self.path("selvedge"))
    }

    /// A path in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One of our programs.
    pub fn program(&self, name: &str) -> Command {
        process::command(self.path(name))
    }

    /// Where one of our programs lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The recorded requests, as records.
    pub fn traffic(&self) -> Result<PathBuf> {
        setup::packages(&[XZ])?;
        let (unpacked, records) = (self.file("traffic"), self.file("traffic.records"));
        if !unpacked.join("legit").is_dir() {
            fs::create_dir_all(&unpacked)?;
            let mut tar = process::command("tar");
            tar.arg("-xJf").arg(traffic_archive()).arg("-C").arg(&unpacked);
            process::run(&mut tar)?;
        }
        let mut corpus = self.program("waf_corpus");
        process::run(corpus.arg("traffic").arg(unpacked).arg(&records))?;
        Ok(records)
    }

    /// Builds the program around libmodsecurity.
    pub fn modsecurity(&self) -> Result<PathBuf> {
        setup::packages(&[setup::CC, LIBRARY])?;
        let program = self.file("modsecurity");
        let mut cc = process::command(CC);
        cc.args([
            "-std=c11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "conformance/waf/modsecurity.c",
        ]);
        process::run(cc.arg("-lmodsecurity").arg("-o").arg(&program))?;
        Ok(program)
    }

    /// Builds the program around `zentinel-modsec`.
    pub fn zentinel(&self) -> Result<PathBuf> {
        let target = self.file("zentinel");
        let manifest = "conformance/waf/zentinel/Cargo.toml";
        let mut cargo =
            process::cargo(&["build", "--quiet", "--release", "--locked", "--manifest-path"]);
        process::run(cargo.arg(manifest).env("CARGO_TARGET_DIR", &target))?;
        Ok(target.join("release/selvedge-bench-zentinel"))
    }
}

/// The rules of the Core Rule Set in the order in which they load, with `extra` between its setup and them.
pub fn core_rule_set(extra: &[&str]) -> Result<Vec<PathBuf>> {
    let root = workspace::root();
    let set = fs::canonicalize(core_rule_set_folder())?;
    let mut rules: Vec<PathBuf> = vec![root.join("conformance/waf/base.conf")];
    rules.push(set.join("crs-setup.conf.example"));
    rules.extend(extra.iter().map(|file| root.join(file)));
    let mut parts: Vec<PathBuf> = fs::read_dir(set.join("rules"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    parts.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    parts.sort();
    rules.extend(parts);
    Ok(rules)
}

/// Where the Core Rule Set lies, if it is there.
pub fn core_rule_set_folder() -> PathBuf {
    workspace::vectors().join("crs")
}

/// Where the recorded requests lie, if they are there.
pub fn traffic_archive() -> PathBuf {
    workspace::vectors().join("waf/real-traffic-dev.tar.xz")
}

/// Why something that needs these cannot run, if so.
pub fn missing(needed: &[&Path]) -> Option<String> {
    let missing = needed.iter().find(|path| !path.exists())?;
    let name = missing.strip_prefix(workspace::vectors()).unwrap_or(missing);
    Some(format!("no test data `{}`", name.display()))
}
