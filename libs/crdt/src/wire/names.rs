//! Sorted names, each written as what it does not share with the one before.

use super::{Malformed, Reader, put_count};

/// Writes names one after the other.
#[derive(Default)]
pub(crate) struct NameWriter {
    last: Vec<u8>,
}

impl NameWriter {
    pub fn put(&mut self, out: &mut Vec<u8>, name: &str) {
        let name = name.as_bytes();
        let shared = self.last.iter().zip(name).take_while(|(a, b)| a == b).count();
        put_count(out, shared);
        put_count(out, name.len() - shared);
        out.extend_from_slice(&name[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&name[shared..]);
    }
}

/// Reads names one after the other.
pub(crate) struct NameReader {
    last: Vec<u8>,
    len_max: usize,
    what: &'static str,
}

impl NameReader {
    pub fn new(len_max: usize, what: &'static str) -> Self {
        NameReader { last: Vec::new(), len_max, what }
    }

    /// The next name, which must come after the one before unless this is a new list.
    pub fn read(&mut self, reader: &mut Reader<'_>, new_list: bool) -> Result<&str, Malformed> {
        let shared = reader.count(self.last.len(), "what names share")?;
        let rest = reader.count(self.len_max - shared.min(self.len_max), self.what)?;
        let rest = reader.take(rest)?;
        let next = self.last.get(shared);
        if next.is_some() && next == rest.first() {
            return Err(Malformed::NotCanonical("a name"));
        }
        let after = if next.is_some() { next < rest.first() } else { !rest.is_empty() };
        if !after && !new_list {
            return Err(Malformed::Invalid("names are not in order"));
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
        str::from_utf8(&self.last).map_err(|_| Malformed::Invalid("a name is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], count: usize) -> Result<Vec<String>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut names = NameReader::new(8, "a name");
        let read: Result<_, _> =
            (0..count).map(|_| names.read(&mut reader, false).map(str::to_owned)).collect();
        read.and_then(|names| reader.finish().map(|()| names))
    }

    #[test]
    fn names_share_their_beginnings() {
        let (mut writer, mut out) = (NameWriter::default(), Vec::new());
        ["note/1", "note/10", "note/2"].iter().for_each(|name| writer.put(&mut out, name));
        assert_eq!(out, b"\x00\x06note/1\x06\x010\x05\x012");
        assert_eq!(read(&out, 3).unwrap(), ["note/1", "note/10", "note/2"]);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], count: usize, expected: Malformed) {
        assert_eq!(read(bytes, count), Err(expected));
    }

    #[test]
    fn names_have_one_spelling() {
        check_refused(b"\x00\x01b\x00\x01a", 2, Malformed::Invalid("names are not in order"));
        check_refused(b"\x00\x01b\x01\x00", 2, Malformed::Invalid("names are not in order"));
        check_refused(b"\x00\x02ab\x00\x02ac", 2, Malformed::NotCanonical("a name"));
        check_refused(b"\x01\x01a", 1, Malformed::TooMuch("what names share"));
        check_refused(b"\x00\x09aaaaaaaaa", 1, Malformed::TooMuch("a name"));
        check_refused(b"\x00\x01\xff", 1, Malformed::Invalid("a name is not UTF-8"));
    }
}
