//! The guide says what is so.

use selvedge_config::{
    AgentSettings, MemoryEnvironment,
    auth::{Keys, Settings},
    parse_str,
};

use super::{ISSUER, ask, bearer, start, status};
use crate::asked::Asked;

const PAGE: &str = include_str!("../../../../../docs/guide/auth.md");

/// The settings of the auth agents in the guide.
fn settings() -> Vec<Settings> {
    let blocks = PAGE.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files = ["internal-ca.pem", "keys/machines.json", "keys/api.txt"];
    let environment =
        files.iter().fold(MemoryEnvironment::default(), |it, name| it.with_file(name, ""));
    let environment = environment.with_file("keys/internal.secret", &("s".repeat(32) + "\n"));
    let read = |block: &str| {
        let text = format!("listener \"http\" {{ address \"127.0.0.1:8080\" }}\n{block}");
        let config = parse_str("selvedge.kdl", &text, &environment);
        let config = config.unwrap_or_else(|report| panic!("{report}")).config;
        match &config.agents["auth"].settings {
            AgentSettings::Auth(settings) => settings.clone(),
            other => panic!("{other:?}"),
        }
    };
    blocks.map(read).collect()
}

#[test]
fn its_settings_are_read() {
    let all = settings();
    assert_eq!(all.len(), 6);
    assert_eq!(all.iter().map(|it| it.issuers.len()).sum::<usize>(), 5);
    assert_eq!(all.iter().filter(|it| it.api_keys.is_some()).count(), 1);
    assert_eq!(all.iter().filter(|it| it.client_certificate.is_some()).count(), 1);
}

#[tokio::test]
async fn its_table_has_every_code() {
    let mut all = settings();
    // Nobody listens there, which is a way to have no keys without leaving this machine.
    all[0].issuers[0].keys = Keys::Url("http://127.0.0.1:1/keys".to_owned());
    let tokens = start(&all[0]).await;
    let certificates = start(&all[4]).await;
    for (agent, asked, expected) in [
        (&tokens, Asked::get("/"), (401, "auth/credentials")),
        (&tokens, bearer("a b"), (400, "auth/request")),
        (&tokens, bearer(ISSUER), (401, "auth/token")),
        (&certificates, Asked::get("/"), (403, "auth/certificate")),
    ] {
        let verdict = ask(agent, &asked).await;
        let (code, row) =
            (&verdict.findings()[0].rule, format!("| {} | `{}` |", expected.0, expected.1));
        assert_eq!((status(&verdict), code.as_str()), (Some(expected.0), expected.1));
        assert!(PAGE.contains(&row), "{row}");
    }
}
