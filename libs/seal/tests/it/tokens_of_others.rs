//! Tokens and keys as PyJWT and jose write them: `tests/interop` says how the files were made.

use std::{fs, path::PathBuf};

use selvedge_seal::{
    Rights,
    token::{Issuer, IssuerKey, Issuers},
};
use serde_json::Value;

use crate::token::{NOW, issuer};

fn vectors(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("it is committed")).expect("JSON")
}

#[track_caller]
fn check(name: &str) {
    let vectors = vectors(name);
    let text = |name: &str| vectors[name].as_str().expect("a text");
    let key = IssuerKey::parse(text("issuer_private_pem")).expect("a private key");
    assert_eq!(key.id(), issuer().id());
    assert_eq!(*key.to_pem(), text("issuer_private_pem"));
    assert_eq!(key.public().to_pem(), text("issuer_public_pem"));
    let mut issuers = Issuers::default();
    for part in ["issuer_public_pem", "issuer_public_jwk"] {
        assert_eq!(Issuer::parse(text(part)).as_ref(), Ok(&key.public()), "{part}");
    }
    issuers.add(key.public()).expect("the first");
    let device = data_encoding::HEXLOWER.decode(text("device").as_bytes()).expect("digits");
    let device = selvedge_crdt::session::DeviceId(device.try_into().expect("32 bytes"));
    for part in ["key", "thumbprint"] {
        let capability = issuers.verify(text(part), NOW).expect("its issuer is known");
        assert!(capability.holder.is(&device), "{part}");
        assert_eq!((&*capability.tenant, &*capability.subject), ("acme", "user:ann"));
        assert_eq!((&*capability.documents.to_string(), &*capability.id), ("notes/", "4f1c"));
        assert_eq!(capability.rights, Rights::READ | Rights::WRITE);
        assert_eq!(capability.expires, 2_000_000_000);
    }
}

#[test]
fn tokens_of_pyjwt_are_taken() {
    check("tokens-pyjwt.json");
}

#[test]
fn tokens_of_jose_are_taken() {
    check("tokens-jose.json");
}
