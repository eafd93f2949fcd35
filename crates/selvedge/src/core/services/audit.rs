//! The audit log in the core: its files for everybody who may see them, what other services put into
//! it, and witnesses on both sides.

mod cosign;
mod delivery;
mod http;
mod journal;
mod ledger;
mod manage;
mod metrics;
mod problem;
mod retention;
mod witness;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use selvedge_audit::{files::Prover, home::Home, store::Storage};
use selvedge_config::{Config, CoreAudit, CoreProcess};
use selvedge_telemetry::{Hub, Level};
use tokio::{sync::Semaphore, task::JoinHandle};

pub(super) use self::journal::Unwritten;
pub(in crate::core) use self::journal::{Asker, Journal, list, outcome};
use self::{cosign::Cosigners, ledger::Ledger, problem::Problem, witness::Watch};
use super::Service;
use crate::exit::{Exit, Failure};

/// Searches at once; each reads files for a while.
const SEARCHES_MAX: usize = 4;
/// Tiles in memory for who asks for proofs, each of 16 KiB.
const PROOF_TILES_MAX: usize = 256;
/// Requests to our witness at once; each may have 264 KiB.
const SUBMISSIONS_MAX: usize = 64;
/// Entries that nobody signs for so long are a fault that somebody should look at.
const UNSIGNED_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The audit log, and the tasks around it.
pub(super) struct AuditService {
    desk: Arc<Desk>,
    tasks: Vec<JoinHandle<()>>,
}

/// What requests and tasks share.
struct Desk {
    journal: Arc<Journal>,
    in_force: RwLock<InForce>,
    cosigners: Cosigners,
    watch: Watch,
    ledger: Mutex<Ledger>,
    prover: Prover<Arc<dyn Storage>>,
    searches: Arc<Semaphore>,
    submissions: Arc<Semaphore>,
    /// The first entry that was not given up.
    minimum: AtomicU64,
    hub: Hub,
}

/// What a reload changes.
#[derive(Clone, Copy)]
struct InForce {
    public: bool,
    personal: Duration,
    entries: Option<Duration>,
}

impl AuditService {
    /// Takes up witnesses and tasks. What the tokens' file has that the log does not say is in the log when
    /// this returns. Blocks; inside of the runtime.
    pub(super) fn open(
        journal: Arc<Journal>,
        process: &CoreProcess,
        hub: Hub,
    ) -> Result<Self, Failure> {
        let home = Home::new(&process.data_dir);
        let origin = journal.audit.trust().origin.clone();
        let files = journal.audit.files();
        let prover = Prover::new(files.clone(), journal.audit.trust().clone(), PROOF_TILES_MAX);
        let minimum = files.minimum(journal.audit.status().settled);
        let minimum = minimum.map_err(|error| Failure::chain(Exit::Unavailable, &error))?;
        let ledger = Ledger::open(journal.clone(), &process.data_dir)?;
        let desk = Arc::new(Desk {
            in_force: RwLock::new(InForce::of(&process.audit)),
            cosigners: Cosigners::open(&process.audit.witnesses)?,
            watch: Watch::open(&home, &origin, &process.audit.watched)?,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            submissions: Arc::new(Semaphore::new(SUBMISSIONS_MAX)),
            minimum: AtomicU64::new(minimum),
            ledger: Mutex::new(ledger),
            prover,
            journal,
            hub,
        });
        let mut tasks = vec![
            tokio::spawn(retention::keep(desk.clone())),
            tokio::spawn(ledger::follow(desk.clone())),
            tokio::spawn(watch_over(desk.clone())),
        ];
        if !process.audit.witnesses.is_empty() {
            tasks.push(tokio::spawn(cosign::run(desk.clone(), process.audit.cosign_every)));
        }
        Ok(Self { desk, tasks })
    }
}

impl InForce {
    fn of(settings: &CoreAudit) -> Self {
        // Names, witnesses and their pace are taken up by a start.
        let CoreAudit {
            origin: _,
            node: _,
            public,
            personal,
            entries,
            cosign_every: _,
            witnesses: _,
            watched: _,
        } = settings;
        Self { public: *public, personal: *personal, entries: *entries }
    }
}

impl Desk {
    fn in_force(&self) -> InForce {
        *self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the log is not what it should be.
    fn fault(&self) -> Option<String> {
        let audit = &self.journal.audit;
        let unsigned = || {
            let waiting = audit.waiting_since()?;
            let waited = since_1970().saturating_sub(Duration::from_millis(waiting));
            (waited > UNSIGNED_MAX)
                .then(|| format!("entries have not been signed for {} s", waited.as_secs()))
        };
        let status = audit.status();
        let broken = status.fault.or(status.unsettled);
        broken.or_else(|| self.cosigners.contradiction()).or_else(unsigned)
    }

    fn minimum(&self) -> u64 {
        self.minimum.load(Relaxed)
    }
}

/// Tells the core's log when something goes wrong with the audit log, and when it is right again.
async fn watch_over(desk: Arc<Desk>) {
    let mut turns = tokio::time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_wrong = false;
    loop {
        turns.tick().await;
        let fault = desk.fault();
        match &fault {
            Some(fault) if !was_wrong => {
                let fields: &[(&str, &dyn std::fmt::Display)] = &[("fault", fault)];
                desk.hub.event(Level::Error, "the audit log is not in order", fields);
            }
            None if was_wrong => {
                desk.hub.event(Level::Info, "the audit log is in order again", &[]);
            }
            _ => {}
        }
        was_wrong = fault.is_some();
    }
}

impl Service for AuditService {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn router(&self) -> Router {
        http::router(self.desk.clone())
            .merge(manage::router(self.desk.clone()))
            .merge(delivery::router(self.desk.journal.clone()))
    }

    fn health(&self) -> Result<(), String> {
        self.desk.fault().map_or(Ok(()), Err)
    }

    fn render_metrics(&self, out: &mut String) {
        metrics::render(&self.desk, out);
    }

    fn reconfigure(&self, config: &Config) {
        if let Some(process) = config.core.as_ref().and_then(|core| core.process()) {
            let in_force = InForce::of(&process.audit);
            *self.desk.in_force.write().unwrap_or_else(PoisonError::into_inner) = in_force;
        }
    }

    fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut ledger = self.desk.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(Failure { text, .. }) = ledger.end() {
            let what = "the end of the core is not in the audit log";
            self.desk.hub.event(Level::Error, what, &[("error", &text.trim_end())]);
        }
        self.desk.journal.audit.close();
    }
}

/// The answer where an entry could not be written, and so nothing was done.
pub(super) fn unwritten(error: &Unwritten) -> Response {
    Problem::Unwritten(error.to_string()).into_response()
}

/// What the audit log is called in a data-dir that has none: the machine, and what it is.
fn new_origin() -> String {
    format!("{}/selvedge/audit", host_name())
}

/// The machine's name, as far as names of logs can have it.
fn host_name() -> String {
    let path = PathBuf::from("/proc/sys/kernel/hostname");
    let name = std::fs::read_to_string(path).unwrap_or_default();
    let plain = |char: &char| char.is_ascii_graphic() && *char != '+' && *char != '/';
    let name: String = name.trim().chars().filter(plain).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
