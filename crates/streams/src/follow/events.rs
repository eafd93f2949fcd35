//! Server-sent events as the body of an answer.
//!
//! A thousand followers are told of each append, so what one of them costs is counted: nothing is asked of the timer or of the
//! drain while events come, what was written for one is given to all who stand at the same place, and the future that reads old
//! records exists only while it reads.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use selvedge_eventlog::Follower;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{EVENT_BYTES, Place, cursor};
use crate::{
    http::Door,
    offset::{From, Offset},
    refusal::Refusal,
    service::Page,
    sse::{self, Control},
};

/// A connection says this often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A reader who follows by events. It takes a page when the one before is on its way: a slow reader holds one page, and
/// nobody waits for it.
pub(super) struct Events {
    door: Arc<Door>,
    place: Place,
    step: Step,
    /// Everything before was told.
    at: Offset,
    cursor: u64,
    /// Waits at `at`, once the end of the stream was reached for the first time.
    follower: Option<Follower>,
    ends: Instant,
    /// When there is something to be done although nothing comes.
    alarm: Pin<Box<Sleep>>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a connection does next.
enum Step {
    Tell(Page),
    Read,
    /// A read that memory could not answer at once.
    Reading(Pin<Box<dyn Future<Output = Result<Page, Refusal>> + Send>>),
    Wait,
    End,
}

/// What followers at one place are told, written once for all of them.
#[derive(Debug)]
pub(crate) struct Told {
    from: Offset,
    cursor: u64,
    event: Bytes,
    next: Offset,
    after: After,
}

/// What comes after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    More,
    News,
    Nothing,
}

impl Events {
    pub(super) fn new(door: &Arc<Door>, place: Place, (first, cursor): (Page, u64)) -> Self {
        let now = Instant::now();
        let ends = now + door.service.settings.sse;
        let mut draining = door.draining.subscribe();
        Self {
            door: Arc::clone(door),
            place,
            at: first.from,
            step: Step::Tell(first),
            cursor,
            follower: None,
            ends,
            alarm: Box::pin(sleep_until(ends.min(now + HEARTBEAT))),
            draining: Box::pin(async move {
                // A door that has gone lets its readers go as well.
                let _ = draining.wait_for(|draining| *draining).await;
            }),
        }
    }

    /// Returns the next bytes of the body; none at its end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match std::mem::replace(&mut self.step, Step::End) {
                Step::Tell(page) => return Poll::Ready(Some(self.tell(&page))),
                Step::Read => match self.known() {
                    Some(event) => return Poll::Ready(Some(event)),
                    None => self.step = Step::Reading(self.read()),
                },
                Step::Reading(mut read) => match read.as_mut().poll(context) {
                    // An answer that has begun can only end: who comes back is told why.
                    Poll::Ready(page) => match page {
                        Ok(page) => self.step = Step::Tell(page),
                        Err(_) => return Poll::Ready(None),
                    },
                    Poll::Pending => {
                        self.step = Step::Reading(read);
                        return Poll::Pending;
                    }
                },
                Step::Wait if self.is_over() => return Poll::Ready(None),
                Step::Wait => match self.wait(context) {
                    Poll::Ready(Some(News::Records)) => self.step = Step::Read,
                    Poll::Ready(Some(News::Time)) => return Poll::Ready(Some(self.heartbeat())),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => {
                        self.step = Step::Wait;
                        return Poll::Pending;
                    }
                },
                Step::End => return Poll::Ready(None),
            }
        }
    }

    fn is_over(&self) -> bool {
        *self.door.draining.borrow() || Instant::now() >= self.ends
    }

    /// Waits for something behind `at`, the stream's end, or for the time to say that we are there; nothing comes of a stream
    /// that is gone, or after the end.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<News>> {
        let Some(follower) = self.follower() else { return Poll::Ready(None) };
        if Pin::new(&mut follower.changed()).poll(context).is_ready() {
            return Poll::Ready(Some(News::Records));
        }
        if self.draining.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        ready!(self.alarm.as_mut().poll(context));
        let now = Instant::now();
        self.alarm.as_mut().reset(self.ends.min(now + HEARTBEAT));
        Poll::Ready((now < self.ends).then_some(News::Time))
    }

    /// The one who waits at `at`.
    fn follower(&mut self) -> Option<&Follower> {
        let (entry, service) = (&self.place.entry, &self.door.service);
        match &mut self.follower {
            Some(follower) => follower.go_to(self.at.0.saturating_sub(entry.base().0)),
            none => *none = Some(service.follow(entry, self.at).ok()?),
        }
        self.follower.as_ref()
    }

    fn heartbeat(&mut self) -> Bytes {
        self.step = Step::Wait;
        Bytes::from_static(b": here\n\n")
    }

    /// What somebody else at the same place was told.
    fn known(&mut self) -> Option<Bytes> {
        let cursor = self.cursor.max(cursor(&self.door, None));
        let told = self.place.entry.told()?;
        let fits = told.from == self.at && told.cursor == cursor;
        fits.then(|| self.go_on(&told))
    }

    fn read(&self) -> Pin<Box<dyn Future<Output = Result<Page, Refusal>> + Send>> {
        let (door, entry, at) = (self.door.clone(), self.place.entry.clone(), self.at);
        Box::pin(async move { door.service.page(&entry, From::At(at), EVENT_BYTES).await })
    }

    /// Writes a page and where it ends.
    fn tell(&mut self, page: &Page) -> Bytes {
        let entry = &self.place.entry;
        let cursor = self.cursor.max(cursor(&self.door, None));
        let told = Arc::new(Told {
            from: self.at,
            cursor,
            event: event(page, entry.meta.content_type.kind(), cursor),
            next: page.next,
            after: After::of(page),
        });
        // Who is behind reads by itself; and what leads nowhere is told to who comes, and to nobody who waits.
        if told.after == After::News && told.next > told.from {
            entry.tell(Arc::clone(&told));
        }
        self.go_on(&told)
    }

    fn go_on(&mut self, told: &Told) -> Bytes {
        (self.at, self.cursor) = (told.next, told.cursor);
        self.step = match told.after {
            After::More => Step::Read,
            After::News => Step::Wait,
            After::Nothing => Step::End,
        };
        told.event.clone()
    }
}

/// What ends a wait.
enum News {
    Records,
    Time,
}

impl After {
    fn of(page: &Page) -> Self {
        match page.is_last() {
            true => Self::Nothing,
            false if page.is_up_to_date() => Self::News,
            false => Self::More,
        }
    }
}

fn event(page: &Page, kind: crate::content::Kind, cursor: u64) -> Bytes {
    let mut out = BytesMut::new();
    sse::data(&page.records, kind, &mut out);
    let control = Control {
        stream_next_offset: page.next.to_string(),
        stream_cursor: (!page.is_last()).then(|| cursor.to_string()),
        up_to_date: page.is_up_to_date(),
        stream_closed: page.is_last(),
    };
    sse::control(&control, &mut out);
    out.freeze()
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = ready!(self.poll_next(context));
        Poll::Ready(next.map(|event| Ok(Frame::data(event))))
    }
}
