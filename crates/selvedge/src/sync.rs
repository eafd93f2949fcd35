//! `selvedge sync`: tokens for devices, and what a relay has of a document.

mod dump;
mod inspect;
mod log;
mod token;
mod verify;

use clap::{Args, Subcommand};

use self::log::LogArgs;
pub(crate) use self::token::lifetime;
use crate::{cli::Outcome, terminal::Terminal};

/// Options of `selvedge sync`.
#[derive(Args, Debug)]
pub(crate) struct SyncArgs {
    #[command(subcommand)]
    command: SyncCommand,
}

#[derive(Debug, Subcommand)]
enum SyncCommand {
    /// Make a token with which one device opens documents, and print it
    Token(token::TokenArgs),
    /// Refuse a token from now on
    Revoke(token::RevokeArgs),
    /// Tell what a relay has of a document: its log, snapshot, replicas, keys
    Inspect(LogArgs),
    /// Print a document's log, a line of JSON for each record
    Dump(LogArgs),
    /// Check a document's log: encodings, signatures, chains, the snapshot
    Verify(LogArgs),
}

/// Does what was asked.
pub(crate) fn run(args: &SyncArgs, terminal: &mut Terminal) -> Outcome {
    match &args.command {
        SyncCommand::Token(args) => token::make(args, terminal),
        SyncCommand::Revoke(args) => token::revoke(args, terminal),
        SyncCommand::Inspect(args) => inspect::run(args, terminal),
        SyncCommand::Dump(args) => dump::run(args, terminal),
        SyncCommand::Verify(args) => verify::run(args, terminal),
    }
}
