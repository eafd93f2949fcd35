//! Opens many connections, asks once on each, and keeps them open until its standard input ends.
//!
//! `idle_connections ADDRESS COUNT PATH`; prints `ready COUNT` when every connection has been answered.

use std::{
    io,
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

fn main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "idle_connections: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, count, path] = arguments.as_slice() else {
        return Err(io::Error::other("give ADDRESS COUNT PATH"));
    };
    let count: usize = count.parse().map_err(io::Error::other)?;
    let connections = (0..count)
        .map(|number| {
            ask(address, path)
                .map_err(|error| io::Error::other(format!("connection {number}: {error}")))
        })
        .collect::<io::Result<Vec<_>>>()?;
    writeln!(io::stdout(), "ready {}", connections.len())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A connection whose first request has been answered with 200.
fn ask(address: &str, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // In one piece: each piece after the first would wait for the other side's delayed acknowledgement.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = [0; 4096];
    let mut length = 0;
    while !is_complete(&response[..length]) {
        match stream.read(&mut response[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    if response.starts_with(b"HTTP/1.1 200") {
        Ok(stream)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&response[..length]).into_owned()))
    }
}

/// The answers asked for here have 12 bytes of body.
fn is_complete(response: &[u8]) -> bool {
    response
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .is_some_and(|end| response.len() >= end + 16)
}
