//! `core { log { … } }`.

use selvedge_config::{CoreNats, CoreNatsLogin, MemoryEnvironment, parse_str};

fn environment() -> MemoryEnvironment {
    let files = ["/etc/ca.pem", "/etc/cert.pem", "/etc/key.pem"];
    let environment = MemoryEnvironment::default().with_var("SECRET", "hunter2");
    files.into_iter().fold(environment, |environment, file| environment.with_file(file, "x"))
}

fn core(log: &str) -> String {
    format!("listener \"http\" {{ address \"127.0.0.1:1\" }}\ncore {{ data-dir \"d\"; {log} }}\n")
}

#[track_caller]
fn nats(log: &str) -> Option<CoreNats> {
    let config = parse_str("/etc/selvedge.kdl", &core(log), &environment()).unwrap().config;
    config.core.unwrap().process().unwrap().nats.clone()
}

#[test]
fn the_log_is_on_the_disk_unless_it_is_said() {
    assert_eq!(nats(""), None);
    assert_eq!(nats("log"), None);
    let bare = nats(r#"log { nats "nats://a:4222" }"#).unwrap();
    assert_eq!(
        (bare.servers, bare.stream.as_str(), bare.replicas),
        (vec!["nats://a:4222".into()], "SELVEDGE", 1)
    );
    assert_eq!((bare.login, bare.ca, bare.identity), (CoreNatsLogin::Anonymous, None, None));
    assert_eq!((bare.sync_always, bare.monitors), (false, vec![]));
}

#[test]
fn everything_can_be_said() {
    let log = r#"log { nats "nats://a:4222" "tls://[::1]:4223" {
        stream "my-LOG_1"; replicas 5; user "core"; password (env)"SECRET"
        ca "ca.pem"; cert "cert.pem"; key "key.pem"; sync "always"; monitor "a:8222" "b:8222"
    } }"#;
    let all = nats(log).unwrap();
    assert!(!format!("{all:?}").contains("hunter"));
    assert_eq!(all.servers.len(), 2);
    assert_eq!((all.stream.as_str(), all.replicas, all.sync_always), ("my-LOG_1", 5, true));
    let CoreNatsLogin::Password { user, password } = all.login else { panic!("{:?}", all.login) };
    assert_eq!((user.as_str(), password.expose()), ("core", "hunter2"));
    assert_eq!(all.ca.unwrap().to_str(), Some("/etc/ca.pem"));
    assert_eq!(all.identity.unwrap().1.to_str(), Some("/etc/key.pem"));
    assert_eq!(all.monitors, ["a:8222", "b:8222"]);
    let token = nats(r#"log { nats "nats://a:4222" { token (env)"SECRET" } }"#).unwrap().login;
    assert!(matches!(token, CoreNatsLogin::Token(token) if token.expose() == "hunter2"));
}

#[track_caller]
fn check(nats: &str, expected: &str) {
    let text = core(&format!("log {{ nats {nats} }}"));
    let report = parse_str("/etc/selvedge.kdl", &text, &environment()).unwrap_err().to_string();
    assert!(report.contains(expected), "{report}");
    assert!(!report.contains("hunter"), "{report}");
}

#[test]
fn what_is_wrong_is_said() {
    check("", "`nats` needs servers");
    check(r#""a:4222""#, "is no server of NATS");
    check(r#""nats://a""#, "is no server of NATS");
    check(r#""nats://core:word@a:4222""#, "is no server of NATS");
    check(r#""nats://a:4222" { stream "a.b" }"#, "cannot be the name of a stream");
    check(r#""nats://a:4222" { stream "a>" }"#, "cannot be the name of a stream");
    check(r#""nats://a:4222" { replicas 2 }"#, "1, 3 or 5 replicas");
    check(r#""nats://a:4222" { replicas 7 }"#, "replicas");
    check(r#""nats://a:4222" { user "core" }"#, "no way to log in");
    check(r#""nats://a:4222" { token (env)"SECRET"; user "core" }"#, "no way to log in");
    check(r#""nats://a:4222" { token "written" }"#, "a secret is not written into a config");
    check(r#""nats://a:4222" { cert "cert.pem" }"#, "a certificate comes with its key");
    check(r#""nats://a:4222" { sync "often" }"#, "is no promise");
    check(r#""nats://a:4222" { monitor "a" }"#, "no address and port");
    check(r#""nats://a:4222" { ca "nowhere.pem" }"#, "nowhere.pem");
    check(r#""nats://a:4222" { unknown 1 }"#, "unknown");
    check(&"\"nats://a:4222\" ".repeat(17), "at most 16 servers");
}
