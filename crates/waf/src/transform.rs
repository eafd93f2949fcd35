//! How a value is changed before an operator sees it.
//!
//! Names and meanings are those of libmodsecurity 3, byte for byte, oddities included, since rules are
//! written and tested against them. Where version 3.0.9 has defects that later versions mend, this is
//! the mended form: `cssDecode` goes on behind a null byte, `sqlHexDecode` keeps a value's last byte.

use std::fmt;

mod best_fit;
mod bytes;
mod codings;
mod comments;
mod decode;
mod entities;
mod escapes;
mod hex;
mod mapping;
mod path;
mod rewrite;
mod space;
mod squeeze;
mod triggers;
mod unicode;
mod url;

#[cfg(test)]
mod tests;

pub use bytes::ByteSet;

macro_rules! transformations {
    ($($(#[$meta:meta])* $name:ident $text:literal),* $(,)?) => {
        /// A change of a value. Names are SecLang's (`t:urlDecodeUni`), but for the last ones, which are ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are the language's; its reference says what they mean")]
        pub enum Transformation { $($(#[$meta])* $name),* }

        impl Transformation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the name as rules write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

transformations! {
    Base64Decode "base64Decode",
    Base64DecodeExt "base64DecodeExt",
    Base64Encode "base64Encode",
    CmdLine "cmdLine",
    CompressWhitespace "compressWhitespace",
    CssDecode "cssDecode",
    EscapeSeqDecode "escapeSeqDecode",
    HexDecode "hexDecode",
    HexEncode "hexEncode",
    HtmlEntityDecode "htmlEntityDecode",
    JsDecode "jsDecode",
    Length "length",
    Lowercase "lowercase",
    Md5 "md5",
    NormalizePath "normalizePath",
    NormalizePathWin "normalizePathWin",
    ParityEven7bit "parityEven7bit",
    ParityOdd7bit "parityOdd7bit",
    ParityZero7bit "parityZero7bit",
    RemoveComments "removeComments",
    RemoveCommentsChar "removeCommentsChar",
    RemoveNulls "removeNulls",
    RemoveWhitespace "removeWhitespace",
    ReplaceComments "replaceComments",
    ReplaceNulls "replaceNulls",
    Sha1 "sha1",
    SqlHexDecode "sqlHexDecode",
    Trim "trim",
    TrimLeft "trimLeft",
    TrimRight "trimRight",
    Uppercase "uppercase",
    UrlDecode "urlDecode",
    UrlDecodeUni "urlDecodeUni",
    UrlEncode "urlEncode",
    Utf8ToUnicode "utf8toUnicode",
    /// Decodes what is encoded until nothing is, at most three times: percent, `%u`, overlong UTF-8,
    /// full-width ASCII, HTML entities, JavaScript and JSON escapes; removes nulls; lower case.
    Decode "decode",
    /// As a database reads it: comments and runs of white space are one space. What comments held
    /// follows behind the text, for within a string they were none.
    Squeeze "squeeze",
}

/// Other spellings that rules use.
const ALIASES: &[(&str, Transformation)] = &[
    ("normalisePath", Transformation::NormalizePath),
    ("normalisePathWin", Transformation::NormalizePathWin),
];

impl Transformation {
    /// Returns that of this name, whatever its case. `none`, which clears a list, is not one.
    pub fn from_name(name: &str) -> Option<Self> {
        let names = Self::ALL.iter().map(|one| (one.name(), *one));
        let mut names = names.chain(ALIASES.iter().copied());
        names.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, one)| one)
    }

    /// Appends the changed value to `out` and returns true; where nothing changes, appends nothing and
    /// returns false. What `out` holds already stays.
    ///
    /// Takes time linear in the input. At most 4 bytes are appended for each byte of it, and 20 more.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::Base64Decode => codings::base64_decode(input, out),
            Self::Base64DecodeExt => codings::base64_decode_forgiving(input, out),
            Self::Base64Encode => codings::base64_encode(input, out),
            Self::CmdLine => space::command_line(input, out),
            Self::CompressWhitespace => space::compress(input, out),
            Self::CssDecode => escapes::css(input, out),
            Self::EscapeSeqDecode => escapes::c(input, out),
            Self::HexDecode => codings::hex_decode(input, out),
            Self::HexEncode => codings::hex_encode(input, out),
            Self::HtmlEntityDecode => entities::decode(input, out),
            Self::JsDecode => escapes::javascript(input, out),
            Self::Length => codings::length(input, out),
            Self::Lowercase => mapping::lowercase(input, out),
            Self::Md5 => codings::md5(input, out),
            Self::NormalizePath => path::normalize(input, out),
            Self::NormalizePathWin => path::normalize_windows(input, out),
            Self::ParityEven7bit => mapping::parity_even(input, out),
            Self::ParityOdd7bit => mapping::parity_odd(input, out),
            Self::ParityZero7bit => mapping::parity_zero(input, out),
            Self::RemoveComments => comments::remove(input, out),
            Self::RemoveCommentsChar => comments::remove_marks(input, out),
            Self::RemoveNulls => space::remove_nulls(input, out),
            Self::RemoveWhitespace => space::remove(input, out),
            Self::ReplaceComments => comments::replace(input, out),
            Self::ReplaceNulls => mapping::replace_nulls(input, out),
            Self::Sha1 => codings::sha1(input, out),
            Self::SqlHexDecode => codings::sql_hex_decode(input, out),
            Self::Trim => space::trim(input, out),
            Self::TrimLeft => space::trim_left(input, out),
            Self::TrimRight => space::trim_right(input, out),
            Self::Uppercase => mapping::uppercase(input, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_uni(input, out),
            Self::UrlEncode => url::encode(input, out),
            Self::Utf8ToUnicode => unicode::from_utf8(input, out),
            Self::Decode => decode::decode(input, out),
            Self::Squeeze => squeeze::squeeze(input, out),
        }
    }

    /// Returns whether no value that consists of these bytes only is changed.
    pub fn is_identity_on(self, bytes: &ByteSet) -> bool {
        triggers::of(self).is_some_and(|triggers| triggers.are_missing_in(bytes))
    }
}

impl fmt::Display for Transformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
