//! Where the servers are, and what is to be believed of them.

use std::path::PathBuf;

use selvedge_base::Secret;

/// Where the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Servers of one cluster: `nats://host:4222`, or `tls://host:4222`.
    pub servers: Vec<String>,
    /// The stream. It is made when it is not there, and belongs to one log.
    pub stream: String,
    /// Servers that keep the stream, when it is made: 1, 3 or 5.
    pub replicas: usize,
    /// Who we are to the servers.
    pub login: Login,
    /// Whom to believe, and who we are, in TLS.
    pub tls: Tls,
    /// Whether the operator says that every server syncs each write: `sync_interval: always`.
    pub sync_always: bool,
    /// Where the servers' monitoring can be asked whether they do: `127.0.0.1:8222`.
    pub monitors: Vec<String>,
}

/// Who we are to the servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    Anonymous,
    /// A user.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// Whoever has this.
    Token(Secret),
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Roots that vouch for the servers. The system's, when there are none.
    pub ca: Option<PathBuf>,
    /// Certificate and key that we show.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// The defaults for some servers.
    pub fn new(servers: Vec<String>) -> Self {
        Self {
            servers,
            stream: "SELVEDGE".to_owned(),
            replicas: 1,
            login: Login::Anonymous,
            tls: Tls::default(),
            sync_always: false,
            monitors: Vec::new(),
        }
    }

    /// What subjects of the log begin with.
    pub(crate) fn subject(&self) -> String {
        format!("selvedge.log.{}", self.stream)
    }
}
