//! The guide says what is so.

use selvedge_config::{AgentSettings, MemoryEnvironment, parse_str};

use super::*;

const PAGE: &str = include_str!("../../../../../docs/guide/rate-limit.md");

/// The settings of the rate-limit agents in the guide.
fn settings() -> Vec<Settings> {
    let blocks = PAGE.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let read = |block: &str| {
        let listener = "listener \"http\" { address \"127.0.0.1:8080\" }\n";
        let listener = if block.starts_with("listener") { "" } else { listener };
        let text = format!("{listener}{block}");
        let loaded = parse_str("selvedge.kdl", &text, &MemoryEnvironment::default());
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        match &config.agents["limits"].settings {
            AgentSettings::RateLimit(settings) => settings.clone(),
            other => panic!("{other:?}"),
        }
    };
    blocks.map(read).collect()
}

#[tokio::test]
async fn its_settings_start() {
    let all = settings();
    assert_eq!(all.len(), 5);
    for settings in &all {
        // Whether there is a server is no matter of the guide's.
        start(Settings { store: Store::Local, ..settings.clone() }).await;
    }
    let [first, claims, delay, costs, redis] = all.as_slice() else { panic!("five") };
    assert_eq!((first.policies[0].limit, first.policies[0].burst), (50, 100));
    assert_eq!(claims.policies[1].key, [KeyPart::Value("claim.sub".into())]);
    assert_eq!(delay.policies[0].delay, waiting(1_000, Duration::from_secs(1)));
    assert!(matches!(costs.policies[1].cost, Cost::ResponseHeader { otherwise: 500, .. }));
    assert!(matches!(&redis.store, Store::Redis(redis) if redis.on_failure == OnFailure::Local));
}

#[tokio::test]
async fn its_answer_is_the_agents() {
    let policies = [
        Policy { per: Duration::from_secs(1), burst: 100, ..policy("per-address", 50) },
        policy("daily", 1_000),
    ];
    let agent = start(local(policies)).await;
    let asked = from("192.0.2.1").attribute("route.cost", "101");
    let Decision::Block(answer) = ask(&agent, &asked).await.decision().clone() else {
        panic!("it costs more than there is")
    };
    let shown = answer.fields.iter().filter(|(name, _)| name == "RateLimit-Policy");
    for (name, value) in shown.clone() {
        let line = format!("{name}: {}\n", str::from_utf8(value).unwrap());
        assert!(PAGE.contains(&line), "{line}");
    }
    assert_eq!(shown.count(), 1);
    let body = str::from_utf8(&answer.body).unwrap();
    assert!(PAGE.replace("\n \"", "\"").contains(body), "{body}");
}
