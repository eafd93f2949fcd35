//! The relay with many connections, one that never reads, and one that floods: run on demand, it prints what it measured.
//!
//! `cargo test --release -p selvedge-sync --test it load:: -- --ignored --nocapture`. `SELVEDGE_LOAD_CONNECTIONS` says how many
//! (20,000). The relay is a process of its own: this program again, as which it is told by its environment.

#![expect(clippy::print_stdout, reason = "figures are what it is run for")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Lines},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use selvedge_crdt::{
    BatchHash, Document, ReplicaId, Writer,
    session::{CONNECTION, ClientFrame, DocumentId, NONCE_BYTES, RelayFrame, Sealing, VERSION},
};
use selvedge_seal::{Device, Rights};
use selvedge_sync::Settings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::relay;

/// Set in the process that is the relay: the folder of its log.
const FOLDER: &str = "SELVEDGE_LOAD_RELAY";
const COUNT: &str = "SELVEDGE_LOAD_CONNECTIONS";
/// Connections that are made at once.
const AT_ONCE: usize = 64;
/// Connections of one source address.
const PER_ADDRESS: usize = 10_000;
/// Files of each process that are no connections.
const FILES: u64 = 200;
/// Batches whose acknowledgements are timed.
const TIMED: usize = 50;
/// What the loud device pushes, and how many of them before it waits for one.
const LOUD_BYTES: usize = 16 << 10;
const IN_FLIGHT: usize = 100;
/// What an idle connection may take of the relay's memory.
const GOAL: u64 = 10 << 10;
const ANSWER: &[u8] = b"HTTP/1.1 101 \r\n\r\n";

fn document() -> DocumentId {
    DocumentId::new("acme", "notes").unwrap()
}

fn token(device: &Device) -> String {
    relay::token(&document(), device, Rights::READ | Rights::WRITE)
}

/// As many open files as the system gives.
fn raise_files() -> u64 {
    let wanted = Rlimit { current: Some(65_536), maximum: Some(65_536) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
#[ignore = "a process of the test below"]
fn relay_process() {
    let Ok(folder) = env::var(FOLDER) else { return };
    raise_files();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(listen(folder.as_ref()));
}

async fn listen(folder: &Path) {
    let settings = Settings { device_pushes_per_s: 0, ..Settings::default() };
    let relay = relay::Relay::open(folder, settings);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    println!("\nport={}", listener.local_addr().unwrap().port());
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(relay.clone(), stream));
    }
}

/// The relay is given what a request became, as a server would do it.
async fn serve(relay: relay::Relay, mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    drop(head);
    let seat = relay.seat();
    if stream.write_all(ANSWER).await.is_ok() {
        seat.serve(stream).await;
    }
}

/// The relay's process, which ends with the test.
struct Relay {
    child: Child,
    port: u16,
    /// It would die of saying something to nobody.
    _says: Lines<BufReader<ChildStdout>>,
}

impl Relay {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "load::relay_process", "--nocapture"]);
        let mut child = command.env(FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().strip_prefix("port=")?.parse().ok());
        Self { child, port: port.expect("it says its port"), _says: lines }
    }

    /// What it has in memory.
    fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Socket = WebSocketStream<TcpStream>;

/// A connection from one of several addresses, with the document open.
async fn connect(port: u16, number: usize, (device, token): (&Device, &str)) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    let last = u8::try_from(2 + number / PER_ADDRESS).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    let mut stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; ANSWER.len()]).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let hello = ClientFrame::Hello { version: VERSION, device: device.id(), credit: u32::MAX };
    say(&mut socket, CONNECTION, &hello).await;
    let challenge: [u8; NONCE_BYTES] = hear(&mut socket, |frame| match frame {
        RelayFrame::Welcome { challenge, .. } => Some(challenge),
        _ => None,
    })
    .await;
    let proof = device.prove(&challenge, &document(), token.as_bytes());
    let open =
        ClientFrame::Open { document: document(), token, proof, resume: None, replicas: vec![] };
    say(&mut socket, 1, &open).await;
    hear(&mut socket, |frame| matches!(frame, RelayFrame::Opened(_)).then_some(())).await;
    socket
}

async fn say(socket: &mut Socket, channel: u32, frame: &ClientFrame<'_>) {
    socket.send(Message::Binary(frame.to_bytes(channel).into())).await.unwrap();
}

async fn hear<T>(socket: &mut Socket, mut wanted: impl FnMut(RelayFrame<'_>) -> Option<T>) -> T {
    loop {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap()
            && let Ok((_, frame)) = RelayFrame::read(&bytes)
            && let Some(found) = wanted(frame)
        {
            return found;
        }
    }
}

/// A device that pushes batches.
struct Pusher {
    device: Device,
    replica: ReplicaId,
    document: Document,
    writer: Writer,
    prev: BatchHash,
}

impl Pusher {
    fn new(seed: u8) -> Self {
        let replica = ReplicaId([seed; 16]);
        let (device, writer) = (Device::from_seed([seed; 32]), Writer::new(replica));
        Self { device, replica, document: Document::new(), writer, prev: BatchHash::NONE }
    }

    async fn connect(&self, relay: u16) -> Socket {
        connect(relay, 0, (&self.device, &token(&self.device))).await
    }

    async fn push(&mut self, socket: &mut Socket, value: &str) {
        self.writer
            .edit(&mut self.document, relay::now_ms())
            .set("n", "value", value.into())
            .unwrap();
        let batch = self.writer.take_batch().unwrap().encode(self.prev);
        self.prev = BatchHash::of(&batch);
        let record = self.device.sign_batch(&document(), Sealing::Plain, &batch).to_bytes();
        say(socket, 1, &ClientFrame::Push { record: &record }).await;
    }

    async fn acknowledged(&self, socket: &mut Socket) {
        hear(socket, |frame| match frame {
            RelayFrame::Ack { replica, .. } if replica == self.replica => Some(()),
            RelayFrame::Refused { why, .. } => panic!("refused: {why}"),
            _ => None,
        })
        .await;
    }

    /// How long acknowledgements take: in the middle, and of a hundred all but one.
    async fn timed(&mut self, socket: &mut Socket) -> (Duration, Duration) {
        let mut times = Vec::with_capacity(TIMED);
        for _ in 0..TIMED {
            let sent = Instant::now();
            self.push(socket, "quiet").await;
            self.acknowledged(socket).await;
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        (times[TIMED / 2], times[TIMED * 99 / 100])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "twenty thousand connections: run on demand"]
async fn idle_ones_are_cheap_and_the_deaf_and_the_loud_hold_nobody_up() {
    let wanted = env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let count = raise_files().saturating_sub(FILES).min(wanted);
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(folder.path());
    let device = Arc::new(Device::from_seed([1; 32]));
    let token = Arc::new(token(&device));
    // What the relay needs for the first is not one of many's.
    let first = connect(relay.port, 0, (&device, &token)).await;
    let (before, began) = (relay.rss(), Instant::now());
    let idle = many(&relay, usize::try_from(count).unwrap(), (&device, &token)).await;
    let took = began.elapsed();
    let each = relay.rss().saturating_sub(before) / count;
    println!(
        "{count} idle connections, each with a document open, made in {took:?}: {each} bytes each"
    );
    drop((first, idle));
    deaf_and_loud(&relay).await;
    assert!(each <= GOAL, "{each} bytes for an idle connection");
}

async fn many(
    relay: &Relay,
    count: usize,
    (device, token): (&Arc<Device>, &Arc<String>),
) -> Vec<Socket> {
    let (mut making, mut idle) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        let (port, device, token) = (relay.port, device.clone(), token.clone());
        making.spawn(async move { connect(port, number, (&device, &token)).await });
        if making.len() >= AT_ONCE {
            idle.extend(making.join_next().await.map(Result::unwrap));
        }
    }
    while let Some(made) = making.join_next().await {
        idle.push(made.unwrap());
    }
    idle
}

/// One subscriber never reads, one device pushes as fast as it may, and another is timed.
async fn deaf_and_loud(relay: &Relay) {
    let (deaf, mut quiet) = (Pusher::new(2), Pusher::new(3));
    let _deaf = deaf.connect(relay.port).await;
    let mut socket = quiet.connect(relay.port).await;
    let (p50, p99) = quiet.timed(&mut socket).await;
    println!("acknowledged alone: p50 {p50:?}, p99 {p99:?}");

    let before = relay.rss();
    let (pushed, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let flooding = tokio::spawn(flood(relay.port, pushed.clone(), is_over.clone()));
    let (p50, p99) = quiet.timed(&mut socket).await;
    is_over.store(true, Relaxed);
    flooding.await.unwrap();
    let (batches, grown) = (pushed.load(Relaxed), relay.rss().saturating_sub(before));
    println!(
        "beside a flood of {batches} batches of 16 KiB and a subscriber that never reads: p50 {p50:?}, p99 {p99:?}; \
         the relay has {grown} bytes more"
    );
    assert!(batches > 0, "nobody flooded");
}

async fn flood(port: u16, pushed: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
    let (mut loud, value) = (Pusher::new(4), "x".repeat(LOUD_BYTES));
    let mut socket = loud.connect(port).await;
    let mut in_flight = 0;
    while !is_over.load(Relaxed) {
        if in_flight < IN_FLIGHT {
            loud.push(&mut socket, &value).await;
            in_flight += 1;
        } else {
            loud.acknowledged(&mut socket).await;
            pushed.fetch_add(1, Relaxed);
            in_flight -= 1;
        }
    }
}
