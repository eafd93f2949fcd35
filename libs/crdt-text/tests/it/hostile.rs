//! Updates of which Yjs never wrote any.

use proptest::prelude::*;
use selvedge_crdt_text::{Fault, Position, TYPES_MAX, Text, TextError};

use crate::site::{AT, Site};

/// A text with `update` pushed to it as if Yjs had written it.
fn pushed(update: &[u8]) -> Site {
    let mut site = Site::new(1);
    site.set("milk");
    site.write(|edit| edit.push_text(AT.0, AT.1, update).expect("it has room"));
    site.change(|it| it.insert(Position::Chars(0), "oat "));
    site
}

#[track_caller]
fn check(update: &[u8], fault: Option<Fault>) {
    let site = pushed(update);
    site.check("oat milk");
    assert_eq!(site.text().unread().first().map(|unread| unread.fault), fault);
}

#[test]
fn what_cannot_be_read_takes_nothing_else() {
    check(b"", Some(Fault::Truncated));
    check(
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        Some(Fault::Invalid("a number without an end")),
    );
    check(b"\xff\xff\x7f\x00", Some(Fault::Truncated));
    check(b"\x01\x01\x05\x00\x02\x01\x01t\x01\x01x\x00", Some(Fault::Unknown("content")));
    check(b"\x00\x00", None);
}

#[test]
fn values_in_values_without_end() {
    let mut update = b"\x01\x01\x05\x00\x08\x01\x04text\x01".to_vec();
    update.extend([117, 1].repeat(300_000));
    check(&update, Some(Fault::TooMuch("values within values")));
}

/// Types in types, each a place deeper, which are deleted by calls within calls.
#[test]
fn types_in_types_without_end() {
    for (count, fault) in [(TYPES_MAX, None), (TYPES_MAX + 1, Some(Fault::TooMuch("shared types")))]
    {
        let mut update = vec![1];
        put(&mut update, count);
        update.extend(b"\x05\x00\x07\x01\x05other\x00");
        for parent in 0..count - 1 {
            update.extend([7, 0, 5]);
            put(&mut update, parent);
            update.push(0);
        }
        // The outermost is deleted.
        update.extend([1, 5, 1, 0, 1]);
        check(&update, fault);
    }
}

/// Appends a number in groups of seven bits.
fn put(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[test]
fn a_text_is_not_squashed_where_something_is_unread() {
    let mut site = pushed(b"\x01");
    site.write(|edit| {
        assert_eq!(Text::open(edit, AT.0, AT.1).squash(edit), Err(TextError::Unread));
    });
    assert_eq!(site.updates(), 3);
}

/// An update of somebody who edits, for damage.
fn real() -> Vec<u8> {
    let mut a = Site::new(7);
    a.set("The cat sat here.");
    a.set("The dog 🙂 sat there.");
    a.change(|it| it.delete(Position::Chars(2), Position::Chars(9)));
    a.text().to_update()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_updates(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut update = real();
        for (at, byte) in places {
            let at = at.index(update.len());
            update[at] = byte;
        }
        let text = pushed(&update).text();
        prop_assert!(text.as_str().contains("oat ") && text.as_str().contains("milk"), "{text}");
    }

    #[test]
    fn bytes_of_no_meaning(update in prop::collection::vec(0..24u8, 0..60)) {
        let text = pushed(&update).text();
        prop_assert!(text.as_str().contains("oat ") && text.as_str().contains("milk"), "{text}");
    }
}
