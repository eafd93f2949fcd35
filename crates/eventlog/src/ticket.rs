//! The answer to an append, which comes when the batch is durable.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crate::{AppendError, Committed, locked};

/// A promise of the outcome of one batch.
///
/// Dropping it changes nothing: the batch is on its way.
#[derive(Debug)]
#[must_use = "nothing is safe before the ticket says so"]
pub struct Ticket {
    slot: Arc<Slot>,
}

impl Ticket {
    /// Blocks the thread until the batch is durable or refused.
    pub fn wait(mut self) -> Result<Committed, AppendError> {
        // Behind a ticket that was waited for lie many of the same commit: these need nobody to wake.
        match self.try_take() {
            Some(outcome) => outcome,
            None => block_on(self),
        }
    }

    /// Returns the outcome if it is known. It is given out once.
    pub fn try_take(&mut self) -> Option<Result<Committed, AppendError>> {
        locked(&self.slot.state).outcome.take()
    }
}

impl Future for Ticket {
    type Output = Result<Committed, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Self::Output> {
        let mut state = locked(&self.slot.state);
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Where the outcome is put.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<Committed, AppendError>>,
    waker: Option<Waker>,
}

/// The other end of a ticket. Dropped without an answer, it answers that the log was closed.
#[derive(Debug)]
pub(crate) struct Reply {
    slot: Option<Arc<Slot>>,
}

impl Reply {
    pub(crate) fn new() -> (Self, Ticket) {
        let slot = Arc::new(Slot::default());
        (Self { slot: Some(Arc::clone(&slot)) }, Ticket { slot })
    }

    pub(crate) fn send(mut self, outcome: Result<Committed, AppendError>) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Result<Committed, AppendError>) {
        let Some(slot) = self.slot.take() else { return };
        let waker = {
            let mut state = locked(&slot.state);
            state.outcome = Some(outcome);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.answer(Err(AppendError::ShutDown));
    }
}

/// Runs a future of this crate on a thread that has no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
