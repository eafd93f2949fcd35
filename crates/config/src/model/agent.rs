//! What a config says of agents, and what a route says of its own.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use selvedge_base::{ByteSize, Secret};
use serde::{Deserialize, Serialize};

use super::{Breaker, Id};
use crate::agent::{auth, bridge, rate_limit, schema, waf};

/// An agent: who advises, where it runs, and what its silence costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The operator's name for it.
    pub id: Id,
    /// `type`: one of Selvedge's own kinds, or a label of a foreign one.
    pub kind: String,
    /// Where it runs.
    pub program: AgentProgram,
    /// What it is told when it starts and at each reload.
    pub settings: AgentSettings,
    /// Events it may be asked about, of those that it declares; sorted.
    pub events: Vec<AgentEvent>,
    /// Time for an answer, the wait for a free call included. Default 100 ms; then the failure mode.
    pub timeout: Duration,
    /// What happens without an answer. Default closed. Routes have their own: [`RouteAgent`].
    pub failure_mode: FailureMode,
    /// Calls at once, over all cores. Default 100; then a wait inside the timeout.
    pub concurrency: usize,
    /// When it is asked no more for a while. Default: 3 failures in 30 s, probes after 1 s.
    pub breaker: Breaker,
    /// Bytes of a body that it inspects at most. Default 128 KiB; it is told that there is more.
    pub body_max: ByteSize,
    /// Agents whose answers it waits for where a route asks both.
    pub after: Vec<Id>,
    /// Request fields that only agents may set, in lower case, sorted: taken off every client's
    /// request, whatever its route asks ([`crate::Config::identity_headers`]).
    pub identity_headers: Vec<String>,
}

/// Where an agent runs.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentProgram {
    /// `selvedge agent KIND`, started and supervised.
    Own(OwnKind, AgentProcess),
    /// A program of somebody else, started and supervised; it finds its listening socket by the
    /// convention of `LISTEN_FDS`.
    Command {
        /// A name to be found in `PATH`, or an absolute path.
        program: String,
        /// What follows it.
        arguments: Vec<String>,
        /// How it is kept.
        process: AgentProcess,
    },
    /// A unix socket that somebody else listens on.
    Address(PathBuf),
}

impl AgentProgram {
    /// How it is kept; `None` for one that somebody else started.
    pub fn process(&self) -> Option<&AgentProcess> {
        match self {
            Self::Own(_, process) | Self::Command { process, .. } => Some(process),
            Self::Address(_) => None,
        }
    }
}

/// Agents that are part of Selvedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKind {
    /// Who asks: tokens, keys, certificates, roles.
    Auth,
    /// How often.
    RateLimit,
    /// Whether messages are what a schema says.
    Schema,
    /// Speaks for a service that knows Envoy's protocols or forward-auth.
    Bridge,
    /// Whether a request is an attack.
    Waf,
}

impl OwnKind {
    /// The word of `selvedge agent KIND`; that of `type` but for [`Self::Bridge`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::RateLimit => "rate-limit",
            Self::Schema => "schema",
            Self::Bridge => "bridge",
            Self::Waf => "waf",
        }
    }
}

/// How a started agent is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProcess {
    /// Threads that answer. Default 1. A foreign program finds the number in `SELVEDGE_THREADS`.
    pub threads: usize,
    /// What it may use.
    pub sandbox: Sandbox,
    /// How soon it is started again.
    pub restart: Restart,
}

/// What a started agent may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Bytes of memory. Default 256 MiB; then allocations fail, and it is started again.
    pub memory: ByteSize,
    /// Descriptors open at once. Default 256; then opening fails.
    pub descriptors: u32,
    /// Whether the kernel confines its files, where it can. Default on.
    pub landlock: bool,
    /// Whether system calls that no agent needs are refused, where the kernel can. Default on.
    pub seccomp: bool,
    /// Files and folders it may read beside the system's libraries; those that its settings name
    /// are among them.
    pub read: Vec<PathBuf>,
    /// Folders it may write in.
    pub write: Vec<PathBuf>,
}

/// How soon a started agent that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Wait before the first start after an end; doubles with each. Default 10 ms.
    pub backoff: Duration,
    /// Longest wait. Default 500 ms.
    pub backoff_max: Duration,
}

/// What an agent is told when it starts and at each reload.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentSettings {
    /// For `selvedge agent auth`.
    Auth(auth::Settings),
    /// For `selvedge agent rate-limit`.
    RateLimit(rate_limit::Settings),
    /// For `selvedge agent schema`.
    Schema(schema::Settings),
    /// For `selvedge agent bridge`.
    Bridge(bridge::Settings),
    /// For `selvedge agent waf`.
    Waf(waf::Settings),
    /// The `settings` block of a foreign agent as JSON; it may hold secrets.
    Foreign(Secret),
}

impl AgentSettings {
    /// The JSON that goes to the agent. It may hold secrets: for no log.
    pub fn to_json(&self) -> String {
        let json = match self {
            Self::Auth(settings) => serde_json::to_string(settings),
            Self::RateLimit(settings) => serde_json::to_string(settings),
            Self::Schema(settings) => serde_json::to_string(settings),
            Self::Bridge(settings) => serde_json::to_string(settings),
            Self::Waf(settings) => serde_json::to_string(settings),
            Self::Foreign(settings) => Ok(settings.expose().to_owned()),
        };
        json.expect("settings have text keys and no serializer of theirs fails")
    }
}

/// What an agent can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentEvent {
    /// The head of a request.
    RequestHeaders,
    /// The body of a request.
    RequestBody,
    /// The head of a response.
    ResponseHeaders,
    /// The body of a response.
    ResponseBody,
    /// A frame of a WebSocket, either way.
    WebsocketFrame,
    /// The outcome; not answered.
    Log,
}

impl AgentEvent {
    /// All, in the order in which they happen.
    pub const ALL: [Self; 6] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::WebsocketFrame,
        Self::Log,
    ];

    /// As written in a config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::WebsocketFrame => "websocket_frame",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for AgentEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens when an agent does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureMode {
    /// The request goes on.
    Open,
    /// The request is refused.
    Closed,
}

impl fmt::Display for FailureMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

/// An agent as one route asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAgent {
    /// Which agent.
    pub id: Id,
    /// What happens on this route without an answer.
    pub failure_mode: FailureMode,
    /// What it is told of this route: sent as attributes `route.NAME`.
    pub options: BTreeMap<String, String>,
    /// Places in the route's list of the agents that it waits for, sorted; the order that the
    /// agents' `after` makes, over agents that the route does not ask too.
    pub after: Vec<usize>,
    /// How many others it waits for in a row: agents of equal stage are asked side by side.
    pub stage: usize,
}

/// A value set by an agent that chooses among upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamBy {
    /// Name of the value.
    pub value: String,
    /// The upstream of each value that chooses one.
    pub choices: BTreeMap<String, Id>,
}
