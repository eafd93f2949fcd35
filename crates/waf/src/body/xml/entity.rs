use memchr::{memchr, memchr2};

/// Where, in a text, the first entities are that were not replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// One that has to be declared.
    pub(super) unknown: Option<usize>,
    /// An ampersand that begins none.
    pub(super) malformed: Option<usize>,
}

/// Longer names are not looked for.
const REFERENCE_BYTES_MAX: usize = 32;

/// Where a text is in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between tags.
    Content,
    /// In a section in which an ampersand is one.
    CharacterData,
    /// In quotes; each white space is a space there.
    Attribute,
}

impl Place {
    /// Finds the first byte that does not stand for itself.
    fn find_change(self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Content => memchr2(b'&', b'\r', text),
            Self::CharacterData => memchr(b'\r', text),
            Self::Attribute => text.iter().position(|byte| b"&\r\n\t".contains(byte)),
        }
    }
}

/// Returns whether there is nothing to decode in a value.
pub(super) fn is_plain(value: &[u8]) -> bool {
    Place::Attribute.find_change(value).is_none()
}

/// Appends `raw` to `out`, with the five entities and numbers replaced; others stand as written. Ends of
/// lines are made one (XML 1.0, sections 2.11 and 3.3.3).
pub(super) fn decode(raw: &[u8], place: Place, out: &mut Vec<u8>) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(length) = place.find_change(&raw[at..]) {
        out.extend_from_slice(&raw[at..at + length]);
        at += length;
        let (byte, tail) = (raw[at], &raw[at + 1..]);
        at += 1;
        if byte != b'&' {
            at += usize::from(byte == b'\r' && tail.first() == Some(&b'\n'));
            out.push(if place == Place::Attribute { b' ' } else { b'\n' });
            continue;
        }
        match reference(tail) {
            Some((Reference::Character(character), length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            Some((Reference::Unknown, _)) => found.unknown = found.unknown.or(Some(at - 1)),
            None => found.malformed = found.malformed.or(Some(at - 1)),
        }
        out.push(b'&');
    }
    out.extend_from_slice(&raw[at..]);
    found
}

enum Reference {
    Character(char),
    Unknown,
}

/// Reads what is behind an ampersand, and returns it and its length.
fn reference(text: &[u8]) -> Option<(Reference, usize)> {
    let end = memchr(b';', &text[..text.len().min(REFERENCE_BYTES_MAX)])?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix('#') {
            Some(number) => numbered(number)?,
            None => return is_name(name).then_some((Reference::Unknown, end + 1)),
        },
    };
    Some((Reference::Character(character), end + 1))
}

fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let is_plain = digits.chars().all(|digit| digit.is_digit(radix));
    if is_plain { char::from_u32(u32::from_str_radix(digits, radix).ok()?) } else { None }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(super::is_name_start) && bytes.all(super::is_name_byte)
}
