//! Which agents are asked about a request, in which order, and what their silence costs.

use std::{collections::BTreeMap, fmt, time::Duration};

use selvedge_base::format_duration;
use selvedge_config::{
    Agent, AgentEvent, AgentProgram, Config, FailureMode, Id, OwnKind, Route, RouteAgent,
    bridge::{GrpcProtocol, Service},
};
use serde_json::{Value, json};

/// The agents of one route, stage by stage.
pub(super) struct Advice {
    agents: Vec<Asked>,
    /// Request fields that clients cannot send.
    stripped: Vec<String>,
}

/// One agent as the route asks it.
struct Asked {
    id: Id,
    kind: String,
    runs: String,
    events: Vec<AgentEvent>,
    timeout: Duration,
    failure_mode: FailureMode,
    stage: usize,
    after: Vec<Id>,
    options: BTreeMap<String, String>,
}

impl Advice {
    pub(super) fn of(config: &Config, route: &Route) -> Self {
        let asked = |at: &RouteAgent| Asked::of(config, route, at);
        let mut agents: Vec<Asked> = route.agents.iter().filter_map(asked).collect();
        agents.sort_by_key(|agent| agent.stage);
        Self { agents, stripped: config.identity_headers() }
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { agents, stripped } = self;
        json!({ "stripped": stripped, "agents": agents.iter().map(Asked::to_json).collect::<Value>() })
    }
}

impl Asked {
    fn of(config: &Config, route: &Route, asked: &RouteAgent) -> Option<Self> {
        let RouteAgent { id, failure_mode, options, after, stage } = asked;
        let agent = config.agents.get(id)?;
        Some(Self {
            id: id.clone(),
            kind: agent.kind.clone(),
            runs: runs(agent),
            events: agent.events.clone(),
            timeout: agent.timeout,
            failure_mode: *failure_mode,
            stage: *stage,
            after: after.iter().map(|at| route.agents[*at].id.clone()).collect(),
            options: options.clone(),
        })
    }

    fn to_json(&self) -> Value {
        let Self { id, kind, runs, events, timeout, failure_mode, stage, after, options } = self;
        json!({
            "id": &**id,
            "type": kind,
            "runs": runs,
            "events": events,
            "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            "failure_mode": failure_mode,
            "stage": stage,
            "after": after.iter().map(|id| &**id).collect::<Vec<_>>(),
            "options": options,
        })
    }
}

/// Where it runs, in words.
fn runs(agent: &Agent) -> String {
    use selvedge_config::AgentSettings::Bridge;
    match (&agent.program, &agent.settings) {
        (AgentProgram::Own(OwnKind::Bridge, _), Bridge(settings)) => match &settings.service {
            Service::Grpc(grpc) => {
                let protocol = match grpc.protocol {
                    GrpcProtocol::ExtProc => "ext_proc",
                    GrpcProtocol::ExtAuthz => "ext_authz",
                };
                format!("{protocol} at {}", grpc.address)
            }
            Service::Http(http) => format!("forward-auth at {}", http.address),
        },
        (AgentProgram::Own(kind, _), _) => format!("selvedge agent {}", kind.as_str()),
        (AgentProgram::Command { program, .. }, _) => format!("command {program}"),
        (AgentProgram::Address(path), _) => format!("unix:{}", path.display()),
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.stripped.is_empty() {
            writeln!(
                f,
                "  request: {} are taken off, whoever sent them",
                self.stripped.join(", ")
            )?;
        }
        for stage in self.agents.chunk_by(|one, other| one.stage == other.stage) {
            let when = if stage[0].stage == 0 { "first" } else { "then" };
            let how = if stage.len() > 1 { ", side by side" } else { "" };
            writeln!(f, "  asked {when}{how}:")?;
            stage.iter().try_for_each(|agent| agent.fmt(f))?;
        }
        Ok(())
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, runs, events, timeout, failure_mode, stage: _, after, options } = self;
        write!(f, "    agent {id:?} of type {kind} ({runs})")?;
        match after.as_slice() {
            [] => writeln!(f)?,
            after => {
                let names: Vec<String> = after.iter().map(|id| format!("{id:?}")).collect();
                writeln!(f, " after {}", names.join(", "))?;
            }
        }
        let events: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
        let events = events.join(", ");
        writeln!(f, "      {events} within {}, else {failure_mode}", format_duration(*timeout))?;
        options.iter().try_for_each(|(name, value)| writeln!(f, "      {name} {value}"))
    }
}
