use bytes::BufMut;

use crate::{
    attributes::AttributesBuf,
    body::WebsocketFrame,
    event::Event,
    fault::{Fault, FaultCode},
    frame::{Frame, FrameType, Label, METRICS_FRAME_MAX, Output, SETTINGS_FRAME_MAX, flag},
    head::{RequestHeadBuf, ResponseHeadBuf},
    ledger::{Ask, End, Ledger, Replaced, Scope, Side, Windows, fault},
    outcome::OutcomeTotals,
    report::Report,
    send::SendError,
    setup::{
        Bounds, Configured, FRAME_MAX_MIN, Hello, Ready, Settings, VERSION, VERSION_OF_METRICS,
        WINDOW_MIN, read_event,
    },
    stream::{CancelCode, StreamId, StreamMap},
    subscriptions::{Mode, Subscriptions},
    verdict::Verdict,
    wire::{Reader, put_bytes32},
};

/// The edge's side of one connection to an agent, without its socket and clock.
///
/// The driver hands bytes that came to [`receive`](Self::receive) and writes what [`output`](Self::output)
/// holds. What is to be sent is refused, not queued, once [`EdgeBounds::output_max`] bytes wait for an
/// agent that does not read; so the memory of a connection has a bound whatever the agent does.
///
/// A fault ends the connection: every open stream of it has failed, and what the output still holds
/// may be written before the socket is closed.
#[derive(Debug)]
pub struct EdgeSide {
    bounds: EdgeBounds,
    output: Output,
    state: State,
    agent: Agent,
    streams: StreamMap<Ledger>,
    /// The number of the stream opened last.
    newest: u64,
    draining: bool,
    ping: Option<u64>,
    /// The agent owes a report of what it measured.
    measuring: bool,
    /// The generation of settings that the agent has not answered yet.
    configuring: Option<u64>,
    /// Settings that the agent has accepted and that are not in force yet.
    accepted: Option<Accepted>,
    /// Frames of streams that are over that may still come.
    late_left: u32,
    fault: Option<Fault>,
}

/// Frames of streams that are over which are read past on each connection, whoever ended them.
const LATE_FRAMES: u32 = 64;
/// Frames that are read past for each one that a cancelled stream sent: its agent may answer without
/// having read of the end, or without minding it.
const LATE_FRAMES_PER_FRAME: u32 = 8;
/// However many streams are cancelled, no more frames than these are to come.
const LATE_FRAMES_MAX: u32 = 1 << 20;

/// What the edge allows on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeBounds {
    /// The longest payload that an agent may send, in bytes.
    pub frame_max: u32,
    /// Bytes that an agent may send in place of a body before the edge gives more room.
    pub window: u32,
    /// Bytes of each body and frame that an agent sees at most, however many it wants.
    pub body_max: u32,
    /// Bytes that may wait for an agent that does not read, before nothing more is sent to it.
    pub output_max: usize,
}

impl Default for EdgeBounds {
    fn default() -> Self {
        Self { frame_max: 256 << 10, window: 64 << 10, body_max: u32::MAX, output_max: 4 << 20 }
    }
}

/// Who the edge says it is, and the settings that the agent begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// Name and version of the edge, for the agent's log.
    pub edge: &'a str,
    /// The agent's id in the edge's config.
    pub agent: &'a str,
    /// Which config the settings are of.
    pub generation: u64,
    /// The agent's settings.
    pub settings: Settings<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeted,
    Ready,
}

/// What the agent said of itself.
#[derive(Debug, Default)]
struct Agent {
    name: String,
    version: String,
    /// Of the protocol.
    protocol: u16,
    bounds: Bounds,
    subscriptions: Subscriptions,
    scope: Scope,
}

/// What the agent wants with settings that it accepted.
#[derive(Debug)]
struct Accepted {
    generation: u64,
    subscriptions: Subscriptions,
    scope: Scope,
}

/// Something that an agent said, of which the driver should know.
#[expect(
    clippy::large_enum_variant,
    reason = "the verdict is the common one; a box for each costs more than the room"
)]
#[derive(Debug, PartialEq)]
pub enum FromAgent<'a> {
    /// Streams may be opened; see [`EdgeSide::subscriptions`].
    Ready,
    /// New settings were accepted, and are in force from [`EdgeSide::adopt`] on; or they were not, and why.
    Configured {
        /// Of which config.
        generation: u64,
        /// Whether they were accepted.
        result: Result<(), &'a str>,
    },
    /// The answer to a ping.
    Pong(u64),
    /// What the agent measured; the answer to [`EdgeSide::measure`].
    Metrics(Report),
    /// The agent is about to go: nothing can be opened, and once the open streams are over the edge closes the connection.
    Draining,
    /// What the agent says to an event. If it [is done](Verdict::is_done), the stream is over.
    Verdict {
        /// On which stream.
        stream: StreamId,
        /// To which event.
        event: Event,
        /// What it says.
        verdict: Verdict,
    },
    /// The oldest `bytes` of a streamed body that wait go on as they are.
    Release {
        /// On which stream.
        stream: StreamId,
        /// Of which body.
        event: Event,
        /// How many.
        bytes: u32,
        /// The agent has answered the whole of the body.
        last: bool,
        /// The stream is over.
        done: bool,
    },
    /// The oldest `consumed` bytes that wait are dropped, and these go on in their place. Once they
    /// have, [`EdgeSide::grant`] makes room for as many.
    Replace {
        /// On which stream.
        stream: StreamId,
        /// Of which body.
        event: Event,
        /// How the agent wanted it when the stream opened.
        mode: Mode,
        /// How many bytes of a streamed body these replace; 0 where a whole body or frame is replaced.
        consumed: u32,
        /// What goes on.
        bytes: &'a [u8],
        /// The agent has answered the whole of the body, or the replacement is whole.
        last: bool,
        /// The stream is over.
        done: bool,
    },
    /// There is room for more of a body.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// Of which body.
        event: Event,
    },
    /// The agent cannot decide: the stream is over without an answer.
    Abandoned {
        /// Which stream.
        stream: StreamId,
        /// Why, for people.
        reason: &'a str,
    },
}

/// How much of a piece of a body was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes from the front of the piece; offer the rest again when there is credit.
    pub bytes: usize,
    /// The agent sees no more of this body, because it ended or is longer than the agent wants: offer nothing more.
    pub ended: bool,
    /// The body goes on unseen.
    pub truncated: bool,
}

impl EdgeSide {
    /// Begins a connection; the output then holds the `HELLO`. Bounds below the protocol's least are
    /// raised to it. Settings of more than a mebibyte do not fit.
    pub fn new(bounds: EdgeBounds, greeting: Greeting<'_>) -> Result<Self, SendError> {
        let bounds = EdgeBounds {
            frame_max: bounds.frame_max.max(FRAME_MAX_MIN),
            window: bounds.window.max(WINDOW_MIN),
            ..bounds
        };
        let EdgeBounds { frame_max, window, .. } = bounds;
        let Greeting { edge, agent, generation, settings } = greeting;
        let version = VERSION;
        let hello = Hello { version, frame_max, window, edge, agent, generation, settings };
        let mut output = Output::default();
        let label = Label::of_connection(FrameType::Hello);
        output.frame(label, SETTINGS_FRAME_MAX, |out| hello.write(out))?;
        Ok(Self {
            bounds,
            output,
            state: State::Greeted,
            agent: Agent::default(),
            streams: StreamMap::default(),
            newest: 0,
            draining: false,
            ping: None,
            measuring: false,
            configuring: None,
            accepted: None,
            late_left: LATE_FRAMES,
            fault: None,
        })
    }

    /// Takes whole frames from the front of `input` until one of them says something.
    ///
    /// `None` asks for more bytes; what is left of `input` belongs in front of them. A driver never
    /// needs to keep more than a header and the longest payload that it allows.
    pub fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<FromAgent<'a>>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.take(input).inspect_err(|fault| self.fail(fault))
    }

    fn fail(&mut self, fault: &Fault) {
        if !fault.by_peer {
            self.output.fault(fault);
        }
        self.fault = Some(fault.clone());
        self.accepted = None;
        self.streams.clear();
    }

    fn take<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<FromAgent<'a>>, Fault> {
        let frame_max = self.bounds.frame_max;
        let max = |kind| match kind {
            FrameType::Metrics => METRICS_FRAME_MAX,
            _ => frame_max,
        };
        while let Some(frame) = Frame::take(input, max)? {
            if self.output.len() > self.bounds.output_max.saturating_mul(2) {
                return Err(Fault::new(FaultCode::Backlog, "the agent does not read"));
            }
            if let Some(said) = self.enter(frame)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    fn enter<'a>(&mut self, frame: Frame<'a>) -> Result<Option<FromAgent<'a>>, Fault> {
        match (self.state, frame.kind) {
            (_, FrameType::Fault) => Err(read_fault(frame.payload)?),
            (State::Greeted, FrameType::Ready) => self.ready(frame.payload).map(Some),
            (State::Ready, FrameType::Configured) => self.configured(frame.payload).map(Some),
            (State::Ready, FrameType::Pong) => self.pong(frame.payload).map(Some),
            (State::Ready, FrameType::Metrics) => self.metrics(frame.payload).map(Some),
            (State::Ready, FrameType::Drain) => {
                Reader::new(frame.payload).end()?;
                self.draining = true;
                Ok(Some(FromAgent::Draining))
            }
            (State::Ready, kind) if kind as u8 >= FrameType::Verdict as u8 => self.answer(frame),
            (State::Greeted, kind) => {
                Err(Fault::new(FaultCode::OutOfOrder, format!("{} before READY", kind.name())))
            }
            (State::Ready, kind) => {
                let text = format!("{} from an agent that is ready", kind.name());
                Err(Fault::new(FaultCode::OutOfOrder, text))
            }
        }
    }

    fn ready<'a>(&mut self, payload: &[u8]) -> Result<FromAgent<'a>, Fault> {
        let Ready { protocol, bounds, name, version, subscriptions } = Ready::read(payload)?;
        let scope = Scope::new(&subscriptions, self.bounds.body_max);
        self.agent = Agent { name, version, protocol, bounds, subscriptions, scope };
        self.state = State::Ready;
        Ok(FromAgent::Ready)
    }

    fn configured<'a>(&mut self, payload: &'a [u8]) -> Result<FromAgent<'a>, Fault> {
        let Configured { generation, result } = Configured::read(payload)?;
        if self.configuring != Some(generation) {
            let text = format!("CONFIGURED of generation {generation}, which was not offered");
            return Err(Fault::new(FaultCode::Unasked, text));
        }
        self.configuring = None;
        let result = result.map(|subscriptions| {
            let scope = Scope::new(&subscriptions, self.bounds.body_max);
            self.accepted = Some(Accepted { generation, subscriptions, scope });
        });
        Ok(FromAgent::Configured { generation, result })
    }

    fn pong<'a>(&mut self, payload: &[u8]) -> Result<FromAgent<'a>, Fault> {
        let mut reader = Reader::new(payload);
        let token = reader.u64()?;
        reader.end()?;
        if self.ping != Some(token) {
            return Err(Fault::new(FaultCode::Unasked, "a PONG without its PING"));
        }
        self.ping = None;
        Ok(FromAgent::Pong(token))
    }

    fn metrics<'a>(&mut self, payload: &[u8]) -> Result<FromAgent<'a>, Fault> {
        if !std::mem::take(&mut self.measuring) {
            return Err(Fault::new(FaultCode::Unasked, "METRICS without MEASURE"));
        }
        Ok(FromAgent::Metrics(Report::read(payload)?))
    }

    /// Enters a frame of a stream.
    fn answer<'a>(&mut self, frame: Frame<'a>) -> Result<Option<FromAgent<'a>>, Fault> {
        if frame.stream > self.newest {
            let text = format!("{} on stream {}", frame.kind.name(), frame.stream);
            return Err(Fault::new(FaultCode::UnknownStream, text));
        }
        let stream = StreamId(frame.stream);
        let Some(ledger) = self.streams.get_mut(&stream) else {
            return self.read_past().map(|()| None);
        };
        let said = said(ledger, stream, &frame)?;
        if frame.has(flag::FINAL) || frame.kind == FrameType::Abandon {
            self.streams.remove(&stream);
        }
        Ok(Some(said))
    }

    /// Counts a frame of a stream that is over: it crossed what ended the stream, unless there are too
    /// many of them.
    fn read_past(&mut self) -> Result<(), Fault> {
        let left = self.late_left.checked_sub(1);
        let fault = || Fault::new(FaultCode::Unasked, "too much on streams that are over");
        self.late_left = left.ok_or_else(fault)?;
        Ok(())
    }

    /// Whether streams may be opened, as far as the connection is concerned.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.fault.is_none() && !self.draining
    }

    /// What the agent wants to be asked about.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.agent.subscriptions
    }

    /// What the agent takes.
    pub fn agent_bounds(&self) -> Bounds {
        self.agent.bounds
    }

    /// Name and version of the agent, as it says.
    pub fn agent_name(&self) -> (&str, &str) {
        (&self.agent.name, &self.agent.version)
    }

    /// Opens a stream with a request's head.
    pub fn open(
        &mut self,
        attributes: &AttributesBuf,
        head: &RequestHeadBuf,
        ask: Ask,
    ) -> Result<StreamId, SendError> {
        self.can_open()?;
        if self.streams.len() >= self.agent.bounds.streams_max as usize {
            return Err(SendError::Full);
        }
        let ledger = Ledger::open(Side::Edge, &self.agent.scope, self.windows(), ask)?;
        let label = head_label(FrameType::RequestHeaders, self.newest + 1, ask);
        self.output.frame(label, self.agent.bounds.frame_max, |out| {
            attributes.write(out)?;
            head.write(out)
        })?;
        self.newest += 1;
        let stream = StreamId(self.newest);
        self.streams.insert(stream, ledger);
        Ok(stream)
    }

    /// Tells how an exchange ended.
    pub fn log(
        &mut self,
        attributes: &AttributesBuf,
        totals: &OutcomeTotals<'_>,
    ) -> Result<(), SendError> {
        self.can_open()?;
        if !self.agent.scope.wants(Event::Log) {
            return Err(SendError::Refused("an event that is not wanted"));
        }
        let label = Label::new(FrameType::Log, self.newest + 1);
        self.output.frame(label, self.agent.bounds.frame_max, |out| {
            attributes.write(out)?;
            totals.write(out)
        })?;
        self.newest += 1;
        Ok(())
    }

    fn can_open(&self) -> Result<(), SendError> {
        if self.state != State::Ready || self.fault.is_some() {
            Err(SendError::NotReady)
        } else if self.draining {
            Err(SendError::Draining)
        } else {
            self.has_space()
        }
    }

    fn has_space(&self) -> Result<(), SendError> {
        if self.output.len() < self.bounds.output_max { Ok(()) } else { Err(SendError::Backlog) }
    }

    fn windows(&self) -> Windows {
        Windows { ours: self.bounds.window, theirs: self.agent.bounds.window }
    }

    /// Sends the head of the response.
    pub fn response(
        &mut self,
        stream: StreamId,
        head: &ResponseHeadBuf,
        ask: Ask,
    ) -> Result<(), SendError> {
        self.has_space()?;
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        let mut after = ledger.clone();
        after.response(ask)?;
        let label = head_label(FrameType::ResponseHeaders, stream.0, ask);
        self.output.frame(label, self.agent.bounds.frame_max, |out| head.write(out))?;
        *ledger = after;
        Ok(())
    }

    /// Sends as much of a piece of a body as there is room for. A body that is longer than the agent
    /// wants is cut there.
    pub fn body(
        &mut self,
        stream: StreamId,
        event: Event,
        piece: &[u8],
        last: bool,
    ) -> Result<Taken, SendError> {
        self.has_space()?;
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        let kind = match event {
            Event::RequestBody => FrameType::RequestBody,
            Event::ResponseBody => FrameType::ResponseBody,
            _ => return Err(SendError::Refused("an event that has no body")),
        };
        if ledger.is_answered(event) {
            return Err(SendError::Answered);
        }
        let wanted = piece.len().min(ledger.left(event) as usize);
        let truncated = wanted < piece.len();
        let mut rest = &piece[..wanted.min(ledger.credit(event) as usize)];
        let ends = rest.len() == wanted && (truncated || last);
        let taken = Taken { bytes: rest.len(), ended: ends, truncated: ends && truncated };
        if rest.is_empty() && !ends {
            return Ok(taken);
        }
        loop {
            let (now, later) = rest.split_at(rest.len().min(self.agent.bounds.frame_max as usize));
            let end = match (later.is_empty() && ends, truncated) {
                (false, _) => End::More,
                (true, false) => End::Whole,
                (true, true) => End::Truncated,
            };
            // Refused at the first frame or not at all: what follows is within the same room.
            ledger.chunk(event, now.len() as u32, end)?;
            let label = Label::new(kind, stream.0)
                .flag(flag::END, end != End::More)
                .flag(flag::TRUNCATED, end == End::Truncated);
            self.output.small(label, now);
            rest = later;
            if rest.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// Bytes of a body that [`body`](Self::body) would take now.
    pub fn credit(&self, stream: StreamId, event: Event) -> u32 {
        self.streams.get(&stream).map_or(0, |ledger| ledger.credit(event))
    }

    /// Bytes that the agent may send in place of this body now.
    pub fn room(&self, stream: StreamId, event: Event) -> u32 {
        self.streams.get(&stream).map_or(0, |ledger| ledger.room(event))
    }

    /// Sends a frame of a tunnel; verdicts come in the order of the frames. Of a payload that is longer
    /// than the agent wants, or than it ever has room for, it sees the beginning.
    pub fn websocket_frame(
        &mut self,
        stream: StreamId,
        frame: WebsocketFrame<'_>,
    ) -> Result<(), SendError> {
        self.has_space()?;
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        let Bounds { frame_max, window, .. } = self.agent.bounds;
        let max = ledger.websocket_payload_max().min(window - 1).min(frame_max - 1);
        let payload = &frame.payload[..frame.payload.len().min(max as usize)];
        if !ledger.can_take_frame(payload.len() as u32) {
            return Err(SendError::NoCredit);
        }
        ledger.websocket_frame(payload.len() as u32)?;
        let truncated = frame.truncated || payload.len() < frame.payload.len();
        let label = Label::new(FrameType::WebsocketFrame, stream.0)
            .flag(flag::END, !frame.continues)
            .flag(flag::TRUNCATED, truncated)
            .flag(flag::FROM_UPSTREAM, frame.from_upstream);
        self.output.pieces(label, [&[frame.opcode], payload]);
        Ok(())
    }

    /// Gives an agent room for more bytes in place of a body. Small gifts are saved up.
    pub fn grant(&mut self, stream: StreamId, event: Event, bytes: u32) {
        let Some(ledger) = self.streams.get_mut(&stream) else { return };
        if let Ok(Some(room)) = ledger.grant(event, bytes, self.bounds.window) {
            self.output.credit(stream.0, event, room);
        }
    }

    /// Ends a stream; nothing that the agent still says of it is heard. A stream that is over stays so.
    pub fn cancel(&mut self, stream: StreamId, code: CancelCode) {
        let Some(ledger) = self.streams.remove(&stream) else { return };
        self.output.small(Label::new(FrameType::Cancel, stream.0), &[code as u8]);
        let late = ledger.frames_asked().saturating_mul(LATE_FRAMES_PER_FRAME);
        self.late_left = self.late_left.saturating_add(late).min(LATE_FRAMES_MAX);
    }

    /// Offers new settings; the agent's answer is a [`FromAgent::Configured`]. One offer at a time: the next
    /// follows a refusal, or [`adopt`](Self::adopt).
    pub fn configure(&mut self, generation: u64, settings: Settings<'_>) -> Result<(), SendError> {
        if self.state != State::Ready || self.fault.is_some() {
            return Err(SendError::NotReady);
        }
        if self.configuring.is_some() || self.accepted.is_some() {
            return Err(SendError::Refused("settings are offered already"));
        }
        self.has_space()?;
        let label = Label::of_connection(FrameType::Configure);
        self.output.frame(label, SETTINGS_FRAME_MAX, |out| {
            out.put_u64(generation);
            put_bytes32(out, settings.as_str().as_bytes())
        })?;
        self.configuring = Some(generation);
        Ok(())
    }

    /// The generation of settings that the agent has accepted and that are not in force yet.
    pub fn accepted(&self) -> Option<u64> {
        self.accepted.as_ref().map(|accepted| accepted.generation)
    }

    /// Puts the settings in force that the agent has accepted: streams that open from here on belong to
    /// them, and [`subscriptions`](Self::subscriptions) are theirs. `false` if there are none.
    pub fn adopt(&mut self) -> bool {
        let Some(Accepted { generation, subscriptions, scope }) = self.accepted.take() else {
            return false;
        };
        self.agent.scope = scope;
        self.agent.subscriptions = subscriptions;
        self.output.small(Label::of_connection(FrameType::Adopt), &generation.to_be_bytes());
        true
    }

    /// Asks whether the agent is there; its answer is a [`FromAgent::Pong`]. `false` if one is due already.
    pub fn ping(&mut self, token: u64) -> bool {
        let can = self.state == State::Ready && self.fault.is_none() && self.ping.is_none();
        if can {
            self.ping = Some(token);
            self.output.small(Label::of_connection(FrameType::Ping), &token.to_be_bytes());
        }
        can
    }

    /// Asks what the agent has measured; its answer is [`FromAgent::Metrics`]. `false` if one is due already,
    /// or if the agent speaks a version that has no such question.
    pub fn measure(&mut self) -> bool {
        let can = self.can_measure() && !self.measuring && self.has_space().is_ok();
        if can {
            self.measuring = true;
            self.output.small(Label::of_connection(FrameType::Measure), &[]);
        }
        can
    }

    /// Whether the agent can be asked what it has measured.
    pub fn can_measure(&self) -> bool {
        let is_ready = self.state == State::Ready && self.fault.is_none();
        is_ready && self.agent.protocol >= VERSION_OF_METRICS
    }

    /// Opens no more streams, and tells the agent so.
    pub fn drain(&mut self) {
        if self.is_ready() {
            self.output.small(Label::of_connection(FrameType::Drain), &[]);
        }
        self.draining = true;
    }
}

crate::side::driven!(EdgeSide);

fn head_label(kind: FrameType, stream: u64, ask: Ask) -> Label {
    Label::new(kind, stream).flag(flag::END, !ask.body).flag(flag::NO_REPLY, !ask.verdict)
}

fn said<'a>(
    ledger: &mut Ledger,
    stream: StreamId,
    frame: &Frame<'a>,
) -> Result<FromAgent<'a>, Fault> {
    let (last, done) = (frame.has(flag::END), frame.has(flag::FINAL));
    if done && !last && frame.kind != FrameType::Verdict {
        return Err(Fault::new(FaultCode::Malformed, "a stream ends before its body"));
    }
    let mut reader = Reader::new(frame.payload);
    match frame.kind {
        FrameType::Verdict => {
            let (event, verdict) = Verdict::read(frame.payload, done)?;
            ledger.verdict(event).map_err(fault)?;
            Ok(FromAgent::Verdict { stream, event, verdict })
        }
        FrameType::Release => {
            let (event, bytes) = (read_event(&mut reader)?, reader.u32()?);
            reader.end()?;
            ledger.release(event, bytes, last).map_err(fault)?;
            Ok(FromAgent::Release { stream, event, bytes, last, done })
        }
        FrameType::Replace => {
            let (event, consumed) = (read_event(&mut reader)?, reader.u32()?);
            let bytes = reader.rest();
            let replaced = Replaced { consumed, length: bytes.len() as u32, last, done };
            ledger.replace(event, replaced).map_err(fault)?;
            let mode = ledger.mode(event);
            Ok(FromAgent::Replace { stream, event, mode, consumed, bytes, last, done })
        }
        FrameType::Credit => {
            let (event, bytes) = (read_event(&mut reader)?, reader.u32()?);
            reader.end()?;
            ledger.credited(event, bytes).map_err(fault)?;
            Ok(FromAgent::Credit { stream, event })
        }
        _ => {
            let reason = reader.text16()?;
            reader.end()?;
            Ok(FromAgent::Abandoned { stream, reason })
        }
    }
}

pub(crate) fn read_fault(payload: &[u8]) -> Result<Fault, Fault> {
    let mut reader = Reader::new(payload);
    let code = FaultCode::from_number(reader.u16()?);
    let text = reader.text16()?.to_owned();
    reader.end()?;
    Ok(Fault { code, text: text.into(), by_peer: true })
}
