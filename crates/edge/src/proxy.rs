//! One exchange from head to end: route it, act on it, answer whatever goes wrong.

mod agents;
mod block;
mod encoding;
mod facts;
pub(crate) mod forward;
mod local;
mod origin;
mod passage;
mod record;
mod refusal;

use std::{borrow::Cow, rc::Rc, time::Instant};

use selvedge_config::{Action, Listener};
use selvedge_http1::{RequestHead, ResponseHead};
use selvedge_routing::{Headers, RequestView, normalise_path, redirect_target};

pub(crate) use self::{
    agents::Council,
    facts::Facts,
    passage::Passage,
    refusal::{Failure, Refusal},
};
use self::{origin::Origin, passage::Switched};
use crate::{
    agent::advice::strip,
    bounds::Entered,
    client::{Client, ResponseSink},
    connection::Connection,
    core::{Core, Snapshot},
    deadline::Deadline,
    outbound::RequestBody,
    plan::RoutePlan,
    problem::Problem,
};

/// One exchange: what it works with, and what becomes known on the way.
pub(crate) struct Exchange<'a> {
    pub(crate) core: &'a Rc<Core>,
    pub(crate) connection: &'a Rc<Connection>,
    pub(crate) deadline: &'a Deadline,
    pub(crate) snapshot: Rc<Snapshot>,
    pub(crate) request: &'a mut RequestHead,
    pub(crate) response: &'a mut ResponseHead,
    pub(crate) body: RequestBody,
    pub(crate) facts: Facts,
    pub(crate) council: Council,
}

impl Exchange<'_> {
    /// Runs the exchange to its end and records it. One that became a tunnel goes on as what is returned, and is recorded when
    /// that ends.
    pub(crate) async fn run<C: Client>(&mut self, client: &mut C) -> Option<Box<Passage>> {
        match self.act(client).await {
            Ok(None) => {}
            Ok(Some(switched)) => return Some(self.passage(switched)),
            // Rare, and large: not part of what every exchange takes.
            Err(failure) => Box::pin(self.fail(client, failure)).await,
        }
        self.conclude();
        None
    }

    /// Tells everybody who is to hear of it.
    fn conclude(&mut self) {
        if let Some(failure) = self.council.tunnel_failure.take() {
            self.note(failure);
        }
        self.record();
        self.tell_agents();
    }

    /// Ends an exchange that cannot begin: its head was refused.
    pub(crate) async fn refuse<C: Client>(&mut self, client: &mut C, refusal: Refusal) {
        Box::pin(self.send_refusal(client, refusal)).await;
        self.record();
    }

    async fn act<C: Client>(&mut self, client: &mut C) -> Result<Option<Switched>, Failure> {
        let snapshot = self.snapshot.clone();
        let counted = self.core.telemetry.in_flight(&self.connection.label);
        let limits = &snapshot.plan.config.limits;
        let in_flight = self
            .core
            .bounds
            .in_flight
            .try_enter(limits.in_flight)
            .ok_or_else(|| Refusal::new(Problem::IN_FLIGHT))?;
        if self.request.raw_path() == "*" {
            return self.reply_options(client).await.map(|()| None);
        }
        let path = normalised(self.request)?;
        let origin = Origin::of(self.request, self.connection);
        if let Some(ip) = origin.ip() {
            self.facts.client.set_ip(ip);
        }
        let Some(index) = self.route(&snapshot, &path) else {
            return Err(Refusal::new(Problem::NO_ROUTE).into());
        };
        self.facts.route = Some(index);
        let planned = &snapshot.plan.routes[index];
        let route_in_flight = enter_route(planned)?;
        self.check_length(planned.route.limits.body.0)?;
        strip(self.request, &snapshot.plan.identity_headers);
        if !planned.agents.is_empty() {
            // Large, and not part of what every exchange takes.
            let advised = Box::pin(self.consult(client, planned, &path, &origin)).await;
            self.facts.timings.advised = Some(Instant::now());
            advised?;
        }
        match (&planned.route.action, self.upstream_of(planned)) {
            (Action::Upstream(_), Some(upstream)) => {
                let upstream = &snapshot.upstreams[upstream];
                let pipe = self.forward(client, &planned.route, upstream, &path, &origin).await?;
                let counted = (counted, in_flight, route_in_flight);
                return Ok(pipe.map(|pipe| Switched { pipe, _counted: counted }));
            }
            (Action::Upstream(_), None) => return Err(Refusal::new(Problem::INTERNAL).into()),
            (Action::Static(_), _) => self.serve_site(client, &planned.route, index, &path).await?,
            (Action::Redirect(redirect), _) => {
                let scheme = origin.scheme(self.connection);
                let location = redirect_target(
                    redirect,
                    scheme,
                    self.request.authority(),
                    &path,
                    self.request.query(),
                );
                self.redirect(client, &planned.route, redirect.status, &location).await?;
            }
            (Action::Respond(respond), _) => self.respond(client, &planned.route, respond).await?,
        }
        Ok(None)
    }

    /// The upstream that the route names, or that a value set by an agent chooses.
    fn upstream_of(&self, planned: &RoutePlan) -> Option<usize> {
        let by = planned.route.upstream_by.as_ref();
        let value = by.and_then(|by| self.council.advice.value(&by.value));
        value.and_then(|value| planned.choices.get(value)).copied().or(planned.upstream)
    }

    fn route(&mut self, snapshot: &Snapshot, path: &str) -> Option<usize> {
        let headers = HeadFields(self.request);
        let view = RequestView {
            method: self.request.method(),
            host: self.request.host(),
            path,
            query: self.request.query(),
            headers: &headers,
        };
        let routed = snapshot.plan.router.route(&view, &mut snapshot.route_cache.borrow_mut());
        self.facts.routed_now();
        let routed = routed?;
        self.facts.route_cached = routed.cached;
        Some(routed.index)
    }

    /// Refuses a body that says by its length that it is too large, before a byte of it is read.
    fn check_length(&self, bound: u64) -> Result<(), Failure> {
        match self.body {
            RequestBody::Sized(length) if length > bound => {
                Err(Refusal::new(Problem::BODY_LIMIT).into())
            }
            _ => Ok(()),
        }
    }

    /// Answers a failure in the client's own words, or cuts an answer that is under way.
    async fn fail<C: Client>(&mut self, client: &mut C, failure: Failure) {
        let (_, sink) = client.split();
        let has_head = sink.has_head();
        match failure {
            Failure::Refused(refusal) if !has_head => self.send_refusal(client, *refusal).await,
            Failure::Agent(refusal) if !has_head => {
                self.send_agent_refusal(client, *refusal).await;
            }
            cut => {
                sink.abort();
                self.note(cut);
            }
        }
    }

    /// Records why an exchange ended, where no answer can tell the client any more.
    fn note(&mut self, failure: Failure) {
        match failure {
            Failure::Refused(refusal) => self.facts.refuse(refusal.problem.code, refusal.cause),
            Failure::Agent(refusal) => self.note_agent_refusal(*refusal),
            Failure::ClientGone(detail) => self.facts.refuse("client/gone", Some(detail)),
        }
    }
}

fn normalised(request: &RequestHead) -> Result<Cow<'static, str>, Failure> {
    normalise_path(request.raw_path())
        .map(|path| Cow::Owned(path.into_owned()))
        .map_err(|error| Refusal::new(Problem::TARGET).because(error).into())
}

fn enter_route(planned: &RoutePlan) -> Result<Option<Entered>, Failure> {
    let Some(bound) = planned.route.limits.in_flight else { return Ok(None) };
    let entered = planned.in_flight.try_enter(bound);
    entered.map(Some).ok_or_else(|| Refusal::new(Problem::ROUTE_IN_FLIGHT).into())
}

/// The scheme that the client used with us.
pub(crate) fn scheme(connection: &Connection) -> &'static str {
    scheme_of(&connection.listener)
}

fn scheme_of(listener: &Listener) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

/// A request's fields, as routing asks for them.
struct HeadFields<'a>(&'a RequestHead);

impl Headers for HeadFields<'_> {
    fn find(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.fields().named(name).any(test)
    }
}
