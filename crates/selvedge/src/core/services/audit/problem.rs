//! What the audit log refuses, in the words of HTTP.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use selvedge_audit::{files::FilesError, service::AuditError};
use selvedge_identity::{Codes, Problem as Document, Refusal};

use super::journal::Unwritten;
use crate::exit::chain;

/// Every code with its status and what it means, for the page of codes.
pub(super) const CODES: &Codes = &[
    (400, "audit/query", "The query says what it must not"),
    (400, "audit/body", "The body says what it must not"),
    (404, "audit/missing", "The log has no such file"),
    (404, "audit/no-entry", "The log has no such entry"),
    (404, "audit/no-subject", "Nobody of this name has a key"),
    (410, "audit/pruned", "What was asked for was given up"),
    (413, "audit/too-large", "The body is larger than its bound"),
    (500, "audit/damaged", "The log's files are not what was signed"),
    (503, "audit/busy", "As much is in progress as may be"),
    (503, "audit/unwritten", "The audit log takes no entries, so nothing was done"),
    (503, "audit/unsigned", "No head is being signed, so nothing was given up"),
    (503, "audit/unreadable", "The log's files cannot be read"),
];

/// A refusal.
#[derive(Debug)]
pub(super) enum Problem {
    Query(String),
    Body(String),
    Missing,
    NoEntry {
        size: u64,
    },
    NoSubject,
    Pruned {
        minimum: u64,
    },
    TooLarge {
        bytes_max: usize,
    },
    Damaged(String),
    Busy,
    Unwritten(String),
    Unsigned,
    Unreadable(String),
    /// The caller may not.
    Caller(Refusal),
}

impl Problem {
    /// Its code, which entries have as their reason.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Query(_) => "audit/query",
            Self::Body(_) => "audit/body",
            Self::Missing => "audit/missing",
            Self::NoEntry { .. } => "audit/no-entry",
            Self::NoSubject => "audit/no-subject",
            Self::Pruned { .. } => "audit/pruned",
            Self::TooLarge { .. } => "audit/too-large",
            Self::Damaged(_) => "audit/damaged",
            Self::Busy => "audit/busy",
            Self::Unwritten(_) => "audit/unwritten",
            Self::Unsigned => "audit/unsigned",
            Self::Unreadable(_) => "audit/unreadable",
            Self::Caller(refusal) => refusal.code(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Query(what) | Self::Body(what) => format!("{what}."),
            Self::Missing => "`checkpoint` says how many entries there are.".to_owned(),
            Self::NoEntry { size } => format!("It has {size}, counted from 0."),
            Self::NoSubject => "They have never been in the log, or were erased.".to_owned(),
            Self::Pruned { minimum } => format!("What is kept begins with entry {minimum}."),
            Self::TooLarge { bytes_max } => format!("Send at most {bytes_max} bytes."),
            Self::Busy => "Try again in a moment.".to_owned(),
            Self::Unsigned => "`status` says why.".to_owned(),
            // Where files lie, and what is wrong with them, is for those who run the core.
            Self::Damaged(_) | Self::Unwritten(_) | Self::Unreadable(_) => {
                "The core's log says why.".to_owned()
            }
            Self::Caller(refusal) => refusal.to_string(),
        }
    }

    /// What the core's log says of it, if it is a fault of ours.
    pub(super) fn fault(&self) -> Option<&str> {
        match self {
            Self::Damaged(why) | Self::Unwritten(why) | Self::Unreadable(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Caller(refusal)
    }
}

impl From<Unwritten> for Problem {
    fn from(error: Unwritten) -> Self {
        Self::Unwritten(error.to_string())
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::NotSigned => Self::Unsigned,
            AuditError::Files(_) => Self::Unreadable(chain(&error)),
            _ => Self::Unwritten(chain(&error)),
        }
    }
}

impl From<FilesError> for Problem {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::NoEntry { size } => Self::NoEntry { size },
            FilesError::Io { .. } => Self::Unreadable(chain(&error)),
            _ => Self::Damaged(chain(&error)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Self::Caller(refusal) = self {
            return refusal.into_response();
        }
        answered(&Document::new(CODES, self.code(), self.detail()))
    }
}

/// The answer; what may work soon is to be asked for again.
pub(super) fn answered(problem: &Document) -> Response {
    let mut response = problem.response();
    if response.status() == 503 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../../../docs/errors/audit.md");
        let tables = [CODES, super::super::delivery::CODES];
        super::super::super::check_documented(page, "audit/", &tables);
    }

    #[test]
    fn each_refusal_has_its_code_in_the_table() {
        let text = String::new;
        let all = [
            Problem::Query(text()),
            Problem::Body(text()),
            Problem::Missing,
            Problem::NoEntry { size: 0 },
            Problem::NoSubject,
            Problem::Pruned { minimum: 0 },
            Problem::TooLarge { bytes_max: 0 },
            Problem::Damaged(text()),
            Problem::Busy,
            Problem::Unwritten(text()),
            Problem::Unsigned,
            Problem::Unreadable(text()),
        ];
        assert_eq!(all.len(), CODES.len());
        for (problem, (status, code, _)) in all.into_iter().zip(CODES) {
            assert_eq!(problem.code(), *code);
            assert_eq!(problem.into_response().status().as_u16(), *status);
        }
    }
}
