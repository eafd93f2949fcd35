//! Whom agents trust when they ask servers over TLS, and commands as well.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Why there are no roots to trust.
#[derive(Debug)]
pub enum RootsError {
    /// The file cannot be read as PEM.
    Unreadable(PathBuf, String),
    /// No certificate in it can be a root.
    None(PathBuf),
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "cannot read roots {}: {why}", path.display()),
            Self::None(path) => write!(f, "there is no root certificate in {}", path.display()),
        }
    }
}

impl Error for RootsError {}

/// Trust in the certificates of the file, or in Mozilla's.
pub fn trust(roots: Option<&Path>) -> Result<Arc<ClientConfig>, RootsError> {
    let store = match roots {
        Some(path) => read_roots(path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn read_roots(path: &Path) -> Result<RootCertStore, RootsError> {
    let unreadable = |why: &dyn fmt::Display| RootsError::Unreadable(path.into(), why.to_string());
    let text = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        store.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if store.is_empty() {
        return Err(RootsError::None(path.into()));
    }
    Ok(store)
}
