use proptest::prelude::*;

use super::ByteSet;

#[test]
fn a_set_holds_what_it_was_made_of() {
    let set = ByteSet::from_bytes(b"\0 hello\xff");
    assert_eq!(set.iter().collect::<Vec<u8>>(), b"\0 ehlo\xff");
    assert_eq!(format!("{set:?}"), r"ByteSet(\x00 ehlo\xff)");
    assert_eq!(ByteSet::range(b'a', b'c'), ByteSet::from_bytes(b"cab"));
    assert_eq!(ByteSet::range(0, 255), ByteSet::ALL);
    assert_eq!(ByteSet::range(2, 1), ByteSet::EMPTY);
}

#[test]
fn sets_are_known_at_compile_time() {
    const SET: ByteSet = ByteSet::from_bytes(b"%+").union(ByteSet::range(b'0', b'9'));
    const { assert!(SET.contains(b'%') && SET.contains(b'5') && !SET.contains(b'a')) };
}

proptest! {
    #[test]
    fn sets_are_sets(left in prop::collection::vec(any::<u8>(), 0..300), right: Vec<u8>, byte: u8) {
        let (a, b) = (ByteSet::from_bytes(&left), ByteSet::from_bytes(&right));
        prop_assert_eq!(a, left.iter().copied().collect());
        prop_assert_eq!(a.contains(byte), left.contains(&byte));
        prop_assert_eq!(a.complement().contains(byte), !left.contains(&byte));
        prop_assert_eq!(a.is_empty(), left.is_empty());
        prop_assert_eq!(a.union(b).contains(byte), left.contains(&byte) || right.contains(&byte));
        prop_assert_eq!(a.intersects(&b), left.iter().any(|byte| right.contains(byte)));
        prop_assert_eq!(a.is_subset_of(&b), left.iter().all(|byte| right.contains(byte)));
        prop_assert!(a.is_subset_of(&a.union(b)) && a.intersection(b).is_subset_of(&a));
    }
}
