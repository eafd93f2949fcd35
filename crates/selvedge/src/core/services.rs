//! What the core is made of: services, each with paths of its own, put together in one place.

use std::path::Path;

use axum::Router;
use selvedge_config::Config;
use selvedge_telemetry::Hub;
use tokio::sync::watch;

use crate::exit::Failure;

/// A part of the core with paths of its own: `NAME` under the core's path.
///
/// Each request brings a `selvedge_identity::Caller` among its extensions. It is for the service to
/// ask it for a scope: `caller.require("streams:read")?`.
pub(super) trait Service: Send + Sync {
    /// Path under the core's, label in metrics and name in health: `streams`.
    fn name(&self) -> &'static str;

    /// Its routes, below its name.
    fn router(&self) -> Router;

    /// Why it cannot do its work at present, if it cannot; asked by each readiness probe.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Appends metrics in Prometheus' text format.
    fn render_metrics(&self, _out: &mut String) {}

    /// Follows a config that was read anew, as far as it can without a restart.
    fn reconfigure(&self, _config: &Config) {}

    /// Ends, after the last request: what is in memory goes to disk. Blocks.
    fn close(&self) {}
}

/// What services are built on.
pub(super) struct Foundation<'a> {
    /// Where they keep their files: a folder each, by their name.
    pub(super) data_dir: &'a Path,
    pub(super) config: &'a Config,
    pub(super) hub: &'a Hub,
    /// Becomes true when the core drains: what waits for news answers now.
    pub(super) draining: watch::Receiver<bool>,
}

/// Opens all services, those first that others build on.
pub(super) fn open(foundation: &Foundation<'_>) -> Result<Vec<Box<dyn Service>>, Failure> {
    let Foundation { data_dir: _, config: _, hub: _, draining: _ } = foundation;
    Ok(Vec::new())
}
