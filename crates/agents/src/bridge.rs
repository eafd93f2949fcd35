//! `selvedge agent bridge`: services that speak other protocols, asked in the edge's place.
//!
//! [`ext_proc`] and [`ext_authz`] speak Envoy's protocols of gRPC, [`forward_auth`] asks by HTTP.
//! What they make of an answer is a verdict or a [`Failure`]; a failure abandons the exchange, so that
//! the edge does what the operator chose for it.

mod connect;
mod envoy;
mod ext_authz;
mod ext_proc;
mod failure;
mod fields;
mod forward_auth;
mod grpc;
mod metadata;

use std::time::Duration;

use selvedge_agent::{Agent, Body, Chunk, RequestHead, ResponseHead, Step, Subscriptions, Verdict};
use selvedge_config::{
    AgentEvent,
    bridge::{Grpc, GrpcProtocol, Service as ServiceSettings, Settings},
};

use self::{
    ext_authz::ExtAuthz,
    ext_proc::ExtProc,
    failure::{Complaints, Failure},
    forward_auth::ForwardAuth,
};

/// Time beyond the agent's own after which a call is given up here. The edge waits as long as the
/// operator says, and cancels; this only ends calls that nobody cancelled, and never competes with it.
const OVERTIME: Duration = Duration::from_secs(1);

/// The agent that asks a foreign service.
pub struct Bridge {
    service: Service,
    complaints: Complaints,
    /// Bytes of a body that a service gets which is asked once.
    body_max: Option<u32>,
}

enum Service {
    ExtProc(ExtProc),
    Once(Once),
}

/// A service that is asked once about each request.
enum Once {
    ExtAuthz(ExtAuthz),
    ForwardAuth(ForwardAuth),
}

/// What is kept of an exchange.
#[derive(Default)]
pub struct Exchange(ext_proc::Exchange);

impl Agent for Bridge {
    type Settings = Settings;
    type Exchange = Exchange;

    async fn start(settings: Settings, _: Option<&Self>) -> Result<Self, String> {
        let (service, address) = match &settings.service {
            ServiceSettings::Grpc(grpc) => (Service::grpc(&settings, grpc)?, &grpc.address),
            ServiceSettings::Http(http) => {
                let service = Once::ForwardAuth(ForwardAuth::new(&settings, http)?);
                (Service::Once(service), &http.address)
            }
        };
        let is_asked = settings.events.contains(&AgentEvent::RequestBody);
        Ok(Self {
            service,
            complaints: Complaints::new(address),
            body_max: is_asked.then(|| body_bytes(&settings)),
        })
    }

    fn wants(&self) -> Subscriptions {
        let once = Subscriptions::none().request_headers();
        match (&self.service, self.body_max) {
            (Service::ExtProc(service), _) => service.wants(),
            (_, Some(max)) => once.inspect_request_body(max),
            (_, None) => once,
        }
    }

    async fn request_headers(&self, request: &RequestHead<'_>, exchange: &mut Exchange) -> Verdict {
        let verdict = match &self.service {
            Service::ExtProc(service) => service.request_headers(request, &mut exchange.0).await,
            // It is asked once, when the body is there.
            Service::Once(_) if self.body_max.is_some() && request.has_body() => {
                Ok(Verdict::allow())
            }
            Service::Once(service) => service.check(request, None).await,
        };
        self.or_abandon(verdict)
    }

    async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let verdict = match &self.service {
            Service::ExtProc(service) => service.request_body(request, body, &mut exchange.0).await,
            Service::Once(_) if body.is_truncated() => Ok(too_large(413)),
            Service::Once(service) => service.check(request, Some(body.bytes())).await,
        };
        self.or_abandon(verdict)
    }

    async fn request_chunk(
        &self,
        request: &RequestHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Exchange,
    ) -> Step {
        let Service::ExtProc(service) = &self.service else { return Step::Release };
        let step = service.request_chunk(request, chunk, &mut exchange.0).await;
        step.unwrap_or_else(|failure| Step::Decide(self.complaints.abandon(&failure)))
    }

    async fn response_headers(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let Service::ExtProc(service) = &self.service else { return Verdict::allow() };
        self.or_abandon(service.response_headers(request, response, &mut exchange.0).await)
    }

    async fn response_body(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let Service::ExtProc(service) = &self.service else { return Verdict::allow() };
        let verdict = service.response_body(request, response, body, &mut exchange.0).await;
        self.or_abandon(verdict)
    }

    async fn response_chunk(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Exchange,
    ) -> Step {
        let Service::ExtProc(service) = &self.service else { return Step::Release };
        let step = service.response_chunk(request, response, chunk, &mut exchange.0).await;
        step.unwrap_or_else(|failure| Step::Decide(self.complaints.abandon(&failure)))
    }
}

impl Bridge {
    fn or_abandon(&self, verdict: Result<Verdict, Failure>) -> Verdict {
        verdict.unwrap_or_else(|failure| self.complaints.abandon(&failure))
    }
}

impl Service {
    fn grpc(settings: &Settings, grpc: &Grpc) -> Result<Self, String> {
        match grpc.protocol {
            GrpcProtocol::ExtProc => ExtProc::new(settings, grpc).map(Self::ExtProc),
            GrpcProtocol::ExtAuthz => {
                ExtAuthz::new(settings, grpc).map(Once::ExtAuthz).map(Self::Once)
            }
        }
    }
}

impl Once {
    async fn check(
        &self,
        request: &RequestHead<'_>,
        body: Option<&[u8]>,
    ) -> Result<Verdict, Failure> {
        match self {
            Self::ExtAuthz(service) => service.check(request, body).await,
            Self::ForwardAuth(service) => service.check(request, body).await,
        }
    }
}

/// Bytes of a body that the service gets at most.
fn body_bytes(settings: &Settings) -> u32 {
    u32::try_from(settings.body_max.0).unwrap_or(u32::MAX)
}

/// A body of which the service would see the beginning alone: these protocols have no word for that,
/// and what it does not see might be what it is there for.
fn too_large(status: u16) -> Verdict {
    Verdict::block(status).reason("the body is longer than the agent's `body-max`")
}
