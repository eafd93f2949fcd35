//! `cargo xtask fuzz`: libFuzzer on the parsers, with the address sanitizer.
//!
//! The toolchain is the stable one; `RUSTC_BOOTSTRAP` unlocks the sanitizer for this build alone.

use std::{fs, path::PathBuf};

use crate::{Result, flags::Flags, process, setup, workspace};

/// Time for each target unless `--seconds` says otherwise.
const SECONDS: u64 = 60;

/// Instrumentation that libFuzzer reads, and the sanitizer.
const RUSTFLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Fuzzes the targets named, or all, one after the other; stops at the first input that breaks one.
///
/// New inputs are kept in the build directory; a failing one is written to `fuzz/artifacts` and
/// belongs, once mended, into `fuzz/corpus`.
pub fn run(arguments: &[String]) -> Result {
    let flags = Flags::parse(arguments, &[], &["--seconds"])?;
    let seconds = flags.number("--seconds", SECONDS)?;
    let targets = chosen(flags.words())?;
    setup::packages(&[setup::CC])?;
    let programs = build()?;
    for target in targets {
        println!("fuzz: {target} for {seconds} s");
        fuzz(&programs.join(format!("fuzz_{target}")), &target, seconds)?;
    }
    println!("fuzz: nothing broke");
    Ok(())
}

/// The targets named, or every one that has a corpus.
fn chosen(words: &[String]) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(workspace::root().join("fuzz/corpus"))? {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    if let Some(word) = words.iter().find(|word| !targets.contains(word)) {
        return Err(format!("no target `{word}`; there are {}", targets.join(", ")).into());
    }
    targets.retain(|target| words.is_empty() || words.contains(target));
    Ok(targets)
}

fn build() -> Result<PathBuf> {
    let host = host()?;
    let folder = workspace::target().join("fuzz");
    let mut build = process::cargo(&["build", "--release", "-p", "selvedge-fuzz", "--bins"]);
    build.args(["--features", "libfuzzer", "--target", &host]);
    build.env("CARGO_TARGET_DIR", &folder).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS);
    build.env("CARGO_PROFILE_RELEASE_LTO", "off");
    build.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    build.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    process::run(&mut build)?;
    Ok(folder.join(host).join("release"))
}

fn host() -> Result<String> {
    let version = process::output("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}

fn fuzz(program: &PathBuf, target: &str, seconds: u64) -> Result {
    let found = workspace::target().join("fuzz/corpus").join(target);
    let artifacts = workspace::root().join("fuzz/artifacts").join(target);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = process::command(program);
    command.arg(found).arg(workspace::root().join("fuzz/corpus").join(target));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    process::run(&mut command)
}
