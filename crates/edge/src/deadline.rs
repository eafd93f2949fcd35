//! Coarse deadlines, one per task: arming one is a store, and no timer is touched on the request path.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How often expired deadlines are looked for; the error of each deadline is at most this.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// All deadlines of one core, and its coarse clock.
pub(crate) struct Deadlines {
    now: Cell<Instant>,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    list: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    at: Option<Instant>,
    /// Nothing is lost when this one expires early.
    idle: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    pub(crate) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self { now: Cell::new(now), slots: RefCell::default() })
    }

    /// Time of the last tick.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// A deadline that is not armed.
    pub(crate) fn register(self: &Rc<Self>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let slot = Slot::default();
        let index = match slots.free.pop() {
            Some(index) => {
                slots.list[index] = slot;
                index
            }
            None => {
                slots.list.push(slot);
                slots.list.len() - 1
            }
        };
        Deadline { deadlines: self.clone(), index }
    }

    /// Ends all idle waits now.
    pub(crate) fn expire_idle(&self) {
        let now = self.now.get();
        for slot in &mut self.slots.borrow_mut().list {
            if slot.idle && slot.at.is_some() {
                slot.at = Some(now);
            }
        }
        self.tick(now);
    }

    /// Moves the clock and wakes the tasks whose deadline has come.
    pub(crate) fn tick(&self, now: Instant) {
        self.now.set(now);
        let due: Vec<Waker> = self
            .slots
            .borrow_mut()
            .list
            .iter_mut()
            .filter(|slot| slot.at.is_some_and(|at| at <= now))
            .filter_map(|slot| slot.waker.take())
            .collect();
        due.into_iter().for_each(Waker::wake);
    }
}

/// One task's deadline.
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    index: usize,
}

impl Deadline {
    /// Expires `after` from now, instead of whenever it would have before.
    pub(crate) fn arm(&self, after: Duration) {
        self.set(after, false);
    }

    /// As [`Self::arm`], for a wait that ends at once when the process is to end.
    pub(crate) fn arm_idle(&self, after: Duration) {
        self.set(after, true);
    }

    fn set(&self, after: Duration, idle: bool) {
        let at = Some(self.deadlines.now.get() + after);
        let slot = &mut self.deadlines.slots.borrow_mut().list[self.index];
        (slot.at, slot.idle) = (at, idle);
    }

    /// Expires at `limit` if it would expire later.
    pub(crate) fn arm_at_most(&self, limit: Instant) {
        let at = &mut self.deadlines.slots.borrow_mut().list[self.index].at;
        *at = Some(at.map_or(limit, |at| at.min(limit)));
    }

    /// Ready once it has expired; otherwise the task is woken then.
    pub(crate) fn poll_expired(&self, context: &mut Context<'_>) -> Poll<()> {
        let slot = &mut self.deadlines.slots.borrow_mut().list[self.index];
        match slot.at {
            Some(at) if at <= self.deadlines.now.get() => return Poll::Ready(()),
            Some(_) => {}
            None => return Poll::Pending,
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            slot.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Runs `poll` until it is ready or the deadline expires.
    pub(crate) async fn within<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Expired> {
        std::future::poll_fn(|context| match poll(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_expired(context).map(|()| Err(Expired)),
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.deadlines.slots.borrow_mut();
        slots.list[self.index] = Slot::default();
        slots.free.push(self.index);
    }
}

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(deadline: &Deadline) -> Poll<()> {
        deadline.poll_expired(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_deadline_expires_at_the_tick_that_passes_it() {
        let start = Instant::now();
        let deadlines = Deadlines::new(start);
        let deadline = deadlines.register();
        assert_eq!(poll(&deadline), Poll::Pending);
        deadline.arm(Duration::from_secs(1));
        deadlines.tick(start + Duration::from_millis(999));
        assert_eq!(poll(&deadline), Poll::Pending);
        deadlines.tick(start + Duration::from_secs(1));
        assert_eq!(poll(&deadline), Poll::Ready(()));
        deadline.arm(Duration::from_secs(1));
        assert_eq!(poll(&deadline), Poll::Pending);
    }

    #[test]
    fn slots_are_used_again() {
        let deadlines = Deadlines::new(Instant::now());
        for _ in 0..100 {
            deadlines.register().arm(Duration::from_secs(1));
        }
        assert_eq!(deadlines.slots.borrow().list.len(), 1);
    }
}
