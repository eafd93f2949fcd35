//! Servers that take appends over loopback, and how each is started.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        build_selvedge, packaged,
        peer::free_address,
        pinned::{self, Core, Server},
    },
    load::{DESCRIPTORS, Place},
};
use crate::{Result, process, setup, workspace};

/// A server that is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name on the command line.
    pub slug: &'static str,
    /// What its rows are called.
    pub label: &'static str,
    /// Which it is.
    pub kind: Kind,
}

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This repository's edge and core.
    Selvedge,
    /// Of crates.io, by those who wrote the protocol.
    DurableStreams,
    /// JetStream.
    Nats,
    /// As Debian ships it.
    Postgres,
}

/// All of them, in the order in which they take turns.
pub const ALL: &[Contestant] = &[
    Contestant { slug: "selvedge", label: "Selvedge, edge and core", kind: Kind::Selvedge },
    Contestant { slug: "durable-streams", label: "durable-streams", kind: Kind::DurableStreams },
    Contestant { slug: "nats", label: "JetStream, sync_interval always", kind: Kind::Nats },
    Contestant { slug: "postgres", label: "PostgreSQL, insert and commit", kind: Kind::Postgres },
];

/// The server that comes with the protocol. Built with optimisation, so not one of the tools of `setup`.
pub const DURABLE_STREAMS: (&str, &str) = ("durable-streams", "0.1.5");
/// Who PostgreSQL is when we are root, whom it refuses to be.
const POSTGRES_USER: &str = "postgres";
/// Where its cluster lies then: the build directory may be in a home that nobody else can enter.
const POSTGRES_FOLDER: &str = "/var/tmp/selvedge-bench-log";
/// What the service that appends shows, and the variable from which the core has it. It guards nothing.
const TOKEN: &str = "bench_0123456789abcdef0123456789abcdef";
const TOKEN_VARIABLE: &str = "SELVEDGE_BENCH_TOKEN";

/// Programs of peers, in place before anything is measured.
#[derive(Debug, Default)]
pub struct Programs {
    /// JetStream's server.
    pub nats: PathBuf,
    durable_streams: PathBuf,
    initdb: PathBuf,
    postgres: PathBuf,
}

/// How long a server that listens may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs, with nothing in it.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub server: Server,
    /// What the load calls the protocol.
    pub protocol: &'static str,
    /// What the load must know of it.
    pub options: Vec<(&'static str, String)>,
}

impl Kind {
    /// Whether it has streams that are followed by server-sent events.
    pub fn has_followers(self) -> bool {
        matches!(self, Self::Selvedge | Self::DurableStreams)
    }
}

impl Programs {
    /// Makes sure that those of `wanted` are there; returns also what could not be had, and why.
    pub fn prepare(wanted: &[&Contestant]) -> (Self, Vec<(Kind, String)>) {
        let (mut programs, mut missing) = (Self::default(), Vec::new());
        for contestant in wanted {
            if let Err(error) = programs.fetch(contestant.kind) {
                missing.push((contestant.kind, format!("{}: {error}", contestant.label)));
            }
        }
        (programs, missing)
    }

    fn fetch(&mut self, kind: Kind) -> Result {
        match kind {
            Kind::Selvedge => build_selvedge()?,
            Kind::DurableStreams => self.durable_streams = durable_streams()?,
            Kind::Nats => self.nats = setup::nats()?,
            Kind::Postgres => {
                setup::packages(&[setup::POSTGRES])?;
                let folder = Path::new(setup::POSTGRES.program).parent().unwrap_or(Path::new("/"));
                (self.initdb, self.postgres) = (folder.join("initdb"), folder.join("postgres"));
            }
        }
        Ok(())
    }

    /// Starts a server with nothing in it on the core of those who are measured.
    pub fn start(&self, kind: Kind, place: &Place) -> Result<Running> {
        let address = free_address()?;
        let log = place.file("server.log");
        let (mut command, protocol, options) = match kind {
            Kind::Selvedge => selvedge(place, address)?,
            Kind::DurableStreams => self.durable_streams(place, address)?,
            Kind::Nats => (self.nats(place, address, "sync_interval: always")?, "nats", vec![]),
            Kind::Postgres => (self.postgres(place, address)?, "postgres", vec![]),
        };
        let mut server = Server::start(&mut command, log)?;
        server.wait_for(address)?;
        wait_until_ready(kind, address)?;
        let options = options.into_iter().chain([("address", address.to_string())]).collect();
        Ok(Running { server, protocol, options })
    }

    fn durable_streams(&self, place: &Place, address: SocketAddr) -> Result<Start> {
        let mut command = on_server_core(&self.durable_streams);
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.arg("--data-dir").arg(place.fresh("durable-streams")?);
        Ok((command, "http", vec![("path", "/bench".into()), ("token", String::new())]))
    }

    /// JetStream with files, and what else is to stand in its config.
    pub fn nats(&self, place: &Place, address: SocketAddr, more: &str) -> Result<Command> {
        let store = place.fresh("nats")?;
        let config = place.file("nats.conf");
        let text = format!(
            "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  {more}\n}}\n",
            store.display()
        );
        fs::write(&config, text)?;
        let mut command = on_server_core(&self.nats);
        command.arg("--config").arg(config);
        Ok(command)
    }

    /// A new cluster with the defaults of the package: `fsync` and `synchronous_commit` are on.
    fn postgres(&self, place: &Place, address: SocketAddr) -> Result<Command> {
        let is_root = process::output("id", &["-u"])?.trim() == "0";
        let folder = if is_root { shared_folder(place)? } else { place.fresh("postgres")? };
        let mut initdb = as_user(is_root, process::command("setpriv"), &self.initdb);
        initdb.args(["--username=bench", "--auth=trust", "--no-sync", "--no-instructions"]);
        process::capture(initdb.arg("--pgdata").arg(&folder).current_dir("/"))?;
        let server = pinned::command(Core::Proxy, "setpriv");
        let mut command = as_user(is_root, server, &self.postgres);
        command.arg("-D").arg(folder).args(["-p", &address.port().to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=256MB",
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir("/");
        Ok(command)
    }
}

/// Two of them listen before they can do their work.
fn wait_until_ready(kind: Kind, address: SocketAddr) -> Result {
    let (health, port) =
        (format!("http://{address}/_selvedge/health/ready"), address.port().to_string());
    let pg_isready = Path::new(setup::POSTGRES.program).with_file_name("pg_isready");
    let (program, arguments) = match kind {
        Kind::Selvedge => (PathBuf::from("curl"), vec!["--silent", "--fail", &health]),
        Kind::Postgres => (pg_isready, vec!["--host=127.0.0.1", "--port", &port]),
        Kind::DurableStreams | Kind::Nats => return Ok(()),
    };
    let end = Instant::now() + PATIENCE;
    while !process::succeeds(&program, &arguments) {
        if Instant::now() > end {
            return Err(format!("nobody is ready at {address}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The command, what the load calls the protocol, and what it must know.
type Start = (Command, &'static str, Vec<(&'static str, String)>);

fn on_server_core(program: impl AsRef<Path>) -> Command {
    let mut command = pinned::command(Core::Proxy, "prlimit");
    command.arg(DESCRIPTORS).arg(program.as_ref());
    command
}

/// Edge and core as `selvedge up` runs them.
fn selvedge(place: &Place, address: SocketAddr) -> Result<Start> {
    let data = place.fresh("selvedge")?;
    let config = place.file("selvedge.kdl");
    let text = format!(
        "admin #false\n\
         limits {{ connections 100000; connections-per-address 100000 }}\n\
         telemetry {{ access-log #false }}\n\
         listener \"http\" {{ address \"{address}\" }}\n\
         core {{\n    data-dir \"{}\"\n    \
         token \"bench\" {{ secret (env)\"{TOKEN_VARIABLE}\"; scopes \"streams:read\" \"streams:write\" }}\n}}\n",
        data.display()
    );
    fs::write(&config, text)?;
    let mut command = on_server_core(packaged("selvedge"));
    command.arg("up").arg("--config").arg(config).env(TOKEN_VARIABLE, TOKEN);
    let options = vec![("path", "/_selvedge/streams".to_owned()), ("token", TOKEN.to_owned())];
    Ok((command, "http", options))
}

fn durable_streams() -> Result<PathBuf> {
    let program = workspace::tools().join("bin/durable-streams-server");
    if program.is_file() {
        return Ok(program);
    }
    let (name, version) = DURABLE_STREAMS;
    println!("bench: building {name} {version} (once)");
    let mut install =
        process::cargo(&["install", "--locked", "--quiet", name, "--version", version]);
    install.arg("--root").arg(workspace::tools());
    process::run(install.env("CARGO_TARGET_DIR", workspace::tools().join("build")))?;
    fs::remove_dir_all(workspace::tools().join("build"))?;
    Ok(program)
}

/// Removes what servers have left.
pub fn clear(place: &Place) -> Result {
    for folder in ["selvedge", "durable-streams", "nats", "postgres"] {
        place.fresh(folder)?;
    }
    let shared = Path::new(POSTGRES_FOLDER);
    if shared.exists() { Ok(fs::remove_dir_all(shared)?) } else { Ok(()) }
}

/// A folder that PostgreSQL's user may enter, if it is on the disk that everybody else writes to.
fn shared_folder(place: &Place) -> Result<PathBuf> {
    let folder = PathBuf::from(POSTGRES_FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    if fs::metadata(&folder)?.dev() != fs::metadata(place.file(""))?.dev() {
        return Err(format!("{POSTGRES_FOLDER} is on another disk than the build directory").into());
    }
    let id = |flag| -> Result<u32> {
        Ok(process::output("id", &[flag, POSTGRES_USER])?.trim().parse()?)
    };
    chown(&folder, Some(id("-u")?), Some(id("-g")?))?;
    Ok(folder)
}

/// `setpriv` with what it takes to run `program` as PostgreSQL's user, or as whoever we are.
fn as_user(is_root: bool, mut setpriv: Command, program: &Path) -> Command {
    if is_root {
        setpriv.arg(format!("--reuid={POSTGRES_USER}"));
        setpriv.arg(format!("--regid={POSTGRES_USER}")).arg("--init-groups");
    }
    setpriv.arg(program);
    setpriv
}
