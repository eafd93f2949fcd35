use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use rustls::{RootCertStore, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{TlsError, certificate::unix_now, provider};

/// Largest file read, in bytes. The Mozilla roots as PEM are a quarter of a MiB.
pub(crate) const FILE_MAX: u64 = 4 << 20;

/// Reads a chain and its key, and checks that they belong together.
pub(super) fn read_identity(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(cert)?;
    let signer = provider()
        .key_provider
        .load_private_key(read_key(key)?)
        .map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    let identity = CertifiedKey::new(chain, signer);
    match identity.keys_match() {
        Ok(()) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::KeyMismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(error) => {
            Err(TlsError::Certificate { path: cert.to_owned(), reason: error.to_string() })
        }
    }
}

/// Reads trusted roots; each certificate in the file must be usable.
pub(super) fn read_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in read_certificates(path)? {
        roots.add(root).map_err(|error| TlsError::Roots {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(Arc::new(roots))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned(), found: labels(&pem) });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(path)?;
    if is_encrypted(&pem) {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    match PrivateKeyDer::pem_slice_iter(&pem).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(source)) => Err(TlsError::Pem { path: path.to_owned(), source }),
        None => Err(TlsError::NoKey { path: path.to_owned(), found: labels(&pem) }),
    }
}

/// PKCS#8 says so in its label, the older forms in a header (RFC 1421, 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(pem, needle).is_some();
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

/// What the PEM sections say they are, for messages.
fn labels(pem: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pem);
    text.lines()
        .filter_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .take(8)
        .map(|label| label.chars().filter(|char| !char.is_control()).take(40).collect())
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    // Asked before opening: to open a FIFO would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > FILE_MAX {
        true => Err(TlsError::TooLarge { path: path.to_owned(), max: FILE_MAX }),
        false => Ok(bytes),
    }
}

/// What a file looked like when it was last read, to tell whether it is worth reading again.
#[derive(Debug)]
pub(super) struct Print {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Whether the stamp was old when it was taken. Two writes within one tick of the file system's
    /// clock leave the same stamp, so a fresh one proves nothing.
    is_settled: bool,
    content: Option<Digest>,
}

/// Age from which a stamp proves that nobody wrote since, in seconds.
const SETTLED_AFTER: i64 = 2;

type Digest = [u8; 32];

/// What `stat` tells without reading. The inode catches files renamed into place (and the symlinks
/// that Kubernetes swaps), the change time what an editor does to the modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    /// Takes the print of a file, whether or not it can be read.
    pub(super) fn take(path: &Path) -> Self {
        // The stamp first: a write in between makes it stale, and the next look finds out.
        let stamp = Stamp::take(path);
        let is_settled = stamp.is_none_or(|stamp| stamp.is_settled());
        Self { path: path.to_owned(), stamp, is_settled, content: content(path) }
    }

    /// Whether the content differs from what was read; costs one `stat` as long as nobody touches
    /// the file. A touched file with the same content is no change.
    pub(super) fn changed(&mut self) -> bool {
        if self.is_settled && Stamp::take(&self.path) == self.stamp {
            return false;
        }
        let now = Self::take(&self.path);
        let same = now.content == self.content && now.stamp.is_some() == self.stamp.is_some();
        if same {
            *self = now;
        }
        !same
    }
}

impl Stamp {
    fn take(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    fn is_settled(&self) -> bool {
        unix_now() - self.changed.0 > SETTLED_AFTER
    }
}

fn content(path: &Path) -> Option<Digest> {
    let bytes = read(path).ok()?;
    let digest = digest::digest(&digest::SHA256, &bytes);
    digest.as_ref().try_into().ok()
}
