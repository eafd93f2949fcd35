use super::{ByteSet, Transformation};

mod bytes;
mod decode;
mod names;
mod properties;
mod published;
mod squeeze;

/// Returns what becomes of `input`, having seen to what `apply` promises.
#[track_caller]
fn apply(transformation: Transformation, input: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let changed = transformation.apply(input, &mut out);
    let value = out.strip_prefix(b"before").expect("what is there stays");
    let said = format!("{transformation} of {}", input.escape_ascii());
    assert!(value.len() <= 4 * input.len() + 20, "{said}");
    if !changed {
        assert_eq!(value.escape_ascii().to_string(), "", "{said}: unchanged, but written");
        return input.to_vec();
    }
    assert_ne!(value.escape_ascii().to_string(), input.escape_ascii().to_string(), "{said}");
    assert!(!transformation.is_identity_on(&ByteSet::from_bytes(input)), "{said}");
    value.to_vec()
}

#[track_caller]
fn check(transformation: Transformation, input: &[u8], expected: &[u8]) {
    let value = apply(transformation, input);
    let said = format!("{transformation} of {}", input.escape_ascii());
    assert_eq!(value.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{said}");
}
