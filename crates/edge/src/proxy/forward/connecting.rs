//! Getting a connection for an attempt: from the pool, or a new one.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use h2::client::SendRequest;
use selvedge_config::UpstreamProtocol;
use selvedge_telemetry::ConnectError;

use super::{
    Forward,
    attempt::{Attempt, AttemptFault},
};
use crate::upstream::{
    connect::{self, ConnectFault},
    http1::Http1Upstream,
    http2::Http2Upstream,
    pool::ConnectionPermit,
};

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
                let mut send = self.http2(target).await?;
                Http2Upstream::open(&mut send, &self.outbound())
                    .map(|stream| Attempt::Http2(Box::new(stream)))
                    .map_err(|fault| AttemptFault::Unprocessed(fault.to_string()))
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
            let pooled = poll_fn(|context| Poll::Ready(upstream.checkout(target, context))).await;
            if let Some(connection) = pooled {
                self.facts.upstream_mut(upstream.index).reused = true;
                return Ok(connection);
            }
        }
        self.facts.upstream_mut(upstream.index).reused = false;
        self.arm(upstream.state.config.timeouts.connect);
        let permit = self.permit().await?;
        self.in_time(Box::pin(connect::http1(self.core, upstream, target, permit))).await
    }

    async fn http2(&mut self, target: usize) -> Result<SendRequest<Bytes>, AttemptFault> {
        let upstream = self.upstream;
        let shared = poll_fn(|context| Poll::Ready(upstream.http2_ready(target, context))).await;
        self.facts.upstream_mut(upstream.index).reused = shared.is_some();
        if let Some(send) = shared {
            return Ok(send);
        }
        self.arm(upstream.state.config.timeouts.connect);
        let permit = self.permit().await?;
        self.in_time(Box::pin(connect::http2(self.core, upstream, target, permit))).await?;
        let ready = |context: &mut Context<'_>| match upstream.http2_ready(target, context) {
            Some(send) => Poll::Ready(send),
            None => Poll::Pending,
        };
        self.deadline.within(ready).await.map_err(|_| AttemptFault::ConnectTimeout)
    }

    /// Waits for room in the pool.
    async fn permit(&self) -> Result<ConnectionPermit, AttemptFault> {
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let mut waiting = None;
        let wait = |context: &mut Context<'_>| {
            let permit = self.try_permit();
            if let Some(permit) = permit {
                return Poll::Ready(permit);
            }
            waiting.get_or_insert_with(|| self.core.telemetry.upstream_waiting(label));
            self.core.pool_queue.wait(context);
            Poll::Pending
        };
        let waited = self.deadline.within(wait).await;
        waited.map_err(|_| {
            self.core.telemetry.connect_error(label, ConnectError::PoolFull);
            AttemptFault::PoolFull
        })
    }

    /// Counts one more connection; at the bound an idle one makes room.
    fn try_permit(&self) -> Option<ConnectionPermit> {
        let all_max = self.snapshot.plan.config.limits.upstream_connections;
        let label = self.snapshot.plan.labels.upstream(self.upstream.index);
        let open = || self.core.telemetry.upstream_connection(label);
        self.upstream.try_permit(&self.core.bounds, all_max, open).or_else(|| {
            let evicted = self.snapshot.upstreams.iter().any(|upstream| upstream.evict());
            evicted.then(|| self.upstream.try_permit(&self.core.bounds, all_max, open)).flatten()
        })
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
