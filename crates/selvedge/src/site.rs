//! Where something of a core is served, or a witness, and how it is asked: HTTP/1.1 over TCP, TLS or the
//! core's socket.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use selvedge_agents::roots::trust;
use selvedge_base::Secret;
use selvedge_replica::Wire;
use serde_json::Value;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What the audit log is under, where a URL names a host alone.
pub(crate) const AUDIT: &str = "/_selvedge/audit";

/// Where something is served.
pub(crate) struct Site {
    door: Door,
    /// What `Host` says.
    authority: String,
    /// What stands before each path.
    prefix: String,
    bearer: Option<Secret>,
    kept: Option<SendRequest<Full<Bytes>>>,
}

enum Door {
    Tcp { host: String, port: u16, tls: Option<(TlsConnector, ServerName<'static>)> },
    Unix(PathBuf),
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    method: Method,
    /// Below the site's prefix, with the query.
    path: String,
    body: Vec<u8>,
    content_type: Option<&'static str>,
    answer_bytes_max: usize,
    /// A field that this question alone has.
    field: Option<(&'static str, String)>,
    /// Whether to ask twice comes to the same as to ask once.
    is_repeatable: bool,
}

/// What was said.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// Nobody is there.
    Connect(io::Error),
    /// The connection broke, or what came is no answer.
    Broken(String),
    /// It took too long.
    Late,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(why) => write!(f, "no whole answer: {why}"),
            Self::Late => f.write_str("no answer in time"),
        }
    }
}

impl Error for AskError {}

impl Question {
    pub(crate) fn get(path: impl Into<String>, answer_bytes_max: usize) -> Self {
        let (method, path, body) = (Method::GET, path.into(), Vec::new());
        Self { is_repeatable: true, ..Self::new(method, path, body, answer_bytes_max) }
    }

    pub(crate) fn post(path: impl Into<String>, body: Vec<u8>, answer_bytes_max: usize) -> Self {
        let (method, path) = (Method::POST, path.into());
        Self::new(method, path, body, answer_bytes_max)
    }

    pub(crate) fn delete(path: impl Into<String>, answer_bytes_max: usize) -> Self {
        let (method, path, body) = (Method::DELETE, path.into(), Vec::new());
        Self { is_repeatable: true, ..Self::new(method, path, body, answer_bytes_max) }
    }

    fn new(method: Method, path: String, body: Vec<u8>, answer_bytes_max: usize) -> Self {
        let (content_type, field) = (None, None);
        Self { method, path, body, content_type, answer_bytes_max, field, is_repeatable: false }
    }

    /// The same with this field.
    pub(crate) fn with_field(self, name: &'static str, value: String) -> Self {
        Self { field: Some((name, value)), ..self }
    }

    /// Posts JSON.
    pub(crate) fn json(path: impl Into<String>, body: &Value, answer_bytes_max: usize) -> Self {
        let post = Self::post(path, body.to_string().into_bytes(), answer_bytes_max);
        Self { content_type: Some("application/json"), ..post }
    }

    /// To ask twice comes to the same as to ask once.
    pub(crate) fn repeatable(self) -> Self {
        Self { is_repeatable: true, ..self }
    }
}

impl Site {
    /// `https://host/prefix`, or `mount` where the URL has no path; roots are those in the file, or Mozilla's.
    pub(crate) fn parse(url: &str, mount: &str, ca: Option<&Path>) -> Result<Self, String> {
        let wrong = || format!("{url} is no URL such as https://host{mount}");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let (host, port) = split_port(authority).ok_or_else(wrong)?;
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        let tls = secure.then(|| tls(&host, ca)).transpose()?;
        let prefix = match path.trim_end_matches('/') {
            "" => mount.to_owned(),
            path => path.to_owned(),
        };
        let door = Door::Tcp { host, port, tls };
        Ok(Self { door, authority: authority.to_owned(), prefix, bearer: None, kept: None })
    }

    /// What a core behind this socket has at `prefix`.
    pub(crate) fn behind(socket: &Path, prefix: String) -> Self {
        Self {
            door: Door::Unix(socket.to_owned()),
            authority: "core".to_owned(),
            prefix,
            bearer: None,
            kept: None,
        }
    }

    /// Comes with a token from now on.
    pub(crate) fn with_token(self, token: Secret) -> Self {
        Self { bearer: Some(token), ..self }
    }

    /// Asks, and waits for the whole answer. A connection that was kept may have been closed meanwhile:
    /// only what may be asked twice goes over it.
    pub(crate) async fn ask(&mut self, question: &Question) -> Result<Reply, AskError> {
        if let Some(mut kept) = self.kept.take().filter(|kept| !kept.is_closed())
            && question.is_repeatable
            && kept.ready().await.is_ok()
            && let Ok(reply) = self.exchange(&mut kept, question).await
        {
            self.kept = Some(kept);
            return Ok(reply);
        }
        let connecting = timeout(CONNECT_TIMEOUT, self.connect());
        let mut fresh = connecting.await.map_err(|_| AskError::Late)??;
        let reply = self.exchange(&mut fresh, question).await?;
        self.kept = Some(fresh);
        Ok(reply)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        question: &Question,
    ) -> Result<Reply, AskError> {
        let answered = async {
            let response = sender.send_request(self.request(question)?).await.map_err(broken)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), question.answer_bytes_max);
            let body = body.collect().await.map_err(|error| AskError::Broken(error.to_string()))?;
            Ok(Reply { status, body: body.to_bytes().to_vec() })
        };
        timeout(ANSWER_TIMEOUT, answered).await.map_err(|_| AskError::Late)?
    }

    fn request(&self, question: &Question) -> Result<Request<Full<Bytes>>, AskError> {
        let Question {
            method,
            path,
            body,
            content_type,
            answer_bytes_max: _,
            field,
            is_repeatable: _,
        } = question;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("selvedge/", env!("CARGO_PKG_VERSION")));
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", bearer.expose()));
        }
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        if let Some((name, value)) = field {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::copy_from_slice(body));
        request.body(body).map_err(|error| AskError::Broken(error.to_string()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, AskError> {
        speak(self.stream().await.map_err(AskError::Connect)?).await
    }

    /// A connection of one's own, TLS included.
    pub(crate) async fn stream(&self) -> io::Result<Box<dyn Wire>> {
        let (host, port, tls) = match &self.door {
            Door::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Door::Tcp { host, port, tls } => (host, *port, tls),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // Nagle's delay is an annoyance, no failure.
        let _ = stream.set_nodelay(true);
        Ok(match tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(&self.door, Door::Tcp { tls: Some(_), .. })
    }

    /// What `Host` says.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before each path.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The connection is served by a task that ends with it.
async fn speak(stream: Box<dyn Wire>) -> Result<SendRequest<Full<Bytes>>, AskError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn broken(error: hyper::Error) -> AskError {
    AskError::Broken(crate::exit::chain(&error))
}

/// `host`, `host:8443`, `[::1]:8443`.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && !host.contains(['@', ' ']);
    is_host.then(|| (host.to_owned(), port))
}

fn tls(host: &str, ca: Option<&Path>) -> Result<(TlsConnector, ServerName<'static>), String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let trusted = trust(ca).map_err(|error| error.to_string())?;
    Ok((TlsConnector::from(trusted), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_a_port_and_a_prefix() {
        for (url, authority, prefix) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", AUDIT),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", AUDIT),
            ("https://b.example/logs/audit/", "b.example", "/logs/audit"),
            ("http://[::1]:8080/x", "[::1]:8080", "/x"),
        ] {
            let site = Site::parse(url, AUDIT, None).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((&*site.authority, &*site.prefix), (authority, prefix), "{url}");
        }
        for url in ["", "b.example", "ftp://b.example", "http://", "http://a@b/", "http://b:port/"]
        {
            assert!(Site::parse(url, AUDIT, None).is_err(), "{url}");
        }
        assert_eq!(split_port("[::1]"), Some(("::1".to_owned(), None)));
    }
}
