//! Which update was sent when, who has it, and what the server has said of it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{client::Mark, times::Times};

/// The books of a run.
pub struct Board {
    begin: Instant,
    readers: u32,
    lanes: RefCell<Vec<Lane>>,
    /// What was sent from here on is measured.
    from: Cell<Option<Duration>>,
    stopped: Cell<bool>,
    delivered: Cell<u64>,
    fault: RefCell<Option<String>>,
    times: RefCell<Measured>,
}

/// One writer.
struct Lane {
    /// When each update was sent.
    sent: Vec<Duration>,
    /// How many readers have it.
    readers: Vec<u32>,
    acknowledged: usize,
    room: Rc<Semaphore>,
}

#[derive(Default)]
struct Measured {
    /// Until a reader had it.
    delivery: Times,
    /// Until the last reader had it.
    last: Times,
    /// Until the server had acknowledged it.
    acknowledgement: Times,
}

impl Board {
    /// Of `writers` writers, each of whose updates must reach `readers` readers; a writer may have `window` that have
    /// not.
    pub fn new(writers: u32, readers: u32, window: usize) -> Self {
        let lane = || Lane {
            sent: Vec::new(),
            readers: Vec::new(),
            acknowledged: 0,
            room: Rc::new(Semaphore::new(window)),
        };
        Self {
            begin: Instant::now(),
            readers,
            lanes: RefCell::new((0..writers).map(|_| lane()).collect()),
            from: Cell::default(),
            stopped: Cell::default(),
            delivered: Cell::default(),
            fault: RefCell::default(),
            times: RefCell::default(),
        }
    }

    /// Room for more updates of a writer.
    pub fn room(&self, writer: u32) -> Rc<Semaphore> {
        Rc::clone(&self.lanes.borrow()[writer as usize].room)
    }

    /// The next update of a writer, which was due at `due`.
    pub fn send(&self, writer: u32, due: Instant) -> Mark {
        let lane = &mut self.lanes.borrow_mut()[writer as usize];
        lane.sent.push(due.saturating_duration_since(self.begin));
        lane.readers.push(0);
        Mark { writer, number: lane.sent.len() as u32 - 1 }
    }

    /// The server has acknowledged the next `count` updates of a writer.
    pub fn acknowledge(&self, writer: u32, count: usize) {
        let lane = &mut self.lanes.borrow_mut()[writer as usize];
        for _ in 0..count {
            let Some(sent) = lane.sent.get(lane.acknowledged) else { return };
            lane.acknowledged += 1;
            if self.is_measured(*sent) {
                let time = self.begin.elapsed().saturating_sub(*sent);
                self.times.borrow_mut().acknowledgement.push(time);
            }
        }
    }

    /// A reader has an update, which it has not had before.
    pub fn deliver(&self, mark: Mark) {
        let lanes = &mut *self.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(mark.writer as usize) else { return };
        let place = mark.number as usize;
        let (Some(sent), Some(readers)) = (lane.sent.get(place), lane.readers.get_mut(place))
        else {
            return;
        };
        *readers += 1;
        let (is_last, time) =
            (*readers == self.readers, self.begin.elapsed().saturating_sub(*sent));
        if self.is_measured(*sent) {
            let times = &mut *self.times.borrow_mut();
            times.delivery.push(time);
            if is_last {
                times.last.push(time);
            }
        }
        if is_last {
            self.delivered.set(self.delivered.get() + 1);
            lane.room.add_permits(1);
        }
    }

    fn is_measured(&self, sent: Duration) -> bool {
        self.from.get().is_some_and(|from| sent >= from)
    }

    /// What is sent from now on is measured.
    pub fn measure(&self) {
        self.from.set(Some(self.begin.elapsed()));
    }

    /// Nobody writes any more.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// How many updates all readers have.
    pub fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// How many updates were sent.
    pub fn sent(&self) -> u64 {
        self.lanes.borrow().iter().map(|lane| lane.sent.len() as u64).sum()
    }

    /// The updates of each writer that not all readers have, and how many of that writer's were acknowledged.
    pub fn missing(&self) -> Vec<String> {
        let lanes = self.lanes.borrow();
        let told = lanes.iter().enumerate().filter_map(|(writer, lane)| {
            let missing = lane.readers.iter().enumerate().filter(|(_, it)| **it < self.readers);
            let missing: Vec<usize> = missing.map(|(number, _)| number).collect();
            (!missing.is_empty()).then(|| {
                let (sent, acknowledged) = (lane.sent.len(), lane.acknowledged);
                format!("writer {writer}, {acknowledged} of {sent} acknowledged: {missing:?}")
            })
        });
        told.collect()
    }

    /// A connection has failed.
    pub fn fail(&self, error: &dyn std::fmt::Display) {
        self.fault.borrow_mut().get_or_insert_with(|| error.to_string());
    }

    /// The first failure.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    /// Percentiles of all times.
    pub fn told(&self) -> Value {
        let Measured { delivery, last, acknowledgement } = self.times.take();
        json!({
            "sent": self.sent(),
            "delivery": delivery.told(),
            "last": last.told(),
            "ack": acknowledgement.told(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_delivered_when_all_readers_have_it() {
        let board = Board::new(1, 2, 1);
        board.measure();
        let mark = board.send(0, Instant::now());
        board.room(0).try_acquire().unwrap().forget();
        board.deliver(mark);
        assert_eq!((board.delivered(), board.room(0).available_permits()), (0, 0));
        board.deliver(mark);
        assert_eq!((board.delivered(), board.room(0).available_permits()), (1, 1));
        board.acknowledge(0, 2);
        let told = board.told();
        assert_eq!(told["delivery"]["count"], 2);
        assert_eq!(told["last"]["count"], 1);
        assert_eq!(told["ack"]["count"], 1);
    }

    #[test]
    fn what_nobody_sent_is_nothing() {
        let board = Board::new(1, 1, 1);
        board.deliver(Mark { writer: 9, number: 0 });
        board.deliver(Mark { writer: 0, number: 0 });
        assert_eq!((board.delivered(), board.sent()), (0, 0));
    }
}
