use std::borrow::Cow;

use crate::{Rejection, request::reject};

/// A piece of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes this span names in `bytes`, the buffer it was made for.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it names no bytes.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header field: name, value without the white space around it, and what we know it as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where the name is.
    pub name: Span,
    /// Where the value is.
    pub value: Span,
    /// Which of the names we treat specially it is.
    pub known: Known,
}

macro_rules! known {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Field names that a proxy treats specially; all others are [`Known::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// A name without special treatment.
            Other,
        }

        impl Known {
            /// Recognises a field name in any case.
            pub fn of(name: &[u8]) -> Self {
                const NAMES: &[(&[u8], Known)] = &[$(($text.as_bytes(), Known::$variant)),*];
                const TABLE: [u8; SLOTS] = table(NAMES);
                if name.is_empty() {
                    return Self::Other;
                }
                match NAMES.get(usize::from(TABLE[slot(name)])) {
                    // Most names come in lower case, and to see that takes one comparison.
                    Some((text, known)) if *text == name || text.eq_ignore_ascii_case(name) => {
                        *known
                    }
                    _ => Self::Other,
                }
            }

            /// The name in lower case; empty for [`Known::Other`].
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

known! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Etag = "etag",
    Expect = "expect",
    Forwarded = "forwarded",
    Host = "host",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
}

/// Slots of the table of known names; a power of two.
const SLOTS: usize = 1024;

/// Where a name stands in the table: no two known names share a place, in any case.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let last = (name[length - 1] | 0x20) as usize;
    (length * 71 + first * 31 + middle * 211 + last * 7) & (SLOTS - 1)
}

/// For each slot the index of its name, or one beyond them all.
const fn table(names: &[(&[u8], Known)]) -> [u8; SLOTS] {
    let mut table = [u8::MAX; SLOTS];
    let mut i = 0;
    while i < names.len() {
        let slot = slot(names[i].0);
        assert!(table[slot] == u8::MAX, "two names share a slot: change the factors in `slot`");
        table[slot] = i as u8;
        i += 1;
    }
    table
}

impl Known {
    /// Whether the field belongs to one connection and is never passed on (RFC 9110 §7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// Header fields in the order received, over bytes of their own.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    list: Vec<Field>,
}

impl Fields {
    /// None yet, with room for so many bytes of so many fields.
    pub(crate) fn with_capacity(bytes: usize, count: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), list: Vec::with_capacity(count) }
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Known)> {
        self.list
            .iter()
            .map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes), field.known))
    }

    /// Values of a known field, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.list
            .iter()
            .filter(move |field| field.known == known)
            .map(|field| field.value.of(&self.bytes))
    }

    /// First value of a known field.
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// Value of a known list field: its lines in order, joined by commas (RFC 9110 §5.3).
    pub fn joined(&self, known: Known) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.all(known);
        let first = lines.next()?;
        let Some(second) = lines.next() else { return Some(Cow::Borrowed(first)) };
        let all: Vec<&[u8]> = [first, second].into_iter().chain(lines).collect();
        Some(Cow::Owned(all.join(&b", "[..])))
    }

    /// Values of a field by its name in any case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(|(n, _, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value, _)| value)
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one more field. The caller vouches that name and value are valid.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let middle = start + name.len();
        self.list.push(Field {
            name: Span::new(start, middle),
            value: Span::new(middle, self.bytes.len()),
            known: Known::of(name),
        });
    }

    /// Removes every field of this name, in any case.
    pub fn remove(&mut self, name: &str) {
        let bytes = &self.bytes;
        self.list.retain(|field| !field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Removes every field of this known name.
    pub fn remove_known(&mut self, known: Known) {
        self.list.retain(|field| field.known != known);
    }

    /// Adds one more field whose value stands in these bytes already.
    pub(crate) fn push_span(&mut self, name: &[u8], value: Span) {
        let name_span = self.append_bytes(name);
        self.list.push(Field { name: name_span, value, known: Known::of(name) });
    }

    /// Removes every field whose name is one of those at `names` in these bytes, in any case.
    pub(crate) fn remove_named_at(&mut self, names: &[Span]) {
        let bytes = &self.bytes;
        self.list.retain(|field| {
            let name = field.name.of(bytes);
            !names.iter().any(|other| other.of(bytes).eq_ignore_ascii_case(name))
        });
    }

    /// Removes the fields that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8], Known) -> bool) {
        let bytes = &self.bytes;
        self.list.retain(|field| keep(field.name.of(bytes), field.value.of(bytes), field.known));
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn list(&self) -> &[Field] {
        &self.list
    }

    /// Parses the field lines from `start` on, and takes over all bytes up to their end. Otherwise
    /// there is no field: those found so far would name bytes that were not taken over.
    pub(crate) fn take_block(
        &mut self,
        bytes: &[u8],
        start: usize,
        count_max: usize,
    ) -> Result<Block, Rejection> {
        let block = parse_block(bytes, start, count_max, &mut self.list);
        match block {
            Ok(Block::End(end)) => {
                self.bytes.clear();
                self.bytes.extend_from_slice(&bytes[..end]);
            }
            Ok(Block::Partial) | Err(_) => self.list.clear(),
        }
        block
    }

    pub(crate) fn append_bytes(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }
}

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;

/// What each byte may be part of: a token, a field value, a request target.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let tchar = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let graphic = b > b' ' && b < 0x7f;
        let mut class = 0;
        if tchar {
            class |= TOKEN;
        }
        if graphic || b == b' ' || b == b'\t' || b >= 0x80 {
            class |= VALUE;
        }
        if graphic && b != b'#' {
            class |= TARGET;
        }
        table[i] = class;
        i += 1;
    }
    table
};

pub(crate) fn is_target_byte(byte: u8) -> bool {
    CLASS[byte as usize] & TARGET != 0
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2): a valid method or field name.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// Whether `bytes` may stand as a field value (RFC 9110 §5.5): no control bytes but tab.
pub fn is_field_value(bytes: &[u8]) -> bool {
    value_len(bytes) == bytes.len()
}

pub(crate) fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| CLASS[b as usize] & TOKEN == 0).unwrap_or(bytes.len())
}

/// Length of the longest prefix that is a field value. Eight bytes at a time while nothing is odd.
fn value_len(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x2020_2020_2020_2020;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the slice is eight bytes long"));
        let below = word.wrapping_sub(LOW) & !word & HIGH;
        let delete = (word ^ 0x7f7f_7f7f_7f7f_7f7f).wrapping_sub(ONES)
            & !(word ^ 0x7f7f_7f7f_7f7f_7f7f)
            & HIGH;
        if below | delete != 0 {
            break;
        }
        at += 8;
    }
    at + bytes[at..]
        .iter()
        .position(|&b| CLASS[b as usize] & VALUE == 0)
        .unwrap_or(bytes.len() - at)
}

/// How far a block of field lines was read.
pub(crate) enum Block {
    /// The empty line was read; the block ends before this offset.
    End(usize),
    /// The bytes so far are fine and not the whole block.
    Partial,
}

/// Reads field lines from `start` until the empty line, strictly (RFC 9112 §5): CRLF only, no white
/// space before the colon, no folding, no control bytes.
fn parse_block(
    bytes: &[u8],
    start: usize,
    count_max: usize,
    list: &mut Vec<Field>,
) -> Result<Block, Rejection> {
    let mut at = start;
    loop {
        match bytes.get(at) {
            None => return Ok(Block::Partial),
            Some(b'\r') => {
                return match bytes.get(at + 1) {
                    None => Ok(Block::Partial),
                    Some(b'\n') => Ok(Block::End(at + 2)),
                    Some(_) => Err(reject(400, "head-gate/bare-cr", at)),
                };
            }
            Some(b'\n') => return Err(reject(400, "head-gate/bare-lf", at)),
            Some(b' ' | b'\t') => return Err(reject(400, "head-gate/obs-fold", at)),
            Some(_) => {}
        }
        if list.len() == count_max {
            return Err(reject(431, "limit/head-fields", at));
        }
        let Some((field, next)) = parse_line(bytes, at)? else { return Ok(Block::Partial) };
        list.push(field);
        at = next;
    }
}

fn parse_line(bytes: &[u8], start: usize) -> Result<Option<(Field, usize)>, Rejection> {
    let colon = start + token_len(&bytes[start..]);
    match bytes.get(colon) {
        None => return Ok(None),
        Some(b':') if colon > start => {}
        Some(b':') => return Err(reject(400, "head-gate/empty-name", colon)),
        Some(b' ' | b'\t') => return Err(reject(400, "head-gate/space-before-colon", colon)),
        Some(b'\r' | b'\n') => return Err(reject(400, "head-gate/no-colon", colon)),
        Some(_) => return Err(reject(400, "head-gate/name-byte", colon)),
    }
    let mut from = colon + 1;
    while matches!(bytes.get(from), Some(b' ' | b'\t')) {
        from += 1;
    }
    let end = from + value_len(&bytes[from..]);
    match (bytes.get(end), bytes.get(end + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), _) => return Err(reject(400, "head-gate/bare-cr", end)),
        (Some(b'\n'), _) => return Err(reject(400, "head-gate/bare-lf", end)),
        (Some(_), _) => return Err(reject(400, "head-gate/value-byte", end)),
    }
    let mut to = end;
    while to > from && matches!(bytes[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    let name = Span::new(start, colon);
    let field = Field { name, value: Span::new(from, to), known: Known::of(name.of(bytes)) };
    Ok(Some((field, end + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for name in [
            "Host",
            "CONTENT-LENGTH",
            "x-forwarded-for",
            "Te",
            "if-unmodified-since",
            "User-Agent",
            "etag",
            "vary",
        ] {
            assert_eq!(Known::of(name.as_bytes()).as_str(), name.to_ascii_lowercase());
        }
        assert_eq!(Known::of(b"hosts"), Known::Other);
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn value_scan_stops_at_the_first_control_byte() {
        let mut bytes = vec![b'a'; 40];
        for at in 0..40 {
            for bad in [0u8, 7, b'\r', b'\n', 0x1f, 0x7f] {
                bytes[at] = bad;
                assert_eq!(value_len(&bytes), at, "{bad} at {at}");
            }
            for good in [b'\t', b' ', b'~', 0x80, 0xff] {
                bytes[at] = good;
                assert_eq!(value_len(&bytes), 40, "{good} at {at}");
            }
            bytes[at] = b'a';
        }
    }
}
