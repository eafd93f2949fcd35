//! A client on a bare socket: it sees each byte, and reads responses strictly.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::harness::PATIENCE;

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// One response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

/// Why there was no whole response.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection ended; so much of the body had come.
    Ended { response: Response },
    /// The connection was reset.
    Failed(#[expect(dead_code, reason = "a failed test shows it")] io::Error),
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Leaves, and lets the other side know at once: with a reset.
    pub(crate) fn leave(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Another handle on the same connection.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
        self
    }

    /// Sends, and lets the connection break.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// A GET and its response.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n")).response()
    }

    /// A GET with more fields, each ended by CRLF, and its response.
    #[track_caller]
    pub(crate) fn get_with(&mut self, path: &str, fields: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")).response()
    }

    /// The next response to a request other than HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response(false).unwrap()
    }

    /// The next response to a HEAD.
    #[track_caller]
    pub(crate) fn head_response(&mut self) -> Response {
        self.try_response(true).unwrap()
    }

    pub(crate) fn try_response(&mut self, to_head: bool) -> Result<Response, Broken> {
        let mut response = self.read_head()?;
        let status = response.status;
        if to_head || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        match (response.field("transfer-encoding"), response.field("content-length")) {
            (Some(coding), length) => {
                assert_eq!((coding, length), ("chunked", None), "framing: {}", response.head);
                self.read_chunks(response)
            }
            (None, Some(length)) => {
                let length = length.parse::<usize>().unwrap();
                if let Err(error) = self.fill(length) {
                    response.body = std::mem::take(&mut self.buffer);
                    return Err(ended(error, response));
                }
                response.body = self.buffer.drain(..length).collect();
                Ok(response)
            }
            (None, None) => {
                response.body = self.rest();
                Ok(response)
            }
        }
    }

    /// Reads one head.
    pub(crate) fn read_head(&mut self) -> Result<Response, Broken> {
        let text = self.until(b"\r\n\r\n").map_err(|error| ended(error, Response::default()))?;
        let text = String::from_utf8(text).unwrap();
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
        Ok(Response {
            status: status.unwrap_or_else(|| panic!("no status line: {text}")),
            head: text,
            ..Response::default()
        })
    }

    fn read_chunks(&mut self, mut response: Response) -> Result<Response, Broken> {
        loop {
            let line = match self.until(b"\r\n") {
                Ok(line) => String::from_utf8(line).unwrap(),
                Err(error) => return Err(ended(error, response)),
            };
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            if let Err(error) = self.fill(size + 2) {
                response.body.append(&mut self.buffer);
                return Err(ended(error, response));
            }
            response.body.extend(self.buffer.drain(..size));
            assert_eq!(self.buffer.drain(..2).collect::<Vec<_>>(), b"\r\n");
        }
        loop {
            let line = match self.until(b"\r\n") {
                Ok(line) => String::from_utf8(line).unwrap(),
                Err(error) => return Err(ended(error, response)),
            };
            if line == "\r\n" {
                return Ok(response);
            }
            response.trailers.push_str(&line);
        }
    }

    /// Reads until `mark` has come; returns everything up to its end.
    fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            self.read_more()?;
        }
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.fill(count).unwrap();
        self.buffer.drain(..count).collect()
    }

    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() < count {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }

    /// Everything until the connection ends; a reset is an end too.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(error) if is_timeout(&error) => panic!("the connection stays open"),
                Err(_) => return std::mem::take(&mut self.buffer),
            }
        }
    }

    /// Asserts that the connection ends without another byte.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn ended(error: io::Error, response: Response) -> Broken {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Broken::Ended { response },
        _ => Broken::Failed(error),
    }
}

impl Response {
    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).into_iter().next()
    }

    /// All fields of that name.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The status, and the body's stable code where it is a refusal of the edge.
    pub(crate) fn verdict(&self) -> String {
        let code = self.text().split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
        format!("{} {}", self.status, code.unwrap_or("-"))
    }
}

/// All values of the fields called `name` in a head.
pub(crate) fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
