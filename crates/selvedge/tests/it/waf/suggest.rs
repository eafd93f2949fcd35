use expect_test::expect;

use super::place;

#[test]
fn exclusions_are_as_narrow_as_they_can_be() {
    let place = place();
    std::fs::create_dir(place.path("legit")).unwrap();
    let request = |path: &str, query: &str| format!("GET {path}?{query} HTTP/1.1\nHost: a\n\n");
    for (name, path, query) in [
        ("1", "/forum/post", "comment=drop+table+tennis"),
        ("2", "/forum/edit", "comment=drop+table+5--"),
        ("3", "/forum/edit", "q=fine"),
        ("4", "/search", "q=drop+table+6"),
    ] {
        place.write(&format!("legit/{name}.http"), &request(path, query));
    }
    expect![[r#"
        exit 0
        --- stdout
        // 4 requests looked at, 3 refused; with these lines 3 of them pass
        exclude rule="sql/drop" target="args:comment" path="/forum/" // spares 2: A table is dropped.
        exclude rule="sql/drop" target="args:q" path="/search" // spares 1: A table is dropped.
    "#]].assert_eq(&place.run("waf suggest legit --rules own.kdl"));
    expect![[r#"
        exit 0
        --- stdout
        // 1 request looked at, none is refused
    "#]]
    .assert_eq(&place.run("waf suggest legit/3.http --rules own.kdl"));
    expect![[r#"
        exit 0
        --- stdout
        {
          "beyond": [],
          "exclusions": [
            {
              "message": "A table is dropped.",
              "name": "sql/drop",
              "path": "/search",
              "rule": 1000001,
              "spares": 1,
              "target": "args:q"
            }
          ],
          "looked_at": 1,
          "refused": 1
        }
    "#]]
    .assert_eq(&place.run("waf suggest legit/4.http --rules own.kdl --format json"));
}

/// A rule about what is missing has nothing that could be left alone.
#[test]
fn a_rule_is_left_out_only_where_nothing_else_helps() {
    let place = place();
    let rule = r#"SecRule &REQUEST_HEADERS:Accept "@eq 0" "id:7,phase:1,deny,msg:'no Accept'""#;
    place.write("a.conf", rule);
    expect![[r#"
        exit 0
        --- stdout
        // 2 requests looked at, 2 refused; with these lines 2 of them pass
        exclude rule=7 path="/shop" // spares 2: no Accept
    "#]]
    .assert_eq(&place.run("waf suggest traffic --rules a.conf"));
}

#[test]
fn logs_of_decisions_are_enough() {
    let place = place();
    let decision = |path: &str, verdict: &str, reason: &str| {
        let finding = r#"{"rule":"sql/drop","score":25,"tags":["id/1000001","sql"],"detail":"A table is dropped.: ARGS:comment, bytes 3 to 8: »x«"}"#;
        let watched =
            r#"{"rule":"942100","score":25,"tags":["shadow"],"detail":"x: ARGS:id, bytes 1 to 2"}"#;
        format!(
            "{{\"kind\":\"decision\",\"path\":\"{path}\",\"decision\":\"{verdict}\",\"reason\":\"{reason}\",\"findings\":[{finding},{watched}]}}\n"
        )
    };
    let lines = [
        decision("/forum/post", "block", "25 points"),
        decision("/forum/edit", "allow", "not refused: 25 points"),
        decision("/shop", "allow", "12 points"),
        "{\"method\":\"GET\",\"path\":\"/\"}\n".to_owned(),
    ];
    place.write("a.log", &lines.concat()).write("b.log", "{}\n");
    expect![[r#"
        exit 0
        --- stdout
        // 3 requests looked at, 2 refused; with these lines 2 of them pass
        exclude rule="sql/drop" target="args:comment" path="/forum/" // spares 2: A table is dropped.
    "#]].assert_eq(&place.run("waf suggest a.log"));
    assert!(place.run("waf suggest b.log").starts_with("exit 1\n"));
}
