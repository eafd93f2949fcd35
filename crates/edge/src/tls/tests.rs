//! Real handshakes: rustls against rustls, in memory.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use expect_test::{Expect, expect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use selvedge_config::{
    Certificate, ClientAuth, ListenerTls, MemoryEnvironment, TargetAddress, TlsVersion,
    UpstreamProtocol, UpstreamTls, parse_str,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{accept::looks_like_http, certificate::unix_now, resolver::Certificates, *};

const DAY: Duration = Duration::from_secs(24 * 3600);
const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A folder with an authority and what it issued.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Issues `file.pem` and `file.key` for `names`.
    fn issue(&self, file: &str, names: &[&str]) -> Certificate {
        self.issue_with(file, names, KeyPair::generate().unwrap(), |_| {})
    }

    fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::Files {
            cert: self.write(&format!("{file}.pem"), certificate.pem()),
            key: self.write(&format!("{file}.key"), key.serialize_pem()),
        }
    }

    fn settings(&self, certificates: Vec<Certificate>) -> ListenerTls {
        ListenerTls {
            certificates,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            client_auth: ClientAuth::Off,
            resumption: true,
        }
    }

    fn required(&self) -> ClientAuth {
        ClientAuth::Required { ca: self.path("ca.pem") }
    }

    fn optional(&self) -> ClientAuth {
        ClientAuth::Optional { ca: self.path("ca.pem") }
    }
}

/// What a test client brings along.
struct Client<'a> {
    authority: &'a Authority,
    identity: Option<&'a Certificate>,
    alpn: &'a [&'a [u8]],
    versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Client<'a> {
    fn of(authority: &'a Authority) -> Self {
        Self { authority, identity: None, alpn: &[], versions: BOTH }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(Certificate::Files { cert, key }) => {
                let identity = files::read_identity(cert, key).unwrap();
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

type Pair = (ClientConnection, ServerConnection);

/// Makes a handshake for `name`; the error is the server's if it has one.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Pair, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut pair = (
        ClientConnection::new(client.clone(), name).unwrap(),
        ServerConnection::new(server.clone()).unwrap(),
    );
    pump(&mut pair)?;
    assert!(!pair.0.is_handshaking() && !pair.1.is_handshaking());
    echo(&mut pair);
    Ok(pair)
}

fn pump((client, server): &mut Pair) -> Result<(), rustls::Error> {
    while client.wants_write() || server.wants_write() {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        let mut bytes = to_server.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        let mut bytes = to_client.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

/// Sends a byte each way, which also delivers tickets.
#[track_caller]
fn echo(pair: &mut Pair) {
    let mut byte = [0];
    pair.0.writer().write_all(b"?").unwrap();
    pump(pair).unwrap();
    pair.1.reader().read_exact(&mut byte).unwrap();
    pair.1.writer().write_all(b"!").unwrap();
    pump(pair).unwrap();
    pair.0.reader().read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

fn shown((client, _): &Pair) -> CertificateDer<'static> {
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

fn describe(outcome: Result<Pair, rustls::Error>) -> String {
    match outcome {
        Err(error) => format!("refused: {error}"),
        Ok((_, server)) => {
            let facts = TlsFacts::of(&server);
            assert_eq!(facts.client_subject.is_some(), facts.client_sha256.is_some());
            let TlsFacts { version, sni, alpn, resumed, client_subject, .. } = facts;
            let sni = sni.as_deref().unwrap_or("-");
            let subject = client_subject.as_deref().unwrap_or("-");
            let resumed = if resumed { "resumed" } else { "full" };
            format!("{version} {sni} {alpn:?} {resumed} {subject}")
        }
    }
}

#[test]
fn sni_chooses_the_certificate() {
    let authority = Authority::new();
    let server = ServerTls::load(
        &authority.settings(vec![
            authority.issue("first", &["first.test", "127.0.0.1"]),
            authority.issue("wild", &["*.w.test", "w.test"]),
            authority.issue("exact", &["x.w.test", "UPPER.test"]),
        ]),
        true,
        true,
    )
    .unwrap();
    // Whether the chosen certificate is right for the name is not asked here.
    let mut client = (*Client::of(&authority).config()).clone();
    client.dangerous().set_certificate_verifier(Arc::new(client::AnyServer(provider())));
    let client = Arc::new(client);

    let check = |name: &str, file: &str| {
        let pair = handshake(&server.server_config(), &client, name).unwrap();
        let pem = authority.path(&format!("{file}.pem"));
        let expected = CertificateDer::from_pem_file(pem).unwrap();
        assert!(shown(&pair) == expected, "{name} is not shown {file}");
    };
    check("first.test", "first");
    check("w.test", "wild");
    check("y.w.test", "wild");
    check("x.w.test", "exact");
    check("X.W.Test", "exact");
    check("upper.test", "exact");
    check("a.b.w.test", "first");
    check("unknown.test", "first");
    check("127.0.0.1", "first");
}

#[test]
fn clients_get_a_key_they_can_verify() {
    let authority = Authority::new();
    let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificates = [
        authority.issue("p256", &["a.test"]),
        authority.issue_with("ed25519", &["a.test", "b.test"], edwards, |_| {}),
    ];
    let certificates = Certificates::load(&certificates).unwrap();
    let check = |name, scheme, file: &str| {
        let served = certificates.choose(Some(name), &[scheme]);
        assert!(served.facts.source.ends_with(file), "{}", served.facts.source);
    };
    check("a.test", SignatureScheme::ECDSA_NISTP256_SHA256, "p256.pem");
    check("a.test", SignatureScheme::ED25519, "ed25519.pem");
    check("b.test", SignatureScheme::ED25519, "ed25519.pem");
    check("b.test", SignatureScheme::ECDSA_NISTP256_SHA256, "ed25519.pem");
    check("c.test", SignatureScheme::ED25519, "p256.pem");
}

#[test]
fn alpn_follows_the_listener() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let check = |(http1, http2), alpn: &[&[u8]], expected: Expect| {
        let server = ServerTls::load(&settings, http1, http2).unwrap();
        let client = Client { alpn, ..Client::of(&authority) }.config();
        expected.assert_eq(&describe(handshake(&server.server_config(), &client, "a.test")));
    };
    let both: &[&[u8]] = &[ALPN_HTTP1, ALPN_HTTP2];
    check((true, true), both, expect!["TLSv1.3 a.test Some(Http2) full -"]);
    check((true, false), both, expect!["TLSv1.3 a.test Some(Http1) full -"]);
    check((false, true), both, expect!["TLSv1.3 a.test Some(Http2) full -"]);
    check((true, true), &[], expect!["TLSv1.3 a.test None full -"]);
    check(
        (false, true),
        &[ALPN_HTTP1],
        expect!["refused: peer doesn't support any known protocol"],
    );
}

#[test]
fn versions_are_bounded() {
    let authority = Authority::new();
    let certificate = authority.issue("a", &["a.test"]);
    let check = |(min_version, max_version), versions: &[_], expected: Expect| {
        let settings = authority.settings(vec![certificate.clone()]);
        let settings = ListenerTls { min_version, max_version, ..settings };
        let client = Client { versions, ..Client::of(&authority) }.config();
        let outcome = ServerTls::load(&settings, true, true).map_or_else(
            |error| error.to_string(),
            |server| describe(handshake(&server.server_config(), &client, "a.test")),
        );
        expected.assert_eq(&outcome);
    };
    use TlsVersion::{Tls12, Tls13};
    check((Tls12, Tls13), &[&TLS12], expect!["TLSv1.2 a.test None full -"]);
    check((Tls12, Tls13), &[&TLS12, &TLS13], expect!["TLSv1.3 a.test None full -"]);
    check((Tls12, Tls12), &[&TLS12, &TLS13], expect!["TLSv1.2 a.test None full -"]);
    check(
        (Tls13, Tls13),
        &[&TLS12],
        expect!["refused: peer is incompatible: Tls12NotOfferedOrEnabled"],
    );
    check(
        (Tls12, Tls12),
        &[&TLS13],
        expect!["refused: peer is incompatible: Tls12NotOfferedOrEnabled"],
    );
    check(
        (Tls13, Tls12),
        &[&TLS13],
        expect!["the oldest TLS version allowed is newer than the newest; swap the two"],
    );
}

#[test]
fn client_certificates_are_asked_for_on_every_protocol_alike() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue("a", &["a.test"]);
    let good = authority.issue("device-7", &["device-7.test"]);
    let bad = stranger.issue("device-7", &["device-7.test"]);
    let expired =
        authority.issue_with("old", &["old.test"], KeyPair::generate().unwrap(), |cert| {
            cert.not_after = (SystemTime::now() - DAY).into();
        });
    let check = |client_auth: ClientAuth, identity: Option<&Certificate>, expected: Expect| {
        let settings = authority.settings(vec![certificate.clone()]);
        let server = ServerTls::load(&ListenerTls { client_auth, ..settings }, true, true).unwrap();
        let mut outcomes = Vec::new();
        for alpn in [&[ALPN_HTTP1] as &[&[u8]], &[ALPN_HTTP2], &[]] {
            for versions in [&[&TLS12], &[&TLS13]] {
                let client = Client { authority: &authority, identity, alpn, versions }.config();
                let outcome = handshake(&server.server_config(), &client, "a.test");
                outcomes.push(match outcome {
                    Err(error) => undated(&format!("refused: {error}")),
                    Ok((_, server)) => format!("{:?}", TlsFacts::of(&server).client_subject),
                });
            }
        }
        outcomes.dedup();
        expected.assert_eq(&outcomes.join("\n"));
    };
    check(authority.required(), None, expect!["refused: peer sent no certificates"]);
    check(authority.required(), Some(&good), expect![[r#"Some("CN=device-7")"#]]);
    check(
        authority.required(),
        Some(&bad),
        expect!["refused: invalid peer certificate: BadSignature"],
    );
    check(
        authority.required(),
        Some(&expired),
        expect!["refused: invalid peer certificate: certificate expired"],
    );
    check(authority.optional(), None, expect!["None"]);
    check(authority.optional(), Some(&good), expect![[r#"Some("CN=device-7")"#]]);
    check(
        authority.optional(),
        Some(&bad),
        expect!["refused: invalid peer certificate: BadSignature"],
    );
    check(ClientAuth::Off, Some(&good), expect!["None"]);
}

/// Without the times rustls adds.
fn undated(text: &str) -> String {
    text.split(": verification time").next().unwrap_or(text).to_owned()
}

/// Two connections of one client to `first`, then `second`: is the latter resumed?
#[track_caller]
fn check_resumption(first: &ServerTls, second: &ServerTls, client: &Client<'_>, expected: bool) {
    for version in [&TLS12, &TLS13] {
        let config = Client { versions: &[version], ..*client }.config();
        let before = handshake(&first.server_config(), &config, "a.test").unwrap();
        assert!(!TlsFacts::of(&before.1).resumed);
        let after = handshake(&second.server_config(), &config, "a.test").unwrap();
        assert_eq!(TlsFacts::of(&after.1).resumed, expected, "{version:?}");
        assert_eq!(
            TlsFacts::of(&after.1).client_subject,
            TlsFacts::of(&before.1).client_subject,
            "a resumed client is the same client"
        );
    }
}

#[test]
fn sessions_are_resumed_within_a_listener_only() {
    let authority = Authority::new();
    let device = authority.issue("device", &["device.test"]);
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let load = |settings: &ListenerTls| ServerTls::load(settings, true, true).unwrap();
    let plain = Client::of(&authority);
    let known = Client { identity: Some(&device), ..Client::of(&authority) };

    let open = load(&settings);
    check_resumption(&open, &open, &plain, true);
    check_resumption(&open, &load(&settings), &plain, false);

    let required = ListenerTls { client_auth: authority.required(), ..settings.clone() };
    let closed = load(&required);
    check_resumption(&closed, &closed, &known, true);
    check_resumption(&closed, &load(&required), &known, false);

    let off = load(&ListenerTls { resumption: false, ..settings.clone() });
    check_resumption(&off, &off, &plain, false);

    let mut client = (*plain.config()).clone();
    client.enable_early_data = true;
    let client = Arc::new(client);
    handshake(&open.server_config(), &client, "a.test").unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let mut again = ClientConnection::new(client, name).unwrap();
    assert!(again.early_data().is_none(), "tickets allow no early data");
}

#[test]
fn sessions_outlive_a_reload_but_not_a_change_of_who_may_connect() {
    let (authority, other) = (Authority::new(), Authority::new());
    let device = authority.issue("device", &["device.test"]);
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let required = ListenerTls { client_auth: authority.required(), ..settings.clone() };
    let after = |previous: &ServerTls, settings: &ListenerTls| {
        ServerTls::load_after(Some(previous), settings, true, true).unwrap()
    };
    let known = Client { identity: Some(&device), ..Client::of(&authority) };

    let server = ServerTls::load(&required, true, true).unwrap();
    check_resumption(&server, &after(&server, &required), &known, true);
    let optional = ListenerTls { client_auth: authority.optional(), ..settings.clone() };
    check_resumption(&server, &after(&server, &optional), &known, false);
    check_resumption(&after(&server, &optional), &after(&server, &required), &known, false);

    // The roots change under the same path.
    let config = known.config();
    handshake(&server.server_config(), &config, "a.test").unwrap();
    assert!(
        TlsFacts::of(&handshake(&server.server_config(), &config, "a.test").unwrap().1).resumed
    );
    authority.write("ca.pem", other.issuer.pem());
    server.reload().unwrap();
    let outcome = handshake(&server.server_config(), &config, "a.test");
    assert!(outcome.is_err(), "a session of a client whose root is gone was resumed");
}

#[test]
fn reload_swaps_certificates_and_keeps_connections() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let client = Client::of(&authority).config();
    let mut old = handshake(&server.server_config(), &client, "a.test").unwrap();
    assert!(!server.changed());

    let before = fs::read(authority.path("a.pem")).unwrap();
    authority.write("a.pem", &before);
    assert!(!server.changed(), "touched, not changed");

    authority.issue("a", &["a.test"]);
    assert!(server.changed());
    server.reload().unwrap();
    assert!(!server.changed());

    let fresh = Client::of(&authority).config();
    let new = handshake(&server.server_config(), &fresh, "a.test").unwrap();
    assert_ne!(shown(&old), shown(&new));
    echo(&mut old);
    let resumed = handshake(&server.server_config(), &client, "a.test").unwrap();
    assert!(TlsFacts::of(&resumed.1).resumed, "tickets outlive the certificate");
}

#[test]
fn a_write_within_one_tick_is_seen() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let key = authority.path("a.key");
    let server = ServerTls::load(&settings, true, true).unwrap();
    for round in 0..100 {
        let mut other = fs::read(&key).unwrap();
        let at = other.len() / 2;
        other[at] ^= 1;
        fs::write(&key, other).unwrap();
        assert!(server.changed(), "round {round}: same length, same tick");
        assert_eq!(server.reload().is_ok(), round % 2 == 1);
    }
}

#[test]
fn a_bad_file_changes_nothing() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let facts = server.certificates();
    let good = fs::read(authority.path("a.key")).unwrap();

    authority.write("a.key", KeyPair::generate().unwrap().serialize_pem());
    assert!(server.changed());
    assert!(matches!(server.reload(), Err(TlsError::KeyMismatch { .. })));
    assert!(!server.changed(), "told once");
    fs::remove_file(authority.path("a.key")).unwrap();
    assert!(server.changed());
    assert!(matches!(server.reload(), Err(TlsError::Unreadable { .. })));
    assert!(!server.changed());

    assert_eq!(server.certificates(), facts);
    let client = Client::of(&authority).config();
    handshake(&server.server_config(), &client, "a.test").unwrap();

    authority.write("a.key", good);
    assert!(server.changed());
    server.reload().unwrap();
}

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

#[test]
fn self_signed_certificates_stay_the_same() {
    let names = ["localhost", "*.dev.test", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let authority = Authority::new();
    let settings = authority.settings(vec![Certificate::SelfSigned { names }]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let mut roots = RootCertStore::empty();
    let shown_by = |server: &ServerTls| {
        let mut client = (*Client::of(&authority).config()).clone();
        client.dangerous().set_certificate_verifier(Arc::new(client::AnyServer(provider())));
        shown(&handshake(&server.server_config(), &Arc::new(client), "localhost").unwrap())
    };
    let first = shown_by(&server);
    server.reload().unwrap();
    assert_eq!(shown_by(&server), first);
    assert_eq!(shown_by(&ServerTls::load(&settings, true, false).unwrap()), first);
    assert!(!server.changed() && server.warnings().is_empty());

    roots.add(first).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    for name in ["localhost", "x.dev.test", "127.0.0.1", "::1"] {
        handshake(&server.server_config(), &client, name).unwrap();
    }
    assert!(handshake(&server.server_config(), &client, "dev.test").is_err());

    let settings = authority.settings(vec![Certificate::SelfSigned { names: vec!["ü".into()] }]);
    let error = ServerTls::load(&settings, true, true).unwrap_err();
    expect!["cannot make a self-signed certificate for ü: Invalid IA5String: 'ü'; give DNS names and IP addresses only"].assert_eq(&error.to_string());
}

#[test]
fn misdirected_requests() {
    let authority = Authority::new();
    let settings = authority.settings(vec![
        authority.issue("first", &["first.test", "127.0.0.1"]),
        authority.issue("wild", &["*.w.test", "w.test"]),
    ]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let check = |sni: Option<&str>, host: &str, expected: bool| {
        assert_eq!(server.misdirected(sni, host), expected, "{host} on {sni:?}");
    };
    check(Some("a.w.test"), "a.w.test", false);
    check(Some("a.w.test"), "A.W.test.", false);
    check(Some("a.w.test"), "b.w.test", false);
    check(Some("a.w.test"), "w.test", false);
    check(Some("a.w.test"), "x.b.w.test", true);
    check(Some("a.w.test"), "first.test", true);
    check(Some("first.test"), "127.0.0.1", false);
    check(Some("first.test"), "127.0.0.2", true);
    check(Some("first.test"), "w.test", true);
    check(Some("unknown.test"), "unknown.test", false);
    check(Some("unknown.test"), "first.test", false);
    check(Some("unknown.test"), "w.test", true);
    check(None, "w.test", false);
}

#[test]
fn a_resumed_client_must_not_have_expired() {
    let authority = Authority::new();
    let device =
        authority.issue_with("device", &["device.test"], KeyPair::generate().unwrap(), |cert| {
            cert.not_after = (SystemTime::now() + DAY).into()
        });
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let settings = ListenerTls { client_auth: authority.required(), ..settings };
    let server = ServerTls::load(&settings, true, true).unwrap();
    let client = Client { identity: Some(&device), ..Client::of(&authority) }.config();
    let (_, full) = handshake(&server.server_config(), &client, "a.test").unwrap();
    let (_, resumed) = handshake(&server.server_config(), &client, "a.test").unwrap();
    let (now, later) = (unix_now(), unix_now() + 2 * 86_400);
    assert!(!facts::is_stale(&resumed, now) && facts::is_stale(&resumed, later));
    assert!(!facts::is_stale(&full, later), "verified in this very handshake");
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

#[test]
fn plain_http_is_told_from_tls() {
    for first in [b"GET / HTTP/1.1".as_slice(), b"PRI * HTTP/2.0", b"options *"] {
        assert!(looks_like_http(first));
    }
    for first in [b"".as_slice(), &[22, 3, 1], &[0x80, 0x2e], b"\r\nGET", b"\0"] {
        assert!(!looks_like_http(first));
    }
}

#[tokio::test]
async fn accept_gives_plain_http_back() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let config = ServerTls::load(&settings, true, true).unwrap().server_config();
    let (mut client, server) = duplex(4096);
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let outcome = accept(server, Vec::new(), config, soon()).await;
    let Err(AcceptError::PlainHttp { mut stream }) = outcome else { panic!("{outcome:?}") };
    stream.write_all(b"clear text").await.unwrap();
    drop(stream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "clear text", "no alert in front of it");
}

#[tokio::test]
async fn accept_ends_by_itself() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let config = ServerTls::load(&settings, true, true).unwrap().server_config();

    let (_client, server) = duplex(4096);
    let now = tokio::time::Instant::now();
    let late = accept(server, Vec::new(), config.clone(), now).await.unwrap_err();
    assert_eq!(late.reason(), "timeout");

    let (client, server) = duplex(4096);
    drop(client);
    let closed = accept(server, Vec::new(), config.clone(), soon()).await.unwrap_err();
    assert_eq!(closed.reason(), "closed");

    // A record of alert type where a ClientHello belongs, wholly read before rustls sees it.
    let (mut client, server) = duplex(4096);
    let garbage = vec![22, 3, 1, 0, 4, 99, 0, 0, 0];
    let failed = accept(server, garbage, config, soon()).await.unwrap_err();
    assert_eq!(failed.reason(), "tls");
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[..3], [21, 3, 3], "the client is told");
}

/// Connects an upstream client to a listener through memory.
async fn meet(
    server: &ServerTls,
    client: &ClientTls,
    target: &str,
) -> (Result<TlsFacts, AcceptError<DuplexStream>>, io::Result<()>) {
    let (near, far) = duplex(1 << 16);
    let target = TargetAddress::Name { host: target.to_owned(), port: 443 };
    let accepting = async {
        let mut stream = accept(far, Vec::new(), server.server_config(), soon()).await?;
        stream.write_all(b"hello").await.map_err(AcceptError::Io)?;
        stream.flush().await.map_err(AcceptError::Io)?;
        Ok(TlsFacts::of(stream.get_ref().1))
    };
    let connecting = async {
        let mut stream = client.connect(&target, near).await?;
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await?;
        assert_eq!(&hello, b"hello");
        Ok(())
    };
    tokio::join!(accepting, connecting)
}

fn upstream(ca: Option<&Path>) -> UpstreamTls {
    UpstreamTls { ca: ca.map(Path::to_owned), server_name: None, identity: None, verify: true }
}

#[tokio::test]
async fn upstreams_are_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let settings = authority.settings(vec![authority.issue("a", &["a.test", "127.0.0.1"])]);
    let server = ServerTls::load(&settings, true, true).unwrap();
    let ca = authority.path("ca.pem");
    let check = async |settings: UpstreamTls, target: &str, expected: Expect| {
        let client = ClientTls::load(&settings, UpstreamProtocol::Http1).unwrap();
        let (_, outcome) = meet(&server, &client, target).await;
        expected.assert_eq(&outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned()));
    };
    let good = || upstream(Some(&ca));
    check(good(), "a.test", expect!["ok"]).await;
    check(good(), "127.0.0.1", expect!["ok"]).await;
    check(good(), "b.test", expect![[r#"invalid peer certificate: certificate not valid for name "b.test"; certificate is only valid for DnsName("a.test") or IpAddress(127.0.0.1)"#]]).await;
    let named = UpstreamTls { server_name: Some("a.test".to_owned()), ..good() };
    check(named, "b.test", expect!["ok"]).await;
    check(
        upstream(Some(&stranger.path("ca.pem"))),
        "a.test",
        expect!["invalid peer certificate: BadSignature"],
    )
    .await;
    check(upstream(None), "a.test", expect!["invalid peer certificate: UnknownIssuer"]).await;
    let blind = UpstreamTls { verify: false, ..upstream(None) };
    check(blind, "b.test", expect!["ok"]).await;
}

#[tokio::test]
async fn upstreams_see_our_certificate_and_protocol() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let settings = ListenerTls { client_auth: authority.required(), ..settings };
    let ca = authority.path("ca.pem");
    authority.issue("edge", &["edge.test"]);
    let identity = Some((authority.path("edge.pem"), authority.path("edge.key")));
    let known = UpstreamTls { identity, ..upstream(Some(&ca)) };

    let both = ServerTls::load(&settings, true, true).unwrap();
    let http2 = ClientTls::load(&known, UpstreamProtocol::Http2).unwrap();
    for resumed in [false, true] {
        let (facts, outcome) = meet(&both, &http2, "a.test").await;
        outcome.unwrap();
        let facts = facts.unwrap();
        assert_eq!((facts.alpn, facts.resumed), (Some(Alpn::Http2), resumed));
        assert!(facts.client_subject.unwrap().contains("CN=edge"));
        assert!(facts.cipher.starts_with("TLS_AES_"));
    }
    let http1 = ClientTls::load(&known, UpstreamProtocol::Http1).unwrap();
    let (facts, outcome) = meet(&both, &http1, "a.test").await;
    outcome.unwrap();
    assert_eq!(facts.unwrap().alpn, Some(Alpn::Http1));

    let unknown = ClientTls::load(&upstream(Some(&ca)), UpstreamProtocol::Http2).unwrap();
    let (facts, _) = meet(&both, &unknown, "a.test").await;
    assert_eq!(facts.unwrap_err().reason(), "tls");

    let silent = ServerTls::load(&settings, false, false).unwrap();
    let (_, outcome) = meet(&silent, &http2, "a.test").await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("did not agree to HTTP/2"), "{error}");
}

#[test]
fn what_a_reload_would_bring_anew() {
    let authority = Authority::new();
    authority.issue("edge", &["edge.test"]);
    let (ca, key) = (authority.path("ca.pem"), authority.path("edge.key"));
    let identity = Some((authority.path("edge.pem"), key.clone()));
    let settings = UpstreamTls { identity, ..upstream(Some(&ca)) };
    let http1 = UpstreamProtocol::Http1;
    let client = ClientTls::load(&settings, http1).unwrap();
    assert!(client.is_current(&settings, http1));
    assert!(!client.is_current(&settings, UpstreamProtocol::Http2));
    assert!(!client.is_current(&UpstreamTls { verify: false, ..settings.clone() }, http1));
    for file in [&ca, &key] {
        let content = fs::read(file).unwrap();
        fs::write(file, &content).unwrap();
        assert!(client.is_current(&settings, http1), "touched, and the same");
        fs::write(file, "other").unwrap();
        assert!(!client.is_current(&settings, http1), "{file:?}");
        fs::write(file, &content).unwrap();
        assert!(client.is_current(&settings, http1), "as it was");
    }
}

#[test]
fn server_names() {
    let check = |server_name: Option<&str>, target: TargetAddress, expected: Expect| {
        let settings =
            UpstreamTls { server_name: server_name.map(str::to_owned), ..upstream(None) };
        let name = ClientTls::load(&settings, UpstreamProtocol::Http1)
            .and_then(|client| client.server_name_for(&target));
        expected.assert_eq(&name.map_or_else(|e| e.to_string(), |name| name.to_str().into()));
    };
    let socket = |text: &str| TargetAddress::Socket(text.parse().unwrap());
    let named = |host: &str| TargetAddress::Name { host: host.to_owned(), port: 1 };
    let unix = || TargetAddress::Unix("/run/app.sock".into());
    check(None, socket("127.0.0.1:9000"), expect!["127.0.0.1"]);
    check(None, socket("[::1]:9000"), expect!["::1"]);
    check(None, named("backend.internal"), expect!["backend.internal"]);
    check(None, named("backend.internal."), expect!["backend.internal"]);
    check(
        None,
        named("not a name"),
        expect![[
            r#""not a name" is neither a DNS name nor an IP address; set the upstream's `server-name` to the name in its certificate"#
        ]],
    );
    check(
        None,
        unix(),
        expect![
            "unix:/run/app.sock has no name to verify a certificate for; set the upstream's `server-name`"
        ],
    );
    check(Some("app.test"), unix(), expect!["app.test"]);
    check(Some("[::1]"), unix(), expect!["::1"]);
    check(
        Some("-"),
        unix(),
        expect![[
            r#""-" is neither a DNS name nor an IP address; set the upstream's `server-name` to the name in its certificate"#
        ]],
    );
}

#[test]
fn the_guide_parses() {
    let page = include_str!("../../../../docs/guide/tls.md");
    let blocks = page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files = ["site", "shop", "clients", "internal-ca", "edge"];
    let files = files.iter().flat_map(|name| [format!("{name}.pem"), format!("{name}.key")]);
    let environment = files.fold(MemoryEnvironment::default(), |it, name| it.with_file(&name, ""));
    let mut with_tls = 0;
    for block in blocks {
        let loaded = parse_str("selvedge.kdl", block, &environment);
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        with_tls += config.listeners.iter().filter(|listener| listener.tls.is_some()).count();
        with_tls += config.upstreams.values().filter(|upstream| upstream.tls.is_some()).count();
    }
    assert_eq!(with_tls, 4);
}
