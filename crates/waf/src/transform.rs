//! How a value is changed before an operator sees it.

/// A change of a value. Names are SecLang's (`t:urlDecodeUni`), but for the last ones, which are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the language's; its reference says what they mean")]
pub enum Transformation {
    Base64Decode,
    Base64DecodeExt,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    NormalizePath,
    NormalizePathWin,
    ParityEven7bit,
    ParityOdd7bit,
    ParityZero7bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
    /// Decodes what is encoded until nothing is, at most three times: percent, `%u`, overlong UTF-8, HTML
    /// entities, JavaScript and JSON escapes; removes nulls; lower case.
    Decode,
    /// As a shell or a database reads it: comments and runs of white space are one space.
    Squeeze,
}

impl Transformation {
    /// Appends the changed value to `out` (which holds something else before it) and returns whether it differs from `input`.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let _ = (input, out);
        unreachable!("the module's owner writes this")
    }
}
