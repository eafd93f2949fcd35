//! The log's files as C2SP tlog-tiles serves them, proofs, status, and what other logs ask of our
//! witness.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use selvedge_audit::{
    files::{FilesError, LogFiles, payload_path},
    integrate::CHECKPOINT,
    merkle::Hash,
    store::Storage,
    tile::Tile,
    witness::{Answer, REQUEST_BYTES_MAX, TEXT_TYPE},
};
use selvedge_identity::Caller;
use selvedge_telemetry::Level;
use serde_json::{Value, json};

use super::{Desk, problem::Problem, since_1970};

/// What it takes to read the log, where it is not public.
pub(super) const READ: &str = "audit:read";
/// How long a request to our witness may take to come: nobody has to say who they are for it.
const SUBMISSION_TIMEOUT: Duration = Duration::from_secs(10);
const UNKNOWN: &str = "no log is watched here\n";
const BYTES: &str = "application/octet-stream";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// What never changes may be kept for a year, which is as long as caches keep anything.
const FOR_EVER: &str = "max-age=31536000, immutable";

pub(super) type Files = LogFiles<Arc<dyn Storage>>;

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(status))
        .route("/status", get(status))
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/payload/{begin}/{digest}", get(payload))
        .route("/proof/{index}", get(proof))
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/witnessed/{origin}/checkpoint", get(witnessed))
        .with_state(desk)
}

impl Desk {
    /// Goes on only for those who may read; says whether everybody may.
    fn admit(&self, caller: &Caller) -> Result<bool, Problem> {
        let public = self.in_force().public;
        if !public {
            caller.require(READ)?;
        }
        Ok(public)
    }

    /// Does what reads files, beside the runtime.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self, Files) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let desk = self.clone();
        let done = tokio::task::spawn_blocking(move || read(&desk, desk.journal.audit.files()));
        let done = done.await.unwrap_or_else(|_| Err(Problem::Unreadable("a bug".to_owned())));
        done.inspect_err(|problem| self.tell(problem))
    }

    /// Tells the core's log what no caller is told.
    pub(super) fn tell(&self, problem: &Problem) {
        if let Some(why) = problem.fault() {
            self.hub.event(Level::Error, "the audit log failed a request", &[("error", &why)]);
        }
    }
}

async fn checkpoint(State(desk): State<Arc<Desk>>, caller: Caller) -> Result<Response, Problem> {
    desk.admit(&caller)?;
    let head = desk.read(|_, files| file(&files, CHECKPOINT)).await?;
    Ok(answer(head.ok_or(Problem::Missing)?, TEXT, "no-cache"))
}

async fn tile(
    State(desk): State<Arc<Desk>>,
    Path(path): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let public = desk.admit(&caller)?;
    let tile = Tile::from_path(&format!("tile/{path}")).ok_or(Problem::Missing)?;
    let bytes = desk.read(move |_, files| file(&files, &tile.path())).await?;
    match bytes {
        Some(bytes) => Ok(immutable(bytes, public)),
        None if tile.span().end <= desk.minimum() => {
            Err(Problem::Pruned { minimum: desk.minimum() })
        }
        None => Err(Problem::Missing),
    }
}

async fn payload(
    State(desk): State<Arc<Desk>>,
    Path((begin, digest)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, Problem> {
    let public = desk.admit(&caller)?;
    let digest = Hash::from_hex(&digest).filter(|_| digest.starts_with(&begin) && begin.len() == 2);
    let path = payload_path(digest.ok_or(Problem::Missing)?);
    let bytes = desk.read(move |_, files| file(&files, &path)).await?;
    Ok(immutable(bytes.ok_or(Problem::Missing)?, public))
}

/// A file of the log, if it is there.
fn file(files: &Files, path: &str) -> Result<Option<Vec<u8>>, Problem> {
    match files.file(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(FilesError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A proof that an entry is in the log, with the entry in it.
async fn proof(
    State(desk): State<Arc<Desk>>,
    Path(index): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    desk.admit(&caller)?;
    let index: u64 =
        index.parse().map_err(|_| Problem::Query("an entry has a number".to_owned()))?;
    if index < desk.minimum() {
        return Err(Problem::Pruned { minimum: desk.minimum() });
    }
    let prove = move |desk: &Desk, _| desk.prover.prove(index).map_err(Problem::from);
    let proof = desk.read(prove).await?;
    Ok(answer(proof.to_string().into_bytes(), TEXT, "no-cache"))
}

/// How the log is.
async fn status(State(desk): State<Arc<Desk>>, caller: Caller) -> Result<Response, Problem> {
    desk.admit(&caller)?;
    let in_force = desk.in_force();
    let audit = &desk.journal.audit;
    let status = audit.status();
    let key = audit.trust().log.first().map(ToString::to_string);
    let days = |kept: Duration| kept.as_secs();
    let body = json!({
        "origin": audit.trust().origin,
        "key": key,
        "witness_key": desk.watch.key(),
        "entries": audit.entries_taken(),
        "signed": status.signed,
        "published": audit.published(),
        "settled": status.settled,
        "minimum": desk.minimum(),
        "lag_ms": desk.lag().as_millis() as u64,
        "fault": desk.fault(),
        "public": in_force.public,
        "retention": { "personal_s": days(in_force.personal), "entries_s": in_force.entries.map(days) },
        "witnesses": desk.cosigners.to_json(),
        "watched": desk.watch.to_json(),
    });
    Ok(fresh(&body))
}

impl Desk {
    /// For how long the oldest entry has waited that nobody signed.
    pub(super) fn lag(&self) -> Duration {
        let since = self.journal.audit.waiting_since().map(Duration::from_millis);
        since.map_or(Duration::ZERO, |since| since_1970().saturating_sub(since))
    }
}

/// What another log asks of our witness. The signature on its head is all the authentication there is.
async fn add_checkpoint(State(desk): State<Arc<Desk>>, body: Body) -> Result<Response, Problem> {
    if desk.watch.is_idle() {
        return Ok(spoken(Answer {
            status: 404,
            content_type: TEXT_TYPE,
            body: UNKNOWN.to_owned(),
        }));
    }
    let place = desk.submissions.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    let body = tokio::time::timeout(SUBMISSION_TIMEOUT, whole(body, REQUEST_BYTES_MAX)).await;
    let body = body.map_err(|_| Problem::Body("it did not come in time".to_owned()))??;
    let watching = desk.clone();
    let judge = move || {
        // Whoever asked, and is gone: what is being judged has its place.
        let _place = place;
        watching.watch.add_checkpoint(&body)
    };
    let judged = tokio::task::spawn_blocking(judge).await;
    let judged = judged.map_err(|_| Problem::Unreadable("a bug".to_owned()))?;
    if let Some(why) = &judged.fault {
        desk.hub.event(Level::Error, "a cosigned head cannot be stored", &[("error", why)]);
    }
    Ok(spoken(judged.answer))
}

/// The last head of another log that was cosigned here.
async fn witnessed(State(desk): State<Arc<Desk>>, Path(origin): Path<String>) -> Response {
    spoken(desk.watch.checkpoint(&origin))
}

fn spoken(said: Answer) -> Response {
    let Answer { status, content_type, body } = said;
    let mut response = answer(body.into_bytes(), content_type, "no-store");
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}

/// Reads a body up to its bound.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let collected = Limited::new(body, bytes_max).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| {
        // The gate's bound may be the smaller one, and lies within.
        let is_too_long = error.is::<LengthLimitError>()
            || error.source().is_some_and(|inner| inner.is::<LengthLimitError>());
        match is_too_long {
            true => Problem::TooLarge { bytes_max },
            false => Problem::Body("it did not come whole".to_owned()),
        }
    })
}

fn immutable(bytes: Vec<u8>, public: bool) -> Response {
    let whose = if public { "public" } else { "private" };
    answer(bytes, BYTES, &format!("{whose}, {FOR_EVER}"))
}

fn answer(body: Vec<u8>, media: &str, caching: &str) -> Response {
    let mut response = body.into_response();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, media);
    put(header::CACHE_CONTROL, caching);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// JSON that nobody keeps.
pub(super) fn fresh(body: &Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
