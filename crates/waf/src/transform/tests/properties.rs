use proptest::{prelude::*, sample::select};

use super::{ByteSet, Transformation, apply};

/// Values made of what transformations look at.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "%", "%u", "u", "x", "&", "#", "&#", "&lt", ";", "\\", "\\u", "\\x", "{", "}", "0", "1",
        "4", "7", "27", "41", "ff", "FF", "0x", "/*", "*/", "/*!", "--", "-->", "<!--", "\n", " ",
        "\t", "\u{a0}", "/", ".", "..", "a", "B", "=", "+", "'", "\u{ff07}", "\u{3000}", "\u{e9}",
        "\0", "colon",
    ];
    let piece = select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec());
    let piece = prop_oneof![8 => piece, 2 => prop::collection::vec(any::<u8>(), 1..3)];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_apply_promises_holds(value in value()) {
        for one in Transformation::ALL {
            apply(*one, &value);
        }
    }

    /// A set of bytes on which a transformation claims to be the identity, and values of these bytes only.
    #[test]
    fn identity_is_sound(
        bytes in prop::collection::vec(any::<u8>(), 1..20),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let set = ByteSet::from_bytes(&bytes);
        let value: Vec<u8> = picks.iter().map(|pick| *pick.get(&bytes)).collect();
        for one in Transformation::ALL.iter().filter(|one| one.is_identity_on(&set)) {
            prop_assert!(!one.apply(&value, &mut Vec::new()), "{} of {:?}", one, value);
        }
    }

    #[test]
    fn some_change_nothing_twice(value in value()) {
        for one in IDEMPOTENT {
            let once = apply(*one, &value);
            prop_assert_eq!(apply(*one, &once), once, "{}", one);
        }
    }
}

/// Those whose results they leave as they are.
const IDEMPOTENT: &[Transformation] = &[
    Transformation::CompressWhitespace,
    Transformation::Lowercase,
    Transformation::ParityZero7bit,
    Transformation::RemoveNulls,
    Transformation::RemoveWhitespace,
    Transformation::ReplaceNulls,
    Transformation::Trim,
    Transformation::TrimLeft,
    Transformation::TrimRight,
    Transformation::Uppercase,
];

/// Bytes that each transformation must not call harmless, or the property above would say nothing.
#[test]
fn identity_is_not_claimed_of_everything() {
    for one in Transformation::ALL {
        assert!(!one.is_identity_on(&ByteSet::ALL), "{one}");
    }
}

/// What most values consist of needs no decoding.
#[test]
fn plain_values_are_known_to_stay() {
    use Transformation as T;
    let plain = ByteSet::from_bytes(b"abcdefghijklmnopqrstuvwxyz0123456789_");
    let stays: Vec<&Transformation> =
        T::ALL.iter().filter(|one| one.is_identity_on(&plain)).collect();
    let changed = [
        T::Base64Decode,
        T::Base64DecodeExt,
        T::Base64Encode,
        T::HexDecode,
        T::HexEncode,
        T::Length,
        T::Md5,
        T::ParityEven7bit,
        T::ParityOdd7bit,
        T::Sha1,
        T::SqlHexDecode,
        T::Uppercase,
        T::UrlEncode,
    ];
    assert_eq!(stays.len(), T::ALL.len() - changed.len());
    assert!(changed.iter().all(|one| !stays.contains(&one)));
}
