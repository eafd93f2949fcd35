//! What listeners show: certificates, protocols, versions.

use super::*;

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
fn the_guide_parses() {
    let page = include_str!("../../../../../docs/guide/tls.md");
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
