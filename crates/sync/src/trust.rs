//! Whose tokens count, what they give, and which were revoked.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use selvedge_crdt::session::{
    DeviceId, DocumentId, NONCE_BYTES, Record, Signature,
    relay::{Grant, Trust},
};
use selvedge_seal::{
    token::{Capability, Issuers, SKEW_SECONDS, TokenError},
    verify_proof, verify_record,
};

/// Revocations in force, at most.
const REVOKED_MAX: usize = 100_000;

/// Links for once among them that were spent, at most: devices do that, and must not take the room of who revokes.
const SPENT_MAX: usize = REVOKED_MAX / 2;

/// Keys of issuers, and revoked tokens.
pub(crate) struct Warden {
    issuers: RwLock<Issuers>,
    tokens: RwLock<Tokens>,
}

/// Tokens that do not count.
#[derive(Default)]
struct Tokens {
    revoked: HashMap<String, Revoked>,
    /// Those that somebody is about to spend.
    pending: HashSet<String>,
}

/// A token that does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// The second at which it would have ended.
    pub(crate) until_s: u64,
    /// The device that spent it: a link is for once.
    pub(crate) by: Option<DeviceId>,
}

/// That, and the token's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) id: String,
    pub(crate) revoked: Revoked,
}

/// Why a token of a link brings nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSpent {
    /// Another device came in by it, or it was revoked.
    Spent,
    /// Somebody comes in by it at this moment.
    Busy,
    /// As many tokens are revoked or spent as may be.
    Full,
}

impl Revocation {
    /// As it lies in the log: no id has a zero byte.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { id, revoked: Revoked { until_s, by } } = self;
        let mut bytes = [&until_s.to_le_bytes()[..], id.as_bytes()].concat();
        if let Some(by) = by {
            bytes.push(0);
            bytes.extend(by.0);
        }
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (until_s, rest) = bytes.split_first_chunk()?;
        let end = rest.iter().position(|byte| *byte == 0);
        let (id, by) = rest.split_at(end.unwrap_or(rest.len()));
        let by = by.get(1..).map(|device| device.try_into().map(DeviceId)).transpose().ok()?;
        let id = String::from_utf8(id.to_vec()).ok()?;
        Some(Self { id, revoked: Revoked { until_s: u64::from_le_bytes(*until_s), by } })
    }
}

impl Warden {
    pub(crate) fn new(issuers: Issuers) -> Self {
        Self { issuers: RwLock::new(issuers), tokens: RwLock::default() }
    }

    /// From now on the tokens of these count.
    pub(crate) fn set_issuers(&self, issuers: Issuers) {
        *self.issuers.write().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    /// What a token says that counts, also to whom it is not shown as a proof.
    pub(crate) fn verify(&self, token: &str, now_s: u64) -> Result<Capability, TokenError> {
        self.issuers.read().unwrap_or_else(PoisonError::into_inner).verify(token, now_s)
    }

    pub(crate) fn revoke(&self, id: String, revoked: Revoked) {
        let mut tokens = self.change();
        tokens.pending.remove(&id);
        let known = tokens.revoked.entry(id).or_insert(revoked);
        // Who spent it does not bring back what was revoked.
        known.by = known.by.filter(|_| revoked.by.is_some());
        known.until_s = known.until_s.max(revoked.until_s);
    }

    /// A device is about to spend a token; `false` if it did before.
    pub(crate) fn spend(&self, id: &str, by: &DeviceId) -> Result<bool, NotSpent> {
        let mut tokens = self.change();
        match tokens.revoked.get(id) {
            Some(revoked) if revoked.by == Some(*by) => return Ok(false),
            Some(_) => return Err(NotSpent::Spent),
            None if !tokens.has_room_to_spend() => return Err(NotSpent::Full),
            None => {}
        }
        let is_first = tokens.pending.insert(id.to_owned());
        is_first.then_some(true).ok_or(NotSpent::Busy)
    }

    /// The device did not.
    pub(crate) fn not_spent(&self, id: &str) {
        self.change().pending.remove(id);
    }

    /// Forgets revocations of what has ended anyhow.
    pub(crate) fn forget(&self, now_s: u64) {
        self.change().revoked.retain(|_, revoked| revoked.counts(now_s));
    }

    pub(crate) fn is_revoked(&self, id: &str) -> bool {
        self.look().revoked.contains_key(id)
    }

    /// Whether this revocation of a token is the one in force.
    pub(crate) fn is_in_force(&self, revocation: &Revocation) -> bool {
        self.look().revoked.get(&revocation.id) == Some(&revocation.revoked)
    }

    pub(crate) fn revocations(&self) -> usize {
        self.look().revoked.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.revocations() < REVOKED_MAX
    }

    fn look(&self) -> RwLockReadGuard<'_, Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Tokens> {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn has_room_to_spend(&self) -> bool {
        let spent = self.revoked.values().filter(|revoked| revoked.by.is_some()).count();
        let spent = spent + self.pending.len();
        spent < SPENT_MAX && self.revoked.len() + self.pending.len() < REVOKED_MAX
    }
}

impl Revoked {
    fn counts(&self, now_s: u64) -> bool {
        now_s < self.until_s.saturating_add(SKEW_SECONDS)
    }
}

impl Trust for Warden {
    fn grant(
        &self,
        document: &DocumentId,
        device: &DeviceId,
        token: &str,
        now_ms: u64,
    ) -> Option<Grant> {
        let capability = self.verify(token, now_ms / 1000).ok()?;
        let rights = capability.rights_on(document).bits();
        let is_its = capability.holder.is(device) && !self.is_revoked(&capability.id);
        let end_s = capability.expires.saturating_add(SKEW_SECONDS);
        let expires_ms = end_s.saturating_mul(1000);
        is_its.then_some(Grant { rights, expires_ms, id: capability.id })
    }

    fn is_proven(
        &self,
        challenge: &[u8; NONCE_BYTES],
        document: &DocumentId,
        device: &DeviceId,
        (token, proof): (&str, &Signature),
    ) -> bool {
        verify_proof(device, (challenge, document, token.as_bytes()), proof).is_ok()
    }

    fn is_signed(&self, document: &DocumentId, record: &Record<'_>) -> bool {
        verify_record(document, record).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use selvedge_seal::{
        Rights,
        token::{Documents, Holder, IssuerKey},
    };

    use super::*;

    #[track_caller]
    fn check(id: &str, by: Option<DeviceId>) {
        let revocation = Revocation { id: id.to_owned(), revoked: Revoked { until_s: 9, by } };
        assert_eq!(Revocation::read(&revocation.to_bytes()), Some(revocation));
    }

    #[test]
    fn a_revocation_is_read_as_it_was_written() {
        check("a", None);
        check("ü-1", Some(DeviceId([0; 32])));
        check("", Some(DeviceId([7; 32])));
        for wrong in [&b"1234567"[..], b"12345678\xff", b"12345678id\0device"] {
            assert_eq!(Revocation::read(wrong), None);
        }
    }

    /// What a token gives ann on a document at the second 100, in bits.
    fn granted(change: impl FnOnce(&mut Capability), name: &str, warden: &Warden) -> Option<u8> {
        let mut capability = Capability {
            tenant: "acme".to_owned(),
            documents: Documents::Prefix("notes/".to_owned()),
            rights: Rights::READ | Rights::WRITE,
            holder: Holder::Key(DeviceId([1; 32])),
            expires: 101,
            not_before: None,
            issued: None,
            id: "token".to_owned(),
            subject: "ann".to_owned(),
            link: None,
        };
        change(&mut capability);
        let token = IssuerKey::from_seed([9; 32]).mint(&capability).expect("it is within bounds");
        let document = DocumentId::new("acme", name).expect("a name");
        let grant = warden.grant(&document, &DeviceId([1; 32]), &token, 100_000);
        grant.map(|grant| grant.rights)
    }

    #[test]
    fn a_token_gives_its_device_what_it_says_and_nothing_else() {
        let mut issuers = Issuers::default();
        issuers.add(IssuerKey::from_seed([9; 32]).public()).expect("there is room");
        let warden = Warden::new(issuers);
        let given = |change: fn(&mut Capability)| granted(change, "notes/1", &warden);
        let both = (Rights::READ | Rights::WRITE).bits();
        assert_eq!(given(|_| ()), Some(both));
        assert_eq!(given(|it| it.rights = Rights::READ), Some(Rights::READ.bits()));
        assert_eq!(given(|it| it.expires = 100 - SKEW_SECONDS), None, "it is over");
        assert_eq!(given(|it| it.not_before = Some(101 + SKEW_SECONDS)), None, "not yet");
        assert_eq!(given(|it| it.holder = Holder::Key(DeviceId([2; 32]))), None, "another's");
        let elsewhere = |change: fn(&mut Capability), name| granted(change, name, &warden);
        assert_eq!(elsewhere(|_| (), "diary").unwrap_or(0), 0, "another document");
        assert_eq!(elsewhere(|it| it.tenant = "other".to_owned(), "notes/1").unwrap_or(0), 0);
        warden.revoke("token".to_owned(), Revoked { until_s: 900, by: None });
        assert_eq!(given(|_| ()), None, "it is revoked");
        assert_eq!(
            granted(|_| (), "notes/1", &Warden::new(Issuers::default())),
            None,
            "a stranger's"
        );
    }

    #[test]
    fn links_that_were_spent_leave_room_to_revoke() {
        let warden = Warden::new(Issuers::default());
        let by = Some(DeviceId([1; 32]));
        for number in 0..SPENT_MAX {
            warden.revoke(format!("l{number}"), Revoked { until_s: 9, by });
        }
        assert_eq!(warden.spend("l", &DeviceId([1; 32])), Err(NotSpent::Full));
        assert_eq!(warden.spend("l7", &DeviceId([1; 32])), Ok(false), "it was his already");
        for number in SPENT_MAX..REVOKED_MAX {
            assert!(warden.has_room());
            warden.revoke(format!("t{number}"), Revoked { until_s: 9, by: None });
        }
        assert!(!warden.has_room());
    }

    #[test]
    fn a_link_for_once_is_spent_by_the_first() {
        let (ann, ben) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let warden = Warden::new(Issuers::default());
        assert_eq!(warden.spend("l", &ann), Ok(true));
        assert_eq!(warden.spend("l", &ben), Err(NotSpent::Busy));
        warden.not_spent("l");
        assert_eq!(warden.spend("l", &ben), Ok(true));
        warden.revoke("l".to_owned(), Revoked { until_s: 9, by: Some(ben) });
        assert!(warden.is_revoked("l"), "the link itself opens nothing any more");
        assert_eq!(warden.spend("l", &ann), Err(NotSpent::Spent));
        assert_eq!(warden.spend("l", &ben), Ok(false), "he lost what he got");
        warden.revoke("l".to_owned(), Revoked { until_s: 9, by: None });
        assert_eq!(warden.spend("l", &ben), Err(NotSpent::Spent));
        warden.forget(9 + SKEW_SECONDS);
        assert_eq!(warden.revocations(), 0);
    }
}
