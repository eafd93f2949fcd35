//! What the head gate refuses: each rule with its token, its kind and its meaning.

use crate::Rejection;

/// What a rejection is about; the same for each rule that a sender breaks in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Syntax.
    Malformed,
    /// The request target.
    Target,
    /// `Host`, or what stands for it.
    Host,
    /// Where the body ends.
    Framing,
    /// `Expect`.
    Expectation,
    /// Valid, but not offered here.
    Unsupported,
    /// A version of HTTP that is not spoken here.
    Version,
    /// A head beyond its bounds.
    HeadLimit,
    /// A request line beyond its bound.
    TargetLimit,
}

/// One rule of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// [`Rejection::code`].
    pub code: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// What breaks it, in a few words.
    pub broken_by: &'static str,
}

/// Every rule that a request's head can break, by code.
pub const RULES: &[Rule] = &[
    rule(
        "head-gate/authority",
        Kind::Host,
        "`Host` or the target's authority is not `host[:port]`",
    ),
    rule("head-gate/authority-differs", Kind::Host, "`:authority` and `host` name different hosts"),
    rule("head-gate/bare-cr", Kind::Malformed, "a carriage return without a line feed"),
    rule("head-gate/bare-lf", Kind::Malformed, "a line that ends in a line feed alone"),
    rule("head-gate/chunked-version", Kind::Framing, "`Transfer-Encoding` outside HTTP/1.1"),
    rule("head-gate/connect", Kind::Unsupported, "`CONNECT`"),
    rule("head-gate/connection", Kind::Malformed, "an option of `Connection` that is no token"),
    rule(
        "head-gate/connection-nominates",
        Kind::Malformed,
        "`Connection` names a field that routing, framing or authorization rest on",
    ),
    rule("head-gate/content-length", Kind::Framing, "`Content-Length` is not 1 to 18 digits"),
    rule("head-gate/duplicate-content-length", Kind::Framing, "`Content-Length` twice"),
    rule("head-gate/duplicate-host", Kind::Host, "`Host` twice"),
    rule("head-gate/duplicate-transfer-encoding", Kind::Framing, "`Transfer-Encoding` twice"),
    rule("head-gate/duplicate-upgrade", Kind::Malformed, "`Upgrade` twice"),
    rule("head-gate/empty-name", Kind::Malformed, "a field without a name"),
    rule("head-gate/expect", Kind::Expectation, "`Expect` other than `100-continue`"),
    rule("head-gate/host-differs", Kind::Host, "`Host` and the target name different hosts"),
    rule(
        "head-gate/length-and-chunked",
        Kind::Framing,
        "`Content-Length` beside `Transfer-Encoding`",
    ),
    rule("head-gate/method", Kind::Malformed, "a method that is no token"),
    rule("head-gate/missing-host", Kind::Host, "no `Host`"),
    rule("head-gate/name-byte", Kind::Malformed, "a byte in a field name that no token has"),
    rule("head-gate/no-colon", Kind::Malformed, "a field line without a colon"),
    rule("head-gate/no-version", Kind::Malformed, "a request line without a version (HTTP/0.9)"),
    rule("head-gate/obs-fold", Kind::Malformed, "a field that goes on in the next line"),
    rule("head-gate/space-before-colon", Kind::Malformed, "white space between name and colon"),
    rule("head-gate/tab", Kind::Framing, "a tab behind `Content-Length` or `Transfer-Encoding`"),
    rule("head-gate/target", Kind::Target, "a target that is neither a path nor an `http(s)` URI"),
    rule("head-gate/target-byte", Kind::Target, "a byte in the target that no URI has"),
    rule(
        "head-gate/transfer-encoding",
        Kind::Unsupported,
        "`Transfer-Encoding` other than `chunked`",
    ),
    rule("head-gate/value-byte", Kind::Malformed, "a control byte in a field value"),
    rule("head-gate/value-space", Kind::Malformed, "white space around a field value in HTTP/2"),
    rule("head-gate/version", Kind::Malformed, "a version that is not `HTTP/` and two digits"),
    rule("head-gate/version-unsupported", Kind::Version, "a version other than 1.0 and 1.1"),
    rule("limit/head", Kind::HeadLimit, "more bytes than `limits { head }`"),
    rule("limit/head-fields", Kind::HeadLimit, "more fields than `limits { head-fields }`"),
    rule(
        "limit/target",
        Kind::TargetLimit,
        "a request line that alone is longer than `limits { head }`",
    ),
];

const fn rule(code: &'static str, kind: Kind, broken_by: &'static str) -> Rule {
    Rule { code, kind, broken_by }
}

impl Kind {
    /// Status for the client.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Target | Self::Host | Self::Framing => 400,
            Self::TargetLimit => 414,
            Self::Expectation => 417,
            Self::HeadLimit => 431,
            Self::Unsupported => 501,
            Self::Version => 505,
        }
    }
}

impl Rejection {
    /// What the rule that was broken is about; [`Kind::Malformed`] for a response's head.
    pub fn kind(&self) -> Kind {
        let rule = RULES.iter().find(|rule| rule.code == self.code);
        rule.map_or(Kind::Malformed, |rule| rule.kind)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The sources that refuse heads, without their tests.
    const SOURCES: [&str; 2] = [include_str!("request.rs"), include_str!("fields.rs")];

    /// Status and code of each call of `reject`.
    fn refused() -> BTreeMap<&'static str, u16> {
        let mut refused = BTreeMap::new();
        for source in SOURCES {
            let source = source.split("#[cfg(test)]").next().unwrap();
            for call in source.split("reject(").skip(1) {
                let Some((status, rest)) = call.split_once(',') else { continue };
                let Ok(status) = status.trim().parse() else { continue };
                let code = rest.split('"').nth(1).unwrap();
                let before = refused.insert(code, status);
                assert!(before.is_none_or(|before| before == status), "{code}");
            }
        }
        refused
    }

    #[test]
    fn each_refusal_has_its_rule_and_each_rule_its_refusal() {
        let ruled: BTreeMap<_, _> =
            RULES.iter().map(|rule| (rule.code, rule.kind.status())).collect();
        assert_eq!(refused(), ruled);
        assert!(RULES.is_sorted_by_key(|rule| rule.code) && ruled.len() == RULES.len());
    }
}
