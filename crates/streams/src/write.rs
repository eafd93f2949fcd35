//! PUT, POST and DELETE.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use crate::{
    chronicle::Author,
    content::ContentType,
    headers,
    http::{Asked, Door, body},
    lifetime::Lifetime,
    offset::{From, Offset},
    refusal::{Refusal, put},
    service::{Appended, Appending, Creation, ForkAsked, State},
};

/// Creates a stream (section 5.1).
pub(crate) async fn create(door: &Arc<Door>, asked: Asked<'_>) -> Result<Response, Refusal> {
    let (parts, content) = asked.request.into_parts();
    let fork = fork(&parts.headers, &asked.mount)?;
    let mut creation = Creation {
        content_type: content_type(&parts.headers)?,
        lifetime: lifetime(&parts.headers)?,
        closed: headers::closed(&parts.headers),
        body: bytes::Bytes::new(),
        fork,
    };
    creation.body = body(content, door.service.settings.append_bytes_max).await?;
    pay(door, asked.caller, creation.body.len())?;
    let by = Author::new(asked.caller, &parts.headers);
    let (creating, name) = (Arc::clone(door), asked.name);
    let created = async move { creating.service.create(&by, &name, creation).await };
    let (state, is_new) = whole(created).await?;
    let mut response = if is_new { StatusCode::CREATED } else { StatusCode::OK }.into_response();
    let fields = response.headers_mut();
    describe(&state, fields);
    if is_new {
        put(fields, header::LOCATION, location(&parts.headers, &parts.extensions, &parts.uri));
    }
    Ok(response)
}

/// Does something to its end, also if the client goes away meanwhile: what the log has done is to be known here.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => Err(Refusal::Unavailable),
    }
}

fn content_type(fields: &HeaderMap) -> Result<Option<ContentType>, Refusal> {
    let said = headers::text(fields, &header::CONTENT_TYPE)?;
    said.map(|said| ContentType::parse(said).ok_or(Refusal::ContentType)).transpose()
}

fn lifetime(fields: &HeaderMap) -> Result<Lifetime, Refusal> {
    let ttl = headers::text(fields, &headers::TTL)?;
    Ok(Lifetime::parse(ttl, headers::text(fields, &headers::EXPIRES_AT)?)?)
}

/// Reads where a fork begins (section 4.2).
fn fork(fields: &HeaderMap, mount: &str) -> Result<Option<ForkAsked>, Refusal> {
    let from = headers::text(fields, &headers::FORKED_FROM)?;
    let offset = headers::text(fields, &headers::FORK_OFFSET)?;
    let behind = headers::text(fields, &headers::FORK_SUB_OFFSET)?;
    let Some(from) = from else {
        return match offset.or(behind) {
            Some(_) => Err(Refusal::Fork(
                "Stream-Fork-Offset and Stream-Fork-Sub-Offset come with Stream-Forked-From",
            )),
            None => Ok(None),
        };
    };
    let path = from.strip_prefix(mount).filter(|rest| rest.starts_with('/')).unwrap_or(from);
    let path = percent_encoding::percent_decode_str(path).decode_utf8();
    let path = path.map_err(|_| Refusal::Path("The source's path is not UTF-8"))?;
    let offset = match offset.map(|token| From::parse(token).ok_or(Refusal::Offset)).transpose()? {
        Some(From::At(offset)) => Some(offset),
        Some(From::Start) => Some(Offset(0)),
        Some(From::Tail) | None => None,
    };
    let behind = behind.map(|text| headers::integer(text, headers::FORK_SUB_OFFSET)).transpose()?;
    Ok(Some(ForkAsked {
        from: path.trim_start_matches('/').to_owned(),
        offset,
        behind: behind.unwrap_or(0),
    }))
}

/// Where the stream is, as the client would ask for it.
fn location(fields: &HeaderMap, extensions: &http::Extensions, uri: &http::Uri) -> String {
    let path =
        extensions.get::<axum::extract::OriginalUri>().map_or(uri, |original| &original.0).path();
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    match text("host").or(uri.authority().map(http::uri::Authority::as_str)) {
        Some(host) => format!("{}://{host}{path}", text("x-forwarded-proto").unwrap_or("http")),
        None => path.to_owned(),
    }
}

/// Appends, closes, or both (sections 5.2 and 5.3).
pub(crate) async fn append(door: &Arc<Door>, asked: Asked<'_>) -> Result<Response, Refusal> {
    let (parts, content) = asked.request.into_parts();
    let fields = parts.headers;
    let mut appending = Appending {
        content_type: headers::text(&fields, &header::CONTENT_TYPE)?.map(str::to_owned),
        producer: headers::producer(&fields)?,
        seq: headers::writer_seq(&fields)?.map(str::to_owned),
        close: headers::closed(&fields),
        body: bytes::Bytes::new(),
    };
    let entry = door.service.find(&asked.name)?;
    appending.body = body(content, door.service.settings.append_bytes_max).await?;
    pay(door, asked.caller, appending.body.len())?;
    let has_data = !appending.body.is_empty();
    Ok(answer(&door.service.append(&entry, appending).await?, has_data))
}

fn answer(appended: &Appended, has_data: bool) -> Response {
    let is_new = appended.producer.is_some_and(|(_, _, is_duplicate)| has_data && !is_duplicate);
    let mut response = if is_new { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response();
    let fields = response.headers_mut();
    put(fields, headers::NEXT_OFFSET, appended.tail);
    if appended.closed {
        put(fields, headers::CLOSED, "true");
    }
    if let Some((epoch, seq, _)) = appended.producer {
        put(fields, headers::PRODUCER_EPOCH, epoch);
        put(fields, headers::PRODUCER_SEQ, seq);
    }
    response
}

/// Takes what an append costs from its caller's bucket.
fn pay(door: &Door, caller: &selvedge_identity::Caller, bytes: usize) -> Result<(), Refusal> {
    let who = format!("{}/{}", caller.principal.kind(), caller.principal.name());
    door.pace.take(&who, bytes, door.now_ns()).map_err(|wait| Refusal::Rate { wait })
}

/// Deletes a stream (section 5.4).
pub(crate) async fn delete(door: &Arc<Door>, asked: Asked<'_>) -> Result<Response, Refusal> {
    let entry = door.service.find(&asked.name)?;
    let by = Author::new(asked.caller, asked.request.headers());
    let deleting = Arc::clone(door);
    whole(async move { deleting.service.delete(by, &entry).await }).await?;
    Ok(Response::builder()
        .status(StatusCode::NO_CONTENT)
        .body(Body::empty())
        .expect("a status is enough"))
}

/// Adds what is said of a stream in every answer about it as a whole.
pub(crate) fn describe(state: &State, fields: &mut HeaderMap) {
    put(fields, header::CONTENT_TYPE, state.entry.meta.content_type.as_str());
    put(fields, headers::NEXT_OFFSET, state.tail);
    match &state.entry.meta.lifetime {
        Lifetime::Unlimited => {}
        Lifetime::Idle(seconds) => put(fields, headers::TTL, seconds),
        Lifetime::Until(deadline) => put(fields, headers::EXPIRES_AT, &deadline.text),
    }
    if state.closed {
        put(fields, headers::CLOSED, "true");
    }
}
