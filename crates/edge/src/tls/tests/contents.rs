//! What files hold, and what is told of them.

use super::*;

#[test]
fn errors_name_the_file_and_the_remedy() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    authority.issue("b", &["b.test"]);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    authority.write("empty", "");
    authority.write("encrypted", pem("ENCRYPTED PRIVATE KEY"));
    authority.write(
        "encrypted-old",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    authority.write("damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    authority.write("no-certificate", pem("CERTIFICATE"));
    authority.write("no-key", pem("PRIVATE KEY"));
    authority.write("large", vec![b'x'; (4 << 20) + 1]);

    let check = |cert: &str, key: &str, expected: Expect| {
        let files = Certificate::Files { cert: authority.path(cert), key: authority.path(key) };
        let error = ServerTls::load(&authority.settings(vec![files]), true, true).unwrap_err();
        let folder = format!("{}/", authority.folder.path().display());
        expected.assert_eq(&error.to_string().replace(&folder, ""));
    };
    check(
        "missing",
        "a.key",
        expect![
            "cannot read missing: No such file or directory (os error 2); check the path, and that the user who runs selvedge may read it"
        ],
    );
    check(
        "",
        "a.key",
        expect![
            "cannot read : not a regular file; check the path, and that the user who runs selvedge may read it"
        ],
    );
    check(
        "empty",
        "a.key",
        expect![
            "empty holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)"
        ],
    );
    check(
        "a.key",
        "a.pem",
        expect![
            "a.key holds no certificate (found PRIVATE KEY); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)"
        ],
    );
    check(
        "a.pem",
        "a.pem",
        expect![
            "a.pem holds no private key (found CERTIFICATE); it needs a `-----BEGIN PRIVATE KEY-----` section (PKCS#8, SEC1 or PKCS#1)"
        ],
    );
    check(
        "a.pem",
        "missing",
        expect![
            "cannot read missing: No such file or directory (os error 2); check the path, and that the user who runs selvedge may read it"
        ],
    );
    check(
        "a.pem",
        "encrypted",
        expect![
            "the private key in encrypted is encrypted; decrypt it with `openssl pkey -in FILE -out FILE.plain` and let only the user who runs selvedge read the result"
        ],
    );
    check(
        "a.pem",
        "encrypted-old",
        expect![
            "the private key in encrypted-old is encrypted; decrypt it with `openssl pkey -in FILE -out FILE.plain` and let only the user who runs selvedge read the result"
        ],
    );
    check(
        "a.pem",
        "b.key",
        expect![
            "the key in b.key does not belong to the first certificate in a.pem; put the leaf first in the chain, or name the key it was issued for"
        ],
    );
    check(
        "a.pem",
        "no-key",
        expect![
            "the private key in no-key cannot be used (unexpected error: failed to parse private key as RSA, ECDSA, or EdDSA); take RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
        ],
    );
    check(
        "damaged",
        "a.key",
        expect![
            "damaged is damaged PEM (`-----END CERTIFICATE-----` is missing); write it again, whole, with its BEGIN and END lines"
        ],
    );
    check(
        "no-certificate",
        "a.key",
        expect![
            "a certificate in no-certificate cannot be used: invalid peer certificate: BadEncoding"
        ],
    );
    check("large", "a.key", expect!["large is larger than 4194304 bytes; name a PEM file"]);
}

#[test]
fn roots_are_checked_at_load() {
    let authority = Authority::new();
    let certificate = authority.issue("a", &["a.test"]);
    let check = |ca: &str, content: &str, expected: Expect| {
        let client_auth = ClientAuth::Required { ca: authority.write(ca, content) };
        let settings = authority.settings(vec![certificate.clone()]);
        let settings = ListenerTls { client_auth, ..settings };
        let error = ServerTls::load(&settings, true, true).unwrap_err();
        let folder = format!("{}/", authority.folder.path().display());
        expected.assert_eq(&error.to_string().replace(&folder, ""));
    };
    check(
        "none.pem",
        "no PEM",
        expect![
            "none.pem holds no certificate (found no PEM at all); it needs a `-----BEGIN CERTIFICATE-----` section (from DER: `openssl x509 -inform der -in FILE -out FILE.pem`)"
        ],
    );
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(
        "junk.pem",
        junk,
        expect![
            "the roots in junk.pem cannot verify anybody: invalid peer certificate: BadEncoding"
        ],
    );
    let error = ServerTls::load(&authority.settings(Vec::new()), true, true).unwrap_err();
    expect!["no certificate is given; name `cert` and `key`, or `self-signed`"]
        .assert_eq(&error.to_string());
}

#[test]
fn warnings_tell_what_clients_will_refuse() {
    let authority = Authority::new();
    let issue = |file: &str, names: &[&str], from: SystemTime, until: SystemTime| {
        authority.issue_with(file, names, KeyPair::generate().unwrap(), |cert| {
            (cert.not_before, cert.not_after) = (from.into(), until.into());
        })
    };
    let now = SystemTime::now();
    let settings = authority.settings(vec![
        issue("good", &["a.test"], now - DAY, now + 8 * DAY),
        issue("old", &["a.test"], now - 3 * DAY, now - 2 * DAY - DAY / 48),
        issue("soon", &["a.test"], now - DAY, now + 2 * DAY + DAY / 48),
        issue("early", &["a.test"], now + DAY + DAY / 48, now + 9 * DAY),
        issue("nameless", &[], now - DAY, now + 9 * DAY),
    ]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let folder = format!("{}/", authority.folder.path().display());
    let warnings = server.warnings().iter().map(|w| format!("{w}\n")).collect::<String>();
    expect![[r#"
        the certificate in old.pem expired 48 h ago; clients refuse it: renew it
        the certificate in soon.pem expires in 48 h: renew it
        the certificate in early.pem becomes valid in 24 h; check this machine's clock
        the certificate in nameless.pem has no subject alternative names; clients refuse it: have it issued again with them
    "#]].assert_eq(&warnings.replace(&folder, ""));
    let left = server.certificates()[0].not_after - unix_now();
    assert!((7 * 86_400..=8 * 86_400).contains(&left), "{left}");
}
