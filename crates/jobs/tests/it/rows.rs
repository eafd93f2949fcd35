//! Reading rows: questions, pages, staleness, who may.

use http::Method;
use selvedge_identity::Caller;

use crate::world::{World, by_country, caller};

/// Countries with 1 to n orders of 1.5 each, and all of them folded.
async fn world(countries: &[(&str, usize)]) -> World {
    let world = World::new(&[]);
    let orders = world.create("streams/_/orders");
    let mut offset = String::new();
    for (country, count) in countries {
        for _ in 0..*count {
            offset = world.append(orders, &[&format!(r#"{{"country":{country},"amount":1.5}}"#)]);
        }
    }
    world.views.declare(&[by_country()]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    world
}

#[track_caller]
fn names(answer: &crate::world::Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.json);
    let rows = answer.json["rows"].as_array().unwrap().iter();
    rows.map(|row| row["country"].to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn rows_are_found_by_key_prefix_and_condition() {
    let world =
        world(&[("\"DE\"", 3), ("\"DK\"", 1), ("\"FR\"", 2), ("1", 2), ("\"1\"", 1), ("null", 1)])
            .await;
    for (query, expected) in [
        ("", r#""1" "DE" "DK" "FR" 1 null"#),
        ("key=DE", r#""DE""#),
        ("key=1", r#""1" 1"#),
        ("key=null", "null"),
        ("key=XX", ""),
        ("prefix=D", r#""DE" "DK""#),
        ("prefix=", r#""1" "DE" "DK" "FR""#),
        ("where=orders>=2", r#""DE" "FR" 1"#),
        ("where=orders>=2&where=revenue<4", r#""FR" 1"#),
        ("where=country=DE", r#""DE""#),
        ("where=country=1", "1"),
        ("where=country=%221%22", r#""1""#),
        ("where=country!=DE&prefix=D", r#""DK""#),
        ("where=country=null", "null"),
        ("order=-orders&limit=1", r#""DE""#),
        ("order=country", r#"1 "1" "DE" "DK" "FR" null"#),
        ("order=-country", r#""FR" "DK" "DE" "1" 1 null"#),
    ] {
        let answer = world.get(&format!("/views/by-country?{query}")).await;
        assert_eq!(names(&answer), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_come_to_all_rows_once_in_any_order() {
    let world =
        world(&[("\"DE\"", 3), ("\"DK\"", 1), ("\"FR\"", 2), ("1", 2), ("\"1\"", 1), ("null", 1)])
            .await;
    for order in ["", "&order=orders", "&order=-orders", "&order=country", "&order=-country"] {
        let whole = names(&world.get(&format!("/views/by-country?limit=100{order}")).await);
        for limit in 1..=6 {
            let (mut pages, mut after) = (Vec::new(), String::new());
            loop {
                let answer =
                    world.get(&format!("/views/by-country?limit={limit}{order}{after}")).await;
                pages.push(names(&answer));
                match answer.json["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            assert_eq!(pages.len(), 6_usize.div_ceil(limit), "{limit}{order}");
            assert_eq!(pages.join(" "), whole, "{limit}{order}");
        }
    }
}

#[tokio::test]
async fn a_reader_who_has_it_is_told_so() {
    let world = world(&[("\"DE\"", 1)]).await;
    let first = world.get("/views/by-country").await;
    let etag = first.field("etag");
    let again = |known: String| {
        let world = &world;
        async move {
            let fields = [("if-none-match", known.as_str())];
            world
                .ask(caller(&["views:read"], None), Method::GET, "/views/by-country", &fields)
                .await
        }
    };
    let unchanged = again(format!("\"x\", {etag}")).await;
    assert_eq!(unchanged.status, 304);
    assert_eq!(unchanged.field("view-lag-records"), "0");
    let orders = world.log.stream("streams/_/orders").unwrap();
    let offset = world.append(orders, &[r#"{"country":"DE","amount":1}"#]);
    world.rows_at("by-country", &offset).await.rows();
    assert_eq!(again(etag.to_owned()).await.status, 200);
}

#[tokio::test]
async fn an_offset_that_is_not_included_is_waited_for_but_not_for_ever() {
    let world = world(&[("\"DE\"", 1)]).await;
    for (offset, code) in [
        ("7", "views/offset"),
        ("0000000000000009_0000000000000000", "views/offset"),
        ("%00", "views/offset"),
    ] {
        world.get(&format!("/views/by-country?min_offset={offset}")).await.is(400, code);
    }
    let orders = world.log.stream("streams/_/orders").unwrap();
    // Nobody folds any more.
    world.views.close();
    let offset = world.append(orders, &[r#"{"country":"DE","amount":1}"#]);
    world
        .get(&format!("/views/by-country?wait_ms=10&min_offset={offset}"))
        .await
        .is(503, "views/behind");
    let stale = world.get("/views/by-country").await;
    assert_eq!((stale.field("view-lag-records"), &stale.json["lag_records"]), ("1", &1.into()));
    world.views.drain();
    world
        .get(&format!("/views/by-country?wait_ms=30000&min_offset={offset}"))
        .await
        .is(503, "views/behind");
}

#[tokio::test]
async fn what_is_no_question_is_refused_with_the_remedy() {
    let world = world(&[("\"DE\"", 1)]).await;
    for (query, part) in [
        ("limit=0", "from 1 to 1000"),
        ("where=orders", "where=revenue>=100"),
        ("where=nothing=1", "they have `country`, `orders`, `revenue`"),
        ("order=-nothing", "they have `country`, `orders`, `revenue`"),
        ("sort=x", "There is no parameter `sort`"),
        ("wait_ms=30001", "from 0 to 30000"),
        ("after=x", "an answer gave"),
    ] {
        let answer = world.get(&format!("/views/by-country?{query}")).await;
        answer.is(400, "views/query");
        assert!(answer.json["detail"].as_str().unwrap().contains(part), "{query}: {}", answer.json);
    }
    world.get("/views/nothing").await.is(404, "views/missing");
    for hostile in ["'%20OR%201=1--", "\"", "%00", "$.x", "%25_", "[\"DE\"]"] {
        assert_eq!(
            names(&world.get(&format!("/views/by-country?key={hostile}")).await),
            "",
            "{hostile}"
        );
        assert_eq!(
            names(&world.get(&format!("/views/by-country?prefix=x{hostile}")).await),
            "",
            "{hostile}"
        );
        assert_eq!(
            names(&world.get(&format!("/views/by-country?where=country=x{hostile}")).await),
            "",
            "{hostile}"
        );
    }
}

#[tokio::test]
async fn scopes_are_asked_for() {
    let world = world(&[("\"DE\"", 1)]).await;
    let ask = |who: Caller, method, path| world.ask(who, method, path, &[]);
    for path in ["/views", "/views/by-country"] {
        ask(Caller::anonymous(), Method::GET, path).await.is(401, "core/unauthenticated");
        ask(caller(&["streams:read"], None), Method::GET, path).await.is(403, "core/scope");
    }
    let rebuild = "/views/by-country/rebuild";
    ask(caller(&["views:read"], None), Method::POST, rebuild).await.is(403, "core/scope");
    assert_eq!(ask(caller(&["views:admin"], None), Method::POST, rebuild).await.status, 202);
    assert_eq!(ask(caller(&["views:admin"], None), Method::GET, rebuild).await.status, 405);
}
