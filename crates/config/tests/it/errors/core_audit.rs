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
        expect![[r#"
            error[E0131]: "https://log.example.com/audit" is no name for an audit log or its machine
             --> selvedge.kdl:6:16
              |
            6 |         origin "https://log.example.com/audit"
              |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            help: write it like "log.example.com/audit": visible ASCII without blanks, `+` and `://`

            error[E0131]: "core 1" is no name for an audit log or its machine
             --> selvedge.kdl:7:14
              |
            7 |         node "core 1"
              |              ^^^^^^^^
            help: write it like "log.example.com/audit": visible ASCII without blanks, `+` and `://`

            error[E0107]: text stands where a switch belongs
             --> selvedge.kdl:8:16
              |
            8 |         public "yes"
              |                ^^^^^
            help: write #true or #false

            error[E0109]: "1s" is out of range
             --> selvedge.kdl:9:30
              |
            9 |         retention { personal "1s"; entries "2y" }
              |                              ^^^^
            help: allowed: 1h to 36500d

            error[E0108]: "2y" is not a duration: unknown unit "y"
             --> selvedge.kdl:9:44
              |
            9 |         retention { personal "1s"; entries "2y" }
              |                                            ^^^^
            help: whole numbers with us, ms, s, m, h or d, such as "250ms" or "10s"

            error[E0109]: "1ms" is out of range
              --> selvedge.kdl:10:22
               |
            10 |         cosign-every "1ms"
               |                      ^^^^^
            help: allowed: 100ms to 1h

            error[E0121]: "b.example.com" is not where a witness can be
              --> selvedge.kdl:11:17
               |
            11 |         witness "b.example.com" { key "b.example.com/audit" }
               |                 ^^^^^^^^^^^^^^^
            help: write what stands before `/add-checkpoint`, such as "https://b.example.com/_selvedge/audit"

            error[E0131]: this is not the public key of a witness
              --> selvedge.kdl:11:39
               |
            11 |         witness "b.example.com" { key "b.example.com/audit" }
               |                                       ^^^^^^^^^^^^^^^^^^^^^
            help: it is one line, NAME+ID+KEY: the file `audit-witness.vkey` in the other core's data-dir

            error[E0106]: `witness` has no `key`
              --> selvedge.kdl:12:9
               |
            12 |         witness "https://b.example.com/_selvedge/audit"
               |         ^^^^^^^
            help: add `key (file)"audit-witness.vkey"`

            error[E0131]: this is not the public key of a log
              --> selvedge.kdl:13:15
               |
            13 |         watch "b.example.com/audit/witness+bc17bb49+BPom91lYaB69WXnpm+W2B1VI4UOOsGXVU2QuR+6ujdrk"
               |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            help: it is one line, NAME+ID+KEY: the file `audit.vkey` in the other core's data-dir

            error[E0102]: unknown node `witnes` in `audit`
              --> selvedge.kdl:14:9
               |
            14 |         witnes "c"
               |         ^^^^^^
            help: did you mean `witness`?

            11 errors; `selvedge explain E0131` says more
        "#]],
    );
}
