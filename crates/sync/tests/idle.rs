//! What a connection holds while nothing happens on it: thousands of them are open for days.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    os::unix::net::UnixStream as Socket,
    sync::atomic::{AtomicIsize, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method};
use selvedge_crdt::{
    BatchHash, Document, ReplicaId, Writer,
    session::{ClientFrame, DocumentId, RelayFrame, SUBPROTOCOL, Sealing, VERSION},
};
use selvedge_eventlog::Log;
use selvedge_seal::{
    Device, Rights,
    token::{Capability, Documents, Holder, IssuerKey, Issuers},
};
use selvedge_sync::{Incarnation, RECORD_BYTES_MAX, Settings, Sync};
use tokio::{
    net::UnixStream,
    runtime::{Builder, Handle},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// Bytes that are asked for and not given back, by all threads but those of devices.
static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static IS_DEVICE: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    if !IS_DEVICE.get() {
        LIVE.fetch_add(bytes, Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be told of otherwise")]
// SAFETY: every call goes to the system's allocator unchanged; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Opened beforehand: what the first ones cost is not what each costs.
const FIRST: u32 = 64;
const CONNECTIONS: u32 = 512;
/// Bytes of the relay's heap for each, with its document, and what the log holds of that.
const EACH_MAX: isize = 4 << 10;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_idle_connection_holds_little() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sync = open(folder.path());
    let looking = sync.clone();
    runtime.spawn(async move { looking.look_after().await });
    let relay = runtime.handle().clone();
    std::thread::spawn(move || {
        IS_DEVICE.set(true);
        let devices = Builder::new_current_thread().enable_all().build().unwrap();
        let mut open = Vec::new();
        let mut connect = |number| open.push(devices.block_on(connected(&sync, &relay, number)));
        (0..FIRST).for_each(&mut connect);
        std::thread::sleep(Duration::from_secs(2));
        let before = LIVE.load(Relaxed);
        (FIRST..FIRST + CONNECTIONS).for_each(&mut connect);
        let each = || (LIVE.load(Relaxed) - before) / CONNECTIONS as isize;
        let until = Instant::now() + PATIENCE;
        while each() > EACH_MAX {
            assert!(Instant::now() < until, "{} bytes each", each());
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(sync.connections(), open.len());
    })
    .join()
    .unwrap();
}

fn open(folder: &std::path::Path) -> Sync {
    let bounds = selvedge_eventlog::Settings {
        record_bytes_max: RECORD_BYTES_MAX,
        ..selvedge_eventlog::Settings::default()
    };
    let mut issuers = Issuers::default();
    issuers.add(key().public()).unwrap();
    let life = Incarnation { id: [7; 16], lost_ms: 0 };
    Sync::open(Log::open(folder, bounds).unwrap(), Settings::default(), (life, issuers)).unwrap()
}

fn key() -> IssuerKey {
    IssuerKey::from_seed([9; 32])
}

/// A device that has a document of its own open, into which it has written a field.
async fn connected(sync: &Sync, relay: &Handle, number: u32) -> WebSocketStream<UnixStream> {
    let mut socket = greet(sync, relay).await;
    let mut seed = [1; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let device = Device::from_seed(seed);
    let document = DocumentId::new("acme", &format!("notes/{number}")).unwrap();
    let replica = ReplicaId(*seed.first_chunk().unwrap());
    let hello = ClientFrame::Hello { version: VERSION, device: device.id(), credit: 1 << 20 };
    say(&mut socket, hello.to_bytes(0)).await;
    let challenge = hear(&mut socket, |frame| match frame {
        RelayFrame::Welcome { challenge, .. } => Some(challenge),
        _ => None,
    });
    let (challenge, token) = (challenge.await, token(&document, &device));
    let proof = device.prove(&challenge, &document, token.as_bytes());
    let (of, replicas) = (document.clone(), vec![replica]);
    let open = ClientFrame::Open { document: of, token: &token, proof, resume: None, replicas };
    say(&mut socket, open.to_bytes(1)).await;
    hear(&mut socket, |frame| matches!(frame, RelayFrame::Opened(_)).then_some(())).await;
    let (mut content, mut writer) = (Document::new(), Writer::new(replica));
    writer.edit(&mut content, now_ms()).set("note", "title", "Milk".into()).unwrap();
    let batch = writer.take_batch().unwrap().encode(BatchHash::NONE);
    let record = device.sign_batch(&document, Sealing::Plain, &batch).to_bytes();
    say(&mut socket, ClientFrame::Push { record: &record }.to_bytes(1)).await;
    hear(&mut socket, |frame| matches!(frame, RelayFrame::Ack { .. }).then_some(())).await;
    socket
}

/// As if a request had become a connection.
async fn greet(sync: &Sync, relay: &Handle) -> WebSocketStream<UnixStream> {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", SUBPROTOCOL),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    let (here, there) = Socket::pair().unwrap();
    let sync = sync.clone();
    // All that the relay holds is asked for by its own threads.
    relay.spawn(async move {
        let seat = sync.welcome(&Method::GET, &fields).ok().unwrap().seat;
        there.set_nonblocking(true).unwrap();
        tokio::spawn(seat.serve(UnixStream::from_std(there).unwrap()));
    });
    here.set_nonblocking(true).unwrap();
    WebSocketStream::from_raw_socket(UnixStream::from_std(here).unwrap(), Role::Client, None).await
}

async fn say(socket: &mut WebSocketStream<UnixStream>, message: Vec<u8>) {
    socket.send(Message::Binary(message.into())).await.unwrap();
}

async fn hear<T>(
    socket: &mut WebSocketStream<UnixStream>,
    wanted: impl Fn(RelayFrame<'_>) -> Option<T>,
) -> T {
    loop {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap()
            && let Some(found) = wanted(RelayFrame::read(&bytes).unwrap().1)
        {
            return found;
        }
    }
}

fn token(document: &DocumentId, device: &Device) -> String {
    let capability = Capability {
        tenant: document.tenant().to_owned(),
        documents: Documents::One(document.name().to_owned()),
        rights: Rights::READ | Rights::WRITE,
        holder: Holder::Key(device.id()),
        expires: now_ms() / 1000 + 86_400,
        not_before: None,
        issued: None,
        id: device.id().to_string(),
        subject: "somebody".to_owned(),
        link: None,
    };
    key().mint(&capability).unwrap()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}
