use bytes::BufMut;

use crate::wire::{Malformed, Reader, TooLong, put_bytes16};

/// The fields of a head, in order, as a view of the frame that brought them.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    count: u16,
    /// `count` pairs of name and value, checked when the frame was read.
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = reader.u16()?;
        Ok(Self { count, bytes: Self::skip(reader, count)? })
    }

    /// Checks `count` fields and returns where they lie.
    pub(crate) fn skip(reader: &mut Reader<'a>, count: u16) -> Result<&'a [u8], Malformed> {
        let start = reader.rest();
        for _ in 0..count {
            reader.text16()?;
            reader.bytes16()?;
        }
        Ok(&start[..start.len() - reader.rest().len()])
    }

    /// Fields that were checked before.
    pub(crate) fn known(count: u16, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    #[cfg(feature = "serve")]
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    #[cfg(feature = "serve")]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Name and value of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Some((reader.text16().ok()?, reader.bytes16().ok()?)))
    }

    /// The value of the first field of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of every field of this name, in any case and in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter_map(move |(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)));
        f.debug_map().entries(text).finish()
    }
}

/// Fields to be sent; its buffer is used again after `clear`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldsBuf {
    count: u16,
    bytes: Vec<u8>,
    flaw: bool,
}

impl FieldsBuf {
    /// Adds a field. One that is too long spoils the whole: it cannot be sent.
    pub fn push(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let mut put = || -> Result<u16, TooLong> {
            put_bytes16(&mut self.bytes, name.as_bytes())?;
            put_bytes16(&mut self.bytes, value)?;
            self.count.checked_add(1).ok_or(TooLong)
        };
        match put() {
            Ok(count) => self.count = count,
            Err(TooLong) => self.flaw = true,
        }
        self
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        if self.flaw {
            return Err(TooLong);
        }
        out.put_u16(self.count);
        out.put_slice(&self.bytes);
        Ok(())
    }

    /// Forgets all fields and keeps the buffer.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.flaw = false;
    }
}

/// Whether `name` is a token of RFC 9110, section 5.6.2.
pub(crate) fn is_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

/// Whether `value` is a field value of RFC 9110, section 5.5: no control but the tab.
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..))
}
