//! The first half of an exchange: the request goes out while the response's head is awaited.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use selvedge_http1::{BodyError, ResponseError};

use super::{
    super::{Failure, Refusal, agents::stopped_by},
    Forward, arm,
    attempt::{AnyHeadFault, Attempt, AttemptFault},
};
use crate::{
    agent::held::{Held, poll_pump},
    client::{Client, ClientGone, ResponseSink},
    deadline::Deadline,
    message::{BodyFault, BodySink, BodySource, Pump, PumpFault, Waiting},
    problem::Problem,
    upstream::http1::HeadAsk,
};

/// Interim responses that one request may bring.
pub(crate) const INTERIM_MAX: u32 = 16;
/// Bytes of an upload that count as progress: fewer within the client's time for a body are too few.
const PROGRESS_MIN: u64 = 1 << 10;

/// What ends the wait for a head.
enum Waited {
    Head,
    Fault(AnyHeadFault),
    Client(Failure),
    Late,
}

impl Forward<'_> {
    /// Sends the request's body while it waits for the response's head. Interim heads pass through.
    pub(super) async fn exchange_heads<C: Client>(
        &mut self,
        client: &mut C,
        attempt: &mut Attempt,
        upload: &mut Pump,
    ) -> Result<(), AttemptFault> {
        let settings = &self.upstream.state.config;
        let mut watch = Watch {
            deadline: self.deadline,
            over_at: self.over_at,
            first_byte: settings.retry.per_attempt.unwrap_or(settings.timeouts.first_byte),
            client: self.connection.listener.timeouts.body,
            armed: None,
            begun: Instant::now(),
            targets_turn: None,
        };
        watch.await_target();
        let ask = HeadAsk {
            method: self.request.method(),
            bytes_max: self.snapshot.plan.config.limits.response_head.0 as usize,
        };
        let reused = self.facts.upstream.as_ref().is_some_and(|facts| facts.reused);
        let mut upload_broken = false;
        let mut interims = 0;
        let (source, sink) = client.split();
        loop {
            let response = &mut *self.response;
            let held = &mut self.council.held;
            let waited = poll_fn(|context| {
                // Interim heads go out at once, and before the client is asked for its body.
                if sink.pending() > 0
                    && let Poll::Ready(Err(fault)) = sink.poll_flush(context)
                {
                    let gone = Failure::ClientGone(fault.to_string());
                    return Poll::Ready(Waited::Client(gone));
                }
                if !upload_broken && sink.pending() == 0 {
                    match poll_upload(upload, held, source, attempt, &mut watch, context) {
                        Poll::Ready(Err(failure)) => return Poll::Ready(Waited::Client(failure)),
                        Poll::Ready(Ok(broken)) => upload_broken = broken,
                        Poll::Pending => {}
                    }
                }
                if let Poll::Ready(head) = attempt.poll_head(response, &ask, context) {
                    return Poll::Ready(head.map_or_else(Waited::Fault, |()| Waited::Head));
                }
                if upload.is_done() && source.poll_gone(context).is_ready() {
                    let detail = "closed while it waited for the response".to_owned();
                    return Poll::Ready(Waited::Client(Failure::ClientGone(detail)));
                }
                watch.deadline.poll_expired(context).map(|()| Waited::Late)
            })
            .await;
            match waited {
                Waited::Head => {}
                Waited::Fault(fault) => return Err(attempt.classify(fault, reused)),
                Waited::Client(failure) => return Err(AttemptFault::Client(failure)),
                Waited::Late if self.is_overdue() => return Err(watch.overdue(Instant::now())),
                Waited::Late
                    if !upload.is_done() && upload.waiting_for(attempt) == Waiting::Source =>
                {
                    return Err(AttemptFault::Client(Refusal::new(Problem::BODY_TIMEOUT).into()));
                }
                Waited::Late => return Err(AttemptFault::Timeout),
            }
            match self.response.status() {
                101 if self.upgrade.is_some() => return Ok(()),
                101 => {
                    let fault =
                        ResponseError { status: 502, code: "upstream/unasked-switch", at: 0 };
                    return Err(AttemptFault::Invalid(fault));
                }
                // We have asked the client for its body ourselves.
                100 => {}
                102..=199 if interims < INTERIM_MAX => {
                    interims += 1;
                    sink.push_interim(self.response);
                }
                102..=199 => {
                    let fault =
                        ResponseError { status: 502, code: "upstream/interim-limit", at: 0 };
                    return Err(AttemptFault::Invalid(fault));
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Sends more of the request. Ready with `true` when the target takes no more of it: its answer may
/// say why.
fn poll_upload(
    upload: &mut Pump,
    held: &mut Option<Held>,
    source: &mut impl BodySource,
    attempt: &mut Attempt,
    watch: &mut Watch<'_>,
    context: &mut Context<'_>,
) -> Poll<Result<bool, Failure>> {
    if upload.is_done() {
        return Poll::Ready(Ok(false));
    }
    match poll_pump(upload, held, source, attempt, context) {
        Poll::Ready(Ok(())) => {
            watch.await_target();
            Poll::Ready(Ok(false))
        }
        Poll::Ready(Err(PumpFault::Sink(_))) => Poll::Ready(Ok(true)),
        Poll::Ready(Err(PumpFault::Source(fault))) => Poll::Ready(Err(body_failure(fault))),
        Poll::Ready(Err(PumpFault::TooLarge)) => {
            Poll::Ready(Err(Refusal::new(Problem::BODY_LIMIT).into()))
        }
        Poll::Pending => {
            watch.uploaded(upload.moved(), upload.waiting_for(attempt));
            Poll::Pending
        }
    }
}

/// Whose turn it is, and how long that may take.
struct Watch<'a> {
    deadline: &'a Deadline,
    over_at: Option<Instant>,
    first_byte: Duration,
    client: Duration,
    /// Bytes uploaded, and who was waited for, when the deadline was last armed for the upload.
    armed: Option<(u64, Waiting)>,
    /// When the attempt had its connection.
    begun: Instant,
    /// Since when the target is waited for, if it is.
    targets_turn: Option<Instant>,
}

impl Watch<'_> {
    fn await_target(&mut self) {
        self.targets_turn = Some(Instant::now());
        arm(self.deadline, self.over_at, self.first_byte);
    }

    /// Who let the time of the whole exchange run out: the target, if it was waited for at the end and
    /// for most of the attempt. A client that drips its body in must not make a target look ill.
    fn overdue(&self, now: Instant) -> AttemptFault {
        let whole = now.saturating_duration_since(self.begun);
        let targets = self.targets_turn.map(|since| now.saturating_duration_since(since));
        match targets {
            Some(targets) if targets >= whole / 2 => AttemptFault::Overdue,
            _ => AttemptFault::Client(Refusal::new(Problem::EXCHANGE_TIMEOUT).into()),
        }
    }

    /// Progress gives whoever is waited for its whole time anew; so does a change of turns.
    fn uploaded(&mut self, moved: u64, waiting: Waiting) {
        let stands = self.armed.is_some_and(|(before, whom)| {
            whom == waiting && moved.saturating_sub(before) < PROGRESS_MIN
        });
        if stands {
            return;
        }
        self.armed = Some((moved, waiting));
        match waiting {
            Waiting::Source => {
                self.targets_turn = None;
                arm(self.deadline, self.over_at, self.client);
            }
            Waiting::Sink => self.await_target(),
        }
    }
}

/// What the client is told when its body cannot be read.
pub(in super::super) fn body_failure(fault: BodyFault) -> Failure {
    match fault {
        BodyFault::Framing(error) if error != BodyError::Truncated => {
            Refusal::new(Problem::FRAMING).because(error).into()
        }
        BodyFault::Agent(stopped) => stopped_by(*stopped),
        other => Failure::ClientGone(other.to_string()),
    }
}
