//! Files that change under a running listener.

use super::*;

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
