use expect_test::expect;

use super::{check, place};

#[test]
fn what_would_change_is_told_by_rule() {
    check(
        "waf replay traffic --rules own.kdl --against own.kdl --against own.conf",
        expect![[r#"
        exit 0
        --- stdout
        same                  2  (1 passed, 1 refused)
        newly refused         0
        newly passed          0

           BEFORE     AFTER  RULE
                0         1  10
    "#]],
    );
    check(
        "waf replay traffic --rules own.kdl --against-block-at 40 --list",
        expect![[r#"
        exit 0
        --- stdout
        same                  1  (1 passed, 0 refused)
        newly refused         0
        newly passed          1

        newly passed: traffic/attack.http: GET /shop?id=1%3Bdrop%20table%09users--&q=x; sql/drop (1000001), sql/comment (1000002)
    "#]],
    );
    check(
        "waf replay traffic --rules own.conf --against own.kdl --format json",
        expect![[r#"
        exit 0
        --- stdout
        {
          "both_pass": 1,
          "both_refuse": 1,
          "changes": [],
          "newly_passed": 0,
          "newly_refused": 0,
          "rules": [
            {
              "after": 0,
              "before": 1,
              "rule": "10"
            },
            {
              "after": 1,
              "before": 0,
              "rule": "sql/drop (1000001)"
            },
            {
              "after": 1,
              "before": 0,
              "rule": "sql/comment (1000002)"
            }
          ]
        }
    "#]],
    );
    assert!(place().run("waf replay traffic --rules own.kdl").starts_with("exit 64\n"));
}

#[test]
fn logs_are_replayed_too() {
    let place = place();
    let log = r#"{"kind":"decision","method":"GET","path":"/"}
{"client":"192.0.2.9:4","protocol":"HTTP/2","method":"GET","host":"a.example","path":"/x","query":"id=1%3Bdrop%20table"}
192.0.2.9 - - [10/Oct/2026:13:55:36 +0000] "GET /?id=1 HTTP/1.1" 200 23 "http://r/?drop table" "curl"
hello
"#;
    place.write("access.log", log);
    let args = "waf replay access.log --rules own.kdl --against-block-at 26 --list";
    expect![[r#"
        exit 1
        --- stdout
        same                  0  (0 passed, 0 refused)
        newly refused         0
        newly passed          2

        newly passed: access.log:2: GET /x?id=1%3Bdrop%20table; sql/drop (1000001)
        newly passed: access.log:3: GET /?id=1; sql/drop (1000001)
        --- stderr
        error: access.log:4 is neither a JSON line nor one of the combined log format
    "#]]
    .assert_eq(&place.run(args));
}

#[test]
fn a_measurement_says_what_it_asserted() {
    let place = place();
    let said = place.run("waf bench traffic --rules own.kdl --seconds 0");
    let asserted = "in each of 2 rounds all were judged alike: 1 refused, 1 passed";
    assert!(said.starts_with("exit 0\n") && said.contains(asserted), "{said}");
    for word in ["rules      3, 2 live", "mean ", "p50 ", "p99 ", "per core ", "slowest\n"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = place.run("waf bench traffic --rules own.kdl --seconds 0 --format json");
    assert!(said.contains("\"refused\": 1,") && said.contains("\"p99_us\": "), "{said}");
    std::fs::create_dir(place.path("empty")).unwrap();
    assert!(place.run("waf bench empty --rules own.kdl").starts_with("exit 1\n"));
}
