//! What the core tells of itself: spans below the edge's, and metrics on the edge's page.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use rustix::process::Signal;

use crate::{
    core::{CORE, role, token},
    http::{get, get_with},
    process::{PATIENCE, Place, Running, eventually, field, is_alive, send},
};

const ROUTES: &str = "workers 1\ndrain-timeout \"5s\"\nlistener \"web\" { address \"127.0.0.1:0\" }\n\
    route \"all\" { respond 200 \"hello\" }\n";

/// A collector that takes whatever comes.
struct Collector {
    endpoint: String,
    received: Receiver<ExportTraceServiceRequest>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || take(stream, &sender));
            }
        });
        Self { endpoint, received }
    }

    /// The first span of this service for which `is_it` holds.
    fn span(&self, seen: &mut Vec<(String, Span)>, is_it: impl Fn(&str, &Span) -> bool) -> Span {
        loop {
            if let Some((_, span)) = seen.iter().find(|(service, span)| is_it(service, span)) {
                return span.clone();
            }
            let request =
                self.received.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{seen:#?}"));
            for resource in request.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let name = attributes.into_iter().find(|one| one.key == "service.name").unwrap();
                let Some(Value::StringValue(service)) = name.value.unwrap().value else { panic!() };
                let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                seen.extend(spans.map(|span| (service.clone(), span)));
            }
        }
    }
}

fn take(stream: TcpStream, sender: &Sender<ExportTraceServiceRequest>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if sender.send(request).is_err() || reader.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

#[test]
fn the_core_continues_the_traces_of_its_edge() {
    let (place, collector) = (Place::new(), Collector::start());
    let otlp = format!(
        "admin #false\ntelemetry {{ access-log #false; otlp \"{}\" {{ sample 1.0; service \"shop\" }} }}\n",
        collector.endpoint
    );
    let mut up = place.write("selvedge.kdl", &format!("{ROUTES}{otlp}{CORE}\n")).start("up");
    let url = field(&up.hear("listener=web"), "url");
    up.hear("core serving");
    let whoami = get(&format!("{url}_selvedge/whoami?a=b"));
    assert_eq!(whoami.status, 200, "{whoami:?}");
    assert_eq!(get(&format!("{url}_selvedge/log")).status, 401);

    let mut seen = Vec::new();
    let mut of_core = |path: &str| {
        let has = |span: &Span, wanted: &str| {
            span.attributes.iter().any(|one| {
                let value = one.value.as_ref().and_then(|value| value.value.as_ref());
                one.key == "url.path"
                    && matches!(value, Some(Value::StringValue(it)) if it == wanted)
            })
        };
        let span =
            collector.span(&mut seen, |service, span| service == "shop-core" && has(span, path));
        let parent = collector.span(&mut seen, |service, parent| {
            service == "shop" && parent.span_id == span.parent_span_id
        });
        assert_eq!((&parent.trace_id, parent.kind), (&span.trace_id, 3), "{parent:?}");
        assert!(parent.start_time_unix_nano <= span.end_time_unix_nano, "{parent:?} {span:?}");
        span
    };
    let span = of_core("/_selvedge/whoami");
    assert_eq!((&*span.name, span.kind), ("GET /_selvedge", 2), "{span:?}");
    assert_eq!(of_core("/_selvedge/log").name, "GET /_selvedge/log");
    // What was recorded just before the end is exported as well.
    assert_eq!(get(&format!("{url}_selvedge/health/live")).status, 200);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    of_core("/_selvedge/health/live");
}

fn page(admin: &str) -> String {
    let page = get(&format!("{admin}metrics"));
    assert_eq!(page.status, 200, "{page:?}");
    page.body
}

fn with_admin(place: &Place) -> (Running, String, String) {
    let config = format!(
        "{ROUTES}admin {{ address \"127.0.0.1:0\" }}\ntelemetry {{ access-log #false }}\n{CORE}\n"
    );
    let mut up = place.write("selvedge.kdl", &config).start("up");
    let url = field(&up.hear("listener=web"), "url");
    let admin = field(&up.hear("listener=(admin)"), "url");
    up.hear("core serving");
    (up, url, admin)
}

#[test]
fn one_scrape_of_a_machine_has_the_core_too() {
    let place = Place::new();
    let (mut up, url, admin) = with_admin(&place);
    let bearer = format!("Authorization: Bearer {}", token(&place, "a --scope log:read"));
    assert_eq!(get_with(&format!("{url}_selvedge/log"), &[&bearer]).status, 200);
    let told = page(&admin);
    for wanted in [
        "selvedge_core_up 1",
        "selvedge_core_requests_total{service=\"log\",status=\"2xx\"} 1",
        "selvedge_log_writable 1",
        "selvedge_core_spans_queued 0",
    ] {
        assert!(told.lines().any(|line| line == wanted), "{wanted}\n{told}");
    }
    assert!(told.contains("\nselvedge_core_process_resident_memory_bytes "), "{told}");
    let families: Vec<&str> = told.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let different: BTreeSet<_> =
        families.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(different.len(), families.len(), "no family is there twice\n{told}");

    let core = role(&up, "core").unwrap();
    send(core, Signal::STOP);
    // Its threads stop one by one.
    let hanging = eventually("the core hangs", || {
        let told = page(&admin);
        told.contains("\nselvedge_core_up 0\n").then_some(told)
    });
    assert!(!hanging.contains("selvedge_core_requests_total"), "{hanging}");
    assert!(hanging.contains("selvedge_requests_total"), "the edge's are there");
    send(core, Signal::KILL);
    eventually("the core is missed", || (!is_alive(core)).then_some(()));
    eventually("the core is back", || {
        page(&admin).contains("\nselvedge_core_up 1\n").then_some(())
    });
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}
