//! The way to the core, and how the edge proves there that it is itself who speaks.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use selvedge_config::{COURIER_FIELD, Config, Upstream};
use selvedge_edge::Dialer;
use tokio::time::timeout;

use crate::{core::Link, exit::chain};

/// Time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for an answer: the core makes durable what it is sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer names at most each event that it refuses.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where the core is, and what is shown there.
#[derive(Clone, Debug)]
pub(super) struct Road {
    upstream: Arc<Upstream>,
    /// Of deliveries.
    path: String,
    /// For a core on this machine.
    link: Option<Link>,
}

impl PartialEq for Road {
    fn eq(&self, other: &Self) -> bool {
        let Self { upstream, path, link } = self;
        let secret = |link: &Option<Link>| link.as_ref().map(Link::line);
        *upstream == other.upstream && *path == other.path && secret(link) == secret(&other.link)
    }
}

/// An open connection to the core.
pub(super) struct Visit {
    sender: SendRequest<Full<Bytes>>,
    path: String,
    /// What only the edge itself can show on this connection.
    proof: String,
    driver: tokio::task::JoinHandle<()>,
}

impl Road {
    pub(super) fn of(config: &Config, link: Option<&Link>) -> Option<Self> {
        let core = config.core.as_ref()?;
        let (upstream, _) = config.core_as_served()?;
        let path = format!("{}/audit/deliveries", core.path);
        let link = link.filter(|_| core.process().is_some()).cloned();
        Some(Self { upstream: upstream.clone(), path, link })
    }

    /// Connects. Inside of a runtime.
    pub(super) async fn open(&self) -> Result<Visit, String> {
        let dialer = Dialer::new(&self.upstream).map_err(|error| chain(&error))?;
        let dialled = timeout(CONNECT_TIMEOUT, dialer.dial()).await;
        let stream = dialled
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| format!("it cannot be reached: {error}"))?;
        let proof = match (&stream.binding, &self.link) {
            (Some(binding), _) => HEXLOWER.encode(binding),
            (None, Some(link)) => link.line().trim_end().to_owned(),
            (None, None) => return Err("there is no secret of edge and core".to_owned()),
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(told)?;
        // How the connection ended, whoever sends on it is told.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Visit { sender, path: self.path.clone(), proof, driver })
    }
}

impl Visit {
    /// Sends a delivery and waits for the answer.
    pub(super) async fn send(&mut self, body: Vec<u8>) -> Result<(StatusCode, Bytes), String> {
        let request = Request::post(&self.path)
            .header(HOST, "core")
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(COURIER_FIELD, &self.proof)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            self.sender.ready().await.map_err(told)?;
            let response = self.sender.send_request(request).await.map_err(told)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| format!("its answer was cut: {error}"))?;
            Ok((head.status, body.to_bytes()))
        };
        let answered = timeout(ANSWER_TIMEOUT, exchange).await;
        answered.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn told(error: hyper::Error) -> String {
    format!("the connection failed: {}", chain(&error))
}
