use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::{TlsError, provider};

/// Life of a certificate: what browsers accept at most, so that a long demonstration does not end.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// Clocks of containers and hosts differ.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 3600);
/// Certificates remembered; then the oldest is made anew when it is asked for again.
const REMEMBERED_MAX: usize = 64;

type Remembered = VecDeque<(Vec<String>, Arc<CertifiedKey>)>;

/// Returns the certificate for these names: the same one as long as the process lives, so that a
/// reload does not ask developers to accept another. The key never leaves memory.
pub(super) fn identity(names: &[String]) -> Result<Arc<CertifiedKey>, TlsError> {
    static REMEMBERED: Mutex<Remembered> = Mutex::new(VecDeque::new());
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, identity)) = remembered.iter().find(|(known, _)| known == names) {
        return Ok(identity.clone());
    }
    let identity = Arc::new(make(names)?);
    remembered.push_back((names.to_vec(), identity.clone()));
    if remembered.len() > REMEMBERED_MAX {
        remembered.pop_front();
    }
    Ok(identity)
}

fn make(names: &[String]) -> Result<CertifiedKey, TlsError> {
    let failed = |source| TlsError::SelfSigned { names: names.to_vec(), source };
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params(names).and_then(|params| params.self_signed(&key)).map_err(failed)?;
    CertifiedKey::from_der(
        vec![certificate.der().clone()],
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        &provider(),
    )
    .map_err(|source| TlsError::Setup { source })
}

fn params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + LIFE - CLOCK_SKEW).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Selvedge development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
