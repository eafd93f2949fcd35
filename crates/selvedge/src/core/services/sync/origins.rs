//! Pages of other origins, where the config lets them in (Fetch standard, "CORS protocol").

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{Desk, problem::Why};

/// What a page may send.
const METHODS: &str = "GET, POST";
const FIELDS: &str = "content-type, selvedge-proof";
/// How long a browser need not ask again, in seconds.
const KEPT_S: &str = "600";

/// What a browser asks for its page before.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Answers those whose pages may ask, and lets their browsers show them what was answered.
pub(super) async fn admit(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    if !desk.sync.is_welcome(request.headers()) {
        return foreign().into_response();
    }
    let mut response = next.run(request).await;
    let fields = response.headers_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    fields.append(header::VARY, HeaderValue::from_static("origin"));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, FIELDS),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after"),
        (header::ACCESS_CONTROL_MAX_AGE, KEPT_S),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Its page is not let in.
pub(super) fn foreign() -> super::problem::Problem {
    Why::Origin.because("Name it in `core { sync { origins … } }`, if its pages are yours.")
}
