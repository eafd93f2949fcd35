//! Where backups lie: a folder, or a bucket of an S3-compatible store.

mod destination;
mod s3;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    Error as Refusal, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, local::LocalFileSystem, memory::InMemory, path::Path,
};

pub use destination::Destination;

use crate::{Digest, Error};

/// The longest object that is read into memory.
pub(crate) const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// How long one object may take, with all that is tried again.
const PATIENCE: Duration = Duration::from_secs(600);
/// Content by its digest.
pub(crate) const OBJECTS: &str = "objects";

/// A place for backups.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// Where it is a folder of this machine.
    folder: Option<PathBuf>,
    prefix: String,
    shown: String,
    traffic: Arc<Traffic>,
}

/// What went to the store.
#[derive(Debug, Default)]
struct Traffic {
    puts: AtomicU64,
    bytes: AtomicU64,
}

/// An object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name below the folder that was listed.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// When it was written by the store's clock, in seconds since 1970.
    pub(crate) modified: i64,
}

impl Store {
    /// The place of this name. With `begin`, a folder is made where there is none.
    pub fn open(destination: &Destination, begin: bool) -> Result<Self, Error> {
        let shown = destination.to_string();
        let unusable = |source| Error::Store { object: shown.clone(), source };
        let mut here = None;
        let (inner, prefix): (Arc<dyn ObjectStore>, String) = match destination {
            Destination::Folder(path) => {
                if begin {
                    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
                    made.map_err(Error::file(path))?;
                } else if !path.is_dir() {
                    return Err(Error::Empty { place: shown });
                }
                here = Some(path.clone());
                let folder = LocalFileSystem::new_with_prefix(path).map_err(unusable)?;
                (Arc::new(folder.with_fsync(true)), String::new())
            }
            Destination::Bucket { name, prefix } => {
                (Arc::new(s3::bucket(name).map_err(unusable)?), prefix.clone())
            }
        };
        Ok(Self { inner, folder: here, prefix, shown, traffic: Arc::default() })
    }

    /// A store in memory, for tests.
    pub fn in_memory() -> Self {
        let inner = Arc::new(InMemory::new());
        let (prefix, shown) = (String::new(), "memory".to_owned());
        Self { inner, folder: None, prefix, shown, traffic: Arc::default() }
    }

    /// How it is called.
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// Where it is a folder of this machine.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// How many objects were written, and their bytes.
    pub fn written(&self) -> (u64, u64) {
        (self.traffic.puts.load(Relaxed), self.traffic.bytes.load(Relaxed))
    }

    /// An object's bytes, if it is there.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let path = self.at(name);
        let got = self.inner.get_opts(&path, GetOptions::default());
        let got = match self.timed(name, got).await? {
            Err(Refusal::NotFound { .. }) => return Ok(None),
            got => got.map_err(self.refused(name))?,
        };
        if got.meta.size > OBJECT_BYTES_MAX {
            return Err(Error::malformed(name, "it is longer than anything we store"));
        }
        let bytes = self.timed(name, got.bytes()).await?;
        bytes.map(Some).map_err(self.refused(name))
    }

    /// An object's bytes, which must be there.
    pub(crate) async fn need(&self, name: &str) -> Result<Bytes, Error> {
        self.get(name).await?.ok_or_else(|| Error::Missing { object: name.to_owned() })
    }

    /// The content with this digest, compared with it.
    pub(crate) async fn content(&self, digest: Digest) -> Result<Bytes, Error> {
        let name = content_name(digest);
        let bytes = self.need(&name).await?;
        if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(Error::Damaged { object: name }) }
    }

    /// How long an object is, if it is there.
    pub(crate) async fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        let path = self.at(name);
        match self.timed(name, self.inner.head(&path)).await? {
            Err(Refusal::NotFound { .. }) => Ok(None),
            head => head.map(|head| Some(head.size)).map_err(self.refused(name)),
        }
    }

    /// Writes an object in the place of one that has its name; durable when this returns.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.write(name, bytes, PutMode::Overwrite).await?.map_err(self.refused(name))
    }

    /// Writes an object unless there is one of its name; says whether there was none.
    pub(crate) async fn put_new(&self, name: &str, bytes: Bytes) -> Result<bool, Error> {
        match self.write(name, bytes, PutMode::Create).await? {
            Ok(()) => Ok(true),
            Err(Refusal::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.refused(name)(source)),
        }
    }

    async fn write(
        &self,
        name: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Result<(), Refusal>, Error> {
        let length = bytes.len() as u64;
        let (path, options) = (self.at(name), PutOptions { mode, ..PutOptions::default() });
        let put = self.inner.put_opts(&path, PutPayload::from_bytes(bytes), options);
        let put = self.timed(name, put).await?;
        if put.is_ok() {
            self.traffic.puts.fetch_add(1, Relaxed);
            self.traffic.bytes.fetch_add(length, Relaxed);
        }
        Ok(put.map(drop))
    }

    /// What lies in a folder, by name.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let at = self.at(folder);
        let skip = at.as_ref().len() + 1;
        let listed = self.inner.list(Some(&at)).map_ok(|meta| Listed {
            name: meta.location.as_ref().get(skip..).unwrap_or_default().to_owned(),
            bytes: meta.size,
            modified: meta.last_modified.timestamp(),
        });
        let listed = self.timed(folder, listed.try_collect::<Vec<_>>()).await?;
        let mut listed = listed.map_err(self.refused(folder))?;
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// Removes an object, if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.at(name);
        match self.timed(name, self.inner.delete(&path)).await? {
            Err(Refusal::NotFound { .. }) => Ok(()),
            deleted => deleted.map_err(self.refused(name)),
        }
    }

    fn at(&self, name: &str) -> Path {
        match self.prefix.as_str() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    async fn timed<T>(&self, name: &str, work: impl Future<Output = T>) -> Result<T, Error> {
        let silent = |_| Error::Silent { object: format!("{}: {name}", self.shown) };
        tokio::time::timeout(PATIENCE, work).await.map_err(silent)
    }

    fn refused(&self, name: &str) -> impl FnOnce(Refusal) -> Error {
        let object = format!("{}: {name}", self.shown);
        |source| Error::Store { object, source }
    }
}

/// Where the content with this digest lies.
pub(crate) fn content_name(digest: Digest) -> String {
    let name = digest.to_string();
    format!("{OBJECTS}/{}/{name}", &name[..2])
}
