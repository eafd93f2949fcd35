//! What strangers, guests and bad luck may not do to what all share.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use selvedge_crdt::{
    ReplicaId,
    session::{
        CONNECTION, ClientFrame, OPEN_BYTES_MAX, RelayFrame, Signature, SnapshotHash, VERSION,
    },
};
use selvedge_eventlog::{Append, Settings as LogSettings, StreamOptions};
use selvedge_seal::{
    Device, Rights,
    token::{Capability, Documents, Holder, IssuerKey, Issuers},
};
use tempfile::TempDir;
use tokio::{io::DuplexStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::*;
use crate::Seat;

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn device() -> Device {
    Device::from_seed([1; 32])
}

fn notes() -> DocumentId {
    DocumentId::new("acme", "notes").unwrap()
}

fn token() -> String {
    let capability = Capability {
        tenant: "acme".to_owned(),
        documents: Documents::All,
        rights: Rights::READ | Rights::WRITE,
        holder: Holder::Key(device().id()),
        expires: now_ms() / 1000 + 86_400,
        not_before: None,
        issued: None,
        id: "the token".to_owned(),
        subject: "ann".to_owned(),
        link: None,
    };
    IssuerKey::from_seed([9; 32]).mint(&capability).unwrap()
}

fn hub(settings: Settings) -> (TempDir, Arc<Hub>) {
    let folder = tempfile::tempdir().unwrap();
    let bounds =
        LogSettings { record_bytes_max: crate::RECORD_BYTES_MAX, ..LogSettings::default() };
    let log = Log::open(folder.path(), bounds).unwrap();
    let mut issuers = Issuers::default();
    issuers.add(IssuerKey::from_seed([9; 32]).public()).unwrap();
    let incarnation = Incarnation { id: [7; 16], lost_ms: 0 };
    let hub = Hub::open(log, settings, (incarnation, Warden::new(issuers))).unwrap();
    (folder, Arc::new(hub))
}

/// A device, as bytes come from it.
struct Wire {
    socket: WebSocketStream<DuplexStream>,
    connection: Arc<Connection>,
    served: JoinHandle<()>,
    challenge: [u8; NONCE_BYTES],
}

impl Wire {
    async fn new(hub: &Arc<Hub>) -> Self {
        let connection = hub.welcome().unwrap();
        let (here, there) = tokio::io::duplex(1 << 20);
        let seat = Seat { hub: hub.clone(), connection: connection.clone() };
        let served = tokio::spawn(seat.serve(there));
        let socket = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
        let mut wire = Self { socket, connection, served, challenge: [0; NONCE_BYTES] };
        let device = device().id();
        let hello = ClientFrame::Hello { version: VERSION, device, credit: 1 << 20 };
        wire.say(CONNECTION, &hello).await;
        wire.challenge = wire
            .hear(|_, frame| match frame {
                RelayFrame::Welcome { challenge, .. } => Some(*challenge),
                _ => None,
            })
            .await;
        wire
    }

    async fn say(&mut self, channel: u32, frame: &ClientFrame<'_>) {
        self.send(frame.to_bytes(channel)).await;
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    async fn open(&mut self, channel: u32, document: &DocumentId) {
        let token = token();
        let proof = device().prove(&self.challenge, document, token.as_bytes());
        let (document, resume, replicas) = (document.clone(), None, vec![ReplicaId([1; 16])]);
        let open = ClientFrame::Open { document, token: &token, proof, resume, replicas };
        self.say(channel, &open).await;
    }

    /// Waits for something.
    async fn hear<T>(&mut self, mut wanted: impl FnMut(u32, &RelayFrame<'_>) -> Option<T>) -> T {
        loop {
            let came = timeout(PATIENCE, self.socket.next()).await.expect("it is said");
            let Message::Binary(bytes) = came.expect("it is open").expect("it is whole") else {
                continue;
            };
            let (channel, frame) = RelayFrame::read(&bytes).unwrap();
            if let Some(found) = wanted(channel, &frame) {
                return found;
            }
        }
    }

    async fn closed(&mut self) -> CloseReason {
        self.hear(|_, frame| match frame {
            RelayFrame::Closed { why, .. } => Some(*why),
            _ => None,
        })
        .await
    }

    async fn opened(&mut self) {
        self.hear(|_, frame| matches!(frame, RelayFrame::Opened(_)).then_some(())).await;
    }

    /// Waits until the relay has seen OPEN.
    async fn asks(&self) {
        let asked = async {
            while !self.connection.within(|machine| machine.is_admitted()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.expect("it is asked");
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_while_its_document_is_opened_opens_nothing() {
    let (_folder, hub) = hub(Settings::default());
    let mut wire = Wire::new(&hub).await;
    let disk = hub.disk.acquire_many(DISK_READS_MAX as u32).await.unwrap();
    wire.open(1, &notes()).await;
    wire.asks().await;
    hub.revoke("the token", u64::MAX, None).done();
    drop(disk);
    assert_eq!(wire.closed().await, CloseReason::Expired);
    let document = hub.loaded(&notes()).unwrap();
    assert!(!document.is_open_for(&device().id()));
}

#[tokio::test]
async fn who_goes_away_while_a_document_is_opened_leaves_its_place() {
    let settings = Settings { tenant_channels_max: 1, ..Settings::default() };
    let (_folder, hub) = hub(settings);
    let mut wire = Wire::new(&hub).await;
    let disk = hub.disk.acquire_many(DISK_READS_MAX as u32).await.unwrap();
    wire.open(1, &notes()).await;
    wire.asks().await;
    wire.connection.cut();
    wire.served.await.unwrap();
    drop(disk);
    assert_eq!(hub.metrics.channels.load(Relaxed), 0);
    let mut wire = Wire::new(&hub).await;
    wire.open(1, &DocumentId::new("acme", "another").unwrap()).await;
    wire.opened().await;
}

/// A connection of so many milliseconds ago, of which something was heard just now.
fn since(hub: &Arc<Hub>, ago_ms: u64, said: &[ClientFrame<'_>]) -> Arc<Connection> {
    let mut machine = RelayConnection::new([0; NONCE_BYTES], Limits::default());
    let now_ms = hub.now_ms();
    for (channel, frame) in said.iter().enumerate() {
        machine.receive(&frame.to_bytes(channel as u32), now_ms);
    }
    let connection = Arc::new(Connection::new(hub.number(), machine, now_ms - ago_ms));
    connection.heard_ms.store(now_ms, Relaxed);
    connection.moved_ms.store(now_ms, Relaxed);
    locked(&hub.connections).insert(connection.id, connection.clone());
    connection
}

/// Anybody may connect: without a token nobody stays, whatever he says.
#[tokio::test]
async fn who_shows_no_token_does_not_stay() {
    let (_folder, hub) = hub(Settings::default());
    let hello = ClientFrame::Hello { version: VERSION, device: device().id(), credit: 0 };
    let (text, proof) = (token(), Signature([0; 64]));
    let open = ClientFrame::Open {
        document: notes(),
        token: &text,
        proof,
        resume: None,
        replicas: Vec::new(),
    };
    let trickles = since(&hub, OPEN_MS + 1, &[]);
    let greets = since(&hub, OPEN_MS - 1_000, std::slice::from_ref(&hello));
    let stays = since(&hub, OPEN_MS + 1, std::slice::from_ref(&hello));
    let deaf = since(&hub, 2 * OPEN_MS + 1, std::slice::from_ref(&hello));
    let opens = since(&hub, 2 * OPEN_MS + 1, &[hello, open]);
    hub.sweep_connections();
    let is_cut = |connection: &Connection| connection.is_cut.load(Relaxed);
    let is_over = |connection: &Connection| connection.within(|machine| machine.is_over());
    assert!(is_over(&trickles), "it says a byte from time to time");
    assert!(is_over(&stays) && !is_cut(&stays), "it says HELLO, and answers pings");
    assert!(is_cut(&deaf), "it does not read that it is to go");
    for fine in [greets, opens] {
        assert!(!is_cut(&fine) && !is_over(&fine));
    }
}

#[tokio::test]
async fn what_a_stranger_sends_is_not_kept() {
    let (_folder, hub) = hub(Settings::default());
    let mut wire = Wire::new(&hub).await;
    // Only its head and a little more: the rest would be waited for.
    wire.send(vec![3; OPEN_BYTES_MAX + 1]).await;
    let came = timeout(PATIENCE, wire.socket.next()).await.expect("it is told");
    let Some(Ok(Message::Close(Some(close)))) = came else { panic!("{came:?}") };
    assert_eq!(u16::from(close.code), 1009);

    let mut wire = Wire::new(&hub).await;
    wire.open(1, &notes()).await;
    wire.opened().await;
    let mut push = ClientFrame::Push { record: &[] }.to_bytes(1);
    push.resize(MESSAGE_BYTES_MAX - 64, 7);
    wire.send(push).await;
    let rejected = |_: u32, frame: &RelayFrame<'_>| {
        matches!(frame, RelayFrame::Rejected { frame: 3, .. }).then_some(())
    };
    wire.hear(rejected).await;
}

#[tokio::test]
async fn tokens_are_looked_at_so_often() {
    let (_folder, hub) = hub(Settings { channels_max: 1, ..Settings::default() });
    let mut wire = Wire::new(&hub).await;
    let proof = Signature([0; 64]);
    let (mut denied, mut limited) = (0, 0);
    for channel in 1..=1_000 {
        let (document, resume, replicas) = (notes(), None, Vec::new());
        let token = "a.b.c";
        let open = ClientFrame::Open { document, token, proof, resume, replicas };
        wire.say(channel, &open).await;
        match wire.closed().await {
            CloseReason::Denied => denied += 1,
            CloseReason::Limit => limited += 1,
            why => panic!("{why:?}"),
        }
    }
    assert!(denied >= 32 && limited > 0, "{denied} denied, {limited} not looked at");
    // TOKEN is no way around it: the channel is closed, and to be opened again later.
    let mut wire = Wire::new(&hub).await;
    wire.open(1, &notes()).await;
    wire.opened().await;
    for _ in 0..1_000 {
        let text = token();
        let proof = device().prove(&wire.challenge, &notes(), text.as_bytes());
        wire.say(1, &ClientFrame::Token { token: &text, proof }).await;
    }
    assert_eq!(wire.closed().await, CloseReason::Limit);
}

#[tokio::test]
async fn names_that_nobody_wrote_to_are_not_kept() {
    let (_folder, hub) = hub(Settings { idle: Duration::from_secs(3600), ..Settings::default() });
    let written = DocumentId::new("acme", "written").unwrap();
    block_on(hub.log.create(&names::document(&written), StreamOptions::default())).unwrap();
    for document in [&written, &notes()] {
        let mut wire = Wire::new(&hub).await;
        wire.open(1, document).await;
        wire.opened().await;
        hub.sweep_documents(false).await;
        assert!(hub.loaded(document).is_some(), "somebody has it open");
        wire.connection.cut();
        wire.served.await.unwrap();
    }
    hub.sweep_documents(false).await;
    assert!(hub.loaded(&notes()).is_none());
    assert!(hub.loaded(&written).is_some(), "it takes a while to read it again");
}

#[tokio::test]
async fn so_many_snapshots_of_a_document_come_at_once() {
    let (_folder, hub) = hub(Settings::default());
    let document = hub.document(&notes()).await.unwrap();
    let streams: Vec<StreamId> = (0..6).map(|_| hub.log.new_stream()).collect();
    assert!(streams[..4].iter().all(|stream| document.begin_upload(*stream, 1_000)));
    assert!(!document.begin_upload(streams[4], 60_999));
    assert!(streams[1..4].iter().all(|stream| document.goes_on(*stream, 60_999)));
    // Who brings nothing for a while makes room, and hears of it.
    assert!(document.begin_upload(streams[4], 61_000));
    assert!(!document.goes_on(streams[0], 61_001));
    assert!(!document.begin_upload(streams[5], 61_001));
    document.end_upload(streams[2]);
    assert!(document.begin_upload(streams[5], 61_001));
}

/// Makes a snapshot that is nobody's, as a relay leaves it that was killed.
fn leave_snapshot(hub: &Hub, of: u8) -> StreamId {
    let (stream, name) = (hub.log.new_stream(), names::snapshot(&notes(), &SnapshotHash([of; 32])));
    let append = Append::to(stream).record(b"bytes");
    hub.log
        .append(Batch::create(stream, name, StreamOptions::default()).and(append))
        .wait()
        .unwrap();
    stream
}

fn snapshots(hub: &Hub) -> Vec<StreamId> {
    // What was asked for before is done then.
    hub.log.append(Batch::delete(leave_snapshot(hub, 255))).wait().unwrap();
    hub.log.list(&names::snapshots(&notes()), "", 100).iter().map(|info| info.id).collect()
}

#[tokio::test]
async fn snapshots_that_are_nobodys_go() {
    let (_folder, hub) = hub(Settings::default());
    leave_snapshot(&hub, 1);
    hub.document(&notes()).await.unwrap();
    assert_eq!(snapshots(&hub), [], "nobody had the document open");

    let streams: Vec<StreamId> = (0..5).map(|of| leave_snapshot(&hub, of)).collect();
    hub.sweep_snapshots(&notes(), (&[], &streams[..1]), 2);
    let left = snapshots(&hub);
    assert!(left.len() == 3 && left.contains(&streams[0]), "{left:?} of {streams:?}");
}

#[tokio::test]
async fn documents_are_saved_together() {
    let (_folder, hub) = hub(Settings { idle: Duration::ZERO, ..Settings::default() });
    let mut documents = Vec::new();
    for name in ["a", "b", "c"] {
        let id = DocumentId::new("acme", name).unwrap();
        block_on(hub.log.create(&names::document(&id), StreamOptions::default())).unwrap();
        let mut wire = Wire::new(&hub).await;
        wire.open(1, &id).await;
        wire.opened().await;
        wire.connection.cut();
        wire.served.await.unwrap();
        documents.push(hub.loaded(&id).unwrap());
    }
    let saves: Vec<Save> =
        documents.iter().filter_map(|document| hub.begin_save(document, false)).collect();
    assert_eq!(saves.len(), 3, "none waited for another");
    for save in saves {
        hub.finish_save(save, false).await;
    }
    for document in documents {
        assert!(hub.loaded(&document.id).is_none());
        assert!(hub.checkpoints.get(document.stream).unwrap().is_some());
    }
}

/// Each is in force as soon as another one cannot follow it: what is no roster, or another's, is passed by.
#[tokio::test]
async fn a_document_without_rosters_has_none_in_force() {
    let (_folder, hub) = hub(Settings::default());
    assert!(hub.line(&notes()).await.unwrap().is_none());
    let stream =
        block_on(hub.log.create(&names::keys(&notes()), StreamOptions::default())).unwrap();
    let junk = Bytes::from_static(b"12345678 and no roster");
    hub.log.append(Append::to(stream).record(&junk)).wait().unwrap();
    let line = hub.line(&notes()).await.unwrap().unwrap();
    assert!(line.held.is_none() && line.next == 1);
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_brings_nothing_back_that_was_revoked() {
    let (_folder, mut hub) = hub(Settings::default());
    let ended_s = hub.now_ms() / 1000 - 600;
    hub.revoke("the token", ended_s, None).done();
    // As if the clock had been an hour behind when the relay began.
    Arc::get_mut(&mut hub).unwrap().opened_ms -= 3_600_000;
    hub.forget();
    assert!(hub.warden.is_revoked("the token"));
    Arc::get_mut(&mut hub).unwrap().opened_ms += 3_600_000;
    hub.forget();
    assert!(!hub.warden.is_revoked("the token"));
}
