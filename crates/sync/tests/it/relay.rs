//! A relay, and devices on it.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method};
use selvedge_crdt::{
    Document, ReplicaId,
    session::{Client, DocumentId, Event, Replica, SUBPROTOCOL, Token},
};
use selvedge_eventlog::Log;
use selvedge_seal::{
    Device, Rights, Vault,
    token::{Capability, Documents, Holder, IssuerKey, Issuers},
};
use selvedge_sync::{Incarnation, RECORD_BYTES_MAX, Seat, Settings, Sync};
use tokio::{io::DuplexStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Relay {
    pub log: Log,
    pub sync: Sync,
}

/// A relay that never lost anything.
pub const WHOLE: Incarnation = Incarnation { id: [7; 16], lost_ms: 0 };

impl Relay {
    /// A relay whose log is in this folder.
    pub fn open(folder: &Path, settings: Settings) -> Self {
        Self::in_life(folder, settings, WHOLE)
    }

    /// The same in this life of it.
    pub fn in_life(folder: &Path, settings: Settings, incarnation: Incarnation) -> Self {
        let bounds = selvedge_eventlog::Settings {
            record_bytes_max: RECORD_BYTES_MAX,
            ..selvedge_eventlog::Settings::default()
        };
        let log = Log::open(folder, bounds).unwrap();
        let mut issuers = Issuers::default();
        issuers.add(key().public()).unwrap();
        let sync = Sync::open(log.clone(), settings, (incarnation, issuers)).unwrap();
        let working = sync.clone();
        tokio::spawn(async move { working.look_after().await });
        Self { log, sync }
    }

    async fn connect(&self) -> WebSocketStream<DuplexStream> {
        let seat = self.seat();
        let (here, there) = tokio::io::duplex(64 << 10);
        tokio::spawn(seat.serve(there));
        WebSocketStream::from_raw_socket(here, Role::Client, None).await
    }

    /// As if a request had asked for a WebSocket.
    pub fn seat(&self) -> Seat {
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
        self.sync.welcome(&Method::GET, &fields).ok().unwrap().seat
    }
}

fn key() -> IssuerKey {
    IssuerKey::from_seed([9; 32])
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub fn token(document: &DocumentId, device: &Device, rights: Rights) -> String {
    let capability = Capability {
        tenant: document.tenant().to_owned(),
        documents: Documents::One(document.name().to_owned()),
        rights,
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

/// A device with one document.
pub struct Peer {
    pub document: DocumentId,
    pub vault: Vault,
    pub client: Client,
    pub events: Vec<Event>,
    pushed: Option<Vec<u8>>,
    socket: WebSocketStream<DuplexStream>,
}

impl Peer {
    pub async fn new(
        relay: &Relay,
        (seed, document): (u8, &DocumentId),
        rights: Rights,
        prepare: impl FnOnce(&mut Vault),
    ) -> Self {
        let mut count = u64::from(seed) << 32;
        let chance = Box::new(move |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(8) {
                count += 1;
                chunk.copy_from_slice(&count.to_be_bytes()[..chunk.len()]);
            }
        });
        let mut vault = Vault::new(Device::from_seed([seed; 32]), chance);
        prepare(&mut vault);
        let sealing = vault.sealing(document);
        let replica = Replica::new(document.clone(), ReplicaId([seed; 16]), sealing);
        Self::with(relay, (vault, replica), rights).await
    }

    /// A device that has written already.
    pub async fn with(relay: &Relay, (vault, replica): (Vault, Replica), rights: Rights) -> Self {
        let (device, document) = (vault.own_device(), replica.name().clone());
        let text = token(&document, device, rights);
        let mut client = Client::new(device.id(), Default::default(), *device.seed());
        client.add(replica, Some(Token { text, ends_ms: None }));
        let socket = relay.connect().await;
        client.connected(now_ms());
        Self { document, vault, client, events: Vec::new(), pushed: None, socket }
    }

    pub fn set(&mut self, entity: &str, field: &str, value: &str) {
        let written = self
            .client
            .edit(&self.document, now_ms(), |edit| edit.set(entity, field, value.into()));
        written.unwrap().unwrap();
    }

    pub fn content(&self) -> &Document {
        self.client.document(&self.document).unwrap()
    }

    pub fn has(&self, entity: &str, field: &str, value: &str) -> bool {
        self.content().entity(entity).is_some_and(|it| it.get(field) == Some(value.into()))
    }

    pub fn is_in_step(&self) -> bool {
        let replica = self.client.replica(&self.document).unwrap();
        let caught_up = self.events.iter().any(|event| matches!(event, Event::CaughtUp));
        caught_up && replica.unacknowledged() == 0 && self.vault.pending(&self.document).is_none()
    }

    /// Goes on until something is so.
    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.step().await;
            if is_so(self) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {:?}", self.events);
            if let Ok(came) = timeout(Duration::from_millis(20), self.socket.next()).await {
                let message = came.expect("it is open").expect("it is whole");
                if let Message::Binary(bytes) = message {
                    self.client.receive(now_ms(), &bytes, &mut self.vault);
                }
            }
        }
    }

    async fn step(&mut self) {
        loop {
            self.client.tick(now_ms(), &mut self.vault);
            let Some((document, transaction)) = self.client.poll_transaction() else { break };
            self.client.saved(&document, transaction.number);
        }
        let pending = self.vault.pending(&self.document).map(<[u8]>::to_vec);
        if let Some(record) = pending.filter(|record| self.pushed.as_ref() != Some(record)) {
            self.client.push_keys(&self.document, &record);
            self.pushed = Some(record);
            self.client.tick(now_ms(), &mut self.vault);
        }
        while let Some((_, event)) = self.client.poll_event() {
            self.events.push(event);
        }
        while let Some(message) = self.client.poll_message() {
            self.socket.send(Message::Binary(message.into())).await.unwrap();
        }
    }
}
