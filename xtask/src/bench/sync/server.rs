//! Servers that documents are synchronised through, and how each is started.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    super::{
        build_selvedge, packaged,
        peer::free_address,
        pinned::{Core, Server},
        table::{Contestant, Whose},
    },
    place::{Place, with_descriptors},
};
use crate::{Result, process, workspace};

/// What the relay is made of.
const RELAY: &str = "crates/sync";
/// How long an edge that listens may take until its core is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of them, in the order of the columns.
pub static ALL: [Contestant; 5] = [
    Contestant { slug: "hocuspocus", label: "Hocuspocus", whose: Whose::Peer },
    Contestant { slug: "hocuspocus-sqlite", label: "Hocuspocus, SQLite", whose: Whose::Peer },
    Contestant { slug: "y-websocket", label: "y-websocket", whose: Whose::Peer },
    Contestant { slug: "automerge-repo", label: "automerge-repo", whose: Whose::Peer },
    Contestant { slug: "selvedge", label: "Selvedge", whose: Whose::Ours },
];

/// A server that runs, with nothing in it.
#[derive(Debug)]
pub struct Running {
    server: Server,
    protocol: &'static str,
    address: SocketAddr,
}

/// Makes sure that a server can be started; returns whether there is one.
pub fn prepare(contestant: &Contestant) -> Result<bool> {
    match contestant.whose {
        Whose::Peer => Ok(true),
        Whose::Ours | Whose::OursAlone if !workspace::root().join(RELAY).is_dir() => Ok(false),
        Whose::Ours | Whose::OursAlone => build_selvedge().map(|()| true),
    }
}

/// Starts a server on the core of those who are measured.
pub fn start(contestant: &Contestant, place: &Place) -> Result<Running> {
    let address = free_address()?;
    let (mut command, protocol) = match contestant.slug {
        "hocuspocus" => (hocuspocus(place, address)?, "hocuspocus"),
        "hocuspocus-sqlite" => {
            let mut command = hocuspocus(place, address)?;
            command.arg(place.fresh("hocuspocus.sqlite")?);
            (command, "hocuspocus")
        }
        "y-websocket" => (y_websocket(place, address)?, "y-websocket"),
        "automerge-repo" => (automerge_repo(place, address)?, "automerge-repo"),
        "selvedge" => (selvedge(place, address)?, "selvedge"),
        other => return Err(format!("nobody knows how to start {other}").into()),
    };
    let mut server = Server::start(&mut command, place.file("server.log"))?;
    server.wait_for(address)?;
    if contestant.whose == Whose::Ours {
        wait_until_ready(address)?;
    }
    Ok(Running { server, protocol, address })
}

impl Running {
    /// Has the load play a scene with this server; the names of its documents begin with that of the scene.
    pub fn scene(&self, place: &Place, name: &str, scene: &Value) -> Result<Value> {
        let order = json!({
            "protocol": self.protocol,
            "address": self.address,
            "processes": self.server.processes()?,
            "run": name,
            "scene": scene,
        });
        place.load("relay", &order).map_err(|error| match self.server.said().as_str() {
            "" => error,
            said => format!("{error}; the server says: {said}").into(),
        })
    }
}

/// A script among the peers, run by Node.js as in production.
fn node(place: &Place, script: &str) -> Result<Command> {
    let mut command = with_descriptors(Core::Proxy, place.node())?;
    command.arg(place.peer(script)).env("NODE_ENV", "production");
    Ok(command)
}

fn hocuspocus(place: &Place, address: SocketAddr) -> Result<Command> {
    let mut command = node(place, "hocuspocus.mjs")?;
    command.arg(address.port().to_string());
    Ok(command)
}

fn y_websocket(place: &Place, address: SocketAddr) -> Result<Command> {
    let mut command = node(place, "node_modules/@y/websocket-server/src/server.js")?;
    command.env("HOST", address.ip().to_string()).env("PORT", address.port().to_string());
    Ok(command)
}

fn automerge_repo(place: &Place, address: SocketAddr) -> Result<Command> {
    let mut command =
        node(place, "node_modules/@automerge/automerge-repo-sync-server/src/index.js")?;
    let folder = place.fresh("automerge-repo")?;
    command.env("PORT", address.port().to_string()).env("DATA_DIR", folder);
    Ok(command)
}

/// Edge and core as `selvedge up` runs them. What bounds a single device or address is out of the way.
fn selvedge(place: &Place, address: SocketAddr) -> Result<Command> {
    let (data, issuer) = (place.fresh("selvedge")?, place.file("issuer.pem"));
    let key = place.load("issuer", &json!({}))?;
    fs::write(&issuer, key.as_str().unwrap_or_default())?;
    let config = place.file("selvedge.kdl");
    let text = format!(
        "admin #false\n\
         limits {{ connections 100000; connections-per-address 100000 }}\n\
         telemetry {{ access-log #false }}\n\
         listener \"http\" {{ address \"{address}\" }}\n\
         core {{\n    data-dir \"{}\"\n    sync {{ issuer \"{}\"; push-rate 1000000 }}\n}}\n",
        data.display(),
        issuer.display(),
    );
    fs::write(&config, text)?;
    let mut command = with_descriptors(Core::Proxy, &packaged("selvedge"))?;
    command.arg("up").arg("--config").arg(config);
    Ok(command)
}

/// The edge listens before its core does.
fn wait_until_ready(address: SocketAddr) -> Result {
    let health = format!("http://{address}/_selvedge/health/ready");
    let end = Instant::now() + PATIENCE;
    while !process::succeeds("curl", &["--silent", "--fail", &health]) {
        if Instant::now() > end {
            return Err(format!("nobody is ready at {address}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
