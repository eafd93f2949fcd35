use std::time::Duration;

use selvedge_telemetry::{Hub, Level, LogTarget, Otlp, Settings};

use crate::exchanges::{continued, labels, timings, whole};

fn otlp(endpoint: &str) -> Option<Otlp> {
    let (headers, service) = (Vec::new(), "selvedge".to_owned());
    Some(Otlp { endpoint: endpoint.to_owned(), headers, sample: 1.0, queue: 8, service })
}

#[test]
fn a_refused_reload_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| Some(LogTarget::File(folder.path().join(name)));
    let settings = Settings { access_log: file("one"), ..Settings::quiet(1) };
    let hub = Hub::start(&settings).unwrap();
    let (labels, core) = (labels(&hub), hub.core(0));
    let wrong = Settings { otlp: otlp("ftp://x"), access_log: file("two"), ..Settings::quiet(1) };
    assert!(hub.reconfigure(&wrong).unwrap_err().to_string().contains("http://"));
    let wrong = Settings { access_log: file("no/such"), ..Settings::quiet(1) };
    assert!(hub.reconfigure(&wrong).unwrap_err().to_string().contains("no/such"));
    let (trace, timings) = (continued(&core), timings());
    core.record(&whole(&labels, &trace, &timings));
    drop(core);
    assert_eq!(hub.shutdown(Duration::from_secs(30)), Default::default());
    assert_eq!(std::fs::read_to_string(folder.path().join("one")).unwrap().lines().count(), 1);
    assert!(!folder.path().join("two").exists());
}

#[test]
fn a_reload_moves_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| Some(LogTarget::File(folder.path().join(name)));
    let hub = Hub::start(&Settings { access_log: file("one"), ..Settings::quiet(1) }).unwrap();
    let (labels, core) = (labels(&hub), hub.core(0));
    let (trace, timings) = (continued(&core), timings());
    hub.reconfigure(&Settings { access_log: file("two"), ..Settings::quiet(1) }).unwrap();
    core.record(&whole(&labels, &trace, &timings));
    drop(core);
    hub.shutdown(Duration::from_secs(30));
    assert_eq!(std::fs::read_to_string(folder.path().join("one")).unwrap(), "");
    assert_eq!(std::fs::read_to_string(folder.path().join("two")).unwrap().lines().count(), 1);
}

#[test]
fn events_are_written_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    let events = LogTarget::File(path.clone());
    let hub = Hub::start(&Settings { events, ..Settings::quiet(1) }).unwrap();
    hub.event(Level::Info, "started", &[("listeners", &2), ("config", &"selvedge.kdl")]);
    for _ in 0..1_000 {
        hub.event(Level::Warn, "noise", &[]);
    }
    hub.shutdown(Duration::from_secs(30));
    let text = std::fs::read_to_string(path).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.ends_with(" level=info msg=started listeners=2 config=selvedge.kdl"), "{first}");
    let page = hub.render_prometheus();
    let count = |name: &str| -> usize {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let suppressed = count("selvedge_events_suppressed_total");
    let dropped = count("selvedge_log_lines_dropped_total{log=\"events\"}");
    assert!(suppressed > 0);
    assert_eq!(text.lines().count() + suppressed + dropped, 1_001);
}
