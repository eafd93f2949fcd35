//! Where an agent runs, and about what it is asked.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use selvedge_base::ByteSize;

use super::{
    bridge::part::Frame,
    process::ProcessPart,
    program::{ProgramPart, Way},
};
use crate::{
    AgentEvent, AgentProgram, AgentSettings, Code, OwnKind,
    reading::{Problem, Reading, one_of},
    source::{Span, Spanned},
};

/// What decides where an agent runs, and about what it is asked.
pub(super) struct Home<'s> {
    pub(super) span: Span,
    pub(super) scope: &'s str,
    pub(super) body_max: ByteSize,
    pub(super) timeout: Duration,
    pub(super) events: Option<Vec<Spanned<AgentEvent>>>,
    pub(super) process: ProcessPart,
}

pub(super) type Settled = (AgentProgram, AgentSettings, Vec<AgentEvent>);

impl Home<'_> {
    pub(super) fn settle(
        self,
        reading: &Reading<'_>,
        (program, settings): (Option<ProgramPart>, AgentSettings),
    ) -> Option<Settled> {
        match program {
            None => self.settle_own(reading, settings),
            Some(program) => self.settle_foreign(reading, (program.way?, settings)),
        }
    }

    fn settle_own(self, reading: &Reading<'_>, settings: AgentSettings) -> Option<Settled> {
        let (kind, needed, files) = match &settings {
            AgentSettings::Auth(auth) => (OwnKind::Auth, auth.events(), auth.files()),
            AgentSettings::RateLimit(limit) => (OwnKind::RateLimit, limit.events(), limit.files()),
            AgentSettings::Schema(schema) => (OwnKind::Schema, schema.events(), schema.files()),
            AgentSettings::Waf(waf) => (OwnKind::Waf, waf.events(), waf.files()),
            // They run elsewhere; what is wrong with their programs is said already.
            AgentSettings::Bridge(_) | AgentSettings::Foreign(_) => return None,
        };
        let Self { span, scope, events, process, .. } = self;
        if let Some(events) = events {
            check_own_events(reading, (span, kind), (&events, &needed));
        }
        let process = process.settle(reading, scope, &files);
        Some((AgentProgram::Own(kind, process), settings, needed))
    }

    fn settle_foreign(
        self,
        reading: &Reading<'_>,
        (way, settings): (Way, AgentSettings),
    ) -> Option<Settled> {
        let Self { span: _, scope, body_max, timeout, events, process } = self;
        Some(match way {
            Way::Command { program, arguments } => {
                let process = process.settle(reading, scope, &[]);
                let program = AgentProgram::Command { program, arguments, process };
                (program, settings, written_events(events, &AgentEvent::ALL))
            }
            Way::Address(path) => {
                process.refuse(reading);
                let events = written_events(events, &AgentEvent::ALL);
                (AgentProgram::Address(path), settings, events)
            }
            Way::Service(service) => {
                check_service_events(reading, events.as_deref(), service.events());
                let events = written_events(events, &[AgentEvent::RequestHeaders]);
                let frame = Frame { events: events.clone(), timeout, body_max };
                let settings = service.settle(reading, frame);
                let files: Vec<PathBuf> = settings.ca.iter().cloned().collect();
                let process = process.settle(reading, scope, &files);
                let program = AgentProgram::Own(OwnKind::Bridge, process);
                (program, AgentSettings::Bridge(settings), events)
            }
        })
    }
}

fn written_events(
    written: Option<Vec<Spanned<AgentEvent>>>,
    default: &[AgentEvent],
) -> Vec<AgentEvent> {
    let Some(written) = written else { return default.to_vec() };
    let events: BTreeSet<AgentEvent> = written.into_iter().map(|event| event.value).collect();
    events.into_iter().collect()
}

/// One of our own knows what it needs: less would switch it off in part, more would be in vain.
fn check_own_events(
    reading: &Reading<'_>,
    (span, kind): (Span, OwnKind),
    (written, needed): (&[Spanned<AgentEvent>], &[AgentEvent]),
) {
    let names = || one_of(needed.iter().map(|event| event.as_str())).replace(" or ", " and ");
    for surplus in written.iter().filter(|event| !needed.contains(&event.value)) {
        let message = format!(
            "an agent of type `{}` with these settings has no use for `{}`",
            kind.as_str(),
            surplus.value
        );
        let problem = Problem::new(Code::Conflict, message);
        reading.error(surplus.span, problem.help(format!("it is asked about {}", names())));
    }
    let is_written = |event: &&AgentEvent| written.iter().any(|other| other.value == **event);
    if let Some(missing) = needed.iter().find(|event| !is_written(event)) {
        let message = format!("without `{missing}` this agent cannot do what its settings say");
        let help = format!("leave `events` out: it is asked about {}", names());
        reading.error(span, Problem::new(Code::Conflict, message).help(help));
    }
}

fn check_service_events(
    reading: &Reading<'_>,
    written: Option<&[Spanned<AgentEvent>]>,
    known: &[AgentEvent],
) {
    for unknown in written.into_iter().flatten().filter(|event| !known.contains(&event.value)) {
        let message = format!("the protocol of this service has no `{}`", unknown.value);
        let help = format!("it knows {}", one_of(known.iter().map(|event| event.as_str())));
        reading.error(unknown.span, Problem::new(Code::Conflict, message).help(help));
    }
}
