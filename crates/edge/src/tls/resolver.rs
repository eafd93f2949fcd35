use std::{borrow::Cow, collections::HashMap, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use selvedge_config::Certificate;

use super::{TlsError, certificate::Served};

/// The certificates of a listener, and which of them a client is shown.
#[derive(Debug)]
pub(super) struct Certificates {
    /// In the order written; never empty.
    served: Vec<Served>,
    exact: HashMap<String, Vec<usize>>,
    wildcard: HashMap<String, Vec<usize>>,
}

impl Certificates {
    pub(super) fn load(certificates: &[Certificate]) -> Result<Self, TlsError> {
        if certificates.is_empty() {
            return Err(TlsError::NoneGiven);
        }
        let served = certificates.iter().map(Served::load).collect::<Result<Vec<_>, _>>()?;
        let exact = index(&served, |served| &served.names.exact);
        let wildcard = index(&served, |served| &served.names.wildcard);
        Ok(Self { served, exact, wildcard })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Served> {
        self.served.iter()
    }

    /// Chooses by name: exact, then wildcard of one label, then the first certificate; among equals
    /// the first whose key the client can verify (an RSA and an ECDSA one for the same name).
    pub(super) fn choose(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> &Served {
        let candidates = self.named(sni);
        let fits = |served: &&Served| served.identity.key.choose_scheme(schemes).is_some();
        let fitting = candidates.iter().map(|at| &self.served[*at]).find(fits);
        fitting.unwrap_or(&self.served[candidates.first().copied().unwrap_or(0)])
    }

    /// Indices of the certificates for a name; empty when it is absent or nobody's.
    fn named(&self, sni: Option<&str>) -> &[usize] {
        let Some(name) = sni.map(normal) else { return &[] };
        let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(&*name).or_else(parent).map_or(&[], Vec::as_slice)
    }

    /// Whether a request for `host` came by a connection that was opened for another name, with a
    /// certificate that does not cover `host`.
    pub(super) fn misdirected(&self, sni: Option<&str>, host: &str) -> bool {
        let Some(sni) = sni else { return false };
        let (sni, host) = (normal(sni), normal(host));
        if sni == host {
            return false;
        }
        let candidates = match self.named(Some(&sni)) {
            [] => &[0],
            named => named,
        };
        !candidates.iter().any(|at| self.served[*at].names.cover(&host))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.choose(hello.server_name(), hello.signature_schemes());
        Some(served.identity.clone())
    }
}

fn index(
    served: &[Served],
    names: impl Fn(&Served) -> &Vec<String>,
) -> HashMap<String, Vec<usize>> {
    let mut index = HashMap::<String, Vec<usize>>::new();
    for (at, served) in served.iter().enumerate() {
        for name in names(served) {
            let entry = index.entry(name.clone()).or_default();
            if entry.last() != Some(&at) {
                entry.push(at);
            }
        }
    }
    index
}

/// Lower case, without the root's dot.
fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}
