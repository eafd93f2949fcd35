//! A WebSocket to a relay (RFC 6455), over whatever leads there.

use std::{collections::VecDeque, error::Error, fmt, future::poll_fn, io, time::Duration};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use selvedge_crdt::session::{MESSAGE_BYTES_MAX, SUBPROTOCOL};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

/// How long the handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// A byte stream to a relay: TCP, TLS, a Unix socket.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

type Stream = WebSocketStream<Box<dyn Wire>>;

/// A WebSocket that speaks the sync protocol.
pub struct Socket {
    sink: SplitSink<Stream, Message>,
    stream: SplitStream<Stream>,
    /// What was handed over; the relay's credit bounds how much that is.
    outbox: VecDeque<Message>,
    /// What is in the sink and may not be on its way.
    is_dirty: bool,
}

/// Why there is no WebSocket, or none any more.
#[derive(Debug)]
pub enum SocketError {
    /// Nobody is there.
    Connect(io::Error),
    /// The server answered something else than a switch to the protocol.
    Status(StatusCode),
    /// The server does not speak the sync protocol.
    Protocol,
    /// It took too long.
    Late,
    /// The connection broke, or what came is no WebSocket.
    Broken(Box<tungstenite::Error>),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::Connect(error) => write!(f, "no connection: {error}"),
            SocketError::Status(status) => {
                write!(f, "the server answers {status}; is the core's `sync` on?")
            }
            SocketError::Protocol => write!(f, "the server does not speak {SUBPROTOCOL}"),
            SocketError::Late => f.write_str("no answer in time"),
            SocketError::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl Error for SocketError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SocketError::Connect(error) => Some(error),
            SocketError::Broken(error) => Some(error),
            SocketError::Status(_) | SocketError::Protocol | SocketError::Late => None,
        }
    }
}

impl From<tungstenite::Error> for SocketError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(answer) => SocketError::Status(answer.status()),
            error => SocketError::Broken(Box::new(error)),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("is_dirty", &self.is_dirty).finish_non_exhaustive()
    }
}

impl Socket {
    /// Shakes hands over `wire` with what is at `url`, whose scheme is `ws` or `wss`.
    ///
    /// # Errors
    /// Anything but a switch to the sync protocol in time.
    pub async fn open(wire: Box<dyn Wire>, url: &str) -> Result<Self, SocketError> {
        let mut request = url.into_client_request()?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let shaken =
            timeout(HANDSHAKE_TIMEOUT, client_async_with_config(request, wire, Some(config)));
        let (stream, answer) = shaken.await.map_err(|_| SocketError::Late)??;
        if answer.headers().get(SEC_WEBSOCKET_PROTOCOL) != Some(&protocol) {
            return Err(SocketError::Protocol);
        }
        let (sink, stream) = stream.split();
        Ok(Socket { sink, stream, outbox: VecDeque::new(), is_dirty: false })
    }

    /// Hands over a message; [`turn`](Socket::turn) sends it.
    pub fn feed(&mut self, message: Vec<u8>) {
        self.outbox.push_back(Message::Binary(message.into()));
    }

    /// Sends what was handed over, and waits for the next message; nothing when the other side has closed. To drop it
    /// loses nothing.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn turn(&mut self) -> Result<Option<Bytes>, SocketError> {
        loop {
            let is_idle = self.outbox.is_empty() && !self.is_dirty;
            let came = tokio::select! {
                sent = send(&mut self.sink, &mut self.outbox, &mut self.is_dirty), if !is_idle => {
                    sent?;
                    continue;
                }
                came = self.stream.next() => came,
            };
            match came.transpose()? {
                None | Some(Message::Close(_)) => return Ok(None),
                Some(Message::Binary(message)) => return Ok(Some(message)),
                // An answer to a ping is in the sink.
                Some(Message::Ping(_)) => self.is_dirty = true,
                Some(_) => {}
            }
        }
    }

    /// Sends what was handed over, and says goodbye.
    ///
    /// # Errors
    /// A connection that broke before.
    pub async fn close(mut self) -> Result<(), SocketError> {
        send(&mut self.sink, &mut self.outbox, &mut self.is_dirty).await?;
        Ok(self.sink.close().await?)
    }
}

/// Sends what waits, as the wire takes it. A message leaves the outbox only when the sink has room for it: to drop this
/// loses none.
async fn send(
    sink: &mut SplitSink<Stream, Message>,
    outbox: &mut VecDeque<Message>,
    is_dirty: &mut bool,
) -> Result<(), tungstenite::Error> {
    while !outbox.is_empty() {
        poll_fn(|context| sink.poll_ready_unpin(context)).await?;
        *is_dirty = true;
        outbox.pop_front().map_or(Ok(()), |message| sink.start_send_unpin(message))?;
    }
    sink.flush().await?;
    *is_dirty = false;
    Ok(())
}
