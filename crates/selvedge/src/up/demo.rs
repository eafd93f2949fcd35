//! A demonstration for somebody who has no config yet: a site, an echo, TLS, event streams, metrics, on loopback.

use std::{
    env,
    fmt::Write,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use selvedge_identity::{NewToken, Scope, Token, TokenFile};
use tempfile::TempDir;

use super::echo::Echo;
use crate::{edge::notify::Reachable, exit::Failure, terminal::Paint};

const CONFIG: &str = include_str!("demo/selvedge.kdl");
const PAGE: &str = include_str!("demo/index.html");
/// Ports as the config has them: site, site over TLS, admin.
const PORTS: [u16; 3] = [8080, 8443, 9900];
/// Where the config has the echo.
const ECHO: &str = "127.0.0.1:9000";
/// Where the config has the site, and the page that shows what runs.
const SITE: &str = "./site";
const TOUR: &str = "./tour";
/// What the page says of the site.
const MARK: &str = "<!-- notes -->";
/// Where the notes app lies when somebody built or installed it, seen from the folder of this program.
const NOTES: [&str; 3] = ["notes", "../notes", "../share/selvedge/notes"];
/// Where the config has the core's files.
const DATA_DIR: &str = "data";
/// What the token that is shown lets do; it is for this one data-dir, and goes with it.
const SCOPES: [&str; 4] = ["streams:*", "views:read", "log:read", "metrics:read"];
/// How long it counts should the demonstration be forgotten.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Files and the echo of a running demonstration; both go with it.
pub(super) struct Demo {
    folder: TempDir,
    /// Whether there is a site, or the page takes its place.
    has_site: bool,
    /// Ports that were taken, and those used instead.
    moved: Vec<(u16, u16)>,
    /// With which a newcomer appends a first event.
    token: Token,
    _echo: Echo,
}

impl Demo {
    /// Writes config and page for ports that are free, and starts the echo.
    pub(super) async fn prepare(site: Option<&Path>) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("selvedge-demo-").tempdir()?;
        let site = match site {
            Some(site) => Some(given_site(site)?),
            None => built_notes(),
        };
        let echo = Echo::start().await?;
        let moved = moved_ports()?;
        let config = move_ports(CONFIG, &moved).replace(ECHO, &echo.address().to_string());
        let config = config.replace(&quoted(SITE), &quoted(site.as_deref().unwrap_or(TOUR)));
        let page = move_ports(PAGE, &moved).replace(MARK, about_notes(site.is_some()));
        write(folder.path(), &config, &page)?;
        let token = token(&folder.path().join(DATA_DIR))?;
        Ok(Self { folder, has_site: site.is_some(), moved, token, _echo: echo })
    }

    /// The config file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("selvedge.kdl")
    }

    /// What a newcomer wants to know.
    pub(super) fn banner(&self, reachable: &Reachable, paint: Paint) -> String {
        let url = |id: &str| {
            let found = reachable.listeners.iter().find(|(listener, _)| **listener == *id);
            found.map_or("", |(_, url)| url.as_str())
        };
        let (plain, tls) = (url("http"), url("https"));
        let metrics = reachable.admin.as_deref().unwrap_or_default();
        let mut out = format!(
            "{}\n\n  Site      {plain}\n  Tour      {plain}tour/\n  Over TLS  {tls}  (self-signed, so your browser will ask)\n  \
             Echo      {plain}api/echo\n  Metrics   {metrics}metrics\n\n",
            paint.bold("Selvedge runs a demonstration on this machine."),
        );
        if !self.has_site {
            out.push_str(
                "The site is the tour: `cargo xtask notes` builds the notes app, which is served then.\n",
            );
        }
        for (wanted, used) in &self.moved {
            writeln!(out, "Port {wanted} is taken; {used} serves instead.")
                .expect("a String takes every write");
        }
        out.push_str(&self.first_event(plain));
        let config = self.config();
        out.push_str(&format!(
            "\nConfig  {}\nTry     curl {plain}api/echo\n        selvedge explain {plain}api/echo --config {}\n\
             Next    selvedge init writes a config of your own, selvedge up runs it.\n\
             \nCtrl-C stops it. Each request is one line of JSON from here on.\n",
            config.display(),
            config.display(),
        ));
        out
    }

    /// What appends an event and reads it again, to be pasted into another terminal.
    fn first_event(&self, plain: &str) -> String {
        let token = self.token.text().expose();
        format!(
            "Events that must not be lost; this token is for the demonstration alone and ends with it:\n\n  \
             S={plain}_selvedge/streams/orders\n  \
             A='Authorization: Bearer {token}'\n  \
             J='Content-Type: application/json'\n  \
             curl -X PUT  $S -H \"$A\" -H \"$J\"\n  \
             curl -X POST $S -H \"$A\" -H \"$J\" -d '{{\"order\":1,\"total\":25}}'\n  \
             curl         $S -H \"$A\"\n"
        )
    }
}

/// A token that counts for the core in this data-dir, which is made as the core would make it.
fn token(data_dir: &Path) -> Result<Token, Failure> {
    fs::DirBuilder::new().mode(0o700).create(data_dir)?;
    let new = NewToken {
        name: "demo".to_owned(),
        scopes: SCOPES.iter().filter_map(|scope| scope.parse::<Scope>().ok()).collect(),
        tenant: None,
        expires: Some(SystemTime::now() + TOKEN_LIFE),
    };
    Ok(TokenFile::within(data_dir).create(&new)?)
}

/// The ports that are taken, each with a free one.
///
/// A port may be taken between this look and the edge's; then the edge says so and ends.
fn moved_ports() -> io::Result<Vec<(u16, u16)>> {
    let mut moved = Vec::new();
    // Held until all are chosen, so that none is chosen twice.
    let mut held = Vec::new();
    for port in PORTS {
        let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listener = match bind(port) {
            Ok(listener) => listener,
            Err(_) => bind(0)?,
        };
        let free = listener.local_addr()?.port();
        if free != port {
            moved.push((port, free));
        }
        held.push(listener);
    }
    Ok(moved)
}

fn move_ports(text: &str, moved: &[(u16, u16)]) -> String {
    moved.iter().fold(text.to_owned(), |text, (from, to)| {
        text.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"))
    })
}

/// A folder that somebody named.
fn given_site(folder: &Path) -> io::Result<String> {
    if !folder.join("index.html").is_file() {
        let what = format!("there is no index.html in {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    text_of(&folder.canonicalize()?).ok_or_else(|| io::Error::other("its path is not Unicode"))
}

/// The notes app beside this program, if it was built.
fn built_notes() -> Option<String> {
    let program = env::current_exe().ok()?.canonicalize().ok()?;
    let beside = program.parent()?;
    let built = NOTES.iter().map(|place| beside.join(place));
    let folder = built.into_iter().find(|folder| folder.join("sw.js").is_file())?;
    text_of(&folder.canonicalize().ok()?)
}

fn text_of(path: &Path) -> Option<String> {
    path.to_str().map(str::to_owned)
}

/// A text as KDL writes it; what must be escaped is escaped there as it is in Rust.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A line of the page.
fn about_notes(are_there: bool) -> &'static str {
    if are_there {
        "<li><a href=\"/\">Notes</a><p>An app for notes that works offline. Open it in two browsers, and share a vault.</p></li>"
    } else {
        "<li><strong>Notes</strong><p>An app that works offline, once it is built: <code>cargo xtask notes</code></p></li>"
    }
}

fn write(folder: &Path, config: &str, page: &str) -> io::Result<()> {
    let tour = folder.join(TOUR);
    fs::create_dir(&tour)?;
    fs::write(tour.join("index.html"), page)?;
    fs::write(tour.join("selvedge.kdl.txt"), config)?;
    fs::write(folder.join("selvedge.kdl"), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_and_page_name_the_ports_that_are_moved() {
        for port in PORTS {
            assert!(CONFIG.contains(&format!("127.0.0.1:{port}")), "{port}");
        }
        assert!(CONFIG.contains(ECHO));
        assert!(PAGE.contains(MARK));
        for folder in [SITE, TOUR] {
            assert!(CONFIG.contains(&format!("static {}", quoted(folder))), "{folder}");
        }
        let moved = move_ports("a 127.0.0.1:8080 b 127.0.0.1:8443", &[(8080, 1), (8443, 2)]);
        assert_eq!(moved, "a 127.0.0.1:1 b 127.0.0.1:2");
    }
}
