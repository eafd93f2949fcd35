//! Clients of the relay that mean no good, or do not read.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use selvedge_crdt::session::{CONNECTION, ClientFrame, DocumentId, RelayFrame, VERSION};
use selvedge_seal::Device;
use socket2::{Domain, Type};

use crate::{
    core::{CORE, token, up},
    doc::Keeper,
    http::get_with,
    process::Place,
};

/// Operation codes of RFC 6455, section 5.2.
const BINARY: u8 = 2;
const PING: u8 = 9;

/// A WebSocket to the relay, through the edge.
struct Socket {
    stream: TcpStream,
}

impl Socket {
    fn open(url: &str) -> Self {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let address: SocketAddr = authority.parse().unwrap();
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut stream: TcpStream = socket.into();
        let request = format!(
            "GET /_selvedge/sync HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: selvedge-sync.1\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }

    /// A frame whose mask is zero, so that its bytes stay as they are.
    fn frame(code: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | code];
        match u8::try_from(content.len()).ok().filter(|len| *len < 126) {
            Some(len) => frame.push(0x80 | len),
            None => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(content);
        frame
    }

    fn say(&mut self, frame: &ClientFrame<'_>, channel: u32) {
        self.stream.write_all(&Self::frame(BINARY, &frame.to_bytes(channel))).unwrap();
    }

    /// The content of the next frame, which is a small one.
    fn hear(&mut self) -> Vec<u8> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let mut len = usize::from(head[1]);
        if len == 126 {
            self.stream.read_exact(&mut head).unwrap();
            len = u16::from_be_bytes(head).into();
        }
        let mut content = vec![0; len];
        self.stream.read_exact(&mut content).unwrap();
        content
    }
}

#[test]
fn who_pings_and_does_not_read_is_not_read_from() {
    const ENOUGH: usize = 256 << 20;
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let mut socket = Socket::open(&url);
    socket.stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let pings = Socket::frame(PING, &[7; 125]).repeat(1024);
    let mut sent = 0;
    let stopped = loop {
        match socket.stream.write(&pings) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error,
        }
        assert!(sent < ENOUGH, "all of it lies in somebody's memory");
    };
    assert!(matches!(stopped.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{stopped}");
}

#[test]
fn who_never_reads_holds_nobody_up() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let writer = Keeper::new(&place, "writer", &url);
    writer.keeps("notes", &[]);

    let device = Device::from_seed([7; 32]);
    let capability = writer.token_for("notes", "read", &device.id().to_string());
    let mut deaf = Socket::open(&url);
    deaf.say(
        &ClientFrame::Hello { version: VERSION, device: device.id(), credit: u32::MAX },
        CONNECTION,
    );
    let greeting = deaf.hear();
    let Ok((_, RelayFrame::Welcome { challenge, .. })) = RelayFrame::read(&greeting) else {
        panic!("{greeting:?}");
    };
    let document = DocumentId::new("default", "notes").unwrap();
    let proof = device.prove(&challenge, &document, capability.as_bytes());
    let open =
        ClientFrame::Open { document, token: &capability, proof, resume: None, replicas: vec![] };
    deaf.say(&open, 1);
    let opened = deaf.hear();
    assert!(matches!(RelayFrame::read(&opened), Ok((1, RelayFrame::Opened(_)))), "{opened:?}");

    // More than the queue of a connection and the buffers of the system, which are small here.
    let value = "x".repeat(60_000);
    let fields: Vec<String> = (0..16).map(|field| format!("f{field}={value}")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    for entity in 0..12 {
        writer.run(&[&["set", "notes", &format!("n/{entity}")], &fields[..]].concat());
    }
    assert_eq!(writer.json(&["sync", "notes"])["waiting"], 0);
    let reader = Keeper::new(&place, "reader", &url);
    reader.keeps("notes", &[]);
    reader.run(&["sync", "notes", "--wait", "60s"]);
    assert_eq!(reader.json(&["get", "notes"]).as_object().unwrap().len(), 12);

    let bearer = format!("Authorization: Bearer {}", token(&place, "m --scope metrics:read"));
    let metrics = get_with(&format!("{url}_selvedge/metrics"), &[&bearer]).body;
    let lags = metrics.lines().find_map(|line| line.strip_prefix("selvedge_sync_lags_total "));
    assert_ne!(lags, Some("0"), "it was served from the log");
    drop(deaf);
}
