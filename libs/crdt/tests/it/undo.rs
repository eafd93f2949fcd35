//! Taking changes back.

use selvedge_crdt::{Edit, EditError, EntityRef, Kind, Value};

use crate::site::{Site, exchange, pair};

type Write = fn(&mut Edit<'_>) -> Result<(), EditError>;

/// What a reader sees of everything.
fn view(site: &Site) -> Vec<String> {
    let show = |entity: EntityRef<'_>| {
        let fields = entity.fields().into_iter().map(|field| {
            let (name, kind) = (field.name(), field.kind());
            match kind {
                Kind::COUNTER => format!("{name}={}", entity.count(name)),
                Kind::LWW => format!("{name}={:?}", entity.get(name)),
                _ => format!("{name}={:?}", entity.values(name, kind)),
            }
        });
        format!("{}: {}", entity.id(), fields.collect::<Vec<_>>().join(", "))
    };
    site.document.entities().map(show).collect()
}

/// Undo shows what was before, redo what was after, and the other replica sees the same.
#[track_caller]
fn check(begin: Write, change: Write) {
    let (mut a, mut b) = pair(begin);
    let before = view(&a);
    let (sent, undo) = a.change(change);
    b.receive(&sent);
    let after = view(&a);
    let (sent, redo) = a.undo(&undo);
    b.receive(&sent);
    assert_eq!(view(&a), before);
    let (sent, undo) = a.undo(&redo);
    b.receive(&sent);
    assert_eq!(view(&a), after);
    let (sent, _) = a.undo(&undo);
    b.receive(&sent);
    assert_eq!(view(&a), before);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

fn full(edit: &mut Edit<'_>) -> Result<(), EditError> {
    edit.set("n", "title", "old".into())?;
    edit.add("n", "tags", "red".into())?;
    edit.assign("n", "names", "x".into())?;
    edit.increment("n", "votes", 7)?;
    edit.raise("n", "high", 5.into())?;
    edit.lower("n", "low", 5.into())
}

fn none(_: &mut Edit<'_>) -> Result<(), EditError> {
    Ok(())
}

#[test]
fn every_kind() {
    check(full, |edit| edit.set("n", "title", "new".into()));
    check(full, |edit| edit.set("n", "shop", "corner".into()));
    check(full, |edit| edit.add("n", "tags", "blue".into()));
    check(full, |edit| edit.add("n", "tags", "red".into()));
    check(full, |edit| edit.remove("n", "tags", "red".into()));
    check(full, |edit| edit.assign("n", "names", "y".into()));
    check(full, |edit| edit.increment("n", "votes", -3));
    check(full, |edit| edit.raise("n", "high", 9.into()));
    check(full, |edit| edit.lower("n", "low", 1.into()));
    check(full, |edit| edit.unset("n", "title", Kind::LWW));
    check(full, |edit| edit.unset("n", "tags", Kind::OR_SET));
}

#[test]
fn whole_entities() {
    check(none, |edit| edit.create("n"));
    check(none, full);
    check(full, |edit| edit.delete("n"));
    check(full, |edit| edit.bury("n"));
    check(full, |edit| edit.erase("n"));
}

#[test]
fn a_change_of_several_steps_is_one() {
    check(full, |edit| {
        edit.set("n", "title", "first".into())?;
        edit.set("n", "title", "second".into())?;
        edit.add("n", "tags", "blue".into())?;
        edit.remove("n", "tags", "blue".into())?;
        edit.increment("n", "votes", 1)?;
        edit.increment("n", "votes", 1)
    });
    check(full, |edit| {
        edit.set("n", "title", "first".into())?;
        edit.bury("n")
    });
}

#[test]
fn several_changes_joined_are_one() {
    let (mut a, _) = pair(full);
    let before = view(&a);
    let (_, mut undo) = a.change(|edit| edit.set("n", "title", "first".into()));
    undo.join(a.change(|edit| edit.set("n", "title", "second".into())).1);
    assert!(!undo.is_empty());
    a.undo(&undo);
    assert_eq!(view(&a), before);
}

/// The end of a stack of undos: everything is taken back and made again, and once more.
#[track_caller]
fn check_all(begin: Write, changes: &[Write]) {
    let (mut a, mut b) = pair(begin);
    let mut views = vec![view(&a)];
    let mut undos = Vec::new();
    for change in changes {
        let (sent, undo) = a.change(*change);
        b.receive(&sent);
        undos.push(undo);
        views.push(view(&a));
    }
    for _ in 0..2 {
        let mut redos = Vec::new();
        for (at, undo) in undos.iter().enumerate().rev() {
            let (sent, redo) = a.undo(undo);
            b.receive(&sent);
            assert_eq!(view(&a), views[at], "{at} taken back");
            redos.push(redo);
        }
        undos.clear();
        for (at, redo) in redos.iter().rev().enumerate() {
            let (sent, undo) = a.undo(redo);
            b.receive(&sent);
            assert_eq!(view(&a), views[at + 1], "{at} made again");
            undos.push(undo);
        }
    }
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

#[test]
fn several_steps_back_are_several_steps() {
    check_all(
        none,
        &[
            |edit| edit.set("n", "title", "first".into()),
            |edit| edit.set("n", "title", "second".into()),
            |edit| edit.set("n", "title", "third".into()),
        ],
    );
    check_all(
        full,
        &[
            |edit| edit.remove("n", "tags", "red".into()),
            |edit| edit.add("n", "tags", "red".into()),
            |edit| edit.assign("n", "names", "y".into()),
            |edit| edit.assign("n", "names", "z".into()),
            |edit| edit.raise("n", "high", 8.into()),
            |edit| edit.raise("n", "high", 9.into()),
            |edit| edit.erase("n"),
            |edit| edit.set("n", "title", "again".into()),
        ],
    );
}

#[test]
fn what_was_deleted_after_another_change_is_deleted_again() {
    check_all(full, &[|edit| edit.set("n", "title", "new".into()), |edit| edit.delete("n")]);
    check_all(full, &[|edit| edit.increment("n", "votes", 1), |edit| edit.delete("n")]);
    check_all(full, &[|edit| edit.remove("n", "tags", "red".into()), |edit| edit.delete("n")]);
    check_all(none, &[full, |edit| edit.delete("n")]);
    check_all(none, &[|edit| edit.create("n"), |edit| edit.delete("n")]);
    check_all(full, &[|edit| edit.set("n", "title", "new".into()), |edit| edit.bury("n")]);
}

#[test]
fn what_began_afresh_gives_way_to_what_was_deleted() {
    check(full, |edit| {
        edit.delete("n")?;
        edit.set("n", "title", "new".into())
    });
    check_all(full, &[|edit| edit.delete("n"), |edit| edit.set("n", "title", "new".into())]);
    check_all(full, &[|edit| edit.delete("n"), |edit| edit.increment("n", "votes", 1)]);
    check_all(
        full,
        &[
            |edit| edit.set("n", "title", "second".into()),
            |edit| edit.delete("n"),
            |edit| edit.create("n"),
            |edit| edit.increment("n", "votes", 1),
            |edit| edit.delete("n"),
        ],
    );
}

#[test]
fn what_others_wrote_to_a_revived_entity_keeps_it_alive() {
    let (mut a, mut b) = pair(full);
    let (sent, undo) = a.change(|edit| edit.delete("n"));
    b.receive(&sent);
    let (sent, redo) = a.undo(&undo);
    b.receive(&sent);
    let theirs = b.write(|edit| edit.set("n", "title", "theirs".into()));
    a.receive(&theirs);
    let (sent, _) = a.undo(&redo);
    exchange(&mut a, &sent, &mut b, &[]);
    assert_eq!(a.entity("n").get("title"), Some("theirs".into()));
}

#[test]
fn what_others_wrote_meanwhile_stays() {
    let (mut a, mut b) = pair(full);
    let (sent, undo) = a.change(|edit| {
        edit.set("n", "title", "mine".into())?;
        edit.set("n", "shop", "corner".into())
    });
    b.receive(&sent);
    let theirs = b.write(|edit| {
        edit.set("n", "title", "theirs".into())?;
        edit.increment("n", "votes", 1)
    });
    a.receive(&theirs);
    let (sent, _) = a.undo(&undo);
    exchange(&mut a, &sent, &mut b, &[]);
    let n = a.entity("n");
    assert_eq!((n.get("title"), n.get("shop")), (Some("theirs".into()), None));
    assert_eq!(n.count("votes"), 8);
}

#[test]
fn of_values_that_lost_only_the_winner_comes_back() {
    let (mut a, mut b) = pair(full);
    let from_a = a.write(|edit| edit.set("n", "title", "from a".into()));
    let from_b = b.write(|edit| edit.set("n", "title", "from b".into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
    let winner = a.entity("n").get("title").map(Value::into_owned);
    let (_, undo) = a.change(|edit| edit.set("n", "title", "new".into()));
    a.undo(&undo);
    assert_eq!(a.entity("n").get("title"), winner);
    assert!(a.entity("n").conflicts("title").is_empty());
}
