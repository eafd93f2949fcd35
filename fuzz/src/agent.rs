use selvedge_agent::{
    AgentBounds, AgentSide, Ask, AttributesBuf, Bounds, CancelCode, EdgeBounds, EdgeSide, Event,
    FAMILIES_MAX, Family, Fault, FromAgent, FromEdge, Greeting, Metrics, Report, RequestHeadBuf,
    RequestLine, ResponseHeadBuf, SERIES_MAX, Settings, Subscriptions, Verdict, frame,
};

const WINDOW: u32 = 1 << 10;
const FRAME_MAX: u32 = 16 << 10;
const STREAMS_MAX: u32 = 4;
/// Frames of streams that are over: so many are read past, and so many for each that a cancelled stream
/// was asked.
const LATE_FRAMES: usize = 64;
const LATE_FRAMES_PER_FRAME: usize = 8;
/// Frames of each stream that [`asking`] opens: two heads, two bodies, one of a tunnel.
const ASKED_FRAMES: usize = 5;

/// What an agent says is answers to what was asked, or a fault, however its bytes arrive; and a verdict
/// that was understood is written and understood in the same way.
pub fn agent_answers(bytes: &[u8]) {
    let mut verdicts = Vec::new();
    let whole = hear_agent(bytes, usize::MAX, &mut verdicts);
    for step in [1, 7] {
        assert_eq!(hear_agent(bytes, step, &mut Vec::new()), whole, "in steps of {step}");
    }
    verdicts.iter().for_each(survives_rewriting);
}

/// What an edge says is questions within the agent's bounds, or a fault, however its bytes arrive.
pub fn agent_questions(bytes: &[u8]) {
    let whole = hear_edge(bytes, usize::MAX);
    for step in [1, 7] {
        assert_eq!(hear_edge(bytes, step), whole, "in steps of {step}");
    }
}

/// Everything that is wanted, in one of the two modes of bodies.
fn wants(streams: bool) -> Subscriptions {
    let wants = Subscriptions::none().request_headers().response_headers().log();
    let wants = wants.websocket_frames(100);
    if streams {
        wants.stream_request_body(4 * WINDOW).stream_response_body(WINDOW / 2)
    } else {
        wants.inspect_request_body(4 * WINDOW).inspect_response_body(WINDOW / 2)
    }
}

fn edge() -> EdgeSide {
    let bounds = EdgeBounds { frame_max: FRAME_MAX, window: WINDOW, ..EdgeBounds::default() };
    let settings = Settings::new("{}");
    let greeting = Greeting { edge: "edge", agent: "agent", generation: 1, settings };
    EdgeSide::new(bounds, greeting).expect("short settings")
}

fn agent() -> AgentSide {
    let bounds = Bounds { frame_max: FRAME_MAX, window: WINDOW, streams_max: STREAMS_MAX };
    AgentSide::new(AgentBounds { bounds, ..AgentBounds::default() }, "agent", "1")
}

/// An edge and an agent that have greeted each other.
fn ready(streams: bool) -> (EdgeSide, AgentSide) {
    let (mut edge, mut agent) = (edge(), agent());
    let hello = agent.receive(&mut edge.output()).expect("an edge of ours keeps the protocol");
    assert!(matches!(hello, Some(FromEdge::Hello(_))));
    edge.advance_output(edge.output_len());
    agent.ready(&wants(streams)).expect("the edge asked");
    let said = edge.receive(&mut agent.output()).expect("an agent of ours keeps the protocol");
    assert_eq!(said, Some(FromAgent::Ready));
    agent.advance_output(agent.output_len());
    (edge, agent)
}

const ASK: Ask = Ask { body: true, verdict: true };

fn head() -> RequestHeadBuf {
    let mut head = RequestHeadBuf::default();
    let line = RequestLine {
        method: "POST",
        scheme: "https",
        authority: "a",
        target: "/b",
        ..RequestLine::default()
    };
    head.start(line).push("content-type", b"text/plain");
    head
}

/// An edge with every kind of question open: on two streams that inspect or stream, one offer of
/// settings, one for measurements.
fn asking(streams: bool) -> EdgeSide {
    let (mut edge, _) = ready(streams);
    let mut response = ResponseHeadBuf::default();
    response.start(200);
    for last in [false, true] {
        let stream = edge.open(&AttributesBuf::default(), &head(), ASK).expect("there is room");
        edge.body(stream, Event::RequestBody, b"request", last).expect("there is room");
        edge.response(stream, &response, ASK).expect("it is the first");
        edge.body(stream, Event::ResponseBody, b"response", last).expect("there is room");
        let frame = selvedge_agent::WebsocketFrame { payload: b"frame", ..Default::default() };
        edge.websocket_frame(stream, frame).expect("there is room");
    }
    edge.configure(2, Settings::new("{}")).expect("nothing is offered");
    edge.ping(7);
    edge.measure();
    edge.advance_output(edge.output_len());
    edge
}

/// What an edge hears of an agent that says this, `step` bytes at a time. The first byte chooses the mode,
/// and whether the second stream was cancelled.
fn hear_agent(
    bytes: &[u8],
    step: usize,
    verdicts: &mut Vec<Verdict>,
) -> (Vec<String>, Option<Fault>) {
    let Some((mode, bytes)) = bytes.split_first() else { return (Vec::new(), None) };
    let mut edge = asking(mode % 2 == 0);
    let mut late_max = LATE_FRAMES;
    if mode & 2 != 0 {
        let last = edge.streams().max().expect("two are open");
        edge.cancel(last, CancelCode::Timeout);
        late_max += LATE_FRAMES_PER_FRAME * ASKED_FRAMES;
    }
    let mut heard = Vec::new();
    let mut read = 0;
    let fault = in_steps(bytes, step, |input| {
        let before = *input;
        let said = edge.receive(input)?;
        read += frames(&before[..before.len() - input.len()]);
        if let Some(FromAgent::Verdict { verdict, .. }) = &said {
            verdicts.push(verdict.clone());
        }
        if let Some(FromAgent::Replace { stream, event, bytes, .. }) = &said {
            edge.grant(*stream, *event, bytes.len() as u32);
        }
        if let Some(FromAgent::Metrics(report)) = &said {
            can_be_shown(report);
        }
        let is_some = said.is_some();
        heard.extend(said.map(|said| format!("{said:?}")));
        Ok(is_some)
    });
    assert!(edge.streams_open() <= 2);
    assert!(fault.is_none() || edge.streams_open() == 0);
    // What is read and says nothing belongs to streams that are over.
    assert!(read - heard.len() <= late_max, "{read} frames, {} heard", heard.len());
    (heard, fault)
}

/// Something of each kind.
fn measured() -> Report {
    let metrics = Metrics::default();
    metrics.counters("a_total", "A.", ["x"]).with(["1"]).add(1);
    metrics.gauge("b", "B.").set(0.5);
    metrics.histogram("c", "C.", &[1.0]).record(2.0);
    metrics.report()
}

/// A page that has this is one that Prometheus reads; and the report is heard as it is when an agent of ours
/// tells it.
fn can_be_shown(report: &Report) {
    assert!(report.series_len() <= SERIES_MAX && report.families.len() <= FAMILIES_MAX);
    for Family { name, labels, bounds, series, kind: _, help: _ } in &report.families {
        let fits = |name: &str| {
            !name.starts_with(|first: char| first.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        assert!(fits(name) && labels.iter().all(|label| fits(label) && label != "agent"), "{name}");
        assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        assert!(series.is_sorted_by(|one, next| one.values < next.values), "{series:?}");
        assert!(series.iter().all(|one| one.values.len() == labels.len()), "{series:?}");
    }
    let (mut edge, mut agent) = ready(false);
    assert!(edge.measure());
    let asked = agent.receive(&mut edge.output()).expect("the protocol is kept");
    assert!(matches!(asked, Some(FromEdge::Measure)));
    agent.metrics(report).expect("it was asked");
    let heard = edge.receive(&mut agent.output()).expect("the protocol is kept");
    let Some(FromAgent::Metrics(heard)) = heard else { panic!("{heard:?}") };
    assert_eq!(heard.families, report.families);
}

/// Frames in `bytes`, which hold nothing but whole ones.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, _)) = bytes.split_first_chunk() {
        bytes = &bytes[frame::HEADER_LENGTH + u32::from_be_bytes(*length) as usize..];
        count += 1;
    }
    count
}

/// What an agent hears of an edge that says this, `step` bytes at a time, and what it answers. The first
/// byte chooses the mode.
fn hear_edge(bytes: &[u8], step: usize) -> (Vec<String>, Option<Fault>, Vec<u8>) {
    let Some((mode, bytes)) = bytes.split_first() else { return (Vec::new(), None, Vec::new()) };
    let mut agent = agent();
    let wants = wants(mode % 2 == 0);
    let mut heard = Vec::new();
    let fault = in_steps(bytes, step, |input| {
        let said = agent.receive(input)?;
        match &said {
            Some(FromEdge::Hello(_)) => agent.ready(&wants).expect("it was asked"),
            Some(FromEdge::Measure) => agent.metrics(&measured()).expect("it was asked"),
            Some(FromEdge::Configure { .. }) => agent.configured(Ok(&wants)).expect("it was asked"),
            Some(FromEdge::Body { stream, event, bytes, .. }) => {
                agent.grant(*stream, *event, bytes.len() as u32);
            }
            // Some are answered at once, so that what crosses an end is met.
            Some(FromEdge::Request { stream, head, ask }) if ask.verdict && !head.has_body() => {
                let verdict = Verdict::allow().done();
                agent.verdict(*stream, Event::RequestHeaders, &verdict).expect("it was asked");
            }
            _ => {}
        }
        let is_some = said.is_some();
        heard.extend(said.map(|said| format!("{said:?}")));
        Ok(is_some)
    });
    assert!(agent.streams_open() <= STREAMS_MAX as usize);
    assert!(fault.is_none() || agent.streams_open() == 0);
    (heard, fault, agent.output().to_vec())
}

/// Feeds `bytes` in steps to something that takes them from the front.
fn in_steps(
    bytes: &[u8],
    step: usize,
    mut take: impl FnMut(&mut &[u8]) -> Result<bool, Fault>,
) -> Option<Fault> {
    let (mut used, mut seen) = (0, 0_usize);
    loop {
        let mut input = &bytes[used..seen];
        let before = input.len();
        let taken = take(&mut input);
        used += before - input.len();
        match taken {
            Err(fault) => return Some(fault),
            Ok(true) => {}
            Ok(false) if seen == bytes.len() => return None,
            Ok(false) => seen = seen.saturating_add(step).min(bytes.len()),
        }
    }
}

/// A verdict that was read is the same when an agent of ours gives it.
fn survives_rewriting(verdict: &Verdict) {
    let (mut edge, mut agent) = ready(false);
    let stream = edge.open(&AttributesBuf::default(), &head(), ASK).expect("there is room");
    let asked = agent.receive(&mut edge.output()).expect("the protocol is kept");
    assert!(matches!(asked, Some(FromEdge::Request { .. })));
    agent.verdict(stream, Event::RequestHeaders, verdict).expect("what was read can be written");
    let again = edge.receive(&mut agent.output()).expect("the protocol is kept");
    let event = Event::RequestHeaders;
    assert_eq!(again, Some(FromAgent::Verdict { stream, event, verdict: verdict.clone() }));
    edge.cancel(stream, CancelCode::NotNeeded);
}
