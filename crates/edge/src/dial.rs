//! Connections of the edge's own to where an upstream is: for what it has to say there itself.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use selvedge_config::{TargetAddress, Upstream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use crate::{
    tls::{ClientTls, TlsError},
    transport::Socket,
};

/// Says what a secret is for that both ends of one TLS connection know, and nobody else (RFC 8446 §7.5).
pub const COURIER_BINDING: &[u8] = b"EXPORTER-selvedge-courier";

/// Opens connections to the first target of an upstream.
pub struct Dialer {
    address: TargetAddress,
    tls: Option<Arc<ClientTls>>,
}

/// A connection.
pub struct Dialled {
    stream: Stream,
    /// The secret of this very connection, if it is one over TLS.
    pub binding: Option<[u8; 32]>,
}

enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Dialer {
    /// Reads the files that `upstream` names. Blocks.
    pub fn new(upstream: &Upstream) -> Result<Self, TlsError> {
        let tls = upstream.tls.as_ref().map(|tls| ClientTls::load(tls, upstream.protocol));
        let address = upstream.targets.first().map(|target| target.address.clone());
        let address = address.expect("a config gives each upstream a target");
        Ok(Self { address, tls: tls.transpose()?.map(Arc::new) })
    }

    /// Connects; whoever asks bounds the time.
    pub async fn dial(&self) -> io::Result<Dialled> {
        let socket = match &self.address {
            TargetAddress::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
            TargetAddress::Socket(address) => Socket::Tcp(TcpStream::connect(address).await?),
            TargetAddress::Name { host, port } => {
                Socket::Tcp(TcpStream::connect((host.as_str(), *port)).await?)
            }
        };
        let Some(tls) = &self.tls else {
            return Ok(Dialled { stream: Stream::Plain(socket), binding: None });
        };
        let stream = tls.connect(&self.address, socket).await?;
        let (_, session) = stream.get_ref();
        let binding = session.export_keying_material([0; 32], COURIER_BINDING, None);
        let binding = binding.map_err(io::Error::other)?;
        Ok(Dialled { stream: Stream::Tls(Box::new(stream)), binding: Some(binding) })
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
