//! The `selvedge` command: one executable that plays every role.

mod check;
mod cli;
mod edge;
mod exit;
mod findings;
mod terminal;

fn main() -> std::process::ExitCode {
    cli::run()
}
