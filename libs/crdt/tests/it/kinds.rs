//! How the kinds of fields read after edits at the same time.

use selvedge_crdt::{EditError, Kind, Value};

use crate::site::{Site, exchange, pair};

#[test]
fn the_last_writer_wins_and_the_loser_is_still_there() {
    let (mut a, mut b) = pair(|edit| edit.set("n", "title", "old".into()));
    let from_a = a.write(|edit| edit.set("n", "title", "from a".into()));
    let from_b = b.write(|edit| edit.set("n", "title", "from b".into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(a.entity("n").get("title"), Some("from b".into()));
    let conflicts = a.entity("n").conflicts("title");
    assert_eq!(conflicts.iter().map(|lost| &lost.value).collect::<Vec<_>>(), [&"from a".into()]);
    assert_eq!(conflicts[0].stamp.dot.replica, a.writer.replica());

    let settled = b.write(|edit| edit.set("n", "title", "settled".into()));
    exchange(&mut a, &[], &mut b, &settled);
    assert!(a.entity("n").conflicts("title").is_empty());
    assert_eq!(a.entity("n").blame("title", Kind::LWW).unwrap().value, "settled".into());
}

#[test]
fn who_saw_a_value_overwrites_it_whatever_his_clock_says() {
    let (mut ahead, mut behind) = (Site::at(1, 9_000_000), Site::at(2, 5));
    let first = ahead.write(|edit| edit.set("n", "title", "from the future".into()));
    behind.receive(&first);
    let second = behind.write(|edit| edit.set("n", "title", "now".into()));
    ahead.receive(&second);
    assert_eq!(ahead.entity("n").get("title"), Some("now".into()));
    assert_eq!(behind.document.snapshot(), ahead.document.snapshot());
}

#[test]
fn a_multi_value_keeps_what_was_written_at_the_same_time() {
    let (mut a, mut b) = pair(|edit| edit.assign("n", "title", "old".into()));
    let from_a = a.write(|edit| edit.assign("n", "title", "x".into()));
    let from_b = b.write(|edit| edit.assign("n", "title", "y".into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(a.entity("n").values("title", Kind::MULTI), ["x".into(), "y".into()]);
    a.write(|edit| edit.assign("n", "title", "z".into()));
    assert_eq!(a.entity("n").values("title", Kind::MULTI), ["z".into()]);
}

#[test]
fn extremes() {
    let (mut a, mut b) = pair(|edit| {
        edit.raise("n", "high", 5.into())?;
        edit.lower("n", "low", 5.into())
    });
    let from_a = a.write(|edit| {
        edit.raise("n", "high", 9.into())?;
        edit.lower("n", "low", 1.into())
    });
    let from_b = b.write(|edit| {
        edit.raise("n", "high", 7.into())?;
        edit.lower("n", "low", 3.into())
    });
    assert!(b.write(|edit| edit.raise("n", "high", 6.into())).is_empty());
    assert!(b.write(|edit| edit.lower("n", "low", 3.into())).is_empty());
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(
        (a.entity("n").max("high"), a.entity("n").min("low")),
        (Some(9.into()), Some(1.into()))
    );
}

/// What conflux's maximum gets wrong: it falls back to the last writer where types differ.
#[test]
fn of_different_types_the_greatest_type_is_the_extreme() {
    let written = [Value::from(5), "2".into(), 10.into()];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut whole = Site::new(9);
        for at in order {
            let mut site = Site::at(at as u8, 100 + at as u64);
            site.write(|edit| {
                edit.raise("n", "high", written[at].clone())?;
                edit.lower("n", "low", written[at].clone())
            });
            whole.document.merge(&site.document);
        }
        let n = whole.entity("n");
        assert_eq!((n.max("high"), n.min("low")), (Some("2".into()), Some("2".into())));
    }
}

#[test]
fn who_adds_wins_over_who_removes() {
    let (mut a, mut b) = pair(|edit| {
        edit.add("n", "tags", "red".into())?;
        edit.add("n", "tags", "blue".into())
    });
    let from_a = a.write(|edit| edit.add("n", "tags", "red".into()));
    let from_b = b.write(|edit| {
        edit.remove("n", "tags", "red".into())?;
        edit.remove("n", "tags", "blue".into())
    });
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(a.tags(), ["red".into()]);
    assert!(a.entity("n").contains("tags", Kind::OR_SET, &"red".into()));
    assert!(!a.entity("n").contains("tags", Kind::OR_SET, &"blue".into()));
    assert!(a.write(|edit| edit.remove("n", "tags", "never".into())).is_empty());
}

#[test]
fn a_removal_that_comes_before_its_addition() {
    let (mut a, mut b, mut late) = (Site::new(1), Site::new(2), Site::new(3));
    let add = a.write(|edit| edit.add("n", "tags", "red".into()));
    b.receive(&add);
    let remove = b.write(|edit| edit.remove("n", "tags", "red".into()));
    late.receive(&remove);
    late.receive(&add);
    assert!(late.document.entity("n").is_none());
    assert_eq!(late.document.snapshot(), b.document.snapshot());
}

#[test]
fn sets_that_only_grow() {
    let (mut a, mut b) = pair(|edit| edit.include("n", "seen", 1.into()));
    assert!(a.write(|edit| edit.include("n", "seen", 1.into())).is_empty());
    let from_a = a.write(|edit| edit.include("n", "seen", 2.into()));
    let from_b = b.write(|edit| edit.include("n", "seen", 2.into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(a.entity("n").values("seen", Kind::GROW_SET), [1.into(), 2.into()]);
}

#[test]
fn counters_count_everybody() {
    let (mut a, mut b) = pair(|edit| edit.increment("n", "votes", 3));
    let from_a = a.write(|edit| edit.increment("n", "votes", -1));
    let from_b = b.write(|edit| {
        edit.increment("n", "votes", 10)?;
        edit.increment("n", "votes", 10)
    });
    exchange(&mut a, &from_a, &mut b, &from_b);
    a.receive(&from_b);
    assert_eq!(a.entity("n").count("votes"), 22);
    assert_eq!(a.document.entries_len(), 2, "one total for each replica");
}

#[test]
fn a_counter_does_not_overflow() {
    let (mut a, mut b) = pair(|edit| edit.increment("n", "votes", i64::MAX));
    let mut edit = a.writer.edit(&mut a.document, 1);
    assert_eq!(edit.increment("n", "votes", 1), Err(EditError::Overflow));
    let from_b = b.write(|edit| edit.increment("n", "votes", i64::MAX));
    exchange(&mut a, &[], &mut b, &from_b);
    assert_eq!(a.entity("n").count("votes"), i64::MAX);
}

#[test]
fn two_kinds_under_one_name_are_two_fields() {
    let (a, _) = pair(|edit| {
        edit.set("n", "tags", "red".into())?;
        edit.add("n", "tags", "blue".into())
    });
    assert_eq!(a.entity("n").get("tags"), Some("red".into()));
    assert_eq!(a.tags(), ["blue".into()]);
    let fields = a.entity("n").fields();
    let fields: Vec<_> = fields.iter().map(|field| (field.name(), field.kind())).collect();
    assert_eq!(fields, [("tags", Kind::LWW), ("tags", Kind::OR_SET)]);
}

#[test]
fn a_large_set() {
    let (mut a, mut b) =
        pair(|edit| (0..10_000).try_for_each(|element| edit.add("n", "tags", element.into())));
    let remove = a.write(|edit| {
        (0..10_000).filter(|n| n % 3 > 0).try_for_each(|n| edit.remove("n", "tags", n.into()))
    });
    b.receive(&remove);
    assert_eq!(b.tags().len(), 3334);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

#[test]
fn bounds() {
    let mut site = Site::new(1);
    let mut edit = site.writer.edit(&mut site.document, 1);
    let long = "x".repeat(70_000);
    assert_eq!(edit.set("", "title", "x".into()), Err(EditError::EntityId));
    assert_eq!(edit.set(&long, "title", "x".into()), Err(EditError::EntityId));
    assert_eq!(edit.set("n", "", "x".into()), Err(EditError::FieldName));
    assert_eq!(edit.set("n", &long, "x".into()), Err(EditError::FieldName));
    assert_eq!(edit.set("n", "title", (&*long).into()), Err(EditError::TooLarge));
    assert_eq!(edit.push_text("n", "body", long.as_bytes()), Ok(()));
    let life = selvedge_crdt::Field::life();
    assert_eq!(edit.write("n", &life, Value::Null), Err(EditError::Kind(Kind::LIFE)));
}
