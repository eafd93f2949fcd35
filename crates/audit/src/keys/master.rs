//! The key that wraps all others: a file that only its owner may read.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use data_encoding::HEXLOWER;

/// 32 random bytes under which data keys are wrapped.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

/// Why there is no master key.
#[derive(Debug)]
pub enum MasterError {
    /// Reading or writing failed.
    Io(io::Error),
    /// It is not 64 hexadecimal digits.
    Malformed,
    /// Others than its owner may read it; says the mode.
    Open(u32),
}

impl fmt::Display for MasterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed => f.write_str("the file is not 64 hexadecimal digits"),
            Self::Open(mode) => write!(f, "others may read the file (mode {mode:o}); it wants 600"),
        }
    }
}

impl std::error::Error for MasterError {}

impl From<io::Error> for MasterError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl MasterKey {
    /// A key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key, or makes it where there is no file; durable when this returns.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterError> {
        match Self::load(path) {
            Err(MasterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Self::create(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the key from a file that nobody else may read.
    pub fn load(path: &Path) -> Result<Self, MasterError> {
        let text = private_text(path)?;
        let bytes = HEXLOWER.decode(text.trim_end().as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(MasterError::Malformed)
    }

    fn create(path: &Path) -> Result<Self, MasterError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
        write_private(path, &format!("{}\n", HEXLOWER.encode(&bytes)))?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// Reads a file that nobody but its owner may read.
pub(crate) fn private_text(path: &Path) -> Result<String, MasterError> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterError::Open(mode));
    }
    fs::read_to_string(path).map_err(MasterError::Io)
}

/// Writes a file that nobody but its owner may read, whole or not at all; it must not exist.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let next = path.with_extension("next");
    let _ = fs::remove_file(&next);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A link does not replace what somebody else made meanwhile.
    fs::hard_link(&next, path)?;
    fs::remove_file(&next)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
