//! Materialised views: what streams of events come to.

use axum::Router;
use selvedge_config::{Config, CoreProcess};
use selvedge_eventlog::Log;
use selvedge_jobs::{OpenError, StoreError, Views};

use super::Service;
use crate::exit::{Exit, Failure};

/// Views that are followed, and their rows.
pub(super) struct ViewsService {
    views: Views,
}

impl ViewsService {
    /// Opens what is folded already. Blocks.
    pub(super) fn open(log: Log, process: &CoreProcess) -> Result<Self, Failure> {
        let opened = Views::open(&process.data_dir, log, &process.views);
        let views = opened.map_err(|error| {
            let exit = match error {
                OpenError::Store(StoreError::Version(_)) => Exit::Data,
                _ => Exit::Unavailable,
            };
            Failure::new(exit, error.to_string())
        })?;
        Ok(Self { views })
    }
}

impl Service for ViewsService {
    fn name(&self) -> &'static str {
        "views"
    }

    fn router(&self) -> Router {
        self.views.router()
    }

    fn render_metrics(&self, out: &mut String) {
        self.views.render_metrics(out);
    }

    fn reconfigure(&self, config: &Config) {
        if let Some(process) = config.core.as_ref().and_then(|core| core.process()) {
            self.views.declare(&process.views);
        }
    }

    fn drain(&self) {
        self.views.drain();
    }

    fn close(&self) {
        self.views.close();
    }
}
