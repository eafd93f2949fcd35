//! Views over HTTP: the list, rows with what they include, and the order to build anew.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use selvedge_eventlog::StreamId;
use selvedge_identity::{Caller, Refusal as Unknown};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Semaphore, oneshot, watch};

use super::{
    Entry, Shared, definition,
    fold::Tally,
    follow::Standing,
    lineage::Lineage,
    query::Query,
    reading::Page,
    refusal::Refusal,
    runner::{Order, now_ms},
    store::{Fault, Generation},
};

const READ: &str = "views:read";
const ADMIN: &str = "views:admin";
/// Questions that are answered at once; each has a thread.
const READERS_MAX: usize = 16;
/// Readers that wait for an offset.
const WAITING_MAX: usize = 1_024;
/// How long a reader waits for an offset when it does not say.
const WAIT: Duration = Duration::from_secs(5);
const WAIT_MS_MAX: u64 = 30_000;

/// Position of the first record that is not included.
const AS_OF: HeaderName = HeaderName::from_static("view-as-of");
const LAG_RECORDS: HeaderName = HeaderName::from_static("view-lag-records");
const LAG_MS: HeaderName = HeaderName::from_static("view-lag-ms");
const INCOMPLETE: HeaderName = HeaderName::from_static("view-incomplete");

/// What all requests share.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    reading: Arc<Semaphore>,
    waiting: Semaphore,
    pub(super) draining: watch::Sender<bool>,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>) -> Door {
        Door {
            shared,
            reading: Arc::new(Semaphore::new(READERS_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            draining: watch::Sender::new(false),
        }
    }

    /// The view of that name, if the caller may know of it.
    fn find(&self, name: &str, caller: &Caller) -> Result<Arc<Entry>, Refusal> {
        let entry = self.shared.board.entry(name);
        entry.filter(|entry| is_for(entry, caller)).ok_or(Refusal::Missing)
    }

    /// Does what waits for a disk on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let shared = self.shared.clone();
        at_a_place(&self.reading, move || work(&shared)).await
    }
}

/// Does work on a thread of its own, which takes one of these places until it is done: whoever asked for
/// it may go away meanwhile.
async fn at_a_place<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let place = places.clone().acquire_owned().await.map_err(|_| Refusal::Busy)?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.map_err(|_| Refusal::Unavailable("Reading failed".to_owned()))
}

/// A view is for callers of its tenant, and for those who look after all of them.
fn is_for(entry: &Entry, caller: &Caller) -> bool {
    entry.view.tenant == caller.tenant || caller.require(ADMIN).is_ok()
}

pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{name}", get(rows))
        .route("/{name}/rebuild", post(rebuild))
        .with_state(door)
}

/// How far a view is behind its stream.
#[derive(Debug, Clone, Copy, Default)]
struct Lag {
    records: u64,
    /// Since when the first record waits that is not included.
    ms: u64,
}

impl Shared {
    /// The view's stream as it is now, whatever the thread that follows it knows of it.
    fn stream(&self, entry: &Entry) -> Option<Lineage> {
        Lineage::of(&self.log, self.log.stream(&entry.source)?).ok()
    }

    /// Blocks, for the time of a record lies on disk.
    fn lag(&self, entry: &Entry, generation: &Generation) -> Lag {
        let Some(stream) = self.stream(entry) else { return Lag::default() };
        let cursor = generation.cursor_in(stream.id);
        let records = stream.tail.saturating_sub(cursor);
        if records == 0 {
            return Lag::default();
        }
        let first = stream.read(&self.log, cursor.max(stream.start), 1).ok();
        let time_ms = first.and_then(|piece| piece.time_ms());
        Lag { records, ms: now_ms().saturating_sub(time_ms.unwrap_or(stream.time_ms)) }
    }
}

impl Generation {
    /// How much of a stream it includes: nothing of one that it was not built from.
    fn cursor_in(&self, stream: StreamId) -> u64 {
        if self.stream == stream.get() { self.cursor } else { 0 }
    }
}

async fn list(State(door): State<Arc<Door>>, caller: Caller) -> Result<Response, Unknown> {
    caller.require(READ)?;
    let mut entries = door.shared.board.all();
    entries.retain(|entry| is_for(entry, &caller));
    let list = door.blocking(move |shared| {
        entries.iter().map(|entry| describe(shared, entry)).collect::<Value>()
    });
    Ok(match list.await {
        Ok(views) => no_store(Json(json!({ "views": views })).into_response()),
        Err(refusal) => refusal.into_response(),
    })
}

fn describe(shared: &Shared, entry: &Entry) -> Value {
    let standing = entry.standing.borrow().clone();
    let Standing { state, trouble, stream: _, shown, building } = &standing;
    let lag = shown.as_ref().map(|shown| shared.lag(entry, shown)).unwrap_or_default();
    let faults = standing.current().map(|current| shared.readers.faults(current.id));
    let faults = faults.and_then(Result::ok).unwrap_or_default();
    let Tally { rows, folded, passed, bad, overflowed } = standing.tally();
    json!({
        "name": entry.view.name,
        "stream": entry.view.stream,
        "tenant": entry.view.tenant,
        "state": state.name(),
        "trouble": trouble,
        "as_of": shown.as_ref().map(|shown| token(shown.cursor)),
        "lag_records": lag.records,
        "lag_ms": lag.ms,
        "rows": rows,
        "rows_max": entry.view.rows_max,
        "events": { "folded": folded, "passed": passed, "bad": bad, "overflowed": overflowed },
        "bad": faults.iter().map(describe_fault).collect::<Value>(),
        "incomplete": shown.as_ref().and_then(incomplete),
        "building": building.as_ref().map(|building| json!({
            "as_of": token(building.cursor),
            "takes_over_at": token(building.goal),
        })),
        "definition": definition::shape(&entry.view.shape),
    })
}

fn describe_fault(fault: &Fault) -> Value {
    let Fault { seq, time_ms, reason, beginning } = fault;
    json!({ "offset": token(*seq), "time_ms": time_ms, "reason": reason, "beginning": beginning })
}

/// What retention removed before it was folded.
fn incomplete(generation: &Generation) -> Option<Value> {
    let since_ms = generation.missed_since_ms?;
    Some(json!({ "since_ms": since_ms, "missed": generation.missed }))
}

async fn rows(
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Unknown> {
    caller.require(READ)?;
    let answer = answer(&door, (&name, &caller), query.as_deref().unwrap_or_default(), &headers);
    Ok(answer.await.unwrap_or_else(IntoResponse::into_response))
}

async fn answer(
    door: &Door,
    (name, caller): (&str, &Caller),
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let entry = door.find(name, caller)?;
    let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
    let (query, others) = Query::parse(parameters)?;
    let freshness = Freshness::parse(&others)?;
    freshness.wait(door, &entry).await?;
    let (page, lag) = door.blocking(move |shared| read(shared, &entry, &query)).await??;
    let etag = format!("W/\"{}-{}\"", page.generation.id, page.generation.cursor);
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| {
        known.to_str().is_ok_and(|known| known.split(',').any(|one| one.trim() == etag))
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(body(name, &page, lag)?).into_response(),
    };
    let fields = response.headers_mut();
    put(fields, header::ETAG, etag);
    put(fields, header::CACHE_CONTROL, "private, no-cache".to_owned());
    put(fields, AS_OF, token(page.generation.cursor));
    put(fields, LAG_RECORDS, lag.records.to_string());
    put(fields, LAG_MS, lag.ms.to_string());
    if page.generation.missed_since_ms.is_some() {
        put(fields, INCOMPLETE, page.generation.missed.to_string());
    }
    Ok(response)
}

fn read(shared: &Shared, entry: &Entry, query: &Query) -> Result<(Page, Lag), Refusal> {
    let standing = entry.standing.borrow().clone();
    if let Some(fields) = &entry.fields {
        let asked = query.conditions.iter().map(|condition| &condition.field);
        let mut asked = asked.chain(query.order.iter().map(|order| &order.field));
        if let Some(unknown) = asked.find(|asked| !fields.contains(asked)) {
            let known = fields.join("`, `");
            return Err(Refusal::Query(format!(
                "Rows have no field `{unknown}`; they have `{known}`"
            )));
        }
    }
    let view = (entry.view.name.as_str(), &entry.view.shape);
    match shared.readers.page(view, query)? {
        Some(page) => {
            let lag = shared.lag(entry, &page.generation);
            Ok((page, lag))
        }
        None => Err(match standing.trouble {
            Some(trouble) => Refusal::Refused(trouble),
            None => Refusal::Empty { state: standing.state.name() },
        }),
    }
}

/// Rows and what they include, each row as it is stored.
#[derive(Serialize)]
struct Body<'p> {
    view: &'p str,
    as_of: String,
    lag_records: u64,
    lag_ms: u64,
    incomplete: Option<Value>,
    rows: Vec<&'p RawValue>,
    next: Option<&'p str>,
}

fn body<'p>(view: &'p str, page: &'p Page, lag: Lag) -> Result<Body<'p>, Refusal> {
    let rows = page.rows.iter().map(|row| serde_json::from_str(row)).collect::<Result<_, _>>();
    let damaged = |_| Refusal::Unavailable("A row is damaged; rebuild the view".to_owned());
    Ok(Body {
        view,
        as_of: token(page.generation.cursor),
        lag_records: lag.records,
        lag_ms: lag.ms,
        incomplete: incomplete(&page.generation),
        rows: rows.map_err(damaged)?,
        next: page.next.as_deref(),
    })
}

/// What a reader wants to be included, and how long it waits for that.
struct Freshness {
    min_offset: Option<u64>,
    wait: Duration,
}

impl Freshness {
    fn parse(parameters: &[(String, String)]) -> Result<Freshness, Refusal> {
        let mut freshness = Freshness { min_offset: None, wait: WAIT };
        for (name, value) in parameters {
            match name.as_str() {
                "min_offset" => freshness.min_offset = Some(offset(value)?),
                "wait_ms" => {
                    let ms = value.parse().ok().filter(|ms| *ms <= WAIT_MS_MAX);
                    let reason = format!("`wait_ms` is a number from 0 to {WAIT_MS_MAX}");
                    freshness.wait = Duration::from_millis(ms.ok_or(Refusal::Query(reason))?);
                }
                name => {
                    let known = "key, prefix, where, order, limit, after, min_offset and wait_ms";
                    return Err(Refusal::Query(format!(
                        "There is no parameter `{name}`; there are {known}"
                    )));
                }
            }
        }
        Ok(freshness)
    }

    async fn wait(&self, door: &Door, entry: &Entry) -> Result<(), Refusal> {
        let Some(least) = self.min_offset else { return Ok(()) };
        let mut standing = entry.standing.subscribe();
        let stream = door.shared.stream(entry);
        let tail = stream.as_ref().map_or(0, |stream| stream.tail);
        let cursor = |standing: &Standing| match (&stream, &standing.shown) {
            (Some(stream), Some(shown)) => shown.cursor_in(stream.id),
            _ => 0,
        };
        if cursor(&standing.borrow_and_update()) >= least {
            return Ok(());
        }
        if least > tail {
            return Err(Refusal::Offset("It lies behind the end of the stream."));
        }
        let _place = door.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        let mut draining = door.draining.subscribe();
        let reached = tokio::select! {
            reached = tokio::time::timeout(self.wait, standing.wait_for(|it| cursor(it) >= least)) => {
                matches!(reached, Ok(Ok(_)))
            }
            _ = draining.wait_for(|draining| *draining) => false,
        };
        let lag = tail.saturating_sub(cursor(&standing.borrow()));
        if reached { Ok(()) } else { Err(Refusal::Behind { lag }) }
    }
}

/// Digits of a position, and what follows them, as the streams' `Stream-Next-Offset` has them.
const DIGITS: usize = 16;
const WHOLE: &str = "_0000000000000000";

fn token(sequence: u64) -> String {
    format!("{sequence:016x}{WHOLE}")
}

fn offset(text: &str) -> Result<u64, Refusal> {
    let digits = text.strip_suffix(WHOLE).filter(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or(Refusal::Offset("Give what `Stream-Next-Offset` said when you appended."))
}

async fn rebuild(
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Unknown> {
    caller.require(ADMIN)?;
    let is_lossy = query.as_deref() == Some("lossy=true");
    let ordered = order_rebuild(&door, (&name, &caller), is_lossy).await;
    Ok(ordered.map_or_else(IntoResponse::into_response, |()| {
        let body = Json(json!({ "view": name, "state": "building" }));
        no_store((StatusCode::ACCEPTED, body).into_response())
    }))
}

async fn order_rebuild(
    door: &Door,
    (name, caller): (&str, &Caller),
    is_lossy: bool,
) -> Result<(), Refusal> {
    let entry = door.find(name, caller)?;
    let standing = entry.standing.borrow().clone();
    let lost = door.shared.lost_by_rebuild(&entry, &standing);
    if lost > 0 && !is_lossy {
        return Err(Refusal::Lossy { lost });
    }
    let (done, outcome) = oneshot::channel();
    if !door.shared.orders.give(Order::Rebuild { view: name.to_owned(), done }) {
        return Err(Refusal::Busy);
    }
    match outcome.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(Refusal::Unavailable(reason)),
        Err(_) => Err(Refusal::Unavailable("The core is ending".to_owned())),
    }
}

impl Shared {
    /// How many records the view has that its stream does not hold any more.
    fn lost_by_rebuild(&self, entry: &Entry, standing: &Standing) -> u64 {
        let Some(shown) = &standing.shown else { return 0 };
        let same = self.stream(entry).filter(|stream| stream.id.get() == shown.stream);
        let gone = same.map_or(shown.cursor, |stream| stream.start.min(shown.cursor));
        gone.saturating_sub(shown.missed)
    }

    /// Appends metrics in Prometheus' text format.
    pub(super) fn render_metrics(&self, out: &mut String) {
        type Read = fn(&Shared, &Entry, &Standing) -> u64;
        let metrics: [(&str, &str, &str, Read); 5] = [
            (
                "lag_records",
                "gauge",
                "Records of the stream that the view does not include.",
                |shared, entry, it| {
                    let Some(stream) = shared.stream(entry) else { return 0 };
                    let included = it.shown.as_ref().map_or(0, |shown| shown.cursor_in(stream.id));
                    stream.tail.saturating_sub(included)
                },
            ),
            ("rows", "gauge", "Rows of the view.", |_, _, it| it.tally().rows),
            (
                "bad_events_total",
                "counter",
                "Events that were not what the view expects.",
                |_, _, it| it.tally().bad,
            ),
            (
                "overflowed_events_total",
                "counter",
                "Events for which there was no row left.",
                |_, _, it| it.tally().overflowed,
            ),
            (
                "missed_records",
                "gauge",
                "Records that retention removed before they were folded.",
                |_, _, it| it.shown.as_ref().map_or(0, |shown| shown.missed),
            ),
        ];
        let entries = self.board.all();
        if entries.is_empty() {
            return;
        }
        for (name, kind, help, read) in metrics {
            let _ = writeln!(
                out,
                "# HELP selvedge_view_{name} {help}\n# TYPE selvedge_view_{name} {kind}"
            );
            for entry in &entries {
                let value = read(self, entry, &entry.standing.borrow());
                let _ =
                    writeln!(out, "selvedge_view_{name}{{view=\"{}\"}} {value}", entry.view.name);
            }
        }
    }
}

fn no_store(mut response: Response) -> Response {
    put(response.headers_mut(), header::CACHE_CONTROL, "no-store".to_owned());
    response
}

/// Adds a field whose value is ours.
fn put(fields: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        fields.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::mpsc,
        task::{Context, Waker},
    };

    use super::*;

    /// As who asks and hangs up at once.
    fn ask_and_go(places: &Arc<Semaphore>, work: impl FnOnce() + Send + 'static) {
        let mut asked = pin!(at_a_place(places, work));
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[tokio::test]
    async fn who_hangs_up_gives_no_place_to_others() {
        let places = Arc::new(Semaphore::new(2));
        let (began, beginnings) = mpsc::channel();
        let (end, ending) = mpsc::channel::<()>();
        let ending = Arc::new(std::sync::Mutex::new(ending));
        for _ in 0..8 {
            let (began, ending) = (began.clone(), ending.clone());
            ask_and_go(&places, move || {
                began.send(()).unwrap();
                // Held up until the other end is dropped.
                let _ = ending.lock().unwrap().recv();
            });
        }
        drop(began);
        assert_eq!(places.available_permits(), 0, "both are at work");
        drop(end);
        at_a_place(&places, || ()).await.unwrap();
        assert_eq!(beginnings.iter().count(), 2, "nobody else began");
    }
}
