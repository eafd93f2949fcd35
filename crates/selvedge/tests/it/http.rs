//! Both ends of HTTP, as small as these tests need them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::process::PATIENCE;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// `http://127.0.0.1:8080/x` → address and target.
fn split(url: &str) -> (SocketAddr, String) {
    let rest = url.split_once("://").unwrap().1;
    let (authority, path) = rest.split_once('/').unwrap();
    (authority.parse().unwrap(), format!("/{path}"))
}

/// Sends a GET on a connection of its own.
#[track_caller]
pub fn get(url: &str) -> Answer {
    try_get(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// As [`get`], with fields such as `Accept: */*`.
#[track_caller]
pub fn get_with(url: &str, fields: &[&str]) -> Answer {
    ask(url, fields).unwrap_or_else(|error| panic!("{url}: {error}"))
}

pub fn try_get(url: &str) -> std::io::Result<Answer> {
    ask(url, &[])
}

fn ask(url: &str, fields: &[&str]) -> std::io::Result<Answer> {
    send(("GET", url), fields, "")
}

/// Sends a request on a connection of its own.
pub fn send((method, url): (&str, &str), fields: &[&str], body: &str) -> std::io::Result<Answer> {
    let (address, target) = split(url);
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let broken = || std::io::Error::other(format!("not an answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

/// An application that answers each request once it is told to.
pub struct Application {
    pub address: SocketAddr,
    /// The request line of each request that has arrived.
    pub arrived: Receiver<String>,
    /// One permit for each answer.
    pub permits: SyncSender<()>,
}

/// Starts one; its threads end with the process of the tests.
pub fn application() -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (arrivals, arrived) = sync_channel(16);
    let (permits, allowed) = sync_channel::<()>(16);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let line = head.lines().next().unwrap_or_default().to_owned();
            if arrivals.send(line).is_err() || allowed.recv().is_err() {
                return;
            }
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nanswered";
            let _ = reader.into_inner().write_all(answer.as_bytes());
        }
    });
    Application { address, arrived, permits }
}
