use std::{error::Error, fmt, io, sync::Arc};

use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{certificate::unix_now, facts};

/// What is read before rustls takes over, in bytes: one ClientHello as browsers send it.
const FIRST_READ: usize = 2048;

/// Whether a client that speaks to a TLS port began in plain HTTP. A TLS connection begins with
/// byte 22 (RFC 8446, 5.1), a request line with a letter.
pub(super) fn looks_like_http(first_bytes: &[u8]) -> bool {
    first_bytes.first().is_some_and(u8::is_ascii_alphabetic)
}

/// Why a connection did not become a TLS connection.
pub(crate) enum AcceptError<S> {
    /// Plain HTTP: the stream is given back, so that the client may be told in clear text.
    PlainHttp {
        /// The connection.
        stream: S,
    },
    /// The deadline passed.
    Late,
    /// The client left, or the socket failed.
    Io(io::Error),
    /// TLS was not agreed on; the client has been sent an alert.
    Tls(rustls::Error),
    /// The client resumed a session with a certificate that has expired since.
    ClientExpired,
}

/// Makes the handshake on `stream`, of which `read` has been read already, until `deadline`.
///
/// Dropping the future closes the connection.
pub(crate) async fn accept<S>(
    stream: S,
    read: Vec<u8>,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Result<TlsStream<S>, AcceptError<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout_at(deadline, handshake(stream, read, config)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(AcceptError::Late),
    }
}

async fn handshake<S>(
    mut stream: S,
    mut read: Vec<u8>,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<S>, AcceptError<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if read.is_empty() {
        read.reserve_exact(FIRST_READ);
        if stream.read_buf(&mut read).await.map_err(AcceptError::Io)? == 0 {
            return Err(AcceptError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    if looks_like_http(&read) {
        return Err(AcceptError::PlainHttp { stream });
    }
    let mut fed = Ok(());
    let mut accept =
        TlsAcceptor::from(config).accept_with(stream, |connection| fed = feed(connection, &read));
    drop(read);
    if let Err((error, alert)) = fed {
        if let Some(stream) = accept.get_mut() {
            // The connection ends either way; the alert only tells the client why.
            let _ = stream.write_all(&alert).await;
            let _ = stream.shutdown().await;
        }
        return Err(AcceptError::Tls(error));
    }
    let stream = accept.await.map_err(AcceptError::from_io)?;
    match facts::is_stale(stream.get_ref().1, unix_now()) {
        true => Err(AcceptError::ClientExpired),
        false => Ok(stream),
    }
}

/// Hands over what has been read before; on an error returns the alert to send.
fn feed(
    connection: &mut ServerConnection,
    mut read: &[u8],
) -> Result<(), (rustls::Error, Vec<u8>)> {
    while !read.is_empty() {
        let outcome = match connection.read_tls(&mut read) {
            Ok(_) => connection.process_new_packets().map(|_| ()),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        };
        if let Err(error) = outcome {
            let mut alert = Vec::new();
            while connection.wants_write() && connection.write_tls(&mut alert).is_ok() {}
            return Err((error, alert));
        }
    }
    Ok(())
}

impl<S> AcceptError<S> {
    /// rustls's errors come wrapped.
    fn from_io(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner.cloned() {
            Some(error) => Self::Tls(error),
            None => Self::Io(error),
        }
    }

    /// A word for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::PlainHttp { .. } => "plain_http",
            Self::Late => "timeout",
            Self::Io(_) => "closed",
            Self::Tls(_) => "tls",
            Self::ClientExpired => "client_expired",
        }
    }
}

impl<S> fmt::Debug for AcceptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.reason())
    }
}

impl<S> fmt::Display for AcceptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp { .. } => f.write_str("plain HTTP on a TLS port"),
            Self::Late => f.write_str("the TLS handshake took too long"),
            Self::Io(error) => write!(f, "the connection ended during the TLS handshake: {error}"),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::ClientExpired => f.write_str(
                "the session was resumed with a client certificate that has expired since",
            ),
        }
    }
}

impl<S> Error for AcceptError<S> {}
