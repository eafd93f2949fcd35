//! What the core counts of itself: connections, requests, how long they took.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::tls::EdgeTls;

/// Upper ends of the buckets of latencies, in microseconds.
const BUCKETS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];
/// Classes of statuses: 1xx to 5xx.
const CLASSES: usize = 5;

/// Counters of one core. Each is raised without a lock.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Names of services; the first is the core itself.
    services: Vec<(&'static str, OfService)>,
    pub(super) connections: Gauge,
    pub(super) in_flight: Gauge,
    pub(super) refused_connections: AtomicU64,
    pub(super) wrong_links: AtomicU64,
    started: Instant,
}

#[derive(Debug, Default)]
struct OfService {
    classes: [AtomicU64; CLASSES],
    buckets: [AtomicU64; BUCKETS_US.len()],
    micros: AtomicU64,
}

/// How many there are at once, and how many there were in all.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    ever: AtomicU64,
}

/// The label of what no service answered.
pub(super) const OF_CORE: usize = 0;

impl Metrics {
    pub(super) fn new(services: &[&'static str]) -> Self {
        let names = std::iter::once("core").chain(services.iter().copied());
        Self {
            services: names.map(|name| (name, OfService::default())).collect(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            refused_connections: AtomicU64::new(0),
            wrong_links: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Counts an answer whose head went out after `took`.
    pub(super) fn answered(&self, service: usize, status: u16, took: Duration) {
        let Some((_, own)) = self.services.get(service) else { return };
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        own.classes[class].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        own.micros.fetch_add(micros, Relaxed);
        if let Some(bucket) = BUCKETS_US.iter().position(|end| micros <= *end) {
            own.buckets[bucket].fetch_add(1, Relaxed);
        }
    }

    /// Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.render_requests(&mut out);
        self.render_latencies(&mut out);
        let uptime = self.started.elapsed().as_secs();
        let rows = [
            ("connections", "gauge", "Connections that are open", self.connections.now()),
            ("connections_total", "counter", "Connections accepted", self.connections.ever()),
            (
                "connections_refused_total",
                "counter",
                "Connections of strangers, or whose handshake failed",
                self.refused_connections.load(Relaxed),
            ),
            (
                "requests_in_flight",
                "gauge",
                "Requests under way, streams included",
                self.in_flight.now(),
            ),
            (
                "wrong_links_total",
                "counter",
                "Requests with a secret that is not the edge's",
                self.wrong_links.load(Relaxed),
            ),
            ("uptime_seconds", "gauge", "Time since the start", uptime),
        ];
        for (name, kind, help, value) in rows {
            head(&mut out, name, kind, help);
            line(&mut out, format_args!("selvedge_core_{name} {value}"));
        }
        out
    }

    fn render_requests(&self, out: &mut String) {
        head(out, "requests_total", "counter", "Requests answered, by service and class of status");
        for (name, own) in &self.services {
            for (class, count) in (1..).zip(&own.classes) {
                let count = count.load(Relaxed);
                line(
                    out,
                    format_args!(
                        "selvedge_core_requests_total{{service=\"{name}\",status=\"{class}xx\"}} {count}"
                    ),
                );
            }
        }
    }

    fn render_latencies(&self, out: &mut String) {
        head(out, "request_duration_seconds", "histogram", "Time to the head of the answer");
        for (name, own) in &self.services {
            let all: u64 = own.classes.iter().map(|count| count.load(Relaxed)).sum();
            let mut below = 0;
            for (end, count) in BUCKETS_US.iter().zip(&own.buckets) {
                below += count.load(Relaxed);
                let end = *end as f64 / 1e6;
                bucket(out, name, (&end.to_string(), below));
            }
            bucket(out, name, ("+Inf", all.max(below)));
            let sum = own.micros.load(Relaxed) as f64 / 1e6;
            let of = "selvedge_core_request_duration_seconds";
            line(out, format_args!("{of}_sum{{service=\"{name}\"}} {sum}"));
            line(out, format_args!("{of}_count{{service=\"{name}\"}} {}", all.max(below)));
        }
    }
}

/// When the certificate ends that edges elsewhere are shown.
pub(super) fn render_expiry(out: &mut String, tls: &EdgeTls) {
    const NAME: &str = "certificate_expiry_timestamp_seconds";
    head(out, NAME, "gauge", "When the core's certificate ends");
    for facts in tls.certificates() {
        line(out, format_args!("selvedge_core_{NAME} {}", facts.not_after));
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP selvedge_core_{name} {help}."));
    line(out, format_args!("# TYPE selvedge_core_{name} {kind}"));
}

fn bucket(out: &mut String, service: &str, (end, count): (&str, u64)) {
    let of = "selvedge_core_request_duration_seconds_bucket";
    line(out, format_args!("{of}{{service=\"{service}\",le=\"{end}\"}} {count}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes every write");
}

impl Gauge {
    /// One more; `None` where there would be more than `bound`.
    pub(super) fn try_enter(&self, bound: usize) -> bool {
        let next = |now: u64| (now < bound as u64).then_some(now + 1);
        let entered = self.now.fetch_update(Relaxed, Relaxed, next).is_ok();
        if entered {
            self.ever.fetch_add(1, Relaxed);
        }
        entered
    }

    /// One less.
    pub(super) fn leave(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    fn ever(&self) -> u64 {
        self.ever.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_service_class_and_time() {
        let metrics = Metrics::new(&["streams"]);
        metrics.answered(1, 200, Duration::from_micros(700));
        metrics.answered(1, 503, Duration::from_secs(60));
        metrics.answered(9, 200, Duration::ZERO);
        let page = metrics.render();
        for wanted in [
            "selvedge_core_requests_total{service=\"streams\",status=\"2xx\"} 1",
            "selvedge_core_requests_total{service=\"streams\",status=\"5xx\"} 1",
            "selvedge_core_requests_total{service=\"core\",status=\"2xx\"} 0",
            "selvedge_core_request_duration_seconds_bucket{service=\"streams\",le=\"0.0005\"} 0",
            "selvedge_core_request_duration_seconds_bucket{service=\"streams\",le=\"0.001\"} 1",
            "selvedge_core_request_duration_seconds_bucket{service=\"streams\",le=\"5\"} 1",
            "selvedge_core_request_duration_seconds_bucket{service=\"streams\",le=\"+Inf\"} 2",
            "selvedge_core_request_duration_seconds_count{service=\"streams\"} 2",
        ] {
            assert!(page.lines().any(|line| line == wanted), "{wanted}\n{page}");
        }
    }

    #[test]
    fn a_gauge_has_a_bound() {
        let gauge = Gauge::default();
        assert!(gauge.try_enter(1) && !gauge.try_enter(1));
        gauge.leave();
        assert!(gauge.try_enter(1));
        assert_eq!((gauge.now(), gauge.ever()), (1, 2));
    }
}
