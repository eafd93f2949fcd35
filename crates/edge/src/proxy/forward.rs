//! Forwarding to an upstream: choose a target, send, try again where that is safe, bring the answer.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use selvedge_config::{Balance, Encoding, HashKey, Route, UpstreamProtocol};
use selvedge_http1::{Fields, Framing, Known, RequestHead, ResponseError};
use selvedge_routing::rewrite_path;

use super::{Exchange, Failure, Refusal, local::apply, scheme};
use crate::{
    client::{Client, ClientGone, Delivery, ResponseSink},
    client_address,
    compress::{self, Candidate},
    encoded::Encoded,
    message::{BodyFault, BodySink, BodySource, Filled, Pump, PumpFault, Waiting},
    outbound::{Forwarding, Outbound},
    problem::Problem,
    tunnel,
    upstream::{
        balance::{Ask, hash_key, pick_sticky},
        breaker::{Permit, RetryAfter},
        connect::{self, ConnectFault},
        http1::{HeadAsk, HeadFault, Http1Upstream},
        http2::{Http2Upstream, StreamFault},
        pool::CoreUpstream,
    },
};

/// One exchange with a target, on whichever protocol.
enum Attempt {
    Http1(Http1Upstream),
    Http2(Http2Upstream),
}

/// Why an attempt brought no response head.
enum AttemptFault {
    /// No connection; nothing was sent.
    Connect(ConnectFault),
    /// No connection in time; nothing was sent.
    ConnectTimeout,
    /// No room for a connection in time; not the target's fault.
    PoolFull,
    /// The connection ended. `stale`: it came from the pool and never answered.
    Closed { stale: bool, cause: String },
    /// What came is not HTTP.
    Invalid(ResponseError),
    /// The target did not process the request.
    Unprocessed(String),
    /// No head in time.
    Timeout,
    /// The whole exchange took too long.
    Overdue,
    /// A status that the operator wants tried again.
    Status(u16),
    /// The client is at fault or gone.
    Client(Failure),
}

/// What is chosen once and used by every attempt.
struct Plan<'a> {
    upstream: &'a Rc<CoreUpstream>,
    path: &'a str,
    authority: &'a str,
    forwarding: &'a Forwarding,
    traceparent: &'a [u8],
    upgrade: Option<&'a str>,
    body_max: u64,
    /// When the whole exchange must be over.
    over_at: Option<Instant>,
}

impl Exchange<'_> {
    pub(super) async fn forward<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        upstream: &Rc<CoreUpstream>,
        path: &str,
    ) -> Result<(), Failure> {
        let settings = upstream.state.config.clone();
        apply(&route.request_headers, self.request.fields_mut());
        let rewritten = match &route.rewrite {
            Some(rewrite) => {
                rewrite_path(rewrite, path).map_err(|e| Refusal::new(Problem::TARGET).because(e))?
            }
            None => path.into(),
        };
        let host = route.rewrite.as_ref().and_then(|rewrite| rewrite.host.as_deref());
        let authority = host.unwrap_or(self.request.authority()).to_owned();
        let forwarding = self.forwarding();
        let traceparent = self.facts.trace.child_header();
        let upgrade = upgrade_wanted(self.request, &settings).map(str::to_owned);
        let plan = Plan {
            upstream,
            path: &rewritten,
            authority: if authority.is_empty() {
                upstream.state.target(0).label()
            } else {
                &authority
            },
            forwarding: &forwarding,
            traceparent: &traceparent,
            upgrade: upgrade.as_deref(),
            body_max: route.limits.body.0,
            over_at: settings.timeouts.whole.map(|whole| Instant::now() + whole),
        };
        self.forward_planned(client, route, &plan).await
    }

    async fn forward_planned<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        plan: &Plan<'_>,
    ) -> Result<(), Failure> {
        let state = &plan.upstream.state;
        let settings = &state.config;
        let permit = self.admit(plan)?;
        let started = Instant::now();
        state.budget.count_request(started);
        let key = self.hash_key(settings);
        let sticky =
            settings.sticky.as_ref().and_then(|sticky| cookie(self.request, &sticky.cookie));
        let sticky = sticky.map(str::to_owned);
        let mut upload = Pump::new(plan.body_max);
        let mut tried = Vec::new();
        let mut refreshed = false;
        loop {
            let now = Instant::now();
            let ask = Ask { key, tried: &tried, now };
            let pick =
                sticky.as_deref().and_then(|token| pick_sticky(state, token, &ask)).or_else(|| {
                    plan.upstream.balancer.borrow_mut().pick(
                        state,
                        &ask,
                        &mut self.core.rng.borrow_mut(),
                    )
                });
            let Some(pick) = pick else {
                settle(permit, false, now);
                return Err(Refusal::new(Problem::UNHEALTHY).into());
            };
            let target = pick.index;
            let in_flight = state.target(target).begin();
            let facts = self.facts.upstream_mut(plan.upstream.index);
            facts.target = Some(target);
            facts.attempts += 1;
            let sent = Instant::now();
            let fault = match self.attempt(client, plan, target, &mut upload, refreshed).await {
                Ok(attempt) => {
                    let answered = Instant::now();
                    let failed = matches!(self.response.status(), 502..=504);
                    self.note(plan, target, failed, answered.saturating_duration_since(sent));
                    settle(permit, !failed, answered);
                    let sticks = sticky.as_deref() == Some(state.target(target).token());
                    if !sticks {
                        self.set_sticky(settings, state.target(target).token());
                    }
                    let result = self.deliver(client, route, plan, target, attempt, upload).await;
                    drop(in_flight);
                    return result;
                }
                Err(fault) => fault,
            };
            let now = Instant::now();
            if fault.is_targets() {
                self.note(plan, target, true, now.saturating_duration_since(sent));
            }
            if !self.may_retry(&fault, &upload, plan, tried.len(), refreshed) {
                let spares_breaker =
                    matches!(fault, AttemptFault::Client(_) | AttemptFault::PoolFull);
                match spares_breaker {
                    true => drop(permit),
                    false => settle(permit, false, now),
                }
                return Err(fault.into_failure());
            }
            self.facts.upstream_mut(plan.upstream.index).retry_reason = Some(fault.reason());
            match fault {
                AttemptFault::Closed { stale: true, .. } => refreshed = true,
                _ => tried.push(target),
            }
            upload = Pump::new(plan.body_max);
        }
    }

    fn admit(&mut self, plan: &Plan<'_>) -> Result<Option<Permit>, Failure> {
        let Some(breaker) = &plan.upstream.state.breaker else { return Ok(None) };
        match breaker.try_admit(Instant::now()) {
            Ok(permit) => Ok(Some(permit)),
            Err(RetryAfter(left)) => {
                self.facts.upstream_mut(plan.upstream.index);
                let retry_after = Some(left.as_secs().max(1));
                Err(Refusal { retry_after, ..Refusal::new(Problem::BREAKER) }.into())
            }
        }
    }

    /// Tells the target's state how it did.
    fn note(&self, plan: &Plan<'_>, target: usize, failed: bool, took: Duration) {
        let state = &plan.upstream.state;
        let now = Instant::now();
        let event = match failed {
            true => state.failure(target, took, now),
            false => state.success(target, took, now),
        };
        if let Some(event) = event {
            self.core.report_ejection(state, target, &event);
        }
    }

    /// Whether the request may be sent once more, and to somebody who allows it.
    fn may_retry(
        &self,
        fault: &AttemptFault,
        upload: &Pump,
        plan: &Plan<'_>,
        retries: usize,
        refreshed: bool,
    ) -> bool {
        let state = &plan.upstream.state;
        let replayable = upload.moved() == 0;
        let safe = match fault {
            AttemptFault::Connect(_)
            | AttemptFault::ConnectTimeout
            | AttemptFault::Unprocessed(_) => replayable,
            AttemptFault::Closed { .. } | AttemptFault::Timeout | AttemptFault::Status(_) => {
                replayable && is_idempotent(self.request.method())
            }
            AttemptFault::PoolFull
            | AttemptFault::Invalid(_)
            | AttemptFault::Overdue
            | AttemptFault::Client(_) => false,
        };
        if !safe {
            return false;
        }
        if matches!(fault, AttemptFault::Closed { stale: true, .. }) && !refreshed {
            return true;
        }
        retries < state.config.retry.attempts as usize && state.budget.try_retry(Instant::now())
    }

    /// Sends the request to one target and waits for the head of its answer.
    async fn attempt<C: Client>(
        &mut self,
        client: &mut C,
        plan: &Plan<'_>,
        target: usize,
        upload: &mut Pump,
        refreshed: bool,
    ) -> Result<Attempt, AttemptFault> {
        self.facts.timings.upstream_start = Some(Instant::now());
        let mut attempt = self.connect(plan, target, refreshed).await?;
        self.facts.timings.upstream_connected = Some(Instant::now());
        self.exchange_heads(client, plan, &mut attempt, upload).await?;
        self.facts.timings.upstream_first_byte = Some(Instant::now());
        let status = self.response.status();
        self.facts.upstream_mut(plan.upstream.index).status = Some(status);
        let retried = &plan.upstream.state.config.retry;
        if retried.statuses.contains(&status)
            && self.may_retry(&AttemptFault::Status(status), upload, plan, 0, true)
            && (self.facts.upstream_mut(plan.upstream.index).attempts as usize)
                <= retried.attempts as usize
        {
            return Err(AttemptFault::Status(status));
        }
        Ok(attempt)
    }

    /// Gets a connection and puts the request's head on it.
    async fn connect(
        &mut self,
        plan: &Plan<'_>,
        target: usize,
        refreshed: bool,
    ) -> Result<Attempt, AttemptFault> {
        let upstream = plan.upstream;
        self.arm(plan, upstream.state.config.timeouts.connect);
        match upstream.state.config.protocol {
            UpstreamProtocol::Http1 => {
                let pooled = match refreshed {
                    true => None,
                    false => {
                        poll_fn(|context| Poll::Ready(upstream.checkout(target, context))).await
                    }
                };
                self.facts.upstream_mut(upstream.index).reused = pooled.is_some();
                let mut connection = match pooled {
                    Some(connection) => connection,
                    None => {
                        let permit = self.permit(plan).await?;
                        let connecting = connect::http1(self.core, upstream, target, permit);
                        self.in_time(plan, connecting).await?
                    }
                };
                connection.push_request(&self.outbound(plan));
                Ok(Attempt::Http1(connection))
            }
            UpstreamProtocol::Http2 => {
                let mut send =
                    poll_fn(|context| Poll::Ready(upstream.http2_ready(target, context))).await;
                self.facts.upstream_mut(upstream.index).reused = send.is_some();
                if send.is_none() {
                    let permit = self.permit(plan).await?;
                    self.in_time(plan, connect::http2(self.core, upstream, target, permit)).await?;
                    let ready = poll_fn(|context| match upstream.http2_ready(target, context) {
                        Some(send) => Poll::Ready(send),
                        None => Poll::Pending,
                    });
                    let mut ready = pin!(ready);
                    let waited = self.deadline.within(|context| ready.as_mut().poll(context)).await;
                    send = Some(waited.map_err(|_| AttemptFault::ConnectTimeout)?);
                }
                let mut send = send.ok_or(AttemptFault::ConnectTimeout)?;
                match Http2Upstream::open(&mut send, &self.outbound(plan)) {
                    Ok(stream) => Ok(Attempt::Http2(stream)),
                    Err(fault) => Err(AttemptFault::Unprocessed(fault.to_string())),
                }
            }
        }
    }

    /// Waits for room in the pool.
    async fn permit(
        &self,
        plan: &Plan<'_>,
    ) -> Result<crate::upstream::pool::ConnectionPermit, AttemptFault> {
        let all_max = self.snapshot.plan.config.limits.upstream_connections;
        let wait = |context: &mut Context<'_>| {
            if let Some(permit) = plan.upstream.try_permit(&self.core.bounds, all_max) {
                return Poll::Ready(permit);
            }
            let evicted = self.snapshot.upstreams.iter().any(|upstream| upstream.evict());
            if evicted && let Some(permit) = plan.upstream.try_permit(&self.core.bounds, all_max) {
                return Poll::Ready(permit);
            }
            self.core.pool_queue.wait(context);
            Poll::Pending
        };
        self.deadline.within(wait).await.map_err(|_| AttemptFault::PoolFull)
    }

    async fn in_time<T>(
        &self,
        plan: &Plan<'_>,
        connecting: impl Future<Output = Result<T, ConnectFault>>,
    ) -> Result<T, AttemptFault> {
        let mut connecting = Box::pin(connecting);
        match self.deadline.within(|context| connecting.as_mut().poll(context)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(fault)) => Err(AttemptFault::Connect(fault)),
            Err(_) if self.is_overdue(plan) => Err(AttemptFault::Overdue),
            Err(_) => Err(AttemptFault::ConnectTimeout),
        }
    }

    /// Sends the request's body while it waits for the response's head. Interim heads pass through.
    async fn exchange_heads<C: Client>(
        &mut self,
        client: &mut C,
        plan: &Plan<'_>,
        attempt: &mut Attempt,
        upload: &mut Pump,
    ) -> Result<(), AttemptFault> {
        let timeouts = &plan.upstream.state.config.timeouts;
        let retry = &plan.upstream.state.config.retry;
        let first_byte = retry.per_attempt.unwrap_or(timeouts.first_byte);
        let client_body = self.connection.listener.timeouts.body;
        let bytes_max = self.snapshot.plan.config.limits.response_head.0 as usize;
        let (source, sink) = client.split();
        let reused = self.facts.upstream.as_ref().is_some_and(|facts| facts.reused);
        let mut uploaded = u64::MAX;
        let mut sink_failed = false;
        self.arm(plan, first_byte);
        loop {
            let ask = HeadAsk { method: self.request.method(), bytes_max };
            let response = &mut *self.response;
            let (deadline, over_at) = (self.deadline, plan.over_at);
            let polled: Result<Result<(), HeadOr>, ()> = poll_fn(|context| {
                if !upload.is_done() && !sink_failed {
                    match upload.poll(source, attempt, context) {
                        Poll::Ready(Ok(())) => arm(deadline, over_at, first_byte),
                        Poll::Ready(Err(PumpFault::Sink(_))) => sink_failed = true,
                        Poll::Ready(Err(PumpFault::Source(fault))) => {
                            return Poll::Ready(Ok(Err(HeadOr::Source(fault))));
                        }
                        Poll::Ready(Err(PumpFault::TooLarge)) => {
                            return Poll::Ready(Ok(Err(HeadOr::TooLarge)));
                        }
                        Poll::Pending if upload.moved() != uploaded => {
                            uploaded = upload.moved();
                            match upload.waiting_for(attempt) {
                                Waiting::Source => arm(deadline, over_at, client_body),
                                Waiting::Sink => arm(deadline, over_at, first_byte),
                            }
                        }
                        Poll::Pending => {}
                    }
                }
                if let Poll::Ready(head) = attempt.poll_head(response, &ask, context) {
                    return Poll::Ready(Ok(head.map_err(HeadOr::Head)));
                }
                if upload.is_done() && source.poll_gone(context).is_ready() {
                    return Poll::Ready(Ok(Err(HeadOr::Gone)));
                }
                deadline.poll_expired(context).map(Err)
            })
            .await;
            match polled {
                Ok(Ok(())) => {}
                Ok(Err(HeadOr::Head(fault))) => return Err(attempt.classify(fault, reused)),
                Ok(Err(HeadOr::Source(fault))) => {
                    return Err(AttemptFault::Client(body_failure(fault)));
                }
                Ok(Err(HeadOr::TooLarge)) => {
                    return Err(AttemptFault::Client(Refusal::new(Problem::BODY_LIMIT).into()));
                }
                Ok(Err(HeadOr::Gone)) => {
                    let detail = "closed while waiting for the response".to_owned();
                    return Err(AttemptFault::Client(Failure::ClientGone(detail)));
                }
                Err(()) if self.is_overdue(plan) => return Err(AttemptFault::Overdue),
                Err(()) if !upload.is_done() && upload.waiting_for(attempt) == Waiting::Source => {
                    return Err(AttemptFault::Client(Refusal::new(Problem::BODY_TIMEOUT).into()));
                }
                Err(()) => return Err(AttemptFault::Timeout),
            }
            match self.response.status() {
                101 if plan.upgrade.is_some() => return Ok(()),
                101 => {
                    let fault =
                        ResponseError { status: 502, code: "upstream/unasked-switch", at: 0 };
                    return Err(AttemptFault::Invalid(fault));
                }
                100 => {}
                102..=199 => sink.push_interim(self.response),
                _ => return Ok(()),
            }
        }
    }

    /// Brings the response to the client, and the rest of the request's body to the target.
    async fn deliver<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        plan: &Plan<'_>,
        target: usize,
        attempt: Attempt,
        mut upload: Pump,
    ) -> Result<(), Failure> {
        if self.response.status() == 101 {
            return self.switch(client, plan, attempt).await;
        }
        let length = match self.response.framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let encoding = self.encoding_for(route, length);
        self.dress(route);
        let bodiless =
            self.request.method() == "HEAD" || matches!(self.response.status(), 204 | 304);
        let delivery = match length {
            _ if bodiless => Delivery::Bodiless,
            _ if encoding.is_some() => Delivery::Streamed,
            Some(length) => Delivery::Sized(length),
            None => Delivery::Streamed,
        };
        self.facts.status = Some(self.response.status());
        if !upload.is_done() {
            // The target answered before it had the whole request.
            client.split().1.close_after();
        }
        client.split().1.push_head(self.response, delivery);
        let mut body = Encoded::new(attempt, encoding)
            .map_err(|error| Refusal::new(Problem::INTERNAL).because(error))?;
        let result = self.move_bodies(client, plan, &mut body, &mut upload).await;
        self.facts.bytes_in = upload.moved();
        if let Attempt::Http1(connection) = body.into_source()
            && result.is_ok()
            && connection.is_reusable()
        {
            plan.upstream.give_back(target, connection, self.core.deadlines.now());
        }
        self.core.pool_queue.wake_one();
        result
    }

    /// Prepares the response's fields for the client.
    fn dress(&mut self, route: &Route) {
        let fields = self.response.fields_mut();
        if fields.first(Known::Date).is_none() {
            self.core.with_date(|date| fields.push(b"date", date.as_bytes()));
        }
        fields.push(b"via", b"1.1 selvedge");
        apply(&route.response_headers, fields);
    }

    async fn move_bodies<C: Client>(
        &mut self,
        client: &mut C,
        plan: &Plan<'_>,
        body: &mut Encoded<Attempt>,
        upload: &mut Pump,
    ) -> Result<(), Failure> {
        let (source, sink) = client.split();
        let write = self.connection.listener.timeouts.write;
        let idle = plan.upstream.state.config.timeouts.idle;
        let mut download = Pump::new(u64::MAX);
        let mut upload_over = upload.is_done();
        let mut seen = u64::MAX;
        let (deadline, over_at) = (self.deadline, plan.over_at);
        let result = poll_fn(|context| {
            if !upload_over {
                upload_over = upload.poll(source, body.source_mut(), context).is_ready();
            }
            let polled = download.poll(body, sink, context);
            if polled.is_ready() {
                return polled.map(Ok);
            }
            let progress = download.moved() + upload.moved();
            if progress != seen {
                seen = progress;
                let patience = match download.waiting_for(sink) {
                    Waiting::Sink => write,
                    Waiting::Source => idle,
                };
                arm(deadline, over_at, patience);
            }
            deadline.poll_expired(context).map(Err)
        })
        .await;
        self.facts.bytes_out = download.moved();
        finish_download(result, &download, sink)
    }

    /// After a 101: sends it on and becomes a pipe.
    async fn switch<C: Client>(
        &mut self,
        client: &mut C,
        plan: &Plan<'_>,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let Attempt::Http1(connection) = attempt else {
            return Err(Refusal::new(Problem::MALFORMED_RESPONSE).into());
        };
        self.facts.status = Some(101);
        let sink = client.split().1;
        sink.push_interim(self.response);
        self.deadline.arm(self.connection.listener.timeouts.write);
        match self.deadline.within(|context| sink.poll_flush(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(Failure::ClientGone(fault.to_string())),
            Err(_) => return Err(Failure::ClientGone("reads too slowly".to_owned())),
        }
        let Some((transport, input)) = client.tunnel() else {
            return Err(Refusal::new(Problem::INTERNAL).into());
        };
        let (target, target_input, _permit) = connection.into_tunnel();
        let idle = plan.upstream.state.config.timeouts.idle;
        let ends = [
            tunnel::End { transport, input },
            tunnel::End { transport: Rc::new(target), input: target_input },
        ];
        let moved = tunnel::run(ends, self.deadline, idle).await;
        (self.facts.bytes_in, self.facts.bytes_out) = (moved.forth, moved.back);
        Ok(())
    }

    /// Which encoding a response gets, if any; its fields are changed accordingly.
    pub(super) fn encoding_for(&mut self, route: &Route, length: Option<u64>) -> Option<Encoding> {
        let settings = route.compress.as_ref()?;
        let fields = self.response.fields();
        let candidate = Candidate {
            status: self.response.status(),
            content_type: fields.first(Known::ContentType),
            content_length: length,
            encoded: fields.first(Known::ContentEncoding).is_some(),
            cache_control: fields.first(Known::CacheControl),
        };
        if self.request.method() == "HEAD" || !compress::worth(&candidate, settings.min.0) {
            return None;
        }
        let accepted = self.request.fields().first(Known::AcceptEncoding);
        let encoding =
            accepted.and_then(|accepted| compress::negotiate(accepted, &settings.encodings));
        let etag = fields.first(Known::Etag).map(compress::weakened_etag);
        let fields = self.response.fields_mut();
        if !fields
            .all(Known::Vary)
            .any(|value| value.to_ascii_lowercase().windows(15).any(|w| w == b"accept-encoding"))
        {
            fields.push(b"vary", b"accept-encoding");
        }
        let encoding = encoding?;
        fields.push(b"content-encoding", compress::token(encoding).as_bytes());
        fields.remove("accept-ranges");
        if let Some(etag) = etag {
            fields.remove_known(Known::Etag);
            fields.push(b"etag", &etag);
        }
        Some(encoding)
    }

    fn set_sticky(&mut self, settings: &selvedge_config::Upstream, token: &str) {
        let Some(sticky) = &settings.sticky else { return };
        let mut value = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax", sticky.cookie);
        if self.connection.listener.tls.is_some() {
            value.push_str("; Secure");
        }
        if let Some(ttl) = sticky.ttl {
            value.push_str(&format!("; Max-Age={}", ttl.as_secs()));
        }
        self.response.fields_mut().push(b"set-cookie", value.as_bytes());
    }

    fn hash_key(&self, settings: &selvedge_config::Upstream) -> Option<u64> {
        let Balance::ConsistentHash(key) = &settings.balance else { return None };
        match key {
            HashKey::ClientIp => Some(hash_key(self.facts.client.ip().to_string().as_bytes())),
            HashKey::Path => Some(hash_key(self.request.raw_path().as_bytes())),
            HashKey::Uri => Some(hash_key(
                format!("{}?{}", self.request.raw_path(), self.request.query()).as_bytes(),
            )),
            HashKey::Header(name) => self.request.fields().named(name).next().map(hash_key),
            HashKey::Cookie(name) => {
                cookie(self.request, name).map(|value| hash_key(value.as_bytes()))
            }
        }
    }

    fn forwarding(&self) -> Forwarding {
        let fields = self.request.fields();
        let collect = |known| fields.all(known).collect::<Vec<_>>();
        let [forwarded, for_, proto, host] =
            [Known::Forwarded, Known::XForwardedFor, Known::XForwardedProto, Known::XForwardedHost]
                .map(collect);
        let incoming = client_address::Incoming {
            forwarded: &forwarded,
            x_forwarded_for: &for_,
            x_forwarded_proto: &proto,
            x_forwarded_host: &host,
        };
        let listener = &self.connection.listener;
        let peer = self.connection.peer.ip();
        let client = client_address::client(peer, &listener.trusted_proxies, &incoming);
        let scheme = match listener.tls {
            Some(_) => client_address::Scheme::Https,
            None => client_address::Scheme::Http,
        };
        let hop = client_address::Hop { peer, scheme, host: self.request.authority() };
        let forwarding = client_address::Forwarding { client: &client, incoming: &incoming, hop };
        let mut for_ = Vec::new();
        forwarding.write_x_forwarded_for(&mut for_);
        let forwarded = (!incoming.forwarded.is_empty()).then(|| {
            let mut out = Vec::new();
            forwarding.write_forwarded(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        });
        Forwarding {
            for_: String::from_utf8_lossy(&for_).into_owned(),
            proto: forwarding.x_forwarded_proto().to_owned(),
            host: forwarding.x_forwarded_host().to_owned(),
            forwarded,
        }
    }

    fn outbound<'o>(&'o self, plan: &'o Plan<'_>) -> Outbound<'o> {
        Outbound {
            head: self.request,
            path: plan.path,
            authority: plan.authority,
            scheme: scheme(self.connection),
            forwarding: plan.forwarding,
            traceparent: plan.traceparent,
            tracestate: self.facts.trace.state(),
            upgrade: plan.upgrade,
            body: self.body,
        }
    }

    fn arm(&self, plan: &Plan<'_>, after: Duration) {
        arm(self.deadline, plan.over_at, after);
    }

    fn is_overdue(&self, plan: &Plan<'_>) -> bool {
        plan.over_at.is_some_and(|at| at <= self.core.deadlines.now())
    }
}

/// Arms a deadline, but never beyond the end of the whole exchange.
fn arm(deadline: &crate::deadline::Deadline, over_at: Option<Instant>, after: Duration) {
    deadline.arm(after);
    if let Some(over_at) = over_at {
        deadline.arm_at_most(over_at);
    }
}

/// What ends the wait for a head.
enum HeadOr {
    Head(AnyHeadFault),
    Source(BodyFault),
    TooLarge,
    Gone,
}

enum AnyHeadFault {
    Http1(HeadFault),
    Http2(StreamFault),
}

fn body_failure(fault: BodyFault) -> Failure {
    match fault {
        BodyFault::Framing(error) if error != selvedge_http1::BodyError::Truncated => {
            Refusal::new(Problem::FRAMING).because(error).into()
        }
        other => Failure::ClientGone(other.to_string()),
    }
}

fn finish_download(
    result: Result<Result<(), PumpFault>, ()>,
    download: &Pump,
    sink: &impl BodySink,
) -> Result<(), Failure> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(PumpFault::Sink(fault))) => Err(Failure::ClientGone(fault.to_string())),
        Ok(Err(PumpFault::Source(fault))) => {
            Err(Refusal::new(Problem::CLOSED).because(fault).into())
        }
        Ok(Err(PumpFault::TooLarge)) => Err(Refusal::new(Problem::MALFORMED_RESPONSE).into()),
        Err(()) if download.waiting_for(sink) == Waiting::Sink => {
            Err(Failure::ClientGone("reads too slowly".to_owned()))
        }
        Err(()) => {
            Err(Refusal::new(Problem::EXCHANGE_TIMEOUT).because("the response stopped").into())
        }
    }
}

fn settle(permit: Option<Permit>, success: bool, now: Instant) {
    let Some(permit) = permit else { return };
    let _change = match success {
        true => permit.success(now),
        false => permit.failure(now),
    };
}

/// Methods that may be repeated without harm (RFC 9110 §9.2.2).
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// The protocol to switch to, if the client asked for one that may be tunnelled.
fn upgrade_wanted<'r>(
    request: &'r RequestHead,
    settings: &selvedge_config::Upstream,
) -> Option<&'r str> {
    let wanted = request.upgrade();
    let plain = !wanted.is_empty() && !wanted.contains(',');
    let http = ["h2", "h2c", "http", "tls"].iter().any(|name| {
        let head = wanted.split('/').next().unwrap_or_default();
        head.eq_ignore_ascii_case(name)
    });
    let able = settings.protocol == UpstreamProtocol::Http1 && request.framing() == Framing::None;
    (plain && !http && able && request.asks_for_upgrade()).then_some(wanted)
}

fn cookie<'r>(request: &'r RequestHead, name: &str) -> Option<&'r str> {
    request
        .fields()
        .all(Known::Cookie)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

impl AttemptFault {
    /// Whether the target is to blame.
    fn is_targets(&self) -> bool {
        !matches!(
            self,
            Self::PoolFull
                | Self::Closed { stale: true, .. }
                | Self::Client(_)
                | Self::Unprocessed(_)
        )
    }

    /// Stable token for the log.
    fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::PoolFull => "pool-full",
            Self::Closed { stale: true, .. } => "stale-connection",
            Self::Closed { .. } => "closed",
            Self::Invalid(_) => "malformed",
            Self::Unprocessed(_) => "unprocessed",
            Self::Timeout => "first-byte-timeout",
            Self::Overdue => "overdue",
            Self::Status(_) => "status",
            Self::Client(_) => "client",
        }
    }

    fn into_failure(self) -> Failure {
        match self {
            Self::Connect(fault @ ConnectFault::Tls(_)) => {
                Refusal::new(Problem::UPSTREAM_TLS).because(fault)
            }
            Self::Connect(fault) => Refusal::new(Problem::CONNECT).because(fault),
            Self::ConnectTimeout => Refusal::new(Problem::CONNECT_TIMEOUT),
            Self::PoolFull => Refusal::new(Problem::UPSTREAM_CONNECTIONS),
            Self::Closed { cause, .. } | Self::Unprocessed(cause) => {
                Refusal::new(Problem::CLOSED).because(cause)
            }
            Self::Invalid(error) if error.code == "upstream/head-too-large" => {
                Refusal::new(Problem::RESPONSE_HEAD_LIMIT).because(error)
            }
            Self::Invalid(error) => Refusal::new(Problem::MALFORMED_RESPONSE).because(error),
            Self::Timeout => Refusal::new(Problem::FIRST_BYTE_TIMEOUT),
            Self::Overdue => Refusal::new(Problem::EXCHANGE_TIMEOUT),
            Self::Status(status) => Refusal::new(Problem::CLOSED).because(status),
            Self::Client(failure) => return failure,
        }
        .into()
    }
}

impl Attempt {
    fn poll_head(
        &mut self,
        head: &mut selvedge_http1::ResponseHead,
        ask: &HeadAsk<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), AnyHeadFault>> {
        match self {
            Self::Http1(connection) => {
                connection.poll_head(head, ask, context).map_err(AnyHeadFault::Http1)
            }
            Self::Http2(stream) => {
                stream.poll_head(head, ask, context).map_err(AnyHeadFault::Http2)
            }
        }
    }

    fn classify(&self, fault: AnyHeadFault, reused: bool) -> AttemptFault {
        match fault {
            AnyHeadFault::Http1(HeadFault::Invalid(error)) => AttemptFault::Invalid(error),
            AnyHeadFault::Http1(HeadFault::Closed(error)) => {
                let answered = matches!(self, Self::Http1(connection) if connection.has_answered());
                let cause =
                    error.map_or_else(|| "closed by the upstream".to_owned(), |e| e.to_string());
                AttemptFault::Closed { stale: reused && !answered, cause }
            }
            AnyHeadFault::Http2(fault) if fault.is_unprocessed() => {
                AttemptFault::Unprocessed(fault.to_string())
            }
            AnyHeadFault::Http2(fault) => {
                AttemptFault::Closed { stale: false, cause: fault.to_string() }
            }
        }
    }
}

impl BodySink for Attempt {
    fn push(&mut self, data: &[u8]) {
        match self {
            Self::Http1(connection) => connection.push(data),
            Self::Http2(stream) => stream.push(data),
        }
    }

    fn push_end(&mut self, trailers: Option<&Fields>) {
        match self {
            Self::Http1(connection) => connection.push_end(trailers),
            Self::Http2(stream) => stream.push_end(trailers),
        }
    }

    fn pending(&self) -> usize {
        match self {
            Self::Http1(connection) => connection.pending(),
            Self::Http2(stream) => stream.pending(),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        match self {
            Self::Http1(connection) => connection.poll_flush(context),
            Self::Http2(stream) => stream.poll_flush(context),
        }
    }
}

impl BodySource for Attempt {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        match self {
            Self::Http1(connection) => connection.poll_fill(context),
            Self::Http2(stream) => stream.poll_fill(context),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Http1(connection) => connection.chunk(),
            Self::Http2(stream) => stream.chunk(),
        }
    }

    fn consume(&mut self) {
        match self {
            Self::Http1(connection) => connection.consume(),
            Self::Http2(stream) => stream.consume(),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Http1(connection) => connection.trailers(),
            Self::Http2(stream) => stream.trailers(),
        }
    }
}
