//! Bodies out of their content codings, within a bound.

use std::{borrow::Cow, io::Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Why a body stays encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodingFault {
    /// It has a coding other than one of gzip and deflate.
    Unknown,
    /// It is not what its coding says, or ends too early.
    Broken,
    /// It decodes to more than the bound, or to more than its own size times a hundred.
    Large,
}

/// Times that a body may grow.
const RATIO: u64 = 100;
/// Bytes that any body may decode to.
const FLOOR: u64 = 64 << 10;

/// What a `Content-Encoding` says: its codings, those aside that change nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings(Vec<String>);

impl Codings {
    /// Reads the lines of the field.
    pub(crate) fn read(lines: &[&[u8]]) -> Self {
        let lines = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
        let names = lines.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_lowercase());
        Self(names.filter(|name| !name.is_empty() && name != "identity").collect())
    }

    /// Whether there are none.
    pub(crate) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether [`decode`](Self::decode) knows them.
    pub(crate) fn is_known(&self) -> bool {
        self.is_identity() || self.coding().is_some()
    }

    /// Decodes a whole body to at most `size` bytes.
    pub(crate) fn decode<'b>(
        &self,
        body: &'b [u8],
        size: u64,
    ) -> Result<Cow<'b, [u8]>, CodingFault> {
        if self.is_identity() {
            return Ok(Cow::Borrowed(body));
        }
        let size = size.min(FLOOR.max(RATIO.saturating_mul(body.len() as u64)));
        let decoded = match self.coding() {
            Some(Coding::Gzip) => read(MultiGzDecoder::new(body), size)?,
            Some(Coding::Deflate) => {
                let mut decoder = ZlibDecoder::new(body);
                let decoded = read(&mut decoder, size)?;
                if decoder.total_in() != body.len() as u64 {
                    return Err(CodingFault::Broken);
                }
                decoded
            }
            None => return Err(CodingFault::Unknown),
        };
        Ok(Cow::Owned(decoded))
    }

    fn coding(&self) -> Option<Coding> {
        match self.0.as_slice() {
            [one] if one == "gzip" || one == "x-gzip" => Some(Coding::Gzip),
            [one] if one == "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Gzip,
    Deflate,
}

fn read(decoder: impl Read, size: u64) -> Result<Vec<u8>, CodingFault> {
    let mut decoded = Vec::new();
    let read = decoder.take(size.saturating_add(1)).read_to_end(&mut decoded);
    match read {
        Ok(read) if read as u64 > size => Err(CodingFault::Large),
        Ok(_) => Ok(decoded),
        Err(_) => Err(CodingFault::Broken),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(lines: &[&str], body: &[u8], expected: Result<&[u8], CodingFault>) {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let decoded = Codings::read(&lines).decode(body, 1 << 20);
        assert_eq!(decoded.as_deref().map_err(|fault| *fault), expected);
    }

    #[test]
    fn what_is_decoded() {
        check(&[], b"{}", Ok(b"{}"));
        check(&["", "identity"], b"{}", Ok(b"{}"));
        check(&["GZIP"], &gzip(b"{}"), Ok(b"{}"));
        check(&["x-gzip, identity"], &[gzip(b"[1"), gzip(b"]")].concat(), Ok(b"[1]"));
        check(&["deflate"], &zlib(b"{}"), Ok(b"{}"));
    }

    #[test]
    fn what_is_not() {
        check(&["br"], b"{}", Err(CodingFault::Unknown));
        check(&["gzip", "gzip"], &gzip(&gzip(b"{}")), Err(CodingFault::Unknown));
        check(&["gzip"], b"{}", Err(CodingFault::Broken));
        check(&["gzip"], b"", Err(CodingFault::Broken));
        check(&["gzip"], &gzip(b"{\"a\": 1}")[..12], Err(CodingFault::Broken));
        check(&["gzip"], &[&gzip(b"{}")[..], b"more"].concat(), Err(CodingFault::Broken));
        check(&["deflate"], &[&zlib(b"{}")[..], b"more"].concat(), Err(CodingFault::Broken));
        check(&["deflate"], &zlib(b"{\"a\": 1}")[..6], Err(CodingFault::Broken));
    }

    #[test]
    fn bombs() {
        check(&["gzip"], &gzip(&vec![b' '; (1 << 20) + 1]), Err(CodingFault::Large));
        check(&["deflate"], &zlib(&vec![b' '; 512 << 10]), Err(CodingFault::Large));
        let fits = vec![b' '; 60 << 10];
        check(&["gzip"], &gzip(&fits), Ok(&fits));
    }
}
