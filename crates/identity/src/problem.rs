//! A refusal as a document (RFC 9457), the same for all services of the core.

use axum_core::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

/// Codes of a service, each with its status and what it means. Codes are stable; `selvedge explain` has a page for each.
pub type Codes = [(u16, &'static str, &'static str)];

/// Why a request is refused, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status.
    pub status: StatusCode,
    /// Stable code: `core/scope`.
    pub code: &'static str,
    /// What the code means.
    pub title: &'static str,
    /// What it means here, and what helps.
    pub detail: String,
    /// Members that only this code has.
    more: Map<String, Value>,
}

impl Problem {
    /// The problem that `codes` have under this code.
    ///
    /// # Panics
    /// If they do not have it, or have it with what is no status: each service tests its table.
    pub fn new(codes: &Codes, code: &str, detail: impl Into<String>) -> Self {
        let known = codes.iter().find(|(_, known, _)| *known == code);
        let (status, code, title) = *known.expect("every code is in the table, as a test checks");
        let status = StatusCode::from_u16(status).expect("the table holds statuses");
        Self { status, code, title, detail: detail.into(), more: Map::new() }
    }

    /// The same with another member, by which programs go on.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The answer, which nobody keeps. A service adds the fields by which programs go on, such as `Retry-After`.
    pub fn response(&self) -> Response<Body> {
        let Self { status, code, title, detail, more } = self;
        let mut body = json!({
            "type": format!("urn:selvedge:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        body.as_object_mut().expect("it is an object").extend(more.clone());
        let mut response = Response::new(Body::from(format!("{body}\n")));
        *response.status_mut() = *status;
        let fields = response.headers_mut();
        let media = HeaderValue::from_static("application/problem+json");
        fields.insert(header::CONTENT_TYPE, media);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_people_find_what_they_look_for() {
        let codes = [(404, "a/b", "Not \"here\""), (503, "a/c", "Away")];
        let problem = Problem::new(&codes, "a/b", "Look elsewhere.");
        assert_eq!((problem.status, problem.title), (StatusCode::NOT_FOUND, "Not \"here\""));
        let response = problem.response();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
