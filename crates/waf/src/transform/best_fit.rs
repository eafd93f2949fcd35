//! The ASCII that a character is taken for where only ASCII is known: code page 20127.
//!
//! The pairs are those of `unicode.mapping`, which libmodsecurity (Apache-2.0) comes with and loads by
//! default; they are Microsoft's.

use super::escapes::low_byte;

/// Returns the ASCII that `code` is taken for, or else its lower byte.
pub(super) fn best_fit(code: u16) -> u8 {
    look_alike(code).unwrap_or_else(|| low_byte(code))
}

/// Returns the ASCII that `code`, itself beyond ASCII, is taken for.
pub(super) fn look_alike(code: u16) -> Option<u8> {
    static LATIN: [u8; 0x400] = page(0);
    static PUNCTUATION: [u8; 0x200] = page(0x2000);
    let page = match code {
        0..0x400 => &LATIN[..],
        0x2000..0x2200 => &PUNCTUATION[..],
        // Full stops of East Asia, which end labels of domain names as `.` does; not in the page, but added to it.
        0x3002 | 0xff61 => return Some(b'.'),
        _ => return None,
    };
    Some(page[usize::from(code) % page.len()]).filter(|byte| *byte != 0)
}

/// Returns what the characters from `first` on look like; 0: like nothing.
const fn page<const LEN: usize>(first: usize) -> [u8; LEN] {
    let mut page = [0; LEN];
    let mut row = 0;
    while row < LOOK_ALIKES.len() {
        let (ascii, characters) = LOOK_ALIKES[row];
        let mut rest = characters.as_bytes();
        while let Some((code, behind)) = code(rest) {
            if first <= code && code < first + LEN {
                page[code - first] = ascii;
            }
            rest = behind;
        }
        row += 1;
    }
    page
}

/// Reads a character of two or three bytes.
const fn code(text: &[u8]) -> Option<(usize, &[u8])> {
    match text {
        [a @ 0xc0..=0xdf, b, rest @ ..] => {
            Some(((*a as usize & 0x1f) << 6 | *b as usize & 0x3f, rest))
        }
        [a, b, c, rest @ ..] => {
            let code = (*a as usize & 0xf) << 12 | (*b as usize & 0x3f) << 6 | *c as usize & 0x3f;
            Some((code, rest))
        }
        _ => None,
    }
}

/// What is taken for what. Full-width forms are not here: their lower byte says it.
const LOOK_ALIKES: &[(u8, &str)] = &[
    (b' ', "\u{a0}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}"),
    (b'!', "\u{a1}"),
    (b'"', "\u{2ba}\u{30e}\u{201c}\u{201d}\u{201e}"),
    (b'$', "\u{a4}"),
    (b'\'', "\u{2b9}\u{2bc}\u{2c8}\u{2018}\u{2019}\u{2032}"),
    (b',', "\u{b8}\u{201a}"),
    (b'-', "\u{ad}\u{2010}\u{2011}\u{2013}\u{2014}"),
    (b'.', "\u{b7}\u{2022}\u{2026}"),
    (b'1', "\u{b9}"),
    (b'2', "\u{b2}"),
    (b'3', "\u{b3}"),
    (b'<', "\u{ab}\u{2039}"),
    (b'>', "\u{bb}\u{203a}"),
    (b'A', "ÀÁÂÃÄÅÆĀĂĄǍǞ"),
    (b'C', "\u{a9}ÇĆĈĊČ"),
    (b'D', "ÐĎĐƉ"),
    (b'E', "ÈÉÊËĒĔĖĘĚ"),
    (b'F', "Ƒ"),
    (b'G', "ĜĞĠĢǤǦ"),
    (b'H', "ĤĦ"),
    (b'I', "ÌÍÎÏĨĪĬĮİƗǏ"),
    (b'J', "Ĵ"),
    (b'K', "ĶǨ"),
    (b'L', "ĹĻĽŁ"),
    (b'N', "ÑŃŅŇ"),
    (b'O', "ÒÓÔÕÖØŌŎŐŒƟƠǑǪǬ"),
    (b'R', "\u{ae}ŔŖŘ"),
    (b'S', "ŚŜŞŠ"),
    (b'T', "ŢŤŦƮ\u{2122}"),
    (b'U', "ÙÚÛÜŨŪŬŮŰŲƯǓǕǗǙǛ"),
    (b'W', "Ŵ"),
    (b'Y', "\u{a5}ÝŶŸ"),
    (b'Z', "ŹŻŽ"),
    (b'^', "\u{2c4}\u{2c6}\u{302}"),
    (b'_', "\u{2cd}\u{331}\u{332}"),
    (b'`', "\u{2cb}\u{300}\u{2035}"),
    (b'a', "\u{aa}àáâãäåæāăąǎǟ"),
    (b'b', "ƀ"),
    (b'c', "\u{a2}çćĉċč"),
    (b'd', "ďđ"),
    (b'e', "èéêëēĕėęě"),
    (b'f', "ƒ"),
    (b'g', "ĝğġģǥǧɡ"),
    (b'h', "ĥħ"),
    (b'i', "ìíîïĩīĭįıǐ"),
    (b'j', "ĵǰ"),
    (b'k', "ķǩ"),
    (b'l', "ĺļľłƚ"),
    (b'n', "ñńņň"),
    (b'o', "\u{ba}òóôõöøōŏőœơǒǫǭ"),
    (b'r', "ŕŗř"),
    (b's', "śŝşš"),
    (b't', "ţťŧƫ"),
    (b'u', "ùúûüũūŭůűųưǔǖǘǚǜ"),
    (b'w', "ŵ"),
    (b'y', "ýÿŷ"),
    (b'z', "żžƶ"),
    (b'|', "\u{a6}"),
    (b'~', "\u{2dc}\u{303}"),
];
