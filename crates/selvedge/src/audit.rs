//! `selvedge audit`: looks at an audit log's files, in a folder or where a core serves them. Who has a
//! copy of them and the public key needs nothing else. What changes the log, its core does.

mod copies;
mod look;
mod manage;
mod place;
mod remote;
mod verify;

use clap::{Args, Subcommand};

pub(crate) use self::place::moment;
use crate::{cli::Outcome, terminal::Terminal};

/// Options of `selvedge audit`.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Print the newest entries
    Tail(look::TailArgs),
    /// Print the entries that fit
    Search(look::SearchArgs),
    /// Compare all files with what was signed, or check one proof
    Verify(verify::VerifyArgs),
    /// Write a proof that an entry is in the log, for people without the log
    Prove(copies::ProveArgs),
    /// Write entries as JSON lines, each with its proof
    Export(copies::ExportArgs),
    /// Tell how a core's log is: its head, its witnesses, what is wrong
    Status(manage::StatusArgs),
    /// Destroy the key under which everything personal about somebody is sealed
    Erase(manage::EraseArgs),
    /// Give up old entries; what is left stays proven
    Prune(manage::PruneArgs),
}

/// Does what was asked for.
pub(crate) fn run(args: &AuditArgs, terminal: &mut Terminal) -> Outcome {
    match &args.command {
        AuditCommand::Tail(args) => look::tail(args, terminal),
        AuditCommand::Search(args) => look::search(args, terminal),
        AuditCommand::Verify(args) => verify::run(args, terminal),
        AuditCommand::Prove(args) => copies::prove(args, terminal),
        AuditCommand::Export(args) => copies::export(args, terminal),
        AuditCommand::Status(args) => manage::status(args, terminal),
        AuditCommand::Erase(args) => manage::erase(args, terminal),
        AuditCommand::Prune(args) => manage::prune(args, terminal),
    }
}
