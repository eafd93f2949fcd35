use super::*;

#[track_caller]
fn check(text: &str, event: &str, expected: Result<Change, &str>) {
    let plan = SqlPlan::new(text).unwrap_or_else(|Unfit(reason)| panic!("{reason}"));
    let event_of = Event { seq: 3, time_ms: 86_400_000, bytes: event.as_bytes() };
    match (plan.change(&event_of, event), expected) {
        (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
        (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
    }
}

fn add(key: &[Scalar], values: &[Scalar]) -> Result<Change, &'static str> {
    Ok(Change::Add { key: key.to_vec(), values: values.to_vec() })
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.to_owned())
}

#[test]
fn keys_and_arguments_are_computed_of_one_event() {
    let one = Scalar::Integer(1);
    check(
        "SELECT json ->> '$.country' AS country, count(*) AS orders, sum(json ->> '$.amount') AS revenue
         FROM event WHERE json ->> '$.status' = 'paid' GROUP BY country",
        r#"{"country":"DE","amount":2.5,"status":"paid"}"#,
        add(&[text("DE")], &[one.clone(), Scalar::of_fraction(2.5)]),
    );
    check(
        "SELECT count(*) AS orders FROM event WHERE json ->> '$.status' = 'paid'",
        r#"{"status":"open"}"#,
        Ok(Change::Pass),
    );
    check(
        "select date(time / 1000, 'unixepoch') as day, max(seq), count(*) filter (where json ->> '$.a' > 1) as n
         from event group by 1",
        r#"{"a":1}"#,
        add(&[text("1970-01-02")], &[Scalar::Integer(3), Scalar::Null]),
    );
    check(
        "SELECT upper(json ->> 'a'), avg(min(1, 2)), approx_count_distinct(json ->> 'b') FROM event GROUP BY upper(json ->> 'a')",
        r#"{"a":"x","b":true}"#,
        add(&[text("X")], &[one.clone(), one]),
    );
}

#[test]
fn a_column_keeps_its_place_by_name() {
    let plan = SqlPlan::new("SELECT count(*) AS n, json ->> 'a' AS a FROM event GROUP BY a");
    let plan = plan.unwrap_or_else(|Unfit(reason)| panic!("{reason}"));
    assert_eq!(plan.groups, ["a"]);
    assert_eq!(plan.columns, [("n".to_owned(), Kind::Count)]);
}

#[test]
fn an_event_that_fails_fails_alone() {
    check(
        "SELECT sum(abs(json ->> 'a')) AS s FROM event",
        r#"{"a":-9223372036854775808}"#,
        Err("overflow"),
    );
}

#[track_caller]
fn refused(text: &str, part: &str) {
    match SqlPlan::new(text) {
        Ok(_) => panic!("{text}: was taken"),
        Err(Unfit(reason)) => assert!(reason.contains(part), "{text}: {reason}"),
    }
}

#[test]
fn what_needs_more_than_one_event_is_refused_with_the_reason() {
    for (text, part) in [
        ("SELECT count(*) FROM event HAVING count(*) > 1", "?where=orders>10"),
        ("SELECT count(*) FROM event ORDER BY 1", "?order="),
        ("SELECT count(*) FROM event LIMIT 1", "belongs to reading"),
        ("SELECT DISTINCT json FROM event", "GROUP BY says the same"),
        ("WITH x AS (SELECT 1) SELECT count(*) FROM event", "WITH"),
        ("SELECT count(*) FROM event UNION SELECT 1", "UNION"),
        ("SELECT count(*) FROM event, event AS b", "joins"),
        ("SELECT count(*) FROM event JOIN x ON 1", "joins"),
        ("SELECT count(*) FROM sqlite_master", "FROM event"),
        ("SELECT count(*) FROM event AS e", "FROM event"),
        ("SELECT count(*) FROM (SELECT 1)", "FROM event"),
        ("SELECT count(*)", "FROM event"),
        ("SELECT sum((SELECT 1)) FROM event", "sub-query"),
        ("SELECT count(*) FROM event WHERE EXISTS (SELECT 1)", "sub-query"),
        ("SELECT count(*) FROM event WHERE 1 IN (SELECT 1)", "sub-query"),
        ("SELECT count(*) OVER () FROM event", "other rows"),
        ("SELECT count(DISTINCT json) FROM event", "approx_count_distinct"),
        ("SELECT sum(seq) / count(*) AS a FROM event", "by themselves"),
        ("SELECT sum(count(*)) FROM event", "not an aggregate of one expression"),
        ("SELECT group_concat(json) FROM event", "grows without bound"),
        ("SELECT json, count(*) FROM event", "add it to GROUP BY"),
        ("SELECT count(*) FROM event GROUP BY json", "add it to the SELECT"),
        ("SELECT count(*) AS n FROM event GROUP BY n", "cannot be grouped by"),
        ("SELECT count(*) FROM event GROUP BY 2", "add it to the SELECT"),
        ("SELECT json FROM event GROUP BY json", "no aggregate"),
        ("SELECT * FROM event", "name what is grouped by"),
        ("SELECT count(*) AS a, sum(seq) AS a FROM event", "two columns"),
        ("SELECT count(*) AS json FROM event", "a column of `event`"),
        ("SELECT count(*) FROM event GROUP BY ALL", "write out"),
    ] {
        refused(text, part);
    }
}

#[test]
fn chance_the_clock_and_the_machine_are_refused() {
    for (text, part) in [
        ("SELECT sum(random()) FROM event", "always comes to the same"),
        ("SELECT count(*) FROM event WHERE date('NOW') > '2'", "each rebuild"),
        ("SELECT date() AS d, count(*) FROM event GROUP BY d", "each rebuild"),
        (
            "SELECT CURRENT_TIMESTAMP AS t, count(*) FROM event GROUP BY t",
            "always comes to the same",
        ),
        ("SELECT load_extension('x') AS x, count(*) FROM event GROUP BY x", "not a function"),
        ("SELECT sum(?1) FROM event", "placeholders"),
        ("SELECT sum(amount) FROM event", "no such column"),
        ("SELECT sum(abs(1, 2)) FROM event", "wrong number of arguments"),
    ] {
        refused(text, part);
    }
}

#[test]
fn what_is_no_select_is_refused() {
    for text in [
        "",
        ";",
        "SELECT",
        "DROP TABLE event",
        "ATTACH 'x' AS y",
        "PRAGMA user_version",
        "SELECT count(*) FROM event; SELECT 1",
        "VALUES (1)",
        "INSERT INTO event VALUES (1)",
        "SELECT \"",
        "SELECT \0",
    ] {
        assert!(SqlPlan::new(text).is_err(), "{text:?}");
    }
    refused(&format!("SELECT {}count(*) FROM event", "(".repeat(300)), "not understood");
    refused(&format!("SELECT {}1 FROM event", "NOT ".repeat(300)), "not understood");
    refused(&format!("SELECT sum({}1) FROM event", "1+".repeat(190)), "SQLite does not take it");
    refused(&format!("SELECT sum({}1) FROM event", "1+".repeat(3_000)), "words and signs");
    refused(&" ".repeat(TEXT_BYTES_MAX + 1), "longer than");
}

/// Beside the reading of the query stands an authorizer, in case something passes it.
#[test]
fn the_connection_may_only_compute() {
    let connection = computing_only().unwrap();
    for text in [
        "CREATE TABLE x (y)",
        "ATTACH ':memory:' AS y",
        "PRAGMA user_version = 2",
        "SELECT random()",
        "SELECT name FROM sqlite_master",
        "DELETE FROM sqlite_master",
        "BEGIN",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
    ] {
        let error = connection.prepare(text).unwrap_err().to_string();
        assert!(
            error.contains("authorized")
                || error.contains("prohibited")
                || error.contains("may not"),
            "{text}: {error}"
        );
    }
}
