//! Tasks that take one job after another. A task of its own for each job would be allocated, and its
//! future copied, at a cost that shows beside that of a small exchange; so a task that is done rests.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use tokio::task::spawn_local;

/// What a task does.
pub(crate) trait Job: 'static {
    /// Does it.
    fn run(self) -> impl Future<Output = ()>;
}

/// The tasks of one core that rest.
pub(crate) struct Crew<J> {
    resting: RefCell<Vec<Rc<Seat<J>>>>,
}

/// Tasks that rest at the same time; others end when they are done.
pub(crate) const RESTING_MAX: usize = 128;

impl<J: Job> Crew<J> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { resting: RefCell::default() })
    }

    /// Gives `job` to a task that rests, or to a new one.
    pub(crate) fn start(self: &Rc<Self>, job: J) {
        let rested = self.resting.borrow_mut().pop();
        match rested {
            Some(seat) => seat.give(job),
            None => drop(spawn_local(work(Rc::downgrade(self), job))),
        }
    }

    /// Whether a task whose job is done may wait in `seat` for another.
    fn rest(&self, seat: &Rc<Seat<J>>) -> bool {
        let mut resting = self.resting.borrow_mut();
        let has_room = resting.len() < RESTING_MAX;
        if has_room {
            resting.push(seat.clone());
        }
        has_room
    }
}

/// One task. What panics takes its task with it: nobody rests in that seat again.
async fn work<J: Job>(crew: Weak<Crew<J>>, first: J) {
    let seat = Rc::new(Seat { job: Cell::new(None), waker: RefCell::default() });
    let mut job = first;
    loop {
        job.run().await;
        if !crew.upgrade().is_some_and(|crew| crew.rest(&seat)) {
            return;
        }
        job = poll_fn(|context| seat.poll_job(context)).await;
    }
}

/// Where a task that rests is handed its next job.
struct Seat<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Option<Waker>>,
}

impl<J> Seat<J> {
    fn give(&self, job: J) {
        self.job.set(Some(job));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn poll_job(&self, context: &Context<'_>) -> Poll<J> {
        if let Some(job) = self.job.take() {
            return Poll::Ready(job);
        }
        let waker = &mut *self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        runtime::{Builder, LocalOptions},
        task::{Id, id, yield_now},
    };

    use super::*;

    /// Tells which task it ran in.
    struct Told {
        by: Rc<RefCell<Vec<Id>>>,
        panics: bool,
    }

    impl Job for Told {
        async fn run(self) {
            self.by.borrow_mut().push(id());
            yield_now().await;
            assert!(!self.panics, "as told");
        }
    }

    /// Runs jobs in bunches, each when the one before is over, and counts tasks and those that rest.
    #[track_caller]
    fn check(bunches: &[(usize, bool)], tasks: usize, resting: usize) {
        let by = Rc::default();
        let crew = Crew::new();
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            for &(jobs, panics) in bunches {
                (0..jobs).for_each(|_| crew.start(Told { by: Rc::clone(&by), panics }));
                // Each job takes two turns, and nobody waits longer than everybody else's.
                for _ in 0..4 * jobs {
                    yield_now().await;
                }
            }
        });
        let mut seen = by.take();
        assert_eq!(seen.len(), bunches.iter().map(|(jobs, _)| jobs).sum::<usize>());
        seen.sort_unstable_by_key(ToString::to_string);
        seen.dedup();
        assert_eq!((seen.len(), crew.resting.borrow().len()), (tasks, resting));
    }

    #[test]
    fn a_task_takes_one_job_after_another() {
        check(&[(1, false), (1, false), (1, false)], 1, 1);
        check(&[(2, false), (3, false), (1, false)], 3, 3);
    }

    #[test]
    fn a_task_that_panicked_takes_no_other() {
        check(&[(1, true), (1, false)], 2, 1);
    }

    #[test]
    fn no_more_than_the_bound_rest() {
        check(&[(RESTING_MAX + 2, false)], RESTING_MAX + 2, RESTING_MAX);
    }
}
