//! One core's connections to the targets of one upstream.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use h2::client::SendRequest;
use selvedge_telemetry::Open;

use super::{balance::Balancer, http1::Http1Upstream, target::UpstreamState};
use crate::{
    bounds::{Bounds, Entered, Gauge},
    tls::ClientTls,
};

/// An upstream as one core sees it.
pub(crate) struct CoreUpstream {
    /// Position in the plan's list of upstreams.
    pub(crate) index: usize,
    pub(crate) state: Arc<UpstreamState>,
    /// How to speak TLS to the targets; `None`: plain text.
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) balancer: RefCell<Balancer>,
    connections: Arc<Gauge>,
    /// Idle HTTP/1 connections by target, the most recently used last.
    idle: RefCell<Vec<Vec<Idle>>>,
    /// Open HTTP/2 connections by target.
    http2: RefCell<Vec<Vec<Http2Handle>>>,
}

/// An HTTP/1 connection that waits for its next exchange.
struct Idle {
    connection: Box<Http1Upstream>,
    since: Instant,
    _counted: Open,
}

/// A shared HTTP/2 connection.
pub(crate) struct Http2Handle {
    pub(crate) send: SendRequest<Bytes>,
    /// Cleared by the connection's driver when it ends.
    pub(crate) alive: Rc<Cell<bool>>,
}

/// A connection counted against the upstream's bound and the bound of all.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held for its drop")] (Entered, Entered, Open),
);

impl CoreUpstream {
    pub(crate) fn new(index: usize, shared: &SharedUpstream, rng: &mut fastrand::Rng) -> Self {
        let targets = shared.state.targets.len();
        Self {
            index,
            state: shared.state.clone(),
            tls: shared.tls.clone(),
            balancer: RefCell::new(Balancer::new(&shared.state, rng)),
            connections: shared.connections.clone(),
            idle: RefCell::new((0..targets).map(|_| Vec::new()).collect()),
            http2: RefCell::new((0..targets).map(|_| Vec::new()).collect()),
        }
    }

    /// Counts a new connection; `None` at the bound.
    pub(crate) fn try_permit(
        &self,
        bounds: &Bounds,
        all_max: usize,
        open: impl FnOnce() -> Open,
    ) -> Option<ConnectionPermit> {
        let all = bounds.upstream_connections.try_enter(all_max)?;
        let upstream = self.connections.try_enter(self.state.config.pool.connections)?;
        Some(ConnectionPermit((upstream, all, open())))
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

    /// Takes a connection back; beyond the bound it is closed.
    pub(crate) fn give_back(
        &self,
        target: usize,
        connection: Box<Http1Upstream>,
        now: Instant,
        count: impl FnOnce() -> Open,
    ) {
        let idle = &mut self.idle.borrow_mut()[target];
        if idle.len() < self.state.config.pool.idle {
            idle.push(Idle { connection, since: now, _counted: count() });
        }
    }

    /// Closes one idle connection to make room; false if there is none.
    pub(crate) fn evict(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.iter_mut().find(|list| !list.is_empty()).is_some_and(|list| {
            list.remove(0);
            true
        })
    }

    /// Closes what has idled too long.
    pub(crate) fn tick(&self, now: Instant) {
        let bound = self.state.config.pool.idle_timeout;
        for list in self.idle.borrow_mut().iter_mut() {
            let expired = list.partition_point(|c| now.saturating_duration_since(c.since) >= bound);
            list.drain(..expired);
        }
    }

    /// A shared connection that takes another stream now.
    pub(crate) fn http2_ready(
        &self,
        target: usize,
        context: &mut Context<'_>,
    ) -> Option<SendRequest<Bytes>> {
        let list = &mut self.http2.borrow_mut()[target];
        list.retain(|handle| handle.alive.get());
        list.iter_mut().find_map(|handle| match handle.send.poll_ready(context) {
            Poll::Ready(Ok(())) => Some(handle.send.clone()),
            _ => None,
        })
    }

    /// Shares a new connection.
    pub(crate) fn add_http2(&self, target: usize, handle: Http2Handle) {
        self.http2.borrow_mut()[target].push(handle);
    }
}

/// An upstream as all cores share it.
#[derive(Clone)]
pub(crate) struct SharedUpstream {
    pub(crate) state: Arc<UpstreamState>,
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) connections: Arc<Gauge>,
}

/// Requests of one core that wait for room in a pool.
#[derive(Default)]
pub(crate) struct PoolQueue(RefCell<VecDeque<Waker>>);

impl PoolQueue {
    /// Asks to be woken when there may be room.
    pub(crate) fn wait(&self, context: &Context<'_>) {
        let mut queue = self.0.borrow_mut();
        if !queue.iter().any(|waker| waker.will_wake(context.waker())) {
            queue.push_back(context.waker().clone());
        }
    }

    /// Wakes the request that waits longest.
    pub(crate) fn wake_one(&self) {
        let waker = self.0.borrow_mut().pop_front();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes everyone: room may have come from another core.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }
}
