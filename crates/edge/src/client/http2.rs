//! HTTP/2 towards clients: each stream is an exchange.

use std::{
    borrow::Cow,
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::COOKIE};
use selvedge_http1::{Fields, Rejection, RequestHead, ResponseHead};

use super::{Client, ClientGone, Delivery, ResponseSink, passed_on};
use crate::{
    http2_body::{Http2In, Http2Out, append},
    message::{BodyFault, BodySink, BodySource, Filled},
    transport::{Input, Transport},
};

/// One stream.
pub(crate) struct Http2Client {
    source: Http2Source,
    sink: Http2Sink,
}

/// A request's body.
pub(crate) struct Http2Source {
    body: Http2In,
    responder: Rc<RefCell<Responder>>,
    /// The client waits to be asked for its body.
    wants_continue: bool,
}

/// A response.
pub(crate) struct Http2Sink {
    responder: Rc<RefCell<Responder>>,
    out: Http2Out,
    has_head: bool,
    fault: Option<h2::Error>,
}

struct Responder(SendResponse<Bytes>);

impl Http2Client {
    pub(crate) fn new(head: &RequestHead, body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        let responder = Rc::new(RefCell::new(Responder(respond)));
        Self {
            source: Http2Source {
                // A stream that has ended brings nothing: it is let go of at once.
                body: if body.is_end_stream() { Http2In::empty() } else { Http2In::new(body) },
                responder: responder.clone(),
                wants_continue: head.expects_continue(),
            },
            sink: Http2Sink { responder, out: Http2Out::default(), has_head: false, fault: None },
        }
    }

    /// After the exchange: a response that was not finished is reset. A request that was not read is
    /// declined (RFC 9113 §8.1) by letting go of its stream, which says so behind the response; an
    /// explicit reset would overtake it.
    pub(crate) fn finish(mut self) {
        if !self.sink.out.is_over() {
            self.sink.abort();
        }
    }
}

/// Takes a stream's head through the head gate. The body's length is known when the client declared
/// one; `END_STREAM` on the head means that there is none.
pub(crate) fn read_head(
    head: &mut RequestHead,
    request: &http::request::Parts,
) -> Result<(), Rejection> {
    let uri = &request.uri;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let cookie = joined_cookies(&request.headers);
    let fields = request
        .headers
        .iter()
        .filter(|(name, _)| *name != COOKIE)
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    head.assemble(
        request.method.as_str(),
        path,
        uri.authority().map(http::uri::Authority::as_str),
        fields.chain(cookie.as_deref().map(|cookie| (COOKIE.as_str().as_bytes(), cookie))),
    )
}

/// All cookies as one field, as HTTP/1 wants them (RFC 9113 §8.2.3).
fn joined_cookies(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let mut cookies = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let first = Cow::Borrowed(cookies.next()?);
    Some(cookies.fold(first, |mut joined, cookie| {
        let bytes = joined.to_mut();
        bytes.extend_from_slice(b"; ");
        bytes.extend_from_slice(cookie);
        joined
    }))
}

impl Client for Http2Client {
    type Source = Http2Source;
    type Sink = Http2Sink;

    fn split(&mut self) -> (&mut Http2Source, &mut Http2Sink) {
        (&mut self.source, &mut self.sink)
    }

    fn begin_response(&mut self) {
        self.source.wants_continue = false;
    }

    fn tunnel(&mut self) -> Option<(Rc<Transport>, Input)> {
        None
    }
}

impl BodySource for Http2Source {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        if std::mem::take(&mut self.wants_continue) && !self.body.is_end() {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            self.responder.borrow_mut().0.send_informational(interim).map_err(BodyFault::Http2)?;
        }
        self.body.poll_fill(context)
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

impl ClientGone for Http2Source {
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.responder.borrow_mut().0.poll_reset(context) {
            // Asked after the head was sent: from then on the sink notices.
            Poll::Ready(Err(error)) if is_usage(&error) => Poll::Pending,
            polled => polled.map(|_| ()),
        }
    }
}

/// Whether an error is about how h2 was called, and not about the connection.
fn is_usage(error: &h2::Error) -> bool {
    !error.is_reset() && !error.is_go_away() && !error.is_io()
}

impl ResponseSink for Http2Sink {
    fn push_interim(&mut self, head: &ResponseHead) {
        if head.status() == 101 {
            return;
        }
        let Some(response) = response(head, Delivery::Streamed) else { return };
        if let Err(error) = self.responder.borrow_mut().0.send_informational(response) {
            self.fault = Some(error);
        }
    }

    fn push_head(&mut self, head: &ResponseHead, delivery: Delivery) {
        self.has_head = true;
        let Some(mut response) = response(head, delivery) else {
            self.fault = Some(h2::Error::from(h2::Reason::INTERNAL_ERROR));
            return;
        };
        if let Delivery::Sized(length) = delivery {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        let ended = matches!(delivery, Delivery::Bodiless | Delivery::Sized(0));
        let sent = self.responder.borrow_mut().0.send_response(response, ended);
        match sent {
            Ok(stream) => self.out.start(stream, ended),
            Err(error) => self.fault = Some(error),
        }
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn abort(&mut self) {
        if self.has_head {
            self.out.reset(h2::Reason::INTERNAL_ERROR);
        } else {
            self.responder.borrow_mut().0.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    }

    fn close_after(&mut self) {}
}

impl BodySink for Http2Sink {
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
        match self.fault.take() {
            Some(error) => Poll::Ready(Err(BodyFault::Http2(error))),
            None => {
                let flushed = self.out.poll_flush(context);
                if !self.out.is_over() && self.out.poll_reset(context).is_ready() {
                    return Poll::Ready(Err(BodyFault::Closed));
                }
                flushed
            }
        }
    }
}

fn response(head: &ResponseHead, delivery: Delivery) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).ok()?;
    *response.version_mut() = http::Version::HTTP_2;
    let map = response.headers_mut();
    for (name, value) in passed_on(head, delivery) {
        append(map, name, value);
    }
    Some(response)
}
