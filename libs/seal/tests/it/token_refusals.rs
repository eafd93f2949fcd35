//! Tokens that are not taken, each for one reason.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use selvedge_seal::token::TokenError;
use serde_json::{Value, json};

use crate::{
    scene::device,
    token::{NOW, capability, issuer, issuers},
};

/// A token with this header and these claims, signed by the issuer.
fn signed(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = SigningKey::from_bytes(&[0x51; 32]).sign(signed.as_bytes()).to_bytes();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Claims that are right.
fn claims() -> Value {
    let x = BASE64URL_NOPAD.encode(&device(2).id().0);
    json!({
        "tenant": "acme", "doc": "notes/", "rights": ["read"], "exp": NOW + 900, "jti": "1",
        "sub": "ann", "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}},
    })
}

fn verified(token: &str) -> Result<(), TokenError> {
    issuers().verify(token, NOW).map(|_| ())
}

#[track_caller]
fn check_header(header: &str, expected: Result<(), TokenError>) {
    assert_eq!(verified(&signed(header, &claims().to_string())), expected, "{header}");
}

#[test]
fn headers() {
    check_header(r#"{"alg": "EdDSA"}"#, Ok(()));
    check_header(r#"{"alg": "Ed25519", "typ": "jwt", "cty": "x", "jku": "https://evil"}"#, Ok(()));
    for alg in ["none", "HS256", "ES256", "eddsa", "Ed448", ""] {
        check_header(&format!(r#"{{"alg": "{alg}"}}"#), Err(TokenError::Algorithm));
    }
    check_header(r#"{"alg": "EdDSA", "crit": ["exp"]}"#, Err(TokenError::Critical));
    check_header(r#"{"alg": "EdDSA", "crit": null}"#, Err(TokenError::Critical));
    check_header(r#"{"alg": "EdDSA", "b64": true}"#, Err(TokenError::Critical));
    check_header(r#"{"alg": "EdDSA", "typ": "dpop+jwt"}"#, Err(TokenError::Type));
    check_header(r#"{"alg": "EdDSA", "kid": "other"}"#, Err(TokenError::Key));
    let long = "k".repeat(129);
    check_header(&format!(r#"{{"alg": "EdDSA", "kid": "{long}"}}"#), Err(TokenError::Header));
    for header in [
        "",
        "[]",
        "{}",
        r#"{"alg": 1}"#,
        r#"{"alg": "EdDSA", "alg": "EdDSA"}"#,
        r#"{"alg": "EdDSA", "kid": 1}"#,
        r#"{"alg": "EdDSA", "typ": []}"#,
        r#"{"alg": "EdDSA"} "#,
        r#"{"alg": "EdDSA"}x"#,
    ] {
        let expected = if header.ends_with(' ') { Ok(()) } else { Err(TokenError::Header) };
        check_header(header, expected);
    }
}

#[track_caller]
fn check_claim(name: &'static str, values: &[Value], expected: &TokenError) {
    for value in values {
        let mut claims = claims();
        claims[name] = value.clone();
        let token = signed(r#"{"alg": "EdDSA"}"#, &claims.to_string());
        assert_eq!(verified(&token), Err(*expected), "{name} = {value}");
    }
}

#[test]
fn claims_are_what_they_must_be() {
    let wrong = |name, values: &[Value]| check_claim(name, values, &TokenError::Claim(name));
    wrong("tenant", &[json!(null), json!(1), json!(""), json!("a/b"), json!("..")]);
    wrong(
        "doc",
        &[json!(null), json!(""), json!("/"), json!("a//b"), json!("notes/*"), json!(["*"])],
    );
    wrong("rights", &[json!(null), json!("read"), json!([]), json!(["own"]), json!(["read", 1])]);
    wrong("exp", &[json!(null), json!("1900000000"), json!(-1), json!(1e300), json!(u64::MAX)]);
    wrong("nbf", &[json!("now"), json!(-5)]);
    wrong("iat", &[json!([]), json!(-0.5)]);
    wrong("jti", &[json!(null), json!(""), json!(7), json!("x".repeat(129)), json!("a\u{0}")]);
    wrong("sub", &[json!(null), json!(""), json!("x".repeat(257)), json!("a\nb")]);
    let x = BASE64URL_NOPAD.encode(&device(2).id().0);
    wrong(
        "cnf",
        &[
            json!(null),
            json!({}),
            json!({"kid": "1"}),
            json!({"jkt": "AA"}),
            json!({"jkt": 5}),
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519"}}),
            json!({"jwk": {"kty": "OKP", "crv": "X25519", "x": x}}),
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x, "d": x}}),
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": format!("{x}=")}}),
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}, "jkt": x}),
        ],
    );
    check_claim("cnf", &[json!("key"), json!({"jwk": 5})], &TokenError::Claims);
    check_claim(
        "aud",
        &[json!("other"), json!(["a", "b"]), json!([]), json!(5)],
        &TokenError::Audience,
    );
    check_claim("exp", &[json!(NOW - 60), json!(NOW - 100), json!(1.5)], &TokenError::Expired);
    check_claim("nbf", &[json!(NOW + 61)], &TokenError::NotYet);
    check_claim("iat", &[json!(NOW + 61)], &TokenError::NotYet);
}

#[test]
fn claims_that_others_add_are_passed_over() {
    let mut claims = claims();
    for (name, value) in [
        ("iss", json!("https://id.example")),
        ("aud", json!("selvedge-sync")),
        ("rights", json!(["read", "paint"])),
        ("exp", json!(NOW as f64 + 0.5)),
        ("nbf", json!(null)),
        ("https://example.com/x", json!({"a": [1]})),
    ] {
        claims[name] = value;
    }
    assert_eq!(verified(&signed(r#"{"alg": "EdDSA"}"#, &claims.to_string())), Ok(()));
}

#[test]
fn nothing_is_said_twice() {
    let twice = |claim: &str| {
        let claims = claims().to_string();
        verified(&signed(r#"{"alg": "EdDSA"}"#, &format!("{{{claim}, {}", &claims[1..])))
    };
    for claim in [r#""tenant": "globex""#, r#""exp": 9"#, r#""\u0064oc": "*""#, r#""cnf": {}"#] {
        assert_eq!(twice(claim), Err(TokenError::Claims), "{claim}");
    }
    for claims in ["", "[]", "null", "{", "{}x", "\"x\"", &"[".repeat(1000)] {
        assert_eq!(verified(&signed(r#"{"alg": "EdDSA"}"#, claims)), Err(TokenError::Claims));
    }
}

#[test]
fn a_token_has_one_spelling() {
    let token = issuer().mint(&capability()).expect("it is right");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    for (text, expected) in [
        (String::new(), TokenError::Form),
        ("..".to_owned(), TokenError::Header),
        (signed.to_owned(), TokenError::Form),
        (format!("{token}."), TokenError::Form),
        (format!("{token}="), TokenError::Form),
        (format!(" {token}"), TokenError::Form),
        (format!("{token}\n"), TokenError::Form),
        (format!("{signed}."), TokenError::Signature),
        (format!("{signed}.{}", &signature[..40]), TokenError::Signature),
        (format!("{signed}.{}", &signature[..41]), TokenError::Form),
        (format!("{token}{}", "A".repeat(4096)), TokenError::TooLong),
    ] {
        assert_eq!(verified(&text), Err(expected), "{text}");
    }
}

/// What is told of a token says nothing of what is in it.
#[test]
fn refusals_tell_no_contents() {
    let mut claims = claims();
    claims["tenant"] = json!("secret tenant");
    let why = verified(&signed(r#"{"alg": "EdDSA"}"#, &claims.to_string())).unwrap_err();
    assert_eq!(why.to_string(), "the claim tenant is missing or malformed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_letter_can_be_changed(at: prop::sample::Index, letter in "[A-Za-z0-9_.-]") {
        let token = issuer().mint(&capability()).expect("it is right");
        let at = at.index(token.len());
        let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(verified(&changed).is_err());
    }

    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}") {
        prop_assert!(verified(&text).is_err());
    }
}
