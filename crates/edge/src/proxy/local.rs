//! Answers that need no upstream: fixed ones, redirects, refusals, files.

use std::{future::poll_fn, time::Duration};

use selvedge_config::{HeaderOp, Respond, Route};
use selvedge_http1::{Fields, Known, RequestHead, Version};

use super::{Exchange, Failure, Refusal, encoding::choose_encoding};
use crate::{
    client::{Client, Delivery, ResponseSink},
    deadline::Deadline,
    encoded::Encoded,
    message::{BodySink, BodySource, Pump, PumpFault, Waiting},
    outbound::RequestBody,
    problem::{Problem, render},
    site::{FileBody, SiteBody, SiteRequest},
};

impl Exchange<'_> {
    /// The answer to `OPTIONS *`: what the edge as a whole lets through (RFC 9110 §9.3.7).
    pub(super) async fn reply_options<C: Client>(&mut self, client: &mut C) -> Result<(), Failure> {
        self.begin(204);
        let methods = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        self.response.fields_mut().push(b"allow", methods);
        self.finish(client, b"").await
    }

    pub(super) async fn respond<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        respond: &Respond,
    ) -> Result<(), Failure> {
        self.begin(respond.status);
        self.response.fields_mut().push(b"content-type", respond.content_type.as_bytes());
        apply(&route.response_headers, self.response.fields_mut());
        self.finish(client, respond.body.as_bytes()).await
    }

    pub(super) async fn redirect<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        status: u16,
        location: &str,
    ) -> Result<(), Failure> {
        self.begin(status);
        self.response.fields_mut().push(b"location", location.as_bytes());
        apply(&route.response_headers, self.response.fields_mut());
        self.finish(client, b"").await
    }

    pub(super) async fn send_refusal<C: Client>(&mut self, client: &mut C, refusal: Refusal) {
        // 421 is for the client's HTTP: it may ask again on another connection (RFC 9110 §15.5.20).
        if is_grpc(self.request) && refusal.problem.status != 421 {
            return self.send_grpc_refusal(client, refusal).await;
        }
        let Refusal { problem, cause, retry_after, fields: extra } = refusal;
        let trace_id = self.facts.trace_id();
        let accept = self.request.fields().joined(Known::Accept);
        let (content_type, body) = render(&problem, accept.as_deref(), &trace_id);
        drop(accept);
        self.facts.refuse(problem.code, cause);
        if problem.ends_connection() {
            client.split().1.close_after();
        }
        self.begin(problem.status);
        let fields = self.response.fields_mut();
        fields.push(b"content-type", content_type.as_bytes());
        fields.push(b"cache-control", b"no-store");
        fields.push(b"vary", b"accept");
        for (name, value) in &extra {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        if let Some(seconds) = retry_after.or(problem.retry_after().map(u64::from)) {
            fields.push(b"retry-after", seconds.to_string().as_bytes());
        }
        if let Err(Failure::ClientGone(detail)) = self.finish(client, &body).await {
            self.facts.error.get_or_insert(detail);
        }
    }

    /// A refusal as gRPC clients read it: status and message as fields of a response without a body
    /// (gRPC over HTTP/2, "Trailers-Only"). What is recorded is the status of the problem: the 200 on the
    /// wire is but its envelope.
    async fn send_grpc_refusal<C: Client>(&mut self, client: &mut C, refusal: Refusal) {
        let Refusal { problem, cause, retry_after, fields: _ } = refusal;
        self.facts.refuse(problem.code, cause);
        if problem.ends_connection() {
            client.split().1.close_after();
        }
        let message = format!("{} ({})", problem.title, problem.code);
        let retry_after = retry_after.or(problem.retry_after().map(u64::from));
        self.send_grpc_status(client, problem.status, &message, retry_after).await;
    }

    /// A response without a body that carries the gRPC status nearest to an HTTP `status`.
    pub(super) async fn send_grpc_status<C: Client>(
        &mut self,
        client: &mut C,
        status: u16,
        message: &str,
        retry_after: Option<u64>,
    ) {
        self.begin(200);
        let fields = self.response.fields_mut();
        fields.push(b"content-type", b"application/grpc");
        fields.push(b"grpc-status", grpc_status(status).as_bytes());
        fields.push(b"grpc-message", message.as_bytes());
        if let Some(seconds) = retry_after {
            let pushback = seconds.saturating_mul(1000).to_string();
            fields.push(b"grpc-retry-pushback-ms", pushback.as_bytes());
        }
        if let Err(Failure::ClientGone(detail)) = self.finish(client, b"").await {
            self.facts.error.get_or_insert(detail);
        }
        self.facts.status = Some(status);
    }

    /// Serves a file of the route's site.
    pub(super) async fn serve_site<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        index: usize,
        path: &str,
    ) -> Result<(), Failure> {
        let site =
            self.snapshot.sites[index].clone().ok_or_else(|| Refusal::new(Problem::INTERNAL))?;
        let fields = self.request.fields();
        let if_match = fields.joined(Known::IfMatch);
        let if_none_match = fields.joined(Known::IfNoneMatch);
        let accept_encoding = fields.joined(Known::AcceptEncoding);
        let answer = site.respond(&SiteRequest {
            method: self.request.method(),
            path,
            query: self.request.has_query().then(|| self.request.query()),
            if_match: if_match.as_deref(),
            if_none_match: if_none_match.as_deref(),
            if_modified_since: fields.first(Known::IfModifiedSince),
            if_unmodified_since: fields.first(Known::IfUnmodifiedSince),
            if_range: fields.first(Known::IfRange),
            range: fields.first(Known::Range),
            accept_encoding: accept_encoding.as_deref(),
        });
        if let Some(problem) = answer.problem() {
            let refusal = Refusal { fields: answer.headers, ..Refusal::new(problem) };
            return Err(match answer.fault {
                Some(fault) => refusal.because(fault).into(),
                None => refusal.into(),
            });
        }
        self.begin(answer.status);
        for (name, value) in &answer.headers {
            self.response.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        apply(&route.response_headers, self.response.fields_mut());
        match answer.body {
            SiteBody::Empty => {
                let encoding = choose_encoding(route, self.request, self.response, Some(0));
                self.finish_with(client, b"", encoding.is_none()).await
            }
            body => {
                let body = FileBody::new(body, &self.core.file_reads);
                self.send_stream(client, route, body).await
            }
        }
    }

    /// Starts a response of our own.
    pub(super) fn begin(&mut self, status: u16) {
        self.response.start(status);
        let fields = self.response.fields_mut();
        self.core.with_date(|date| fields.push(b"date", date.as_bytes()));
    }

    /// Sends the head that was begun, and `body`.
    pub(super) async fn finish<C: Client>(
        &mut self,
        client: &mut C,
        body: &[u8],
    ) -> Result<(), Failure> {
        self.finish_with(client, body, true).await
    }

    /// As [`Self::finish`]; `sized` says whether HEAD is told the body's length.
    async fn finish_with<C: Client>(
        &mut self,
        client: &mut C,
        body: &[u8],
        sized: bool,
    ) -> Result<(), Failure> {
        let status = self.response.status();
        let bodiless = self.request.method() == "HEAD" || matches!(status, 204 | 304);
        if self.body != RequestBody::None {
            client.discard_body();
        }
        let delivery =
            if bodiless { Delivery::Bodiless } else { Delivery::Sized(body.len() as u64) };
        if sized
            && self.request.method() == "HEAD"
            && self.response.fields().first(Known::ContentLength).is_none()
        {
            let length = body.len().to_string();
            self.response.fields_mut().push(b"content-length", length.as_bytes());
        }
        self.council.advice.give(self.response);
        self.facts.status = Some(status);
        client.begin_response();
        let (_, sink) = client.split();
        sink.push_head(self.response, delivery);
        if !bodiless {
            self.facts.bytes_out = body.len() as u64;
            sink.push(body);
            sink.push_end(None);
        }
        let write = self.connection.listener.timeouts.write;
        flush(sink, self.deadline, write).await
    }

    /// Sends the head that was begun, and a body as it comes.
    async fn send_stream<C: Client>(
        &mut self,
        client: &mut C,
        route: &Route,
        body: FileBody,
    ) -> Result<(), Failure> {
        if self.body != RequestBody::None {
            client.discard_body();
        }
        let length = body.length();
        let encoding = choose_encoding(route, self.request, self.response, Some(length));
        let delivery = match encoding {
            Some(_) => Delivery::Streamed,
            None => Delivery::Sized(length),
        };
        let mut body =
            Encoded::new(body, encoding).map_err(|e| Refusal::new(Problem::INTERNAL).because(e))?;
        self.pump_out(client, &mut body, delivery).await
    }

    async fn pump_out<C: Client>(
        &mut self,
        client: &mut C,
        body: &mut impl BodySource,
        delivery: Delivery,
    ) -> Result<(), Failure> {
        client.begin_response();
        self.council.advice.give(self.response);
        let (_, sink) = client.split();
        self.facts.status = Some(self.response.status());
        sink.push_head(self.response, delivery);
        let mut pump = Pump::new(u64::MAX);
        let write = self.connection.listener.timeouts.write;
        self.deadline.arm(write);
        let mut before = (0, 0);
        let result = poll_fn(|context| {
            let polled = pump.poll(body, sink, context);
            if polled.is_ready() {
                return polled.map(Ok);
            }
            let progress = (pump.moved(), sink.written());
            if progress != before {
                before = progress;
                self.deadline.arm(write);
            }
            self.deadline.poll_expired(context).map(Err)
        })
        .await;
        self.facts.bytes_out = pump.moved();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PumpFault::Sink(fault))) => Err(Failure::ClientGone(fault.to_string())),
            Ok(Err(PumpFault::Source(fault))) => {
                Err(Refusal::new(Problem::INTERNAL).because(fault).into())
            }
            Ok(Err(PumpFault::TooLarge)) => Err(Refusal::new(Problem::INTERNAL).into()),
            Err(()) if pump.waiting_for(sink) == Waiting::Source => {
                Err(Refusal::new(Problem::INTERNAL).because("the disk does not answer").into())
            }
            Err(()) => Err(Failure::ClientGone("reads too slowly".to_owned())),
        }
    }
}

/// Writes out what a sink holds; the client may take `write` for each step.
pub(super) async fn flush(
    sink: &mut impl ResponseSink,
    deadline: &Deadline,
    write: Duration,
) -> Result<(), Failure> {
    deadline.arm(write);
    let mut before = sink.written();
    let flushed = deadline.within(|context| {
        let polled = sink.poll_flush(context);
        if sink.written() != before {
            before = sink.written();
            deadline.arm(write);
        }
        polled
    });
    match flushed.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(Failure::ClientGone(fault.to_string())),
        Err(_) => Err(Failure::ClientGone("reads too slowly".to_owned())),
    }
}

/// Whether the request is a gRPC call: by HTTP/2, and of the type itself. gRPC-Web has HTTP's statuses.
pub(super) fn is_grpc(request: &RequestHead) -> bool {
    let content_type = request.fields().first(Known::ContentType).unwrap_or_default();
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let rest = essence
        .split_at_checked(b"application/grpc".len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(b"application/grpc"))
        .map(|(_, rest)| rest);
    request.version() == Version::Http2
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// The gRPC code nearest to an HTTP status.
fn grpc_status(status: u16) -> &'static str {
    match status {
        404 => "12",                  // UNIMPLEMENTED
        408 | 504 => "4",             // DEADLINE_EXCEEDED
        413 | 414 | 429 | 431 => "8", // RESOURCE_EXHAUSTED
        401 => "16",                  // UNAUTHENTICATED
        403 => "7",                   // PERMISSION_DENIED
        502 | 503 => "14",            // UNAVAILABLE
        _ => "13",                    // INTERNAL
    }
}

/// Carries out header operations in order.
pub(super) fn apply(operations: &[HeaderOp], fields: &mut Fields) {
    for operation in operations {
        match operation {
            HeaderOp::Set(name, value) => {
                fields.remove(name);
                fields.push(name.as_bytes(), value.expose().as_bytes());
            }
            HeaderOp::Add(name, value) => fields.push(name.as_bytes(), value.expose().as_bytes()),
            HeaderOp::Remove(name) => fields.remove(name),
        }
    }
}
