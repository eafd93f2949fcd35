//! What the driver of a connection and the handlers of its exchanges share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::task::AbortHandle;

use super::inbox::{Arrival, Inbox};
use crate::{
    AgentSide, Event, Replacement, SendError, StreamId, StreamMap, Subscriptions, Verdict,
};

/// What the driver of a connection and the handlers of its exchanges share. All of it lives on one
/// thread, and no borrow of it is held while a handler runs.
pub(super) struct Link {
    machine: RefCell<AgentSide>,
    slots: RefCell<StreamMap<Slot>>,
    /// The driver, to be woken when a handler has said something.
    driver: RefCell<Option<Waker>>,
    /// Handlers that wait for output to be written.
    stalled: RefCell<Vec<Waker>>,
    /// Handlers of outcomes that run.
    outcomes: Cell<usize>,
}

/// An exchange that has a handler.
struct Slot {
    inbox: Rc<RefCell<Inbox>>,
    /// Its task, if it has had to wait.
    task: Option<AbortHandle>,
}

impl Link {
    pub(super) fn new(machine: AgentSide) -> Rc<Self> {
        Rc::new(Self {
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            driver: RefCell::default(),
            stalled: RefCell::default(),
            outcomes: Cell::new(0),
        })
    }

    /// The machine, for the driver.
    pub(super) fn machine(&self) -> &RefCell<AgentSide> {
        &self.machine
    }

    pub(super) fn wait(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        match &mut *driver {
            Some(own) => own.clone_from(waker),
            own => *own = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.driver.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Wakes handlers that wait for space, once there is some.
    pub(super) fn unstall(&self) {
        if !self.machine.borrow().is_held_up() {
            self.stalled.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    /// Makes room for what comes of an exchange.
    pub(super) fn open(&self, stream: StreamId) -> Rc<RefCell<Inbox>> {
        let inbox = Rc::<RefCell<Inbox>>::default();
        self.slots.borrow_mut().insert(stream, Slot { inbox: inbox.clone(), task: None });
        inbox
    }

    /// Remembers the task of an exchange.
    pub(super) fn set_task(&self, stream: StreamId, task: AbortHandle) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(&stream) {
            slot.task = Some(task);
        }
    }

    /// Puts something into the inbox of an exchange that has a handler.
    pub(super) fn put(&self, stream: StreamId, put: impl FnOnce(&mut Inbox)) {
        if let Some(slot) = self.slots.borrow().get(&stream) {
            put(&mut slot.inbox.borrow_mut());
        }
    }

    /// Forgets an exchange whose handler is done.
    pub(super) fn close(&self, stream: StreamId) {
        self.slots.borrow_mut().remove(&stream);
    }

    /// Drops the handler of an exchange that is over.
    pub(super) fn cancel(&self, stream: StreamId) {
        let slot = self.slots.borrow_mut().remove(&stream);
        if let Some(task) = slot.and_then(|slot| slot.task) {
            task.abort();
        }
    }

    /// Drops the handlers of all exchanges.
    pub(super) fn cancel_all(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        slots.into_values().filter_map(|slot| slot.task).for_each(|task| task.abort());
    }

    /// Counts the handler of an outcome, unless `max` of them run.
    pub(super) fn begin_outcome(self: &Rc<Self>, max: usize) -> Option<OutcomeRun> {
        let running = self.outcomes.get();
        (running < max).then(|| {
            self.outcomes.set(running + 1);
            OutcomeRun(self.clone())
        })
    }

    /// What the handler of a stream is to be called for next; nothing once the stream is over.
    pub(super) fn poll_next(
        &self,
        (stream, inbox): (StreamId, &RefCell<Inbox>),
        context: &Context<'_>,
    ) -> Poll<Option<Arrival>> {
        if !self.machine.borrow().is_open(stream) {
            return Poll::Ready(None);
        }
        let mut inbox = inbox.borrow_mut();
        match inbox.take() {
            Some(arrival) => Poll::Ready(Some(arrival)),
            None => {
                inbox.wait(context.waker());
                Poll::Pending
            }
        }
    }

    /// Ready once something can be sent in place of a body, or nothing any more.
    pub(super) fn poll_credit(
        &self,
        (stream, inbox): (StreamId, &RefCell<Inbox>),
        event: Event,
        context: &Context<'_>,
    ) -> Poll<()> {
        let machine = self.machine.borrow();
        if !machine.is_open(stream) {
            return Poll::Ready(());
        }
        if machine.is_held_up() {
            self.stalled.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        if machine.credit(stream, event) > 0 {
            return Poll::Ready(());
        }
        inbox.borrow_mut().wait(context.waker());
        Poll::Pending
    }

    /// Says something on a stream; what cannot be said, other than that it is over, abandons it.
    fn say<T>(
        &self,
        stream: StreamId,
        say: impl FnOnce(&mut AgentSide) -> Result<T, SendError>,
    ) -> Option<T> {
        let mut machine = self.machine.borrow_mut();
        let said = say(&mut machine);
        if let Err(error) = &said {
            machine.abandon(stream, &error.to_string());
        }
        drop(machine);
        self.wake();
        said.ok()
    }

    pub(super) fn verdict(&self, stream: StreamId, event: Event, verdict: &Verdict) {
        self.say(stream, |machine| machine.verdict(stream, event, verdict));
    }

    pub(super) fn release(&self, stream: StreamId, event: Event, (bytes, last): (u32, bool)) {
        self.say(stream, |machine| machine.release(stream, event, bytes, last));
    }

    /// Sends what there is room for, and returns how much; nothing if the stream is over.
    pub(super) fn replace(
        &self,
        stream: StreamId,
        event: Event,
        replacement: Replacement<'_>,
    ) -> Option<usize> {
        self.say(stream, |machine| machine.replace(stream, event, replacement))
    }

    pub(super) fn grant(&self, stream: StreamId, event: Event, bytes: u32) {
        self.machine.borrow_mut().grant(stream, event, bytes);
        self.wake();
    }

    pub(super) fn abandon(&self, stream: StreamId, reason: &str) {
        self.machine.borrow_mut().abandon(stream, reason);
        self.wake();
    }

    pub(super) fn ready(&self, wants: &Subscriptions) -> Result<(), SendError> {
        let ready = self.machine.borrow_mut().ready(wants);
        self.wake();
        ready
    }

    pub(super) fn refuse(&self, text: &str) {
        self.machine.borrow_mut().refuse(text);
        self.wake();
    }

    pub(super) fn configured(&self, result: Result<&Subscriptions, &str>) -> Result<(), SendError> {
        let configured = self.machine.borrow_mut().configured(result);
        self.wake();
        configured
    }
}

/// Counts the handler of an outcome for as long as it is held.
pub(super) struct OutcomeRun(Rc<Link>);

impl Drop for OutcomeRun {
    fn drop(&mut self) {
        self.0.outcomes.set(self.0.outcomes.get() - 1);
    }
}
