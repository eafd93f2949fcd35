//! Data keys of subjects: made when they are first needed, destroyed to erase.
//!
//! The store is one file of slots beside the log, and no part of the tree. A key is durable before
//! anything is sealed under it, and its place is durable as destroyed before anybody is told so.

mod copy;
pub(crate) mod master;
mod slot;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk},
    hmac,
};
use selvedge_eventlog::{Disk, File};

use crate::entry::{KeyId, Sealed};

pub use copy::{destroy_in, is_whole};
pub use master::{MasterError, MasterKey};
use slot::{HEADER_BYTES, SLOT_BYTES, Slot, SlotState};

/// How many keys a store holds unless it is told otherwise.
pub const KEYS_MAX: usize = 262_144;

const FILE: &str = "keys";

/// Whose key it is. Nothing of it is stored but a keyed digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person.
    Person {
        /// The tenant that knows them.
        tenant: String,
        /// What the tenant calls them.
        id: String,
    },
    /// Everybody without an identity, for the hour since 1970 with this number.
    Hour(u64),
}

/// Keeps the data keys. Shared between threads; each call returns when what it did is durable.
pub struct KeyStore {
    file: Arc<dyn File>,
    /// Kept for its lock.
    _disk: Option<Box<dyn Disk>>,
    master: MasterKey,
    by_subject: hmac::Key,
    keys_max: usize,
    state: Mutex<State>,
    /// How many writes are known to be durable.
    durable: AtomicU64,
    /// Held by who syncs; false once a sync has failed.
    syncing: Mutex<bool>,
}

struct State {
    subjects: HashMap<[u8; 32], u64>,
    keys: HashMap<KeyId, u64>,
    slots: Vec<Option<Slot>>,
    /// The number of each slot's last write.
    writes: Vec<u64>,
    free: Vec<u64>,
    damaged: usize,
    written: u64,
    /// Whose keys were destroyed here and are not recorded: in memory only, as the store forgets them at once.
    erased: HashMap<[u8; 32], KeyId>,
}

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub enum KeyError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The file is no key store, or of a later version.
    NoStore,
    /// The file was made under another master key.
    WrongMaster,
    /// The master key cannot be had.
    Master(MasterError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the key store cannot be read or written"),
            Self::NoStore => f.write_str("the file `keys` is no key store that is known here"),
            Self::WrongMaster => f.write_str("the key store belongs to another master key"),
            Self::Master(_) => f.write_str("the master key cannot be had"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Master(error) => Some(error),
            Self::NoStore | Self::WrongMaster => None,
        }
    }
}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A key to seal under.
#[derive(Clone)]
pub struct DataKey {
    id: KeyId,
    secret: [u8; 32],
}

impl KeyStore {
    /// Opens the store on `disk`, or makes it. At `keys_max` keys, new persons share the key of the
    /// hour.
    pub fn open(disk: &dyn Disk, master: MasterKey, keys_max: usize) -> Result<Self, KeyError> {
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(disk, &master)?,
            Err(error) => return Err(error.into()),
        };
        let bytes = read_all(&*file)?;
        // What was read may be in memory only, written by a process that died before its sync.
        file.sync_data()?;
        let header = bytes.get(..HEADER_BYTES).ok_or(KeyError::NoStore)?;
        let lookup = slot::read_header(header, &master)?;
        let by_subject = hmac::Key::new(hmac::HMAC_SHA256, &lookup);
        let state = State::of(&bytes[HEADER_BYTES..], &master);
        let (state, syncing) = (Mutex::new(state), Mutex::new(true));
        let durable = AtomicU64::new(0);
        Ok(Self { file, _disk: None, master, by_subject, keys_max, state, durable, syncing })
    }

    /// Keeps the disk as long as the store, and so its lock against other processes.
    pub fn holding(self, disk: impl Disk) -> Self {
        Self { _disk: Some(Box::new(disk)), ..self }
    }

    /// The key of a subject, which is made if there is none; durable when this returns.
    ///
    /// `now` is in seconds since 1970. A person for whom there is no room gets the key of the hour.
    pub fn key_of(&self, subject: &Subject, now: u64) -> Result<DataKey, KeyError> {
        let mut state = self.lock();
        if let Some((found, written)) = state.find(&self.lookup(subject)) {
            drop(state);
            self.sync(written)?;
            return Ok(found);
        }
        let full = state.keys.len() >= self.keys_max;
        if let (true, Subject::Person { .. }) = (full, subject) {
            drop(state);
            return self.key_of(&Subject::Hour(now / 3600), now);
        }
        let hour = matches!(subject, Subject::Hour(_));
        let slot = Slot::generate(self.lookup(subject), hour, now);
        let (key, at) = (slot.key(), state.place());
        let written = self.write(&mut state, at, Some(slot))?;
        drop(state);
        self.sync(written)?;
        Ok(key)
    }

    /// The key with this id, unless it has been destroyed.
    pub fn key(&self, id: KeyId) -> Option<DataKey> {
        let state = self.lock();
        let slot = state.slots[*state.keys.get(&id)? as usize].as_ref()?;
        (slot.state == SlotState::Live).then(|| slot.key())
    }

    /// The id of a subject's key, if it has one.
    pub fn id_of(&self, subject: &Subject) -> Option<KeyId> {
        self.lock().find(&self.lookup(subject)).map(|(key, _)| key.id)
    }

    /// Destroys the key of a subject and returns its id; `None` if there is none.
    ///
    /// The id stays in [`KeyStore::unrecorded`] until [`KeyStore::record`] says that the log has an
    /// entry of it. That there is none is said only where it is durable.
    pub fn destroy(&self, subject: &Subject) -> Result<Option<KeyId>, KeyError> {
        match self.id_of(subject) {
            Some(id) => self.destroy_key(id).map(|done| done.then_some(id)),
            None => self.sync_all().map(|()| None),
        }
    }

    /// Destroys the key with this id; returns whether there was one.
    pub fn destroy_key(&self, id: KeyId) -> Result<bool, KeyError> {
        let mut state = self.lock();
        let Some((at, slot)) = state.live(id) else {
            drop(state);
            return self.sync_all().map(|()| false);
        };
        let (lookup, destroyed) = (slot.lookup, slot.destroyed());
        let written = self.write(&mut state, at, Some(destroyed))?;
        state.erased.insert(lookup, id);
        drop(state);
        self.sync(written)?;
        Ok(true)
    }

    /// The key of a subject that was destroyed since the store was opened, and of which no entry of the log
    /// is known.
    pub fn unrecorded_of(&self, subject: &Subject) -> Option<KeyId> {
        self.lock().erased.get(&self.lookup(subject)).copied()
    }

    /// Ids of hours' keys that were made before `time`, in seconds since 1970: what the retention of
    /// personal data destroys.
    pub fn hours_before(&self, time: u64) -> Vec<KeyId> {
        let state = self.lock();
        let slots = state.slots.iter().flatten();
        slots.filter(|slot| slot.is_hour_before(time)).map(|slot| slot.id).collect()
    }

    /// Keys that were destroyed and of which no entry of the log is known.
    pub fn unrecorded(&self) -> Vec<KeyId> {
        let state = self.lock();
        let slots = state.slots.iter().flatten();
        slots.filter(|slot| slot.state == SlotState::Destroyed).map(|slot| slot.id).collect()
    }

    /// Forgets a destroyed key: the log has an entry of it that is durable.
    pub fn record(&self, id: KeyId) -> Result<(), KeyError> {
        let mut state = self.lock();
        let Some(at) = state.keys.get(&id).copied() else { return Ok(()) };
        let slot = state.slots[at as usize].as_ref();
        if slot.is_some_and(|slot| slot.state == SlotState::Live) {
            return Ok(());
        }
        let written = self.write(&mut state, at, None)?;
        state.erased.retain(|_, erased| *erased != id);
        drop(state);
        self.sync(written)
    }

    /// How many slots cannot be read: each was a key, or was never finished.
    pub fn damaged(&self) -> usize {
        self.lock().damaged
    }

    /// How many keys there are, destroyed ones that are not recorded among them.
    pub fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lookup(&self, subject: &Subject) -> [u8; 32] {
        let text = match subject {
            Subject::Hour(hour) => format!("hour:{hour}"),
            Subject::Person { tenant, id } => format!("person:{}:{tenant}{id}", tenant.len()),
        };
        let tag = hmac::sign(&self.by_subject, text.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Writes a slot and returns the number of the write, to be synced.
    fn write(&self, state: &mut State, at: u64, slot: Option<Slot>) -> Result<u64, KeyError> {
        let bytes = match &slot {
            Some(slot) => slot.encode(&self.master),
            None => [0; SLOT_BYTES],
        };
        self.file.write_at(HEADER_BYTES as u64 + at * SLOT_BYTES as u64, &bytes)?;
        state.written += 1;
        state.put(at, slot);
        Ok(state.written)
    }

    /// Waits until everything is durable that was written so far.
    fn sync_all(&self) -> Result<(), KeyError> {
        let written = self.lock().written;
        self.sync(written)
    }

    /// Waits until this write is durable. Who finds another thread at it uses its result.
    fn sync(&self, written: u64) -> Result<(), KeyError> {
        if self.durable.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        let mut sound = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.durable.load(Ordering::Acquire) >= written {
            return Ok(());
        }
        // After a failed sync, the next one may succeed without the pages that were lost.
        if !std::mem::replace(&mut *sound, false) {
            return Err(io::Error::other("an earlier sync failed").into());
        }
        let reached = self.lock().written;
        self.file.sync_data()?;
        self.durable.store(reached, Ordering::Release);
        *sound = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked under it had changed nothing yet.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("keys", &self.len()).finish_non_exhaustive()
    }
}

impl State {
    fn of(bytes: &[u8], master: &MasterKey) -> Self {
        let (subjects, keys) = (HashMap::new(), HashMap::new());
        let (slots, writes, free) = (Vec::new(), Vec::new(), Vec::new());
        let erased = HashMap::new();
        let mut state =
            Self { subjects, keys, slots, writes, free, damaged: 0, written: 0, erased };
        for (at, slot) in (0..).zip(bytes.chunks_exact(SLOT_BYTES)) {
            if slot.iter().all(|byte| *byte == 0) {
                state.put(at, None);
                continue;
            }
            match Slot::decode(slot, master) {
                Some(slot) => state.put(at, Some(slot)),
                None => {
                    state.slots.push(None);
                    state.writes.push(0);
                    state.damaged += 1;
                }
            }
        }
        state
    }

    /// A subject's key, and the number of the write that made it.
    fn find(&self, lookup: &[u8; 32]) -> Option<(DataKey, u64)> {
        let at = *self.subjects.get(lookup)? as usize;
        self.slots[at].as_ref().map(|slot| (slot.key(), self.writes[at]))
    }

    /// A key that is still there, and its place.
    fn live(&self, id: KeyId) -> Option<(u64, &Slot)> {
        let at = *self.keys.get(&id)?;
        let slot = self.slots[at as usize].as_ref()?;
        (slot.state == SlotState::Live).then_some((at, slot))
    }

    /// A place for another slot.
    fn place(&mut self) -> u64 {
        self.free.last().copied().unwrap_or(self.slots.len() as u64)
    }

    fn put(&mut self, at: u64, slot: Option<Slot>) {
        if at as usize == self.slots.len() {
            self.slots.push(None);
            self.writes.push(0);
        }
        self.writes[at as usize] = self.written;
        self.free.retain(|free| *free != at);
        if let Some(before) = self.slots[at as usize].take() {
            self.subjects.remove(&before.lookup);
            self.keys.remove(&before.id);
        }
        match &slot {
            Some(slot) => {
                self.keys.insert(slot.id, at);
                if slot.state == SlotState::Live {
                    self.subjects.insert(slot.lookup, at);
                }
            }
            None => self.free.push(at),
        }
        self.slots[at as usize] = slot;
    }
}

fn create(disk: &dyn Disk, master: &MasterKey) -> Result<Arc<dyn File>, KeyError> {
    let next = format!("{FILE}.next");
    let file = disk.create(&next)?;
    file.write_at(0, &slot::new_header(master))?;
    file.sync_data()?;
    disk.rename(&next, FILE)?;
    disk.sync_dir()?;
    Ok(disk.open(FILE)?)
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.length()?).map_err(io::Error::other)?];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The length of a key for AES-256.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

/// How many bytes of a sealed text choose its message key.
const SALT_BYTES: usize = 12;
const NONCE_BYTES: usize = 12;

/// Texts are filled up to a multiple of this, so that their length tells little.
const PADDING: usize = 32;

impl DataKey {
    pub(crate) fn new(id: KeyId, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }

    /// Its id, which stands for its subject.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Encrypts a text for one place in one entry, which `context` names.
    pub fn seal(&self, context: &str, text: &str) -> Sealed {
        Sealed { key: self.id, bytes: self.seal_bytes(context, text.as_bytes()) }
    }

    /// Decrypts what [`DataKey::seal`] returned for the same place; `None` if it was altered.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Option<String> {
        String::from_utf8(self.open_bytes(context, &sealed.bytes)?).ok()
    }

    /// Encrypts any bytes: salt, nonce, ciphertext, tag.
    pub fn seal_bytes(&self, context: &str, text: &[u8]) -> Vec<u8> {
        let mut start = [0; SALT_BYTES + NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut start).expect("the system gives random bytes");
        let mut inner = [text, &[0x80]].concat();
        inner.resize(inner.len().next_multiple_of(PADDING), 0);
        let (salt, nonce) = start.split_at(SALT_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("nonces have 12 bytes");
        let sealing = self.message_key(salt);
        sealing
            .seal_in_place_append_tag(nonce, Aad::from(context), &mut inner)
            .expect("a text in memory is not too long for AES-GCM");
        [&start[..], &inner].concat()
    }

    /// Decrypts what [`DataKey::seal_bytes`] returned.
    pub fn open_bytes(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, rest) = sealed.split_at_checked(SALT_BYTES)?;
        let (nonce, inner) = rest.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut inner = inner.to_vec();
        let opened = self.message_key(salt).open_in_place(nonce, Aad::from(context), &mut inner);
        let opened = opened.ok()?;
        let end = opened.iter().rposition(|byte| *byte == 0x80)?;
        Some(opened[..end].to_vec())
    }

    /// Each text has a key of its own (HKDF-Expand), so that one subject may have any number of them.
    fn message_key(&self, salt: &[u8]) -> LessSafeKey {
        let mut key = [0; 32];
        Prk::new_less_safe(HKDF_SHA256, &self.secret)
            .expand(&[b"selvedge audit v1 seal", salt], KeyLength)
            .and_then(|material| material.fill(&mut key))
            .expect("HKDF gives 32 bytes");
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 keys have 32 bytes"))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}
