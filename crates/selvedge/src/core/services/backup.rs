//! Moments of the log for backups. Whoever takes one reads the files by themselves; this keeps them there, for as
//! long as it is said again and again that they are still wanted.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use selvedge_audit::event::{Event, Fact};
use selvedge_backup::Moment;
use selvedge_eventlog::{Log, Snapshot};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    Service,
    audit::{Asker, Journal, unwritten},
};
use crate::core::refusal::Refusal;

/// What it takes to hold on to the log.
const SCOPE: &str = "backup:create";
/// How long a moment is kept for somebody who says nothing.
const LEASE: Duration = Duration::from_secs(600);
/// How often those are looked for whose time is over.
const SWEEP: Duration = Duration::from_secs(10);
/// Moments at once: nothing is deleted while there is one.
const HELD_MAX: usize = 4;
/// Bytes of a name that somebody else chose.
const NAME_BYTES_MAX: usize = 512;

/// Holds on to moments.
pub(super) struct BackupService {
    desk: Arc<Desk>,
    sweep: JoinHandle<()>,
}

struct Desk {
    log: Log,
    journal: Arc<Journal>,
    held: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    next: u64,
    moments: BTreeMap<u64, Held>,
    taken: u64,
    lapsed: u64,
}

struct Held {
    _snapshot: Snapshot,
    until: Instant,
}

#[derive(Deserialize)]
struct Wanted {
    destination: String,
}

#[derive(Deserialize)]
struct Done {
    backup: String,
    destination: String,
    objects: u64,
    bytes: u64,
}

impl BackupService {
    /// Inside of the runtime.
    pub(super) fn open(log: Log, journal: Arc<Journal>) -> Self {
        let desk = Arc::new(Desk { log, journal, held: Mutex::default() });
        let sweeping = desk.clone();
        let sweep = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                ticks.tick().await;
                sweeping.lock().sweep(Instant::now());
            }
        });
        Self { desk, sweep }
    }
}

impl Service for BackupService {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/", get(state).post(take))
            .route("/{id}", post(keep).delete(release))
            .route("/done", post(done))
            .with_state(self.desk.clone())
    }

    fn render_metrics(&self, out: &mut String) {
        let shelf = self.desk.lock();
        let (held, taken, lapsed) = (shelf.moments.len(), shelf.taken, shelf.lapsed);
        write!(
            out,
            "# HELP selvedge_backup_moments Moments of the log held for backups; nothing is deleted meanwhile.\n\
             # TYPE selvedge_backup_moments gauge\n\
             selvedge_backup_moments {held}\n\
             # HELP selvedge_backup_moments_total Moments that were taken.\n\
             # TYPE selvedge_backup_moments_total counter\n\
             selvedge_backup_moments_total {taken}\n\
             # HELP selvedge_backup_moments_lapsed_total Moments whose holder fell silent.\n\
             # TYPE selvedge_backup_moments_lapsed_total counter\n\
             selvedge_backup_moments_lapsed_total {lapsed}\n"
        )
        .expect("a String takes every write");
    }

    fn close(&self) {
        self.sweep.abort();
        self.desk.lock().moments.clear();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Every change is made at once.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn sweep(&mut self, now: Instant) {
        let before = self.moments.len();
        self.moments.retain(|_, held| held.until > now);
        self.lapsed += (before - self.moments.len()) as u64;
    }

    fn put(&mut self, snapshot: Snapshot, now: Instant) -> u64 {
        self.next += 1;
        self.taken += 1;
        self.moments.insert(self.next, Held { _snapshot: snapshot, until: now + LEASE });
        self.next
    }
}

async fn state(asker: Asker, State(desk): State<Arc<Desk>>) -> Response {
    if let Err(refusal) = asker.caller.require(SCOPE) {
        return refusal.into_response();
    }
    let now = Instant::now();
    let shelf = desk.lock();
    let moments = shelf.moments.iter().map(|(id, held)| {
        let left = held.until.saturating_duration_since(now).as_secs();
        json!({ "id": id, "seconds_left": left })
    });
    Json(json!({ "moments": moments.collect::<Vec<_>>() })).into_response()
}

/// Takes a moment: that somebody copies the log is in the audit log before it begins.
async fn take(asker: Asker, State(desk): State<Arc<Desk>>, Json(wanted): Json<Wanted>) -> Response {
    if let Err(refusal) = asker.caller.require(SCOPE) {
        return refusal.into_response();
    }
    if desk.lock().moments.len() >= HELD_MAX {
        return Refusal::Moments.response();
    }
    let event = about(&desk, &asker, "backup.begin", ("log", "events"), &wanted.destination);
    if let Err(error) = desk.journal.write(event).await {
        return unwritten(&error);
    }
    let taking = desk.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let snapshot = taking.log.snapshot()?;
        let moment = Moment::of(&taking.log, &snapshot);
        let id = taking.lock().put(snapshot, Instant::now());
        Ok::<_, std::io::Error>(json!({ "id": id, "lease_s": LEASE.as_secs(), "moment": moment }))
    });
    match taken.await {
        Ok(Ok(answer)) => (StatusCode::CREATED, Json(answer)).into_response(),
        _ => Refusal::Unreadable.response(),
    }
}

async fn keep(asker: Asker, State(desk): State<Arc<Desk>>, Path(id): Path<u64>) -> Response {
    if let Err(refusal) = asker.caller.require(SCOPE) {
        return refusal.into_response();
    }
    match desk.lock().moments.get_mut(&id) {
        Some(held) => {
            held.until = Instant::now() + LEASE;
            StatusCode::NO_CONTENT.into_response()
        }
        None => Refusal::Nothing.response(),
    }
}

async fn release(asker: Asker, State(desk): State<Arc<Desk>>, Path(id): Path<u64>) -> Response {
    if let Err(refusal) = asker.caller.require(SCOPE) {
        return refusal.into_response();
    }
    match desk.lock().moments.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => Refusal::Nothing.response(),
    }
}

/// Records that a backup is there.
async fn done(asker: Asker, State(desk): State<Arc<Desk>>, Json(done): Json<Done>) -> Response {
    if let Err(refusal) = asker.caller.require(SCOPE) {
        return refusal.into_response();
    }
    let Done { backup, destination, objects, bytes } = done;
    let name = cut(&backup);
    let mut event = about(&desk, &asker, "backup.create", ("backup", &name), &destination);
    let number = |number: u64| Fact::Number(i64::try_from(number).unwrap_or(i64::MAX));
    event.details.insert("objects".to_owned(), number(objects));
    event.details.insert("bytes".to_owned(), number(bytes));
    match desk.journal.write(event).await {
        Ok(entry) => Json(json!({ "entry": entry })).into_response(),
        Err(error) => unwritten(&error),
    }
}

fn about(
    desk: &Desk,
    asker: &Asker,
    action: &str,
    resource: (&str, &str),
    destination: &str,
) -> Event {
    let mut event = desk.journal.by(asker, action, resource);
    event.details.insert("destination".to_owned(), Fact::Text(cut(destination)));
    event
}

fn cut(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX / 4).collect()
}
