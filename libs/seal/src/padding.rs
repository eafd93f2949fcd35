//! Lengths that say little: Padmé (Nikitin and others, "Reducing Metadata Leakage from Encrypted Files", 2019).

/// What is shorter is padded to this: a keystroke looks like a tick in a box.
const LEN_MIN: usize = 64;

/// Bytes in front that say how long the content is.
const LEN_BYTES: usize = 4;

/// The next Padmé length: of `n` bits only the first `log n` may be set, so that at most 12 % are added and
/// of lengths up to `L` no more than `log log L` bits are told. At least 64.
pub const fn padded_len(len: usize) -> usize {
    let len = if len < LEN_MIN { LEN_MIN } else { len };
    let exponent = len.ilog2();
    let free_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1 << free_bits) - 1;
    len.saturating_add(mask) & !mask
}

/// How long `len` bytes are once they have their length in front and padding behind.
pub(crate) const fn framed_len(len: usize) -> usize {
    padded_len(len + LEN_BYTES)
}

/// Appends the length of all `parts`, these, and zeros.
pub(crate) fn pad(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let end = out.len() + framed_len(len);
    out.extend((len as u32).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.resize(end, 0);
}

/// What was padded, if it was padded in the one way there is.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (len, rest) = padded.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (content, zeros) = rest.split_at_checked(len)?;
    let right = padded.len() == framed_len(len) && zeros.iter().all(|byte| *byte == 0);
    right.then_some(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(len: usize, expected: usize) {
        assert_eq!(padded_len(len), expected);
    }

    #[test]
    fn lengths() {
        check(0, 64);
        check(64, 64);
        check(65, 72);
        check(100, 104);
        check(1000, 1024);
        check(1025, 1088);
        check(10_000, 10_240);
        check((1 << 20) + 4, (1 << 20) + (32 << 10));
        check(usize::MAX, usize::MAX & !((1 << 57) - 1));
    }

    #[test]
    fn there_is_one_way_to_pad() {
        let mut padded = Vec::new();
        pad(&mut padded, &[b"milk"]);
        assert_eq!(unpad(&padded), Some(&b"milk"[..]));
        for longer in [1, 8, 64] {
            let more = [&padded[..], &vec![0; longer]].concat();
            assert_eq!(unpad(&more), None);
        }
        assert_eq!(unpad(&padded[..63]), None);
        for at in 8..64 {
            let mut dirty = padded.clone();
            dirty[at] = 1;
            assert_eq!(unpad(&dirty), None);
        }
        padded[..4].copy_from_slice(&61u32.to_le_bytes());
        assert_eq!(unpad(&padded), None, "longer than there is room");
        assert_eq!(unpad(b""), None);
    }

    proptest! {
        #[test]
        fn at_most_an_eighth_is_added(len in 64..1usize << 40) {
            let padded = padded_len(len);
            prop_assert!(padded >= len && padded - len <= len / 8);
            prop_assert_eq!(padded_len(padded), padded);
        }

        #[test]
        fn what_was_padded_comes_back(parts in prop::collection::vec(prop::collection::vec(0..3u8, 0..300), 0..3)) {
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            let mut padded = Vec::new();
            pad(&mut padded, &parts);
            prop_assert_eq!(unpad(&padded), Some(&parts.concat()[..]));
        }
    }
}
