//! What every request passes on its way to a service: bounds, the question who sent it, counting.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, header},
    response::IntoResponse,
};
use http_body_util::Limited;
use hyper::body::Incoming;
use selvedge_base::ByteSize;
use selvedge_config::CoreLimits;
use selvedge_identity::Desk;
use tower::ServiceExt as _;

use super::{
    callers::{Door, Gatekeeper},
    courier::{Courier, EdgePeer},
    health::{self, Vitals},
    kept::keep,
    metrics::{Metrics, OF_CORE},
    refusal::Refusal,
    shares::{Share, Shares},
    spans::Recording,
};

/// The way in, shared by all connections.
pub(super) struct Gate {
    keeper: Gatekeeper,
    router: Router,
    /// Where each service begins, in the order of its label in the metrics, the core's own left out.
    mounts: Vec<String>,
    /// Where the core itself answers.
    path: String,
    /// Answered even when all else is at its bound.
    health: String,
    metrics: Arc<Metrics>,
    shares: Arc<Shares>,
    in_force: RwLock<Arc<InForce>>,
}

/// What a reload changes.
pub(super) struct InForce {
    pub(super) desk: Desk,
    pub(super) limits: CoreLimits,
}

impl Gate {
    /// A gate before these services, each under its name at `path`.
    pub(super) fn new(path: &str, keeper: Gatekeeper, vitals: Vitals, in_force: InForce) -> Self {
        let (services, metrics) = (vitals.services.clone(), vitals.metrics.clone());
        let mounts: Vec<String> =
            services.iter().map(|service| format!("{path}/{}", service.name())).collect();
        let own = Router::new().nest(path, health::router(vitals));
        let router = mounts
            .iter()
            .zip(services.iter())
            .fold(own, |router, (at, service)| router.nest(at, service.router()));
        let router = router
            .fallback(async || Refusal::Nothing.response())
            .method_not_allowed_fallback(async || Refusal::Method.response());
        Self {
            keeper,
            router,
            mounts,
            path: path.to_owned(),
            health: format!("{path}/health"),
            metrics,
            shares: Arc::default(),
            in_force: RwLock::new(Arc::new(in_force)),
        }
    }

    /// Follows a reload; requests under way go on as they began.
    pub(super) fn put_in_force(&self, in_force: InForce) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }

    pub(super) fn in_force(&self) -> Arc<InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers one request, whatever becomes of it.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        door: Door,
    ) -> Result<Response<Body>, Infallible> {
        let begun = Instant::now();
        let service = self.service_of(request.uri().path());
        let recording = Recording::begin(&self.keeper.hub, &request, (self.mount(service), door));
        let response = self.clone().pass(request, door).await;
        self.metrics.answered(service, response.status().as_u16(), begun.elapsed());
        Ok(match recording {
            Some(recording) => recording.follow(response),
            None => response,
        })
    }

    async fn pass(self: Arc<Self>, request: Request<Incoming>, door: Door) -> Response<Body> {
        let in_force = self.in_force();
        if self.is_health(request.uri().path()) {
            return self.route(request.map(Body::new)).await;
        }
        if !self.metrics.in_flight.try_enter(in_force.limits.in_flight) {
            return Refusal::InFlight.response();
        }
        let mut place = Place { metrics: self.metrics.clone(), share: None };
        let mut request = match bounded(request, in_force.limits.body) {
            Ok(request) => request,
            Err(refusal) => return refusal.response(),
        };
        let peer = request.extensions().get::<EdgePeer>().cloned();
        if let Some(courier) = Courier::of(request.headers(), &self.keeper.link, peer.as_ref()) {
            request.extensions_mut().insert(courier);
        }
        let known = (door, &in_force.desk);
        let caller = match self.keeper.admit(known, request.headers_mut(), &self.metrics) {
            Ok(caller) => caller,
            Err(refusal) => return refusal.into_response(),
        };
        place.share = self.shares.enter(&caller, in_force.limits.in_flight);
        if place.share.is_none() {
            return Refusal::Share.response();
        }
        request.extensions_mut().insert(caller);
        let response = self.route(request).await;
        keep(response, place)
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The label of the service that answers at `path`.
    fn service_of(&self, path: &str) -> usize {
        let holds = |mount: &String| lies_under(path, mount);
        self.mounts.iter().position(holds).map_or(OF_CORE, |service| service + 1)
    }

    /// Where the service of this label begins.
    fn mount(&self, service: usize) -> &str {
        service.checked_sub(1).and_then(|service| self.mounts.get(service)).unwrap_or(&self.path)
    }

    fn is_health(&self, path: &str) -> bool {
        lies_under(path, &self.health)
    }
}

fn lies_under(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a body that says it is too large, and cuts one that turns out to be.
fn bounded(request: Request<Incoming>, most: ByteSize) -> Result<Request<Body>, Refusal> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most.0) {
        return Err(Refusal::Body);
    }
    let most = usize::try_from(most.0).unwrap_or(usize::MAX);
    Ok(request.map(|body| Body::new(Limited::new(body, most))))
}

/// A request's place among those in flight; given back when its answer has gone, or nobody waits for it.
struct Place {
    metrics: Arc<Metrics>,
    /// What it takes of its caller's share, once the caller is known.
    share: Option<Share>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.leave();
    }
}
