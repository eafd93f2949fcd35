use std::{fs::File, path::Path, process::Command};

use rustix::process::Signal;

use crate::{
    http::{get, try_get},
    process::{Place, Running, children, eventually, field, is_alive, send},
};

/// Demonstrations look for free ports, which two at once could both find: one at a time, also of other processes.
fn alone() -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demonstration.lock");
    let file = File::create(path).unwrap();
    file.lock().unwrap();
    file
}

struct Demo {
    up: Running,
    site: String,
    /// The page that shows what runs, wherever the site is.
    tour: String,
    tls: String,
    echo: String,
    metrics: String,
    /// The commands that append a first event, as printed.
    events: String,
}

fn demo(place: &Place) -> Demo {
    demo_of(place.start("up"))
}

fn demo_of(mut up: Running) -> Demo {
    let mut url = |name: &str| {
        let line = up.read(&format!("  {name} "));
        line.split_whitespace().find(|word| word.contains("://")).unwrap().to_owned()
    };
    let (site, tour, tls) = (url("Site"), url("Tour"), url("Over TLS"));
    let (echo, metrics) = (url("Echo"), url("Metrics"));
    up.read("Events that must not be lost");
    let events = (0..7).map(|_| up.read("").trim().to_owned() + "\n").collect();
    up.read("Ctrl-C stops it.");
    Demo { up, site, tour, tls, echo, metrics, events }
}

#[test]
fn without_a_config_a_demonstration_answers_on_its_urls() {
    let _alone = alone();
    let place = Place::new();
    let Demo { mut up, site, tour, tls, echo, metrics, events: _ } = demo(&place);
    assert_eq!(get(&site).status, 200);
    let page = get(&tour);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Selvedge is running</title>"));
    assert!(page.body.contains("Notes</"));
    let config = get(&format!("{tour}selvedge.kdl.txt"));
    assert!(config.body.contains(site.trim_start_matches("http://").trim_end_matches('/')));
    let seen: serde_json::Value = serde_json::from_str(&get(&format!("{echo}?a=b")).body).unwrap();
    assert_eq!(seen["path"], "/api/echo");
    assert_eq!(seen["query"], "a=b");
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert!(seen["headers"]["traceparent"].is_string());
    let moved = get(&format!("{site}old"));
    assert_eq!(moved.status, 307);
    assert!(moved.head.contains(&format!("location: {site}\r\n")), "{}", moved.head);
    assert_eq!(get(&format!("{site}nowhere")).status, 404);
    assert!(get(&metrics).body.contains("selvedge_requests_total"));
    // Plain text on the TLS port gets a plain answer.
    assert_eq!(get(&tls.replace("https", "http")).status, 400);
    up.read("\"path\":\"/api/echo\"");

    let roles = children(up.id());
    assert_eq!(roles.len(), 2, "edge and core");
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    assert!(roles.into_iter().all(|role| !is_alive(role)));
    assert!(try_get(&site).is_err());
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_the_demonstration_prints_appends_an_event() {
    if Command::new("curl").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no curl");
    }
    let _alone = alone();
    let place = Place::new();
    let Demo { mut up, site, tour, events, .. } = demo(&place);
    let commands = events.replace("curl ", "curl -sS ");
    let ran = Command::new("sh").args(["-euc", &commands]).output().unwrap();
    assert!(ran.status.success(), "{commands}\n{}", place.show(&ran));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), r#"[{"order":1,"total":25}]"#, "{commands}");
    // Whoever can see the site sees no token.
    let token = events.split("slv_").nth(1).unwrap().split('\'').next().unwrap();
    for page in [site, tour.clone(), format!("{tour}selvedge.kdl.txt")] {
        assert!(!get(&page).body.contains(token));
    }
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn the_demonstration_serves_the_site_that_it_is_given() {
    let _alone = alone();
    let place = Place::new();
    let refused = place.run("up --site nowhere");
    assert!(refused.contains("there is no index.html in nowhere"), "{refused}");
    std::fs::create_dir(place.path("my\"site\"")).unwrap();
    place.write("my\"site\"/index.html", "<p>mine</p>");
    let Demo { mut up, site, tour, .. } = demo_of(place.start("up --site my\"site\""));
    let mine = get(&site);
    assert_eq!(mine.body, "<p>mine</p>");
    assert!(mine.head.contains("cache-control: no-cache\r\n"), "{}", mine.head);
    assert!(get(&tour).body.contains("<title>Selvedge is running</title>"));
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn the_edge_goes_with_its_supervisor() {
    let _alone = alone();
    let place = Place::new();
    let Demo { up, .. } = demo(&place);
    let edge = children(up.id())[0];
    up.signal(Signal::KILL);
    eventually("the edge ends", || (!is_alive(edge)).then_some(()));
    drop(up);
}

const CONFIG: &str = "workers 1\nadmin #false\ntelemetry { access-log #false }\n\
    listener \"web\" { address \"127.0.0.1:0\" }\nroute \"all\" { respond 200 \"one\" }\n";

#[test]
fn the_usual_config_is_found_and_an_edge_that_dies_is_started_again() {
    let place = Place::new();
    let mut up = place.write("selvedge.kdl", CONFIG).start("up");
    let url = field(&up.hear("msg=listening"), "url");
    up.hear("msg=serving");
    assert_eq!(get(&url).body, "one");
    send(children(up.id())[0], Signal::KILL);
    up.hear("the edge ended (signal: 9 (SIGKILL)); starting it again in 250ms");
    let url = field(&up.hear("msg=listening"), "url");
    up.hear("msg=serving");
    assert_eq!(get(&url).body, "one");

    place.write("selvedge.kdl", &CONFIG.replace("one", "two"));
    up.signal(Signal::HUP);
    up.hear("config reloaded");
    assert_eq!(get(&url).body, "two");

    place.write("selvedge.kdl", "route");
    send(children(up.id())[0], Signal::KILL);
    assert_eq!(up.end(), 2);
}

#[test]
fn a_config_that_is_wrong_from_the_start_is_told_once() {
    let place = Place::new();
    let said = place.write("a.kdl", "route").run("up --config a.kdl");
    assert!(said.starts_with("exit 2\n--- stderr\n"), "{said}");
    let report = place.run("check a.kdl");
    assert_eq!(said.replace("stderr", "stdout"), report);
}
