//! What the core is made of: services, each with paths of its own, put together in one place.

mod audit;
mod backup;
mod keeping;
mod log;
mod streams;
mod sync;
mod views;

use std::sync::Arc;

use axum::Router;
use selvedge_config::{Config, CoreProcess};
use selvedge_telemetry::Hub;

pub(super) use self::audit::{Journal, list};
pub(crate) use self::keeping::NOT_BUILT_IN;
use self::{
    audit::AuditService, backup::BackupService, keeping::Kept, log::LogService,
    streams::StreamsService, sync::SyncService, views::ViewsService,
};
use crate::exit::Failure;

/// A part of the core with paths of its own: `NAME` under the core's path.
///
/// Each request brings a `selvedge_identity::Caller` among its extensions. It is for the service to
/// ask it for a scope: `caller.require("streams:read")?`.
pub(super) trait Service: Send + Sync {
    /// Path under the core's, label in metrics and name in health: `streams`.
    fn name(&self) -> &'static str;

    /// Its routes, below its name. The path of the request lacks what lies above; the whole of it is
    /// `axum::extract::OriginalUri`.
    fn router(&self) -> Router;

    /// Why it cannot do its work at present, if it cannot; asked by each readiness probe.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Appends metrics in Prometheus' text format.
    fn render_metrics(&self, _out: &mut String) {}

    /// Follows a config that was read anew, as far as it can without a restart.
    fn reconfigure(&self, _config: &Config) {}

    /// Lets those go who wait for news, for the core drains.
    fn drain(&self) {}

    /// Ends, after the last request: what is in memory goes to disk. Blocks.
    fn close(&self) {}
}

/// Whether the page of codes has a row for each of these, and no row of this prefix beside.
#[cfg(test)]
#[track_caller]
fn check_documented(page: &str, prefix: &str, tables: &[&selvedge_identity::Codes]) {
    let codes = || tables.iter().flat_map(|codes| codes.iter());
    for (status, code, title) in codes() {
        let row = format!("| {status} | `{code}` | {title} |");
        assert!(page.contains(&row), "the page of codes needs the row {row}");
    }
    let begin = format!("| `{prefix}");
    assert_eq!(page.lines().filter(|line| line.contains(&begin)).count(), codes().count());
}

/// What services are built on.
pub(super) struct Foundation {
    /// The one log of all: what is in it survives.
    pub(super) kept: Kept,
    /// The way into the audit log: an entry is part of the batch of what it tells.
    pub(super) journal: Arc<Journal>,
    hub: Hub,
}

impl Foundation {
    /// Opens the log; what was torn when the last core died is put right first. Blocks.
    pub(super) fn open(process: &CoreProcess, revision: &str, hub: Hub) -> Result<Self, Failure> {
        let kept = Kept::open(process)?;
        let journal = Arc::new(Journal::open(process, kept.log().clone(), revision)?);
        Ok(Self { kept, journal, hub })
    }
}

/// Opens all services, those first that others build on. Inside of the runtime, so that they may have
/// tasks of their own.
pub(super) fn open(
    foundation: &Foundation,
    process: &CoreProcess,
) -> Result<Vec<Box<dyn Service>>, Failure> {
    let (log, journal) = (|| foundation.kept.log().clone(), || foundation.journal.clone());
    let parts = (log(), journal(), foundation.hub.clone());
    let sync = SyncService::open(parts, process)?;
    let mut services: Vec<Box<dyn Service>> = vec![
        Box::new(LogService::new(foundation.kept.clone())),
        Box::new(AuditService::open(journal(), process, foundation.hub.clone())?),
        Box::new(StreamsService::open(
            log(),
            (journal(), foundation.hub.clone()),
            &process.streams,
        )),
        Box::new(ViewsService::open(log(), process)?),
        Box::new(BackupService::open(log(), journal())),
    ];
    services.extend(sync.map(|sync| Box::new(sync) as Box<dyn Service>));
    Ok(services)
}
