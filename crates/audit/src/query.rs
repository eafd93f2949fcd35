//! Looking for entries: the newest, or those that fit. Bundles are read one at a time, and most
//! entries are passed over by their bytes alone.

use std::{collections::BTreeMap, ops::Range};

use memchr::memmem::Finder;
use serde_json::Value;

use crate::{
    entry::{Entry, Outcome},
    files::{FilesError, LogFiles},
    keys::KeyStore,
    store::Storage,
    tile::{Content, Tile},
    time::Timestamp,
};

/// What is dated so far ahead, in microseconds, was dated by a clock that is wrong.
const AHEAD_MAX: u64 = 86_400_000_000;

/// What entries must be like; what is not said fits everything.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The first moment.
    pub since: Option<Timestamp>,
    /// The moment behind the last.
    pub until: Option<Timestamp>,
    /// The actor's id, or the id of a person's key.
    pub actor: Option<String>,
    /// The action; one that ends with `.*` stands for all that begin so.
    pub action: Option<String>,
    /// The resource, as `KIND`, or `KIND/ID`.
    pub resource: Option<String>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The trace.
    pub trace: Option<String>,
}

/// An entry with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number.
    pub index: u64,
    /// The bytes that were logged.
    pub bytes: Vec<u8>,
    /// What they say.
    pub entry: Entry,
}

impl Query {
    /// Whether an entry fits.
    pub fn fits(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let subject = entry.actor.subject.map(|subject| subject.to_string());
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && (is(&self.actor, entry.actor.id.as_deref()) || is(&self.actor, subject.as_deref()))
            && self.action.as_deref().is_none_or(|action| action_fits(action, &entry.action))
            && self.resource.as_deref().is_none_or(|wanted| resource_fits(wanted, entry))
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && is(&self.tenant, entry.actor.tenant.as_deref())
            && is(&self.trace, entry.trace.as_deref())
    }

    /// A text that every entry that fits has in it, as canonical JSON has one spelling of each.
    fn needle(&self) -> Option<String> {
        let quoted = |text: &String| Value::from(text.as_str()).to_string();
        let exact = self.action.as_ref().filter(|action| !action.ends_with(".*"));
        let named = [&self.trace, &self.actor].into_iter().find_map(Option::as_ref);
        let named = named.map(quoted);
        named
            .or_else(|| exact.map(|action| format!("\"action\":{}", quoted(action))))
            .or_else(|| self.tenant.as_ref().map(|tenant| format!("\"tenant\":{}", quoted(tenant))))
            .or_else(|| self.outcome.map(|outcome| format!("\"outcome\":\"{}\"", outcome.name())))
    }
}

fn action_fits(wanted: &str, action: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) if start.ends_with('.') => action.starts_with(start),
        _ => action == wanted,
    }
}

fn resource_fits(wanted: &str, entry: &Entry) -> bool {
    let resource = &entry.resource;
    resource.kind == wanted
        || wanted
            .split_once('/')
            .is_some_and(|(kind, id)| resource.kind == kind && resource.id == id)
}

impl<S: Storage> LogFiles<S> {
    /// Gives every entry of the first `size` that fits to `found`, oldest first, until it has enough.
    ///
    /// Bundles that retention removed are passed over.
    pub fn search(
        &self,
        size: u64,
        query: &Query,
        found: impl FnMut(Found) -> bool,
    ) -> Result<(), FilesError> {
        self.search_within(0..size, size, query, found)
    }

    /// The same among the entries of a range.
    pub fn search_within(
        &self,
        range: Range<u64>,
        size: u64,
        query: &Query,
        mut found: impl FnMut(Found) -> bool,
    ) -> Result<(), FilesError> {
        let end = range.end.min(size);
        for index in range.start / 256..end.div_ceil(256) {
            let fitting = self.fitting(index, size, query)?.into_iter();
            for entry in fitting.filter(|entry| range.contains(&entry.index)) {
                if !found(entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The first entry of the first `size` that is still there: bundles before it were given up.
    pub fn minimum(&self, size: u64) -> Result<u64, FilesError> {
        let (mut gone, mut there) = (0, size / 256);
        while gone < there {
            let middle = gone + (there - gone) / 2;
            let bundle =
                Tile::in_tree(Content::Entries, middle, size).expect("it is below the size");
            match self.file(&bundle.path()) {
                Ok(_) => there = middle,
                Err(FilesError::Missing { .. }) => gone = middle + 1,
                Err(error) => return Err(error),
            }
        }
        Ok(gone * 256)
    }

    /// Up to which entry everything is from before what is `kept`, which ends now: what may be given up.
    ///
    /// A date that lies a day or more ahead says nothing, and neither does an entry that cannot be read. Such
    /// an entry was taken in before those behind it: it goes as soon as one of these that the log's own node made.
    pub fn all_before(&self, kept: &Range<Timestamp>, size: u64) -> Result<u64, FilesError> {
        let believed_until = Timestamp(kept.end.0.saturating_add(AHEAD_MAX));
        let mut minimum = self.minimum(size)?;
        let (mut start, mut is_dated) = (minimum, true);
        while start + 256 <= size {
            let bundle = Tile::in_tree(Content::Entries, start / 256, size);
            for bytes in self.bundle(bundle.expect("it is below the size"))? {
                let entry = Entry::decode(&bytes).ok();
                match entry.filter(|entry| entry.time < believed_until) {
                    Some(entry) if entry.time >= kept.start => return Ok(minimum),
                    Some(entry) if entry.delivery.is_none() && !is_dated => {
                        (minimum, is_dated) = (start, true);
                    }
                    Some(_) => {}
                    None => is_dated = false,
                }
            }
            start += 256;
            if is_dated {
                minimum = start;
            }
        }
        Ok(minimum)
    }

    /// The newest entries of the first `size` that fit, at most `count`, oldest first.
    pub fn tail(&self, size: u64, query: &Query, count: usize) -> Result<Vec<Found>, FilesError> {
        self.tail_within(0..size, size, query, count)
    }

    /// The same among the entries of a range.
    pub fn tail_within(
        &self,
        range: Range<u64>,
        size: u64,
        query: &Query,
        count: usize,
    ) -> Result<Vec<Found>, FilesError> {
        let mut newest = Vec::new();
        let end = range.end.min(size);
        for index in (range.start / 256..end.div_ceil(256)).rev() {
            let mut entries = self.fitting(index, size, query)?;
            entries.retain(|entry| range.contains(&entry.index));
            entries.reverse();
            entries.truncate(count - newest.len());
            newest.append(&mut entries);
            if newest.len() == count {
                break;
            }
        }
        newest.reverse();
        Ok(newest)
    }

    fn fitting(&self, index: u64, size: u64, query: &Query) -> Result<Vec<Found>, FilesError> {
        let bundle = Tile::in_tree(Content::Entries, index, size).expect("the tree has the bundle");
        let entries = match self.bundle(bundle) {
            Err(FilesError::Missing { .. }) if bundle.is_full() => Vec::new(),
            entries => entries?,
        };
        let needle = query.needle();
        let finder = needle.as_ref().map(|needle| Finder::new(needle.as_bytes()));
        let numbered = (index * 256..)
            .zip(entries)
            .filter(|(_, bytes)| finder.as_ref().is_none_or(|finder| finder.find(bytes).is_some()));
        let read = numbered.filter_map(|(index, bytes)| {
            let entry = Entry::decode(&bytes).ok()?;
            query.fits(&entry).then_some(Found { index, bytes, entry })
        });
        Ok(read.collect())
    }
}

/// An entry as JSON, with everything that is sealed opened where its key is still there.
pub fn revealed(found: &Found, keys: &KeyStore) -> Value {
    let mut value: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
    let entry = &found.entry;
    let from = [("address", &entry.from.address), ("user_agent", &entry.from.user_agent)];
    let mut sealed = BTreeMap::from([(vec!["who", "name"], entry.actor.name.as_ref())]);
    sealed.extend(from.map(|(name, text)| (vec!["from", name], text.as_ref())));
    for (name, detail) in &entry.details {
        if let crate::entry::Detail::Sealed(text) = detail {
            sealed.insert(vec!["details", name], Some(text));
        }
    }
    for (path, text) in sealed.into_iter().filter_map(|(path, text)| Some((path, text?))) {
        let opened = keys.key(text.key).and_then(|key| key.open(&path.join("."), text));
        if let Some(opened) = opened {
            value[path[0]][path[1]] = opened.into();
        }
    }
    value
}
