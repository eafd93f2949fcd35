//! Which backups a store has, and the files of each.

use std::collections::{BTreeSet, HashMap};

use crate::{
    Digest, Error,
    manifest::{
        Entry, Files, Listing, MANIFESTS, Manifest, VERSION, decode, encode, manifest_name, name_of,
    },
    store::Store,
};

/// Says what a place is for, and in which version.
const MARK: &str = "selvedge-backup.json";
const WHAT: &str = "backups of a selvedge data-dir";

/// What the mark says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Mark {
    version: u64,
    what: String,
}

/// A backup by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// When it was begun, and a part of its digest: names are in the order of time.
    pub name: String,
    /// What it says.
    pub manifest: Manifest,
}

/// Marks a place for backups, or reads its mark.
pub(crate) async fn begin(store: &Store) -> Result<(), Error> {
    let mark = Mark { version: VERSION, what: WHAT.to_owned() };
    if store.put_new(MARK, encode(&mark).into()).await? {
        return Ok(());
    }
    read_mark(&store.need(MARK).await?)
}

fn read_mark(bytes: &[u8]) -> Result<(), Error> {
    let mark: Mark = decode(MARK, bytes)?;
    if mark.what == WHAT {
        return Ok(());
    }
    Err(Error::malformed(MARK, "it marks something else"))
}

/// Names of all backups, oldest first.
pub async fn names(store: &Store) -> Result<Vec<String>, Error> {
    let mark = store.get(MARK).await?;
    let mark = mark.ok_or_else(|| Error::Empty { place: store.name().to_owned() })?;
    read_mark(&mark)?;
    let listed = store.list(MANIFESTS).await?;
    Ok(listed.iter().filter_map(|it| name_of(&it.name)).map(str::to_owned).collect())
}

/// The backup of a name.
pub async fn load(store: &Store, name: &str) -> Result<Backup, Error> {
    let bytes = match name_of(&format!("{name}.json")) {
        Some(name) => store.get(&manifest_name(name)).await?,
        None => None,
    };
    let bytes = bytes.ok_or_else(|| Error::NoBackup { name: name.to_owned() })?;
    Ok(Backup { name: name.to_owned(), manifest: Manifest::decode(name, &bytes)? })
}

/// All backups, oldest first.
pub async fn all(store: &Store) -> Result<Vec<Backup>, Error> {
    let mut all = Vec::new();
    for name in names(store).await? {
        all.push(load(store, &name).await?);
    }
    Ok(all)
}

/// The backup of a name, or the newest.
pub async fn find(store: &Store, name: Option<&str>) -> Result<Backup, Error> {
    let names = names(store).await?;
    let newest = names.last().map(String::as_str);
    let name = name.or(newest).ok_or_else(|| Error::Empty { place: store.name().to_owned() })?;
    load(store, name).await
}

impl Backup {
    /// Its files.
    pub(crate) async fn read(&self, store: &Store) -> Result<Files, Error> {
        let mut files = Files::new();
        for folder in &self.manifest.folders {
            let listing = Listing::decode(folder.list, &store.content(folder.list).await?)?;
            files.extend(listing.files.into_iter().map(|file| (file.path.clone(), file)));
        }
        let bytes: u64 = files.values().fold(0, |sum, file| sum.saturating_add(file.bytes));
        if (files.len() as u64, bytes) != (self.manifest.files(), self.manifest.bytes()) {
            let object = manifest_name(&self.name);
            return Err(Error::malformed(&object, "its lists have other files than it says"));
        }
        Ok(files)
    }
}

/// The objects in which files lie, and who needs each.
pub(crate) fn needed<'f>(files: impl Iterator<Item = &'f Entry>) -> HashMap<Digest, &'f Entry> {
    let slices = files.flat_map(|file| file.slices.iter().map(move |slice| (slice.object, file)));
    let mut needed = HashMap::new();
    slices.for_each(|(object, file)| {
        needed.entry(object).or_insert(file);
    });
    needed
}

/// Everything that a backup needs of a store.
pub(crate) async fn references(store: &Store, name: &str) -> Result<BTreeSet<Digest>, Error> {
    let backup = load(store, name).await?;
    let files = backup.read(store).await?;
    let lists = backup.manifest.folders.iter().map(|folder| folder.list);
    Ok(lists.chain(needed(files.values()).into_keys()).collect())
}
