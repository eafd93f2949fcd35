//! The `selvedge` command: one executable that plays every role.

mod bounds;
mod check;
mod cli;
mod diff;
mod edge;
mod exit;
mod explain;
mod findings;
mod init;
mod reload;
mod terminal;
mod up;

fn main() -> std::process::ExitCode {
    cli::run()
}
