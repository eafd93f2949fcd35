//! Requests as records, so that programs in several languages replay the very same bytes.
//!
//! A file begins with [`MAGIC`]. A record is: kind (0 ordinary, 1 an attack), method, target, version, how many fields,
//! a name and a value for each, body. Numbers have 32 bits in little-endian order; a text is its length and its bytes.

use std::{
    fs, io,
    io::{BufWriter, Write},
    path::Path,
};

/// How a file of records begins.
pub const MAGIC: &[u8] = b"WAFREC1\n";

/// What a request is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody's everyday business.
    Ordinary,
    /// One that should be refused.
    Attack,
}

/// A request, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it is known to be.
    pub kind: Kind,
    /// The method.
    pub method: Vec<u8>,
    /// The target as it was sent.
    pub target: Vec<u8>,
    /// `HTTP/1.1` and the like.
    pub version: Vec<u8>,
    /// Names and values, in their order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Writes all of `requests` to a file.
pub fn write(path: &Path, requests: &[Request]) -> io::Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    out.write_all(MAGIC)?;
    requests.iter().try_for_each(|request| put(&mut out, request))?;
    out.flush()
}

/// Reads all requests of a file.
pub fn read(path: &Path) -> io::Result<Vec<Request>> {
    let bytes = fs::read(path)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, path.display().to_string());
    let mut rest = Rest(bytes.strip_prefix(MAGIC).ok_or_else(broken)?);
    let mut requests = Vec::new();
    while !rest.0.is_empty() {
        requests.push(rest.request().ok_or_else(broken)?);
    }
    Ok(requests)
}

fn put(out: &mut impl Write, request: &Request) -> io::Result<()> {
    let Request { kind, method, target, version, fields, body } = request;
    number(out, matches!(kind, Kind::Attack).into())?;
    [method, target, version].into_iter().try_for_each(|part| text(out, part))?;
    number(out, fields.len())?;
    for (name, value) in fields {
        text(out, name)?;
        text(out, value)?;
    }
    text(out, body)
}

fn text(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    number(out, bytes.len())?;
    out.write_all(bytes)
}

fn number(out: &mut impl Write, number: usize) -> io::Result<()> {
    let number = u32::try_from(number).map_err(io::Error::other)?;
    out.write_all(&number.to_le_bytes())
}

/// What of a file is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn request(&mut self) -> Option<Request> {
        let kind = if self.number()? == 0 { Kind::Ordinary } else { Kind::Attack };
        let (method, target, version) = (self.text()?, self.text()?, self.text()?);
        let count = self.number()?;
        let fields = (0..count).map(|_| Some((self.text()?, self.text()?)));
        let fields = fields.collect::<Option<_>>()?;
        Some(Request { kind, method, target, version, fields, body: self.text()? })
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text.to_vec())
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    }
}
