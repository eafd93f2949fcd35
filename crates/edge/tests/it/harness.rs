//! An edge under test: a config text, started on ports of the system's choice.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use selvedge_config::{Config, SystemEnvironment, parse_str};
use selvedge_edge::Edge;
use selvedge_telemetry::{Hub, LogTarget, Settings};

use crate::client::Client;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener for plain HTTP on a free port.
pub(crate) const HTTP: &str = r#"listener "http" { address "127.0.0.1:0" }
"#;

/// A running edge; ends with the test.
pub(crate) struct Bench {
    edge: Option<Edge>,
    hub: Hub,
}

/// Reads a config; what every test config has in common is added.
#[track_caller]
pub(crate) fn config(text: &str) -> Arc<Config> {
    let workers = if text.contains("workers ") { "" } else { "workers 1\n" };
    let text = format!("{text}\n{workers}admin #false\ntelemetry {{ access-log #false }}\n");
    let loaded = parse_str("selvedge.kdl", &text, &SystemEnvironment);
    Arc::new(loaded.unwrap_or_else(|report| panic!("{report}")).config)
}

impl Bench {
    /// Starts an edge for `text`.
    #[track_caller]
    pub(crate) fn start(text: &str) -> Self {
        let config = config(text);
        let hub = Hub::start(&Settings::quiet(config.workers)).unwrap();
        Self { edge: Some(Edge::start(config, hub.clone()).unwrap()), hub }
    }

    /// Starts an edge with one plain listener; `text` is the rest of its config.
    #[track_caller]
    pub(crate) fn plain(text: &str) -> Self {
        Self::start(&format!("{HTTP}{text}"))
    }

    /// Starts an edge with one plain listener whose access log is the file `log`.
    #[track_caller]
    pub(crate) fn logging(text: &str, log: &Path) -> Self {
        let config = config(&format!("{HTTP}{text}"));
        let access_log = Some(LogTarget::File(log.to_owned()));
        let settings = Settings { access_log, ..Settings::quiet(config.workers) };
        let hub = Hub::start(&settings).unwrap();
        Self { edge: Some(Edge::start(config, hub.clone()).unwrap()), hub }
    }

    /// Starts an edge for `text` whose events can be read in a file of this folder.
    #[track_caller]
    pub(crate) fn noting(text: &str, folder: &Path) -> (Self, PathBuf) {
        let (config, events) = (config(text), folder.join("events"));
        let settings =
            Settings { events: LogTarget::File(events.clone()), ..Settings::quiet(config.workers) };
        let hub = Hub::start(&settings).unwrap();
        (Self { edge: Some(Edge::start(config, hub.clone()).unwrap()), hub }, events)
    }

    /// Ends the edge and writes all that it had to tell.
    pub(crate) fn finish(mut self) {
        if let Some(edge) = self.edge.take() {
            edge.drain(PATIENCE);
        }
        assert_eq!(self.hub.shutdown(PATIENCE), Default::default());
    }

    /// Starts an edge that sends everything to `target`; `settings` go into the upstream.
    #[track_caller]
    pub(crate) fn before(target: &str, settings: &str) -> Self {
        Self::plain(&before(target, settings))
    }

    pub(crate) fn edge(&mut self) -> &mut Edge {
        self.edge.as_mut().unwrap()
    }

    pub(crate) fn into_edge(mut self) -> Edge {
        self.edge.take().unwrap()
    }

    /// Where the first listener listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.as_ref().unwrap().addresses()[0].1
    }

    /// Where the listener named `id` listens.
    pub(crate) fn address_of(&self, id: &str) -> SocketAddr {
        let addresses = self.edge.as_ref().unwrap().addresses();
        addresses.into_iter().find(|(name, _)| &**name == id).unwrap().1
    }

    /// A new connection to the first listener.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Client connections open now.
    pub(crate) fn connections(&self) -> usize {
        self.edge.as_ref().unwrap().connections()
    }

    /// All metrics, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        self.hub.render_prometheus()
    }

    /// A metric by its name and labels, as Prometheus reads it.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.hub.render_prometheus();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).trim().parse().unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(edge) = self.edge.take() {
            edge.drain(Duration::ZERO);
        }
    }
}

/// Config that sends everything to `target`.
pub(crate) fn before(target: &str, settings: &str) -> String {
    format!(
        "upstream \"u\" {{ target \"{target}\"; {settings} }}\nroute \"all\" {{ upstream \"u\" }}\n"
    )
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "it never came to be: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
