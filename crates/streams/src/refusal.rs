//! Why a request is sent away, in the words of HTTP.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use selvedge_eventlog::{AppendError, ReadError};
use selvedge_identity::{Codes, Problem};

use crate::{headers, lifetime::LifetimeError, offset::Offset};

/// Every code with its status and what it means, for the page of codes.
pub const CODES: &Codes = &[
    (400, "streams/header", "A header field says what it must not"),
    (400, "streams/path", "The path names no stream"),
    (400, "streams/query", "The query says what it must not"),
    (400, "streams/offset", "The offset is none that an answer gave"),
    (400, "streams/content-type", "The content type is missing or none"),
    (400, "streams/empty", "There is nothing to append"),
    (400, "streams/json", "The body is not JSON"),
    (400, "streams/epoch", "A producer's epoch begins with sequence 0"),
    (400, "streams/fork", "The fork's position is not in its source"),
    (403, "streams/fenced", "The producer's epoch is over"),
    (404, "streams/missing", "There is no such stream"),
    (405, "streams/method", "Streams know no such method"),
    (409, "streams/exists", "A stream with another configuration has this path"),
    (409, "streams/closed", "The stream is closed"),
    (409, "streams/mismatch", "The stream has another content type"),
    (409, "streams/sequence", "The Stream-Seq is not above the last one"),
    (409, "streams/gap", "The producer skipped a sequence"),
    (409, "streams/source-gone", "The source of the fork is deleted"),
    (410, "streams/gone", "The stream is deleted, or what was asked for is not kept any more"),
    (413, "streams/too-large", "The body is larger than its bound"),
    (429, "streams/rate", "The caller appends faster than it may"),
    (429, "streams/followers", "The caller has as many readers that wait or follow as it may"),
    (429, "streams/too-many", "There are as many streams as there may be"),
    (500, "streams/damaged", "Stored bytes are damaged"),
    (501, "streams/reserved", "The path is reserved for what this server does not offer"),
    (503, "streams/busy", "As much is in progress as may be"),
    (503, "streams/unavailable", "The log cannot be written or read"),
    (503, "streams/untold", "The audit log takes no entry of it, so nothing was done"),
    (507, "streams/full", "The disk is full"),
];

/// Why a request is sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Header {
        field: HeaderName,
        reason: String,
    },
    Path(&'static str),
    Query(&'static str),
    Offset,
    ContentType,
    Empty,
    Json(String),
    EpochStart,
    Fork(&'static str),
    Fenced {
        epoch: u64,
    },
    Missing,
    Method,
    Exists,
    Closed {
        tail: Offset,
    },
    Mismatch,
    Sequence,
    Gap {
        expected: u64,
        received: u64,
    },
    SourceGone,
    Gone,
    Trimmed {
        start: Offset,
    },
    TooLarge {
        bytes_max: usize,
    },
    /// More messages than the log takes at once.
    TooMuch {
        bytes_max: usize,
    },
    Rate {
        wait: Duration,
    },
    Followers {
        max: usize,
    },
    TooMany {
        max: usize,
    },
    Damaged,
    Reserved,
    Busy,
    Unavailable,
    /// Nobody can be told of the change, which was not done.
    Untold,
    Full,
}

/// How long a caller waits before it tries again what may work soon.
const SOON_S: u64 = 1;
/// How long a caller waits before it tries again what somebody has to repair.
const LATER_S: u64 = 30;

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::Header { .. } => "streams/header",
            Refusal::Path(_) => "streams/path",
            Refusal::Query(_) => "streams/query",
            Refusal::Offset => "streams/offset",
            Refusal::ContentType => "streams/content-type",
            Refusal::Empty => "streams/empty",
            Refusal::Json(_) => "streams/json",
            Refusal::EpochStart => "streams/epoch",
            Refusal::Fork(_) => "streams/fork",
            Refusal::Fenced { .. } => "streams/fenced",
            Refusal::Missing => "streams/missing",
            Refusal::Method => "streams/method",
            Refusal::Exists => "streams/exists",
            Refusal::Closed { .. } => "streams/closed",
            Refusal::Mismatch => "streams/mismatch",
            Refusal::Sequence => "streams/sequence",
            Refusal::Gap { .. } => "streams/gap",
            Refusal::SourceGone => "streams/source-gone",
            Refusal::Gone | Refusal::Trimmed { .. } => "streams/gone",
            Refusal::TooLarge { .. } | Refusal::TooMuch { .. } => "streams/too-large",
            Refusal::Rate { .. } => "streams/rate",
            Refusal::Followers { .. } => "streams/followers",
            Refusal::TooMany { .. } => "streams/too-many",
            Refusal::Damaged => "streams/damaged",
            Refusal::Reserved => "streams/reserved",
            Refusal::Busy => "streams/busy",
            Refusal::Unavailable => "streams/unavailable",
            Refusal::Untold => "streams/untold",
            Refusal::Full => "streams/full",
        }
    }

    fn problem(&self) -> Problem {
        Problem::new(CODES, self.code(), self.detail())
    }

    fn detail(&self) -> String {
        match self {
            Refusal::Header { field, reason } => format!("{field} {reason}."),
            Refusal::Path(reason) | Refusal::Query(reason) | Refusal::Fork(reason) => {
                format!("{reason}.")
            }
            Refusal::Offset => "Give `-1`, `now`, or what `Stream-Next-Offset` said.".to_owned(),
            Refusal::ContentType => {
                "Send `Content-Type: TYPE/SUBTYPE`, the one that the stream was created with."
                    .to_owned()
            }
            Refusal::Empty => {
                "Send a body, or `Stream-Closed: true` to close the stream.".to_owned()
            }
            Refusal::Json(reason) => {
                format!("{reason}. Send one value, or an array of values that is not empty.")
            }
            Refusal::EpochStart => "Send `Producer-Seq: 0` with a new `Producer-Epoch`.".to_owned(),
            Refusal::Fenced { epoch } => {
                format!("It is {epoch} by now; a producer that takes over sends a higher one.")
            }
            Refusal::Missing => "Create it with PUT.".to_owned(),
            Refusal::Method => "They know PUT, POST, GET, HEAD, DELETE and OPTIONS.".to_owned(),
            Refusal::Exists => "Delete it first, or send the configuration that it has.".to_owned(),
            Refusal::Closed { tail } => format!("It ends at {tail}; nothing can be appended."),
            Refusal::Mismatch => "Send the content type that HEAD shows.".to_owned(),
            Refusal::Sequence => {
                "They are compared byte by byte, and each must be above the one before.".to_owned()
            }
            Refusal::Gap { expected, received } => {
                format!("Sequence {expected} comes next, and {received} came.")
            }
            Refusal::SourceGone => "It is only kept for the forks that it has.".to_owned(),
            Refusal::Gone => "It was deleted, and is only kept for its forks.".to_owned(),
            Refusal::Trimmed { start } => {
                format!("What is kept begins at {start}: read from there, or from `-1`.")
            }
            Refusal::TooLarge { bytes_max } => format!("Send at most {bytes_max} bytes at once."),
            Refusal::TooMuch { bytes_max } => format!(
                "With 4 bytes for each, the messages of one append come to at most {bytes_max} \
                 bytes: send them in parts."
            ),
            Refusal::Rate { wait } => format!("Try again in {} s.", wait.as_secs().max(SOON_S)),
            Refusal::Followers { max } => {
                format!(
                    "A tenant may have {max}, and so may a caller of no tenant; end some first."
                )
            }
            Refusal::TooMany { max } => format!("There may be {max}; delete some first."),
            Refusal::Damaged => {
                "The log of the core says which; restore them from a backup.".to_owned()
            }
            Refusal::Reserved => {
                "Paths that begin with `__ds/` belong to subscriptions.".to_owned()
            }
            Refusal::Busy => "Try again in a moment.".to_owned(),
            Refusal::Unavailable | Refusal::Untold => "The log of the core says why.".to_owned(),
            Refusal::Full => "Reading goes on; appending does when there is room.".to_owned(),
        }
    }

    /// The fields by which programs tell what happened.
    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        match self {
            Refusal::Fenced { epoch } => put(&mut fields, headers::PRODUCER_EPOCH, epoch),
            Refusal::Gap { expected, received } => {
                put(&mut fields, headers::PRODUCER_EXPECTED, expected);
                put(&mut fields, headers::PRODUCER_RECEIVED, received);
            }
            Refusal::Closed { tail } => {
                put(&mut fields, headers::NEXT_OFFSET, tail);
                put(&mut fields, headers::CLOSED, "true");
            }
            Refusal::Method => put(&mut fields, header::ALLOW, crate::METHODS),
            Refusal::Rate { wait } => {
                put(&mut fields, header::RETRY_AFTER, wait.as_secs().max(SOON_S))
            }
            Refusal::Busy | Refusal::Followers { .. } => {
                put(&mut fields, header::RETRY_AFTER, SOON_S)
            }
            Refusal::Unavailable | Refusal::Untold | Refusal::Full => {
                put(&mut fields, header::RETRY_AFTER, LATER_S)
            }
            _ => {}
        }
        fields
    }
}

/// Adds a field whose value is ours.
pub(crate) fn put(fields: &mut HeaderMap, name: HeaderName, value: impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        fields.insert(name, value);
    }
}

impl From<headers::Unfit> for Refusal {
    fn from(unfit: headers::Unfit) -> Refusal {
        Refusal::Header { field: unfit.field, reason: unfit.reason.to_owned() }
    }
}

impl From<LifetimeError> for Refusal {
    fn from(error: LifetimeError) -> Refusal {
        let (field, reason) = match error {
            LifetimeError::Both => (headers::TTL, "does not come with Stream-Expires-At"),
            LifetimeError::Ttl => {
                (headers::TTL, "is not a number of seconds without sign, fraction or leading zeros")
            }
            LifetimeError::ExpiresAt => {
                (headers::EXPIRES_AT, "is not a time as RFC 3339 spells it")
            }
        };
        Refusal::Header { field, reason: reason.to_owned() }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        match error {
            ReadError::NoStream(_) => Refusal::Missing,
            ReadError::Trimmed { start } => Refusal::Trimmed { start: Offset(start) },
            ReadError::BeyondTail { .. } => Refusal::Offset,
            ReadError::Damaged { .. } => Refusal::Damaged,
            ReadError::Overloaded => Refusal::Busy,
            _ => Refusal::Unavailable,
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        match error {
            AppendError::NoStream(_) => Refusal::Missing,
            AppendError::Exists(_) => Refusal::Exists,
            AppendError::Closed { tail } => Refusal::Closed { tail: Offset(tail) },
            AppendError::Fenced { epoch } => Refusal::Fenced { epoch },
            AppendError::Gap { expected, received } => Refusal::Gap { expected, received },
            AppendError::EpochStart { .. } => Refusal::EpochStart,
            AppendError::TooLarge { what: "batch", max, .. } => Refusal::TooMuch { bytes_max: max },
            AppendError::TooLarge { max, .. } => Refusal::TooLarge { bytes_max: max },
            AppendError::TooManyStreams { max } => Refusal::TooMany { max },
            AppendError::Overloaded => Refusal::Busy,
            AppendError::DiskFull => Refusal::Full,
            AppendError::Tail { .. } => Refusal::Sequence,
            _ => Refusal::Unavailable,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.problem().response();
        response.headers_mut().extend(self.fields());
        response
    }
}
