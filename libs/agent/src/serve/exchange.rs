//! One exchange: the handlers of an agent, one after the other.

use std::{cell::RefCell, future::poll_fn, rc::Rc, sync::Arc};

use bytes::Bytes;

use super::{
    inbox::{Arrival, Inbox, OwnedFrame},
    link::Link,
};
use crate::{
    Agent, Ask, Body, Chunk, End, Event, Replacement, Step, StreamId, Verdict,
    head::{OwnedRequestHead, OwnedResponseHead},
};

/// One exchange, as its handlers see it.
pub(super) struct Exchange<A> {
    #[expect(clippy::redundant_allocation, reason = "the inner count is shared between threads")]
    pub(super) agent: Rc<Arc<A>>,
    pub(super) link: Rc<Link>,
    pub(super) stream: StreamId,
    pub(super) inbox: Rc<RefCell<Inbox>>,
    pub(super) head: OwnedRequestHead,
}

/// What is kept from one handler to the next.
#[derive(Default)]
struct Memory<T> {
    state: T,
    response: Option<OwnedResponseHead>,
    held: Held,
}

/// Bytes of streamed bodies that the agent has seen and said nothing about.
#[derive(Default)]
struct Held {
    request: u32,
    response: u32,
}

impl Held {
    fn of(&mut self, event: Event) -> &mut u32 {
        if event == Event::RequestBody { &mut self.request } else { &mut self.response }
    }
}

impl<A: Agent> Exchange<A> {
    /// Calls handlers until the stream is over.
    pub(super) async fn run(self, ask: Ask) {
        let mut memory = Memory::<A::Exchange>::default();
        if ask.verdict {
            let request = self.head.view();
            let verdict = self.agent.request_headers(&request, &mut memory.state).await;
            self.link.verdict(self.stream, Event::RequestHeaders, &verdict);
        }
        while let Some(arrival) = self.next().await {
            self.handle(arrival, &mut memory).await;
        }
        self.link.close(self.stream);
    }

    async fn handle(&self, arrival: Arrival, memory: &mut Memory<A::Exchange>) {
        match arrival {
            Arrival::Body { event, bytes, truncated } => {
                let verdict = self.body(event, Body::new(&bytes, truncated), memory).await;
                self.answer(event, &verdict).await;
            }
            Arrival::Chunk { event, bytes, end } => {
                let chunk = Chunk::new(&bytes, end != End::More, end == End::Truncated);
                let step = self.chunk(event, chunk, memory).await;
                self.step((event, step), chunk, memory.held.of(event)).await;
            }
            Arrival::Response { head, ask } => {
                let head = memory.response.insert(head);
                if ask.verdict {
                    let (request, response) = (self.head.view(), head.view());
                    let state = &mut memory.state;
                    let verdict = self.agent.response_headers(&request, &response, state).await;
                    self.link.verdict(self.stream, Event::ResponseHeaders, &verdict);
                }
            }
            Arrival::Frame(frame) => self.frame(frame, &mut memory.state).await,
        }
    }

    async fn next(&self) -> Option<Arrival> {
        poll_fn(|context| self.link.poll_next((self.stream, &self.inbox), context)).await
    }

    async fn body(
        &self,
        event: Event,
        body: Body<'_>,
        memory: &mut Memory<A::Exchange>,
    ) -> Verdict {
        let (request, state) = (self.head.view(), &mut memory.state);
        match &memory.response {
            Some(response) if event == Event::ResponseBody => {
                self.agent.response_body(&request, &response.view(), body, state).await
            }
            _ => self.agent.request_body(&request, body, state).await,
        }
    }

    async fn chunk(
        &self,
        event: Event,
        chunk: Chunk<'_>,
        memory: &mut Memory<A::Exchange>,
    ) -> Step {
        let (request, state) = (self.head.view(), &mut memory.state);
        match &memory.response {
            Some(response) if event == Event::ResponseBody => {
                self.agent.response_chunk(&request, &response.view(), chunk, state).await
            }
            _ => self.agent.request_chunk(&request, chunk, state).await,
        }
    }

    async fn frame(&self, frame: OwnedFrame, state: &mut A::Exchange) {
        let view = frame.view();
        let verdict = self.agent.websocket_frame(&self.head.view(), view, state).await;
        // Whoever hears the verdict may send the next frame, however long.
        self.link.grant(self.stream, Event::WebsocketFrame, view.payload.len() as u32 + 1);
        self.answer(Event::WebsocketFrame, &verdict).await;
    }

    /// Sends a verdict, after what is to be in the place of what it is about.
    async fn answer(&self, event: Event, verdict: &Verdict) {
        if let Some(body) = verdict.replacement()
            && verdict.is_allow()
        {
            self.replace(event, 0, (body, true)).await;
        }
        self.link.verdict(self.stream, event, verdict);
    }

    async fn step(&self, (event, step): (Event, Step), chunk: Chunk<'_>, held: &mut u32) {
        let (length, last) = (chunk.bytes().len() as u32, chunk.is_last());
        let seen = *held + length;
        *held = if matches!(step, Step::Hold) { seen } else { 0 };
        match step {
            Step::Release => self.link.release(self.stream, event, (seen, last)),
            Step::Hold if last => self.link.abandon(self.stream, "the end of a body is held"),
            Step::Hold => {}
            Step::Replace(bytes) => self.replace(event, seen, (&bytes, last)).await,
            Step::Decide(verdict) => self.link.verdict(self.stream, event, &verdict),
        }
        self.link.grant(self.stream, event, length);
    }

    /// Sends bytes in place of others, as there is room for them.
    async fn replace(&self, event: Event, mut consumed: u32, (bytes, last): (&Bytes, bool)) {
        let mut rest = &bytes[..];
        loop {
            let replacement = Replacement { consumed, piece: rest, last };
            let Some(sent) = self.link.replace(self.stream, event, replacement) else { return };
            consumed = 0;
            rest = &rest[sent..];
            if rest.is_empty() {
                return;
            }
            poll_fn(|context| self.link.poll_credit((self.stream, &self.inbox), event, context))
                .await;
        }
    }
}
