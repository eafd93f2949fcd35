//! The door: which method does what, who may, and what every answer carries.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Path, Request, State},
    response::{IntoResponse, Response},
    routing,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use selvedge_identity::{Caller, Refusal as Unknown};
use tokio::sync::watch;

use crate::{
    METHODS, headers, list,
    pace::Pace,
    read,
    refusal::{Refusal, put},
    seats::Seats,
    service::Service,
    write,
};

const READ: &str = "streams:read";
const WRITE: &str = "streams:write";
const DELETE: &str = "streams:delete";

/// What all requests share.
pub(crate) struct Door {
    pub(crate) service: Service,
    pub(crate) pace: Pace,
    /// One for each reader that waits or follows.
    pub(crate) seats: Arc<Seats>,
    pub(crate) draining: watch::Sender<bool>,
    opened: Instant,
}

/// A request for one stream, by somebody who may.
pub(crate) struct Asked<'r> {
    pub(crate) caller: &'r Caller,
    /// The stream's name in the log.
    pub(crate) name: String,
    /// Where the service is mounted: what stands before the stream's path.
    pub(crate) mount: String,
    pub(crate) request: Request,
}

impl Door {
    pub(crate) fn new(service: Service) -> Door {
        Door {
            pace: Pace::new(service.settings.append_bytes_per_s),
            seats: Seats::new(service.settings.followers_max),
            draining: watch::Sender::new(false),
            opened: Instant::now(),
            service,
        }
    }

    /// Nanoseconds since the door was opened.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/", routing::get(all))
        .route("/{*path}", routing::any(one))
        .with_state(door)
}

/// All streams that the caller may read.
async fn all(State(door): State<Arc<Door>>, caller: Caller, request: Request) -> Response {
    let answer = match caller.require(READ) {
        Ok(()) => list::list(&door.service, &caller, request.uri().query().unwrap_or_default()),
        Err(unknown) => return unknown.into_response(),
    };
    finish(&door, &HeaderMap::new(), answer)
}

/// One stream.
async fn one(
    State(door): State<Arc<Door>>,
    Path(path): Path<String>,
    caller: Caller,
    request: Request,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut said = HeaderMap::new();
    said.extend(origin.map(|origin| (header::ORIGIN, origin)));
    if request.method() == Method::OPTIONS {
        return finish(&door, &said, Ok(preflight()));
    }
    if let Err(unknown) = admit(&caller, request.method()) {
        return finish(&door, &said, Ok(unknown.into_response()));
    }
    let answer = answer(&door, &path, &caller, request).await;
    finish(&door, &said, answer)
}

fn admit(caller: &Caller, method: &Method) -> Result<(), Unknown> {
    match *method {
        Method::GET | Method::HEAD => caller.require(READ),
        Method::DELETE => caller.require(DELETE),
        _ => caller.require(WRITE),
    }
}

async fn answer(
    door: &Arc<Door>,
    path: &str,
    caller: &Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let name = door.service.name(caller.tenant.as_deref(), path)?;
    let asked = Asked { caller, name, mount: mount(&request, path), request };
    match *asked.request.method() {
        Method::PUT => write::create(door, asked).await,
        Method::POST => write::append(door, asked).await,
        Method::GET => read::get(door, asked).await,
        Method::HEAD => read::head(door, asked),
        Method::DELETE => write::delete(door, asked).await,
        _ => Err(Refusal::Method),
    }
}

/// What of the request's path stands before the stream's, as the client wrote it.
fn mount(request: &Request, path: &str) -> String {
    let original =
        request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
    let segments = path.trim_start_matches('/').split('/').count();
    let whole = original.path();
    let begin = whole.rmatch_indices('/').nth(segments - 1).map_or(0, |(at, _)| at);
    whole[..begin].to_owned()
}

/// What browsers ask before they send what they would not send on their own.
fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let fields = response.headers_mut();
    put(fields, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    put(fields, header::ACCESS_CONTROL_ALLOW_HEADERS, headers::SENT);
    put(fields, header::ACCESS_CONTROL_MAX_AGE, 600);
    put(fields, header::ALLOW, METHODS);
    response
}

/// Adds what every answer carries.
fn finish(door: &Door, said: &HeaderMap, answer: Result<Response, Refusal>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    let fields = response.headers_mut();
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let origins = &door.service.settings.origins;
    let policy = if origins.is_empty() { "same-origin" } else { "cross-origin" };
    fields.insert("cross-origin-resource-policy", HeaderValue::from_static(policy));
    if let Some(origin) = said.get(header::ORIGIN).filter(|origin| is_welcome(origins, origin)) {
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        fields
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(headers::SEEN));
        fields.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

fn is_welcome(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|welcome| welcome == "*" || welcome.as_bytes() == origin.as_bytes())
}

/// Reads a body up to its bound.
///
/// # Errors
/// If it is longer, or the client went away.
pub(crate) async fn body(body: Body, bytes_max: usize) -> Result<bytes::Bytes, Refusal> {
    use http_body_util::{BodyExt, LengthLimitError, Limited};
    let whole = Limited::new(body, bytes_max).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| {
        match error.is::<LengthLimitError>() {
            true => Refusal::TooLarge { bytes_max },
            false => Refusal::Query("The body did not come whole"),
        }
    })
}
