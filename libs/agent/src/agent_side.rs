use crate::{
    body::WebsocketFrame,
    edge_side::read_fault,
    event::Event,
    fault::{Fault, FaultCode},
    frame::{Frame, FrameType, Label, METRICS_FRAME_MAX, Output, SETTINGS_FRAME_MAX, flag},
    head::{RequestHead, ResponseHead},
    ledger::{Ask, End, Ledger, Replaced, Scope, Side, Windows, fault},
    outcome::Outcome,
    report::Report,
    send::SendError,
    setup::{
        Bounds, Configured, FRAME_MAX_MIN, Hello, Ready, Settings, VERSION_OF_METRICS, WINDOW_MIN,
        read_event,
    },
    stream::{CancelCode, StreamId, StreamMap},
    subscriptions::{Mode, Subscriptions},
    verdict::Verdict,
    wire::Reader,
};

/// An agent's side of one connection, without its socket, its clock and its decisions.
///
/// The driver hands bytes that came to [`receive`](Self::receive) and writes what [`output`](Self::output)
/// holds. While [`AgentBounds::output_max`] bytes wait for an edge that does not read, nothing more is
/// taken from it; so the memory of a connection has a bound whatever the edge does.
#[derive(Debug)]
pub struct AgentSide {
    bounds: AgentBounds,
    identity: (String, String),
    output: Output,
    state: State,
    edge: Edge,
    /// What the streams that open now are about.
    scope: Scope,
    /// Settings that were accepted and that the edge has not adopted yet.
    accepted: Option<(u64, Scope)>,
    /// Settings that were offered and not answered yet.
    offered: Option<u64>,
    /// The edge waits for a report of what was measured.
    measuring: bool,
    streams: StreamMap<Ledger>,
    newest: u64,
    draining: bool,
    fault: Option<Fault>,
}

/// What an agent allows on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentBounds {
    /// What it tells the edge.
    pub bounds: Bounds,
    /// Bytes that may wait for an edge that does not read, before nothing more is taken from it.
    pub output_max: usize,
}

impl Default for AgentBounds {
    fn default() -> Self {
        Self { bounds: Bounds::default(), output_max: 1 << 20 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Greeted,
    Ready,
}

/// What the edge said of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    /// Of the protocol.
    version: u16,
    frame_max: u32,
    window: u32,
}

/// Something that the edge said, of which the driver should know.
#[derive(Debug)]
pub enum FromEdge<'a> {
    /// The edge begins; the answer is [`AgentSide::ready`] or [`AgentSide::refuse`].
    Hello(Hello<'a>),
    /// New settings; the answer is [`AgentSide::configured`].
    Configure {
        /// Of which config.
        generation: u64,
        /// The settings.
        settings: Settings<'a>,
    },
    /// Streams from here on belong to the settings of this generation.
    Adopted {
        /// Of which config.
        generation: u64,
    },
    /// A stream opens with the head of a request.
    Request {
        /// Which stream.
        stream: StreamId,
        /// The head.
        head: RequestHead<'a>,
        /// What is asked.
        ask: Ask,
    },
    /// A piece of a body. Once it is used up, [`AgentSide::grant`] makes room for as many bytes.
    Body {
        /// On which stream.
        stream: StreamId,
        /// Of which body.
        event: Event,
        /// How the agent wants it.
        mode: Mode,
        /// The piece.
        bytes: &'a [u8],
        /// How it ends.
        end: End,
    },
    /// The head of the response.
    Response {
        /// On which stream.
        stream: StreamId,
        /// The head.
        head: ResponseHead<'a>,
        /// What is asked.
        ask: Ask,
    },
    /// A frame of a tunnel. Once it is used up, [`AgentSide::grant`] makes room for its payload and one byte more.
    WebsocketFrame {
        /// On which stream.
        stream: StreamId,
        /// The frame.
        frame: WebsocketFrame<'a>,
    },
    /// How an exchange ended; there is nothing to answer.
    Outcome(Outcome<'a>),
    /// There is room for more bytes in place of a body.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// Of which body.
        event: Event,
    },
    /// The edge lost interest: the stream is over.
    Cancelled {
        /// Which stream.
        stream: StreamId,
        /// Why.
        code: CancelCode,
    },
    /// The edge asks what was measured; the answer is [`AgentSide::metrics`].
    Measure,
    /// The edge opens no more streams; it closes the connection once those that are open are over.
    Draining,
}

impl AgentSide {
    /// Waits for an edge. Bounds below the protocol's least are raised to it.
    pub fn new(bounds: AgentBounds, name: &str, version: &str) -> Self {
        let Bounds { frame_max, window, streams_max } = bounds.bounds;
        let least = Bounds {
            frame_max: frame_max.max(FRAME_MAX_MIN),
            window: window.max(WINDOW_MIN),
            streams_max: streams_max.max(1),
        };
        Self {
            bounds: AgentBounds { bounds: least, ..bounds },
            identity: (name.to_owned(), version.to_owned()),
            output: Output::default(),
            state: State::Silent,
            edge: Edge::default(),
            scope: Scope::default(),
            accepted: None,
            offered: None,
            measuring: false,
            streams: StreamMap::default(),
            newest: 0,
            draining: false,
            fault: None,
        }
    }

    /// Takes whole frames from the front of `input` until one of them says something.
    ///
    /// `None` asks for more bytes, or, while [`is_held_up`](Self::is_held_up), for output to be written first;
    /// what is left of `input` belongs in front of the next bytes. A driver never needs to keep more
    /// than a header and the longest payload that it allows, and a mebibyte while it waits for settings.
    pub fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<FromEdge<'a>>, Fault> {
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
        self.streams.clear();
    }

    fn take<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<FromEdge<'a>>, Fault> {
        let frame_max = self.bounds.bounds.frame_max;
        let max = |kind| match kind {
            FrameType::Hello | FrameType::Configure => SETTINGS_FRAME_MAX,
            _ => frame_max,
        };
        while !self.is_held_up() {
            let Some(frame) = Frame::take(input, max)? else { break };
            if let Some(said) = self.enter(frame)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Whether the edge reads so little that nothing is taken from it.
    pub fn is_held_up(&self) -> bool {
        self.output.len() >= self.bounds.output_max
    }

    fn enter<'a>(&mut self, frame: Frame<'a>) -> Result<Option<FromEdge<'a>>, Fault> {
        let payload = frame.payload;
        match (self.state, frame.kind) {
            (_, FrameType::Fault) => Err(read_fault(payload)?),
            (State::Silent, FrameType::Hello) => self.hello(payload).map(Some),
            (State::Ready, FrameType::Configure) => self.configure(payload).map(Some),
            (State::Ready, FrameType::Adopt) => self.adopt(payload).map(Some),
            (State::Ready, FrameType::Ping) => self.ping(payload).map(|()| None),
            (State::Ready, FrameType::Measure) => self.measure(payload).map(Some),
            (State::Ready, FrameType::Drain) => {
                Reader::new(payload).end()?;
                Ok(Some(FromEdge::Draining))
            }
            (State::Ready, FrameType::RequestHeaders) => self.request(frame).map(Some),
            (State::Ready, FrameType::Log) => self.log(frame).map(Some),
            (State::Ready, kind) if is_of_stream(kind) => self.on_stream(frame),
            (_, kind) => {
                let text = format!("{} is not allowed here", kind.name());
                Err(Fault::new(FaultCode::OutOfOrder, text))
            }
        }
    }

    fn hello<'a>(&mut self, payload: &'a [u8]) -> Result<FromEdge<'a>, Fault> {
        let hello = Hello::read(payload)?;
        let Hello { version, frame_max, window, .. } = hello;
        self.edge = Edge { version, frame_max, window };
        self.state = State::Greeted;
        Ok(FromEdge::Hello(hello))
    }

    fn configure<'a>(&mut self, payload: &'a [u8]) -> Result<FromEdge<'a>, Fault> {
        let mut reader = Reader::new(payload);
        let (generation, settings) = (reader.u64()?, Settings::new(reader.text32()?));
        reader.end()?;
        if self.offered.is_some() || self.accepted.is_some() {
            return Err(Fault::new(FaultCode::OutOfOrder, "settings before the answer to others"));
        }
        self.offered = Some(generation);
        Ok(FromEdge::Configure { generation, settings })
    }

    fn adopt<'a>(&mut self, payload: &[u8]) -> Result<FromEdge<'a>, Fault> {
        let mut reader = Reader::new(payload);
        let generation = reader.u64()?;
        reader.end()?;
        match self.accepted.take() {
            Some((accepted, scope)) if accepted == generation => {
                self.scope = scope;
                Ok(FromEdge::Adopted { generation })
            }
            _ => Err(Fault::new(FaultCode::OutOfOrder, "settings that were not accepted")),
        }
    }

    fn ping(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(payload);
        let token = reader.u64()?;
        reader.end()?;
        self.output.small(Label::of_connection(FrameType::Pong), &token.to_be_bytes());
        Ok(())
    }

    fn measure<'a>(&mut self, payload: &[u8]) -> Result<FromEdge<'a>, Fault> {
        Reader::new(payload).end()?;
        if self.edge.version < VERSION_OF_METRICS {
            return Err(Fault::new(FaultCode::UnknownType, "MEASURE in version 1"));
        }
        if std::mem::replace(&mut self.measuring, true) {
            return Err(Fault::new(FaultCode::OutOfOrder, "MEASURE before the answer to another"));
        }
        Ok(FromEdge::Measure)
    }

    fn request<'a>(&mut self, frame: Frame<'a>) -> Result<FromEdge<'a>, Fault> {
        let stream = self.number(&frame)?;
        if self.streams.len() >= self.bounds.bounds.streams_max as usize {
            let text = format!("more than {} open streams", self.bounds.bounds.streams_max);
            return Err(Fault::new(FaultCode::Streams, text));
        }
        let ask = ask(&frame);
        let head = RequestHead::parse(frame.payload, ask.body)?;
        let windows = Windows { ours: self.bounds.bounds.window, theirs: self.edge.window };
        let ledger = Ledger::open(Side::Agent, &self.scope, windows, ask).map_err(fault)?;
        self.streams.insert(stream, ledger);
        Ok(FromEdge::Request { stream, head, ask })
    }

    fn log<'a>(&mut self, frame: Frame<'a>) -> Result<FromEdge<'a>, Fault> {
        self.number(&frame)?;
        if !self.scope.wants(Event::Log) {
            return Err(Fault::new(FaultCode::OutOfOrder, "an event that is not wanted"));
        }
        Ok(FromEdge::Outcome(Outcome::parse(frame.payload)?))
    }

    /// The number of a new stream, which follows that of the one before.
    fn number(&mut self, frame: &Frame<'_>) -> Result<StreamId, Fault> {
        if Some(frame.stream) != self.newest.checked_add(1) {
            let text = format!("stream {} opens after stream {}", frame.stream, self.newest);
            return Err(Fault::new(FaultCode::OutOfOrder, text));
        }
        self.newest = frame.stream;
        Ok(StreamId(frame.stream))
    }

    /// Enters a frame of an open stream. Those of streams that are over are read past: they crossed what ended it.
    fn on_stream<'a>(&mut self, frame: Frame<'a>) -> Result<Option<FromEdge<'a>>, Fault> {
        if frame.stream > self.newest {
            let text = format!("{} on stream {}", frame.kind.name(), frame.stream);
            return Err(Fault::new(FaultCode::UnknownStream, text));
        }
        let stream = StreamId(frame.stream);
        let Some(ledger) = self.streams.get_mut(&stream) else {
            return Ok(None);
        };
        let said = said(ledger, stream, &frame)?;
        if frame.kind == FrameType::Cancel {
            self.streams.remove(&stream);
        }
        Ok(said)
    }

    /// Accepts the edge and says what the agent wants.
    pub fn ready(&mut self, subscriptions: &Subscriptions) -> Result<(), SendError> {
        if self.state != State::Greeted || self.fault.is_some() {
            return Err(SendError::Refused("the edge did not ask"));
        }
        let (name, version) = self.identity.clone();
        let subscriptions = subscriptions.clone();
        let (protocol, bounds) = (self.edge.version, self.bounds.bounds);
        let ready = Ready { protocol, bounds, name, version, subscriptions };
        let label = Label::of_connection(FrameType::Ready);
        self.output.frame(label, self.edge.frame_max, |out| ready.write(out))?;
        self.scope = Scope::new(&ready.subscriptions, u32::MAX);
        self.state = State::Ready;
        Ok(())
    }

    /// Refuses the edge: the agent cannot work with its settings. The connection is over.
    pub fn refuse(&mut self, text: &str) {
        if self.fault.is_none() {
            self.fail(&Fault::new(FaultCode::Settings, text.to_owned()));
        }
    }

    /// Answers new settings: what the agent wants with them, or why it keeps the old ones. The streams
    /// that open before [`FromEdge::Adopted`] still belong to the old ones.
    pub fn configured(&mut self, result: Result<&Subscriptions, &str>) -> Result<(), SendError> {
        let generation = self.offered.ok_or(SendError::Refused("the edge did not ask"))?;
        let scope = result.ok().map(|wants| Scope::new(wants, u32::MAX));
        let result = match result {
            Ok(subscriptions) => Ok(subscriptions.clone()),
            Err(text) => Err(&text[..text.floor_char_boundary(REASON_MAX)]),
        };
        let label = Label::of_connection(FrameType::Configured);
        let configured = Configured { generation, result };
        self.output.frame(label, self.edge.frame_max, |out| configured.write(out))?;
        self.offered = None;
        self.accepted = scope.map(|scope| (generation, scope));
        Ok(())
    }

    /// Answers the edge, which asked what was measured. Series that do not fit a frame are left out.
    pub fn metrics(&mut self, report: &Report) -> Result<(), SendError> {
        if !self.measuring || self.fault.is_some() {
            return Err(SendError::Refused("the edge did not ask"));
        }
        let label = Label::of_connection(FrameType::Metrics);
        self.output.frame(label, METRICS_FRAME_MAX, |out| {
            report.write(out, METRICS_FRAME_MAX as usize);
            Ok(())
        })?;
        self.measuring = false;
        Ok(())
    }

    /// Answers an event. The stream ends with a refusal, with a verdict that is [`done`](Verdict::done), and with
    /// the answer to the last event that can come. A verdict that cannot be sent abandons the stream.
    pub fn verdict(
        &mut self,
        stream: StreamId,
        event: Event,
        verdict: &Verdict,
    ) -> Result<(), SendError> {
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        ledger.verdict(event)?;
        let done = verdict.is_done() || !verdict.is_allow() || ledger.is_last(event);
        let label = Label::new(FrameType::Verdict, stream.0).flag(flag::FINAL, done);
        let written = match verdict.flaw() {
            Some(flaw) => Err(flaw),
            None => {
                let write = |out: &mut _| verdict.write(event, out);
                let written = self.output.frame(label, self.edge.frame_max, write);
                written.map_err(|_| "a verdict that does not fit a frame")
            }
        };
        if let Err(flaw) = written {
            self.abandon(stream, flaw);
            return Err(SendError::Refused(flaw));
        }
        if done {
            self.streams.remove(&stream);
        }
        Ok(())
    }

    /// Lets the oldest `bytes` of a streamed body go on; `last` answers the whole of it.
    pub fn release(
        &mut self,
        stream: StreamId,
        event: Event,
        bytes: u32,
        last: bool,
    ) -> Result<(), SendError> {
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        ledger.release(event, bytes, last)?;
        let done = last && ledger.is_last(event);
        let label =
            Label::new(FrameType::Release, stream.0).flag(flag::END, last).flag(flag::FINAL, done);
        self.output.pieces(label, [&[event.number()], &bytes.to_be_bytes()]);
        if done {
            self.streams.remove(&stream);
        }
        Ok(())
    }

    /// Drops the oldest `consumed` bytes of a streamed body and sends as much of `piece` in their place as
    /// there is room for; where a whole body or frame is replaced, `consumed` is 0. Returns how much was
    /// sent: the rest follows with `consumed` 0 when there is credit, and `last` counts once it is all sent.
    pub fn replace(
        &mut self,
        stream: StreamId,
        event: Event,
        replacement: Replacement<'_>,
    ) -> Result<usize, SendError> {
        let Replacement { consumed, piece, last } = replacement;
        let held_up = self.is_held_up();
        let ledger = self.streams.get_mut(&stream).ok_or(SendError::Closed)?;
        let room = if held_up { 0 } else { ledger.credit(event).min(self.edge.frame_max - 5) };
        let now = &piece[..piece.len().min(room as usize)];
        let last = last && now.len() == piece.len();
        if now.is_empty() && consumed == 0 && !last {
            return Ok(0);
        }
        let done = last && ledger.streams(event) && ledger.is_last(event);
        ledger.replace(event, Replaced { consumed, length: now.len() as u32, last, done })?;
        let label =
            Label::new(FrameType::Replace, stream.0).flag(flag::END, last).flag(flag::FINAL, done);
        let [c0, c1, c2, c3] = consumed.to_be_bytes();
        self.output.pieces(label, [&[event.number(), c0, c1, c2, c3], now]);
        if done {
            self.streams.remove(&stream);
        }
        Ok(now.len())
    }

    /// Bytes that [`replace`](Self::replace) may send in place of this body now.
    pub fn credit(&self, stream: StreamId, event: Event) -> u32 {
        self.streams.get(&stream).map_or(0, |ledger| ledger.credit(event))
    }

    /// Bytes that the edge may send of this body now.
    pub fn room(&self, stream: StreamId, event: Event) -> u32 {
        self.streams.get(&stream).map_or(0, |ledger| ledger.room(event))
    }

    /// Gives the edge room for more of a body. Small gifts are saved up.
    pub fn grant(&mut self, stream: StreamId, event: Event, bytes: u32) {
        let Some(ledger) = self.streams.get_mut(&stream) else { return };
        if let Ok(Some(room)) = ledger.grant(event, bytes, self.bounds.bounds.window) {
            self.output.credit(stream.0, event, room);
        }
    }

    /// Gives a stream up: the agent cannot decide, and the edge does what its operator chose for that.
    pub fn abandon(&mut self, stream: StreamId, reason: &str) {
        if self.streams.remove(&stream).is_some() {
            let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
            let length = (reason.len() as u16).to_be_bytes();
            self.output
                .pieces(Label::new(FrameType::Abandon, stream.0), [&length, reason.as_bytes()]);
        }
    }

    /// Asks the edge to open no more streams, and to close the connection once the open ones are over.
    pub fn drain(&mut self) {
        if self.state == State::Ready && !self.draining && self.fault.is_none() {
            self.draining = true;
            self.output.small(Label::of_connection(FrameType::Drain), &[]);
        }
    }
}

crate::side::driven!(AgentSide);

/// Bytes in place of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replacement<'a> {
    /// How many bytes of a streamed body are dropped.
    pub consumed: u32,
    /// What goes on in their place.
    pub piece: &'a [u8],
    /// Whether the body, or its replacement, ends with it.
    pub last: bool,
}

/// Texts for people are cut here.
const REASON_MAX: usize = 4 << 10;

fn is_of_stream(kind: FrameType) -> bool {
    use FrameType::*;
    matches!(kind, RequestBody | ResponseHeaders | ResponseBody | WebsocketFrame | Cancel | Credit)
}

fn ask(frame: &Frame<'_>) -> Ask {
    Ask { body: !frame.has(flag::END), verdict: !frame.has(flag::NO_REPLY) }
}

fn said<'a>(
    ledger: &mut Ledger,
    stream: StreamId,
    frame: &Frame<'a>,
) -> Result<Option<FromEdge<'a>>, Fault> {
    let mut reader = Reader::new(frame.payload);
    match frame.kind {
        FrameType::RequestBody => body(ledger, stream, (Event::RequestBody, frame)),
        FrameType::ResponseBody => body(ledger, stream, (Event::ResponseBody, frame)),
        FrameType::ResponseHeaders => {
            let ask = ask(frame);
            let head = ResponseHead::parse(frame.payload, ask.body)?;
            ledger.response(ask).map_err(fault)?;
            Ok(Some(FromEdge::Response { stream, head, ask }))
        }
        FrameType::WebsocketFrame => {
            let opcode = reader.u8()?;
            let payload = reader.rest();
            ledger.websocket_frame(payload.len() as u32).map_err(fault)?;
            let frame = WebsocketFrame {
                opcode,
                payload,
                from_upstream: frame.has(flag::FROM_UPSTREAM),
                continues: !frame.has(flag::END),
                truncated: frame.has(flag::TRUNCATED),
            };
            Ok(Some(FromEdge::WebsocketFrame { stream, frame }))
        }
        FrameType::Credit => {
            let (event, bytes) = (read_event(&mut reader)?, reader.u32()?);
            reader.end()?;
            ledger.credited(event, bytes).map_err(fault)?;
            Ok(Some(FromEdge::Credit { stream, event }))
        }
        _ => {
            let code = CancelCode::from_number(reader.u8()?);
            reader.end()?;
            let code =
                code.ok_or(Fault::new(FaultCode::Malformed, "a reason that does not exist"))?;
            Ok(Some(FromEdge::Cancelled { stream, code }))
        }
    }
}

fn body<'a>(
    ledger: &mut Ledger,
    stream: StreamId,
    (event, frame): (Event, &Frame<'a>),
) -> Result<Option<FromEdge<'a>>, Fault> {
    let end = match (frame.has(flag::END), frame.has(flag::TRUNCATED)) {
        (false, false) => End::More,
        (true, false) => End::Whole,
        (true, true) => End::Truncated,
        (false, true) => {
            return Err(Fault::new(FaultCode::Malformed, "a body is truncated before its end"));
        }
    };
    let bytes = frame.payload;
    let is_seen = ledger.chunk(event, bytes.len() as u32, end).map_err(fault)?;
    let mode = ledger.mode(event);
    Ok(is_seen.then_some(FromEdge::Body { stream, event, mode, bytes, end }))
}
