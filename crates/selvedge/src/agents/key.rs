//! `selvedge agents key`: API keys for the auth agent.

mod told;

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use selvedge_agents::auth::api_keys::{self, Entry, KeyFileError, NewKey};

use self::told::ToldArgs;
use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge agents key`.
#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and show it, once
    Create(CreateArgs),
    /// Refuse a key from now on
    Revoke(RevokeArgs),
    /// List the keys, without their secrets
    List(FileArgs),
}

/// Which file.
#[derive(Args, Debug)]
struct FileArgs {
    /// The file that `api-keys { file … }` of the config names
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

/// Options of `selvedge agents key create`.
#[derive(Args, Debug)]
struct CreateArgs {
    #[command(flatten)]
    keys: FileArgs,
    #[command(flatten)]
    told: ToldArgs,
    /// Who comes with it
    #[arg(long)]
    user: String,
    /// A role that it gives; may be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// A scope that it gives; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Days until it is refused; otherwise it never is
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
}

/// Options of `selvedge agents key revoke`.
#[derive(Args, Debug)]
struct RevokeArgs {
    #[command(flatten)]
    keys: FileArgs,
    #[command(flatten)]
    told: ToldArgs,
    /// The part of the key between the two underscores
    id: String,
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::chain(Exit::Failure, &error)
    }
}

/// Does what was asked.
pub(crate) fn run(args: &KeyArgs, terminal: &mut Terminal) -> Outcome {
    match &args.command {
        KeyCommand::Create(args) => {
            let log = args.told.log()?;
            let day = Duration::from_secs(24 * 60 * 60);
            let created = api_keys::create(
                &args.keys.file,
                &NewKey {
                    user: args.user.clone(),
                    roles: args.role.clone(),
                    scopes: args.scope.clone(),
                    expires: args.days.map(|days| SystemTime::now() + day * days),
                },
            )?;
            // Nobody has the key yet: one that the log does not know of is never seen.
            log.tell_or(told::created(&args.keys.file, &created.id, args), || {
                api_keys::revoke(&args.keys.file, &created.id, SystemTime::now()).map(drop)
            })?;
            terminal.write(&format!("{}\n", created.key.expose()))?;
        }
        KeyCommand::Revoke(args) => {
            let log = args.told.log()?;
            let entry = api_keys::revoke(&args.keys.file, &args.id, SystemTime::now())?;
            log.tell_or(told::revoked(&args.keys.file, &entry), || Ok(()))?;
            terminal.write(&format!("revoked: {}\n", Line(&entry)))?;
        }
        KeyCommand::List(args) => {
            for entry in api_keys::list(&args.file)? {
                terminal.write(&format!("{}\n", Line(&entry)))?;
            }
        }
    }
    Ok(Exit::Success)
}

/// A key for people.
struct Line<'a>(&'a Entry);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { id, user, roles, scopes, expires, revoked, .. } = self.0;
        write!(f, "{id}  user={user}")?;
        for (name, list) in [("roles", roles), ("scopes", scopes)] {
            if !list.is_empty() {
                write!(f, " {name}={}", list.join(","))?;
            }
        }
        let now = SystemTime::now();
        match (revoked, expires) {
            (Some(_), _) => f.write_str("  revoked"),
            (None, Some(at)) if *at <= now => f.write_str("  expired"),
            (None, Some(at)) => {
                let left = at.duration_since(now).unwrap_or_default();
                write!(f, "  {} days left", left.as_secs() / (24 * 60 * 60))
            }
            (None, None) => Ok(()),
        }
    }
}
