//! Rosters: whose devices hold the key of an epoch, and who said so.
//!
//! A roster travels as RFC 10's `keys` record. Each names the one before, so that devices that hold one roster
//! follow to the next by themselves, and refuse what somebody made up; [`follow`](Roster::follow) says what may follow.

mod draft;
mod rules;
mod wire;

use std::{error::Error, fmt};

use selvedge_crdt::{
    Malformed,
    session::{DeviceId, DocumentId, Record},
};
use sha2::{Digest, Sha256};

pub use draft::{Draft, DraftError, History, Newcomer};

use crate::{
    Rights,
    device::{Device, verify_record},
    epoch::{Commitment, Epoch, EpochKey, place},
    keyring::{Conflict, Keyring},
    wrap::{EncryptionKey, Wrapped},
};

/// Members of a document, at most.
pub const MEMBERS_MAX: usize = 1024;

/// Bytes of a member's name, at most.
pub const NAME_BYTES_MAX: usize = 128;

/// The SHA-256 over what was signed of a roster: its document, its signer, and all that it says.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RosterHash(pub [u8; 32]);

/// What a device knows of a document's members from a person, before it asks any relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Who signed the first roster.
    Founder(DeviceId),
    /// A roster that is right.
    Roster(RosterHash),
}

/// Who reads a document under the key of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    document: DocumentId,
    epoch: Epoch,
    serial: u64,
    before: RosterHash,
    hash: RosterHash,
    commitment: Commitment,
    owes_epoch: bool,
    members: Vec<Member>,
    names: Vec<u8>,
}

/// A device that may unwrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub device: DeviceId,
    /// For which key its keys are wrapped.
    pub encryption: EncryptionKey,
    /// What it may do.
    pub rights: Rights,
    /// Whether it is a device, or a link.
    pub kind: MemberKind,
    /// The first epoch whose key it is given.
    pub since: Epoch,
    wrapped: Wrapped,
}

/// What has a member's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A device.
    Device,
    /// A link that brings in one device, and is gone then.
    LinkOnce,
    /// A link that brings in any number of devices.
    Link,
}

/// Why a record is not the roster that is in force from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RosterError {
    /// Another kind of record.
    Kind,
    /// Not the bytes of a roster.
    Malformed(Malformed),
    /// Its signer did not sign it, for this document.
    Signature,
    /// It is not where the anchor says that the chain begins.
    Anchor,
    /// Rosters are missing; the next has this serial.
    Gap(u64),
    /// One of this serial, or a later one, is known already.
    Past,
    /// It continues another roster than the one that is known.
    Forked,
    /// Its signer may not say who is a member.
    Signer,
    /// Somebody was removed and kept the key, or an epoch was left out, or has two keys.
    Epoch,
    /// Its signer may bring in one device, and did something else.
    Join,
}

/// Why a member did not get its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// It is none.
    NotMember,
    /// What was wrapped for it does not unwrap: whoever signed the roster made a mistake, or means harm.
    Wrapped,
    /// What was unwrapped is not the key that the roster commits to.
    Commitment,
    /// Another key of that epoch is known already.
    Conflict(Conflict),
}

impl Roster {
    /// The first roster that a device holds.
    ///
    /// # Errors
    /// One that the anchor does not vouch for.
    pub fn first(
        document: &DocumentId,
        record: &Record<'_>,
        anchor: &Anchor,
    ) -> Result<Roster, RosterError> {
        let (signer, roster) = Roster::read(document, record)?;
        let anchored = match anchor {
            Anchor::Founder(founder) => roster.serial == 1 && signer == *founder,
            Anchor::Roster(hash) => roster.hash == *hash,
        };
        if anchored { Ok(roster) } else { Err(RosterError::Anchor) }
    }

    /// The roster of `record`, if it may follow this one.
    ///
    /// # Errors
    /// One that may not. This one stays in force.
    pub fn follow(&self, record: &Record<'_>) -> Result<Roster, RosterError> {
        let (signer, next) = Roster::read(&self.document, record)?;
        rules::follows(self, &next, &signer)?;
        Ok(next)
    }

    /// What a record says, once its signature holds: for who judges no chain of rosters, as relays.
    ///
    /// # Errors
    /// What is no roster, or not signed.
    pub fn of_record(document: &DocumentId, record: &Record<'_>) -> Result<Roster, RosterError> {
        Self::read(document, record).map(|(_, roster)| roster)
    }

    /// Who signed a roster, and what it says, once its signature holds.
    fn read(document: &DocumentId, record: &Record<'_>) -> Result<(DeviceId, Roster), RosterError> {
        let Record::Keys { device, epoch, members, .. } = record else {
            return Err(RosterError::Kind);
        };
        verify_record(document, record).map_err(|_| RosterError::Signature)?;
        let epoch = Epoch::new(*epoch).ok_or(RosterError::Epoch)?;
        let hash = RosterHash(Sha256::digest(record.signed_bytes(document)).into());
        let roster = wire::read(document, epoch, hash, members).map_err(RosterError::Malformed)?;
        rules::stands(&roster)?;
        Ok((*device, roster))
    }

    /// Unwraps what `device` is given, into `keyring`.
    ///
    /// # Errors
    /// Keys that are not there, or not right. None is taken then.
    pub fn unlock(&self, device: &Device, keyring: &mut Keyring) -> Result<(), Unlock> {
        let member = self.member(&device.id()).ok_or(Unlock::NotMember)?;
        let info = wrap_info(&self.document, self.epoch, member.since);
        let context = (&info[..], &member.device.0[..]);
        let secrets = member.wrapped.open(device.unwrapping(), context);
        let secrets = secrets.map_err(|_| Unlock::Wrapped)?;
        let (secrets, _) = secrets.as_chunks();
        let epochs = (member.since.get()..=self.epoch.get()).filter_map(Epoch::new);
        let keys: Vec<EpochKey> = epochs
            .zip(secrets)
            .map(|(epoch, secret)| EpochKey::new(&self.document, epoch, *secret))
            .collect();
        let newest = keys.last().filter(|key| key.epoch() == self.epoch);
        if newest.map(EpochKey::commitment) != Some(self.commitment) {
            return Err(Unlock::Commitment);
        }
        keyring.take_all(keys).map_err(Unlock::Conflict)
    }

    /// The names of its members, in their order; empty where this is another key than the roster's, or they are none. Whoever comes in by a
    /// link seals the names of all, and must not be able to stop the next roster.
    pub fn names(&self, key: &EpochKey) -> Vec<String> {
        let place = names_place(&self.document, self.epoch, self.serial);
        let opened = key.names.open(&place, &self.names).ok();
        let names = opened.and_then(|names| wire::read_names(&names, self.members.len()).ok());
        names.unwrap_or_else(|| vec![String::new(); self.members.len()])
    }

    /// Of which document.
    pub fn document(&self) -> &DocumentId {
        &self.document
    }

    /// Under the key of which epoch everything is sealed from here on.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many rosters there were up to this one.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Its hash, which is an anchor for others.
    pub fn hash(&self) -> RosterHash {
        self.hash
    }

    /// The key of its epoch.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// Whether a link was used up since the epoch began: an admin's next roster begins another.
    pub fn owes_epoch(&self) -> bool {
        self.owes_epoch
    }

    /// The members, by device.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this name.
    pub fn member(&self, device: &DeviceId) -> Option<&Member> {
        let found = self.members.binary_search_by(|member| member.device.cmp(device));
        found.ok().map(|at| &self.members[at])
    }
}

/// What is wrapped: keys of a document, from one epoch to another.
fn wrap_info(document: &DocumentId, epoch: Epoch, since: Epoch) -> Vec<u8> {
    let mut info = place("wrap", document, epoch);
    info.extend(since.get().to_le_bytes());
    info
}

/// Where the names of a roster belong.
fn names_place(document: &DocumentId, epoch: Epoch, serial: u64) -> Vec<u8> {
    let mut place = place("names", document, epoch);
    place.extend(serial.to_le_bytes());
    place
}

impl fmt::Debug for RosterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "RosterHash({first:02x}{second:02x}…)")
    }
}

impl fmt::Display for RosterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RosterError::Kind => f.write_str("this record has no members"),
            RosterError::Malformed(why) => write!(f, "this is no list of members: {why}"),
            RosterError::Signature => f.write_str("the signature over the members does not hold"),
            RosterError::Anchor => f.write_str("the members are not those that were told"),
            RosterError::Gap(next) => {
                write!(f, "lists of members are missing; the next is number {next}")
            }
            RosterError::Past => f.write_str("a later list of members is known"),
            RosterError::Forked => f.write_str("the list of members continues another one"),
            RosterError::Signer => f.write_str("its signer may not say who is a member"),
            RosterError::Epoch => f.write_str("the epoch of the list of members is wrong"),
            RosterError::Join => f.write_str("its signer may bring in one device and nothing else"),
        }
    }
}

impl Error for RosterError {}

impl fmt::Display for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unlock::NotMember => f.write_str("this device is no member"),
            Unlock::Wrapped => f.write_str("the keys for this device do not unwrap"),
            Unlock::Commitment => f.write_str("the key is not the one that all members have"),
            Unlock::Conflict(why) => why.fmt(f),
        }
    }
}

impl Error for Unlock {}
