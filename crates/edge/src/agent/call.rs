//! One question to one agent, and everything that may keep it from being answered.

use std::{
    fmt,
    future::poll_fn,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use selvedge_agent::{AttributesBuf, Decision, OutcomeTotals, Verdict};
use selvedge_telemetry::Hub;
use tokio::{sync::SemaphorePermit, time::timeout_at};

use super::{
    link::Link,
    session::Ticket,
    state::AgentState,
    stats::{Outcome, Stats},
};
use crate::{
    core::Core,
    upstream::breaker::{Permit, RetryAfter},
};

/// An agent as one core asks it.
pub(crate) struct CoreAgent {
    pub(crate) state: Arc<AgentState>,
    pub(crate) link: Rc<OpenLink>,
}

/// A link that closes when no config in force and no exchange needs it any more.
pub(crate) struct OpenLink(Rc<Link>);

impl Deref for OpenLink {
    type Target = Rc<Link>;

    fn deref(&self) -> &Rc<Link> {
        &self.0
    }
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// Not in time, the wait for a permit included.
    Timeout,
    /// The breaker is open; asking again makes sense after this long.
    BreakerOpen(Duration),
    /// Too many calls wait already.
    QueueFull,
    /// The agent is not there, went away, or broke the protocol.
    Lost(String),
    /// The agent says that it cannot decide.
    Abandoned(String),
}

impl CallFault {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout => Outcome::Timeout,
            Self::BreakerOpen(_) => Outcome::BreakerOpen,
            Self::QueueFull => Outcome::QueueFull,
            Self::Lost(_) => Outcome::Lost,
            Self::Abandoned(_) => Outcome::Abandoned,
        }
    }
}

impl fmt::Display for CallFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::BreakerOpen(_) => f.write_str("its circuit breaker is open"),
            Self::QueueFull => f.write_str("too many calls wait for it"),
            Self::Lost(why) => write!(f, "it was lost: {why}"),
            Self::Abandoned(why) => write!(f, "it gave up: {why}"),
        }
    }
}

/// What a verdict comes to, for the counts.
pub(crate) fn outcome_of(verdict: &Verdict) -> Outcome {
    match verdict.decision() {
        Decision::Allow => Outcome::Allow,
        Decision::Block(_) => Outcome::Block,
        Decision::Redirect { .. } => Outcome::Redirect,
        Decision::Challenge { .. } => Outcome::Challenge,
    }
}

impl CoreAgent {
    /// The agent of `state` on this core, which is in force from now on: one of the `known` links goes
    /// on if its door stays.
    pub(crate) fn new(state: &Arc<AgentState>, known: &[Rc<Self>], hub: &Hub) -> Rc<Self> {
        let agent = Self::prepare(state, known, hub);
        agent.link.adopt(state.clone());
        agent
    }

    /// The agent of `state` on this core, for a config that is still to come: a link that is `known`
    /// serves the config in force meanwhile.
    pub(crate) fn prepare(state: &Arc<AgentState>, known: &[Rc<Self>], hub: &Hub) -> Rc<Self> {
        let same = known.iter().find(|known| Arc::ptr_eq(&known.state.door, &state.door));
        let link = match same {
            Some(known) => known.link.clone(),
            None => Rc::new(OpenLink(Link::open(state.clone(), hub.clone()))),
        };
        link.prepare(state.clone());
        Rc::new(Self { state: state.clone(), link })
    }

    /// Tells how an exchange ended; an agent that does not keep up misses it.
    pub(crate) fn log(&self, attributes: &AttributesBuf, totals: &OutcomeTotals<'_>) {
        if !self.link.log(attributes, totals) {
            self.state.stats.note_unlogged();
        }
    }

    /// Asks, and waits for the verdict. `send` puts the question on its way; it is called once there
    /// is a permit and the agent is there. All of it, the waits included, takes at most the agent's
    /// timeout. `None`: the agent has nothing to say to this, which is no call.
    pub(crate) async fn call(
        &self,
        core: &Core,
        send: impl FnOnce() -> Result<Ticket, CallFault>,
    ) -> Result<Option<Verdict>, CallFault> {
        let began = Instant::now();
        let outcome = Some(Outcome::Cancelled);
        let mut noted = Noted { stats: &self.state.stats, began, outcome };
        let answered = self.call_by(core, began, send).await;
        noted.outcome = match &answered {
            Ok(verdict) => verdict.as_ref().map(outcome_of),
            Err(fault) => Some(fault.outcome()),
        };
        answered
    }

    async fn call_by(
        &self,
        core: &Core,
        began: Instant,
        send: impl FnOnce() -> Result<Ticket, CallFault>,
    ) -> Result<Option<Verdict>, CallFault> {
        let state = &*self.state;
        let probe = match state.breaker.try_admit(began) {
            Ok(permit) => permit,
            Err(RetryAfter(left)) => return Err(CallFault::BreakerOpen(left)),
        };
        core.report_agent_breaker(&state.config.id, probe.change());
        let until = tokio::time::Instant::from_std(began + state.config.timeout);
        let waited = timeout_at(until, self.ask(send)).await;
        let answered = waited.unwrap_or(Err(CallFault::Timeout));
        self.settle(core, probe, &answered);
        answered
    }

    /// Tells the breaker how it went. A full queue says nothing of the agent that a breaker could mend.
    fn settle<T>(&self, core: &Core, probe: Permit, answered: &Result<T, CallFault>) {
        let now = Instant::now();
        let change = match answered {
            Ok(_) => probe.success(now),
            Err(CallFault::QueueFull | CallFault::BreakerOpen(_)) => return,
            Err(_) => probe.failure(now),
        };
        core.report_agent_breaker(&self.state.config.id, change);
    }

    async fn ask(
        &self,
        send: impl FnOnce() -> Result<Ticket, CallFault>,
    ) -> Result<Option<Verdict>, CallFault> {
        let _permit = self.permit().await?;
        let _in_flight = self.state.stats.enter();
        self.link.ready().await;
        let mut ticket = send()?;
        poll_fn(|context| ticket.poll_verdict(context)).await
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, CallFault> {
        if let Ok(permit) = self.state.permits.try_acquire() {
            return Ok(permit);
        }
        let waiting = self.state.stats.try_wait(self.state.waiting_max());
        let _waiting = waiting.ok_or(CallFault::QueueFull)?;
        let acquired = self.state.permits.acquire().await;
        Ok(acquired.expect("nobody closes an agent's semaphore"))
    }
}

/// Counts a call when it is over, however it ends.
struct Noted<'a> {
    stats: &'a Stats,
    began: Instant,
    /// `None`: it was no call.
    outcome: Option<Outcome>,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            self.stats.record(outcome, self.began.elapsed());
        }
    }
}
