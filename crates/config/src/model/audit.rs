//! What the edge keeps for the audit log, as configured.

use std::{collections::BTreeMap, path::PathBuf};

use selvedge_base::ByteSize;

use super::Id;

/// What the edge keeps until its core has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// Where. Default `edge-audit` in the data-dir of a core on this machine.
    pub dir: PathBuf,
    /// How much. Default 128 MiB; then the oldest stay and the rest is counted.
    pub spool: ByteSize,
    /// Which share of blocked requests becomes entries.
    pub sample: AuditSample,
}

/// Which share of blocked requests becomes entries, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditSample {
    /// Of those that nothing else is said of. Default 1.
    pub all: f64,
    /// Of those that no agent was asked about: heads and bodies that are refused as they are.
    pub gate: f64,
    /// Of those that an agent refused, by its id.
    pub agents: BTreeMap<Id, f64>,
}

impl AuditSample {
    /// The share of what `agent` refuses; `None` is the gate.
    pub fn of(&self, agent: Option<&str>) -> f64 {
        match agent {
            Some(agent) => self.agents.get(agent).copied().unwrap_or(self.all),
            None => self.gate,
        }
    }
}
