//! `cargo xtask wasm`: documents for browsers and Node, from `libs/crdt-wasm` and `packages/crdt`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, flags::Flags, process, setup, workspace};

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "packages/crdt";
/// Bytes of the core, compressed, at most.
const CORE_BYTES_MAX: usize = 150_000;
/// Features that compilers for this target use, and that every browser has had for years.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds the package, and says how large its core is. `--opt` compares levels of optimisation first; the package is
/// built with the level of the profile.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &[], &["--opt"])?;
    for level in flags.all("--opt") {
        let core = build(Some(level))?;
        println!(
            "wasm: opt-level {level}: {} bytes, compressed {}",
            size(&core)?,
            compressed(&core)?
        );
    }
    build(None)?;
    check()
}

/// What the package needs, for a machine that will be used offline.
pub fn setup() -> Result {
    toolchain()?;
    setup::exact_tool(setup::WASM_BINDGEN)?;
    npm()?;
    Ok(())
}

/// Builds the package, and returns its folder.
pub fn package() -> Result<PathBuf> {
    build(None)?;
    Ok(folder())
}

/// Builds the package, checks its size and runs its tests beside the native library.
pub fn test() -> Result {
    if let Err(error) = setup() {
        println!("test: skipped: documents in WASM ({error})");
        return Ok(());
    }
    build(None)?;
    check()?;
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

/// Compiles the core, and everything around it.
fn build(level: Option<&str>) -> Result<PathBuf> {
    let dist = folder().join("dist");
    fs::create_dir_all(&dist)?;
    let mut cargo = toolchain()?;
    // Only this kind of library: beside another the compiler leaves out what optimises all crates together.
    cargo.args(["rustc", "--quiet", "--profile", "wasm", "--target", TARGET]);
    cargo.args(["-p", "selvedge-crdt-wasm", "--crate-type", "cdylib"]);
    if let Some(level) = level {
        cargo.env("CARGO_PROFILE_WASM_OPT_LEVEL", level);
    }
    process::run(&mut cargo)?;
    let compiled = workspace::target().join(TARGET).join("wasm/selvedge_crdt_wasm.wasm");
    let mut bindgen = process::command(setup::exact_tool(setup::WASM_BINDGEN)?);
    bindgen.args(["--target", "web", "--out-name", "core", "--remove-name-section"]);
    process::run(bindgen.arg("--out-dir").arg(&dist).arg(compiled))?;
    let core = dist.join("core_bg.wasm");
    let programs = npm()?.join("node_modules/.bin");
    let mut opt = process::command(programs.join("wasm-opt"));
    opt.args(FEATURES).args(["-O2", "--strip-debug", "--strip-producers"]);
    process::run(opt.arg(&core).arg("-o").arg(&core))?;
    process::run(process::command(programs.join("tsc")).current_dir(folder()))?;
    Ok(core)
}

fn check() -> Result {
    let core = folder().join("dist/core_bg.wasm");
    let (whole, compressed) = (size(&core)?, compressed(&core)?);
    println!("wasm: the core has {whole} bytes, {compressed} compressed, of {CORE_BYTES_MAX}");
    if compressed > CORE_BYTES_MAX {
        return Err(format!("the core has {compressed} bytes, of {CORE_BYTES_MAX}").into());
    }
    Ok(())
}

fn size(core: &Path) -> Result<u64> {
    Ok(fs::metadata(core)?.len())
}

fn compressed(core: &Path) -> Result<usize> {
    let gzip = process::command("gzip").args(["-9", "-c"]).arg(core).output()?;
    if gzip.status.success() { Ok(gzip.stdout.len()) } else { Err("gzip failed".into()) }
}

/// A cargo that compiles for the target: our own, if rustup has the standard library for it, or Debian's, which
/// builds that from its source.
fn toolchain() -> Result<Command> {
    if has_target()? {
        return Ok(process::cargo(&[]));
    }
    if process::find("rustup").is_some() && process::succeeds("rustup", &["target", "add", TARGET])
    {
        return Ok(process::cargo(&[]));
    }
    debian()
}

fn has_target() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Ok(PathBuf::from(process::output(rustc, &["--print", "sysroot"])?.trim()))
}

/// The compiler that Debian builds for browsers. Its source of the standard library lies where cargo looks for it.
fn debian() -> Result<Command> {
    setup::packages(setup::RUST_WEB)?;
    let mut cargo = process::command("/usr/bin/cargo");
    cargo.arg("-Zbuild-std=std,panic_abort");
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_is_of_the_version_of_the_library() {
        let manifest = fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap();
        let pinned = format!("wasm-bindgen = {{ version = \"={}\"", setup::WASM_BINDGEN.version);
        assert!(manifest.contains(&pinned), "Cargo.toml and xtask/src/setup.rs differ");
    }
}
