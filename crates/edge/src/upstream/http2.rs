//! HTTP/2 towards upstreams: each exchange is a stream on a shared connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, Uri};
use selvedge_http1::{Fields, ResponseHead};

use super::http1::HeadAsk;
use crate::{
    http2_body::{Http2In, Http2Out, append},
    message::{BodyFault, BodySink, BodySource, Filled},
    outbound::{Outbound, RequestBody},
};

/// One exchange on a connection to a target.
pub(crate) struct Http2Upstream {
    response: Option<ResponseFuture>,
    out: Http2Out,
    input: Http2In,
}

/// Why a stream could not be opened or brought no head.
#[derive(Debug)]
pub(crate) enum StreamFault {
    /// The request cannot be said in HTTP/2.
    Unspeakable,
    /// The connection or stream failed.
    Http2(h2::Error),
}

impl StreamFault {
    /// Whether the target certainly did not process the request (RFC 9113 §8.7).
    pub(crate) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Http2(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() && error.is_remote())
    }
}

impl std::fmt::Display for StreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unspeakable => f.write_str("the request has no form in HTTP/2"),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

impl Http2Upstream {
    /// Sends the head on a connection that is ready for a stream.
    pub(crate) fn open(
        send: &mut SendRequest<Bytes>,
        request: &Outbound<'_>,
    ) -> Result<Self, StreamFault> {
        let message = translate(request).ok_or(StreamFault::Unspeakable)?;
        let ended = request.body == RequestBody::None;
        let (response, stream) = send.send_request(message, ended).map_err(StreamFault::Http2)?;
        let mut out = Http2Out::default();
        out.start(stream, ended);
        Ok(Self { response: Some(response), out, input: Http2In::empty() })
    }

    /// Reads the next response head, interim ones included.
    pub(crate) fn poll_head(
        &mut self,
        head: &mut ResponseHead,
        ask: &HeadAsk<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamFault>> {
        let Some(future) = &mut self.response else { return Poll::Pending };
        if let Poll::Ready(Some(Ok(interim))) = future.poll_informational(context) {
            head.start(interim.status().as_u16());
            fill(head, interim.headers());
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(future).poll(context)).map_err(StreamFault::Http2)?;
        self.response = None;
        let (parts, body) = response.into_parts();
        head.start(parts.status.as_u16());
        fill(head, &parts.headers);
        let bodiless = ask.method == "HEAD" || matches!(head.status(), 204 | 304);
        head.take_http2_framing(bodiless, body.is_end_stream());
        self.input = Http2In::new(body);
        Poll::Ready(Ok(()))
    }
}

fn fill(head: &mut ResponseHead, map: &http::HeaderMap) {
    for (name, value) in map {
        head.fields_mut().push(name.as_str().as_bytes(), value.as_bytes());
    }
}

fn translate(request: &Outbound<'_>) -> Option<Request<()>> {
    let mut target = request.path.to_owned();
    if request.head.has_query() {
        target.push('?');
        target.push_str(request.head.query());
    }
    let uri = Uri::builder()
        .scheme(request.scheme)
        .authority(request.authority)
        .path_and_query(target)
        .build()
        .ok()?;
    let mut message = Request::new(());
    *message.method_mut() = Method::from_bytes(request.head.method().as_bytes()).ok()?;
    *message.uri_mut() = uri;
    *message.version_mut() = http::Version::HTTP_2;
    let map = message.headers_mut();
    for (name, value) in request.fields() {
        append(map, name, value);
    }
    if request.head.accepts_trailers() {
        append(map, b"te", b"trailers");
    }
    if let RequestBody::Sized(length) = request.body {
        map.insert(http::header::CONTENT_LENGTH, length.into());
    }
    Some(message)
}

impl BodySink for Http2Upstream {
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
        self.out.poll_flush(context)
    }
}

impl BodySource for Http2Upstream {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        self.input.poll_fill(context)
    }

    fn chunk(&self) -> &[u8] {
        self.input.chunk()
    }

    fn consume(&mut self) {
        self.input.consume();
    }

    fn trailers(&self) -> Option<&Fields> {
        self.input.trailers()
    }
}
