//! Putting a backup back, and proving that what came back is what was there.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use selvedge_eventlog::{Log, Settings};

use crate::{
    Backup, Digest, Error, Progress, Proven, Store, Trusted,
    audit::{checkpoint, erased, prove},
    catalog::{find, load, names},
    fetch::Fetch,
    manifest::Files,
    moment::LOG,
    newest,
};

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which backup.
    pub backup: Backup,
    /// What the audit log came to, if there is one.
    pub audit: Option<Proven>,
    /// Keys of subjects that the log says were destroyed, and that were so once more.
    pub destroyed: usize,
    /// Secrets that a core needs here and that are kept apart.
    pub missing: Vec<String>,
}

/// Fills an empty folder with a backup, the newest if none is named, and proves what is in it.
///
/// Every object is compared with its name before any of it is written. What does not prove right is in
/// [`Proven::faults`]; the files are there all the same.
pub async fn restore(
    store: &Store,
    name: Option<&str>,
    folder: &Path,
    trusted: &Trusted,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, Error> {
    let backup = find(store, name).await?;
    let files = backup.read(store).await?;
    fill(store, &files, folder, progress).await?;
    let log = Log::open(&folder.join(LOG), Settings::default());
    let log = log.map_err(|error| Error::Unproven(format!("the event log: {error}")))?;
    let (reached, wanted) = (log.durable().0, backup.manifest.log.durable);
    if reached != wanted {
        let what = format!("the event log ends at {reached}, and the backup at {wanted}");
        return Err(Error::Unproven(what));
    }
    let (before, trusted) = known(store, &backup, trusted).await?;
    let audit = prove(folder, &log, &trusted, before.as_ref())?;
    let destroyed = newest::restore(store, folder, &erased(folder, &log)?).await?;
    drop(log);
    sync(folder)?;
    Ok(Restored { backup, audit, destroyed, missing: newest::missing(folder) })
}

/// The head of the backup that this one goes on from, and all heads that the store knows of.
async fn known(
    store: &Store,
    backup: &Backup,
    trusted: &Trusted,
) -> Result<(Option<selvedge_audit::checkpoint::Checkpoint>, Trusted), Error> {
    let (mut before, mut trusted) = (None, trusted.clone());
    for name in names(store).await? {
        // A damaged manifest is another backup's trouble.
        let Ok(other) = load(store, &name).await else { continue };
        let Some(mark) = other.manifest.audit else { continue };
        if backup.manifest.parent.as_deref() == Some(&name) {
            before = checkpoint(&mark.head);
        }
        trusted.heads.push(mark.head.into_bytes());
    }
    Ok((before, trusted))
}

/// A part of a file that lies in an object.
struct Place<'f> {
    path: &'f str,
    /// Where in the file.
    to: u64,
    /// Where in the object.
    from: u64,
    bytes: u64,
}

/// Writes all files, object by object.
async fn fill(
    store: &Store,
    files: &Files,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let places = begin(files, folder)?;
    let total = files.values().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    let mut done = 0;
    let mut fetch = Fetch::new(store, places.keys().copied());
    while let Some((digest, bytes)) = fetch.next().await? {
        let bytes = bytes?;
        for place in &places[&digest] {
            write(folder, place, &bytes, digest)?;
            done += place.bytes;
        }
        progress(Progress { done, total, sent: 0 });
    }
    Ok(())
}

/// Makes every file, empty, and says what of each object goes where.
fn begin<'f>(files: &'f Files, folder: &Path) -> Result<BTreeMap<Digest, Vec<Place<'f>>>, Error> {
    let mut places: HashMap<Digest, Vec<Place<'f>>> = HashMap::new();
    for file in files.values() {
        write_private(&folder.join(&file.path), b"")?;
        let mut to = 0;
        for slice in &file.slices {
            let place = Place { path: &file.path, to, from: slice.at, bytes: slice.bytes };
            places.entry(slice.object).or_default().push(place);
            to += slice.bytes;
        }
    }
    Ok(places.into_iter().collect())
}

fn write(folder: &Path, place: &Place, object: &Bytes, digest: Digest) -> Result<(), Error> {
    let range = || {
        let from = usize::try_from(place.from).ok()?;
        object.get(from..from.checked_add(usize::try_from(place.bytes).ok()?)?)
    };
    let bytes = range().ok_or_else(|| {
        Error::malformed(&crate::store::content_name(digest), "it is shorter than its files")
    })?;
    let path = folder.join(place.path);
    let file = fs::File::options().write(true).open(&path);
    file.and_then(|file| file.write_all_at(bytes, place.to)).map_err(Error::file(path))
}

/// Writes a new file that nobody but its owner may read, and the folders that it lies in.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)
    };
    written().map_err(Error::file(path))
}

/// Makes everything in a folder durable.
fn sync(folder: &Path) -> Result<(), Error> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut synced = || -> io::Result<()> {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false => fs::File::open(entry.path())?.sync_all()?,
                }
            }
            fs::File::open(&folder)?.sync_all()
        };
        synced().map_err(Error::file(&folder))?;
    }
    Ok(())
}
