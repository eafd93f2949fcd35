//! One core's connections to the targets of one upstream.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use selvedge_telemetry::Open;

use super::{
    balance::Balancer,
    http1::Http1Upstream,
    http2_pool::{Http2Connections, Http2Slot},
    target::UpstreamState,
};
use crate::{
    bounds::{Entered, Gauge, Starving},
    core::{Core, Snapshot},
    tls::ClientTls,
};

/// An upstream as one core sees it.
pub(crate) struct CoreUpstream {
    pub(crate) state: Arc<UpstreamState>,
    /// How to speak TLS to the targets; `None`: plain text.
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) balancer: RefCell<Balancer>,
    connections: Arc<Gauge>,
    /// Idle HTTP/1 connections by target, the most recently used last.
    idle: RefCell<Vec<Vec<Idle>>>,
    /// HTTP/2 connections by target.
    http2: RefCell<Vec<Http2Connections>>,
    /// Requests of this core among those that starve.
    starving: Cell<usize>,
}

/// An HTTP/1 connection that waits for its next exchange.
struct Idle {
    connection: Box<Http1Upstream>,
    since: Instant,
    _counted: Open,
}

/// A connection counted against the upstream's bound and the bound of all.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held for its drop")] (Entered, Entered, Open),
);

/// Which bound leaves no room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The upstream's own.
    Upstream,
    /// That of all upstreams.
    All,
}

/// How a request asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Others may go first.
    Fresh,
    /// It has waited for long.
    Starving,
}

/// What bounds pools beyond one upstream of one core.
pub(crate) struct Room<'a> {
    all: &'a Arc<Gauge>,
    all_max: usize,
    queue: &'a PoolQueue,
}

impl<'a> Room<'a> {
    pub(crate) fn new(core: &'a Core, snapshot: &Snapshot) -> Self {
        Self {
            all: &core.bounds.upstream_connections,
            all_max: snapshot.plan.config.limits.upstream_connections,
            queue: &core.pool_queue,
        }
    }
}

impl CoreUpstream {
    pub(crate) fn new(shared: &SharedUpstream, rng: &mut fastrand::Rng) -> Self {
        let targets = shared.state.targets.len();
        Self {
            state: shared.state.clone(),
            tls: shared.tls.clone(),
            balancer: RefCell::new(Balancer::new(&shared.state, rng)),
            connections: shared.connections.clone(),
            idle: RefCell::new((0..targets).map(|_| Vec::new()).collect()),
            http2: RefCell::new((0..targets).map(|_| Http2Connections::default()).collect()),
            starving: Cell::new(0),
        }
    }

    /// Counts a new connection unless a bound is reached.
    pub(crate) fn try_permit(
        &self,
        room: &Room<'_>,
        need: Need,
        open: impl FnOnce() -> Open,
    ) -> Result<ConnectionPermit, Full> {
        let enter = match need {
            Need::Fresh => Gauge::try_enter_politely,
            Need::Starving => Gauge::try_enter,
        };
        let max = self.state.config.pool.connections;
        let upstream = enter(&self.connections, max).ok_or(Full::Upstream)?;
        let all = enter(room.all, room.all_max).ok_or(Full::All)?;
        Ok(ConnectionPermit((upstream, all, open())))
    }

    /// The idle connection used last that is still open.
    pub(crate) fn checkout(
        &self,
        target: usize,
        context: &mut Context<'_>,
    ) -> Option<Box<Http1Upstream>> {
        loop {
            let mut connection = self.idle.borrow_mut()[target].pop()?.connection;
            if connection.is_usable(context) {
                return Some(connection);
            }
        }
    }

    /// Takes a connection back. It is closed beyond the bound, and where another core starves.
    pub(crate) fn give_back(
        &self,
        target: usize,
        connection: Box<Http1Upstream>,
        now: Instant,
        room: &Room<'_>,
        count: impl FnOnce() -> Open,
    ) {
        let idle = &mut self.idle.borrow_mut()[target];
        if idle.len() < self.state.config.pool.idle && !self.is_wanted_elsewhere(room) {
            idle.push(Idle { connection, since: now, _counted: count() });
        }
    }

    /// Whether a request of another core starves, and only a connection that closes makes room for it.
    fn is_wanted_elsewhere(&self, room: &Room<'_>) -> bool {
        let is_short = |gauge: &Gauge, here: &Cell<usize>, max: usize| {
            gauge.starving() > here.get() && gauge.value() >= max
        };
        is_short(&self.connections, &self.starving, self.state.config.pool.connections)
            || is_short(room.all, &room.queue.starving, room.all_max)
    }

    /// Closes the connection that has idled longest to make room; false if there is none. Room from
    /// an HTTP/2 connection comes a moment later, and the queue is told.
    pub(crate) fn evict(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let oldest = idle
            .iter_mut()
            .filter(|list| !list.is_empty())
            .min_by_key(|list| list.first().map(|idle| idle.since));
        match oldest {
            Some(list) => drop(list.remove(0)),
            None => return self.http2.borrow_mut().iter_mut().any(Http2Connections::evict),
        }
        true
    }

    /// Closes what has idled too long, and what another core needs more.
    pub(crate) fn tick(&self, now: Instant, room: &Room<'_>) {
        let bound = self.state.config.pool.idle_timeout;
        for list in self.idle.borrow_mut().iter_mut() {
            let expired = list.partition_point(|c| now.saturating_duration_since(c.since) >= bound);
            list.drain(..expired);
        }
        for connections in self.http2.borrow_mut().iter_mut() {
            connections.expire(now, bound);
        }
        if self.is_wanted_elsewhere(room) {
            self.evict();
        }
    }

    /// Counts a request of this core that has waited for long at a bound, until the answer is dropped.
    pub(crate) fn starve<'a>(&'a self, full: Full, room: &Room<'a>) -> Hunger<'a> {
        let (here, gauge) = match full {
            Full::Upstream => (&self.starving, &self.connections),
            Full::All => (&room.queue.starving, room.all),
        };
        here.set(here.get() + 1);
        Hunger { full, here, _everywhere: gauge.starve() }
    }

    /// What is known of the HTTP/2 connections to a target.
    pub(crate) fn http2<T>(&self, target: usize, f: impl FnOnce(&mut Http2Connections) -> T) -> T {
        f(&mut self.http2.borrow_mut()[target])
    }

    /// Room for a stream on an open HTTP/2 connection.
    pub(crate) fn http2_slot(&self, target: usize, core: &Rc<Core>) -> Option<Http2Slot> {
        self.http2(target, |connections| connections.slot(core))
    }
}

/// A request that has waited for long for a connection.
pub(crate) struct Hunger<'a> {
    /// The bound that it waits at.
    pub(crate) full: Full,
    here: &'a Cell<usize>,
    _everywhere: Starving,
}

impl Drop for Hunger<'_> {
    fn drop(&mut self) {
        self.here.set(self.here.get() - 1);
    }
}

/// An upstream as all cores share it.
#[derive(Clone)]
pub(crate) struct SharedUpstream {
    pub(crate) state: Arc<UpstreamState>,
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) connections: Arc<Gauge>,
}

/// Requests of one core that wait for a connection.
#[derive(Default)]
pub(crate) struct PoolQueue {
    wakers: RefCell<VecDeque<Waker>>,
    /// Wakers taken out so far.
    taken: Cell<u64>,
    /// Requests of this core among those that starve.
    starving: Cell<usize>,
}

/// A request's place in a [`PoolQueue`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place(Option<u64>);

impl PoolQueue {
    /// Asks to be woken when there may be room. A place that was woken is lost: this gives a new one,
    /// at the end.
    pub(crate) fn wait(&self, place: &mut Place, context: &Context<'_>) {
        if place.0.is_some_and(|number| number >= self.taken.get()) {
            return;
        }
        let mut wakers = self.wakers.borrow_mut();
        place.0 = Some(self.taken.get() + wakers.len() as u64);
        wakers.push_back(context.waker().clone());
    }

    /// Wakes the request that waits longest.
    pub(crate) fn wake_one(&self) {
        let waker = self.wakers.borrow_mut().pop_front();
        if let Some(waker) = waker {
            self.taken.set(self.taken.get() + 1);
            waker.wake();
        }
    }

    /// Wakes everyone: room may have come from another core.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        self.taken.set(self.taken.get() + wakers.len() as u64);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn each_who_waits_has_one_place_until_woken() {
        let queue = PoolQueue::default();
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let wakers = counts.each_ref().map(|count| Waker::from(count.clone()));
        let mut places = [Place::default(); 2];
        let woken = || counts.each_ref().map(|count| count.0.load(SeqCst));
        let wait = |places: &mut [Place; 2], who: usize| {
            queue.wait(&mut places[who], &Context::from_waker(&wakers[who]));
        };
        wait(&mut places, 0);
        wait(&mut places, 1);
        wait(&mut places, 0);
        queue.wake_one();
        assert_eq!(woken(), [1, 0]);
        wait(&mut places, 0);
        queue.wake_one();
        assert_eq!(woken(), [1, 1]);
        queue.wake_all();
        queue.wake_all();
        queue.wake_one();
        assert_eq!(woken(), [2, 1]);
        wait(&mut places, 1);
        queue.wake_one();
        assert_eq!(woken(), [2, 2]);
    }
}
