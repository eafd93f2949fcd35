//! Who is measured, and how each is started.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    config::{self, Wiring},
    packaged,
    pinned::{self, Core, Server},
    scenario::{POST_BYTES, ROUTES, SITE_BYTES, Setup},
};
use crate::{Result, process, workspace};

/// A program that stands between load and origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody: a second origin on the proxy's core, which shows what load and origin can do at most.
    Direct,
    /// nginx as Debian ships it.
    Nginx,
    /// HAProxy as Debian ships it.
    Haproxy,
    /// `hyper_proxy` of this repository's bench crate: hyper as it comes.
    Hyper,
    /// This repository.
    Selvedge,
}

/// A variant of the config where one program has several good ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// As most people run it.
    Usual,
    /// nginx with `open_file_cache`.
    FileCache,
    /// nginx with a buffered log.
    Buffered,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// The program.
    pub kind: Kind,
    /// Its variant.
    pub flavour: Flavour,
}

/// Files that all runs share.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
}

/// The upstream of all peers.
#[derive(Debug)]
pub struct Origin {
    /// Even routes and everything else.
    pub first: SocketAddr,
    /// Odd routes.
    pub second: SocketAddr,
    _server: Server,
}

/// A contestant that runs.
#[derive(Debug)]
pub struct Peer {
    /// Which it is.
    pub contestant: Contestant,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub server: Server,
    /// Where its access log goes, if it writes one.
    pub access_log: PathBuf,
}

impl Kind {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 5] =
        [Self::Direct, Self::Nginx, Self::Haproxy, Self::Hyper, Self::Selvedge];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Hyper => "hyper",
            Self::Selvedge => "selvedge",
        }
    }

    /// Whether ratios are taken to it.
    pub fn is_rival(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }
}

impl Contestant {
    /// A row of a table.
    pub const fn new(kind: Kind, flavour: Flavour) -> Self {
        Self { kind, flavour }
    }

    /// What the row is called.
    pub fn label(self) -> &'static str {
        match (self.kind, self.flavour) {
            (_, Flavour::FileCache) => "nginx, open_file_cache",
            (_, Flavour::Buffered) => "nginx, buffered log",
            (Kind::Direct, _) => "no proxy",
            (Kind::Nginx, _) => "nginx",
            (Kind::Haproxy, _) => "HAProxy",
            (Kind::Hyper, _) => "plain hyper",
            (Kind::Selvedge, _) => "Selvedge",
        }
    }

    /// A name for its files.
    fn slug(self) -> String {
        format!("{}-{:?}", self.kind.name(), self.flavour).to_lowercase()
    }
}

impl Place {
    /// Makes a certificate, a site, request bodies and scripts in a fresh folder of the build directory.
    pub fn prepare() -> Result<Self> {
        let root = workspace::target().join("bench/edge");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(root.join("site"))?;
        let place = Self { root };
        fs::write(place.file("site/file.txt"), digits(SITE_BYTES))?;
        fs::write(place.file("body"), digits(POST_BYTES))?;
        fs::write(place.file("wrk.lua"), include_str!("wrk.lua"))?;
        place.make_certificate()?;
        Ok(place)
    }

    /// A path in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The version of a dependency in `Cargo.lock`.
    pub fn version_of(&self, package: &str) -> Result<String> {
        let lock = fs::read_to_string(workspace::root().join("Cargo.lock"))?;
        let entry = format!("name = \"{package}\"\nversion = \"");
        let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next());
        Ok(version.unwrap_or("unknown").to_owned())
    }

    fn make_certificate(&self) -> Result {
        let key = self.file("key.pem");
        let cert = self.file("cert.pem");
        let mut openssl = process::command("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert);
        process::capture(&mut openssl)?;
        // HAProxy wants both in one file.
        let both = [fs::read(&cert)?, fs::read(&key)?].concat();
        fs::write(self.file("both.pem"), both)?;
        Ok(())
    }
}

impl Origin {
    /// Starts the origin on the core of the load.
    pub fn start(place: &Place) -> Result<Self> {
        let (first, second) = (free_address()?, free_address()?);
        let mut command = pinned::command(Core::Load, packaged("origin"));
        command.args([first.to_string(), second.to_string()]);
        let mut server = Server::start(&mut command, place.file("origin.log"))?;
        server.wait_for(second)?;
        Ok(Self { first, second, _server: server })
    }
}

impl Peer {
    /// Starts a contestant on the core of the proxies.
    pub fn start(
        contestant: Contestant,
        setup: Setup,
        origin: &Origin,
        place: &Place,
    ) -> Result<Self> {
        let address = free_address()?;
        let folder = place.file(&contestant.slug());
        fs::create_dir_all(&folder)?;
        let access_log = folder.join("access.log");
        if access_log.exists() {
            fs::remove_file(&access_log)?;
        }
        let wiring =
            Wiring { setup, address, origin, place, folder: &folder, access_log: &access_log };
        let mut command = launch(contestant, &wiring)?;
        let mut server = Server::start(&mut command, folder.join("said.log"))?;
        server.wait_for(address)?;
        Ok(Self { contestant, address, server, access_log })
    }

    /// Lines of the access log once it has stopped growing.
    pub fn logged_lines(&self) -> Result<u64> {
        let mut size = 0;
        let start = Instant::now();
        loop {
            // Longer than any of the peers keeps lines in memory.
            thread::sleep(Duration::from_millis(1500));
            let now = fs::metadata(&self.access_log)?.len();
            if now == size || start.elapsed() > Duration::from_secs(15) {
                break;
            }
            size = now;
        }
        let log = fs::read(&self.access_log)?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count() as u64)
    }
}

/// Writes the config and returns the command that runs it.
fn launch(contestant: Contestant, wiring: &Wiring<'_>) -> Result<Command> {
    let mut command = match contestant.kind {
        Kind::Direct | Kind::Hyper => pinned::command(Core::Proxy, own(contestant.kind)),
        Kind::Nginx => pinned::command(Core::Proxy, installed("nginx")?),
        Kind::Haproxy => pinned::command(Core::Proxy, installed("haproxy")?),
        Kind::Selvedge => pinned::command(Core::Proxy, packaged("selvedge")),
    };
    match contestant.kind {
        Kind::Direct => command.arg(wiring.address.to_string()),
        Kind::Hyper => command.args([wiring.address, wiring.origin.first].map(|a| a.to_string())),
        Kind::Nginx => {
            let file =
                written(wiring.folder, "nginx.conf", &config::nginx(wiring, contestant.flavour)?)?;
            command.arg("-p").arg(wiring.folder).arg("-c").arg(file)
        }
        Kind::Haproxy => {
            fs::write(wiring.folder.join("routes.map"), config::haproxy_map())?;
            let file = written(wiring.folder, "haproxy.cfg", &config::haproxy(wiring))?;
            command.arg("-db").arg("-f").arg(file)
        }
        Kind::Selvedge => {
            let file = written(wiring.folder, "selvedge.kdl", &config::selvedge(wiring))?;
            command.args(["edge", "--config"]).arg(file)
        }
    };
    Ok(command)
}

fn own(kind: Kind) -> PathBuf {
    packaged(if kind == Kind::Direct { "origin" } else { "hyper_proxy" })
}

/// Where an installed program lies.
pub fn installed(program: &str) -> Result<PathBuf> {
    process::find(program).ok_or_else(|| format!("{program} is not installed").into())
}

fn written(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// A loopback address that nobody listens at.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The digits 0 to 9 over and over, as the origin and the load send them.
pub fn digits(length: usize) -> Vec<u8> {
    (b'0'..=b'9').cycle().take(length).collect()
}

/// The prefixes of the scenario with many routes, each with the number of its listener.
pub fn routes() -> impl Iterator<Item = (String, usize)> {
    (0..ROUTES).map(|route| (format!("/r{route:04}/"), route % 2))
}
