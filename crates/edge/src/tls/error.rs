use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use rustls_pki_types::pem;

/// Why TLS could not be set up. Each text names the file and the remedy.
#[derive(Debug)]
pub enum TlsError {
    /// A file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file far larger than any chain or bundle.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bound in bytes.
        max: u64,
    },
    /// A file is no PEM.
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: pem::Error,
    },
    /// A file without a certificate.
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Labels of the PEM sections that are there instead.
        found: Vec<String>,
    },
    /// A certificate that cannot be used.
    Certificate {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A file without a private key.
    NoKey {
        /// The file.
        path: PathBuf,
        /// Labels of the PEM sections that are there instead.
        found: Vec<String>,
    },
    /// A private key behind a passphrase.
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key of a kind or size we do not take.
    Key {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: rustls::Error,
    },
    /// Key and certificate do not belong together.
    KeyMismatch {
        /// Chain.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// A listener without any certificate.
    NoneGiven,
    /// Roots that cannot verify anybody.
    Roots {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// The oldest version allowed is newer than the newest.
    Versions,
    /// A self-signed certificate could not be made.
    SelfSigned {
        /// Names asked for.
        names: Vec<String>,
        /// What was wrong.
        source: rcgen::Error,
    },
    /// A name that is neither a DNS name nor an address.
    ServerName {
        /// The name.
        name: String,
    },
    /// A unix socket has no name a certificate could be verified for.
    NoServerName {
        /// The socket.
        path: PathBuf,
    },
    /// A target does not speak HTTP/2 by ALPN.
    NoHttp2,
    /// The cryptography itself failed.
    Setup {
        /// What was wrong.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The file that is to be corrected, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path, .. }
            | Self::Certificate { path, .. }
            | Self::NoKey { path, .. }
            | Self::EncryptedKey { path }
            | Self::Key { path, .. }
            | Self::KeyMismatch { cert: _, key: path }
            | Self::Roots { path, .. }
            | Self::NoServerName { path } => Some(path),
            Self::NoneGiven
            | Self::Versions
            | Self::SelfSigned { .. }
            | Self::ServerName { .. }
            | Self::NoHttp2
            | Self::Setup { .. } => None,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(
                f,
                "cannot read {}: {source}; check the path, and that the user who runs selvedge may read it",
                path.display()
            ),
            Self::TooLarge { path, max } => {
                write!(f, "{} is larger than {max} bytes; name a PEM file", path.display())
            }
            Self::Pem { path, source } => write!(
                f,
                "{} is damaged PEM ({}); write it again, whole, with its BEGIN and END lines",
                path.display(),
                damage(source)
            ),
            Self::NoCertificate { path, found } => write!(
                f,
                "{} holds no certificate ({}); it needs a `-----BEGIN CERTIFICATE-----` section \
                 (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)",
                path.display(),
                Found(found)
            ),
            Self::Certificate { path, reason } => {
                write!(f, "a certificate in {} cannot be used: {reason}", path.display())
            }
            Self::NoKey { path, found } => write!(
                f,
                "{} holds no private key ({}); it needs a `-----BEGIN PRIVATE KEY-----` section \
                 (PKCS#8, SEC1 or PKCS#1)",
                path.display(),
                Found(found)
            ),
            Self::EncryptedKey { path } => write!(
                f,
                "the private key in {} is encrypted; decrypt it with `openssl pkey -in FILE -out \
                 FILE.plain` and let only the user who runs selvedge read the result",
                path.display()
            ),
            Self::Key { path, source } => write!(
                f,
                "the private key in {} cannot be used ({source}); take RSA of 2048 to 8192 bits, \
                 ECDSA P-256, P-384 or P-521, or Ed25519",
                path.display()
            ),
            Self::KeyMismatch { cert, key } => write!(
                f,
                "the key in {} does not belong to the first certificate in {}; put the leaf first \
                 in the chain, or name the key it was issued for",
                key.display(),
                cert.display()
            ),
            Self::NoneGiven => {
                f.write_str("no certificate is given; name `cert` and `key`, or `self-signed`")
            }
            Self::Roots { path, reason } => {
                write!(f, "the roots in {} cannot verify anybody: {reason}", path.display())
            }
            Self::Versions => {
                f.write_str("the oldest TLS version allowed is newer than the newest; swap the two")
            }
            Self::SelfSigned { names, source } => write!(
                f,
                "cannot make a self-signed certificate for {}: {source}; give DNS names and IP \
                 addresses only",
                names.join(", ")
            ),
            Self::ServerName { name } => write!(
                f,
                "{name:?} is neither a DNS name nor an IP address; set the upstream's \
                 `server-name` to the name in its certificate"
            ),
            Self::NoServerName { path } => write!(
                f,
                "unix:{} has no name to verify a certificate for; set the upstream's `server-name`",
                path.display()
            ),
            Self::NoHttp2 => f.write_str(
                "the target did not agree to HTTP/2 by ALPN; set the upstream's `protocol \"http/1.1\"`",
            ),
            Self::Setup { source } => write!(f, "TLS could not be set up: {source}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Pem { source, .. } => Some(source),
            Self::Key { source, .. } | Self::Setup { source } => Some(source),
            Self::SelfSigned { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What is wrong with PEM, in text: the library shows lines as lists of bytes.
fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("`-----END {}-----` is missing", end_marker.escape_ascii())
        }
        pem::Error::IllegalSectionStart { line } => {
            let line = &line[..line.len().min(40)];
            format!("`{}` begins no section", line.escape_ascii())
        }
        error => error.to_string(),
    }
}

struct Found<'a>(&'a [String]);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("found no PEM at all"),
            labels => write!(f, "found {}", labels.join(", ")),
        }
    }
}
