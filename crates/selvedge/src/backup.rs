//! `selvedge backup`: copies of a core's data in a folder or a bucket, and the way back.

mod create;
mod look;
mod progress;
mod restore;
mod running;

use clap::{Args, Subcommand};
use selvedge_backup::{Backup, Destination, Error, ErrorKind, Store};
use serde_json::{Value, json};

use crate::{
    cli::Outcome,
    exit::{Exit, Failure, chain},
    terminal::Terminal,
};

/// Options of `selvedge backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Back up a core's data, while it runs or not; only what is new is sent
    Create(create::CreateArgs),
    /// List the backups of a place
    List(look::ListArgs),
    /// Read everything that backups need, and say what is damaged
    Verify(look::VerifyArgs),
    /// Put a backup back into an empty data-dir, and prove that it is whole
    Restore(restore::RestoreArgs),
    /// Let old backups go, and what only they needed
    Prune(look::PruneArgs),
}

/// Does what was asked for.
pub(crate) fn run(args: &BackupArgs, terminal: &mut Terminal) -> Outcome {
    // What is written here is nobody else's business, whatever the shell says.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("backup")
        .enable_all()
        .build()?;
    match &args.command {
        BackupCommand::Create(args) => runtime.block_on(create::run(args, terminal)),
        BackupCommand::List(args) => runtime.block_on(look::list(args, terminal)),
        BackupCommand::Verify(args) => runtime.block_on(look::verify(args, terminal)),
        BackupCommand::Restore(args) => runtime.block_on(restore::run(args, terminal)),
        BackupCommand::Prune(args) => runtime.block_on(look::prune(args, terminal)),
    }
}

/// Where backups lie.
#[derive(Args, Debug)]
struct PlaceArgs {
    /// A folder, or s3://BUCKET/PREFIX with AWS_* in the environment
    #[arg(value_name = "DEST")]
    destination: String,
}

impl PlaceArgs {
    /// The place; with `begin`, a folder is made where there is none.
    fn store(&self, begin: bool) -> Result<Store, Failure> {
        let destination: Destination = self.destination.parse()?;
        Ok(Store::open(&destination, begin)?)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::Data => Exit::Data,
            ErrorKind::Unavailable => Exit::Unavailable,
            ErrorKind::Failed => Exit::Failure,
        };
        Self::new(exit, chain(&error))
    }
}

/// What all commands tell programs of a backup, and `more`.
fn facts(backup: &Backup, more: Value) -> Value {
    let manifest = &backup.manifest;
    let mut facts = json!({
        "name": backup.name,
        "parent": manifest.parent,
        "files": manifest.files(),
        "bytes": manifest.bytes(),
        "new_objects": manifest.new_objects,
        "new_bytes": manifest.new_bytes,
        "durable_lsn": manifest.log.durable,
    });
    if let (Some(facts), Value::Object(more)) = (facts.as_object_mut(), more) {
        facts.extend(more);
    }
    facts
}

/// `3 B`, `4.2 KiB`, `64.0 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter().peekable();
    while let Some(unit) = units.next() {
        if value < 1024.0 || units.peek().is_none() {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (4300, "4.2 KiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
