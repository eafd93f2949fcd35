//! The one thread that writes: it gives each view a batch in turn, and waits when there is nothing to do.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use selvedge_config::View;
use selvedge_eventlog::{Follower, Log};
use tokio::sync::{Notify, oneshot};

use super::{Board, follow::Follow, lineage::Lineage, store::Store};

/// How long nothing is looked at that does not call: streams that are to be created, a disk that was full.
const PAUSE: Duration = Duration::from_secs(1);
/// Orders that wait for the thread.
const ORDERS_MAX: usize = 64;

/// What the thread is told.
pub(crate) enum Order {
    /// These views are declared now, and no others.
    Declare(Vec<Arc<View>>),
    /// Build this view from zero.
    Rebuild {
        view: String,
        done: oneshot::Sender<Result<(), String>>,
    },
    Stop,
}

/// Where orders wait.
#[derive(Default)]
pub(crate) struct Orders {
    waiting: Mutex<VecDeque<Order>>,
    called: Notify,
}

impl Orders {
    /// Gives an order. Returns whether there was room; stopping always has it.
    pub(crate) fn give(&self, order: Order) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.len() < ORDERS_MAX || !matches!(order, Order::Rebuild { .. });
        if has_room {
            waiting.push_back(order);
            self.called.notify_one();
        }
        has_room
    }

    fn take(&self) -> Option<Order> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The thread's own.
pub(crate) struct Runner {
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) orders: Arc<Orders>,
    pub(crate) board: Arc<Board>,
    pub(crate) follows: BTreeMap<String, Follow>,
}

impl Runner {
    /// Follows all streams until it is told to stop.
    pub(crate) fn run(mut self, runtime: &tokio::runtime::Runtime) {
        loop {
            while let Some(order) = self.orders.take() {
                match order {
                    Order::Declare(views) => self.declare(views),
                    Order::Rebuild { view, done } => {
                        // Whoever asked may have gone.
                        let _ = done.send(self.rebuild(&view));
                    }
                    Order::Stop => return,
                }
            }
            if !self.turn() {
                runtime.block_on(self.wait());
            }
        }
    }

    /// Gives each view one batch. Returns whether any had one.
    fn turn(&mut self) -> bool {
        let mut progressed = false;
        for follow in self.follows.values_mut() {
            progressed |= follow.turn(&mut self.store, &self.log, now_ms());
            self.board.show(&follow.view.name, &follow.standing);
        }
        progressed
    }

    pub(crate) fn declare(&mut self, views: Vec<Arc<View>>) {
        let mut before = std::mem::take(&mut self.follows);
        for view in views {
            let follow = match before.remove(&view.name) {
                Some(follow) if follow.view == view => follow,
                _ => Follow::new(view.clone(), &self.store),
            };
            self.follows.insert(view.name.clone(), follow);
        }
        // What cannot be removed now is when views are declared the next time.
        for name in self.store.views().unwrap_or_default() {
            if !self.follows.contains_key(&name) {
                let _ = self.store.remove(&name);
            }
        }
        self.board.post(self.follows.values());
    }

    fn rebuild(&mut self, view: &str) -> Result<(), String> {
        let follow = self.follows.get_mut(view).ok_or("there is no such view")?;
        follow.rebuild(&mut self.store, &self.log).map_err(|trouble| trouble.to_string())
    }

    /// Waits for an order, for something to fold, or a while.
    async fn wait(&self) {
        let followers: Vec<Follower> =
            self.follows.values().filter_map(|follow| self.follower(follow)).collect();
        let mut changes: Vec<_> = followers.iter().map(Follower::changed).collect();
        let any = poll_fn(|context| {
            let mut is_any = false;
            // Each is asked, so that each wakes us.
            for change in &mut changes {
                is_any |= Pin::new(change).poll(context).is_ready();
            }
            if is_any { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            () = self.orders.called.notified() => {}
            () = any => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }

    fn follower(&self, follow: &Follow) -> Option<Follower> {
        let stream = follow.standing.stream?;
        let current = follow.standing.current().filter(|_| follow.standing.trouble.is_none())?;
        let lineage = Lineage::of(&self.log, stream).ok()?;
        // The end of a closed stream would call without end.
        if lineage.closed && current.cursor >= lineage.tail {
            return None;
        }
        self.log.follow(stream, lineage.own(current.cursor)).ok()
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
