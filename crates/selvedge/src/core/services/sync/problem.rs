//! What the relay refuses in the words of HTTP; what it refuses of devices is in its own protocol.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use selvedge_identity::{Codes, Problem as Document, Refusal};

use super::super::audit::Unwritten;

/// Every code with its status and what it means, for the page of codes.
pub(super) const CODES: &Codes = &[
    (400, "sync/token", "The token cannot be made like this"),
    (400, "sync/subprotocol", "The subprotocol is not offered"),
    (403, "sync/origin", "Pages of this origin may not connect"),
    (403, "sync/tenant", "The caller acts for another tenant"),
    (426, "sync/websocket", "This is a WebSocket"),
    (503, "sync/full", "There are as many connections as may be"),
    (503, "sync/unwritten", "The log takes nothing, so nothing was done"),
];

/// A refusal.
#[derive(Debug)]
pub(super) enum Problem {
    NotAsked,
    Subprotocol,
    Origin,
    Full,
    Token(String),
    Tenant,
    Unwritten(String),
    /// The caller may not.
    Caller(Refusal),
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, detail) = match self {
            Self::Caller(refusal) => return refusal.into_response(),
            Self::NotAsked => (
                "sync/websocket",
                "Devices connect with `Upgrade: websocket`, version 13.".to_owned(),
            ),
            Self::Subprotocol => {
                ("sync/subprotocol", "Send `Sec-WebSocket-Protocol: selvedge-sync.1`.".to_owned())
            }
            Self::Origin => (
                "sync/origin",
                "Name it in `core { sync { origins … } }`, if its pages are yours.".to_owned(),
            ),
            Self::Full => ("sync/full", "Come again shortly.".to_owned()),
            Self::Token(detail) => ("sync/token", detail),
            Self::Tenant => (
                "sync/tenant",
                "Its credentials are for one tenant, and this is another.".to_owned(),
            ),
            Self::Unwritten(detail) => ("sync/unwritten", detail),
        };
        let mut response = Document::new(CODES, code, detail).response();
        let fields = response.headers_mut();
        match code {
            "sync/websocket" => {
                fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
            "sync/full" | "sync/unwritten" => {
                fields.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}
