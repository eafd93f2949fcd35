//! How a relay is reached from the command line.

use std::{future::Future, path::Path, pin::Pin, time::Duration};

use selvedge_replica::{Dial, Socket, SocketError};
use tokio::time::timeout;

use crate::{
    exit::{Exit, Failure},
    site::Site,
};

/// Where documents are synced, where a URL names a host alone.
pub(super) const MOUNT: &str = "/_selvedge/sync";

/// How long a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A relay.
pub(crate) struct Relay {
    site: Site,
    url: String,
}

impl Relay {
    /// `http://host`, `https://host/prefix`.
    pub(crate) fn parse(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let site = Site::parse(url, MOUNT, ca).map_err(|why| Failure::new(Exit::Usage, why))?;
        let url = format!(
            "{}://{}{}",
            if site.is_secure() { "wss" } else { "ws" },
            site.authority(),
            site.prefix()
        );
        Ok(Self { site, url })
    }
}

impl Dial for Relay {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Socket, SocketError>> + Send + '_>> {
        Box::pin(async {
            let wire = timeout(CONNECT_TIMEOUT, self.site.stream());
            let wire = wire.await.map_err(|_| SocketError::Late)?.map_err(SocketError::Connect)?;
            Socket::open(wire, &self.url).await
        })
    }
}
