//! Exchanges whose every value is known.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use selvedge_telemetry::{
    AgentCall, Core, Decision, Exchange, Finding, Hub, Labels, Protocol, Proxied, Registered,
    Routed, Timings, Tls, TraceContext, UpstreamLabels,
};

pub const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub fn labels(hub: &Hub) -> Arc<Registered> {
    hub.register(&Labels {
        listeners: vec!["web", "tls"],
        routes: vec!["api", "site"],
        upstreams: vec![UpstreamLabels {
            id: "backend",
            targets: vec!["10.0.0.1:9000".into(), "unix:/run/app.sock".into()],
        }],
        agents: vec!["auth", "waf"],
    })
}

pub fn continued(core: &Core) -> TraceContext {
    core.trace([PARENT], [&b"vendor=1"[..]])
}

/// 2026-01-31T23:59:59.5Z, with every phase at a known distance from the first byte.
pub fn timings() -> Timings {
    let first = Instant::now() + Duration::from_secs(60);
    let after = |micros| Some(first + Duration::from_micros(micros));
    Timings {
        accepted: Some(first - Duration::from_micros(3_000)),
        tls_done: Some(first - Duration::from_micros(500)),
        head_done: after(120),
        routed: after(135),
        upstream_start: after(1_135),
        upstream_connected: after(1_635),
        upstream_first_byte: after(21_635),
        done: first + Duration::from_micros(25_000),
        ..Timings::new(first, SystemTime::UNIX_EPOCH + Duration::from_micros(1_769_903_999_500_000))
    }
}

/// Everything that can be known of an exchange.
pub fn whole<'a>(
    labels: &'a Registered,
    trace: &'a TraceContext,
    timings: &'a Timings,
) -> Exchange<'a> {
    Exchange {
        peer: Some("[::1]:7".parse().unwrap()),
        protocol: Protocol::Http2,
        tls: Some(Tls {
            version: "1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: Some("shop.example"),
            resumed: true,
            client_cert_subject: Some("CN=till \"7\""),
        }),
        method: b"POST",
        host: Some(b"shop.example:8443"),
        path: b"/api/orders\xff",
        query: Some(b"a=\"1\"&b=\\"),
        user_agent: Some("curl/8 ☃\n".as_bytes()),
        referer: Some(b"https://shop.example/"),
        route: Some(Routed {
            route: labels.route(0),
            cached: true,
            why: &"path-prefix /api, priority 0",
        }),
        upstream: Some(Proxied {
            upstream: labels.upstream(0),
            target: Some(&"10.0.0.1:9000"),
            attempts: 2,
            retry_reason: Some("connect-refused"),
            status: Some(503),
            reused: false,
        }),
        status: Some(503),
        refused_by: Some("upstream/status"),
        error: Some(&"the target answered 503"),
        bytes_in: 1_024,
        bytes_out: 0,
        ..Exchange::new(labels.listener(1), "192.0.2.7:5000".parse().unwrap(), trace, timings)
    }
}

/// What is known when the head gate refuses the first bytes of a later request.
pub fn bare<'a>(
    labels: &'a Registered,
    trace: &'a TraceContext,
    timings: &'a Timings,
) -> Exchange<'a> {
    Exchange {
        protocol: Protocol::Http11,
        method: b"BREW",
        path: b"/",
        status: Some(400),
        refused_by: Some("head-gate/duplicate-host"),
        ..Exchange::new(labels.listener(0), "192.0.2.7:5000".parse().unwrap(), trace, timings)
    }
}

/// Two agents asked: one in vain and not missed, one that blocks.
pub fn asked<'a>(labels: &'a Registered, timings: &Timings) -> [AgentCall<'a>; 2] {
    let call = |index, after, took| AgentCall {
        agent: labels.agent(index),
        event: "request_headers",
        outcome: "timeout",
        failed: true,
        began: timings.head_first_byte + Duration::from_micros(after),
        took: Duration::from_micros(took),
        passed_over: true,
    };
    let block =
        AgentCall { outcome: "block", failed: false, passed_over: false, ..call(1, 140, 45) };
    [call(0, 140, 1_000), block]
}

/// What the second of them says to it.
pub fn decided<'a>(labels: &'a Registered, findings: &'a [Finding<'a>]) -> Decision<'a> {
    Decision {
        agent: labels.agent(1),
        decision: "block",
        status: Some(403),
        findings,
        reason: "score 8 of 5",
    }
}
