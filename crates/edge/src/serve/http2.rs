//! HTTP/2 connections: each stream is an exchange of its own.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    time::Instant,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::Request;
use selvedge_http1::{Framing, RequestHead};

use super::{
    Witness,
    http1::{facts, refusal},
};
use crate::{
    client::http2::{Http2Client, read_head},
    connection::Connection,
    core::{Core, Scratch},
    crew::Job,
    outbound::RequestBody,
    problem::Problem,
    proxy::{Council, Exchange, Refusal},
    transport::{Owned, Transport},
};

/// Serves a connection of which `begun` was read already.
pub(super) async fn serve(
    core: Rc<Core>,
    transport: Transport,
    begun: Vec<u8>,
    connection: Rc<Connection>,
) {
    let deadline = core.deadlines.register();
    let timeouts = &connection.listener.timeouts;
    deadline.arm(timeouts.handshake);
    let mut handshake =
        pin!(builder(&core, &connection).handshake::<_, Bytes>(Owned::new(transport, begun)));
    let Ok(Ok(mut http2)) = deadline.within(|context| handshake.as_mut().poll(context)).await
    else {
        return;
    };
    let active = Rc::new(Cell::new(0_usize));
    let streams_max = connection.listener.http2_limits.streams as usize;
    let mut closing = false;
    deadline.arm_idle(timeouts.head);
    loop {
        // Nobody has to wait for a connection in use; one that closes has to get its end across.
        let rearm = |closing| match closing {
            true => deadline.arm(timeouts.write),
            false => deadline.arm_idle(timeouts.idle),
        };
        let accepted = poll_fn(|context| {
            if core.draining.get() && !closing {
                closing = true;
                http2.graceful_shutdown();
                rearm(closing);
            }
            let polled = http2.poll_accept(context);
            if polled.is_ready() {
                return polled.map(Some);
            }
            if active.get() > 0 {
                rearm(closing);
            }
            deadline.poll_expired(context).map(|()| None)
        })
        .await;
        match accepted {
            Some(Some(Ok((request, mut respond)))) => {
                rearm(closing);
                if !has_room(&active, streams_max).await {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    continue;
                }
                active.set(active.get() + 1);
                let place = Place {
                    _witness: Witness(core.clone()),
                    core: core.clone(),
                    connection: connection.clone(),
                    active: active.clone(),
                };
                core.streams.start(Stream::begin(place, request, respond));
            }
            Some(Some(Err(_)) | None) => return,
            None if closing => return,
            None => {
                closing = true;
                http2.graceful_shutdown();
                rearm(closing);
            }
        }
    }
}

/// Whether another stream may be served. A stream that its client has reset is no longer counted by
/// the protocol, but its task may still hold something: such tasks get a turn to end, and count for
/// as long as they do not.
async fn has_room(active: &Cell<usize>, streams_max: usize) -> bool {
    if active.get() >= streams_max {
        tokio::task::yield_now().await;
    }
    active.get() < streams_max
}

fn builder(core: &Core, connection: &Connection) -> h2::server::Builder {
    let limits = &connection.listener.http2_limits;
    let head = core.snapshot().plan.config.limits.head.0;
    let window = |size: u64| u32::try_from(size).unwrap_or(u32::MAX >> 1);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(window(limits.stream_window.0))
        .initial_connection_window_size(window(limits.connection_window.0))
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_concurrent_reset_streams(limits.pending_resets)
        .max_header_list_size(window(head))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Bytes that one stream may have on their way to the socket.
pub(crate) const SEND_BUFFER: usize = 128 << 10;

/// One stream to be served, its head read.
pub(crate) struct Stream {
    place: Place,
    first_byte: Instant,
    scratch: Box<Scratch>,
    refusal: Option<Box<Refusal>>,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

/// Where a stream is served. As long as it is, the stream counts.
struct Place {
    _witness: Witness,
    core: Rc<Core>,
    connection: Rc<Connection>,
    active: Rc<Cell<usize>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.active.set(self.active.get() - 1);
    }
}

impl Stream {
    fn begin(place: Place, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let first_byte = Instant::now();
        let mut scratch = place.core.take_scratch();
        let (parts, body) = request.into_parts();
        let checked = read_head(&mut scratch.request, &parts)
            .map_err(refusal)
            .and_then(|()| place.check(&scratch.request));
        Self { place, first_byte, scratch, refusal: checked.err().map(Box::new), body, respond }
    }
}

impl Job for Stream {
    async fn run(self) {
        let Self { place, first_byte, mut scratch, refusal, body, respond } = self;
        let core = &place.core;
        let deadline = core.deadlines.register();
        let facts = facts(core, &place.connection, &scratch.request, first_byte);
        let ended = body.is_end_stream();
        let mut client = Http2Client::new(&scratch.request, body, respond);
        let body = match scratch.request.framing() {
            _ if ended => RequestBody::None,
            Framing::Length(length) => RequestBody::Sized(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => RequestBody::Streamed,
        };
        let mut exchange = Exchange {
            core,
            connection: &place.connection,
            deadline: &deadline,
            snapshot: core.snapshot(),
            request: &mut scratch.request,
            response: &mut scratch.response,
            body,
            facts,
            council: Council::default(),
        };
        match refusal {
            // A stream becomes no tunnel.
            None => drop(exchange.run(&mut client).await),
            Some(refusal) => exchange.refuse(&mut client, *refusal).await,
        }
        client.finish();
        core.give_scratch(scratch);
    }
}

impl Place {
    /// What the gate cannot know: how many fields are too many, and whom this connection is for.
    fn check(&self, request: &RequestHead) -> Result<(), Refusal> {
        if request.fields().len() > self.core.snapshot().plan.config.limits.head_fields {
            return Err(Refusal::new(Problem::HEAD_LIMIT));
        }
        match self.connection.is_misdirected(request.host()) {
            true => Err(Refusal::new(Problem::MISDIRECTED)),
            false => Ok(()),
        }
    }
}
