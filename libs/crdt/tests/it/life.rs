//! Creation, deletion, and what comes back.

use selvedge_crdt::{
    Change, Document, Dot, DotRange, EntityId, Hlc, Kind, Op, ReplicaId, Value, Writer,
};

use crate::site::{Site, exchange, pair};

fn note(site: &mut Site) -> Vec<selvedge_crdt::Batch> {
    site.write(|edit| {
        edit.set("n", "title", "milk".into())?;
        edit.add("n", "tags", "red".into())
    })
}

#[test]
fn a_deleted_entity_is_gone() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let made = note(&mut a);
    b.receive(&made);
    let deleted = b.write(|edit| edit.delete("n"));
    exchange(&mut a, &[], &mut b, &deleted);
    assert!(a.document.entity("n").is_none());
    assert_eq!(a.document.entities().count(), 0);
    assert_eq!(a.document.deleted("n").unwrap().dot.replica, b.writer.replica());
    assert!(a.write(|edit| edit.delete("n")).is_empty(), "it is dead already");
}

#[test]
fn an_edit_at_the_same_time_revives_the_whole_entity() {
    let (mut a, mut b) = pair(|edit| {
        edit.set("n", "title", "milk".into())?;
        edit.set("n", "shop", "corner".into())
    });
    let from_a = a.write(|edit| edit.set("n", "title", "oat milk".into()));
    let from_b = b.write(|edit| edit.delete("n"));
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert_eq!(b.entity("n").get("title"), Some("oat milk".into()));
    assert_eq!(b.entity("n").get("shop"), Some("corner".into()), "no husk");
}

#[test]
fn a_deletion_may_win() {
    let (mut a, mut b) = pair(|edit| edit.set("n", "title", "milk".into()));
    let from_a = a.write(|edit| edit.set("n", "title", "oat milk".into()));
    let from_b = b.write(|edit| edit.bury("n"));
    exchange(&mut a, &from_a, &mut b, &from_b);
    assert!(a.document.entity("n").is_none());
    let again = a.write(|edit| edit.set("n", "shop", "corner".into()));
    exchange(&mut a, &again, &mut b, &[]);
    assert_eq!(b.entity("n").get("shop"), Some("corner".into()));
    assert_eq!(b.entity("n").get("title"), None, "what was buried stays so");
}

#[test]
fn who_writes_to_what_he_sees_dead_begins_afresh() {
    let mut a = Site::new(1);
    note(&mut a);
    a.write(|edit| {
        edit.increment("n", "votes", 5)?;
        edit.raise("n", "high", 5.into())
    });
    a.write(|edit| edit.delete("n"));
    a.write(|edit| {
        edit.increment("n", "votes", 1)?;
        edit.raise("n", "high", 2.into())
    });
    let n = a.entity("n");
    assert_eq!((n.get("title"), n.count("votes"), n.max("high")), (None, 1, Some(2.into())));
    assert!(n.values("tags", Kind::OR_SET).is_empty());
}

/// So many that no test would end in which each mark looks at all others.
#[test]
fn many_deletions_of_one_entity_that_did_not_know_of_each_other_are_read() {
    const MARKS: u64 = 200_000;
    let (mut document, id) = (Document::new(), EntityId::new("n").expect("an id"));
    for at in 1..=MARKS {
        // Each is later, and has seen less.
        let seen = DotRange::one(Dot { replica: ReplicaId([1; 16]), seq: 1 + MARKS - at });
        let dot = Dot { replica: ReplicaId([2; 16]), seq: at };
        let change = Change::Delete { marks: &[seen] };
        document.apply_op(Op { dot, hlc: Hlc(at), entity: &id, change });
    }
    let bytes = document.snapshot();
    let loaded = Document::load(&bytes).expect("what was saved is read");
    assert_eq!(loaded.snapshot(), bytes);
    let mut joined = Document::new();
    joined.merge(&loaded);
    assert_eq!(joined.snapshot(), bytes);
    let all = DotRange::one(Dot { replica: ReplicaId([1; 16]), seq: MARKS });
    let dot = Dot { replica: ReplicaId([2; 16]), seq: 1 + MARKS };
    let change = Change::Delete { marks: &[all] };
    joined.apply_op(Op { dot, hlc: Hlc(1 + MARKS), entity: &id, change });
    assert!(joined.snapshot().len() < 200, "{} bytes", joined.snapshot().len());
}

#[test]
fn an_entity_without_fields() {
    let mut a = Site::new(1);
    a.write(|edit| edit.create("n"));
    assert!(a.entity("n").fields().is_empty());
    assert!(a.write(|edit| edit.create("n")).is_empty());
    a.write(|edit| edit.delete("n"));
    assert!(a.document.entity("n").is_none());
    a.write(|edit| edit.create("n"));
    assert!(a.entity("n").fields().is_empty());
}

#[test]
fn what_is_erased_is_no_longer_in_the_bytes() {
    let mut a = Site::new(1);
    a.write(|edit| edit.set("n", "title", "a secret".into()));
    a.write(|edit| edit.delete("n"));
    assert!(holds(&a, "a secret"), "a deletion keeps it for who revives it");
    a.write(|edit| edit.erase("n"));
    assert!(!holds(&a, "a secret"));
    a.write(|edit| edit.set("n", "title", "again".into()));
    a.write(|edit| edit.unset("n", "title", Kind::LWW));
    assert!(a.document.entity("n").is_none());
}

fn holds(site: &Site, text: &str) -> bool {
    site.document.snapshot().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[test]
fn entities_by_type() {
    let mut a = Site::new(1);
    a.write(|edit| {
        for id in ["note/2", "note/1", "notes", "list/1", "settings"] {
            edit.create(id)?;
        }
        edit.delete("note/2")
    });
    let ids =
        |prefix| a.document.entities_with(prefix).map(|n| n.id().to_string()).collect::<Vec<_>>();
    assert_eq!(ids("note/"), ["note/1"]);
    assert_eq!(ids(""), ["list/1", "note/1", "notes", "settings"]);
    assert_eq!(a.entity("note/1").id().type_name(), "note");
}

#[test]
fn a_compacted_document_forgets_the_dead_and_nothing_comes_back() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let made = note(&mut a);
    b.receive(&made);
    let deleted = b.write(|edit| edit.delete("n"));
    a.receive(&deleted);
    let before = a.document.clone();
    let horizon = a.document.latest();
    a.document.compact(horizon, &[]);
    b.document.compact(horizon, &[]);
    let swept = a.write(|edit| {
        edit.sweep();
        Ok(())
    });
    exchange(&mut a, &swept, &mut b, &[]);
    for site in [&mut a, &mut b] {
        site.receive(&made);
        site.receive(&deleted);
        site.document.merge(&before);
        assert_eq!(site.document.entries_len(), 0);
        assert!(site.document.entity("n").is_none());
    }
    assert_eq!(a.document.snapshot(), b.document.snapshot());
    let again = a.write(|edit| edit.set("n", "shop", "corner".into()));
    exchange(&mut a, &again, &mut b, &[]);
    assert_eq!(a.entity("n").get("title"), None);
}

#[test]
fn a_retired_replica_is_no_longer_known_and_cannot_come_back() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let made = note(&mut a);
    b.receive(&made);
    b.write(|edit| edit.delete("n"));
    for _ in 0..2 {
        b.document.compact(b.document.latest(), &[a.writer.replica()]);
        b.write(|edit| {
            edit.sweep();
            Ok(())
        });
    }
    b.document.compact(b.document.latest(), &[]);
    assert!(b.document.replicas().all(|(id, _)| id != a.writer.replica()));
    let small = b.document.snapshot();
    b.receive(&made);
    b.document.merge(&a.document);
    assert_eq!(b.document.snapshot(), small);
}

#[test]
fn a_retired_replica_that_begins_anew_takes_the_place_of_what_it_wrote() {
    let retired = ReplicaId([1; 16]);
    let write = |now_ms, title: &str| {
        let (mut document, mut writer) = (Document::new(), Writer::new(retired));
        let mut edit = writer.edit(&mut document, now_ms);
        edit.set("n", "title", title.into()).expect("it is within its bounds");
        writer.take_batch().expect("it wrote")
    };
    let (mut applied, mut other) = (Document::new(), Document::new());
    applied.apply(&write(10, "milk"));
    applied.compact(Hlc::from_ms(20), &[retired]);
    assert_eq!(applied.entries_len(), 1, "what it wrote stays");
    other.apply(&write(30, "oat milk"));
    let (mut joined, mut turned) = (applied.clone(), other.clone());
    joined.merge(&other);
    turned.merge(&applied);
    applied.apply(&write(30, "oat milk"));
    let bytes = applied.snapshot();
    assert_eq!(Document::load(&bytes).expect("what was saved is read").snapshot(), bytes);
    assert_eq!((joined.snapshot(), turned.snapshot()), (bytes.clone(), bytes));
    assert_eq!(applied.entity("n").unwrap().get("title"), Some("oat milk".into()));
}

#[test]
fn a_deletion_after_the_horizon_is_kept_for_who_revives_it() {
    let (mut a, mut b) = pair(|edit| edit.set("n", "title", "milk".into()));
    let horizon = a.document.latest();
    let deleted = a.write(|edit| edit.delete("n"));
    let edited = b.write(|edit| edit.set("n", "shop", "corner".into()));
    a.document.compact(horizon, &[]);
    b.document.compact(horizon, &[]);
    assert!(
        a.write(|edit| {
            edit.sweep();
            Ok(())
        })
        .is_empty()
    );
    exchange(&mut a, &deleted, &mut b, &edited);
    assert_eq!(a.entity("n").get("title"), Some("milk".into()));
}

#[test]
fn additions_and_removals_leave_nothing() {
    let mut a = Site::new(1);
    for round in 0..100 {
        a.write(|edit| (0..100).try_for_each(|n| edit.add("n", "tags", n.into())));
        a.write(|edit| (0..100).try_for_each(|n| edit.remove("n", "tags", n.into())));
        a.write(|edit| edit.set("n", "round", Value::Int(round)));
    }
    assert_eq!(a.document.entries_len(), 1);
    assert!(a.document.snapshot().len() < 100, "{} bytes", a.document.snapshot().len());
    assert_eq!(a.document.horizon(), Hlc::ZERO, "without any compaction");
}

#[test]
fn deleted_entities_leave_nothing_behind_the_horizon() {
    let mut a = Site::new(1);
    for round in 0..100 {
        a.write(|edit| {
            (0..10).try_for_each(|n| edit.set(&format!("n/{round}/{n}"), "t", n.into()))
        });
        a.write(|edit| (0..10).try_for_each(|n| edit.delete(&format!("n/{round}/{n}"))));
        a.document.compact(a.document.latest(), &[]);
        a.write(|edit| {
            edit.sweep();
            Ok(())
        });
        let again = Document::load(&a.document.snapshot()).expect("what was saved is read");
        assert_eq!(again.snapshot(), a.document.snapshot());
    }
    assert_eq!(a.document.entries_len(), 0);
    assert!(a.document.snapshot().len() < 100, "{} bytes", a.document.snapshot().len());
}
