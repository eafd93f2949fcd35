//! Servers that speak Durable Streams, over HTTP/1.1 connections that are kept.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    Result,
    appended::{Appended, RECORD, Writer},
    options::Options,
};

/// The media type of all streams here: text, so that server-sent events carry it as it is.
const TEXT: &str = "text/plain";

/// A connection, and one stream that is asked for through it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: Target,
}

/// A stream.
#[derive(Clone)]
pub struct Target {
    address: String,
    path: String,
    token: Option<String>,
}

impl Target {
    /// The stream `name` of the server that the options name.
    pub fn new(options: &Options, name: &str) -> Result<Self> {
        let token = Some(options.text("token")?).filter(|token| !token.is_empty());
        Ok(Self {
            address: options.text("address")?.to_owned(),
            path: format!("{}/{}-{name}", options.text("path")?, options.text("run")?),
            token: token.map(str::to_owned),
        })
    }

    /// A connection on which nothing was said.
    pub async fn open(&self) -> Result<TcpStream> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// What asks for the stream in a way that `query` says, as bytes.
    pub fn request(&self, query: &str) -> String {
        let Self { address, path, token } = self;
        let token = token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        format!("GET {path}{query} HTTP/1.1\r\nhost: {address}\r\n{token}\r\n")
    }

    pub async fn connect(&self) -> Result<Connection> {
        let socket = self.open().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Its error is that of the request under way.
        tokio::spawn(connection);
        Ok(Connection { sender, target: self.clone() })
    }
}

impl Connection {
    /// Creates the stream.
    pub async fn create(&mut self) -> Result {
        let response = self.send(Method::PUT, "", Bytes::new()).await?;
        finish(response, &[StatusCode::CREATED]).await.map(drop)
    }

    /// Appends, and returns when that is acknowledged.
    pub async fn append(&mut self, record: Bytes) -> Result {
        let response = self.send(Method::POST, "", record).await?;
        finish(response, &[StatusCode::OK, StatusCode::NO_CONTENT]).await.map(drop)
    }

    /// Asks for the stream, in a way that `query` says.
    pub async fn get(&mut self, query: &str) -> Result<Response<Incoming>> {
        self.send(Method::GET, query, Bytes::new()).await
    }

    async fn send(
        &mut self,
        method: Method,
        query: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let Target { address, path, token } = &self.target;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{path}{query}"))
            .header(HOST, address)
            .header(CONTENT_TYPE, TEXT);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Reads the stream page by page; returns how many records there are.
    async fn count(&mut self) -> Result<u64> {
        let (mut offset, mut bytes) = ("-1".to_owned(), 0);
        loop {
            let response = self.get(&format!("?offset={offset}")).await?;
            let header = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok().map(str::to_owned))
            };
            let up_to_date = header("stream-up-to-date").is_some();
            offset = header("stream-next-offset").ok_or("an answer without the next offset")?;
            let body = finish(response, &[StatusCode::OK]).await?;
            if body.iter().any(|byte| *byte != RECORD[0]) {
                return Err("a record is not as it was written".into());
            }
            bytes += body.len();
            if up_to_date || body.is_empty() {
                break;
            }
        }
        match bytes % RECORD.len() {
            0 => Ok((bytes / RECORD.len()) as u64),
            _ => Err(format!("{bytes} bytes are not whole records").into()),
        }
    }
}

/// The body of a response, if its status is one of these.
async fn finish(response: Response<Incoming>, expected: &[StatusCode]) -> Result<Bytes> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if expected.contains(&status) {
        return Ok(body);
    }
    Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
}

/// Writers that wait, each with a connection and a stream of its own.
pub async fn append(options: &Options) -> Result<Value> {
    let count: usize = options.number("writers")?;
    let mut writers = Vec::new();
    for writer in 0..count {
        let mut connection = Target::new(options, &writer.to_string())?.connect().await?;
        connection.create().await?;
        writers.push(connection);
    }
    let appended = Appended::in_closed_loop(writers, options.seconds()?).await?;
    let mut found = 0;
    for writer in 0..count {
        let mut connection = Target::new(options, &writer.to_string())?.connect().await?;
        found += connection.count().await?;
    }
    appended.proven(found)
}

impl Writer for Connection {
    async fn append(&mut self) -> Result {
        Self::append(self, Bytes::from_static(&RECORD)).await
    }
}
