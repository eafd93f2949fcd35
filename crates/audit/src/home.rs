//! Where everything of the audit log lies below a core's data folder.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use selvedge_base::Secret;
use selvedge_eventlog::Log;

use crate::{
    keys::{KEYS_MAX, KeyError, KeyStore, MasterError, MasterKey, master},
    note::{KeyError as SigningKeyError, Scheme, SigningKey},
    service::{Heads, Pace, Parts},
    store::Folder,
};

/// Paths below a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why the audit log of a data folder cannot be opened.
#[derive(Debug)]
pub enum HomeError {
    /// A folder cannot be made or opened.
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file with a key cannot be had.
    KeyFile {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: MasterError,
    },
    /// A file does not have a key that signs.
    SigningKey {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: SigningKeyError,
    },
    /// The signing key is that of another log: a log never changes its name.
    Origin {
        /// The name of the log that the key signs.
        found: String,
        /// The name that was asked for.
        expected: String,
    },
    /// The keys of subjects cannot be had.
    Keys(KeyError),
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => write!(f, "cannot open the folder {}", path.display()),
            Self::KeyFile { path, .. } => write!(f, "cannot have the key {}", path.display()),
            Self::SigningKey { path, .. } => write!(f, "{} has no signing key", path.display()),
            Self::Origin { found, expected } => {
                write!(f, "the audit log here is called {found}, and not {expected}")
            }
            Self::Keys(_) => f.write_str("the keys of subjects cannot be had"),
        }
    }
}

impl std::error::Error for HomeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { source, .. } => Some(source),
            Self::KeyFile { source, .. } => Some(source),
            Self::SigningKey { source, .. } => Some(source),
            Self::Keys(source) => Some(source),
            Self::Origin { .. } => None,
        }
    }
}

impl Home {
    /// The audit log of a core whose data lie in `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The tree's files: what is served, copied and verified.
    pub fn files(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Keys of subjects, the master key, and the key that signs: what is never served, and not
    /// copied together with the files.
    pub fn keys(&self) -> PathBuf {
        self.root.join("audit-keys")
    }

    /// The public key, for auditors.
    pub fn public_key(&self) -> PathBuf {
        self.root.join("audit.vkey")
    }

    /// Everything that the log `origin` needs; keys are made where there are none.
    pub fn open(&self, log: Log, origin: &str, node: &str) -> Result<Parts, HomeError> {
        let folder = |path: &Path| {
            let path = path.to_owned();
            |source| HomeError::Folder { path, source }
        };
        let keys_at = self.keys();
        let disk = selvedge_eventlog::Folder::open(&keys_at).map_err(folder(&keys_at))?;
        let key = self.signing_key(origin)?;
        let public = format!("{}\n", key.verifier());
        fs::write(self.public_key(), public).map_err(folder(&self.root))?;
        let master = keys_at.join("master.key");
        let master = MasterKey::load_or_create(&master)
            .map_err(|source| HomeError::KeyFile { path: master, source })?;
        let keys = KeyStore::open(&disk, master, KEYS_MAX).map_err(HomeError::Keys)?;
        let files = self.files();
        let storage = Folder::create(&files).map_err(folder(&files))?;
        Ok(Parts {
            log,
            storage: Arc::new(storage),
            keys: Arc::new(keys.holding(disk)),
            key,
            node: node.to_owned(),
            pace: Pace::default(),
            heads: Heads::default(),
        })
    }

    /// What the log here is called: its name is in the key that signs, and never changes. `None` where
    /// there is no log yet.
    pub fn origin(&self) -> Result<Option<String>, HomeError> {
        let path = self.signing_key_at();
        match master::private_text(&path) {
            Err(MasterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => {
                let key = parse_signing_key(&path, text.map(Secret::new))?;
                Ok(Some(key.verifier().name().to_owned()))
            }
        }
    }

    /// The key with which this machine cosigns heads of other logs, made where there is none; its name is
    /// that of the log with `/witness`. [`Home::open`] comes first.
    pub fn witness_key(&self, origin: &str) -> Result<SigningKey, HomeError> {
        let name = format!("{origin}/witness");
        let key = self.key_in("witness.key", (&name, Scheme::Cosignature))?;
        let public = format!("{}\n", key.verifier());
        let at = self.witness_public_key();
        fs::write(&at, public).map_err(|source| HomeError::Folder { path: at, source })?;
        Ok(key)
    }

    /// Heads of other logs that were cosigned here.
    pub fn witnessed(&self) -> Result<Folder, HomeError> {
        let path = self.root.join("audit-witness");
        Folder::create(&path).map_err(|source| HomeError::Folder { path, source })
    }

    /// The public key of the witness here, for the logs that it watches.
    pub fn witness_public_key(&self) -> PathBuf {
        self.root.join("audit-witness.vkey")
    }

    /// The keys of subjects, to open what is sealed. Not while a core has them open.
    pub fn open_keys(&self) -> Result<KeyStore, HomeError> {
        let path = self.keys();
        if !path.is_dir() {
            return Err(HomeError::Folder { path, source: io::ErrorKind::NotFound.into() });
        }
        let disk = selvedge_eventlog::Folder::open(&path)
            .map_err(|source| HomeError::Folder { path: path.clone(), source })?;
        let master = path.join("master.key");
        let master = MasterKey::load(&master)
            .map_err(|source| HomeError::KeyFile { path: master, source })?;
        let keys = KeyStore::open(&disk, master, KEYS_MAX).map_err(HomeError::Keys)?;
        Ok(keys.holding(disk))
    }

    fn signing_key_at(&self) -> PathBuf {
        self.keys().join("signing.key")
    }

    fn signing_key(&self, origin: &str) -> Result<SigningKey, HomeError> {
        self.key_in("signing.key", (origin, Scheme::Ed25519))
    }

    /// The key in this file, which is made if need be; it must have this name.
    fn key_in(&self, file: &str, (name, scheme): (&str, Scheme)) -> Result<SigningKey, HomeError> {
        let path = self.keys().join(file);
        let text = match master::private_text(&path) {
            Err(MasterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                new_signing_key(&path, name, scheme)
            }
            text => text.map(Secret::new),
        };
        let key = parse_signing_key(&path, text)?;
        let found = key.verifier().name();
        if found != name {
            let (found, expected) = (found.to_owned(), name.to_owned());
            return Err(HomeError::Origin { found, expected });
        }
        Ok(key)
    }
}

fn parse_signing_key(
    path: &Path,
    text: Result<Secret, MasterError>,
) -> Result<SigningKey, HomeError> {
    let path = path.to_owned();
    let text = match text {
        Ok(text) => Secret::new(text.expose().trim_end()),
        Err(source) => return Err(HomeError::KeyFile { path, source }),
    };
    SigningKey::parse(&text).map_err(|source| HomeError::SigningKey { path, source })
}

fn new_signing_key(path: &Path, name: &str, scheme: Scheme) -> Result<Secret, MasterError> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
    let key = SigningKey::new(name, scheme, seed);
    let key = key.map_err(|error| io::Error::other(error.to_string()))?;
    let text = key.to_secret();
    master::write_private(path, &format!("{}\n", text.expose()))?;
    Ok(text)
}
