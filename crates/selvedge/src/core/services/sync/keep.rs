//! What the relay keeps beside the log: the key that its tokens are signed with, and which life of it this is.
//!
//! A backup has neither. So a relay that was restored from one is another one to devices, who then give it again what it
//! lost; and tokens of before open nothing there.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use selvedge_eventlog::Log;
use selvedge_seal::token::{Issuer, IssuerKey, Issuers};
use selvedge_sync::{DOCUMENTS, Incarnation};
use selvedge_webpush::VapidKey;

use crate::core::data_dir;

/// The folder in the data-dir.
const FOLDER: &str = "sync";
/// The key of tokens, as PEM.
const KEY: &str = "issuer.pem";
/// The key of push messages, as PEM.
const PUSH: &str = "push.pem";
/// Which life of the relay this is: its id in hexadecimal, and since when records may be missing.
const LIFE: &str = "incarnation";
/// Bytes of such a file, at most.
const BYTES_MAX: u64 = 16 << 10;

/// What is kept.
pub(super) struct Keep {
    pub(super) key: IssuerKey,
    pub(super) incarnation: Incarnation,
}

impl Keep {
    /// Reads what is there, and makes what is not; blocks.
    pub(super) fn open(data_dir: &Path, log: &Log) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        data_dir::make(&folder)?;
        let key = match read(&folder.join(KEY))? {
            Some(pem) => IssuerKey::parse(&pem)
                .map_err(|error| io::Error::other(format!("{FOLDER}/{KEY}: {error}")))?,
            None => make_key(&folder)?,
        };
        let incarnation = match read(&folder.join(LIFE))? {
            Some(text) => parse(&text)
                .ok_or_else(|| io::Error::other(format!("{FOLDER}/{LIFE} is damaged")))?,
            None => begin(&folder, log)?,
        };
        Ok(Self { key, incarnation })
    }

    /// Whose tokens count: the relay's own, and those of these files.
    pub(super) fn issuers(&self, files: &[PathBuf]) -> Result<Issuers, String> {
        let mut issuers = Issuers::default();
        issuers.add(self.key.public()).map_err(|error| error.to_string())?;
        for file in files {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
            // One key, or a set of them as issuers publish it.
            match Issuer::parse(&text) {
                Ok(issuer) => issuers.add(issuer).map_err(|error| failed(&error))?,
                Err(error) => {
                    let set = Issuers::parse(&text).map_err(|_| failed(&error))?;
                    for issuer in set.iter() {
                        issuers.add(issuer.clone()).map_err(|error| failed(&error))?;
                    }
                }
            }
        }
        Ok(issuers)
    }
}

/// The key that push messages are signed with, as PEM; made when it is first asked for. Blocks.
pub(super) fn push_key(path: &Path) -> io::Result<String> {
    let folder = path.join(FOLDER);
    data_dir::make(&folder)?;
    if let Some(pem) = read(&folder.join(PUSH))? {
        return Ok(pem);
    }
    let pem = VapidKey::generate_pem();
    write(&folder, PUSH, &pem)?;
    Ok(pem)
}

fn make_key(folder: &Path) -> io::Result<IssuerKey> {
    let key = IssuerKey::from_seed(random()?);
    write(folder, KEY, &key.to_pem())?;
    Ok(key)
}

/// Begins a life. Where there are documents already, devices may know of more than the log does.
fn begin(folder: &Path, log: &Log) -> io::Result<Incarnation> {
    let is_first = log.list(DOCUMENTS, "", 1).is_empty();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let incarnation = Incarnation { id: random()?, lost_ms: if is_first { 0 } else { now_ms } };
    let id = data_encoding::HEXLOWER.encode(&incarnation.id);
    write(folder, LIFE, &format!("{id} {}\n", incarnation.lost_ms))?;
    Ok(incarnation)
}

fn parse(text: &str) -> Option<Incarnation> {
    let (id, lost_ms) = text.trim().split_once(' ')?;
    let id = data_encoding::HEXLOWER.decode(id.as_bytes()).ok()?;
    Some(Incarnation { id: id.try_into().ok()?, lost_ms: lost_ms.parse().ok()? })
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Durable, whole or not at all, and for its owner alone.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = folder.join(format!("{name}.new"));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use selvedge_eventlog::{Settings, StreamOptions, block_on};

    use super::*;

    #[test]
    fn the_key_of_push_messages_stays_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let made = push_key(folder.path()).unwrap();
        assert!(VapidKey::from_pem(&made).is_ok());
        assert_eq!(push_key(folder.path()).unwrap(), made);
        let key = folder.path().join("sync/push.pem");
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_made_is_found_again_and_a_restored_log_has_another_life() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(&folder.path().join("log"), Settings::default()).unwrap();
        let first = Keep::open(folder.path(), &log).unwrap();
        assert_eq!(first.incarnation.lost_ms, 0);
        let again = Keep::open(folder.path(), &log).unwrap();
        assert_eq!((first.incarnation, first.key.id()), (again.incarnation, again.key.id()));
        let key = folder.path().join("sync/issuer.pem");
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);

        let name = format!("{DOCUMENTS}acme/notes");
        block_on(log.create(&name, StreamOptions::default())).unwrap();
        fs::remove_dir_all(folder.path().join("sync")).unwrap();
        let restored = Keep::open(folder.path(), &log).unwrap();
        assert_ne!(restored.incarnation.id, first.incarnation.id);
        assert!(restored.incarnation.lost_ms > 0);
    }
}
