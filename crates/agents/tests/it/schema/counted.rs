//! What the agent counts.

use super::*;
use crate::measured::{check_page, counted};

#[test]
fn refusals_by_their_code() {
    let (_folder, settings) = schemas();
    let agent = start(&settings).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    for body in ["{\"id\": 1}", "{\"id\": \"x\"}", "{"] {
        runtime.block_on(ask(&agent, &Message::request("POST /orders").json(body), None));
    }
    expect![[r#"
        refusals_total [request schema/invalid refused] 1
        refusals_total [request schema/malformed refused] 1
    "#]]
    .assert_eq(&counted(&agent));
    check_page(&agent, "schema");
}
