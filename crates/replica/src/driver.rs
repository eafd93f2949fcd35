//! Drives the session: stores, connects, carries messages, and keeps the time.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    future::{Future, pending},
    pin::Pin,
    time::{Duration, SystemTime},
};

use selvedge_crdt::{
    Document, Edit, ReplicaId,
    session::{Client, DeviceId, DocumentId, Event, Keys, Replica, Sealing, Settings, Token, Want},
};

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
pub struct Driver<K, D> {
    client: Client,
    stores: BTreeMap<DocumentId, Store>,
    keys: K,
    dial: D,
    socket: Option<Socket>,
    trouble: Option<SocketError>,
}

/// Why documents are not to be worked with any more. A relay that is away is no such reason.
#[derive(Debug)]
pub enum DriverError {
    /// What must be durable cannot be stored.
    Store(StoreError),
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
        DriverError::Store(error)
    }
}

impl<K: Keys, D: Dial> Driver<K, D> {
    /// A driver without documents. `seed` is random, and another one at each start.
    pub fn new(keys: K, dial: D, seed: [u8; 32]) -> Self {
        let device: DeviceId = keys.device();
        let client = Client::new(device, Settings::default(), seed);
        Driver { client, stores: BTreeMap::new(), keys, dial, socket: None, trouble: None }
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

    /// Keys of the device, and of its documents.
    pub fn keys(&mut self) -> &mut K {
        &mut self.keys
    }

    /// Where a document is stored.
    pub fn store(&mut self, document: &DocumentId) -> Option<&mut Store> {
        self.stores.get_mut(document)
    }

    /// Why there is no connection, since it was last tried.
    pub fn trouble(&self) -> Option<&SocketError> {
        self.trouble.as_ref()
    }

    /// Returns whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Changes a document; what was written is durable when this returns. Nothing if the document is not here.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn edit<T>(
        &mut self,
        document: &DocumentId,
        write: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Result<Option<T>, DriverError> {
        let written = self.client.edit(document, now_ms(), write);
        self.settle()?;
        Ok(written)
    }

    /// The next event of a document.
    pub fn poll_event(&mut self) -> Option<(DocumentId, Event)> {
        self.client.poll_event()
    }

    /// Stores what is to be stored, and has the machine go on from there.
    fn settle(&mut self) -> Result<(), DriverError> {
        loop {
            self.client.tick(now_ms(), &mut self.keys);
            let Some((document, transaction)) = self.client.poll_transaction() else {
                return Ok(());
            };
            let number = transaction.number;
            if let Some(store) = self.stores.get_mut(&document) {
                store.store(&transaction)?;
            }
            self.client.saved(&document, number);
        }
    }

    /// Does what is to be done, and waits for one thing to happen: a message, a time, a connection. To drop it loses nothing.
    ///
    /// # Errors
    /// What must be durable cannot be stored.
    pub async fn turn(&mut self) -> Result<(), DriverError> {
        self.settle()?;
        self.send().await;
        match self.client.wants(now_ms()) {
            Want::Connect => self.connect().await,
            Want::Disconnect => self.disconnect().await,
            Want::Nothing => self.wait().await,
        }
        self.settle()
    }

    async fn send(&mut self) {
        let Some(socket) = &mut self.socket else {
            while self.client.poll_message().is_some() {}
            return;
        };
        while let Some(message) = self.client.poll_message() {
            if let Err(error) = socket.feed(message).await {
                return self.lose(error);
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
        self.send().await;
        if let Some(socket) = self.socket.take() {
            // Who does not hear a goodbye notices the end.
            let _ = tokio::time::timeout(GOODBYE, socket.close()).await;
        }
        self.client.disconnected(now_ms());
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

    /// Says goodbye, and gives the documents back to the disk.
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
