//! The second half of an exchange: the response goes to the client.

use std::{
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use selvedge_http1::{Framing, Known, Version};

use super::{
    super::{
        Failure, Refusal,
        agents::{ReplyParts, stopped_by},
        encoding::choose_encoding,
        local::{apply, flush},
        origin::via,
        passage::Pipe,
    },
    Answered, Forward, arm,
    attempt::Attempt,
    reply::Reply,
};
use crate::{
    agent::{held::poll_pump, sieve::Stopped},
    client::{Client, ClientGone, Delivery, ResponseSink},
    encoded::Encoded,
    message::{BodyFault, BodySink, Pump, PumpFault, Waiting},
    problem::Problem,
    tunnel::End,
    upstream::pool::Room,
};

/// What ended an answer before its time, once its head had come.
enum Cut {
    /// The target broke off, or what it sent is broken.
    Target(BodyFault),
    /// Nothing came for too long. That may be what was asked for, as with a stream of events, and says
    /// nothing of the target.
    Silence,
    /// The client went, or takes nothing more.
    Client(String),
    /// An agent does not let the rest pass.
    Agent(Box<Stopped>),
}

impl From<Cut> for Failure {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Target(fault) => Refusal::new(Problem::CLOSED).because(fault).into(),
            Cut::Silence => {
                let cause = "the response stopped arriving";
                Refusal::new(Problem::EXCHANGE_TIMEOUT).because(cause).into()
            }
            Cut::Client(detail) => Self::ClientGone(detail),
            Cut::Agent(stopped) => stopped_by(*stopped),
        }
    }
}

impl Forward<'_> {
    /// Brings the response to the client, and the rest of the request's body to the target.
    pub(super) async fn deliver<C: Client>(
        &mut self,
        client: &mut C,
        answered: Answered,
    ) -> Result<Option<Box<Pipe>>, Failure> {
        if self.response.status() == 101 {
            return self.switch(client, answered).await.map(Some);
        }
        let Answered { target, attempt, mut upload, in_flight: _in_flight } = answered;
        let mut reply = Reply::new(attempt);
        let status = self.response.status();
        let bodiless = self.request.method() == "HEAD" || matches!(status, 204 | 304);
        if !self.council.is_empty() {
            let parts = ReplyParts {
                response: self.response,
                source: &mut reply,
                exists: !bodiless,
                deadline: self.deadline,
                patience: self.upstream.state.config.timeouts.idle,
            };
            // Large, and not part of what every exchange takes.
            Box::pin(self.council.hear_response(self.core, self.request, parts)).await?;
        }
        let length = match self.response.framing() {
            _ if reply.is_inspected() => reply.length(),
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let encoding = choose_encoding(self.route, self.request, self.response, length);
        // What HEAD is told is what GET would be sent.
        let encoding = encoding.filter(|_| !bodiless);
        self.dress(target, &reply.source);
        let delivery = match length {
            _ if bodiless => Delivery::Bodiless,
            _ if encoding.is_some() => Delivery::Streamed,
            Some(length) => Delivery::Sized(length),
            None => Delivery::Streamed,
        };
        self.facts.status = Some(status);
        // The target may have answered before it had the whole request.
        if !upload.is_done() || self.core.draining.get() {
            client.split().1.close_after();
        }
        client.begin_response();
        client.split().1.push_head(self.response, delivery);
        let mut body = Encoded::new(reply, encoding)
            .map_err(|error| Refusal::new(Problem::INTERNAL).because(error))?;
        let result = self.move_bodies(client, &mut body, &mut upload).await;
        self.facts.bytes_in = upload.moved();
        if matches!(result, Err(Cut::Target(_))) {
            self.note(target, true, Duration::ZERO, Instant::now());
        }
        if let Attempt::Http1(connection) = body.into_source().source
            && result.is_ok()
            && connection.is_reusable()
        {
            let label = self.snapshot.plan.labels.upstream(self.upstream.index);
            let count = || self.core.telemetry.upstream_idle(label);
            let (room, now) = (Room::new(self.core, self.snapshot), self.core.deadlines.now());
            self.upstream.give_back(target, connection, now, &room, count);
        }
        self.core.pool_queue.wake_one();
        result.map(|()| None).map_err(Failure::from)
    }

    /// Prepares the response's fields for the client.
    fn dress(&mut self, target: usize, attempt: &Attempt) {
        let state = &self.upstream.state;
        let version = match attempt {
            Attempt::Http1(_) => self.response.version(),
            Attempt::Http2(_) => Version::Http2,
        };
        let fields = self.response.fields_mut();
        if fields.first(Known::Date).is_none() {
            self.core.with_date(|date| fields.push(b"date", date.as_bytes()));
        }
        fields.push(b"via", via(version));
        let token = state.target(target).token();
        if let Some(sticky) = &state.config.sticky
            && self.sticky.as_deref() != Some(token)
        {
            let mut value = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax", sticky.cookie);
            if self.connection.listener.tls.is_some() {
                value.push_str("; Secure");
            }
            if let Some(ttl) = sticky.ttl {
                value.push_str(&format!("; Max-Age={}", ttl.as_secs()));
            }
            fields.push(b"set-cookie", value.as_bytes());
        }
        apply(&self.route.response_headers, fields);
        self.council.advice.give(self.response);
    }

    async fn move_bodies<C: Client>(
        &mut self,
        client: &mut C,
        body: &mut Encoded<Reply>,
        upload: &mut Pump,
    ) -> Result<(), Cut> {
        let (source, sink) = client.split();
        let write = self.connection.listener.timeouts.write;
        let idle = self.upstream.state.config.timeouts.idle;
        let (deadline, over_at) = (self.deadline, self.over_at);
        let mut download = Pump::new(u64::MAX);
        let mut upload_over = upload.is_done();
        let mut upload_cut = false;
        let mut seen = None;
        let held = &mut self.council.held;
        let result = poll_fn(|context| {
            if !upload_over {
                let target = &mut body.source_mut().source;
                let polled = poll_pump(upload, held, source, target, context);
                upload_over = polled.is_ready();
                upload_cut =
                    matches!(polled, Poll::Ready(Err(PumpFault::Source(_) | PumpFault::TooLarge)));
            }
            let polled = download.poll(body, sink, context);
            if polled.is_ready() {
                return polled.map(Ok);
            }
            let waiting = download.waiting_for(sink);
            // Nobody may notice for long, when the target has nothing to say.
            let idles = waiting == Waiting::Source && upload.is_done();
            if idles && source.poll_gone(context).is_ready() {
                return Poll::Ready(Ok(Err(PumpFault::Sink(BodyFault::Closed))));
            }
            let progress = (download.moved(), sink.written(), upload.moved(), waiting);
            if seen.replace(progress) != Some(progress) {
                let patience = match waiting {
                    Waiting::Sink => write,
                    Waiting::Source => idle,
                };
                arm(deadline, over_at, patience);
            }
            deadline.poll_expired(context).map(Err)
        })
        .await;
        self.facts.bytes_out = download.moved();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PumpFault::Sink(fault))) => Err(Cut::Client(fault.to_string())),
            Ok(Err(PumpFault::Source(BodyFault::Agent(stopped)))) => Err(Cut::Agent(stopped)),
            // Whoever never got the whole request owes no whole answer.
            Ok(Err(PumpFault::Source(_))) if upload_cut => {
                Err(Cut::Client("broke off its request".to_owned()))
            }
            Ok(Err(PumpFault::Source(fault))) => Err(Cut::Target(fault)),
            Ok(Err(PumpFault::TooLarge)) => unreachable!("a response has no bound"),
            Err(()) if download.waiting_for(sink) == Waiting::Sink => {
                Err(Cut::Client("reads too slowly".to_owned()))
            }
            Err(()) => Err(Cut::Silence),
        }
    }

    /// After a 101: sends it on; what is returned is to become a pipe.
    async fn switch<C: Client>(
        &mut self,
        client: &mut C,
        answered: Answered,
    ) -> Result<Box<Pipe>, Failure> {
        let Answered { target, attempt, in_flight, .. } = answered;
        self.dress(target, &attempt);
        let Attempt::Http1(connection) = attempt else {
            return Err(Refusal::new(Problem::MALFORMED_RESPONSE).into());
        };
        self.facts.status = Some(101);
        let sink = client.split().1;
        sink.push_interim(self.response);
        flush(sink, self.deadline, self.connection.listener.timeouts.write).await?;
        let Some((transport, input)) = client.tunnel() else {
            return Err(Refusal::new(Problem::INTERNAL).into());
        };
        let (target, target_input, permit) = connection.into_tunnel();
        let is_websocket = self.upgrade.is_some_and(|it| it.eq_ignore_ascii_case("websocket"));
        Ok(Box::new(Pipe {
            client: End { transport, input },
            upstream: End { transport: Rc::new(target), input: target_input },
            idle: self.upstream.state.config.timeouts.idle,
            is_judged: is_websocket && self.council.hears_frames(),
            _held: (in_flight, permit),
        }))
    }
}
