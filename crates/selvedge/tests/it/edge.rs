use std::{fs, net::TcpListener, os::unix::net::UnixDatagram};

use rustix::process::Signal;

use crate::{
    http::{application, get},
    process::{PATIENCE, Place, Running, eventually, field},
};

/// A config with these listeners, routes and upstreams, and nothing of the machine's.
fn config(rest: &str) -> String {
    format!(
        "workers 2\nadmin #false\ntelemetry {{ access-log #false }}\n\
         listener \"web\" {{ address \"127.0.0.1:0\" }}\n{rest}\n"
    )
}

/// Starts an edge and waits until it serves; returns its URL too.
fn start(place: &Place) -> (Running, String) {
    let mut edge = place.start("edge --config a.kdl");
    let url = field(&edge.hear("msg=listening"), "url");
    edge.hear("msg=serving");
    (edge, url)
}

fn upstream(address: std::net::SocketAddr) -> String {
    format!("upstream \"app\" {{ target \"{address}\" }}\nroute \"all\" {{ upstream \"app\" }}")
}

#[test]
fn requests_reach_the_application() {
    let place = Place::new();
    let app = application();
    place.write("a.kdl", &config(&upstream(app.address)));
    let (_edge, url) = start(&place);
    app.permits.send(()).unwrap();
    let answer = get(&format!("{url}a?b"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "answered"));
    assert_eq!(app.arrived.recv_timeout(PATIENCE).unwrap(), "GET /a?b HTTP/1.1");
}

#[test]
fn sighup_puts_a_good_config_in_force_and_refuses_a_bad_one() {
    let place = Place::new();
    place.write("a.kdl", &config("route \"all\" { respond 200 \"one\" }"));
    let (mut edge, url) = start(&place);
    assert_eq!(get(&url).body, "one");

    place.write("a.kdl", &config("route \"all\" { respond 200 \"two\" }"));
    edge.signal(Signal::HUP);
    let event = edge.hear("config reloaded");
    assert!(event.contains(r#"revision=2 changes="~ route \"all\"""#), "{event}");
    assert_eq!(get(&url).body, "two");

    place.write("a.kdl", &config("route \"all\" { respnd 200 \"three\" }"));
    edge.signal(Signal::HUP);
    edge.hear("did you mean `respond`?");
    let event = edge.hear("config refused");
    assert!(event.contains("why=\"a.kdl:5:"), "{event}");
    assert_eq!(get(&url).body, "two");

    edge.signal(Signal::TERM);
    assert_eq!(edge.end(), 0);
}

#[test]
fn listeners_come_and_go_by_reload() {
    let place = Place::new();
    let route = "route \"all\" { respond 200 \"hi\" }";
    place.write("a.kdl", &config(route));
    let (mut edge, url) = start(&place);
    let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
    let more = format!("{route}\nlistener \"more\" {{ address \"127.0.0.2:{port}\" }}");
    place.write("a.kdl", &config(&more));
    edge.signal(Signal::HUP);
    edge.hear("config reloaded");
    assert_eq!(get(&format!("http://127.0.0.2:{port}/")).body, "hi");
    assert_eq!(get(&url).body, "hi");
    place.write("a.kdl", &config(route));
    edge.signal(Signal::HUP);
    edge.hear("config reloaded");
    eventually("the listener closes", || {
        crate::http::try_get(&format!("http://127.0.0.2:{port}/")).is_err().then_some(())
    });
    assert_eq!(get(&url).body, "hi");
}

#[test]
fn sigterm_lets_a_request_end() {
    let place = Place::new();
    let app = application();
    place.write("a.kdl", &config(&upstream(app.address)));
    let (mut edge, url) = start(&place);
    let client = std::thread::spawn(move || get(&url));
    app.arrived.recv_timeout(PATIENCE).unwrap();
    edge.signal(Signal::TERM);
    edge.hear("msg=draining connections=1");
    app.permits.send(()).unwrap();
    assert_eq!(client.join().unwrap().body, "answered");
    assert_eq!(edge.end(), 0);
    assert!(edge.rest().contains("msg=stopped"));
}

#[test]
fn a_drain_has_an_end() {
    let place = Place::new();
    let app = application();
    let config = config(&upstream(app.address));
    place.write("a.kdl", &format!("{config}drain-timeout \"50ms\"\n"));
    let (mut edge, url) = start(&place);
    let client = std::thread::spawn(move || crate::http::try_get(&url));
    app.arrived.recv_timeout(PATIENCE).unwrap();
    edge.signal(Signal::TERM);
    edge.hear("connections were cut\" cut=1");
    assert_eq!(edge.end(), 0);
    assert!(client.join().unwrap().is_err());
}

#[test]
fn a_second_signal_ends_at_once() {
    let place = Place::new();
    let app = application();
    place.write("a.kdl", &config(&upstream(app.address)));
    let (mut edge, url) = start(&place);
    let client = std::thread::spawn(move || crate::http::try_get(&url));
    app.arrived.recv_timeout(PATIENCE).unwrap();
    edge.signal(Signal::TERM);
    edge.hear("msg=draining");
    edge.signal(Signal::INT);
    assert_eq!(edge.end(), 1);
    assert!(edge.rest().contains("error: told twice to stop: requests were cut"));
    assert!(client.join().unwrap().is_err());
}

#[test]
fn a_port_that_is_taken_is_told() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listener = format!("listener \"web\" {{ address \"{address}\" }}");
    let said = place
        .write(
            "a.kdl",
            &format!("admin #false\n{listener}\nroute \"all\" {{ respond 200 \"hi\" }}"),
        )
        .run("edge --config a.kdl");
    let start =
        format!("exit 69\n--- stderr\nerror: listener \"web\" cannot listen on {address}: ");
    assert!(said.starts_with(&start), "{said}");
    assert!(said.contains("ss -ltnp"), "{said}");
}

#[test]
fn log_files_are_opened_again() {
    let place = Place::new();
    let log = place.path("access.log");
    let text = config("route \"all\" { respond 200 \"hi\" }");
    place.write("a.kdl", &text.replace("access-log #false", "access-log \"file\" \"access.log\""));
    let (edge, url) = start(&place);
    let has_line = |path: &std::path::Path, target: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.contains(target)).then_some(())
    };
    get(&format!("{url}first"));
    eventually("the first line is written", || has_line(&log, "/first"));
    fs::rename(&log, place.path("access.log.1")).unwrap();
    edge.signal(Signal::USR1);
    eventually("the file is made anew", || log.exists().then_some(()));
    get(&format!("{url}second"));
    eventually("the second line is written", || has_line(&log, "/second"));
    assert!(!fs::read_to_string(place.path("access.log.1")).unwrap().contains("/second"));
}

#[test]
fn a_service_manager_is_kept_informed() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let receive = || {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    place.write("a.kdl", &config("route \"all\" { respond 200 \"hi\" }"));
    let mut command = place.command(["edge", "--quiet", "--config", "a.kdl"]);
    let mut edge = Running::new({
        command.env("NOTIFY_SOCKET", place.path("notify"));
        command
    });
    assert!(receive().starts_with("READY=1\nX_SELVEDGE_LISTENING=web http://127.0.0.1:"));
    edge.signal(Signal::HUP);
    assert!(receive().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(receive().starts_with("READY=1\n"));
    edge.signal(Signal::TERM);
    assert_eq!(receive(), "STOPPING=1\n");
    assert_eq!(edge.end(), 0);
}

#[test]
fn an_edge_without_its_supervisor_does_not_start() {
    let place = Place::new();
    place.write("a.kdl", &config("route \"all\" { respond 200 \"hi\" }"));
    let said = place.run("edge --config a.kdl --supervisor 1");
    assert_eq!(said, "exit 1\n--- stderr\nerror: the supervisor has gone\n");
}
