//! `selvedge reload`: asks the running edge to read its config again, and tells what came of it.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    admin::{address_in, ask, cannot_ask},
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    /// Config file; names the admin listener that is asked
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Admin listener to ask, whatever the config file says
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["config", "pid"])]
    admin: Option<SocketAddr>,
    /// Send SIGHUP to this process instead; its log tells what came of it
    #[arg(long, value_name = "PID", conflicts_with = "config")]
    pid: Option<i32>,
}

/// Asks and reports.
pub(crate) fn run(args: &ReloadArgs, terminal: &mut Terminal) -> Outcome {
    if let Some(pid) = args.pid {
        return send_signal(pid, terminal);
    }
    let address = match args.admin {
        Some(address) => address,
        None => address_in(&args.config, "; use --pid")?,
    };
    let answer = ask(address, "POST /reload")
        .map_err(|error| cannot_ask(address, &error, ", --pid sends a signal"))?;
    match answer.status {
        200 => {
            terminal.write(&format!("reloaded: {}", answer.body))?;
            Ok(Exit::Success)
        }
        422 => Err(Failure { exit: Exit::Config, text: answer.body }),
        status => Err(Failure::new(
            Exit::Failure,
            format!("{address} answered {status}: {}", answer.body.trim_end()),
        )),
    }
}

fn send_signal(pid: i32, terminal: &mut Terminal) -> Outcome {
    let process = Pid::from_raw(pid).filter(|_| pid > 0);
    let process =
        process.ok_or_else(|| Failure::new(Exit::Usage, format!("{pid} is no process id")))?;
    kill_process(process, Signal::HUP).map_err(|error| {
        Failure::new(Exit::Unavailable, format!("process {pid} cannot be told to reload: {error}"))
    })?;
    terminal.write(&format!("sent SIGHUP to process {pid}; its log tells what came of it\n"))?;
    Ok(Exit::Success)
}
