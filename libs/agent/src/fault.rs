use std::{borrow::Cow, error::Error, fmt};

use crate::wire::Malformed;

/// Why a connection is over: a rule was broken, here or at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub code: FaultCode,
    /// What exactly, for people.
    pub text: Cow<'static, str>,
    /// Whether the other end said so of us; otherwise we say it of them.
    pub by_peer: bool,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), by_peer: false }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.by_peer { " (said by the other end)" } else { "" };
        write!(f, "{}: {}{by}", self.code, self.text)
    }
}

impl Error for Fault {}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::new(FaultCode::Malformed, malformed.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// A rule of the protocol, or what kept an agent from working at all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FaultCode {
            $($(#[$doc])* $variant,)*
            /// A code that this version does not know.
            Other(u16),
        }

        impl FaultCode {
            /// The code with this number on the wire.
            pub fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }

            /// The name in logs and metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(_) => "other",
                }
            }
        }
    };
}

codes! {
    /// The two sides speak no common version.
    Version = 1, "version";
    /// A payload or header is not what its type says.
    Malformed = 2, "malformed";
    /// A type of frame that does not exist, or not in this direction.
    UnknownType = 3, "unknown-type";
    /// A frame longer than the receiver allows.
    TooLarge = 4, "too-large";
    /// A frame that does not follow from those before it.
    OutOfOrder = 5, "out-of-order";
    /// A stream that was never opened.
    UnknownStream = 6, "unknown-stream";
    /// More bytes than there was room for.
    Credit = 7, "credit";
    /// More open streams than the agent serves.
    Streams = 8, "streams";
    /// An answer that nobody asked for.
    Unasked = 9, "unasked";
    /// The agent cannot work with its settings.
    Settings = 10, "settings";
    /// The other end does not read.
    Backlog = 11, "backlog";
    /// A fault of the side that says it.
    Internal = 12, "internal";
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "fault {number}"),
            code => f.write_str(code.name()),
        }
    }
}
