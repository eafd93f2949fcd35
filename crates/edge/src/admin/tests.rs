//! The admin listener over real sockets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use expect_test::expect;
use selvedge_agent::Subscriptions;
use selvedge_config::{Config, MemoryEnvironment, parse_str};

use super::*;
use crate::{
    AuditTrail, Edge,
    agent::{process::Introduction, stats::Outcome},
    control::{Control, tests::Bench},
    server::StartError,
};

fn ephemeral() -> Option<Arc<AdminSocket>> {
    AdminSocket::bind(Some("127.0.0.1:0".parse().unwrap()), None).unwrap()
}

/// A control thread with an admin listener.
struct Running {
    bench: Bench,
    control: Control,
    address: SocketAddr,
}

impl Running {
    fn start(text: &str) -> Self {
        let bench = Bench::new();
        let in_force = InForce { admin: ephemeral(), ..bench.in_force(text, None) };
        Self::in_force(bench, in_force)
    }

    fn in_force(bench: Bench, in_force: InForce) -> Self {
        let address = in_force.admin.as_ref().unwrap().bound;
        let control = Control::start(&bench.hub, &AuditTrail::default(), in_force).unwrap();
        control.set_stage(Stage::Serving);
        Self { bench, control, address }
    }

    /// What is answered to `line`, for example `GET /livez`.
    fn ask(&self, line: &str) -> (u16, String) {
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        ask(self.address, &head)
    }
}

/// Status and body of the answer to a head.
fn ask(address: SocketAddr, head: &str) -> (u16, String) {
    let (head, body) = exchange(address, head);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

fn exchange(address: SocketAddr, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn pages_are_served() {
    let running = Running::start("");
    assert_eq!(running.ask("GET /"), (200, INDEX.to_owned()));
    assert_eq!(running.ask("GET /livez"), (200, "alive\n".to_owned()));
    assert_eq!(running.ask("HEAD /livez"), (200, String::new()));
    let (status, page) = running.ask("GET /metrics");
    assert!(status == 200 && page.contains("\nselvedge_build_info{"), "{page}");
    assert_eq!(running.ask("GET /nothing").0, 404);
    for endpoint in INDEX.lines().skip(2) {
        let mut words = endpoint.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        assert!(Endpoint::of(path).unwrap().allows(&method.parse().unwrap()), "{endpoint}");
    }
}

#[test]
fn heads_are_as_scrapers_and_browsers_need_them() {
    let running = Running::start("");
    let ask = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, _) = exchange(running.address, &head);
        let kept = |line: &&str| !line.starts_with("date") && !line.starts_with("content-length");
        head.lines().filter(kept).map(|line| format!("{line}\n")).collect::<String>()
    };
    expect![[r#"
        HTTP/1.1 200 OK
        content-type: text/plain; version=0.0.4
        cache-control: no-store
        x-content-type-options: nosniff
        connection: close
    "#]]
    .assert_eq(&ask("GET /metrics"));
    expect![[r#"
        HTTP/1.1 405 Method Not Allowed
        content-type: text/plain; charset=utf-8
        cache-control: no-store
        x-content-type-options: nosniff
        allow: POST
        connection: close
    "#]]
    .assert_eq(&ask("GET /reload"));
    assert!(ask("DELETE /config").contains("allow: GET, HEAD"));
}

#[test]
fn strangers_are_refused() {
    let running = Running::start("");
    let foreign = "GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let refused = "ask by IP address or as localhost, not by another name\n".to_owned();
    assert_eq!(ask(running.address, foreign), (421, refused));
    let page = "POST /reload HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n";
    let refused = "a web page may not do this; add the header X-Selvedge-Admin: 1\n".to_owned();
    assert_eq!(ask(running.address, page), (403, refused));
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(HEAD_MAX));
    assert_eq!(ask(running.address, &long).0, 431);
}

#[test]
fn readiness_follows_the_stage() {
    let running = Running::start("");
    running.control.set_stage(Stage::Starting);
    assert_eq!(running.ask("GET /readyz"), (503, "starting\n".to_owned()));
    running.control.set_stage(Stage::Serving);
    assert_eq!(running.ask("GET /readyz"), (200, "ready\n".to_owned()));
    running.control.set_stage(Stage::Draining);
    assert_eq!(running.ask("GET /readyz"), (503, "draining\n".to_owned()));
    running.control.set_stage(Stage::Serving);
    running.control.shared().worker_lost();
    let (status, why) = running.ask("GET /readyz");
    assert!(status == 503 && why.starts_with("1 of the workers ended"), "{why}");
    assert_eq!(running.ask("GET /livez").0, 200);
    assert_eq!(running.ask("GET /livez").0, 200);
}

#[test]
fn what_is_in_force_is_told() {
    let text = r#"
        listener "https" { address "127.0.0.1:1"; tls { self-signed "localhost" } }
        upstream "app" {
            target "127.0.0.1:9" weight=3
            target "unix:/run/app.sock"
            circuit-breaker { window "10s" }
        }
        upstream "checked" {
            target "127.0.0.1:9"
            protocol "h2"
            health { tcp; every "1h" }
        }
    "#;
    let running = Running::start(text);
    let ask = || {
        let (status, page) = running.ask("GET /config");
        assert_eq!(status, 200);
        let folder = running.bench.folder.path().display().to_string();
        let page = page.replace(&folder, "FOLDER");
        let vague = |line: &str| match line.split_once(": ") {
            Some((name, _)) if name.ends_with("_at\"") => format!("{name}: TIME,\n"),
            Some((name, _)) if name.ends_with("not_after\"") => format!("{name}: TIME\n"),
            _ => format!("{line}\n"),
        };
        page.lines().map(vague).collect::<String>()
    };
    assert!(ask().contains("\"revision\": null"));
    running.bench.hub.config_loaded(7);
    expect![[r#"
        {
          "stage": "serving",
          "revision": 7,
          "loaded_at": TIME,
          "files": [
            "FOLDER/selvedge.kdl"
          ],
          "listeners": [
            {
              "id": "https",
              "address": "127.0.0.1:1",
              "bound": null,
              "protocols": [
                "http/1.1",
                "h2"
              ],
              "tls": true,
              "certificates": [
                {
                  "source": "self-signed",
                  "names": [
                    "localhost"
                  ],
                  "not_after": TIME
                }
              ]
            },
            {
              "id": "plain",
              "address": "127.0.0.1:0",
              "bound": null,
              "protocols": [
                "http/1.1"
              ],
              "tls": false,
              "certificates": []
            }
          ],
          "routes": 1,
          "upstreams": [
            {
              "id": "app",
              "protocol": "http/1.1",
              "breaker": "closed",
              "connections": 0,
              "targets": [
                {
                  "address": "127.0.0.1:9",
                  "weight": 3,
                  "health": null,
                  "ejected": false,
                  "ejections": 0,
                  "in_flight": 0,
                  "requests": 0,
                  "failures": 0
                },
                {
                  "address": "unix:/run/app.sock",
                  "weight": 1,
                  "health": null,
                  "ejected": false,
                  "ejections": 0,
                  "in_flight": 0,
                  "requests": 0,
                  "failures": 0
                }
              ]
            },
            {
              "id": "checked",
              "protocol": "h2",
              "breaker": null,
              "connections": 0,
              "targets": [
                {
                  "address": "127.0.0.1:9",
                  "weight": 1,
                  "health": "unknown",
                  "ejected": false,
                  "ejections": 0,
                  "in_flight": 0,
                  "requests": 0,
                  "failures": 0
                }
              ]
            }
          ],
          "agents": []
        }
    "#]]
    .assert_eq(&ask());
}

/// Two agents that somebody else runs, one of which was never seen.
const AGENTS: &str = r#"
    agent "auth" { type "who"; address "unix:/run/who.sock"; failure-mode "open" }
    agent "limits" {
        type "how-often"
        address "unix:/run/limits.sock"
        after "auth"
        timeout-ms 20
        max-concurrent-calls 7
    }
    route "asking" { matches { path "/asking" }; agents "auth" "limits"; respond 200 "yes" }
"#;

#[test]
fn agents_are_told_of() {
    let bench = Bench::new();
    let in_force = InForce { admin: ephemeral(), ..bench.in_force(AGENTS, None) };
    let auth = in_force.plan.agents[0].clone();
    let wants = Subscriptions::none()
        .request_headers()
        .inspect_request_body(1 << 16)
        .of_methods(["POST"])
        .of_types(["application/json"]);
    let (name, version) = ("who".to_owned(), "1.2".to_owned());
    auth.door.introduce(Introduction { name, version, wants });
    let connected = auth.door.connected();
    auth.stats.record(Outcome::Allow, Duration::from_micros(40));
    auth.stats.record(Outcome::Block, Duration::from_micros(40));
    auth.stats.record(Outcome::Timeout, Duration::from_millis(100));
    auth.stats.record(Outcome::Cancelled, Duration::ZERO);
    auth.stats.note_unlogged();
    let running = Running::in_force(bench, in_force);
    let (status, page) = running.ask("GET /agents");
    assert_eq!(status, 200);
    expect![[r#"
        {
          "agents": [
            {
              "id": "auth",
              "kind": "who",
              "state": "ready",
              "connections": 1,
              "runs": {
                "address": "/run/who.sock"
              },
              "restarts": 0,
              "in_flight": 0,
              "waiting": 0,
              "max_concurrent_calls": 100,
              "p50_us": 48,
              "p99_us": 114688,
              "verdicts": {
                "allow": 1,
                "block": 1,
                "challenge": 0,
                "redirect": 0
              },
              "failures": {
                "abandoned": 0,
                "breaker_open": 0,
                "lost": 0,
                "queue_full": 0,
                "timeout": 1
              },
              "cancelled": 1,
              "log_missed": 1,
              "breaker": "closed",
              "failure_mode": "open",
              "timeout_ms": 100,
              "after": [],
              "said": {
                "name": "who",
                "version": "1.2",
                "wants": [
                  {
                    "event": "request_headers",
                    "mode": null,
                    "bytes_max": 0,
                    "methods": [],
                    "content_types": []
                  },
                  {
                    "event": "request_body",
                    "mode": "inspect",
                    "bytes_max": 65536,
                    "methods": [
                      "POST"
                    ],
                    "content_types": [
                      "application/json"
                    ]
                  }
                ]
              }
            },
            {
              "id": "limits",
              "kind": "how-often",
              "state": "away",
              "connections": 0,
              "runs": {
                "address": "/run/limits.sock"
              },
              "restarts": 0,
              "in_flight": 0,
              "waiting": 0,
              "max_concurrent_calls": 7,
              "p50_us": 0,
              "p99_us": 0,
              "verdicts": {
                "allow": 0,
                "block": 0,
                "challenge": 0,
                "redirect": 0
              },
              "failures": {
                "abandoned": 0,
                "breaker_open": 0,
                "lost": 0,
                "queue_full": 0,
                "timeout": 0
              },
              "cancelled": 0,
              "log_missed": 0,
              "breaker": "closed",
              "failure_mode": "closed",
              "timeout_ms": 20,
              "after": [
                "auth"
              ],
              "said": null
            }
          ]
        }
    "#]]
    .assert_eq(&page);

    let metrics = || running.ask("GET /metrics").1;
    let page = metrics();
    for line in [
        "selvedge_agent_calls_total{agent=\"auth\",outcome=\"block\"} 1",
        "selvedge_agent_call_duration_seconds_bucket{agent=\"auth\",le=\"0.000064\"} 2",
        "selvedge_agent_call_duration_seconds_count{agent=\"auth\"} 3",
        "selvedge_agent_up{agent=\"auth\"} 1",
        "selvedge_agent_up{agent=\"limits\"} 0",
        "selvedge_agent_breaker_state{agent=\"limits\"} 0",
        "selvedge_agent_log_missed_total{agent=\"auth\"} 1",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "no {line} in {page}");
    }
    drop(connected);
    assert!(metrics().contains("selvedge_agent_up{agent=\"auth\"} 0\n"));
    let (_, config) = running.ask("GET /config");
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    expect![[r#"[{"breaker":"closed","id":"auth","kind":"who","state":"away"},{"breaker":"closed","id":"limits","kind":"how-often","state":"away"}]"#]].assert_eq(&config["agents"].to_string());
}

#[test]
fn counts_of_agents_go_on_over_a_reload() {
    let bench = Bench::new();
    let first = bench.plan(AGENTS, None);
    first.agents[0].stats.record(Outcome::Allow, Duration::from_micros(40));
    let second =
        bench.plan(&AGENTS.replace("failure-mode \"open\"", "timeout-ms 30"), Some(&first));
    assert_eq!(second.agents[0].stats.outcome(Outcome::Allow), 1);
    publish(&second, std::time::Instant::now());
    let line = "selvedge_agent_calls_total{agent=\"auth\",outcome=\"allow\"} 1\n";
    assert!(bench.hub.render_prometheus().contains(line));
}

#[test]
fn a_reload_is_carried_out_by_somebody_else() {
    let running = Running::start("");
    let nobody = "this process takes no reloads here; send it SIGHUP\n".to_owned();
    assert_eq!(running.ask("POST /reload"), (501, nobody.clone()));

    let mut requests = running.control.reload_requests();
    let process = thread::spawn(move || {
        let outcomes = [Ok("revision 2".to_owned()), Err("E0101 at selvedge.kdl:1\n".to_owned())];
        for outcome in outcomes {
            requests.blocking_recv().unwrap().reply.send(outcome).unwrap();
        }
        drop(requests.blocking_recv().unwrap());
    });
    assert_eq!(running.ask("POST /reload"), (200, "revision 2\n".to_owned()));
    assert_eq!(running.ask("POST /reload"), (422, "E0101 at selvedge.kdl:1\n".to_owned()));
    let ending = "not carried out: the process is about to end\n".to_owned();
    assert_eq!(running.ask("POST /reload"), (503, ending));
    process.join().unwrap();
    assert_eq!(running.ask("POST /reload"), (501, nobody));
}

#[test]
fn connections_beyond_the_bound_wait() {
    let running = Running::start("");
    let mut idle = (0..CONNECTIONS_MAX)
        .map(|_| TcpStream::connect(running.address).unwrap())
        .collect::<Vec<_>>();
    // All are accepted once the last one was answered its first line.
    let head = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", running.address);
    let mut last = idle.pop().unwrap();
    last.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    idle.push(TcpStream::connect(running.address).unwrap());

    let mut beyond = TcpStream::connect(running.address).unwrap();
    beyond.write_all(head.as_bytes()).unwrap();
    beyond.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(beyond.read(&mut [0]).is_err(), "answered beyond the bound");
    idle.pop();
    beyond.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    beyond.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("alive\n"), "{answer}");
}

fn config(text: &str) -> Arc<Config> {
    let rest = r#"
        listener "http" { address "127.0.0.1:0" }
        route "hello" { respond 200 "hello" }
        workers 1
    "#;
    let loaded = parse_str("selvedge.kdl", &format!("{text}{rest}"), &MemoryEnvironment::default());
    Arc::new(loaded.unwrap_or_else(|report| panic!("{report}")).config)
}

#[test]
fn the_address_follows_the_config() {
    let bench = Bench::new();
    let mut edge =
        Edge::start(config("admin { address \"127.0.0.1:0\" }"), bench.hub.clone()).unwrap();
    let first = edge.admin_address().unwrap();
    let live = |at: SocketAddr| ask(at, &format!("GET /readyz HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    assert_eq!(live(first), (200, "ready\n".to_owned()));

    edge.reload(config("admin { address \"127.0.0.1:0\" }\nlimits { connections 7 }")).unwrap();
    assert_eq!(edge.admin_address(), Some(first), "an address that stays keeps its socket");

    edge.reload(config("admin { address \"127.0.0.2:0\" }")).unwrap();
    let second = edge.admin_address().unwrap();
    assert_eq!(live(second), (200, "ready\n".to_owned()));
    crate::control::tests::eventually("the first is closed", || TcpStream::connect(first).is_err());
    let page = ask(second, &format!("GET /config HTTP/1.1\r\nHost: {second}\r\n\r\n")).1;
    let bound = edge.addresses()[0].1;
    assert!(page.contains(&format!("\"bound\": \"{bound}\"")), "{page}");

    let taken = TcpListener::bind("127.0.0.1:0");
    let taken = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(taken)
        .unwrap();
    let taken_address = taken.local_addr().unwrap();
    let wanted = config(&format!("admin {{ address \"{taken_address}\" }}"));
    let error = edge.reload(wanted.clone()).unwrap_err();
    assert!(matches!(error, StartError::Admin { .. }));
    expect!["the admin listener cannot listen on ADDRESS: Address already in use (os error 98) (another process listens there; `ss -ltnp` names it); `admin { address … }` moves it, `admin #false` switches it off"].assert_eq(&error.to_string().replace(&taken_address.to_string(), "ADDRESS"));
    assert_eq!(edge.admin_address(), Some(second), "a refused reload changes nothing");
    assert!(Edge::start(wanted, bench.hub.clone()).is_err());

    edge.reload(config("admin #false")).unwrap();
    assert_eq!(edge.admin_address(), None);
    crate::control::tests::eventually("no listener", || TcpStream::connect(second).is_err());
    edge.drain(Duration::ZERO);
}

#[test]
fn a_draining_edge_says_so_until_its_end() {
    let bench = Bench::new();
    let edge = Edge::start(config("admin { address \"127.0.0.1:0\" }"), bench.hub.clone()).unwrap();
    let (admin, listener) = (edge.admin_address().unwrap(), edge.addresses()[0].1);
    // A request that does not come to its end keeps the drain going.
    let mut slow = TcpStream::connect(listener).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    crate::control::tests::eventually("connected", || edge.connections() == 1);
    let drain = thread::spawn(move || edge.drain(Duration::from_secs(20)));
    let ready = || ask(admin, &format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    crate::control::tests::eventually("draining", || ready() == (503, "draining\n".to_owned()));
    slow.write_all(b"\r\n").unwrap();
    drop(slow);
    assert_eq!(drain.join().unwrap().cut, 0);
    assert!(TcpStream::connect(admin).is_err());
}

const PAGE: &str = include_str!("../../../../docs/reference/admin.md");
const GUIDE: &str = include_str!("../../../../docs/guide/operations.md");

#[test]
fn the_pages_parse() {
    let blocks = |page: &'static str| {
        page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap())
    };
    let mut configs = 0;
    for block in blocks(PAGE).chain(blocks(GUIDE)) {
        let loaded = parse_str("selvedge.kdl", block, &MemoryEnvironment::default());
        loaded.unwrap_or_else(|report| panic!("{report}"));
        configs += 1;
    }
    assert_eq!(configs, 3);
}

#[test]
fn the_page_lists_the_endpoints() {
    let listed = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed = listed.filter_map(|(request, _)| request.split_once(' '));
    let listed = listed.map(|(method, path)| (Endpoint::of(path).unwrap(), method));
    let index = INDEX.lines().skip(2).map(|line| {
        let mut words = line.split_whitespace();
        let method = words.next().unwrap();
        (Endpoint::of(words.next().unwrap()).unwrap(), method)
    });
    assert_eq!(listed.skip(1).collect::<Vec<_>>(), index.collect::<Vec<_>>());
}

#[test]
fn the_guide_names_metrics_that_exist() {
    let (_, metrics) = Running::start("").ask("GET /metrics");
    let words = GUIDE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("selvedge_") || word.starts_with("process_"));
    let names = names.collect::<std::collections::BTreeSet<_>>();
    assert!(names.len() > 8);
    for name in names {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
    }
}
