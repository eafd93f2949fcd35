//! Views behind the edge: each event counts once, however the core ends.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    core::{health, role, token, up},
    http::{get_with, send},
    process::{Place, eventually, is_alive, send as signal},
};

const CORE: &str = r#"core {
    data-dir "./data"
    view "by-country" {
        stream "orders"
        sql "SELECT json ->> 'country' AS country, count(*) AS orders, sum(json ->> 'n') AS n FROM event GROUP BY country"
    }
}"#;
const TYPE: &str = "Content-Type: application/json";

#[test]
fn each_event_counts_once_over_kills_and_is_read_by_who_wrote_it() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let app = token(&place, "app --scope streams:* --scope views:read");
    let bearer = format!("Authorization: Bearer {app}");
    let (stream, view) =
        (format!("{url}_selvedge/streams/orders"), format!("{url}_selvedge/views/by-country"));
    assert_eq!(send(("PUT", &stream), &[&bearer, TYPE], "").unwrap().status, 201);
    let mut sum = 0;
    for n in 1..=12 {
        let event = format!(r#"[{{"country":"DE","n":{n}}},{{"country":"FR","n":1}}]"#);
        let appended = send(("POST", &stream), &[&bearer, TYPE], &event).unwrap();
        assert_eq!(appended.status, 204, "{}", appended.body);
        sum += n;
        if n % 4 == 0 {
            let core = eventually("the core runs", || role(&up, "core"));
            signal(core, Signal::KILL);
            eventually("the core is gone", || (!is_alive(core)).then_some(()));
            eventually("the core is back", || (health(&url).status == 200).then_some(()));
        }
        let offset = format!("{:016x}_0000000000000000", 2 * n);
        let ask = format!("{view}?key=DE&wait_ms=30000&min_offset={offset}");
        let answer = eventually("the view includes it", || {
            let answer = get_with(&ask, &[&bearer]);
            (answer.status == 200).then_some(answer)
        });
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(json["as_of"], offset.as_str());
        assert_eq!(json["rows"], serde_json::json!([{ "country": "DE", "n": sum, "orders": n }]));
    }
    assert_eq!(get_with(&view, &[]).status, 401);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn a_fork_is_a_source_like_any_other() {
    let place = Place::new();
    let (mut up, url) = up(
        &place,
        "core { data-dir \"./data\"; view \"n\" { stream \"what/if\"; count \"n\"; sum \"total\" of=\"n\" } }",
    );
    let app = token(&place, "app --scope streams:* --scope views:read");
    let bearer = format!("Authorization: Bearer {app}");
    let stream = |path: &str| format!("{url}_selvedge/streams/{path}");
    assert_eq!(send(("PUT", &stream("orders")), &[&bearer, TYPE], "").unwrap().status, 201);
    let events = r#"[{"n":1},{"n":2},{"n":4}]"#;
    assert_eq!(send(("POST", &stream("orders")), &[&bearer, TYPE], events).unwrap().status, 204);
    let fork = [
        &*bearer,
        TYPE,
        "Stream-Forked-From: orders",
        "Stream-Fork-Offset: 0000000000000000_0000000000000000",
        "Stream-Fork-Sub-Offset: 2",
    ];
    let forked = send(("PUT", &stream("what/if")), &fork, "").unwrap();
    assert_eq!(forked.status, 201, "{forked:?}");
    let appended = send(("POST", &stream("what/if")), &[&bearer, TYPE], r#"{"n":8}"#).unwrap();
    let tail = "0000000000000003_0000000000000000";
    assert!(appended.head.contains(&format!("stream-next-offset: {tail}")), "{appended:?}");
    let view = format!("{url}_selvedge/views/n?wait_ms=30000&min_offset={tail}");
    let answer = eventually("the view includes it", || {
        let answer = get_with(&view, &[&bearer]);
        (answer.status == 200).then_some(answer)
    });
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&json["rows"], &json["as_of"]),
        (&serde_json::json!([{ "n": 3, "total": 11 }]), &tail.into())
    );
    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
}

#[test]
fn a_query_that_cannot_be_kept_up_is_found_before_anything_runs() {
    let place = Place::new();
    place.write(
        "selvedge.kdl",
        "core { data-dir \"./data\"; view \"v\" { stream \"s\"; sql \"SELECT count(DISTINCT json) FROM event\" } }",
    );
    let said = place.run("check");
    assert!(said.contains("the query of view `v` cannot be kept up"), "{said}");
    assert!(said.contains("approx_count_distinct"), "{said}");
}
