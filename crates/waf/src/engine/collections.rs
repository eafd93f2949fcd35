//! What rules remember from exchange to exchange, within bounds.

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

/// So many entries are remembered; the oldest are forgotten first.
const ENTRIES_MAX: usize = 20_000;
/// So many variables of one entry.
const VARIABLES_MAX: usize = 100;
/// Longer texts are not remembered.
const TEXT_BYTES_MAX: usize = 1024;
/// An entry that is not touched is forgotten after this: ModSecurity's `SecCollectionTimeout`.
const REST: Duration = Duration::from_secs(3600);

/// What rules remember. Those of one process share it.
#[derive(Default)]
pub(super) struct Collections(Mutex<Store>);

#[derive(Default)]
struct Store {
    entries: HashMap<Owner, Entry>,
    /// In the order in which they were first made.
    order: VecDeque<Owner>,
}

/// Which collection, and whose.
type Owner = (Variable, Vec<u8>);

#[derive(Clone)]
struct Entry {
    variables: Vec<Remembered>,
    until: SystemTime,
}

#[derive(Clone)]
struct Remembered {
    name: Vec<u8>,
    text: Vec<u8>,
    until: Option<SystemTime>,
}

impl Collections {
    /// What is remembered of somebody.
    fn load(&self, owner: &Owner, now: SystemTime) -> Vec<Remembered> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = store.entries.get(owner).filter(|entry| entry.until > now) else {
            return Vec::new();
        };
        entry
            .variables
            .iter()
            .filter(|variable| variable.until.is_none_or(|until| until > now))
            .cloned()
            .collect()
    }

    fn store(&self, owner: Owner, variables: Vec<Remembered>, now: SystemTime) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry { variables, until: now + REST };
        if store.entries.insert(owner.clone(), entry).is_none() {
            store.order.push_back(owner);
        }
        while store.order.len() > ENTRIES_MAX {
            let oldest = store.order.pop_front().expect("it is longer than its bound");
            store.entries.remove(&oldest);
        }
    }
}

/// A collection that an exchange opened.
pub(super) struct Opened {
    collection: Variable,
    owner: Vec<u8>,
    expiries: Vec<(Vec<u8>, SystemTime)>,
}

impl Transaction {
    /// `initcol` and its relatives.
    pub(super) fn open(&mut self, rules: &Rules, collection: Variable, key: &Template) {
        if self.opened.iter().any(|opened| opened.collection == collection) {
            return;
        }
        let owner = self.expand(rules, key);
        let owner = self.data.arena.get(owner).to_vec();
        let Some(profile) = self.profile.clone() else { return };
        let mut expiries = Vec::new();
        for variable in profile.collections.load(&(collection, owner.clone()), self.now) {
            let text = self.data.arena.derive(&variable.text);
            self.state.set(
                &mut self.data.arena,
                &rules.slots,
                collection,
                &variable.name,
                Held::Text(text),
            );
            expiries.extend(variable.until.map(|until| (variable.name, until)));
        }
        self.opened.push(Opened { collection, owner, expiries });
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
        if let Some(opened) = self.opened.iter_mut().find(|opened| opened.collection == collection)
        {
            opened.expiries.push((name, until));
        }
    }

    /// Remembers what the collections hold that were opened.
    pub(super) fn keep(&mut self) {
        let Some(profile) = self.profile.clone() else { return };
        for opened in std::mem::take(&mut self.opened) {
            let named: Vec<Named> = self
                .state
                .named
                .iter()
                .copied()
                .filter(|named| named.collection == opened.collection)
                .collect();
            let variables = named
                .iter()
                .filter_map(|named| self.remembered(named, &opened))
                .take(VARIABLES_MAX)
                .collect();
            profile.collections.store((opened.collection, opened.owner), variables, self.now);
        }
    }

    fn remembered(&self, named: &Named, opened: &Opened) -> Option<Remembered> {
        let text = match named.held {
            Held::Nothing => return None,
            Held::Number(number) => number.to_string().into_bytes(),
            Held::Text(text) if text.len() > TEXT_BYTES_MAX => return None,
            Held::Text(text) => self.data.arena.get(text).to_vec(),
        };
        let name = self.data.arena.get(named.name).to_vec();
        let until = opened
            .expiries
            .iter()
            .rev()
            .find(|(expiring, _)| *expiring == name)
            .map(|(_, until)| *until);
        Some(Remembered { name, text, until })
    }
}
