//! What may come before HTTP: a PROXY protocol header, or HTTP where TLS is spoken.

use std::{fmt, future::Future, io, net::SocketAddr, task::Poll};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    connection::Connection,
    core::Core,
    proxy_protocol::{HEADER_MAX, Parse, parse},
};

/// Whether the peer has to begin with a PROXY protocol header.
pub(super) fn is_expected(connection: &Connection) -> bool {
    let peer = connection.socket_peer.ip().to_canonical();
    connection.listener.proxy_protocol.iter().any(|block| block.contains(peer))
}

/// Why a PROXY protocol header was not accepted.
#[derive(Debug)]
pub(super) enum PreludeFault {
    Late,
    Invalid(&'static str),
    Io(io::Error),
}

impl fmt::Display for PreludeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("no PROXY protocol header in time"),
            Self::Invalid(reason) => write!(f, "PROXY protocol: {reason}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Reads the header and nothing after it; returns the client it names, if it names one.
pub(super) async fn read_proxy_header(
    core: &Core,
    stream: &TcpStream,
    connection: &Connection,
) -> Result<Option<SocketAddr>, PreludeFault> {
    let deadline = core.deadlines.register();
    deadline.arm(connection.listener.timeouts.handshake);
    let mut seen = 0;
    loop {
        let mut buffer = [0; HEADER_MAX];
        let mut peek = tokio::io::ReadBuf::new(&mut buffer);
        let count = deadline
            .within(|context| stream.poll_peek(context, &mut peek))
            .await
            .map_err(|_| PreludeFault::Late)?
            .map_err(PreludeFault::Io)?;
        match parse(&buffer[..count]) {
            Parse::Done { consumed, source, .. } => {
                let read = stream.try_read(&mut buffer[..consumed]).map_err(PreludeFault::Io)?;
                return match read == consumed {
                    true => Ok(source),
                    false => Err(PreludeFault::Invalid("the header was cut")),
                };
            }
            Parse::Invalid(reason) => return Err(PreludeFault::Invalid(reason)),
            Parse::NeedMore if count == 0 => {
                return Err(PreludeFault::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            Parse::NeedMore if count == seen => wait_for_more(&deadline).await?,
            Parse::NeedMore => seen = count,
        }
    }
}

/// Peeking does not tell when more comes: look again at the next tick.
async fn wait_for_more(deadline: &crate::deadline::Deadline) -> Result<(), PreludeFault> {
    let mut pause = Box::pin(tokio::time::sleep(crate::deadline::TICK));
    deadline
        .within(|context| Future::poll(pause.as_mut(), context))
        .await
        .map_err(|_| PreludeFault::Late)
}

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 47\r\n\
connection: close\r\n\r\n\
This port speaks TLS: use https instead of http";

/// Tells a client that speaks HTTP to a TLS port what is wrong.
pub(super) async fn answer_plain_http(mut stream: TcpStream) {
    // The client gets the answer or it does not; the connection ends either way.
    let _ = stream.write_all(PLAIN_HTTP).await;
    let _ = stream.shutdown().await;
    let mut rest = [0; 1024];
    let drain = std::future::poll_fn(|context| match stream.poll_read_ready(context) {
        Poll::Ready(Ok(())) => match stream.try_read(&mut rest) {
            Ok(1..) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        },
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    });
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), drain).await;
}
