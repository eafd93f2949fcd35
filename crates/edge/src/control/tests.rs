//! The control thread against real sockets and files.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use expect_test::{Expect, expect};
use rcgen::{CertificateParams, KeyPair};
use selvedge_config::{
    ListenerTls, SystemEnvironment, TargetAddress, UpstreamProtocol, UpstreamTls, load,
};
use selvedge_telemetry::{LogTarget, Settings};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    plan::Parts,
    tls::{ClientTls, ServerTls},
    upstream::{health::Health, target::TargetState},
};

/// A hub whose events can be read, and a folder for everything else.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) hub: Hub,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let events = LogTarget::File(folder.path().join("events"));
        let hub = Hub::start(&Settings { events, ..Settings::quiet(1) }).unwrap();
        Self { folder, hub }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The plan of a config after `previous`; what it lacks to be valid is added.
    pub(crate) fn plan(&self, text: &str, previous: Option<&Plan>) -> Arc<Plan> {
        let file = self.path("selvedge.kdl");
        let rest = r#"
            listener "plain" { address "127.0.0.1:0" }
            route "hello" { respond 200 "hello" }
        "#;
        fs::write(&file, format!("{text}{rest}")).unwrap();
        let loaded = load(&file, &SystemEnvironment).unwrap_or_else(|report| panic!("{report}"));
        let parts = Parts { hub: &self.hub, now: Instant::now() };
        Arc::new(Plan::new(Arc::new(loaded.config), previous, &parts).unwrap())
    }

    pub(crate) fn in_force(&self, text: &str, previous: Option<&Plan>) -> InForce {
        InForce { plan: self.plan(text, previous), bound: BTreeMap::new(), admin: None }
    }

    /// Waits for an event that holds `needle` and returns its line without the time.
    #[track_caller]
    pub(crate) fn event(&self, needle: &str) -> String {
        let mut found = None;
        eventually(needle, || {
            found = self.events().into_iter().find(|line| line.contains(needle));
            found.is_some()
        });
        found.unwrap()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("events")).unwrap();
        log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

/// Waits until something holds; the time only bounds a failure.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server that answers each connection with the same bytes and closes it. Without any, it hangs.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Option<&'static str>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (says, heard) = (answer.clone(), requests.clone());
        thread::spawn(move || serve(listener.incoming().flatten(), &says, &heard));
        Self { address, answer, requests }
    }

    fn say(&self, answer: Option<&'static str>) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn serve<S: Read + Write>(
    connections: impl Iterator<Item = S>,
    answer: &Mutex<Option<&'static str>>,
    requests: &Mutex<Vec<String>>,
) {
    let mut hanging = Vec::new();
    for mut stream in connections {
        let answer = *answer.lock().unwrap();
        let Some(answer) = answer else {
            hanging.push(stream);
            continue;
        };
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
            request.push(byte[0]);
        }
        requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        let _ = stream.write_all(answer.as_bytes());
    }
}

const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbut not all");
const SICK: Option<&str> = Some("HTTP/1.1 500 Oh\r\n\r\n");

fn target(plan: &Plan) -> Arc<TargetState> {
    plan.upstreams[0].state.targets[0].clone()
}

#[track_caller]
fn becomes(target: &TargetState, health: Health) {
    eventually(&format!("{health:?}"), || target.health() == health);
}

/// One target that is probed again and again.
fn upstream(address: &str, probe: &str) -> String {
    format!(
        "upstream \"app\" {{ target \"{address}\"
            health {{ {probe}; every \"200ms\"; healthy 2; unhealthy 2 }} }}\n"
    )
}

#[test]
fn a_target_falls_ill_and_recovers() {
    let (bench, server) = (Bench::new(), Server::start(OK));
    let text = upstream(&server.address.to_string(), "http \"/healthz?full=1\"");
    let in_force = bench.in_force(&text, None);
    let plan = in_force.plan.clone();
    let _control = Control::start(&bench.hub, &AuditTrail::default(), in_force).unwrap();
    let target = target(&plan);
    becomes(&target, Health::Healthy);
    server.say(SICK);
    becomes(&target, Health::Unhealthy);
    let metric = format!(
        "selvedge_upstream_target_healthy{{upstream=\"app\",target=\"{}\"}} 0",
        server.address
    );
    eventually(&metric, || bench.hub.render_prometheus().contains(&metric));
    server.say(OK);
    becomes(&target, Health::Healthy);
    let events = bench.event("status 500").replace(&server.address.to_string(), "ADDRESS");
    expect![[r#"level=warn msg="target unhealthy" upstream=app target=ADDRESS health=unhealthy reason="status 500 outside of 200 to 399""#]].assert_eq(&events);
    let request =
        server.requests.lock().unwrap()[0].replace(&server.address.to_string(), "ADDRESS");
    expect![[r#"
        GET /healthz?full=1 HTTP/1.1
        Host: ADDRESS
        User-Agent: selvedge-health
        Accept: */*
        Connection: close

    "#]]
    .assert_eq(&request.replace('\r', ""));
}

/// Probes `address` once; returns the verdict with its reason.
fn verdict(address: &str, probe: &str, more: &str) -> String {
    let bench = Bench::new();
    let health = format!("health {{ {probe}; every \"2s\"; healthy 1; unhealthy 1 }}");
    let text = format!("upstream \"app\" {{ target \"{address}\"\n{more}\n{health} }}\n");
    let _control =
        Control::start(&bench.hub, &AuditTrail::default(), bench.in_force(&text, None)).unwrap();
    let event = bench.event(" health=");
    event.split_once("health=").unwrap().1.to_owned()
}

#[track_caller]
fn check(answer: Option<&'static str>, probe: &str, expected: Expect) {
    let server = Server::start(answer);
    expected.assert_eq(&verdict(&server.address.to_string(), probe, ""));
}

#[test]
fn answers_are_judged() {
    let http = "http \"/\"";
    check(None, http, expect![[r#"unhealthy reason="no answer in time""#]]);
    check(
        Some("SSH-2.0-OpenSSH_9.2\r\n"),
        http,
        expect![[r#"unhealthy reason="the answer was not HTTP""#]],
    );
    check(Some(""), http, expect![[r#"unhealthy reason="the answer was not HTTP""#]]);
    check(
        Some("HTTP/1.1 200 OK\r\nhalf: "),
        http,
        expect![[r#"unhealthy reason="the answer was not HTTP""#]],
    );
    check(
        Some("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        http,
        expect![[r#"healthy reason="probes passed""#]],
    );
    check(
        Some("HTTP/1.0 301 Moved\r\n\r\n"),
        "http \"/\" expect=\"200-299\"",
        expect![[r#"unhealthy reason="status 301 outside of 200 to 299""#]],
    );
    check(None, "tcp", expect![[r#"healthy reason="probes passed""#]]);
}

#[test]
fn who_is_not_there_is_unhealthy() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = expect![[r#"unhealthy reason="no connection: connection refused""#]];
    refused.assert_eq(&verdict(&closed.to_string(), "tcp", ""));
    let missing = expect![[r#"unhealthy reason="no connection: entity not found""#]];
    missing.assert_eq(&verdict("unix:/nonexistent/app.sock", "http \"/\"", ""));
}

#[test]
fn unix_sockets_and_names_are_probed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let heard = requests.clone();
    thread::spawn(move || serve(listener.incoming().flatten(), &Mutex::new(OK), &heard));
    let healthy = expect![[r#"healthy reason="probes passed""#]];
    healthy.assert_eq(&verdict(&format!("unix:{}", path.display()), "http \"/\"", ""));
    assert!(requests.lock().unwrap()[0].contains("Host: localhost\r\n"));

    let server = Server::start(OK);
    let name = format!("localhost:{}", server.address.port());
    healthy.assert_eq(&verdict(&name, "http \"/\" host=\"app.test\"", ""));
    assert!(server.requests.lock().unwrap()[0].contains("Host: app.test\r\n"));
}

/// An HTTP/2 server that answers every request with `status`, over TLS if it has a certificate.
fn http2_server(status: u16, tls: Option<Arc<ServerTls>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    Some(tls) => {
                        let acceptor = TlsAcceptor::from(tls.server_config());
                        if let Ok(stream) = acceptor.accept(stream).await {
                            answer_http2(stream, status).await;
                        }
                    }
                    None => answer_http2(stream, status).await,
                }
            }
        });
    });
    address
}

async fn answer_http2<S>(stream: S, status: u16)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/healthz");
        let answer = http::Response::builder().status(status).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    }
}

fn self_signed() -> Arc<ServerTls> {
    let settings = ListenerTls {
        certificates: vec![selvedge_config::Certificate::SelfSigned {
            names: vec!["localhost".to_owned()],
        }],
        min_version: selvedge_config::TlsVersion::Tls12,
        max_version: selvedge_config::TlsVersion::Tls13,
        client_auth: selvedge_config::ClientAuth::Off,
        resumption: true,
    };
    Arc::new(ServerTls::load(&settings, true, true).unwrap())
}

#[test]
fn http2_and_tls_are_probed() {
    let probe = "http \"/healthz\"";
    let h2 = "protocol \"h2\"";
    let healthy = expect![[r#"healthy reason="probes passed""#]];
    healthy.assert_eq(&verdict(&http2_server(204, None).to_string(), probe, h2));
    let sick = expect![[r#"unhealthy reason="status 503 outside of 200 to 399""#]];
    sick.assert_eq(&verdict(&http2_server(503, None).to_string(), probe, h2));
    let secured = http2_server(200, Some(self_signed())).to_string();
    healthy.assert_eq(&verdict(&secured, probe, &format!("{h2}; tls {{ verify #false }}")));
    let doubted = verdict(&secured, "tcp", "tls { server-name \"localhost\" }");
    assert!(
        doubted.starts_with("unhealthy reason=\"TLS handshake: invalid peer certificate"),
        "{doubted}"
    );
    let plain = Server::start(Some("HTTP/1.1 200 OK\r\n\r\n"));
    let doubted = verdict(&plain.address.to_string(), probe, h2);
    assert!(doubted.starts_with("unhealthy reason="), "{doubted}");
}

#[test]
fn a_reload_keeps_what_stays_and_forgets_what_goes() {
    let (bench, server) = (Bench::new(), Server::start(SICK));
    let text = upstream(&server.address.to_string(), "http \"/\"");
    let in_force = bench.in_force(&text, None);
    let first = in_force.plan.clone();
    let control = Control::start(&bench.hub, &AuditTrail::default(), in_force).unwrap();
    let state = target(&first);
    becomes(&state, Health::Unhealthy);

    let in_force = bench.in_force(&text.replace("\"/\"", "\"/other\""), Some(&first));
    let second = in_force.plan.clone();
    control.swap(in_force);
    assert!(Arc::ptr_eq(&target(&second), &state) && state.health() == Health::Unhealthy);
    let asked = |path: &str| server.requests.lock().unwrap().iter().any(|r| r.starts_with(path));
    eventually("the new path is asked", || asked("GET /other "));
    server.say(OK);
    becomes(&state, Health::Healthy);
    server.say(SICK);
    becomes(&state, Health::Unhealthy);

    let unchecked = format!("upstream \"app\" {{ target \"{}\" }}\n", server.address);
    control.swap(bench.in_force(&unchecked, Some(&second)));
    becomes(&state, Health::Unknown);
    drop(control);
    assert_eq!(state.health(), Health::Unknown);
}

fn issue(folder: &Path, name: &str, days: u64) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(24 * 3600);
    params.not_before = (now - 90 * day).into();
    params.not_after = (now + Duration::from_secs(days * 24 * 3600 + 3600)).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    // Renamed, as every good tool does, so that no half of a file is ever read.
    for (file, content) in [("site.key", key.serialize_pem()), ("site.pem", certificate.pem())] {
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join(file)).unwrap();
    }
}

const HTTPS: &str = r#"
    listener "https" { address "127.0.0.1:1"; tls { cert "site.pem"; key "site.key" } }
"#;

/// The certificate that a new handshake shows.
async fn shown(plan: &Plan) -> Vec<u8> {
    let settings = UpstreamTls { ca: None, server_name: None, identity: None, verify: false };
    let client = ClientTls::load(&settings, UpstreamProtocol::Http1).unwrap();
    let server = TlsAcceptor::from(plan.listeners[0].tls.as_ref().unwrap().server_config());
    let (near, far) = tokio::io::duplex(1 << 16);
    let target = TargetAddress::Name { host: "localhost".to_owned(), port: 443 };
    let (client, server) = tokio::join!(client.connect(&target, near), server.accept(far));
    server.unwrap();
    client.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn renewed_certificates_are_shown_to_the_next_client() {
    let bench = Bench::new();
    issue(bench.folder.path(), "old.test", 20);
    let in_force = bench.in_force(HTTPS, None);
    let plan = in_force.plan.clone();
    let (sender, receiver) = watch::channel(Arc::new(in_force));
    let every = Duration::from_millis(10);
    let hub = bench.hub.clone();
    let control = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(certificates::run(hub, receiver, every));
    });
    let handshake = || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(shown(&plan))
    };
    let old = handshake();
    let soon = bench.event("expires in").replace(&bench.folder.path().display().to_string(), "");
    expect![[r#"level=warn msg="the certificate in /site.pem expires in 20 days: renew it" listener=https"#]].assert_eq(&soon);
    let metric =
        "selvedge_certificate_expiry_timestamp_seconds{listener=\"https\",name=\"old.test\"}";
    eventually(metric, || bench.hub.render_prometheus().contains(metric));

    issue(bench.folder.path(), "new.test", 60);
    let metric = metric.replace("old", "new");
    eventually(&metric, || bench.hub.render_prometheus().contains(&metric));
    let new = handshake();
    assert_ne!(new, old);
    bench.event("msg=\"certificates reloaded\" listener=https");

    fs::write(bench.path("site.pem"), "nonsense").unwrap();
    let refused = bench.event("not reloaded; those before stay in use");
    assert!(
        refused.contains("listener=https") && refused.contains("holds no certificate"),
        "{refused}"
    );
    assert_eq!(handshake(), new);
    let warnings = bench.events().iter().filter(|line| line.contains("expires in")).count();
    assert_eq!(warnings, 1, "said once a day");
    drop(sender);
    control.join().unwrap();
}

#[test]
fn breakers_show_in_metrics() {
    let bench = Bench::new();
    let text = r#"upstream "app" {
        target "127.0.0.1:9"
        circuit-breaker { failure-threshold 1 }
    }"#;
    let plan = bench.plan(text, None);
    let metric = |state| format!("selvedge_upstream_breaker_state{{upstream=\"app\"}} {state}");
    publish(&plan, Instant::now());
    let page = bench.hub.render_prometheus();
    assert!(page.contains(&metric(0)), "{page}");
    let breaker = plan.upstreams[0].state.breaker.as_ref().unwrap();
    breaker.try_admit(Instant::now()).unwrap().failure(Instant::now());
    publish(&plan, Instant::now());
    assert!(bench.hub.render_prometheus().contains(&metric(2)));
}
