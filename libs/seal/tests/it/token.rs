//! Tokens that are taken.

use selvedge_crdt::session::DeviceId;
use selvedge_seal::{
    Rights,
    token::{
        Capability, Documents, Holder, Issuer, IssuerKey, Issuers, KeyError, LinkUse, MintError,
        Tenants, TokenError, thumbprint,
    },
};

use crate::scene::{device, document};

/// The time by which tokens here are judged.
pub const NOW: u64 = 1_800_000_000;

/// The issuer of the interoperability tests too.
pub fn issuer() -> IssuerKey {
    IssuerKey::from_seed([0x51; 32])
}

pub fn issuers() -> Issuers {
    let mut issuers = Issuers::default();
    issuers.add(issuer().public()).expect("the first");
    issuers
}

pub fn capability() -> Capability {
    Capability {
        tenant: "acme".to_owned(),
        documents: Documents::Prefix("notes/".to_owned()),
        rights: Rights::READ | Rights::WRITE,
        holder: Holder::Key(device(2).id()),
        expires: NOW + 900,
        not_before: Some(NOW),
        issued: Some(NOW),
        id: "4f1c".to_owned(),
        subject: "user:ann".to_owned(),
        link: None,
    }
}

#[test]
fn a_token_says_what_was_signed() {
    let hash = data_encoding::BASE64URL_NOPAD.decode(thumbprint(&device(2).id()).as_bytes());
    let hash = hash.expect("base64url").try_into().expect("32 bytes");
    for capability in [
        capability(),
        Capability { documents: Documents::All, rights: Rights::ALL, ..capability() },
        Capability { documents: Documents::One("a/b".to_owned()), ..capability() },
        Capability { holder: Holder::Thumbprint(hash), ..capability() },
        Capability { not_before: None, issued: None, ..capability() },
        Capability { link: Some(LinkUse::Once), ..capability() },
        Capability { link: Some(LinkUse::Many), ..capability() },
    ] {
        let token = issuer().mint(&capability).expect("it is right");
        assert_eq!(issuers().verify(&token, NOW).as_ref(), Ok(&capability));
        assert!(capability.holder.is(&device(2).id()) && !capability.holder.is(&device(3).id()));
    }
    let covered = document("notes/ann");
    assert_eq!(capability().rights_on(&covered), Rights::READ | Rights::WRITE);
    assert_eq!(capability().rights_on(&document("notes")), Rights::NONE);
}

#[test]
fn time_has_a_minute_of_grace() {
    let token = issuer().mint(&capability()).expect("it is right");
    let at = |now| issuers().verify(&token, now).map(|_| ());
    assert_eq!(at(NOW - 61), Err(TokenError::NotYet));
    assert_eq!(at(NOW - 60), Ok(()));
    assert_eq!(at(NOW + 900 + 59), Ok(()));
    assert_eq!(at(NOW + 900 + 60), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX), Err(TokenError::Expired));
    assert_eq!(at(0), Err(TokenError::NotYet));
    let late = |now, late| issuers().verify_ended(&token, now, late).map(|_| ());
    assert_eq!(late(NOW + 900 + 60, 1), Ok(()));
    assert_eq!(late(NOW + 900 + 61, 1), Err(TokenError::Expired));
    assert_eq!(late(NOW - 61, u64::MAX), Err(TokenError::NotYet));
    assert_eq!(late(u64::MAX, 3600), Err(TokenError::Expired));
}

#[test]
fn keys_have_names_and_tenants() {
    let token = issuer().mint(&capability()).expect("it is right");
    let other = IssuerKey::from_seed([0x60; 32]);
    let verify = |with: Vec<Issuer>, token: &str| {
        let mut issuers = Issuers::default();
        with.into_iter().for_each(|issuer| issuers.add(issuer).expect("another id"));
        issuers.verify(token, NOW).map(|_| ())
    };
    assert_eq!(verify(vec![other.public(), issuer().public()], &token), Ok(()));
    assert_eq!(verify(vec![other.public()], &token), Err(TokenError::Key));
    assert_eq!(verify(vec![], &token), Err(TokenError::Key));
    let impostor = other.with_id(issuer().id()).expect("an id");
    assert_eq!(verify(vec![impostor.public()], &token), Err(TokenError::Signature));
    let only = |tenant: &str| {
        let tenants = Tenants::Only([tenant.to_owned()].into());
        vec![issuer().public().for_tenants(tenants)]
    };
    assert_eq!(verify(only("acme"), &token), Ok(()));
    assert_eq!(verify(only("globex"), &token), Err(TokenError::Tenant));
}

#[test]
fn keys_are_known_apart() {
    let mut issuers = issuers();
    assert_eq!(issuers.add(issuer().public()), Err(KeyError::SameId));
    assert_eq!(issuer().with_id("").err(), Some(KeyError::Id));
    assert_eq!(issuer().public().with_id(&"k".repeat(129)).err(), Some(KeyError::Id));
    for number in 1..128u8 {
        issuers
            .add(
                IssuerKey::from_seed([number + 100; 32])
                    .public()
                    .with_id(&number.to_string())
                    .expect("an id"),
            )
            .expect("room");
    }
    let more = IssuerKey::from_seed([9; 32]).public();
    assert_eq!(issuers.add(more), Err(KeyError::TooMany));
    assert_eq!(issuers.iter().count(), 128);
    assert_eq!(format!("{:?}", issuer().with_id("main").expect("an id")), r#"IssuerKey("main")"#);
}

#[test]
fn keys_come_back_from_json_and_pem() {
    let key = issuer();
    let same = |again: IssuerKey| {
        assert_eq!(again.id(), key.id());
        let token = again.mint(&capability());
        assert_eq!(token, key.mint(&capability()));
    };
    same(IssuerKey::parse(&key.to_jwk()).expect("written here"));
    same(IssuerKey::parse(&key.to_pem()).expect("written here"));
    let public = key.public();
    for text in
        [public.to_jwk(), public.to_pem(), key.to_jwk().to_string(), key.to_pem().to_string()]
    {
        assert_eq!(Issuer::parse(&text).as_ref(), Ok(&public), "{text}");
    }
    let named = issuer().with_id("main").expect("an id");
    assert_eq!(IssuerKey::parse(&named.to_jwk()).map(|key| key.id().to_owned()), Ok("main".into()));
    let set = format!(
        r#"{{"keys": [{{"kty": "RSA", "n": "x", "e": "AQAB"}}, {}]}}"#,
        named.public().to_jwk()
    );
    let set = Issuers::parse(&set).expect("one of them is right");
    assert_eq!(set.iter().map(Issuer::id).collect::<Vec<_>>(), ["main"]);
}

#[track_caller]
fn check_no_key(text: &str, expected: KeyError) {
    assert_eq!(Issuer::parse(text).err(), Some(expected), "{text}");
    assert!(IssuerKey::parse(text).is_err(), "{text}");
}

#[test]
fn what_is_no_key_is_told() {
    let x = "wFDFY3pE-oYp__PMzOIwDLNipj2Z2V_FQUUmb0MyRFo";
    let jwk = |more: &str| format!(r#"{{"kty": "OKP", "crv": "Ed25519", "x": "{x}"{more}}}"#);
    assert!(Issuer::parse(&jwk("")).is_ok());
    assert_eq!(IssuerKey::parse(&jwk("")).err(), Some(KeyError::NotPrivate));
    check_no_key("", KeyError::Form);
    check_no_key(&jwk(r#", "x": "A""#), KeyError::Form);
    check_no_key(&" ".repeat(20_000), KeyError::Form);
    check_no_key(&jwk(r#", "use": "enc""#), KeyError::Kind);
    check_no_key(&jwk(r#", "alg": "ES256""#), KeyError::Kind);
    check_no_key(&jwk(r#", "kid": """#), KeyError::Id);
    check_no_key(r#"{"kty": "EC", "crv": "P-256"}"#, KeyError::Kind);
    check_no_key(r#"{"kty": "OKP", "crv": "X25519"}"#, KeyError::Kind);
    check_no_key(r#"{"kty": "OKP", "crv": "Ed25519"}"#, KeyError::Value);
    let zero = "A".repeat(43);
    check_no_key(&format!(r#"{{"kty": "OKP", "crv": "Ed25519", "x": "{zero}"}}"#), KeyError::Value);
    let halves = jwk(&format!(r#", "d": "{zero}""#));
    assert_eq!(IssuerKey::parse(&halves).err(), Some(KeyError::Value));
    check_no_key("-----BEGIN PUBLIC KEY-----\nMCow", KeyError::Form);
    let cut = issuer().public().to_pem().replace("MCow", "MCo");
    assert!(Issuer::parse(&cut).is_err());
    let ecdsa = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----";
    check_no_key(ecdsa, KeyError::Kind);
    for (set, expected) in [
        ("[]", KeyError::Form),
        (r#"{"keys": []}"#, KeyError::None),
        (r#"{"keys": [{"kty": "RSA"}]}"#, KeyError::None),
        (&format!(r#"{{"keys": [{}, {}]}}"#, jwk(""), jwk("")), KeyError::SameId),
        (&" ".repeat(300_000), KeyError::TooMany),
    ] {
        assert_eq!(Issuers::parse(set).err(), Some(expected));
    }
}

/// PKCS #8 with the public half behind, as some libraries write it.
#[test]
fn a_private_key_of_version_2_is_read() {
    let public = {
        let pem = issuer().public().to_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        data_encoding::BASE64.decode(body.as_bytes()).expect("base64")[12..].to_vec()
    };
    let front = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let pem = |public: &[u8]| {
        let der = [&front[..], &[0x51; 32], b"\x81\x21\x00", public].concat();
        let body = data_encoding::BASE64.encode(&der);
        format!("# a key\n-----BEGIN PRIVATE KEY-----\r\n{body}\r\n-----END PRIVATE KEY-----\r\n")
    };
    assert_eq!(
        IssuerKey::parse(&pem(&public)).map(|key| key.id().to_owned()),
        Ok(issuer().id().into())
    );
    assert_eq!(IssuerKey::parse(&pem(&[0; 32])).err(), Some(KeyError::Kind));
}

#[track_caller]
fn check_not_minted(capability: &Capability, expected: MintError) {
    assert_eq!(issuer().mint(capability), Err(expected));
}

#[test]
fn what_nobody_would_take_is_not_signed() {
    let right = capability;
    check_not_minted(&Capability { tenant: "a b".into(), ..right() }, MintError::Claim("tenant"));
    let wrong = Documents::Prefix("notes".to_owned());
    check_not_minted(&Capability { documents: wrong, ..right() }, MintError::Claim("doc"));
    check_not_minted(&Capability { rights: Rights::NONE, ..right() }, MintError::Claim("rights"));
    check_not_minted(&Capability { id: String::new(), ..right() }, MintError::Claim("jti"));
    check_not_minted(&Capability { id: "x".repeat(129), ..right() }, MintError::Claim("jti"));
    check_not_minted(&Capability { subject: "a\nb".into(), ..right() }, MintError::Claim("sub"));
    check_not_minted(&Capability { expires: u64::MAX, ..right() }, MintError::Claim("exp"));
    let holder = Holder::Key(DeviceId([1; 32]));
    assert!(issuer().mint(&Capability { holder, subject: "ü".repeat(128), ..right() }).is_ok());
}
