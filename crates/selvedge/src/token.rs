//! `selvedge token`: what services come to the core with.

mod intent;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use selvedge_base::parse_duration;
use selvedge_identity::{Entry, NewToken, Scope, TokenFile, TokenFileError, Usage};
use serde_json::json;

pub(crate) use self::intent::Intent;
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    findings,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and show it, once
    Create(CreateArgs),
    /// List the tokens, without their secrets
    List(ListArgs),
    /// Refuse a token from now on
    Revoke(RevokeArgs),
}

/// Which core.
#[derive(Args, Debug)]
pub(crate) struct CoreOf {
    /// Config file whose core it is
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// The core's data-dir, in place of the config's
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
}

/// Options of `selvedge token create`.
#[derive(Args, Debug)]
struct CreateArgs {
    #[command(flatten)]
    core: CoreOf,
    /// The service that comes with it
    name: String,
    /// What it may do, such as streams:read; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// The tenant for whom it acts
    #[arg(long)]
    tenant: Option<String>,
    /// How long it counts, such as 90d or 12h; otherwise for ever
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
}

/// Options of `selvedge token list`.
#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    core: CoreOf,
    /// For people or programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Options of `selvedge token revoke`.
#[derive(Args, Debug)]
struct RevokeArgs {
    #[command(flatten)]
    core: CoreOf,
    /// The part of the token between the two underscores
    id: String,
}

const DAY: u64 = 24 * 60 * 60;
const YEARS_MAX: u64 = 100;

/// Does what was asked.
pub(crate) fn run(args: &TokenArgs, terminal: &mut Terminal) -> Outcome {
    match &args.command {
        TokenCommand::Create(args) => create(args, terminal)?,
        TokenCommand::List(args) => list(args, terminal)?,
        TokenCommand::Revoke(args) => {
            let entry = revoke(args)?;
            terminal.write(&format!("revoked: {}\n", line(&entry, None)))?;
        }
    }
    Ok(Exit::Success)
}

fn create(args: &CreateArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    let new = NewToken {
        name: args.name.clone(),
        scopes: args.scope.iter().cloned().collect(),
        tenant: args.tenant.clone(),
        expires: args.expires.map(|after| SystemTime::now() + after),
    };
    let data_dir = args.core.data_dir()?;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir);
    made.map_err(|error| TokenFileError::Write(data_dir.clone(), error))?;
    let intent = Intent::begin(&data_dir, "token.create", &new.name, None)?;
    let token = match TokenFile::within(&data_dir).create(&new) {
        Ok(token) => token,
        Err(error) => {
            intent.drop_it();
            return Err(error.into());
        }
    };
    intent.made(token.id())?;
    Ok(terminal.write(&format!("{}\n", token.text().expose()))?)
}

fn revoke(args: &RevokeArgs) -> Result<Entry, Failure> {
    let data_dir = args.core.data_dir()?;
    let file = TokenFile::within(&data_dir);
    let known = file.list()?.into_iter().find(|entry| entry.id == args.id);
    let known = known.ok_or_else(|| TokenFileError::Unknown(args.id.clone()))?;
    let intent = Intent::begin(&data_dir, "token.revoke", &known.name, Some(&known.id))?;
    match file.revoke(&args.id, SystemTime::now()) {
        // It was revoked before: there is nothing to tell.
        Ok(entry) if known.revoked.is_some() => {
            intent.drop_it();
            Ok(entry)
        }
        Ok(entry) => Ok(entry),
        Err(error) => {
            intent.drop_it();
            Err(error.into())
        }
    }
}

fn list(args: &ListArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    let data_dir = args.core.data_dir()?;
    let (entries, usage) = (TokenFile::within(&data_dir).list()?, Usage::within(&data_dir));
    match args.format {
        Format::Json => {
            let entries = entries.iter().map(|entry| value(entry, usage.last(&entry.id)));
            let all = json!(entries.collect::<Vec<_>>());
            terminal.write(&format!("{all:#}\n"))?;
        }
        Format::Text => {
            for entry in &entries {
                terminal.write(&format!("{}\n", line(entry, usage.last(&entry.id))))?;
            }
        }
    }
    Ok(())
}

impl CoreOf {
    /// Its folder.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(data_dir) = &self.data_dir {
            return Ok(data_dir.clone());
        }
        let loaded = findings::load(&self.config);
        let checked = loaded.map_err(|them| them.into_failure(Paint::on_stderr()))?;
        let process = checked.config.core.as_ref().and_then(|core| core.process());
        process.map(|process| process.data_dir.clone()).ok_or_else(|| no_core(&self.config))
    }
}

fn no_core(config: &Path) -> Failure {
    let text = format!(
        "{} has no `core` that runs on this machine; name its folder with --data-dir",
        config.display()
    );
    Failure::new(Exit::Config, text)
}

/// `90d`, or any duration of the config's.
fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let wrong = || "write it like 90d, 12h or 30m".to_owned();
    let lifetime = match days {
        Some(days) => Duration::from_secs(days.saturating_mul(DAY)),
        None => parse_duration(text).map_err(|_| wrong())?,
    };
    let most = Duration::from_secs(YEARS_MAX * 365 * DAY);
    (Duration::from_secs(1)..=most).contains(&lifetime).then_some(lifetime).ok_or_else(wrong)
}

/// A token for people.
fn line(entry: &Entry, used: Option<SystemTime>) -> String {
    let Entry { id, name, tenant, .. } = entry;
    let mut out = format!("{id}  {name}");
    let scopes = scopes(entry);
    if !scopes.is_empty() {
        out.push_str(&format!("  scopes={}", scopes.join(",")));
    }
    if let Some(tenant) = tenant {
        out.push_str(&format!("  tenant={tenant}"));
    }
    let days = |span: Duration| span.as_secs() / DAY;
    match state(entry) {
        "valid" => {
            let left = entry.expires.and_then(|end| end.duration_since(SystemTime::now()).ok());
            out.push_str(&left.map_or(String::new(), |left| format!("  {} days left", days(left))));
        }
        state => out.push_str(&format!("  {state}")),
    }
    if let Some(used) = used {
        let ago = SystemTime::now().duration_since(used).unwrap_or_default();
        match days(ago) {
            0 => out.push_str("  used today"),
            days => out.push_str(&format!("  used {days} days ago")),
        }
    }
    out
}

fn value(entry: &Entry, used: Option<SystemTime>) -> serde_json::Value {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    };
    json!({
        "id": entry.id,
        "name": entry.name,
        "scopes": scopes(entry),
        "tenant": entry.tenant,
        "state": state(entry),
        "expires": entry.expires.map(seconds),
        "revoked": entry.revoked.map(seconds),
        "used": used.map(seconds),
    })
}

fn scopes(entry: &Entry) -> Vec<&str> {
    entry.scopes.iter().map(Scope::as_str).collect()
}

fn state(entry: &Entry) -> &'static str {
    match entry.revoked {
        Some(_) => "revoked",
        None if entry.is_valid(SystemTime::now()) => "valid",
        None => "expired",
    }
}

impl From<TokenFileError> for Failure {
    fn from(error: TokenFileError) -> Self {
        Self::chain(Exit::Failure, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_days_or_durations() {
        assert_eq!(lifetime("90d"), Ok(Duration::from_secs(90 * DAY)));
        assert_eq!(lifetime("12h"), Ok(Duration::from_secs(12 * 3_600)));
        for text in ["", "d", "0d", "-1d", "99999999999999999999d", "36501d", "soon"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
