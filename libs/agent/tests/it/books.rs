//! Whatever both sides do, and however the bytes between them are cut: no rule is broken, nothing is
//! heard twice or after its end, and once all bytes have arrived both sides have the same books.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::Index};
use selvedge_agent::{
    Ask, CancelCode, Event, FromAgent, FromEdge, Replacement, Report, SendError, Settings,
    StreamId, Subscriptions, Verdict, WebsocketFrame,
};

use crate::conversation::{BOUNDS, Conversation, attributes, request, response, totals};

/// Something that happens. Most of it is not allowed most of the time, and must then change nothing.
#[derive(Clone, Debug)]
enum Act {
    Open(Ask),
    Response(Index, Ask),
    Body(Index, Event, usize, bool),
    Frame(Index, usize),
    EdgeGrant(Index, Event, u32),
    Cancel(Index),
    Configure(u8),
    Adopt,
    Ping,
    Measure,
    Measured,
    Log,
    Verdict(Index, Event, Said),
    Release(Index, Event, u32, bool),
    Replace(Index, Event, u32, usize, bool),
    AgentGrant(Index, Event, u32),
    Abandon(Index),
    Forth(usize),
    Back(usize),
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Allow,
    Done,
    Block,
    Unfit,
}

fn bodies() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::RequestBody),
        4 => Just(Event::ResponseBody),
        2 => Just(Event::WebsocketFrame),
        1 => Just(Event::Log),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let ask = || (any::<bool>(), any::<bool>()).prop_map(|(body, verdict)| Ask { body, verdict });
    let one = any::<Index>;
    let short = || 0..40_u32;
    let said = prop_oneof![
        6 => Just(Said::Allow), 1 => Just(Said::Done), 1 => Just(Said::Block), 1 => Just(Said::Unfit),
    ];
    prop_oneof![
        6 => ask().prop_map(Act::Open),
        4 => (one(), ask()).prop_map(|(at, ask)| Act::Response(at, ask)),
        8 => (one(), bodies(), 0..700_usize, any::<bool>())
            .prop_map(|(at, event, length, last)| Act::Body(at, event, length, last)),
        3 => (one(), 0..200_usize).prop_map(|(at, length)| Act::Frame(at, length)),
        3 => (one(), bodies(), 0..900_u32).prop_map(|(at, event, n)| Act::EdgeGrant(at, event, n)),
        1 => one().prop_map(Act::Cancel),
        1 => any::<u8>().prop_map(Act::Configure),
        2 => Just(Act::Adopt),
        1 => Just(Act::Ping),
        2 => Just(Act::Measure),
        2 => Just(Act::Measured),
        1 => Just(Act::Log),
        6 => (one(), (1..=6_u8), said).prop_map(|(at, event, said)| {
            Act::Verdict(at, Event::from_number(event).expect("there are six"), said)
        }),
        6 => (one(), bodies(), short(), any::<bool>())
            .prop_map(|(at, event, n, last)| Act::Release(at, event, n * 16, last)),
        6 => (one(), bodies(), short(), 0..700_usize, any::<bool>())
            .prop_map(|(at, event, n, length, last)| Act::Replace(at, event, n * 16, length, last)),
        3 => (one(), bodies(), 0..900_u32).prop_map(|(at, event, n)| Act::AgentGrant(at, event, n)),
        1 => one().prop_map(Act::Abandon),
        8 => (0..2_000_usize).prop_map(Act::Forth),
        8 => (0..2_000_usize).prop_map(Act::Back),
    ]
}

fn wants(kind: u8) -> Subscriptions {
    let wants = Subscriptions::none().request_headers().log();
    match kind % 4 {
        0 => wants.inspect_request_body(1_500).stream_response_body(3_000).response_headers(),
        1 => wants.stream_request_body(3_000).inspect_response_body(100).websocket_frames(150),
        2 => wants.stream_request_body(u32::MAX).stream_response_body(0),
        _ => wants,
    }
}

/// What one side heard, by stream.
#[derive(Default)]
struct Heard {
    /// Bytes of each body, in order.
    bytes: BTreeMap<(StreamId, Event), Vec<u8>>,
    /// Events that were answered for good.
    answered: BTreeSet<(StreamId, Event)>,
    over: BTreeSet<StreamId>,
}

impl Heard {
    fn alive(&self, stream: StreamId) {
        assert!(!self.over.contains(&stream), "stream {stream} is over");
    }

    fn answer(&mut self, stream: StreamId, event: Event, done: bool) {
        self.alive(stream);
        if event != Event::WebsocketFrame {
            assert!(self.answered.insert((stream, event)), "{stream} {} twice", event.name());
        }
        if done {
            self.over.insert(stream);
        }
    }

    fn add(&mut self, stream: StreamId, event: Event, bytes: &[u8]) {
        self.alive(stream);
        self.bytes.entry((stream, event)).or_default().extend_from_slice(bytes);
    }
}

struct World {
    both: Conversation,
    edge: Heard,
    agent: Heard,
    /// Bytes that each side sent.
    sent: Heard,
    replaced: Heard,
    /// The streams that were ever open.
    streams: Vec<StreamId>,
    known: Vec<StreamId>,
    generation: u64,
    offered: Option<u8>,
    next_byte: u8,
    measures: Measures,
}

/// Questions for measurements, and what came of them.
#[derive(Default)]
struct Measures {
    asked: u32,
    known: u32,
    answered: u32,
    heard: u32,
}

const BODIES: [Event; 3] = [Event::RequestBody, Event::ResponseBody, Event::WebsocketFrame];

impl World {
    fn new(kind: u8) -> Self {
        Self {
            both: Conversation::ready(&wants(kind)),
            edge: Heard::default(),
            agent: Heard::default(),
            sent: Heard::default(),
            replaced: Heard::default(),
            streams: Vec::new(),
            known: Vec::new(),
            generation: 1,
            offered: None,
            next_byte: 0,
            measures: Measures::default(),
        }
    }

    /// Bytes of which none is like its neighbours, so that lost and doubled ones are seen.
    fn fresh(&mut self, length: usize) -> Vec<u8> {
        let start = self.next_byte;
        self.next_byte = start.wrapping_add(length as u8);
        (0..length).map(|i| start.wrapping_add(i as u8)).collect()
    }

    fn stream(&self, at: &Index) -> Option<StreamId> {
        (!self.streams.is_empty()).then(|| *at.get(&self.streams))
    }

    fn known(&self, at: &Index) -> Option<StreamId> {
        (!self.known.is_empty()).then(|| *at.get(&self.known))
    }

    fn act(&mut self, act: &Act) {
        let Some(()) = self.edge_acts(act).or_else(|| self.agent_acts(act)) else { return };
        assert_eq!(self.both.edge.fault(), None);
        assert_eq!(self.both.agent.fault(), None);
        assert!(self.both.edge.streams_open() <= BOUNDS.streams_max as usize);
        assert!(self.both.agent.streams_open() <= BOUNDS.streams_max as usize);
    }

    fn edge_acts(&mut self, act: &Act) -> Option<()> {
        match act {
            Act::Open(ask) => {
                let opened = self.both.edge.open(&attributes(), &request(), *ask);
                self.streams.extend(opened);
            }
            Act::Response(at, ask) => {
                let _ = self.both.edge.response(self.stream(at)?, &response(), *ask);
            }
            Act::Body(at, event, length, last) => {
                let (stream, piece) = (self.stream(at)?, self.fresh(*length));
                if let Ok(taken) = self.both.edge.body(stream, *event, &piece, *last) {
                    self.sent.add(stream, *event, &piece[..taken.bytes]);
                    assert!(!taken.truncated || taken.ended);
                }
            }
            Act::Frame(at, length) => {
                let (stream, payload) = (self.stream(at)?, self.fresh(*length));
                let frame =
                    WebsocketFrame { opcode: 2, payload: &payload, ..WebsocketFrame::default() };
                if self.both.edge.websocket_frame(stream, frame).is_ok() {
                    self.sent.add(
                        stream,
                        Event::WebsocketFrame,
                        &payload[..payload.len().min(150)],
                    );
                }
            }
            Act::EdgeGrant(at, event, bytes) => {
                self.both.edge.grant(self.stream(at)?, *event, *bytes);
            }
            Act::Cancel(at) => {
                let stream = self.stream(at)?;
                self.both.edge.cancel(stream, CancelCode::ClientGone);
                self.edge.over.insert(stream);
            }
            Act::Configure(kind) => {
                if self.both.edge.configure(self.generation + 1, Settings::new("{}")).is_ok() {
                    self.generation += 1;
                    self.offered = Some(*kind);
                }
            }
            Act::Adopt => drop(self.both.edge.adopt()),
            Act::Ping => drop(self.both.edge.ping(self.generation)),
            Act::Measure => {
                // One question at a time.
                assert_eq!(self.both.edge.measure(), self.measures.asked == self.measures.heard);
                self.measures.asked = self.measures.heard + 1;
            }
            Act::Log => drop(self.both.edge.log(&attributes(), &totals())),
            Act::Forth(length) => self.forth(*length),
            Act::Back(length) => self.back(*length),
            _ => return None,
        }
        Some(())
    }

    fn agent_acts(&mut self, act: &Act) -> Option<()> {
        match act {
            Act::Verdict(at, event, said) => {
                let stream = self.known(at)?;
                let verdict = match said {
                    Said::Allow => Verdict::allow().value("a", "b"),
                    Said::Done => Verdict::allow().done(),
                    Said::Block => Verdict::block(403),
                    Said::Unfit => Verdict::allow().set_request_header("a", "b\r\nc: d"),
                };
                if self.both.agent.verdict(stream, *event, &verdict).is_ok() {
                    self.agent.answered.insert((stream, *event));
                }
                self.note_over(stream);
            }
            Act::Release(at, event, bytes, last) => {
                let stream = self.known(at)?;
                let _ = self.both.agent.release(stream, *event, *bytes, *last);
                self.note_over(stream);
            }
            Act::Replace(at, event, consumed, length, last) => {
                let (stream, piece) = (self.known(at)?, self.fresh(*length));
                let replacement = Replacement { consumed: *consumed, piece: &piece, last: *last };
                if let Ok(sent) = self.both.agent.replace(stream, *event, replacement) {
                    self.replaced.add(stream, *event, &piece[..sent]);
                }
                self.note_over(stream);
            }
            Act::AgentGrant(at, event, bytes) => {
                self.both.agent.grant(self.known(at)?, *event, *bytes);
            }
            Act::Measured => {
                let told = self.both.agent.metrics(&Report::default()).is_ok();
                assert_eq!(told, self.measures.known > self.measures.answered);
                self.measures.answered = self.measures.known;
            }
            Act::Abandon(at) => {
                let stream = self.known(at)?;
                self.both.agent.abandon(stream, "no idea");
                self.note_over(stream);
            }
            _ => return None,
        }
        Some(())
    }

    /// What the agent itself ended is over for it.
    fn note_over(&mut self, stream: StreamId) {
        if !self.both.agent.is_open(stream) {
            self.agent.over.insert(stream);
        }
    }

    fn forth(&mut self, length: usize) {
        let (heard, known, offered) = (&mut self.agent, &mut self.known, &mut self.offered);
        let measures = &mut self.measures;
        let told = self.both.tell_agent(length, |agent, said| match said {
            FromEdge::Request { stream, head, .. } => {
                assert_eq!((head.method(), head.path()), ("POST", "/orders"));
                known.push(stream);
            }
            FromEdge::Body { stream, event, bytes, .. } => {
                assert!(!heard.answered.contains(&(stream, event)), "{stream}: it has answered");
                heard.add(stream, event, bytes);
            }
            FromEdge::WebsocketFrame { stream, frame } => {
                heard.add(stream, Event::WebsocketFrame, frame.payload);
            }
            FromEdge::Response { stream, .. } | FromEdge::Credit { stream, .. } => {
                heard.alive(stream);
            }
            FromEdge::Cancelled { stream, .. } => {
                heard.alive(stream);
                heard.over.insert(stream);
            }
            FromEdge::Configure { .. } => {
                let kind = offered.take().expect("one offer at a time");
                let answer = wants(kind);
                let answer = if kind > 200 { Err("no") } else { Ok(&answer) };
                agent.configured(answer).expect("the edge asks");
            }
            FromEdge::Measure => measures.known += 1,
            FromEdge::Hello(_)
            | FromEdge::Adopted { .. }
            | FromEdge::Outcome(_)
            | FromEdge::Draining => {}
        });
        told.expect("the edge keeps the protocol");
    }

    fn back(&mut self, length: usize) {
        let (heard, measures) = (&mut self.edge, &mut self.measures);
        let told = self.both.tell_edge(length, |edge, said| match said {
            FromAgent::Verdict { stream, event, verdict } => {
                heard.answer(stream, event, verdict.is_done());
                assert_eq!(edge.is_open(stream), !verdict.is_done());
            }
            FromAgent::Release { stream, event, last, done, .. } => {
                heard.alive(stream);
                if last {
                    heard.answer(stream, event, done);
                }
            }
            FromAgent::Replace { stream, event, bytes, last, done, .. } => {
                heard.add(stream, event, bytes);
                if done {
                    assert!(last);
                    heard.over.insert(stream);
                }
            }
            FromAgent::Credit { stream, .. } => heard.alive(stream),
            FromAgent::Abandoned { stream, .. } => {
                heard.alive(stream);
                heard.over.insert(stream);
            }
            FromAgent::Metrics(report) => {
                assert_eq!(report, Report::default());
                measures.heard += 1;
            }
            FromAgent::Ready
            | FromAgent::Configured { .. }
            | FromAgent::Pong(_)
            | FromAgent::Draining => {}
        });
        told.expect("the agent keeps the protocol");
    }

    /// Lets all bytes arrive, and compares.
    fn settle(mut self) {
        while self.both.edge.output_len() + self.both.agent.output_len() > 0 {
            self.forth(usize::MAX);
            self.back(usize::MAX);
        }
        let Measures { asked, known, answered, heard } = self.measures;
        assert_eq!((asked, answered), (known, heard));
        let open: BTreeSet<StreamId> = self.both.edge.streams().collect();
        assert_eq!(open, self.both.agent.streams().collect());
        for stream in open {
            for event in BODIES {
                let (edge, agent) = (&self.both.edge, &self.both.agent);
                let at = format!("{stream} {}", event.name());
                assert_eq!(edge.credit(stream, event), agent.room(stream, event), "{at}");
                assert_eq!(agent.credit(stream, event), edge.room(stream, event), "{at}");
            }
        }
        same_bytes(&self.sent, &self.agent);
        same_bytes(&self.replaced, &self.edge);
    }
}

/// What was heard is the beginning of what was said; who stopped listening heard less.
fn same_bytes(said: &Heard, heard: &Heard) {
    for (key, bytes) in &heard.bytes {
        let said = said.bytes.get(key).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(said.get(..bytes.len()), Some(&bytes[..]), "{key:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_keep_the_same_books(kind in any::<u8>(), acts in vec(acts(), 1..200)) {
        let mut world = World::new(kind);
        for act in &acts {
            world.act(act);
        }
        world.settle();
    }
}

#[test]
fn a_refusal_changes_nothing() {
    let mut both = Conversation::ready(&wants(0));
    let ask = Ask { body: true, verdict: true };
    let stream = both.edge.open(&attributes(), &request(), ask).expect("the agent is ready");
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    let too_much = both.agent.release(stream, Event::RequestBody, 1, false);
    assert!(matches!(too_much, Err(SendError::Refused(_))), "{too_much:?}");
    let unasked = both.agent.verdict(stream, Event::RequestBody, &Verdict::allow());
    assert!(matches!(unasked, Err(SendError::Refused(_))), "{unasked:?}");
    assert_eq!(both.agent.output_len(), 0);
    assert!(both.agent.is_open(stream));
}
