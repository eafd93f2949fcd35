//! What the relay refuses in the words of HTTP; what it refuses of devices is in its own protocol.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use selvedge_identity::{Codes, Problem as Document, Refusal};

use super::super::audit::Unwritten;

/// Every code with its status and what it means, for the page of codes; in the order of [`Why`].
pub(super) const CODES: &Codes = &[
    (400, "sync/token", "The token cannot be made like this"),
    (400, "sync/subprotocol", "The subprotocol is not offered"),
    (401, "sync/proof", "The device did not show that it is the one that asks"),
    (401, "sync/clock", "The device's clock is not the relay's"),
    (403, "sync/origin", "Pages of this origin may not connect"),
    (403, "sync/tenant", "The caller acts for another tenant"),
    (403, "sync/guests", "Not every device may found this document"),
    (403, "sync/spent", "The token is not exchanged"),
    (403, "sync/rights", "The token does not give as much"),
    (404, "sync/push", "Nobody is woken by this relay"),
    (409, "sync/founded", "The document has a founder, or was there before"),
    (409, "sync/used", "The link was used, or taken back"),
    (413, "sync/body", "The body is larger than its bound"),
    (426, "sync/websocket", "This is a WebSocket"),
    (429, "sync/often", "That was asked for too often"),
    (503, "sync/busy", "Somebody does the same at this moment"),
    (503, "sync/full", "There are as many connections as may be"),
    (503, "sync/unwritten", "The log takes nothing, so nothing was done"),
    (507, "sync/documents", "As many documents were founded as may be"),
];

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Token,
    Subprotocol,
    Proof,
    Clock,
    Origin,
    Tenant,
    Guests,
    Spent,
    Rights,
    Push,
    Founded,
    Used,
    Body,
    Websocket,
    Often,
    Busy,
    Full,
    Unwritten,
    Documents,
}

/// A refusal.
#[derive(Debug)]
pub(super) enum Problem {
    Own {
        why: Why,
        detail: String,
        /// When to ask again.
        later: Option<Duration>,
        /// What the relay's clock says, in milliseconds since 1970.
        now_ms: Option<u64>,
    },
    /// The caller may not.
    Caller(Refusal),
}

impl Why {
    fn code(self) -> &'static str {
        CODES[self as usize].1
    }

    /// With what it means here, and what helps.
    pub(super) fn because(self, detail: impl Into<String>) -> Problem {
        Problem::Own { why: self, detail: detail.into(), later: None, now_ms: None }
    }

    /// As [`Self::because`]; it may work after this time.
    pub(super) fn until(self, wait: Duration, detail: impl Into<String>) -> Problem {
        Problem::Own { why: self, detail: detail.into(), later: Some(wait), now_ms: None }
    }

    /// Says to somebody whose clock it is not what the time is.
    pub(super) fn at(self, now_ms: u64, detail: impl Into<String>) -> Problem {
        Problem::Own { why: self, detail: detail.into(), later: None, now_ms: Some(now_ms) }
    }

    /// Fields by which programs go on.
    fn fields(self) -> &'static [(HeaderName, &'static str)] {
        match self {
            Why::Websocket => &[(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")],
            Why::Proof | Why::Clock => &[(header::WWW_AUTHENTICATE, "Selvedge-Proof")],
            _ => &[],
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
        Why::Unwritten.until(Duration::from_secs(2), error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (why, detail, later, now_ms) = match self {
            Self::Caller(refusal) => return refusal.into_response(),
            Self::Own { why, detail, later, now_ms } => (why, detail, later, now_ms),
        };
        let problem = Document::new(CODES, why.code(), detail);
        let problem = match now_ms {
            Some(now_ms) => problem.with("now", now_ms),
            None => problem,
        };
        let mut response = problem.response();
        let fields: &mut HeaderMap = response.headers_mut();
        for (name, value) in why.fields() {
            fields.insert(name, HeaderValue::from_static(value));
        }
        if let Some(later) = later {
            let seconds = later.as_secs() + u64::from(later.subsec_nanos() > 0);
            fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::check_documented, *};

    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../../../docs/errors/sync.md");
        check_documented(page, "sync/", &[CODES]);
    }

    #[track_caller]
    fn check(why: Why, status: u16, code: &str) {
        assert_eq!(why.code(), code);
        assert_eq!(why.because("").into_response().status(), status);
    }

    #[test]
    fn each_refusal_has_its_code() {
        check(Why::Token, 400, "sync/token");
        check(Why::Proof, 401, "sync/proof");
        check(Why::Guests, 403, "sync/guests");
        check(Why::Rights, 403, "sync/rights");
        check(Why::Push, 404, "sync/push");
        check(Why::Used, 409, "sync/used");
        check(Why::Websocket, 426, "sync/websocket");
        check(Why::Often, 429, "sync/often");
        check(Why::Unwritten, 503, "sync/unwritten");
        check(Why::Documents, 507, "sync/documents");
        assert_eq!(Why::Documents as usize + 1, CODES.len());
    }

    #[test]
    fn programs_are_told_how_to_go_on() {
        let often = Why::Often.until(Duration::from_millis(1_200), "").into_response();
        assert_eq!(often.headers()["retry-after"], "2");
        let clock = Why::Clock.at(7, "").into_response();
        assert_eq!(clock.headers()["www-authenticate"], "Selvedge-Proof");
    }
}
