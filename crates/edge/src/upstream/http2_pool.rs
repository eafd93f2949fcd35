//! One core's HTTP/2 connections to one target: who may open a stream on which, and who opens the
//! next connection.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;

use super::{connect::ConnectFault, http2_driver::SILENCE, pool::CoreUpstream};
use crate::core::Core;

/// Streams on one connection, whatever more its target allows: beyond them another connection opens.
pub(crate) const STREAMS_MAX: usize = 100;
/// How long no further connection is tried after one failed, while others are open.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);

/// The connections to one target.
#[derive(Default)]
pub(crate) struct Http2Connections {
    list: Vec<Http2Handle>,
    /// Someone opens the next connection.
    connecting: bool,
    failures: u64,
    failed: Option<(Instant, ConnectFault)>,
}

/// A connection that requests share.
struct Http2Handle {
    send: SendRequest<Bytes>,
    usage: Rc<Usage>,
}

/// What requests do with a connection, and what its driver knows of it.
pub(crate) struct Usage {
    /// Whether new streams may open.
    alive: Cell<bool>,
    streams: Cell<usize>,
    /// When the last stream ended.
    idle_since: Cell<Instant>,
    /// When bytes last came.
    pub(crate) heard: Cell<Instant>,
    /// Whether any part of a response came since this was last cleared.
    pub(crate) answered: Cell<bool>,
}

impl Usage {
    pub(crate) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self {
            alive: Cell::new(true),
            streams: Cell::new(0),
            idle_since: Cell::new(now),
            heard: Cell::new(now),
            answered: Cell::new(true),
        })
    }

    /// No stream opens any more; those that are open go on.
    pub(crate) fn retire(&self) {
        self.alive.set(false);
    }

    /// Whether no stream is open, and none will be.
    pub(crate) fn is_over(&self) -> bool {
        !self.alive.get() && !self.is_busy()
    }

    /// Whether a stream is open.
    pub(crate) fn is_busy(&self) -> bool {
        self.streams.get() > 0
    }
}

/// Room for one stream on a connection; dropping it gives the room back.
pub(crate) struct Http2Slot {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) usage: Rc<Usage>,
    /// When it was taken.
    since: Instant,
    core: Rc<Core>,
}

impl Http2Slot {
    /// Opens no more streams on a connection that has said nothing since this one began, or for long.
    pub(crate) fn retire_if_silent(&self) {
        let heard = self.usage.heard.get();
        let now = self.core.deadlines.now();
        if heard <= self.since || now.saturating_duration_since(heard) >= SILENCE {
            self.usage.retire();
        }
    }
}

impl Drop for Http2Slot {
    fn drop(&mut self) {
        self.usage.streams.set(self.usage.streams.get() - 1);
        self.usage.idle_since.set(self.core.deadlines.now());
        self.core.pool_queue.wake_one();
    }
}

impl Http2Connections {
    /// Room for a stream on the first connection that has any: the others may become idle and close.
    pub(crate) fn slot(&mut self, core: &Rc<Core>) -> Option<Http2Slot> {
        self.list.retain_mut(Http2Handle::is_open);
        self.list.iter().find_map(|handle| handle.slot(core))
    }

    /// Whether any connection takes streams, now or when others end.
    pub(crate) fn is_any_open(&mut self) -> bool {
        self.list.retain_mut(Http2Handle::is_open);
        !self.list.is_empty()
    }

    /// Shares a new connection and takes its first stream; `None` where it allows none.
    pub(crate) fn add(
        &mut self,
        send: SendRequest<Bytes>,
        usage: Rc<Usage>,
        core: &Rc<Core>,
    ) -> Option<Http2Slot> {
        let handle = Http2Handle { send, usage };
        let slot = handle.slot(core)?;
        self.list.push(handle);
        Some(slot)
    }

    /// Whether a connection may be opened now: one at a time, and not soon after one that failed
    /// while others are open.
    pub(crate) fn may_connect(&mut self, now: Instant) -> bool {
        let failed_at = self.failed.as_ref().map(|(at, _)| *at);
        let pauses = failed_at.is_some_and(|at| now.saturating_duration_since(at) < GROWTH_PAUSE);
        !(self.connecting || pauses && self.is_any_open())
    }

    /// Whether someone opens a connection.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// How often no connection could be opened.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// Why no connection could be opened since the failures were `seen`, if there is none.
    pub(crate) fn failed_since(&mut self, seen: u64) -> Option<ConnectFault> {
        if self.failures == seen || self.is_any_open() {
            return None;
        }
        self.failed.as_ref().map(|(_, fault)| fault.copy())
    }

    /// Closes one connection without streams to make room; false if there is none.
    pub(crate) fn evict(&mut self) -> bool {
        let idle = self.list.iter().position(|handle| !handle.usage.is_busy());
        idle.map(|index| self.list.remove(index)).is_some()
    }

    /// Closes what has had no stream for `bound`.
    pub(crate) fn expire(&mut self, now: Instant, bound: Duration) {
        self.list.retain_mut(|handle| {
            let idle = now.saturating_duration_since(handle.usage.idle_since.get());
            handle.is_open() && (handle.usage.is_busy() || idle < bound)
        });
    }
}

impl Http2Handle {
    /// Whether new streams may open: nobody retired it, and the target has not said goodbye.
    fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.usage.alive.get() && !matches!(self.send.poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    fn slot(&self, core: &Rc<Core>) -> Option<Http2Slot> {
        let streams = self.usage.streams.get();
        if streams >= self.send.current_max_send_streams().min(STREAMS_MAX) {
            return None;
        }
        self.usage.streams.set(streams + 1);
        let (send, usage) = (self.send.clone(), self.usage.clone());
        Some(Http2Slot { send, usage, since: core.deadlines.now(), core: core.clone() })
    }
}

impl Drop for Http2Handle {
    fn drop(&mut self) {
        self.usage.retire();
    }
}

/// The right to open the next connection to a target. Whoever waits looks again when it ends.
pub(crate) struct Flight<'a> {
    core: &'a Core,
    upstream: &'a CoreUpstream,
    target: usize,
}

impl<'a> Flight<'a> {
    pub(crate) fn begin(core: &'a Core, upstream: &'a CoreUpstream, target: usize) -> Self {
        upstream.http2(target, |connections| connections.connecting = true);
        Self { core, upstream, target }
    }

    /// Tells all who wait for this connection why there is none.
    pub(crate) fn fail(&self, fault: &ConnectFault) {
        let failed = Some((self.core.deadlines.now(), fault.copy()));
        self.upstream.http2(self.target, |connections| {
            connections.failures += 1;
            connections.failed = failed;
        });
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.upstream.http2(self.target, |connections| connections.connecting = false);
        self.core.pool_queue.wake_all();
    }
}
