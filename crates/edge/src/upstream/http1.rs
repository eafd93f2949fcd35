//! HTTP/1 towards upstreams.

use std::task::{Context, Poll, ready};

use selvedge_http1::{
    Fields, Parsed, ResponseError, ResponseHead, head_may_be_whole, push_crlf, push_field,
};

use super::pool::ConnectionPermit;
use crate::{
    http1_body::{Http1In, Http1Out, Outgoing},
    message::{BodyFault, BodySink, BodySource, Filled},
    outbound::{Outbound, RequestBody},
    transport::{Input, Output, Read, Transport},
};

/// One connection to a target, and the exchange on it.
pub(crate) struct Http1Upstream {
    transport: Transport,
    body: Http1In,
    out: Http1Out,
    response: ResponseState,
    /// Whether any byte of the response has come.
    answered: bool,
    /// Bytes of the head under way that were tried already.
    head_seen: usize,
    permit: ConnectionPermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseState {
    Head,
    Body,
    /// Complete, and another exchange may follow.
    Reusable,
    /// Complete, and the connection closes.
    Last,
}

/// Why no response head came.
#[derive(Debug)]
pub(crate) enum HeadFault {
    /// The connection failed or closed before the head was whole.
    Closed(Option<std::io::Error>),
    /// What came was not HTTP as we accept it.
    Invalid(ResponseError),
}

impl Http1Upstream {
    pub(crate) fn new(
        transport: Transport,
        input: Input,
        output: Output,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            transport,
            body: Http1In::new(input),
            out: Http1Out::new(output),
            response: ResponseState::Reusable,
            answered: false,
            head_seen: 0,
            permit,
        }
    }

    /// Whether an idle connection is still silent and open.
    pub(crate) fn is_usable(&mut self, context: &mut Context<'_>) -> bool {
        self.body.input.is_empty()
            && self.body.input.poll_read(&self.transport, context).is_pending()
    }

    /// Begins an exchange: the head goes into the output.
    pub(crate) fn push_request(&mut self, request: &Outbound<'_>) {
        self.answered = false;
        self.response = ResponseState::Head;
        let out = self.out.buffer();
        push_request_line(out, request);
        push_field(out, b"host", request.authority.as_bytes());
        for (name, value) in request.fields() {
            push_field(out, name, value);
        }
        if let Some(protocol) = request.upgrade {
            push_field(out, b"connection", b"upgrade");
            push_field(out, b"upgrade", protocol.as_bytes());
        } else if request.head.accepts_trailers() {
            out.extend_from_slice(b"connection: te\r\nte: trailers\r\n");
        }
        self.out.begin(match request.body {
            RequestBody::None if expects_length(request.head.method()) => Outgoing::Sized(0),
            RequestBody::None => Outgoing::Complete,
            RequestBody::Sized(length) => Outgoing::Sized(length),
            RequestBody::Streamed => Outgoing::Chunked,
        });
        push_crlf(self.out.buffer());
    }

    /// Reads the next response head, interim ones included.
    pub(crate) fn poll_head(
        &mut self,
        head: &mut ResponseHead,
        ask: &HeadAsk<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), HeadFault>> {
        loop {
            if !self.body.input.is_empty() && self.head_is_due(ask.bytes_max) {
                let parsed = head.parse(self.body.input.bytes(), ask.method, ask.bytes_max);
                if let Parsed::Complete(length) = parsed.map_err(HeadFault::Invalid)? {
                    self.body.input.consume(length);
                    self.head_seen = 0;
                    self.begin_body(head);
                    return Poll::Ready(Ok(()));
                }
            }
            self.head_seen = self.body.input.bytes().len();
            let read = ready!(self.body.input.poll_read(&self.transport, context));
            match read {
                Ok(Read::Some(_)) => self.answered = true,
                Ok(Read::Closed) => return Poll::Ready(Err(HeadFault::Closed(None))),
                Ok(Read::Full) => {
                    let fault = ResponseError {
                        status: 502,
                        code: "upstream/head-too-large",
                        at: ask.bytes_max,
                    };
                    return Poll::Ready(Err(HeadFault::Invalid(fault)));
                }
                Err(error) => return Poll::Ready(Err(HeadFault::Closed(Some(error)))),
            }
        }
    }

    fn head_is_due(&self, bytes_max: usize) -> bool {
        let bytes = self.body.input.bytes();
        bytes.len() >= bytes_max || head_may_be_whole(bytes, self.head_seen)
    }

    fn begin_body(&mut self, head: &ResponseHead) {
        if head.status() < 200 && head.status() != 101 {
            return;
        }
        self.body.begin(head.framing());
        self.response = match (head.close(), self.body.is_done()) {
            (true, _) => ResponseState::Last,
            (false, true) => ResponseState::Reusable,
            (false, false) => ResponseState::Body,
        };
    }

    /// Whether any byte of a response has come; until then a request may be tried elsewhere.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether another exchange may follow on this connection.
    pub(crate) fn is_reusable(&self) -> bool {
        self.response == ResponseState::Reusable
            && self.out.body() == Outgoing::Complete
            && self.out.pending() == 0
            && self.body.input.is_empty()
    }

    /// The bare connection, after a 101.
    pub(crate) fn into_tunnel(self) -> (Transport, Input, ConnectionPermit) {
        (self.transport, self.body.input, self.permit)
    }
}

/// What a response is read for.
pub(crate) struct HeadAsk<'a> {
    /// The request's method.
    pub(crate) method: &'a str,
    /// Bound of the head in bytes.
    pub(crate) bytes_max: usize,
}

fn push_request_line(out: &mut Vec<u8>, request: &Outbound<'_>) {
    out.extend_from_slice(request.head.method().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.path.as_bytes());
    if request.head.has_query() {
        out.push(b'?');
        out.extend_from_slice(request.head.query().as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Methods whose requests have a body by nature: without one they say so (RFC 9110 §8.6).
fn expects_length(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

impl BodySink for Http1Upstream {
    fn push(&mut self, data: &[u8]) {
        self.out.push(data);
    }

    fn push_end(&mut self, trailers: Option<&Fields>) {
        self.out.push_end(trailers);
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

impl BodySource for Http1Upstream {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        loop {
            if let Some(filled) = self.body.advance()? {
                if filled == Filled::End && self.response == ResponseState::Body {
                    self.response = ResponseState::Reusable;
                }
                return Poll::Ready(Ok(filled));
            }
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
