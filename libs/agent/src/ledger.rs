//! The books of one stream. Both sides keep the same ones, by the same code: what the edge enters
//! when it sends, the agent enters when it receives, and the other way round.

use crate::{
    event::Event,
    fault::{Fault, FaultCode},
    subscriptions::{Mode, Subscriptions},
};

/// Frames of a WebSocket tunnel that may wait for their verdicts at once.
pub const WEBSOCKET_UNANSWERED_MAX: u8 = 16;

/// What the streams of one generation of settings are about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    wanted: Events,
    request: BodyScope,
    response: BodyScope,
    websocket_payload_max: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct BodyScope {
    mode: Mode,
    max: u32,
}

impl Scope {
    pub(crate) fn new(subscriptions: &Subscriptions, body_max: u32) -> Self {
        let mut scope = Self::default();
        for one in subscriptions.iter() {
            scope.wanted.insert(one.event);
            let body = BodyScope { mode: one.mode, max: one.body_max.min(body_max) };
            match one.event {
                Event::RequestBody => scope.request = body,
                Event::ResponseBody => scope.response = body,
                Event::WebsocketFrame => scope.websocket_payload_max = body.max,
                Event::RequestHeaders | Event::ResponseHeaders | Event::Log => {}
            }
        }
        scope
    }

    pub(crate) fn wants(&self, event: Event) -> bool {
        self.wanted.contains(event)
    }
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Events(u8);

impl Events {
    fn bit(event: Event) -> u8 {
        1 << event.number()
    }

    fn contains(self, event: Event) -> bool {
        self.0 & Self::bit(event) != 0
    }

    fn insert(&mut self, event: Event) {
        self.0 |= Self::bit(event);
    }

    fn remove(&mut self, event: Event) {
        self.0 &= !Self::bit(event);
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A rule that was broken; whoever broke it hears of it.
pub(crate) type Broken = (FaultCode, &'static str);

/// What a broken rule is for the side that received the frame.
pub(crate) fn fault((code, text): Broken) -> Fault {
    Fault::new(code, text)
}

const OVER_CREDIT: Broken = (FaultCode::Credit, "more bytes than there was room for");
const UNASKED: Broken = (FaultCode::Unasked, "an answer to an event that nobody waits for");

/// The room that the other side gave us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credit(u32);

impl Credit {
    fn take(&mut self, length: u32) -> Result<(), Broken> {
        self.0 = self.0.checked_sub(length).ok_or(OVER_CREDIT)?;
        Ok(())
    }

    fn add(&mut self, length: u32) -> Result<u32, Broken> {
        let sum = self.0.checked_add(length);
        self.0 = sum.ok_or((FaultCode::Credit, "more room than a number holds"))?;
        Ok(self.0)
    }
}

/// The room that we gave the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    left: u32,
    /// Given by the driver, not yet told to the other side.
    pending: u32,
}

impl Room {
    fn take(&mut self, length: u32) -> Result<(), Broken> {
        self.left = self.left.checked_sub(length).ok_or(OVER_CREDIT)?;
        Ok(())
    }

    /// Gives room for more, and returns how much to tell: small gifts are saved up to half a window,
    /// unless the other side has none left.
    fn grant(&mut self, length: u32, window: u32) -> Option<u32> {
        self.pending = self.pending.saturating_add(length).min(u32::MAX - self.left);
        let worth_it = self.pending >= window / 2 || self.left == 0;
        (worth_it && self.pending > 0).then(|| {
            self.left += self.pending;
            std::mem::take(&mut self.pending)
        })
    }
}

/// Room in both directions: from the edge to the agent, and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lanes {
    /// What we may send.
    pub(crate) credit: Credit,
    /// What the other side may send.
    pub(crate) room: Room,
}

/// Which side keeps the books; the edge sends messages and the agent what takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Edge,
    Agent,
}

impl Lanes {
    fn new(ours: u32, theirs: u32) -> Self {
        Self { credit: Credit(theirs), room: Room { left: ours, pending: 0 } }
    }

    /// Bytes that travel from the edge to the agent.
    fn forward(&mut self, side: Side, length: u32) -> Result<(), Broken> {
        match side {
            Side::Edge => self.credit.take(length),
            Side::Agent => self.room.take(length),
        }
    }

    fn can_go_back(&self, side: Side, length: u32) -> Result<(), Broken> {
        let left = match side {
            Side::Edge => self.room.left,
            Side::Agent => self.credit.0,
        };
        if length <= left { Ok(()) } else { Err(OVER_CREDIT) }
    }

    /// Bytes that travel from the agent to the edge.
    fn back(&mut self, side: Side, length: u32) -> Result<(), Broken> {
        match side {
            Side::Edge => self.room.take(length),
            Side::Agent => self.credit.take(length),
        }
    }
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Whole,
    Cut,
}

/// How a piece of a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// More of the body follows.
    #[default]
    More,
    /// The body ends here.
    Whole,
    /// What the agent sees of the body ends here; the rest goes on unseen.
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BodyLedger {
    mode: Mode,
    phase: Phase,
    /// Whether a whole replacement of an inspected body has come.
    replaced: bool,
    /// Whether a replacement of an inspected body has begun.
    replacing: bool,
    /// What the agent may still see of the body.
    left: u32,
    /// What the agent saw of a streamed body and has neither released nor replaced.
    unreleased: u32,
    lanes: Lanes,
}

impl BodyLedger {
    fn chunk(&mut self, side: Side, length: u32, end: End) -> Result<(), Broken> {
        if self.phase != Phase::Open {
            return Err((FaultCode::OutOfOrder, "a body goes on after its end"));
        }
        let left = self.left.checked_sub(length);
        let left = left.ok_or((FaultCode::Credit, "more of a body than the agent wants"))?;
        self.lanes.forward(side, length)?;
        self.left = left;
        // Bounded by `left`, which began as a `u32`.
        self.unreleased += length;
        self.phase = match end {
            End::More => Phase::Open,
            End::Whole => Phase::Whole,
            End::Truncated => Phase::Cut,
        };
        Ok(())
    }

    fn pass(&mut self, consumed: u32, last: bool) -> Result<(), Broken> {
        if self.mode != Mode::Stream {
            return Err((FaultCode::OutOfOrder, "a body that is inspected is not released"));
        }
        let unreleased = self.unreleased.checked_sub(consumed);
        let unreleased = unreleased.ok_or((FaultCode::Credit, "bytes that were never sent"))?;
        if last && (self.phase == Phase::Open || unreleased > 0) {
            return Err((FaultCode::OutOfOrder, "a body ends before its end"));
        }
        self.unreleased = unreleased;
        Ok(())
    }

    fn replace_whole(&mut self, consumed: u32, last: bool) -> Result<(), Broken> {
        if self.phase != Phase::Whole || self.replaced {
            return Err((
                FaultCode::OutOfOrder,
                "a body is replaced once, and only if it is whole",
            ));
        }
        if consumed != 0 {
            return Err((FaultCode::Malformed, "a whole replacement consumes nothing"));
        }
        self.replacing = true;
        self.replaced = last;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameLedger {
    payload_max: u32,
    unanswered: u8,
    replacing: bool,
    replaced: bool,
    lanes: Lanes,
}

/// The books of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    side: Side,
    wanted: Events,
    /// Verdicts that are due.
    asked: Events,
    /// Events that have come, or cannot come any more.
    past: Events,
    /// Events that were answered before their end; what still comes of them is dropped.
    answered: Events,
    /// Heads, pieces of bodies and frames of a tunnel that went to the agent.
    frames_asked: u32,
    has_response: bool,
    request: BodyLedger,
    response: BodyLedger,
    websocket: FrameLedger,
}

/// The window that each side gives for each body at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) ours: u32,
    pub(crate) theirs: u32,
}

/// How a head is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Whether the agent sees any of the body that belongs to the head.
    pub body: bool,
    /// Whether the agent is to answer; otherwise the head is context for later events.
    pub verdict: bool,
}

impl Ledger {
    /// Enters a `REQUEST_HEADERS` frame.
    pub(crate) fn open(
        side: Side,
        scope: &Scope,
        windows: Windows,
        ask: Ask,
    ) -> Result<Self, Broken> {
        let lanes = Lanes::new(windows.ours, windows.theirs);
        let body = |scope: BodyScope| BodyLedger {
            mode: scope.mode,
            phase: Phase::Open,
            replaced: false,
            replacing: false,
            left: scope.max,
            unreleased: 0,
            lanes,
        };
        let mut ledger = Self {
            side,
            wanted: scope.wanted,
            asked: Events::default(),
            past: Events::default(),
            answered: Events::default(),
            frames_asked: 0,
            has_response: false,
            request: body(scope.request),
            response: body(scope.response),
            websocket: FrameLedger {
                payload_max: scope.websocket_payload_max,
                unanswered: 0,
                replacing: false,
                replaced: false,
                lanes,
            },
        };
        ledger.wanted.remove(Event::Log);
        ledger.head(Event::RequestHeaders, ask)?;
        Ok(ledger)
    }

    /// Enters a `RESPONSE_HEADERS` frame.
    pub(crate) fn response(&mut self, ask: Ask) -> Result<(), Broken> {
        if self.has_response {
            return Err((FaultCode::OutOfOrder, "a second response"));
        }
        self.head(Event::ResponseHeaders, ask)?;
        self.has_response = true;
        Ok(())
    }

    fn head(&mut self, event: Event, ask: Ask) -> Result<(), Broken> {
        if ask.verdict {
            self.is_wanted(event)?;
            self.asked.insert(event);
        }
        self.past.insert(event);
        if !ask.body {
            self.past.insert(body_of(event));
        }
        self.count_asked();
        Ok(())
    }

    fn count_asked(&mut self) {
        self.frames_asked = self.frames_asked.saturating_add(1);
    }

    /// Frames that the agent was sent and may have something to say to.
    pub(crate) fn frames_asked(&self) -> u32 {
        self.frames_asked
    }

    fn is_wanted(&self, event: Event) -> Result<(), Broken> {
        let wanted = self.wanted.contains(event);
        if wanted { Ok(()) } else { Err((FaultCode::OutOfOrder, "an event that is not wanted")) }
    }

    /// Enters a piece of a body; `true` if the agent is to see it.
    pub(crate) fn chunk(&mut self, event: Event, length: u32, end: End) -> Result<bool, Broken> {
        self.is_wanted(event)?;
        if event == Event::ResponseBody && !self.has_response {
            return Err((FaultCode::OutOfOrder, "a body before its head"));
        }
        let begun = self.asked.contains(event) || self.answered.contains(event);
        if !begun && self.past.contains(event) {
            return Err((FaultCode::OutOfOrder, "a body where there is none"));
        }
        let side = self.side;
        self.body(event)?.chunk(side, length, end)?;
        self.count_asked();
        self.past.insert(event);
        let is_answered = self.answered.contains(event);
        if !is_answered {
            self.asked.insert(event);
        }
        Ok(!is_answered)
    }

    /// Enters a frame of a tunnel with a payload of this length, which the opcode adds one byte to.
    pub(crate) fn websocket_frame(&mut self, length: u32) -> Result<(), Broken> {
        self.is_wanted(Event::WebsocketFrame)?;
        if length > self.websocket.payload_max {
            return Err((FaultCode::Credit, "more of a frame than the agent wants"));
        }
        if self.websocket.unanswered == WEBSOCKET_UNANSWERED_MAX {
            return Err((FaultCode::Credit, "too many frames wait for their verdicts"));
        }
        self.websocket.lanes.forward(self.side, length.checked_add(1).ok_or(OVER_CREDIT)?)?;
        self.websocket.unanswered += 1;
        self.count_asked();
        Ok(())
    }

    /// Whether there is room for a frame with a payload of this length.
    pub(crate) fn can_take_frame(&self, length: u32) -> bool {
        let frames = &self.websocket;
        frames.unanswered < WEBSOCKET_UNANSWERED_MAX && length < frames.lanes.credit.0
    }

    /// How much of a frame's payload the agent wants.
    pub(crate) fn websocket_payload_max(&self) -> u32 {
        self.websocket.payload_max
    }

    /// Enters a `VERDICT` frame; those that end the stream need no more books.
    pub(crate) fn verdict(&mut self, event: Event) -> Result<(), Broken> {
        if event == Event::WebsocketFrame {
            return self.websocket_verdict();
        }
        if !self.asked.contains(event) {
            return Err(UNASKED);
        }
        if let Ok(body) = self.body(event) {
            if body.mode == Mode::Inspect && body.replacing && !body.replaced {
                return Err(HALF_REPLACED);
            }
            self.answered.insert(event);
        }
        self.asked.remove(event);
        Ok(())
    }

    fn websocket_verdict(&mut self) -> Result<(), Broken> {
        let frames = &mut self.websocket;
        let unanswered = frames.unanswered.checked_sub(1).ok_or(UNASKED)?;
        if frames.replacing && !frames.replaced {
            return Err(HALF_REPLACED);
        }
        *frames = FrameLedger { unanswered, replacing: false, replaced: false, ..*frames };
        Ok(())
    }

    /// Enters a `RELEASE` frame.
    pub(crate) fn release(&mut self, event: Event, length: u32, last: bool) -> Result<(), Broken> {
        self.is_due(event)?;
        self.body(event)?.pass(length, last)?;
        self.ends(event, last);
        Ok(())
    }

    /// Enters a `REPLACE` frame.
    pub(crate) fn replace(&mut self, event: Event, replaced: Replaced) -> Result<(), Broken> {
        self.is_due(event)?;
        let Replaced { consumed, length, last, done } = replaced;
        let side = self.side;
        self.lanes(event)?.can_go_back(side, length)?;
        if self.streams(event) {
            self.body(event)?.pass(consumed, last)?;
            self.ends(event, last);
        } else if done {
            return Err((
                FaultCode::OutOfOrder,
                "a replacement that takes the place of its verdict",
            ));
        } else if event == Event::WebsocketFrame {
            self.replace_frame(consumed, last)?;
        } else {
            self.body(event)?.replace_whole(consumed, last)?;
        }
        self.lanes(event)?.back(side, length)
    }

    fn replace_frame(&mut self, consumed: u32, last: bool) -> Result<(), Broken> {
        let frames = &mut self.websocket;
        if frames.replaced || consumed != 0 {
            return Err((FaultCode::OutOfOrder, "a frame is replaced once, and as a whole"));
        }
        (frames.replacing, frames.replaced) = (true, last);
        Ok(())
    }

    fn is_due(&self, event: Event) -> Result<(), Broken> {
        let due = match event {
            Event::WebsocketFrame => self.websocket.unanswered > 0,
            event => self.asked.contains(event),
        };
        if due { Ok(()) } else { Err(UNASKED) }
    }

    fn ends(&mut self, event: Event, last: bool) {
        if last {
            self.asked.remove(event);
            self.answered.insert(event);
        }
    }

    /// What the driver gave room for; returns how much to tell the other side.
    pub(crate) fn grant(
        &mut self,
        event: Event,
        length: u32,
        window: u32,
    ) -> Result<Option<u32>, Broken> {
        // A frame goes whole or not at all: what is saved up could be what the next one needs.
        let window = if event == Event::WebsocketFrame { 0 } else { window };
        Ok(self.lanes(event)?.room.grant(length, window))
    }

    /// Enters a `CREDIT` frame from the other side; returns all there is now.
    pub(crate) fn credited(&mut self, event: Event, length: u32) -> Result<u32, Broken> {
        self.lanes(event)?.credit.add(length)
    }

    /// Bytes that we may send for this event now.
    pub(crate) fn credit(&self, event: Event) -> u32 {
        match event {
            Event::RequestBody => self.request.lanes.credit.0,
            Event::ResponseBody => self.response.lanes.credit.0,
            Event::WebsocketFrame => self.websocket.lanes.credit.0,
            Event::RequestHeaders | Event::ResponseHeaders | Event::Log => 0,
        }
    }

    /// Bytes that the other side may send for this event now.
    pub(crate) fn room(&self, event: Event) -> u32 {
        match event {
            Event::RequestBody => self.request.lanes.room.left,
            Event::ResponseBody => self.response.lanes.room.left,
            Event::WebsocketFrame => self.websocket.lanes.room.left,
            Event::RequestHeaders | Event::ResponseHeaders | Event::Log => 0,
        }
    }

    /// Bytes of this body that the agent may still see.
    pub(crate) fn left(&self, event: Event) -> u32 {
        match event {
            Event::RequestBody => self.request.left,
            Event::ResponseBody => self.response.left,
            _ => 0,
        }
    }

    /// How the agent wants this.
    pub(crate) fn mode(&self, event: Event) -> Mode {
        match event {
            Event::RequestBody => self.request.mode,
            Event::ResponseBody => self.response.mode,
            _ => Mode::Whole,
        }
    }

    /// Whether this is a body that streams.
    pub(crate) fn streams(&self, event: Event) -> bool {
        self.mode(event) == Mode::Stream
    }

    /// Whether the agent has said all it has to say to this event.
    pub(crate) fn is_answered(&self, event: Event) -> bool {
        self.answered.contains(event)
    }

    /// Whether nothing that this stream's agent wants can come any more, once `event` is answered.
    pub(crate) fn is_last(&self, event: Event) -> bool {
        let open = self.wanted.minus(self.past);
        let mut asked = self.asked;
        asked.remove(event);
        open == Events::default() && asked == Events::default()
    }

    fn body(&mut self, event: Event) -> Result<&mut BodyLedger, Broken> {
        match event {
            Event::RequestBody => Ok(&mut self.request),
            Event::ResponseBody => Ok(&mut self.response),
            _ => Err(NO_BODY),
        }
    }

    fn lanes(&mut self, event: Event) -> Result<&mut Lanes, Broken> {
        match event {
            Event::RequestBody => Ok(&mut self.request.lanes),
            Event::ResponseBody => Ok(&mut self.response.lanes),
            Event::WebsocketFrame => Ok(&mut self.websocket.lanes),
            Event::RequestHeaders | Event::ResponseHeaders | Event::Log => Err(NO_BODY),
        }
    }
}

/// What a `REPLACE` frame takes away and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) consumed: u32,
    pub(crate) length: u32,
    /// The body or its replacement ends.
    pub(crate) last: bool,
    /// The stream ends with it.
    pub(crate) done: bool,
}

const NO_BODY: Broken = (FaultCode::Malformed, "an event that has no body");
const HALF_REPLACED: Broken = (FaultCode::OutOfOrder, "a verdict in the middle of a replacement");

fn body_of(head: Event) -> Event {
    if head == Event::RequestHeaders { Event::RequestBody } else { Event::ResponseBody }
}
