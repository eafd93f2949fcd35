//! Servers behind the edge: threads that do with each connection what a test tells them.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{client::fields, harness::PATIENCE};

/// A server; it stops to accept when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What a server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    connections: AtomicUsize,
    bytes: AtomicUsize,
    closed: AtomicUsize,
    stop: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

/// One connection of a server.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
    seen: Arc<Seen>,
}

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Upstream {
    /// A server that runs `serve` on each connection in a thread of its own.
    pub(crate) fn start(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    pub(crate) fn start_on(
        listener: TcpListener,
        serve: impl Fn(Peer) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (theirs, serve) = (seen.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.stop.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let (seen, serve) = (theirs.clone(), serve.clone());
                seen.connections.fetch_add(1, SeqCst);
                let peer = Peer { stream, buffer: Vec::new(), seen };
                thread::spawn(move || serve(peer));
            }
        });
        Self { address, seen }
    }

    /// A server that answers each request with what it got.
    pub(crate) fn echo() -> Self {
        Self::start(|mut peer| {
            while let Some(request) = peer.request() {
                peer.answer(&request.body);
            }
        })
    }

    /// A server that answers each request with its head.
    pub(crate) fn mirror() -> Self {
        Self::start(|mut peer| {
            while let Some(request) = peer.request() {
                peer.answer(request.head.as_bytes());
            }
        })
    }

    /// A server that answers each request with `text`.
    pub(crate) fn named(text: &'static str) -> Self {
        Self::fixed(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    /// A server that answers each request with these bytes.
    pub(crate) fn fixed(response: &str) -> Self {
        let response = response.as_bytes().to_vec();
        Self::start(move |mut peer| {
            while peer.request().is_some() {
                peer.send(&response);
            }
        })
    }

    /// A server that answers the first request with these bytes and closes.
    pub(crate) fn closing(response: &str) -> Self {
        let response = response.as_bytes().to_vec();
        Self::start(move |mut peer| {
            if peer.request().is_some() {
                peer.send(&response);
                peer.close();
            }
        })
    }

    /// A server that answers a request's head with these bytes and closes, whatever else comes.
    pub(crate) fn closing_at_head(response: &str) -> Self {
        let response = response.as_bytes().to_vec();
        Self::start(move |mut peer| {
            if peer.head().is_some() {
                peer.send(&response);
                peer.close();
            }
        })
    }

    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Connections that the other side has closed.
    pub(crate) fn closed(&self) -> usize {
        self.seen.closed.load(SeqCst)
    }

    /// Bytes received over all connections.
    pub(crate) fn bytes(&self) -> usize {
        self.seen.bytes.load(SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.seen.stop.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A server on a unix socket that answers each request with what it got.
pub(crate) fn unix_echo(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::default();
            let mut peer = Peer::<UnixStream> { stream, buffer: Vec::new(), seen };
            thread::spawn(move || {
                while let Some(request) = peer.request() {
                    peer.answer(&request.body);
                }
            });
        }
    });
}

impl Peer {
    /// Ends the connection in both directions.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits until the other side ends the connection.
    pub(crate) fn wait_for_close(&mut self) {
        while self.read_more().is_ok() {}
    }
}

impl<S: Read + Write> Peer<S> {
    /// The next request; `None` when the connection ends.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let (body, trailers) = self.body(&head)?;
        let request = Request { head, body, trailers };
        self.seen.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// The next request's head.
    pub(crate) fn head(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n").ok()?;
        Some(String::from_utf8(head).unwrap())
    }

    fn body(&mut self, head: &str) -> Option<(Vec<u8>, String)> {
        if fields(head, "transfer-encoding") == ["chunked"] {
            return self.chunks();
        }
        let length = fields(head, "content-length").first().map_or(0, |text| text.parse().unwrap());
        Some((self.exactly(length)?, String::new()))
    }

    fn chunks(&mut self) -> Option<(Vec<u8>, String)> {
        let (mut body, mut trailers) = (Vec::new(), String::new());
        loop {
            let line = String::from_utf8(self.until(b"\r\n").ok()?).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size)?);
            assert_eq!(self.exactly(2)?, b"\r\n");
        }
        loop {
            match &*String::from_utf8(self.until(b"\r\n").ok()?).unwrap() {
                "\r\n" => return Some((body, trailers)),
                line => trailers.push_str(line),
            }
        }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.read_more().ok()?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            self.read_more()?;
        }
    }

    /// Reads once; an error when the other side has ended the connection.
    pub(crate) fn read_more(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let count = match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        match count {
            Ok(count) => {
                self.seen.bytes.fetch_add(count, SeqCst);
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(count)
            }
            Err(error) => {
                self.seen.closed.fetch_add(1, SeqCst);
                Err(error)
            }
        }
    }

    /// What was received and not taken yet.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Sends; that the other side is gone does not matter here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Sends a whole response of its own.
    pub(crate) fn answer(&mut self, body: &[u8]) -> bool {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat())
    }
}

/// What a server does that never answers.
pub(crate) fn hang(mut peer: Peer) {
    let _ = peer.stream.set_read_timeout(None);
    peer.wait_for_close();
}

/// Gives the edge time to do what it must not do; a test that waits here can only pass too early.
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(100));
}
