//! Drives the session: stores, connects, carries messages, and keeps the time.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use selvedge_crdt::{
    Document, Edit, ReplicaId,
    session::{Client, DeviceId, DocumentId, Event, Keys, Replica, Sealing, Settings, Token, Want},
};
use selvedge_seal::Vault;

use crate::{Socket, SocketError, Store, StoreError};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a relay is reached.
pub trait Dial {
    /// A WebSocket to the relay.
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Socket, SocketError>> + Send + '_>>;
}

/// Documents of one relay, at work.
#[derive(Debug)]
pub struct Driver<D> {
    client: Client,
    stores: BTreeMap<DocumentId, Store>,
    keys: Vault,
    dial: D,
    socket: Option<Socket>,
    trouble: Option<SocketError>,
    /// What could not be stored is lost to the disk: nothing that follows it may be stored.
    failed: Option<Arc<StoreError>>,
}

/// Why documents are not to be worked with any more. A relay that is away is no such reason.
#[derive(Clone, Debug)]
pub enum DriverError {
    /// What must be durable cannot be stored.
    Store(Arc<StoreError>),
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DriverError::Store(error) = self;
        write!(f, "{error}")
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let DriverError::Store(error) = self;
        Some(error)
    }
}

impl From<StoreError> for DriverError {
    fn from(error: StoreError) -> Self {
        DriverError::Store(Arc::new(error))
    }
}

impl<D: Dial> Driver<D> {
    /// A driver without documents. `seed` is random, and another one at each start.
    pub fn new(keys: Vault, dial: D, seed: [u8; 32]) -> Self {
        let device: DeviceId = keys.device();
        let client = Client::new(device, Settings::default(), seed);
        let (stores, socket, trouble, failed) = (BTreeMap::new(), None, None, None);
        Driver { client, stores, keys, dial, socket, trouble, failed }
    }

    /// Takes a document over: as it was stored, or new under the random id `fresh`, sealed from the beginning or not.
    ///
    /// # Errors
    /// What was stored cannot be read.
    pub fn add(
        &mut self,
        store: Store,
        fresh: ReplicaId,
        sealing: Sealing,
    ) -> Result<(), DriverError> {
        let document = store.known().document.clone();
        let replica = match store.load()? {
            Some(saved) => Replica::restore(&saved).map_err(StoreError::Damaged)?,
            None => Replica::new(document.clone(), fresh, sealing),
        };
        let token = Token { text: store.known().token.clone(), ends_ms: None };
        self.client.add(replica, Some(token).filter(|token| !token.text.is_empty()));
        self.stores.insert(document, store);
        self.settle()
    }

    /// A document.
    pub fn document(&self, document: &DocumentId) -> Option<&Document> {
        self.client.document(document)
    }

    /// A replica.
    pub fn replica(&self, document: &DocumentId) -> Option<&Replica> {
        self.client.replica(document)
    }

    /// The machine.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Keys of the device, and of its documents. What is changed here is stored by the next [`turn`](Driver::turn), before anything
    /// is sent.
    pub fn keys(&mut self) -> &mut Vault {
        &mut self.keys
    }

    /// What is known of keys.
    pub fn vault(&self) -> &Vault {
        &self.keys
    }

    /// Where a document is stored.
    pub fn store(&mut self, document: &DocumentId) -> Option<&mut Store> {
        self.stores.get_mut(document)
    }

    /// Opens a document with another token from now on.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn set_token(&mut self, document: &DocumentId, text: &str) -> Result<(), DriverError> {
        self.sound()?;
        if let Some(store) = self.stores.get_mut(document) {
            let relay = store.known().relay.clone();
            store.reach(&relay, text)?;
        }
        let token = Token { text: text.to_owned(), ends_ms: None };
        self.client.set_token(document, token, &self.keys);
        Ok(())
    }

    /// Why there is no connection, since it was last tried.
    pub fn trouble(&self) -> Option<&SocketError> {
        self.trouble.as_ref()
    }

    /// Refuses to go on after something could not be stored; each call that stores does so.
    ///
    /// # Errors
    /// What could not be stored then.
    pub fn sound(&self) -> Result<(), DriverError> {
        self.failed.clone().map_or(Ok(()), |error| Err(DriverError::Store(error)))
    }

    /// Returns whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Changes a document, as a whole or, where `write` fails, not at all; what was written is durable when this returns. Nothing if
    /// the document is not here.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn edit<T, E>(
        &mut self,
        document: &DocumentId,
        write: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, DriverError> {
        self.sound()?;
        let written = self.client.try_edit(document, now_ms(), write);
        self.settle()?;
        Ok(written)
    }

    /// The next event of a document.
    pub fn poll_event(&mut self) -> Option<(DocumentId, Event)> {
        self.client.poll_event()
    }

    /// Stores what is to be stored, and has the machine go on from there.
    fn settle(&mut self) -> Result<(), DriverError> {
        self.sound()?;
        self.store_all().or_else(|error| {
            self.failed = Some(Arc::new(error));
            self.sound()
        })
    }

    fn store_all(&mut self) -> Result<(), StoreError> {
        loop {
            self.client.tick(now_ms(), &mut self.keys);
            let Some((document, transaction)) = self.client.poll_transaction() else {
                return self.store_keys();
            };
            let number = transaction.number;
            // Who has read past a list of members must have its keys: both are stored, or neither.
            let changed = self.keys.take_changed(&document);
            let keys = changed.then(|| self.keys.save(&document));
            if let Some(store) = self.stores.get_mut(&document) {
                store.store(&transaction, keys.as_ref().map(|keys| keys.as_slice()))?;
            }
            self.client.saved(&document, number);
        }
    }

    /// Keys that changed by themselves: a list of members that is to be pushed.
    fn store_keys(&mut self) -> Result<(), StoreError> {
        for (document, store) in &mut self.stores {
            if self.keys.take_changed(document) {
                store.keep_keys(&self.keys.save(document))?;
            }
        }
        Ok(())
    }

    /// Does what is to be done, and waits for one thing to happen: a message, a time, a connection. To drop it loses nothing.
    ///
    /// # Errors
    /// What must be durable cannot be stored, now or before.
    pub async fn turn(&mut self) -> Result<(), DriverError> {
        self.settle()?;
        self.send();
        match self.client.wants(now_ms()) {
            Want::Connect => self.connect().await,
            Want::Disconnect => self.disconnect().await,
            Want::Nothing => self.wait().await,
        }
        self.settle()
    }

    /// Hands over what is to be sent; without a connection it goes nowhere, and the machine knows.
    fn send(&mut self) {
        while let Some(message) = self.client.poll_message() {
            if let Some(socket) = &mut self.socket {
                socket.feed(message);
            }
        }
    }

    async fn connect(&mut self) {
        match self.dial.dial().await {
            Ok(socket) => {
                (self.socket, self.trouble) = (Some(socket), None);
                self.client.connected(now_ms());
            }
            Err(error) => self.lose(error),
        }
    }

    fn lose(&mut self, error: SocketError) {
        (self.socket, self.trouble) = (None, Some(error));
        self.client.disconnected(now_ms());
    }

    async fn disconnect(&mut self) {
        self.send();
        let socket = self.socket.take();
        // Before the goodbye: who drops this finds a machine that knows.
        self.client.disconnected(now_ms());
        if let Some(socket) = socket {
            // Who does not hear a goodbye, or what was to be sent before it, notices the end.
            let _ = tokio::time::timeout(GOODBYE, socket.close()).await;
        }
    }

    async fn wait(&mut self) {
        let due =
            self.client.wake_at().map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep(due).await,
                None => pending().await,
            }
        };
        let came = async {
            match &mut self.socket {
                Some(socket) => socket.turn().await,
                None => pending().await,
            }
        };
        tokio::select! {
            came = came => match came {
                Ok(Some(message)) => self.client.receive(now_ms(), &message, &mut self.keys),
                Ok(None) => {
                    self.socket = None;
                    self.client.disconnected(now_ms());
                }
                Err(error) => self.lose(error),
            },
            () = sleep => {}
        }
    }

    /// Says goodbye, which takes 2 seconds at most, and gives the documents back to the disk.
    ///
    /// # Errors
    /// What must be durable cannot be stored.
    pub async fn close(mut self) -> Result<(), DriverError> {
        self.settle()?;
        self.disconnect().await;
        self.settle()
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
