//! HTTP/1 connections: one exchange after the other.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use selvedge_http1::{
    Framing, HeadLimits, Kind, Known, Parsed, Rejection, RequestHead, head_may_be_whole,
};
use selvedge_telemetry::Timings;

use crate::{
    client::{ResponseSink, http1::Http1Client},
    connection::Connection,
    core::{Core, Scratch},
    deadline::{Deadline, Expired},
    message::BodySink,
    outbound::RequestBody,
    problem::Problem,
    proxy::{Council, Exchange, Facts, Passage, Refusal},
    transport::{Input, Read, Transport},
};

/// The first bytes of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the wait for a request brought.
enum Next {
    /// A head is in the scratch.
    Request,
    /// The client speaks HTTP/2.
    Http2,
    /// The client is done, or was silent for too long.
    Over,
    /// What came is no request that we take.
    Refused(Refusal),
}

/// What became of a connection that began as HTTP/1.
pub(super) enum Served {
    /// It is over.
    Over,
    /// The client speaks HTTP/2; this was read.
    Http2(Vec<u8>),
    /// It is a tunnel now.
    Switched(Box<Passage>, Deadline),
}

/// Serves a connection until it ends or speaks something else.
pub(super) async fn serve(
    core: &Rc<Core>,
    transport: &Rc<Transport>,
    connection: &Rc<Connection>,
) -> Served {
    let mut client = Http1Client::new(transport.clone(), &core.buffers);
    let deadline = core.deadlines.register();
    loop {
        if wait_for_bytes(core, &mut client, connection, &deadline).await.is_none() {
            return Served::Over;
        }
        match Box::pin(exchange(core, &mut client, connection, &deadline)).await {
            After::Next => {}
            After::Http2 => return Served::Http2(client.source.body.input.bytes().to_vec()),
            After::Switched(passage) => return Served::Switched(passage, deadline),
            After::Close => break,
        }
    }
    match client.must_reset() {
        true => transport.reset_on_close(),
        false => linger(transport, &mut client.source.body.input, &deadline).await,
    }
    Served::Over
}

/// Waits for a first byte while nothing is under way; `None` when the connection is to end.
async fn wait_for_bytes(
    core: &Rc<Core>,
    client: &mut Http1Client,
    connection: &Connection,
    deadline: &Deadline,
) -> Option<()> {
    if !client.source.body.input.is_empty() {
        return Some(());
    }
    if core.draining.get() {
        return None;
    }
    let timeouts = &connection.listener.timeouts;
    deadline.arm_idle(if connection.is_fresh.get() { timeouts.head } else { timeouts.idle });
    match deadline.within(|context| client.source.poll_read(context)).await {
        Ok(Ok(Read::Some(_) | Read::Full)) => Some(()),
        Ok(Ok(Read::Closed) | Err(_)) | Err(Expired) => None,
    }
}

/// How a connection goes on.
enum After {
    Next,
    Http2,
    Switched(Box<Passage>),
    Close,
}

/// Reads one head and runs the exchange that it begins.
async fn exchange(
    core: &Rc<Core>,
    client: &mut Http1Client,
    connection: &Rc<Connection>,
    deadline: &Deadline,
) -> After {
    let mut scratch = core.take_scratch();
    let first_byte = Instant::now();
    let next = read_head(core, client, connection, deadline, &mut scratch.request).await;
    let after = match next {
        Next::Over => After::Close,
        Next::Http2 => After::Http2,
        Next::Request => {
            client.begin(&scratch.request);
            if core.draining.get() {
                client.sink.close_after();
            }
            run(core, client, connection, deadline, &mut scratch, first_byte).await
        }
        Next::Refused(refusal) => {
            client.begin(&RequestHead::default());
            client.sink.close_after();
            let facts = facts(core, connection, &scratch.request, first_byte);
            let mut exchange = new_exchange(core, connection, deadline, &mut scratch, facts);
            exchange.refuse(client, refusal).await;
            After::Close
        }
    };
    core.give_scratch(scratch);
    after
}

async fn run(
    core: &Rc<Core>,
    client: &mut Http1Client,
    connection: &Rc<Connection>,
    deadline: &Deadline,
    scratch: &mut Scratch,
    first_byte: Instant,
) -> After {
    let facts = facts(core, connection, &scratch.request, first_byte);
    let misdirected = connection.is_misdirected(scratch.request.host());
    let mut exchange = new_exchange(core, connection, deadline, scratch, facts);
    match misdirected {
        true => exchange.refuse(client, Refusal::new(Problem::MISDIRECTED)).await,
        false => {
            if let Some(passage) = exchange.run(client).await {
                return After::Switched(passage);
            }
        }
    }
    let may_continue = client.may_continue() && client.sink.pending() == 0;
    match may_continue && discard_body(client, deadline).await {
        true => After::Next,
        false => After::Close,
    }
}

/// How long the rest of a body may take that nobody wants.
pub(crate) const DISCARD_WITHIN: Duration = Duration::from_secs(5);

/// Reads up to the end of the request, which has been answered; false when that is too far.
async fn discard_body(client: &mut Http1Client, deadline: &Deadline) -> bool {
    if client.source.body.is_done() {
        return true;
    }
    deadline.arm_idle(DISCARD_WITHIN);
    client.source.discard(deadline).await
}

fn new_exchange<'a>(
    core: &'a Rc<Core>,
    connection: &'a Rc<Connection>,
    deadline: &'a Deadline,
    scratch: &'a mut Scratch,
    facts: Facts,
) -> Exchange<'a> {
    let body = match scratch.request.framing() {
        Framing::None => RequestBody::None,
        Framing::Length(length) => RequestBody::Sized(length),
        Framing::Chunked | Framing::UntilClose => RequestBody::Streamed,
    };
    Exchange {
        core,
        connection,
        deadline,
        snapshot: core.snapshot(),
        request: &mut scratch.request,
        response: &mut scratch.response,
        body,
        facts,
        council: Council::default(),
    }
}

/// What is known when a head is whole.
pub(super) fn facts(
    core: &Core,
    connection: &Connection,
    request: &RequestHead,
    first_byte: Instant,
) -> Facts {
    let mut timings = Timings::new(first_byte, core.wall_clock(first_byte));
    if connection.is_fresh.replace(false) {
        timings.accepted = Some(connection.accepted);
        timings.tls_done = connection.tls_done;
    }
    timings.head_done = Some(Instant::now());
    let fields = request.fields();
    let trace = core.telemetry.trace(fields.all(Known::Traceparent), fields.all(Known::Tracestate));
    Facts::new(timings, trace, connection.peer)
}

/// Reads until a head is whole, refused, or late.
async fn read_head(
    core: &Core,
    client: &mut Http1Client,
    connection: &Connection,
    deadline: &Deadline,
    head: &mut RequestHead,
) -> Next {
    let limits = &core.snapshot().plan.config.limits;
    let limits = HeadLimits { bytes: limits.head.0 as usize, fields: limits.head_fields };
    let may_be_http2 = connection.listener.http2 && connection.tls.is_none() && client.is_first();
    deadline.arm(connection.listener.timeouts.head);
    let mut seen = 0;
    let source = &mut client.source;
    let outcome = deadline
        .within(|context| {
            loop {
                let bytes = source.body.input.bytes();
                if may_be_http2 && is_preface(bytes) {
                    if bytes.len() >= HTTP2_PREFACE.len() {
                        return Poll::Ready(Ok(Next::Http2));
                    }
                    // The head of an earlier exchange must not be taken for this one's.
                    head.clear();
                } else if bytes.len() >= limits.bytes || head_may_be_whole(bytes, seen) {
                    match head.parse(bytes, &limits) {
                        Ok(Parsed::Complete(length)) => {
                            source.body.input.consume(length);
                            return Poll::Ready(Ok(Next::Request));
                        }
                        Ok(Parsed::Partial) => {}
                        Err(rejection) => {
                            return Poll::Ready(Ok(Next::Refused(refusal(rejection))));
                        }
                    }
                }
                seen = source.body.input.bytes().len();
                match ready!(source.poll_read(context)) {
                    Ok(Read::Some(_)) => {}
                    Ok(Read::Closed) => return Poll::Ready(Ok(Next::Over)),
                    Ok(Read::Full) => {
                        return Poll::Ready(Ok(Next::Refused(Refusal::new(Problem::HEAD_LIMIT))));
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await;
    match outcome {
        Ok(Ok(next)) if connection.listener.http1 => next,
        // Who left said nothing in the wrong version.
        Ok(Ok(next @ (Next::Http2 | Next::Over))) => next,
        Ok(Ok(_)) => Next::Refused(Refusal::new(Problem::HTTP1_OFF)),
        Ok(Err(_)) => Next::Over,
        Err(Expired) => Next::Refused(Refusal::new(Problem::HEAD_TIMEOUT)),
    }
}

fn is_preface(bytes: &[u8]) -> bool {
    let length = bytes.len().min(HTTP2_PREFACE.len());
    length > 3 && bytes[..length] == HTTP2_PREFACE[..length]
}

/// What the client is told of a head that the gate refused.
pub(super) fn refusal(rejection: Rejection) -> Refusal {
    let problem = match rejection.kind() {
        Kind::Malformed => Problem::MALFORMED,
        Kind::Target => Problem::TARGET,
        Kind::Host => Problem::HOST,
        Kind::Framing => Problem::FRAMING,
        Kind::Expectation => Problem::EXPECTATION,
        Kind::Unsupported => Problem::NOT_IMPLEMENTED,
        Kind::Version => {
            let detail = "HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.";
            Problem { detail, ..Problem::HTTP1_OFF }
        }
        Kind::HeadLimit => Problem::HEAD_LIMIT,
        Kind::TargetLimit => Problem::TARGET_LIMIT,
    };
    Refusal::new(Problem { code: rejection.code, ..problem }).because(rejection)
}

/// How long a closed connection may still be read from.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How much may still be read from it.
pub(crate) const LINGER_BYTES: usize = 16 << 20;

/// Closes so that the client gets the last response: what it still sends is read and dropped, because
/// the kernel would answer it with a reset that overtakes the response.
pub(super) async fn linger(transport: &Transport, input: &mut Input, deadline: &Deadline) {
    deadline.arm(LINGER);
    let mut dropped = 0;
    let mut shut = false;
    let lingering = |context: &mut Context<'_>| -> Poll<io::Result<()>> {
        if !shut {
            ready!(transport.poll_shutdown(context))?;
            shut = true;
        }
        loop {
            dropped += input.bytes().len();
            input.consume(input.bytes().len());
            if dropped > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            match ready!(input.poll_read(transport, context))? {
                Read::Some(_) | Read::Full => {}
                Read::Closed => return Poll::Ready(Ok(())),
            }
        }
    };
    // However it ends, the connection is closed next.
    let _ = deadline.within(lingering).await;
}
