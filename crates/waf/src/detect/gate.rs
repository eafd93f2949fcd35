//! What cannot be an attack, told from the bytes that occur in a value.
//!
//! Both gates are sound: where they answer `false`, no value of these bytes is detected. For SQL, a value
//! is detected only if it has an attack's fingerprint, each letter of which is the kind of some token, and
//! each kind of token needs certain bytes: signs their own, words the letters that they are spelled with.
//! For HTML, a value is detected only by a tag, a comment, a declaration or an attribute, which need `<` or
//! `=`, and the letters of a name.

use crate::transform::ByteSet;

/// Returns `false` only if neither [`sqli`](super::sqli) nor [`sqli_text`](super::sqli_text) detects a value of these bytes.
pub fn may_be_sqli(bytes: &ByteSet) -> bool {
    if is_one_word(bytes) {
        return false;
    }
    let kinds = kinds(bytes);
    NEEDS.iter().any(|need| need & !kinds == 0)
}

/// Returns `false` only if neither [`xss`](super::xss) nor [`xss_text`](super::xss_text) detects a value of these bytes.
pub fn may_be_xss(bytes: &ByteSet) -> bool {
    let letters = letters(bytes);
    let can_spell = |words: &[u32]| can_spell(letters, words);
    let has_url = || has_any(bytes, b"&") && has_any(bytes, b"#") || can_spell(URLS);
    let attribute = || can_spell(ATTRIBUTES) || can_spell(URL_ATTRIBUTES) && has_url();
    let has_comment = || has_any(bytes, b"!?%/") && (has_any(bytes, b"`[") || can_spell(COMMENTS));
    (has_any(bytes, b"=") && attribute())
        || (has_any(bytes, b"<") && (can_spell(TAGS) || has_comment()))
}

/// Returns whether nothing separates words: then there are numbers and at most one word, and no attack is so short.
fn is_one_word(bytes: &ByteSet) -> bool {
    const WHITE: ByteSet = ByteSet::range(0xa0, 0xa0);
    const WORD: ByteSet = ByteSet::range(b'0', b'9')
        .union(ByteSet::range(b'A', b'Z'))
        .union(ByteSet::range(b'a', b'z'))
        .union(ByteSet::from_bytes(b"_"))
        .union(ByteSet::range(0x80, 0xff).intersection(WHITE.complement()));
    bytes.is_subset_of(&WORD)
}

/// The kinds of tokens that can be written in these bytes, as bits of [`kind`].
fn kinds(bytes: &ByteSet) -> u32 {
    let letters = letters(bytes);
    let mut kinds = kind(b'N');
    for (signs, kind_there) in SIGNS {
        if bytes.intersects(signs) {
            kinds |= kind_there;
        }
    }
    if has_any(bytes, b"/") && has_any(bytes, b"*") {
        kinds |= kind(b'C') | kind(b'D') | kind(b'X');
    }
    if has_any(bytes, b"{") && has_any(bytes, b"`") {
        kinds |= kind(b'X');
    }
    for (letter, words) in WORDS {
        if can_spell(letters, words) {
            kinds |= kind(*letter);
        }
    }
    kinds
}

fn has_any(bytes: &ByteSet, of: &[u8]) -> bool {
    of.iter().any(|byte| bytes.contains(*byte))
}

/// The letters among these bytes, whatever their case, A in bit 0.
fn letters(bytes: &ByteSet) -> u32 {
    let [_, ascii, ..] = bytes.words();
    ((ascii >> 1 | ascii >> 33) & 0x03ff_ffff) as u32
}

/// Returns whether these letters are enough for one of `words`.
fn can_spell(letters: u32, words: &[u32]) -> bool {
    words.iter().fold(false, |found, word| found | (word & !letters == 0))
}

/// The letters of each of `N` words, A in bit 0.
const fn masks<const N: usize>(words: &str) -> [u32; N] {
    sets(words, Meaning::Letters)
}

/// The kinds in each of `N` fingerprints.
const fn kinds_of<const N: usize>(fingerprints: &str) -> [u32; N] {
    sets(fingerprints, Meaning::Kinds)
}

/// What the bytes of a list are.
#[derive(Clone, Copy)]
enum Meaning {
    Letters,
    Kinds,
}

/// A set for each word of a list with a space between two.
const fn sets<const N: usize>(list: &str, meaning: Meaning) -> [u32; N] {
    let list = list.as_bytes();
    let mut sets = [0; N];
    let (mut word, mut i) = (0, 0);
    while i < list.len() {
        match (list[i], meaning) {
            (b' ', _) => word += 1,
            (byte, Meaning::Kinds) => sets[word] |= kind(byte),
            (byte @ b'A'..=b'Z', Meaning::Letters) => sets[word] |= 1 << (byte - b'A'),
            _ => (),
        }
        i += 1;
    }
    assert!(word + 1 == N);
    sets
}

/// The bit of a kind, by its letter in upper case. `D` is a comment that has an end, `I` the words
/// `INTO OUTFILE` and `INTO DUMPFILE`.
const fn kind(letter: u8) -> u32 {
    match letter {
        b'A'..=b'Z' => 1 << (letter - b'A'),
        b'&' => 1 << 26,
        b'(' => 1 << 27,
        b')' => 1 << 28,
        b',' => 1 << 29,
        b';' => 1 << 30,
        b'1' => 1 << 31,
        _ => panic!("fingerprints that are needed have no other letters"),
    }
}

/// Signs, and the kinds of tokens that they make possible.
static SIGNS: &[(ByteSet, u32)] = &[
    (ByteSet::from_bytes(b"'\"$"), kind(b'S')),
    (ByteSet::from_bytes(b"0123456789$'\\"), kind(b'1')),
    (ByteSet::from_bytes(b"!%&*+-/:<=>^|~#"), kind(b'O')),
    (ByteSet::from_bytes(b"&|"), kind(b'&')),
    (ByteSet::from_bytes(b"@"), kind(b'V')),
    (ByteSet::from_bytes(b"-#`"), kind(b'C')),
    // Before a parenthesis, LIKE and names of columns are functions, and IN is an operator.
    (ByteSet::from_bytes(b"("), kind(b'(') | kind(b'F') | kind(b'O')),
    (ByteSet::from_bytes(b")"), kind(b')')),
    (ByteSet::from_bytes(b","), kind(b',')),
    // Behind a semicolon, IF is a statement.
    (ByteSet::from_bytes(b";"), kind(b';') | kind(b'T')),
];

/// Kinds of tokens that are words, with words of which each has some letters alone that no longer list needs.
/// The letters of every word of the kind contain those of one of them.
static WORDS: &[(u8, &[u32])] = &[
    (b'U', &masks::<3>("UNION EXCEPT INTERSECT")),
    (b'E', &masks::<7>("SET CASE CREATE UPDATE RAISEERROR WAITFOR_TIME WAITFOR_DELAY")),
    (b'B', &masks::<6>("LIMIT HAVING ORDER_BY OWN3D_BY GROUP_BY PARTITION_BY")),
    (
        b'T',
        &masks::<43>(
            "GB2312 CP850 GO HP8 CALL DEC8 EXEC USC2 OID USE SWE7 TEXT UTF8 SJIS INT TIS620 TRY \
             MACCE ASCII REAL ANYARRAY DELETE DROP GREEK KOI8R KOI8U BYTEA VARCHAR LOAD_DATA \
             FLOAT HEBREW EUCKR WHILE MONEY BOOLEAN CHARACTER MACROMAN LOAD_XML KEYBCS2 DOUBLE \
             ANYELEMENT NUMERIC SHUTDOWN",
        ),
    ),
    (b'A', &masks::<1>("COLLATE")),
    (b'&', &masks::<2>("OR AND")),
    (
        b'V',
        &masks::<9>(
            "NULL UNKNOWN CURRENT_USER CURRENT_DATE LOCALTIME CURRENT_DEGREE CURRENT_TIME \
             CURRENT_PATH CURRENT_FUNCTION",
        ),
    ),
    (
        b'K',
        &masks::<64>(
            "AS IN SSL BLOB DEC KILL LOOP TOP EACH READ LOAD LEAVE WAIT BOTH UNDO OWN3D MERGE \
             THEN WHEN WHERE TIME EXIT KEYS OPEN FROM ABORT MATCH DELAY RANGE ITERATE ALTER \
             RENAME REPEAT GRANT BEFORE FETCH FORCE CURSOR OFFSET TRIGGER PURGE REQUIRE REVOKE \
             RETURN SYSUSERS NOTNULL REPLACE ANALYZE PRIMARY SPECIFIC REFERENCES RESTRICT UNLOCK \
             COLUMN FULLTEXT DEFAULT DAY_HOUR NATURAL_FULL MODIFIES ZEROFILL OUTFILE FULL_OUTER \
             LONGTEXT SYSOBJECTS",
        ),
    ),
    (b'1', &masks::<4>("TRUE FALSE BINARY_FLOAT_NAN BINARY_DOUBLE_NAN")),
    (b'O', &masks::<10>("IS DIV MOD EQV NOT LIKE BETWEEN SOUNDS REGEXP UESCAPE")),
    (
        b'F',
        &masks::<95>(
            "CRC32 MD5 IF PI LN NZ ABS DAY AGE LAG AVG SHA MAX TAN ANY VAR DB_ID BIN COS COT UUID \
             ORD HEX WEEK ELT EXP LOG MIN SIN SUM NOW POW ROW ASCII CAST LEAD DATE LPAD RAND RPAD \
             YEAR ARRAY_AGG RANK TOTAL CDBL CBOOL BOOL_OR DECODE CEIL CSNG CINT CONV SETSEED \
             SLEEP SOME UPPER REVERSE FLOOR STUFF HOUR TRIM SQRT LCASE SPACE UCASE DLAST APP_NAME \
             SETATTR XPATH LASTVAL CBYTE GET_BIT GET_BYTE SET_BIT SET_BYTE BIT_OR SUBSTR DEGREES \
             KEY_ID EXISTS UNNEST QUOTE MONTH STRPOS MAKE_SET QUARTER FORMAT IS_MEMBER DLOOKUP \
             TYPEOF TYPEPROPERTY XMLROOT SOUNDEX JSON_KEYS TO_NUMBER",
        ),
    ),
    (b'I', &masks::<2>("INTO_OUTFILE INTO_DUMPFILE")),
];

/// Every fingerprint of an attack has all the letters of one of these.
static NEEDS: &[u32] = &kinds_of::<114>(
    "X &1 &S &V (E (F 1B 1C 1U BN BS BV CS CV NT OS UV &(N &)N &FN &KN &NU (1K (1O (KN \
             (KS (KV (NO (OV )1E )1O )EN )ES )EV )KN )NO )OV 1;E 1;K 1;S 1;T 1EK 1EN 1ES 1ET 1EV \
             1KO 1KI 1OV 1SV ;EN ;ES ;EV ;KS ;KV ;NU ;ST ;SU ;SV ;TV CNU CND EKN EKS EKV ENS ENU \
             ENV EST ESU ESV ETV KNO KNU KNI KOV KSU KSI KVI &;CN &CEN &ENO (),1 (),N (),S (),V \
             ()1T ()AN ()AS ()AV ()NU ()ST ()SU ()TV (,SU (1TV ,FSU 1;NV 1AOT 1EFO 1FOT ;CKN ;NOV \
             AFOV ANOV AOTV EFNO EFOV FNOU FNOV FOTV ()1NS ()1NV )EFKU",
);

/// Attributes that are dangerous by themselves. `ON` begins all handlers of events.
static ATTRIBUTES: &[u32] =
    &masks::<8>("ON XMLNS XLINK DATASRC DATAFORMATAS FILTER STYLE ATTRIBUTENAME");

/// Attributes that are dangerous by an address.
static URL_ATTRIBUTES: &[u32] = &masks::<15>(
    "DATA TO BY SRC HREF FROM ACTION POSTER FOLDER VALUES HANDLER BACKGROUND LOWSRC DYNSRC \
             FORMACTION",
);

/// Such addresses.
static URLS: &[u32] = &masks::<4>("DATA JAVA VBSCRIPT VIEW-SOURCE");

/// Tags that are dangerous, and the declaration of a document's type.
static TAGS: &[u32] = &masks::<23>(
    "SVG XSL XSS XML BASE META LINK EMBED FRAME STYLE APPLET OBJECT SCRIPT IMPORT COMMENT \
             HANDLER ISINDEX LISTENER DOCTYPE IFRAME VMLFRAME NOSCRIPT FRAMESET",
);

/// What makes a comment dangerous.
static COMMENTS: &[u32] = &masks::<3>("XML IMPORT ENTITY");

#[cfg(test)]
mod tests {
    use super::{
        super::sql::{Kind, fingerprints, words},
        *,
    };

    #[test]
    fn every_word_makes_its_kind_possible() {
        for (word_kind, word) in words::all() {
            let letter = (word_kind as u8).to_ascii_uppercase();
            assert!(kinds(&ByteSet::from_bytes(word)) & kind(letter) != 0, "{word:?}");
            assert!(
                word_kind == Kind::Word || kinds(&ByteSet::from_bytes(word)) != kind(b'N'),
                "{word:?}"
            );
        }
    }

    #[test]
    fn every_fingerprint_has_what_is_needed() {
        for letters in fingerprints::all() {
            let kinds =
                letters.iter().filter(|letter| **letter != b':').map(|letter| kind(*letter));
            let mut kinds = kinds.fold(0, |all, kind| all | kind);
            kinds |= match letters.as_slice() {
                b"NC" => kind(b'D'),
                [_, b'K', _] => kind(b'I'),
                _ => 0,
            };
            assert!(NEEDS.iter().any(|need| need & !kinds == 0), "{letters:?}");
        }
    }

    #[test]
    fn one_word_alone_is_no_fingerprint() {
        let mut short: Vec<_> = fingerprints::all();
        short.retain(|letters| {
            let (_, numbers) = letters.split_last().expect("none is empty");
            numbers.iter().all(|letter| b"1N".contains(letter))
        });
        // These need a comment, something that is evil, and more than two tokens.
        assert_eq!(short, [&b"X"[..], b"1C", b"1U", b"NC"]);
    }
}
