//! The `selvedge` command: one executable that plays every role.

mod admin;
mod agent;
mod agents;
mod audit;
mod backup;
mod bounds;
mod check;
mod cli;
mod confine;
mod core;
mod diff;
mod doc;
mod edge;
mod exit;
mod explain;
mod findings;
mod init;
mod reload;
mod site;
mod sync;
mod terminal;
mod token;
mod up;
mod waf;

/// Heads, buffers and futures come and go with each request; this allocator keeps them per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
