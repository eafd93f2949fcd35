//! Looking at everything that a store has, as a restore would.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Digest, Error, Progress, Store,
    catalog::{load, names, needed},
    fetch::Fetch,
    manifest::manifest_name,
    store::content_name,
};

/// Of what a damaged object is needed for, so much is told.
const FILES_TOLD_MAX: usize = 3;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Backups that were looked at.
    pub backups: u64,
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Something that is not as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Backups that need it.
    pub backups: Vec<String>,
    /// Files that lie in it, a few of them.
    pub files: Vec<String>,
}

/// Who needs an object.
#[derive(Default)]
struct Needed {
    backups: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// Reads every object that a backup needs, or all backups, and compares it with its name.
pub async fn verify(
    store: &Store,
    name: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, Error> {
    let chosen = match name {
        Some(name) => vec![name.to_owned()],
        None => names(store).await?,
    };
    let (mut verified, mut objects) = (Verified::default(), BTreeMap::new());
    for name in chosen {
        verified.backups += 1;
        match look(store, &name, &mut objects).await {
            Err(error) if error.is_fault() => verified.fault(&name, &error),
            looked => looked?,
        }
    }
    compare(store, objects, &mut verified, progress).await?;
    verified.faults.sort_by(|one, other| one.object.cmp(&other.object));
    Ok(verified)
}

async fn look(
    store: &Store,
    name: &str,
    objects: &mut BTreeMap<Digest, Needed>,
) -> Result<(), Error> {
    let backup = load(store, name).await?;
    let files = backup.read(store).await?;
    for (object, file) in needed(files.values()) {
        let needed = objects.entry(object).or_default();
        needed.backups.insert(name.to_owned());
        needed.files.insert(file.path.clone());
    }
    Ok(())
}

async fn compare(
    store: &Store,
    objects: BTreeMap<Digest, Needed>,
    verified: &mut Verified,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let total = objects.len() as u64;
    let mut fetch = Fetch::new(store, objects.keys().copied());
    while let Some((digest, read)) = fetch.next().await? {
        verified.objects += 1;
        match read {
            Ok(bytes) => verified.bytes += bytes.len() as u64,
            Err(error) if error.is_fault() => {
                verified.faults.push(Fault::of(content_name(digest), &error, &objects[&digest]));
            }
            Err(error) => return Err(error),
        }
        progress(Progress { done: verified.objects, total, sent: 0 });
    }
    Ok(())
}

impl Verified {
    fn fault(&mut self, name: &str, error: &Error) {
        let object = error.object().map_or_else(|| manifest_name(name), str::to_owned);
        let (backups, files) = (BTreeSet::from([name.to_owned()]), BTreeSet::new());
        self.faults.push(Fault::of(object, error, &Needed { backups, files }));
    }
}

impl Fault {
    fn of(object: String, error: &Error, needed: &Needed) -> Self {
        let what = match error {
            Error::Missing { .. } => "it is missing".to_owned(),
            Error::Damaged { .. } => "its content is not what was stored".to_owned(),
            error => error.to_string(),
        };
        let files = needed.files.iter().take(FILES_TOLD_MAX).cloned().collect();
        Self { object, what, backups: needed.backups.iter().cloned().collect(), files }
    }
}
