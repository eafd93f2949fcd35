//! Whether a browser might run a script out of a value.

mod evidence;
mod tokens;

use self::tokens::{Context, Piece, Tokens};

/// Tags that load or run something, or hide what does.
const TAGS: &[&[u8]] = &[
    b"APPLET",
    b"BASE",
    b"COMMENT",
    b"EMBED",
    b"FRAME",
    b"FRAMESET",
    b"HANDLER",
    b"IFRAME",
    b"IMPORT",
    b"ISINDEX",
    b"LINK",
    b"LISTENER",
    b"META",
    b"NOSCRIPT",
    b"OBJECT",
    b"SCRIPT",
    b"STYLE",
    b"VMLFRAME",
    b"XML",
    b"XSS",
];

/// Attributes by what their values can do.
const ATTRIBUTES: &[(&[u8], Attribute)] = &[
    (b"ACTION", Attribute::Url),
    (b"ATTRIBUTENAME", Attribute::Name),
    (b"BY", Attribute::Url),
    (b"BACKGROUND", Attribute::Url),
    (b"DATAFORMATAS", Attribute::Dangerous),
    (b"DATASRC", Attribute::Dangerous),
    (b"DYNSRC", Attribute::Url),
    (b"FILTER", Attribute::Dangerous),
    (b"FORMACTION", Attribute::Url),
    (b"FOLDER", Attribute::Url),
    (b"FROM", Attribute::Url),
    (b"HANDLER", Attribute::Url),
    (b"HREF", Attribute::Url),
    (b"LOWSRC", Attribute::Url),
    (b"POSTER", Attribute::Url),
    (b"SRC", Attribute::Url),
    (b"STYLE", Attribute::Dangerous),
    (b"TO", Attribute::Url),
    (b"VALUES", Attribute::Url),
    (b"XLINK:HREF", Attribute::Url),
];

/// How addresses that run scripts begin.
const URLS: &[&[u8]] = &[b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];

/// Where a value may stand in a page.
const CONTEXTS: &[Context] = &[
    Context::Text,
    Context::Tag,
    Context::Value(b'\''),
    Context::Value(b'"'),
    Context::Value(b'`'),
];

/// What the value of an attribute can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Harmless,
    /// Whatever it is, it is too much.
    Dangerous,
    /// Run a script if it is a certain kind of address.
    Url,
    /// Name an attribute.
    Name,
}

/// Returns whether `input` is dangerous wherever it may stand.
pub fn detect(input: &[u8]) -> bool {
    CONTEXTS.iter().any(|context| is_dangerous(input, *context))
}

/// Returns whether `input` has something to run wherever it may stand.
pub fn detect_evident(input: &[u8]) -> bool {
    CONTEXTS.iter().any(|context| evidence::is_there(input, *context))
}

fn is_dangerous(input: &[u8], context: Context) -> bool {
    let mut attribute = Attribute::Harmless;
    for piece in Tokens::new(input, context) {
        let before = std::mem::replace(&mut attribute, Attribute::Harmless);
        let dangerous = match piece {
            Piece::Doctype(_) => true,
            Piece::TagName(name) => is_dangerous_tag(name),
            Piece::Comment(text) => is_dangerous_comment(text),
            Piece::AttributeValue(value) => match before {
                Attribute::Harmless => false,
                Attribute::Dangerous => true,
                Attribute::Url => is_dangerous_url(value),
                Attribute::Name => attribute_of(value) != Attribute::Harmless,
            },
            Piece::AttributeName(name) => {
                attribute = attribute_of(name);
                false
            }
            Piece::TagEnd(_) | Piece::Other => false,
        };
        if dangerous {
            return true;
        }
    }
    false
}

fn is_dangerous_tag(name: &[u8]) -> bool {
    let Some(start) = name.first_chunk::<3>() else { return false };
    TAGS.iter().any(|tag| is_word(tag, name))
        || start.eq_ignore_ascii_case(b"SVG")
        || start.eq_ignore_ascii_case(b"XSL")
}

fn attribute_of(name: &[u8]) -> Attribute {
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    if let Some(start) = name.first_chunk::<5>()
        && (start[..2].eq_ignore_ascii_case(b"ON")
            || is_word(b"XMLNS", start)
            || is_word(b"XLINK", start))
    {
        return Attribute::Dangerous;
    }
    let known = ATTRIBUTES.iter().find(|(known, _)| is_word(known, name));
    known.map_or(Attribute::Harmless, |(_, attribute)| *attribute)
}

/// Internet Explorer closes comments by `` ` ``, and runs conditional ones and its own `<?import`.
fn is_dangerous_comment(text: &[u8]) -> bool {
    let begins = |length: usize, word: &[u8]| {
        text.len() > length && text[..word.len()].eq_ignore_ascii_case(word)
    };
    memchr::memchr(b'`', text).is_some()
        || begins(3, b"[IF")
        || begins(3, b"XML")
        || begins(5, b"IMPORT")
        || begins(5, b"ENTITY")
}

/// Returns whether `text` is `word` whatever its case, but for zero bytes.
fn is_word(word: &[u8], text: &[u8]) -> bool {
    let mut rest = word;
    for byte in text.iter().filter(|byte| **byte != 0) {
        match rest.split_first() {
            Some((first, behind)) if byte.to_ascii_uppercase() == *first => rest = behind,
            _ => return false,
        }
    }
    rest.is_empty()
}

fn is_dangerous_url(value: &[u8]) -> bool {
    let skipped = value.iter().take_while(|byte| !matches!(byte, 33..=126)).count();
    URLS.iter().any(|scheme| begins_decoded(&value[skipped..], scheme))
}

/// Returns whether `text`, once references are decoded, begins with `word`, but for leading controls,
/// zeros and line feeds.
fn begins_decoded(mut text: &[u8], mut word: &[u8]) -> bool {
    let mut is_leading = true;
    while let ([_, ..], [first, behind @ ..]) = (text, word) {
        let (character, consumed) = decode(text);
        text = &text[consumed..];
        if is_leading && character <= 32 {
            continue;
        }
        is_leading = false;
        if matches!(character, 0 | 10) {
            continue;
        }
        // Only the low byte counts, so that `&#x14A;` is a J.
        let upper = if (97..=122).contains(&character) { character - 32 } else { character };
        if upper as u8 != *first {
            return false;
        }
        word = behind;
    }
    word.is_empty()
}

/// The largest number that a reference may have, as libinjection bounds it.
const REFERENCE_MAX: u32 = 0x10_00FF;

/// Returns the first character of a text that is not empty, or the one that a numeric reference there
/// names, and how many bytes it takes.
fn decode(text: &[u8]) -> (u32, usize) {
    let (radix, start) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        _ => return (u32::from(text[0]), 1),
    };
    let mut value = 0;
    let mut at = start;
    while let Some(digit) = text.get(at).and_then(|byte| char::from(*byte).to_digit(radix)) {
        value = value * radix + digit;
        if value > REFERENCE_MAX {
            return (u32::from(b'&'), 1);
        }
        at += 1;
    }
    if at == start {
        return (u32::from(b'&'), 1);
    }
    (value, at + usize::from(text.get(at) == Some(&b';')))
}
