//! Letting backups go, and what only they needed.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    Digest, Error, Store,
    busy::{Busy, Work},
    catalog::{names, references},
    manifest::manifest_name,
    newest,
    store::OBJECTS,
};

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Backups that were let go.
    pub backups: Vec<String>,
    /// Backups that are there.
    pub kept: u64,
    /// Of them, those that cannot be read. As long as there are any, every object stays: they may need it.
    pub unreadable: Vec<Unreadable>,
    /// Objects that nobody needed any more.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A backup that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// Lets go of all backups but the newest ones that can be read, of which at least one stays, and of every object that none
/// of these needs. What cannot be read stays too until there are so many newer ones. Nothing goes while somebody makes
/// a backup.
pub async fn prune(store: &Store, keep: usize) -> Result<Pruned, Error> {
    // Before anything is written: a place without backups stays as it is.
    names(store).await?;
    let mut busy = Busy::begin(store, Work::Prune).await?;
    let pruned = clean(store, keep.max(1), &mut busy).await;
    let ended = busy.end().await;
    let pruned = pruned?;
    ended?;
    Ok(pruned)
}

async fn clean(store: &Store, keep: usize, busy: &mut Busy) -> Result<Pruned, Error> {
    let mut names = names(store).await?;
    // What stays is read first: where the store does not answer, nothing goes.
    let kept = choose(store, &mut names, keep).await?;
    let mut pruned = Pruned {
        kept: (kept.readable + kept.unreadable.len()) as u64,
        unreadable: kept.unreadable,
        ..Pruned::default()
    };
    for name in names {
        store.delete(&manifest_name(&name)).await?;
        pruned.backups.push(name);
    }
    if pruned.unreadable.is_empty() {
        sweep(store, &kept.needed, (busy, &mut pruned)).await?;
    }
    newest::forget_older(store).await?;
    store.folder().map_or(Ok(()), sweep_drafts)?;
    Ok(pruned)
}

/// Backups that stay.
#[derive(Default)]
struct Kept {
    readable: usize,
    unreadable: Vec<Unreadable>,
    /// What those need that can be read.
    needed: BTreeSet<Digest>,
}

/// Takes the newest backups out of the names of all, oldest first, until so many of them can be read.
async fn choose(store: &Store, names: &mut Vec<String>, keep: usize) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    while kept.readable < keep
        && let Some(name) = names.pop()
    {
        match references(store, &name).await {
            Ok(needed) => {
                kept.readable += 1;
                kept.needed.extend(needed);
            }
            Err(error) if error.is_fault() => {
                kept.unreadable.push(Unreadable { name, reason: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

async fn sweep(
    store: &Store,
    needed: &BTreeSet<Digest>,
    (busy, pruned): (&mut Busy, &mut Pruned),
) -> Result<(), Error> {
    for object in store.list(OBJECTS).await? {
        let digest = object.name.rsplit('/').next().and_then(|name| name.parse().ok());
        if digest.is_some_and(|digest| needed.contains(&digest)) {
            continue;
        }
        busy.go_on().await?;
        store.delete(&format!("{OBJECTS}/{}", object.name)).await?;
        pruned.objects += 1;
        pruned.bytes += object.bytes;
    }
    Ok(())
}

/// Removes what writers that were killed left half-written: files whose names end with `#` and a number.
fn sweep_drafts(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let entry = entry.map_err(Error::file(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(Error::file(&path))?.is_dir() {
            sweep_drafts(&path)?;
        } else if is_draft(&entry.file_name().to_string_lossy()) {
            fs::remove_file(&path).map_err(Error::file(&path))?;
        }
    }
    Ok(())
}

fn is_draft(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
