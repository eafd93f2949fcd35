use memchr::memchr;

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

/// Appends `raw` to `out`, with the five entities and numbers replaced; others stand as written.
pub(super) fn decode(raw: &[u8], out: &mut Vec<u8>) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(length) = memchr(b'&', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + length]);
        at += length;
        match reference(&raw[at + 1..]) {
            Some((Reference::Character(character), length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += 1 + length;
                continue;
            }
            Some((Reference::Unknown, _)) => found.unknown = found.unknown.or(Some(at)),
            None => found.malformed = found.malformed.or(Some(at)),
        }
        out.push(b'&');
        at += 1;
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
