//! A device at work.

use js_sys::{Array, Uint8Array};
use selvedge_crdt::{
    Document, ReplicaId,
    session::{Change, Client, DocumentId, Replica, Saved, Settings, Token, WakeUp, Want},
    sorted::Map,
};
use selvedge_seal::{Device, Vault};
use wasm_bindgen::prelude::*;

use crate::{chance, document::document, error};

/// Documents of a device, on their way to a relay and back.
#[wasm_bindgen]
pub struct Session {
    pub(crate) client: Client,
    pub(crate) vault: Vault,
    /// Records of keys that were handed to the client.
    pushed: Map<DocumentId, Vec<u8>>,
}

#[wasm_bindgen]
impl Session {
    /// A device with this secret, of 32 bytes, and without documents.
    #[wasm_bindgen(constructor)]
    pub fn new(secret: &[u8]) -> Result<Session, JsValue> {
        let device = Device::from_seed(error::array(secret, "a device's secret")?);
        let client = Client::new(device.id(), Settings::default(), chance::draw());
        let vault = Vault::new(device, Box::new(chance::draw_into));
        Ok(Session { client, vault, pushed: Map::new() })
    }

    /// The device's public key.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        self.vault.own_device().id().to_string()
    }

    /// The device's signature.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.vault.own_device().sign(bytes).0.to_vec()
    }

    /// Takes up the keys of a document, as they were kept. This comes before its replica.
    #[wasm_bindgen(js_name = restoreKeys)]
    pub fn restore_keys(&mut self, id: &str, kept: &[u8]) -> Result<(), JsValue> {
        self.vault.restore(&document(id)?, kept).map_err(error::damaged)
    }

    /// Takes a document up that was never here.
    #[wasm_bindgen(js_name = addNew)]
    pub fn add_new(&mut self, id: &str) -> Result<(), JsValue> {
        let name = document(id)?;
        let sealing = self.vault.sealing(&name);
        self.client.add(Replica::new(name, ReplicaId(chance::draw()), sealing), None);
        Ok(())
    }

    /// Takes a document up as it was stored.
    pub fn add(
        &mut self,
        id: &str,
        begin: Vec<u8>,
        appended: Vec<Uint8Array>,
    ) -> Result<(), JsValue> {
        let name = document(id)?;
        let appended = appended.iter().map(Uint8Array::to_vec).collect();
        let replica = Replica::restore(&Saved { begin, appended }).map_err(error::damaged)?;
        if replica.name() != &name {
            return Err(error::damaged("another document was stored in its place"));
        }
        self.client.add(replica, None);
        Ok(())
    }

    /// Lets a document go; what is not stored of it is lost.
    pub fn remove(&mut self, id: &str) -> Result<(), JsValue> {
        let name = document(id)?;
        self.client.remove(&name);
        self.pushed.remove(&name);
        Ok(())
    }

    /// Gives a document's token; `ends_ms` in milliseconds since 1970, if it is known.
    #[wasm_bindgen(js_name = setToken)]
    pub fn set_token(
        &mut self,
        id: &str,
        text: String,
        ends_ms: Option<f64>,
    ) -> Result<(), JsValue> {
        let token = Token { text, ends_ms: ends_ms.map(|ends| ends as u64) };
        self.client.set_token(&document(id)?, token, &self.vault);
        Ok(())
    }

    /// Has the relay wake this device when a document changes, by a push service's address, a P-256 key of 65 bytes and a secret of 16;
    /// without an address it is let sleep.
    #[wasm_bindgen(js_name = wakeBy)]
    pub fn wake_by(
        &mut self,
        id: &str,
        endpoint: Option<String>,
        key: Option<Vec<u8>>,
        secret: Option<Vec<u8>>,
    ) -> Result<(), JsValue> {
        let wake_up = endpoint.zip(key).zip(secret).map(|((endpoint, key), secret)| {
            let key = error::array(&key, "a browser's key")?;
            let secret = error::array(&secret, "a browser's secret")?;
            Ok::<_, JsValue>(WakeUp { endpoint, key, secret })
        });
        self.client.set_wake_up(&document(id)?, wake_up.transpose()?);
        Ok(())
    }

    /// Does what is due. Nothing else sends, cuts batches or tries again.
    pub fn tick(&mut self, now_ms: f64) {
        self.push_keys();
        self.client.tick(now_ms as u64, &mut self.vault);
    }

    /// The next transaction to be stored, as: document, number, then for each change whether it begins anew, and its bytes.
    #[wasm_bindgen(js_name = takeTransaction)]
    pub fn take_transaction(&mut self) -> Option<Vec<JsValue>> {
        let (name, transaction) = self.client.poll_transaction()?;
        let mut row = vec![name.to_string().into(), JsValue::from_f64(transaction.number as f64)];
        for change in &transaction.changes {
            let (begins, bytes) = match change {
                Change::Begin(bytes) => (true, bytes),
                Change::Append(bytes) => (false, bytes),
            };
            row.extend([begins.into(), Uint8Array::from(&**bytes).into()]);
        }
        Some(row)
    }

    /// All transactions of a document up to this one are durable.
    pub fn saved(&mut self, id: &str, number: f64) -> Result<(), JsValue> {
        self.client.saved(&document(id)?, number as u64);
        Ok(())
    }

    /// The keys of a document, if there is something new to be kept, once.
    #[wasm_bindgen(js_name = takeKeys)]
    pub fn take_keys(&mut self, id: &str) -> Result<Option<Vec<u8>>, JsValue> {
        let name = document(id)?;
        Ok(self.vault.take_changed(&name).then(|| self.vault.save(&name).to_vec()))
    }

    /// The next message to be sent.
    #[wasm_bindgen(js_name = takeMessage)]
    pub fn take_message(&mut self) -> Option<Vec<u8>> {
        self.client.poll_message()
    }

    /// Takes a message of the relay.
    pub fn receive(&mut self, now_ms: f64, message: &[u8]) {
        self.client.receive(now_ms as u64, message, &mut self.vault);
    }

    /// There is a connection.
    pub fn connected(&mut self, now_ms: f64) {
        self.client.connected(now_ms as u64);
    }

    /// The connection is gone, or there is none to be had.
    pub fn disconnected(&mut self, now_ms: f64) {
        self.client.disconnected(now_ms as u64);
    }

    /// A network is there: the next connection is due at once.
    pub fn hurry(&mut self) {
        self.client.hurry();
    }

    /// What it wants: `connect`, `disconnect`, or nothing.
    pub fn wants(&mut self, now_ms: f64) -> Option<String> {
        let want = match self.client.wants(now_ms as u64) {
            Want::Nothing => return None,
            Want::Connect => "connect",
            Want::Disconnect => "disconnect",
        };
        Some(want.to_owned())
    }

    /// The time by the relay's clock, in milliseconds since 1970; the device's before it was heard of.
    #[wasm_bindgen(getter, js_name = relayMs)]
    pub fn relay_ms(&self) -> f64 {
        self.client.relay_ms() as f64
    }

    /// When `tick` is to be called at the latest, in milliseconds since 1970.
    #[wasm_bindgen(getter, js_name = wakeAt)]
    pub fn wake_at(&self) -> Option<f64> {
        self.client.wake_at().map(|at| at as f64)
    }

    /// The documents that are here.
    pub fn documents(&self) -> Array {
        self.client.documents().map(|name| JsValue::from(name.to_string())).collect()
    }
}

impl Session {
    /// A replica that is here.
    pub(crate) fn replica(&self, id: &str) -> Result<&Replica, JsValue> {
        let replica = self.client.replica(&document(id)?);
        replica.ok_or_else(|| error::invalid(format_args!("there is no document {id} here")))
    }

    /// A document that is here.
    pub(crate) fn read(&self, id: &str) -> Result<&Document, JsValue> {
        self.replica(id).map(Replica::document)
    }

    /// Hands on what is to be pushed of members, once each.
    fn push_keys(&mut self) {
        let names: Vec<DocumentId> = self.client.documents().cloned().collect();
        for name in names {
            let Some(record) = self.vault.pending(&name) else { continue };
            if self.pushed.get(&name).is_none_or(|pushed| pushed != record)
                && self.client.push_keys(&name, record).is_some()
            {
                self.pushed.insert(name, record.to_vec());
            }
        }
    }
}
