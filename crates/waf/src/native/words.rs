//! The words of the language and what they stand for.

use crate::{
    rule::{Category, Phase, Variable},
    transform::Transformation,
};

/// A word and what it stands for.
pub(super) type Words<T> = &'static [(&'static str, T)];

/// Finds what a word stands for.
pub(super) fn look_up<T>(words: Words<T>, written: &str) -> Option<&'static T> {
    words.iter().find(|(word, _)| *word == written).map(|(_, meaning)| meaning)
}

pub(super) const CATEGORIES: Words<Category> = &[
    ("sql", Category::Sql),
    ("nosql", Category::NoSql),
    ("xss", Category::Xss),
    ("traversal", Category::Traversal),
    ("command", Category::Command),
    ("code", Category::Code),
    ("template", Category::Template),
    ("ldap", Category::Ldap),
    ("xpath", Category::XPath),
    ("xxe", Category::Xxe),
    ("ssrf", Category::Ssrf),
    ("deserialization", Category::Deserialization),
    ("protocol", Category::Protocol),
    ("scanner", Category::Scanner),
    ("lookup", Category::Lookup),
    ("upload", Category::Upload),
    ("smuggling", Category::Smuggling),
    ("sensitive-file", Category::SensitiveFile),
    ("api", Category::Api),
    ("session-fixation", Category::SessionFixation),
    ("leak", Category::Leak),
    ("web-shell", Category::WebShell),
];

/// The tags that every rule of a category has beside its word: as the Core Rule Set calls the attack, so that one exception holds
/// for the rules of both, and its number in MITRE's list of attack patterns (CAPEC) or of weaknesses (CWE).
pub(super) fn tags(category: Category) -> &'static [&'static str] {
    match category {
        Category::Sql => &["attack-sqli", "capec/66"],
        Category::NoSql => &["attack-nosqli", "capec/676"],
        Category::Xss => &["attack-xss", "capec/63"],
        Category::Traversal => &["attack-lfi", "capec/126"],
        Category::Command => &["attack-rce", "capec/88"],
        Category::Code => &["attack-injection-code", "capec/242"],
        Category::Template => &["attack-ssti", "cwe/1336"],
        Category::Ldap => &["attack-ldap", "capec/136"],
        Category::XPath => &["attack-xpathi", "capec/83"],
        Category::Xxe => &["attack-xxe", "capec/201"],
        Category::Ssrf => &["attack-ssrf", "capec/664"],
        Category::Deserialization => &["attack-deserialization", "capec/586"],
        Category::Protocol => &["attack-protocol", "capec/272"],
        Category::Scanner => &["attack-reputation-scanner", "capec/310"],
        Category::Lookup => &["attack-injection-lookup", "cwe/917"],
        Category::Upload => &["attack-upload", "cwe/434"],
        Category::Smuggling => &["attack-smuggling", "capec/33"],
        Category::SensitiveFile => &["attack-sensitive-file", "capec/150"],
        Category::Api => &["attack-api", "capec/113"],
        Category::SessionFixation => &["attack-fixation", "capec/61"],
        Category::Leak => &["attack-disclosure", "capec/118"],
        Category::WebShell => &["attack-web-shell", "capec/650"],
    }
}

/// Word by word, but for `raw`, they give text in lower case.
pub(super) const TEXTS: Words<&[Transformation]> = &[
    ("raw", &[]),
    ("lower", &[Transformation::Lowercase]),
    ("decoded", &[Transformation::Decode]),
    ("squeezed", &[Transformation::Decode, Transformation::Squeeze]),
    ("path", &[Transformation::Decode, Transformation::NormalizePathWin]),
    ("shell", &[Transformation::Decode, Transformation::CmdLine]),
];

/// A part of an exchange and the phase from which it is there.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) variable: Variable,
    pub(super) phase: Phase,
}

const fn head(variable: Variable) -> Part {
    Part { variable, phase: Phase::RequestHead }
}

const fn body(variable: Variable) -> Part {
    Part { variable, phase: Phase::Request }
}

const fn response_head(variable: Variable) -> Part {
    Part { variable, phase: Phase::ResponseHead }
}

const fn response_body(variable: Variable) -> Part {
    Part { variable, phase: Phase::Response }
}

/// Words that stand for several parts.
pub(super) const GROUPS: Words<&[&str]> = &[
    (
        "input",
        &[
            "args",
            "args-names",
            "cookies",
            "cookies-names",
            "path",
            "files",
            "files-names",
            "xml",
            "unread-body",
            "websocket",
        ],
    ),
    (EVERYTHING, &["input", "headers"]),
];

/// The group that does not look at the header `cookie`, as it looks at cookies one by one.
pub(super) const EVERYTHING: &str = "everything";

pub(super) const PARTS: Words<Part> = &[
    ("args", body(Variable::Args)),
    ("args-get", head(Variable::ArgsGet)),
    ("args-post", body(Variable::ArgsPost)),
    ("args-names", body(Variable::ArgsNames)),
    ("args-get-names", head(Variable::ArgsGetNames)),
    ("args-post-names", body(Variable::ArgsPostNames)),
    ("cookies", head(Variable::RequestCookies)),
    ("cookies-names", head(Variable::RequestCookiesNames)),
    ("path", head(Variable::RequestFilename)),
    ("basename", head(Variable::RequestBasename)),
    ("query", head(Variable::QueryString)),
    ("uri", head(Variable::RequestUri)),
    ("uri-raw", head(Variable::RequestUriRaw)),
    ("line", head(Variable::RequestLine)),
    ("method", head(Variable::RequestMethod)),
    ("protocol", head(Variable::RequestProtocol)),
    ("headers", head(Variable::RequestHeaders)),
    ("header", head(Variable::RequestHeaders)),
    ("headers-names", head(Variable::RequestHeadersNames)),
    ("body", body(Variable::RequestBody)),
    ("files", body(Variable::Files)),
    ("files-names", body(Variable::FilesNames)),
    ("files-content", body(Variable::FilesTmpContent)),
    ("part-headers", body(Variable::MultipartPartHeaders)),
    ("unread-body", body(Variable::UnreadBody)),
    ("xml", body(Variable::Xml)),
    ("websocket", body(Variable::WebSocketFrame)),
    ("client", head(Variable::RemoteAddr)),
    ("body-error", body(Variable::ReqbodyError)),
    ("multipart-error", body(Variable::MultipartStrictError)),
    ("args-bytes", body(Variable::ArgsCombinedSize)),
    ("body-bytes", body(Variable::RequestBodyLength)),
    ("files-bytes", body(Variable::FilesCombinedSize)),
    ("graphql-depth", body(Variable::GraphqlDepth)),
    ("graphql-aliases", body(Variable::GraphqlAliases)),
    ("graphql-directives", body(Variable::GraphqlDirectives)),
    ("graphql-root-fields", body(Variable::GraphqlRootFields)),
    ("graphql-batch", body(Variable::GraphqlBatch)),
    ("graphql-introspection", body(Variable::GraphqlIntrospection)),
    ("status", response_head(Variable::ResponseStatus)),
    ("response-headers", response_head(Variable::ResponseHeaders)),
    ("response-header", response_head(Variable::ResponseHeaders)),
    ("response-body", response_body(Variable::ResponseBody)),
    ("matched", head(Variable::MatchedVars)),
];

/// Parts that only make sense with the name of one entry behind a colon.
pub(super) const NEEDS_NAME: &[&str] = &["header", "response-header"];

/// What [`PARTS`] calls a variable, or one entry of it.
pub(super) fn target(variable: Variable, key: Option<&str>) -> Option<String> {
    let fits = |(word, part): &&(&str, Part)| {
        part.variable == variable && (key.is_some() || !NEEDS_NAME.contains(word))
    };
    let named = |(word, _): &&(&str, Part)| NEEDS_NAME.contains(word);
    let found = PARTS.iter().filter(fits);
    let (word, _) = found.clone().find(named).or_else(|| found.clone().next())?;
    Some(match key {
        Some(key) => format!("{word}:{key}"),
        None => (*word).to_owned(),
    })
}

/// A condition's word and what may follow it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Takes {
    Expression,
    Texts,
    Number,
    Bounds,
    ByteRanges,
    Networks,
    Nothing,
}

pub(super) const CONDITIONS: Words<Takes> = &[
    ("matches", Takes::Expression),
    ("phrases", Takes::Texts),
    ("contains", Takes::Texts),
    ("equals", Takes::Texts),
    ("begins", Takes::Texts),
    ("ends", Takes::Texts),
    ("longer-than", Takes::Number),
    ("above", Takes::Number),
    ("below", Takes::Number),
    ("count", Takes::Bounds),
    ("sqli", Takes::Nothing),
    ("xss", Takes::Nothing),
    ("outside-bytes", Takes::ByteRanges),
    ("bad-percent-encoding", Takes::Nothing),
    ("bad-utf8", Takes::Nothing),
    ("within-networks", Takes::Networks),
    ("any", Takes::Nothing),
];

/// What every condition needs or may have.
pub(super) const OF_CONDITIONS: &[&str] = &["on", "except", "text"];

/// What only a rule has.
pub(super) const OF_RULES: &[&str] =
    &["about", "points", "paranoia", "category", "tags", "and", "attack", "clean"];

/// The nearest of `choices`, when one is near.
pub(super) fn nearest<'c>(
    written: &str,
    choices: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let allowed = (written.len() / 3).clamp(1, 3);
    let near = |choice: &'c str| {
        let distance = strsim::damerau_levenshtein(written, choice);
        (distance <= allowed).then_some((distance, choice))
    };
    (written.len() <= 64)
        .then(|| choices.into_iter().filter_map(near).min())?
        .map(|(_, choice)| choice)
}

/// Every word, for the test that looks whether the language's page knows it.
#[cfg(test)]
pub(super) fn all() -> Vec<&'static str> {
    fn firsts<T>(words: Words<T>) -> impl Iterator<Item = &'static str> {
        words.iter().map(|(word, _)| *word)
    }
    let words = firsts(CATEGORIES).chain(firsts(TEXTS)).chain(firsts(GROUPS));
    let words = words.chain(firsts(PARTS)).chain(firsts(CONDITIONS));
    words.chain(OF_CONDITIONS.iter().copied()).chain(OF_RULES.iter().copied()).collect()
}
