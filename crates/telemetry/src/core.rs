use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fastrand::Rng;

use crate::{
    access_log, decision_log,
    exchange::Exchange,
    hub::{Hub, Shared},
    metrics::{
        ConnectError, CoreCells, Handshake, ListenerCells, ListenerGauge, ListenerLabel,
        UpstreamCells, UpstreamGauge, UpstreamLabel, count,
    },
    otlp::{EXCHANGE_SPANS_MAX, SPANS_BATCH_MAX, push_spans},
    timestamp::Timestamps,
    trace::{Sampling, TraceContext},
    writer::Batch,
};

/// A core's log lines travel on once they are this many bytes.
pub(crate) const BATCH_BYTES: usize = 16 * 1024;
/// Its spans travel on once they are this many; those of one exchange always fit beside them.
const BATCH_SPANS: usize = SPANS_BATCH_MAX / 8;
const _: () = assert!(BATCH_SPANS + EXCHANGE_SPANS_MAX <= SPANS_BATCH_MAX);

/// What one core records. Made by [`Hub::core`], used by that core's thread alone.
pub struct Core {
    index: usize,
    shared: Arc<Shared>,
    cells: Arc<CoreCells>,
    random: RefCell<Rng>,
    stamps: RefCell<Timestamps>,
    lines: RefCell<Batch>,
    spans: RefCell<Batch>,
}

impl Core {
    /// How often [`Core::tick`] should be called.
    pub const TICK: Duration = Duration::from_millis(100);

    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        let cells = Arc::clone(&shared.cores[index]);
        Self {
            index,
            shared,
            cells,
            random: RefCell::new(Rng::new()),
            stamps: RefCell::default(),
            lines: RefCell::default(),
            spans: RefCell::default(),
        }
    }

    /// The hub that this core belongs to.
    pub fn hub(&self) -> Hub {
        Hub::from(Arc::clone(&self.shared))
    }

    /// The trace that the caller's headers name, or a new one.
    /// See [`TraceContext::from_headers`].
    pub fn trace<'h>(
        &self,
        parents: impl IntoIterator<Item = &'h [u8]>,
        states: impl IntoIterator<Item = &'h [u8]>,
    ) -> TraceContext {
        let sampling = self.shared.exporter.sampling();
        TraceContext::from_headers(parents, states, &mut self.random.borrow_mut(), sampling)
    }

    /// Records a finished exchange: once for each, at its end, however it ended.
    pub fn record(&self, exchange: &Exchange<'_>) {
        count(self.index, &self.cells, exchange, &self.shared.unrouted);
        if self.shared.access_log.is_on() {
            self.log(exchange);
        }
        if exchange.trace.is_recorded() && self.shared.exporter.sampling() != Sampling::Off {
            self.export(exchange);
        }
    }

    fn log(&self, exchange: &Exchange<'_>) {
        let is_told = self.shared.requests_logged.load(Relaxed);
        let decisions = match self.shared.decisions_logged.load(Relaxed) {
            true => exchange.decisions,
            false => &[],
        };
        if !is_told && decisions.is_empty() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.capacity() == 0 {
            lines.bytes.reserve_exact(BATCH_BYTES + BATCH_BYTES / 8);
        }
        let stamps = &mut *self.stamps.borrow_mut();
        for decision in decisions {
            decision_log::push_line(&mut lines.bytes, stamps, exchange, decision);
        }
        if is_told {
            access_log::push_line(&mut lines.bytes, stamps, exchange);
        }
        lines.count += decisions.len() + usize::from(is_told);
        if lines.bytes.len() >= BATCH_BYTES {
            self.shared.access_log.send(std::mem::take(&mut *lines));
        }
    }

    fn export(&self, exchange: &Exchange<'_>) {
        let mut spans = self.spans.borrow_mut();
        spans.count += push_spans(&mut spans.bytes, &mut self.random.borrow_mut(), exchange);
        if spans.count >= BATCH_SPANS {
            self.shared.exporter.send(std::mem::take(&mut *spans));
        }
    }

    /// Sends what has gathered on its way. To be called every [`Core::TICK`] and at the end.
    pub fn tick(&self) {
        let lines = self.lines.take();
        if lines.count > 0 {
            self.shared.access_log.send(lines);
        }
        let spans = self.spans.take();
        if spans.count > 0 {
            self.shared.exporter.send(spans);
        }
    }

    /// A client connected. It counts as open until the answer is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub fn connection(&self, listener: &ListenerLabel) -> Open {
        let cells = listener.cells(self.index);
        cells.accepted.add(1);
        Open::listener(cells, ListenerGauge::Connections)
    }

    /// A client connected and was refused, for the reason of a stable token: `limit/connections`.
    pub fn connection_refused(&self, listener: &ListenerLabel, reason: &str) {
        let cells = listener.cells(self.index);
        cells.accepted.add(1);
        cells.refuse(reason);
    }

    /// A TLS handshake with a client ended.
    pub fn handshake(&self, listener: &ListenerLabel, how: Handshake) {
        listener.cells(self.index).handshakes[how as usize].add(1);
    }

    /// A request is in flight until the answer is dropped.
    #[must_use = "the request counts as in flight until this is dropped"]
    pub fn in_flight(&self, listener: &ListenerLabel) -> Open {
        Open::listener(listener.cells(self.index), ListenerGauge::InFlight)
    }

    /// A connection to a target is open until the answer is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub fn upstream_connection(&self, upstream: &UpstreamLabel) -> Open {
        Open::upstream(upstream.cells(self.index), UpstreamGauge::Connections)
    }

    /// A connection lies idle in the pool until the answer is dropped.
    #[must_use = "the connection counts as idle until this is dropped"]
    pub fn upstream_idle(&self, upstream: &UpstreamLabel) -> Open {
        Open::upstream(upstream.cells(self.index), UpstreamGauge::Idle)
    }

    /// A request waits for a pool slot until the answer is dropped.
    #[must_use = "the request counts as waiting until this is dropped"]
    pub fn upstream_waiting(&self, upstream: &UpstreamLabel) -> Open {
        Open::upstream(upstream.cells(self.index), UpstreamGauge::Waiting)
    }

    /// A connection to a target did not come about.
    pub fn connect_error(&self, upstream: &UpstreamLabel, error: ConnectError) {
        upstream.cells(self.index).connect_errors[error as usize].add(1);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.tick();
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Something that counts as open until this is dropped, on whatever thread.
#[derive(Debug)]
pub struct Open(Cells);

#[derive(Debug)]
enum Cells {
    Listener(Arc<ListenerCells>, ListenerGauge),
    Upstream(Arc<UpstreamCells>, UpstreamGauge),
}

impl Open {
    fn listener(cells: &Arc<ListenerCells>, which: ListenerGauge) -> Self {
        Self::count(Cells::Listener(Arc::clone(cells), which))
    }

    fn upstream(cells: &Arc<UpstreamCells>, which: UpstreamGauge) -> Self {
        Self::count(Cells::Upstream(Arc::clone(cells), which))
    }

    fn count(cells: Cells) -> Self {
        let open = Self(cells);
        open.add(1);
        open
    }

    fn add(&self, more: i64) {
        match &self.0 {
            Cells::Listener(cells, which) => cells.gauge(*which).add(more),
            Cells::Upstream(cells, which) => cells.gauge(*which).add(more),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.add(-1);
    }
}
