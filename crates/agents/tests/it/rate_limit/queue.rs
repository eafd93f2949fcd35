//! Requests that wait for their tokens.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// What a future says right now.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a future says without any wait.
#[track_caller]
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// One request each `per`, one at once, others wait.
fn paced(per: Duration, delay: Option<Delay>) -> Policy {
    Policy { per, delay, ..policy("paced", 1) }
}

#[tokio::test]
async fn a_request_waits_for_its_token() {
    let agent = start(local([paced(300 * MILLI, waiting(1_000, Duration::from_secs(60)))])).await;
    let client = from("192.0.2.1");
    let begin = Instant::now();
    let ask = || ask(&agent, &client);
    let verdicts: [Verdict; 4] = tokio::join!(ask(), ask(), ask(), ask()).into();
    assert!(verdicts.iter().all(|verdict| status(verdict) == 0));
    assert!(begin.elapsed() >= 900 * MILLI, "the fourth token was there too early");
    assert!(verdicts[0].findings().is_empty());
    let waited = verdicts.iter().flat_map(Verdict::findings).next().expect("somebody waited");
    assert_eq!((waited.rule.as_str(), &*waited.tags[0]), ("rate-limit/paced", "delayed"));
}

#[tokio::test]
async fn who_would_wait_too_long_does_not_wait_at_all() {
    let agent = start(local([paced(DAY, waiting(1_000, DAY - Duration::from_secs(60)))])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    let refused = at_once(ask(&agent, &client));
    assert!(written(&refused).contains("used up, enough in 1d"), "{}", written(&refused));
}

#[tokio::test]
async fn a_queue_has_so_many_places() {
    let agent = start(local([paced(DAY, waiting(2, 10 * DAY)), policy("daily", 100)])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    let (mut first, mut second) = (Box::pin(ask(&agent, &client)), pin!(ask(&agent, &client)));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
            block: 429
            Content-Type: application/problem+json
            Retry-After: 3d
            RateLimit-Policy: "paced";q=1;w=86400, "daily";q=100;w=86400
            RateLimit: "paced";r=0;t=3d
            body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"paced\" allows 1 per 1d.","code":"rate-limit/exceeded","violated-policies":["paced"]}
            finding rate-limit/paced ["refused", "address"]: policy "paced" (1 per 1d by address): the queue is full
            reason: policy "paced" (1 per 1d by address): the queue is full
        "#]],
    );
    let elsewhere = from("192.0.2.2");
    assert_eq!(status(&ask(&agent, &elsewhere).await), 0, "who need not wait needs no place");
    assert_eq!(status(&ask(&agent, &elsewhere).await), 429);
    // Who leaves makes room.
    drop(first);
    let mut third = pin!(ask(&agent, &elsewhere));
    assert!(poll(third.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
}

#[tokio::test]
async fn patience_of_one_policy_is_none_of_another() {
    let hasty = Policy { per: DAY, ..policy("hasty", 1) };
    let agent = start(local([paced(DAY, waiting(10, 10 * DAY)), hasty])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    let refused = at_once(ask(&agent, &client));
    let rules: Vec<_> = refused.findings().iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["rate-limit/paced", "rate-limit/hasty"]);
}

#[tokio::test]
async fn a_reload_keeps_those_who_wait() {
    let settings = || local([paced(DAY, waiting(1, 10 * DAY))]);
    let old = start(settings()).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&old, &client).await), 0);
    let mut waits = pin!(ask(&old, &client));
    assert!(poll(waits.as_mut()).is_pending());
    let new = RateLimit::start(settings(), Some(&old)).await.unwrap();
    assert_eq!(status(&ask(&new, &client).await), 429, "the only place is taken");
}
