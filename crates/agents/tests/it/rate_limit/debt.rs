//! Costs that the response tells: language models and their tokens.

use super::*;

fn tokens(limit: u32) -> Policy {
    let cost = Cost::ResponseHeader { name: "x-tokens".into(), otherwise: 10 };
    Policy { cost, ..policy("tokens", limit) }
}

/// A whole exchange whose response has these fields.
async fn exchange(agent: &RateLimit, client: &Asked, fields: &[(&str, &str)]) -> Verdict {
    let mut exchange = Exchange::default();
    let verdict = request(agent, client, &mut exchange).await;
    assert_eq!(written(&verdict), "allow: goes on\n", "the response tells what is left");
    response(agent, client, fields, &mut exchange).await
}

#[tokio::test]
async fn a_response_takes_more_than_there_is() {
    let agent = start(local([tokens(100), policy("requests", 10)])).await;
    let client = from("192.0.2.1");
    check(
        &exchange(&agent, &client, &[("X-Tokens", "99")]).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "tokens";q=100;w=86400, "requests";q=10;w=86400
        RateLimit: "tokens";r=1;t=15m, "requests";r=9;t=144m
    "#]],
    );
    check(
        &exchange(&agent, &client, &[("x-tokens", "200")]).await,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "tokens";q=100;w=86400, "requests";q=10;w=86400
        RateLimit: "tokens";r=0;t=2d, "requests";r=8;t=144m
    "#]],
    );
    check(
        &ask(&agent, &client).await,
        &expect![[r#"
            block: 429
            Content-Type: application/problem+json
            Retry-After: 2d
            RateLimit-Policy: "tokens";q=100;w=86400, "requests";q=10;w=86400
            RateLimit: "tokens";r=0;t=2d
            body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"tokens\" allows 100 per 1d.","code":"rate-limit/exceeded","violated-policies":["tokens"]}
            finding rate-limit/tokens ["refused", "address"]: policy "tokens" (100 per 1d by address): used up, enough in 2d
            reason: policy "tokens" (100 per 1d by address): used up, enough in 2d
        "#]],
    );
}

#[tokio::test]
async fn a_response_that_does_not_say() {
    let agent = start(local([tokens(100)])).await;
    let client = from("192.0.2.1");
    for fields in [&[][..], &[("x-tokens", "many")], &[("x-tokens", "")]] {
        exchange(&agent, &client, fields).await;
    }
    let verdict = written(&exchange(&agent, &client, &[("x-tokens", "0")]).await);
    assert!(verdict.contains(r#""tokens";r=70;"#), "{verdict}");
}

#[tokio::test]
async fn leaving_early_is_not_free() {
    let agent = start(local([tokens(100)])).await;
    let client = from("192.0.2.1");
    for _ in 0..3 {
        ask(&agent, &client).await;
    }
    // The charge is made beside the exchange.
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
    let verdict = written(&exchange(&agent, &client, &[("x-tokens", "0")]).await);
    assert!(verdict.contains(r#""tokens";r=70;"#), "{verdict}");
}

#[tokio::test]
async fn routes_without_such_a_policy_wait_for_no_response() {
    let agent = start(local([tokens(100), policy("requests", 10)])).await;
    let client = from("192.0.2.1").attribute("route.policy", "requests");
    let verdict = ask(&agent, &client).await;
    assert!(verdict.is_done());
    assert!(written(&verdict).contains(r#"RateLimit: "requests";r=9;"#));
}
