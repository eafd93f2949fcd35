//! A device with the keys of all its documents, as the session asks for them.

use std::{error::Error, fmt};

use selvedge_crdt::{
    Batch, BatchHash, Malformed, Reader, put_varint,
    session::{DeviceId, DocumentId, KeyPlace, Keys, Record, Sealing, Signature, Unreadable},
    sorted::Map,
};
use zeroize::Zeroizing;

use crate::{
    Anchor, Device, Draft, DraftError, Epoch, EpochKey, History, Keyring, Link, Newcomer,
    OpenError, Presence, Rights, Roster, RosterError, RosterHash, SECRET_BYTES, SealedSnapshot,
    SnapshotOpener, device::verify,
};

/// The only version of what is kept.
const VERSION: u8 = 1;

/// Bytes of a kept roster's record, at most.
const RECORD_BYTES_MAX: usize = selvedge_crdt::session::RECORD_BYTES_MAX;

/// Random bytes, never the same again.
pub type Chance = Box<dyn FnMut(&mut [u8]) + Send>;

/// A device, who is a member of its documents, and their keys. Documents that it knows nothing of are not encrypted.
pub struct Vault {
    device: Device,
    chance: Chance,
    documents: Map<DocumentId, Membership>,
}

/// What is known of who is a member of a document.
struct Membership {
    keyring: Keyring,
    trust: Trust,
    /// A record that is to be pushed, until it comes back.
    pending: Option<Vec<u8>>,
    /// The link that this device comes in by, and what it will be called.
    link: Option<(Device, String)>,
    changed: bool,
}

/// Which rosters are believed.
enum Trust {
    /// The first that this vouches for.
    Anchor(Anchor),
    /// What follows this one, whose record it is.
    Roster(Box<Roster>, Vec<u8>),
}

/// Why a document's keys cannot be had.
#[derive(Debug)]
pub enum VaultError {
    /// Nothing is known of the document: it is not encrypted, or its first roster was not read yet.
    NotMember,
    /// The device that is to be taken out is not in.
    Stranger(DeviceId),
    /// What was kept is damaged.
    Malformed(Malformed),
    /// This device may not say that, or what was kept contradicts itself.
    Roster(RosterError),
    /// There is no roster like that.
    Draft(DraftError),
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VaultError::NotMember => f.write_str("this device is no member of the document yet"),
            VaultError::Stranger(device) => write!(f, "{device} is no member of the document"),
            VaultError::Malformed(error) => {
                write!(f, "the keys that were kept are damaged: {error}")
            }
            VaultError::Roster(error) => write!(f, "{error}"),
            VaultError::Draft(error) => write!(f, "{error}"),
        }
    }
}

impl Error for VaultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VaultError::NotMember | VaultError::Stranger(_) => None,
            VaultError::Malformed(error) => Some(error),
            VaultError::Roster(error) => Some(error),
            VaultError::Draft(error) => Some(error),
        }
    }
}

impl From<DraftError> for VaultError {
    fn from(error: DraftError) -> Self {
        VaultError::Draft(error)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let documents: Vec<&DocumentId> = self.documents.keys().collect();
        f.debug_struct("Vault")
            .field("device", &self.device.id())
            .field("documents", &documents)
            .finish()
    }
}

impl Vault {
    /// A device that is a member nowhere.
    pub fn new(device: Device, chance: Chance) -> Self {
        Vault { device, chance, documents: Map::new() }
    }

    /// The device.
    pub fn own_device(&self) -> &Device {
        &self.device
    }

    /// Founds an encrypted document, in whose list this device is called `name`. Its first roster counts at once.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn found(&mut self, document: &DocumentId, name: &str) -> Result<(), VaultError> {
        let keyring = Keyring::new(document);
        let mut draft = Draft::founding(document);
        draft.add(Newcomer::device(self.device.public(), Rights::ALL, name));
        let record = draft.sign(&self.device, &keyring, random(&mut self.chance))?;
        let trust = Trust::Anchor(Anchor::Founder(self.device.id()));
        let pending = Some(record.clone());
        let membership = Membership { keyring, trust, pending, link: None, changed: true };
        self.documents.insert(document.clone(), membership);
        self.believe(document, &record);
        if let Some(membership) = self.documents.get_mut(document) {
            membership.pending = Some(record);
        }
        Ok(())
    }

    /// Comes into a document by a link, as `name`: once the roster that the link names was read.
    pub fn come_in(&mut self, link: &Link, name: &str) {
        let membership = Membership {
            keyring: Keyring::new(&link.document),
            trust: Trust::Anchor(Anchor::Roster(link.anchor)),
            pending: None,
            link: Some((link.device(), name.to_owned())),
            changed: true,
        };
        self.documents.insert(link.document.clone(), membership);
    }

    /// Makes a link that brings devices in, with these rights, and what was written before; for once, or as often as it is opened.
    ///
    /// # Errors
    /// A document of which this device is no admin.
    pub fn invite(
        &mut self,
        document: &DocumentId,
        (rights, is_once): (Rights, bool),
        name: &str,
    ) -> Result<Link, VaultError> {
        let secret: [u8; SECRET_BYTES] = random(&mut self.chance);
        let device = Device::of_link(document, &secret).public();
        let rights = rights | Rights::JOIN;
        let newcomer = if is_once {
            Newcomer::link_once(device, rights, name)
        } else {
            Newcomer::link(device, rights, name)
        };
        let anchor = self.change(document, |draft| draft.add(newcomer.with(History::All)))?;
        Ok(Link::new(document, secret, anchor, None))
    }

    /// Takes a member out; what is written from then on is closed to it.
    ///
    /// # Errors
    /// A document of which this device is no admin, and who is no member.
    pub fn remove(&mut self, document: &DocumentId, member: &DeviceId) -> Result<(), VaultError> {
        let roster = self.documents.get(document).and_then(Membership::roster);
        let roster = roster.ok_or(VaultError::NotMember)?;
        roster.member(member).ok_or(VaultError::Stranger(*member))?;
        self.change(document, |draft| {
            draft.remove(member);
        })
        .map(drop)
    }

    /// Signs the next roster, which is to be pushed. It counts once it comes back: another admin's may come first, and then this is
    /// forgotten.
    fn change(
        &mut self,
        document: &DocumentId,
        change: impl FnOnce(&mut Draft<'_>),
    ) -> Result<RosterHash, VaultError> {
        let membership = self.documents.get_mut(document).ok_or(VaultError::NotMember)?;
        let roster = membership.roster().ok_or(VaultError::NotMember)?;
        let mut draft = Draft::after(roster, &membership.keyring)?;
        change(&mut draft);
        let bytes = draft.sign(&self.device, &membership.keyring, random(&mut self.chance))?;
        let record = Record::read(&bytes).map_err(VaultError::Malformed)?;
        let hash = roster.follow(&record).map_err(VaultError::Roster)?.hash();
        (membership.pending, membership.changed) = (Some(bytes), true);
        Ok(hash)
    }

    /// Returns whether the list of members that counts has this device.
    pub fn is_member(&self, document: &DocumentId) -> bool {
        let roster = self.documents.get(document).and_then(Membership::roster);
        roster.is_some_and(|roster| roster.member(&self.device.id()).is_some())
    }

    /// The members of a document, and what they are called.
    ///
    /// # Errors
    /// A document of which nothing is known, or whose key is not here.
    pub fn members(
        &self,
        document: &DocumentId,
    ) -> Result<Vec<(DeviceId, Rights, String)>, VaultError> {
        let membership = self.documents.get(document).ok_or(VaultError::NotMember)?;
        let roster = membership.roster().ok_or(VaultError::NotMember)?;
        let key = membership.keyring.get(roster.epoch()).ok_or(VaultError::NotMember)?;
        let members = roster.members().iter().zip(roster.names(key));
        Ok(members.map(|(member, name)| (member.device, member.rights, name)).collect())
    }

    /// What this device shows of itself at the moment, sealed. Nothing where the key is missing, or the state is too large.
    pub fn seal_presence(
        &mut self,
        document: &DocumentId,
        state: &[u8],
        at_ms: u64,
    ) -> Option<Vec<u8>> {
        let nonce = random(&mut self.chance);
        let key = self.documents.get(document)?.keyring.newest()?;
        let presence = Presence { device: self.device.id(), at_ms, state: state.to_vec() };
        key.seal_presence(&presence, nonce)
    }

    /// What another device shows. Nothing where no key of the document opens it.
    pub fn open_presence(&self, document: &DocumentId, sealed: &[u8]) -> Option<Presence> {
        // Whoever did not hear of the newest key yet seals with the one before.
        let keys = self.documents.get(document)?.keyring.newest_first();
        keys.take(2).find_map(|key| key.open_presence(sealed).ok())
    }

    /// How what is written to a document is sealed from the beginning.
    pub fn sealing(&self, document: &DocumentId) -> Sealing {
        match self.documents.get(document) {
            None => Sealing::Plain,
            Some(membership) => {
                Sealing::Epoch(membership.roster().map_or(1, |roster| roster.epoch().get()))
            }
        }
    }

    /// A record that is to be pushed, and did not come back yet.
    pub fn pending(&self, document: &DocumentId) -> Option<&[u8]> {
        self.documents.get(document)?.pending.as_deref()
    }

    /// Returns whether this device is about to come in by this link: it was begun, and it is not in yet.
    pub fn comes_in_by(&self, link: &Link) -> bool {
        let membership = self.documents.get(&link.document);
        let by = membership.and_then(|membership| membership.link.as_ref());
        by.is_some_and(|(device, _)| device.id() == link.device().id())
    }

    /// Returns whether this is the record of the roster that counts.
    pub fn is_newest(&self, document: &DocumentId, record: &[u8]) -> bool {
        self.documents.get(document).is_some_and(|membership| membership.is_current(record))
    }

    /// Returns whether there is something new to be kept, once.
    pub fn take_changed(&mut self, document: &DocumentId) -> bool {
        let membership = self.documents.get_mut(document);
        membership.is_some_and(|membership| std::mem::take(&mut membership.changed))
    }

    /// What is to be kept of a document, where only this device reads it; empty if it is not encrypted.
    pub fn save(&self, document: &DocumentId) -> Zeroizing<Vec<u8>> {
        let Some(membership) = self.documents.get(document) else { return Zeroizing::default() };
        membership.save()
    }

    /// Takes up what was kept.
    ///
    /// # Errors
    /// What was never kept.
    pub fn restore(&mut self, document: &DocumentId, kept: &[u8]) -> Result<(), VaultError> {
        if !kept.is_empty() {
            let membership = Membership::read(document, kept)?;
            self.documents.insert(document.clone(), membership);
        }
        Ok(())
    }

    /// Takes in a roster. Returns whether it is to be believed.
    fn believe(&mut self, document: &DocumentId, bytes: &[u8]) -> bool {
        let Some(membership) = self.documents.get_mut(document) else { return false };
        let Ok(record) = Record::read(bytes) else { return false };
        if membership.is_current(bytes) {
            membership.arrived(bytes);
            return true;
        }
        let next = match &membership.trust {
            Trust::Anchor(anchor) => Roster::first(document, &record, anchor),
            Trust::Roster(roster, _) => roster.follow(&record),
        };
        let Ok(roster) = next else { return false };
        membership.take(roster, bytes, &self.device);
        membership.join(&self.device, &mut self.chance);
        true
    }
}

impl Membership {
    fn roster(&self) -> Option<&Roster> {
        match &self.trust {
            Trust::Roster(roster, _) => Some(roster),
            Trust::Anchor(_) => None,
        }
    }

    fn is_current(&self, bytes: &[u8]) -> bool {
        matches!(&self.trust, Trust::Roster(_, record) if record == bytes)
    }

    /// This is not to be pushed any more.
    fn arrived(&mut self, bytes: &[u8]) {
        if self.pending.as_deref() == Some(bytes) {
            self.pending = None;
            self.changed = true;
        }
    }

    fn take(&mut self, roster: Roster, bytes: &[u8], device: &Device) {
        // Who is no member reads on what it could read; who was given a wrong key says so when it is needed.
        let _ = roster.unlock(device, &mut self.keyring);
        self.trust = Trust::Roster(Box::new(roster), bytes.to_vec());
        // This is what was pushed; or another one came first, and that continues nothing.
        self.pending = None;
        self.changed = true;
    }

    /// Uses the link, where this device is not in yet.
    fn join(&mut self, device: &Device, chance: &mut Chance) {
        let Some((link, name)) = self.link.take() else { return };
        let Trust::Roster(roster, _) = &self.trust else { return };
        let is_in = roster.member(&device.id()).is_some();
        if is_in || roster.unlock(&link, &mut self.keyring).is_err() {
            return;
        }
        let newcomer = (device.public(), &*name);
        if let Ok(record) = roster.join((&link, &self.keyring), newcomer, random(chance)) {
            self.pending = Some(record);
        }
        self.link = Some((link, name));
    }

    fn save(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![VERSION]);
        let put = |out: &mut Vec<u8>, bytes: &[u8]| {
            put_varint(out, bytes.len() as u64);
            out.extend(bytes);
        };
        match &self.trust {
            Trust::Anchor(Anchor::Founder(founder)) => {
                out.push(0);
                out.extend(founder.0);
            }
            Trust::Anchor(Anchor::Roster(hash)) => {
                out.push(1);
                out.extend(hash.0);
            }
            Trust::Roster(roster, record) => {
                out.push(2);
                out.extend(roster.hash().0);
                put(&mut out, record);
            }
        }
        put(&mut out, self.pending.as_deref().unwrap_or_default());
        let (seed, name) =
            self.link.as_ref().map_or((&[][..], ""), |(link, name)| (&link.seed()[..], name));
        put(&mut out, seed);
        put(&mut out, name.as_bytes());
        put_varint(&mut out, self.keyring.secrets().count() as u64);
        for (epoch, secret) in self.keyring.secrets() {
            put_varint(&mut out, epoch.get().into());
            out.extend(secret);
        }
        out
    }

    fn read(document: &DocumentId, kept: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader::new(kept);
        let membership = Membership::parse(document, &mut reader)?;
        reader.finish().map_err(VaultError::Malformed)?;
        Ok(membership)
    }

    fn parse(document: &DocumentId, reader: &mut Reader<'_>) -> Result<Self, VaultError> {
        let malformed = VaultError::Malformed;
        let version = reader.byte().map_err(malformed)?;
        if version != VERSION {
            return Err(malformed(Malformed::Version(version.into())));
        }
        let trust = Trust::parse(document, reader)?;
        let pending = take(reader).map_err(malformed)?;
        let (seed, name) = (take(reader).map_err(malformed)?, take(reader).map_err(malformed)?);
        let mut keyring = Keyring::new(document);
        keys(&mut keyring, reader).map_err(malformed)?;
        let link = <[u8; SECRET_BYTES]>::try_from(seed).ok().map(Device::from_seed);
        let link = link.map(|link| (link, String::from_utf8_lossy(name).into_owned()));
        let pending = Some(pending.to_vec()).filter(|pending| !pending.is_empty());
        Ok(Membership { keyring, trust, pending, link, changed: false })
    }
}

impl Trust {
    fn parse(document: &DocumentId, reader: &mut Reader<'_>) -> Result<Self, VaultError> {
        let malformed = VaultError::Malformed;
        let (kind, id) = (reader.byte().map_err(malformed)?, reader.array().map_err(malformed)?);
        match kind {
            0 => Ok(Trust::Anchor(Anchor::Founder(DeviceId(id)))),
            1 => Ok(Trust::Anchor(Anchor::Roster(RosterHash(id)))),
            2 => {
                let bytes = take(reader).map_err(malformed)?;
                let record = Record::read(bytes).map_err(malformed)?;
                let roster = Roster::first(document, &record, &Anchor::Roster(RosterHash(id)));
                Ok(Trust::Roster(Box::new(roster.map_err(VaultError::Roster)?), bytes.to_vec()))
            }
            _ => Err(malformed(Malformed::Invalid("an anchor of no known kind"))),
        }
    }
}

fn take<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = reader.count(RECORD_BYTES_MAX, "bytes of what is kept")?;
    reader.take(len)
}

fn keys(keyring: &mut Keyring, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let count = reader.count(reader.remaining(), "keys that are kept")?;
    for _ in 0..count {
        let epoch = u32::try_from(reader.varint()?).ok().and_then(Epoch::new);
        let epoch = epoch.ok_or(Malformed::Invalid("epochs begin with 1"))?;
        let inserted = keyring.insert(epoch, reader.array()?);
        inserted.map_err(|_| Malformed::Invalid("two keys of one epoch"))?;
    }
    Ok(())
}

fn random<const N: usize>(chance: &mut Chance) -> [u8; N] {
    let mut bytes = [0; N];
    chance(&mut bytes);
    bytes
}

impl Keys for Vault {
    fn device(&self) -> DeviceId {
        self.device.id()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.device.sign(bytes)
    }

    fn verify(&self, device: DeviceId, bytes: &[u8], signature: &Signature) -> bool {
        verify(&device, bytes, signature).is_ok()
    }

    fn seal_batch(
        &mut self,
        place: KeyPlace<'_>,
        batch: &Batch,
        prev: BatchHash,
    ) -> Option<Vec<u8>> {
        let nonce = random(&mut self.chance);
        Some(self.key(place).ok()?.seal_batch(batch, prev, nonce))
    }

    fn open_batch(&self, place: KeyPlace<'_>, pushed: &[u8]) -> Result<Batch, Unreadable> {
        let opened = self.key(place)?.open_batch(pushed);
        opened.map(|(_, batch)| batch).map_err(unreadable)
    }

    fn seal_snapshot(&mut self, place: KeyPlace<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        let prefix = random(&mut self.chance);
        let sealed = SealedSnapshot::new(self.key(place).ok()?, plain, prefix).ok()?;
        Some(sealed.iter().flatten().collect())
    }

    fn open_snapshot(&self, place: KeyPlace<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut opener = SnapshotOpener::new(self.key(place)?);
        opener.push(sealed).map_err(unreadable)?;
        opener.finish().map_err(unreadable)
    }

    fn take_keys(&mut self, document: &DocumentId, record: &Record<'_>) -> bool {
        self.believe(document, &record.to_bytes())
    }

    /// A founder's first roster stays: without it the document is nobody's.
    fn drop_keys(&mut self, document: &DocumentId, record: &[u8]) {
        let membership = self.documents.get_mut(document);
        if let Some(membership) = membership.filter(|it| !it.is_current(record)) {
            membership.arrived(record);
        }
    }
}

impl Vault {
    fn key(&self, place: KeyPlace<'_>) -> Result<&EpochKey, Unreadable> {
        let membership = self.documents.get(place.document).ok_or(Unreadable::NoKey)?;
        membership.keyring.of(Sealing::of(place.epoch)).map_err(unreadable)
    }
}

fn unreadable(error: OpenError) -> Unreadable {
    match error {
        OpenError::Epoch(_) => Unreadable::NoKey,
        _ => Unreadable::Broken,
    }
}
