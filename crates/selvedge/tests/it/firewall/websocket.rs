//! Messages of a WebSocket before the firewall: through the edge, to the agent, and back.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
};

use crate::process::{PATIENCE, Place, Running, eventually, field};

const RULES: &str = r##"category "sql"
rule "sql/union-of-tests" id=9000001 {
    about "Rows of another query are appended."
    points 25
    on "input"
    text "squeezed"
    matches #"\bunion select\b"#
    attack "1 UNION SELECT 2"
}
"##;

const ATTACK: &[u8] = b"1 UNION SELECT 2";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;
/// The bit that compressed messages have (RFC 7692).
const RSV1: u8 = 0x40;

const PROTOCOL_ERROR: u16 = 1002;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// An edge with a firewall before an application that sends every message back.
struct Stage {
    edge: Running,
    address: SocketAddr,
    /// What the application got: the head of the upgrade, then `OPCODE PAYLOAD` of each frame.
    arrived: Receiver<String>,
    _place: Place,
}

/// A client whose upgrade was accepted.
struct Client(TcpStream);

impl Stage {
    fn new(nodes: &str) -> Self {
        let (application, arrived) = application();
        let place = Place::new();
        place.write("own.kdl", RULES).write(
            "a.kdl",
            &format!(
                "workers 1\nadmin #false\nlistener \"web\" {{ address \"127.0.0.1:0\" }}\n\
                 upstream \"app\" {{ target \"{application}\" }}\n\
                 agent \"waf\" {{ type \"waf\"; rules \"own.kdl\"; timeout-ms 10000; websocket #true; {nodes} }}\n\
                 route \"ready\" {{ matches {{ path \"/ready\" }}; agents \"waf\"; respond 200 }}\n\
                 route \"all\" {{ agents \"waf\"; upstream \"app\" }}\n"
            ),
        );
        let mut edge = place.start("edge --config a.kdl");
        let url = field(&edge.hear("listener=web"), "url");
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        edge.hear("msg=serving");
        let ready = || crate::http::try_get(&format!("{url}ready")).ok();
        eventually("the agent answers", || ready().filter(|answer| answer.status == 200));
        Self { edge, address, arrived, _place: place }
    }

    /// Upgrades, offering to compress as browsers do.
    fn connect(&self) -> Client {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let answer = read_head(&mut stream).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
        let asked = self.arrived.recv_timeout(PATIENCE).unwrap().to_ascii_lowercase();
        assert!(!asked.contains("sec-websocket-extensions"), "{asked}");
        Client(stream)
    }

    #[track_caller]
    fn assert_arrives(&self, expected: &str) {
        assert_eq!(self.arrived.recv_timeout(PATIENCE).as_deref(), Ok(expected));
    }

    /// Sends frames the last of which is not to pass. Both ends are told the code, and the application gets only `passing`.
    #[track_caller]
    fn check_refused(&self, frames: &[Vec<u8>], passing: &[&str], code: u16) {
        let mut client = self.connect();
        frames.iter().for_each(|frame| client.send(frame));
        let told = loop {
            let (opcode, payload) = client.receive();
            if opcode & 0x0f == CLOSE {
                break payload;
            }
        };
        assert_eq!(told, code.to_be_bytes());
        assert_eq!(client.0.read(&mut [0]).unwrap_or(0), 0, "the connection ends");
        passing.iter().for_each(|text| self.assert_arrives(text));
        self.assert_arrives(&format!(
            "{} {:?}",
            FIN | CLOSE,
            code.to_be_bytes().escape_ascii().to_string()
        ));
    }
}

impl Client {
    fn send(&mut self, frame: &[u8]) {
        // It may be refused before all of it was read.
        let _ = self.0.write_all(frame);
    }

    /// First byte and payload of a frame of a server.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        receive(&mut self.0).expect("a frame")
    }
}

/// A frame as clients send them: masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5e, 0x1d, 0xed, 0x9e];
    let mut out = vec![first];
    match payload.len() {
        length @ ..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// First byte and payload, unmasked; `None` at the end of the connection.
fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut exactly = |length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let head = exactly(2)?;
    let length = match head[1] & 0x7f {
        126 => exactly(2)?,
        127 => exactly(8)?,
        short => vec![short],
    };
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let mask = if head[1] & 0x80 != 0 { exactly(4)? } else { vec![0; 4] };
    let mut payload = exactly(length)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some((head[0], payload))
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Sends back what it gets; its threads end with the process of the tests.
fn application() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (arrivals, arrived) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let arrivals = arrivals.clone();
            std::thread::spawn(move || {
                let _ = arrivals.send(read_head(&mut stream));
                let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                let _ = stream.write_all(switch.as_bytes());
                while let Some((first, payload)) = receive(&mut stream) {
                    let shown = payload.escape_ascii().to_string();
                    let _ = arrivals.send(format!("{first} {shown:?}"));
                    let mut echo = frame(first, &payload);
                    // Servers do not mask.
                    let end = echo.len() - payload.len();
                    echo.splice(end - 4.., payload);
                    echo[1] &= 0x7f;
                    let _ = stream.write_all(&echo);
                }
            });
        }
    });
    (address, arrived)
}

#[test]
fn messages_pass_and_attacks_end_the_connection() {
    let mut stage = Stage::new("");
    let mut client = stage.connect();
    client.send(&frame(FIN | TEXT, b"hello"));
    assert_eq!(client.receive(), (FIN | TEXT, b"hello".to_vec()));
    stage.assert_arrives("129 \"hello\"");
    let first = "hello ".repeat(1_000);
    client.send(&frame(FIN | TEXT, first.as_bytes()));
    assert_eq!(client.receive(), (FIN | TEXT, first.as_bytes().to_vec()));
    stage.assert_arrives(&format!("129 {first:?}"));
    // However much went before it, a frame of nearly 64 KiB is judged whole.
    let long = "the union selects ".repeat(3_600);
    client.send(&frame(FIN | BINARY, long.as_bytes()));
    assert_eq!(client.receive(), (FIN | BINARY, long.as_bytes().to_vec()));
    stage.assert_arrives(&format!("130 {long:?}"));
    client.send(&frame(FIN | PING, b"UNION SELECT"));
    assert_eq!(client.receive().1, b"UNION SELECT");
    stage.assert_arrives("137 \"UNION SELECT\"");

    stage.check_refused(&[frame(FIN | TEXT, ATTACK)], &[], POLICY);
    let decision = stage.edge.read("\"kind\":\"decision\"");
    let expected = r#""findings":[{"rule":"sql/union-of-tests","score":25,"#;
    assert!(decision.contains(expected), "{decision}");
    let expected = "WEBSOCKET_FRAME, bytes 2 to 14 of the decoded text: 1 »union select« 2";
    assert!(decision.contains(expected), "{decision}");
    let exchange = stage.edge.read("\"refused_by\":\"agent/blocked\"");
    assert!(exchange.contains(r#""status":101,"#), "{exchange}");
    assert!(exchange.contains(r#""event":"websocket_frame","outcome":"block""#), "{exchange}");
}

#[test]
fn a_message_in_pieces_is_judged_as_one() {
    let stage = Stage::new("");
    let passing = ["1 \"1 UNION SE\"", "137 \"\""];
    let pieces =
        [frame(TEXT, b"1 UNION SE"), frame(FIN | PING, b""), frame(FIN | CONTINUATION, b"LECT 2")];
    stage.check_refused(&pieces, &passing, POLICY);
    // The first piece of a message whose rest passes is not held against the next one.
    let mut client = stage.connect();
    for (first, payload) in
        [(TEXT, &b"1 UNION SE"[..]), (FIN | CONTINUATION, b"A"), (FIN | TEXT, b"LECT 2")]
    {
        client.send(&frame(first, payload));
        assert_eq!(client.receive(), (first, payload.to_vec()));
    }
}

#[test]
fn pieces_that_no_message_has_end_the_connection() {
    let stage = Stage::new("");
    // An application that takes them all the same would put together what was never judged as one.
    let pieces = [frame(TEXT, b"1 UNION SE"), frame(TEXT, b"LECT 2")];
    stage.check_refused(&pieces, &["1 \"1 UNION SE\""], PROTOCOL_ERROR);
    stage.check_refused(&[frame(FIN | CONTINUATION, b"a")], &[], PROTOCOL_ERROR);
}

#[test]
fn what_cannot_be_judged_does_not_pass() {
    let stage = Stage::new("");
    stage.check_refused(&[frame(FIN | BINARY, ATTACK)], &[], POLICY);
    stage.check_refused(&[frame(FIN | RSV1 | TEXT, b"\x00\x01")], &[], PROTOCOL_ERROR);
    stage.check_refused(&[[&[FIN | TEXT, 1][..], b"a"].concat()], &[], PROTOCOL_ERROR);
    stage.check_refused(&[frame(FIN | PONG | 4, b"")], &[], PROTOCOL_ERROR);
    stage.check_refused(&[frame(FIN | TEXT, &[b'a'; 64 << 10])], &[], POLICY);
    let announced = [&[FIN | BINARY, 0xff][..], &(2_u64 << 20).to_be_bytes(), b"mask"].concat();
    stage.check_refused(&[announced], &[], TOO_BIG);
}

#[test]
fn an_agent_that_only_watches_ends_nothing() {
    let mut stage = Stage::new("mode \"detect\"");
    let mut client = stage.connect();
    client.send(&frame(FIN | TEXT, ATTACK));
    assert_eq!(client.receive(), (FIN | TEXT, ATTACK.to_vec()));
    drop(client);
    let decision = stage.edge.read("\"kind\":\"decision\"");
    assert!(decision.contains(r#""decision":"allow""#), "{decision}");
    assert!(decision.contains("sql/union-of-tests"), "{decision}");
}
