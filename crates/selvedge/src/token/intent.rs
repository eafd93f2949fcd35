//! What somebody at this machine is about to do to tokens: written down before it is done, so that
//! the core can say who did it. And what they did while no core ran, for the next one to tell.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::getuid;
use selvedge_identity::Entry;
use serde_json::{Map, Value, json};

/// The folder in the data-dir.
const FOLDER: &str = "intents";
const BYTES_MAX: u64 = 4 << 10;
/// Intents that are looked at in one go.
const INTENTS_MAX: usize = 1_000;
/// After so long nobody is still writing.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// Something that somebody is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// `token.create` or `token.revoke`; or a deed: `backup.begin` or `backup.create`.
    pub(crate) action: String,
    /// The token's name, where one is to be made; or the backup's.
    pub(crate) name: String,
    /// The token's id, as soon as it has one.
    pub(crate) id: Option<String>,
    /// The user of the operating system.
    pub(crate) user: String,
    /// When.
    pub(crate) at: SystemTime,
    /// What else there is to tell of a deed.
    pub(crate) details: Map<String, Value>,
    /// Where it is written.
    pub(crate) path: PathBuf,
}

impl Intent {
    /// Writes down what is about to be done; durable when this returns.
    pub(crate) fn begin(
        data_dir: &Path,
        action: &str,
        name: &str,
        id: Option<&str>,
    ) -> io::Result<Self> {
        let intent = Self { id: id.map(str::to_owned), ..Self::new(data_dir, action, name)? };
        intent.write()?;
        Ok(intent)
    }

    /// Writes down what is done while no core runs; durable when this returns.
    pub(crate) fn leave(
        data_dir: &Path,
        (action, name): (&str, &str),
        details: Map<String, Value>,
    ) -> io::Result<()> {
        Self { details, ..Self::new(data_dir, action, name)? }.write()
    }

    fn new(data_dir: &Path, action: &str, name: &str) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        if !folder.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            own_as(data_dir, &folder)?;
        }
        let at = SystemTime::now();
        let nanos = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self {
            action: action.to_owned(),
            name: name.to_owned(),
            id: None,
            user: user(),
            at,
            details: Map::new(),
            path: folder.join(format!("{nanos}-{}", std::process::id())),
        })
    }

    /// Writes down which token was made.
    pub(crate) fn made(mut self, id: &str) -> io::Result<()> {
        self.id = Some(id.to_owned());
        self.write()
    }

    /// Whether nobody but the core tells of it any more: it was done while none ran.
    pub(crate) fn is_deed(&self) -> bool {
        self.action.starts_with("backup.")
    }

    /// Removes the intent that was written under this name; `false` if it stays.
    pub(crate) fn remove(data_dir: &Path, file: &str) -> bool {
        let removed = fs::remove_file(data_dir.join(FOLDER).join(file));
        removed.is_ok() || !data_dir.join(FOLDER).join(file).exists()
    }

    /// Nothing was done.
    pub(crate) fn drop_it(self) {
        // One that stays is told as unfinished.
        let _ = fs::remove_file(&self.path);
    }

    /// Whether there is none.
    pub(crate) fn is_none(data_dir: &Path) -> bool {
        fs::read_dir(data_dir.join(FOLDER)).map_or(true, |mut names| names.next().is_none())
    }

    /// All that are written in this data-dir, the oldest first.
    pub(crate) fn all(data_dir: &Path) -> Vec<Self> {
        let Ok(names) = fs::read_dir(data_dir.join(FOLDER)) else { return Vec::new() };
        let names = names.take(INTENTS_MAX).filter_map(Result::ok);
        let mut intents = Vec::new();
        for path in names.map(|name| name.path()) {
            match Self::read(path.clone()) {
                Some(intent) => intents.push(intent),
                None => remove_if_old(&path),
            }
        }
        intents.sort_by_key(|intent| intent.at);
        intents
    }

    /// Whether this is about what was done to the token.
    pub(crate) fn is_of(&self, action: &str, entry: &Entry) -> bool {
        let is_it = match &self.id {
            Some(id) => *id == entry.id,
            // It was made, and its maker has not come to say which it is.
            None => self.name == entry.name,
        };
        self.action == action && is_it
    }

    fn write(&self) -> io::Result<()> {
        let Self { action, name, id, user, at, details, path } = self;
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let text = json!({
            "action": action, "name": name, "id": id, "user": user, "at": at, "details": details,
        });
        let next = path.with_extension("next");
        let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
        let mut file = options.open(&next)?;
        writeln!(file, "{text}")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        own_as(folder, &next)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        fs::File::open(folder)?.sync_all()
    }

    fn read(path: PathBuf) -> Option<Self> {
        let mut text = String::new();
        fs::File::open(&path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let word = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            action: word("action")?,
            name: word("name")?,
            id: word("id"),
            user: word("user")?,
            at: UNIX_EPOCH + Duration::from_micros(value["at"].as_u64()?),
            details: value["details"].as_object().cloned().unwrap_or_default(),
            path,
        })
    }
}

/// Gives a path the owner of another, so that root may help out.
fn own_as(model: &Path, path: &Path) -> io::Result<()> {
    let (model, own) = (fs::metadata(model)?, fs::metadata(path)?);
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        chown(path, Some(model.uid()), Some(model.gid()))?;
    }
    Ok(())
}

/// What was left half-written says nothing, and its writer has gone.
fn remove_if_old(path: &Path) {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|changed| changed.elapsed().ok());
    if age.is_some_and(|age| age > LEFT_AFTER) {
        let _ = fs::remove_file(path);
    }
}

/// The user's name as the system has it, or else their number.
fn user() -> String {
    let own = getuid().as_raw().to_string();
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2) == Some(&own.as_str()));
    found.and_then(|fields| Some((*fields.first()?).to_owned())).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Intent::is_none(folder.path()) && Intent::all(folder.path()).is_empty());
        let made = Intent::begin(folder.path(), "token.create", "ci", None).unwrap();
        assert_eq!(Intent::all(folder.path()).len(), 1);
        made.made("7h3k").unwrap();
        let all = Intent::all(folder.path());
        assert_eq!((all.len(), all[0].id.as_deref()), (1, Some("7h3k")));
        fs::write(folder.path().join(FOLDER).join("odd"), "no intent").unwrap();
        assert_eq!(Intent::all(folder.path()), all);
        all.into_iter().for_each(Intent::drop_it);
        assert!(Intent::all(folder.path()).is_empty());
        let details = Map::from_iter([("objects".to_owned(), Value::from(7))]);
        Intent::leave(folder.path(), ("backup.create", "b"), details.clone()).unwrap();
        let [left] = &Intent::all(folder.path())[..] else { panic!("one was left") };
        assert!(left.is_deed() && left.details == details, "{left:?}");
        let file = left.path.file_name().unwrap().to_str().unwrap();
        assert!(Intent::remove(folder.path(), file) && Intent::remove(folder.path(), file));
        assert!(Intent::all(folder.path()).is_empty());
    }
}
