//! Which streams there are: an addition of this server to the protocol.

use axum::response::{IntoResponse, Response};
use http::header;
use selvedge_eventlog::StreamInfo;
use selvedge_identity::Caller;
use serde_json::{Value, json};

use crate::{
    meta::Meta,
    path,
    read::parameters,
    refusal::{Refusal, put},
    service::Service,
};

/// Streams on one page, unless the query asks for fewer.
const PAGE: usize = 1000;

/// Answers with the caller's streams: `?prefix=` narrows, `?after=` goes on behind a path, `?limit=` shortens.
pub(crate) fn list(service: &Service, caller: &Caller, query: &str) -> Result<Response, Refusal> {
    let (mut begin, mut after, mut limit) = (String::new(), String::new(), PAGE);
    for (name, value) in parameters(query) {
        match name.as_ref() {
            "prefix" => begin = value.into_owned(),
            "after" => after = value.into_owned(),
            "limit" => {
                limit = value.parse().map_err(|_| Refusal::Query("`limit` is not a number"))?
            }
            _ => {}
        }
    }
    let root = path::prefix(caller.tenant.as_deref());
    let limit = limit.clamp(1, PAGE);
    let after = if after.is_empty() { after } else { format!("{root}{after}") };
    let found = service.log.list(&format!("{root}{begin}"), &after, limit);
    let more = found.len() == limit;
    let next = found.last().filter(|_| more).map(|info| path::of(&info.name).to_owned());
    let streams: Vec<Value> = found.iter().filter_map(|info| line(service, info)).collect();
    let mut response =
        format!("{}\n", json!({ "streams": streams, "after": next })).into_response();
    put(response.headers_mut(), header::CONTENT_TYPE, "application/json");
    put(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// What is said of one stream; nothing of one that is gone.
fn line(service: &Service, info: &StreamInfo) -> Option<Value> {
    let entry = service.directory.get(info.id)?;
    if entry.is_gone() || entry.is_over(service.now_ms()) {
        return None;
    }
    let Meta { content_type, .. } = &entry.meta;
    Some(json!({
        "path": path::of(&info.name),
        "content_type": content_type.as_str(),
        "next_offset": entry.base().after(info.tail).to_string(),
        "closed": info.closed,
    }))
}
