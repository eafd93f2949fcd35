//! What was written before.

use selvedge_crdt::{Change, History, Hlc, Kind, Op, Value};

use crate::site::{Site, exchange, pair};

fn value(op: &Op<'_>) -> String {
    match op.change {
        Change::Put { payload, .. } => format!("{:?}", Value::decode(payload)),
        Change::Cover { .. } => "gone".to_owned(),
        Change::Delete { .. } => "deleted".to_owned(),
    }
}

#[test]
fn losers_and_what_was_replaced_are_still_there() {
    let (mut a, mut b) = pair(|edit| edit.create("n"));
    let mut history = History::default();
    let from_a = a.write(|edit| edit.set("n", "title", "from a".into()));
    let from_b = b.write(|edit| edit.set("n", "title", "from b".into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
    let last = a.write(|edit| {
        edit.set("n", "title", "last".into())?;
        edit.add("n", "tags", "red".into())
    });
    let removed = a.write(|edit| edit.remove("n", "tags", "red".into()));
    for batch in [&removed, &last, &from_b, &from_a, &from_b].into_iter().flatten() {
        history.record(batch);
    }
    assert_eq!(history.len(), 5);
    let titles: Vec<String> =
        history.of_field("n", "title", Kind::LWW).map(|op| value(&op)).collect();
    assert_eq!(titles, [r#"Text("from a")"#, r#"Text("from b")"#, r#"Text("last")"#]);
    let last = history.of_field("n", "title", Kind::LWW).next_back().unwrap();
    assert_eq!(history.replaced_by(&last).count(), 2);
    assert_eq!(history.op("n", last.dot), Some(last));
    let tags: Vec<String> =
        history.of_field("n", "tags", Kind::OR_SET).map(|op| value(&op)).collect();
    assert_eq!(tags, [r#"Text("red")"#, "gone"]);
}

#[test]
fn what_lies_before_the_horizon_is_forgotten() {
    let mut a = Site::new(1);
    let mut history = History::default();
    for n in 0..5 {
        a.write(|edit| edit.set("n", "round", n.into())).iter().for_each(|b| history.record(b));
    }
    let third = history.of_entity("n").nth(2).unwrap().hlc;
    history.trim(third);
    let left: Vec<String> = history.of_entity("n").map(|op| value(&op)).collect();
    assert_eq!(left, ["Int(3)", "Int(4)"]);
    history.trim(Hlc(u64::MAX));
    assert!(history.is_empty());
}
