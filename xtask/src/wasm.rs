//! `cargo xtask wasm`: what browsers and Node run of the libraries: documents, from `libs/crdt-wasm` and `packages/crdt`, and the engine of
//! `packages/client`, from `libs/client-wasm`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, flags::Flags, process, setup, workspace};

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "packages/crdt";

/// A crate that becomes a module of WASM, and where it goes.
struct Module {
    krate: &'static str,
    /// As the compiler calls it.
    file: &'static str,
    package: &'static str,
    name: &'static str,
    /// What the compiler looks at.
    opt_level: &'static str,
    /// What the optimiser after it looks at.
    level: &'static str,
    /// Bytes, compressed, at most.
    bytes_max: usize,
}

/// Documents alone: every microsecond of an edit counts.
const CORE: Module = Module {
    krate: "selvedge-crdt-wasm",
    file: "selvedge_crdt_wasm.wasm",
    package: PACKAGE,
    name: "core",
    opt_level: "s",
    level: "-O2",
    bytes_max: 110_000,
};

/// Documents, session and keys: every byte counts, as people wait for them.
const ENGINE: Module = Module {
    krate: "selvedge-client-wasm",
    file: "selvedge_client_wasm.wasm",
    package: "packages/client",
    name: "engine",
    opt_level: "z",
    level: "-Oz",
    bytes_max: 170_000,
};
/// The standard library as the modules are: without messages of panics, which nobody there would see.
const STANDARD_LIBRARY: &[&str] =
    &["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];

/// A panic ends the module at once: where it was and why would be half as much again as what can go wrong. Hashes are loops.
const RUSTFLAGS: &[&str] = &[
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
    "-Zlocation-detail=none",
    "--cfg=sha2_backend_soft=\"compact\"",
];

/// Features that compilers for this target use, and that every browser has had for years.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds both modules, and says how large they are. `--opt` compares levels of optimisation first; the packages are
/// built with those that are named here.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &[], &["--opt"])?;
    for level in flags.all("--opt") {
        for module in [CORE, ENGINE] {
            let built = module.build(Some(level))?;
            let (whole, compressed) = (size(&built)?, compressed(&built)?);
            let name = module.name;
            println!("wasm: {name}, opt-level {level}: {whole} bytes, compressed {compressed}");
        }
    }
    package()?;
    CORE.check()?;
    engine()
}

/// What the package needs, for a machine that will be used offline.
pub fn setup() -> Result {
    toolchain()?;
    npm()?;
    Ok(())
}

/// Builds `packages/crdt`, and returns its folder.
pub fn package() -> Result<PathBuf> {
    CORE.build(None)?;
    process::run(process::command(programs()?.join("tsc")).current_dir(folder()))?;
    Ok(folder())
}

/// Builds the engine of `packages/client`, and checks its size.
pub fn engine() -> Result {
    ENGINE.build(None)?;
    ENGINE.check()
}

/// Builds `packages/crdt`, checks its size and runs its tests beside the native library.
pub fn test() -> Result {
    if let Err(error) = setup() {
        println!("test: skipped: documents in WASM ({error})");
        return Ok(());
    }
    package()?;
    CORE.check()?;
    let replica = ["build", "--quiet", "-p", "selvedge-crdt", "--example", "replica"];
    process::run(&mut process::cargo(&replica))?;
    let mut node = process::command("node");
    node.args(["--test", "--test-reporter=spec"]).args(tests()?).current_dir(folder());
    node.env("SELVEDGE_REPLICA", workspace::target().join("debug/examples/replica"));
    process::run(&mut node)
}

fn tests() -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder().join("test"))?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    files.sort();
    Ok(files)
}

impl Module {
    /// Compiles it, into the package that it belongs to.
    fn build(&self, level: Option<&str>) -> Result<PathBuf> {
        let dist = workspace::root().join(self.package).join("dist");
        fs::create_dir_all(&dist)?;
        let mut cargo = toolchain()?;
        // Only this kind of library: beside another the compiler leaves out what optimises all crates together.
        cargo.args(["rustc", "--quiet", "--profile", "wasm", "--target", TARGET]);
        cargo.args(["-p", self.krate, "--crate-type", "cdylib"]);
        cargo.env("CARGO_PROFILE_WASM_OPT_LEVEL", level.unwrap_or(self.opt_level));
        process::run(&mut cargo)?;
        let compiled = workspace::target().join(TARGET).join("wasm").join(self.file);
        let mut bindgen = process::cargo(&["run", "--quiet", "-p", "selvedge-bindgen", "--"]);
        process::run(bindgen.arg(compiled).arg(&dist).arg(self.name))?;
        let built = self.built();
        let mut opt = process::command(programs()?.join("wasm-opt"));
        opt.args(FEATURES).args([self.level, "--strip-debug", "--strip-producers"]);
        process::run(opt.arg(&built).arg("-o").arg(&built))?;
        Ok(built)
    }

    fn check(&self) -> Result {
        let (name, max) = (self.name, self.bytes_max);
        let (whole, compressed) = (size(&self.built())?, compressed(&self.built())?);
        println!("wasm: the {name} has {whole} bytes, {compressed} compressed, of {max}");
        if compressed > max {
            return Err(format!("the {name} has {compressed} bytes, of {max}").into());
        }
        Ok(())
    }

    fn built(&self) -> PathBuf {
        workspace::root().join(self.package).join("dist").join(format!("{}_bg.wasm", self.name))
    }
}

/// Where npm has put programs.
fn programs() -> Result<PathBuf> {
    Ok(npm()?.join("node_modules/.bin"))
}

fn size(core: &Path) -> Result<u64> {
    Ok(fs::metadata(core)?.len())
}

fn compressed(core: &Path) -> Result<usize> {
    let gzip = process::command("gzip").args(["-9", "-c"]).arg(core).output()?;
    if gzip.status.success() { Ok(gzip.stdout.len()) } else { Err("gzip failed".into()) }
}

/// A cargo that compiles for the target, with a standard library made for it from its source: our own, if it has that or rustup
/// brings it, or Debian's.
fn toolchain() -> Result<Command> {
    let rustup = || {
        let add = ["component", "add", "rust-src"];
        process::find("rustup").is_some() && process::succeeds("rustup", &add)
    };
    let mut cargo = if has_source()? || rustup() { process::cargo(&[]) } else { debian()? };
    cargo.args(STANDARD_LIBRARY).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS.join(" "));
    Ok(cargo)
}

fn has_source() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}

fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Ok(PathBuf::from(process::output(rustc, &["--print", "sysroot"])?.trim()))
}

/// The compiler that Debian builds for browsers. Its source of the standard library lies where cargo looks for it.
fn debian() -> Result<Command> {
    setup::packages(setup::RUST_WEB)?;
    let mut cargo = process::command("/usr/bin/cargo");
    cargo.env("RUSTC", "/usr/bin/rustc").env_remove("RUSTUP_TOOLCHAIN");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker()?);
    Ok(cargo)
}

/// The linker that comes with our own toolchain, which is newer than Debian's.
fn linker() -> Result<PathBuf> {
    let hosts = fs::read_dir(sysroot()?.join("lib/rustlib"))?.filter_map(std::result::Result::ok);
    let mut own = hosts.map(|host| host.path().join("bin/rust-lld"));
    let found = own.find(|path| path.is_file()).or_else(|| process::find("wasm-ld"));
    found.ok_or_else(|| "there is no rust-lld, and no wasm-ld".into())
}

/// Makes sure that the compiler of TypeScript, the optimiser of WASM and Yjs are there, at the versions that the package names, and returns the
/// folder in whose `node_modules` they are.
pub fn npm() -> Result<PathBuf> {
    setup::packages(&[setup::NODE, setup::NPM])?;
    let wanted = fs::read_to_string(folder().join("package.json"))?;
    let marker = folder().join("node_modules/.installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(folder());
    }
    println!("setup: installing what {PACKAGE} needs from npm");
    let mut npm = process::command("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(folder()))?;
    fs::write(marker, wanted)?;
    Ok(folder())
}

fn folder() -> PathBuf {
    workspace::root().join(PACKAGE)
}
