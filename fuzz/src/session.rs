use selvedge_crdt::{
    Batch, BatchHash, ReplicaId,
    session::{
        Client, ClientFrame, DeviceId, DocumentId, Event, KeyPlace, Keys, Record, RelayFrame,
        Replica, Saved, Sealing, Settings, Signature, Token, Unreadable, Want,
    },
};

/// A message or a record is refused, or is written again as it was.
///
/// The first byte says which it is.
pub fn session_frames(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let written = match kind {
        0 => ClientFrame::read(bytes).map(|(channel, frame)| frame.to_bytes(channel)),
        1 => RelayFrame::read(bytes).map(|(channel, frame)| frame.to_bytes(channel)),
        _ => Record::read(bytes).map(|record| record.to_bytes()),
    };
    if let Ok(written) = written {
        assert_eq!(written, bytes, "there is one encoding");
    }
}

/// Whatever a relay says, a device goes on: what it wrote is there, and what it stored is what it has.
///
/// Each message stands behind its length, two bytes, little-endian.
pub fn session_device(mut bytes: &[u8]) {
    let mut device = Device::new();
    for now_ms in (1_000..).step_by(700).take(200) {
        device.drive(now_ms);
        let Some((len, rest)) = bytes.split_first_chunk() else { break };
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        device.hear(now_ms, message);
        bytes = rest;
    }
    device.drive(1_000_000);
    device.check();
}

/// A device with one document, of which it stores what it is told to.
pub(crate) struct Device {
    client: Client,
    name: DocumentId,
    saved: Saved,
}

impl Device {
    pub(crate) fn new() -> Self {
        let name = DocumentId::new("acme", "notes").expect("a name");
        let replica = Replica::new(name, ReplicaId([1; 16]), Sealing::Plain);
        let mut device = Device::of(replica, Saved::default());
        device.write(1_000);
        device
    }

    /// A device that goes on with this replica, of which this is stored.
    pub(crate) fn of(replica: Replica, saved: Saved) -> Self {
        let name = replica.name().clone();
        let mut client = Client::new(AnyKeys.device(), Settings::default(), [7; 32]);
        // To the relay beside this, the first letter says what may be done, and each letter is a second.
        client.add(replica, Some(Token { text: "?".repeat(300), ends_ms: None }));
        Device { client, name, saved }
    }

    pub(crate) fn write(&mut self, now_ms: u64) {
        let written = self.client.edit(&self.name, now_ms, |edit| {
            edit.set("note/1", "title", "Milk".into())?;
            edit.include("note/1", "times", (now_ms as i64).into())
        });
        written.expect("the document is here").expect("it is within its bounds");
    }

    /// Does what is due, stores what is to be stored, and says what is to be said.
    pub(crate) fn drive(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        match self.client.wants(now_ms) {
            Want::Connect => self.client.connected(now_ms),
            Want::Disconnect => self.client.disconnected(now_ms),
            Want::Nothing => {}
        }
        if now_ms.is_multiple_of(5) {
            self.write(now_ms);
        }
        self.client.tick(now_ms, &mut AnyKeys);
        while let Some((_, transaction)) = self.client.poll_transaction() {
            let number = transaction.number;
            self.saved.store(transaction);
            self.client.saved(&self.name, number);
        }
        self.client.tick(now_ms, &mut AnyKeys);
        let messages: Vec<Vec<u8>> = std::iter::from_fn(|| self.client.poll_message()).collect();
        for message in &messages {
            ClientFrame::read(message).expect("a device says what can be read");
        }
        while let Some((_, event)) = self.client.poll_event() {
            if let Event::Changed(Some(entities)) = event {
                assert!(entities.len() <= 256);
            }
        }
        messages
    }

    /// Takes a message of a relay.
    pub(crate) fn hear(&mut self, now_ms: u64, message: &[u8]) {
        self.client.receive(now_ms, message, &mut AnyKeys);
    }

    /// What was stored is what is here.
    pub(crate) fn check(&mut self) {
        while let Some((_, transaction)) = self.client.poll_transaction() {
            self.saved.store(transaction);
        }
        let restored = Replica::restore(&self.saved).expect("what was stored is read");
        let here = self.client.replica(&self.name).expect("it is here");
        assert_eq!(restored.id(), here.id());
        assert_eq!(restored.position(), here.position());
        assert!(restored.unacknowledged() >= here.unacknowledged());
        let (there, here) = (restored.document().snapshot(), here.document().snapshot());
        assert_eq!(there, here, "what was stored is what is here");
    }
}

/// Keys of somebody who believes every other signature.
struct AnyKeys;

impl Keys for AnyKeys {
    fn device(&self) -> DeviceId {
        DeviceId([1; 32])
    }

    fn sign(&self, _: &[u8]) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: DeviceId, _: &[u8], signature: &Signature) -> bool {
        signature.0[0] & 1 == 0
    }

    fn seal_batch(&mut self, _: KeyPlace<'_>, batch: &Batch, prev: BatchHash) -> Option<Vec<u8>> {
        Some(batch.encode(prev))
    }

    fn open_batch(&self, place: KeyPlace<'_>, pushed: &[u8]) -> Result<Batch, Unreadable> {
        if place.epoch > 3 {
            return Err(Unreadable::NoKey);
        }
        Batch::decode(pushed).map(|(_, batch)| batch).map_err(|_| Unreadable::Broken)
    }

    fn seal_snapshot(&mut self, _: KeyPlace<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        Some(plain.to_vec())
    }

    fn open_snapshot(&self, _: KeyPlace<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Ok(sealed.to_vec())
    }

    fn take_keys(&mut self, _: &DocumentId, record: &Record<'_>) -> bool {
        record.signature().is_some()
    }
}
