//! What runs a script, apart from names that could.
//!
//! libinjection judges by the names of tags and attributes. Here a tag must have something to run or to load,
//! a handler must have code, an address must be a script, and a style must be able to do more than style.

use memchr::memchr_iter;

use super::{
    Attribute, attribute_of, decode,
    tokens::{Context, Piece, Tokens},
};

/// Tags that show another document, or tell how addresses are resolved.
const FRAMES: &[&[u8]] =
    &[b"IFRAME", b"FRAME", b"OBJECT", b"EMBED", b"APPLET", b"BASE", b"LINK", b"VMLFRAME"];

/// What a style sheet loads or runs scripts with.
const STYLES: &[&[u8]] =
    &[b"expression(", b"javascript:", b"behavior:", b"-moz-binding", b"@import", b"vbscript:"];

/// Kinds of `data:` that show or play something and run nothing.
const MEDIA: &[&[u8]] = &[b"image/", b"audio/", b"video/", b"font/"];

/// The longest beginning of an address that says what it is.
const SCHEME_MAX: usize = 32;

/// Returns whether `input` runs something if it stands in `context`.
pub fn is_there(input: &[u8], context: Context) -> bool {
    let mut judge = Judge { input, tag: Tag::Other, name: b"" };
    Tokens::new(input, context).any(|piece| judge.is_convinced_by(piece))
}

/// The tag that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Script,
    Style,
    Frame,
    Meta,
    Other,
}

struct Judge<'a> {
    input: &'a [u8],
    tag: Tag,
    /// The attribute whose value comes next.
    name: &'a [u8],
}

impl<'a> Judge<'a> {
    fn is_convinced_by(&mut self, piece: Piece<'a>) -> bool {
        match piece {
            Piece::TagName(name) => self.tag = tag_of(name),
            Piece::AttributeName(name) => self.name = name,
            Piece::AttributeValue(value) => {
                let name = std::mem::take(&mut self.name);
                return self.is_dangerous_attribute(name, value);
            }
            Piece::TagEnd(content) => return self.is_dangerous_content(content),
            Piece::Doctype(text) => return declares_entities(text),
            Piece::Comment(text) => return is_dangerous_comment(text),
            Piece::Other => (),
        }
        false
    }

    fn is_dangerous_attribute(&self, name: &[u8], value: &[u8]) -> bool {
        match self.tag {
            Tag::Frame if !value.is_empty() => return true,
            Tag::Script if is_one_of(name, &[b"SRC", b"HREF", b"XLINK:HREF"]) => return true,
            Tag::Meta if is_one_of(name, &[b"HTTP-EQUIV"]) => {
                return !has_any(
                    value,
                    &[b"content-type", b"x-ua-compatible", b"content-language"],
                );
            }
            _ => (),
        }
        if is_handler(name) {
            return is_code(value);
        }
        match attribute_of(name) {
            _ if is_one_of(name, &[b"XLINK:HREF", b"DATA"]) => is_script(value),
            Attribute::Url => is_script(value),
            Attribute::Name => is_handler(value) || attribute_of(value) != Attribute::Harmless,
            Attribute::Dangerous if is_one_of(name, &[b"STYLE", b"FILTER"]) => {
                is_dangerous_style(value)
            }
            Attribute::Dangerous if begins(name, b"xmlns:") => {
                has_any(self.input, &[b":script", b":include"])
            }
            Attribute::Dangerous | Attribute::Harmless => false,
        }
    }

    fn is_dangerous_content(&self, content: &[u8]) -> bool {
        match self.tag {
            Tag::Script => is_code(content),
            Tag::Style => is_dangerous_style(content),
            Tag::Frame | Tag::Meta | Tag::Other => false,
        }
    }
}

fn tag_of(name: &[u8]) -> Tag {
    if is_one_of(name, &[b"SCRIPT"])
        || name
            .rsplit(|byte| *byte == b':')
            .next()
            .is_some_and(|name| is_one_of(name, &[b"SCRIPT"]))
    {
        Tag::Script
    } else if is_one_of(name, &[b"STYLE"]) {
        Tag::Style
    } else if is_one_of(name, &[b"META"]) {
        Tag::Meta
    } else if is_one_of(name, FRAMES) {
        Tag::Frame
    } else {
        Tag::Other
    }
}

/// Returns whether this is one of some names in upper case, but for zero bytes.
fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|known| super::is_word(known, name))
}

/// `onclick`, but not `oneway-trip`.
fn is_handler(name: &[u8]) -> bool {
    name.len() >= 5 && begins(name, b"on") && name.iter().all(u8::is_ascii_alphabetic)
}

/// Code calls or assigns, or hides that it does; words alone do nothing, nor does `{() => …}` in a template.
fn is_code(text: &[u8]) -> bool {
    let acts = |pair: &[u8]| match pair {
        [before, b'('] => before.is_ascii_alphanumeric() || b"_$)]/' \t\r\n".contains(before),
        [before, b'`'] => before.is_ascii_alphanumeric() || b"_$)]/".contains(before),
        [before, b'='] => before.is_ascii_alphanumeric() || b"_$]".contains(before),
        _ => false,
    };
    text.windows(2).any(acts) || text.iter().any(|byte| matches!(byte, b'&' | b'\\'))
}

fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Returns whether one of `words`, in lower case, is in `text`, whatever its case.
fn has_any(text: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| {
        let upper = memchr_iter(word[0].to_ascii_uppercase(), text);
        memchr_iter(word[0], text).chain(upper).any(|at| begins(&text[at..], word))
    })
}

/// Nobody needs to write letters of a style by their numbers.
fn is_dangerous_style(text: &[u8]) -> bool {
    let is_escape = |at: usize| {
        text[at + 1..]
            .first_chunk::<2>()
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_letter = |at: usize| matches!(decode(&text[at..]).0, 48..=57 | 65..=90 | 97..=122);
    has_any(text, STYLES)
        || memchr_iter(b'\\', text).any(is_escape)
        || memchr_iter(b'&', text).any(is_letter)
}

/// An entity can be a file of the server.
fn declares_entities(doctype: &[u8]) -> bool {
    doctype.contains(&b'[')
        || has_any(doctype, &[b"system"]) && !has_any(doctype, &[b"about:legacy-compat"])
}

fn is_dangerous_comment(text: &[u8]) -> bool {
    begins(text, b"entity")
        || begins(text, b"import")
        || begins(text, b"[if") && has_any(text, &[b"<script"])
}

/// Returns whether an address is a script: `javascript:`, or a document that can hold one.
fn is_script(value: &[u8]) -> bool {
    let mut start = [0; SCHEME_MAX];
    let length = decoded_start(value, &mut start);
    let start = &start[..length];
    match start.strip_prefix(b"data:") {
        Some(kind) => {
            !MEDIA.iter().any(|media| kind.starts_with(media)) || kind.starts_with(b"image/svg")
        }
        None => [&b"javascript:"[..], b"vbscript:", b"view-source:"]
            .iter()
            .any(|known| start.starts_with(known)),
    }
}

/// Writes how `value` begins once references are decoded, in lower case, without what browsers skip there.
fn decoded_start(mut value: &[u8], start: &mut [u8; SCHEME_MAX]) -> usize {
    let mut length = 0;
    while !value.is_empty() && length < SCHEME_MAX {
        let (character, consumed) = named(value).unwrap_or_else(|| decode(value));
        value = &value[consumed..];
        // Browsers skip controls and space at the beginning, and line ends and tabs everywhere.
        let is_skipped = character < 32 || length == 0 && !(33..127).contains(&character);
        if !is_skipped {
            start[length] = (character as u8).to_ascii_lowercase();
            length += 1;
        }
    }
    length
}

/// The references that addresses are hidden with.
fn named(text: &[u8]) -> Option<(u32, usize)> {
    const NAMES: &[(&[u8], u8)] =
        &[(b"&tab;", b'\t'), (b"&newline;", b'\n'), (b"&colon;", b':'), (b"&amp;", b'&')];
    let found = NAMES.iter().find(|(name, _)| begins(text, name));
    found.map(|(name, byte)| (u32::from(*byte), name.len()))
}
