//! Rosters that are being written.

use std::{error::Error, fmt};

use hkdf::Hkdf;
use selvedge_crdt::{
    session::{DeviceId, DocumentId, KEYS_BYTES_MAX},
    sorted::sort,
};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    MEMBERS_MAX, Member, MemberKind, NAME_BYTES_MAX, Roster, RosterHash, names_place, wire,
    wrap_info,
};
use crate::{
    NONCE_BYTES, Rights, SECRET_BYTES,
    device::{Device, PublicDevice},
    epoch::{Epoch, EpochKey, expand},
    keyring::Keyring,
    wrap::Wrapped,
};

/// The next roster of a document.
pub struct Draft<'a> {
    document: DocumentId,
    before: Option<&'a Roster>,
    seats: Vec<Seat>,
    begins_epoch: bool,
    owes_epoch: bool,
}

/// Somebody who comes in.
#[derive(Clone, Debug)]
pub struct Newcomer {
    device: PublicDevice,
    rights: Rights,
    kind: MemberKind,
    history: History,
    name: String,
}

/// What a newcomer may read of what was written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// What is written in the epoch in which it comes in: begin one, and that is what is written from now on.
    Epoch,
    /// Everything that whoever brings it in can read.
    All,
}

/// Why a draft is no roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftError {
    /// No device could sign the next one, or a link could.
    NoAdmin,
    /// The key of the epoch is not here.
    NoKey,
    /// More members, a longer name, or more bytes than there may be.
    TooMuch(&'static str),
    /// The public key of this member is none.
    BadKey(DeviceId),
    /// Whoever would bring in a device may not.
    NotAllowed,
    /// There are no further epochs, or rosters.
    Exhausted,
}

/// A member of the draft, and what is wrapped for it if that stays as it is.
struct Seat {
    device: PublicDevice,
    rights: Rights,
    kind: MemberKind,
    /// The first epoch that it may read, if not all.
    since: Option<Epoch>,
    name: String,
    wrapped: Option<Wrapped>,
}

impl Newcomer {
    /// A device, which reads what is written in the epoch in which it comes in.
    pub fn device(device: PublicDevice, rights: Rights, name: &str) -> Self {
        let (kind, history) = (MemberKind::Device, History::Epoch);
        Newcomer { device, rights, kind, history, name: name.to_owned() }
    }

    /// The device of a [`Link`](crate::Link), which may bring in as many as open it.
    pub fn link(device: PublicDevice, rights: Rights, name: &str) -> Self {
        Newcomer { kind: MemberKind::Link, ..Newcomer::device(device, rights, name) }
    }

    /// The device of a [`Link`](crate::Link), which may bring in one, and is gone then.
    pub fn link_once(device: PublicDevice, rights: Rights, name: &str) -> Self {
        Newcomer { kind: MemberKind::LinkOnce, ..Newcomer::device(device, rights, name) }
    }

    /// Gives it what was written before, or not.
    #[must_use]
    pub fn with(self, history: History) -> Self {
        Newcomer { history, ..self }
    }
}

impl<'a> Draft<'a> {
    /// The first roster of a document.
    pub fn founding(document: &DocumentId) -> Self {
        let document = document.clone();
        Draft { document, before: None, seats: Vec::new(), begins_epoch: true, owes_epoch: false }
    }

    /// What follows `roster`: the same members, until something is changed.
    ///
    /// # Errors
    /// A keyring without the epoch's key.
    pub fn after(roster: &'a Roster, keyring: &Keyring) -> Result<Self, DraftError> {
        let key = keyring.get(roster.epoch).ok_or(DraftError::NoKey)?;
        let names = roster.names(key);
        Ok(Draft {
            document: roster.document.clone(),
            before: Some(roster),
            seats: roster.members.iter().zip(names).map(Seat::of).collect(),
            begins_epoch: roster.owes_epoch,
            owes_epoch: false,
        })
    }

    /// Brings somebody in, or in again with other rights.
    pub fn add(&mut self, newcomer: Newcomer) {
        let Newcomer { device, rights, kind, history, name } = newcomer;
        let since = match history {
            History::Epoch => Some(Epoch::MAX),
            History::All => None,
        };
        if let Some(seat) = self.take_seat(&device.id) {
            self.begins_epoch |= seat.wrapped.is_some() && seat.device != device;
        }
        self.seats.push(Seat { device, rights, kind, since, name, wrapped: None });
    }

    /// Removes a member, so that an epoch begins. Returns whether it was there.
    pub fn remove(&mut self, device: &DeviceId) -> bool {
        let seat = self.take_seat(device);
        self.begins_epoch |= seat.as_ref().is_some_and(|seat| seat.wrapped.is_some());
        seat.is_some()
    }

    /// Changes what a member may do. Returns whether it is there.
    pub fn set_rights(&mut self, device: &DeviceId, rights: Rights) -> bool {
        let seat = self.seats.iter_mut().find(|seat| seat.device.id == *device);
        seat.map(|seat| seat.rights = rights).is_some()
    }

    /// Begins an epoch, with a new key, though nobody is removed.
    pub fn begin_epoch(&mut self) {
        self.begins_epoch = true;
    }

    /// Signs the roster, and returns the bytes of its record. `random` is never used for anything else.
    ///
    /// # Errors
    /// What cannot be a roster.
    pub fn sign(
        mut self,
        device: &Device,
        keyring: &Keyring,
        random: [u8; SECRET_BYTES],
    ) -> Result<Vec<u8>, DraftError> {
        self.check()?;
        sort(&mut self.seats, &|a, b| a.device.id.cmp(&b.device.id));
        let chance = self.chance(keyring, random);
        let key = self.key(keyring, &chance)?;
        let serial = self.before.map_or(Some(1), |before| before.serial.checked_add(1));
        let serial = serial.ok_or(DraftError::Exhausted)?;
        let members = self.seats.iter().map(|seat| self.member(seat, keyring, (&key, &chance)));
        let roster = Roster {
            epoch: key.epoch(),
            serial,
            before: self.before.map_or(RosterHash::default(), |before| before.hash),
            hash: RosterHash::default(),
            commitment: key.commitment(),
            owes_epoch: self.owes_epoch,
            members: members.collect::<Result<_, _>>()?,
            names: self.names(&key, serial, &chance),
            document: self.document.clone(),
        };
        let bytes = wire::write(&roster);
        if bytes.len() > KEYS_BYTES_MAX {
            return Err(DraftError::TooMuch("bytes of members and their keys"));
        }
        Ok(device.sign_keys(&self.document, key.epoch().get(), &bytes).to_bytes())
    }

    fn check(&self) -> Result<(), DraftError> {
        let admins = || self.seats.iter().filter(|seat| seat.rights.has(Rights::ADMIN));
        if admins().next().is_none() || admins().any(|seat| seat.kind != MemberKind::Device) {
            Err(DraftError::NoAdmin)
        } else if self.seats.len() > MEMBERS_MAX {
            Err(DraftError::TooMuch("members"))
        } else if self.seats.iter().any(|seat| seat.name.len() > NAME_BYTES_MAX) {
            Err(DraftError::TooMuch("bytes of a name"))
        } else {
            Ok(())
        }
    }

    /// What all that must be random is derived from. The key and the roster before are in it, so that random
    /// bytes that come in twice, for two rosters, do not make the same.
    fn chance(&self, keyring: &Keyring, random: [u8; SECRET_BYTES]) -> Hkdf<Sha256> {
        let held = self.before.and_then(|before| keyring.get(before.epoch));
        let key = held.map_or(&[0; SECRET_BYTES], |key| key.secret());
        let before = self.before.map_or(RosterHash::default(), |before| before.hash);
        let all = Zeroizing::new([random, *key, before.0].concat());
        Hkdf::new(Some(b"selvedge-seal.1 roster"), &all)
    }

    /// The key of the epoch that begins, or goes on.
    fn key(&self, keyring: &Keyring, chance: &Hkdf<Sha256>) -> Result<EpochKey, DraftError> {
        let begun = |epoch| EpochKey::new(&self.document, epoch, expand(chance, b"epoch"));
        let Some(before) = self.before else { return Ok(begun(Epoch::MIN)) };
        if self.begins_epoch {
            return before.epoch.checked_add(1).map(begun).ok_or(DraftError::Exhausted);
        }
        let kept = keyring.get(before.epoch).ok_or(DraftError::NoKey)?;
        Ok(EpochKey::new(&self.document, before.epoch, *kept.secret()))
    }

    fn member(
        &self,
        seat: &Seat,
        keyring: &Keyring,
        (key, chance): (&EpochKey, &Hkdf<Sha256>),
    ) -> Result<Member, DraftError> {
        let PublicDevice { id: device, encryption } = seat.device;
        let (rights, kind) = (seat.rights, seat.kind);
        let kept = seat.wrapped.clone().filter(|_| !self.begins_epoch);
        if let (Some(wrapped), Some(since)) = (kept, seat.since) {
            return Ok(Member { device, encryption, rights, kind, since, wrapped });
        }
        let (since, secrets) = secrets_since(seat.since, keyring, key);
        let info = wrap_info(&self.document, key.epoch(), since);
        let ephemeral = expand(chance, &[&b"wrap"[..], &device.0].concat());
        let wrapped = Wrapped::new(&encryption, (&info, &device.0), &secrets, ephemeral);
        let wrapped = wrapped.map_err(|_| DraftError::BadKey(device))?;
        Ok(Member { device, encryption, rights, kind, since, wrapped })
    }

    fn names(&self, key: &EpochKey, serial: u64, chance: &Hkdf<Sha256>) -> Vec<u8> {
        let names: Vec<&str> = self.seats.iter().map(|seat| &*seat.name).collect();
        let random = expand(chance, b"names");
        let nonce = *random.first_chunk::<NONCE_BYTES>().expect("32 bytes have 24");
        let place = names_place(&self.document, key.epoch(), serial);
        let mut out = Vec::new();
        key.names.seal(nonce, &place, &[&wire::write_names(&names)], &mut out);
        out
    }

    fn take_seat(&mut self, device: &DeviceId) -> Option<Seat> {
        let at = self.seats.iter().position(|seat| seat.device.id == *device)?;
        Some(self.seats.swap_remove(at))
    }
}

/// The secrets of all epochs from `since` on, or from where they are all here, up to that of `newest`.
fn secrets_since(
    since: Option<Epoch>,
    keyring: &Keyring,
    newest: &EpochKey,
) -> (Epoch, Zeroizing<Vec<u8>>) {
    let last = newest.epoch();
    let before = Epoch::new(last.get() - 1);
    let possible = before.and_then(|before| keyring.first_up_to(before)).unwrap_or(last);
    let since = since.unwrap_or(Epoch::MIN).clamp(possible, last);
    let earlier = (since.get()..last.get()).filter_map(Epoch::new);
    let keys = earlier.filter_map(|epoch| keyring.get(epoch)).chain([newest]);
    let mut secrets =
        Zeroizing::new(Vec::with_capacity(SECRET_BYTES * (last.get() - since.get() + 1) as usize));
    keys.for_each(|key| secrets.extend(key.secret()));
    (since, secrets)
}

impl Roster {
    /// The next roster, in which a member who may do no more than that brings in a device: a link, or somebody's
    /// own device. The newcomer gets that member's rights, but not that of bringing in others, and reads what it reads.
    ///
    /// # Errors
    /// A member who may not, and keys that are not there.
    pub fn join(
        &self,
        (by, keyring): (&Device, &Keyring),
        (newcomer, name): (PublicDevice, &str),
        random: [u8; SECRET_BYTES],
    ) -> Result<Vec<u8>, DraftError> {
        let member = self.member(&by.id()).filter(|member| member.rights.has(Rights::JOIN));
        let member = member.ok_or(DraftError::NotAllowed)?;
        if self.member(&newcomer.id).is_some() {
            return Err(DraftError::NotAllowed);
        }
        let is_used_up = member.kind == MemberKind::LinkOnce;
        let mut draft = Draft::after(self, keyring)?;
        draft.seats.retain(|seat| !is_used_up || seat.device.id != by.id());
        draft.seats.push(Seat {
            device: newcomer,
            rights: member.rights.without(Rights::JOIN | Rights::ADMIN),
            kind: MemberKind::Device,
            since: Some(member.since),
            name: name.to_owned(),
            wrapped: None,
        });
        draft.begins_epoch = false;
        draft.owes_epoch = self.owes_epoch || is_used_up;
        draft.sign(by, keyring, random)
    }
}

impl Seat {
    fn of((member, name): (&Member, String)) -> Self {
        let Member { device, encryption, rights, kind, since, wrapped } = member;
        let device = PublicDevice { id: *device, encryption: *encryption };
        let (rights, kind, since) = (*rights, *kind, Some(*since));
        Seat { device, rights, kind, since, name, wrapped: Some(wrapped.clone()) }
    }
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DraftError::NoAdmin => f.write_str("a device must be admin, and no link may be"),
            DraftError::NoKey => f.write_str("the key of the epoch is not here"),
            DraftError::TooMuch(what) => write!(f, "too much: {what}"),
            DraftError::BadKey(device) => write!(f, "the encryption key of {device} is none"),
            DraftError::NotAllowed => f.write_str("this member may not bring in that device"),
            DraftError::Exhausted => f.write_str("there are no further epochs"),
        }
    }
}

impl Error for DraftError {}
