//! One try at one target: its connection, and how it may fail.

use std::task::{Context, Poll};

use selvedge_http1::{Fields, ResponseError, ResponseHead};

use super::super::{Failure, Refusal};
use crate::{
    message::{BodyFault, BodySink, BodySource, Filled},
    problem::Problem,
    upstream::{
        connect::ConnectFault,
        http1::{HeadAsk, HeadFault, Http1Upstream},
        http2::{Http2Upstream, StreamFault},
    },
};

/// One exchange with a target, on whichever protocol.
pub(in super::super) enum Attempt {
    Http1(Box<Http1Upstream>),
    Http2(Box<Http2Upstream>),
}

/// Why an attempt brought no response head.
pub(super) enum AttemptFault {
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
    /// The whole exchange took too long, and most of it was spent waiting for the target.
    Overdue,
    /// A status that the operator wants tried again.
    Status(u16),
    /// The client is at fault or gone.
    Client(Failure),
}

/// Why no head came, on whichever protocol.
pub(super) enum AnyHeadFault {
    Http1(HeadFault),
    Http2(StreamFault),
}

impl AttemptFault {
    /// Whether the request may be sent again after this, as far as its method goes.
    pub(super) fn is_retryable(&self, method: &str) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Unprocessed(_) => true,
            Self::Closed { .. } | Self::Timeout | Self::Status(_) => is_idempotent(method),
            Self::PoolFull | Self::Invalid(_) | Self::Overdue | Self::Client(_) => false,
        }
    }

    /// Whether the target failed; `None`: this says nothing of it.
    pub(super) fn verdict(&self) -> Option<bool> {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout
            | Self::Closed { stale: false, .. }
            | Self::Invalid(_)
            | Self::Timeout
            | Self::Overdue => Some(true),
            Self::Status(status) => Some(is_failure(*status)),
            Self::PoolFull
            | Self::Closed { stale: true, .. }
            | Self::Unprocessed(_)
            | Self::Client(_) => None,
        }
    }

    /// Stable token for the log.
    pub(super) fn reason(&self) -> &'static str {
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

    pub(super) fn into_failure(self) -> Failure {
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

/// Whether an answer of this status counts as a failure of the target, retried or not.
pub(super) fn is_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Methods that may be repeated without harm (RFC 9110 §9.2.2).
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

impl Attempt {
    pub(super) fn poll_head(
        &mut self,
        head: &mut ResponseHead,
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

    pub(super) fn classify(&self, fault: AnyHeadFault, reused: bool) -> AttemptFault {
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

    fn written(&self) -> u64 {
        match self {
            Self::Http1(connection) => connection.written(),
            Self::Http2(stream) => stream.written(),
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
