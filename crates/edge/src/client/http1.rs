//! HTTP/1 towards clients.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use selvedge_http1::{
    Fields, Framing, RequestHead, ResponseHead, Version, push_crlf, push_field, push_number,
};

use super::{Client, ClientGone, Delivery, ResponseSink, passed_on};
use crate::{
    deadline::Deadline,
    http1_body::{DISCARD_MAX, Http1In, Http1Out, Outgoing, Unwanted},
    message::{BodyFault, BodySink, BodySource, Filled},
    reason::reason,
    transport::{BufferPool, Input, Output, Read, Transport},
};

/// A client connection and the exchange on it.
pub(crate) struct Http1Client {
    pub(crate) source: Http1Source,
    pub(crate) sink: Http1Sink,
    exchanges: u64,
}

impl Http1Client {
    pub(crate) fn new(transport: Rc<Transport>, pool: &Rc<BufferPool>) -> Self {
        let source = Http1Source {
            transport: transport.clone(),
            body: Http1In::new(Input::new(pool.clone())),
            interim: Interim::NotWanted,
            finished: false,
        };
        let sink = Http1Sink {
            transport,
            out: Http1Out::new(Output::new(pool.clone())),
            version: Version::Http11,
            close: false,
            has_head: false,
            trailers: false,
            aborted: false,
        };
        Self { source, sink, exchanges: 0 }
    }

    /// Prepares for the exchange whose head was just read.
    pub(crate) fn begin(&mut self, head: &RequestHead) {
        self.exchanges += 1;
        self.source.body.begin(head.framing());
        self.source.interim = match head.expects_continue() && head.framing() != Framing::None {
            true => Interim::Wanted,
            false => Interim::NotWanted,
        };
        self.sink.version = head.version();
        self.sink.close = head.close();
        self.sink.trailers = head.accepts_trailers();
        self.sink.has_head = false;
    }

    /// Whether no exchange has begun yet.
    pub(crate) fn is_first(&self) -> bool {
        self.exchanges == 0
    }

    /// Whether the connection's orderly end would make a cut response look whole.
    pub(crate) fn must_reset(&self) -> bool {
        self.sink.aborted && self.sink.out.body() == Outgoing::UntilClose
    }

    /// Whether another exchange may follow on this connection, once the request's body is over.
    pub(crate) fn may_continue(&self) -> bool {
        !self.sink.close && !self.sink.aborted && self.sink.out.body() == Outgoing::Complete
    }
}

impl Client for Http1Client {
    type Source = Http1Source;
    type Sink = Http1Sink;

    fn split(&mut self) -> (&mut Http1Source, &mut Http1Sink) {
        (&mut self.source, &mut self.sink)
    }

    fn discard_body(&mut self) {
        self.sink.close |= match self.source.body.discard_at_hand() {
            Unwanted::Gone => false,
            // A client that was not told to go on may send its body or not: what comes next from it
            // could be either (RFC 9110 §10.1.1).
            Unwanted::Rest => self.source.interim == Interim::Wanted,
            Unwanted::Endless => true,
        };
    }

    fn begin_response(&mut self) {
        self.sink.close |= self.source.finished;
        if let Interim::Sending(sent) = self.source.interim {
            self.sink.out.buffer().extend_from_slice(&CONTINUE[sent..]);
        }
        self.source.interim = Interim::NotWanted;
    }

    fn tunnel(&mut self) -> Option<(Rc<Transport>, Input)> {
        let transport = self.source.transport.clone();
        self.sink.close = true;
        let input = self.source.body.input.take();
        Some((transport, input))
    }
}

/// A request's body on HTTP/1.
pub(crate) struct Http1Source {
    transport: Rc<Transport>,
    pub(crate) body: Http1In,
    interim: Interim,
    /// The client has said that it sends no more.
    finished: bool,
}

/// `100 Continue`, sent when the body is first asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interim {
    NotWanted,
    Wanted,
    Sending(usize),
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Http1Source {
    /// Reads once into the input, outside of any body.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<Read>> {
        self.body.input.poll_read(&self.transport, context)
    }

    /// Reads what is left of a body that nobody wants; false when that does not end soon enough.
    pub(crate) async fn discard(&mut self, deadline: &Deadline) -> bool {
        let mut budget = DISCARD_MAX;
        let discarded = deadline
            .within(|context| self.body.poll_discard(&mut budget, &self.transport, context))
            .await;
        discarded == Ok(true)
    }

    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        loop {
            let sent = match self.interim {
                Interim::NotWanted => return Poll::Ready(Ok(())),
                Interim::Wanted => 0,
                Interim::Sending(sent) => sent,
            };
            let count = ready!(self.transport.poll_write(context, &CONTINUE[sent..]))
                .map_err(BodyFault::Io)?;
            self.interim = match sent + count {
                all if all == CONTINUE.len() => Interim::NotWanted,
                sent => Interim::Sending(sent),
            };
            ready!(self.transport.poll_flush(context)).map_err(BodyFault::Io)?;
        }
    }
}

impl BodySource for Http1Source {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        loop {
            if let Some(filled) = self.body.advance()? {
                return Poll::Ready(Ok(filled));
            }
            ready!(self.poll_interim(context))?;
            ready!(self.body.poll_more(&self.transport, context))?;
        }
    }

    fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    fn consume(&mut self) {
        self.body.consume();
    }

    fn trailers(&self) -> Option<&Fields> {
        self.body.trailers()
    }
}

impl ClientGone for Http1Source {
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.finished || !self.body.input.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.body.input.poll_read(&self.transport, context)) {
            Ok(Read::Some(_) | Read::Full) => Poll::Pending,
            // Many simple clients close their half once they have asked. Those that left altogether
            // look the same until something is sent to them.
            Ok(Read::Closed) => {
                self.finished = true;
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }
}

/// A response on HTTP/1.
pub(crate) struct Http1Sink {
    transport: Rc<Transport>,
    out: Http1Out,
    version: Version,
    close: bool,
    has_head: bool,
    trailers: bool,
    aborted: bool,
}

impl Http1Sink {
    fn push_status(&mut self, head: &ResponseHead) {
        let out = self.out.buffer();
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, head.status().into());
        out.push(b' ');
        out.extend_from_slice(match head.reason() {
            b"" => reason(head.status()).as_bytes(),
            given => given,
        });
        push_crlf(out);
    }
}

impl ResponseSink for Http1Sink {
    fn push_interim(&mut self, head: &ResponseHead) {
        if self.version == Version::Http10 {
            return;
        }
        self.push_status(head);
        let switching = head.status() == 101;
        let out = self.out.buffer();
        for (name, value) in passed_on(head, Delivery::Streamed) {
            push_field(out, name, value);
        }
        if switching {
            push_field(out, b"connection", b"upgrade");
            if let Some(protocol) = head.fields().first(selvedge_http1::Known::Upgrade) {
                push_field(out, b"upgrade", protocol);
            }
            self.has_head = true;
        }
        push_crlf(out);
    }

    fn push_head(&mut self, head: &ResponseHead, delivery: Delivery) {
        self.push_status(head);
        let body = match delivery {
            Delivery::Bodiless => Outgoing::Complete,
            Delivery::Sized(length) => Outgoing::Sized(length),
            Delivery::Streamed if self.version == Version::Http11 => Outgoing::Chunked,
            Delivery::Streamed => Outgoing::UntilClose,
        };
        self.close |= body == Outgoing::UntilClose;
        self.has_head = true;
        let out = self.out.buffer();
        for (name, value) in passed_on(head, delivery) {
            push_field(out, name, value);
        }
        self.out.begin(body);
        let out = self.out.buffer();
        match (self.close, self.version) {
            (true, _) => out.extend_from_slice(b"connection: close\r\n"),
            (false, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (false, _) => {}
        }
        push_crlf(out);
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn abort(&mut self) {
        self.aborted = true;
    }

    fn close_after(&mut self) {
        self.close = true;
    }
}

impl BodySink for Http1Sink {
    fn push(&mut self, data: &[u8]) {
        self.out.push(data);
    }

    fn push_end(&mut self, trailers: Option<&Fields>) {
        self.out.push_end(trailers.filter(|_| self.trailers));
    }

    fn pending(&self) -> usize {
        self.out.pending()
    }

    fn written(&self) -> u64 {
        self.out.written()
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        self.out.poll_flush(&self.transport, context)
    }
}
