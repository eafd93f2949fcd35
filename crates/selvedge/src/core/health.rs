//! What the core answers for itself: whether it lives, what it counts, and who the caller is.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use selvedge_identity::{Caller, Principal, Refusal, Scope};
use selvedge_telemetry::Hub;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{
    doors::Certificates,
    metrics::{Metrics, render_expiry},
    services::Service,
};

/// What these answers are made of.
pub(super) struct Vitals {
    pub(super) services: Arc<[Box<dyn Service>]>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: watch::Receiver<bool>,
    pub(super) hub: Hub,
    /// What edges elsewhere are met with.
    pub(super) certificates: Option<Certificates>,
}

/// What it takes to read metrics.
const METRICS_SCOPE: &str = "metrics:read";

/// The core's own routes.
pub(super) fn router(vitals: Vitals) -> Router {
    Router::new()
        .route("/health", get(ready))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/whoami", get(whoami))
        .with_state(Arc::new(vitals))
}

/// It answers, so it lives.
async fn live() -> Response<Body> {
    fresh(Json(json!({ "status": "live" })).into_response())
}

/// Whether requests should come here. Why a service is not ready is for the log, not for everybody.
async fn ready(State(vitals): State<Arc<Vitals>>) -> Response<Body> {
    let word = |is_ready: bool| Value::from(if is_ready { "ready" } else { "unready" });
    let health = vitals.services.iter().map(|service| (service.name(), service.health().is_ok()));
    let health: Vec<_> = health.collect();
    let is_ready = health.iter().all(|(_, is_ready)| *is_ready);
    let (status, text) = match (*vitals.draining.borrow(), is_ready) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    let services = health.into_iter().map(|(name, is_ready)| (name.to_owned(), word(is_ready)));
    let services: Map<String, Value> = services.collect();
    fresh((status, Json(json!({ "status": text, "services": services }))).into_response())
}

async fn metrics(
    caller: Caller,
    State(vitals): State<Arc<Vitals>>,
) -> Result<Response<Body>, Refusal> {
    caller.require(METRICS_SCOPE)?;
    let mut page = vitals.metrics.render();
    if let Some(certificates) = &vitals.certificates {
        render_expiry(&mut page, &certificates.borrow());
    }
    page.push_str(&vitals.hub.render_process("selvedge_core_"));
    vitals.services.iter().for_each(|service| service.render_metrics(&mut page));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(fresh(([(header::CONTENT_TYPE, media)], page).into_response()))
}

/// Who the core takes the caller for: what to look at when a request is refused.
async fn whoami(caller: Caller) -> Response<Body> {
    let Caller { principal, tenant, scopes, means, client, trace_id } = &caller;
    let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    let roles = match principal {
        Principal::User { roles, .. } => roles.as_slice(),
        Principal::Service { .. } | Principal::Anonymous => &[],
    };
    let answer = json!({
        "principal": { "kind": principal.kind(), "name": principal.name(), "roles": roles },
        "tenant": tenant,
        "scopes": scopes,
        "by": means.kind(),
        "client": client,
        "trace_id": trace_id,
    });
    fresh(Json(answer).into_response())
}

/// Nobody keeps it.
fn fresh(mut response: Response<Body>) -> Response<Body> {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
