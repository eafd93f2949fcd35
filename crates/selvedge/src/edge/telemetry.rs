//! What the config says about telemetry, in telemetry's own words.

use selvedge_config::{Config, LogTarget, Otlp, Telemetry};
use selvedge_telemetry::{LogTarget as Target, Otlp as Exporter, Settings, SettingsError};

use crate::exit::{Exit, Failure};

/// Events go to standard error, so that standard output is the access log's alone.
pub(super) fn settings(config: &Config) -> Settings {
    let Telemetry { access_log, decision_log, otlp } = &config.telemetry;
    // Who wants no line for each request may want to know of each that was blocked.
    let alone = decision_log.then_some(Target::Stdout);
    Settings {
        access_log: access_log.as_ref().map(target).or(alone),
        requests: access_log.is_some(),
        decisions: *decision_log,
        otlp: otlp.as_ref().map(exporter),
        events: Target::Stderr,
        cores: config.workers,
    }
}

fn target(target: &LogTarget) -> Target {
    match target {
        LogTarget::Stdout => Target::Stdout,
        LogTarget::Stderr => Target::Stderr,
        LogTarget::File(path) => Target::File(path.clone()),
    }
}

pub(crate) fn exporter(otlp: &Otlp) -> Exporter {
    let Otlp { endpoint, headers, sample, queue, service } = otlp.clone();
    Exporter { endpoint, headers, sample, queue, service }
}

impl From<&SettingsError> for Failure {
    fn from(error: &SettingsError) -> Self {
        let exit = match error {
            SettingsError::Open(_) | SettingsError::Endpoint(_) => Exit::Config,
            SettingsError::Thread(_) => Exit::Unavailable,
        };
        Self::chain(exit, error)
    }
}
