//! Letting backups go, and what only they needed.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    Digest, Error, Store,
    busy::{Busy, Work},
    catalog::{all, names, references},
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
    /// Objects that nobody needed any more.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Lets go of all backups but the newest ones, of which at least one stays, and of every object that none of
/// these needs. Nothing goes while somebody makes a backup.
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
    let mut backups = all(store).await?;
    let gone = backups.len().saturating_sub(keep);
    let kept = backups.split_off(gone);
    // What stays is read first: where that fails, nothing goes.
    let needed = references(store, &kept).await?;
    let mut pruned = Pruned { kept: kept.len() as u64, ..Pruned::default() };
    for backup in backups {
        store.delete(&manifest_name(&backup.name)).await?;
        pruned.backups.push(backup.name);
    }
    sweep(store, &needed, (busy, &mut pruned)).await?;
    newest::forget_older(store).await?;
    store.folder().map_or(Ok(()), sweep_drafts)?;
    Ok(pruned)
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
