//! Stable codes of what can be wrong with a config, each with a page in `docs/errors`.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal, $title:literal;)*) => {
        /// What kind of mistake a diagnostic reports. Codes keep their meaning for good.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All codes, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// `E0101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A few words that name the mistake.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means, with an example and its remedy (Markdown).
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../docs/errors/", $code, ".md")),)*
                }
            }
        }
    };
}

codes! {
    Syntax = "E0101", "text that is not KDL";
    UnknownNode = "E0102", "unknown node";
    UnknownProperty = "E0103", "unknown property";
    SurplusArgument = "E0104", "surplus argument";
    UnknownAnnotation = "E0105", "unknown type annotation";
    Missing = "E0106", "something required is missing";
    WrongType = "E0107", "wrong type of value";
    BadUnit = "E0108", "size or duration not understood";
    OutOfRange = "E0109", "number out of range";
    DuplicateId = "E0110", "id used twice";
    Repeated = "E0111", "written twice";
    DuplicateAddress = "E0112", "address used twice";
    UnknownReference = "E0113", "reference to nothing";
    Action = "E0114", "route without exactly one action";
    Regex = "E0115", "invalid regular expression";
    Header = "E0116", "invalid header name or value";
    FramingHeader = "E0117", "header that belongs to the edge";
    Host = "E0118", "invalid host";
    Path = "E0119", "invalid path";
    UnknownWord = "E0120", "word that is none of the choices";
    Address = "E0121", "invalid address";
    Unreadable = "E0122", "config file that cannot be read";
    Include = "E0123", "include that cannot be followed";
    Secret = "E0124", "secret that cannot be found";
    FileMissing = "E0125", "file or folder that is not there";
    Conflict = "E0127", "settings that do not go together";
    RedirectTarget = "E0128", "invalid redirect target";
    Id = "E0129", "invalid id";
    TooLarge = "E0130", "config beyond its bounds";
    Text = "E0131", "text that is not allowed here";
    AgentOrder = "E0132", "agents that wait for each other";
    Unusable = "E0133", "file or folder that cannot be used";
    NoHealthCheck = "W0201", "upstream without health check";
    VerifyOff = "W0202", "upstream certificates are not verified";
    WideTrust = "W0203", "everybody is a trusted proxy";
    UnusedUpstream = "W0204", "upstream that no route uses";
    NoListener = "W0205", "config without listener";
    OpenAdmin = "W0206", "admin listener beyond loopback";
    PriorKnowledge = "W0207", "listener that browsers cannot speak to";
    UnusedAgent = "W0208", "agent that no route asks";
    FailsOpen = "W0209", "authentication that fails open";
    AnyAudience = "W0210", "tokens for any audience are accepted";
    PlainKeys = "W0211", "keys or questions in plain text";
    BodyMax = "W0212", "agent that inspects more than a route lets through";
    KeyNeverSet = "W0213", "limit by something that nobody sets on this route";
    NoSpool = "W0214", "edge that keeps nothing for the audit log";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The page of a code such as `E0101`, or `None` when there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(code)).map(|code| code.page())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_names_its_code_its_example_and_its_remedy() {
        for code in Code::ALL {
            let page = explain(code.as_str()).unwrap();
            assert!(page.starts_with(&format!("# {code}: {}\n", code.title())), "{code}");
            assert!(page.contains("## Example\n"), "{code}");
            assert!(page.contains("## Remedy\n"), "{code}");
        }
        assert_eq!(explain("e0101"), explain("E0101"));
        assert_eq!(explain("E9999"), None);
    }
}
