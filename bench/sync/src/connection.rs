//! A client on a WebSocket.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{net::TcpStream, time};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use crate::{
    Result,
    client::{Client, Heard, Opening, Protocol, Update},
};

/// Where a server is, and what it speaks.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Server {
    protocol: Protocol,
    address: SocketAddr,
}

/// How long a document may take to open.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages that are taken before replies go out.
const MESSAGES_AT_ONCE: usize = 256;
/// Of each connection; there are thousands.
const BUFFER_BYTES: usize = 8 << 10;

/// A client that has its document open.
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    client: Box<dyn Client>,
}

impl Connection {
    /// Connects, and opens a document.
    pub async fn open(server: &Server, opening: Opening<'_>) -> Result<Self> {
        let opened = time::timeout(PATIENCE, Self::greet(server, opening)).await;
        opened.map_err(|_| format!("{} has not opened", opening.document))?.map(|(it, _)| it)
    }

    /// Opens a document, and returns also what is in it.
    pub async fn greet(server: &Server, opening: Opening<'_>) -> Result<(Self, Vec<Heard>)> {
        let socket = TcpStream::connect(server.address).await?;
        socket.set_nodelay(true)?;
        let url = format!("ws://{}{}", server.address, server.protocol.path(opening.document));
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES);
        let mut request = url.into_client_request()?;
        if let Some(name) = server.protocol.subprotocol() {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        let (socket, _) = client_async_with_config(request, socket, Some(config)).await?;
        let mut connection = Self { socket, client: server.protocol.client(opening)? };
        let mut found = Vec::new();
        let greeting = connection.client.greeting()?;
        connection.say_all(greeting).await?;
        connection.flush().await?;
        while !connection.client.is_open() {
            let message = connection.next().await?;
            connection.take(message, |heard| found.push(heard)).await?;
        }
        Ok((connection, found))
    }

    /// The next message. Nothing is lost where this is given up.
    pub async fn next(&mut self) -> Result<Message> {
        Ok(self.socket.next().await.ok_or("the server has closed a connection")??)
    }

    /// Takes a message and all that have come with it, and replies.
    pub async fn take(&mut self, first: Message, mut each: impl FnMut(Heard)) -> Result {
        let mut message = first;
        for left in (0..MESSAGES_AT_ONCE).rev() {
            if let Message::Binary(content) = message {
                let mut heard = self.client.hear(&content)?;
                let replies = std::mem::take(&mut heard.replies);
                self.say_all(replies).await?;
                each(heard);
            }
            // What is taken here must be looked at: the last turn takes nothing.
            let next = (left > 0).then(|| self.next().now_or_never()).flatten();
            let Some(next) = next else { break };
            message = next?;
        }
        self.flush().await
    }

    /// Writes an update; it goes out with [`Connection::flush`].
    pub async fn write(&mut self, update: Update) -> Result {
        let message = self.client.write(update)?;
        self.say_all(vec![message]).await
    }

    async fn say_all(&mut self, messages: Vec<Bytes>) -> Result {
        for message in messages {
            self.socket.feed(Message::Binary(message)).await?;
        }
        Ok(())
    }

    /// Sends what was written.
    pub async fn flush(&mut self) -> Result {
        Ok(self.socket.flush().await?)
    }
}
