//! `albedo` as a server: what [`Response`] says, over connections that carry one exchange each.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::Response;
use crate::{
    raw,
    record::{Kind, Request},
};

/// Bytes of a request, at most.
const REQUEST_MAX: usize = 16 << 20;
/// A proxy that sends nothing for so long sends nothing more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens, and answers until the process ends.
pub(super) fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A proxy that gives a connection up is owed nothing.
            thread::spawn(move || answer(stream).ok());
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = receive(&mut stream)?;
    stream.write_all(&encoded(&request, &Response::to(&request)))
}

/// Reads a request to its end. What a proxy sends is framed as it should be, or the exchange fails.
fn receive(stream: &mut TcpStream) -> io::Result<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 8 << 10]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&piece[..length]),
        }
        if let Some(request) = whole(&bytes) {
            return Ok(request);
        }
        if bytes.len() > REQUEST_MAX {
            return Err(io::Error::other("a request that does not end"));
        }
    }
}

/// `None` until all of it is there.
fn whole(bytes: &[u8]) -> Option<Request> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut request = raw::request(bytes, Kind::Ordinary);
    let field = |name: &[u8]| {
        let found = request.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| str::from_utf8(value).ok())
    };
    let length: usize = field(b"content-length").map_or(Some(0), |value| value.parse().ok())?;
    let is_there = match field(b"transfer-encoding") {
        Some(_) => request.body.ends_with(b"0\r\n\r\n"),
        None => request.body.len() >= length,
    };
    is_there.then(|| {
        raw::framed(&mut request);
        request
    })
}

fn encoded(request: &Request, response: &Response) -> Vec<u8> {
    let Response { status, fields, body } = response;
    let mut out = format!("HTTP/1.1 {status} -\r\nConnection: close\r\n").into_bytes();
    for (name, value) in fields {
        out.extend_from_slice(&[name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    if request.method != b"HEAD" {
        out.extend_from_slice(body);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: Option<&str>) {
        let found = whole(bytes.as_bytes()).map(|request| String::from_utf8(request.body).unwrap());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn requests_are_waited_for() {
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", None);
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", Some("ab"));
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", None);
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            Some("ab"),
        );
        check("GET / HTTP/1.1\r\n", None);
        check("GET / HTTP/1.1\r\n\r\n", Some(""));
    }
}
