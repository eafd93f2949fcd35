use encoding_rs::{CoderResult, Encoding};

mod ebcdic;
mod utf7;

/// What became of a text in another charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// It reads as it stands: UTF-8, ASCII, Latin-1, or nothing was said and nothing speaks against it.
    Plain,
    /// It was decoded from this charset.
    Decoded {
        /// The charset.
        name: &'static str,
        /// Some bytes stood for no character; U+FFFD is in their place.
        has_errors: bool,
    },
    /// Nobody here knows the charset that was said.
    Unknown,
}

/// Makes UTF-8 of a body in another charset, into `out`, which it clears first.
///
/// A byte order mark is believed first, then the charset that the content type says, then an XML
/// declaration; where nothing is said, a text with every other byte null is UTF-16, as readers of
/// JSON have it. UTF-7 and EBCDIC are decoded because servers do, and nobody who means well sends them.
///
/// Many servers do not care for what is declared: who lets a body in another charset pass at all judges
/// it as it stands, too, or a declaration hides it.
pub fn decode_charset(input: &[u8], declared: Option<&[u8]>, out: &mut Vec<u8>) -> Charset {
    out.clear();
    let label = declared.map(<[u8]>::trim_ascii).filter(|label| !label.is_empty());
    let coding = match (by_mark(input), label) {
        (Some(coding), _) => coding,
        (None, Some(label)) => match by_label(label) {
            Some(coding) => coding,
            None => return Charset::Unknown,
        },
        (None, None) => match xml_label(input) {
            Some(label) => by_label(label).unwrap_or(Coding::Plain),
            None => by_nulls(input),
        },
    };
    coding.decode(input, out)
}

/// How characters are written.
#[derive(Clone, Copy)]
enum Coding {
    Plain,
    Standard(&'static Encoding),
    Utf7,
    Utf32 { is_big: bool },
    Table { name: &'static str, table: &'static [u16; 256] },
}

impl Coding {
    fn decode(self, input: &[u8], out: &mut Vec<u8>) -> Charset {
        let (name, has_errors) = match self {
            Self::Plain => return Charset::Plain,
            Self::Standard(encoding) => (encoding.name(), decode_standard(encoding, input, out)),
            Self::Utf7 => ("UTF-7", utf7::decode(input, out)),
            Self::Utf32 { is_big } => ("UTF-32", decode_utf32(is_big, input, out)),
            Self::Table { name, table } => (name, decode_table(table, input, out)),
        };
        Charset::Decoded { name, has_errors }
    }
}

fn by_mark(input: &[u8]) -> Option<Coding> {
    match input {
        [0xEF, 0xBB, 0xBF, ..] => Some(Coding::Plain),
        [0xFF, 0xFE, 0, 0, ..] => Some(Coding::Utf32 { is_big: false }),
        [0, 0, 0xFE, 0xFF, ..] => Some(Coding::Utf32 { is_big: true }),
        [0xFF, 0xFE, ..] => Some(Coding::Standard(encoding_rs::UTF_16LE)),
        [0xFE, 0xFF, ..] => Some(Coding::Standard(encoding_rs::UTF_16BE)),
        _ => None,
    }
}

/// Labels that the Encoding Standard does not know, because no browser should.
const OTHER_LABELS: &[(&[&str], Coding)] = &[
    (&["utf-7", "utf7", "unicode-1-1-utf-7", "csutf7"], Coding::Utf7),
    (&["utf-32", "utf-32be", "utf32"], Coding::Utf32 { is_big: true }),
    (&["utf-32le"], Coding::Utf32 { is_big: false }),
    (
        &["ibm037", "ibm-037", "cp037", "037", "csibm037", "ebcdic-cp-us", "ibm1140", "cp1140"],
        Coding::Table { name: "IBM037", table: &ebcdic::IBM037 },
    ),
    (
        &["ibm500", "ibm-500", "cp500", "500", "csibm500", "ebcdic-cp-be", "ebcdic-cp-ch"],
        Coding::Table { name: "IBM500", table: &ebcdic::IBM500 },
    ),
    (
        &["ibm875", "ibm-875", "cp875", "x-ibm875"],
        Coding::Table { name: "IBM875", table: &ebcdic::IBM875 },
    ),
    (
        &["ibm1026", "ibm-1026", "cp1026", "1026", "ibm01026", "csibm1026"],
        Coding::Table { name: "IBM1026", table: &ebcdic::IBM1026 },
    ),
];

fn by_label(label: &[u8]) -> Option<Coding> {
    for (labels, coding) in OTHER_LABELS {
        if labels.iter().any(|known| label.eq_ignore_ascii_case(known.as_bytes())) {
            return Some(*coding);
        }
    }
    // "utf-16" without a mark is big-endian to Java and little-endian to browsers; browsers are many more.
    let encoding = Encoding::for_label(label)?;
    let is_latin = label.eq_ignore_ascii_case(b"us-ascii")
        || label.eq_ignore_ascii_case(b"ascii")
        || label.eq_ignore_ascii_case(b"latin1")
        || label.eq_ignore_ascii_case(b"iso-8859-1");
    let is_plain = encoding == encoding_rs::UTF_8 || is_latin;
    if encoding == encoding_rs::REPLACEMENT {
        return None;
    }
    Some(if is_plain { Coding::Plain } else { Coding::Standard(encoding) })
}

/// How much of a text an XML declaration is looked for in.
const DECLARATION_BYTES_MAX: usize = 128;

/// Returns the charset that an XML declaration names.
fn xml_label(input: &[u8]) -> Option<&[u8]> {
    let text = input.strip_prefix(b"<?xml")?;
    let text = &text[..text.len().min(DECLARATION_BYTES_MAX)];
    let text = &text[..memchr::memmem::find(text, b"?>")?];
    let text = &text[memchr::memmem::find(text, b"encoding")? + b"encoding".len()..];
    let text = text.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, text) = text.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    Some(&text[..memchr::memchr(*quote, text)?])
}

fn by_nulls(input: &[u8]) -> Coding {
    let nulls = input.get(..4).map(|start| [0, 1, 2, 3].map(|at| start[at] == 0));
    match nulls {
        Some([true, false, true, false]) => Coding::Standard(encoding_rs::UTF_16BE),
        Some([false, true, false, true]) => Coding::Standard(encoding_rs::UTF_16LE),
        Some([true, true, true, false]) => Coding::Utf32 { is_big: true },
        Some([false, true, true, true]) => Coding::Utf32 { is_big: false },
        _ => Coding::Plain,
    }
}

fn decode_standard(encoding: &'static Encoding, input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut decoder = encoding.new_decoder();
    let Some(length) = decoder.max_utf8_buffer_length(input.len()) else { return true };
    out.resize(length, 0);
    let (result, _, written, has_errors) = decoder.decode_to_utf8(input, out, true);
    out.truncate(written);
    has_errors || result == CoderResult::OutputFull
}

fn decode_utf32(is_big: bool, input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut has_errors = false;
    for unit in input.chunks(4) {
        let number = match <[u8; 4]>::try_from(unit) {
            Ok(bytes) if is_big => u32::from_be_bytes(bytes),
            Ok(bytes) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX,
        };
        match char::from_u32(number) {
            Some('\u{FEFF}') if out.is_empty() => {}
            found => has_errors |= push(found, out),
        }
    }
    has_errors
}

fn decode_table(table: &[u16; 256], input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut has_errors = false;
    for byte in input {
        has_errors |= push(char::from_u32(table[usize::from(*byte)].into()), out);
    }
    has_errors
}

/// Appends a character, or what stands for none; returns whether it was none.
fn push(character: Option<char>, out: &mut Vec<u8>) -> bool {
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    character == char::REPLACEMENT_CHARACTER
}
