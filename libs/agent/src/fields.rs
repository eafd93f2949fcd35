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
        let start = reader.rest();
        for _ in 0..count {
            if !is_name(reader.text16()?) {
                return Err(Malformed("a field name that is not a token"));
            }
            if !is_value(reader.bytes16()?) {
                return Err(Malformed("a field value with CR, LF or NUL"));
            }
        }
        Ok(Self { count, bytes: &start[..start.len() - reader.rest().len()] })
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
    /// Adds a field. What is not a field of HTTP, or is too long for one, spoils the whole: it cannot be sent.
    pub fn push(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let put = || -> Result<(), TooLong> {
            if !is_name(name) || !is_value(value) {
                return Err(TooLong);
            }
            put_bytes16(&mut self.bytes, name.as_bytes())?;
            put_bytes16(&mut self.bytes, value)
        }();
        match (put, self.count.checked_add(1)) {
            (Ok(()), Some(count)) => self.count = count,
            _ => self.flaw = true,
        }
        self
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

/// Whether `value` holds nothing that ends a field.
pub(crate) fn is_value(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
