//! Entry bundles: entries one after another, each behind its length (C2SP tlog-tiles).

use std::fmt;

/// The most bytes that an entry can have.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Why a bundle cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// It ends within an entry, the one with this number in the bundle.
    Torn(usize),
    /// It has another number of entries than its name says.
    Count {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn(at) => write!(f, "the bundle ends within its entry {at}"),
            Self::Count { found, expected } => {
                write!(f, "the bundle has {found} entries, and its name says {expected}")
            }
        }
    }
}

impl std::error::Error for BundleError {}

/// Adds an entry to a bundle.
///
/// # Panics
/// If the entry has more than [`ENTRY_BYTES_MAX`] bytes.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).expect("entries have at most 65,535 bytes");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle that has `count` of them.
pub fn entries(bundle: &[u8], count: usize) -> Result<Vec<&[u8]>, BundleError> {
    let (mut rest, mut entries) = (bundle, Vec::with_capacity(count.min(256)));
    while !rest.is_empty() {
        let (entry, behind) = split(rest).ok_or(BundleError::Torn(entries.len()))?;
        entries.push(entry);
        rest = behind;
    }
    let found = entries.len();
    if found == count { Ok(entries) } else { Err(BundleError::Count { found, expected: count }) }
}

/// The entries of a bundle as far as it can be read.
pub(crate) fn readable(bundle: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        let (entry, behind) = split(rest)?;
        rest = behind;
        Some(entry)
    })
}

fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let long = vec![7; ENTRY_BYTES_MAX];
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", &long] {
            push(&mut bundle, entry);
        }
        assert_eq!(&bundle[..7], b"\0\x03one\0\0");
        assert_eq!(entries(&bundle, 3), Ok(vec![&b"one"[..], b"", &long]));
    }

    #[test]
    fn a_bundle_is_read_wholly_or_not_at_all() {
        assert_eq!(entries(b"", 0), Ok(vec![]));
        assert_eq!(entries(b"", 1), Err(BundleError::Count { found: 0, expected: 1 }));
        assert_eq!(entries(b"\0\0", 0), Err(BundleError::Count { found: 1, expected: 0 }));
        assert_eq!(entries(b"\0\0\0", 1), Err(BundleError::Torn(1)));
        assert_eq!(entries(b"\0\x03on", 1), Err(BundleError::Torn(0)));
    }
}
