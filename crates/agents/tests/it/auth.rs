//! The auth agent: requests in, verdicts out.

mod counted;
mod decisions;
mod guide;
mod issuers;
mod mutations;
mod secrets;
mod served;
mod server;
mod signer;
mod vectors;
mod wycheproof;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use selvedge_agent::{Agent, Decision, Operation, RequestHead, Verdict};
use selvedge_agents::auth::Auth;
use selvedge_config::auth::{Algorithm, ClaimHeader, Issuer, Keys, Place, Settings};
use serde_json::{Value, json};

use crate::asked::Asked;

/// The issuer and the audience of a test's tokens.
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api";

/// Settings as a config has them that names one issuer and nothing else.
fn settings(keys: Keys) -> Settings {
    Settings {
        issuers: vec![issuer(ISSUER, keys)],
        token: vec![Place::Header {
            name: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        }],
        api_keys: None,
        client_certificate: None,
        claims: vec![header("sub", "x-user-id"), header("roles", "x-user-role")],
        values: Vec::new(),
        roles_from: vec!["roles".to_owned()],
        scopes_from: vec!["scope".to_owned(), "scp".to_owned()],
        realm: "test".to_owned(),
        anonymous: false,
        cache: 1_000,
    }
}

fn issuer(name: &str, keys: Keys) -> Issuer {
    Issuer {
        issuer: name.to_owned(),
        keys,
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: Algorithm::PUBLIC.to_vec(),
        token_type: None,
        leeway: Duration::from_secs(30),
        refresh: Duration::from_secs(600),
        refetch_interval: Duration::from_secs(3_600),
        timeout: Duration::from_secs(30),
        ca: None,
    }
}

fn header(claim: &str, header: &str) -> ClaimHeader {
    ClaimHeader { claim: claim.to_owned(), header: header.to_owned() }
}

/// Starts the agent with settings that went to it as JSON, as an edge sends them.
async fn start(settings: &Settings) -> Auth {
    try_start(settings, None).await.unwrap()
}

async fn try_start(settings: &Settings, previous: Option<&Auth>) -> Result<Auth, String> {
    let sent = serde_json::to_string(settings).unwrap();
    Auth::start(serde_json::from_str(&sent).unwrap(), previous).await
}

async fn ask(agent: &Auth, asked: &Asked) -> Verdict {
    let payload = asked.payload();
    let request = RequestHead::parse(&payload, false).unwrap();
    let verdict = agent.request_headers(&request, &mut ()).await;
    assert_eq!(verdict.flaw(), None);
    verdict
}

fn bearer(token: &str) -> Asked {
    Asked::get("/").field("authorization", format!("Bearer {token}"))
}

/// Claims that are in force, with some changed; `null` takes one away.
fn claims(changes: Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "iat": now, "exp": now + 3_600,
        "roles": ["editor"], "scope": "read write",
    });
    let own = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => own.remove(name),
            value => own.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A verdict in a few words: what the upstream gets, or what the client gets.
fn told(verdict: &Verdict) -> String {
    match verdict.decision() {
        Decision::Allow => {
            let fields = verdict.changes().iter().map(|change| match change.operation {
                Operation::Remove => format!("no {}", change.name),
                _ => format!("{}: {}", change.name, String::from_utf8_lossy(&change.value)),
            });
            let values = verdict.values().iter().map(|(name, value)| format!("{name} = {value}"));
            let all: Vec<String> = fields.chain(values).collect();
            format!("allow\n{}\n", all.join("\n"))
        }
        Decision::Block(answer) => {
            let challenges = answer.fields.iter().filter(|(name, _)| name != "content-type");
            let challenges = challenges
                .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
            format!(
                "{} {}\n{}",
                answer.status,
                verdict.reason_text(),
                challenges.collect::<String>()
            )
        }
        other => panic!("{other:?}"),
    }
}

/// The status of the answer; `None` for requests that pass.
fn status(verdict: &Verdict) -> Option<u16> {
    match verdict.decision() {
        Decision::Allow => None,
        Decision::Block(answer) => Some(answer.status),
        other => panic!("{other:?}"),
    }
}
