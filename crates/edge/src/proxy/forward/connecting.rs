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
    deadline::Expired,
    problem::Problem,
    upstream::{
        connect::{self, ConnectFault},
        http1::Http1Upstream,
        http2::{Http2Upstream, StreamFault},
        http2_pool::{Flight, Http2Slot},
        pool::{ConnectionPermit, Full, Hunger, Need, Place, Room},
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

impl<'a> Forward<'a> {
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
        if !refreshed {
            let kept = poll_fn(|context| Poll::Ready(upstream.checkout(target, context))).await;
            if let Some(connection) = kept {
                self.facts.upstream_mut(upstream.index).reused = true;
                return Ok(connection);
            }
        }
        self.facts.upstream_mut(upstream.index).reused = false;
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
                Some(connection) => Ok(Http1::Kept(connection)),
                None => self.try_permit(need).map(Http1::Room).map_err(Some),
            }
        });
        match found.await.map_err(|_| self.late(target))? {
            Http1::Kept(connection) => {
                self.facts.upstream_mut(upstream.index).reused = true;
                Ok(connection)
            }
            Http1::Room(permit) => {
                self.in_time(Box::pin(connect::http1(self.core, upstream, target, permit))).await
            }
        }
    }

    async fn http2(&mut self, target: usize) -> Result<Http2Slot, AttemptFault> {
        let slot = self.upstream.http2_slot(target, self.core);
        self.facts.upstream_mut(self.upstream.index).reused = slot.is_some();
        match slot {
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
            let (permit, flight) = match found.map_err(|_| self.late(target))? {
                Http2::Slot(slot) => {
                    self.facts.upstream_mut(upstream.index).reused = true;
                    return Ok(slot);
                }
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
            return connected;
        }
    }

    /// What an exchange over HTTP/2 can do now: open a stream, open a connection, or give up.
    fn next_http2(
        &self,
        target: usize,
        failures: u64,
        need: Need,
    ) -> Result<Http2<'a>, Option<Full>> {
        let upstream = self.upstream;
        if let Some(slot) = upstream.http2_slot(target, self.core) {
            return Ok(Http2::Slot(slot));
        }
        let now = self.core.deadlines.now();
        let fault = upstream.http2(target, |connections| connections.failed_since(failures));
        if let Some(fault) = fault {
            return Ok(Http2::Fault(fault));
        }
        if !upstream.http2(target, |connections| connections.may_connect(now)) {
            return Err(None);
        }
        let permit = self.try_permit(need).map_err(Some)?;
        Ok(Http2::Room(permit, Flight::begin(self.core, upstream, target)))
    }

    /// What to say of a wait that took too long: who waited for the first connection to a target
    /// waited for the target, and all others for the pool.
    fn late(&self, target: usize) -> AttemptFault {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let connects = self
            .upstream
            .http2(target, |connections| connections.is_connecting() && !connections.is_any_open());
        if self.is_overdue() {
            return AttemptFault::Overdue;
        }
        if connects {
            return AttemptFault::ConnectTimeout;
        }
        self.core.telemetry.connect_error(label, ConnectError::PoolFull);
        AttemptFault::PoolFull
    }

    /// Looks for a connection again and again, until there is one or the time is over. `look` says
    /// which bound is in the way, if one is.
    async fn wait<T>(
        &self,
        mut look: impl FnMut(Need, &mut Context<'_>) -> Result<T, Option<Full>>,
    ) -> Result<T, Expired> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let room = self.room();
        let since = self.core.deadlines.now();
        let mut place = Place::default();
        let mut counted = None;
        let mut hunger: Option<Hunger<'_>> = None;
        let looking = self.deadline.within(|context| {
            let need = if hunger.is_some() { Need::Starving } else { Need::Fresh };
            let full = match look(need, context) {
                Ok(found) => return Poll::Ready(found),
                Err(full) => full,
            };
            counted.get_or_insert_with(|| self.core.telemetry.upstream_waiting(label));
            let waits = self.core.deadlines.now().saturating_duration_since(since);
            let full = full.filter(|_| waits >= STARVES_AFTER);
            if hunger.as_ref().map(|hunger| hunger.full) != full {
                hunger = full.map(|full| self.upstream.starve(full, &room));
            }
            self.core.pool_queue.wait(&mut place, context);
            Poll::Pending
        });
        looking.await
    }

    /// Counts one more connection; at a bound one that idles makes room if that helps.
    fn try_permit(&self, need: Need) -> Result<ConnectionPermit, Full> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let open = || self.core.telemetry.upstream_connection(label);
        let room = self.room();
        let full = match self.upstream.try_permit(&room, need, open) {
            Ok(permit) => return Ok(permit),
            Err(full) => full,
        };
        let evicted = match full {
            Full::Upstream => self.upstream.evict(),
            Full::All => self.snapshot.upstreams.iter().any(|upstream| upstream.evict()),
        };
        match evicted {
            true => self.upstream.try_permit(&room, need, open),
            false => Err(full),
        }
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
