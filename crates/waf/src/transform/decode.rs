//! What a value stands for once everything between an attacker and a parser has decoded it.

use std::ops::Range;

use memchr::memchr3;

use super::{
    best_fit::look_alike,
    hex,
    rewrite::{change_in_place, is_one_of, position, run},
    unicode,
};

/// How often a value is decoded anew: nothing in the wild nests deeper, and each round costs a pass.
const ROUNDS_MAX: usize = 3;

/// Decodes percent (`+` stays: whoever decodes forms has), overlong UTF-8 and full-width forms, HTML entities,
/// JavaScript and JSON escapes, until nothing changes; removes nulls; lower case.
///
/// Text that only looks encoded stays: a path on Windows (`\users`), LaTeX (`\u{o}`), a back-reference (`\1`), `&lt=`.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let changes = |byte: u8| byte.is_ascii_uppercase() | leads(byte);
    position(input, changes).is_some() && change_in_place(input, out, decode_in_place)
}

/// Whether something that is decoded may begin with `byte`.
fn leads(byte: u8) -> bool {
    is_one_of(byte, *b"%&\\") | leads_fold(byte)
}

fn leads_fold(byte: u8) -> bool {
    is_one_of(byte, [0, 0xc0, 0xc1, 0xe0, 0xef, 0xf0])
}

/// Returns how long the value is now.
fn decode_in_place(value: &mut [u8]) -> usize {
    let mut len = value.len();
    for _ in 0..ROUNDS_MAX {
        let before = len;
        len = rewrite_in_place(&mut value[..len], |text| memchr3(b'%', b'&', b'\\', text), escape);
        len = rewrite_in_place(&mut value[..len], |text| position(text, leads_fold), fold);
        if len == before {
            break;
        }
    }
    // Only now, for case tells `\x41` from `\X41`.
    value[..len].make_ascii_lowercase();
    len
}

/// What the first `len` bytes of a text stand for: something shorter.
struct Meaning {
    bytes: [u8; 4],
    bytes_len: usize,
    len: usize,
}

impl Meaning {
    fn nothing(len: usize) -> Self {
        Self { bytes: [0; 4], bytes_len: 0, len }
    }

    fn byte(byte: u8, len: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], bytes_len: 1, len }
    }

    fn character(code: i64, len: usize) -> Option<Self> {
        let mut bytes = [0; 4];
        let character = u32::try_from(code).ok().and_then(char::from_u32)?;
        let bytes_len = character.encode_utf8(&mut bytes).len();
        Some(Self { bytes, bytes_len, len })
    }
}

/// Puts meanings in the place of what they are written as; returns how long the value is now.
fn rewrite_in_place(
    value: &mut [u8],
    find: impl Fn(&[u8]) -> Option<usize>,
    meaning: impl Fn(&[u8]) -> Option<Meaning>,
) -> usize {
    let (mut read, mut write) = (0, 0);
    while let Some(at) = find(&value[read..]).map(|next| read + next) {
        write = shift(value, read..at, write);
        read = match meaning(&value[at..]) {
            Some(Meaning { bytes, bytes_len, len }) => {
                value[write..write + bytes_len].copy_from_slice(&bytes[..bytes_len]);
                write += bytes_len;
                at + len
            }
            None => {
                write = shift(value, at..at + 1, write);
                at + 1
            }
        };
    }
    shift(value, read..value.len(), write)
}

/// Moves a part of a value to an earlier place; returns where it ends there.
fn shift(value: &mut [u8], part: Range<usize>, to: usize) -> usize {
    let end = to + part.len();
    if part.start > to {
        value.copy_within(part, to);
    }
    end
}

fn escape(text: &[u8]) -> Option<Meaning> {
    match text[0] {
        b'%' => percent(&text[1..]),
        b'&' => entity(&text[1..]),
        _ => backslash(&text[1..]),
    }
}

/// `%HH`, `%uHHHH`: the latter is known to servers only that look for ASCII which is like it.
fn percent(text: &[u8]) -> Option<Meaning> {
    match text {
        [b'u' | b'U', a, b, c, d, ..] => {
            let code = hex::quad([*a, *b, *c, *d])?;
            Meaning::character(look_alike(code).map_or(code.into(), i64::from), 6)
        }
        [high, low, ..] => hex::pair(*high, *low).map(|byte| Meaning::byte(byte, 3)),
        _ => None,
    }
}

/// `\xHH`, `\uHHHH`, `\u{HH}`, `\OOO`.
fn backslash(text: &[u8]) -> Option<Meaning> {
    match text {
        [b'x', high, low, ..] => hex::pair(*high, *low).map(|byte| Meaning::byte(byte, 4)),
        [b'u', b'{', text @ ..] => braced(text),
        [b'u', a, b, c, d, ..] => Meaning::character(hex::quad([*a, *b, *c, *d])?.into(), 6),
        [b'0' | b'1', ..] => octal(text),
        _ => None,
    }
}

/// Digits up to `}`; a single one is a letter with an accent in LaTeX, and no printable character.
fn braced(text: &[u8]) -> Option<Meaning> {
    let zeros = run(text, |byte| byte == b'0');
    let (code, digits) = hex::number(&text[zeros..], 16);
    let len = zeros + digits;
    let whole = len >= 2 && text.get(len) == Some(&b'}');
    Meaning::character(code.filter(|_| whole)?, 4 + len)
}

/// Three digits and no fourth, so that a back-reference or a year is none.
fn octal(text: &[u8]) -> Option<Meaning> {
    let (digits, value) = hex::octal(text);
    let whole = digits == 3 && !text.get(3).is_some_and(u8::is_ascii_digit);
    whole.then(|| Meaning::byte(value as u8, 4))
}

fn entity(text: &[u8]) -> Option<Meaning> {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => numeric(digits, 16, 3),
        [b'#', digits @ ..] => numeric(digits, 10, 2),
        _ => named(text),
    }
}

/// A number and the `;` behind it, if there is one.
fn numeric(text: &[u8], radix: u8, mark_len: usize) -> Option<Meaning> {
    let (code, digits) = hex::number(text, radix);
    let semicolon = text.get(digits) == Some(&b';');
    Meaning::character(code.filter(|_| digits > 0)?, mark_len + digits + usize::from(semicolon))
}

/// A name and its `;`. HTML knows a few without one, in attributes not before `=`: `?a&lt=b` is a query.
fn named(text: &[u8]) -> Option<Meaning> {
    let name = &text[..text.len().min(NAME_LEN_MAX)];
    let name = &name[..run(name, |byte| byte.is_ascii_alphanumeric())];
    let without_semicolon = ["amp", "gt", "lt", "nbsp", "quot", "shy"];
    let len = match text.get(name.len()) {
        Some(b';') => name.len() + 1,
        Some(b'=') => return None,
        _ if without_semicolon.iter().any(|known| is(known, name)) => name.len(),
        _ => return None,
    };
    let (_, character) = NAMES.iter().find(|(known, _)| is(known, name))?;
    Meaning::character(u32::from(*character).into(), 1 + len)
}

fn is(known: &str, name: &[u8]) -> bool {
    known.as_bytes().eq_ignore_ascii_case(name)
}

/// The longest of [`NAMES`], and one more to see that a name is longer.
const NAME_LEN_MAX: usize = 17;

/// The names of what markup and scripts are made of, and of white space. Case is not told apart.
const NAMES: [(&str, char); 44] = [
    ("amp", '&'),
    ("apos", '\''),
    ("ast", '*'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("comma", ','),
    ("commat", '@'),
    ("diacriticalgrave", '`'),
    ("dollar", '$'),
    ("equals", '='),
    ("excl", '!'),
    ("grave", '`'),
    ("gt", '>'),
    ("hat", '^'),
    ("lbrace", '{'),
    ("lbrack", '['),
    ("lcub", '{'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("lsqb", '['),
    ("lt", '<'),
    ("midast", '*'),
    ("nbsp", '\u{a0}'),
    ("newline", '\n'),
    ("nonbreakingspace", '\u{a0}'),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quest", '?'),
    ("quot", '"'),
    ("rbrace", '}'),
    ("rbrack", ']'),
    ("rcub", '}'),
    ("rpar", ')'),
    ("rsqb", ']'),
    ("semi", ';'),
    ("shy", '\u{ad}'),
    ("sol", '/'),
    ("tab", '\t'),
    ("underbar", '_'),
    ("verbar", '|'),
    ("vert", '|'),
    ("verticalline", '|'),
];

/// Null bytes go; an overlong form is the ASCII that it spells, a full-width form the ASCII that it shows.
fn fold(text: &[u8]) -> Option<Meaning> {
    if text[0] == 0 {
        return Some(Meaning::nothing(1));
    }
    let (code, len) = unicode::character(text)?;
    match code {
        0 => Some(Meaning::nothing(len)),
        0x01..=0x7f => Some(Meaning::byte(code as u8, len)),
        0xff01..=0xff5e => Some(Meaning::byte((code - 0xfee0) as u8, len)),
        _ => None,
    }
}
