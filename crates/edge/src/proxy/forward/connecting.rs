//! Getting a connection for an attempt: from the pool, or a new one.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use selvedge_config::UpstreamProtocol;
use selvedge_telemetry::ConnectError;

use super::{
    super::Refusal,
    Forward,
    attempt::{Attempt, AttemptFault},
};
use crate::{
    problem::Problem,
    upstream::{
        connect::{self, ConnectFault},
        http1::Http1Upstream,
        http2::{Http2Upstream, StreamFault},
        http2_pool::{Flight, Http2Slot},
        pool::{ConnectionPermit, Full, Need, Place, Room},
    },
};

/// A request that has waited for so long for a connection goes first, on all cores.
const STARVES_AFTER: Duration = Duration::from_millis(100);

/// What an HTTP/1 exchange waited for.
enum Http1 {
    /// A connection that was used before.
    Kept(Box<Http1Upstream>),
    /// Leave to open one.
    Room(ConnectionPermit),
}

/// What an HTTP/2 exchange waited for.
enum Http2<'a> {
    /// Room on an open connection.
    Slot(Http2Slot),
    /// Leave to open one.
    Room(ConnectionPermit, Flight<'a>),
    /// Someone else could not open it.
    Fault(ConnectFault),
}

impl Forward<'_> {
    /// Gets a connection to the target and puts the request's head on it.
    pub(super) async fn connect(
        &mut self,
        target: usize,
        refreshed: bool,
        now: Instant,
    ) -> Result<Attempt, AttemptFault> {
        let upstream = self.upstream;
        let connected = match upstream.state.config.protocol {
            UpstreamProtocol::Http1 => {
                let mut connection = self.http1(target, refreshed).await?;
                connection.push_request(&self.outbound());
                Ok(Attempt::Http1(connection))
            }
            UpstreamProtocol::Http2 => {
                let slot = self.http2(target).await?;
                Http2Upstream::open(slot, &self.outbound())
                    .map(|stream| Attempt::Http2(Box::new(stream)))
                    .map_err(unopened)
            }
        };
        let reused = self.facts.upstream_mut(upstream.index).reused;
        self.facts.timings.upstream_connected = Some(if reused { now } else { Instant::now() });
        connected
    }

    async fn http1(
        &mut self,
        target: usize,
        refreshed: bool,
    ) -> Result<Box<Http1Upstream>, AttemptFault> {
        let upstream = self.upstream;
        self.facts.upstream_mut(upstream.index).reused = true;
        if !refreshed {
            let kept = poll_fn(|context| Poll::Ready(upstream.checkout(target, context))).await;
            if let Some(connection) = kept {
                return Ok(connection);
            }
        }
        Box::pin(self.awaited_http1(target, refreshed)).await
    }

    /// An HTTP/1 connection where none was at hand: the next that is given back, or a new one.
    async fn awaited_http1(
        &mut self,
        target: usize,
        refreshed: bool,
    ) -> Result<Box<Http1Upstream>, AttemptFault> {
        let upstream = self.upstream;
        self.arm(upstream.state.config.timeouts.connect);
        let found = self.wait(|need, context| {
            let kept = if refreshed { None } else { upstream.checkout(target, context) };
            match kept {
                Some(connection) => Some(Http1::Kept(connection)),
                None => self.try_permit(need).map(Http1::Room),
            }
        });
        match found.await? {
            Http1::Kept(connection) => Ok(connection),
            Http1::Room(permit) => {
                self.facts.upstream_mut(upstream.index).reused = false;
                self.in_time(Box::pin(connect::http1(self.core, upstream, target, permit))).await
            }
        }
    }

    async fn http2(&mut self, target: usize) -> Result<Http2Slot, AttemptFault> {
        self.facts.upstream_mut(self.upstream.index).reused = true;
        match self.upstream.http2_slot(target, self.core) {
            Some(slot) => Ok(slot),
            None => Box::pin(self.awaited_http2(target)).await,
        }
    }

    /// Room for a stream where none was at hand: what the next stream to end leaves, or that of a new
    /// connection.
    async fn awaited_http2(&mut self, target: usize) -> Result<Http2Slot, AttemptFault> {
        let (core, upstream) = (self.core, self.upstream);
        self.arm(upstream.state.config.timeouts.connect);
        let failures = upstream.http2(target, |connections| connections.failures());
        loop {
            let found = self.wait(|need, _| self.next_http2(target, failures, need)).await;
            let (permit, flight) = match found.map_err(|fault| self.blame(target, fault))? {
                Http2::Slot(slot) => return Ok(slot),
                Http2::Fault(fault) => return Err(AttemptFault::Connect(fault)),
                Http2::Room(permit, flight) => (permit, flight),
            };
            let connecting = Box::pin(connect::http2(core, upstream, target, permit));
            let connected = self.in_time(connecting).await;
            if let Err(AttemptFault::Connect(fault)) = &connected {
                flight.fail(fault);
                // There is no further connection to be had: one of those that are open must do.
                if upstream.http2(target, |connections| connections.is_any_open()) {
                    continue;
                }
            }
            drop(flight);
            self.facts.upstream_mut(upstream.index).reused = false;
            return connected;
        }
    }

    /// What an exchange over HTTP/2 can do now: open a stream, open a connection, or give up.
    fn next_http2(&self, target: usize, failures: u64, need: Need) -> Option<Http2<'_>> {
        let upstream = self.upstream;
        if let Some(slot) = upstream.http2_slot(target, self.core) {
            return Some(Http2::Slot(slot));
        }
        let now = self.core.deadlines.now();
        let fault = upstream.http2(target, |connections| connections.failed_since(failures));
        if let Some(fault) = fault {
            return Some(Http2::Fault(fault));
        }
        if !upstream.http2(target, |connections| connections.may_connect(now)) {
            return None;
        }
        let permit = self.try_permit(need)?;
        Some(Http2::Room(permit, Flight::begin(self.core, upstream, target)))
    }

    /// Who waited in vain for the first connection waited for the target, not for the pool.
    fn blame(&self, target: usize, fault: AttemptFault) -> AttemptFault {
        let connects = self
            .upstream
            .http2(target, |connections| connections.is_connecting() && !connections.is_any_open());
        match fault {
            AttemptFault::PoolFull if connects => AttemptFault::ConnectTimeout,
            fault => fault,
        }
    }

    /// Looks for a connection again and again, until there is one or the time is over.
    async fn wait<T>(
        &self,
        mut look: impl FnMut(Need, &mut Context<'_>) -> Option<T>,
    ) -> Result<T, AttemptFault> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let room = self.room();
        let since = self.core.deadlines.now();
        let (mut place, mut counted, mut hunger) = (Place::default(), None, None);
        let waited = self.deadline.within(|context| {
            let need = if hunger.is_some() { Need::Starving } else { Need::Fresh };
            if let Some(found) = look(need, context) {
                return Poll::Ready(found);
            }
            counted.get_or_insert_with(|| self.core.telemetry.upstream_waiting(label));
            if self.core.deadlines.now().saturating_duration_since(since) >= STARVES_AFTER {
                hunger.get_or_insert_with(|| self.upstream.starve(&room));
            }
            self.core.pool_queue.wait(&mut place, context);
            Poll::Pending
        });
        waited.await.map_err(|_| match self.is_overdue() {
            true => AttemptFault::Overdue,
            false => {
                self.core.telemetry.connect_error(label, ConnectError::PoolFull);
                AttemptFault::PoolFull
            }
        })
    }

    /// Counts one more connection; at a bound one that idles makes room if that helps.
    fn try_permit(&self, need: Need) -> Option<ConnectionPermit> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let open = || self.core.telemetry.upstream_connection(label);
        let room = self.room();
        let full = match self.upstream.try_permit(&room, need, open) {
            Ok(permit) => return Some(permit),
            Err(full) => full,
        };
        let evicted = match full {
            Full::Upstream => self.upstream.evict(),
            Full::All => self.snapshot.upstreams.iter().any(|upstream| upstream.evict()),
        };
        evicted.then(|| self.upstream.try_permit(&room, need, open).ok()).flatten()
    }

    fn room(&self) -> Room<'_> {
        Room::new(self.core, self.snapshot)
    }

    async fn in_time<T>(
        &self,
        mut connecting: Pin<Box<impl Future<Output = Result<T, ConnectFault>>>>,
    ) -> Result<T, AttemptFault> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        match self.deadline.within(|context| connecting.as_mut().poll(context)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(fault)) => {
                self.core.telemetry.connect_error(label, fault.kind());
                Err(AttemptFault::Connect(fault))
            }
            Err(_) if self.is_overdue() => Err(AttemptFault::Overdue),
            Err(_) => {
                self.core.telemetry.connect_error(label, ConnectError::Timeout);
                Err(AttemptFault::ConnectTimeout)
            }
        }
    }
}

/// Why no stream was opened. What the client asked for cannot be asked elsewhere either.
fn unopened(fault: StreamFault) -> AttemptFault {
    let problem = match fault {
        StreamFault::Authority => Problem::HOST,
        StreamFault::Unspeakable => Problem::TARGET,
        StreamFault::Http2(_) => return AttemptFault::Unprocessed(fault.to_string()),
    };
    AttemptFault::Client(Refusal::new(problem).because(fault).into())
}
