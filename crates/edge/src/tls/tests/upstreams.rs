//! TLS to upstreams.

use super::*;

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
