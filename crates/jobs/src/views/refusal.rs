//! Why a reader is sent away, in the words of HTTP.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use selvedge_identity::{Codes, Problem};

/// Every code with its status and what it means, for the page of codes.
pub const CODES: &Codes = &[
    (400, "views/query", "The query says what it must not"),
    (400, "views/offset", "The offset is none that an answer gave"),
    (404, "views/missing", "There is no such view"),
    (409, "views/lossy", "A rebuild would lose what its stream does not hold any more"),
    (409, "views/refused", "The view cannot be kept up as it is declared"),
    (429, "views/busy", "As much is in progress as may be"),
    (503, "views/behind", "The view does not include the offset yet"),
    (503, "views/empty", "Nothing has been folded yet"),
    (503, "views/slow", "The answer takes longer than it may"),
    (503, "views/unavailable", "The rows cannot be read or built"),
];

/// Why a reader is sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Query(String),
    Offset(&'static str),
    Missing,
    Lossy { lost: u64 },
    Refused(String),
    Busy,
    Behind { lag: u64 },
    Empty { state: &'static str },
    Slow,
    Unavailable(String),
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::Query(_) => "views/query",
            Refusal::Offset(_) => "views/offset",
            Refusal::Missing => "views/missing",
            Refusal::Lossy { .. } => "views/lossy",
            Refusal::Refused(_) => "views/refused",
            Refusal::Busy => "views/busy",
            Refusal::Behind { .. } => "views/behind",
            Refusal::Empty { .. } => "views/empty",
            Refusal::Slow => "views/slow",
            Refusal::Unavailable(_) => "views/unavailable",
        }
    }

    fn problem(&self) -> Problem {
        Problem::new(CODES, self.code(), self.detail())
    }

    fn detail(&self) -> String {
        match self {
            Refusal::Query(reason) | Refusal::Refused(reason) => format!("{reason}."),
            Refusal::Offset(reason) => (*reason).to_owned(),
            Refusal::Missing => "The list of views is one level up.".to_owned(),
            Refusal::Lossy { lost } => {
                format!(
                    "The view has {lost} events that are gone; send `?lossy=true` to leave them out."
                )
            }
            Refusal::Busy => "Try again in a moment.".to_owned(),
            Refusal::Behind { lag } => format!("It is {lag} records behind its stream. Try again."),
            Refusal::Empty { state } => format!("The view is {state}."),
            Refusal::Slow => {
                "Ask for less: by key, by prefix, or for rows in the order of their keys."
                    .to_owned()
            }
            Refusal::Unavailable(reason) => format!("{reason}."),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let mut response = problem.response();
        let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        if again.contains(&problem.status) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<super::query::BadQuery> for Refusal {
    fn from(bad: super::query::BadQuery) -> Self {
        Refusal::Query(bad.0)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Refusal::Slow,
            _ => Refusal::Unavailable(
                "The rows cannot be read; the list of views says how they are".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_in_the_table_and_on_its_page() {
        let text = String::new;
        let all = [
            Refusal::Query(text()),
            Refusal::Offset(""),
            Refusal::Missing,
            Refusal::Lossy { lost: 1 },
            Refusal::Refused(text()),
            Refusal::Busy,
            Refusal::Behind { lag: 1 },
            Refusal::Empty { state: "" },
            Refusal::Slow,
            Refusal::Unavailable(text()),
        ];
        let page = include_str!("../../../../docs/errors/views.md");
        assert_eq!(all.len(), CODES.len());
        for refusal in all {
            let Problem { status, code, title, .. } = refusal.problem();
            let row = format!("| {} | `{code}` | {title} |", status.as_u16());
            let found = page.lines().filter(|line| line.starts_with(&row)).count();
            assert_eq!(found, 1, "docs/errors/views.md needs the row {row}");
        }
    }
}
