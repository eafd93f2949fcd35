use std::net::TcpListener;

use expect_test::expect;

use crate::{
    http::get,
    process::{Place, field},
};

fn config(rest: &str) -> String {
    format!(
        "workers 1\nadmin {{ address \"127.0.0.1:0\" }}\ntelemetry {{ access-log #false }}\n\
         listener \"web\" {{ address \"127.0.0.1:0\" }}\n{rest}\n"
    )
}

#[test]
fn the_one_who_asks_learns_what_came_of_it() {
    let place = Place::new();
    place.write("a.kdl", &config("route \"all\" { respond 200 \"one\" }"));
    let mut edge = place.start("edge --config a.kdl");
    let url = field(&edge.hear("listener=web"), "url");
    let admin = field(&edge.hear("listener=(admin)"), "url");
    edge.hear("msg=serving");
    let address = admin.trim_start_matches("http://").trim_end_matches('/');
    let reload = || place.run(&format!("reload --admin {address}"));

    place.write("a.kdl", &config("route \"all\" { respond 200 \"two\" }"));
    expect![[r#"
        exit 0
        --- stdout
        reloaded: revision 2: ~ route "all"
    "#]]
    .assert_eq(&reload());
    assert_eq!(get(&url).body, "two");

    place.write("a.kdl", &config("route \"all\" { respnd 200 \"three\" }"));
    expect![[r#"
        exit 2
        --- stderr
        error[E0102]: unknown node `respnd` in `route`
         --> a.kdl:5:15
          |
        5 | route "all" { respnd 200 "three" }
          |               ^^^^^^
        help: did you mean `respond`?

        1 error; `selvedge explain E0102` says more
    "#]]
    .assert_eq(&reload());
    assert_eq!(get(&url).body, "two");
    let metrics = get(&format!("{admin}metrics")).body;
    assert!(metrics.contains("selvedge_config_last_reload_successful 0"));
    assert!(metrics.contains("selvedge_config_revision 2"));
}

#[test]
fn a_signal_is_the_other_way() {
    let place = Place::new();
    place.write("a.kdl", &config("route \"all\" { respond 200 \"one\" }"));
    let mut edge = place.start("edge --config a.kdl");
    edge.hear("msg=serving");
    let said = place.run(&format!("reload --pid {}", edge.id()));
    assert!(said.starts_with("exit 0\n"), "{said}");
    edge.hear("msg=\"config reloaded\" revision=2 changes=\"no change\"");
}

#[test]
fn an_edge_that_is_not_there_is_unavailable() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = place.run(&format!("reload --admin {closed}"));
    assert!(said.starts_with("exit 69\n--- stderr\nerror: the admin listener at "), "{said}");
    let said = place.run("reload --pid 2147483647");
    assert!(said.starts_with("exit 69\n--- stderr\nerror: process 2147483647 "), "{said}");
}

#[test]
fn the_config_names_the_admin_listener() {
    let place = Place::new();
    let rest = "route \"all\" { respond 200 \"one\" }";
    place.write("selvedge.kdl", &config(rest));
    expect![[r#"
        exit 1
        --- stderr
        error: the system chose the admin listener's port; name it with --admin
    "#]]
    .assert_eq(&place.run("reload"));
    place.write(
        "off.kdl",
        &config(rest).replace("{ address \"127.0.0.1:0\" }\ntele", "#false\ntele"),
    );
    expect![[r#"
        exit 1
        --- stderr
        error: the config switches the admin listener off; use --pid
    "#]]
    .assert_eq(&place.run("reload --config off.kdl"));
}
