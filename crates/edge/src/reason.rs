//! Reason phrases (RFC 9110 §15, RFC 6585).

/// The customary phrase of a status, or nothing.
pub(crate) fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}
