//! What the agent counts.

use super::*;
use crate::measured::{check_page, counted};

#[tokio::test]
async fn what_each_policy_said() {
    let agent = start(local([policy("few", 1), policy("many", 9)])).await;
    for _ in 0..3 {
        ask(&agent, &from("192.0.2.1")).await;
    }
    expect![[r#"
        requests_total [few admitted] 1
        requests_total [few refused] 2
        requests_total [many admitted] 1
    "#]]
    .assert_eq(&counted(&agent));
    check_page(&agent, "rate_limit");
}
