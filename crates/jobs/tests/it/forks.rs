//! Streams that were forked from others: what they inherit counts as well, by the numbers that clients see.

use selvedge_eventlog::{Retention, StreamId, StreamOptions, block_on};
use serde_json::json;

use crate::world::{World, by_country, view};
use selvedge_config::{View, ViewShape};

const A: &str = r#"{"country":"DE","amount":10}"#;
const B: &str = r#"{"country":"FR","amount":5.5}"#;
const FORK: &str = "streams/_/fork";

fn of_fork() -> View {
    View { stream: "fork".to_owned(), ..by_country() }
}

fn token(position: u64) -> String {
    format!("{position:016x}_0000000000000000")
}

impl World {
    /// Creates a fork as the service of streams does: `base` is the position of its first own record.
    fn fork(&self, name: &str, source: StreamId, base: u64) -> StreamId {
        let metadata = format!(
            r#"{{"content_type":"application/json","fork":{{"source":{},"from":"/orders","asked":[{base},0],"base":{base}}}}}"#,
            source.get()
        );
        let options = StreamOptions { metadata: metadata.into(), retention: Retention::default() };
        block_on(self.log.create(name, options)).unwrap()
    }
}

#[tokio::test]
async fn what_is_inherited_counts_and_what_the_source_got_later_does_not() {
    let world = World::new(&[of_fork()]);
    let orders = world.create("streams/_/orders");
    // One batch, of which the fork inherits a part.
    world.append(orders, &[A, B, A, B]);
    let fork = world.fork(FORK, orders, 3);
    world.append(orders, &[A, A]);
    let answer = world.rows_at("by-country", &token(3)).await;
    let inherited =
        r#"[{"country":"DE","orders":2,"revenue":20},{"country":"FR","orders":1,"revenue":5.5}]"#;
    assert_eq!(answer.rows(), inherited);
    assert_eq!((answer.field("view-as-of"), answer.field("view-lag-records")), (&*token(3), "0"));
    // The log numbers the fork's own records from 0, and clients go on from 3.
    assert_eq!(world.append(fork, &[B, "{"]), token(2));
    let answer = world.rows_at("by-country", &token(5)).await;
    assert_eq!(answer.json["rows"][1], json!({ "country": "FR", "orders": 2, "revenue": 11 }));
    assert_eq!(world.listed().await["bad"][0]["offset"], token(4));
    world.get(&format!("/views/by-country?min_offset={}", token(6))).await.is(400, "views/offset");
    let world = world.restart(None);
    let answer = world.rows_at("by-country", &token(5)).await;
    assert_eq!(answer.json["rows"][1]["orders"], 2, "nothing is folded twice");
}

#[tokio::test]
async fn forks_of_forks_inherit_from_whoever_had_it() {
    let world = World::new(&[view(
        "ids",
        ViewShape::Sql("SELECT count(*) AS n, max(json ->> 'id') AS last FROM event".to_owned()),
    )]);
    let event = |id: u64| format!(r#"{{"id":{id}}}"#);
    let root = world.create("streams/_/root");
    world.append(root, &[&event(0), &event(1), &event(2)]);
    let child = world.fork("streams/_/child", root, 2);
    world.append(child, &[&event(102), &event(103), &event(104)]);
    // Of root 0 and 1, of the child 102 and 103; the second takes nothing of the child at all.
    let late = world.fork("streams/_/late", child, 4);
    world.append(late, &[&event(204)]);
    let early = world.fork("streams/_/early", child, 1);
    world.append(early, &[&event(301)]);
    for (stream, tail, expected) in
        [("late", 5, json!({ "n": 5, "last": 204 })), ("early", 2, json!({ "n": 2, "last": 301 }))]
    {
        let shape = ViewShape::Sql(
            "SELECT count(*) AS n, max(json ->> 'id') AS last FROM event".to_owned(),
        );
        world.views.declare(&[View { stream: stream.to_owned(), ..view("ids", shape) }]);
        world
            .until(|listed| {
                listed["stream"] == stream
                    && listed["as_of"] == token(tail).as_str()
                    && listed["building"].is_null()
            })
            .await;
        assert_eq!(world.get("/views/ids").await.json["rows"][0], expected, "{stream}");
    }
}

#[tokio::test]
async fn metadata_that_leads_in_circles_ends() {
    let world = World::new(&[of_fork()]);
    let orders = world.create("streams/_/orders");
    let own = orders.get() + 1;
    let fork = world.fork(FORK, StreamId::from(own), 0);
    assert_eq!(fork.get(), own);
    let offset = world.append(fork, &[A]);
    world.until(|listed| listed["as_of"] == offset.as_str()).await;
    assert_eq!(world.get("/views/by-country").await.json["rows"][0]["orders"], 1);
}
