//! The application behind the demonstration: answers each request with what it saw of it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use selvedge_http1::{BodyDecoder, HeadLimits, Parsed, Piece, RequestHead, Version};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

/// An echo on a free port of loopback; it ends with this handle.
pub(super) struct Echo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 1_024;
/// Time without a byte after which a connection closes; longer than the edge keeps one idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const READ_BYTES: usize = 16 << 10;
/// How long nothing is accepted when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

impl Echo {
    /// Binds a port and starts to answer on this runtime.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener)) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    let mut conversation = Conversation { stream, peer, buffer: Vec::new() };
                    // How it ended concerns only the other end.
                    let _ = conversation.hold().await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
        }
    }
}

/// One connection.
struct Conversation {
    stream: TcpStream,
    peer: SocketAddr,
    /// Bytes read and not yet used.
    buffer: Vec<u8>,
}

impl Conversation {
    /// Answers request after request until one side closes.
    async fn hold(&mut self) -> io::Result<()> {
        while let Some(head) = self.read_head().await? {
            if head.expects_continue() {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let body_bytes = self.read_body(&head).await?;
            let answer = answer(&head, self.peer, body_bytes);
            self.stream.write_all(&answer).await?;
            if head.close() {
                break;
            }
        }
        self.stream.shutdown().await
    }

    /// The next head; `None` once the other side has closed.
    async fn read_head(&mut self) -> io::Result<Option<RequestHead>> {
        let mut head = RequestHead::default();
        loop {
            match head.parse(&self.buffer, &HeadLimits::default()).map_err(invalid)? {
                Parsed::Complete(length) => {
                    self.buffer.drain(..length);
                    return Ok(Some(head));
                }
                Parsed::Partial => {}
            }
            if !self.read_more().await? {
                return Ok(None);
            }
        }
    }

    /// Counts the bytes of a body and keeps none.
    async fn read_body(&mut self, head: &RequestHead) -> io::Result<u64> {
        let mut decoder = BodyDecoder::new(head.framing());
        let mut count = 0;
        while !decoder.is_done() {
            let used = match decoder.decode(&self.buffer).map_err(invalid)? {
                Piece::Data { from, to } => {
                    count += (to - from) as u64;
                    to
                }
                Piece::End(used) => used,
                Piece::More(used) => {
                    self.buffer.drain(..used);
                    if !self.read_more().await? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    0
                }
            };
            self.buffer.drain(..used);
        }
        Ok(count)
    }

    /// Whether there was more.
    async fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.buffer);
        let read = timeout(IDLE_TIMEOUT, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(read > 0)
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn answer(head: &RequestHead, peer: SocketAddr, body_bytes: u64) -> Vec<u8> {
    let body = format!("{:#}\n", describe(head, peer, body_bytes));
    let close = if head.close() { "Connection: close\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\n{close}\r\n",
        body.len()
    );
    if head.method() != "HEAD" {
        answer.push_str(&body);
    }
    answer.into_bytes()
}

fn describe(head: &RequestHead, peer: SocketAddr, body_bytes: u64) -> Value {
    let version = match head.version() {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    };
    json!({
        "method": head.method(),
        "path": head.raw_path(),
        "query": head.query(),
        "version": version,
        "headers": headers(head),
        "body_bytes": body_bytes,
        "peer": peer.to_string(),
    })
}

/// By name; a name that came several times has a list.
fn headers(head: &RequestHead) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value, _) in head.fields().iter() {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = Value::from(String::from_utf8_lossy(value));
        match headers.get_mut(&name) {
            None => drop(headers.insert(name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Sends `request` to an echo and returns what came back until it closed.
    fn ask(request: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let echo = Echo::start().await.unwrap();
            let (address, request) = (echo.address(), request.to_owned());
            let client = tokio::task::spawn_blocking(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            client.await.unwrap()
        })
    }

    #[test]
    fn requests_come_back_as_json() {
        let answer = ask(
            "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc\
             GET / HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n",
        );
        let bodies: Vec<Value> = answer
            .split("\r\n\r\n")
            .skip(1)
            .map(|text| serde_json::from_str(text.split("HTTP/1.1 200").next().unwrap()).unwrap())
            .collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0]["method"], "POST");
        assert_eq!(bodies[0]["path"], "/a");
        assert_eq!(bodies[0]["query"], "b=c");
        assert_eq!(bodies[0]["body_bytes"], 3);
        assert_eq!(bodies[0]["headers"]["x-a"], json!(["1", "2"]));
        assert_eq!(bodies[1]["headers"]["host"], "y");
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        assert_eq!(ask("GET\r\n\r\n"), "");
    }

    #[test]
    fn chunks_are_counted() {
        let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert!(ask(chunked).contains("\"body_bytes\": 5"));
    }
}
