//! What a hostile or broken peer can do, which is to end its connection.

use proptest::{collection::vec, prelude::*};
use selvedge_agent::{
    AgentBounds, AgentSide, Ask, CancelCode, Event, FaultCode, FromAgent, Mode, Settings, StreamId,
    Subscriptions, Verdict,
    frame::{FrameType, SETTINGS_FRAME_MAX, flag},
};

use crate::conversation::{BOUNDS, Conversation, attributes, request, response};

pub fn frame(kind: FrameType, flags: u8, stream: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend([kind as u8, flags, 0, 0]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn wants() -> Subscriptions {
    Subscriptions::none()
        .request_headers()
        .inspect_request_body(2_000)
        .response_headers()
        .stream_response_body(2_000)
        .websocket_frames(100)
}

const ASK: Ask = Ask { body: true, verdict: true };

/// An edge that has asked about a request with a whole body, and about a response that streams.
fn asked() -> Conversation {
    let mut both = Conversation::ready(&wants());
    let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
    both.edge.body(stream, Event::RequestBody, b"body", true).expect("there is room");
    both.edge.response(stream, &response(), ASK).expect("the first");
    both.edge.body(stream, Event::ResponseBody, b"stream", false).expect("there is room");
    both.edge_says();
    both
}

/// The edge ends the connection over these bytes, and says why.
#[track_caller]
fn check_agent_fails(said: &[u8], expected: FaultCode) {
    let mut both = asked();
    let fault = both.edge.receive(&mut &said[..]).expect_err("a rule is broken");
    assert_eq!((fault.code, fault.by_peer), (expected, false), "{fault}");
    assert_eq!(both.edge.streams_open(), 0);
    let told = both.edge_says();
    assert_eq!(told[4], FrameType::Fault as u8);
    assert_eq!(both.edge.receive(&mut &b""[..]), Err(fault));
    let ask = Ask::default();
    both.edge.open(&attributes(), &request(), ask).expect_err("the connection is over");
    assert!(!both.edge.ping(1));
    assert_eq!(both.edge.output_len(), 0, "nothing follows a fault");
}

const ALLOW: [u8; 9] = [0, 0, 0, 0, 0, 0, 0, 0, 0];

fn allow(event: Event) -> Vec<u8> {
    // Decision, changes, findings, values, reason: nothing of any.
    [&[event.number()][..], &ALLOW[..8]].concat()
}

#[test]
fn agents_that_break_rules() {
    let verdict = |flags, stream, payload: &[u8]| frame(FrameType::Verdict, flags, stream, payload);
    check_agent_fails(&verdict(0, 0, &allow(Event::RequestHeaders)), FaultCode::Malformed);
    check_agent_fails(&verdict(0, 2, &allow(Event::RequestHeaders)), FaultCode::UnknownStream);
    check_agent_fails(&verdict(0, 1, &allow(Event::WebsocketFrame)), FaultCode::Unasked);
    check_agent_fails(&verdict(0, 1, &allow(Event::Log)), FaultCode::Unasked);
    check_agent_fails(&verdict(0, 1, &allow(Event::RequestHeaders)[1..]), FaultCode::Malformed);
    check_agent_fails(&verdict(0, 1, b""), FaultCode::Malformed);
    check_agent_fails(&verdict(flag::END, 1, &allow(Event::RequestHeaders)), FaultCode::Malformed);
    let long = [allow(Event::RequestHeaders), vec![0]].concat();
    check_agent_fails(&verdict(0, 1, &long), FaultCode::Malformed);
    check_agent_fails(&frame(FrameType::Ready, 0, 0, b""), FaultCode::OutOfOrder);
    check_agent_fails(&frame(FrameType::Ping, 0, 0, &[0; 8]), FaultCode::OutOfOrder);
    check_agent_fails(&frame(FrameType::Pong, 0, 0, &[0; 8]), FaultCode::Unasked);
    check_agent_fails(&frame(FrameType::RequestBody, 0, 1, b"x"), FaultCode::OutOfOrder);
    check_agent_fails(&frame(FrameType::Metrics, 0, 0, &[0; 6]), FaultCode::Unasked);
    check_agent_fails(&frame(FrameType::Measure, 0, 0, b""), FaultCode::OutOfOrder);
    let configured = [&2_u64.to_be_bytes()[..], &[0, 0, 0]].concat();
    check_agent_fails(&frame(FrameType::Configured, 0, 0, &configured), FaultCode::Unasked);
    check_agent_fails(&[0xff; 16], FaultCode::UnknownType);
    let huge = [&u32::MAX.to_be_bytes()[..], &[0x20, 0, 0, 0], &1_u64.to_be_bytes()].concat();
    check_agent_fails(&huge, FaultCode::TooLarge);
}

#[test]
fn agents_that_answer_twice() {
    let once = frame(FrameType::Verdict, 0, 1, &allow(Event::RequestHeaders));
    let mut both = asked();
    both.edge.receive(&mut &once[..]).expect("the first answer");
    let fault = both.edge.receive(&mut &once[..]).expect_err("the second answer");
    assert_eq!(fault.code, FaultCode::Unasked);
}

#[test]
fn agents_that_refuse_and_go_on() {
    // A block with status 403, no field, no body.
    let block = [&[1, 1, 1, 147, 0, 0, 0, 0, 0, 0][..], &ALLOW[..7]].concat();
    check_agent_fails(&frame(FrameType::Verdict, 0, 1, &block), FaultCode::Malformed);
    let mut both = asked();
    let done = frame(FrameType::Verdict, flag::FINAL, 1, &block);
    assert!(both.edge.receive(&mut &done[..]).expect("it is allowed").is_some());
    assert_eq!(both.edge.receive(&mut &done[..]), Ok(None), "the stream is over");
}

#[test]
fn agents_that_smuggle_fields() {
    for (name, value) in [("x", "a\r\nb: c"), ("x", "a\0"), ("x y", "a"), ("", "a"), (":path", "/")]
    {
        let name = [&(name.len() as u16).to_be_bytes()[..], name.as_bytes()].concat();
        let value = [&(value.len() as u16).to_be_bytes()[..], value.as_bytes()].concat();
        // One change of the request: set.
        let change = [&[1, 0, 0, 1, 0, 0][..], &name, &value, &ALLOW[..5]].concat();
        check_agent_fails(&frame(FrameType::Verdict, 0, 1, &change), FaultCode::Malformed);
    }
}

fn bytes_of(event: Event, number: u32, rest: &[u8]) -> Vec<u8> {
    [&[event.number()][..], &number.to_be_bytes(), rest].concat()
}

#[test]
fn agents_that_take_more_than_there_is() {
    let release = |event, number| frame(FrameType::Release, 0, 1, &bytes_of(event, number, b""));
    check_agent_fails(&release(Event::ResponseBody, 7), FaultCode::Credit);
    check_agent_fails(&release(Event::RequestBody, 1), FaultCode::OutOfOrder);
    check_agent_fails(&release(Event::WebsocketFrame, 0), FaultCode::Unasked);
    let early = bytes_of(Event::ResponseBody, 6, b"");
    check_agent_fails(&frame(FrameType::Release, flag::END, 1, &early), FaultCode::OutOfOrder);
    check_agent_fails(&frame(FrameType::Release, flag::FINAL, 1, &early), FaultCode::Malformed);
    let flood = bytes_of(Event::ResponseBody, 0, &[0; 1025]);
    check_agent_fails(&frame(FrameType::Replace, 0, 1, &flood), FaultCode::Credit);
    let half = bytes_of(Event::RequestBody, 4, b"");
    check_agent_fails(&frame(FrameType::Replace, flag::END, 1, &half), FaultCode::Malformed);
    let done = bytes_of(Event::RequestBody, 0, b"");
    let both = flag::END | flag::FINAL;
    check_agent_fails(&frame(FrameType::Replace, both, 1, &done), FaultCode::OutOfOrder);
    let credit = bytes_of(Event::ResponseBody, u32::MAX, b"");
    check_agent_fails(&frame(FrameType::Credit, 0, 1, &credit), FaultCode::Credit);
    let credit = bytes_of(Event::RequestHeaders, 1, b"");
    check_agent_fails(&frame(FrameType::Credit, 0, 1, &credit), FaultCode::Malformed);
}

#[test]
fn agents_that_give_half_a_body_and_decide() {
    let mut both = asked();
    let half = frame(FrameType::Replace, 0, 1, &bytes_of(Event::RequestBody, 0, b"half"));
    both.edge.receive(&mut &half[..]).expect("more may follow");
    let verdict = frame(FrameType::Verdict, 0, 1, &allow(Event::RequestBody));
    let fault = both.edge.receive(&mut &verdict[..]).expect_err("the body has no end");
    assert_eq!(fault.code, FaultCode::OutOfOrder);
}

/// Whatever the agent wants by now, a stream's answers are of the kind that it wanted when the stream opened.
#[test]
fn a_stream_keeps_the_mode_that_it_opened_with() {
    let mut both = asked();
    both.edge.configure(2, Settings::new("{}")).expect("nothing is offered");
    let accepted = [&2_u64.to_be_bytes()[..], &[1, 1, 2, 2, 0, 0, 0, 9, 0, 0]].concat();
    let accepted = frame(FrameType::Configured, 0, 0, &accepted);
    both.edge.receive(&mut &accepted[..]).expect("it wants a streamed body alone");
    assert!(both.edge.adopt());
    assert_eq!(both.edge.subscriptions().get(Event::RequestBody).unwrap().mode, Mode::Stream);
    for (event, expected) in
        [(Event::RequestBody, Mode::Inspect), (Event::ResponseBody, Mode::Stream)]
    {
        let replaced = frame(FrameType::Replace, 0, 1, &bytes_of(event, 0, b"x"));
        match both.edge.receive(&mut &replaced[..]) {
            Ok(Some(FromAgent::Replace { mode, .. })) => assert_eq!(mode, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_agent_that_never_reads_is_found_out() {
    let mut both = Conversation::ready(&wants());
    let ask = Ask { body: false, verdict: true };
    let mut opened: u64 = 0;
    let error = loop {
        match both.edge.open(&attributes(), &request(), ask) {
            Ok(stream) => both.edge.cancel(stream, CancelCode::Timeout),
            Err(error) => break error,
        }
        opened += 1;
        assert!(opened < 1_000_000, "memory has a bound");
    };
    assert_eq!(error, selvedge_agent::SendError::Backlog);
    assert!(both.edge.output_len() < (4 << 20) + 1_000);
}

#[test]
fn an_edge_that_never_reads_is_held_up() {
    let mut both = Conversation::ready(&wants());
    both.edge.ping(7);
    let ping = both.edge_says();
    let flood = ping.repeat(100_000);
    let mut rest = &flood[..];
    assert!(both.agent.receive(&mut rest).expect("pings are allowed").is_none());
    assert!(both.agent.is_held_up() && !rest.is_empty());
    assert!(both.agent.output_len() <= AgentBounds::default().output_max + 24);
    both.agent_says();
    let before = rest.len();
    assert!(both.agent.receive(&mut rest).expect("pings are allowed").is_none());
    assert!(rest.len() < before);
}

/// The agent ends the connection over these bytes.
#[track_caller]
fn check_edge_fails(said: &[u8], expected: FaultCode) {
    let mut both = Conversation::ready(&wants());
    both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
    both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
    let mut rest = said;
    let fault = loop {
        match both.agent.receive(&mut rest) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing is wrong with {said:02x?}"),
            Err(fault) => break fault,
        }
    };
    assert_eq!((fault.code, fault.by_peer), (expected, false), "{fault}");
    assert_eq!(both.agent_says()[4], FrameType::Fault as u8);
}

#[test]
fn edges_that_break_rules() {
    let head = request().payload(&attributes()).expect("a short head");
    let open = |stream| frame(FrameType::RequestHeaders, 0, stream, &head);
    check_edge_fails(&open(1), FaultCode::OutOfOrder);
    check_edge_fails(&open(3), FaultCode::OutOfOrder);
    check_edge_fails(&[open(2), open(3), open(4), open(5)].concat(), FaultCode::Streams);
    check_edge_fails(&frame(FrameType::RequestHeaders, 0, 2, &head[1..]), FaultCode::Malformed);
    check_edge_fails(&frame(FrameType::RequestBody, 0, 9, b"x"), FaultCode::UnknownStream);
    check_edge_fails(&frame(FrameType::RequestBody, 0, 1, &[0; 1_025]), FaultCode::Credit);
    check_edge_fails(&frame(FrameType::RequestBody, flag::TRUNCATED, 1, b""), FaultCode::Malformed);
    let end = frame(FrameType::RequestBody, flag::END, 1, b"");
    check_edge_fails(&[end.clone(), end].concat(), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::ResponseBody, 0, 1, b"x"), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::WebsocketFrame, 0, 1, b""), FaultCode::Malformed);
    check_edge_fails(&frame(FrameType::WebsocketFrame, 0, 1, &[0; 102]), FaultCode::Credit);
    let frames = frame(FrameType::WebsocketFrame, 0, 1, &[1]).repeat(17);
    check_edge_fails(&frames, FaultCode::Credit);
    check_edge_fails(&frame(FrameType::Log, 0, 2, &[0; 29]), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::Adopt, 0, 0, &[0; 8]), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::Cancel, 0, 1, &[9]), FaultCode::Malformed);
    let measure = frame(FrameType::Measure, 0, 0, b"");
    check_edge_fails(&measure.repeat(2), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::Measure, 0, 0, b"x"), FaultCode::Malformed);
    check_edge_fails(&frame(FrameType::Metrics, 0, 0, &[0; 6]), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::Hello, 0, 0, b""), FaultCode::OutOfOrder);
    check_edge_fails(&frame(FrameType::Verdict, 0, 1, b""), FaultCode::OutOfOrder);
    let configure = frame(FrameType::Configure, 0, 0, &[0; 12]);
    check_edge_fails(&[configure.clone(), configure].concat(), FaultCode::OutOfOrder);
}

#[test]
fn strangers_are_told_what_they_lack() {
    #[track_caller]
    fn check(hello: &[u8], expected: FaultCode) {
        let mut agent = AgentSide::new(AgentBounds::default(), "deny", "1");
        let fault = agent.receive(&mut &hello[..]).expect_err("no edge begins like that");
        assert_eq!(fault.code, expected, "{fault}");
    }
    check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", FaultCode::UnknownType);
    check(&frame(FrameType::Ping, 0, 0, &[0; 8]), FaultCode::OutOfOrder);
    check(&frame(FrameType::Hello, 0, 0, b"SLVB"), FaultCode::Malformed);
    check(&frame(FrameType::Hello, 0, 0, b"SLVA\x00\x03\x00\x07new fields"), FaultCode::Version);
    let long = [&(SETTINGS_FRAME_MAX + 1).to_be_bytes()[..], &[1], &[0; 11]].concat();
    check(&long, FaultCode::TooLarge);
}

#[test]
fn an_agent_that_refuses_says_why() {
    let mut both = Conversation::new();
    both.tell_agent(usize::MAX, |_, _| {}).expect("a greeting");
    both.agent.refuse("the issuer is missing");
    let fault = both.tell_edge(usize::MAX, |_, _| {}).expect_err("it refuses");
    assert!(fault.by_peer);
    assert_eq!((fault.code, &*fault.text), (FaultCode::Settings, "the issuer is missing"));
    assert_eq!(both.edge.output_len(), 0, "a fault has no answer");
}

#[test]
fn unfit_verdicts_abandon_their_stream() {
    let unfit = [
        Verdict::allow().set_request_header("x", "a\nb"),
        Verdict::allow().body("why"),
        Verdict::block(99),
        Verdict::redirect(302, ""),
        Verdict::challenge("Bea rer"),
        Verdict::challenge("Bearer").param("realm", "a\nb"),
        Verdict::block(403).param("realm", "api"),
        Verdict::allow().value("", "x"),
        Verdict::allow().reason("x".repeat(70_000)),
        Verdict::block(403).body(vec![0; 20 << 10]),
    ];
    for verdict in unfit {
        let mut both = Conversation::ready(&wants());
        let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
        both.tell_agent(usize::MAX, |_, _| {}).expect("the protocol is kept");
        let said = both.agent.verdict(stream, Event::RequestHeaders, &verdict);
        said.expect_err("it cannot be sent");
        assert!(!both.agent.is_open(stream));
        let mut heard = Vec::new();
        let told = both.tell_edge(usize::MAX, |_, said| heard.push(format!("{said:?}")));
        told.expect("the protocol is kept");
        assert!(heard[0].starts_with("Abandoned"), "{heard:?}");
        assert_eq!(both.edge.streams_open(), 0);
    }
}

#[test]
fn what_crosses_an_end_is_read_past() {
    let mut both = asked();
    let stream = both.edge.streams().next().expect("one is open");
    both.edge.cancel(stream, CancelCode::Decided);
    let late = [
        frame(FrameType::Verdict, 0, 1, &allow(Event::RequestHeaders)),
        frame(FrameType::Release, 0, 1, &bytes_of(Event::ResponseBody, 99, b"")),
        frame(FrameType::Abandon, 0, 1, &[0, 0]),
    ];
    assert_eq!(both.edge.receive(&mut &late.concat()[..]), Ok(None));
}

/// How many frames like this one the edge reads before it ends the connection over them.
#[track_caller]
fn read_past(both: &mut Conversation, late: &[u8]) -> u32 {
    for read in 0.. {
        match both.edge.receive(&mut &late[..]) {
            Ok(said) => assert_eq!(said, None),
            Err(fault) => {
                assert_eq!(fault.code, FaultCode::Unasked, "{fault}");
                return read;
            }
        }
    }
    unreachable!("a fault ends it");
}

#[test]
fn what_crosses_no_end_has_a_bound() {
    // It said itself that the stream is over.
    let mut both = asked();
    let done = frame(FrameType::Abandon, 0, 1, &[0, 0]);
    assert!(both.edge.receive(&mut &done[..]).expect("it may give up").is_some());
    assert_eq!(read_past(&mut both, &done), 64);

    // Two heads and a piece of each body were sent.
    let mut both = asked();
    let stream = both.edge.streams().next().expect("one is open");
    both.edge.cancel(stream, CancelCode::Decided);
    let late = frame(FrameType::Verdict, 0, 1, &allow(Event::RequestHeaders));
    assert_eq!(read_past(&mut both, &late), 64 + 8 * 4);

    // A body in several frames gives as many answers.
    let mut both = Conversation::ready(&wants());
    let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
    for piece in [&b"a"[..], b"b", b"c"] {
        both.edge.body(stream, Event::RequestBody, piece, false).expect("there is room");
    }
    both.edge.cancel(stream, CancelCode::Timeout);
    assert_eq!(read_past(&mut both, &late), 64 + 8 * 4);
}

/// An agent that minds no cancel and answers everything, however late, is heard out.
#[test]
fn agents_that_are_only_late_are_no_fault() {
    let mut both = Conversation::ready(&wants());
    let mut late = Vec::new();
    for number in 1..=10_000 {
        let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
        both.edge.body(stream, Event::RequestBody, b"body", true).expect("there is room");
        both.edge.response(stream, &response(), ASK).expect("the first");
        both.edge.cancel(stream, CancelCode::Timeout);
        both.edge_says();
        for event in [Event::RequestHeaders, Event::RequestBody, Event::ResponseHeaders] {
            late.extend(frame(FrameType::Verdict, 0, number, &allow(event)));
        }
        late.extend(frame(FrameType::Credit, 0, number, &bytes_of(Event::RequestBody, 4, b"")));
    }
    assert_eq!(both.edge.receive(&mut &late[..]), Ok(None));
}

#[test]
fn what_may_come_late_is_not_saved_up_for_ever() {
    let mut both = Conversation::ready(&wants());
    for _ in 0..140_000 {
        let stream = both.edge.open(&attributes(), &request(), ASK).expect("the agent is ready");
        both.edge.cancel(stream, CancelCode::Timeout);
        both.edge_says();
    }
    let late = frame(FrameType::Abandon, 0, 1, &[0, 0]);
    assert_eq!(read_past(&mut both, &late), 1 << 20);
}

proptest! {
    /// Neither side panics, keeps a stream after a fault, or holds more than it may.
    #[test]
    fn garbage_is_refused_or_read_past(
        kinds in vec((0..FrameType::ALL.len(), any::<u8>(), 0..4_u64, vec(any::<u8>(), 0..40)), 0..30),
    ) {
        let mut said = Vec::new();
        for (kind, flags, stream, payload) in kinds {
            let kind = FrameType::ALL[kind];
            let stream = if kind.is_of_connection() { 0 } else { stream };
            said.extend(frame(kind, flags & kind.flags(), stream, &payload));
        }
        let mut both = asked();
        let mut rest = &said[..];
        while let Ok(Some(_)) = both.edge.receive(&mut rest) {}
        prop_assert!(both.edge.fault().is_none() || both.edge.streams_open() == 0);
        let mut rest = &said[..];
        while let Ok(Some(_)) = both.agent.receive(&mut rest) {}
        prop_assert!(both.agent.streams_open() <= BOUNDS.streams_max as usize);
        prop_assert!(both.agent.fault().is_none() || both.agent.streams_open() == 0);
    }
}

#[test]
fn streams_are_numbered_in_order() {
    let mut both = Conversation::ready(&wants());
    let mut open = || {
        let stream = both.edge.open(&attributes(), &request(), Ask::default());
        stream.map(StreamId::number)
    };
    assert_eq!([open(), open(), open(), open()], [Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(open(), Err(selvedge_agent::SendError::Full));
}
