//! Who is at work in a store: backups go on side by side, and what cleans up is alone.
//!
//! Each says what it is at before it looks whether others do: of two, at least one sees the other. Who
//! dies leaves its word behind; it counts for as long as the store's own clock says that it is fresh.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    manifest::{VERSION, decode, encode},
    store::{Listed, Store},
};

/// The folder of such words.
const FOLDER: &str = "busy";
/// How often a word is said again.
const AGAIN: Duration = Duration::from_secs(60);
/// After so many seconds of silence, somebody is taken for dead.
const DEAD_SECONDS: i64 = 15 * 60;

/// What somebody is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// Adds to the store.
    Create,
    /// Removes from it.
    Prune,
}

/// A word.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Word {
    version: u64,
    work: Work,
    host: String,
    process: u32,
}

/// Our own word, which others see until [`Busy::end`].
pub(crate) struct Busy {
    store: Store,
    name: String,
    word: Word,
    said: Instant,
}

impl Busy {
    /// Says what we are at, unless somebody is at what does not go together with it.
    pub(crate) async fn begin(store: &Store, work: Work) -> Result<Self, Error> {
        let (host, process) = (host(), std::process::id());
        let name = format!("{FOLDER}/{:016x}.json", fastrand::u64(..));
        let word = Word { version: VERSION, work, host, process };
        let busy = Self { store: store.clone(), name, word, said: Instant::now() };
        busy.say().await?;
        match busy.in_the_way().await {
            Ok(None) => Ok(busy),
            found => {
                busy.end().await?;
                Err(found?.map_or(Error::Overtaken, |by| Error::Busy { by }))
            }
        }
    }

    /// Says it again if it is time to.
    pub(crate) async fn go_on(&mut self) -> Result<(), Error> {
        if self.said.elapsed() < AGAIN {
            return Ok(());
        }
        self.still_there().await?;
        self.said = Instant::now();
        self.say().await
    }

    /// Makes sure that nobody took us for dead.
    pub(crate) async fn still_there(&self) -> Result<(), Error> {
        let there = self.store.length(&self.name).await?;
        there.map(drop).ok_or(Error::Overtaken)
    }

    /// Takes the word back.
    pub(crate) async fn end(self) -> Result<(), Error> {
        self.store.delete(&self.name).await
    }

    async fn say(&self) -> Result<(), Error> {
        self.store.put(&self.name, encode(&self.word).into()).await
    }

    /// Somebody whose work does not go together with ours. Words of the dead are removed.
    async fn in_the_way(&self) -> Result<Option<String>, Error> {
        let listed = self.store.list(FOLDER).await?;
        let path = |word: &Listed| format!("{FOLDER}/{}", word.name);
        let own = listed.iter().find(|word| path(word) == self.name).ok_or(Error::Overtaken)?;
        let now = own.modified;
        for other in listed.iter().filter(|other| other.name != own.name) {
            let name = path(other);
            let Some(bytes) = self.store.get(&name).await? else { continue };
            let word: Word = decode(&name, &bytes)?;
            if now - other.modified > DEAD_SECONDS || word.is_dead() {
                self.store.delete(&name).await?;
            } else if word.work == Work::Prune || self.word.work == Work::Prune {
                return Ok(Some(word.told(now - other.modified)));
            }
        }
        Ok(None)
    }
}

impl Word {
    /// Whether the process is known to have ended: it was one of this machine.
    fn is_dead(&self) -> bool {
        let process = format!("/proc/{}", self.process);
        self.host == host() && !self.host.is_empty() && !std::path::Path::new(&process).exists()
    }

    fn told(&self, silent: i64) -> String {
        let work = match self.work {
            Work::Create => "a backup",
            Work::Prune => "a clean-up",
        };
        let Self { host, process, .. } = self;
        format!("{work}, process {process} on {host}, last heard of {} s ago", silent.max(0))
    }
}

/// The name of this machine and of this boot: process ids say nothing across either.
fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let boot = read("/proc/sys/kernel/random/boot_id");
    format!("{} {boot}", hostname()).trim().to_owned()
}

/// The name of this machine.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(work: Work, process: u32) -> Vec<u8> {
        encode(&Word { version: VERSION, work, host: host(), process })
    }

    #[tokio::test]
    async fn backups_go_together_and_clean_ups_are_alone() {
        let store = Store::in_memory();
        let first = Busy::begin(&store, Work::Create).await.unwrap();
        let second = Busy::begin(&store, Work::Create).await.unwrap();
        let refused = Busy::begin(&store, Work::Prune).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("a backup"), "{refused}");
        first.end().await.unwrap();
        second.end().await.unwrap();
        let prune = Busy::begin(&store, Work::Prune).await.unwrap();
        for work in [Work::Create, Work::Prune] {
            assert!(Busy::begin(&store, work).await.is_err());
        }
        prune.end().await.unwrap();
        assert_eq!(store.list(FOLDER).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_dead_are_in_nobodys_way() {
        let store = Store::in_memory();
        // No process has this id: Linux gives none above 2^22.
        store.put("busy/0.json", word(Work::Prune, 1 << 30).into()).await.unwrap();
        let busy = Busy::begin(&store, Work::Create).await.unwrap();
        assert_eq!(store.list(FOLDER).await.unwrap().len(), 1);
        store.delete(&busy.name).await.unwrap();
        assert!(matches!(busy.still_there().await, Err(Error::Overtaken)));
    }
}
