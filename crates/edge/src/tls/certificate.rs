use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::sign::CertifiedKey;
use selvedge_config::Certificate;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{TlsError, files, self_signed};

/// A certificate that goes out soon is worth a warning this long before, in seconds.
const EXPIRES_SOON: i64 = 7 * 24 * 3600;

/// What is told of a certificate: for metrics, `check` and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The file it came from, or `self-signed`.
    pub source: String,
    /// DNS names and IP addresses it is for, as written in it.
    pub names: Vec<String>,
    /// Beginning of its validity, in seconds since 1970.
    pub not_before: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// What is wrong with a certificate that is served all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Clients refuse it.
    Expired {
        /// Its file.
        source: String,
        /// Seconds since it expired.
        since: i64,
    },
    /// Clients refuse it until its time comes, or this machine's clock is wrong.
    NotYetValid {
        /// Its file.
        source: String,
        /// Seconds until it is valid.
        left: i64,
    },
    /// It expires within seven days.
    ExpiresSoon {
        /// Its file.
        source: String,
        /// Seconds until it expires.
        left: i64,
    },
    /// It names nobody: clients ignore the common name.
    NoNames {
        /// Its file.
        source: String,
    },
}

impl CertificateFacts {
    /// What is wrong with it at `now`, in seconds since 1970.
    pub(super) fn warnings(&self, now: i64) -> Vec<Warning> {
        let source = || self.source.clone();
        let mut warnings = Vec::new();
        if self.not_after < now {
            warnings.push(Warning::Expired { source: source(), since: now - self.not_after });
        } else if self.not_after - now < EXPIRES_SOON {
            warnings.push(Warning::ExpiresSoon { source: source(), left: self.not_after - now });
        }
        if self.not_before > now {
            warnings.push(Warning::NotYetValid { source: source(), left: self.not_before - now });
        }
        if self.names.is_empty() {
            warnings.push(Warning::NoNames { source: source() });
        }
        warnings
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |seconds: &i64| seconds / 3600;
        match self {
            Self::Expired { source, since } => write!(
                f,
                "the certificate in {source} expired {} h ago; clients refuse it: renew it",
                hours(since)
            ),
            Self::NotYetValid { source, left } => write!(
                f,
                "the certificate in {source} becomes valid in {} h; check this machine's clock",
                hours(left)
            ),
            Self::ExpiresSoon { source, left } => {
                write!(f, "the certificate in {source} expires in {} h: renew it", hours(left))
            }
            Self::NoNames { source } => write!(
                f,
                "the certificate in {source} has no subject alternative names; clients refuse it: \
                 have it issued again with them"
            ),
        }
    }
}

/// One chain with its key, ready to be shown.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) identity: Arc<CertifiedKey>,
    pub(super) names: Names,
    pub(super) facts: CertificateFacts,
}

impl Served {
    pub(super) fn load(certificate: &Certificate) -> Result<Self, TlsError> {
        let (identity, source) = match certificate {
            Certificate::Files { cert, key } => {
                (Arc::new(files::read_identity(cert, key)?), cert.display().to_string())
            }
            Certificate::SelfSigned { names } => {
                (self_signed::identity(names)?, "self-signed".to_owned())
            }
        };
        Self::describe(identity, source)
    }

    fn describe(identity: Arc<CertifiedKey>, source: String) -> Result<Self, TlsError> {
        let unusable = |reason| TlsError::Certificate { path: source.clone().into(), reason };
        let leaf = identity.end_entity_cert().map_err(|error| unusable(error.to_string()))?;
        let (_, leaf) =
            X509Certificate::from_der(leaf).map_err(|error| unusable(error.to_string()))?;
        let names = Names::of(&leaf);
        let facts = CertificateFacts {
            names: names.iter().collect(),
            not_before: leaf.validity().not_before.timestamp(),
            not_after: leaf.validity().not_after.timestamp(),
            source,
        };
        drop(leaf);
        Ok(Self { identity, names, facts })
    }
}

/// Whom a certificate is for: its subject alternative names (RFC 6125; the common name is ignored).
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Lower case.
    pub(super) exact: Vec<String>,
    /// `*.example.com`, held as `example.com`, lower case.
    pub(super) wildcard: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Names {
    fn of(leaf: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = leaf.subject_alternative_name() else { return names };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push_dns(&name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(ip(bytes)),
                _ => {}
            }
        }
        names
    }

    fn push_dns(&mut self, name: &str) {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.push(parent.to_owned()),
            None => self.exact.push(name.to_owned()),
        }
    }

    /// Whether a client that asked for `host` (as [`normal`] writes it) accepts the certificate.
    pub(super) fn cover(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.exact.iter().any(|name| name == host)
            || parent.is_some_and(|parent| self.wildcard.iter().any(|name| name == parent))
    }

    fn iter(&self) -> impl Iterator<Item = String> {
        let wildcard = self.wildcard.iter().map(|parent| format!("*.{parent}"));
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        self.exact.iter().cloned().chain(wildcard).chain(addresses)
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
