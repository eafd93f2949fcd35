//! A device with a relay that says what a test tells it to say.

use std::collections::VecDeque;

use selvedge_crdt::{
    Batch, BatchHash, Document, Edit, EditError, Head, ReplicaId, Writer,
    session::{
        Client, ClientFrame, DeviceId, DocumentId, Event, KeyPlace, Keys, Limits, LogId,
        OpenDocument, Record, Refusal, RelayFrame, Replica, Saved, Sealing, Settings, Signature,
        Start, Token, Unreadable, Want,
    },
};

pub const LOG: LogId = LogId([4; 16]);
pub const RELAY_MS: u64 = 1_700_000_000_000;

/// Keys that seal by saying which epoch it is. A signature is the device's first byte.
pub struct PlainKeys {
    pub device: DeviceId,
    /// Whether rosters are needed to have the keys.
    pub needs_rosters: bool,
    /// The last epoch of which a roster told.
    pub epoch: u32,
    /// Whether rosters are not believed: another one came first.
    pub doubts: bool,
    /// Rosters that a relay never takes.
    pub dropped: Vec<Vec<u8>>,
}

impl PlainKeys {
    fn missing(&self, epoch: u32) -> Result<(), Unreadable> {
        let has = !self.needs_rosters || epoch <= self.epoch;
        if has { Ok(()) } else { Err(Unreadable::NoKey) }
    }
}

impl Keys for PlainKeys {
    fn device(&self) -> DeviceId {
        self.device
    }

    fn sign(&self, _: &[u8]) -> Signature {
        Signature([self.device.0[0]; 64])
    }

    fn verify(&self, device: DeviceId, _: &[u8], signature: &Signature) -> bool {
        signature.0 == [device.0[0]; 64]
    }

    fn seal_batch(
        &mut self,
        place: KeyPlace<'_>,
        batch: &Batch,
        prev: BatchHash,
    ) -> Option<Vec<u8>> {
        self.missing(place.epoch).ok()?;
        let mut out = batch.encode(prev);
        out.push(place.epoch as u8);
        Some(out)
    }

    fn open_batch(&self, place: KeyPlace<'_>, pushed: &[u8]) -> Result<Batch, Unreadable> {
        self.missing(place.epoch)?;
        let (epoch, plain) = pushed.split_last().ok_or(Unreadable::Broken)?;
        let read = Batch::decode(plain).map_err(|_| Unreadable::Broken)?;
        if u32::from(*epoch) == place.epoch { Ok(read.1) } else { Err(Unreadable::Broken) }
    }

    fn seal_snapshot(&mut self, place: KeyPlace<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        self.missing(place.epoch).ok().map(|()| plain.to_vec())
    }

    fn open_snapshot(&self, place: KeyPlace<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.missing(place.epoch).map(|()| sealed.to_vec())
    }

    fn take_keys(&mut self, _: &DocumentId, record: &Record<'_>) -> bool {
        if let Record::Keys { epoch, .. } = record {
            self.epoch = self.epoch.max(*epoch);
        }
        !self.doubts
    }

    fn drop_keys(&mut self, _: &DocumentId, record: &[u8]) {
        self.dropped.push(record.to_vec());
    }
}

/// The device under test, and what it says.
pub struct Scripted {
    pub client: Client,
    pub keys: PlainKeys,
    pub name: DocumentId,
    pub saved: Saved,
    pub now_ms: u64,
    /// Messages of the device that were not looked at yet.
    pub said: VecDeque<Vec<u8>>,
    pub events: Vec<Event>,
    pub channel: u32,
}

impl Scripted {
    pub fn new() -> Self {
        Scripted::sealed(Sealing::Plain)
    }

    pub fn sealed(sealing: Sealing) -> Self {
        let name = DocumentId::new("acme", "notes").expect("a name");
        let replica = Replica::new(name.clone(), ReplicaId([1; 16]), sealing);
        Scripted::with(replica, Saved::default())
    }

    fn with(replica: Replica, saved: Saved) -> Self {
        let (name, device) = (replica.name().clone(), DeviceId([1; 32]));
        let mut client = Client::new(device, Settings::default(), [9; 32]);
        client.add(replica, Some(Token { text: "token".into(), ends_ms: None }));
        let (said, events) = (VecDeque::new(), Vec::new());
        let keys = PlainKeys {
            device,
            needs_rosters: false,
            epoch: 0,
            doubts: false,
            dropped: Vec::new(),
        };
        Scripted { client, keys, name, saved, now_ms: RELAY_MS, said, events, channel: 0 }
    }

    /// The device dies, and is started again with what it stored.
    pub fn restarted(self) -> Self {
        let replica = Replica::restore(&self.saved).expect("what was stored is read");
        Scripted { now_ms: self.now_ms, ..Scripted::with(replica, self.saved) }
    }

    pub fn replica(&self) -> &Replica {
        self.client.replica(&self.name).expect("it is here")
    }

    pub fn document(&self) -> &Document {
        self.replica().document()
    }

    #[track_caller]
    pub fn edit(&mut self, write: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>) {
        let written = self.client.edit(&self.name, self.now_ms, write);
        written.expect("the document is here").expect("it is within its bounds");
    }

    pub fn try_edit(
        &mut self,
        write: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>,
    ) -> Result<(), EditError> {
        let written = self.client.try_edit(&self.name, self.now_ms, write);
        written.expect("the document is here")
    }

    /// Lets the device do what is due, without storing anything.
    pub fn tick(&mut self) {
        self.client.tick(self.now_ms, &mut self.keys);
        self.said.extend(std::iter::from_fn(|| self.client.poll_message()));
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()).map(|(_, it)| it));
    }

    pub fn store(&mut self) {
        while let Some((_, transaction)) = self.client.poll_transaction() {
            let number = transaction.number;
            self.saved.store(transaction);
            self.client.saved(&self.name, number);
        }
    }

    /// Lets `ms` pass, with everything that is due in them.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        loop {
            self.tick();
            self.store();
            self.tick();
            let due = self.client.wake_at().filter(|at| *at > self.now_ms && *at < until);
            let Some(due) = due else { break };
            self.now_ms = due;
        }
        self.now_ms = until;
        self.tick();
    }

    /// Connects, and says hello.
    #[track_caller]
    pub fn connect(&mut self) {
        self.connect_at(self.now_ms);
    }

    /// Connects to a relay by whose clock it is `now_ms`.
    #[track_caller]
    pub fn connect_at(&mut self, now_ms: u64) {
        assert_eq!(self.client.wants(self.now_ms), Want::Connect);
        self.client.connected(self.now_ms);
        self.tick();
        assert!(matches!(self.next(), (0, ClientFrame::Hello { .. })));
        let limits =
            Limits { channels: 4, credit: 4 << 20, presence_ms: 50, presence_ends_ms: 30_000 };
        let (version, challenge) = (1, [2; 16]);
        self.hear_on(0, &RelayFrame::Welcome { version, challenge, now_ms, limits });
    }

    /// The next message of the device.
    #[track_caller]
    pub fn next(&mut self) -> (u32, ClientFrame<'_>) {
        let message = self.said.pop_front().expect("the device says something");
        ClientFrame::read(message.leak()).expect("a device says what can be read")
    }

    pub fn hear_on(&mut self, channel: u32, frame: &RelayFrame<'_>) {
        let message = frame.to_bytes(channel);
        self.client.receive(self.now_ms, &message, &mut self.keys);
        self.tick();
        self.store();
        self.tick();
    }

    pub fn hear(&mut self, frame: &RelayFrame<'_>) {
        self.hear_on(self.channel, frame);
    }

    /// Answers the OPEN that is next; what was said before it is passed over.
    #[track_caller]
    pub fn opened(&mut self, opened: OpenDocument) {
        let channel = loop {
            if let (channel, ClientFrame::Open { .. }) = self.next() {
                break channel;
            }
        };
        self.channel = channel;
        self.hear(&RelayFrame::Opened(Box::new(opened)));
    }

    pub fn record(&mut self, offset: u64, record: &[u8]) {
        self.hear(&RelayFrame::Record { offset, record });
    }

    /// Everything that is pushed, passing over what else is said.
    pub fn pushes(&mut self) -> Vec<Vec<u8>> {
        let said: Vec<Vec<u8>> = self.said.drain(..).collect();
        let pushed = said.iter().filter_map(|message| match ClientFrame::read(message) {
            Ok((_, ClientFrame::Push { record })) => Some(record.to_vec()),
            _ => None,
        });
        pushed.collect()
    }

    #[track_caller]
    pub fn push(&mut self) -> Pushed {
        let pushes = self.pushes();
        let [push] = &pushes[..] else { panic!("{} pushes", pushes.len()) };
        Pushed::of(push)
    }

    /// What is pushed lies at `offset`.
    pub fn ack(&mut self, pushed: &Pushed, offset: u64) {
        let (replica, seq) = (pushed.batch.replica(), pushed.last());
        self.hear(&RelayFrame::Ack { replica, seq, offset });
    }

    /// What is pushed is not taken.
    pub fn refuse(&mut self, pushed: &Pushed, why: Refusal) {
        let (replica, first) = (pushed.batch.replica(), pushed.batch.first());
        self.hear(&RelayFrame::Refused { replica, first, why });
    }

    #[track_caller]
    pub fn told(&self, event: &Event) {
        assert!(self.events.contains(event), "{event:?} is not in {:?}", self.events);
    }
}

/// A batch that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub record: Vec<u8>,
    pub sealing: Sealing,
    pub prev: BatchHash,
    pub hash: BatchHash,
    pub batch: Batch,
}

impl Pushed {
    #[track_caller]
    pub fn of(record: &[u8]) -> Self {
        let Ok(Record::Batch { batch, sealing, .. }) = Record::read(record) else {
            panic!("no batch");
        };
        let hash = BatchHash::of(batch);
        let plain = if sealing == Sealing::Plain { batch } else { &batch[..batch.len() - 1] };
        let (header, read) = Batch::decode(plain).expect("it is read");
        Pushed { record: record.to_vec(), sealing, prev: header.prev, hash, batch: read }
    }

    pub fn last(&self) -> u64 {
        self.batch.first() + self.batch.len() as u64 - 1
    }

    pub fn head(&self) -> Head {
        Head { seq: self.last(), hash: self.hash }
    }
}

/// An OPENED without a snapshot.
pub fn fresh() -> OpenDocument {
    OpenDocument {
        log: LOG,
        start: Start::Snapshot,
        next: 0,
        tail: 0,
        snapshot: None,
        heads: vec![],
        sealing: Sealing::Plain,
        rights: 15,
        lease_ms: 86_400_000,
        lost_ms: 0,
    }
}

/// Keys of an epoch, from another device.
pub fn roster(epoch: u32) -> Vec<u8> {
    let (device, signature) = (DeviceId([2; 32]), Signature([2; 64]));
    Record::Keys { device, epoch, members: b"members", signature }.to_bytes()
}

/// A batch of another device, and what it holds.
pub fn others(writer: &mut Writer, prev: BatchHash, document: &mut Document, at: i64) -> Pushed {
    let now_ms = RELAY_MS + at.unsigned_abs();
    let mut edit = writer.edit(document, now_ms);
    edit.set("note/1", "from", at.into()).expect("it is within its bounds");
    edit.set(&format!("note/{at}"), "f", at.into()).expect("it is within its bounds");
    let batch = writer.take_batch().expect("it wrote").encode(prev);
    let (device, signature) = (DeviceId([2; 32]), Signature([2; 64]));
    let sealing = Sealing::Plain;
    Pushed::of(&Record::Batch { device, sealing, batch: &batch, signature }.to_bytes())
}
