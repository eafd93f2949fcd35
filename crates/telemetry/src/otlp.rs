//! Spans on their way to a collector: OTLP over HTTP, protobuf encoding.
//!
//! A core encodes the spans of a sampled exchange; the exporter wraps many of them into one request.

mod endpoint;
mod export;
mod protobuf;
mod spans;

pub use endpoint::EndpointError;
pub(crate) use {
    endpoint::Endpoint,
    export::{Exporter, SPANS_BATCH_MAX},
    spans::{EXCHANGE_SPANS_MAX, push_served, push_spans},
};
