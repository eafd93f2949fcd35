//! Schemas: what they refuse, and how they may change.

use selvedge_crdt::{
    Break, Edit, EditError, EntityType, FieldRule, Kind, Mismatch, OnDelete, Schema,
    ValueType::{Int, Null, Text},
};

use crate::site::Site;

fn schema() -> Schema {
    let note = EntityType::new(OnDelete::EditsRevive)
        .field("title", FieldRule::new(Kind::LWW, &[Text, Null]))
        .field("tags", FieldRule::new(Kind::OR_SET, &[Text]))
        .field("votes", FieldRule::new(Kind::COUNTER, &[]));
    Schema::default()
        .entity("note", note)
        .entity("settings", EntityType::new(OnDelete::DeletionWins))
}

#[track_caller]
fn check(write: fn(&mut Edit<'_>) -> Result<(), EditError>, expected: Result<(), Mismatch>) {
    let mut site = Site::new(1);
    site.write(|edit| {
        edit.create("note/0")?;
        edit.create("settings")
    });
    let batches = site.write(write);
    assert_eq!(schema().check(&batches[0]), expected);
}

#[test]
fn what_fits() {
    check(|edit| edit.set("note/1", "title", "milk".into()), Ok(()));
    check(|edit| edit.add("note/1", "tags", "red".into()), Ok(()));
    check(|edit| edit.increment("note/1", "votes", 1), Ok(()));
    check(|edit| edit.delete("note/0"), Ok(()));
    check(|edit| edit.bury("settings"), Ok(()));
    check(|edit| edit.erase("settings"), Ok(()));
}

#[test]
fn what_does_not() {
    let (note, title) = ("note".to_owned(), "title".to_owned());
    check(|edit| edit.create("list/1"), Err(Mismatch::Type("list".to_owned())));
    check(
        |edit| edit.set("note/1", "shop", "x".into()),
        Err(Mismatch::Field(note.clone(), "shop".to_owned())),
    );
    check(
        |edit| edit.add("note/1", "title", "x".into()),
        Err(Mismatch::Kind {
            of: (note.clone(), title.clone()),
            expected: Kind::LWW,
            found: Kind::OR_SET,
        }),
    );
    let wrong =
        Mismatch::Value { of: (note.clone(), title), expected: vec![Null, Text], found: Some(Int) };
    assert_eq!(wrong.to_string(), "note.title takes null or text, and not int");
    check(|edit| edit.set("note/1", "title", 5.into()), Err(wrong));
    check(|edit| edit.bury("note/0"), Err(Mismatch::Deletion(note)));
    check(|edit| edit.delete("settings"), Err(Mismatch::Deletion("settings".to_owned())));
}

#[test]
fn writing_by_the_schema() {
    let mut site = Site::new(1);
    for (name, value) in [("title", "milk".into()), ("tags", "red".into()), ("votes", 2.into())] {
        let field = schema().field("note/1", name).unwrap();
        site.write(|edit| edit.write("note/1", &field, value));
    }
    let note = site.entity("note/1");
    assert_eq!((note.get("title"), note.count("votes")), (Some("milk".into()), 2));
    assert_eq!(note.values("tags", Kind::OR_SET), ["red".into()]);
    assert_eq!(schema().field("note/1", "shop"), None);
}

#[track_caller]
fn check_next(next: EntityType, expected: &[Break]) {
    let next = Schema::default().entity("note", next);
    assert_eq!(next.breaks(&schema()), expected);
}

#[test]
fn what_a_newer_schema_may_do() {
    let (note, title) = (|| "note".to_owned(), || "title".to_owned());
    let wider = FieldRule::new(Kind::LWW, &[Null, Text, Int]);
    let new = EntityType::default().field("title", wider.clone()).field("shop", wider);
    check_next(new, &[]);
    let narrower = EntityType::default().field("title", FieldRule::new(Kind::LWW, &[Text]));
    check_next(narrower, &[Break::Narrowed(note(), title())]);
    let other = EntityType::default().field("title", FieldRule::new(Kind::MULTI, &[Text, Null]));
    check_next(other, &[Break::Kind(note(), title())]);
    check_next(EntityType::new(OnDelete::DeletionWins), &[Break::OnDelete(note())]);
}
