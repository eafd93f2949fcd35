//! `selvedge audit status`, `erase` and `prune`: what only the core that has the log can do.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use selvedge_audit::{entry::KeyId, time::Timestamp};
use serde_json::{Value, json};

use super::{
    look::size,
    place::{PlaceArgs, moment, unreadable},
    remote::Remote,
};
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge audit status`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Options of `selvedge audit erase`.
#[derive(Args, Debug)]
pub(super) struct EraseArgs {
    /// Who: the id that the log was told, or with --key the 32 digits that entries have for them
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// The tenant that knows them
    #[arg(long, value_name = "TENANT", conflicts_with = "key")]
    tenant: Option<String>,
    /// SUBJECT is the id of a key, as entries have it
    #[arg(long)]
    key: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Options of `selvedge audit prune`.
#[derive(Args, Debug)]
pub(super) struct PruneArgs {
    /// Give up entries before this number
    #[arg(long, value_name = "INDEX", required_unless_present = "older_than")]
    before: Option<u64>,
    /// Give up what is older: 2026-11-21, 2026-11-21T21:04:05Z, or 365d for a year ago
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    older_than: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Tells how the log is; where no core runs, what its files say.
pub(super) fn status(args: &StatusArgs, terminal: &mut Terminal) -> Outcome {
    let core = args.place.core();
    let status = match core {
        Ok(core) if args.place.is_remote() || !core.is_away() => core.json("/status")?,
        Err(failure) if args.place.is_remote() => return Err(failure),
        _ => {
            let files = args.place.files()?;
            let size = size(&files)?;
            let minimum = files.minimum(size).map_err(unreadable)?;
            json!({ "running": false, "published": size, "minimum": minimum })
        }
    };
    terminal.write(&match args.format {
        Format::Json => format!("{status}\n"),
        Format::Text => text(&status),
    })?;
    Ok(if status["fault"].is_null() { Exit::Success } else { Exit::Failure })
}

fn text(status: &Value) -> String {
    let mut out = String::new();
    let mut row = |name: &str, text: String| {
        writeln!(out, "  {name:<10}{text}").expect("a string takes all");
    };
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let word = |name: &str| status[name].as_str().unwrap_or_default();
    if status["running"] == false {
        row("head", format!("{} entries", number("published")));
        row("first", number("minimum").to_string());
        return format!("the core is not running\n{out}");
    }
    let published = number("published");
    row("head", format!("{published} of {} entries", number("entries")));
    row("lag", format!("{} ms", number("lag_ms")));
    row("first", number("minimum").to_string());
    row("key", word("key").to_owned());
    row("witness", word("witness_key").to_owned());
    for witness in status["witnesses"].as_array().into_iter().flatten() {
        let cosigned = witness["cosigned"].as_u64().unwrap_or_default();
        let name = witness["name"].as_str().unwrap_or_default();
        let error = witness["error"].as_str().map(|error| format!("; {error}"));
        row("asked", format!("{name}: {cosigned} entries{}", error.unwrap_or_default()));
    }
    for log in status["watched"]["logs"].as_array().into_iter().flatten() {
        row("watches", log.as_str().unwrap_or_default().to_owned());
    }
    let state = match status["fault"].as_str() {
        None => "in order".to_owned(),
        Some(fault) => format!("NOT in order: {fault}"),
    };
    format!("{}: {state}\n{out}", word("origin"))
}

/// Destroys the key of a person.
pub(super) fn erase(args: &EraseArgs, terminal: &mut Terminal) -> Outcome {
    let EraseArgs { subject, tenant, key, place } = args;
    let whom = match (key, tenant) {
        (true, _) if KeyId::parse(subject).is_none() => {
            let text = format!("{subject} is no id of a key: these have 32 hexadecimal digits");
            return Err(Failure::new(Exit::Usage, text));
        }
        (true, _) => json!({ "key": subject }),
        (false, Some(tenant)) => json!({ "id": subject, "tenant": tenant }),
        (false, None) => json!({ "id": subject }),
    };
    let done = place.core()?.have_done("/erase", &whom)?;
    let key = done["key"].as_str().unwrap_or_default();
    terminal
        .write(&format!("erased: the key {key} is destroyed, and the log has an entry of it\n"))?;
    Ok(Exit::Success)
}

/// Gives entries up.
pub(super) fn prune(args: &PruneArgs, terminal: &mut Terminal) -> Outcome {
    let core = args.place.core()?;
    let before = match (args.before, &args.older_than) {
        (Some(before), _) => before,
        (None, Some(time)) => older(args, &core, time)?,
        (None, None) => 0,
    };
    let done = core.have_done("/prune", &json!({ "before": before }))?;
    let minimum = done["minimum"].as_u64().unwrap_or_default();
    terminal.write(&format!("what is kept begins with entry {minimum}\n"))?;
    Ok(Exit::Success)
}

/// The first entry that is not older than this.
fn older(args: &PruneArgs, core: &Remote, time: &str) -> Result<u64, Failure> {
    let time = moment(time)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let settled = core.json("/status")?["settled"].as_u64().unwrap_or_default();
    let now = Timestamp(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
    args.place.files()?.all_before(&(time..now), settled).map_err(unreadable)
}
