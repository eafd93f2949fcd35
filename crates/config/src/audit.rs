//! `audit { … }`: what the edge keeps for the audit log of its core, and how much of it.

use std::{collections::BTreeMap, path::PathBuf};

use selvedge_base::ByteSize;

use crate::{
    Agent, Audit, AuditSample, Code, Core, Id,
    address::id,
    bounds::PROCESS,
    cursor::{Cursor, Switch},
    reading::{Problem, Reading, did_you_mean},
    source::{Span, Spanned, sound},
};

/// In the data-dir of a core on this machine.
const FOLDER: &str = "edge-audit";

/// The block as written.
pub(crate) struct AuditPart {
    span: Span,
    dir: Option<Option<Spanned<PathBuf>>>,
    spool: Option<Spanned<ByteSize>>,
    sample: SamplePart,
}

#[derive(Default)]
struct SamplePart {
    all: Option<Spanned<f64>>,
    gate: Option<Spanned<f64>>,
    agents: Vec<Option<(Spanned<Id>, f64)>>,
}

impl AuditPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            span: cursor.span(),
            dir: cursor.child("dir", |c| c.argument("a folder").and_then(|value| value.path())),
            spool: cursor.setting("spool", |v| v.size(ByteSize::mib(1)..=ByteSize::mib(1 << 20))),
            sample: cursor.child("sample", SamplePart::read).unwrap_or_default(),
        }
    }

    /// What the edge keeps, given the core that it has. `None`: it keeps nothing.
    pub(crate) fn settle(
        part: Option<Switch<Self>>,
        reading: &Reading<'_>,
        (core, agents): (Option<&Core>, &BTreeMap<Id, std::sync::Arc<Agent>>),
    ) -> Option<Audit> {
        let part = match (part, core) {
            (Some(Switch::Off), _) | (None, None) => return None,
            (None, Some(core)) => {
                if core.process().is_none() {
                    warn_of_remote(reading);
                }
                None
            }
            (Some(Switch::On(part)), None) => {
                let problem = Problem::new(Code::UnknownReference, "there is no `core`");
                let help = "the core has the audit log: add `core { data-dir \"./data\" }`, or remove this";
                reading.error(part.span, problem.help(help));
                return None;
            }
            (Some(Switch::On(part)), Some(_)) => Some(part),
        };
        let usual = core.and_then(Core::process).map(|process| process.data_dir.join(FOLDER));
        let Some(Self { span, dir, spool, sample }) = part else {
            let sample = SamplePart::default().settle(reading, agents);
            return Some(Audit { dir: usual?, spool: SPOOL, sample });
        };
        if dir.is_none() && usual.is_none() {
            let problem = Problem::new(Code::Missing, "`audit` has no `dir`");
            let help = "the core runs elsewhere, so say where to keep what it has not got yet: add \
                        `dir \"./edge-audit\"`";
            reading.error(span, problem.help(help));
        }
        let sample = sample.settle(reading, agents);
        let dir = sound(dir)?.map(|dir| dir.value).or(usual)?;
        let spool = reading.settle(PROCESS, "audit spool", spool, SPOOL);
        Some(Audit { dir, spool, sample })
    }
}

const SPOOL: ByteSize = ByteSize::mib(128);

fn warn_of_remote(reading: &Reading<'_>) {
    let message = "what this edge blocks does not come into the audit log of its core";
    let help = "add `audit { dir \"./edge-audit\" }`, where it keeps what the core has not got yet, or \
                `audit #false`";
    reading.warning(None, Problem::new(Code::NoSpool, message).help(help));
}

impl SamplePart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let share = 0.0..=1.0;
        Self {
            all: cursor.optional_argument().and_then(|value| value.number(share.clone())),
            gate: cursor.setting("gate", |value| value.number(share.clone())),
            agents: cursor.children(&["agent"], |cursor| {
                let agent = cursor.argument("an agent").and_then(|value| value.literal(id));
                let share = cursor.argument("a share such as 0.1");
                let share = share.and_then(|value| value.number(0.0..=1.0));
                Some((agent?, share?.value))
            }),
        }
    }

    fn settle(
        self,
        reading: &Reading<'_>,
        agents: &BTreeMap<Id, std::sync::Arc<Agent>>,
    ) -> AuditSample {
        let Self { all, gate, agents: of_agents } = self;
        let all = all.map_or(1.0, |share| share.value);
        let mut shares = BTreeMap::new();
        for (agent, share) in of_agents.into_iter().flatten() {
            if !agents.contains_key(&agent.value) {
                let message = format!("there is no agent `{}`", agent.value);
                let help = did_you_mean(&agent.value, agents.keys().map(|id| &**id));
                let help = help.unwrap_or_else(|| "remove the line".to_owned());
                reading.error(agent.span, Problem::new(Code::UnknownReference, message).help(help));
            } else if shares.insert(agent.value.clone(), share).is_some() {
                let message = format!("the share of agent `{}` is written twice", agent.value);
                let problem = Problem::new(Code::Repeated, message);
                reading.error(agent.span, problem.help("keep one of them"));
            }
        }
        AuditSample { all, gate: gate.map_or(all, |share| share.value), agents: shares }
    }
}
