//! Forwarding to an upstream: choose a target, send, try again where that is safe, bring the answer.

mod answer;
mod attempt;
mod connecting;
pub(crate) mod heads;
mod reply;
mod request;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use selvedge_config::{CORE, Route};
use selvedge_http1::{RequestHead, ResponseHead};
use selvedge_routing::rewrite_path;

use self::{
    attempt::{Attempt, AttemptFault, is_failure},
    request::{cookie, hash_of, upgrade_wanted},
};
pub(super) use self::{heads::body_failure, reply::Reply};
use super::{
    Council, Exchange, Facts, Failure, Refusal, local::apply, origin::Origin, passage::Pipe,
};
use crate::{
    client::Client,
    connection::Connection,
    core::{Core, PlacedUpstream, Snapshot},
    deadline::Deadline,
    message::Pump,
    outbound::RequestBody,
    problem::Problem,
    upstream::{
        balance::{Ask, pick_sticky},
        breaker::{Permit, RetryAfter},
        connect::ConnectFault,
        target::InFlight,
    },
};

/// One request on its way to an upstream: what is settled, and what every attempt uses.
struct Forward<'a> {
    core: &'a Rc<Core>,
    connection: &'a Rc<Connection>,
    deadline: &'a Deadline,
    snapshot: &'a Snapshot,
    request: &'a RequestHead,
    response: &'a mut ResponseHead,
    facts: &'a mut Facts,
    council: &'a mut Council,
    body: RequestBody,
    route: &'a Route,
    upstream: &'a PlacedUpstream,
    path: &'a str,
    authority: &'a str,
    upgrade: Option<&'a str>,
    /// What the upstream hashes by.
    key: Option<u64>,
    /// The target that the client's cookie names.
    sticky: Option<String>,
    /// When the whole exchange must be over.
    over_at: Option<Instant>,
}

/// An attempt that brought a head.
struct Answered {
    target: usize,
    attempt: Attempt,
    upload: Pump,
    in_flight: InFlight,
}

/// What the attempts so far left behind.
#[derive(Default)]
struct Tries {
    /// Targets that failed.
    failed: Vec<usize>,
    /// A pooled connection turned out to be dead: the next one must be new.
    refreshed: bool,
}

impl Exchange<'_> {
    /// Forwards the request and brings the answer, which may be a switch to another protocol.
    pub(super) async fn forward<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        upstream: &PlacedUpstream,
        path: &str,
        origin: &Origin,
    ) -> Result<Option<Box<Pipe>>, Failure> {
        let settings = &upstream.state.config;
        let key = hash_of(settings, self.request, path, self.facts.client.ip());
        let sticky = settings.sticky.as_ref();
        let sticky = sticky.and_then(|sticky| cookie(self.request, &sticky.cookie));
        let sticky = sticky.map(str::to_owned);
        origin.write(self.request, self.connection);
        let fields = self.request.fields_mut();
        fields.push(b"traceparent", &self.facts.trace.child_header());
        if let Some(state) = self.facts.trace.state() {
            fields.push(b"tracestate", state.as_bytes());
        }
        apply(&route.request_headers, self.request.fields_mut());
        let rewritten = match &route.rewrite {
            Some(rewrite) => {
                rewrite_path(rewrite, path).map_err(|e| Refusal::new(Problem::TARGET).because(e))?
            }
            None => path.into(),
        };
        let request = &*self.request;
        let host = route.rewrite.as_ref().and_then(|rewrite| rewrite.host.as_deref());
        let authority = match host.unwrap_or(request.authority()) {
            "" => "localhost",
            authority => authority,
        };
        let forward = Forward {
            core: self.core,
            connection: self.connection,
            deadline: self.deadline,
            snapshot: &self.snapshot,
            request,
            response: self.response,
            facts: &mut self.facts,
            council: &mut self.council,
            body: self.body,
            route,
            upstream,
            path: &rewritten,
            authority,
            upgrade: upgrade_wanted(request, settings),
            key,
            sticky,
            over_at: settings.timeouts.whole.map(|whole| Instant::now() + whole),
        };
        forward.run(client).await
    }
}

impl Forward<'_> {
    async fn run<C: Client>(mut self, client: &mut C) -> Result<Option<Box<Pipe>>, Failure> {
        let mut now = Instant::now();
        let permit = self.admit(now)?;
        self.upstream.state.budget.count_request(now);
        let mut tries = Tries::default();
        loop {
            let Some(target) = self.pick(&tries, now) else {
                self.settle(permit, false, now);
                let problem = if self.is_core() { Problem::CORE_AWAY } else { Problem::UNHEALTHY };
                return Err(Refusal::new(problem).into());
            };
            let in_flight = self.upstream.state.target(target).begin();
            let mut upload = Pump::new(self.route.limits.body.0);
            let attempted = self.attempt(client, target, &mut upload, &tries, now).await;
            self.facts.bytes_in = upload.moved();
            let fault = match attempted {
                Ok(attempt) => {
                    let answered = Instant::now();
                    self.facts.timings.upstream_first_byte = Some(answered);
                    let status = self.response.status();
                    self.facts.upstream_mut(self.upstream.index).status = Some(status);
                    let retried = self.upstream.state.config.retry.statuses.contains(&status);
                    if !retried
                        || !self.may_retry(&AttemptFault::Status(status), &upload, &tries, answered)
                    {
                        let failed = is_failure(status);
                        self.note(
                            target,
                            failed,
                            answered.saturating_duration_since(now),
                            answered,
                        );
                        self.settle(permit, !failed, answered);
                        let answered = Answered { target, attempt, upload, in_flight };
                        return self.deliver(client, answered).await;
                    }
                    AttemptFault::Status(status)
                }
                Err(fault) => {
                    let may_retry = self.may_retry(&fault, &upload, &tries, Instant::now());
                    if !may_retry {
                        self.give_up(permit, target, &fault, now);
                        return Err(self.failure(fault));
                    }
                    fault
                }
            };
            let failed_at = Instant::now();
            if let Some(failed) = fault.verdict() {
                self.note(target, failed, failed_at.saturating_duration_since(now), failed_at);
            }
            self.facts.upstream_mut(self.upstream.index).retry_reason = Some(fault.reason());
            match fault {
                AttemptFault::Closed { stale: true, .. } => tries.refreshed = true,
                _ => tries.failed.push(target),
            }
            now = failed_at;
        }
    }

    /// What the client is told. A core that cannot be reached will be back: it is no bad gateway.
    fn failure(&self, fault: AttemptFault) -> Failure {
        match fault {
            AttemptFault::Connect(ConnectFault::Tls(_)) => fault.into_failure(),
            AttemptFault::Connect(cause) if self.is_core() => {
                Refusal::new(Problem::CORE_AWAY).because(cause).into()
            }
            AttemptFault::ConnectTimeout if self.is_core() => {
                Refusal::new(Problem::CORE_AWAY).into()
            }
            fault => fault.into_failure(),
        }
    }

    fn is_core(&self) -> bool {
        *self.upstream.state.config.id == *CORE
    }

    fn admit(&mut self, now: Instant) -> Result<Option<Permit>, Failure> {
        let Some(breaker) = &self.upstream.state.breaker else { return Ok(None) };
        match breaker.try_admit(now) {
            Ok(permit) => {
                self.core.report_breaker(&self.upstream.state, permit.change());
                Ok(Some(permit))
            }
            Err(RetryAfter(left)) => {
                self.facts.upstream_mut(self.upstream.index);
                let retry_after = Some(left.as_secs().max(1));
                Err(Refusal { retry_after, ..Refusal::new(Problem::BREAKER) }.into())
            }
        }
    }

    /// Tells the breaker how the upstream did.
    fn settle(&self, permit: Option<Permit>, success: bool, now: Instant) {
        let Some(permit) = permit else { return };
        let change = match success {
            true => permit.success(now),
            false => permit.failure(now),
        };
        self.core.report_breaker(&self.upstream.state, change);
    }

    fn pick(&self, tries: &Tries, now: Instant) -> Option<usize> {
        let state = &self.upstream.state;
        let ask = Ask { key: self.key, tried: &tries.failed, now };
        let sticky = self.sticky.as_deref().and_then(|token| pick_sticky(state, token, &ask));
        sticky.or_else(|| {
            let rng = &mut self.core.rng.borrow_mut();
            self.upstream.balancer.borrow_mut().pick(state, &ask, rng)
        })
    }

    /// Tells the target's state how it did.
    fn note(&self, target: usize, failed: bool, took: Duration, now: Instant) {
        let state = &self.upstream.state;
        let event = match failed {
            true => state.failure(target, took, now),
            false => state.success(target, took, now),
        };
        if let Some(event) = event {
            self.core.report_ejection(state, target, &event);
        }
    }

    /// The last attempt failed: says so to whoever keeps count.
    fn give_up(
        &self,
        permit: Option<Permit>,
        target: usize,
        fault: &AttemptFault,
        started: Instant,
    ) {
        let now = Instant::now();
        if let Some(failed) = fault.verdict() {
            self.note(target, failed, now.saturating_duration_since(started), now);
        }
        match fault {
            // Says nothing of the upstream: the permit is given back without a verdict.
            AttemptFault::Client(_) | AttemptFault::PoolFull => drop(permit),
            _ => self.settle(permit, false, now),
        }
    }

    /// Whether the request may be sent once more. A `true` is paid for from the retry budget.
    fn may_retry(&self, fault: &AttemptFault, upload: &Pump, tries: &Tries, now: Instant) -> bool {
        let state = &self.upstream.state;
        if upload.moved() > 0 || !fault.is_retryable(self.request.method()) {
            return false;
        }
        if matches!(fault, AttemptFault::Closed { stale: true, .. }) && !tries.refreshed {
            return true;
        }
        tries.failed.len() < state.config.retry.attempts as usize && state.budget.try_retry(now)
    }

    /// Sends the request to one target and waits for the head of its answer.
    async fn attempt<C: Client>(
        &mut self,
        client: &mut C,
        target: usize,
        upload: &mut Pump,
        tries: &Tries,
        now: Instant,
    ) -> Result<Attempt, AttemptFault> {
        let facts = self.facts.upstream_mut(self.upstream.index);
        facts.target = Some(target);
        facts.attempts += 1;
        self.facts.timings.upstream_start = Some(now);
        let mut attempt = self.connect(target, tries.refreshed, now).await?;
        match self.exchange_heads(client, &mut attempt, upload).await {
            Ok(()) => Ok(attempt),
            Err(fault) => {
                if let (Attempt::Http2(stream), AttemptFault::Timeout) = (&attempt, &fault) {
                    stream.give_up();
                }
                Err(fault)
            }
        }
    }

    fn arm(&self, after: Duration) {
        arm(self.deadline, self.over_at, after);
    }

    fn is_overdue(&self) -> bool {
        self.over_at.is_some_and(|at| at <= self.core.deadlines.now())
    }
}

/// Arms a deadline, but never beyond the end of the whole exchange.
fn arm(deadline: &Deadline, over_at: Option<Instant>, after: Duration) {
    deadline.arm(after);
    if let Some(over_at) = over_at {
        deadline.arm_at_most(over_at);
    }
}
