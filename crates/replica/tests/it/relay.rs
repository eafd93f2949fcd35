//! A relay with a log that a test wrote, behind a wire of 1 KiB.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{SinkExt as _, StreamExt as _};
use selvedge_crdt::session::{
    ClientFrame, Limits, LogId, NONCE_BYTES, OpenDocument, RelayFrame, SUBPROTOCOL, Sealing, Start,
    VERSION,
};
use selvedge_replica::{Dial, Socket, SocketError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::{mpsc, watch},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// How much is on its way that nobody reads.
const WIRE_BYTES: usize = 1 << 10;

/// What the device dials. Each connection is a task, which ends with it.
pub struct Relay {
    log: Arc<Vec<Vec<u8>>>,
    reads: watch::Receiver<bool>,
    pushed: mpsc::UnboundedSender<Vec<u8>>,
}

/// What the test has of a relay.
pub struct Script {
    /// Whether the relay reads what comes after OPEN.
    pub reads: watch::Sender<bool>,
    /// The records that were pushed, in order.
    pub pushed: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Relay {
    pub fn with(log: Vec<Vec<u8>>) -> (Self, Script) {
        let ((read, reads), (push, pushed)) = (watch::channel(false), mpsc::unbounded_channel());
        let relay = Relay { log: Arc::new(log), reads, pushed: push };
        (relay, Script { reads: read, pushed })
    }

    fn clone(&self) -> Self {
        let Relay { log, reads, pushed } = self;
        Relay { log: log.clone(), reads: reads.clone(), pushed: pushed.clone() }
    }

    /// Talks until the device hangs up.
    async fn talk(mut self, wire: DuplexStream) -> Option<()> {
        let mut socket = accept(wire).await?;
        loop {
            let Message::Binary(message) = socket.next().await?.ok()? else { continue };
            let (channel, frame) = ClientFrame::read(&message).expect("devices say what is right");
            let answers = self.answer(&frame);
            for answer in answers {
                let message = Message::Binary(answer.to_bytes(channel).into());
                socket.send(message).await.ok()?;
            }
            match frame {
                ClientFrame::Open { .. } => drop(self.reads.wait_for(|reads| *reads).await),
                ClientFrame::Push { record } => drop(self.pushed.send(record.to_vec())),
                _ => {}
            }
        }
    }

    fn answer(&self, frame: &ClientFrame<'_>) -> Vec<RelayFrame<'_>> {
        match frame {
            ClientFrame::Hello { .. } => vec![welcome()],
            ClientFrame::Open { .. } => {
                let record = |(offset, record)| RelayFrame::Record { offset, record };
                let log = self.log.iter().map(Vec::as_slice);
                [self.opened()].into_iter().chain((0..).zip(log).map(record)).collect()
            }
            _ => vec![],
        }
    }

    fn opened(&self) -> RelayFrame<'static> {
        RelayFrame::Opened(Box::new(OpenDocument {
            log: LogId([9; 16]),
            start: Start::Snapshot,
            next: 0,
            tail: self.log.len() as u64,
            snapshot: None,
            heads: vec![],
            sealing: if self.log.is_empty() { Sealing::Plain } else { Sealing::Epoch(1) },
            rights: 15,
            lease_ms: 86_400_000,
            lost_ms: 0,
        }))
    }
}

impl Dial for Relay {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Socket, SocketError>> + Send + '_>> {
        Box::pin(async {
            let (ours, theirs) = duplex(WIRE_BYTES);
            tokio::spawn(self.clone().talk(theirs));
            Socket::open(Box::new(ours), "ws://relay.example/").await
        })
    }
}

fn welcome() -> RelayFrame<'static> {
    let limits = Limits { channels: 8, credit: 4 << 20, presence_ms: 50, presence_ends_ms: 30_000 };
    RelayFrame::Welcome {
        version: VERSION,
        challenge: [3; NONCE_BYTES],
        now_ms: 1_750_000_000_000,
        limits,
    }
}

/// The server's side of the handshake (RFC 6455, section 4.2.2).
async fn accept(mut wire: DuplexStream) -> Option<WebSocketStream<DuplexStream>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(wire.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let mut fields = request.lines().filter_map(|line| line.split_once(": "));
    let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?.1;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    wire.write_all(answer.as_bytes()).await.ok()?;
    Some(WebSocketStream::from_raw_socket(wire, Role::Server, None).await)
}
