//! What has come of an exchange and waits for its handler.

use std::{collections::VecDeque, mem, task::Waker};

use crate::{Ask, End, Event, Mode, WebsocketFrame, head::OwnedResponseHead};

/// What waits for the handler of one exchange. The credits of the stream bound it: the inspected part
/// of each body, a window of a streamed one, and sixteen frames of a tunnel.
#[derive(Default)]
pub(super) struct Inbox {
    request: BodyInbox,
    response: Option<(OwnedResponseHead, Ask)>,
    response_body: BodyInbox,
    frames: VecDeque<OwnedFrame>,
    waker: Option<Waker>,
}

/// Something for a handler, in the order in which an exchange goes.
pub(super) enum Arrival {
    /// As much of a body as was asked for.
    Body { event: Event, bytes: Vec<u8>, truncated: bool },
    /// All that has come of a streamed body.
    Chunk { event: Event, bytes: Vec<u8>, end: End },
    /// The head of the response.
    Response { head: OwnedResponseHead, ask: Ask },
    /// A frame of a tunnel.
    Frame(OwnedFrame),
}

/// A frame of a tunnel that outlives the bytes that brought it.
pub(super) struct OwnedFrame {
    frame: WebsocketFrame<'static>,
    payload: Box<[u8]>,
}

impl OwnedFrame {
    pub(super) fn view(&self) -> WebsocketFrame<'_> {
        WebsocketFrame { payload: &self.payload, ..self.frame }
    }
}

#[derive(Default)]
struct BodyInbox {
    mode: Mode,
    bytes: Vec<u8>,
    end: End,
    has_news: bool,
}

impl BodyInbox {
    fn put(&mut self, mode: Mode, bytes: &[u8], end: End) {
        self.mode = mode;
        self.bytes.extend_from_slice(bytes);
        self.end = end;
        self.has_news = true;
    }

    fn take(&mut self, event: Event) -> Option<Arrival> {
        let is_whole = self.end != End::More;
        if !self.has_news || (self.mode != Mode::Stream && !is_whole) {
            return None;
        }
        self.has_news = false;
        let bytes = mem::take(&mut self.bytes);
        Some(if self.mode == Mode::Stream {
            Arrival::Chunk { event, bytes, end: self.end }
        } else {
            Arrival::Body { event, bytes, truncated: self.end == End::Truncated }
        })
    }
}

impl Inbox {
    pub(super) fn put_body(&mut self, event: Event, mode: Mode, (bytes, end): (&[u8], End)) {
        let is_request = event == Event::RequestBody;
        let body = if is_request { &mut self.request } else { &mut self.response_body };
        body.put(mode, bytes, end);
        self.wake();
    }

    pub(super) fn put_response(&mut self, head: OwnedResponseHead, ask: Ask) {
        self.response = Some((head, ask));
        self.wake();
    }

    pub(super) fn put_frame(&mut self, frame: WebsocketFrame<'_>) {
        let payload = frame.payload.into();
        self.frames
            .push_back(OwnedFrame { frame: WebsocketFrame { payload: &[], ..frame }, payload });
        self.wake();
    }

    /// What the handler is to be called for next.
    pub(super) fn take(&mut self) -> Option<Arrival> {
        let request = self.request.take(Event::RequestBody);
        let response =
            || Some(self.response.take()?).map(|(head, ask)| Arrival::Response { head, ask });
        request
            .or_else(response)
            .or_else(|| self.response_body.take(Event::ResponseBody))
            .or_else(|| self.frames.pop_front().map(Arrival::Frame))
    }

    /// Who is to be woken by whatever comes next.
    pub(super) fn wait(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(own) => own.clone_from(waker),
            own => *own = Some(waker.clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(arrival: Option<Arrival>) -> String {
        match arrival {
            None => "nothing".to_owned(),
            Some(Arrival::Body { event, bytes, truncated }) => {
                format!("{} of {} bytes, truncated: {truncated}", event.name(), bytes.len())
            }
            Some(Arrival::Chunk { event, bytes, end }) => {
                format!("chunk of {}: {} bytes, {end:?}", event.name(), bytes.len())
            }
            Some(Arrival::Response { head, .. }) => format!("response {}", head.view().status()),
            Some(Arrival::Frame(frame)) => format!("frame {:?}", frame.view().payload),
        }
    }

    #[track_caller]
    fn check(inbox: &mut Inbox, expected: &str) {
        assert_eq!(describe(inbox.take()), expected);
    }

    #[test]
    fn an_inspected_body_waits_for_its_end() {
        let mut inbox = Inbox::default();
        inbox.put_body(Event::RequestBody, Mode::Inspect, (b"one", End::More));
        check(&mut inbox, "nothing");
        inbox.put_body(Event::RequestBody, Mode::Inspect, (b"two", End::Truncated));
        check(&mut inbox, "request_body of 6 bytes, truncated: true");
        check(&mut inbox, "nothing");
    }

    #[test]
    fn pieces_of_a_streamed_body_that_wait_become_one() {
        let mut inbox = Inbox::default();
        inbox.put_body(Event::ResponseBody, Mode::Stream, (b"one", End::More));
        inbox.put_body(Event::ResponseBody, Mode::Stream, (b"two", End::More));
        check(&mut inbox, "chunk of response_body: 6 bytes, More");
        inbox.put_body(Event::ResponseBody, Mode::Stream, (b"", End::Whole));
        check(&mut inbox, "chunk of response_body: 0 bytes, Whole");
        check(&mut inbox, "nothing");
    }

    #[test]
    fn an_exchange_goes_from_the_request_to_the_response() {
        let mut inbox = Inbox::default();
        let mut head = crate::ResponseHeadBuf::default();
        head.start(204);
        let payload = head.payload().expect("a short head");
        let head = crate::ResponseHead::parse(&payload, false).expect("just written");
        let frame = WebsocketFrame { payload: b"hi", ..WebsocketFrame::default() };
        inbox.put_frame(frame);
        inbox.put_body(Event::ResponseBody, Mode::Inspect, (b"", End::Whole));
        inbox.put_response(OwnedResponseHead::new(&head), Ask::default());
        inbox.put_body(Event::RequestBody, Mode::Inspect, (b"x", End::Whole));
        check(&mut inbox, "request_body of 1 bytes, truncated: false");
        check(&mut inbox, "response 204");
        check(&mut inbox, "response_body of 0 bytes, truncated: false");
        check(&mut inbox, "frame [104, 105]");
        check(&mut inbox, "nothing");
    }
}
