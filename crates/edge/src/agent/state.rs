//! An agent as the cores share it: its settings in force, its door, its bounds, its counts.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Instant};

use selvedge_config::{Agent, AgentProcess, AgentProgram, Id};
use tokio::sync::Semaphore;

use super::{
    confine::{Confinement, Files},
    process::{Door, Launch},
    stats::Stats,
    supervise::OWN_PROGRAM,
};
use crate::upstream::breaker::Breaker;

/// One agent of the config in force. What is not about its settings outlives a reload.
#[derive(Debug)]
pub(crate) struct AgentState {
    pub(crate) config: Arc<Agent>,
    /// The settings as the agent is told them.
    pub(crate) settings: Arc<str>,
    /// Which settings these are; rises with each reload that changes them.
    pub(crate) generation: u64,
    pub(crate) door: Arc<Door>,
    pub(crate) breaker: Arc<Breaker>,
    /// Calls that may be made at once, over all cores.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) stats: Arc<Stats>,
}

/// Why an agent cannot be given a socket to listen on.
#[derive(Debug)]
pub struct AgentError {
    agent: Id,
    source: io::Error,
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {:?} cannot be given a socket", self.agent)
    }
}

impl std::error::Error for AgentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Calls that may wait for a permit, for each one that may be made. A longer queue could not be
/// served within the timeout by any agent worth asking.
pub(crate) const WAITING_PER_PERMIT: usize = 10;

impl AgentState {
    /// The agent as `config` wants it. What of the `previous` one is still the same goes on.
    pub(crate) fn new(
        config: Arc<Agent>,
        previous: Option<&Arc<Self>>,
        now: Instant,
    ) -> Result<Arc<Self>, AgentError> {
        if let Some(same) = previous.filter(|previous| previous.config == config) {
            return Ok(same.clone());
        }
        let settings: Arc<str> = config.settings.to_json().into();
        let told = previous.filter(|previous| previous.settings == settings);
        let generation = match (told, previous) {
            (Some(told), _) => told.generation,
            (None, Some(previous)) => previous.generation + 1,
            (None, None) => 1,
        };
        let breaker =
            previous.filter(|previous| *previous.breaker.settings() == config.breaker).map_or_else(
                || Arc::new(Breaker::new(config.breaker.clone(), now)),
                |previous| previous.breaker.clone(),
            );
        let permits = previous
            .filter(|previous| previous.config.concurrency == config.concurrency)
            .map_or_else(
                || Arc::new(Semaphore::new(config.concurrency)),
                |previous| previous.permits.clone(),
            );
        let stats = previous.map(|previous| previous.stats.clone()).unwrap_or_default();
        let door = door(&config, previous.map(|previous| &previous.door))
            .map_err(|source| AgentError { agent: config.id.clone(), source })?;
        Ok(Arc::new(Self { config, settings, generation, door, breaker, permits, stats }))
    }

    /// How many calls may wait for a permit.
    pub(crate) fn waiting_max(&self) -> usize {
        self.config.concurrency.saturating_mul(WAITING_PER_PERMIT)
    }
}

/// Where `config` has the agent listen: the `previous` door if nothing about its process changes.
fn door(config: &Agent, previous: Option<&Arc<Door>>) -> io::Result<Arc<Door>> {
    let launch = match &config.program {
        AgentProgram::Address(path) => {
            let same = previous.filter(|door| door.started().is_none() && door.path() == path);
            return Ok(same.cloned().unwrap_or_else(|| Arc::new(Door::of_address(path.clone()))));
        }
        AgentProgram::Own(kind, process) => {
            let arguments = ["agent", kind.as_str()].map(str::to_owned).to_vec();
            launch(OWN_PROGRAM.into(), arguments, process, own_files(process))
        }
        AgentProgram::Command { program, arguments, process } => {
            let sandbox = &process.sandbox;
            // A program of somebody else may need anything that can be read.
            let read =
                if sandbox.read.is_empty() { vec!["/".into()] } else { foreign_files(sandbox) };
            let files = Files { read, write: sandbox.write.clone() };
            launch(program.into(), arguments.clone(), process, files)
        }
    };
    let same = previous.filter(|door| door.started().is_some_and(|it| it.launch == launch));
    match same {
        Some(door) => Ok(door.clone()),
        None => Door::bind(&config.id, launch).map(Arc::new),
    }
}

fn launch(
    program: PathBuf,
    arguments: Vec<String>,
    process: &AgentProcess,
    files: Files,
) -> Launch {
    let AgentProcess { threads, sandbox, restart } = process;
    let confinement = Confinement {
        parent: 0,
        memory: sandbox.memory.0,
        descriptors: u64::from(sandbox.descriptors),
        files: sandbox.landlock.then_some(files),
        seccomp: sandbox.seccomp,
    };
    let backoff = (restart.backoff, restart.backoff_max);
    Launch { program, arguments, threads: *threads, confinement, backoff }
}

/// What programs need to start and to look up names and roots.
#[rustfmt::skip]
const SYSTEM_FILES: [&str; 12] = [
    "/bin", "/lib", "/lib32", "/lib64", "/usr", "/etc/ssl", "/etc/resolv.conf", "/etc/hosts",
    "/etc/nsswitch.conf", "/etc/localtime", "/etc/ld.so.cache", "/proc/self",
];

fn own_files(process: &AgentProcess) -> Files {
    let mut read: Vec<PathBuf> = SYSTEM_FILES.map(PathBuf::from).to_vec();
    // The link itself cannot be followed by a process that may not read what it leads to.
    read.extend(std::env::current_exe());
    read.extend(process.sandbox.read.iter().cloned());
    Files { read, write: process.sandbox.write.clone() }
}

fn foreign_files(sandbox: &selvedge_config::Sandbox) -> Vec<PathBuf> {
    SYSTEM_FILES.map(PathBuf::from).into_iter().chain(sandbox.read.iter().cloned()).collect()
}
