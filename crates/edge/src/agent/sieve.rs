//! A body that passes through an agent piece by piece: nothing goes on that the agent has not let go.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use selvedge_agent::{CancelCode, Event, Verdict};
use selvedge_config::FailureMode;
use selvedge_http1::Fields;
use tokio::time::{Sleep, sleep};

use super::{
    call::{CallFault, CoreAgent, outcome_of},
    link::{Answer, StreamKey},
    minutes::{Asked, Minutes},
    stats::Outcome,
};
use crate::message::{BodyFault, BodySource, Filled};

/// One agent in the way of one body.
pub(crate) struct Sieve {
    agent: Rc<CoreAgent>,
    /// Position of the agent in the plan.
    index: usize,
    key: StreamKey,
    event: Event,
    failure_mode: FailureMode,
    minutes: Minutes,
    /// Read and not sent to the agent yet, for want of room there.
    unsent: Bytes,
    /// Sent and neither released nor replaced. The agent's window bounds it.
    held: BytesMut,
    /// May go on.
    free: Bytes,
    source_ended: bool,
    state: State,
    patience: Pin<Box<Sleep>>,
    asked: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Each piece waits for the agent.
    Asking,
    /// The agent has seen all that it will see, and owes its last word.
    Told,
    /// The agent has no more to say: the rest passes.
    Passing,
}

/// What an agent, or the lack of one, does to a body that is under way.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it travels in a box")]
pub(crate) enum Stopped {
    /// The agent at this position in the plan refuses.
    Refused(usize, Verdict),
    /// There is no answer, and without one nothing goes on.
    Unanswered(CallFault),
}

impl Sieve {
    pub(crate) fn new(
        agent: Rc<CoreAgent>,
        index: usize,
        key: StreamKey,
        event: Event,
        failure_mode: FailureMode,
        minutes: Minutes,
    ) -> Self {
        let patience = Box::pin(sleep(agent.state.config.timeout));
        Self {
            agent,
            index,
            key,
            event,
            failure_mode,
            minutes,
            unsent: Bytes::new(),
            held: BytesMut::new(),
            free: Bytes::new(),
            source_ended: false,
            state: State::Asking,
            patience,
            asked: Instant::now(),
        }
    }

    /// Ready when [`Self::chunk`] holds data that may go on, or the body is over.
    pub(crate) fn poll_fill(
        &mut self,
        source: &mut impl BodySource,
        context: &mut Context<'_>,
    ) -> Poll<Result<Filled, BodyFault>> {
        loop {
            if !self.free.is_empty() {
                return Poll::Ready(Ok(Filled::Data));
            }
            if self.state == State::Passing {
                return match self.source_ended {
                    true => Poll::Ready(Ok(Filled::End)),
                    false => self.poll_pass(source, context),
                };
            }
            if let Poll::Ready(answer) = self.agent.link.poll_answer(self.key, context) {
                self.hear(answer)?;
                continue;
            }
            if self.state == State::Asking && self.poll_offer(source, context)?.is_ready() {
                continue;
            }
            if self.owes() {
                ready!(self.patience.as_mut().poll(context));
                self.give_up(CallFault::Timeout)?;
                continue;
            }
            return Poll::Pending;
        }
    }

    fn poll_pass(
        &mut self,
        source: &mut impl BodySource,
        context: &mut Context<'_>,
    ) -> Poll<Result<Filled, BodyFault>> {
        match ready!(source.poll_fill(context))? {
            Filled::End => self.source_ended = true,
            Filled::Data => {
                self.free = Bytes::copy_from_slice(source.chunk());
                source.consume();
            }
        }
        Poll::Ready(Ok(if self.source_ended { Filled::End } else { Filled::Data }))
    }

    /// Whether the agent has something to answer.
    fn owes(&self) -> bool {
        !self.held.is_empty() || self.state == State::Told
    }

    /// Sends the agent more of the body. Ready when something was sent.
    fn poll_offer(
        &mut self,
        source: &mut impl BodySource,
        context: &mut Context<'_>,
    ) -> Result<Poll<()>, BodyFault> {
        if self.unsent.is_empty() && !self.source_ended {
            match source.poll_fill(context)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Filled::End) => self.source_ended = true,
                Poll::Ready(Filled::Data) => {
                    self.unsent = Bytes::copy_from_slice(source.chunk());
                    source.consume();
                }
            }
        }
        let rested = !self.owes();
        let sent =
            self.agent.link.offer_body(self.key, self.event, &self.unsent, self.source_ended);
        let taken = match sent {
            Ok(taken) => taken,
            // What it has said already is heard next.
            Err(selvedge_agent::SendError::Answered | selvedge_agent::SendError::Closed) => {
                self.state = State::Told;
                return Ok(Poll::Ready(()));
            }
            Err(error) => {
                self.give_up(CallFault::Lost(error.to_string()))?;
                return Ok(Poll::Ready(()));
            }
        };
        self.held.extend_from_slice(&self.unsent.split_to(taken.bytes));
        if taken.ended {
            self.state = State::Told;
        }
        if rested && self.owes() {
            let timeout = self.agent.state.config.timeout;
            self.patience.as_mut().reset(tokio::time::Instant::now() + timeout);
            self.asked = Instant::now();
        }
        // Nothing taken: there is no room, and the agent's next word makes some.
        Ok(if taken.bytes > 0 || taken.ended { Poll::Ready(()) } else { Poll::Pending })
    }

    fn hear(&mut self, answer: Answer) -> Result<(), BodyFault> {
        let timeout = self.agent.state.config.timeout;
        self.patience.as_mut().reset(tokio::time::Instant::now() + timeout);
        match answer {
            Answer::Release { bytes, last } => {
                self.free = self.held.split_to(self.held.len().min(bytes as usize)).freeze();
                self.hear_last(last);
            }
            Answer::Replace { consumed, bytes, last } => {
                let _ = self.held.split_to(self.held.len().min(consumed as usize));
                self.agent.link.grant(self.key, self.event, bytes.len());
                self.free = bytes;
                self.hear_last(last);
            }
            Answer::Verdict(_, verdict) => {
                self.note(outcome_of(&verdict), false);
                self.minutes.ruled(self.index, &verdict);
                if !verdict.is_allow() {
                    return Err(BodyFault::Agent(Box::new(Stopped::Refused(self.index, verdict))));
                }
                self.let_go();
            }
            Answer::Abandoned(why) => self.give_up(CallFault::Abandoned(why))?,
            Answer::Lost(why) => self.give_up(CallFault::Lost(why))?,
        }
        Ok(())
    }

    /// An agent that lets the last of a body go, as it is or replaced, has let it pass.
    fn hear_last(&mut self, last: bool) {
        if last {
            self.note(Outcome::Allow, false);
        }
        self.end_if(last);
    }

    /// After its last word on the body nothing is held.
    fn end_if(&mut self, last: bool) {
        if last {
            let mut free = BytesMut::from(&self.free[..]);
            free.extend_from_slice(&self.held.split());
            free.extend_from_slice(&std::mem::take(&mut self.unsent));
            self.free = free.freeze();
            self.state = State::Passing;
        }
    }

    /// All that is held goes on, and what follows passes unseen.
    fn let_go(&mut self) {
        self.end_if(true);
    }

    fn give_up(&mut self, fault: CallFault) -> Result<(), BodyFault> {
        self.note(fault.outcome(), self.failure_mode == FailureMode::Open);
        self.agent.link.end_stream(self.key, CancelCode::Timeout);
        match self.failure_mode {
            FailureMode::Open => {
                self.let_go();
                Ok(())
            }
            FailureMode::Closed => Err(BodyFault::Agent(Box::new(Stopped::Unanswered(fault)))),
        }
    }

    /// Counts and writes down that the agent is done with this body.
    fn note(&self, outcome: Outcome, passed_over: bool) {
        let (agent, event, began) = (self.index, self.event, self.asked);
        let took = began.elapsed();
        self.agent.state.stats.record(outcome, took);
        self.minutes.asked(Asked { agent, event, outcome, began, took, passed_over });
    }

    pub(crate) fn chunk(&self) -> &[u8] {
        &self.free
    }

    pub(crate) fn consume(&mut self) {
        self.free = Bytes::new();
    }
}

/// Sieves one behind the other, and the source in front of them.
pub(crate) struct Chain<'a, S> {
    pub(crate) sieves: &'a mut [Sieve],
    pub(crate) source: &'a mut S,
}

impl<S: BodySource> BodySource for Chain<'_, S> {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        match self.sieves.split_last_mut() {
            None => self.source.poll_fill(context),
            Some((last, sieves)) => {
                last.poll_fill(&mut Chain { sieves, source: &mut *self.source }, context)
            }
        }
    }

    fn chunk(&self) -> &[u8] {
        self.sieves.last().map_or_else(|| self.source.chunk(), Sieve::chunk)
    }

    fn consume(&mut self) {
        match self.sieves.last_mut() {
            Some(last) => last.consume(),
            None => self.source.consume(),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        self.source.trailers()
    }
}
