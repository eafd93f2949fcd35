use expect_test::expect;

use crate::process::Place;

const CONFIG: &str = r#"
workers 1
limits { connections 500 }
listener "web" { address "127.0.0.1:0" }
route "all" {
    respond 200 "hi"
    limits { body "1MiB" }
}
"#;

#[test]
fn the_table_has_value_origin_and_consequence() {
    let place = Place::new();
    expect![[r#"
        exit 0
        --- stdout
        process
          limits connections                500  a.kdl:3  refused, counted
          limits connections-per-address    256  default  refused, counted
          limits head                     32KiB  default  431
          limits head-fields                100  default  431
          limits in-flight                10000  default  503 with Retry-After
          limits upstream-connections     10000  default  wait bounded by the connect timeout, then 503
          limits route-cache               4096  default  the least recently used entry goes
          limits response-head            64KiB  default  502
          workers                             1  a.kdl:2  one thread and one runtime each; connections share them
          drain-timeout                     30s  default  requests still running are cut
        listener "web"
          timeouts head                     10s  default  408, then the connection closes
          timeouts body                     30s  default  408, then the connection closes
          timeouts write                    30s  default  the connection closes
          timeouts idle                     75s  default  the connection closes
        route "all"
          limits body                      1MiB  a.kdl:7  413
          limits in-flight                 none  default  503 with Retry-After
    "#]].assert_eq(&place.write("a.kdl", CONFIG).run("bounds --config a.kdl"));
}

#[test]
fn json_has_the_same_rows_as_the_table() {
    let place = Place::new();
    place.write("a.kdl", CONFIG);
    let json = place.run("bounds --config a.kdl --format json");
    let json = json.strip_prefix("exit 0\n--- stdout\n").unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let table = place.run("bounds --config a.kdl");
    assert_eq!(rows.len(), table.lines().filter(|line| line.starts_with("  ")).count());
    let body = rows.iter().find(|row| row["name"] == "limits body").unwrap();
    expect![[r#"
        {
          "at_bound": "413",
          "file": "a.kdl",
          "line": 7,
          "name": "limits body",
          "origin": "written",
          "scope": "route \"all\"",
          "value": "1MiB"
        }
    "#]]
    .assert_eq(&format!("{body:#}\n"));
}
