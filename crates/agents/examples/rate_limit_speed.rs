//! How many requests the rate-limit agent decides on per second and core, without a socket in between:
//! `cargo run --release -p selvedge-agents --example rate_limit_speed`.
//!
//! Each figure is the median of several rounds on one thread, in time of the processor and not of the
//! clock, so that others on the machine count less; every verdict is looked at. Every request comes
//! from another client, and there are as many of them as processors' caches cannot hold.

#![expect(clippy::unwrap_used, reason = "it may panic: it is run by people who look at it")]
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../tests/it/asked.rs"]
mod asked;

use std::{net::Ipv4Addr, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use selvedge_agent::{Agent, RequestHead};
use selvedge_agents::rate_limit::{Exchange, RateLimit};
use selvedge_config::rate_limit::{Cost, KeyPart, Policy, Settings, Store};

use crate::asked::Asked;

/// Clients that ask in turn.
const CLIENTS: u32 = 50_000;
/// Rounds over all clients.
const ROUNDS: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let requests: Vec<Vec<u8>> = (0..CLIENTS).map(|client| asked(client).payload()).collect();
    let address = || policy("per-address", [KeyPart::Address]);
    let key = || policy("per-key", [KeyPart::Header("x-api-key".into()), KeyPart::Path]);
    let route = || policy("per-route", [KeyPart::Route]);
    let full = || {
        // What a client may do is used up before it begins.
        let cost = Cost::Header { name: "x-cost".into(), most: 1 };
        Policy { limit: 1, per: Duration::from_secs(86_400), burst: 1, cost, ..address() }
    };
    for (what, policies, headers, admits) in [
        ("one limit, no fields", vec![address()], false, true),
        ("one limit", vec![address()], true, true),
        ("three limits", vec![address(), key(), route()], true, true),
        ("one limit, refused", vec![full()], true, false),
    ] {
        let settings = Settings { policies, store: Store::Local, headers };
        let agent = RateLimit::start(settings, None).await.unwrap();
        round(&agent, &requests).await;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let start = processor_time();
            let admitted = round(&agent, &requests).await;
            rounds.push(processor_time() - start);
            assert_eq!(admitted, if admits { requests.len() } else { 0 });
        }
        rounds.sort();
        let median = rounds[ROUNDS / 2].as_secs_f64() / f64::from(CLIENTS);
        println!("{what:<22} {:>9.0} per second {:>7.2} µs", 1.0 / median, median * 1e6);
    }
}

/// Asks once for each client and returns how many were let through.
async fn round(agent: &RateLimit, requests: &[Vec<u8>]) -> usize {
    let mut admitted = 0;
    for payload in requests {
        let request = RequestHead::parse(payload, false).unwrap();
        let verdict = agent.request_headers(&request, &mut Exchange::default()).await;
        admitted += usize::from(verdict.is_allow());
    }
    admitted
}

fn policy(id: &str, key: impl Into<Vec<KeyPart>>) -> Policy {
    Policy {
        id: id.to_owned(),
        key: key.into(),
        limit: 1_000_000,
        per: Duration::from_secs(1),
        burst: 1_000_000,
        cost: Cost::Fixed(1),
        delay: None,
        keys_max: 100_000,
        ipv6_prefix: 64,
    }
}

/// As a browser sends it through an edge.
fn asked(client: u32) -> Asked {
    Asked::get("/api/orders?page=2")
        .attribute("client.address", &Ipv4Addr::from(client.wrapping_mul(0x9e37_79b9)).to_string())
        .attribute("client.port", "49152")
        .attribute("listener", "https")
        .attribute("route", "orders")
        .attribute("trace", "4bf92f3577b34da6a3ce929d0e0e4736")
        .attribute("request.id", "00f067aa0ba902b7")
        .field("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101")
        .field("accept", "application/json")
        .field("accept-language", "en-GB,en;q=0.5")
        .field("accept-encoding", "gzip, deflate, br, zstd")
        .field("cookie", "session=0f6f5f0e")
        .field("x-api-key", format!("key-{client}"))
}

/// What this thread has computed so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}
