//! The primitives of both formats: numbers, columns of them, and sorted names.

mod column;
mod names;

use std::{error::Error, fmt};

pub(crate) use column::{put_column, put_deltas, read_column, read_deltas};
pub(crate) use names::{NameReader, NameWriter};

/// Why bytes are no batch, or no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They end too early.
    Truncated,
    /// They go on after the end.
    Trailing,
    /// They are something else altogether.
    Foreign,
    /// A version that this one does not read.
    Version(u64),
    /// They say what has another, and only one, encoding.
    NotCanonical(&'static str),
    /// They contradict themselves.
    Invalid(&'static str),
    /// More of this than is allowed.
    TooMuch(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the bytes end too early"),
            Malformed::Trailing => f.write_str("there are bytes after the end"),
            Malformed::Foreign => f.write_str("this is no document"),
            Malformed::Version(version) => write!(f, "version {version} is not known here"),
            Malformed::NotCanonical(what) => write!(f, "{what} has another encoding"),
            Malformed::Invalid(what) => f.write_str(what),
            Malformed::TooMuch(what) => write!(f, "too much: {what}"),
        }
    }
}

impl Error for Malformed {}

/// Takes bytes from the front.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins with the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// None is left.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number in groups of seven bits, the lowest first.
    ///
    /// # Errors
    /// One that is cut off, has more than 64 bits, or has a shorter spelling.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Invalid("a number has more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    Err(Malformed::NotCanonical("a number"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Malformed::Invalid("a number has more than 64 bits"))
    }

    /// A number of things of which there may be `max`.
    ///
    /// # Errors
    /// More, and what is no number.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed::TooMuch(what))?;
        if count > max { Err(Malformed::TooMuch(what)) } else { Ok(count) }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Bytes that are.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

/// Appends a number as [`Reader::varint`] reads it.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, count as u64);
}

/// Signed numbers with the small ones first, whatever their sign.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, expected: &[u8]) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        assert_eq!(bytes, expected);
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.varint(), reader.finish()), (Ok(value), Ok(())));
        assert_eq!(zigzag(unzigzag(value)), value);
    }

    #[test]
    fn numbers() {
        check(0, &[0]);
        check(127, &[127]);
        check(128, &[128, 1]);
        check(u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: Malformed) {
        assert_eq!(Reader::new(bytes).varint(), Err(expected));
    }

    #[test]
    fn numbers_have_one_spelling() {
        check_refused(&[], Malformed::Truncated);
        check_refused(&[128], Malformed::Truncated);
        check_refused(&[128, 0], Malformed::NotCanonical("a number"));
        check_refused(&[255; 10], Malformed::Invalid("a number has more than 64 bits"));
    }
}
