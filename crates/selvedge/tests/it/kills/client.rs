//! Requests over a connection that is kept, until it breaks.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::process::PATIENCE;

/// Where streams are, and the token that opens them.
pub struct Target {
    address: SocketAddr,
    token: String,
}

impl Target {
    pub fn new(url: &str, token: &str) -> Self {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        Self { address: authority.parse().unwrap(), token: token.to_owned() }
    }

    pub fn client(&self) -> Client<'_> {
        Client { target: self, connection: None }
    }
}

/// Somebody who asks one thing after the other.
pub struct Client<'t> {
    target: &'t Target,
    connection: Option<BufReader<TcpStream>>,
}

/// What came back: the status, and where the stream ends now.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub next: Option<u64>,
}

impl Client<'_> {
    /// Asks about a stream. Whatever breaks, nobody knows whether it was done.
    pub fn ask(
        &mut self,
        (method, stream): (&str, &str),
        fields: &[String],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let Target { address, token } = self.target;
        let mut request = format!(
            "{method} /_selvedge/streams/{stream} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        connection.get_mut().write_all(&request)?;
        let answer = answer(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }
}

fn answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut answer = Answer { status: status.ok_or_else(broken)?, next: None };
    let mut length = 0;
    loop {
        let line = line(connection)?.to_ascii_lowercase();
        let Some((name, value)) = line.split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().map_err(|_| broken())?,
            "stream-next-offset" => answer.next = position(value),
            _ => {}
        }
    }
    io::copy(&mut connection.take(length), &mut io::sink())?;
    Ok(answer)
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    match connection.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

/// The record's number in an offset.
fn position(offset: &str) -> Option<u64> {
    u64::from_str_radix(offset.split('_').next()?, 16).ok()
}
