//! Prints what recording one request costs: metrics alone, then with the access log, then with traces.
//! Processor time of the recording thread, so that others on the machine matter less; Linux only.
//!
//! ```sh
//! cargo run --release -p selvedge-telemetry --example cost
//! ```

#![expect(clippy::print_stdout, reason = "a measurement is for the terminal")]

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use selvedge_telemetry::{
    Exchange, Hub, Labels, LogTarget, Otlp, Proxied, Routed, Settings, Timings, UpstreamLabels,
};

const REQUESTS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let quiet = Settings::quiet(1);
    measure("metrics", &quiet)?;
    let access_log = Some(LogTarget::File("/dev/null".into()));
    measure("metrics, access log", &Settings { access_log, ..quiet.clone() })?;
    let otlp = Otlp {
        endpoint: "http://127.0.0.1:9".to_owned(),
        headers: Vec::new(),
        sample: 1.0,
        queue: 8_192,
        service: "selvedge".to_owned(),
    };
    measure("metrics, every trace", &Settings { otlp: Some(otlp), ..quiet })
}

fn measure(what: &str, settings: &Settings) -> Result<(), Box<dyn Error>> {
    let hub = Hub::start(settings)?;
    let labels = hub.register(&Labels {
        listeners: vec!["web"],
        routes: vec!["api"],
        upstreams: vec![UpstreamLabels { id: "backend", targets: vec!["10.0.0.1:80".into()] }],
        ..Labels::default()
    });
    let core = hub.core(0);
    let client = "192.0.2.7:5000".parse()?;
    let now = Instant::now();
    let timings = Timings {
        head_done: Some(now),
        routed: Some(now),
        upstream_start: Some(now),
        upstream_connected: Some(now),
        upstream_first_byte: Some(now + Duration::from_micros(300)),
        done: now + Duration::from_micros(350),
        ..Timings::new(now, SystemTime::now())
    };
    let before = on_cpu()?;
    for _ in 0..REQUESTS {
        let trace = core.trace([], []);
        let in_flight = core.in_flight(labels.listener(0));
        core.record(black_box(&Exchange {
            method: b"GET",
            host: Some(b"shop.example"),
            path: b"/api/users/7",
            user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"),
            status: Some(200),
            route: Some(Routed { route: labels.route(0), cached: true, why: &"path-prefix /api" }),
            upstream: Some(Proxied {
                upstream: labels.upstream(0),
                target: Some(&"10.0.0.1:80"),
                attempts: 1,
                retry_reason: None,
                status: Some(200),
                reused: true,
            }),
            bytes_out: 1_024,
            ..Exchange::new(labels.listener(0), client, &trace, &timings)
        }));
        drop(in_flight);
    }
    let each = (on_cpu()? - before) / u64::from(REQUESTS);
    println!("{what}: {each} ns for each request, trace context and in-flight gauge included");
    drop(core);
    hub.shutdown(Duration::from_secs(1));
    Ok(())
}

/// Nanoseconds that this thread has run.
fn on_cpu() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
