//! Making a backup: look, send what is new, and say last of all that it is there.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use selvedge_audit::{files::LogFiles, home::Home, store::Folder as AuditFolder};
use selvedge_eventlog::whole_until;

use crate::{
    Backup, Error, Hold, KeysIncluded, Progress, Store,
    busy::{Busy, Work, hostname},
    catalog::{self, begin, needed},
    gather::{Gathered, Passing, Source, gather},
    manifest::{
        AuditMark, Damage, Entry, Files, Folder, Listing, LogMark, Manifest, PART_BYTES_MAX,
        SLICES_MAX, VERSION, encode, folder_of, manifest_name, time_of,
    },
    moment::{LOG, Moment},
    newest,
    upload::{Pack, Upload},
};

/// So much of a segment is looked at in one go; no frame is as long.
const WINDOW_BYTES: u64 = 64 << 20;
/// How often it begins again because a file went away under it.
const TRIES_MAX: usize = 5;

/// What is to be backed up, and how.
#[derive(Clone, Debug)]
pub struct Create {
    /// The data-dir of a core.
    pub data_dir: PathBuf,
    /// Files of it that lie elsewhere for the time being: path in the data-dir, and where it is.
    pub extra: Vec<(String, PathBuf)>,
    /// Which keys go along.
    pub keys: KeysIncluded,
    /// Takes nothing over from the backup before, and sends everything again.
    pub full: bool,
    /// The program that makes it, and its version.
    pub program: String,
}

impl Create {
    /// A backup of a data-dir, as it usually is.
    pub fn of(data_dir: &Path) -> Self {
        let program = concat!("selvedge ", env!("CARGO_PKG_VERSION")).to_owned();
        let (extra, keys) = (Vec::new(), KeysIncluded::default());
        Self { data_dir: data_dir.to_owned(), extra, keys, full: false, program }
    }
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The backup.
    pub backup: Backup,
    /// Names in the data-dir that nobody knows, and that are not in the backup.
    pub left_out: Vec<String>,
    /// Why the backup before is no beginning of this one, if it is not.
    pub broken: Option<String>,
    /// Files with keys that are kept apart: not in the backup.
    pub apart: Vec<String>,
}

/// Makes a backup. Whatever happens on the way, the store keeps the backups that it has.
pub async fn create(
    store: &Store,
    plan: &Create,
    hold: &mut dyn Hold,
    progress: &mut dyn FnMut(Progress),
) -> Result<Created, Error> {
    begin(store).await?;
    let mut busy = Busy::begin(store, Work::Create).await?;
    let made = make(store, plan, hold, (&mut busy, progress)).await;
    let ended = busy.end().await;
    let created = made?;
    ended?;
    Ok(created)
}

async fn make(
    store: &Store,
    plan: &Create,
    hold: &mut dyn Hold,
    (busy, progress): (&mut Busy, &mut dyn FnMut(Progress)),
) -> Result<Created, Error> {
    // What takes nothing over needs no more of the backup before than its name: it may be damaged.
    let newest = catalog::names(store).await?.pop();
    let newest_ms = newest.as_deref().map_or(0, time_of);
    let (parent, broken) = match newest.filter(|_| !plan.full) {
        Some(name) => parent(store, &name).await?,
        None => (None, None),
    };
    let known = parent.as_ref().map(|parent| needed(parent.files.values()).into_keys().collect());
    // Where one object is damaged others may be: all are sent again, and so mended.
    let anew = plan.full || broken.is_some();
    let upload = Upload::new(store, known.unwrap_or_default(), anew);
    let mut making = Making {
        plan,
        hold,
        busy,
        progress,
        upload,
        parent: parent.as_ref(),
        newest_ms,
        entries: Vec::new(),
        damaged: Vec::new(),
        broken,
        done: 0,
    };
    let gathered = making.copy().await?;
    let apart = newest::put(store, &plan.data_dir, plan.keys).await?;
    let backup = making.seal(&gathered, parent.as_ref().map(|it| it.backup.name.clone())).await?;
    let broken = making.broken.take();
    newest::forget_older(store).await?;
    Ok(Created { backup, left_out: gathered.left_out, broken, apart })
}

/// The backup before this one.
struct Parent {
    backup: Backup,
    files: Files,
}

/// The backup of a name; or why it is none that another could begin from. What a later program wrote is no damage.
async fn parent(store: &Store, name: &str) -> Result<(Option<Parent>, Option<String>), Error> {
    match Parent::read(store, name).await {
        Ok(parent) => Ok((Some(parent), None)),
        Err(error) if error.is_fault() && !matches!(error, Error::Version { .. }) => {
            Ok((None, Some(format!("backup {name} cannot be read: {error}"))))
        }
        Err(error) => Err(error),
    }
}

impl Parent {
    async fn read(store: &Store, name: &str) -> Result<Self, Error> {
        let backup = catalog::load(store, name).await?;
        let files = backup.read(store).await?;
        Ok(Self { backup, files })
    }
}

struct Making<'a> {
    plan: &'a Create,
    hold: &'a mut dyn Hold,
    busy: &'a mut Busy,
    progress: &'a mut dyn FnMut(Progress),
    upload: Upload,
    /// What has not changed is taken over from it.
    parent: Option<&'a Parent>,
    /// When the backup before was made.
    newest_ms: u64,
    entries: Vec<Entry>,
    damaged: Vec<Damage>,
    broken: Option<String>,
    done: u64,
}

impl Making<'_> {
    /// Copies everything, and begins again where a file went away under it.
    async fn copy(&mut self) -> Result<Gathered, Error> {
        for _ in 0..TRIES_MAX {
            let gathered = gather(&self.plan.data_dir, &self.plan.extra, self.hold)?;
            (self.entries, self.damaged, self.done) = (Vec::new(), Vec::new(), 0);
            match self.copy_all(&gathered).await {
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                copied => return copied.map(|()| gathered),
            }
        }
        Err(Error::Restless)
    }

    async fn copy_all(&mut self, gathered: &Gathered) -> Result<(), Error> {
        self.meet_parent(gathered)?;
        let segments = |moment: &Moment| -> Vec<(String, u64)> {
            let segments = moment.files.iter().filter(|file| file.name.ends_with(".segment"));
            segments.map(|file| (file.name.clone(), file.length)).collect()
        };
        let segments = segments(&gathered.moment);
        let total = segments.iter().map(|(_, length)| length).sum();
        for (name, length) in segments {
            self.copy_segment(&gathered.moment, &name, length).await?;
            self.done += length;
            self.go_on(total).await?;
        }
        self.copy_lasting(&gathered.lasting, total).await?;
        self.copy_passing(&gathered.passing, total).await?;
        self.upload.finish().await?;
        self.hold.release();
        Ok(())
    }

    /// Looks whether the backup before is a beginning of what there is now. After an older one was restored
    /// it is not, and nothing of it may be taken for ours by its name.
    fn meet_parent(&mut self, gathered: &Gathered) -> Result<(), Error> {
        let Some(parent) = self.parent else { return Ok(()) };
        let reason = if !self.continues_log(parent, &gathered.moment)? {
            Some("the event log goes on from elsewhere")
        } else if !self.continues_audit(parent, gathered.audit.as_ref()) {
            Some("the audit log is not that of before with entries added")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.broken = Some(format!("{reason} than backup {}", parent.backup.name));
            self.parent = None;
        }
        Ok(())
    }

    /// Frames are chained: where the last bytes of the newest segment that both have are the same, all
    /// before them are.
    fn continues_log(&self, parent: &Parent, moment: &Moment) -> Result<bool, Error> {
        let mark = &parent.backup.manifest.log;
        if mark.id != moment.log || mark.durable > moment.durable {
            return Ok(false);
        }
        let lengths: BTreeMap<String, u64> =
            moment.files.iter().map(|it| (format!("{LOG}/{}", it.name), it.length)).collect();
        let common = parent
            .files
            .values()
            .rev()
            .find(|file| file.path.ends_with(".segment") && lengths.contains_key(&file.path));
        let Some(common) = common else { return Ok(true) };
        let fits = lengths.get(&common.path).is_some_and(|length| *length >= common.bytes);
        let Some(last) = common.slices.last().filter(|_| fits) else { return Ok(fits) };
        let file = open(&self.plan.data_dir.join(&common.path))?;
        let bytes = read_range(&file, &common.path, common.bytes - last.bytes, last.bytes)?;
        Ok(crate::Digest::of(&bytes) == last.object)
    }

    fn continues_audit(&self, parent: &Parent, now: Option<&AuditMark>) -> bool {
        let Some(before) = &parent.backup.manifest.audit else { return true };
        let Some(now) = now else { return false };
        let Some(head) = crate::audit::checkpoint(&before.head) else { return true };
        let files = LogFiles(AuditFolder::open(&Home::new(&self.plan.data_dir).files()));
        head.size <= now.size && files.root(head.size, now.size).is_ok_and(|root| root == head.root)
    }

    /// Sends what a segment has beyond the backup before.
    async fn copy_segment(
        &mut self,
        moment: &Moment,
        name: &str,
        length: u64,
    ) -> Result<(), Error> {
        let path = format!("{LOG}/{name}");
        let before = self.parent.and_then(|parent| parent.files.get(&path));
        let before = before.filter(|it| it.bytes <= length && it.slices.len() < SLICES_MAX);
        let (mut at, mut slices) =
            before.map_or((0, Vec::new()), |it| (it.bytes, it.slices.clone()));
        if at < length {
            let file = open(&self.plan.data_dir.join(&path))?;
            let mut is_whole = true;
            while at < length {
                let bytes = read_range(&file, &path, at, (length - at).min(WINDOW_BYTES))?;
                let bytes = if is_whole {
                    self.judge(moment, (name, at, length), bytes, &mut is_whole)
                } else {
                    bytes
                };
                at += bytes.len() as u64;
                self.upload.send_slices(&bytes, &mut slices).await?;
            }
        }
        self.entries.push(Entry { path, bytes: length, slices });
        Ok(())
    }

    /// Cuts a window where its last whole frame ends. What is damaged goes along as it is, and is told.
    fn judge(
        &mut self,
        moment: &Moment,
        (name, at, length): (&str, u64, u64),
        bytes: Bytes,
        is_whole: &mut bool,
    ) -> Bytes {
        let id = data_encoding::HEXLOWER.decode(moment.log.as_bytes()).unwrap_or_default();
        let id: [u8; 16] = id.try_into().unwrap_or_default();
        let whole = whole_until(&id, name, at, &bytes).unwrap_or(at);
        let end = at + bytes.len() as u64;
        if whole == end {
            return bytes;
        }
        if end < length && whole > at {
            return bytes.slice(..usize::try_from(whole - at).expect("it lies in the window"));
        }
        *is_whole = false;
        self.damaged.push(Damage { path: format!("{LOG}/{name}"), at: whole });
        bytes
    }

    async fn copy_lasting(&mut self, paths: &[String], total: u64) -> Result<(), Error> {
        let mut pack = Pack::default();
        for path in paths {
            if let Some(known) = self.parent.and_then(|parent| parent.files.get(path)) {
                self.entries.push(known.clone());
                continue;
            }
            let at = self.plan.data_dir.join(path);
            let bytes = fs::read(&at).map_err(Error::file(at))?;
            self.copy_bytes(path, bytes, &mut pack).await?;
            self.go_on(total).await?;
        }
        self.entries.extend(pack.send(&mut self.upload).await?);
        Ok(())
    }

    async fn copy_passing(&mut self, files: &[Passing], total: u64) -> Result<(), Error> {
        let mut pack = Pack::default();
        for Passing { path, source } in files {
            match source {
                Source::Memory(bytes) => self.copy_bytes(path, bytes.clone(), &mut pack).await?,
                Source::File(at, length) => self.copy_file(path, at, *length, total).await?,
            }
        }
        self.entries.extend(pack.send(&mut self.upload).await?);
        Ok(())
    }

    async fn copy_bytes(
        &mut self,
        path: &str,
        bytes: Vec<u8>,
        pack: &mut Pack,
    ) -> Result<(), Error> {
        if !Pack::takes(bytes.len()) {
            let (length, mut slices) = (bytes.len() as u64, Vec::new());
            self.upload.send_slices(&bytes.into(), &mut slices).await?;
            self.entries.push(Entry { path: path.to_owned(), bytes: length, slices });
        } else if pack.add(path.to_owned(), &bytes) {
            self.entries.extend(pack.send(&mut self.upload).await?);
        }
        Ok(())
    }

    async fn copy_file(
        &mut self,
        path: &str,
        from: &Path,
        length: u64,
        total: u64,
    ) -> Result<(), Error> {
        let (file, mut slices, mut at) = (open(from)?, Vec::new(), 0);
        while at < length {
            let bytes = read_range(&file, path, at, (length - at).min(PART_BYTES_MAX))?;
            at += bytes.len() as u64;
            self.upload.send_slices(&bytes, &mut slices).await?;
            self.go_on(total).await?;
        }
        self.entries.push(Entry { path: path.to_owned(), bytes: length, slices });
        Ok(())
    }

    /// Says to all who want to know that we are still at it.
    async fn go_on(&mut self, total: u64) -> Result<(), Error> {
        self.hold.keep();
        self.busy.go_on().await?;
        let (done, sent) = (self.done, self.upload.bytes);
        (self.progress)(Progress { done, total, sent });
        Ok(())
    }

    /// Writes the lists, and then the manifest: from now on there is a backup.
    async fn seal(&mut self, gathered: &Gathered, parent: Option<String>) -> Result<Backup, Error> {
        let folders = self.folders().await?;
        self.upload.finish().await?;
        self.busy.still_there().await?;
        let manifest = Manifest {
            version: VERSION,
            program: self.plan.program.clone(),
            host: hostname(),
            time_ms: now_ms().max(self.newest_ms + 1),
            parent: parent.filter(|_| self.broken.is_none()),
            log: LogMark { id: gathered.moment.log.clone(), durable: gathered.moment.durable },
            audit: gathered.audit.clone(),
            folders,
            new_objects: self.upload.objects,
            new_bytes: self.upload.bytes,
            damaged: std::mem::take(&mut self.damaged),
        };
        let (name, bytes) = manifest.encode();
        let object = manifest_name(&name);
        if !self.upload_store().put_new(&object, bytes.into()).await? {
            return Err(Error::malformed(&object, "there is a backup of this name already"));
        }
        if let Err(error) = self.busy.still_there().await {
            // Who took us for dead may have removed what this backup needs.
            self.upload_store().delete(&object).await?;
            return Err(error);
        }
        Ok(Backup { name, manifest })
    }

    async fn folders(&mut self) -> Result<Vec<Folder>, Error> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let mut listings: BTreeMap<String, Listing> = BTreeMap::new();
        for entry in entries {
            listings.entry(folder_of(&entry.path).to_owned()).or_default().files.push(entry);
        }
        let mut folders = Vec::new();
        for (name, listing) in listings {
            let bytes = listing.files.iter().map(|file| file.bytes).sum();
            let files = listing.files.len() as u64;
            let list = self.upload.send(encode(&listing).into()).await?;
            folders.push(Folder { name, list, files, bytes });
        }
        Ok(folders)
    }

    fn upload_store(&self) -> Store {
        self.upload.store()
    }
}

fn open(path: &Path) -> Result<fs::File, Error> {
    fs::File::open(path).map_err(Error::file(path))
}

fn read_range(file: &fs::File, path: &str, at: u64, length: u64) -> Result<Bytes, Error> {
    let mut bytes = vec![0; usize::try_from(length).expect("a window fits into memory")];
    file.read_exact_at(&mut bytes, at).map_err(Error::file(path))?;
    Ok(bytes.into())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
