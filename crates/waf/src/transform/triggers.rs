//! Which bytes a value must have before a transformation can change it.

use super::{ByteSet, Transformation, mapping, url};

/// What is in each value that is changed: one of `any`, or one of each set of `both`.
pub(super) struct Triggers {
    any: ByteSet,
    both: [ByteSet; 2],
}

impl Triggers {
    const NONE: Self = Self::any(ByteSet::EMPTY);

    const fn any(any: ByteSet) -> Self {
        Self { any, both: [ByteSet::EMPTY; 2] }
    }

    const fn listed(bytes: &[u8]) -> Self {
        Self::any(ByteSet::from_bytes(bytes))
    }

    const fn or_both(self, first: &[u8], second: &[u8]) -> Self {
        Self { both: [ByteSet::from_bytes(first), ByteSet::from_bytes(second)], ..self }
    }

    pub(super) fn are_missing_in(&self, bytes: &ByteSet) -> bool {
        let [first, second] = &self.both;
        !(bytes.intersects(&self.any) || bytes.intersects(first) && bytes.intersects(second))
    }
}

/// Returns what triggers `transformation`; `None`: it changes even the empty value.
pub(super) fn of(transformation: Transformation) -> Option<&'static Triggers> {
    use Transformation as T;
    Some(match transformation {
        T::Length | T::Md5 | T::Sha1 => return None,
        T::Base64Decode | T::Base64DecodeExt | T::Base64Encode | T::HexDecode | T::HexEncode => {
            const { &Triggers::any(ByteSet::ALL) }
        }
        T::CmdLine => {
            const { &Triggers::any(UPPER.union(ByteSet::from_bytes(b"\"'\\^ ,;\t\r\n"))) }
        }
        T::CompressWhitespace | T::Trim | T::TrimLeft | T::TrimRight => {
            const { &Triggers::any(SPACES) }
        }
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode => const { &Triggers::listed(b"\\") },
        T::HtmlEntityDecode => const { &Triggers::listed(b"&") },
        T::Lowercase => const { &Triggers::any(UPPER) },
        T::NormalizePath => const { &Triggers::listed(b"/.") },
        T::NormalizePathWin => const { &Triggers::listed(b"/.\\") },
        T::ParityEven7bit => const { &Triggers::any(CHANGED_BY_PARITY_EVEN) },
        T::ParityOdd7bit => const { &Triggers::any(CHANGED_BY_PARITY_EVEN.complement()) },
        T::ParityZero7bit => const { &Triggers::any(ByteSet::range(0x80, 0xff)) },
        T::RemoveComments | T::RemoveCommentsChar => {
            const { &Triggers::listed(b"-#").or_both(b"/", b"*") }
        }
        T::RemoveNulls | T::ReplaceNulls => const { &Triggers::listed(b"\0") },
        T::RemoveWhitespace => {
            const { &Triggers::any(SPACES.union(ByteSet::from_bytes(b"\xa0\xc2"))) }
        }
        T::ReplaceComments => const { &Triggers::NONE.or_both(b"/", b"*") },
        T::SqlHexDecode => const { &Triggers::NONE.or_both(b"0", b"xX") },
        T::Uppercase => const { &Triggers::any(ByteSet::range(b'a', b'z')) },
        T::UrlDecode | T::UrlDecodeUni => const { &Triggers::listed(b"%+") },
        T::UrlEncode => const { &Triggers::any(ENCODED_IN_URLS) },
        T::Utf8ToUnicode => {
            const { &Triggers::any(ByteSet::range(0xc0, 0xf7).union(ByteSet::from_bytes(b"\0"))) }
        }
        T::Decode => {
            const { &Triggers::any(UPPER.union(ByteSet::from_bytes(b"%&\\\0\xc0\xc1\xe0\xef\xf0"))) }
        }
        T::Squeeze => const { &Triggers::any(BLANKS).or_both(b"/", b"*") },
    })
}

const UPPER: ByteSet = ByteSet::range(b'A', b'Z');

const SPACES: ByteSet = ByteSet::from_bytes(b" \t\n\x0b\x0c\r");

/// White space of databases, and what begins that of Unicode. A comment to the end of a line has one of them.
const BLANKS: ByteSet = ByteSet::range(1, b' ').union(ByteSet::from_bytes(b"\xa0\xc2\xe1\xe2\xe3"));

const CHANGED_BY_PARITY_EVEN: ByteSet = {
    let mut set = ByteSet::EMPTY;
    let mut rest = ByteSet::ALL;
    while let Some(byte) = rest.pop() {
        if mapping::even(byte) != byte {
            set.insert(byte);
        }
    }
    set
};

const ENCODED_IN_URLS: ByteSet = {
    let mut set = ByteSet::EMPTY;
    let mut rest = ByteSet::ALL;
    while let Some(byte) = rest.pop() {
        if !url::stays(byte) {
            set.insert(byte);
        }
    }
    set
};
