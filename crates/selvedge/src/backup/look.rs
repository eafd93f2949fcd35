//! `selvedge backup list`, `verify` and `prune`: what a place has, whether it is whole, and less of it.

use std::fmt::Write as _;

use clap::Args;
use selvedge_backup::{Backup, Pruned, Unreadable, Verified, all};
use serde_json::{Value, json};

use super::{
    PlaceArgs, facts,
    progress::{Teller, Unit},
    size,
};
use crate::{
    cli::{Format, Outcome},
    exit::Exit,
    terminal::Terminal,
};

/// Options of `selvedge backup list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Options of `selvedge backup verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only this backup
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Options of `selvedge backup prune`.
#[derive(Args, Debug)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How many of the newest stay
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Lists backups, oldest first.
pub(super) async fn list(args: &ListArgs, terminal: &mut Terminal) -> Outcome {
    let backups = all(&args.place.store(false)?).await?;
    terminal.write(&match args.format {
        Format::Text => backups.iter().map(line).collect(),
        Format::Json => format!("{:#}\n", Value::Array(backups.iter().map(value).collect())),
    })?;
    Ok(Exit::Success)
}

/// Reads everything that backups need.
pub(super) async fn verify(args: &VerifyArgs, terminal: &mut Terminal) -> Outcome {
    let store = args.place.store(false)?;
    let mut teller = Teller::new("verify", Unit::Objects);
    let name = args.name.as_deref();
    let verified = selvedge_backup::verify(&store, name, &mut |far| teller.tell(far)).await?;
    drop(teller);
    terminal.write(&match args.format {
        Format::Text => text(&verified),
        Format::Json => format!("{}\n", json_of(&verified)),
    })?;
    Ok(if verified.faults.is_empty() { Exit::Success } else { Exit::Data })
}

/// Lets backups go.
pub(super) async fn prune(args: &PruneArgs, terminal: &mut Terminal) -> Outcome {
    let keep = usize::try_from(args.keep).unwrap_or(usize::MAX);
    let pruned = selvedge_backup::prune(&args.place.store(false)?, keep).await?;
    terminal.write(&match args.format {
        Format::Text => text_of_pruned(&pruned),
        Format::Json => format!("{}\n", json_of_pruned(&pruned)),
    })?;
    Ok(if pruned.unreadable.is_empty() { Exit::Success } else { Exit::Data })
}

fn text_of_pruned(pruned: &Pruned) -> String {
    let Pruned { backups, kept, unreadable, objects, bytes } = pruned;
    let mut text = String::new();
    for Unreadable { name, reason } in unreadable {
        writeln!(
            text,
            "error: backup {name} cannot be read and stays, as do all objects: {reason}"
        )
        .expect("a String takes every write");
    }
    let gone = backups.len();
    let size = size(*bytes);
    writeln!(text, "{gone} backups went, {kept} are there; {objects} objects went, {size}")
        .expect("as above");
    text
}

fn json_of_pruned(pruned: &Pruned) -> Value {
    let Pruned { backups, kept, unreadable, objects, bytes } = pruned;
    let unreadable = unreadable.iter();
    let unreadable = unreadable.map(|it| json!({ "name": it.name, "reason": it.reason }));
    json!({
        "gone": backups,
        "kept": kept,
        "unreadable": unreadable.collect::<Vec<_>>(),
        "objects": objects,
        "bytes": bytes,
    })
}

fn line(backup: &Backup) -> String {
    let manifest = &backup.manifest;
    let entries = manifest.audit.as_ref().map_or(0, |audit| audit.size);
    let damaged = if manifest.damaged.is_empty() { "" } else { "  damaged records" };
    format!(
        "{}  {:>10}  new {:>10}  {} files  {entries} audit entries{damaged}\n",
        backup.name,
        size(manifest.bytes()),
        size(manifest.new_bytes),
        manifest.files(),
    )
}

fn value(backup: &Backup) -> Value {
    let manifest = &backup.manifest;
    let more = json!({
        "time_ms": manifest.time_ms,
        "host": manifest.host,
        "audit_entries": manifest.audit.as_ref().map(|audit| audit.size),
        "damaged": manifest.damaged.len(),
    });
    facts(backup, more)
}

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    for fault in &verified.faults {
        let (object, what) = (&fault.object, &fault.what);
        writeln!(text, "error: {object}: {what}").expect("a String takes every write");
        writeln!(text, "  needed by {}", fault.backups.join(", ")).expect("as above");
        if !fault.files.is_empty() {
            writeln!(text, "  has of {}", fault.files.join(", ")).expect("as above");
        }
    }
    let state = if verified.faults.is_empty() { "in order" } else { "NOT in order" };
    let Verified { backups, objects, bytes, .. } = verified;
    writeln!(text, "{state}: {backups} backups, {objects} objects, {}", size(*bytes))
        .expect("as above");
    text
}

fn json_of(verified: &Verified) -> Value {
    let faults = verified.faults.iter().map(|fault| {
        json!({
            "object": fault.object,
            "what": fault.what,
            "backups": fault.backups,
            "files": fault.files,
        })
    });
    json!({
        "ok": verified.faults.is_empty(),
        "backups": verified.backups,
        "objects": verified.objects,
        "bytes": verified.bytes,
        "faults": faults.collect::<Vec<_>>(),
    })
}
