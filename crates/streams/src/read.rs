//! GET and HEAD.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use crate::{
    content::Kind,
    cursor,
    directory::Entry,
    follow::{self, Place},
    headers,
    http::{Asked, Door},
    json,
    offset::From,
    refusal::{Refusal, put},
    service::Page,
    write::describe,
};

/// What a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) from: Option<From>,
    pub(crate) live: Option<Live>,
    pub(crate) cursor: Option<u64>,
}

/// How a reader goes on at the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    LongPoll,
    Sse,
}

impl Query {
    /// Reads the query; parameters that nobody knows mean nothing.
    pub(crate) fn parse(text: &str) -> Result<Query, Refusal> {
        let mut query = Query { from: None, live: None, cursor: None };
        for (name, value) in parameters(text) {
            match name.as_ref() {
                "offset" if query.from.is_some() => {
                    return Err(Refusal::Query("`offset` came more than once"));
                }
                "offset" => query.from = Some(From::parse(&value).ok_or(Refusal::Offset)?),
                "live" => query.live = Some(live(&value)?),
                // A cursor is only echoed to tell answers apart: what is none counts as none.
                "cursor" => query.cursor = value.parse().ok(),
                _ => {}
            }
        }
        match (query.live, query.from) {
            (Some(_), None) => Err(Refusal::Query(
                "A live read says where it begins: `offset=-1`, `now`, or a token",
            )),
            _ => Ok(query),
        }
    }
}

fn live(text: &str) -> Result<Live, Refusal> {
    match text {
        "long-poll" => Ok(Live::LongPoll),
        "sse" => Ok(Live::Sse),
        _ => Err(Refusal::Query("`live` is `long-poll` or `sse`")),
    }
}

/// Names and values of a query, decoded. A `+` is a plus: tokens have no blanks.
pub(crate) fn parameters(
    text: &str,
) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
    let decoded = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Reads a stream (sections 5.6 to 5.8).
pub(crate) async fn get(door: &Arc<Door>, asked: Asked<'_>) -> Result<Response, Refusal> {
    let query = Query::parse(asked.request.uri().query().unwrap_or_default())?;
    let entry = door.service.find(&asked.name)?;
    entry.touch(door.service.now_ms());
    let Some(live) = query.live else {
        return catch_up(door, &entry, &query, asked.request.headers()).await;
    };
    let place = Place::take(door, asked.caller, entry)?;
    match live {
        Live::LongPoll => follow::long_poll(door, place, &query).await,
        Live::Sse => follow::events(door, place, &query).await,
    }
}

async fn catch_up(
    door: &Door,
    entry: &Arc<Entry>,
    query: &Query,
    fields: &HeaderMap,
) -> Result<Response, Refusal> {
    let from = query.from.unwrap_or(From::Start);
    let page = door.service.page(entry, from, door.service.settings.page_bytes).await?;
    let tag = tag(entry, &page);
    if from != From::Tail && matches(fields, &tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        put(response.headers_mut(), header::ETAG, tag);
        put(response.headers_mut(), header::CACHE_CONTROL, CACHED);
        return Ok(response);
    }
    let mut response = whole(entry, &page);
    let fields = response.headers_mut();
    if from == From::Tail {
        put(fields, header::CACHE_CONTROL, "no-store");
    } else {
        put(fields, header::ETAG, tag);
        put(fields, header::CACHE_CONTROL, CACHED);
    }
    put(
        fields,
        headers::CURSOR,
        cursor::next(door.service.now_ms() / 1000, query.cursor, fastrand::u64(..)),
    );
    Ok(response)
}

/// Streams are not shared: each reader was asked who it is.
pub(crate) const CACHED: &str = "private, max-age=60, stale-while-revalidate=300";

/// An entity tag: the stream, where the answer begins and ends, and whether that is the end for ever.
fn tag(entry: &Entry, page: &Page) -> String {
    let closed = if page.is_last() { ":c" } else { "" };
    format!("\"{:x}:{}:{}{closed}\"", entry.id.get(), page.from, page.next)
}

/// Whether a reader has what the tag stands for (RFC 9110, section 13.1.2).
fn matches(fields: &HeaderMap, tag: &str) -> bool {
    let said = fields.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|item| item == "*" || item.trim_start_matches("W/") == tag)
}

/// A page as one answer, without what says how long it may be kept.
pub(crate) fn whole(entry: &Entry, page: &Page) -> Response {
    let mut response =
        Response::new(Body::from(content(entry.meta.content_type.kind(), &page.records)));
    let fields = response.headers_mut();
    put(fields, header::CONTENT_TYPE, entry.meta.content_type.as_str());
    place(page, fields);
    response
}

/// Says where a page ends, and what is behind it.
pub(crate) fn place(page: &Page, fields: &mut HeaderMap) {
    put(fields, headers::NEXT_OFFSET, page.next);
    if page.is_up_to_date() {
        put(fields, headers::UP_TO_DATE, "true");
    }
    if page.is_last() {
        put(fields, headers::CLOSED, "true");
    }
}

fn content(kind: Kind, records: &[Bytes]) -> Bytes {
    match (kind, records) {
        (Kind::Json, records) => json::array(records.iter()),
        (_, [one]) => one.clone(),
        (_, records) => records.concat().into(),
    }
}

/// Says what a stream is (section 5.5).
pub(crate) fn head(door: &Door, asked: Asked<'_>) -> Result<Response, Refusal> {
    let state = door.service.state(&door.service.find(&asked.name)?)?;
    let mut response = StatusCode::OK.into_response();
    describe(&state, response.headers_mut());
    put(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    Ok(response)
}
