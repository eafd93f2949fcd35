//! Live reads: long-poll (section 5.7) and server-sent events (section 5.8).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, timeout_at},
};

use crate::{
    content::Kind,
    cursor,
    directory::Entry,
    headers,
    http::Door,
    offset::{From, Offset},
    read::{self, Query},
    refusal::{Refusal, put},
    service::Page,
    sse::{self, Control},
};

/// What one event of data carries at most, about.
const EVENT_BYTES: usize = 64 << 10;
/// A connection says this often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Answers as soon as there is something, or says that there is nothing.
pub(crate) async fn long_poll(
    door: &Arc<Door>,
    entry: &Arc<Entry>,
    query: &Query,
) -> Result<Response, Refusal> {
    let _place = Place::take(door, entry)?;
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
struct Place {
    entry: Arc<Entry>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(door: &Door, entry: &Arc<Entry>) -> Result<Place, Refusal> {
        let permit = Arc::clone(&door.followers).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        entry.followed(true);
        Ok(Place { entry: Arc::clone(entry), _permit: permit })
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
    entry: Arc<Entry>,
    query: &Query,
) -> Result<Response, Refusal> {
    let place = Place::take(door, &entry)?;
    let kind = entry.meta.content_type.kind();
    let first = page(door, &entry, query.from.unwrap_or(From::Start)).await?;
    let now = Instant::now();
    let connection = Connection {
        draining: door.draining.subscribe(),
        ends: now + door.service.settings.sse,
        beat: now + HEARTBEAT,
        cursor: cursor(door, query.cursor),
        at: first.next,
        step: Step::Tell(first),
        door: Arc::clone(door),
        place,
    };
    let events = futures_util::stream::unfold(connection, |mut connection| async move {
        connection.next().await.map(|event| (Ok::<_, Infallible>(event), connection))
    });
    let mut response = Response::new(Body::from_stream(events));
    let fields = response.headers_mut();
    put(fields, header::CONTENT_TYPE, "text/event-stream");
    put(fields, header::CACHE_CONTROL, "no-cache");
    if kind == Kind::Binary {
        put(fields, headers::SSE_ENCODING, "base64");
    }
    Ok(response)
}

/// A reader who follows by events. It takes a page when the one before is on its way: a slow reader holds one page, and
/// nobody waits for it.
struct Connection {
    door: Arc<Door>,
    place: Place,
    step: Step,
    /// Everything before was told.
    at: Offset,
    cursor: u64,
    ends: Instant,
    beat: Instant,
    draining: watch::Receiver<bool>,
}

/// What a connection does next.
enum Step {
    Tell(Page),
    Read,
    Wait,
    End,
}

impl Connection {
    /// Returns the next bytes of the body; none at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match std::mem::replace(&mut self.step, Step::End) {
                Step::Tell(page) => return Some(self.tell(&page)),
                // An answer that has begun can only end: who comes back is told why.
                Step::Read => {
                    self.step = Step::Tell(
                        page(&self.door, &self.place.entry, From::At(self.at)).await.ok()?,
                    )
                }
                Step::Wait if self.is_over() => return None,
                Step::Wait => match self.wait().await? {
                    true => self.step = Step::Read,
                    false => return Some(self.heartbeat()),
                },
                Step::End => return None,
            }
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends || *self.draining.borrow()
    }

    async fn wait(&mut self) -> Option<bool> {
        let until = self.beat.min(self.ends);
        wait(&self.door, &self.place.entry, self.at, until, &mut self.draining).await.ok()
    }

    fn heartbeat(&mut self) -> Bytes {
        self.beat = Instant::now() + HEARTBEAT;
        self.step = Step::Wait;
        Bytes::from_static(b": here\n\n")
    }

    /// Writes a page and where it ends.
    fn tell(&mut self, page: &Page) -> Bytes {
        self.at = page.next;
        self.cursor = self.cursor.max(cursor(&self.door, None));
        self.step = match page.is_last() {
            true => Step::End,
            false if page.is_up_to_date() => Step::Wait,
            false => Step::Read,
        };
        let mut out = BytesMut::new();
        sse::data(&page.records, self.place.entry.meta.content_type.kind(), &mut out);
        let control = Control {
            stream_next_offset: page.next.to_string(),
            stream_cursor: (!page.is_last()).then(|| self.cursor.to_string()),
            up_to_date: page.is_up_to_date(),
            stream_closed: page.is_last(),
        };
        sse::control(&control, &mut out);
        out.freeze()
    }
}
