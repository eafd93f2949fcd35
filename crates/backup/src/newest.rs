//! What only counts in its newest state: keys of subjects, and tokens.
//!
//! A key that was destroyed must not come back from an older backup, nor a token that was revoked. So
//! they are no part of a backup: the store has one state of them, which each backup replaces, and a
//! restore of whichever backup takes that one.

use std::{collections::BTreeSet, path::Path, thread, time::Duration};

use data_encoding::BASE64;
use selvedge_audit::{entry::KeyId, home::Home, keys};
use serde::{Deserialize, Serialize};

use crate::{
    Digest, Error, Store,
    gather::read,
    manifest::{VERSION, decode, encode},
    restore::write_private,
};

/// The folder of states; more than one is there only while one replaces another.
const FOLDER: &str = "newest";
const KEYS: &str = "audit-keys/keys";
const MASTER: &str = "audit-keys/master.key";
const SIGNING: &str = "audit-keys/signing.key";
const TOKENS: [&str; 2] = ["tokens", "tokens.used"];
/// A key store that is written to is read until it is whole; for half a second.
const TRIES_MAX: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Which keys go along with a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysIncluded {
    /// The keys of subjects, which only the master key opens; neither that nor the key that signs.
    #[default]
    Wrapped,
    /// These, the master key, and the key that signs.
    All,
    /// None.
    None,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u64,
    files: Vec<Kept>,
}

/// A small file with its content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    path: String,
    /// Base64.
    content: String,
}

/// Puts the state there is now. Returns which secrets of the data-dir are not in it.
pub(crate) async fn put(
    store: &Store,
    data_dir: &Path,
    keys: KeysIncluded,
) -> Result<Vec<String>, Error> {
    let (wanted, apart): (&[&str], &[&str]) = match keys {
        KeysIncluded::Wrapped => (&[KEYS], &[MASTER, SIGNING]),
        KeysIncluded::All => (&[KEYS, MASTER, SIGNING], &[]),
        KeysIncluded::None => (&[], &[KEYS, MASTER, SIGNING]),
    };
    let mut files = Vec::new();
    for path in wanted.iter().chain(&TOKENS) {
        let at = data_dir.join(path);
        let content = if *path == KEYS { read_keys(data_dir)? } else { read(&at)? };
        files.extend(
            content
                .map(|content| Kept { path: (*path).to_owned(), content: BASE64.encode(&content) }),
        );
    }
    let bytes = encode(&State { version: VERSION, files });
    let next = states(store).await?.last().map_or(0, |(number, _)| number + 1);
    let name = format!("{FOLDER}/{next:010}-{}.json", Digest::of(&bytes).short());
    store.put(&name, bytes.into()).await?;
    let there = apart.iter().filter(|path| data_dir.join(path).is_file());
    Ok(there.map(|path| (*path).to_owned()).collect())
}

/// Removes all states but the newest.
pub(crate) async fn forget_older(store: &Store) -> Result<(), Error> {
    let mut states = states(store).await?;
    states.pop();
    for (_, name) in states {
        store.delete(&name).await?;
    }
    Ok(())
}

/// Writes the newest state below a folder, without the keys of these subjects. Returns how many keys
/// that were.
pub(crate) async fn restore(
    store: &Store,
    folder: &Path,
    erased: &BTreeSet<KeyId>,
) -> Result<usize, Error> {
    let Some((_, name)) = states(store).await?.pop() else { return Ok(0) };
    let bytes = store.need(&name).await?;
    let sum = Digest::of(&bytes).short();
    if !name.ends_with(&format!("-{sum}.json")) {
        return Err(Error::Damaged { object: name });
    }
    let state: State = decode(&name, &bytes)?;
    let mut destroyed = 0;
    for Kept { path, content } in state.files {
        let known = [KEYS, MASTER, SIGNING].iter().chain(&TOKENS).any(|known| *known == path);
        let content = BASE64.decode(content.as_bytes()).ok().filter(|_| known);
        let mut content = content.ok_or_else(|| Error::malformed(&name, "an odd file"))?;
        if path == KEYS {
            destroyed = keys::destroy_in(&mut content, erased);
        }
        write_private(&folder.join(path), &content)?;
    }
    Ok(destroyed)
}

/// States by their number.
async fn states(store: &Store) -> Result<Vec<(u64, String)>, Error> {
    let listed = store.list(FOLDER).await?;
    let states = listed.iter().filter_map(|it| {
        let (number, _) = it.name.strip_suffix(".json")?.split_once('-')?;
        Some((number.parse().ok()?, format!("{FOLDER}/{}", it.name)))
    });
    let mut states: Vec<(u64, String)> = states.collect();
    states.sort();
    Ok(states)
}

/// The key store, read between two writes. One that stays damaged is taken as it is: its owner counts
/// what it cannot read.
fn read_keys(data_dir: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = data_dir.join(KEYS);
    let mut before = read(&path)?;
    for _ in 0..TRIES_MAX {
        let again = read(&path)?;
        if again == before && again.as_deref().is_none_or(keys::is_whole) {
            break;
        }
        before = again;
        thread::sleep(PAUSE);
    }
    Ok(before)
}

/// Secrets that a core needs and a restored data-dir does not have.
pub(crate) fn missing(data_dir: &Path) -> Vec<String> {
    let keys = Home::new(data_dir).keys();
    let wanted = [MASTER, SIGNING].into_iter();
    let needed = keys.join("keys").is_file() || data_dir.join("audit/checkpoint").is_file();
    let missing = wanted.filter(|path| needed && !data_dir.join(path).is_file());
    missing.map(str::to_owned).collect()
}
