//! The least that HAProxy's filter SPOE can ask: every message is answered with one variable.
//!
//! `spoa LISTEN NAME VALUE` listens at `127.0.0.1:9000` or the like, and sets `NAME` to `VALUE` in the scope of the
//! transaction. One thread, pipelining: what HAProxy's `doc/SPOE.txt` (version 2.0 of the protocol) calls fastest.

use std::{
    io,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
};

use selvedge_bench::epoll::{Epoll, Interest};

/// Bytes of a frame at most: HAProxy's own default, so that it accepts it.
const FRAME_BYTES_MAX: usize = 16_380;

/// Types of frames, of HAProxy's and then of ours.
const HELLO: u8 = 1;
const DISCONNECT: u8 = 2;
const NOTIFY: u8 = 3;
const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
const ACK: u8 = 103;

/// Types of data.
const UINT32: u8 = 3;
const STRING: u8 = 8;

/// A frame is whole.
const FIN: [u8; 4] = [0, 0, 0, 1];

/// The listener's token; those of clients are their places.
const LISTENER: u64 = u64::MAX;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, name, value] = arguments.as_slice() else {
        let _ = writeln!(io::stderr(), "spoa: give LISTEN NAME VALUE");
        return ExitCode::from(64);
    };
    match serve(listen, &actions(name, value)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "spoa: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: &str, actions: &[u8]) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Interest::Read)?;
    // One for each connection there ever was: HAProxy keeps a few open.
    let mut clients: Vec<Option<Client>> = Vec::new();
    loop {
        let ready: Vec<u64> = epoll.wait(None)?.collect();
        for token in ready {
            if token == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                epoll.add(&stream, clients.len() as u64, Interest::Read)?;
                clients.push(Some(Client { stream, input: Vec::new() }));
                continue;
            }
            let client = &mut clients[token as usize];
            if let Some(Err(error)) = client.as_mut().map(|client| client.turn(actions)) {
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    writeln!(io::stderr(), "spoa: {error}")?;
                }
                *client = None;
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    /// The beginning of a frame whose rest has not come.
    input: Vec<u8>,
}

impl Client {
    /// Reads once and answers every frame that is whole.
    fn turn(&mut self, actions: &[u8]) -> io::Result<()> {
        let mut piece = [0; 64 << 10];
        let length = self.stream.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&piece[..length]);
        let (mut taken, mut output) = (0, Vec::new());
        while let Some(frame) = frame(&self.input[taken..])? {
            answer(frame, actions, &mut output)?;
            taken += 4 + frame.len();
        }
        self.input.drain(..taken);
        // The socket blocks; HAProxy reads what it asked for.
        self.stream.write_all(&output)
    }
}

/// The first frame without its length, if it is whole.
fn frame(input: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some((length, rest)) = input.split_first_chunk() else { return Ok(None) };
    match u32::from_be_bytes(*length) as usize {
        length if length > FRAME_BYTES_MAX => Err(io::Error::other("a frame that is too long")),
        length => Ok(rest.get(..length)),
    }
}

fn answer(frame: &[u8], actions: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let Some(([kind, _flags @ ..], rest)) = frame.split_first_chunk::<5>() else {
        return Err(io::Error::other("a frame that is too short"));
    };
    match *kind {
        HELLO => append(AGENT_HELLO, &[0, 0], &hello(), output),
        DISCONNECT => append(AGENT_DISCONNECT, &[0, 0], &goodbye(), output),
        NOTIFY => append(ACK, ids(rest)?, actions, output),
        kind => return Err(io::Error::other(format!("a frame of type {kind}"))),
    }
    Ok(())
}

/// The ids of stream and frame, as they were sent.
fn ids(payload: &[u8]) -> io::Result<&[u8]> {
    let short = || io::Error::other("a frame without ids");
    let first = varint_length(payload).ok_or_else(short)?;
    let second = varint_length(&payload[first..]).ok_or_else(short)?;
    Ok(&payload[..first + second])
}

/// Bytes of the number that `input` begins with: one, or those up to the first after it without the top bit.
fn varint_length(input: &[u8]) -> Option<usize> {
    match input.first()? {
        0..0xf0 => Some(1),
        0xf0.. => Some(2 + input[1..].iter().position(|byte| *byte < 0x80)?),
    }
}

fn append(kind: u8, ids: &[u8], payload: &[u8], output: &mut Vec<u8>) {
    let length = 1 + FIN.len() + ids.len() + payload.len();
    output.extend_from_slice(&(length as u32).to_be_bytes());
    output.push(kind);
    for part in [&FIN, ids, payload] {
        output.extend_from_slice(part);
    }
}

fn hello() -> Vec<u8> {
    let mut payload = Vec::new();
    text("version", &mut payload);
    payload.push(STRING);
    text("2.0", &mut payload);
    text("max-frame-size", &mut payload);
    payload.push(UINT32);
    varint(FRAME_BYTES_MAX as u64, &mut payload);
    text("capabilities", &mut payload);
    payload.push(STRING);
    text("pipelining", &mut payload);
    payload
}

fn goodbye() -> Vec<u8> {
    let mut payload = Vec::new();
    text("status-code", &mut payload);
    payload.push(UINT32);
    varint(0, &mut payload);
    text("message", &mut payload);
    payload.push(STRING);
    text("bye", &mut payload);
    payload
}

/// `set-var`, three arguments, scope of the transaction.
fn actions(name: &str, value: &str) -> Vec<u8> {
    let mut payload = vec![1, 3, 2];
    text(name, &mut payload);
    payload.push(STRING);
    text(value, &mut payload);
    payload
}

fn text(text: &str, output: &mut Vec<u8>) {
    varint(text.len() as u64, output);
    output.extend_from_slice(text.as_bytes());
}

fn varint(number: u64, output: &mut Vec<u8>) {
    if number < 0xf0 {
        output.push(number as u8);
        return;
    }
    output.push(number as u8 | 0xf0);
    let mut rest = (number - 0xf0) >> 4;
    while rest >= 0x80 {
        output.push(rest as u8 | 0x80);
        rest = (rest - 0x80) >> 7;
    }
    output.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_haproxy_says() {
        for (number, length) in [(0, 1), (239, 1), (240, 2), (2287, 2), (2288, 3), (264_431, 3)] {
            let mut bytes = Vec::new();
            varint(number, &mut bytes);
            assert_eq!(bytes.len(), length, "{number}");
            assert_eq!(varint_length(&bytes), Some(length), "{number}");
        }
        assert_eq!(varint_length(&[0xf0, 0x80]), None);
    }

    #[test]
    fn a_message_is_acknowledged_with_its_own_ids() {
        let notify = [0, 0, 0, 9, NOTIFY, 0, 0, 0, 1, 7, 0xf1, 0x03, 9];
        assert_eq!(frame(&notify[..12]).unwrap(), None);
        let mut output = Vec::new();
        answer(frame(&notify).unwrap().unwrap(), &actions("n", "v"), &mut output).unwrap();
        let ack = [0, 0, 0, 16, ACK, 0, 0, 0, 1, 7, 0xf1, 0x03, 1, 3, 2, 1, b'n', 8, 1, b'v'];
        assert_eq!(output, ack);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(frame(&[0, 1, 0, 0]).is_err());
        assert!(answer(&[1, 0], &[], &mut Vec::new()).is_err());
        assert!(answer(&[9, 0, 0, 0, 1], &[], &mut Vec::new()).is_err());
        assert!(answer(&[NOTIFY, 0, 0, 0, 1], &[], &mut Vec::new()).is_err());
    }
}
