//! Whatever way a stream is cut into batches, and whatever batch is lost on its way to the disk, rows are those that a
//! naive reading of the whole stream comes to.

use std::collections::BTreeMap;

use proptest::prelude::*;
use selvedge_config::{
    View, ViewAggregate, ViewColumn, ViewComparison, ViewCondition, ViewGroup, ViewShape, ViewTest,
    ViewValue,
};
use serde_json::{Value, json};

use super::*;

/// Rows and how far they are, as a disk would have them.
#[derive(Clone, Default)]
struct Memory {
    rows: BTreeMap<String, (String, String)>,
    tally: Tally,
    cursor: usize,
}

impl Rows for &Memory {
    type Error = std::convert::Infallible;

    fn state(&mut self, key: &str) -> Result<Option<String>, Self::Error> {
        Ok(self.rows.get(key).map(|(_, state)| state.clone()))
    }
}

impl Memory {
    fn fold(&mut self, plan: &Plan, events: &[String]) {
        let mut batch = Batch::new(plan, self.tally);
        for (index, event) in events.iter().enumerate() {
            let seq = (self.cursor + index) as u64;
            let event = Event { seq, time_ms: seq * 1_000, bytes: event.as_bytes() };
            batch.fold(&event, &mut &*self).unwrap();
        }
        let writes: Vec<_> = batch.writes().map(|(key, write)| (key.to_owned(), write)).collect();
        let tally = batch.tally;
        for (key, write) in writes {
            match write {
                Write::Put { row, state } => self.rows.insert(key, (row, state)),
                Write::Remove => self.rows.remove(&key),
            };
        }
        self.tally = tally;
        self.cursor += events.len();
    }

    fn shown(&self) -> Vec<Value> {
        self.rows.values().map(|(row, _)| serde_json::from_str(row).unwrap()).collect()
    }
}

fn view(rows_max: usize, shape: ViewShape) -> View {
    View { name: "v".into(), tenant: None, stream: "s".into(), rows_max, shape }
}

fn plan(rows_max: usize, shape: ViewShape) -> Plan {
    Plan::new(&view(rows_max, shape)).unwrap_or_else(|_| panic!("it is fit"))
}

fn columns(aggregates: &[(&str, ViewAggregate)]) -> Vec<ViewColumn> {
    let column = |(name, aggregate): &(&str, ViewAggregate)| ViewColumn {
        name: (*name).to_owned(),
        aggregate: aggregate.clone(),
    };
    aggregates.iter().map(column).collect()
}

fn all_aggregates() -> ViewShape {
    let n = || "n".to_owned();
    ViewShape::Fold {
        conditions: vec![ViewCondition {
            field: "n".into(),
            test: ViewTest::Is(ViewComparison::NotEqual, ViewValue::Integer(7)),
        }],
        groups: vec![ViewGroup { name: "g".into(), field: "g".into(), bucket: None }],
        columns: columns(&[
            ("count", ViewAggregate::Count(None)),
            ("some", ViewAggregate::Count(Some(n()))),
            ("sum", ViewAggregate::Sum(n())),
            ("average", ViewAggregate::Average(n())),
            ("min", ViewAggregate::Min(n())),
            ("max", ViewAggregate::Max(n())),
            ("first", ViewAggregate::First(n())),
            ("latest", ViewAggregate::Latest(n())),
            ("top", ViewAggregate::Top { field: n(), most: 2 }),
            ("distinct", ViewAggregate::Distinct(n())),
        ]),
    }
}

/// Events of few groups and numbers: eighths, whose sums are exact in any order, so that the oracle may be naive.
fn event() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        6 => (-40_i32..40).prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
        2 => (5_i64..9).prop_map(|number| json!(number)),
        1 => Just(Value::Null),
        1 => Just(json!("no number")),
        1 => Just(json!([1])),
    ];
    prop_oneof![
        12 => ("[abc]", number).prop_map(|(g, n)| json!({ "g": g, "n": n }).to_string()),
        1 => Just(json!({ "g": "a" }).to_string()),
        1 => Just("{\"g\":".to_owned()),
    ]
}

/// What the rows must be, from all events at once.
fn oracle(events: &[String]) -> BTreeMap<String, Value> {
    let mut groups: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for event in events {
        let Ok(event) = serde_json::from_str::<Value>(event) else { continue };
        let number = match &event["n"] {
            Value::Null => None,
            Value::Number(number) => number.as_f64(),
            _ => continue,
        };
        if number != Some(7.0) {
            groups.entry(event["g"].as_str().unwrap().to_owned()).or_default().push(number);
        }
    }
    groups.into_iter().map(|(group, numbers)| (group.clone(), naive(&group, &numbers))).collect()
}

fn naive(group: &str, numbers: &[Option<f64>]) -> Value {
    let some: Vec<f64> = numbers.iter().copied().flatten().collect();
    let sum: f64 = some.iter().sum();
    let mut counts: Vec<(f64, usize)> = Vec::new();
    for number in &some {
        match counts.iter_mut().find(|(known, _)| known == number) {
            Some((_, count)) => *count += 1,
            None => counts.push((*number, 1)),
        }
    }
    let distinct = counts.len();
    let spelled = |number: f64| Scalar::of_fraction(number).json().to_string();
    counts.sort_by_key(|(number, count)| (std::cmp::Reverse(*count), spelled(*number)));
    let top: Vec<Value> = counts
        .iter()
        .take(2)
        .map(|(value, count)| json!({ "value": value, "count": count }))
        .collect();
    let of = |value: Option<f64>| json!(value);
    json!({
        "g": group, "count": numbers.len(), "some": some.len(),
        "sum": of((!some.is_empty()).then_some(sum)),
        "average": of((!some.is_empty()).then(|| sum / some.len() as f64)),
        "min": of(some.iter().copied().reduce(f64::min)), "max": of(some.iter().copied().reduce(f64::max)),
        "first": of(some.first().copied()), "latest": of(some.last().copied()),
        "top": top, "distinct": distinct,
    })
}

/// All numbers as fractions, so that 1 and 1.0 are one.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn any_cut_and_any_crash_come_to_what_a_naive_reading_does(
        events in prop::collection::vec(event(), 0..120),
        steps in prop::collection::vec((1_usize..20, any::<bool>()), 1..200),
    ) {
        let plan = plan(100, all_aggregates());
        let mut memory = Memory::default();
        for (length, is_lost) in steps.into_iter().chain([(usize::MAX, false)]) {
            let rest = &events[memory.cursor..];
            let batch = &rest[..length.min(rest.len())];
            let mut next = memory.clone();
            next.fold(&plan, batch);
            // A transaction that is lost takes rows, state and cursor with it.
            if !is_lost {
                memory = next;
            }
        }
        let found: Vec<Value> = memory.shown().iter().map(plain).collect();
        // Read from text as the rows were: serde_json may read a number's last digit in another way than it was.
        let read = |row: &Value| plain(&serde_json::from_str(&row.to_string()).unwrap());
        let expected: Vec<Value> = oracle(&events).values().map(read).collect();
        prop_assert_eq!(found, expected);
        let Tally { rows, folded, passed, bad, overflowed } = memory.tally;
        prop_assert_eq!((folded + passed + bad) as usize, events.len());
        prop_assert_eq!((rows as usize, overflowed), (memory.rows.len(), 0));
    }

    /// Fractions whose sums do depend on the order, and rows that do not fit: still the cut does not show.
    #[test]
    fn not_even_the_last_bit_depends_on_the_cut(
        numbers in prop::collection::vec((0_u8..6, any::<f64>().prop_filter("JSON", |n| n.is_finite())), 1..60),
        cut in 1_usize..20,
    ) {
        let plan = plan(3, all_aggregates());
        let events: Vec<String> =
            numbers.iter().map(|(group, number)| json!({ "g": group, "n": number }).to_string()).collect();
        let (mut whole, mut parts) = (Memory::default(), Memory::default());
        whole.fold(&plan, &events);
        events.chunks(cut).for_each(|events| parts.fold(&plan, events));
        prop_assert_eq!(&whole.rows, &parts.rows);
        prop_assert_eq!(whole.tally, parts.tally);
        prop_assert!(whole.rows.len() <= 3);
    }

    #[test]
    fn the_latest_by_key_is_a_map(
        steps in prop::collection::vec((0_u8..8, any::<bool>(), 0_u32..99), 0..80),
        cut in 1_usize..20,
    ) {
        let shape = ViewShape::Latest { conditions: Vec::new(), key: vec!["id".into()], deleted: Some("gone".into()) };
        let plan = plan(5, shape);
        let mut expected: BTreeMap<u8, u32> = BTreeMap::new();
        let mut events = Vec::new();
        for (id, is_gone, number) in steps {
            events.push(json!({ "id": id, "gone": is_gone, "n": number }).to_string());
            match is_gone {
                true => { expected.remove(&id); }
                false if expected.len() < 5 || expected.contains_key(&id) => { expected.insert(id, number); }
                false => {}
            }
        }
        let mut memory = Memory::default();
        events.chunks(cut).for_each(|events| memory.fold(&plan, events));
        let found: Vec<Value> = memory.shown().iter().map(|row| row["n"].clone()).collect();
        prop_assert_eq!(found, expected.values().map(|number| json!(number)).collect::<Vec<_>>());
        prop_assert_eq!(memory.tally.rows as usize, expected.len());
    }
}

#[track_caller]
fn check(shape: ViewShape, events: &[&str], expected: Value, bad: u64) {
    let mut memory = Memory::default();
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    memory.fold(&plan(10, shape), &events);
    assert_eq!(Value::from(memory.shown()), expected);
    assert_eq!(memory.tally.bad, bad);
}

#[test]
fn sql_folds_as_the_rest_does() {
    let sql =
        "SELECT json ->> 'g' AS g, sum(json ->> 'n') AS s, count(*) AS c FROM event GROUP BY g";
    let events = [
        r#"{"g":"a","n":1}"#,
        r#"{"g":"b","n":2}"#,
        r#"{"g":"a","n":0.5}"#,
        r#"{"g":"a","n":"x"}"#,
        "{",
    ];
    let expected = json!([{ "g": "a", "s": 1.5, "c": 2 }, { "g": "b", "s": 2, "c": 1 }]);
    check(ViewShape::Sql(sql.into()), &events, expected, 2);
}

#[test]
fn times_fall_into_buckets() {
    let group = |name: &str, field: &str, bucket| ViewGroup {
        name: name.into(),
        field: field.into(),
        bucket: Some(bucket),
    };
    use selvedge_config::ViewBucket::{Day, Hour, Minute};
    let shape = ViewShape::Fold {
        conditions: Vec::new(),
        groups: vec![
            group("day", "at", Day),
            group("hour", "at", Hour),
            group("minute", "@time", Minute),
        ],
        columns: columns(&[("n", ViewAggregate::Count(None))]),
    };
    let events = [
        r#"{"at":"2026-01-31T23:30:00-02:00"}"#,
        r#"{"at":1769909400000}"#,
        r#"{"at":"soon"}"#,
        r#"{"at":true}"#,
    ];
    let expected = json!([{ "day": "2026-02-01", "hour": "2026-02-01T01:00:00Z", "minute": "1970-01-01T00:00:00Z", "n": 2 }]);
    check(shape, &events, expected, 2);
}

#[test]
fn bounds_hold_and_are_counted() {
    let shape = ViewShape::Latest { conditions: Vec::new(), key: vec!["id".into()], deleted: None };
    let long_key = json!({ "id": "x".repeat(2_000) }).to_string();
    let long_row = json!({ "id": 1, "pad": "x".repeat(70_000) }).to_string();
    check(shape, &[&long_key, &long_row, "{}", r#"{"id":{}}"#, "\u{feff}{}"], json!([]), 5);
}

#[test]
fn a_state_that_is_none_is_told() {
    let plan = plan(10, all_aggregates());
    for state in ["", "[]", "{}", r#"[{"count":-1}]"#] {
        let mut memory = Memory::default();
        memory.rows.insert(r#"["a"]"#.into(), ("{}".into(), state.into()));
        let event = Event { seq: 0, time_ms: 0, bytes: br#"{"g":"a","n":1}"# };
        let found = Batch::new(&plan, Tally::default()).fold(&event, &mut &memory);
        assert!(matches!(found, Err(FoldError::Damaged(_))), "{state:?}");
    }
}
