//! What the audit log is told of keys: through the folder in which the edge takes up what commands leave.

use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::getuid;
use selvedge_agents::auth::api_keys::{Entry, KeyFileError};
use selvedge_audit::{
    entry::ActorKind,
    event::{Event, Fact, Principal},
};

use super::CreateArgs;
use crate::{
    edge::audit::{inbox::Inbox, now},
    exit::{Exit, Failure},
    findings::load,
    terminal::{Paint, complain},
};

/// Which audit log is told.
#[derive(Args, Debug)]
pub(super) struct ToldArgs {
    /// Config file; says where the edge keeps what it tells the audit log [default: selvedge.kdl, if it is there]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that `audit { dir … }` names, whatever the config file says
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    audit_dir: Option<PathBuf>,
}

/// The way into the audit log, if there is one.
pub(super) struct Log(Option<Inbox>);

/// What is looked at when nothing else is named.
const USUAL: &str = "selvedge.kdl";

impl ToldArgs {
    /// The log that is to know; nothing is changed where it cannot be told which one that is.
    pub(super) fn log(&self) -> Result<Log, Failure> {
        let usual = || Path::new(USUAL).exists().then(|| PathBuf::from(USUAL));
        let dir = match (&self.audit_dir, self.config.clone().or_else(usual)) {
            (Some(dir), _) => Some(dir.clone()),
            (None, Some(config)) => dir_in(&config)?,
            (None, None) => None,
        };
        if dir.is_none() {
            let note = "note: no audit log is told of this; --config or --audit-dir names the edge's that \
                        should be\n";
            complain(note);
        }
        Ok(Log(dir.as_deref().map(Inbox::of)))
    }
}

fn dir_in(config: &Path) -> Result<Option<PathBuf>, Failure> {
    let checked = load(config).map_err(|findings| {
        let help = "help: the audit log is to know of keys; --audit-dir names its folder at the edge, \
                    whatever the config says\n";
        let failure = findings.into_failure(Paint::on_stderr());
        Failure { text: format!("{}{help}", failure.text), ..failure }
    })?;
    Ok(checked.config.audit.map(|audit| audit.dir))
}

impl Log {
    /// Leaves an event, or undoes what it tells of.
    pub(super) fn tell_or(
        &self,
        event: Event,
        undo: impl FnOnce() -> Result<(), KeyFileError>,
    ) -> Result<(), Failure> {
        let Some(inbox) = &self.0 else { return Ok(()) };
        inbox.leave(&event).map_err(|error| match undo() {
            Ok(()) => {
                Failure::new(Exit::Unavailable, format!("the audit log cannot be told: {error}"))
            }
            Err(undone) => Failure::new(
                Exit::Unavailable,
                format!("the audit log cannot be told: {error}; and not undone: {undone}"),
            ),
        })
    }
}

/// That a key was made.
pub(super) fn created(file: &Path, id: &str, args: &CreateArgs) -> Event {
    let mut event = by_caller("key.create", file, id);
    let CreateArgs { keys: _, told: _, user, role, scope, days } = args;
    let mut put = |name: &str, fact| event.details.insert(name.to_owned(), fact);
    put("user", Fact::Personal(user.clone()));
    put("roles", Fact::List(role.clone()));
    put("scopes", Fact::List(scope.clone()));
    if let Some(days) = days {
        put("days", Fact::Number((*days).into()));
    }
    event
}

/// That a key is refused from now on.
pub(super) fn revoked(file: &Path, entry: &Entry) -> Event {
    let mut event = by_caller("key.revoke", file, &entry.id);
    event.details.insert("user".to_owned(), Fact::Personal(entry.user.clone()));
    event
}

/// Done by whoever runs the command, as far as the system knows them.
fn by_caller(action: &str, file: &Path, id: &str) -> Event {
    let mut event = Event::by_system(now(), action, ("api-key", id));
    let name = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).ok();
    event.actor = Principal {
        kind: ActorKind::User,
        id: Some(format!("uid:{}", getuid().as_raw())),
        tenant: None,
        auth: "system".to_owned(),
    };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    event.details.insert("file".to_owned(), Fact::Text(file.display().to_string()));
    if let Some(name) = name {
        event.details.insert("said_name".to_owned(), Fact::Personal(name));
    }
    event
}
