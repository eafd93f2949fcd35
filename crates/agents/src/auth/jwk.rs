//! Keys that verify signatures, and sets of them as an issuer publishes (RFC 7517).
//!
//! A key verifies with the algorithms it was made for and with no other, so that neither a token's
//! header nor a key's bytes can be taken for something else.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aws_lc_rs::{
    digest, hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::{
    algorithm::{Algorithm, AlgorithmSet},
    json,
};

/// Keys of one set at most.
const KEYS_MAX: usize = 128;
/// Bytes of a key's id at most, in a set and in a token.
pub(super) const KEY_ID_BYTES_MAX: usize = 256;
/// Keys tried for a token that names none, or none that has an id.
const CANDIDATES_MAX: usize = 4;

/// Keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    left_out: Vec<LeftOut>,
}

/// A published key that verifies nothing here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id, or its place in the set (from 0) when it has none.
    pub key: String,
    /// What is the matter with it.
    pub why: &'static str,
}

/// Why a set was not understood.
#[derive(Debug)]
pub enum KeySetError {
    /// Not one JSON object without repeated names.
    Json(serde_json::Error),
    /// No member `keys` that is a list.
    NoKeys,
    /// More keys than are kept of one issuer.
    TooMany(usize),
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify with one of `allowed` are left out, and told.
    pub fn parse(text: &[u8], allowed: AlgorithmSet) -> Result<Self, KeySetError> {
        let set = json::object(text).map_err(KeySetError::Json)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        if listed.len() > KEYS_MAX {
            return Err(KeySetError::TooMany(listed.len()));
        }
        let mut read = Self::default();
        for (place, jwk) in listed.iter().enumerate() {
            match key(jwk, allowed) {
                Ok(key) => read.keys.push(Arc::new(key)),
                Err(why) => read.left_out.push(LeftOut { key: label(jwk, place), why }),
            }
        }
        read.leave_out_ambiguous();
        Ok(read)
    }

    /// The set of these keys.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Self {
        Self { keys: keys.into_iter().map(Arc::new).collect(), left_out: Vec::new() }
    }

    /// Keys that verify.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// Keys that do not.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Puts this set in the place of `previous`: keys of both stay the same keys, and those that are
    /// gone are retired.
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(known) = previous.keys.iter().find(|known| known.digest == key.digest) {
                *key = Arc::clone(known);
            }
        }
        for known in &previous.keys {
            if !self.keys.iter().any(|key| Arc::ptr_eq(key, known)) {
                known.retired.store(true, Relaxed);
            }
        }
        self
    }

    /// Keys that may have made a signature: those with the id, or those without any when no key has
    /// it. None when they are more than is reasonable to try.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Arc<Key>> {
        let able = || self.keys.iter().filter(|key| key.verifier(algorithm).is_some());
        let mut found: Vec<_> = match id {
            Some(id) => able().filter(|key| key.id() == Some(id)).collect(),
            None => able().collect(),
        };
        if found.is_empty() {
            found = able().filter(|key| key.id().is_none()).collect();
        }
        if found.len() > CANDIDATES_MAX {
            found.clear();
        }
        found
    }

    /// Two keys of one name that verify with the same algorithm: which of them is meant cannot be
    /// told, so neither is.
    fn leave_out_ambiguous(&mut self) {
        let mut kept: Vec<Arc<Key>> = Vec::new();
        let mut ambiguous: Vec<Box<str>> = Vec::new();
        for key in self.keys.drain(..) {
            if kept.iter().any(|other| other.digest == key.digest) {
                continue;
            }
            match kept.iter().position(|other| other.collides(&key)) {
                Some(other) => ambiguous.extend(kept[other].id.clone()),
                None => kept.push(key),
            }
        }
        kept.retain(|key| !key.id.as_ref().is_some_and(|id| ambiguous.contains(id)));
        self.keys = kept;
        ambiguous.dedup();
        self.left_out.extend(ambiguous.into_iter().map(|id| LeftOut {
            key: id.into(),
            why: "several keys have this id and an algorithm in common",
        }));
    }
}

/// One key.
pub struct Key {
    id: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
    /// Of all that tells this key from another.
    digest: [u8; 32],
    retired: AtomicBool,
}

enum Verifier {
    Public(ParsedPublicKey),
    /// Boxed, as it is many times larger than a public key and rare.
    Secret(Box<hmac::Key>),
}

/// Why a shared secret makes no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// None of the algorithms is a symmetric one.
    NoAlgorithm,
    /// Shorter than the digest of an algorithm (RFC 7518, section 3.2).
    TooShort {
        /// Of this many bytes.
        bytes: usize,
        /// The algorithm that asks for more.
        algorithm: Algorithm,
    },
}

impl Key {
    /// A key that verifies with a secret shared with whoever signs. It has no id, so that it is
    /// tried whatever id a token names.
    pub fn from_secret(secret: &[u8], algorithms: AlgorithmSet) -> Result<Self, SecretError> {
        let mut verifiers = Vec::new();
        for algorithm in algorithms.iter() {
            let Some(hash) = mac(algorithm) else { continue };
            if secret.len() < hash.digest_algorithm().output_len() {
                return Err(SecretError::TooShort { bytes: secret.len(), algorithm });
            }
            verifiers.push((algorithm, Verifier::Secret(Box::new(hmac::Key::new(hash, secret)))));
        }
        if verifiers.is_empty() {
            return Err(SecretError::NoAlgorithm);
        }
        Ok(Self::new(None, verifiers, &[b"oct", secret]))
    }

    /// Its id in the set, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether its issuer has stopped publishing it.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Whether `signature` over `message` was made with this key by `algorithm`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self.verifier(algorithm) {
            Some(Verifier::Public(key)) => key.verify_sig(message, signature).is_ok(),
            Some(Verifier::Secret(key)) => hmac::verify(key, message, signature).is_ok(),
            None => false,
        }
    }

    fn new(id: Option<Box<str>>, verifiers: Vec<(Algorithm, Verifier)>, parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        let names = verifiers.iter().map(|(algorithm, _)| algorithm.name().as_bytes());
        let id_bytes = id.as_deref().map_or(&b"-"[..], str::as_bytes);
        for part in parts.iter().copied().chain([id_bytes]).chain(names) {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        Self { id, verifiers, digest, retired: AtomicBool::new(false) }
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|(known, _)| *known == algorithm).map(|(_, verifier)| verifier)
    }

    fn collides(&self, other: &Self) -> bool {
        self.id.is_some()
            && self.id == other.id
            && self.verifiers.iter().any(|(algorithm, _)| other.verifier(*algorithm).is_some())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: AlgorithmSet = self.verifiers.iter().map(|(one, _)| *one).collect();
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

fn label(jwk: &Value, place: usize) -> String {
    let id = jwk.get("kid").and_then(Value::as_str);
    id.filter(|id| id.len() <= KEY_ID_BYTES_MAX).map_or_else(|| place.to_string(), str::to_owned)
}

/// Reads one key of a set, or says why it verifies nothing here.
fn key(jwk: &Value, allowed: AlgorithmSet) -> Result<Key, &'static str> {
    let jwk = jwk.as_object().ok_or("it is not an object")?;
    let id = text(jwk, "kid", "its kid is not text")?;
    if id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
        return Err("its kid is too long");
    }
    is_for_signatures(jwk)?;
    let kind = text(jwk, "kty", "its kty is not text")?.ok_or("it has no kty")?;
    let algorithms = || algorithms(jwk, kind, allowed);
    match kind {
        "RSA" => rsa(jwk, id, algorithms()?),
        "EC" => elliptic(jwk, id, algorithms()?),
        "OKP" => edwards(jwk, id, algorithms()?),
        "oct" => Err("secrets are settings, and are not taken from a set"),
        _ => Err("its kty is not known here"),
    }
}

/// `use`, `key_ops` (RFC 7517, sections 4.2 and 4.3), and a private part that ought not to be there.
fn is_for_signatures(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    if text(jwk, "use", "its use is not text")?.is_some_and(|purpose| purpose != "sig") {
        return Err("its use is not sig");
    }
    match jwk.get("key_ops") {
        None => (),
        Some(Value::Array(operations)) if operations.iter().any(|one| one == "verify") => (),
        Some(_) => return Err("its key_ops do not name verify"),
    }
    match jwk.contains_key("d") {
        true => Err("its private part is published with it, so anybody can sign"),
        false => Ok(()),
    }
}

/// What the key's kind and curve can do, less what its `alg` or the settings forbid.
fn algorithms(
    jwk: &Map<String, Value>,
    kind: &str,
    allowed: AlgorithmSet,
) -> Result<AlgorithmSet, &'static str> {
    let curve = text(jwk, "crv", "its crv is not text")?;
    let able: &[Algorithm] = match (kind, curve) {
        ("RSA", _) => &[
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
        ],
        ("EC", Some("P-256")) => &[Algorithm::Es256],
        ("EC", Some("P-384")) => &[Algorithm::Es384],
        ("EC", Some("P-521")) => &[Algorithm::Es512],
        ("OKP", Some("Ed25519")) => &[Algorithm::EdDsa],
        _ => return Err("its crv is not known here"),
    };
    let own = text(jwk, "alg", "its alg is not text")?;
    let own = match own.map(|name| Algorithm::from_name(name).filter(|one| able.contains(one))) {
        None => able,
        Some(Some(one)) => &[one],
        Some(None) => return Err("its alg is no signature algorithm for such a key"),
    };
    let left: AlgorithmSet = own.iter().copied().filter(|one| allowed.contains(*one)).collect();
    match left == AlgorithmSet::default() {
        true => Err("its algorithms are not allowed by the settings"),
        false => Ok(left),
    }
}

fn rsa(
    jwk: &Map<String, Value>,
    id: Option<&str>,
    algorithms: AlgorithmSet,
) -> Result<Key, &'static str> {
    let n = number(jwk, "n")?;
    let e = number(jwk, "e")?;
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2_048..=8_192).contains(&bits) {
        return Err("its modulus is not of 2048 to 8192 bits");
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| sum.saturating_mul(256) | u64::from(*byte));
    if exponent < 65_537 || exponent.is_multiple_of(2) {
        return Err("its exponent is even or smaller than 65537");
    }
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    let verifiers = algorithms.iter().map(|algorithm| {
        let parameters = rsa_parameters(algorithm).ok_or("it is of another kind")?;
        let parsed = components.to_parsed_public_key(parameters);
        Ok((algorithm, Verifier::Public(parsed.map_err(|_| "it is no RSA key")?)))
    });
    Ok(Key::new(id.map(Into::into), verifiers.collect::<Result<_, &str>>()?, &[b"RSA", &n, &e]))
}

fn elliptic(
    jwk: &Map<String, Value>,
    id: Option<&str>,
    algorithms: AlgorithmSet,
) -> Result<Key, &'static str> {
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    // Uncompressed, as SEC 1 (section 2.3.3) writes points.
    let point = [&[4], &*x, &*y].concat();
    let verifiers = algorithms.iter().map(|algorithm| {
        let (parameters, length): (&'static dyn VerificationAlgorithm, _) = match algorithm {
            Algorithm::Es256 => (&ECDSA_P256_SHA256_FIXED, 32),
            Algorithm::Es384 => (&ECDSA_P384_SHA384_FIXED, 48),
            _ => (&ECDSA_P521_SHA512_FIXED, 66),
        };
        if (x.len(), y.len()) != (length, length) {
            return Err("its coordinates are not as long as its curve's");
        }
        let parsed = ParsedPublicKey::new(parameters, &point);
        Ok((algorithm, Verifier::Public(parsed.map_err(|_| "it is no point of its curve")?)))
    });
    Ok(Key::new(id.map(Into::into), verifiers.collect::<Result<_, &str>>()?, &[b"EC", &point]))
}

fn edwards(
    jwk: &Map<String, Value>,
    id: Option<&str>,
    algorithms: AlgorithmSet,
) -> Result<Key, &'static str> {
    let x = octets(jwk, "x")?;
    if x.len() != 32 {
        return Err("its x is not of 32 bytes");
    }
    let verifiers = algorithms.iter().map(|algorithm| {
        let parsed = ParsedPublicKey::new(&ED25519, &x);
        Ok((algorithm, Verifier::Public(parsed.map_err(|_| "it is no Ed25519 key")?)))
    });
    Ok(Key::new(id.map(Into::into), verifiers.collect::<Result<_, &str>>()?, &[b"OKP", &x]))
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn mac(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

/// A member that is text if it is there.
fn text<'a>(
    jwk: &'a Map<String, Value>,
    name: &str,
    wrong: &'static str,
) -> Result<Option<&'a str>, &'static str> {
    jwk.get(name).map(|value| value.as_str().ok_or(wrong)).transpose()
}

/// A member in base64url whose leading zeros mean nothing (RFC 7518, section 2, forbids them, and
/// some issuers write them).
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = octets(jwk, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or("a number of it is missing")?;
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| "a number of it is no base64url")
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, why } = self;
        write!(f, "key {key:?} is left out: {why}")
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "no JWK set: {error}"),
            Self::NoKeys => f.write_str("no JWK set: it has no list of keys"),
            Self::TooMany(count) => {
                write!(f, "a JWK set of {count} keys; at most {KEYS_MAX} are read")
            }
        }
    }
}

impl Error for KeySetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NoKeys | Self::TooMany(_) => None,
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAlgorithm => {
                f.write_str("a secret verifies HS256, HS384 and HS512 only, and none is allowed")
            }
            Self::TooShort { bytes, algorithm } => {
                write!(f, "a secret of {bytes} bytes is too short for {algorithm}")
            }
        }
    }
}

impl Error for SecretError {}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    /// RFC 7515, appendix A.3.
    fn elliptic_key() -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": "e",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    /// RFC 8037, appendix A.2.
    fn edwards_key() -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "o",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    }

    /// A modulus of so many bits, which nobody has the factors of.
    fn rsa_key(bits: usize, exponent: &[u8]) -> Value {
        let mut modulus = vec![0xd1; bits.div_ceil(8)];
        modulus[0] >>= (8 - bits % 8) % 8;
        let [n, e] = [&*modulus, exponent].map(|number| BASE64URL_NOPAD.encode(number));
        json!({ "kty": "RSA", "kid": "r", "n": n, "e": e })
    }

    fn generated(id: &str) -> Value {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| BASE64URL_NOPAD.encode(part));
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y })
    }

    fn with(mut jwk: Value, changes: Value) -> Value {
        let members = jwk.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => members.remove(name),
                value => members.insert(name.clone(), value.clone()),
            };
        }
        jwk
    }

    fn set(keys: &[Value]) -> KeySet {
        let text = json!({ "keys": keys }).to_string();
        KeySet::parse(text.as_bytes(), AlgorithmSet::PUBLIC).unwrap()
    }

    /// Which algorithms the one key verifies with, or why with none.
    #[track_caller]
    fn check(jwk: Value, expected: Result<&[&str], &str>) {
        let set = set(&[jwk]);
        let found = match set.left_out() {
            [] => {
                let verifiers = set.keys()[0].verifiers.iter();
                Ok(verifiers.map(|(algorithm, _)| algorithm.name()).collect::<Vec<_>>())
            }
            [left_out] => Err(left_out.why),
            more => panic!("{more:?}"),
        };
        assert_eq!(found.as_deref(), expected.as_ref().copied());
    }

    #[test]
    fn a_key_verifies_with_what_its_type_allows() {
        check(elliptic_key(), Ok(&["ES256"]));
        check(edwards_key(), Ok(&["EdDSA"]));
        let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
        check(rsa_key(2_048, &[1, 0, 1]), Ok(&all));
        check(rsa_key(2_049, &[0, 1, 0, 1]), Ok(&all));
    }

    #[test]
    fn a_key_verifies_with_its_own_algorithm_alone() {
        check(with(rsa_key(2_048, &[1, 0, 1]), json!({ "alg": "PS384" })), Ok(&["PS384"]));
        check(with(edwards_key(), json!({ "alg": "Ed25519" })), Ok(&["EdDSA"]));
        let wrong = "its alg is no signature algorithm for such a key";
        for alg in ["ES384", "ES521", "RS256", "HS256", "none", "ECDH-ES", ""] {
            check(with(elliptic_key(), json!({ "alg": alg })), Err(wrong));
        }
        let text = json!({ "keys": [elliptic_key(), edwards_key()] }).to_string();
        let allowed = [Algorithm::EdDsa, Algorithm::Rs256].into_iter().collect();
        let set = KeySet::parse(text.as_bytes(), allowed).unwrap();
        assert_eq!(set.keys().iter().map(|key| key.id()).collect::<Vec<_>>(), [Some("o")]);
        let why = r#"key "e" is left out: its algorithms are not allowed by the settings"#;
        assert_eq!(set.left_out()[0].to_string(), why);
    }

    #[test]
    fn a_key_for_something_else_verifies_nothing() {
        let changed = |changes| with(elliptic_key(), changes);
        check(changed(json!({ "use": "sig", "key_ops": ["verify"] })), Ok(&["ES256"]));
        check(changed(json!({ "use": "enc" })), Err("its use is not sig"));
        check(changed(json!({ "use": 1 })), Err("its use is not text"));
        check(changed(json!({ "key_ops": ["sign"] })), Err("its key_ops do not name verify"));
        check(changed(json!({ "key_ops": "verify" })), Err("its key_ops do not name verify"));
        let private = "its private part is published with it, so anybody can sign";
        check(changed(json!({ "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" })), Err(private));
        let secret =
            json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ", "alg": "HS256" });
        check(secret, Err("secrets are settings, and are not taken from a set"));
        check(changed(json!({ "kty": "AKP" })), Err("its kty is not known here"));
        check(changed(json!({ "kty": null })), Err("it has no kty"));
        check(changed(json!({ "crv": "secp256k1" })), Err("its crv is not known here"));
        check(changed(json!({ "kid": "x".repeat(257) })), Err("its kid is too long"));
        check(json!("key"), Err("it is not an object"));
    }

    #[test]
    fn numbers_make_a_sound_key() {
        let bits = "its modulus is not of 2048 to 8192 bits";
        check(rsa_key(2_047, &[1, 0, 1]), Err(bits));
        check(rsa_key(8_193, &[1, 0, 1]), Err(bits));
        let exponent = "its exponent is even or smaller than 65537";
        for wrong in [&[1][..], &[3], &[1, 0, 0], &[0], &[1, 0, 2]] {
            check(rsa_key(2_048, wrong), Err(exponent));
        }
        let off = with(elliptic_key(), json!({ "y": elliptic_key()["x"] }));
        check(off, Err("it is no point of its curve"));
        let short = BASE64URL_NOPAD.encode(&[1; 31]);
        let length = "its coordinates are not as long as its curve's";
        check(with(elliptic_key(), json!({ "x": short })), Err(length));
        check(with(edwards_key(), json!({ "x": short })), Err("its x is not of 32 bytes"));
        check(with(edwards_key(), json!({ "x": null })), Err("a number of it is missing"));
        check(with(edwards_key(), json!({ "x": "a+/=" })), Err("a number of it is no base64url"));
    }

    #[test]
    fn a_set_has_bounds() {
        let parse = |text: &str| KeySet::parse(text.as_bytes(), AlgorithmSet::PUBLIC);
        assert!(matches!(parse(r#"{"keys": []}"#), Ok(set) if set.keys().is_empty()));
        assert!(matches!(parse("{}"), Err(KeySetError::NoKeys)));
        assert!(matches!(parse(r#"{"keys": {}}"#), Err(KeySetError::NoKeys)));
        assert!(matches!(parse("[]"), Err(KeySetError::Json(_))));
        let many = |count| json!({ "keys": vec![json!({}); count] }).to_string();
        assert!(parse(&many(KEYS_MAX)).is_ok());
        assert!(matches!(parse(&many(KEYS_MAX + 1)), Err(KeySetError::TooMany(_))));
    }

    #[test]
    fn of_two_keys_with_one_name_neither_counts() {
        let set_of_two = set(&[generated("a"), generated("b"), generated("a")]);
        assert_eq!(set_of_two.keys().len(), 1);
        assert_eq!(set_of_two.keys()[0].id(), Some("b"));
        assert_eq!(set_of_two.left_out().len(), 1);
        let same = generated("a");
        assert_eq!(set(&[same.clone(), same]).keys().len(), 1);
        let other_kind = with(edwards_key(), json!({ "kid": "e" }));
        assert_eq!(set(&[elliptic_key(), other_kind]).keys().len(), 2);
    }

    #[test]
    fn candidates_have_the_name_or_none() {
        let nameless = || with(generated(""), json!({ "kid": null }));
        let set = set(&[generated("a"), generated("b"), nameless(), edwards_key()]);
        let count = |id, algorithm| set.candidates(id, algorithm).len();
        assert_eq!(count(Some("a"), Algorithm::Es256), 1);
        assert_eq!(count(Some("z"), Algorithm::Es256), 1);
        assert_eq!(count(None, Algorithm::Es256), 3);
        assert_eq!(count(Some("a"), Algorithm::EdDsa), 0);
        let crowd: Vec<Value> = (0..=CANDIDATES_MAX).map(|i| generated(&i.to_string())).collect();
        assert_eq!(self::set(&crowd).candidates(None, Algorithm::Es256).len(), 0);
        assert_eq!(self::set(&crowd[1..]).candidates(None, Algorithm::Es256).len(), 4);
    }

    #[test]
    fn a_successor_keeps_keys_and_retires_those_that_are_gone() {
        let (a, b, c) = (generated("a"), generated("b"), generated("c"));
        let first = set(&[a.clone(), b.clone()]);
        let second = set(&[b, c]).succeeding(&first);
        assert!(first.keys()[0].is_retired());
        assert!(Arc::ptr_eq(&first.keys()[1], &second.keys()[0]));
        assert!(second.keys().iter().all(|key| !key.is_retired()));
        let third = set(&[with(a, json!({ "alg": "ES256" }))]).succeeding(&second);
        assert!(second.keys().iter().all(|key| key.is_retired()));
        assert!(!third.keys()[0].is_retired());
    }

    #[test]
    fn a_secret_is_as_long_as_the_digest() {
        let key = |bytes, algorithms: &[Algorithm]| {
            Key::from_secret(&vec![1; bytes], algorithms.iter().copied().collect()).map(|_| ())
        };
        assert_eq!(key(32, &[Algorithm::Hs256]), Ok(()));
        assert_eq!(key(64, &[Algorithm::Hs256, Algorithm::Hs512]), Ok(()));
        let short = |bytes, algorithm| Err(SecretError::TooShort { bytes, algorithm });
        assert_eq!(key(31, &[Algorithm::Hs256]), short(31, Algorithm::Hs256));
        assert_eq!(key(63, &[Algorithm::Hs256, Algorithm::Hs512]), short(63, Algorithm::Hs512));
        assert_eq!(key(64, &[Algorithm::Es256]), Err(SecretError::NoAlgorithm));
    }
}
