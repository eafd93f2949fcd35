//! Mistakes in `core { audit { … } }`.

use super::*;

#[test]
fn audit() {
    check(
        r#"listener "web" { address "127.0.0.1:0" }
route "all" { respond 200 }
core {
    data-dir "./data"
    audit {
        origin "https://log.example.com/audit"
        node "core 1"
        public "yes"
        retention { personal "1s"; entries "2y" }
        cosign-every "1ms"
        witness "b.example.com" { key "b.example.com/audit" }
        witness "https://b.example.com/_selvedge/audit"
        watch "b.example.com/audit/witness+bc17bb49+BPom91lYaB69WXnpm+W2B1VI4UOOsGXVU2QuR+6ujdrk"
        witnes "c"
    }
}"#,
        expect![[r#""#]],
    );
}
