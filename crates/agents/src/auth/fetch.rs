//! Small documents by HTTP, from servers that may be slow, hostile or gone.

use std::{error::Error, fmt, io, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Bytes of a document at most.
pub(super) const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a response at which no more is read while its head has not ended.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// An `https` URL, or an `http` one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// The name or address of the server.
    host: String,
    port: u16,
    /// Host and port as the request names them.
    authority: String,
    /// Path and query.
    target: String,
    is_encrypted: bool,
}

/// Why a URL is not fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlError {
    /// Not a URL of the web with a host.
    NoUrl(String),
    /// Without TLS, although the server that names it was asked with TLS.
    Downgrade(String),
}

/// Why there is no document.
#[derive(Debug)]
pub(super) enum FetchError {
    /// No connection.
    Connect(io::Error),
    /// No response.
    Exchange(hyper::Error),
    /// Another status than 200. Redirects are not followed.
    Status(StatusCode),
    /// An encoding nobody asked for.
    Encoded,
    /// More bytes than [`DOCUMENT_BYTES_MAX`].
    TooLarge,
    /// The body broke off.
    Body(Box<dyn Error + Send + Sync>),
}

/// Fetches the document behind `url`. It sets no time limit; its caller does, by dropping it.
pub(super) async fn get(url: &Url, trust: &Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    let stream = connect(url, trust).await.map_err(FetchError::Connect)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Exchange)?;
    let document = async {
        let response = sender.send_request(request(url)).await.map_err(FetchError::Exchange)?;
        document(response).await
    };
    // Both in one task, so that dropping it drops the connection.
    tokio::pin!(connection, document);
    tokio::select! {
        biased;
        document = &mut document => document,
        ended = &mut connection => match ended {
            Ok(()) => document.await,
            Err(error) => Err(FetchError::Exchange(error)),
        },
    }
}

impl Url {
    /// Reads a URL that the operator wrote. Without TLS whoever is on the way can put keys of his own;
    /// `selvedge check` warns of that, and the operator decides.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let no_url = || UrlError::NoUrl(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| no_url())?;
        let (is_encrypted, port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(no_url()),
        };
        let authority = uri.authority().ok_or_else(no_url)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(no_url());
        }
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(port),
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            is_encrypted,
        })
    }

    /// Reads a URL that the server behind `self` names, which may not give up TLS.
    pub(super) fn refer(&self, text: &str) -> Result<Self, UrlError> {
        let url = Self::parse(text)?;
        match self.is_encrypted && !url.is_encrypted {
            true => Err(UrlError::Downgrade(text.to_owned())),
            false => Ok(url),
        }
    }
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(url: &Url, trust: &Arc<ClientConfig>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    if !url.is_encrypted {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::clone(trust)).connect(name, stream).await?))
}

fn request(url: &Url) -> Request<Empty<Bytes>> {
    Request::get(&url.target)
        .header(header::HOST, &url.authority)
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::USER_AGENT, "selvedge")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .expect("its parts were cut from a valid URI")
}

async fn document(response: hyper::Response<hyper::body::Incoming>) -> Result<Bytes, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(FetchError::Encoded);
    }
    let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::TooLarge,
        false => FetchError::Body(error),
    });
    Ok(body?.to_bytes())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl(text) => write!(f, "{text:?} is no URL of the web"),
            Self::Downgrade(text) => {
                write!(f, "{text:?} is not encrypted, unlike the server that names it")
            }
        }
    }
}

impl Error for UrlError {}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Exchange(error) => write!(f, "no response: {error}"),
            Self::Status(status) if status.is_redirection() => {
                write!(f, "status {status}; redirects are not followed")
            }
            Self::Status(status) => write!(f, "status {status}"),
            Self::Encoded => f.write_str("it is encoded in a way that nobody asked for"),
            Self::TooLarge => write!(f, "it is larger than {DOCUMENT_BYTES_MAX} bytes"),
            Self::Body(error) => write!(f, "it broke off: {error}"),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Exchange(error) => Some(error),
            Self::Body(error) => Some(&**error),
            Self::Status(_) | Self::Encoded | Self::TooLarge => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, u16, &str), &str>) {
        let found = Url::parse(text).map_err(|error| error.to_string());
        let found = found.as_ref().map(|url| (&*url.host, url.port, &*url.target));
        assert_eq!(found, expected.map_err(str::to_owned).as_ref().copied());
    }

    #[test]
    fn urls_are_read() {
        check("https://id.example", Ok(("id.example", 443, "/")));
        check("https://id.example:8443/k?a=b", Ok(("id.example", 8443, "/k?a=b")));
        check("https://[2001:db8::1]/k", Ok(("2001:db8::1", 443, "/k")));
        check("http://127.0.0.1/k", Ok(("127.0.0.1", 80, "/k")));
        for wrong in
            ["id.example", "ftp://id.example/k", "https:///k", "https://u:p@id.example", "/k"]
        {
            check(wrong, Err(&format!("{wrong:?} is no URL of the web")));
        }
    }

    #[test]
    fn a_server_asked_with_tls_leads_to_none_without() {
        let url = |text| Url::parse(text).unwrap();
        let plain = "http://127.0.0.1/k";
        assert_eq!(
            url("https://id.example").refer(plain),
            Err(UrlError::Downgrade(plain.to_owned()))
        );
        assert_eq!(url("http://127.0.0.1").refer(plain), Ok(url(plain)));
        assert_eq!(url("http://127.0.0.1").refer("https://a/k"), Ok(url("https://a/k")));
    }
}
