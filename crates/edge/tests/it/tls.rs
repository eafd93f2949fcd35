//! TLS towards clients and towards servers.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::{
    client::{Client, fields},
    harness::{Bench, PATIENCE, before, config, eventually},
    peer::{self, ask, run},
    upstream::Upstream,
};

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

    /// Issues `file.pem` and `file.key`.
    fn issue(&self, file: &str, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
        fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
    }

    /// A certificate as a config names it.
    fn certificate(&self, file: &str) -> String {
        let (cert, key) = (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")));
        format!("certificate cert={:?} key={:?}", cert.to_str().unwrap(), key.to_str().unwrap())
    }

    fn identity(&self, file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_file_iter(self.path(&format!("{file}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).unwrap();
        (chain.map(Result::unwrap).collect(), key)
    }

    /// What a client of ours speaks: `alpn`, with the certificate `identity` if there is one.
    fn client(&self, alpn: &[&str], identity: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity.map(|file| self.identity(file)) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// An edge with a TLS listener.
    fn front(&self, tls: &str, rest: &str) -> Bench {
        Bench::start(&listener(tls, rest))
    }
}

fn listener(tls: &str, rest: &str) -> String {
    format!("listener \"tls\" {{ address \"127.0.0.1:0\"; tls {{ {tls} }} }}\n{rest}")
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn open(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client<Stream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Client::new(StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream))
}

async fn open_http2(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.clone()).connect(name, stream).await
}

#[test]
fn both_versions_by_alpn() {
    let authority = Authority::new();
    authority.issue("site", &["example.com"]);
    let upstream = Upstream::mirror();
    let bench = authority.front(&authority.certificate("site"), &before(&upstream.target(), ""));
    for alpn in [&[][..], &["http/1.1"]] {
        let mut client = open(bench.address(), &authority.client(alpn, None), "example.com");
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!(fields(response.text(), "x-forwarded-proto"), ["https"]);
        }
    }
    run(async {
        let config = authority.client(&["h2", "http/1.1"], None);
        let stream = open_http2(bench.address(), &config, "example.com").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let send = peer::over(stream).await;
        let answer = peer::get(&send, "/").await.unwrap();
        assert_eq!(fields(answer.text(), "x-forwarded-proto"), ["https"]);
    });
    assert!(
        open_fails(bench.address(), &authority.client(&["imap"], None)),
        "no protocol in common"
    );
}

fn open_fails(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let mut client = open(address, config, "example.com");
    client.try_send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").is_err()
        || client.try_response(false).is_err()
}

#[test]
fn bodies_of_every_size_pass() {
    let authority = Authority::new();
    authority.issue("site", &["example.com"]);
    let upstream = Upstream::echo();
    let bench = authority.front(&authority.certificate("site"), &before(&upstream.target(), ""));
    let mut client = open(bench.address(), &authority.client(&[], None), "example.com");
    for size in [0, 1, 16_383, 16_384, 16_385, 65_536, 1 << 20] {
        let body: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0]).collect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: {size}\r\n\r\n"
        ));
        client.send(&body);
        assert!(client.response().body == body, "{size}");
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    authority.issue("b", &["b.test", "*.wild.test"]);
    let tls = format!("{}; {}", authority.certificate("a"), authority.certificate("b"));
    let bench = authority.front(&tls, "route \"r\" { respond 200 \"ok\" }");
    let config = authority.client(&[], None);
    for name in ["a.test", "b.test", "x.wild.test"] {
        let mut client = open(bench.address(), &config, name);
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(client.response().status, 200, "{name}");
    }
    let mut stranger = open(bench.address(), &config, "c.test");
    assert!(stranger.try_send("GET / HTTP/1.1\r\n\r\n").is_err(), "c.test is in no certificate");
}

#[test]
fn a_request_for_another_site_is_misdirected() {
    let authority = Authority::new();
    authority.issue("a", &["example.com", "also.com"]);
    authority.issue("b", &["b.test"]);
    let tls = format!("{}; {}", authority.certificate("a"), authority.certificate("b"));
    let bench = authority.front(&tls, "route \"r\" { respond 200 \"ok\" }");
    let hosts = [("example.com", 200), ("also.com", 200), ("b.test", 421), ("also.com", 200)];
    let mut client = open(bench.address(), &authority.client(&[], None), "example.com");
    for (host, status) in hosts {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().status, status, "{host}");
    }
    run(async {
        let config = authority.client(&["h2"], None);
        let send =
            peer::over(open_http2(bench.address(), &config, "example.com").await.unwrap()).await;
        for (host, status) in hosts {
            let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
            assert_eq!(ask(&send, request, None).await.unwrap().status, status, "{host}");
        }
    });
}

#[test]
fn client_certificates_are_required_of_everybody() {
    let authority = Authority::new();
    let stranger = Authority::new();
    authority.issue("site", &["example.com"]);
    authority.issue("client", &["client"]);
    stranger.issue("client", &["client"]);
    let ca = authority.path("ca.pem");
    let tls = format!(
        "{}; client-auth \"required\" ca={:?}",
        authority.certificate("site"),
        ca.to_str().unwrap()
    );
    let upstream = Upstream::echo();
    let bench = authority.front(&tls, &before(&upstream.target(), ""));
    let forged = {
        let mut config = ClientConfig::clone(&authority.client(&[], None));
        let (chain, key) = stranger.identity("client");
        let certified =
            rustls::sign::CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
                .unwrap();
        config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        Arc::new(config)
    };
    assert!(open_fails(bench.address(), &authority.client(&[], None)));
    assert!(open_fails(bench.address(), &forged));
    run(async {
        let config = authority.client(&["h2"], None);
        if let Ok(stream) = open_http2(bench.address(), &config, "example.com").await {
            let Ok((send, connection)) = h2::client::handshake(stream).await else {
                return;
            };
            tokio::spawn(connection);
            peer::get(&send, "/").await.unwrap_err();
        }
    });
    assert_eq!(upstream.bytes(), 0);
    let known = authority.client(&[], Some("client"));
    assert_eq!(open(bench.address(), &known, "example.com").get("/").status, 200);
    run(async {
        let config = authority.client(&["h2"], Some("client"));
        let send =
            peer::over(open_http2(bench.address(), &config, "example.com").await.unwrap()).await;
        assert_eq!(peer::get(&send, "/").await.unwrap().status, 200);
    });
}

#[test]
fn plain_http_on_a_tls_port_is_told_so() {
    let authority = Authority::new();
    authority.issue("site", &["example.com"]);
    let bench = authority.front(&authority.certificate("site"), "route \"r\" { respond 200 \"\" }");
    let mut client = Client::connect(bench.address());
    let response = client.get("/");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("https"));
    client.assert_closed();
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let authority = Authority::new();
    authority.issue("site", &["example.com"]);
    let bench = Bench::start(&format!(
        "listener \"tls\" {{ address \"127.0.0.1:0\"; timeouts {{ handshake \"300ms\" }}; tls {{ {} }} }}\nroute \"r\" {{ respond 200 \"\" }}",
        authority.certificate("site")
    ));
    for start in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = Client::connect(bench.address());
        client.send(start);
        client.rest();
    }
    eventually("they are counted out", || bench.connections() == 0);
}

/// A server that speaks TLS and answers each request with its head.
fn secure_mirror(authority: &Authority, file: &str) -> String {
    let (chain, key) = authority.identity(file);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n");
                    let response = [head.as_bytes(), &buffer[..count]].concat();
                    if stream.write_all(&response).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_upstream_is_verified() {
    let authority = Authority::new();
    let stranger = Authority::new();
    authority.issue("inner", &["inner.test"]);
    let target = secure_mirror(&authority, "inner");
    let ca = |of: &Authority| format!("ca {:?}", of.path("ca.pem").to_str().unwrap());
    let ask = |tls: String| {
        let bench = Bench::before(&target, &format!("tls {{ {tls} }}; retry {{ attempts 0 }}"));
        let mut client = bench.connect();
        let first = client.get("/");
        assert_eq!(client.get("/").status, first.status);
        first
    };
    let known = ask(format!("{}; server-name \"inner.test\"", ca(&authority)));
    assert!(known.status == 200 && known.text().starts_with("GET / HTTP/1.1"), "{}", known.head);
    let unverified = "502 upstream/tls";
    assert_eq!(ask(format!("{}; server-name \"inner.test\"", ca(&stranger))).verdict(), unverified);
    assert_eq!(
        ask(format!("{}; server-name \"other.test\"", ca(&authority))).verdict(),
        unverified
    );
    assert_eq!(ask("verify #false; server-name \"other.test\"".to_owned()).status, 200);
    let plain = Upstream::echo();
    let bench = Bench::before(
        &plain.target(),
        &format!(
            "tls {{ {}; server-name \"inner.test\" }}; timeouts {{ connect \"2s\" }}",
            ca(&authority)
        ),
    );
    assert!([502, 504].contains(&bench.connect().get("/").status));
}

#[test]
fn a_certificate_swapped_under_load_fails_no_request() {
    let authority = Authority::new();
    authority.issue("site", &["example.com"]);
    let text =
        listener(&authority.certificate("site"), "workers 2\nroute \"r\" { respond 200 \"ok\" }\n");
    let mut bench = Bench::start(&text);
    let (address, config_of_client) = (bench.address(), authority.client(&[], None));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (stop, done, config) = (stop.clone(), done.clone(), config_of_client.clone());
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    let mut client = open(address, &config, "example.com");
                    for _ in 0..10 {
                        assert_eq!(client.get("/").text(), "ok");
                        done.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    let shown = || {
        let mut client = open(address, &authority.client(&[], None), "example.com");
        assert_eq!(client.get("/").status, 200);
        client.peer_certificate()
    };
    let mut before = shown();
    for _ in 0..5 {
        authority.issue("site", &["example.com"]);
        bench.edge().reload(config(&text)).unwrap();
        let after = shown();
        assert_ne!(before, after, "the new certificate is shown at once");
        before = after;
        let floor = done.load(SeqCst) + 20;
        eventually("requests go on", || done.load(SeqCst) >= floor);
    }
    stop.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

impl Client<Stream> {
    fn peer_certificate(&self) -> Vec<u8> {
        self.stream().conn.peer_certificates().unwrap()[0].to_vec()
    }
}
