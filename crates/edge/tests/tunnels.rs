//! What a tunnel holds while nothing passes through it: thousands of them are open for days.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use selvedge_config::{SystemEnvironment, parse_str};
use selvedge_edge::Edge;
use selvedge_telemetry::{Hub, Settings};

/// Bytes that are asked for and not given back.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be told of otherwise")]
// SAFETY: every call goes to the system's allocator unchanged; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Opened beforehand: what the first ones cost is not what each costs.
const FIRST: usize = 64;
const TUNNELS: usize = 512;
/// Bytes of the edge's heap for each tunnel.
const EACH_MAX: usize = 3 << 10;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const ASK: &str = "GET /sync HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   User-Agent: test/1.0\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn an_idle_tunnel_holds_little() {
    let upstream = switching();
    let text = format!(
        "workers 1\nadmin #false\ntelemetry {{ access-log #false }}\n\
         limits {{ connections-per-address 10000 }}\n\
         listener \"http\" {{ address \"127.0.0.1:0\" }}\n\
         upstream \"u\" {{ target \"{upstream}\"; pool {{ connections 10000 }} }}\n\
         route \"all\" {{ upstream \"u\" }}\n"
    );
    let loaded = parse_str("selvedge.kdl", &text, &SystemEnvironment);
    let config = Arc::new(loaded.unwrap_or_else(|report| panic!("{report}")).config);
    let hub = Hub::start(&Settings::quiet(config.workers)).unwrap();
    let edge = Edge::start(config, hub).unwrap();
    let address = edge.addresses()[0].1;
    let mut clients = Vec::with_capacity(FIRST + TUNNELS);
    clients.extend((0..FIRST).map(|_| tunnel(address)));
    thread::sleep(Duration::from_millis(100));
    let before = LIVE.load(Relaxed);
    clients.extend((0..TUNNELS).map(|_| tunnel(address)));
    let until = Instant::now() + PATIENCE;
    let each = || LIVE.load(Relaxed).saturating_sub(before) / TUNNELS;
    while each() > EACH_MAX {
        assert!(Instant::now() < until, "{} bytes each", each());
        thread::sleep(Duration::from_millis(5));
    }
    for client in &mut clients {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(clients);
    edge.drain(PATIENCE);
}

/// A tunnel through the edge, through which a byte has gone both ways.
fn tunnel(edge: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(ASK.as_bytes()).unwrap();
    read_head(&mut stream);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// Reads up to an empty line, and holds nothing of it.
fn read_head(stream: &mut TcpStream) {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        stream.read_exact(&mut last[3..]).unwrap();
    }
}

/// A server that switches, and sends back each byte. One thread has all connections, and looks at them in turns.
fn switching() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut peers = Vec::with_capacity(FIRST + TUNNELS);
    thread::spawn(move || {
        listener.set_nonblocking(true).unwrap();
        loop {
            if let Ok((mut stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                read_head(&mut stream);
                stream.write_all(SWITCH.as_bytes()).unwrap();
                stream.set_nonblocking(true).unwrap();
                peers.push(stream);
            }
            peers.retain_mut(|peer: &mut TcpStream| {
                let mut byte = [0];
                match peer.read(&mut byte) {
                    Ok(0) => false,
                    Ok(_) => peer.write_all(&byte).is_ok(),
                    Err(error) => error.kind() == ErrorKind::WouldBlock,
                }
            });
            thread::yield_now();
        }
    });
    address
}
