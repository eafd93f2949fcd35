//! What there is to know of the log itself; what is in it, other services show.

use std::fmt::Write as _;

use axum::{Json, Router, extract::State, routing::get};
use selvedge_eventlog::{Log, Lsn};
use selvedge_identity::{Caller, Refusal};
use serde_json::{Value, json};

use super::{Kept, Service};

/// The state of the log.
pub(super) struct LogService {
    kept: Kept,
}

/// What it takes to see how the log is.
const SCOPE: &str = "log:read";

impl LogService {
    pub(super) fn new(kept: Kept) -> Self {
        Self { kept }
    }
}

impl Service for LogService {
    fn name(&self) -> &'static str {
        "log"
    }

    fn router(&self) -> Router {
        Router::new().route("/", get(state)).with_state(self.kept.log().clone())
    }

    fn health(&self) -> Result<(), String> {
        self.kept.trouble().map_or(Ok(()), Err)
    }

    fn render_metrics(&self, out: &mut String) {
        let Lsn(durable) = self.kept.log().durable();
        let sound = u8::from(self.kept.log().fault().is_none());
        let behind_s = self.kept.log().clock_behind_ms() / 1000;
        write!(
            out,
            "# HELP selvedge_log_durable_lsn Position up to which the log is safe on disk.\n\
             # TYPE selvedge_log_durable_lsn counter\n\
             selvedge_log_durable_lsn {durable}\n\
             # HELP selvedge_log_writable Whether the log takes appends: 0 after a fault of the disk.\n\
             # TYPE selvedge_log_writable gauge\n\
             selvedge_log_writable {sound}\n\
             # HELP selvedge_log_clock_behind_seconds How far the clock is behind the times in the log: one of the two is wrong.\n\
             # TYPE selvedge_log_clock_behind_seconds gauge\n\
             selvedge_log_clock_behind_seconds {behind_s}\n"
        )
        .expect("a String takes every write");
    }

    fn close(&self) {
        self.kept.leave();
    }
}

async fn state(caller: Caller, State(log): State<Log>) -> Result<Json<Value>, Refusal> {
    caller.require(SCOPE)?;
    let Lsn(durable) = log.durable();
    let fault = log.fault();
    Ok(Json(json!({ "durable_lsn": durable, "fault": fault.as_deref() })))
}
