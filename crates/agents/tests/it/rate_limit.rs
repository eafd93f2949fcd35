//! The rate-limit agent as an edge asks it.

mod asked;
mod counted;
mod debt;
mod exact;
mod guide;
mod queue;
mod server;
mod socket;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use expect_test::{Expect, expect};
use selvedge_agent::{Agent, Decision, Event, RequestHead, ResponseHead, ResponseHeadBuf, Verdict};
use selvedge_agents::rate_limit::{Exchange, RateLimit};
use selvedge_base::{Secret, format_duration, parse_duration};
use selvedge_config::rate_limit::{
    Cost, Delay, KeyPart, OnFailure, Policy, Redis, Settings, Store,
};

use self::asked::Asked;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A policy by address whose tokens take a day to come back: time plays no part.
fn policy(id: &str, limit: u32) -> Policy {
    Policy {
        id: id.into(),
        key: vec![KeyPart::Address],
        limit,
        per: DAY,
        burst: limit,
        cost: Cost::Fixed(1),
        delay: None,
        keys_max: 1_000,
        ipv6_prefix: 64,
    }
}

fn local(policies: impl Into<Vec<Policy>>) -> Settings {
    Settings { policies: policies.into(), store: Store::Local, headers: true }
}

async fn start(settings: Settings) -> RateLimit {
    RateLimit::start(settings, None).await.unwrap()
}

fn from(address: &str) -> Asked {
    Asked::get("/").attribute("client.address", address)
}

/// What the agent says to a request, the exchange being over then.
async fn ask(agent: &RateLimit, asked: &Asked) -> Verdict {
    let mut exchange = Exchange::default();
    request(agent, asked, &mut exchange).await
}

async fn request(agent: &RateLimit, asked: &Asked, exchange: &mut Exchange) -> Verdict {
    let payload = asked.payload();
    let head = RequestHead::parse(&payload, false).unwrap();
    let verdict = agent.request_headers(&head, exchange).await;
    assert_eq!(verdict.flaw(), None);
    verdict
}

async fn response(
    agent: &RateLimit,
    asked: &Asked,
    fields: &[(&str, &str)],
    exchange: &mut Exchange,
) -> Verdict {
    let payload = asked.payload();
    let mut head = ResponseHeadBuf::default();
    let own = head.start(200);
    for (name, value) in fields {
        own.push(name, value.as_bytes());
    }
    let head = head.payload().unwrap();
    let request = RequestHead::parse(&payload, false).unwrap();
    let response = ResponseHead::parse(&head, false).unwrap();
    let verdict = agent.response_headers(&request, &response, exchange).await;
    assert_eq!(verdict.flaw(), None);
    verdict
}

/// The status of the answer; 0 for a request that goes on.
fn status(verdict: &Verdict) -> u16 {
    match verdict.decision() {
        Decision::Allow => 0,
        Decision::Block(answer) => answer.status,
        other => panic!("a limiter that says {other:?}"),
    }
}

/// The text with each time in it rounded up to a minute, for tests take time too.
fn timeless(text: &str) -> String {
    let mut timeless = String::new();
    let mut rest = text;
    while let Some(start) =
        AFTER.iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()
    {
        let (before, time) = rest.split_at(start);
        let length = time.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(time.len());
        let (time, after) = time.split_at(length);
        let seconds = time.parse().unwrap_or_else(|_| parse_duration(time).unwrap().as_secs());
        timeless.push_str(before);
        timeless.push_str(&format_duration(Duration::from_secs(seconds.next_multiple_of(60))));
        rest = after;
    }
    timeless + rest
}

/// What stands before a time.
const AFTER: [&str; 3] = [";t=", "Retry-After: ", "enough in "];

/// A verdict for people to read.
fn written(verdict: &Verdict) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        writeln!(text, "{}", format_args!("{what}: {value}").to_string().trim_end()).unwrap();
    };
    match verdict.decision() {
        Decision::Allow => line("allow", if verdict.is_done() { "done" } else { "goes on" }),
        Decision::Block(answer) => {
            line("block", &answer.status.to_string());
            for (name, value) in &answer.fields {
                line(name, str::from_utf8(value).unwrap());
            }
            line("body", str::from_utf8(&answer.body).unwrap());
        }
        other => panic!("a limiter that says {other:?}"),
    }
    for change in verdict.changes() {
        line(&change.name, str::from_utf8(&change.value).unwrap());
    }
    for finding in verdict.findings() {
        line(&format!("finding {} {:?}", finding.rule, finding.tags), &finding.detail);
    }
    if !verdict.reason_text().is_empty() {
        line("reason", verdict.reason_text());
    }
    timeless(&text)
}

#[track_caller]
fn check(verdict: &Verdict, expected: &Expect) {
    expected.assert_eq(&written(verdict));
}

#[tokio::test]
async fn requests_pass_until_the_bucket_is_empty() {
    let agent = start(local([policy("daily", 2)])).await;
    let client = from("192.0.2.1");
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "daily";q=2;w=86400
        RateLimit: "daily";r=1;t=12h
    "#]],
    );
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "daily";q=2;w=86400
        RateLimit: "daily";r=0;t=12h
    "#]],
    );
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
            block: 429
            Content-Type: application/problem+json
            Retry-After: 12h
            RateLimit-Policy: "daily";q=2;w=86400
            RateLimit: "daily";r=0;t=12h
            body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"daily\" allows 2 per 1d.","code":"rate-limit/exceeded","violated-policies":["daily"]}
            finding rate-limit/daily ["refused", "address"]: policy "daily" (2 per 1d by address): used up, enough in 12h
            reason: policy "daily" (2 per 1d by address): used up, enough in 12h
        "#]],
    );
    assert_eq!(status(&ask(&agent, &from("192.0.2.2")).await), 0, "others have their own");
}

#[tokio::test]
async fn who_refuses_is_named_and_nobody_else_loses_a_token() {
    let by_key = Policy {
        key: vec![KeyPart::Header("x-api-key".into()), KeyPart::Path],
        ..policy("per-key", 1)
    };
    let agent = start(local([policy("daily", 3), by_key])).await;
    let client = from("192.0.2.1").field("X-Api-Key", "hunter2");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    let refused = ask(&agent, &client).await;
    assert!(!format!("{refused:?}").contains("hunter2"), "what a key holds is nobody's business");
    check(
        &refused,
        &expect![[r#"
            block: 429
            Content-Type: application/problem+json
            Retry-After: 1d
            RateLimit-Policy: "daily";q=3;w=86400, "per-key";q=1;w=86400
            RateLimit: "per-key";r=0;t=1d
            body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"per-key\" allows 1 per 1d.","code":"rate-limit/exceeded","violated-policies":["per-key"]}
            finding rate-limit/per-key ["refused", "header:x-api-key + path"]: policy "per-key" (1 per 1d by header:x-api-key + path): used up, enough in 1d
            reason: policy "per-key" (1 per 1d by header:x-api-key + path): used up, enough in 1d
        "#]],
    );
    for _ in 0..5 {
        assert_eq!(written(&ask(&agent, &client).await), written(&refused));
    }
    let other = from("192.0.2.1").field("X-Api-Key", "*******");
    check(
        &ask(&agent, &other).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "daily";q=3;w=86400, "per-key";q=1;w=86400
        RateLimit: "daily";r=1;t=8h, "per-key";r=0;t=1d
    "#]],
    );
}

#[tokio::test]
async fn headers_are_a_choice() {
    let agent = start(Settings { headers: false, ..local([policy("daily", 1)]) }).await;
    let client = from("192.0.2.1");
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
        allow: done
    "#]],
    );
    let refused = written(&ask(&agent, &client).await);
    assert!(refused.contains("Retry-After: 1d") && !refused.contains("RateLimit"), "{refused}");
}

#[tokio::test]
async fn a_route_chooses_policies_and_costs() {
    let agent = start(local([policy("wide", 10), policy("narrow", 1)])).await;
    let wide = from("192.0.2.1").attribute("route.policy", "wide").attribute("route.cost", "4");
    check(
        &ask(&agent, &wide).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "wide";q=10;w=86400
        RateLimit: "wide";r=6;t=144m
    "#]],
    );
    assert_eq!(status(&ask(&agent, &wide).await), 0);
    assert_eq!(status(&ask(&agent, &wide).await), 429, "two tokens are left, and four are needed");
    assert_eq!(status(&ask(&agent, &from("192.0.2.1")).await), 0, "`narrow` was not asked so far");
    let strange = from("192.0.2.1").attribute("route.policy", "wide,none");
    check(
        &ask(&agent, &strange).await,
        &expect![[r#"
            block: 500
            Content-Type: application/problem+json
            body: {"type":"urn:selvedge:problem:rate-limit/internal","title":"Internal error","status":500,"detail":"Limits cannot be counted for this request.","code":"rate-limit/internal"}
            reason: the route names the policy "none", which this agent does not have
        "#]],
    );
}

#[tokio::test]
async fn a_cost_from_a_field() {
    let cost = Cost::Header { name: "x-cost".into(), most: 8 };
    let agent = start(local([Policy { cost, ..policy("units", 100) }])).await;
    let mut left = 100;
    let mut check = async |fields: &[&str], cost: u64| {
        let client =
            fields.iter().fold(from("192.0.2.1"), |asked, value| asked.field("X-Cost", value));
        left -= cost;
        let verdict = written(&ask(&agent, &client).await);
        assert!(verdict.contains(&format!(r#""units";r={left};"#)), "{fields:?}: {verdict}");
    };
    check(&[], 1).await;
    check(&["5"], 5).await;
    check(&[" 3 "], 3).await;
    check(&["0"], 1).await;
    check(&["-1"], 8).await;
    check(&["9"], 8).await;
    check(&["99999999999999999999999999"], 8).await;
    check(&["2.5"], 8).await;
    check(&[""], 8).await;
    check(&["1", "1"], 8).await;
}

#[tokio::test]
async fn more_than_a_bucket_holds_is_refused_for_good() {
    let agent = start(local([policy("daily", 3)])).await;
    let client = from("192.0.2.1").attribute("route.cost", "4");
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
        block: 429
        Content-Type: application/problem+json
        RateLimit-Policy: "daily";q=3;w=86400
        RateLimit: "daily";r=3
        body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"daily\" allows 3 per 1d.","code":"rate-limit/exceeded","violated-policies":["daily"]}
        finding rate-limit/daily ["refused", "address"]: policy "daily" (3 per 1d by address): 4 tokens are more than the burst of 3
        reason: policy "daily" (3 per 1d by address): 4 tokens are more than the burst of 3
    "#]],
    );
}

#[tokio::test]
async fn a_client_without_an_address_shares_no_bucket() {
    let agent = start(local([policy("daily", 3)])).await;
    check(
        &ask(&agent, &Asked::get("/")).await,
        &expect![[r#"
            block: 500
            Content-Type: application/problem+json
            body: {"type":"urn:selvedge:problem:rate-limit/internal","title":"Internal error","status":500,"detail":"Limits cannot be counted for this request.","code":"rate-limit/internal"}
            reason: the edge names no client address
        "#]],
    );
    assert_eq!(status(&ask(&agent, &from("unix:")).await), 500);
}

#[tokio::test]
async fn a_reload_gives_nobody_a_fresh_bucket() {
    let old = start(local([policy("daily", 2), policy("other", 9)])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&old, &client).await), 0);
    let new = RateLimit::start(local([policy("daily", 2)]), Some(&old)).await.unwrap();
    assert_eq!(status(&ask(&new, &client).await), 0);
    assert_eq!(status(&ask(&new, &client).await), 429);
    assert_eq!(
        status(&ask(&old, &client).await),
        429,
        "who still asks the old one is counted, too"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_right() {
    async fn check(settings: Settings, expected: &str) {
        assert_eq!(RateLimit::start(settings, None).await.unwrap_err(), expected);
    }
    let base = || policy("p", 1);
    check(local([]), "an agent has from 1 to 64 policies").await;
    check(local([base(), base()]), r#"two policies are called "p""#).await;
    let odd = Policy { id: "a b".into(), ..base() };
    check(local([odd]), r#"policy "a b": an id is 1 to 64 printable characters"#).await;
    let keyless = Policy { key: Vec::new(), ..base() };
    check(local([keyless]), r#"policy "p": a key has at least one part"#).await;
    let empty = Policy { limit: 0, ..base() };
    check(local([empty]), r#"policy "p": a limit is at least 1"#).await;
    let shallow = Policy { burst: 0, ..base() };
    check(local([shallow]), r#"policy "p": a burst is at least 1"#).await;
    let timeless = Policy { per: Duration::ZERO, ..base() };
    check(local([timeless]), r#"policy "p": a period is longer than nothing and at most 366 days"#)
        .await;
    let vast = Policy { keys_max: usize::MAX, ..base() };
    check(local([vast]), r#"policy "p": keys-max is from 1 to 100000000"#).await;
    let redis = |address: &str, ca: Option<&str>| Settings {
        store: Store::Redis(Redis {
            address: Secret::new(address),
            on_failure: OnFailure::Local,
            timeout: Duration::from_secs(1),
            prefix: String::new(),
            ca: ca.map(PathBuf::from),
        }),
        ..local([base()])
    };
    // An address may hold a password, so it is not repeated.
    check(redis("http://:hunter2@redis", None), "the address of the Redis server is not one").await;
    check(
        redis("rediss://redis", Some("/nowhere.pem")),
        "/nowhere.pem: No such file or directory (os error 2)",
    )
    .await;
}

#[tokio::test]
async fn it_is_asked_about_responses_only_where_they_tell_the_cost() {
    let plain = start(local([policy("daily", 2)])).await;
    assert!(plain.wants().get(Event::RequestHeaders).is_some());
    assert!(plain.wants().get(Event::ResponseHeaders).is_none());
    let cost = Cost::ResponseHeader { name: "x-tokens".into(), otherwise: 1 };
    let later = start(local([Policy { cost, ..policy("tokens", 2) }])).await;
    assert!(later.wants().get(Event::ResponseHeaders).is_some());
}

fn waiting(queue: usize, max: Duration) -> Option<Delay> {
    Some(Delay { queue, max })
}
