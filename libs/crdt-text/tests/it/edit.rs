//! Changing a text by places, and as a whole.

use selvedge_crdt::{Batch, EditError, ReplicaId};
use selvedge_crdt_text::{Position, Text, TextError};

use crate::site::{AT, Site, pair};

#[track_caller]
fn check(change: impl FnOnce(&mut Text) -> Result<(), TextError>, expected: &str) {
    let (mut site, _) = pair("né🙂 milk");
    site.change(change);
    site.check(expected);
}

#[test]
fn places_are_counted_in_either_way() {
    check(|it| it.insert(Position::Chars(3), "!"), "né🙂! milk");
    check(|it| it.insert(Position::Utf16(4), "!"), "né🙂! milk");
    check(|it| it.insert(Position::Chars(0), "x"), "xné🙂 milk");
    check(|it| it.insert(Position::Chars(8), "."), "né🙂 milk.");
    check(|it| it.delete(Position::Chars(1), Position::Chars(3)), "n milk");
    check(|it| it.replace(Position::Utf16(5), Position::Utf16(9), "tea"), "né🙂 tea");
    check(|it| it.delete(Position::Chars(0), Position::Chars(8)), "");
    check(|it| it.replace(Position::Chars(2), Position::Utf16(2), ""), "né🙂 milk");
}

#[test]
fn places_that_are_not_there() {
    let (mut site, _) = pair("né🙂");
    site.write(|edit| {
        let mut text = Text::open(edit, AT.0, AT.1);
        for at in [Position::Chars(4), Position::Utf16(3), Position::Utf16(5)] {
            assert_eq!(text.insert(at, "x"), Err(TextError::Position(at)));
        }
        let back = text.delete(Position::Chars(2), Position::Chars(1));
        assert_eq!(back, Err(TextError::Position(Position::Chars(1))));
        assert_eq!(text.commit(edit), Ok(()));
    });
    assert_eq!(site.updates(), 1);
}

#[test]
fn several_changes_are_one_operation() {
    let mut site = Site::new(1);
    let sent = site.change(|it| {
        it.insert(Position::Chars(0), "bread")?;
        it.insert(Position::Chars(0), "milk, ")?;
        it.delete(Position::Chars(1), Position::Chars(2))?;
        it.set("mlk, bread, tea")
    });
    assert_eq!((sent.len(), sent[0].len()), (1, 1));
    site.check("mlk, bread, tea");
}

#[test]
fn nothing_changed_is_nothing_written() {
    let (mut site, _) = pair("milk");
    assert!(site.set("milk").is_empty());
    assert!(site.change(|it| it.insert(Position::Chars(2), "")).is_empty());
}

#[test]
fn one_writer_is_one_client_of_yjs() {
    let mut site = Site::new(1);
    for n in 0..20 {
        site.set(&format!("text {n}"));
    }
    assert_eq!((site.updates(), site.text().state_vector()[0]), (20, 1));
}

#[test]
fn two_that_were_read_before_either_was_written() {
    let mut site = Site::new(1);
    site.write(|edit| {
        let mut one = Text::open(edit, AT.0, AT.1);
        let mut other = Text::open(edit, AT.0, AT.1);
        one.set("one").unwrap();
        other.set("other").unwrap();
        one.commit(edit).unwrap();
        assert_eq!(other.commit(edit), Err(TextError::Stale));
        assert_eq!(other.squash(edit), Err(TextError::Stale));
        one.set("one more").unwrap();
        one.commit(edit).unwrap();
    });
    site.check("one more");
}

#[test]
fn more_than_an_operation_holds() {
    let mut site = Site::new(1);
    site.write(|edit| {
        let mut text = Text::open(edit, AT.0, AT.1);
        text.set(&"x".repeat(800_000)).unwrap();
        assert_eq!(text.commit(edit), Err(TextError::Edit(EditError::TooLarge)));
    });
    site.set(&"x".repeat(700_000));
    site.change(|it| it.insert(Position::Chars(0), &"y".repeat(700_000)));
    assert_eq!(site.text().as_str().len(), 1_400_000);
}

#[test]
fn a_squashed_text_is_one_update() {
    let (mut a, mut b) = pair("one");
    for text in ["one two", "two", "two three"] {
        let sent = a.set(text);
        b.receive(&sent);
    }
    let meanwhile = b.change(|it| it.insert(Position::Chars(0), "zero "));
    let squashed = a.write(|edit| Text::open(edit, AT.0, AT.1).squash(edit).unwrap());
    assert_eq!(a.updates(), 1);
    a.receive(&meanwhile);
    b.receive(&squashed);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
    a.check("zero two three");
    b.set("zero four");
    b.check("zero four");
}

#[test]
fn a_text_is_deleted_with_its_entity_and_revived() {
    let (mut a, mut b) = pair("milk");
    let deleted = a.write(|edit| edit.delete(AT.0).unwrap());
    a.check("");
    let edited = b.change(|it| it.insert(Position::Chars(4), " and bread"));
    a.receive(&edited);
    b.receive(&deleted);
    a.check("milk and bread");
    b.check("milk and bread");
}

#[test]
fn what_follows_from_what_was_erased_is_missed_and_not_mixed_up() {
    let (mut a, mut b) = pair("milk");
    let mut erased = a.write(|edit| edit.erase(AT.0).unwrap());
    erased.extend(a.set("tea"));
    let edited = b.change(|it| it.insert(Position::Chars(4), " and bread"));
    a.receive(&edited);
    b.receive(&erased);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
    a.check("tea");
    assert!(!a.text().is_whole());
    let unread = a.write(|edit| {
        assert_eq!(Text::open(edit, AT.0, AT.1).squash(edit), Err(TextError::Unread));
    });
    assert!(unread.is_empty());
}

#[test]
fn what_came_meanwhile_is_not_squashed_away() {
    let (mut a, mut b) = pair("milk");
    let meanwhile = b.set("oat milk");
    let mut text = a.open();
    text.insert(Position::Chars(4), " and bread").unwrap();
    a.receive(&meanwhile);
    a.write(|edit| {
        text.commit(edit).unwrap();
        assert_eq!(text.squash(edit), Err(TextError::Stale));
    });
    a.check("oat milk and bread");
}

#[test]
fn a_text_is_kept_while_others_write() {
    let (mut a, mut b) = pair("milk");
    let mut text = a.open();
    for (round, with) in ["bread", "🙂", "", "tea"].into_iter().enumerate() {
        let sent = b.change(|it| it.insert(Position::Chars(round), with));
        a.receive(&sent);
        let sent = a.write(|edit| {
            text.catch_up(edit).unwrap();
            text.insert(Position::Chars(1), with).unwrap();
            if !with.is_empty() {
                assert_eq!(text.catch_up(edit), Err(TextError::Waiting));
            }
            text.commit(edit).unwrap();
        });
        a.check(text.as_str());
        b.receive(&sent);
        b.check(text.as_str());
    }
    assert_eq!(a.text().state_vector()[0], 2, "each of them is one client of Yjs");
}

#[test]
fn a_text_is_kept_while_others_squash_delete_and_do_harm() {
    let (mut a, mut b) = pair("milk");
    let mut text = a.open();
    let catch_up = |a: &mut Site, text: &mut Text, sent: &[Batch]| {
        a.receive(sent);
        a.write(|edit| text.catch_up(edit).unwrap());
        a.check(text.as_str());
        assert_eq!(text.unread(), a.text().unread());
    };
    b.set("oat milk");
    let squashed = b.write(|edit| Text::open(edit, AT.0, AT.1).squash(edit).unwrap());
    catch_up(&mut a, &mut text, &squashed);
    let sent = b.write(|edit| edit.push_text(AT.0, AT.1, b"\x01").unwrap());
    catch_up(&mut a, &mut text, &sent);
    assert_eq!(text.unread().len(), 1);
    let sent = b.write(|edit| edit.erase(AT.0).unwrap());
    catch_up(&mut a, &mut text, &sent);
    assert_eq!((text.as_str(), text.unread()), ("", &[][..]));
    let sent = b.set("tea");
    catch_up(&mut a, &mut text, &sent);
    a.write(|edit| {
        text.set("green tea").unwrap();
        text.squash(edit).unwrap();
    });
    catch_up(&mut a, &mut text, &[]);
    assert_eq!((text.as_str(), a.updates()), ("green tea", 1));
}

#[test]
fn a_text_is_written_by_whom_it_was_opened() {
    let (mut a, mut b) = pair("milk");
    let mut text = a.open();
    text.set("oat milk").unwrap();
    b.write(|edit| {
        assert_eq!(text.commit(edit), Err(TextError::Stale));
        assert_eq!(text.squash(edit), Err(TextError::Stale));
    });
    let mut text = a.open();
    b.write(|edit| {
        text.catch_up(edit).unwrap();
        text.set("soy milk").unwrap();
        text.commit(edit).unwrap();
    });
    b.check("soy milk");
}

#[test]
fn another_replica_has_another_client() {
    let (mut a, mut b) = pair("x");
    let (from_a, from_b) = (a.set("xa"), b.set("xb"));
    a.receive(&from_b);
    b.receive(&from_a);
    assert_eq!(a.text().to_string(), b.text().to_string());
    assert_ne!(from_a[0].replica(), ReplicaId([2; 16]));
    assert_eq!(a.text().as_str().len(), 3);
}
