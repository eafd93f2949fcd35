//! What the agent counts.

use std::fs;

use expect_test::expect;
use serde_json::json;

use super::{
    Asked, ask, bearer, claims, settings,
    signer::{Signer, set},
    start,
};
use crate::measured::{check_page, counted};

#[tokio::test]
async fn decisions_and_their_reasons() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("k"));
    let file = folder.path().join("jwks.json");
    fs::write(&file, set(&[&signer])).unwrap();
    let mut settings = settings(selvedge_config::auth::Keys::File(file));
    settings.anonymous = true;
    let agent = start(&settings).await;
    let token = signer.sign(&claims(json!({})));
    for asked in [bearer(&token), bearer(&token), bearer("no token"), Asked::get("/")] {
        ask(&agent, &asked).await;
    }
    expect![[r#"
        decisions_total [allowed anonymous] 1
        decisions_total [allowed token] 2
        decisions_total [refused auth/request] 1
    "#]]
    .assert_eq(&counted(&agent));
    check_page(&agent, "auth");
}
