//! What the core itself refuses, in the words of HTTP; services and callers have words of their own.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::json;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: u16,
    code: &'static str,
    title: &'static str,
    detail: &'static str,
}

impl Problem {
    pub(super) const NOT_FOUND: Self = Self {
        status: 404,
        code: "core/none",
        title: "Nothing here",
        detail: "The core has no service at this path.",
    };
    pub(super) const METHOD: Self = Self {
        status: 405,
        code: "core/method",
        title: "Method not allowed",
        detail: "Allow lists what can be asked here.",
    };
    pub(super) const BODY: Self = Self {
        status: 413,
        code: "core/body",
        title: "Request body too large",
        detail: "The body is larger than `core { limits { body … } }` allows.",
    };
    pub(super) const IN_FLIGHT: Self = Self {
        status: 503,
        code: "core/in-flight",
        title: "Too many requests at once",
        detail: "The core is working at its bound. Try again shortly.",
    };
    pub(super) const MOMENTS: Self = Self {
        status: 503,
        code: "core/moments",
        title: "Too many backups at once",
        detail: "As many backups hold on to the log as may. Try again when one has ended.",
    };
    pub(super) const UNREADABLE: Self = Self {
        status: 503,
        code: "core/unreadable",
        title: "The log's folder cannot be read",
        detail: "The disk refuses; the core's own log says more.",
    };
    #[cfg(test)]
    const ALL: [Self; 6] = [
        Self::NOT_FOUND,
        Self::METHOD,
        Self::BODY,
        Self::IN_FLIGHT,
        Self::MOMENTS,
        Self::UNREADABLE,
    ];

    /// The answer: `application/problem+json` (RFC 9457).
    pub(super) fn response(self) -> Response<Body> {
        let Self { status, code, title, detail } = self;
        let body = json!({
            "type": format!("urn:selvedge:problem:{code}"),
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
        });
        let mut response = Response::new(Body::from(format!("{body}\n")));
        *response.status_mut() =
            StatusCode::from_u16(status).expect("the statuses above are valid");
        let fields = response.headers_mut();
        let media = HeaderValue::from_static("application/problem+json");
        fields.insert(header::CONTENT_TYPE, media);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == 503 {
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
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
        let own = Problem::ALL.iter().map(|it| (it.status, it.code, it.title));
        for (status, code, title) in own.chain(selvedge_identity::CODES.iter().copied()) {
            let row = format!("| {status} | `{code}` | {title} |");
            let found = page.lines().filter(|line| line.starts_with(&row)).count();
            assert_eq!(found, 1, "docs/errors/core.md needs the row {row}");
        }
        for problem in Problem::ALL {
            let response = problem.response();
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, problem.status == 503, "{}", problem.code);
        }
    }
}
