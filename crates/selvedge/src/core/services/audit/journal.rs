//! How what is done in the core gets into the audit log: in the batch of the change itself, or before
//! it.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use selvedge_audit::{
    entry::{ActorKind, Outcome},
    event::{Event, Fact, Principal},
    home::{Home, HomeError},
    integrate::IntegrateError,
    keys::KeyError,
    service::{AuditError, AuditLog, Heads},
    time::Timestamp,
};
use selvedge_config::CoreProcess;
use selvedge_eventlog::{Append, AppendError, Batch, Committed, Log};
use selvedge_identity::{Caller, Means, Principal as Known, Refusal};

use super::{host_name, new_origin, since_1970};
use crate::exit::{Exit, Failure, chain};

/// Bytes of what a client says it is, as far as it is kept.
const USER_AGENT_BYTES_MAX: usize = 512;

/// The way into the audit log.
pub(in crate::core) struct Journal {
    pub(super) log: Log,
    pub(super) audit: AuditLog,
    revision: RwLock<Arc<str>>,
}

/// Who asks the core for something, as an entry tells it.
#[derive(Clone, Debug)]
pub(in crate::core) struct Asker {
    pub(in crate::core) caller: Caller,
    pub(in crate::core) user_agent: Option<String>,
}

/// Why an entry is not in the log, and so what it would have said was not done.
#[derive(Debug)]
pub(in crate::core) enum Unwritten {
    /// It could not be made.
    Entry(AuditError),
    /// The event log did not take it.
    Append(AppendError),
    /// The core is ending.
    Ending,
}

impl Journal {
    /// Opens the audit log of a data-dir, or begins it. Blocks.
    pub(in crate::core) fn open(
        process: &CoreProcess,
        log: Log,
        revision: &str,
    ) -> Result<Self, Failure> {
        let home = Home::new(&process.data_dir);
        let settings = &process.audit;
        let found = home.origin().map_err(|error| unopened(&error))?;
        let origin = settings.origin.clone().or(found).unwrap_or_else(new_origin);
        let node = settings.node.clone().unwrap_or_else(host_name);
        let parts = home.open(log.clone(), &origin, &node).map_err(|error| unopened(&error))?;
        let heads = if settings.witnesses.is_empty() { Heads::Shown } else { Heads::Held };
        let parts = selvedge_audit::service::Parts { heads, ..parts };
        let audit = AuditLog::start(parts).map_err(|error| unstarted(&error))?;
        Ok(Self { log, audit, revision: RwLock::new(revision.into()) })
    }

    /// From now on entries say this revision of the config.
    pub(in crate::core) fn set_revision(&self, revision: &str) {
        *self.revision.write().unwrap_or_else(PoisonError::into_inner) = revision.into();
    }

    /// Something that the core itself did.
    pub(in crate::core) fn own(&self, action: &str, resource: (&str, &str)) -> Event {
        let mut event = Event::by_system(now(), action, resource);
        let revision = self.revision.read().unwrap_or_else(PoisonError::into_inner);
        event.config = Some(revision.to_string());
        event
    }

    /// Something that somebody asked for.
    pub(in crate::core) fn by(&self, asker: &Asker, action: &str, resource: (&str, &str)) -> Event {
        let Caller { principal, tenant, scopes: _, means, client, trace_id } = &asker.caller;
        let mut event = self.own(action, resource);
        event.actor = actor(principal, tenant.clone(), means);
        event.address = client.as_ref().map(IpAddr::to_string);
        event.user_agent = asker.user_agent.clone();
        event.trace = trace_id.as_deref().and_then(trace);
        event
    }

    /// The step that puts an entry into the event log, for the batch that does what it says. Blocks: its
    /// keys are durable when this returns.
    pub(in crate::core) fn entry(&self, event: &Event) -> Result<Append, Unwritten> {
        self.audit.entry(event).map_err(Unwritten::Entry)
    }

    /// Commits an entry together with the rest of a batch. Blocks.
    pub(super) fn commit(
        &self,
        events: &[Event],
        rest: Option<Append>,
    ) -> Result<Committed, Unwritten> {
        let entries = Batch::from(self.audit.entries(events).map_err(Unwritten::Entry)?);
        let batch = match rest {
            Some(rest) => entries.and(rest),
            None => entries,
        };
        self.log.append(batch).wait().map_err(Unwritten::Append)
    }

    /// Commits an entry by itself, and returns its number. Blocks.
    pub(in crate::core) fn write_now(&self, event: &Event) -> Result<u64, Unwritten> {
        let committed = self.log.append(self.entry(event)?).wait().map_err(Unwritten::Append)?;
        Ok(committed.placed.first)
    }

    /// Commits an entry by itself, and returns its number.
    pub(in crate::core) async fn write(self: &Arc<Self>, event: Event) -> Result<u64, Unwritten> {
        let journal = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || journal.write_now(&event));
        written.await.unwrap_or(Err(Unwritten::Ending))
    }

    /// Commits an entry together with what it tells of.
    pub(in crate::core) async fn write_with(
        self: &Arc<Self>,
        event: Event,
        rest: Option<Append>,
    ) -> Result<(), Unwritten> {
        let journal = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || journal.commit(&[event], rest));
        written.await.unwrap_or(Err(Unwritten::Ending)).map(drop)
    }
}

/// A detail that is a list of texts.
pub(in crate::core) fn list(texts: impl IntoIterator<Item = impl Into<String>>) -> Fact {
    Fact::List(texts.into_iter().map(Into::into).collect())
}

pub(super) fn now() -> Timestamp {
    Timestamp(u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX))
}

fn actor(principal: &Known, tenant: Option<String>, means: &Means) -> Principal {
    let (kind, id) = match principal {
        Known::User { id, roles: _ } => (ActorKind::User, Some(id.clone())),
        Known::Service { name } => (ActorKind::Service, Some(name.clone())),
        Known::Anonymous => (ActorKind::Anonymous, None),
    };
    let auth = match means {
        Means::Token { id } => format!("token:{id}"),
        Means::Agents(agents) => format!("agents:{}", agents.join(",")),
        Means::DeclaredToken | Means::Nothing => means.kind().to_owned(),
    };
    Principal { kind, id, tenant, auth }
}

fn trace(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().filter(|id| *id != 0).map(u128::to_be_bytes)
}

impl Asker {
    /// Somebody, and what their program says it is.
    pub(in crate::core) fn new(caller: Caller, user_agent: Option<String>) -> Self {
        let cut = |text: String| text.chars().take(USER_AGENT_BYTES_MAX).collect();
        Self { caller, user_agent: user_agent.map(cut) }
    }

    /// Who sent a request with these fields.
    fn of(caller: Caller, fields: &HeaderMap) -> Self {
        let said = fields.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self::new(caller, said.map(str::to_owned))
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self::of(caller, &parts.headers))
    }
}

/// As an entry says what came of an answer.
pub(in crate::core) fn outcome(status: u16) -> Outcome {
    match status {
        ..=399 => Outcome::Done,
        401 | 403 | 429 => Outcome::Denied,
        _ => Outcome::Failed,
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(error) => f.write_str(&chain(error)),
            Self::Append(error) => error.fmt(f),
            Self::Ending => f.write_str("the core is ending"),
        }
    }
}

impl std::error::Error for Unwritten {}

impl From<Unwritten> for Failure {
    fn from(error: Unwritten) -> Self {
        Self::new(Exit::Unavailable, format!("the audit log takes no entries: {error}"))
    }
}

fn unopened(error: &HomeError) -> Failure {
    let (exit, help) = match error {
        HomeError::Origin { found, .. } => {
            let help = format!(
                "a log never changes its name: write `origin \"{found}\"`, or begin a new log by moving \
                 the folders `audit` and `audit-keys` away, and the event log with them"
            );
            (Exit::Config, help)
        }
        HomeError::Folder { .. } | HomeError::Keys(KeyError::Io(_)) => {
            (Exit::Unavailable, "is another process at work in this data-dir?".to_owned())
        }
        HomeError::KeyFile { .. } | HomeError::SigningKey { .. } | HomeError::Keys(_) => {
            (Exit::Data, "docs/guide/audit.md says what to do about keys".to_owned())
        }
    };
    Failure::new(exit, format!("the audit log cannot be opened: {}\nhelp: {help}", chain(error)))
}

fn unstarted(error: &AuditError) -> Failure {
    let exit = match error {
        AuditError::Gap { .. } => Exit::Data,
        AuditError::Integrate(IntegrateError::Io(_)) => Exit::Unavailable,
        AuditError::Integrate(_) => Exit::Data,
        _ => Exit::Unavailable,
    };
    let help = "docs/guide/audit.md, \"At three in the morning\", says what each of these means";
    Failure::new(exit, format!("the audit log does not start: {}\nhelp: {help}", chain(error)))
}
