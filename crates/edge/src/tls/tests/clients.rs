//! What is asked of clients, and who may come back without being asked.

use super::*;

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
