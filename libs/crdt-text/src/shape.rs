//! Whether bytes have the shape of an update of Yjs, version 1.
//!
//! What comes from others is walked once before `yrs` sees it: so it never gets numbers that are larger than what
//! there is, text that is none, values in values without end, or a struct that comes after what follows from it.

use std::{error::Error, fmt};

/// Values within values, at most.
pub const DEPTH_MAX: usize = 32;

/// Shared types in all updates of a text together, at most: editors of plain and rich text have none.
pub const TYPES_MAX: usize = 512;

/// Places in what one client wrote are below this.
const CLOCK_MAX: u64 = i32::MAX as u64;

/// Clients have 53 bits, which JavaScript's numbers hold.
const CLIENT_MAX: u64 = (1 << 53) - 1;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;

/// Why an update is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends too early.
    Truncated,
    /// It contradicts itself.
    Invalid(&'static str),
    /// More of this than is allowed.
    TooMuch(&'static str),
    /// It has what only other versions know.
    Unknown(&'static str),
    /// It has the right shape, and still does not fit what is there.
    Unfit,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated => f.write_str("the update ends too early"),
            Fault::Invalid(what) => f.write_str(what),
            Fault::TooMuch(what) => write!(f, "too much: {what}"),
            Fault::Unknown(what) => write!(f, "{what} of another version"),
            Fault::Unfit => f.write_str("the update does not fit what is there"),
        }
    }
}

impl Error for Fault {}

/// Walks an update, and returns how many shared types it makes.
pub(crate) fn check(update: &[u8]) -> Result<usize, Fault> {
    let mut walk = Walk { rest: update, types: 0 };
    for _ in 0..walk.number(u64::MAX, "clients")? {
        walk.client()?;
    }
    for _ in 0..walk.number(u64::MAX, "clients")? {
        walk.deletions()?;
    }
    Ok(walk.types)
}

/// A struct: whose, and where.
#[derive(Clone, Copy)]
struct Id {
    client: u64,
    clock: u64,
}

struct Walk<'a> {
    rest: &'a [u8],
    types: usize,
}

impl<'a> Walk<'a> {
    fn client(&mut self) -> Result<(), Fault> {
        let count = self.number(u64::MAX, "structs")?;
        // Memory is reserved for that many: each takes two bytes at least.
        if count > self.rest.len() as u64 {
            return Err(Fault::Truncated);
        }
        let mut at = self.id()?;
        for _ in 0..count {
            at.clock += self.one(at)?;
            if at.clock > CLOCK_MAX {
                return Err(Fault::TooMuch("places of a client"));
            }
        }
        Ok(())
    }

    /// Walks a struct, and returns how many places it takes.
    fn one(&mut self, at: Id) -> Result<u64, Fault> {
        let info = self.byte()?;
        match info & 0x1f {
            0 | 10 if info & 0xe0 != 0 => Err(Fault::Invalid("a struct of no kind")),
            0 | 10 => match self.number(CLOCK_MAX, "places of a client")? {
                0 => Err(Fault::Invalid("a struct without a place")),
                len => Ok(len),
            },
            content => {
                self.place(info, at)?;
                self.content(content)
            }
        }
    }

    fn place(&mut self, info: u8, at: Id) -> Result<(), Fault> {
        if info & HAS_ORIGIN != 0 {
            self.before(at)?;
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            self.before(at)?;
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) != 0 {
            return Ok(());
        }
        match self.number(u64::MAX, "parent")? {
            1 => self.text().map(|_| ())?,
            _ => self.before(at)?,
        }
        if info & HAS_PARENT_SUB != 0 {
            self.text()?;
        }
        Ok(())
    }

    /// Something that the struct at `at` follows from.
    fn before(&mut self, at: Id) -> Result<(), Fault> {
        let named = self.id()?;
        if named.client == at.client && named.clock >= at.clock {
            return Err(Fault::Invalid("a struct follows from one that comes later"));
        }
        Ok(())
    }

    fn content(&mut self, kind: u8) -> Result<u64, Fault> {
        match kind {
            1 => return self.number(CLOCK_MAX, "places of a client"),
            3 => self.bytes().map(|_| ())?,
            4 => return Ok(self.text()?.encode_utf16().count() as u64),
            5 => self.text().map(|_| ())?,
            6 => {
                self.text()?;
                self.text()?;
            }
            7 => self.shared_type()?,
            8 => {
                let count = self.number(self.rest.len() as u64, "values")?;
                for _ in 0..count {
                    self.value(0)?;
                }
                return Ok(count);
            }
            9 => {
                self.text()?;
                self.value(0)?;
            }
            _ => return Err(Fault::Unknown("content")),
        }
        Ok(1)
    }

    fn shared_type(&mut self) -> Result<(), Fault> {
        self.types += 1;
        match self.number(u64::MAX, "type")? {
            0 | 1 | 2 | 4 | 6 => Ok(()),
            3 => self.text().map(|_| ()),
            _ => Err(Fault::Unknown("a shared type")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::TooMuch("values within values"));
        }
        match self.byte()? {
            127 | 126 | 121 | 120 => Ok(()),
            125 => self.signed(),
            124 => self.take(4).map(|_| ()),
            123 | 122 => self.take(8).map(|_| ()),
            119 => self.text().map(|_| ()),
            118 => self.repeat(|walk| {
                walk.text()?;
                walk.value(depth + 1)
            }),
            117 => self.repeat(|walk| walk.value(depth + 1)),
            116 => self.bytes().map(|_| ()),
            _ => Err(Fault::Unknown("a value")),
        }
    }

    fn repeat(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let count = self.number(self.rest.len() as u64, "values")?;
        (0..count).try_for_each(|_| each(self))
    }

    fn deletions(&mut self) -> Result<(), Fault> {
        self.number(CLIENT_MAX, "clients")?;
        for _ in 0..self.number(u64::MAX, "deletions")? {
            let from = self.number(CLOCK_MAX, "places of a client")?;
            self.number(CLOCK_MAX - from, "places of a client")?;
        }
        Ok(())
    }

    fn id(&mut self) -> Result<Id, Fault> {
        let client = self.number(CLIENT_MAX, "clients")?;
        Ok(Id { client, clock: self.number(CLOCK_MAX, "places of a client")? })
    }

    /// A number of at most nine groups of seven bits.
    fn number(&mut self, max: u64, what: &'static str) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if number > max { Err(Fault::TooMuch(what)) } else { Ok(number) };
            }
        }
        Err(Fault::Invalid("a number without an end"))
    }

    /// A number with a sign; its first group has six bits.
    fn signed(&mut self) -> Result<(), Fault> {
        let mut bytes = 1;
        while self.byte()? & 0x80 != 0 {
            bytes += 1;
            if bytes > 9 {
                return Err(Fault::Invalid("a number without an end"));
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        str::from_utf8(self.bytes()?).map_err(|_| Fault::Invalid("text that is not UTF-8"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.number(u64::MAX, "bytes")?;
        self.take(usize::try_from(len).map_err(|_| Fault::Truncated)?)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.rest.split_first().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_bytes(update: &[u8], expected: Result<usize, Fault>) {
        assert_eq!(check(update), expected);
    }

    #[test]
    fn shapes() {
        check_bytes(&[0, 0], Ok(0));
        check_bytes(b"\x01\x01\x05\x00\x04\x01\x04text\x02hi\x00", Ok(0));
        check_bytes(b"\x01\x01\x05\x00\x07\x01\x04text\x01\x00", Ok(1));
        check_bytes(b"\x00\x01\x05\x01\x00\x07", Ok(0));
        check_bytes(&[], Err(Fault::Truncated));
        check_bytes(b"\x01\x01\x05\x00\x04\x01\x04text\x03hi", Err(Fault::Truncated));
        check_bytes(b"\x01\xff\xff\x7f\x05\x00\x04", Err(Fault::Truncated));
        check_bytes(
            b"\x01\x01\x05\x00\x04\x01\x01\xff",
            Err(Fault::Invalid("text that is not UTF-8")),
        );
        check_bytes(&[0xff; 20], Err(Fault::Invalid("a number without an end")));
        check_bytes(b"\x01\x01\x05\x00\x02\x01\x01t\x01\x01x\x00", Err(Fault::Unknown("content")));
    }

    #[test]
    fn nothing_follows_from_what_comes_later() {
        let later = Err(Fault::Invalid("a struct follows from one that comes later"));
        check_bytes(b"\x01\x01\x05\x03\x84\x05\x03\x01x\x00", later);
        check_bytes(b"\x01\x01\x05\x03\x84\x05\x02\x01x\x00", Ok(0));
        check_bytes(b"\x01\x01\x05\x03\x84\x06\x09\x01x\x00", Ok(0));
    }

    #[test]
    fn values_have_a_bottom() {
        let nested = |depth: usize| {
            let mut update = b"\x01\x01\x05\x00\x08\x01\x04text\x01".to_vec();
            update.extend([117, 1].repeat(depth));
            update.extend([126, 0]);
            update
        };
        check_bytes(&nested(DEPTH_MAX), Ok(0));
        check_bytes(&nested(DEPTH_MAX + 1), Err(Fault::TooMuch("values within values")));
        check_bytes(&nested(100_000), Err(Fault::TooMuch("values within values")));
    }
}
