//! Bodies on HTTP/2 streams, in either direction and on either side.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_http1::{Fields, Known, may_trail};

use crate::message::{BodyFault, BodySource, Filled};

/// The receiving half of a stream.
pub(crate) struct Http2In {
    stream: Option<RecvStream>,
    chunk: Bytes,
    trailers: Option<Fields>,
    data_over: bool,
}

impl Http2In {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream: Some(stream), chunk: Bytes::new(), trailers: None, data_over: false }
    }

    /// A stream that carries nothing.
    pub(crate) fn empty() -> Self {
        Self { stream: None, chunk: Bytes::new(), trailers: None, data_over: true }
    }
}

impl Http2In {
    /// Whether the peer said that nothing more comes.
    pub(crate) fn is_end(&self) -> bool {
        self.chunk.is_empty() && self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }
}

impl BodySource for Http2In {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Filled::End)) };
        while self.chunk.is_empty() && !self.data_over {
            match ready!(stream.poll_data(context)) {
                Some(data) => self.chunk = data.map_err(BodyFault::Http2)?,
                None => self.data_over = true,
            }
        }
        if !self.chunk.is_empty() {
            return Poll::Ready(Ok(Filled::Data));
        }
        let trailers = ready!(stream.poll_trailers(context)).map_err(BodyFault::Http2)?;
        self.trailers = trailers.map(|map| trailer_fields(&map));
        self.stream = None;
        Poll::Ready(Ok(Filled::End))
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    fn consume(&mut self) {
        if let Some(stream) = &mut self.stream {
            // An error means that the stream is gone; the next read reports it.
            let _ = stream.flow_control().release_capacity(self.chunk.len());
        }
        self.chunk = Bytes::new();
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }
}

/// Trailer fields taken from one message.
const TRAILER_FIELDS_MAX: usize = 64;

/// Trailer fields that may be passed on.
fn trailer_fields(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        let known = Known::of(name.as_str().as_bytes());
        if fields.len() < TRAILER_FIELDS_MAX && may_trail(known) {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    fields
}

/// The sending half of a stream: holds what flow control does not let through.
#[derive(Default)]
pub(crate) struct Http2Out {
    stream: Option<SendStream<Bytes>>,
    queue: BytesMut,
    end: End,
    /// Bytes handed to the stream.
    written: u64,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    Plain,
    Trailers(HeaderMap),
    Sent,
}

impl Http2Out {
    /// Starts on a stream whose head was sent.
    pub(crate) fn start(&mut self, stream: SendStream<Bytes>, ended: bool) {
        self.stream = Some(stream);
        self.queue.clear();
        self.end = if ended { End::Sent } else { End::Open };
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        match self.queue.is_empty() {
            // Exactly as large: it leaves as it is.
            true => self.queue = BytesMut::from(data),
            false => self.queue.extend_from_slice(data),
        }
    }

    pub(crate) fn push_end(&mut self, trailers: Option<&Fields>) {
        if matches!(self.end, End::Sent) {
            return;
        }
        let map = trailers.map(header_map).filter(|map| !map.is_empty());
        self.end = map.map_or(End::Plain, End::Trailers);
    }

    pub(crate) fn pending(&self) -> usize {
        self.queue.len() + usize::from(matches!(self.end, End::Plain | End::Trailers(_)))
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the end has been handed to the stream.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.end, End::Sent)
    }

    /// Hands everything to the stream as its window allows.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        while !self.queue.is_empty() {
            stream.reserve_capacity(self.queue.len());
            let granted = match ready!(stream.poll_capacity(context)) {
                Some(granted) => granted.map_err(BodyFault::Http2)?,
                None => return Poll::Ready(Err(BodyFault::Closed)),
            };
            let part = match granted < self.queue.len() {
                true => self.queue.split_to(granted),
                false => std::mem::take(&mut self.queue),
            };
            let part = part.freeze();
            self.written += part.len() as u64;
            let last = self.queue.is_empty() && matches!(self.end, End::Plain);
            stream.send_data(part, last).map_err(BodyFault::Http2)?;
            if last {
                self.end = End::Sent;
            }
        }
        match std::mem::replace(&mut self.end, End::Sent) {
            End::Open => self.end = End::Open,
            End::Plain => stream.send_data(Bytes::new(), true).map_err(BodyFault::Http2)?,
            End::Trailers(map) => stream.send_trailers(map).map_err(BodyFault::Http2)?,
            End::Sent => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer reset the stream.
    pub(crate) fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(context).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// Gives the stream up.
    pub(crate) fn reset(&mut self, reason: h2::Reason) {
        if let Some(stream) = &mut self.stream {
            stream.send_reset(reason);
        }
        self.end = End::Sent;
        self.queue.clear();
    }
}

/// Fields as HTTP/2 wants them; what it cannot carry is left out.
pub(crate) fn header_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value, _) in fields.iter() {
        append(&mut map, name, value);
    }
    map
}

/// Adds one field.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}
