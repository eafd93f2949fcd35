//! A device at work: its key, its documents, and what is done with them.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use selvedge_crdt::{
    Document, Edit, ReplicaId,
    session::{DocumentId, Event, Refusal, Remedy, Sealing, Suspicion},
};
use selvedge_replica::{Driver, DriverError, Known, Shelf, Store, StoreError};
use selvedge_seal::{Device, Link, Vault, VaultError};
use serde_json::{Value as Json, json};
use tokio::{runtime::Builder, time::timeout};

use super::{
    dial::Relay,
    exchange::Exchange,
    leader,
    place::Place,
    request::Request,
    standing::{self, Standing},
};
use crate::{
    exit::{Exit, Failure},
    terminal::complain,
};

/// The documents of this device, in their folder.
pub(crate) struct Desk {
    shelf: Shelf,
    device: Device,
}

/// What is here already of a document that a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// This device is about to come in by it, and was interrupted.
    Begun,
    /// It is in.
    Whole,
}

/// One document that this process has.
pub(super) struct Work {
    driver: Driver<Relay>,
    /// Everything that the relay had was read, and it is still there.
    is_caught_up: bool,
    /// Why the relay did not take what waits, or the list of members.
    refused: Option<String>,
    /// The list of members that was pushed, until it is known what became of it.
    list: Option<Vec<u8>>,
    /// That list was not taken.
    rejected: bool,
    /// Why the relay will never take something, which is undone here.
    dropped: Option<String>,
    /// When the token was exchanged last.
    renewed: Option<Instant>,
}

/// A token that was exchanged is not exchanged again before this time: it is not what is missing.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// How long a command waits for another that has the document, and how often it looks.
const BUSY: Duration = Duration::from_secs(30);
const BUSY_AGAIN: Duration = Duration::from_millis(20);

/// What is said of a list of members that the relay has not taken.
const LIST_WAITS: &str = "it has not taken the list of members yet";

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

    /// Refuses a document that is kept here already.
    pub(super) fn has_not(&self, document: &DocumentId) -> Result<(), Failure> {
        match self.shelf.known(document) {
            Err(StoreError::Unknown(_)) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(StoreError::Exists(document.clone()).into()),
        }
    }

    /// What a link finds here.
    pub(super) fn found_by(&self, link: &Link) -> Result<Found, Failure> {
        let document = &link.document;
        let store = match self.own(document) {
            Ok(store) => store,
            Err(StoreError::Unknown(_)) => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        let vault = self.vault_of(&store)?;
        let is_plain = vault.sealing(document) == Sealing::Plain;
        match (link.is_plain(), is_plain) {
            (true, true) => Ok(Found::Whole),
            (false, false) if vault.is_member(document) => Ok(Found::Whole),
            (false, false) if vault.comes_in_by(link) => Ok(Found::Begun),
            _ => Err(StoreError::Exists(document.clone()).into()),
        }
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
        let mut store = self.own(document)?;
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
        let store = self.shelf.create(known, &vault.save(&known.document))?;
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
        let end = Instant::now() + BUSY;
        loop {
            match self.shelf.document(document) {
                Err(StoreError::Busy(folder)) if leader::listens(&folder) => {
                    return leader::have(&folder, request, waits);
                }
                // Another command has it, and ends soon.
                Err(StoreError::Busy(_)) if Instant::now() < end => sleep(BUSY_AGAIN),
                store => return self.do_it(store?, document, request, waits),
            }
        }
    }

    /// Opens a document's store, once no other command has it.
    fn own(&self, document: &DocumentId) -> Result<Store, StoreError> {
        let end = Instant::now() + BUSY;
        loop {
            match self.shelf.document(document) {
                Err(StoreError::Busy(folder))
                    if Instant::now() < end && !leader::listens(&folder) =>
                {
                    sleep(BUSY_AGAIN);
                }
                store => return store,
            }
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
            let before = work.dropped.take();
            let mut answer = request.perform(&mut work, document)?;
            if !request.moves() {
                leader::warn(work.unread(document).as_deref());
            }
            if request.writes() {
                work.reach(document, waits).await?;
                answer = json!(work.standing(document));
            }
            let dropped = work.dropped.take().or(before);
            work.driver.close().await?;
            match dropped {
                Some(why) if request.moves() => Err(standing::undone(&why)),
                dropped => {
                    dropped.iter().for_each(|why| complain(&standing::undone(why).text));
                    Ok(answer)
                }
            }
        })
    }

    /// Takes a document up.
    pub(super) fn work(&self, store: Store) -> Result<Work, Failure> {
        let document = store.known().document.clone();
        let vault = self.vault_of(&store)?;
        let (sealing, pending) =
            (vault.sealing(&document), vault.pending(&document).map(<[u8]>::to_vec));
        let relay = Relay::parse(&store.known().relay, None)?;
        let mut driver = Driver::new(vault, relay, random()?);
        driver.add(store, ReplicaId(random()?), sealing)?;
        if let Some(record) = &pending {
            driver.client().push_keys(&document, record);
        }
        Ok(Work {
            driver,
            is_caught_up: false,
            refused: None,
            list: pending,
            rejected: false,
            dropped: None,
            renewed: None,
        })
    }

    /// Opens a document's store for somebody who stays.
    pub(super) fn store(&self, document: &DocumentId) -> Result<Store, Failure> {
        Ok(self.own(document)?)
    }

    /// The device with the keys of a document.
    fn vault_of(&self, store: &Store) -> Result<Vault, Failure> {
        let (mut vault, document) = (self.vault(), &store.known().document);
        // Whether it was to be encrypted is not known then: nothing of it may leave as plain text.
        let keys = store.keys()?.ok_or_else(|| unfinished(document))?;
        vault.restore(document, &keys)?;
        Ok(vault)
    }

    fn vault(&self) -> Vault {
        let chance = Box::new(|bytes: &mut [u8]| {
            rand::fill(bytes).expect("the system gave random bytes before");
        });
        Vault::new(Device::from_seed(*self.device.seed()), chance)
    }
}

impl Work {
    pub(super) fn driver(&mut self) -> &mut Driver<Relay> {
        &mut self.driver
    }

    pub(super) fn document(&self, document: &DocumentId) -> Result<&Document, Failure> {
        let found = self.driver.document(document);
        found.ok_or_else(|| StoreError::Unknown(document.clone()).into())
    }

    /// Changes all, or nothing.
    pub(super) fn edit<T, E>(
        &mut self,
        document: &DocumentId,
        write: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, Failure> {
        let written = self.driver.edit(document, write)?;
        written.ok_or_else(|| StoreError::Unknown(document.clone()).into())
    }

    /// How many operations the relay does not have, and why not.
    pub(super) fn standing(&self, document: &DocumentId) -> Standing {
        let replica = self.driver.replica(document);
        let waiting = replica.map_or(0, selvedge_crdt::session::Replica::unacknowledged);
        let away = self.driver.trouble().map(ToString::to_string);
        let list_waits = self.driver.vault().pending(document).is_some();
        let is_in_step = self.is_caught_up && waiting == 0 && !list_waits;
        let is_away = away.is_some();
        let trouble = away.or_else(|| self.refused.clone().filter(|_| !is_in_step));
        let trouble = trouble.or_else(|| list_waits.then(|| LIST_WAITS.to_owned()));
        let unread = self.unread(document);
        Standing { waiting, list_waits, trouble, is_in_step, is_away, dropped: None, unread }
    }

    /// Why what is here is not all that others wrote, where that is so.
    pub(super) fn unread(&self, document: &DocumentId) -> Option<String> {
        let replica = self.driver.replica(document)?;
        let epochs: Vec<String> = replica.unread().map(|epoch| epoch.to_string()).collect();
        (!epochs.is_empty()).then(|| {
            let epochs = epochs.join(", ");
            format!("this device has no key for some of what others wrote (epoch {epochs}): it was taken out of the members, or is not let in yet")
        })
    }

    /// How it stands, and why something was undone since this was asked last.
    pub(super) fn take_standing(&mut self, document: &DocumentId) -> Standing {
        Standing { dropped: self.dropped.take(), ..self.standing(document) }
    }

    /// Tells people what was undone, where nothing else does.
    pub(super) fn tell_dropped(&mut self) {
        self.dropped.take().iter().for_each(|why| complain(&standing::undone(why).text));
    }

    /// Goes on until this and the relay are in step, or as long as is waited.
    pub(super) async fn reach(
        &mut self,
        document: &DocumentId,
        waits: Waits,
    ) -> Result<(), Failure> {
        let Some(limit) = waits.limit else { return Ok(()) };
        let end = Instant::now() + limit;
        while !self.standing(document).is_in_step {
            // Who need not reach it does not wait until it is there again, or takes the members.
            let is_vain = self.driver.trouble().is_some() || self.rejected && self.list.is_some();
            if !waits.needed && is_vain {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.driver.turn()).await {
                Ok(turned) => turned?,
                Err(_) => return self.give_up(document, waits),
            }
            self.look(document).await?;
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
        self.send_list(document);
        let end = Instant::now() + limit;
        while self.driver.keys().pending(document).is_some() {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.driver.turn()).await {
                Ok(turned) => turned?,
                Err(_) => return self.give_up(document, Waits::needed(limit)),
            }
            self.look(document).await?;
            if self.rejected {
                let dropped = self.dropped.take().map(|why| standing::undone(&why));
                return Err(dropped.unwrap_or_else(|| self.standing(document).failure()));
            }
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
    pub(super) async fn look(&mut self, document: &DocumentId) -> Result<Vec<Event>, Failure> {
        self.driver.sound()?;
        let mut events = Vec::new();
        while let Some((_, event)) = self.driver.poll_event() {
            self.note(document, &event);
            if event == Event::NeedsToken {
                self.renew(document).await?;
            }
            events.push(event);
        }
        self.send_list(document);
        self.is_caught_up &= self.driver.is_connected();
        Ok(events)
    }

    /// Pushes a list of members that is new.
    fn send_list(&mut self, document: &DocumentId) {
        let pending = self.driver.vault().pending(document);
        if self.list.as_deref() == pending {
            return;
        }
        (self.list, self.rejected) = (pending.map(<[u8]>::to_vec), false);
        if let Some(list) = &self.list {
            self.driver.client().push_keys(document, list);
        }
    }

    /// Remembers what is asked for later.
    fn note(&mut self, document: &DocumentId, event: &Event) {
        match event {
            Event::CaughtUp => self.is_caught_up = true,
            Event::Closed(_) => self.is_caught_up = false,
            Event::Acknowledged { .. } => self.refused = None,
            Event::Refused { why, remedy: Remedy::Dropped } => {
                // It is gone here once the document was read again.
                (self.dropped, self.is_caught_up) = (Some(why.to_string()), false);
            }
            Event::Refused { why, .. } => self.refused = Some(why.to_string()),
            Event::NeedsKey(epoch) => {
                self.refused = Some(format!("the key of epoch {epoch} is not here"));
            }
            Event::Suspicious { what: Suspicion::Clock, .. } => {
                self.refused = Some(standing::CLOCK.to_owned());
            }
            // Nothing but lists of members is pushed from here beside batches.
            Event::Rejected { why, .. } => self.note_list(document, why),
            _ => {}
        }
    }

    /// The relay does not take a list of members: this device's, or, where it lost that, one that all had.
    fn note_list(&mut self, document: &DocumentId, why: &Refusal) {
        let pending = self.driver.vault().pending(document);
        match &self.list {
            None => {}
            Some(list) if pending == Some(&list[..]) => {
                (self.refused, self.rejected) = (Some(why.to_string()), true);
            }
            Some(_) => {
                self.dropped = Some(format!("the list of its members: {why}"));
                (self.list, self.rejected) = (None, true);
            }
        }
    }

    /// Exchanges the token that the relay did not accept.
    async fn renew(&mut self, document: &DocumentId) -> Result<(), Failure> {
        let known = self.driver.store(document).map(|store| store.known().clone());
        let is_again = self.renewed.is_some_and(|when| when.elapsed() < RENEW_AGAIN);
        let known = known.filter(|known| !known.token.is_empty() && !is_again);
        let Some(Known { relay, token, .. }) = known else { return Err(needs_token(document, "")) };
        let device = self.driver.keys().own_device();
        let asked =
            Exchange::with(&relay, device)?.token("renew", &json!({ "token": token })).await;
        let token = asked.map_err(|why| needs_token(document, &format!(" ({why})")))?;
        self.renewed = Some(Instant::now());
        Ok(self.driver.set_token(document, &token)?)
    }

    fn give_up(&self, document: &DocumentId, waits: Waits) -> Result<(), Failure> {
        if !waits.needed {
            return Ok(());
        }
        Err(self.standing(document).failure())
    }
}

fn unfinished(document: &DocumentId) -> Failure {
    let text = format!(
        "the creation of {document} broke off\n\
         help: `selvedge doc forget` it, and create it again"
    );
    Failure::new(Exit::Data, text)
}

fn needs_token(document: &DocumentId, why: &str) -> Failure {
    let text = format!(
        "the relay does not accept the token of {document}{why}\n\
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
        Self::from(&error)
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let exit = match error {
            StoreError::Damaged(_) | StoreError::Version(_) | StoreError::Device(_) => Exit::Data,
            StoreError::Busy(_) => Exit::Unavailable,
            StoreError::Folder(..)
            | StoreError::Unknown(_)
            | StoreError::Exists(_)
            | StoreError::Sqlite(_) => Exit::Failure,
        };
        let help = match error {
            StoreError::Busy(_) => {
                "\nhelp: end the `selvedge doc watch` of this document, or wait for the command that has it"
            }
            _ => "",
        };
        Self::new(exit, format_args!("{error}{help}"))
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let exit = match error {
            VaultError::Malformed(_) => Exit::Data,
            VaultError::NotMember
            | VaultError::Stranger(_)
            | VaultError::Roster(_)
            | VaultError::Draft(_) => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let DriverError::Store(error) = error;
        Self::from(&*error)
    }
}
