//! What the core itself refuses, in the words of HTTP; services and callers have words of their own.

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use selvedge_identity::{Codes, Problem};

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Nothing,
    Method,
    Body,
    InFlight,
    /// One caller has as much under way as one may.
    Share,
    /// As many backups hold on to the log as may.
    Moments,
    /// The log's folder cannot be looked at.
    Unreadable,
}

/// Every code with its status and what it means, for the page of codes.
const CODES: &Codes = &[
    (404, "core/none", "Nothing here"),
    (405, "core/method", "Method not allowed"),
    (413, "core/body", "Request body too large"),
    (429, "core/share", "The caller has too many requests under way"),
    (503, "core/in-flight", "Too many requests at once"),
    (503, "core/moments", "Too many backups at once"),
    (503, "core/unreadable", "The log's folder cannot be read"),
];

impl Refusal {
    fn problem(self) -> Problem {
        let (code, detail) = match self {
            Self::Nothing => ("core/none", "The core has no service at this path."),
            Self::Method => ("core/method", "Allow lists what can be asked here."),
            Self::Body => {
                ("core/body", "The body is larger than `core { limits { body … } }` allows.")
            }
            Self::InFlight => {
                ("core/in-flight", "The core is working at its bound. Try again shortly.")
            }
            Self::Share => (
                "core/share",
                "Nine tenths of what the core does at once are this caller's. Try again when some have ended.",
            ),
            Self::Moments => (
                "core/moments",
                "As many backups hold on to the log as may. Try again when one has ended.",
            ),
            Self::Unreadable => {
                ("core/unreadable", "The disk refuses; the core's own log says more.")
            }
        };
        Problem::new(CODES, code, detail)
    }

    /// The answer.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = self.problem().response();
        if [429, 503].contains(&response.status().as_u16()) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../docs/errors/core.md");
        for (status, code, title) in CODES.iter().chain(selvedge_identity::CODES) {
            let row = format!("| {status} | `{code}` | {title} |");
            let found = page.lines().filter(|line| line.starts_with(&row)).count();
            assert_eq!(found, 1, "docs/errors/core.md needs the row {row}");
        }
        let all = [
            Refusal::Nothing,
            Refusal::Method,
            Refusal::Body,
            Refusal::InFlight,
            Refusal::Share,
            Refusal::Moments,
            Refusal::Unreadable,
        ];
        assert_eq!(all.len(), CODES.len());
        for refusal in all {
            let response = refusal.response();
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, [429, 503].contains(&response.status().as_u16()), "{refusal:?}");
        }
    }
}
