//! Who is let in, and what is believed of a server.

use selvedge_base::Secret;
use selvedge_eventlog_nats::{Login, NatsLog, OpenError, Settings, Tls};

use crate::server::{Server, open};

fn refused(settings: Settings) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let opened = NatsLog::open(folder.path(), Default::default(), settings);
    matches!(opened, Err(OpenError::Unreachable(_)))
}

#[test]
fn only_who_has_the_token_is_let_in() {
    let Some(server) = Server::start_with("", "authorization { token: \"s3cret\" }") else {
        return;
    };
    let with =
        |token: &str| Settings { login: Login::Token(Secret::new(token)), ..server.settings() };
    assert!(refused(server.settings()) && refused(with("another")));
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &with("s3cret")).unwrap();
}

#[test]
fn only_who_has_the_password_is_let_in() {
    let Some(server) = Server::start_with("", "authorization { user: core, password: \"s3cret\" }")
    else {
        return;
    };
    let with = |password: &str| {
        let login = Login::Password { user: "core".to_owned(), password: Secret::new(password) };
        Settings { login, ..server.settings() }
    };
    assert!(refused(with("another")));
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &with("s3cret")).unwrap();
}

/// A server is believed that the root vouches for, and it believes us by our certificate.
#[test]
fn both_sides_show_certificates() {
    let certificates = tempfile::tempdir().unwrap();
    let path = |name: &str| certificates.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        path("cert.pem"),
        path("key.pem"),
        path("cert.pem")
    );
    let Some(server) = Server::start_with("", &tls) else { return };
    let url = format!("tls://localhost:{}", server.port);
    let with =
        |ca, identity| Settings { tls: Tls { ca, identity }, ..Settings::new(vec![url.clone()]) };
    let identity = Some((path("cert.pem"), path("key.pem")));
    assert!(refused(with(None, identity.clone())), "nobody vouches for the server");
    assert!(refused(with(Some(path("cert.pem")), None)), "the server does not know us");
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &with(Some(path("cert.pem")), identity)).unwrap();
}
