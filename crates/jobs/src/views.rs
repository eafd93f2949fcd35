//! Materialised views: what streams of events come to, kept up as events come.

mod accumulator;
mod copy;
mod definition;
mod field;
mod fold;
mod follow;
mod http;
mod lineage;
mod plan;
mod query;
mod reading;
mod refusal;
mod runner;
mod scalar;
mod sketch;
mod sql;
mod store;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::{self, JoinHandle},
};

use selvedge_config::View;
use selvedge_eventlog::Log;
use tokio::sync::watch;

pub use self::{copy::copy, refusal::CODES, store::StoreError};
use self::{
    follow::{Follow, Standing},
    http::Door,
    plan::Plan,
    reading::Readers,
    runner::{Order, Orders, Runner},
    store::Store,
};

/// The file in the data-dir.
pub const FILE: &str = "views.db";

/// All views of a core.
#[derive(Clone)]
pub struct Views {
    door: Arc<Door>,
}

struct Shared {
    log: Log,
    board: Arc<Board>,
    orders: Arc<Orders>,
    readers: Readers,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why views cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Their file cannot be used.
    Store(StoreError),
    /// There is no thread for them.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Store(error) => write!(
                out,
                "{FILE} cannot be used: {error}; move it away, and views are built again from what their streams hold"
            ),
            OpenError::Thread(error) => {
                write!(out, "the thread of views cannot be started: {error}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What is known of each view, for those who read.
#[derive(Default)]
struct Board {
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
}

struct Entry {
    view: Arc<View>,
    /// The stream's name in the log.
    source: String,
    /// Fields that rows have, where that is known beforehand.
    fields: Option<Vec<String>>,
    standing: watch::Sender<Standing>,
}

impl Board {
    /// Puts up these views and no others.
    fn post<'f>(&self, follows: impl Iterator<Item = &'f Follow>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *entries);
        for follow in follows {
            let view = &follow.view;
            let kept = before.remove(&view.name).filter(|entry| entry.view == *view);
            let fresh = || {
                let standing = watch::Sender::new(follow.standing.clone());
                Arc::new(Entry {
                    view: view.clone(),
                    fields: follow.fields(),
                    source: definition::source(view),
                    standing,
                })
            };
            entries.insert(view.name.clone(), kept.unwrap_or_else(fresh));
        }
    }

    fn show(&self, view: &str, standing: &Standing) {
        if let Some(entry) = self.entry(view) {
            entry.standing.send_if_modified(|shown| {
                let is_news = shown != standing;
                if is_news {
                    shown.clone_from(standing);
                }
                is_news
            });
        }
    }

    fn entry(&self, view: &str) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(view).cloned()
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Views {
    /// Opens the file in `folder`, and follows the streams of these views until it is closed.
    ///
    /// # Errors
    /// If the file cannot be used. A view that cannot be kept up is none: it says so itself.
    pub fn open(folder: &Path, log: Log, views: &[View]) -> Result<Views, OpenError> {
        let file = folder.join(FILE);
        let store = Store::open(&file).map_err(OpenError::Store)?;
        let (board, orders) = (Arc::<Board>::default(), Arc::<Orders>::default());
        let mut runner = Runner {
            store,
            log: log.clone(),
            orders: orders.clone(),
            board: board.clone(),
            follows: BTreeMap::new(),
        };
        runner.declare(owned(views));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(OpenError::Thread)?;
        let thread = thread::Builder::new().name("views".into());
        let thread = thread.spawn(move || runner.run(&runtime)).map_err(OpenError::Thread)?;
        let readers = Readers::new(file);
        let thread = Mutex::new(Some(thread));
        let shared = Arc::new(Shared { log, board, orders, readers, thread });
        Ok(Views { door: Arc::new(Door::new(shared)) })
    }

    /// Returns the service: `/` lists views, `/NAME` has rows.
    ///
    /// Requests carry a [`Caller`](selvedge_identity::Caller); who has none is refused.
    pub fn router(&self) -> axum::Router {
        http::router(Arc::clone(&self.door))
    }

    /// Appends metrics in Prometheus' text format.
    pub fn render_metrics(&self, out: &mut String) {
        self.door.shared.render_metrics(out);
    }

    /// Lets those go who wait for an offset.
    pub fn drain(&self) {
        self.door.draining.send_replace(true);
    }

    /// Follows these views from now on, and no others.
    pub fn declare(&self, views: &[View]) {
        self.door.shared.orders.give(Order::Declare(owned(views)));
    }

    /// Ends after the batch under way. Blocks until then.
    pub fn close(&self) {
        self.door.shared.orders.give(Order::Stop);
        let thread = self.door.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // One that panicked has left whole transactions behind.
            let _ = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.orders.give(Order::Stop);
    }
}

/// Why a view cannot be kept up as it is declared, if it cannot.
pub fn refused(view: &View) -> Option<String> {
    Plan::new(view).err().map(|sql::Unfit(reason)| reason)
}

fn owned(views: &[View]) -> Vec<Arc<View>> {
    views.iter().cloned().map(Arc::new).collect()
}
