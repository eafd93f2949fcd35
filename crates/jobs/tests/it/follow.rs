//! Following: from the start, over restarts, changes and holes.

use http::Method;
use serde_json::json;

use crate::world::{World, by_country, caller, sql, view};
use selvedge_config::ViewShape;

const A: &str = r#"{"country":"DE","amount":10}"#;
const B: &str = r#"{"country":"FR","amount":5.5}"#;

#[tokio::test]
async fn what_was_appended_is_read_as_soon_as_it_is_asked_for() {
    let world = World::new(&[by_country()]);
    world.get("/views/by-country").await.is(503, "views/empty");
    assert_eq!(world.listed().await["state"], "waiting");
    let orders = world.create("streams/_/orders");
    let offset = world.append(orders, &[A, B, A]);
    // The stream came after the view, which looks for it once a second.
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    let expected =
        r#"[{"country":"DE","orders":2,"revenue":20},{"country":"FR","orders":1,"revenue":5.5}]"#;
    assert_eq!(world.rows_at("by-country", &offset).await.rows(), expected);
    let offset = world.append(orders, &[B]);
    let answer = world.rows_at("by-country", &offset).await;
    assert_eq!(answer.json["rows"][1]["revenue"], 11);
    assert_eq!(answer.field("view-as-of"), offset);
    assert_eq!((answer.field("view-lag-records"), answer.field("view-lag-ms")), ("0", "0"));
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let world = World::new(&[by_country()]);
    let orders = world.create("streams/_/orders");
    let first = world.append(orders, &[A]);
    world.until(|listed| listed["as_of"] == first.as_str()).await;
    let world = world.restart(None);
    let orders = world.log.stream("streams/_/orders").unwrap();
    let offset = world.append(orders, &[A, "{"]);
    assert_eq!(
        world.rows_at("by-country", &offset).await.rows(),
        r#"[{"country":"DE","orders":2,"revenue":20}]"#
    );
    let listed = world.listed().await;
    assert_eq!(listed["events"], json!({ "folded": 2, "passed": 0, "bad": 1, "overflowed": 0 }));
    assert_eq!(listed["bad"][0]["beginning"], "{");
    assert_eq!(listed["bad"][0]["offset"], "0000000000000002_0000000000000000");
}

#[tokio::test]
async fn another_definition_is_built_beside_the_one_that_is_shown() {
    let world = World::new(&[by_country()]);
    let orders = world.create("streams/_/orders");
    let offset = world.append(orders, &[A, B]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    let counted = "SELECT json ->> 'country' AS country, count(*) AS n FROM event GROUP BY 1";
    let world = world.restart(Some(&[sql("by-country", counted)]));
    // What is read is one of the two, whole.
    let answer = world.get("/views/by-country").await;
    assert!(
        answer.json["rows"][0]["n"] == 1 || answer.json["rows"][0]["orders"] == 1,
        "{}",
        answer.json
    );
    world.until(|listed| listed["building"].is_null() && listed["state"] == "following").await;
    assert_eq!(
        world.get("/views/by-country").await.rows(),
        r#"[{"country":"DE","n":1},{"country":"FR","n":1}]"#
    );
    // A definition that is taken back leaves what there is; one that is gone takes its rows along.
    let world = world.restart(Some(&[]));
    world.get("/views/by-country").await.is(404, "views/missing");
    let world = world.restart(Some(&[sql("by-country", counted)]));
    world.until(|listed| listed["state"] == "following").await;
}

#[tokio::test]
async fn views_change_under_a_running_core() {
    let world = World::new(&[]);
    let orders = world.create("streams/_/orders");
    let offset = world.append(orders, &[A]);
    world.views.declare(&[by_country()]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    world.views.declare(&[]);
    world.until(serde_json::Value::is_null).await;
}

#[tokio::test]
async fn sql_that_cannot_be_kept_up_says_why_and_keeps_what_there_was() {
    let world = World::new(&[by_country()]);
    let orders = world.create("streams/_/orders");
    let offset = world.append(orders, &[A]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    let world = world.restart(Some(&[sql("by-country", "SELECT count(DISTINCT json) FROM event")]));
    let listed = world.listed().await;
    assert_eq!(listed["state"], "refused");
    assert!(listed["trouble"].as_str().unwrap().contains("approx_count_distinct"));
    assert_eq!(
        world.get("/views/by-country").await.rows(),
        r#"[{"country":"DE","orders":1,"revenue":10}]"#
    );
}

#[tokio::test]
async fn a_stream_that_is_created_again_is_another() {
    let world = World::new(&[by_country()]);
    let orders = world.create("streams/_/orders");
    world.append(orders, &[A, A, A]);
    world.until(|listed| listed["rows"] == 1).await;
    world.delete(orders);
    world.until(|listed| listed["state"] == "waiting").await;
    assert_eq!(world.get("/views/by-country").await.json["rows"][0]["orders"], 3);
    let orders = world.create("streams/_/orders");
    let offset = world.append(orders, &[B]);
    world.until(|listed| listed["as_of"] == offset.as_str() && listed["building"].is_null()).await;
    assert_eq!(
        world.get("/views/by-country").await.rows(),
        r#"[{"country":"FR","orders":1,"revenue":5.5}]"#
    );
}

#[tokio::test]
async fn what_retention_took_is_told_and_a_rebuild_that_would_lose_more_is_not_done_by_accident() {
    let world = World::new(&[]);
    let orders = world.create_kept("streams/_/orders", 2_000);
    let padded = format!(r#"{{"country":"DE","amount":1,"pad":"{}"}}"#, "x".repeat(900));
    for _ in 0..20 {
        world.append(orders, &[&padded]);
    }
    while world.log.info(orders).unwrap().start == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let start = world.log.info(orders).unwrap().start;
    world.views.declare(&[by_country()]);
    let listed = world.until(|listed| listed["state"] == "following").await;
    assert_eq!(listed["incomplete"]["missed"].as_u64(), Some(start));
    let answer = world.get("/views/by-country").await;
    assert_eq!(answer.field("view-incomplete"), start.to_string());
    assert_eq!(answer.json["rows"][0]["orders"].as_u64(), Some(20 - start));
    // It has what the stream has: nothing to lose.
    let admin = || caller(&["views:*"], None);
    let rebuild = world.ask(admin(), Method::POST, "/views/by-country/rebuild", &[]).await;
    assert_eq!(rebuild.status, 202);
    for _ in 0..20 {
        world.append(orders, &[&padded]);
    }
    while world.log.info(orders).unwrap().start == start {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.until(|listed| listed["lag_records"] == 0 && listed["building"].is_null()).await;
    world.ask(admin(), Method::POST, "/views/by-country/rebuild", &[]).await.is(409, "views/lossy");
    let lossy = world.ask(admin(), Method::POST, "/views/by-country/rebuild?lossy=true", &[]).await;
    assert_eq!(lossy.status, 202);
}

#[tokio::test]
async fn what_belongs_to_one_tenant_is_not_shown_to_another() {
    let mut ours = by_country();
    ours.tenant = Some("acme".to_owned());
    let world = World::new(&[ours.clone()]);
    let orders = world.create("streams/acme/orders");
    let offset = world.append(orders, &[A]);
    let reads =
        |tenant| world.ask(caller(&["views:read"], tenant), Method::GET, "/views/by-country", &[]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    assert_eq!(reads(Some("acme")).await.status, 200);
    reads(Some("other")).await.is(404, "views/missing");
    reads(None).await.is(404, "views/missing");
    let listed =
        world.ask(caller(&["views:read"], Some("other")), Method::GET, "/views", &[]).await;
    assert_eq!(listed.json["views"], json!([]));
    // The name goes to another tenant: the rows do not.
    ours.tenant = Some("other".to_owned());
    let world = world.restart(Some(&[ours]));
    let answer = world
        .ask(caller(&["views:read"], Some("other")), Method::GET, "/views/by-country", &[])
        .await;
    answer.is(503, "views/empty");
}

#[tokio::test]
async fn the_latest_of_each_key_and_tombstones() {
    let shape = ViewShape::Latest {
        conditions: Vec::new(),
        key: vec!["id".into()],
        deleted: Some("gone".into()),
    };
    let world = World::new(&[view("carts", shape)]);
    let orders = world.create("streams/_/orders");
    let offset = world.append(
        orders,
        &[
            r#"{"id":"a","n":1}"#,
            r#"{"id":"b","n":2}"#,
            r#"{"id":"a", "n":3.10}"#,
            r#"{"id":"b","gone":true}"#,
        ],
    );
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    assert_eq!(world.get("/views/carts").await.rows(), r#"[{"id":"a","n":3.1}]"#);
    assert_eq!(world.get("/views/carts?where=n>3").await.json["rows"].as_array().unwrap().len(), 1);
}
