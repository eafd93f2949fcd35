//! What rules remember from exchange to exchange, within bounds.
//!
//! An exchange sees what was remembered when it opened a collection, and what it makes of that itself. After each phase, not what
//! it saw is stored but what it changed: of two exchanges at once that each add one, both count.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    Rules, Transaction,
    state::{Held, Named},
    template::Template,
    test,
};
use crate::rule::Variable;

/// So many entries are remembered; those that nobody came back to are forgotten first.
const ENTRIES_MAX: usize = 20_000;
/// So many variables of one entry.
const VARIABLES_MAX: usize = 100;
/// Longer texts are not remembered.
const TEXT_BYTES_MAX: usize = 1024;
/// An entry that is not touched is forgotten after this, if none of its variables lives longer: ModSecurity's `SecCollectionTimeout`.
const REST: Duration = Duration::from_secs(3600);

/// What rules remember of addresses, sessions and users. Profiles share it as they are [told](super::Profile::remembering).
#[derive(Default)]
pub struct Collections(Mutex<Store>);

#[derive(Default)]
struct Store {
    entries: HashMap<Owner, Entry>,
    /// In the order in which they were first made.
    order: VecDeque<Owner>,
}

/// Which collection, and whose.
type Owner = (Variable, Vec<u8>);

struct Entry {
    variables: Vec<Remembered>,
    until: SystemTime,
    /// Somebody came back to it since it was last looked at for being forgotten.
    is_used: bool,
}

#[derive(Clone)]
struct Remembered {
    name: Vec<u8>,
    text: Vec<u8>,
    until: Option<SystemTime>,
    /// From when on `deprecatevar` counts.
    since: SystemTime,
}

impl Remembered {
    fn number(&self) -> i64 {
        test::number(&self.text)
    }

    fn set_number(&mut self, number: i64) {
        self.text = number.to_string().into_bytes();
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Shrinks by what is due; what is left of a period counts for the next time.
    fn shrink(&mut self, decay: Decay, now: SystemTime) {
        let (number, since) = decay.of(self.number(), self.since, now);
        self.since = since;
        self.set_number(number);
    }
}

/// `deprecatevar`: so much less for each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decay {
    by: i64,
    period: Duration,
}

impl Decay {
    /// `60/300`: 60 less each 300 seconds.
    fn read(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |byte| *byte == b'/');
        let (by, seconds) = (test::number(parts.next()?), test::number(parts.next()?));
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
        Some(Self { by: by.max(0), period: Duration::from_secs(seconds) })
    }

    /// What is left of a number, and from when on it counts anew. It does not shrink below zero.
    fn of(self, number: i64, since: SystemTime, now: SystemTime) -> (i64, SystemTime) {
        let periods =
            now.duration_since(since).unwrap_or_default().as_secs() / self.period.as_secs();
        let by = self.by.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
        let passed = self.period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX));
        (number.saturating_sub(by).max(number.min(0)), since.checked_add(passed).unwrap_or(now))
    }
}

impl Collections {
    /// What is remembered of somebody.
    fn load(&self, owner: &Owner, now: SystemTime) -> Vec<Remembered> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = store.entries.get_mut(owner).filter(|entry| entry.until > now) else {
            return Vec::new();
        };
        entry.is_used = true;
        entry.variables.iter().filter(|variable| !variable.is_over(now)).cloned().collect()
    }

    /// Does to what is remembered what an exchange did to what it saw.
    fn commit(&self, owner: Owner, changes: Vec<Changed>, now: SystemTime) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Store { entries, order } = &mut *store;
        match entries.get_mut(&owner) {
            Some(entry) => entry.commit(changes, now),
            // Nobody is remembered for having come by.
            None if changes.is_empty() => {}
            None => {
                let mut entry = Entry { variables: Vec::new(), until: now, is_used: false };
                entry.commit(changes, now);
                if !entry.variables.is_empty() {
                    entries.insert(owner.clone(), entry);
                    order.push_back(owner);
                }
            }
        }
        store.forget(now);
    }
}

impl Store {
    /// Keeps to the bound. An entry that was used is passed over once, so this ends.
    fn forget(&mut self, now: SystemTime) {
        while self.order.len() > ENTRIES_MAX {
            let oldest = self.order.pop_front().expect("it is longer than its bound");
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.is_used && entry.until > now => {
                    entry.is_used = false;
                    self.order.push_back(oldest);
                }
                _ => drop(self.entries.remove(&oldest)),
            }
        }
    }
}

impl Entry {
    fn commit(&mut self, changes: Vec<Changed>, now: SystemTime) {
        if self.until <= now {
            self.variables.clear();
        }
        self.variables.retain(|variable| !variable.is_over(now));
        changes.into_iter().for_each(|changed| self.change(changed, now));
        let last = self.variables.iter().filter_map(|variable| variable.until).max();
        self.until = last.unwrap_or(now).max(now + REST);
    }

    fn change(&mut self, changed: Changed, now: SystemTime) {
        let Changed { name, pending, decay, until, is_new: _ } = changed;
        let at = self.variables.iter().position(|variable| variable.name == name);
        let at = match (at, &pending) {
            (Some(at), Pending::Set(None)) => {
                self.variables.swap_remove(at);
                return;
            }
            (Some(at), _) => at,
            // A variable that is gone has nothing to expire or to shrink.
            (None, Pending::Kept | Pending::Set(None)) => return,
            (None, _) if self.variables.len() >= VARIABLES_MAX => return,
            (None, _) => {
                let fresh = Remembered { name, text: b"0".to_vec(), until: None, since: now };
                self.variables.push(fresh);
                self.variables.len() - 1
            }
        };
        let variable = &mut self.variables[at];
        if let Some(decay) = decay {
            variable.shrink(decay, now);
        }
        match pending {
            Pending::Kept | Pending::Set(None) => {}
            Pending::Added(by) => variable.set_number(variable.number().saturating_add(by)),
            Pending::Set(Some(text)) => (variable.text, variable.since) = (text, now),
        }
        variable.until = until.or(variable.until);
    }
}

/// A collection that an exchange opened.
pub(super) struct Opened {
    collection: Variable,
    owner: Vec<u8>,
    /// From when on `deprecatevar` counts, by name.
    since: Vec<(Vec<u8>, SystemTime)>,
    changes: Vec<Changed>,
    is_kept: bool,
}

/// What an exchange did to a variable.
struct Changed {
    name: Vec<u8>,
    pending: Pending,
    decay: Option<Decay>,
    until: Option<SystemTime>,
    /// It is not remembered yet.
    is_new: bool,
}

/// What becomes of a variable's value.
enum Pending {
    Kept,
    /// So much more.
    Added(i64),
    /// It is this, or nothing more.
    Set(Option<Vec<u8>>),
}

impl Opened {
    /// What was done to a variable so far. More variables than are remembered are not.
    fn changed(&mut self, name: &[u8]) -> Option<&mut Changed> {
        let at = match self.changes.iter().position(|changed| changed.name == name) {
            Some(at) => at,
            None if self.changes.len() >= VARIABLES_MAX => return None,
            None => {
                let name = name.to_vec();
                self.changes.push(Changed {
                    name,
                    pending: Pending::Kept,
                    decay: None,
                    until: None,
                    is_new: true,
                });
                self.changes.len() - 1
            }
        };
        self.changes[at].is_new = true;
        Some(&mut self.changes[at])
    }
}

impl Transaction {
    /// `initcol` and its relatives.
    pub(super) fn open(&mut self, rules: &Rules, collection: Variable, key: &Template) {
        if self.opened(collection).is_some() {
            return;
        }
        let owner = self.expand(rules, key);
        let owner = self.data.arena.get(owner).to_vec();
        let Some(profile) = self.profile.clone() else { return };
        let mut since = Vec::new();
        for variable in profile.collections.load(&(collection, owner.clone()), self.now) {
            let text = self.data.arena.derive(&variable.text);
            let held = Held::Text(text);
            self.state.set(&mut self.data.arena, &rules.slots, collection, &variable.name, held);
            since.push((variable.name, variable.since));
        }
        self.opened.push(Opened { collection, owner, since, changes: Vec::new(), is_kept: false });
    }

    fn opened(&mut self, collection: Variable) -> Option<&mut Opened> {
        self.opened.iter_mut().find(|opened| opened.collection == collection)
    }

    /// Notes that a variable grew by so much, or (`None`) that it is what it now holds.
    pub(super) fn note_change(&mut self, collection: Variable, name: &[u8], by: Option<i64>) {
        let Some(changed) = self.opened(collection).and_then(|opened| opened.changed(name)) else {
            return;
        };
        changed.pending = match (&changed.pending, by) {
            (Pending::Kept, Some(by)) => Pending::Added(by),
            (Pending::Added(before), Some(by)) => Pending::Added(before.saturating_add(by)),
            // What it holds is read at the end.
            (Pending::Set(_), _) | (_, None) => Pending::Set(None),
        };
    }

    /// `expirevar`.
    pub(super) fn expire(
        &mut self,
        rules: &Rules,
        collection: Variable,
        key: &Template,
        seconds: &Template,
    ) {
        let (name, seconds) = (self.expand(rules, key), self.expand(rules, seconds));
        let seconds = u64::try_from(test::number(self.data.arena.get(seconds))).unwrap_or(0);
        let name = self.data.arena.get(name).to_ascii_lowercase();
        let until = self.now + Duration::from_secs(seconds.min(u64::from(u32::MAX)));
        if let Some(changed) = self.opened(collection).and_then(|opened| opened.changed(&name)) {
            changed.until = Some(until);
        }
    }

    /// `deprecatevar`: once for each variable and exchange.
    pub(super) fn deprecate(
        &mut self,
        rules: &Rules,
        collection: Variable,
        key: &Template,
        decay: &Template,
    ) {
        let (name, decay) = (self.expand(rules, key), self.expand(rules, decay));
        let name = self.data.arena.get(name).to_ascii_lowercase();
        let Some(decay) = Decay::read(self.data.arena.get(decay)) else { return };
        let now = self.now;
        let Some(opened) = self.opened(collection) else { return };
        let known = opened.since.iter().find(|(known, _)| *known == name);
        let Some((_, since)) = known.cloned() else { return };
        let Some(changed) = opened.changed(&name).filter(|changed| changed.decay.is_none()) else {
            return;
        };
        changed.decay = Some(decay);
        let held = self.state.get(&self.data.arena, &rules.slots, collection, &name);
        let (left, _) = decay.of(self.as_number(held), since, now);
        let held = Held::Number(left);
        self.state.set(&mut self.data.arena, &rules.slots, collection, &name, held);
    }

    /// Remembers what became of the collections that were opened since that was last done.
    pub(super) fn keep(&mut self) {
        let Some(profile) = self.profile.clone().filter(|_| !self.is_trial) else { return };
        let mut opened = std::mem::take(&mut self.opened);
        for Opened { collection, owner, since: _, changes, is_kept } in &mut opened {
            let changes: Vec<Changed> = changes
                .iter_mut()
                .filter(|changed| changed.is_new)
                .map(|changed| self.taken(*collection, changed))
                .collect();
            // Who came by is not forgotten, whatever became of it.
            if !changes.is_empty() || !std::mem::replace(is_kept, true) {
                profile.collections.commit((*collection, owner.clone()), changes, self.now);
            }
        }
        self.opened = opened;
    }

    /// What is to be done to a variable. What is done once, such as to shrink, stays noted.
    fn taken(&self, collection: Variable, changed: &mut Changed) -> Changed {
        changed.is_new = false;
        let mut pending = std::mem::replace(&mut changed.pending, Pending::Kept);
        if let Pending::Set(value) = &mut pending {
            *value = self.remembered(collection, &changed.name);
        }
        Changed { name: changed.name.clone(), pending, ..*changed }
    }

    /// The text that a variable holds, if it can be remembered.
    fn remembered(&self, collection: Variable, name: &[u8]) -> Option<Vec<u8>> {
        let is_it = |named: &&Named| {
            named.collection == collection && self.data.arena.get(named.name) == name
        };
        match self.state.named.iter().find(is_it)?.held {
            Held::Nothing => None,
            Held::Number(number) => Some(number.to_string().into_bytes()),
            Held::Text(text) if text.len() > TEXT_BYTES_MAX => None,
            Held::Text(text) => Some(self.data.arena.get(text).to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(store: &Collections, owner: usize, now: SystemTime) {
        let pending = Pending::Added(1);
        let changed =
            Changed { name: b"n".to_vec(), pending, decay: None, until: None, is_new: true };
        store.commit((Variable::Ip, owner.to_string().into_bytes()), vec![changed], now);
    }

    fn number(store: &Collections, owner: usize, now: SystemTime) -> Option<i64> {
        let owner = (Variable::Ip, owner.to_string().into_bytes());
        store.load(&owner, now).first().map(Remembered::number)
    }

    #[test]
    fn who_comes_back_outlives_a_flood() {
        let (store, now) = (Collections::default(), SystemTime::UNIX_EPOCH);
        add(&store, 0, now);
        add(&store, 1, now);
        assert_eq!(number(&store, 0, now), Some(1));
        (2..=ENTRIES_MAX + 1).for_each(|owner| add(&store, owner, now));
        assert_eq!((number(&store, 0, now), number(&store, 1, now)), (Some(1), None));
        let store = store.0.into_inner().unwrap();
        assert_eq!((store.entries.len(), store.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
    }

    #[test]
    fn nobody_is_remembered_for_nothing() {
        let (store, now) = (Collections::default(), SystemTime::UNIX_EPOCH);
        store.commit((Variable::Ip, b"a".to_vec()), Vec::new(), now);
        let pending = Pending::Kept;
        let kept = Changed { name: b"n".to_vec(), pending, decay: None, until: None, is_new: true };
        store.commit((Variable::Ip, b"a".to_vec()), vec![kept], now);
        assert!(store.0.into_inner().unwrap().entries.is_empty());
    }

    #[test]
    fn what_is_left_of_a_period_counts_later() {
        let decay = Decay::read(b"60/300").unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(decay.of(100, at(0), at(299)), (100, at(0)));
        assert_eq!(decay.of(100, at(0), at(599)), (40, at(300)));
        assert_eq!(decay.of(100, at(0), at(6000)), (0, at(6000)));
        assert_eq!(decay.of(-5, at(0), at(6000)).0, -5);
        assert_eq!(decay.of(100, at(500), at(0)), (100, at(500)));
        for wrong in ["60", "60/0", "60/-1", "/", ""] {
            assert_eq!(Decay::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
