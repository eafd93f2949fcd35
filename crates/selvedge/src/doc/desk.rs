//! A device at work: its key, its documents, and what is done with them.

use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use selvedge_crdt::{
    Document, Edit, ReplicaId,
    session::{DocumentId, Event},
};
use selvedge_replica::{Driver, DriverError, Known, Shelf, Store, StoreError};
use selvedge_seal::{Device, Link, Vault, VaultError};
use serde_json::Value as Json;
use tokio::{runtime::Builder, time::timeout};

use super::{dial::Relay, leader, place::Place, request::Request};
use crate::exit::{Exit, Failure};

/// The documents of this device, in their folder.
pub(crate) struct Desk {
    shelf: Shelf,
    device: Device,
}

/// One document that this process has.
pub(super) struct Work {
    driver: Driver<Vault, Relay>,
    /// Everything that the relay had was read.
    is_caught_up: bool,
}

/// How long the relay is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// Nothing if it is not asked.
    pub(super) limit: Option<Duration>,
    /// Whether it is a failure not to reach it.
    pub(super) needed: bool,
}

impl Waits {
    pub(super) fn up_to(limit: Duration) -> Self {
        Self { limit: Some(limit), needed: false }
    }

    pub(super) fn needed(limit: Duration) -> Self {
        Self { limit: Some(limit), needed: true }
    }

    pub(super) fn not_at_all() -> Self {
        Self { limit: None, needed: false }
    }
}

impl Desk {
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        let shelf = Shelf::open(&place.folder()?)?;
        let device = Device::from_seed(shelf.device_secret(&random()?)?);
        Ok(Self { shelf, device })
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn documents(&self) -> Result<Vec<DocumentId>, Failure> {
        Ok(self.shelf.documents()?)
    }

    /// What is known of a document that is kept here.
    pub(crate) fn known(&self, document: &DocumentId) -> Result<Known, Failure> {
        Ok(self.shelf.known(document)?)
    }

    pub(super) fn forget(&self, document: &DocumentId) -> Result<(), Failure> {
        Ok(self.shelf.remove(document)?)
    }

    /// Takes another token, or another relay.
    pub(super) fn reach(
        &self,
        document: &DocumentId,
        relay: Option<&str>,
        token: &str,
    ) -> Result<(), Failure> {
        let mut store = self.shelf.document(document)?;
        let relay = relay.unwrap_or(&store.known().relay).to_owned();
        Relay::parse(&relay, None)?;
        Ok(store.reach(&relay, token)?)
    }

    /// Begins to keep a document; one that is encrypted is founded by this device.
    pub(super) fn create(
        &self,
        document: &DocumentId,
        (relay, token): (&str, &str),
        encrypted: bool,
    ) -> Result<(), Failure> {
        Relay::parse(relay, None)?;
        let known =
            Known { document: document.clone(), relay: relay.to_owned(), token: token.to_owned() };
        let mut vault = self.vault();
        if encrypted {
            vault.found(document, &host_name())?;
        }
        self.begin(&known, &vault)
    }

    /// Begins to keep the document of a link.
    pub(super) fn create_by(&self, known: &Known, link: &Link) -> Result<(), Failure> {
        Relay::parse(&known.relay, None)?;
        let mut vault = self.vault();
        vault.come_in(link, &host_name());
        self.begin(known, &vault)
    }

    fn begin(&self, known: &Known, vault: &Vault) -> Result<(), Failure> {
        let mut store = self.shelf.create(known)?;
        store.keep_keys(&vault.save(&known.document))?;
        let work = self.work(store)?;
        run(work.driver.close())
    }

    /// Does something with a document here, or has the process do it that has the document.
    pub(super) fn perform(
        &self,
        document: &DocumentId,
        request: &Request,
        waits: Waits,
    ) -> Result<Json, Failure> {
        match self.shelf.document(document) {
            Ok(store) => self.do_it(store, document, request, waits),
            Err(StoreError::Busy(folder)) => leader::ask(&folder, request),
            Err(error) => Err(error.into()),
        }
    }

    fn do_it(
        &self,
        store: Store,
        document: &DocumentId,
        request: &Request,
        waits: Waits,
    ) -> Result<Json, Failure> {
        let mut work = self.work(store)?;
        run(async move {
            // Who changes something means what it is now, where that can be known.
            work.reach(document, waits).await?;
            let mut answer = request.perform(&mut work, document)?;
            if request.writes() {
                work.reach(document, waits).await?;
                answer = super::request::standing(&work, document);
            }
            work.driver.close().await?;
            Ok::<_, Failure>(answer)
        })
    }

    /// Takes up a document as if it had never been read; its keys stay.
    pub(super) fn begin_again(&self, document: &DocumentId) -> Result<Work, Failure> {
        let store = self.shelf.document(document)?;
        let (known, keys) = (store.known().clone(), store.keys()?);
        drop(store);
        self.shelf.remove(document)?;
        let mut store = self.shelf.create(&known)?;
        store.keep_keys(&keys.unwrap_or_default())?;
        self.work(store)
    }

    /// Takes a document up.
    pub(super) fn work(&self, store: Store) -> Result<Work, Failure> {
        let mut vault = self.vault();
        let document = store.known().document.clone();
        if let Some(keys) = store.keys()? {
            vault.restore(&document, &keys)?;
        }
        let (sealing, pending) =
            (vault.sealing(&document), vault.pending(&document).map(<[u8]>::to_vec));
        let relay = Relay::parse(&store.known().relay, None)?;
        let mut driver = Driver::new(vault, relay, random()?);
        driver.add(store, ReplicaId(random()?), sealing)?;
        if let Some(record) = pending {
            driver.client().push_keys(&document, &record);
        }
        Ok(Work { driver, is_caught_up: false })
    }

    /// Opens a document's store for somebody who stays.
    pub(super) fn store(&self, document: &DocumentId) -> Result<Store, Failure> {
        Ok(self.shelf.document(document)?)
    }

    fn vault(&self) -> Vault {
        let chance = Box::new(|bytes: &mut [u8]| {
            rand::fill(bytes).expect("the system gave random bytes before");
        });
        Vault::new(Device::from_seed(*self.device.seed()), chance)
    }
}

impl Work {
    pub(super) fn driver(&mut self) -> &mut Driver<Vault, Relay> {
        &mut self.driver
    }

    pub(super) fn document(&self, document: &DocumentId) -> Result<&Document, Failure> {
        let found = self.driver.document(document);
        found.ok_or_else(|| StoreError::Unknown(document.clone()).into())
    }

    pub(super) fn edit<T>(
        &mut self,
        document: &DocumentId,
        write: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Result<T, Failure> {
        let written = self.driver.edit(document, write)?;
        written.ok_or_else(|| StoreError::Unknown(document.clone()).into())
    }

    /// How many operations the relay does not have, and why not.
    pub(super) fn standing(&self, document: &DocumentId) -> (u64, Option<String>) {
        let replica = self.driver.replica(document);
        let waiting = replica.map_or(0, selvedge_crdt::session::Replica::unacknowledged);
        (waiting, self.driver.trouble().map(ToString::to_string))
    }

    /// Goes on until this and the relay are in step, or as long as is waited.
    pub(super) async fn reach(
        &mut self,
        document: &DocumentId,
        waits: Waits,
    ) -> Result<(), Failure> {
        let Some(limit) = waits.limit else { return Ok(()) };
        let end = Instant::now() + limit;
        while !(self.is_caught_up && self.standing(document).0 == 0) {
            // Who need not reach it does not wait until it is there again.
            if !waits.needed && self.driver.trouble().is_some() {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.driver.turn()).await {
                Ok(turned) => turned?,
                Err(_) => return self.give_up(document, waits),
            }
            self.look(document)?;
        }
        Ok(())
    }

    /// Pushes what is pending of the document's list of members, and waits until it is in force.
    pub(super) async fn push_keys(
        &mut self,
        document: &DocumentId,
        limit: Duration,
    ) -> Result<(), Failure> {
        let Some(record) = self.driver.keys().pending(document).map(<[u8]>::to_vec) else {
            return Ok(());
        };
        self.keep_keys(document)?;
        self.driver.client().push_keys(document, &record);
        let end = Instant::now() + limit;
        while self.driver.keys().pending(document).is_some() {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.driver.turn()).await {
                Ok(turned) => turned?,
                Err(_) => return self.give_up(document, Waits::needed(limit)),
            }
            self.look(document)?;
        }
        match self.driver.keys().is_newest(document, &record) {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failure,
                "somebody else changed the members at the same time; try again",
            )),
        }
    }

    /// Says goodbye to the relay.
    pub(super) async fn close(self) -> Result<(), Failure> {
        Ok(self.driver.close().await?)
    }

    /// Takes in what happened: what cannot be helped by waiting is a failure.
    pub(super) fn look(&mut self, document: &DocumentId) -> Result<Vec<Event>, Failure> {
        let mut events = Vec::new();
        while let Some((_, event)) = self.driver.poll_event() {
            match &event {
                Event::CaughtUp => self.is_caught_up = true,
                Event::NeedsToken => return Err(needs_token(document)),
                _ => {}
            }
            events.push(event);
        }
        self.keep_keys(document)?;
        Ok(events)
    }

    /// Stores the document's keys, if there are new ones.
    fn keep_keys(&mut self, document: &DocumentId) -> Result<(), Failure> {
        if self.driver.keys().take_changed(document) {
            let keys = self.driver.keys().save(document);
            if let Some(store) = self.driver.store(document) {
                store.keep_keys(&keys)?;
            }
        }
        Ok(())
    }

    fn give_up(&self, document: &DocumentId, waits: Waits) -> Result<(), Failure> {
        if !waits.needed {
            return Ok(());
        }
        let (waiting, trouble) = self.standing(document);
        let why = trouble.unwrap_or_else(|| "it does not answer".to_owned());
        let text = format!(
            "the relay cannot be reached: {why}\nhelp: {waiting} changes are kept here until then"
        );
        Err(Failure::new(Exit::Unavailable, text))
    }
}

fn needs_token(document: &DocumentId) -> Failure {
    let text = format!(
        "the relay does not accept the token of {document}\n\
         help: `selvedge sync token` makes one for `selvedge doc device`; `selvedge doc token` takes it"
    );
    Failure::new(Exit::Failure, text)
}

/// Runs something to its end on this thread.
pub(crate) fn run<T, E: Into<Failure>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map_err(Into::into)
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::Unavailable, "the system gives no random bytes"))?;
    Ok(bytes)
}

/// What this device is called in lists of members.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Damaged(_) | StoreError::Version(_) | StoreError::Device(_) => Exit::Data,
            StoreError::Busy(_) => Exit::Unavailable,
            StoreError::Folder(..)
            | StoreError::Unknown(_)
            | StoreError::Exists(_)
            | StoreError::Sqlite(_) => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let exit = match error {
            VaultError::Malformed(_) => Exit::Data,
            VaultError::NotMember | VaultError::Roster(_) | VaultError::Draft(_) => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let DriverError::Store(error) = error;
        error.into()
    }
}
