//! One core's connection to one agent: made anew whenever it is lost, and shared by all exchanges.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use selvedge_agent::{
    Ask, AttributesBuf, CancelCode, EdgeBounds, EdgeSide, Event, FromAgent, Greeting, Mode,
    OutcomeTotals, Report, RequestHeadBuf, ResponseHeadBuf, SendError, Settings, StreamId,
    StreamMap, Subscriptions, Taken, Verdict, WebsocketFrame,
};
use selvedge_telemetry::{Hub, Level};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::Notify,
    task::spawn_local,
    time::{Interval, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    measures::Asked,
    process::{Connected, Introduction},
    state::AgentState,
};

/// The connection, or the attempt to have one. Lives until [`Link::close`].
pub(crate) struct Link {
    /// The agent as the config in force wants it.
    state: RefCell<Arc<AgentState>>,
    /// The agent as the config wants it that comes next.
    coming: RefCell<Option<Arc<AgentState>>>,
    hub: Hub,
    inner: RefCell<Inner>,
    /// The agent became ready, or answered an offer of settings.
    news: Notify,
    /// Rises with each connection, so that streams of an earlier one are told from those of this one.
    connection: Cell<u64>,
    /// When the agent became ready on this connection.
    ready_since: Cell<Option<Instant>>,
    /// Whether the agent has ever been ready.
    known: Cell<bool>,
    closed: Cell<bool>,
}

#[derive(Default)]
struct Inner {
    machine: Option<EdgeSide>,
    slots: StreamMap<Slot>,
    /// What the agent wanted when it was last ready.
    wants: Rc<Subscriptions>,
    /// The generation that the agent has, or was offered.
    offered: u64,
    /// The generation that it began with, or answered last.
    answered: u64,
    driver: Option<Waker>,
    /// The driver too, for whoever is not of this core.
    task: Option<Waker>,
    pinged: Option<Instant>,
    /// Where others leave word that the agent is to be asked what it measured.
    asked: Option<Asked>,
    /// What it measured could not all be shown; said once for each connection.
    complained: bool,
    /// Counts this connection while the agent is ready on it.
    connected: Option<Connected>,
    /// The agent is about to go.
    draining: bool,
    /// Settings may be due that could not be offered or put in force before.
    settings_due: bool,
}

/// What is due on one stream.
#[derive(Default)]
struct Slot {
    answers: VecDeque<Answer>,
    waker: Option<Waker>,
    /// The rest of a body that there was no room for.
    unsent: Option<Unsent>,
    /// What came in place of a body, until its verdict.
    replacement: Option<BytesMut>,
}

struct Unsent {
    event: Event,
    bytes: Bytes,
    last: bool,
}

/// What an agent said on a stream.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every answer is a verdict")]
pub(crate) enum Answer {
    /// Its verdict on an event.
    Verdict(Event, Verdict),
    /// Bytes of a streamed body go on.
    Release {
        /// How many.
        bytes: u32,
        /// Nothing more will be said of this body.
        last: bool,
    },
    /// Bytes of a streamed body are dropped, and these go on in their place.
    Replace {
        /// How many are dropped.
        consumed: u32,
        /// What goes on.
        bytes: Bytes,
        /// Nothing more will be said of this body.
        last: bool,
    },
    /// It gave up.
    Abandoned(String),
    /// The connection was lost.
    Lost(String),
}

/// A stream of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamKey {
    connection: u64,
    stream: StreamId,
}

/// Time for a connection to be made and greeted.
pub(crate) const READY_MAX: Duration = Duration::from_secs(5);
/// How often an agent is asked whether it is there.
const PING_EVERY: Duration = Duration::from_millis(250);
/// An agent that answers a ping after this long has been asleep.
const ASLEEP: Duration = Duration::from_millis(500);
/// An agent that owes the answer to a ping for this long is down, as far as it is told of: its process
/// stands still, or computes where it should listen.
pub(crate) const UNRESPONSIVE: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect, from the first to the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// A connection that lasted this long is lost by accident: the next attempt is made at once.
const STEADY: Duration = Duration::from_secs(1);
/// Reads in a row before the others of the core have their turn.
const READS_MAX: usize = 2;
/// Bytes of a body that an agent may put in place of another.
pub(crate) const REPLACEMENT_MAX: usize = 16 << 20;
/// Bytes read at once.
const READ_MAX: usize = 64 << 10;

impl Link {
    /// A link that connects as soon as its core turns to other work.
    pub(crate) fn open(state: Arc<AgentState>, hub: Hub) -> Rc<Self> {
        let link = Rc::new(Self {
            state: RefCell::new(state),
            coming: RefCell::default(),
            hub,
            inner: RefCell::default(),
            news: Notify::new(),
            connection: Cell::new(0),
            ready_since: Cell::new(None),
            known: Cell::new(false),
            closed: Cell::new(false),
        });
        spawn_local(link.clone().run());
        link
    }

    /// Has the agent take other settings, which [`adopt`](Self::adopt) puts in force.
    pub(crate) fn prepare(&self, state: Arc<AgentState>) {
        *self.coming.borrow_mut() = Some(state);
        self.tell_settings();
    }

    /// Waits until the agent is there and has answered the settings of this generation.
    pub(crate) async fn has_settings(&self, generation: u64) {
        loop {
            let news = self.news.notified();
            if self.is_ready() && self.inner.borrow().answered >= generation {
                return;
            }
            news.await;
        }
    }

    /// Goes on with other settings for the same agent.
    pub(crate) fn adopt(&self, state: Arc<AgentState>) {
        *self.state.borrow_mut() = state;
        self.coming.take();
        self.tell_settings();
    }

    /// No exchange will ask any more; open streams may end.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let mut inner = self.inner.borrow_mut();
        if let Some(machine) = &mut inner.machine {
            machine.drain();
        }
        inner.wake_driver();
    }

    /// What the agent wants, or wanted last. `None`: it has never been ready.
    pub(crate) fn wants(&self) -> Option<Rc<Subscriptions>> {
        self.known.get().then(|| self.inner.borrow().wants.clone())
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.inner.borrow().machine.as_ref().is_some_and(EdgeSide::is_ready)
    }

    /// Waits until the agent is there.
    pub(crate) async fn ready(&self) {
        loop {
            let news = self.news.notified();
            if self.is_ready() {
                return;
            }
            news.await;
        }
    }

    /// Opens a stream with a request's head.
    pub(crate) fn open_stream(
        &self,
        attributes: &AttributesBuf,
        head: &RequestHeadBuf,
        ask: Ask,
    ) -> Result<StreamKey, SendError> {
        let mut inner = self.inner.borrow_mut();
        let machine = inner.machine.as_mut().ok_or(SendError::NotReady)?;
        let stream = machine.open(attributes, head, ask)?;
        inner.slots.insert(stream, Slot::default());
        inner.wake_driver();
        Ok(StreamKey { connection: self.connection.get(), stream })
    }

    /// Sends the head of the response.
    pub(crate) fn send_response(
        &self,
        key: StreamKey,
        head: &ResponseHeadBuf,
        ask: Ask,
    ) -> Result<(), SendError> {
        self.on_stream(key, |machine| machine.response(key.stream, head, ask))
    }

    /// Sends a frame of a tunnel.
    pub(crate) fn send_frame(
        &self,
        key: StreamKey,
        frame: WebsocketFrame<'_>,
    ) -> Result<(), SendError> {
        self.on_stream(key, |machine| machine.websocket_frame(key.stream, frame))
    }

    /// Sends a body, or as much of one as the agent wants; what there is no room for follows.
    pub(crate) fn send_body(
        &self,
        key: StreamKey,
        event: Event,
        bytes: Bytes,
        last: bool,
    ) -> Result<(), SendError> {
        let taken = self.on_stream(key, |machine| machine.body(key.stream, event, &bytes, last))?;
        if !taken.ended && taken.bytes < bytes.len() {
            let unsent = Unsent { event, bytes: bytes.slice(taken.bytes..), last };
            if let Some(slot) = self.inner.borrow_mut().slots.get_mut(&key.stream) {
                slot.unsent = Some(unsent);
            }
        }
        Ok(())
    }

    /// Sends as much of a piece of a streamed body as there is room for.
    pub(crate) fn offer_body(
        &self,
        key: StreamKey,
        event: Event,
        piece: &[u8],
        last: bool,
    ) -> Result<Taken, SendError> {
        self.on_stream(key, |machine| machine.body(key.stream, event, piece, last))
    }

    /// Makes room for more of what an agent puts in place of a body.
    pub(crate) fn grant(&self, key: StreamKey, event: Event, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // A stream that is over needs no room.
        let _ = self.on_stream(key, |machine| {
            machine.grant(key.stream, event, bytes);
            Ok(())
        });
    }

    fn on_stream<T>(
        &self,
        key: StreamKey,
        act: impl FnOnce(&mut EdgeSide) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        if key.connection != self.connection.get() {
            return Err(SendError::Closed);
        }
        let mut inner = self.inner.borrow_mut();
        let done = act(inner.machine.as_mut().ok_or(SendError::NotReady)?)?;
        inner.wake_driver();
        Ok(done)
    }

    /// The next thing that the agent says on a stream.
    pub(crate) fn poll_answer(&self, key: StreamKey, context: &mut Context<'_>) -> Poll<Answer> {
        let mut inner = self.inner.borrow_mut();
        let current = key.connection == self.connection.get();
        let Some(slot) = inner.slots.get_mut(&key.stream).filter(|_| current) else {
            return Poll::Ready(Answer::Lost("the connection was lost".to_owned()));
        };
        if let Some(answer) = slot.answers.pop_front() {
            return Poll::Ready(answer);
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            slot.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Nobody listens to this stream any more.
    pub(crate) fn end_stream(&self, key: StreamKey, why: CancelCode) {
        if key.connection != self.connection.get() {
            return;
        }
        let mut inner = self.inner.borrow_mut();
        inner.slots.remove(&key.stream);
        if let Some(machine) = inner.machine.as_mut().filter(|machine| machine.is_open(key.stream))
        {
            machine.cancel(key.stream, why);
            inner.wake_driver();
        }
    }

    /// Tells how an exchange ended; an agent that is not there or does not keep up misses it.
    pub(crate) fn log(&self, attributes: &AttributesBuf, totals: &OutcomeTotals<'_>) -> bool {
        let mut inner = self.inner.borrow_mut();
        let told =
            inner.machine.as_mut().is_some_and(|machine| machine.log(attributes, totals).is_ok());
        inner.wake_driver();
        told
    }

    /// Puts settings in force that the agent has accepted, unless they are of a config that is still to
    /// come, and offers it those that it does not know.
    fn tell_settings(&self) {
        let state = self.state.borrow().clone();
        let wanted = self.coming.borrow().clone().unwrap_or_else(|| state.clone());
        let mut inner = self.inner.borrow_mut();
        let Some(machine) = &mut inner.machine else { return };
        if machine.accepted().is_some_and(|accepted| accepted <= state.generation) {
            machine.adopt();
            self.learn(&mut inner);
            inner.wake_driver();
        }
        if inner.offered == wanted.generation {
            return;
        }
        let Some(machine) = &mut inner.machine else { return };
        // Refused while an earlier offer is not answered; its answer brings us here again.
        if machine.configure(wanted.generation, Settings::new(&wanted.settings)).is_ok() {
            inner.offered = wanted.generation;
            inner.wake_driver();
        }
    }

    async fn run(self: Rc<Self>) {
        let mut pause = RETRY.0;
        let mut told = false;
        while !self.closed.get() {
            let why = match self.connect().await {
                Ok(stream) => {
                    let why = self.converse(stream).await;
                    // One that breaks off as soon as it is ready is not well: no hurry, no second word.
                    if self.ready_since.take().is_some_and(|since| since.elapsed() >= STEADY) {
                        (pause, told) = (RETRY.0, false);
                    }
                    why
                }
                Err(error) => error.to_string(),
            };
            if self.closed.get() {
                return;
            }
            if !told {
                told = true;
                let agent = self.state.borrow().config.id.clone();
                let message = "no connection to an agent; trying again";
                self.hub.event(Level::Warn, message, &[("agent", &agent), ("why", &why)]);
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        let path = self.state.borrow().door.path().to_owned();
        timeout(READY_MAX, UnixStream::connect(path)).await?
    }

    /// Serves one connection to its end; tells why it ended.
    async fn converse(&self, mut stream: UnixStream) -> String {
        if let Err(error) = self.greet() {
            return format!("its settings cannot be sent: {error}");
        }
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let mut input = Inbox::new();
        let driver = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        self.inner.borrow_mut().task = Some(driver);
        let why = poll_fn(|context| {
            self.inner.borrow_mut().driver = Some(context.waker().clone());
            if let Err(why) = self.poll_tick(&mut ticks, began, context) {
                return Poll::Ready(why);
            }
            self.ask_measures();
            if let Err(why) = self.poll_stream(&mut stream, &mut input, context) {
                return Poll::Ready(why);
            }
            self.note_silence();
            if std::mem::take(&mut self.inner.borrow_mut().settings_due) {
                self.tell_settings();
            }
            Poll::Pending
        })
        .await;
        self.lose();
        why
    }

    fn greet(&self) -> Result<(), SendError> {
        let state = self.state.borrow().clone();
        let machine = EdgeSide::new(
            EdgeBounds::default(),
            Greeting {
                edge: concat!("selvedge/", env!("CARGO_PKG_VERSION")),
                agent: &state.config.id,
                generation: state.generation,
                settings: Settings::new(&state.settings),
            },
        )?;
        let mut inner = self.inner.borrow_mut();
        inner.machine = Some(machine);
        (inner.offered, inner.answered) = (state.generation, state.generation);
        inner.pinged = None;
        Ok(())
    }

    fn poll_tick(
        &self,
        ticks: &mut Interval,
        began: Instant,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        while ticks.poll_tick(context).is_ready() {
            let mut inner = self.inner.borrow_mut();
            let Inner { machine, pinged, slots, draining, .. } = &mut *inner;
            let Some(machine) = machine else { continue };
            if (self.closed.get() || *draining) && slots.is_empty() {
                return Err("it is not needed any more".to_owned());
            }
            if !machine.is_ready() && !*draining && began.elapsed() > READY_MAX {
                return Err("it did not become ready".to_owned());
            }
            if machine.ping(0) {
                pinged.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    /// Writes and reads until the socket has no more of either; both wake this task.
    fn poll_stream(
        &self,
        stream: &mut UnixStream,
        input: &mut Inbox,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        for _ in 0..READS_MAX {
            self.poll_write(stream, context).map_err(|error| error.to_string())?;
            let mut read = ReadBuf::new(input.room());
            match Pin::new(&mut *stream).poll_read(context, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error.to_string()),
                Poll::Ready(Ok(())) => {}
            }
            let length = read.filled().len();
            if length == 0 {
                return Err("it closed the connection".to_owned());
            }
            input.filled += length;
            self.hear(input)?;
        }
        // An agent that floods must not keep this core from its other work.
        context.waker().wake_by_ref();
        self.poll_write(stream, context).map_err(|error| error.to_string())
    }

    fn poll_write(&self, stream: &mut UnixStream, context: &mut Context<'_>) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        let Some(machine) = &mut inner.machine else { return Ok(()) };
        while machine.output_len() > 0 {
            match Pin::new(&mut *stream).poll_write(context, machine.output()) {
                Poll::Ready(written) => machine.advance_output(written?),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Takes in what the agent said; the rest of a frame stays in `input`.
    fn hear(&self, input: &mut Inbox) -> Result<(), String> {
        let mut rest = &input.buffer[..input.filled];
        let mut inner = self.inner.borrow_mut();
        while let Some(machine) = &mut inner.machine {
            match machine.receive(&mut rest) {
                Ok(Some(said)) => self.enter(&mut inner, said),
                Ok(None) => break,
                Err(fault) => return Err(fault.to_string()),
            }
        }
        let left = rest.len();
        input.buffer.copy_within(input.filled - left..input.filled, 0);
        input.filled = left;
        Ok(())
    }

    fn enter(&self, inner: &mut Inner, said: FromAgent<'_>) {
        match said {
            FromAgent::Ready => self.enter_ready(inner),
            FromAgent::Configured { generation, result } => {
                self.enter_configured(inner, generation, result);
            }
            FromAgent::Pong(_) => self.enter_pong(inner),
            FromAgent::Metrics(report) => self.enter_metrics(inner, report),
            // No stream can be opened; the connection ends with the last one.
            FromAgent::Draining => inner.draining = true,
            FromAgent::Verdict { stream, event, verdict } => inner.say(stream, |slot| {
                let replaced = slot.replacement.take();
                let verdict = match replaced {
                    Some(bytes) => verdict.replace_body(bytes),
                    None => verdict,
                };
                Answer::Verdict(event, verdict)
            }),
            FromAgent::Release { stream, bytes, last, .. } => {
                inner.say(stream, |_| Answer::Release { bytes, last });
            }
            FromAgent::Replace { stream, mode: Mode::Stream, consumed, bytes, last, .. } => {
                let bytes = Bytes::copy_from_slice(bytes);
                inner.say(stream, |_| Answer::Replace { consumed, bytes, last });
            }
            FromAgent::Replace { stream, event, bytes, .. } => {
                inner.collect(stream, event, bytes);
            }
            FromAgent::Credit { stream, event } => inner.send_rest(stream, event),
            FromAgent::Abandoned { stream, reason } => {
                inner.say(stream, |_| Answer::Abandoned(reason.to_owned()));
            }
        }
    }

    fn enter_ready(&self, inner: &mut Inner) {
        self.learn(inner);
        inner.connected = Some(self.state.borrow().door.connected());
        self.known.set(true);
        self.ready_since.set(Some(Instant::now()));
        self.news.notify_waiters();
        let state = self.state.borrow();
        if inner.machine.as_ref().is_some_and(EdgeSide::can_measure)
            && let Some(driver) = inner.task.clone()
        {
            inner.asked = Some(state.door.measures().open(driver));
        }
        // Whoever answers now is not the one that failed.
        state.breaker.wake();
        if let Some(started) = state.door.started() {
            started.note_heard();
        }
        drop(state);
        inner.settings_due = true;
        inner.wake_driver();
    }

    /// Asks what the agent has measured, if somebody looks.
    fn ask_measures(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { machine, asked, .. } = &mut *inner;
        if let (Some(machine), Some(asked)) = (machine, asked)
            && asked.take_wish()
        {
            // One that owes an answer is not asked again.
            machine.measure();
        }
    }

    fn enter_metrics(&self, inner: &mut Inner, report: Report) {
        if let Some(why) = report.why.filter(|_| !inner.complained) {
            inner.complained = true;
            let message = "not all that an agent measures can be shown";
            let state = self.state.borrow();
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("agent", &state.config.id), ("series", &report.left_out), ("why", &why)];
            self.hub.event(Level::Warn, message, &fields);
        }
        if let Some(asked) = &inner.asked {
            asked.tell(report);
        }
    }

    fn enter_configured(&self, inner: &mut Inner, generation: u64, result: Result<(), &str>) {
        let agent = self.state.borrow().config.id.clone();
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("agent", &agent), ("generation", &generation)];
        match result {
            Ok(()) => self.hub.event(Level::Info, "an agent has its new settings", &fields),
            Err(why) => self.hub.event(
                Level::Error,
                "an agent refuses its new settings and goes on with those before",
                &[fields[0], fields[1], ("why", &why)],
            ),
        }
        inner.answered = generation;
        inner.settings_due = true;
        inner.wake_driver();
        self.news.notify_waiters();
    }

    fn enter_pong(&self, inner: &mut Inner) {
        let state = self.state.borrow();
        if let Some(started) = state.door.started() {
            started.note_heard();
        }
        if inner.pinged.take().is_some_and(|pinged| pinged.elapsed() >= ASLEEP) {
            state.breaker.wake();
        }
        let silent = inner.connected.as_mut().filter(|connected| !connected.answers());
        if silent.is_some_and(Connected::answer) {
            self.hub.event(Level::Info, "an agent answers again", &[("agent", &state.config.id)]);
        }
    }

    /// Tells of an agent that keeps its connection and has stopped to answer. To be asked after all that
    /// has come was read.
    fn note_silence(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { pinged, connected, .. } = &mut *inner;
        if !pinged.is_some_and(|pinged| pinged.elapsed() >= UNRESPONSIVE) {
            return;
        }
        let heard = connected.as_mut().filter(|connected| connected.answers());
        if heard.is_some_and(Connected::fall_silent) {
            let agent = &self.state.borrow().config.id;
            let message = "an agent does not answer pings, though its connection stands";
            self.hub.event(Level::Warn, message, &[("agent", agent)]);
        }
    }

    /// Keeps what the agent wants beyond the connection.
    fn learn(&self, inner: &mut Inner) {
        let Some(machine) = &inner.machine else { return };
        let wants = machine.subscriptions().clone();
        inner.wants = Rc::new(wants.clone());
        let (name, version) = machine.agent_name();
        let (name, version) = (name.to_owned(), version.to_owned());
        self.state.borrow().door.introduce(Introduction { name, version, wants });
    }

    /// The connection is gone: everyone who waits for an answer is told.
    fn lose(&self) {
        let mut inner = self.inner.borrow_mut();
        self.connection.set(self.connection.get() + 1);
        inner.machine = None;
        inner.asked = None;
        inner.complained = false;
        inner.connected = None;
        inner.draining = false;
        for (_, slot) in inner.slots.drain() {
            if let Some(waker) = slot.waker {
                waker.wake();
            }
        }
    }
}

impl Inner {
    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Puts an answer where the exchange of `stream` finds it.
    fn say(&mut self, stream: StreamId, answer: impl FnOnce(&mut Slot) -> Answer) {
        // An exchange that ended meanwhile has left no slot.
        let Some(slot) = self.slots.get_mut(&stream) else { return };
        let answer = answer(slot);
        slot.answers.push_back(answer);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// Collects what comes in place of a body that is held, until its verdict.
    fn collect(&mut self, stream: StreamId, event: Event, bytes: &[u8]) {
        let Some(slot) = self.slots.get_mut(&stream) else { return };
        let replacement = slot.replacement.get_or_insert_default();
        if replacement.len() + bytes.len() > REPLACEMENT_MAX {
            let why = "it puts too much in place of a body".to_owned();
            return self.say(stream, |_| Answer::Abandoned(why));
        }
        replacement.extend_from_slice(bytes);
        if let Some(machine) = &mut self.machine {
            machine.grant(stream, event, bytes.len() as u32);
        }
    }

    /// Sends more of a body that there was no room for.
    fn send_rest(&mut self, stream: StreamId, event: Event) {
        let (Some(machine), Some(slot)) = (&mut self.machine, self.slots.get_mut(&stream)) else {
            return;
        };
        let Some(unsent) = slot.unsent.take_if(|unsent| unsent.event == event) else { return };
        match machine.body(stream, event, &unsent.bytes, unsent.last) {
            Ok(taken) if !taken.ended && taken.bytes < unsent.bytes.len() => {
                let bytes = unsent.bytes.slice(taken.bytes..);
                slot.unsent = Some(Unsent { bytes, ..unsent });
            }
            Ok(_) => {}
            // An agent that has answered early needs no more; one that does not read will time out.
            Err(SendError::Answered | SendError::Closed) => {}
            Err(_) => slot.unsent = Some(unsent),
        }
    }
}

/// What was read and is not understood yet.
struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
}

impl Inbox {
    fn new() -> Self {
        Self { buffer: vec![0; READ_MAX], filled: 0 }
    }

    /// Where to read to. It grows up to the longest frame, which the protocol bounds.
    fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        &mut self.buffer[self.filled..]
    }
}
