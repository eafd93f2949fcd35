//! Live reads: long-poll (section 5.7) and server-sent events (section 5.8).

mod events;

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use selvedge_identity::Caller;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use self::events::Events;
pub(crate) use self::events::Told;
use crate::{
    content::Kind,
    cursor,
    directory::Entry,
    headers,
    http::Door,
    offset::{From, Offset},
    read::{self, Query},
    refusal::{Refusal, put},
    seats::Seat,
    service::Page,
};

/// What one event of data carries at most, about.
const EVENT_BYTES: usize = 64 << 10;

/// Answers as soon as there is something, or says that there is nothing.
pub(crate) async fn long_poll(
    door: &Arc<Door>,
    place: Place,
    query: &Query,
) -> Result<Response, Refusal> {
    let entry = &place.entry;
    let deadline = Instant::now() + door.service.settings.long_poll;
    let mut page = page(door, entry, query.from.unwrap_or(From::Start)).await?;
    let mut draining = door.draining.subscribe();
    while page.records.is_empty() && !page.is_last() {
        if !wait(door, entry, page.next, deadline, &mut draining).await? {
            break;
        }
        page = self::page(door, entry, From::At(page.next)).await?;
    }
    let mut response = match page.records.is_empty() {
        true => StatusCode::NO_CONTENT.into_response(),
        false => read::whole(entry, &page),
    };
    let fields = response.headers_mut();
    read::place(&page, fields);
    put(
        fields,
        header::CACHE_CONTROL,
        if page.records.is_empty() { "no-store" } else { read::CACHED },
    );
    if !page.is_last() {
        put(fields, headers::CURSOR, cursor(door, query.cursor));
    }
    Ok(response)
}

/// A place among those that follow, and the mark that the stream is followed.
pub(crate) struct Place {
    entry: Arc<Entry>,
    _seat: Seat,
}

impl Place {
    pub(crate) fn take(door: &Door, caller: &Caller, entry: Arc<Entry>) -> Result<Place, Refusal> {
        let seat = door.seats.take(caller)?;
        entry.followed(true);
        Ok(Place { entry, _seat: seat })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.entry.followed(false);
    }
}

async fn page(door: &Door, entry: &Arc<Entry>, from: From) -> Result<Page, Refusal> {
    door.service.page(entry, from, EVENT_BYTES).await
}

fn cursor(door: &Door, theirs: Option<u64>) -> u64 {
    cursor::next(door.service.now_ms() / 1000, theirs, fastrand::u64(..))
}

/// Waits for something behind `at`, the stream's end. Returns whether there is, and not the end of the wait.
async fn wait(
    door: &Door,
    entry: &Entry,
    at: Offset,
    until: Instant,
    draining: &mut watch::Receiver<bool>,
) -> Result<bool, Refusal> {
    let follower = door.service.follow(entry, at)?;
    tokio::select! {
        changed = timeout_at(until, follower.changed()) => Ok(changed.is_ok()),
        _ = draining.wait_for(|draining| *draining) => Ok(false),
    }
}

/// Sends what there is and what comes, until the connection's time is over or the stream ends.
pub(crate) async fn events(
    door: &Arc<Door>,
    place: Place,
    query: &Query,
) -> Result<Response, Refusal> {
    let kind = place.entry.meta.content_type.kind();
    let first = page(door, &place.entry, query.from.unwrap_or(From::Start)).await?;
    let events = Events::new(door, place, (first, cursor(door, query.cursor)));
    let mut response = Response::new(Body::new(events));
    let fields = response.headers_mut();
    put(fields, header::CONTENT_TYPE, "text/event-stream");
    put(fields, header::CACHE_CONTROL, "no-cache");
    if kind == Kind::Binary {
        put(fields, headers::SSE_ENCODING, "base64");
    }
    Ok(response)
}
